//! Decides what the next generation may reuse of the served one: all of it, some tables, or
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::{
    CancellationToken, ExportError, ExportJob, Progress, ResourceLimits,
    concurrent::join,
    engine::Engine,
    fingerprint::{FORMAT_VERSION, Fingerprint, blocks},
    plan::{ExportPlan, TablePlan},
    row_groups::UnchangedRows,
    seal, snapshot,
    stage::StagedFile,
    state::DatabaseState,
};
use crate::store::Manifest;
use crate::store::{FileStore, IncrementalState};
use crate::{digest::DigestBuilder, files, store::Store};

/// Largest accepted share of free space inside an exported file. Above it everything is copied,
/// which leaves no free space.
const MAX_FREE_RATIO: f64 = 0.3;
/// Free space below this size is accepted whatever its share.
const MIN_FREE_BYTES: u64 = 4 << 20;
/// Smallest share of unchanged values for which reusing the served file is worthwhile.
const MIN_REUSE_RATIO: f64 = 0.1;
/// Share of values in dropped tables above which their space is freed first.
const VACUUM_RATIO: f64 = 0.02;

/// The action for every table.
#[derive(Debug, Clone)]
pub(super) enum ReuseDecision<'a> {
    /// The served generation equals the result of an export.
    Unchanged(&'a Manifest),
    /// Start from the served generation and reuse these tables, and the unchanged rows of others.
    Keep(&'a Manifest, BTreeSet<String>, BTreeMap<String, UnchangedRows>),
    /// Copy everything, for the given reason.
    Full(String),
}

/// The action for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableAction {
    pub table: String,
    /// Reused from the served generation instead of copied.
    pub reused: bool,
    pub why: String,
}

/// Returns a digest of everything besides the lakehouse on which the content of tables depends.
pub(super) fn environment_digest(engine: &Engine, job: &ExportJob) -> Result<String, ExportError> {
    let engine = engine.query_strings("SELECT version()", &[])?;
    let mut text = DigestBuilder::new();
    for part in [
        env!("CARGO_PKG_VERSION"),
        &FORMAT_VERSION.to_string(),
        &engine.join(" "),
        &job.schema.to_lowercase(),
        &job.sources.digest(),
        &job.sources.time_zone,
    ] {
        text.add(part);
    }
    // A file has the lakehouse's own types.
    if job.target.is_lake() && !job.lake.casts.is_empty() {
        text.add_json(&job.lake.casts);
    }
    Ok(text.add_json(&job.storage_version).digest())
}

/// Identity and times of the lakehouse file together with the export's settings, by which later
/// exports recognize a lakehouse that was not written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LakehouseStamp(String);

impl LakehouseStamp {
    /// Formats a state; `None` if part of the lakehouse is in a log.
    pub(super) fn of(state: &DatabaseState, job: &ExportJob) -> Option<Self> {
        let orders: Vec<_> = job
            .tables
            .iter()
            .map(|(name, table)| (name, &table.order_by))
            .filter(|(_, order)| !order.is_empty())
            .collect();
        let digest = DigestBuilder::new().add(&state.format_main()).add_json(&orders).digest();
        (!state.has_log()).then_some(Self(digest))
    }

    /// Formats a state for comparison with later ones, given the time at which writers were
    /// admitted again; `None` if a write after that time could leave the file's times unchanged.
    pub(super) fn into_persistable(
        state: &DatabaseState,
        job: &ExportJob,
        released: SystemTime,
    ) -> Option<String> {
        let stamp = Self::of(state, job)?;
        state.is_settled_at(released).then_some(stamp.0)
    }

    pub(super) fn is(&self, recorded: Option<&String>) -> bool {
        recorded == Some(&self.0)
    }
}

/// Returns the served generation if it is as published and this export may reuse part of it,
/// otherwise the reason.
pub(super) fn check_reusable<'a>(
    job: &ExportJob,
    served: Option<&'a Manifest>,
    recipe: &str,
) -> Result<(&'a Manifest, &'a IncrementalState), String> {
    if job.full {
        return Err("a full export was requested".to_owned());
    }
    let Some(manifest) = served else { return Err("nothing is served yet".to_owned()) };
    let Some(basis) = &manifest.basis else {
        return Err("what is served was not exported by this version of materia".to_owned());
    };
    if basis.recipe != recipe {
        return Err("materia, DuckDB, the time zone, the schema or the storage version is another one than in the last export".to_owned());
    }
    if !is_as_published(&job.target, manifest, basis) {
        return Err("the served file was changed after it was published".to_owned());
    }
    Ok((manifest, basis))
}

