//! Publishing the lakehouse's serving schema: lock, snapshot, plan, stage, audit, publish, generations, history.
//!
//! Each step takes the former's value and returns the next one's. Whatever an attempt returns, and wherever the process dies, the
//! served file is a whole generation.

mod adopt;
mod audit;
mod cancel;
mod dashboards;
mod engine;
mod error;
mod generations;
mod history;
mod lakehouse;
mod metrics;
mod plan;
mod publish;
mod snapshot;
mod stage;
mod turn;
mod watch;
mod work;

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use audit::{Audit, Verdict};
pub use cancel::Cancel;
pub use engine::Limits;
pub use error::{ExportError, Unreadable};
pub use generations::{Generation, Manifest, TableManifest, find, list as generations, manifest, pin, unpin};
pub use history::{Outcome, Record, Source, TableRecord, read as history, read_with_losses as history_with_losses};
use jiff::Timestamp;
pub use metrics::write_metrics;
pub use plan::{Column, Kind, Plan, TablePlan};
pub use snapshot::How;
pub use turn::{Running, running};
pub use watch::{Event, Step, Unwatched, Watch};

use self::{
    engine::Engine,
    lakehouse::Lakehouse,
    snapshot::{Snapshot, ms, ms_since},
    stage::Staged,
    turn::{Announcing, Turn},
    work::Work,
};
use crate::{
    dashboard::Dashboards,
    files,
    settings::{Settings, SnapshotMode, SqlAudit, TableSettings},
    target::{GenerationId, Served, Target},
};

/// Everything one export needs to know.
#[derive(Debug, Clone)]
pub struct Job {
    /// The pipeline's file.
    pub lakehouse: PathBuf,
    /// What is served.
    pub target: Target,
    /// The schema to publish.
    pub schema: String,
    /// How long to wait for the lakehouse, and for another exporter.
    pub wait: Duration,
    /// How to read the lakehouse.
    pub snapshot: SnapshotMode,
    /// How many generations to keep.
    pub keep: usize,
    /// The largest share of its rows that a table may lose.
    pub max_drop: f64,
    /// Bounds on memory and threads.
    pub limits: Limits,
    /// Overrides the lakehouse's storage version.
    pub storage_version: Option<String>,
    /// Keeps the staged file of a refused export.
    pub keep_refused: bool,
    /// Publishes although checks fail.
    pub force: bool,
    /// What is asked of single tables.
    pub tables: std::collections::BTreeMap<String, TableSettings>,
    /// Checks in SQL.
    pub audits: Vec<SqlAudit>,
    /// Dashboards that must be answerable from what is published.
    pub dashboards: Dashboards,
    /// Stops the attempt from outside.
    pub cancel: Cancel,
}

impl Job {
    /// The export that the settings ask for, whatever the dashboards.
    ///
    /// # Errors
    /// The served path is a loop of links.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let export = settings.export.clone();
        Ok(Self {
            lakehouse: settings.lakehouse.clone(),
            target: Target::new(&settings.serving)?,
            schema: export.schema,
            wait: export.wait,
            snapshot: export.snapshot,
            keep: export.keep,
            max_drop: export.max_drop,
            limits: Limits { memory: export.memory_limit, threads: export.threads },
            storage_version: export.storage_version,
            keep_refused: export.keep_refused,
            force: false,
            tables: export.tables,
            audits: export.audits,
            dashboards: Dashboards::default(),
            cancel: Cancel::default(),
        })
    }
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// As it stands in the history.
    pub record: Record,
    /// Why it did not publish.
    pub error: Option<ExportError>,
    /// Why it could not be recorded, where it could not.
    pub unrecorded: Option<io::Error>,
}

/// What an export would do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Rehearsal {
    /// What would be exported.
    pub plan: Plan,
    /// The checks that would be made.
    pub audits: Vec<String>,
    /// The lakehouse.
    pub lakehouse: Source,
    /// The generation that is served now.
    pub previous: Option<GenerationId>,
    /// Bytes left where the export would be written.
    pub space_left: Option<u64>,
}

/// Publishes the lakehouse's serving schema as a new generation, or explains why not, and records the attempt.
///
/// Whatever this returns, and wherever the process dies, the served file is a whole generation.
pub fn export(job: &Job, watch: &mut dyn Watch) -> Finished {
    attempt(&job.target, Some(job), job.wait, &job.cancel, None, watch, |watch, record| {
        publish::check_unheld(&job.target)?;
        turn::check_name(&job.target, &job.schema)?;
        let previous = adopt::previous(&job.target, &job.schema, &job.cancel, record, watch)?;
        let work = Work::begin(job.target.work())?;
        let (plan, mut staged, read_at) = read_lakehouse(job, &work, record, watch)?;
        record.tables = table_records(&staged, previous.as_ref());

        watch.step(Step::Audit);
        let auditing = Instant::now();
        let mut verdict = {
            let engine = Engine::alone(&staged.path, &job.limits, &work.spill(), &job.cancel)?;
            audit::audit(&engine, &staged, &plan, previous.as_ref(), job)?
        };
        verdict.audits.extend(dashboards::audit(&staged, &plan.schema, job, &work)?);
        record.audit_ms = ms_since(auditing);
        record.audits_passed = verdict.audits.iter().filter(|audit| audit.passed).count();
        record.audits_failed = verdict.audits.iter().filter(|audit| !audit.passed).cloned().collect();
        record.forced = verdict.refusals().next().is_some() && job.force;
        if let Err(refused) = verdict.allows(job.force) {
            set_aside(job, &mut staged, watch);
            return Err(refused);
        }

        let publishing = Instant::now();
        let manifest = describe(record, &plan, &staged, read_at, verdict);
        job.cancel.check()?;
        publish::publish(staged, &job.target, &manifest, watch)?;
        record.publish_ms = ms_since(publishing);
        record.generation = Some(manifest.id);
        Ok(Outcome::Published)
    })
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
    drop(engine);
    snapshot.release();
    let previous = match generations::served(&job.target)? {
        Served::Generation(id) => Some(id),
        Served::Missing | Served::Foreign => None,
    };
    let before = previous.as_ref().and_then(|id| manifest(&job.target, id));
    Ok(Rehearsal {
        audits: audit::planned(&plan, before.as_ref(), job),
        lakehouse: Source { path: job.lakehouse.clone(), bytes, version: Some(plan.storage_version.clone()) },
        previous,
        space_left: files::space_left(job.target.folder()).ok(),
        plan,
    })
}

