//! Migrates the served generation between a file and a lake. The source remains unchanged.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use super::{LakePublish, types, writer};
use crate::store::{
    AttemptOutcome, AttemptRecord, ExportStep, GenerationId, Manifest, Publisher, TableManifest,
    TableRecord,
};
use crate::{
    export::{
        AttemptResult, ExportError, ExportJob, ExportPlan, Progress,
        attempt::run_attempt,
        audit,
        engine::{self, Engine},
        incremental::TableAction,
        plan::STAGED_CATALOG,
        previous, publish,
        revision::Baseline,
        scratch::ScratchDir,
        seal::{self, Audited},
        snapshot::ms_since,
        stage::{self, StagingBase},
    },
    sql,
    store::{ServedState, Store, lake::Lake},
};

/// Publishes the generation served by `from` to the job's target, one of the two being a lake,
/// compares every value and records the attempt at the target. Readers follow their settings, so
/// they stay on the source until the settings change.
pub fn migrate(from: &Store, job: &ExportJob, watch: &mut dyn Progress) -> AttemptResult {
    run_attempt(&job.target, None, job.wait, &job.cancel, None, watch, |watch, record| {
        let publishing = Instant::now();
        let manifest = match (from.lake(), job.target.lake()) {
            (None, Some(lake)) => into_lake(from, lake, job, record, watch)?,
            (Some(lake), None) => into_file(lake, job, record, watch)?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(same_kind_error(&job.target));
            }
        };
        record.publish_ms = ms_since(publishing);
        record.bytes = manifest.bytes;
        record.schema = Some(manifest.schema);
        record.generation = Some(manifest.id);
        for table in &mut record.tables {
            table.why =
                format!("equal to what {} serves, value for value", from.display_name().display());
        }
        Ok(AttemptOutcome::Migrated)
    })
}

/// What a migration would copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationPlan {
    pub generation: GenerationId,
    pub tables: Vec<PlannedTable>,
    /// Columns that a lake stores as another type.
    pub converted: Vec<String>,
}

/// A table that a migration would copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTable {
    pub name: String,
    pub rows: u64,
}

/// Determines what [`migrate`] would do, and writes nothing.
///
/// # Errors
/// As [`migrate`], except for errors of copying.
pub fn dry_run_migrate(from: &Store, job: &ExportJob) -> Result<MigrationPlan, ExportError> {
    let mut manifest = match (from.lake(), job.target.lake()) {
        (None, Some(_)) => {
            let ServedState::Generation(id) = from.served()? else {
                return Err(nothing_served_error(from));
            };
            from.manifest(&id).ok_or_else(|| nothing_served_error(from))?
        }
        (Some(lake), None) => lake.served()?.ok_or_else(|| nothing_served_error(from))?.manifest,
        (Some(_), Some(_)) | (None, None) => return Err(same_kind_error(&job.target)),
    };
    let mut converted = Vec::new();
    if let Some(lake) = job.target.lake() {
        super::ensure_owner(job, lake, Some(&Publisher::current(Some(&job.lakehouse))))?;
        for (table, columns) in types::adapt_manifest(&mut manifest, &job.lake.casts)? {
            converted.extend(columns.into_iter().map(|types::Converted { column, from, to }| {
                format!("{table}.{column} ({from}) is stored as {to}")
            }));
        }
    }
    let table = |table: &TableManifest| PlannedTable { name: table.name.clone(), rows: table.rows };
    Ok(MigrationPlan {
        generation: manifest.id,
        tables: manifest.tables.iter().map(table).collect(),
        converted,
    })
}

fn same_kind_error(target: &Store) -> ExportError {
    let why = "it is the same kind of place as what is served; from a lake one moves to a file, from a file to a lake".to_owned();
    ExportError::Target { path: target.display_name(), why }
}

fn nothing_served_error(from: &Store) -> ExportError {
    let why = format!(
        "{} serves nothing that materia published; run `materia export` first",
        from.display_name().display()
    );
    ExportError::Target { path: from.display_name(), why }
}

