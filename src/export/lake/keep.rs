//! The generations of a lake: listing them, and expiring what nobody needs.

use std::{collections::BTreeMap, io, path::Path};

use jiff::Timestamp;

use super::writer;
use crate::{
    export::{Cancel, ExportError, Generation, Limits, generations::last_that_differs, work::Work},
    lake::{Commit, Lake},
    target::{GenerationId, Target},
};

/// Every kept generation, newest first.
pub(crate) fn generations(lake: &Lake) -> io::Result<Vec<Generation>> {
    let (commits, pins) = (lake.commits()?, lake.pins()?);
    let served = commits.last().map(|commit| commit.manifest.id.clone());
    // One that was brought back has several snapshots.
    let manifests: BTreeMap<_, _> = commits.into_iter().map(|commit| (commit.manifest.id.clone(), commit.manifest)).collect();
    let generation =
        |(id, manifest)| Generation { served: served.as_ref() == Some(&id), pinned: pins.contains(&id), manifest: Some(manifest), id };
    Ok(manifests.into_iter().rev().map(generation).collect())
}

/// Expires the snapshots of all but the newest `keep` generations, the served one, the last one whose content differs from it and the pinned ones, once their readers had time to let go of them, and
/// removes data that no snapshot needs.
pub(crate) fn prune(target: &Target, lake: &Lake, keep: usize) -> Result<(), ExportError> {
    let mut needed = lake.pins()?;
    let all = generations(lake).map_err(|source| ExportError::io("list the generations of", Path::new(lake.name()), source))?;
    needed.extend(last_that_differs(&all));
    let expired = unneeded(
        &lake.commits()?,
        &needed,
        keep,
        Timestamp::now() - jiff::SignedDuration::try_from(lake.keeping().grace).unwrap_or_default(),
    );
    if expired.is_empty() && !was_interrupted(lake) {
        return Ok(());
    }
    let work = Work::begin(target.work())?;
    writer::clean(lake, &expired, (&Limits::default(), &work.spill(), &Cancel::default()))
}

/// Whether an attempt before the last one may have left data behind that belongs to nothing.
fn was_interrupted(lake: &Lake) -> bool {
    let Ok((records, _)) = lake.records() else { return false };
    let before = records.iter().rev().skip(1).take_while(|record| !record.outcome.is_success());
    before.count() > 0
}

/// Snapshots that are nobody's: not the newest of a generation that is kept, and replaced before `since`.
fn unneeded(commits: &[Commit], pins: &[GenerationId], keep: usize, since: Timestamp) -> Vec<i64> {
    let newest: BTreeMap<_, _> = commits.iter().map(|commit| (&commit.manifest.id, commit.snapshot)).collect();
    let kept: Vec<_> = newest.iter().rev().take(keep).map(|(id, _)| *id).collect();
    let replaced = commits.windows(2).filter(|pair| pair[1].at <= since).map(|pair| &pair[0]);
    let is_kept = |commit: &&Commit| {
        let id = &commit.manifest.id;
        newest.get(id) == Some(&commit.snapshot) && (kept.contains(&id) || pins.contains(id))
    };
    replaced.filter(|commit| !is_kept(commit)).map(|commit| commit.snapshot).collect()
}