/// The frame of every attempt: its turn, its identity, its record.
fn attempt(
    target: &Target,
    job: Option<&Job>,
    wait: Duration,
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
        history::remember(target, &abandoned, watch);
    }
    record.id = next_id(target, now);
    watch.event(&Event::Begins { id: &record.id });
    let generation = announced.unwrap_or_else(|| record.id.clone());
    let mut watch = Announcing::new(turn, Running::begin(target, &record.id, generation, now), watch);
    let watch: &mut dyn Watch = &mut watch;
    watch.step(Step::Recover);
    let result = generations::recover(target).and_then(|()| work(watch, &mut record));
    watch.step(Step::Record);
    let finished = conclude(target, record, result, begun);
    if let Some(job) = job.filter(|_| finished.error.is_none()) {
        watch.step(Step::Prune);
        if let Err(error) = generations::prune(target, job.keep) {
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
    Finished { record, error, unrecorded }
}

/// An id later than every attempt and every generation there has been, the attempt that is at work included.
///
/// Where the clock went backwards there is still room for one just before it: for what is found being served, see [`adopt`].
fn next_id(target: &Target, now: Timestamp) -> GenerationId {
    let kept = target.generation_ids().unwrap_or_default().pop();
    let tried = history::read(target).unwrap_or_default().into_iter().map(|record| record.id).max();
    let trying = turn::running(target).ok().flatten().map(|running| running.id);
    let room = kept.max(tried).max(trying).map(|newest| GenerationId::after(Timestamp::UNIX_EPOCH, Some(&newest)));
    GenerationId::after(now, room.as_ref())
}

/// From the lakehouse to a closed staged file, and when its data was read; the pipeline is free again when this returns.
fn read_lakehouse(job: &Job, work: &Work, record: &mut Record, watch: &mut dyn Watch) -> Result<(Plan, Staged, Timestamp), ExportError> {
    // Starting DuckDB takes a while: not while the pipeline is kept out.
    let engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    watch.step(Step::Wait);
    let lakehouse = match Lakehouse::wait(&job.lakehouse, job.wait, &job.cancel, watch) {
        Err(ExportError::LakehouseBusy { path, holder, waited }) => {
            record.wait_ms += ms(waited);
            return Err(ExportError::LakehouseBusy { path, holder, waited });
        }
        lakehouse => lakehouse?,
    };
    record.wait_ms += ms(lakehouse.waited);
    if let Some(source) = &mut record.lakehouse {
        source.bytes = lakehouse.bytes;
    }
    if let Some(unfinished) = lakehouse.unfinished() {
        watch.notice(&unfinished);
    }
    watch.step(Step::Snapshot);
    let snapshot = Snapshot::take(lakehouse, job.snapshot, work, &job.cancel, watch)?;
    record.snapshot = Some(snapshot.how);
    record.blocked_ms = ms(snapshot.blocked());
    let (staging, read_at) = (Instant::now(), Timestamp::now());
    watch.step(Step::Plan);
    let plan = Plan::make(&engine, &snapshot, job)?;
    if let Some(source) = &mut record.lakehouse {
        source.version = Some(plan.lakehouse_version.clone());
    }
    let staged = stage::stage(&engine, &plan, job.target.staged(), watch)?;
    // DuckDB's descriptors close before our lock goes: the lock is what keeps the pipeline out.
    drop(engine);
    record.blocked_ms = ms(snapshot.release());
    record.stage_ms = ms_since(staging);
    record.bytes = staged.bytes;
    Ok((plan, staged, read_at))
}

fn table_records(staged: &Staged, previous: Option<&Manifest>) -> Vec<TableRecord> {
    let before = |name: &str| previous?.tables.iter().find(|table| table.name == name).map(|table| table.rows);
    let record = |table: &stage::StagedTable| TableRecord {
        name: table.name.clone(),
        rows: table.rows,
        previous_rows: before(&table.name),
        ms: table.ms,
    };
    staged.tables.iter().map(record).collect()
}

fn describe(record: &Record, plan: &Plan, staged: &Staged, read_at: Timestamp, audits: Verdict) -> Manifest {
    let tables = plan.tables.iter().zip(&staged.tables).map(|(table, copied)| TableManifest {
        name: table.name.clone(),
        kind: table.kind,
        rows: copied.rows,
        comment: table.comment.clone(),
        columns: table.columns.clone(),
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