fn into_lake(
    from: &Store,
    lake: &Lake,
    job: &ExportJob,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Manifest, ExportError> {
    let ServedState::Generation(id) = from.served()? else {
        return Err(nothing_served_error(from));
    };
    let mut manifest = previous::verify_generation(from.local(), &id, &job.cancel)?;
    record.publisher = Some(Publisher::current(Some(&job.lakehouse)));
    record.took_over = super::ensure_owner(job, lake, record.publisher.as_ref())?;
    manifest.publisher.clone_from(&record.publisher);
    if record.took_over.is_some() {
        // The newest generation has the owner.
        manifest.id.clone_from(&record.id);
    }
    let served = lake.served()?.map(|commit| commit.manifest);
    record.previous = served.as_ref().map(|served| served.id.clone());
    let work = ScratchDir::begin(job.target.local().work())?;
    let file = from.local().generation_path(&id);
    let shipment = LakePublish {
        job,
        lake,
        file: &file,
        manifest: &manifest,
        served: served.as_ref(),
        compare_all: true,
    };
    shipment.publish(&work, record, watch)?;
    Ok(manifest)
}

fn into_file(
    lake: &Lake,
    job: &ExportJob,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Manifest, ExportError> {
    let target = &job.target;
    let commit = lake.served()?.ok_or_else(|| ExportError::Target {
        path: lake.name().into(),
        why: "it serves nothing yet".to_owned(),
    })?;
    publish::ensure_not_open_for_write(target.local())?;
    record.previous =
        previous::previous(target.local(), &commit.manifest.schema, &job.cancel, record, watch)?
            .served;
    let work = ScratchDir::begin(target.local().work())?;
    let frozen = lake.freeze(commit.snapshot, &commit.manifest.schema)?;
    let engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    engine.attach_snapshot(lake, &frozen, writer::OLD_CATALOG)?;

    let mut plan = ExportPlan::of(&commit.manifest);
    writer::OLD_CATALOG.clone_into(&mut plan.catalog);
    if plan.storage_version.is_empty() {
        "v1.0.0".clone_into(&mut plan.storage_version);
    }
    let table_action =
        |table: &str| TableAction { table: table.to_owned(), reused: false, why: String::new() };
    let table_actions: Vec<_> = plan.tables.iter().map(|table| table_action(&table.name)).collect();
    let staged = stage::copy_tables(
        &engine,
        &plan,
        &table_actions,
        StagingBase::Empty(target.local().staged()),
        watch,
    )?;
    let staged = stage::checkpoint_and_close(&engine, &plan, None, staged, watch)?;

    let content = seal::hash(&staged.path, &job.limits, &job.cancel)?;
    watch.step(ExportStep::Verify);
    engine.execute_batch(&engine::attach(&staged.path, STAGED_CATALOG, "READ_ONLY"))?;
    for table in &plan.tables {
        let digest = |catalog: &str| {
            writer::digest(&engine, &sql::path(&[catalog, &plan.schema, &table.name]))
        };
        if digest(STAGED_CATALOG)? != digest(writer::OLD_CATALOG)? {
            let why = format!(
                "{} came out of the lake with other values, which must not happen; nothing was published",
                table.name
            );
            return Err(ExportError::Target { path: target.display_name(), why });
        }
    }
    engine.execute_batch(&format!("DETACH {STAGED_CATALOG}"))?;
    let bare = ExportJob {
        tables: BTreeMap::default(),
        audits: Vec::new(),
        checks: Vec::new(),
        ..job.clone()
    };
    let verdict = audit::run_audit(
        &staged.path,
        staged.tables.iter().map(|table| table.rows),
        &plan,
        &Baseline::default(),
        &bare,
        &work,
    )?;
    record.judge(&verdict, &ExportJob { force: false, ..bare })?;
    let line = |(table, staged): (&crate::export::TablePlan, &stage::StagedTable)| TableRecord {
        name: table.name.clone(),
        rows: staged.rows,
        ms: staged.ms,
        ..TableRecord::default()
    };
    record.tables = plan.tables.iter().zip(&staged.tables).map(line).collect();
    // The target may have a generation with this id that was exported from the lakehouse.
    let manifest = Manifest {
        id: record.id.clone(),
        bytes: staged.bytes,
        storage_version: Some(plan.storage_version.clone()),
        basis: None,
        publisher: None,
        ..commit.manifest
    };
    let audited = Audited { bytes: manifest.bytes, content: &content, job };
    publish::publish(staged, target.local(), &manifest, &audited, watch)?;
    Ok(manifest)
}