/// Returns whether the served file has its recorded size and time, and no writer's log next to it.
fn is_as_published(target: &Store, manifest: &Manifest, basis: &IncrementalState) -> bool {
    let path = target.local().served_path();
    let as_published = |metadata: fs::Metadata| {
        metadata.len() == manifest.bytes && modified_ns(&metadata) == Some(basis.modified_ns)
    };
    let has_log = !files::wal_files(path).is_empty();
    fs::metadata(path).is_ok_and(as_published) && !has_log
}

/// Returns whether every table has a fingerprint: a lakehouse that was not written since has the
/// same content.
pub(super) fn is_recognisable(manifest: &Manifest) -> bool {
    manifest.tables.iter().all(|table| table.fingerprint.is_some())
}

/// Compares the lakehouse with the served generation. `unchanged_rows` looks for unchanged rows in
/// the tables that are not the same.
pub(super) fn decide<'a, E>(
    plan: &ExportPlan,
    fingerprints: &[Fingerprint],
    (manifest, basis): (&'a Manifest, &'a IncrementalState),
    unchanged_rows: impl FnOnce(&BTreeSet<String>) -> Result<BTreeMap<String, UnchangedRows>, E>,
) -> Result<ReuseDecision<'a>, E> {
    if manifest.storage_version.as_ref() != Some(&plan.storage_version) {
        return Ok(ReuseDecision::Full(
            "the storage version is another one than in the last export".to_owned(),
        ));
    }
    let is_same = |(table, fingerprint): &(&TablePlan, &Fingerprint)| {
        fingerprint
            .as_ref()
            .is_ok_and(|found| fingerprint_of(manifest, &table.name) == Some(&found.digest))
    };
    let same: BTreeSet<_> = plan
        .tables
        .iter()
        .zip(fingerprints)
        .filter(is_same)
        .map(|(table, _)| table.name.clone())
        .collect();
    if same.len() == plan.tables.len() && same.len() == manifest.tables.len() {
        return Ok(ReuseDecision::Unchanged(manifest));
    }
    if is_fragmented(basis.free_bytes, manifest.bytes) {
        return Ok(ReuseDecision::Full(
            "more than 30 % of the served file is free space".to_owned(),
        ));
    }
    let unchanged = unchanged_rows(&same)?;
    let kept = cell_count(manifest, |name| same.contains(name))
        + unchanged
            .iter()
            .filter_map(|(name, unchanged)| {
                Some(unchanged.rows as f64 * manifest.table(name)?.columns.len() as f64)
            })
            .sum::<f64>();
    if same.is_empty() && unchanged.is_empty()
        || kept < MIN_REUSE_RATIO * cell_count(manifest, |_| true)
    {
        return Ok(ReuseDecision::Full("nearly everything has changed".to_owned()));
    }
    Ok(ReuseDecision::Keep(manifest, same, unchanged))
}

/// Returns whether a generation has exactly the lakehouse's content, as far as fingerprints show.
pub(super) fn was_built_from(
    manifest: &Manifest,
    plan: &ExportPlan,
    fingerprints: &[Fingerprint],
    recipe: &str,
) -> bool {
    let is_same = |(table, fingerprint): (&TablePlan, &Fingerprint)| {
        fingerprint
            .as_ref()
            .is_ok_and(|found| fingerprint_of(manifest, &table.name) == Some(&found.digest))
    };
    manifest.schema == plan.schema
        && manifest.basis.as_ref().is_some_and(|basis| basis.recipe == recipe)
        && manifest.tables.len() == plan.tables.len()
        && plan.tables.iter().zip(fingerprints).all(is_same)
}

impl ReuseDecision<'_> {
    /// Returns the action for each of the plan's tables.
    pub(super) fn table_actions(
        &self,
        plan: &ExportPlan,
        fingerprints: &[Fingerprint],
    ) -> Vec<TableAction> {
        let of = |(index, table): (usize, &TablePlan)| {
            let kept = |served: &Manifest| (true, format!("unchanged since {}", served.id));
            let (reused, why) = match self {
                Self::Full(why) => (false, why.clone()),
                Self::Unchanged(served) => kept(served),
                Self::Keep(served, names, _) if names.contains(&table.name) => kept(served),
                Self::Keep(served, ..) => {
                    (false, why_copied(served, &table.name, fingerprints.get(index)))
                }
            };
            TableAction { table: table.name.clone(), reused, why }
        };
        plan.tables.iter().enumerate().map(of).collect()
    }
}

fn why_copied(served: &Manifest, name: &str, fingerprint: Option<&Fingerprint>) -> String {
    let is_new = served.table(name).is_none();
    match (fingerprint, fingerprint_of(served, name)) {
        _ if is_new => "new".to_owned(),
        (Some(Err(why)), _) => format!("always copied: {why}"),
        (_, None) => "could not be recognised in the last export".to_owned(),
        (_, Some(_)) => "changed".to_owned(),
    }
}

