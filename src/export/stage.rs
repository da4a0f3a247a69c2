//! Copies the plan's tables into the staged file in one transaction. The file begins empty, or as a
//! copy of the served generation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    ExportError, LakehouseError,
    engine::{self, Engine},
    incremental::{self, TableAction},
    lakehouse::is_damage,
    plan::{ExportPlan, STAGED_CATALOG, TablePlan},
    progress::{ExportEvent, Progress},
    row_groups::{KeptRows, UnchangedRows},
    snapshot::{Snapshot, ms_since},
};
use crate::store::{ExportStep, Manifest};
use crate::{files, humanize, sql};

/// A finished file that no reader has opened yet. Removed on drop, unless it was published or
/// retained.
#[derive(Debug)]
pub(super) struct StagedFile {
    pub(super) path: PathBuf,
    /// In the plan's order.
    pub(super) tables: Vec<StagedTable>,
    pub(super) bytes: u64,
    /// The unused bytes among them.
    pub(super) free_bytes: u64,
    keep: bool,
}

/// One table of a staged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StagedTable {
    /// Rows that DuckDB copied from the lakehouse or, for a reused table, the recorded count.
    pub(super) rows: u64,
    /// Rows at its start that were kept from the served generation instead of copied; 0 for a
    /// reused table.
    pub(super) kept_rows: u64,
    pub(super) ms: u64,
    pub(super) table_action: TableAction,
}

/// The initial content of a staged file.
pub(super) enum StagingBase<'a> {
    /// An empty file at this path.
    Empty(PathBuf),
    /// A copy of the served generation, and the unchanged rows of tables that are not reused.
    Served(StagedFile, &'a Manifest, &'a BTreeMap<String, UnchangedRows>),
}

impl StagedFile {
    /// Returns a file that is about to be written.
    pub(super) fn begin(path: PathBuf) -> Self {
        Self { path, tables: Vec::new(), bytes: 0, free_bytes: 0, keep: false }
    }

    /// Prevents removal, since the file was renamed.
    pub(super) fn disarm(&mut self) {
        self.keep = true;
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.keep {
            let _ = files::remove_database(&self.path);
        }
    }
}

/// Copies every table that is not reused, from database to database. The caller then closes the
/// staged file.
pub(super) fn copy_tables(
    engine: &Engine,
    plan: &ExportPlan,
    table_actions: &[TableAction],
    start: StagingBase<'_>,
    watch: &mut dyn Progress,
) -> Result<StagedFile, ExportError> {
    watch.step(ExportStep::Stage);
    let to = staged_catalog(&plan.catalog);
    let (mut staged, served) = match start {
        StagingBase::Empty(path) => (StagedFile::begin(path), None),
        StagingBase::Served(copy, manifest, unchanged) => (copy, Some((manifest, unchanged))),
    };
    attach(engine, plan, &staged, to)?;
    let (drops, kept) = match served {
        None => (String::new(), BTreeMap::new()),
        Some(served) => remove_changed(engine, plan, table_actions, to, served)?,
    };
    engine.execute_batch(&format!(
        "BEGIN; {drops} CREATE SCHEMA IF NOT EXISTS {}",
        sql::path(&[to, &plan.schema])
    ))?;
    let of = table_actions.iter().filter(|table_action| !table_action.reused).count();
    let mut index = 0;
    for (table, table_action) in plan.tables.iter().zip(table_actions) {
        let mut table_action = table_action.clone();
        let kept = kept.get(&table.name);
        let kept_rows = kept.map_or(0, |kept| kept.rows);
        let (rows, ms) = if table_action.reused {
            (
                served
                    .and_then(|(manifest, _)| manifest.table(&table.name))
                    .map_or(0, |before| before.rows),
                0,
            )
        } else {
            watch.event(&ExportEvent::TableBegins { table: &table.name, index, of });
            index += 1;
            let begun = Instant::now();
            let (rows, ms) = (copy(engine, plan, table, kept, watch)?, ms_since(begun));
            watch.event(&ExportEvent::TableDone { table: &table.name, rows, ms });
            (rows, ms)
        };
        if kept_rows > 0 {
            table_action.why = format!("changed after row {}", humanize::count(kept_rows));
        }
        staged.tables.push(StagedTable { rows, kept_rows, ms, table_action });
    }
    Ok(staged)
}

