//! Publishing the lakehouse's serving schema: lock, snapshot, plan, stage, audit, publish, generations, history.
//!
//! Each step takes the former's value and returns the next one's. Whatever an attempt returns, and wherever the process dies, the
//! served file is a whole generation.

mod adopt;
mod attempt;
mod audit;
mod beside;
mod cancel;
mod content;
mod dashboards;
mod engine;
mod error;
mod fingerprint;
mod generations;
mod header;
mod history;
mod job;
mod lake;
mod lakehouse;
mod make;
mod metrics;
mod plan;
mod publish;
mod read;
mod recall;
mod reuse;
mod seal;
mod snapshot;
mod stage;
mod turn;
mod watch;
mod work;

use std::time::{Duration, Instant};

pub use audit::{Audit, Verdict};
pub use cancel::Cancel;
pub use engine::Limits;
pub use error::{ExportError, Unreadable};
pub use generations::{Generation, Manifest, TableManifest, before, find, list as generations, manifest, pin, unpin, what as served};
pub use history::{Outcome, Record, Source, TableRecord, confirmed, read as history, read_with_losses as history_with_losses};
pub use job::{Finished, Job, Rehearsal};
pub use lake::migrate;
pub use metrics::write_metrics;
pub use plan::{Column, Kind, Plan, TablePlan};
pub use reuse::{Basis, Treatment};
pub use snapshot::How;
pub use turn::{Running, running};
pub use watch::{Event, Step, Unwatched, Watch};

use self::{
    attempt::attempt,
    engine::Engine,
    lakehouse::Lakehouse,
    make::Made,
    snapshot::{Snapshot, ms_since},
    work::Work,
};
use crate::{
    files,
    target::{GenerationId, Served, Target},
};

/// Publishes the lakehouse's serving schema as a new generation, or explains why not, and records the attempt. Tables that have not
/// changed are taken over from the served generation; where none has, it stays.
///
/// Whatever this returns, and wherever the process dies, what is served is a whole generation.
pub fn export(job: &Job, watch: &mut dyn Watch) -> Finished {
    attempt(&job.target, Some(job), job.wait, &job.cancel, None, watch, |watch, record| match job.target.lake() {
        Some(lake) => lake::export(job, lake, record, watch),
        None => export_file(job, record, watch),
    })
}

fn export_file(job: &Job, record: &mut Record, watch: &mut dyn Watch) -> Result<Outcome, ExportError> {
    let previous = make::previous(job, record, watch)?;
    record.previous.clone_from(&previous.served);
    let work = Work::begin(job.target.work())?;
    let (outcome, manifest) = match make::make(job, &previous, previous.manifest.as_ref(), &work, record, watch)? {
        Made::Unchanged(manifest) => (Outcome::Unchanged, manifest),
        Made::Published(manifest) => (Outcome::Published, manifest),
    };
    record.generation = Some(manifest.id);
    Ok(outcome)
}

/// Serves a kept generation again, by the same swap, and records it.
///
/// `asked` is a generation's id or its beginning; without it, the newest one older than the served one is taken.
pub fn rollback(target: &Target, asked: Option<&str>, wait: Duration, cancel: &Cancel, watch: &mut dyn Watch) -> Finished {
    let chosen = choose(target, asked);
    let announced = chosen.as_ref().ok().cloned();
    attempt(target, None, wait, cancel, announced, watch, |watch, record| {
        let id = chosen?;
        if let Some(lake) = target.lake() {
            // An export that we waited for may have pruned it.
            let id = find(target, id.as_str())?;
            let manifest = lake::roll_back(target, lake, &id, cancel, record, watch)?;
            record.served(manifest);
            record.generation = Some(id);
            return Ok(Outcome::RolledBack);
        }
        if generations::served(target)? == Served::Generation(id.clone()) {
            return Err(ExportError::BadGeneration { id, why: "it is the one being served".to_owned() });
        }
        // An export that we waited for may have pruned it.
        let manifest = adopt::verify(target, &find(target, id.as_str())?, cancel)?;
        record.previous = adopt::previous(target, &manifest.schema, cancel, record, watch)?.served;
        let publishing = Instant::now();
        publish::restore(&id, target, watch)?;
        record.publish_ms = ms_since(publishing);
        record.served(manifest);
        record.generation = Some(id);
        Ok(Outcome::RolledBack)
    })
}

/// Finds out what an export would do, without writing anything. The lakehouse is held only while its catalog is read.
///
/// # Errors
/// As [`export`] up to its plan.
pub fn rehearse(job: &Job, watch: &mut dyn Watch) -> Result<Rehearsal, ExportError> {
    turn::check_place(&job.target, Some(&job.lakehouse))?;
    let lakehouse = Lakehouse::wait(&job.lakehouse, job.wait, &job.cancel, watch)?;
    let bytes = lakehouse.bytes;
    let engine = Engine::start(&job.limits, &job.target.work().join("spill"), &job.cancel)?;
    let snapshot = Snapshot::in_place(lakehouse)?;
    let plan = Plan::make(&engine, &snapshot, job)?;
    let of = |target: &Target| -> Result<Option<GenerationId>, ExportError> {
        Ok(match generations::served(target)? {
            Served::Generation(id) => Some(id),
            Served::Missing | Served::Foreign => None,
        })
    };
    let (previous, file) = (of(&job.target)?, of(&job.target.file())?);
    let before = previous.as_ref().and_then(|id| manifest(&job.target, id));
    let held = file.as_ref().and_then(|id| manifest(&job.target.file(), id));
    let treatments = read::foresee(&engine, &snapshot, &plan, held.as_ref(), job)?;
    drop(engine);
    snapshot.release();
    Ok(Rehearsal {
        audits: audit::planned(&plan, before.as_ref(), job),
        lakehouse: Source { path: job.lakehouse.clone(), bytes, version: Some(plan.storage_version.clone()) },
        previous,
        space_left: files::space_left(job.target.folder()).ok(),
        treatments,
        plan,
    })
}

/// The generation to roll back to.
fn choose(target: &Target, asked: Option<&str>) -> Result<GenerationId, ExportError> {
    if let Some(asked) = asked {
        return find(target, asked);
    }
    let ids = generations::ids(target)?;
    let older = match generations::served(target)? {
        Served::Generation(served) => ids.iter().rev().find(|id| **id < served),
        Served::Missing | Served::Foreign => ids.last(),
    };
    older.cloned().ok_or_else(|| ExportError::NoGeneration { asked: String::new(), kept: ids.iter().map(ToString::to_string).collect() })
}
