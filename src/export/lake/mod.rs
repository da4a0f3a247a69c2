//! Publishing to a lake. The local file is built and audited as if it were served; then one
//! transaction copies the differing tables into the lake, compares them value for value, and
//! commits: one snapshot is one generation. If the caller passed checks, such as that of the
//! dashboards, readers follow the snapshot only after it has passed them, too: until then it is a
//! candidate. The lake has the former generation's tables again if it fails.
//!
//! The pipeline is blocked while the file is built, but not during network transfers. If an export
//! cannot commit, the next one does: it finds the file up to date and the lake outdated.

mod candidate;
mod check;
mod migrate;
mod retention;
mod types;
mod writer;

use std::{collections::BTreeMap, path::Path, time::Instant};

pub use self::check::{CheckDepth, LakeCheck, LakeDamage, check_lake};
pub use self::migrate::{MigrationPlan, dry_run_migrate, migrate};
use self::writer::LakeTransaction;
pub(super) use self::{retention::prune, types::adapt_plan};
use super::{
    CancellationToken, ExportError, ExportJob, ExportPlan, Progress, ResourceLimits,
    build::{self, BuildOutcome},
    engine,
    plan::STAGED_CATALOG,
    scratch::ScratchDir,
    snapshot::ms_since,
};
use crate::store::{
    AttemptOutcome, AttemptRecord, ExportStep, Manifest, Publisher, RollbackRequest, RollbackState,
    TableRecord, hold_message,
};
use crate::{
    sql,
    store::{
        GenerationId, Store,
        lake::{
            DamagedFile, DataFile, FrozenCatalog, GENERATION_TABLE, GenerationSnapshot, Lake,
            LakeError, LakeState, describe_damage,
        },
    },
};

/// Exports to a lake.
pub(super) fn export(
    job: &ExportJob,
    lake: &Lake,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<AttemptOutcome, ExportError> {
    // Queried before anything blocks the pipeline.
    let served = lake.served()?.map(|commit| commit.manifest);
    record.previous = served.as_ref().map(|served| served.id.clone());
    lake.check_data_path()?;
    record.took_over = ensure_owner(job, lake, record.publisher.as_ref())?;
    let rollbacks = RollbackState::load(&job.target)?;
    if let Some(hold) = rollbacks.hold_on(record.previous.as_ref()) {
        return Ok(record.hold(hold_message(hold)));
    }
    let mut previous = build::previous(job, record, watch)?;
    previous.withheld = rollbacks.withheld(record.previous.as_ref()).cloned().collect();
    let work = ScratchDir::begin(job.target.local().work())?;
    let made = match build::build_candidate(job, &previous, served.as_ref(), &work, record, watch)?
    {
        BuildOutcome::Held(why) => return Ok(record.hold(why)),
        BuildOutcome::Unchanged(manifest) | BuildOutcome::Published(manifest) => manifest,
    };
    if let Some(served) =
        served.as_ref().filter(|served| {
            !job.full && record.took_over.is_none() && served.has_same_content(&made)
        })
        && let Some(found) = lake.find(&made.schema)?
        // Another exporter may have published meanwhile.
        && found.served.as_ref().is_some_and(|now| now.manifest.id == served.id)
        && found.is_as_published()
        && find_damage(lake, &served_files(lake, Some(&found))?)?.is_empty()
    {
        record.bytes = served.bytes;
        record.tables.clear();
        record.generation = Some(served.id.clone());
        return Ok(AttemptOutcome::Unchanged);
    }
    let publishing = Instant::now();
    let manifest =
        Manifest { id: record.id.clone(), publisher: record.publisher.clone(), ..made.clone() };
    let shipment = LakePublish {
        job,
        lake,
        file: &job.target.local().generation_path(&made.id),
        manifest: &manifest,
        served: served.as_ref(),
        compare_all: false,
    };
    shipment.publish(&work, record, watch)?;
    record.publish_ms += ms_since(publishing);
    record.generation = Some(manifest.id);
    Ok(AttemptOutcome::Published)
}

/// Refuses a lake that another machine or lakehouse fills, unless the export takes it over. Returns
/// the former owner if so.
pub(super) fn ensure_owner(
    job: &ExportJob,
    lake: &Lake,
    own: Option<&Publisher>,
) -> Result<Option<Publisher>, ExportError> {
    let (Some(owner), Some(own)) = (lake.owner()?, own) else { return Ok(None) };
    if owner.is_same_source(own) {
        return Ok(None);
    }
    if !job.lake.take_over {
        let (lake, own) = (job.target.display_name(), Box::new(own.clone()));
        return Err(ExportError::NotOwner { lake, owner: Box::new(owner), own });
    }
    Ok(Some(owner))
}

/// A local generation that is being published to a lake.
struct LakePublish<'a> {
    job: &'a ExportJob,
    lake: &'a Lake,
    file: &'a Path,
    manifest: &'a Manifest,
    /// The generation against which it was audited.
    served: Option<&'a Manifest>,
    /// Also compares the values of tables that are already in the lake.
    compare_all: bool,
}

