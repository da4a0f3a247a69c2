//! Moving what is served to another kind of place, a file's generation into a lake or a lake's into a file. Where it comes from stays as it is.

use std::{collections::BTreeMap, time::Instant};

use super::{Shipment, writer};
use crate::{
    dashboard::Dashboards,
    export::{
        ExportError, Finished, Job, Manifest, Outcome, Plan, Record, Step, TableRecord, Watch, adopt,
        attempt::attempt,
        audit, engine,
        engine::Engine,
        generations,
        plan::STAGED,
        publish,
        reuse::Treatment,
        revision::Baseline,
        seal::{self, Audited},
        snapshot::ms_since,
        stage::{self, Start},
        work::Work,
    },
    lake::Lake,
    sql,
    target::{Served, Target},
};

/// Publishes what `from` serves to the job's target, where one of the two is a lake, compares every table value for value, and records it there.
/// Readers follow their settings: they are where they were until somebody changes those.
pub fn migrate(from: &Target, job: &Job, watch: &mut dyn Watch) -> Finished {
    attempt(&job.target, None, job.wait, &job.cancel, None, watch, |watch, record| {
        let publishing = Instant::now();
        let manifest = match (from.lake(), job.target.lake()) {
            (None, Some(lake)) => into_lake(from, lake, job, record, watch)?,
            (Some(lake), None) => into_file(lake, job, record, watch)?,
            (Some(_), Some(_)) | (None, None) => {
                let why =
                    "it is the same kind of place as what is served; from a lake one moves to a file, from a file to a lake".to_owned();
                return Err(ExportError::Target { path: job.target.name(), why });
            }
        };
        record.publish_ms = ms_since(publishing);
        record.bytes = manifest.bytes;
        record.schema = Some(manifest.schema);
        record.generation = Some(manifest.id);
        for table in &mut record.tables {
            table.why = format!("equal to what {} serves, value for value", from.name().display());
        }
        Ok(Outcome::Published)
    })
}

fn nothing(from: &Target) -> ExportError {
    let why = format!("{} serves nothing that materia published; run `materia export` first", from.name().display());
    ExportError::Target { path: from.name(), why }
}

fn into_lake(from: &Target, lake: &Lake, job: &Job, record: &mut Record, watch: &mut dyn Watch) -> Result<Manifest, ExportError> {
    let Served::Generation(id) = generations::served(from)? else { return Err(nothing(from)) };
    let manifest = adopt::verify(from, &id, &job.cancel)?;
    let served = lake.served()?.map(|commit| commit.manifest);
    record.previous = served.as_ref().map(|served| served.id.clone());
    let work = Work::begin(job.target.work())?;
    let file = from.generation(&id);
    let shipment = Shipment { job, lake, file: &file, manifest: &manifest, served: served.as_ref(), compare_all: true };
    shipment.ship(&work, record, watch)?;
    Ok(manifest)
}

fn into_file(lake: &Lake, job: &Job, record: &mut Record, watch: &mut dyn Watch) -> Result<Manifest, ExportError> {
    let target = &job.target;
    let commit = lake.served()?.ok_or_else(|| ExportError::Target { path: lake.name().into(), why: "it serves nothing yet".to_owned() })?;
    publish::check_unheld(target)?;
    record.previous = adopt::previous(target, &commit.manifest.schema, &job.cancel, record, watch)?.served;
    let work = Work::begin(target.work())?;
    let frozen = lake.freeze(commit.snapshot, &commit.manifest.schema)?;
    let engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    engine.open_frozen(lake, &frozen, writer::OLD)?;

    let mut plan = Plan::of(&commit.manifest);
    writer::OLD.clone_into(&mut plan.catalog);
    if plan.storage_version.is_empty() {
        "v1.0.0".clone_into(&mut plan.storage_version);
    }
    let treatment = |table: &str| Treatment { table: table.to_owned(), reused: false, why: String::new() };
    let treatments: Vec<_> = plan.tables.iter().map(|table| treatment(&table.name)).collect();
    let staged = stage::fill(&engine, &plan, &treatments, Start::Empty(target.staged()), watch)?;
    let staged = stage::close(&engine, &plan, None, staged, watch)?;

    let content = seal::hash(&staged.path, job)?;
    watch.step(Step::Verify);
    engine.quick(&engine::attach(&staged.path, STAGED, "READ_ONLY"))?;
    for table in &plan.tables {
        let digest = |catalog: &str| writer::digest(&engine, &sql::path(&[catalog, &plan.schema, &table.name]));
        if digest(STAGED)? != digest(writer::OLD)? {
            let why = format!("{} came out of the lake with other values, which must not happen; nothing was published", table.name);
            return Err(ExportError::Target { path: target.name(), why });
        }
    }
    engine.quick(&format!("DETACH {STAGED}"))?;
    let bare = Job { tables: BTreeMap::default(), audits: Vec::new(), dashboards: Dashboards::default(), ..job.clone() };
    let verdict = audit::make(&staged.path, staged.tables.iter().map(|table| table.rows), &plan, &Baseline::default(), &bare, &work)?;
    record.judge(&verdict, &Job { force: false, ..bare })?;
    let line = |(table, staged): (&crate::export::TablePlan, &stage::StagedTable)| TableRecord {
        name: table.name.clone(),
        rows: staged.rows,
        ms: staged.ms,
        ..TableRecord::default()
    };
    record.tables = plan.tables.iter().zip(&staged.tables).map(line).collect();
    // A generation of that id may be kept there, made from the lakehouse itself.
    let manifest = Manifest {
        id: record.id.clone(),
        bytes: staged.bytes,
        storage_version: Some(plan.storage_version.clone()),
        basis: None,
        ..commit.manifest
    };
    let audited = Audited { bytes: manifest.bytes, content: &content, job };
    publish::publish(staged, target, &manifest, &audited, watch)?;
    Ok(manifest)
}
