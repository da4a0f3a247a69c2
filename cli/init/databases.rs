//! Finds DuckDB files and their schemas.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use materia::{files, humanize, sql};

use super::project::has_ending;

/// Larger files are not copied for inspection.
const MAX_COPIED_BYTES: u64 = 4 << 30;

/// Schemas that belong to DuckDB or to a tool, or that are not meant for publishing: SQLMesh's
/// state, its physical tables and its development environments.
const INTERNAL: &str = "database_name = current_database() AND NOT internal
    AND schema_name NOT IN ('information_schema', 'pg_catalog')
    AND NOT starts_with(schema_name, 'sqlmesh') AND NOT contains(schema_name, '__')";

/// A non-empty schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) name: String,
    /// The number of tables and views.
    pub(super) relations: u64,
}

/// A DuckDB file that may be the lakehouse.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) path: PathBuf,
    /// `None` if it does not exist yet.
    pub(super) bytes: Option<u64>,
    /// Its schemas, or why they are unknown.
    pub(super) schemas: Result<Vec<Schema>, String>,
}

impl Database {
    /// Reads the schemas from a private copy: opening the file would block its writer.
    pub(super) fn inspect(dir: &Path, path: PathBuf) -> Self {
        let file = dir.join(&path);
        let Ok(bytes) = fs::metadata(&file).map(|metadata| metadata.len()) else {
            return Self { path, bytes: None, schemas: Ok(Vec::new()) };
        };
        let schemas = if bytes > MAX_COPIED_BYTES {
            Err(format!("larger than {}, not copied", humanize::bytes(MAX_COPIED_BYTES)))
        } else {
            schemas_of_copy(&file)
        };
        Self { path, bytes: Some(bytes), schemas }
    }
}

fn schemas_of_copy(file: &Path) -> Result<Vec<Schema>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let copy = folder.path().join("copy.duckdb");
    let copied = fs::copy(file, &copy).and_then(|_| {
        files::wal_files(file).iter().try_for_each(|log| {
            let ending = log.to_string_lossy()[file.to_string_lossy().len()..].to_owned();
            fs::copy(log, files::with_suffix(&copy, &ending)).map(drop)
        })
    });
    copied.map_err(|error| error.to_string())?;
    read_schemas(&copy).map_err(|error| {
        error.to_string().lines().next().unwrap_or("it cannot be opened").to_owned()
    })
}

fn read_schemas(copy: &Path) -> duckdb::Result<Vec<Schema>> {
    let connection = duckdb::Connection::open_in_memory()?;
    connection.execute_batch(&format!(
        "ATTACH {} AS copy (READ_ONLY); USE copy",
        sql::literal(&copy.to_string_lossy())
    ))?;
    let query = format!(
        "SELECT schema_name, count(*)::UBIGINT FROM (
             SELECT schema_name, internal, database_name FROM duckdb_tables()
             UNION ALL SELECT schema_name, internal, database_name FROM duckdb_views())
         WHERE {INTERNAL} GROUP BY schema_name ORDER BY schema_name"
    );
    connection
        .prepare(&query)?
        .query_map([], |row| Ok(Schema { name: row.get(0)?, relations: row.get(1)? }))?
        .collect()
}

/// Finds DuckDB files that no tool names, except those that materia publishes.
pub(super) fn find(dir: &Path, folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| !has_ending(folder, &["generations", "work"])) {
        let Ok(entries) = fs::read_dir(dir.join(folder)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_served = path.with_extension("generations").is_dir();
            let is_staged = path.file_name().is_some_and(|name| {
                ["_export.duckdb", "_rollback.duckdb"].iter().any(|own| name == *own)
            });
            if has_ending(&path, &["duckdb", "ddb", "db"])
                && !is_served
                && !is_staged
                && is_duckdb(&path)
            {
                found.extend(path.file_name().map(|name| folder.join(name)));
            }
        }
    }
    found.sort_by_key(|path| {
        // First the file with materia's default name, then the one closest to the folder.
        (path != Path::new("lakehouse.duckdb"), path.components().count(), path.clone())
    });
    found
}

fn is_duckdb(path: &Path) -> bool {
    let mut start = [0_u8; 12];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && &start[8..] == b"DUCK"
}