impl LakePublish<'_> {
    /// Copies the tables that the lake does not have yet, and commits.
    fn publish(
        &self,
        work: &ScratchDir,
        record: &mut AttemptRecord,
        watch: &mut dyn Progress,
    ) -> Result<(), ExportError> {
        let Self { job, lake, manifest, served, .. } = *self;
        let mut manifest = manifest.clone();
        let converted = types::adapt_manifest(&mut manifest, &job.lake.casts)?;
        let manifest = &manifest;
        watch.step(ExportStep::Upload);
        let found = lake.find(&manifest.schema)?;
        let now = found.as_ref().and_then(|found| found.served.as_ref());
        if now.map(|commit| &commit.manifest.id) != served.map(|served| &served.id) {
            // The generation that the audits compared with is no longer the served one.
            let by = now
                .map(|commit| format!(" (generation {})", commit.manifest.id))
                .unwrap_or_default();
            return Err(ExportError::Conflict { lake: job.target.display_name(), by });
        }
        let files = served_files(lake, found.as_ref())?;
        let damage = find_damage(lake, &files)?;
        report_damage(&damage, watch);
        let writer = LakeTransaction::begin(
            lake,
            &manifest.schema,
            found.as_ref(),
            (&job.limits, &work.spill(), &job.cancel),
        )?;
        writer.engine.execute_batch(&engine::attach(self.file, STAGED_CATALOG, "READ_ONLY"))?;
        let plan = ExportPlan::of(manifest);
        let treated: Vec<_> = manifest
            .tables
            .iter()
            .map(|table| {
                let why = match damage.get(&table.name) {
                    Some(damaged) => Err(describe_damage(damaged)),
                    None => reuse_reason(job, &table.name, manifest, found.as_ref()),
                };
                (&table.name, why)
            })
            .collect();
        let of = treated.iter().filter(|(_, why)| why.is_err()).count();
        let (mut written, mut compared, mut records) = (0, Vec::new(), Vec::new());
        for (table, (name, why)) in plan.tables.iter().zip(&treated) {
            let mut from = sql::path(&[STAGED_CATALOG, &manifest.schema, name]);
            if let Some(columns) = converted.get(*name) {
                from = format!("({})", types::cast_query(&from, columns));
            }
            let before = served.and_then(|served| served.table(name));
            let mut line = TableRecord {
                name: (*name).clone(),
                previous_rows: before.map(|before| before.rows),
                ..TableRecord::default()
            };
            match why {
                Ok(same) => {
                    (line.rows, line.reused, line.why) =
                        (before.map_or(0, |before| before.rows), true, same.clone());
                }
                Err(differs) => {
                    (line.rows, line.ms) =
                        writer.replace_table(table, &from, (written, of), watch)?;
                    line.why.clone_from(differs);
                    written += 1;
                }
            }
            if why.is_err() || self.compare_all {
                compared.push(((*name).clone(), from));
            }
            records.push(line);
        }
        for name in writer.tables()?.iter().filter(|name| manifest.table(name).is_none()) {
            writer.remove(name)?;
        }
        watch.step(ExportStep::Verify);
        let digests = writer.verify(manifest, &compared)?;
        let mut manifest = manifest.clone();
        for table in &mut manifest.tables {
            table.values = digests
                .get(&table.name)
                .cloned()
                .or_else(|| served.and_then(|served| served.table(&table.name)?.values.clone()));
        }
        // The catalog itself is not read again, since the transaction may have its file locked.
        let is_kept = |file: &&DataFile| {
            file.schema == manifest.schema
                && records.iter().any(|line| line.reused && line.name == file.table)
        };
        let kept: Vec<_> = files.iter().filter(is_kept).cloned().collect();
        ensure_undamaged(lake, &kept)?;
        record.tables = records;
        record.bytes = manifest.bytes;
        if job.checks.is_empty() {
            return writer.commit(&manifest, watch);
        }
        writer.commit_candidate(&manifest)?;
        candidate::check_and_publish(
            (job, lake),
            &manifest,
            found.and_then(|found| found.served).as_ref(),
            work,
            record,
            watch,
        )
    }
}

