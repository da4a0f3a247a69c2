//! The changes between two generations, by table and value.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    CancellationToken, ExportError, ResourceLimits,
    engine::{self, Engine},
    error::check_cancelled,
    plan,
    revision::{ChangedRows, RevisionThresholds, Sides, compare},
    scratch::ScratchDir,
};
use crate::{
    settings::TableSettings,
    sql,
    store::{ColumnManifest, GenerationId, Manifest, Revision, Store, TableManifest},
};

const BEFORE: &str = "_before";
const NOW: &str = "_now";
/// Maximum rows of a table without a key that are compared as a whole, which requires memory for
/// all of them.
const MAX_KEYLESS_ROWS: u64 = 2_000_000;
/// Maximum number of listed keys of new and of removed rows per table.
const MAX_KEYS: usize = 10;

/// The changes between two generations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenerationDiff {
    pub before: GenerationId,
    pub now: GenerationId,
    /// Every table of either generation, by name.
    pub tables: Vec<TableDiff>,
}

/// The change of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableChange {
    Added,
    Removed,
    /// Values, rows or columns differ.
    Changed,
    Unchanged,
    /// Only counts and columns were compared, and they are equal.
    Unknown,
}

/// The details of a table's change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDiff {
    pub table: String,
    pub change: TableChange,
    pub rows_before: Option<u64>,
    pub rows: Option<u64>,
    /// New columns, each with its type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_removed: Vec<String>,
    /// Columns with a different type: `value: INTEGER -> BIGINT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_retyped: Vec<String>,
    /// The differences of values, if they were compared by a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Keys of some of the new rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added_keys: Vec<String>,
    /// Keys of some of the removed rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_keys: Vec<String>,
    /// How the table was compared, if not by a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TableDiff {
    fn new(table: &str, change: TableChange) -> Self {
        Self {
            table: table.to_owned(),
            change,
            rows_before: None,
            rows: None,
            columns_added: Vec::new(),
            columns_removed: Vec::new(),
            columns_retyped: Vec::new(),
            revision: None,
            added_keys: Vec::new(),
            removed_keys: Vec::new(),
            note: None,
        }
    }
}

/// Compares two generations. Tables known to be equal are not read; of the others, only differing
/// parts are joined, so that memory does not grow with their size.
///
/// # Errors
/// A generation is not retained or cannot be read, or the comparison is canceled.
pub fn diff(
    target: &Store,
    (before, now): (&GenerationId, &GenerationId),
    tables: &BTreeMap<String, TableSettings>,
    limits: &ResourceLimits,
    cancel: &CancellationToken,
) -> Result<GenerationDiff, ExportError> {
    let work = ScratchDir::temporary().map_err(|source| {
        ExportError::io("make", std::path::Path::new("a folder for temporary files"), source)
    })?;
    let engine = Engine::start(limits, &work.spill(), cancel)?;
    let manifests = attach(&engine, target, (before, now))?;
    let mut found: BTreeMap<&str, (Option<&TableManifest>, Option<&TableManifest>)> =
        BTreeMap::new();
    for table in &manifests.0.tables {
        found.entry(&table.name).or_default().0 = Some(table);
    }
    for table in &manifests.1.tables {
        found.entry(&table.name).or_default().1 = Some(table);
    }
    let columns = (
        plan::columns(&engine, BEFORE, &manifests.0.schema)?,
        plan::columns(&engine, NOW, &manifests.1.schema)?,
    );
    let mut compared = Vec::new();
    for (name, sides) in found {
        check_cancelled(cancel)?;
        compared.push(match sides {
            (Some(old), None) => TableDiff {
                rows_before: Some(old.rows),
                ..TableDiff::new(name, TableChange::Removed)
            },
            (None, Some(new)) => {
                TableDiff { rows: Some(new.rows), ..TableDiff::new(name, TableChange::Added) }
            }
            (Some(old), Some(new)) => {
                let paths = (
                    sql::path(&[BEFORE, &manifests.0.schema, name]),
                    sql::path(&[NOW, &manifests.1.schema, name]),
                );
                let none = Vec::new();
                let sides = Sides {
                    old: &paths.0,
                    new: &paths.1,
                    old_rows: old.rows,
                    new_rows: new.rows,
                    old_columns: columns.0.get(name).unwrap_or(&none),
                    new_columns: columns.1.get(name).unwrap_or(&none),
                    // The rows of a lake are numbered in another way.
                    changed: ChangedRows::between(old, new, (&paths.0, &paths.1))
                        .filter(|_| target.lake().is_none()),
                };
                let is_same = old.content.is_some() && old.content == new.content;
                let settings = tables.get(name).cloned().unwrap_or_default();
                table(&engine, name, &sides, is_same, &settings)?
            }
            (None, None) => continue,
        });
    }
    Ok(GenerationDiff { before: before.clone(), now: now.clone(), tables: compared })
}

