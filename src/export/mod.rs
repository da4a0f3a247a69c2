//! Publishing the lakehouse's serving schema: lock, snapshot, plan, stage, audit, publish, generations, history.
//!
//! Each step takes the former's value and returns the next one's. Whatever an attempt returns, and wherever the process dies, the
//! served file is a whole generation.

mod adopt;
mod attempt;
mod audit;
mod beside;
mod cancel;
mod dashboards;
mod engine;
mod error;
mod fingerprint;
mod generations;
mod header;
mod history;
mod job;
mod lakehouse;
mod metrics;
mod plan;
mod publish;
mod read;
mod reuse;
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
pub use generations::{Generation, Manifest, TableManifest, find, list as generations, manifest, pin, unpin};
pub use history::{Outcome, Record, Source, TableRecord, confirmed, read as history, read_with_losses as history_with_losses};
use jiff::Timestamp;
pub use job::{Finished, Job, Rehearsal};
pub use metrics::write_metrics;
pub use plan::{Column, Kind, Plan, TablePlan};
pub use reuse::{Basis, Treatment};
pub use snapshot::How;
pub use turn::{Running, running};
pub use watch::{Event, Step, Unwatched, Watch};

use self::{
    attempt::attempt,
    beside::side_by_side,
    engine::Engine,
    fingerprint::Fingerprint,
    lakehouse::Lakehouse,
    read::{Read, StagedRead},
    snapshot::{Snapshot, ms_since},
    stage::Staged,
    work::Work,
};
use crate::{
    files,
    target::{GenerationId, Served, Target},
};

/// Publishes the lakehouse's serving schema as a new generation, or explains why not, and records the attempt. Tables that have not
/// changed are taken over from the served generation; where none has, it stays.
///
/// Whatever this returns, and wherever the process dies, the served file is a whole generation.
pub fn export(job: &Job, watch: &mut dyn Watch) -> Finished {
    attempt(&job.target, Some(job), job.wait, &job.cancel, None, watch, |watch, record| {
        publish::check_unheld(&job.target)?;
        turn::check_name(&job.target, &job.schema)?;
        let previous = adopt::previous(&job.target, &job.schema, &job.cancel, record, watch)?;
        let work = Work::begin(job.target.work())?;
        let read = match read::read(job, &work, previous.as_ref(), record, watch)? {
            Read::Unchanged(served) => return confirm(job, served, &work, record, watch),
            Read::Staged(read) => read,
        };
        let StagedRead { plan, mut staged, recipe, stamp, read_at, fingerprints } = *read;
        record.tables = table_records(&staged, previous.as_ref());

        watch.step(Step::Audit);
        let auditing = Instant::now();
        let (basis, verdict) = side_by_side(
            || reuse::basis(&staged, recipe, stamp, job),
            || audit::make(&staged.path, staged.tables.iter().map(|table| table.rows), &plan, previous.as_ref(), job, &work),
        );
        let (verdict, basis) = (verdict?, basis?);
        record.audit_ms = ms_since(auditing);
        if let Err(refused) = record.judge(&verdict, job.force) {
            set_aside(job, &mut staged, watch);
            return Err(refused);
        }

        let publishing = Instant::now();
        let manifest = describe(record, &plan, &staged, &fingerprints, (read_at, basis), verdict);
        job.cancel.check()?;
        publish::publish(staged, &job.target, &manifest, watch)?;
        record.publish_ms = ms_since(publishing);
        record.generation = Some(manifest.id);
        Ok(Outcome::Published)
    })
}

