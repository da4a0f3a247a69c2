//! The kept generations: manifests, pins, pruning, and putting a killed exporter's leftovers in order.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    ExportError, Verdict,
    history::Source,
    lake,
    plan::{Column, Kind},
    reuse::Basis,
    revision::Revision,
    stage, work,
};
use crate::{
    files,
    target::{GenerationId, Served, Target},
};

/// What is known about a generation without opening it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The generation.
    pub id: GenerationId,
    /// When its data was read from the lakehouse.
    pub exported_at: jiff::Timestamp,
    /// What it was exported from; absent for a file that materia found already served.
    pub lakehouse: Option<Source>,
    /// The schema its tables are in.
    pub schema: String,
    /// The schemas of the lakehouse that they came from; none where it is the same one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The time zone in which views were evaluated; absent in manifests of former versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The oldest DuckDB that can read it.
    pub storage_version: Option<String>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Its tables.
    pub tables: Vec<TableManifest>,
    /// Every check and its result.
    #[serde(default)]
    pub audits: Verdict,
    /// How values differ from those of the generation served before; nothing where none was compared or none differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Published although checks failed.
    #[serde(default)]
    pub forced: bool,
    /// The materia that wrote it.
    pub materia: String,
    /// What a later export must know to take something over from it; absent for a file that materia found already served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// One table of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableManifest {
    /// Its name.
    pub name: String,
    /// What it was in the lakehouse.
    pub kind: Kind,
    /// Its rows.
    pub rows: u64,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// What its content is recognised by; absent for one that is always copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// A digest of what it holds; absent where its types cannot be hashed, or where an older materia exported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl TableManifest {
    /// Returns whether both hold the same, value for value and row for row, as far as that is recorded.
    pub(super) fn holds_as(&self, other: &Self) -> bool {
        let both = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        let described = |table: &Self| (table.name.clone(), table.kind, table.rows, table.comment.clone(), table.columns.clone());
        described(self) == described(other)
            && if self.content.is_some() && other.content.is_some() {
                self.content == other.content
            } else {
                both(&self.fingerprint, &other.fingerprint)
            }
    }
}

impl Manifest {
    /// What is known of a table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableManifest> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether both hold the same, value for value, as far as their tables can be recognised.
    pub(super) fn holds_as(&self, other: &Self) -> bool {
        let recipe = other.basis.as_ref().map(|basis| basis.recipe.as_str());
        self.id == other.id || self.is_made_of(&other.schema, recipe, &other.tables)
    }

    /// Whether it holds these tables, value for value, as far as they can be recognised.
    pub(super) fn is_made_of(&self, schema: &str, recipe: Option<&str>, tables: &[TableManifest]) -> bool {
        // Fingerprints say something only about tables that were made in the same way; contents always do.
        let comparable = recipe.is_some() && self.basis.as_ref().map(|basis| basis.recipe.as_str()) == recipe;
        let has_content = |tables: &[TableManifest]| tables.iter().all(|table| table.content.is_some());
        self.schema == schema
            && self.tables.len() == tables.len()
            && (comparable || (has_content(&self.tables) && has_content(tables)))
            && tables.iter().all(|table| self.table(&table.name).is_some_and(|kept| kept.holds_as(table)))
    }

    /// The rows of all its tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// A kept generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Its identity.
    pub id: GenerationId,
    /// Its manifest, unless it is missing or unreadable.
    pub manifest: Option<Manifest>,
    /// Whether it is the one being served.
    pub served: bool,
    /// Whether it is kept until unpinned.
    pub pinned: bool,
}

/// Every kept generation, newest first.
///
/// # Errors
/// The folder of generations or the served file cannot be looked at.
pub fn list(target: &Target) -> io::Result<Vec<Generation>> {
    if let Some(lake) = target.lake() {
        return lake::generations(lake);
    }
    let served = target.served()?;
    let mut ids = target.generation_ids()?;
    ids.reverse();
    let describe = |id: GenerationId| Generation {
        manifest: manifest(target, &id),
        served: served == Served::Generation(id.clone()),
        pinned: target.pin_mark(&id).exists(),
        id,
    };
    Ok(ids.into_iter().map(describe).collect())
}