/// Attaches both generations read-only and returns their manifests.
fn attach(
    engine: &Engine,
    target: &Store,
    (before, now): (&GenerationId, &GenerationId),
) -> Result<(Manifest, Manifest), ExportError> {
    let missing = |id: &GenerationId| ExportError::Target {
        path: target.display_name(),
        why: format!(
            "generation {id} has no manifest; `materia status` lists those that can be compared"
        ),
    };
    if let Some(lake) = target.lake() {
        let commits = lake.commits()?;
        let mut manifests = Vec::new();
        for (id, alias) in [(before, BEFORE), (now, NOW)] {
            let commit = commits.iter().rev().find(|commit| commit.manifest.id == *id);
            let commit = commit.ok_or_else(|| missing(id))?;
            let frozen = lake.freeze(commit.snapshot, &commit.manifest.schema)?;
            engine.attach_snapshot(lake, &frozen, alias)?;
            manifests.push(commit.manifest.clone());
        }
        return match <[Manifest; 2]>::try_from(manifests) {
            Ok([before, now]) => Ok((before, now)),
            Err(_) => Err(missing(now)),
        };
    }
    let mut statements = Vec::new();
    for (id, alias) in [(before, BEFORE), (now, NOW)] {
        let path = target.local().generation_path(id);
        statements.push(engine::attach(&path, alias, "READ_ONLY"));
    }
    engine
        .execute_batch(&format!("{}; SET enable_external_access = false", statements.join("; ")))?;
    let manifest = |id| target.manifest(id).ok_or_else(|| missing(id));
    Ok((manifest(before)?, manifest(now)?))
}

fn table(
    engine: &Engine,
    name: &str,
    sides: &Sides<'_>,
    is_same: bool,
    settings: &TableSettings,
) -> Result<TableDiff, ExportError> {
    let mut found = TableDiff {
        rows_before: Some(sides.old_rows),
        rows: Some(sides.new_rows),
        ..TableDiff::new(name, TableChange::Unchanged)
    };
    if is_same {
        return Ok(found);
    }
    columns(sides, &mut found);
    // Every difference counts, even those that an export would accept.
    let limits = RevisionThresholds { max_revised: 1.0, max_ratio: f64::INFINITY };
    if let Some(compared) = compare(engine, sides, settings, name, limits, MAX_KEYS)? {
        if compared.revision.differs() {
            found.change = TableChange::Changed;
            found.revision = Some(compared.revision);
            found.added_keys = compared.added_keys;
            found.removed_keys = compared.removed_keys;
        }
    } else {
        keyless(engine, sides, &mut found)?;
    }
    let has_other_columns = [&found.columns_added, &found.columns_removed, &found.columns_retyped]
        .iter()
        .any(|columns| !columns.is_empty());
    if has_other_columns || sides.old_rows != sides.new_rows {
        found.change = TableChange::Changed;
    }
    Ok(found)
}

fn columns(sides: &Sides<'_>, found: &mut TableDiff) {
    fn named<'a>(columns: &'a [ColumnManifest], name: &str) -> Option<&'a ColumnManifest> {
        columns.iter().find(|column| column.name == name)
    }
    for column in sides.new_columns {
        let typed = |column: &ColumnManifest| format!("{} {}", column.name, column.data_type);
        match named(sides.old_columns, &column.name) {
            None => found.columns_added.push(typed(column)),
            Some(old) if old.data_type != column.data_type => found
                .columns_retyped
                .push(format!("{}: {} -> {}", column.name, old.data_type, column.data_type)),
            Some(_) => {}
        }
    }
    let gone = sides.old_columns.iter().map(|column| &column.name);
    let gone = gone.filter(|name| named(sides.new_columns, name).is_none());
    found.columns_removed = gone.cloned().collect();
}

/// Compares whole rows, if both sides have the same columns.
fn keyless(engine: &Engine, sides: &Sides<'_>, found: &mut TableDiff) -> Result<(), ExportError> {
    let rows = sides.old_rows.max(sides.new_rows);
    let shared: Vec<_> = sides
        .new_columns
        .iter()
        .filter(|column| sides.old_columns.iter().any(|old| old.name == column.name))
        .map(|column| sql::ident(&column.name))
        .collect();
    if shared.is_empty() || rows > MAX_KEYLESS_ROWS {
        found.change = TableChange::Unknown;
        found.note = Some(
            "no key was found to compare values by, so only counts were compared; key = [...] names one".to_owned(),
        );
        return Ok(());
    }
    let shared = shared.join(", ");
    let count = |from: &str, without: &str| {
        engine.query_u64(&format!(
            "SELECT count(*)::UBIGINT FROM (SELECT {shared} FROM {from} EXCEPT ALL SELECT {shared} FROM {without})"
        ))
    };
    let (added, removed) = (count(sides.new, sides.old)?, count(sides.old, sides.new)?);
    if added + removed > 0 {
        found.change = TableChange::Changed;
        let revision = Revision {
            table: found.table.clone(),
            common: sides.old_rows.saturating_sub(removed),
            added,
            removed,
            ..Revision::default()
        };
        found.revision = Some(revision);
        found.note =
            Some("no key was found: a revised row is one removed and one added".to_owned());
    }
    Ok(())
}