/// Returns the data files of the served generation.
fn served_files(lake: &Lake, found: Option<&LakeState>) -> Result<Vec<DataFile>, ExportError> {
    match found.and_then(|found| found.served.as_ref()) {
        Some(commit) => Ok(lake.data_files(commit.snapshot, &commit.manifest.schema)?),
        None => Ok(Vec::new()),
    }
}

/// Returns the damaged data files by table. The table that identifies the generation is included.
fn find_damage(
    lake: &Lake,
    files: &[DataFile],
) -> Result<BTreeMap<String, Vec<DamagedFile>>, ExportError> {
    let mut damage: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in lake.find_damaged_files(files)? {
        let name = if file.schema == GENERATION_TABLE[0] {
            GENERATION_TABLE.join(".")
        } else {
            file.table.clone()
        };
        damage.entry(name).or_default().push(file);
    }
    Ok(damage)
}

fn report_damage(damage: &BTreeMap<String, Vec<DamagedFile>>, watch: &mut dyn Progress) {
    for damaged in damage.values() {
        watch.notice(&format!("{}; it is rewritten", describe_damage(damaged)));
    }
}

/// Refuses to commit if data of reused tables was lost since the export began.
fn ensure_undamaged(lake: &Lake, kept: &[DataFile]) -> Result<(), ExportError> {
    if kept.is_empty() {
        return Ok(());
    }
    let lost = lake.find_damaged_files(kept)?;
    if lost.is_empty() {
        return Ok(());
    }
    Err(LakeError::DataLost { lake: lake.name().to_owned(), why: describe_damage(&lost) }.into())
}

/// Returns why a table is reused from the lake, or why it is copied.
fn reuse_reason(
    job: &ExportJob,
    name: &str,
    manifest: &Manifest,
    found: Option<&LakeState>,
) -> Result<String, String> {
    let Some((found, served)) =
        found.and_then(|found| Some((found, &found.served.as_ref()?.manifest)))
    else {
        return Err("nothing is served yet".to_owned());
    };
    let recipe = |manifest: &Manifest| manifest.basis.as_ref().map(|basis| basis.recipe.clone());
    let (now, Some(before)) = (manifest.table(name), served.table(name)) else {
        return Err("new".to_owned());
    };
    let same = now.is_some_and(|now| now.has_same_content(before));
    if job.full {
        Err("a full export was requested".to_owned())
    } else if recipe(served).is_none() || recipe(served) != recipe(manifest) {
        Err("materia, DuckDB, the time zone or the schema is another one than in the last export"
            .to_owned())
    } else if !same && before.fingerprint.is_none() && before.content.is_none() {
        Err("it cannot be recognised, and is always copied".to_owned())
    } else if !same {
        Err("changed".to_owned())
    } else if !found.has_as_published(name) {
        Err("it was changed in the lake after it was published".to_owned())
    } else {
        Ok(format!("unchanged since {}", served.id))
    }
}

