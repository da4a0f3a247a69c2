//! Copying the plan's tables into the staged file, in one transaction. It begins empty, or as a copy of the served generation.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    ExportError, Manifest, Unreadable,
    engine::{self, Engine},
    lakehouse::{COMPANIONS, is_damage},
    plan::{Plan, STAGED, TablePlan},
    reuse::{self, Treatment},
    snapshot::{Snapshot, ms_since},
    watch::{Event, Step, Watch},
};
use crate::{files, sql};

/// A finished file that nobody reads yet. Removes itself when dropped, unless it was published or kept.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) path: PathBuf,
    /// In the plan's order.
    pub(super) tables: Vec<StagedTable>,
    pub(super) bytes: u64,
    /// Of them, those that hold nothing.
    pub(super) free_bytes: u64,
    keep: bool,
}

/// One table of a staged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StagedTable {
    /// Rows that DuckDB read from the lakehouse and wrote, or that were published when it was copied.
    pub(super) rows: u64,
    pub(super) ms: u64,
    pub(super) treatment: Treatment,
}

/// What a staged file begins as.
pub(super) enum Start<'a> {
    /// A file at this path.
    Empty(PathBuf),
    /// A copy of the served generation.
    Served(Staged, &'a Manifest),
}

impl Staged {
    /// A file that is going to be written.
    pub(super) fn begin(path: PathBuf) -> Self {
        Self { path, tables: Vec::new(), bytes: 0, free_bytes: 0, keep: false }
    }

    /// The file has got another name and must not be removed.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.keep {
            let _ = remove(&self.path);
        }
    }
}

/// Removes a database file and its companions.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    files::remove_if_there(path)?;
    COMPANIONS.iter().try_for_each(|ending| files::remove_if_there(&files::with_suffix(path, ending)))
}

/// Copies every table that is not taken over, attached to attached. The staged file is then to be closed.
pub(super) fn fill(
    engine: &Engine,
    plan: &Plan,
    treatments: &[Treatment],
    start: Start<'_>,
    watch: &mut dyn Watch,
) -> Result<Staged, ExportError> {
    watch.step(Step::Stage);
    let to = catalog_beside(&plan.catalog);
    let (mut staged, served) = match start {
        Start::Empty(path) => (Staged::begin(path), None),
        Start::Served(copy, manifest) => (copy, Some(manifest)),
    };
    attach(engine, plan, &staged, to)?;
    let drops = served.map(|manifest| drops(to, manifest, treatments)).unwrap_or_default();
    let free_first = served.is_some_and(|manifest| reuse::is_worth_freeing(manifest, treatments));
    if free_first {
        engine.quick(&format!("BEGIN; {drops} COMMIT"))?;
        engine.run(&format!("CHECKPOINT {}", sql::ident(to)), |_| ())?;
    }
    let drops = if free_first { "" } else { &drops };
    engine.quick(&format!("BEGIN; {drops} CREATE SCHEMA IF NOT EXISTS {}", sql::path(&[to, &plan.schema])))?;
    let of = treatments.iter().filter(|treatment| !treatment.reused).count();
    let mut index = 0;
    for (table, treatment) in plan.tables.iter().zip(treatments) {
        let (rows, ms) = if treatment.reused {
            (served.and_then(|manifest| manifest.table(&table.name)).map_or(0, |before| before.rows), 0)
        } else {
            watch.event(&Event::TableBegins { table: &table.name, index, of });
            index += 1;
            let begun = Instant::now();
            let (rows, ms) = (copy(engine, plan, table, watch)?, ms_since(begun));
            watch.event(&Event::TableDone { table: &table.name, rows, ms });
            (rows, ms)
        };
        staged.tables.push(StagedTable { rows, ms, treatment: treatment.clone() });
    }
    Ok(staged)
}

/// Writes the staged file out and closes it. Nothing else may be under way in this DuckDB: it could be looking at every catalog there is,
/// and keep this one from being written out. A lakehouse that is read in place is detached first, so that its writers need not wait for
/// our file; a copy stays attached.
pub(super) fn close(
    engine: &Engine,
    plan: &Plan,
    snapshot: Option<&mut Snapshot>,
    mut staged: Staged,
    watch: &mut dyn Watch,
) -> Result<Staged, ExportError> {
    let to = catalog_beside(&plan.catalog);
    // Until here the transaction refers to the lakehouse. The staged file has no log, so this writes nothing.
    engine.run("COMMIT", |_| ())?;
    if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.is_in_place()) {
        engine.quick(&format!("USE memory; DETACH {}", sql::ident(&plan.catalog)))?;
        snapshot.release(watch);
    }
    watch.step(Step::Checkpoint);
    engine.run(&format!("CHECKPOINT {}", sql::ident(to)), |_| ())?;
    let free = format!("SELECT free_blocks * block_size FROM pragma_database_size() WHERE database_name = {}", sql::literal(to));
    staged.free_bytes = engine.number(&free)?;
    engine.quick(&format!("USE memory; DETACH {}", sql::ident(to)))?;
    staged.bytes = check_closed(&staged.path)?;
    Ok(staged)
}