/// Checkpoints and closes the staged file. No other work may run in this DuckDB: it could access
/// every catalog and delay the checkpoint. A lakehouse that is read in place is detached first, so
/// that its writers need not wait for the staged file; a copy stays attached.
pub(super) fn checkpoint_and_close(
    engine: &Engine,
    plan: &ExportPlan,
    snapshot: Option<&mut Snapshot>,
    mut staged: StagedFile,
    watch: &mut dyn Progress,
) -> Result<StagedFile, ExportError> {
    let to = staged_catalog(&plan.catalog);
    // Up to this point the transaction refers to the lakehouse. The staged file has no log, so
    // committing writes nothing.
    engine.run("COMMIT", |_| ())?;
    if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.is_in_place()) {
        engine.execute_batch(&format!("USE memory; DETACH {}", sql::ident(&plan.catalog)))?;
        snapshot.release(watch);
    }
    watch.step(ExportStep::Checkpoint);
    engine.run(&format!("CHECKPOINT {}", sql::ident(to)), |_| ())?;
    let free = format!(
        "SELECT free_blocks * block_size FROM pragma_database_size() WHERE database_name = {}",
        sql::literal(to)
    );
    staged.free_bytes = engine.query_u64(&free)?;
    engine.execute_batch(&format!("USE memory; DETACH {}", sql::ident(to)))?;
    staged.bytes = check_closed(&staged.path)?;
    Ok(staged)
}

/// Removes what is not reused from the copy of the served generation. Returns the statements that
/// drop what is still to be dropped, and the rows that stayed in changed tables.
///
/// Where rows stay, the others are removed by a checkpoint of their own: it drops their row groups,
/// so that the rows that are copied next have the numbers that follow.
fn remove_changed(
    engine: &Engine,
    plan: &ExportPlan,
    table_actions: &[TableAction],
    to: &str,
    (manifest, unchanged): (&Manifest, &BTreeMap<String, UnchangedRows>),
) -> Result<(String, BTreeMap<String, KeptRows>), ExportError> {
    let path = |table: &TablePlan| sql::path(&[to, &plan.schema, &table.name]);
    let mut kept = BTreeMap::new();
    for table in plan.tables.iter().filter(|_| plan.schema == manifest.schema) {
        let Some(unchanged) = unchanged.get(&table.name) else { continue };
        let create = create_table_sql(
            &sql::path(&["memory", &plan.schema, &table.name]),
            &table.source(&plan.catalog),
            table,
        );
        let staged = (to, plan.schema.as_str(), table.name.as_str());
        if let Some(rows) = KeptRows::find(engine, unchanged, staged, &create)? {
            kept.insert(table.name.clone(), rows);
        }
    }
    let drops = drop_statements(to, manifest, table_actions, &kept);
    if kept.is_empty() && !incremental::should_vacuum(manifest, table_actions) {
        return Ok((drops, kept));
    }
    let extended: Vec<_> = plan
        .tables
        .iter()
        .filter_map(|table| Some((table, path(table), kept.get(&table.name)?.clone())))
        .collect();
    let deletes: String =
        extended.iter().map(|(_, staged, kept)| kept.delete_sql(staged)).collect();
    engine.execute_batch(&format!("BEGIN; {drops} {deletes} COMMIT"))?;
    engine.run(&format!("CHECKPOINT {}", sql::ident(to)), |_| ())?;
    let mut drops = String::new();
    for (table, staged, rows) in extended {
        if !rows.are_left(engine, &staged)? {
            let _ = write!(drops, "DROP TABLE {staged};");
            kept.remove(&table.name);
        }
    }
    Ok((drops, kept))
}

/// Returns the statements that drop the tables of which nothing is kept from the copy of the served
/// generation.
fn drop_statements(
    catalog: &str,
    manifest: &Manifest,
    table_actions: &[TableAction],
    kept: &BTreeMap<String, KeptRows>,
) -> String {
    let reused: BTreeSet<_> = table_actions
        .iter()
        .filter(|table_action| table_action.reused)
        .map(|table_action| table_action.table.as_str())
        .collect();
    let is_kept = |name: &str| kept.contains_key(name) || reused.contains(name);
    let mut statements = String::new();
    for table in manifest.tables.iter().filter(|table| !is_kept(&table.name)) {
        let _ = write!(
            statements,
            "DROP TABLE {};",
            sql::path(&[catalog, &manifest.schema, &table.name])
        );
    }
    statements
}

fn attach(
    engine: &Engine,
    plan: &ExportPlan,
    staged: &StagedFile,
    to: &str,
) -> Result<(), ExportError> {
    // A log of this single commit would only be replayed into the file again.
    let options = format!(
        "STORAGE_VERSION {}, RECOVERY_MODE 'no_wal_writes'",
        sql::literal(&plan.storage_version)
    );
    engine.execute_batch(&engine::attach(&staged.path, to, &options)).map_err(|error| match error {
        ExportError::Engine { source, .. }
            if source.to_string().contains("is not a known DuckDB version") =>
        {
            ExportError::NoStorageVersion { requested: plan.storage_version.clone() }
        }
        other => other,
    })
}

