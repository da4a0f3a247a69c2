//! The frame of every attempt: its turn, its identity, its record.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    Cancel, Event, ExportError, Finished, Job, Outcome, Record, RollbackState, Running, Source, Step, Watch, generations, history, lake,
    recall,
    snapshot::ms_since,
    turn::{self, Announcing, Turn},
};
use crate::target::{GenerationId, Target};

/// Does `work` as one attempt and records what came of it.
///
/// `announced` is what will be served when it succeeds, where that is not a generation of its own.
pub(super) fn attempt(
    target: &Target,
    job: Option<&Job>,
    wait: std::time::Duration,
    cancel: &Cancel,
    announced: Option<GenerationId>,
    watch: &mut dyn Watch,
    work: impl FnOnce(&mut dyn Watch, &mut Record) -> Result<Outcome, ExportError>,
) -> Finished {
    let begun = Instant::now();
    let now = Timestamp::now();
    let mut record = Record::begin(next_id(target, now), now);
    if let Some(job) = job {
        record.schema = Some(job.schema.clone());
        record.lakehouse = Some(Source {
            path: job.lakehouse.clone(),
            bytes: std::fs::metadata(&job.lakehouse).map_or(0, |metadata| metadata.len()),
            version: None,
        });
    }
    if let Err(error) = turn::check_place(target, job.map(|job| job.lakehouse.as_path())) {
        return conclude(target, record, Err(error), begun);
    }
    watch.event(&Event::Begins { id: &record.id });
    watch.step(Step::Turn);
    let (turn, abandoned) = match Turn::take(target, wait, cancel, watch) {
        Ok(taken) => taken,
        Err(error) => return conclude(target, record, Err(error), begun),
    };
    record.wait_ms = ms_since(begun);
    // Before our announcement replaces the killed exporter's: whoever is killed here leaves that for the next one.
    if let Some(abandoned) = abandoned {
        recall::remember(target, &abandoned, watch);
    }
    record.id = next_id(target, now);
    watch.event(&Event::Begins { id: &record.id });
    let generation = announced.unwrap_or_else(|| record.id.clone());
    let mut watch = Announcing::new(turn, Running::begin(target, &record.id, generation, now), watch);
    let watch: &mut dyn Watch = &mut watch;
    watch.step(Step::Recover);
    let result = generations::recover(&target.file()).and_then(|()| work(watch, &mut record));
    watch.step(Step::Record);
    let finished = conclude(target, record, result, begun);
    // A held export leaves everything as it is.
    if let Some(job) = job.filter(|_| finished.error.is_none() && finished.record.outcome != Outcome::Held) {
        watch.step(Step::Prune);
        // The lakehouse has held something else since: what was rolled away from may come back.
        if let Err(error) = RollbackState::clear(target) {
            watch.notice(&format!("what is remembered of rollbacks could not be removed: {error}"));
        }
        let pruned = match target.lake() {
            None => {
                generations::prune(target, job.keep).map(drop).map_err(|source| ExportError::io("clear", &target.generations(), source))
            }
            // Of the file that it is filled from, only what the next export begins with.
            Some(lake) => lake::prune(target, lake, job.keep).and_then(|()| {
                let kept = generations::prune_unread(&target.file(), 1);
                kept.map(drop).map_err(|source| ExportError::io("clear", &target.generations(), source))
            }),
        };
        if let Err(error) = pruned {
            watch.notice(&format!("old generations could not be removed: {error}"));
        }
    }
    finished
}

fn conclude(target: &Target, mut record: Record, result: Result<Outcome, ExportError>, begun: Instant) -> Finished {
    let error = result.map(|outcome| record.outcome = outcome).err();
    if let Some(error) = &error {
        record.outcome = error.outcome();
        record.error = Some(error.to_string());
    }
    record.ended_at = Timestamp::now();
    record.total_ms = ms_since(begun);
    let unrecorded = history::append(target, &record).err();
    let unrecorded = unrecorded.map(|error| std::io::Error::new(error.kind(), format!("{}: {error}", target.history().display())));
    Finished { record, error, unrecorded }
}

/// An id later than every attempt and every generation there has been, the attempt that is at work included.
///
/// Where the clock went backwards there is still room for one just before it: for what is found being served, see [`super::adopt`].
fn next_id(target: &Target, now: Timestamp) -> GenerationId {
    let kept = generations::ids(target).unwrap_or_default().pop().max(target.generation_ids().unwrap_or_default().pop());
    let tried = history::newest(target).unwrap_or_default().into_iter().map(|record| record.id).max();
    let trying = turn::running(target).ok().flatten().map(|running| running.id);
    let room = kept.max(tried).max(trying).map(|newest| GenerationId::after(Timestamp::UNIX_EPOCH, Some(&newest)));
    GenerationId::after(now, room.as_ref())
}
