//! What other clients of a lake did to what materia published: changed tables, and expired
//! snapshots. Readers are not affected by the former, since they read their generation's snapshot.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{GenerationSnapshot, Lake, LakeError};
use crate::store::{AttemptRecord, GenerationId};

/// Names listed in a message; the others are counted.
const MAX_NAMES: usize = 5;
/// How long an export may take to check its snapshot before the snapshot counts as abandoned.
const CHECK_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);

impl Lake {
    /// Describes what other clients did to the served tables and the retained generations; `None`
    /// if there is nothing.
    pub(crate) fn describe_foreign_changes(
        &self,
        commits: &[GenerationSnapshot],
        pins: &[GenerationId],
        history: &[AttemptRecord],
    ) -> Result<Option<String>, LakeError> {
        let kept: BTreeSet<_> = commits.iter().map(|commit| &commit.manifest.id).collect();
        let mut found = Vec::new();
        let served = history
            .iter()
            .rev()
            .filter(|record| record.outcome.is_success())
            .find_map(|record| record.generation.as_ref());
        if let Some(served) = served.filter(|served| !kept.contains(served)) {
            found.push(format!(
                "generation {served}, the last one served, is not in the lake any more: another client expired its snapshot, or an older catalog was restored; run `materia export`, which publishes the data again"
            ));
        }
        let expired: Vec<_> =
            pins.iter().filter(|id| !kept.contains(id)).map(ToString::to_string).collect();
        if !expired.is_empty() {
            found.push(format!(
                "pinned, but expired by another client: {}; find out which one, and remove the pins with `materia unpin`",
                list(&expired)
            ));
        }
        if let Some(served) = commits.last() {
            let abandoned: Vec<_> = self
                .candidates()?
                .into_iter()
                .filter(|commit| commit.snapshot > served.snapshot)
                .collect();
            let changed = list(&self.changed_tables(served, &abandoned)?);
            let consequence = "sites still serve what was published, other readers do not; run `materia export`, which writes it again";
            if !changed.is_empty() {
                found.push(if abandoned.is_empty() {
                    format!(
                        "another client changed in the lake, after it was published: {changed}; {consequence}, and find out which client it was"
                    )
                } else {
                    format!(
                        "an export that did not finish, or another client, changed in the lake: {changed}; {consequence}"
                    )
                });
            }
        }
        Ok((!found.is_empty()).then(|| found.join("; ")))
    }

    /// Returns the tables of the served schema that are not as published, among them those that
    /// were added or removed.
    fn changed_tables(
        &self,
        served: &GenerationSnapshot,
        unpublished: &[GenerationSnapshot],
    ) -> Result<Vec<String>, LakeError> {
        let Some(mut newest) = self.newest_snapshot()? else { return Ok(Vec::new()) };
        // An export may be checking its snapshot right now, and then publishes it or puts the
        // tables back.
        let is_recent = |commit: &&GenerationSnapshot| {
            Timestamp::now().duration_since(commit.at) < CHECK_TIMEOUT
        };
        let checked = unpublished.iter().filter(is_recent).map(|commit| commit.snapshot).min();
        if let Some(first) = checked {
            newest = newest.min(first - 1);
        }
        if newest <= served.snapshot {
            return Ok(Vec::new());
        }
        let tables = self.tables_since(served, newest, &served.manifest.schema)?;
        let published =
            |name: &String| served.manifest.tables.iter().any(|table| table.name == *name);
        let missing = served.manifest.tables.iter().map(|table| &table.name);
        let mut changed: Vec<_> = missing.filter(|name| !tables.contains_key(*name)).collect();
        changed.extend(
            tables.iter().filter(|(name, same)| !**same || !published(name)).map(|(name, _)| name),
        );
        changed.sort_unstable();
        Ok(changed.into_iter().cloned().collect())
    }
}

fn list(names: &[String]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