/// One generation's manifest, if it can be read.
#[must_use]
pub fn manifest(target: &Target, id: &GenerationId) -> Option<Manifest> {
    if let Some(lake) = target.lake() {
        return lake.commits().ok()?.into_iter().rfind(|commit| commit.manifest.id == *id).map(|commit| commit.manifest);
    }
    serde_json::from_slice(&fs::read(target.manifest(id)).ok()?).ok()
}

/// What is known about the newest kept generation that is older than this one.
#[must_use]
pub fn before(target: &Target, id: &GenerationId) -> Option<Manifest> {
    match target.lake() {
        Some(lake) => lake
            .commits()
            .ok()?
            .into_iter()
            .map(|commit| commit.manifest)
            .filter(|manifest| manifest.id < *id)
            .max_by(|one, other| one.id.cmp(&other.id)),
        None => manifest(target, &ids(target).ok()?.into_iter().filter(|older| older < id).max()?),
    }
}

/// Finds a generation by its id or by a beginning that only one id has.
///
/// # Errors
/// [`ExportError::NoGeneration`], with what there is.
pub fn find(target: &Target, asked: &str) -> Result<GenerationId, ExportError> {
    let ids = ids(target)?;
    let mut alike = ids.iter().filter(|id| !asked.is_empty() && id.as_str().starts_with(asked));
    match (alike.next(), alike.next()) {
        (Some(id), None) => Ok(id.clone()),
        _ => Err(ExportError::NoGeneration { asked: asked.to_owned(), kept: ids.iter().map(ToString::to_string).collect() }),
    }
}

/// Keeps a generation until it is unpinned. Pinning twice is pinning once.
///
/// # Errors
/// There is no such generation, or its mark cannot be written.
pub fn pin(target: &Target, id: &GenerationId) -> Result<(), ExportError> {
    if let Some(lake) = target.lake() {
        return Ok(lake.pin(id)?);
    }
    let mark = target.pin_mark(id);
    fs::write(&mark, b"").map_err(|source| ExportError::io("write", &mark, source))?;
    // An export may have pruned it just before the mark was there.
    if !target.generation(id).exists() {
        let _ = fs::remove_file(&mark);
        return find(target, id.as_str()).map(drop);
    }
    Ok(())
}

/// Lets a generation be pruned again.
///
/// # Errors
/// Its mark cannot be removed.
pub fn unpin(target: &Target, id: &GenerationId) -> Result<(), ExportError> {
    if let Some(lake) = target.lake() {
        return Ok(lake.unpin(id)?);
    }
    let mark = target.pin_mark(id);
    files::remove_if_there(&mark).map_err(|source| ExportError::io("remove", &mark, source))
}

/// The ids of all generations that are kept, oldest first.
pub(super) fn ids(target: &Target) -> Result<Vec<GenerationId>, ExportError> {
    if let Some(lake) = target.lake() {
        let ids: BTreeSet<_> = lake.commits()?.into_iter().map(|commit| commit.manifest.id).collect();
        return Ok(ids.into_iter().collect());
    }
    target.generation_ids().map_err(|source| ExportError::io("read", &target.generations(), source))
}

/// What is served now.
pub(super) fn served(target: &Target) -> Result<Served, ExportError> {
    if let Some(lake) = target.lake() {
        return Ok(lake.served()?.map_or(Served::Missing, |commit| Served::Generation(commit.manifest.id)));
    }
    target.served().map_err(|source| ExportError::io("look at", target.served_path(), source))
}

