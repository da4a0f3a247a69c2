//! One snapshot of a lake as a separate catalog: a small DuckDB file that describes one schema at
//! one point in time, and nothing else.
//!
//! Readers with a frozen catalog do not need the real one: queries continue while PostgreSQL is
//! unavailable, readers have no access to a password, and no statement can reach a table, snapshot
//! or file outside of this generation. DuckLake calls such a file a frozen catalog.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duckdb::Connection;
use tempfile::TempDir;

use super::{
    CATALOG, Lake, LakeError, SCHEME,
    address::CatalogBackend,
    catalog::GenerationSnapshot,
    storage::{self, DataFile},
};
use crate::sql;

/// Catalog name of the file while it is written.
const FROZEN_CATALOG: &str = "frozen";
/// Timeout for copying the catalog's tables.
const COPY_TIMEOUT: Duration = Duration::from_mins(1);
/// Catalog tables that readers do not need.
const SKIPPED_TABLES: [&str; 2] =
    ["ducklake_snapshot_changes", "ducklake_files_scheduled_for_deletion"];

/// A frozen catalog. Its file is removed on drop, which is safe once it has been attached.
pub(crate) struct FrozenCatalog {
    folder: TempDir,
    /// Its generation, if materia published the snapshot.
    pub(crate) commit: Option<GenerationSnapshot>,
    /// The schema it contains.
    pub(crate) schema: String,
    /// Every data file of its tables.
    pub(crate) files: Vec<DataFile>,
    /// Total size of the data files.
    pub(crate) bytes: u64,
}

impl FrozenCatalog {
    /// Returns whether the data is accessed over the network.
    pub(crate) fn is_remote(&self) -> bool {
        self.files.iter().any(DataFile::is_remote)
    }

    pub(crate) fn address(&self) -> String {
        format!("{SCHEME}{}", file(&self.folder).display())
    }
}

/// Returns the path of the file.
fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("catalog.ducklake")
}

impl Lake {
    /// Freezes one snapshot with the tables of a single schema: the published one or, for a
    /// snapshot that materia did not commit, `schema` or else the main one.
    pub(crate) fn freeze(&self, snapshot: i64, schema: &str) -> Result<FrozenCatalog, LakeError> {
        let commit = self.commit_at(snapshot)?;
        let schema =
            commit.as_ref().map_or(schema, |commit| commit.manifest.schema.as_str()).to_owned();
        let (lake, name) = (self.clone(), schema.clone());
        let (folder, files) = self
            .query_with_timeout(COPY_TIMEOUT, move |connection| {
                let folder = match tempfile::Builder::new().prefix("materia-").tempdir() {
                    Ok(folder) => folder,
                    Err(error) => return Ok(Err(error)),
                };
                lake.clear_metadata_cache(connection)?;
                lake.copy(connection, &file(&folder), snapshot, &name)?;
                Ok(Ok((folder, list(connection)?)))
            })?
            .map_err(|error| LakeError::Engine {
                doing: "make a folder for the frozen catalog".to_owned(),
                why: error.to_string(),
            })?;
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok(FrozenCatalog { folder, commit, schema, files, bytes })
    }

    /// Clears the connection's cached PostgreSQL metadata, which may be outdated.
    fn clear_metadata_cache(&self, connection: &Connection) -> duckdb::Result<()> {
        if matches!(self.0.address.catalog, CatalogBackend::Postgres(_)) {
            connection.execute_batch("CALL pg_clear_cache()")
        } else {
            Ok(())
        }
    }

