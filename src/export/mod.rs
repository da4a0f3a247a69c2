//! Publishing the lakehouse's serving schema: lock, snapshot, plan, stage, audit, publish,
//! generations, history.
//!
//! Each step takes the previous one's value and returns the next one's. Whatever an attempt
//! returns, and at whatever point the process dies, the served file is a complete generation.

mod allowed_files;
mod attached;
mod attempt;
mod audit;
mod build;
mod concurrent;
mod content;
mod diff;
mod diff_text;
mod dry_run;
mod engine;
mod error;
mod export_lock;
mod fingerprint;
mod forecast;
mod header;
mod incremental;
mod job;
mod lake;
mod lakehouse;
mod metrics;
mod observer;
mod outside;
mod plan;
mod previous;
mod probe;
mod progress;
mod publish;
mod remedy;
mod revision;
mod rewrite;
mod row_groups;
mod scratch;
mod seal;
mod snapshot;
mod sources;
mod stage;
mod stage_lakehouse;
mod state;
mod statement;

use std::time::{Duration, Instant};

use crate::cancel::CancellationToken;
pub use diff::{GenerationDiff, TableChange, TableDiff, diff};
pub use dry_run::dry_run;
pub use engine::{ResourceLimits, check as check_limits};
pub use error::{ExportError, LakehouseError};
pub use forecast::{SnapshotForecast, forecast_snapshot};
pub use incremental::TableAction;
pub use job::{AttemptResult, DryRun, ExportJob, LakeOptions};
pub use lake::{
    CheckDepth, LakeCheck, LakeDamage, MigrationPlan, check_lake, dry_run_migrate, migrate,
};
pub use metrics::write_metrics;
pub use plan::{ExportPlan, TablePlan};
pub use probe::lakehouse_problem;
pub use progress::{ExportEvent, NoProgress, Progress};
pub use sources::{Origin, Sources};

use self::{attempt::run_attempt, build::BuildOutcome, scratch::ScratchDir, snapshot::ms_since};
use crate::store::{
    AttemptOutcome, AttemptRecord, ExportStep, GenerationId, RollbackRequest, RollbackState,
    ServedState, Store, hold_message,
};

/// Publishes the lakehouse's serving schema as a new generation, or explains why not, and records
/// the attempt. Unchanged tables are reused from the served generation; if no table has changed,
/// nothing is published.
///
/// Whatever this returns, and at whatever point the process dies, a complete generation is served.
pub fn export(job: &ExportJob, watch: &mut dyn Progress) -> AttemptResult {
    let finished =
        run_attempt(&job.target, Some(job), job.wait, &job.cancel, None, watch, |watch, record| {
            match job.target.lake() {
                Some(lake) => lake::export(job, lake, record, watch),
                None => export_file(job, record, watch),
            }
        });
    // A history that is too long does no harm, and the next export tries again.
    if let Some(keep) = job.history {
        let _ = job.target.trim_history(keep);
    }
    finished
}

fn export_file(
    job: &ExportJob,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<AttemptOutcome, ExportError> {
    let mut previous = build::previous(job, record, watch)?;
    record.previous.clone_from(&previous.served);
    let rollbacks = RollbackState::load(&job.target)?;
    if let Some(hold) = rollbacks.hold_on(previous.served.as_ref()) {
        return Ok(record.hold(hold_message(hold)));
    }
    previous.withheld = rollbacks.withheld(previous.served.as_ref()).cloned().collect();
    let work = ScratchDir::begin(job.target.local().work())?;
    let (outcome, manifest) = match build::build_candidate(
        job,
        &previous,
        previous.manifest.as_ref(),
        &work,
        record,
        watch,
    )? {
        BuildOutcome::Unchanged(manifest) => (AttemptOutcome::Unchanged, manifest),
        BuildOutcome::Published(manifest) => (AttemptOutcome::Published, manifest),
        BuildOutcome::Held(why) => return Ok(record.hold(why)),
    };
    record.generation = Some(manifest.id);
    Ok(outcome)
}

/// Serves a retained generation again, by the same atomic swap, and records the attempt.
///
/// `requested` is a generation's id or a prefix of it; without it, the newest generation older than
/// the served one is chosen.
pub fn rollback(
    target: &Store,
    requested: Option<&str>,
    wait: Duration,
    cancel: &CancellationToken,
    watch: &mut dyn Progress,
) -> AttemptResult {
    let request = RollbackRequest {
        generation: requested.map(str::to_owned),
        hold: false,
        by: "materia rollback".to_owned(),
    };
    run_rollback(target, &request, wait, cancel, watch)
}

/// Serves a retained generation again, as [`rollback`] does, and withholds the content that was
/// rolled back: exports do not publish it until the lakehouse has held different content, or until
/// [`release`].
pub fn run_rollback(
    target: &Store,
    request: &RollbackRequest,
    wait: Duration,
    cancel: &CancellationToken,
    watch: &mut dyn Progress,
) -> AttemptResult {
    let chosen = choose(target, request.generation.as_deref());
    let announced = chosen.as_ref().ok().cloned();
    run_attempt(target, None, wait, cancel, announced, watch, |watch, record| {
        let id = chosen?;
        if let Some(lake) = target.lake() {
            // A concurrent export that held the lock before us may have pruned it.
            let id = target.find(id.as_str())?;
            let manifest = lake::roll_back((target, lake), (&id, request), cancel, record, watch)?;
            record.set_served(manifest);
            record.generation = Some(id);
            return Ok(AttemptOutcome::RolledBack);
        }
        if target.served()? == ServedState::Generation(id.clone()) {
            return Err(ExportError::BadGeneration {
                id,
                why: "it is the one being served".to_owned(),
            });
        }
        // A concurrent export that held the lock before us may have pruned it.
        let manifest =
            previous::verify_generation(target.local(), &target.find(id.as_str())?, cancel)?;
        let previous = previous::previous(target.local(), &manifest.schema, cancel, record, watch)?;
        let publishing = Instant::now();
        watch.step(ExportStep::Manifest);
        RollbackState::load(target)?
            .after(previous.manifest.as_ref(), &id, request)
            .save(target)?;
        record.previous = previous.served;
        publish::restore(&id, target.local(), watch)?;
        record.publish_ms = ms_since(publishing);
        record.set_served(manifest);
        record.generation = Some(id);
        Ok(AttemptOutcome::RolledBack)
    })
}

/// Ends a rollback's hold, so that exports may publish the content again, and records it.
pub fn release(
    target: &Store,
    wait: Duration,
    cancel: &CancellationToken,
    watch: &mut dyn Progress,
) -> AttemptResult {
    run_attempt(target, None, wait, cancel, None, watch, |watch, record| {
        if let ServedState::Generation(id) = target.served()? {
            record.previous = Some(id);
        }
        watch.step(ExportStep::Manifest);
        RollbackState::clear(target)?;
        Ok(AttemptOutcome::Released)
    })
}

/// Returns the id of the generation to roll back to.
fn choose(target: &Store, requested: Option<&str>) -> Result<GenerationId, ExportError> {
    if let Some(requested) = requested {
        return Ok(target.find(requested)?);
    }
    let ids = target.generation_ids()?;
    let older = match target.served()? {
        ServedState::Generation(served) => ids.iter().rev().find(|id| **id < served),
        ServedState::Missing | ServedState::Foreign => ids.last(),
    };
    older.cloned().ok_or_else(|| ExportError::NoGeneration {
        requested: String::new(),
        kept: ids.iter().map(ToString::to_string).collect(),
    })
}
