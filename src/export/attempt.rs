//! The frame of every attempt: export lock, id and history record.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    AttemptResult, CancellationToken, ExportError, ExportEvent, ExportJob, Progress,
    export_lock::{self, ExportLock, ProgressRecorder},
    lake,
    snapshot::ms_since,
};
use crate::store::{
    AttemptOutcome, AttemptRecord, ExportStep, LakehouseInfo, Publisher, RollbackState,
    RunningExport,
};
use crate::store::{GenerationId, Store, prune, prune_unread, record_killed_attempt, recover};

/// Runs `work` as one attempt and records its outcome.
///
/// `announced` is the generation served on success, unless the attempt creates a new one.
pub(super) fn run_attempt(
    target: &Store,
    job: Option<&ExportJob>,
    wait: std::time::Duration,
    cancel: &CancellationToken,
    announced: Option<GenerationId>,
    watch: &mut dyn Progress,
    work: impl FnOnce(&mut dyn Progress, &mut AttemptRecord) -> Result<AttemptOutcome, ExportError>,
) -> AttemptResult {
    let begun = Instant::now();
    let now = Timestamp::now();
    let mut record = AttemptRecord::begin(next_id(target, now), now);
    if let Some(job) = job {
        record.schema = Some(job.schema.clone());
        record.lakehouse = Some(LakehouseInfo {
            path: job.lakehouse.clone(),
            bytes: std::fs::metadata(&job.lakehouse).map_or(0, |metadata| metadata.len()),
            version: None,
        });
    }
    if target.is_lake() {
        record.publisher = Some(Publisher::current(job.map(|job| job.lakehouse.as_path())));
    }
    if let Err(error) = export_lock::validate_target(target, job.map(|job| job.lakehouse.as_path()))
    {
        return finish(target, record, Err(error), begun);
    }
    if let Some(problem) = target.write_problem() {
        let why = format!("{problem}; use the exporter's settings (see `materia lake grants`)");
        let error = ExportError::Target { path: target.display_name(), why };
        return finish(target, record, Err(error), begun);
    }
    watch.event(&ExportEvent::Begins { id: &record.id });
    watch.step(ExportStep::Turn);
    let (lock, abandoned) = match ExportLock::acquire(target, wait, cancel, watch) {
        Ok(taken) => taken,
        Err(error) => return finish(target, record, Err(error), begun),
    };
    record.wait_ms = ms_since(begun);
    // Must precede our own announcement, which replaces the killed exporter's: if this process is
    // killed here, the next one still finds it.
    if let Some(abandoned) = abandoned {
        watch.notice(&format!(
            "a former exporter (pid {}) was killed; clearing what it left",
            abandoned.pid
        ));
        if let Err(error) = record_killed_attempt(target, &abandoned) {
            watch.notice(&format!("the killed attempt could not be recorded: {error}"));
        }
    }
    record.id = next_id(target, now);
    watch.event(&ExportEvent::Begins { id: &record.id });
    let generation = announced.unwrap_or_else(|| record.id.clone());
    let mut watch = ProgressRecorder::new(
        lock,
        RunningExport::begin(target, &record.id, generation, now),
        watch,
    );
    let watch: &mut dyn Progress = &mut watch;
    watch.step(ExportStep::Recover);
    let recovered = recover(target.local())
        .map(|notices| notices.iter().for_each(|notice| watch.notice(notice)));
    let result = recovered.map_err(ExportError::from).and_then(|()| work(watch, &mut record));
    watch.step(ExportStep::Record);
    let finished = finish(target, record, result, begun);
    // A held export changes nothing.
    if let Some(job) =
        job.filter(|_| finished.error.is_none() && finished.record.outcome != AttemptOutcome::Held)
    {
        watch.step(ExportStep::Prune);
        // The lakehouse has had different content since the rollback, so the content that was
        // rolled back may be published again.
        if let Err(error) = RollbackState::clear(target) {
            watch.notice(&format!("the record of rollbacks could not be removed: {error}"));
        }
        let pruned = match target.lake() {
            None => prune(target.local(), job.keep).map(drop).map_err(|source| {
                ExportError::io("clear", &target.local().generations_dir(), source)
            }),
            // The next export to a lake starts from this one generation of the local file; older
            // ones are not needed.
            Some(lake) => lake::prune(target, lake, job.keep).and_then(|()| {
                let kept = prune_unread(target.local(), 1);
                kept.map(drop).map_err(|source| {
                    ExportError::io("clear", &target.local().generations_dir(), source)
                })
            }),
        };
        if let Err(error) = pruned {
            watch.notice(&format!("old generations could not be removed: {error}"));
        }
    }
    finished
}

fn finish(
    target: &Store,
    mut record: AttemptRecord,
    result: Result<AttemptOutcome, ExportError>,
    begun: Instant,
) -> AttemptResult {
    let error = result.map(|outcome| record.outcome = outcome).err();
    if let Some(error) = &error {
        record.outcome = error.outcome();
        record.error = Some(error.to_string());
    }
    record.ended_at = Timestamp::now();
    record.total_ms = ms_since(begun);
    // An exporter that does not own a lake is no concern of the one that does.
    let is_outsider = matches!(error, Some(ExportError::NotOwner { .. }));
    let written = if is_outsider { target.append_locally(&record) } else { target.append(&record) };
    let unrecorded = written.err();
    let unrecorded = unrecorded.map(|error| {
        std::io::Error::new(
            error.kind(),
            format!("{}: {error}", target.local().history_path().display()),
        )
    });
    AttemptResult { record, error, unrecorded }
}

/// Returns an id later than every attempt and every generation so far, the running attempt
/// included.
///
/// If the clock went backwards, there is still room for one id just before it, for a served file
/// that is imported; see [`super::previous`].
fn next_id(target: &Store, now: Timestamp) -> GenerationId {
    let kept = target
        .generation_ids()
        .unwrap_or_default()
        .pop()
        .max(target.local().generation_ids().unwrap_or_default().pop());
    let tried =
        target.newest_attempts().unwrap_or_default().into_iter().map(|record| record.id).max();
    let trying = target.running().ok().flatten().map(|running| running.id);
    let room = kept
        .max(tried)
        .max(trying)
        .map(|newest| GenerationId::after(Timestamp::UNIX_EPOCH, Some(&newest)));
    GenerationId::after(now, room.as_ref())
}