/// Ends an export that found nothing to do: what is served is as fresh as the lakehouse. Checks are made again where they are others than
/// those it passed, or may come out differently although the data is the same.
fn confirm(job: &Job, served: &Manifest, work: &Work, record: &mut Record, watch: &mut dyn Watch) -> Result<Outcome, ExportError> {
    watch.step(Step::Audit);
    let auditing = Instant::now();
    let has_passed = served.basis.as_ref().is_some_and(|basis| basis.checks == job.checks()) && served.audits.refusals().next().is_none();
    let job = if has_passed { job.with_passing_checks_only() } else { job.clone() };
    record.audits_passed = served.audits.audits.iter().filter(|audit| audit.passed).count();
    if !has_passed || !job.tables.is_empty() || !job.audits.is_empty() {
        let path = job.target.generation(&served.id);
        let verdict = audit::make(&path, served.tables.iter().map(|table| table.rows), &Plan::of(served), Some(served), &job, work)?;
        record.judge(&verdict, job.force)?;
    }
    record.audit_ms = ms_since(auditing);
    record.bytes = served.bytes;
    record.generation = Some(served.id.clone());
    Ok(Outcome::Unchanged)
}

/// Serves a kept generation again, by the same swap, and records it.
///
/// `asked` is a generation's id or its beginning; without it, the newest one older than the served one is taken.
pub fn rollback(target: &Target, asked: Option<&str>, wait: Duration, cancel: &Cancel, watch: &mut dyn Watch) -> Finished {
    let chosen = choose(target, asked);
    let announced = chosen.as_ref().ok().cloned();
    attempt(target, None, wait, cancel, announced, watch, |watch, record| {
        let id = chosen?;
        if generations::served(target)? == Served::Generation(id.clone()) {
            return Err(ExportError::BadGeneration { id, why: "it is the one being served".to_owned() });
        }
        // An export that we waited for may have pruned it.
        let manifest = adopt::verify(target, &find(target, id.as_str())?, cancel)?;
        adopt::previous(target, &manifest.schema, cancel, record, watch)?;
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
    let previous = match generations::served(&job.target)? {
        Served::Generation(id) => Some(id),
        Served::Missing | Served::Foreign => None,
    };
    let before = previous.as_ref().and_then(|id| manifest(&job.target, id));
    let treatments = read::foresee(&engine, &snapshot, &plan, before.as_ref(), job)?;
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

fn table_records(staged: &Staged, previous: Option<&Manifest>) -> Vec<TableRecord> {
    let record = |table: &stage::StagedTable| TableRecord {
        name: table.treatment.table.clone(),
        rows: table.rows,
        previous_rows: previous.and_then(|previous| previous.table(&table.treatment.table)).map(|before| before.rows),
        ms: table.ms,
        reused: table.treatment.reused,
        why: table.treatment.why.clone(),
    };
    staged.tables.iter().map(record).collect()
}

fn describe(
    record: &Record,
    plan: &Plan,
    staged: &Staged,
    fingerprints: &[Fingerprint],
    (read_at, basis): (Timestamp, Basis),
    audits: Verdict,
) -> Manifest {
    let tables = plan.tables.iter().zip(&staged.tables).zip(fingerprints).map(|((table, copied), fingerprint)| TableManifest {
        name: table.name.clone(),
        kind: table.kind,
        rows: copied.rows,
        comment: table.comment.clone(),
        columns: table.columns.clone(),
        fingerprint: fingerprint.clone().ok(),
    });
    Manifest {
        id: record.id.clone(),
        exported_at: read_at,
        lakehouse: record.lakehouse.clone(),
        schema: plan.schema.clone(),
        storage_version: Some(plan.storage_version.clone()),
        bytes: staged.bytes,
        tables: tables.collect(),
        audits,
        forced: record.forced,
        materia: env!("CARGO_PKG_VERSION").to_owned(),
        basis: Some(basis),
    }
}

/// Keeps a refused file for inspection, where that was asked for.
fn set_aside(job: &Job, staged: &mut Staged, watch: &mut dyn Watch) {
    if !job.keep_refused {
        return;
    }
    let aside = job.target.refused();
    match std::fs::rename(&staged.path, &aside) {
        Ok(()) => {
            staged.keep();
            watch.notice(&format!("the refused file is kept as {}", aside.display()));
        }
        Err(error) => watch.notice(&format!("the refused file could not be kept: {error}")),
    }
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