/// What is served now: a generation, something else, or nothing.
///
/// # Errors
/// The served file, the folder of generations or the catalog of a lake cannot be looked at.
pub fn what(target: &Target) -> io::Result<Served> {
    served(target).map_err(|error| match error {
        ExportError::Io { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// Returns the newest generation before the served one whose content differs from it, or else the newest of all that do: without it there would
/// be nothing to roll back to. `all` is newest first. One whose content is not known counts as another.
pub(super) fn last_that_differs(all: &[Generation]) -> Option<GenerationId> {
    let served = all.iter().find(|generation| generation.served)?;
    let differs = |generation: &&Generation| match (&generation.manifest, &served.manifest) {
        (Some(kept), Some(served)) => !kept.holds_as(served),
        _ => generation.id != served.id,
    };
    let before = all.iter().filter(|generation| generation.id < served.id).find(differs);
    before.or_else(|| all.iter().find(differs)).map(|generation| generation.id.clone())
}

/// Removes all but the newest `keep` generations, the served one, the last one whose content differs from it, and the pinned ones; returns what was
/// removed.
pub(super) fn prune(target: &Target, keep: usize) -> io::Result<Vec<GenerationId>> {
    let all = list(target)?;
    let differs = last_that_differs(&all);
    remove(target, all, keep, differs.as_ref())
}

/// Removes all but the newest `keep` generations, the served one and the pinned ones of a file that nobody reads: there is nothing to roll back.
pub(super) fn prune_unread(target: &Target, keep: usize) -> io::Result<Vec<GenerationId>> {
    remove(target, list(target)?, keep, None)
}

fn remove(target: &Target, all: Vec<Generation>, keep: usize, differs: Option<&GenerationId>) -> io::Result<Vec<GenerationId>> {
    let mut removed = Vec::new();
    for generation in all.into_iter().skip(keep) {
        if !generation.served && !generation.pinned && Some(&generation.id) != differs {
            discard(target, &generation.id)?;
            removed.push(generation.id);
        }
    }
    Ok(removed)
}

/// Removes one generation with everything that carries its name.
pub(super) fn discard(target: &Target, id: &GenerationId) -> io::Result<()> {
    stage::remove(&target.generation(id))?;
    for path in [target.manifest(id), target.pin_mark(id), stale_log(target, Some(id))] {
        files::remove_if_there(&path)?;
    }
    Ok(())
}

/// Where a log goes that somebody left beside the served file.
pub(super) fn stale_log(target: &Target, id: Option<&GenerationId>) -> PathBuf {
    target.generations().join(format!("{}.stale-wal", id.map_or("foreign", GenerationId::as_str)))
}

/// Clears what killed exporters left: the staged file, a generation that was linked but never served, working files.
pub(super) fn recover(target: &Target) -> Result<(), ExportError> {
    let problem = |source| ExportError::io("clear what an earlier export left beside", target.served_path(), source);
    let staged = target.staged();
    for beside in targets_beside(target).map_err(problem)? {
        // Linked as a generation and never renamed over the served file: nobody has ever read it.
        if let Served::Generation(id) = beside.generation_at(&staged).map_err(problem)?
            && served(&beside)? != Served::Generation(id.clone())
        {
            discard(&beside, &id).map_err(problem)?;
        }
        clear_orphans(&beside).map_err(problem)?;
    }
    for path in [staged, target.returning()] {
        stage::remove(&path).map_err(problem)?;
        files::remove_if_there(&unfinished(&path)).map_err(problem)?;
    }
    work::clear(&target.work()).map_err(problem)
}

/// The copy of a file while it is made.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    files::with_suffix(path, ".new")
}

/// Every target with generations in this folder: they share one staged file, and the killed exporter may have worked on any.
fn targets_beside(target: &Target) -> io::Result<Vec<Target>> {
    let mut targets = vec![target.clone()];
    for entry in fs::read_dir(target.folder())? {
        let name = entry?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".generations")) {
            let beside = Target::new(&target.folder().join(format!("{stem}.duckdb")))?;
            targets.extend((beside.generations() != target.generations()).then_some(beside));
        }
    }
    Ok(targets)
}

/// What is named after a generation that is not there any more, and files half written.
fn clear_orphans(target: &Target) -> io::Result<()> {
    let entries = match fs::read_dir(target.generations()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = [".json", ".pinned", ".stale-wal"].iter().find_map(|ending| name.strip_suffix(ending));
        let id = of.and_then(GenerationId::parse);
        let is_half = [".json.new", ".duckdb.new"].iter().any(|ending| name.ends_with(ending));
        if is_half || id.is_some_and(|id| !target.generation(&id).exists()) {
            files::remove_if_there(&path)?;
        }
    }
    Ok(())
}