/// Serves a retained generation again, as a new snapshot with the content of the old one.
pub(super) fn roll_back(
    (target, lake): (&Store, &Lake),
    (id, request): (&GenerationId, &RollbackRequest),
    cancel: &CancellationToken,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Manifest, ExportError> {
    let bad = |why: &str| ExportError::BadGeneration { id: id.clone(), why: why.to_owned() };
    let commit = lake
        .commits()?
        .into_iter()
        .rfind(|commit| commit.manifest.id == *id)
        .ok_or_else(|| bad("it is not in the lake any more"))?;
    let GenerationSnapshot { snapshot, manifest, .. } = commit;
    let found = lake.find(&manifest.schema)?;
    let served = found
        .as_ref()
        .and_then(|found| found.served.as_ref())
        .map(|commit| commit.manifest.clone());
    if served.as_ref().is_some_and(|served| served.id == *id) {
        return Err(bad("it is the one being served"));
    }
    record.previous = served.as_ref().map(|served| served.id.clone());
    let publishing = Instant::now();
    watch.step(ExportStep::Upload);
    let frozen = lake.freeze(snapshot, &manifest.schema)?;
    let lost = lake.find_damaged_files(&frozen.files)?;
    if !lost.is_empty() {
        return Err(bad(&describe_damage(&lost)));
    }
    let damage = find_damage(lake, &served_files(lake, found.as_ref())?)?;
    report_damage(&damage, watch);
    let work = ScratchDir::begin(target.local().work())?;
    // Must precede the transaction: a SQLite catalog allows one writer at a time, and refuses a
    // commit if another has written since.
    RollbackState::load(target)?.after(served.as_ref(), id, request).save(target)?;
    let is_there = |name: &str| {
        let same = served.as_ref().is_some_and(|served| {
            served
                .table(name)
                .zip(manifest.table(name))
                .is_some_and(|(served, kept)| served.has_same_content(kept))
        });
        same && !damage.contains_key(name)
            && found.as_ref().is_some_and(|found| found.has_as_published(name))
    };
    let (limits, spill) = (ResourceLimits::default(), work.spill());
    let limits = (&limits, spill.as_path(), cancel);
    restore((lake, found.as_ref()), &frozen, &manifest, &is_there, limits, watch)?;
    record.publish_ms = ms_since(publishing);
    Ok(manifest)
}

/// Commits the content of an older snapshot as the newest one. Tables that are already there are
/// not copied.
fn restore(
    (lake, found): (&Lake, Option<&LakeState>),
    frozen: &FrozenCatalog,
    manifest: &Manifest,
    is_there: &dyn Fn(&str) -> bool,
    limits: (&ResourceLimits, &Path, &CancellationToken),
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    let writer = LakeTransaction::begin(lake, &manifest.schema, found, limits)?;
    writer.attach_snapshot(frozen)?;
    let plan = ExportPlan::of(manifest);
    let changed: Vec<_> = plan.tables.iter().filter(|table| !is_there(&table.name)).collect();
    let mut written = Vec::new();
    for (index, table) in changed.iter().enumerate() {
        let from = sql::path(&[writer::OLD_CATALOG, &manifest.schema, &table.name]);
        writer.replace_table(table, &from, (index, changed.len()), watch)?;
        written.push((table.name.clone(), from));
    }
    for name in writer.tables()?.iter().filter(|name| manifest.table(name).is_none()) {
        writer.remove(name)?;
    }
    watch.step(ExportStep::Verify);
    writer.verify(manifest, &written)?;
    writer.commit(manifest, watch)
}