/// Statements that remove from the copy of the served generation what is not taken over.
fn drops(catalog: &str, manifest: &Manifest, treatments: &[Treatment]) -> String {
    let is_kept = |name: &str| treatments.iter().any(|treatment| treatment.reused && treatment.table == name);
    let mut statements = String::new();
    for table in manifest.tables.iter().filter(|table| !is_kept(&table.name)) {
        let _ = write!(statements, "DROP TABLE {};", sql::path(&[catalog, &manifest.schema, &table.name]));
    }
    statements
}

fn attach(engine: &Engine, plan: &Plan, staged: &Staged, to: &str) -> Result<(), ExportError> {
    // A log of the one commit would only be read once, to write it out.
    let options = format!("STORAGE_VERSION {}, RECOVERY_MODE 'no_wal_writes'", sql::literal(&plan.storage_version));
    engine.quick(&engine::attach(&staged.path, to, &options)).map_err(|error| match error {
        ExportError::Engine { source, .. } if source.to_string().contains("is not a known DuckDB version") => {
            ExportError::NoStorageVersion { asked: plan.storage_version.clone() }
        }
        other => other,
    })
}

/// The staged file's catalog while it is written: another one than the lakehouse's, which may be called anything.
fn catalog_beside(lakehouse: &str) -> &'static str {
    if lakehouse.eq_ignore_ascii_case(STAGED) { "_staged" } else { STAGED }
}

/// Copies one table and returns its rows.
fn copy(engine: &Engine, plan: &Plan, table: &TablePlan, watch: &mut dyn Watch) -> Result<u64, ExportError> {
    let to = sql::path(&[catalog_beside(&plan.catalog), &plan.schema, &table.name]);
    let from = table.source(&plan.catalog);
    // An empty table first: declaring a column not null, or describing it, costs more once there are rows.
    engine.quick(&declare(&to, &from, table)).map_err(|error| failed(error, plan, table))?;
    let order = match table.order_by.as_slice() {
        [] => String::new(),
        terms => format!(" ORDER BY {}", terms.join(", ")),
    };
    let progress = |percent| watch.event(&Event::TableProgress { table: &table.name, percent });
    let insert = engine.run(&format!("INSERT INTO {to} FROM {from}{order}"), progress);
    let rows = insert.map_err(|error| failed(error, plan, table))?;
    Ok(rows as u64)
}

/// The statements that make an empty table like the one it will be filled from, nullability and comments included.
fn declare(to: &str, from: &str, table: &TablePlan) -> String {
    let mut statements = format!("CREATE TABLE {to} AS FROM {from} WITH NO DATA;");
    for column in table.columns.iter().filter(|column| !column.nullable) {
        let _ = write!(statements, "ALTER TABLE {to} ALTER COLUMN {} SET NOT NULL;", sql::ident(&column.name));
    }
    statements + &comments(to, table)
}

/// The statements that say of a table what is said of it in the lakehouse.
pub(super) fn comments(to: &str, table: &TablePlan) -> String {
    let mut statements = String::new();
    if let Some(comment) = &table.comment {
        let _ = write!(statements, "COMMENT ON TABLE {to} IS {};", sql::literal(comment));
    }
    for column in &table.columns {
        if let Some(comment) = &column.comment {
            let _ = write!(statements, "COMMENT ON COLUMN {to}.{} IS {};", sql::ident(&column.name), sql::literal(comment));
        }
    }
    statements
}

/// Says in the user's words what could not be copied, and whose fault it is.
fn failed(error: ExportError, plan: &Plan, table: &TablePlan) -> ExportError {
    let ExportError::Engine { source, .. } = error else { return error };
    if is_damage(&source) {
        return ExportError::Lakehouse { path: plan.lakehouse.clone(), why: Unreadable::Damaged(Box::new(source)) };
    }
    let ordered = match table.order_by.as_slice() {
        [] => String::new(),
        terms => format!(" in the order of [export.tables.{}], {}", table.name, terms.join(", ")),
    };
    ExportError::engine(&format!("copy {}.{}{ordered}", plan.schema, table.name), source)
}

/// The file's size, once nothing that belongs to it is still beside it.
fn check_closed(path: &Path) -> Result<u64, ExportError> {
    for ending in COMPANIONS {
        let companion = files::with_suffix(path, ending);
        if companion.exists() {
            return Err(ExportError::NotClosed { companion });
        }
    }
    fs::metadata(path).map(|metadata| metadata.len()).map_err(|source| ExportError::io("look at", path, source))
}