fn fingerprint_of<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a String> {
    manifest.table(name)?.fingerprint.as_ref()
}

/// Copies the served generation to the staged path and verifies its content while copying; `None`
/// if it is not as it was published.
pub(super) fn copy_served(
    job: &ExportJob,
    manifest: &Manifest,
    to: PathBuf,
) -> Result<Option<StagedFile>, ExportError> {
    let staged = StagedFile::begin(to);
    let from = job.target.local().generation_path(&manifest.id);
    let problem = |source: io::Error| match source.kind() {
        io::ErrorKind::Interrupted => ExportError::Interrupted,
        _ => ExportError::io("copy the served generation to", &staged.path, source),
    };
    let source = File::open(&from).map_err(|source| ExportError::io("open", &from, source))?;
    let copy = File::create_new(&staged.path).map_err(problem)?;
    let (content, copied) = join(
        || blocks::hash_file(&source, &job.limits, &job.cancel),
        || {
            snapshot::reflink(&source, &copy)
                .or_else(|_| snapshot::copy_bytes(&source, &copy, &job.cancel))
        },
    );
    let content = copied.and(content).map_err(problem)?;
    let as_published = manifest.basis.as_ref().is_some_and(|basis| basis.content == content);
    Ok(as_published.then_some(staged))
}

/// Returns whether the tables that are not reused take so much space that it should be freed before
/// anything is copied. Freeing it costs writing the catalog once more; otherwise the next export
/// uses the space.
pub(super) fn should_vacuum(manifest: &Manifest, table_actions: &[TableAction]) -> bool {
    let kept: BTreeSet<_> = table_actions
        .iter()
        .filter(|table_action| table_action.reused)
        .map(|table_action| table_action.table.as_str())
        .collect();
    cell_count(manifest, |name| !kept.contains(name))
        > VACUUM_RATIO * cell_count(manifest, |_| true)
}

/// Returns the number of values in the selected tables, an estimate of their share of the file's
/// bytes.
fn cell_count(manifest: &Manifest, of: impl Fn(&str) -> bool) -> f64 {
    manifest
        .tables
        .iter()
        .filter(|table| of(&table.name))
        .map(|table| table.rows as f64 * table.columns.len() as f64)
        .sum()
}

/// Returns whether the file has too much free space inside to be published. Copying everything
/// leaves none.
pub(super) fn is_too_fragmented(staged: &StagedFile) -> bool {
    is_fragmented(staged.free_bytes, staged.bytes)
}

fn is_fragmented(free: u64, bytes: u64) -> bool {
    free > MIN_FREE_BYTES && free as f64 > bytes as f64 * MAX_FREE_RATIO
}

/// Returns the state of a finished staged file that the next export needs.
pub(super) fn basis(
    staged: &StagedFile,
    recipe: String,
    lakehouse: Option<String>,
    job: &ExportJob,
) -> Result<IncrementalState, ExportError> {
    let modified = fs::metadata(&staged.path).map(|metadata| modified_ns(&metadata));
    let modified_ns = modified.and_then(|modified| {
        modified.ok_or_else(|| io::Error::other("its time of change is before 1970"))
    });
    let modified_ns =
        modified_ns.map_err(|source| ExportError::io("read", &staged.path, source))?;
    let content = seal::hash(&staged.path, &job.limits, &job.cancel)?;
    Ok(IncrementalState {
        recipe,
        checks: job.checks_digest(),
        lakehouse,
        content,
        modified_ns,
        free_bytes: staged.free_bytes,
    })
}

/// Restores the publishing time of the served file and its generation if a copy of the folder lost
/// it and the bytes are the same: exports recognize the files by that time.
pub(super) fn restore_times(
    target: &FileStore,
    manifest: &Manifest,
    cancel: &CancellationToken,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    let Some(basis) = &manifest.basis else { return Ok(()) };
    for path in [target.served_path().to_path_buf(), target.generation_path(&manifest.id)] {
        let restored = (|| {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            if modified_ns(&metadata) == Some(basis.modified_ns) || metadata.len() != manifest.bytes
            {
                return Ok(false);
            }
            if blocks::hash_file(&file, &ResourceLimits::default(), cancel)? != basis.content {
                return Ok(false);
            }
            file.set_modified(UNIX_EPOCH + Duration::from_nanos(basis.modified_ns)).map(|()| true)
        })();
        match restored {
            Ok(false) => {}
            Ok(true) => watch.notice(&format!(
                "{} was copied and contains what was published: its modification time was restored",
                path.display()
            )),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(ExportError::Interrupted);
            }
            Err(error) => watch.notice(&format!(
                "{} cannot be given its time of publication: {error}",
                path.display()
            )),
        }
    }
    Ok(())
}

fn modified_ns(metadata: &fs::Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok()
}