/// Returns the staged file's catalog name while it is written. It differs from the lakehouse's,
/// which is arbitrary.
fn staged_catalog(lakehouse: &str) -> &'static str {
    if lakehouse.eq_ignore_ascii_case(STAGED_CATALOG) { "_staged" } else { STAGED_CATALOG }
}

/// Copies one table, or the rows that follow the kept ones, and returns the number of its rows.
fn copy(
    engine: &Engine,
    plan: &ExportPlan,
    table: &TablePlan,
    kept: Option<&KeptRows>,
    watch: &mut dyn Progress,
) -> Result<u64, ExportError> {
    let to = sql::path(&[staged_catalog(&plan.catalog), &plan.schema, &table.name]);
    let progress =
        |percent| watch.event(&ExportEvent::TableProgress { table: &table.name, percent });
    if let Some(kept) = kept {
        let insert = engine.run(&kept.insert_sql(&to), progress);
        return insert
            .map(|rows| kept.rows + rows as u64)
            .map_err(|error| copy_error(error, plan, table));
    }
    let from = table.source(&plan.catalog);
    let order = match table.order_by.as_slice() {
        [] => String::new(),
        terms => format!(" ORDER BY {}", terms.join(", ")),
    };
    // NOT NULL constraints and comments cost more once the table has rows. Without any, one
    // statement costs less than two.
    let is_plain = table.comment.is_none()
        && table.columns.iter().all(|column| column.nullable && column.comment.is_none());
    let copy = if is_plain {
        format!("CREATE TABLE {to} AS FROM {from}{order}")
    } else {
        engine
            .execute_batch(&create_table_sql(&to, &from, table))
            .map_err(|error| copy_error(error, plan, table))?;
        format!("INSERT INTO {to} FROM {from}{order}")
    };
    let rows = engine.run(&copy, progress).map_err(|error| copy_error(error, plan, table))?;
    match rows {
        // Before DuckDB 2.0, CREATE TABLE AS reports no number of rows.
        0 if is_plain => engine
            .rows(&format!("SELECT count(*) FROM {to}"), &[], |row| row.get::<_, u64>(0))
            .map(|rows| rows.iter().sum()),
        rows => Ok(rows as u64),
    }
}

/// Returns the statements that create an empty table like its source, including nullability and
/// comments.
fn create_table_sql(to: &str, from: &str, table: &TablePlan) -> String {
    let mut statements = format!("CREATE TABLE {to} AS FROM {from} WITH NO DATA;");
    for column in table.columns.iter().filter(|column| !column.nullable) {
        let _ = write!(
            statements,
            "ALTER TABLE {to} ALTER COLUMN {} SET NOT NULL;",
            sql::ident(&column.name)
        );
    }
    statements + &comment_sql(to, table)
}

/// Returns the statements that copy a table's comments from the lakehouse.
pub(super) fn comment_sql(to: &str, table: &TablePlan) -> String {
    let mut statements = String::new();
    if let Some(comment) = &table.comment {
        let _ = write!(statements, "COMMENT ON TABLE {to} IS {};", sql::literal(comment));
    }
    for column in &table.columns {
        if let Some(comment) = &column.comment {
            let _ = write!(
                statements,
                "COMMENT ON COLUMN {to}.{} IS {};",
                sql::ident(&column.name),
                sql::literal(comment)
            );
        }
    }
    statements
}

/// Returns an error that names what could not be copied, and whether the pipeline or materia is at
/// fault.
fn copy_error(error: ExportError, plan: &ExportPlan, table: &TablePlan) -> ExportError {
    let ExportError::Engine { source, .. } = error else { return error };
    if is_damage(&source) {
        return ExportError::Lakehouse {
            path: plan.lakehouse.clone(),
            why: LakehouseError::Damaged(Box::new(source)),
        };
    }
    let ordered = match table.order_by.as_slice() {
        [] => String::new(),
        terms => format!(" in the order of [export.tables.{}], {}", table.name, terms.join(", ")),
    };
    ExportError::engine(&format!("copy {}.{}{ordered}", plan.schema, table.name), source)
}

/// Returns the file's size, after checking that no companion file is left next to it.
fn check_closed(path: &Path) -> Result<u64, ExportError> {
    for ending in files::WAL_SUFFIXES {
        let companion = files::with_suffix(path, ending);
        if companion.exists() {
            return Err(ExportError::LeftoverCompanion { companion });
        }
    }
    fs::metadata(path)
        .map(|metadata| metadata.len())
        .map_err(|source| ExportError::io("look at", path, source))
}
