//! Publishing the lakehouse's serving schema: lock, snapshot, plan, stage, audit, publish, generations, history.
//!
//! Each step takes the former's value and returns the next one's. Whatever an attempt returns, and wherever the process dies, the
//! served file is a whole generation.

mod adopt;
mod allowed_files;
mod attached;
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
mod observer;
mod outcome;
mod outside;
mod plan;
mod probe;
mod publish;
mod read;
mod recall;
mod rehearse;
mod reuse;
mod revision;
mod rewrite;
mod rollbacks;
mod seal;
mod snapshot;
mod sources;
mod stage;
mod state;
mod statement;
mod turn;
mod watch;
mod way_out;
mod work;

use std::time::{Duration, Instant};

pub use audit::{Audit, Verdict};
pub use cancel::Cancel;
pub use engine::{Limits, check as check_limits};
pub use error::{ExportError, Unreadable};
pub use generations::{Generation, Manifest, TableManifest, before, find, list as generations, manifest, pin, unpin, what as served};
pub use history::{Outcome, Record, Source, TableRecord, confirmed, read as history, read_with_losses as history_with_losses};
pub use job::{Finished, Job, Rehearsal};
pub use lake::migrate;
pub use metrics::write_metrics;
pub use plan::{Column, Kind, Plan, TablePlan};
pub use probe::lakehouse_problem;
pub use rehearse::rehearse;
pub use reuse::{Basis, Treatment};
pub use revision::{CellRevision, ColumnRevision, Revision, Shift};
pub use rollbacks::{Hold, OlderServed, RollbackRequest, RollbackState, RolledAway, older_served};
pub use snapshot::How;
pub use sources::{Origin, Sources};
pub use turn::{Running, running};
pub use watch::{Event, Step, Unwatched, Watch};
pub use way_out::WayOut;

use self::{attempt::attempt, make::Made, snapshot::ms_since, work::Work};
use crate::target::{GenerationId, Served, Target};

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
    let mut previous = make::previous(job, record, watch)?;
    record.previous.clone_from(&previous.served);
    let rollbacks = RollbackState::load(&job.target)?;
    if let Some(hold) = rollbacks.hold_on(previous.served.as_ref()) {
        return Ok(record.hold(rollbacks::held_by(hold)));
    }
    previous.withheld = rollbacks.withheld(previous.served.as_ref()).cloned().collect();
    let work = Work::begin(job.target.work())?;
    let (outcome, manifest) = match make::make(job, &previous, previous.manifest.as_ref(), &work, record, watch)? {
        Made::Unchanged(manifest) => (Outcome::Unchanged, manifest),
        Made::Published(manifest) => (Outcome::Published, manifest),
        Made::Held(why) => return Ok(record.hold(why)),
    };
    record.generation = Some(manifest.id);
    Ok(outcome)
}

/// Serves a kept generation again, by the same swap, and records it.
///
/// `asked` is a generation's id or its beginning; without it, the newest one older than the served one is taken.
pub fn rollback(target: &Target, asked: Option<&str>, wait: Duration, cancel: &Cancel, watch: &mut dyn Watch) -> Finished {
    let request = RollbackRequest { generation: asked.map(str::to_owned), hold: false, by: "materia rollback".to_owned() };
    roll_back(target, &request, wait, cancel, watch)
}

/// Serves a kept generation again, as [`rollback`] does. What was rolled away from is remembered: exports do not publish it again until the
/// lakehouse has held something else, or until [`release`].
pub fn roll_back(target: &Target, request: &RollbackRequest, wait: Duration, cancel: &Cancel, watch: &mut dyn Watch) -> Finished {
    let chosen = choose(target, request.generation.as_deref());
    let announced = chosen.as_ref().ok().cloned();
    attempt(target, None, wait, cancel, announced, watch, |watch, record| {
        let id = chosen?;
        if let Some(lake) = target.lake() {
            // An export that we waited for may have pruned it.
            let id = find(target, id.as_str())?;
            let manifest = lake::roll_back((target, lake), (&id, request), cancel, record, watch)?;
            record.served(manifest);
            record.generation = Some(id);
            return Ok(Outcome::RolledBack);
        }
        if generations::served(target)? == Served::Generation(id.clone()) {
            return Err(ExportError::BadGeneration { id, why: "it is the one being served".to_owned() });
        }
        // An export that we waited for may have pruned it.
        let manifest = adopt::verify(target, &find(target, id.as_str())?, cancel)?;
        let previous = adopt::previous(target, &manifest.schema, cancel, record, watch)?;
        let publishing = Instant::now();
        watch.step(Step::Manifest);
        RollbackState::load(target)?.after(previous.manifest.as_ref(), &id, request).save(target)?;
        record.previous = previous.served;
        publish::restore(&id, target, watch)?;
        record.publish_ms = ms_since(publishing);
        record.served(manifest);
        record.generation = Some(id);
        Ok(Outcome::RolledBack)
    })
}

/// Lets exports publish again what a rollback held back, and records it.
pub fn release(target: &Target, wait: Duration, cancel: &Cancel, watch: &mut dyn Watch) -> Finished {
    attempt(target, None, wait, cancel, None, watch, |watch, record| {
        if let Served::Generation(id) = generations::served(target)? {
            record.previous = Some(id);
        }
        watch.step(Step::Manifest);
        RollbackState::clear(target)?;
        Ok(Outcome::Released)
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
