//! Retention of a lake's generations: lists them and expires those that are no longer needed.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use super::writer;
use crate::store::last_that_differs;
use crate::{
    export::{CancellationToken, ExportError, ResourceLimits, scratch::ScratchDir},
    store::{
        GenerationId, Store,
        lake::{GenerationSnapshot, Lake},
    },
};

/// Expires all but the newest `keep` generations, the served one, the last one whose content
/// differs from it and the pinned ones, once the grace period for their readers has passed, and
/// removes data that belongs to no snapshot.
pub(crate) fn prune(target: &Store, lake: &Lake, keep: usize) -> Result<(), ExportError> {
    let mut needed = lake.pins()?;
    let all = target.generations().map_err(|source| {
        ExportError::io("list the generations of", Path::new(lake.name()), source)
    })?;
    needed.extend(last_that_differs(&all));
    let since = Timestamp::now()
        - jiff::SignedDuration::try_from(lake.retention().grace).unwrap_or_default();
    let commits = lake.commits()?;
    let mut expired = expired_snapshots(&commits, &needed, keep, since);
    // Refused and abandoned ones; another exporter may still be checking a recent one.
    let served = commits.last().map_or(0, |commit| commit.snapshot);
    let unpublished = lake.candidates()?.into_iter();
    expired.extend(
        unpublished
            .filter(|commit| commit.snapshot < served && commit.at <= since)
            .map(|commit| commit.snapshot),
    );
    if expired.is_empty() && !was_interrupted(lake) {
        return Ok(());
    }
    let work = ScratchDir::begin(target.local().work())?;
    writer::expire_and_clean(
        lake,
        &expired,
        (&ResourceLimits::default(), &work.spill(), &CancellationToken::default()),
    )
}

/// Returns whether an attempt before the last one may have left orphaned data.
fn was_interrupted(lake: &Lake) -> bool {
    let Ok((records, _)) = lake.records() else { return false };
    let before = records.iter().rev().skip(1).take_while(|record| !record.outcome.is_success());
    before.count() > 0
}

/// Returns the snapshots to expire: those replaced before `since` that are not the newest of a
/// retained generation.
fn expired_snapshots(
    commits: &[GenerationSnapshot],
    pins: &[GenerationId],
    keep: usize,
    since: Timestamp,
) -> Vec<i64> {
    let newest: BTreeMap<_, _> =
        commits.iter().map(|commit| (&commit.manifest.id, commit.snapshot)).collect();
    let kept: Vec<_> = newest.iter().rev().take(keep).map(|(id, _)| *id).collect();
    let replaced = commits.windows(2).filter(|pair| pair[1].at <= since).map(|pair| &pair[0]);
    let is_kept = |commit: &&GenerationSnapshot| {
        let id = &commit.manifest.id;
        newest.get(id) == Some(&commit.snapshot) && (kept.contains(&id) || pins.contains(id))
    };
    replaced.filter(|commit| !is_kept(commit)).map(|commit| commit.snapshot).collect()
}