    fn copy(
        &self,
        connection: &Connection,
        to: &Path,
        snapshot: i64,
        schema: &str,
    ) -> duckdb::Result<()> {
        let file = sql::literal(&to.to_string_lossy());
        connection.execute_batch(&format!(
            "ATTACH {file} AS {FROZEN_CATALOG} (BLOCK_SIZE 16384); BEGIN"
        ))?;
        let alive = format!(
            "begin_snapshot <= {snapshot} AND (end_snapshot IS NULL OR end_snapshot > {snapshot})"
        );
        let schemas = self.table("ducklake_schema");
        let named =
            |name: &str| format!("max(schema_id) FILTER (schema_name = {})", sql::literal(name));
        let shown = format!(
            "(SELECT coalesce({}, {}) FROM {schemas} WHERE {alive})",
            named(schema),
            named("main")
        );
        let tables = format!(
            "SELECT table_id FROM {} WHERE schema_id = {shown} AND {alive}",
            self.table("ducklake_table")
        );
        for (table, columns) in self.table_definitions(connection)? {
            let has = |name: &str| columns.iter().any(|column| column == name);
            let mut conditions = Vec::new();
            if SKIPPED_TABLES.contains(&table.as_str()) {
                conditions.push("false".to_owned());
            }
            if table == "ducklake_snapshot" {
                conditions.push(format!("snapshot_id = {snapshot}"));
            }
            if has("begin_snapshot") && has("end_snapshot") {
                conditions.push(alive.clone());
            }
            if has("table_id") {
                conditions.push(format!("(table_id IS NULL OR table_id IN ({tables}))"));
            } else if table == "ducklake_schema" {
                // DuckLake does not recognize a catalog without its main schema.
                conditions.push(format!("(schema_id = {shown} OR schema_name = 'main')"));
            } else if has("schema_id") {
                conditions.push(format!("schema_id = {shown}"));
            }
            let condition = if conditions.is_empty() {
                String::new()
            } else {
                format!("WHERE {}", conditions.join(" AND "))
            };
            let to = sql::path(&[FROZEN_CATALOG, "main", &table]);
            connection.execute_batch(&format!(
                "CREATE TABLE {to} AS FROM {} {condition}",
                self.table(&table)
            ))?;
        }
        // The catalog may contain the rows of small tables.
        let inlined = format!(
            "SELECT table_name FROM {}",
            sql::path(&[FROZEN_CATALOG, "main", "ducklake_inlined_data_tables"])
        );
        let inlined: Vec<String> = connection
            .prepare(&inlined)?
            .query_map([], |row| row.get(0))?
            .collect::<duckdb::Result<_>>()?;
        for table in inlined {
            let to = sql::path(&[FROZEN_CATALOG, "main", &table]);
            connection.execute_batch(&format!(
                "CREATE TABLE {to} AS FROM {} WHERE {alive}",
                self.table(&table)
            ))?;
        }
        connection.execute_batch("COMMIT")
    }

    /// Returns the catalog tables that DuckLake defines for every lake, with their columns.
    fn table_definitions(
        &self,
        connection: &Connection,
    ) -> duckdb::Result<Vec<(String, Vec<String>)>> {
        let format_percent = self.table("x");
        let schema = format_percent.split('.').nth(1).unwrap_or_default().trim_matches('"');
        let query = "
            SELECT table_name, string_agg(column_name, ',') FROM duckdb_columns()
            WHERE database_name = ? AND schema_name = ? AND table_name LIKE 'ducklake\\_%' ESCAPE '\\' AND NOT regexp_matches(table_name, '^ducklake_inlined_data_[0-9]')
            GROUP BY table_name ORDER BY table_name";
        let read = |row: &duckdb::Row<'_>| {
            Ok((row.get(0)?, row.get::<_, String>(1)?.split(',').map(str::to_owned).collect()))
        };
        connection.prepare(query)?.query_map([CATALOG, schema], read)?.collect()
    }
}

/// Lists the snapshot's data files and detaches the frozen file.
fn list(connection: &Connection) -> duckdb::Result<Vec<DataFile>> {
    let table = |name: &str| sql::path(&[FROZEN_CATALOG, "main", name]);
    let everything = |_: &str| "true".to_owned();
    let files = storage::read_files(connection, &storage::files_query(&table, &everything))?;
    connection.execute_batch(&format!("DETACH {FROZEN_CATALOG}"))?;
    Ok(files)
}
