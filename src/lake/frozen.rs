//! One snapshot of a lake as a catalog of its own: a small DuckDB file that says everything about one schema at one moment, and nothing else.
//!
//! A reader that has it needs the real catalog for nothing: questions go on while PostgreSQL is away, no password is within their reach, and no
//! statement finds a table, a snapshot or a file that is not of this generation. DuckLake calls such a file a frozen catalog.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duckdb::Connection;
use tempfile::TempDir;

use super::{CATALOG, Lake, LakeError, SCHEME, access, address::CatalogPlace, catalog::Commit};
use crate::sql;

/// What the file is attached as while it is written.
const FROZEN: &str = "frozen";
/// For how long a catalog's tables may be copied.
const COPIED_WITHIN: Duration = Duration::from_mins(1);
/// Tables about which a reader need not know anything.
const EMPTY: [&str; 2] = ["ducklake_snapshot_changes", "ducklake_files_scheduled_for_deletion"];

/// A frozen catalog. Its file goes when this is dropped, which may be as soon as it has been attached.
pub(crate) struct Frozen {
    folder: TempDir,
    /// The generation it is, where materia published it.
    pub(crate) commit: Option<Commit>,
    /// The schema that is in it.
    pub(crate) schema: String,
    /// Every file that its tables are made of, as DuckLake names it.
    pub(crate) files: Vec<String>,
    /// The bytes of those.
    pub(crate) bytes: u64,
}

impl Frozen {
    /// Whether its data is reached through the network.
    pub(crate) fn is_remote(&self) -> bool {
        self.files.iter().any(|file| access::is_remote(file))
    }

    /// What DuckLake attaches.
    pub(crate) fn address(&self) -> String {
        format!("{SCHEME}{}", file(&self.folder).display())
    }
}

/// Where the file is.
fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("catalog.ducklake")
}

impl Lake {
    /// Freezes one snapshot, with nothing in it but one schema's tables: the one that was published, or, where materia did not make it, `schema` or else the main one.
    pub(crate) fn freeze(&self, snapshot: i64, schema: &str) -> Result<Frozen, LakeError> {
        let commit = self.commits_at(snapshot)?;
        let schema = commit.as_ref().map_or(schema, |commit| commit.manifest.schema.as_str()).to_owned();
        let (lake, name) = (self.clone(), schema.clone());
        let (folder, files) = self
            .ask_within(COPIED_WITHIN, move |connection| {
                let folder = match tempfile::Builder::new().prefix("materia-").tempdir() {
                    Ok(folder) => folder,
                    Err(error) => return Ok(Err(error)),
                };
                lake.forget(connection)?;
                lake.copy(connection, &file(&folder), snapshot, &name)?;
                Ok(Ok((folder, list(connection)?)))
            })?
            .map_err(|error| LakeError::Engine { doing: "make a folder for the frozen catalog".to_owned(), why: error.to_string() })?;
        let bytes = files.iter().map(|(_, bytes)| bytes).sum();
        Ok(Frozen { folder, commit, schema, bytes, files: files.into_iter().map(|(path, _)| path).collect() })
    }

    /// What a connection knows of PostgreSQL's tables from before: there may be others.
    fn forget(&self, connection: &Connection) -> duckdb::Result<()> {
        if matches!(self.0.address.catalog, CatalogPlace::Postgres(_)) { connection.execute_batch("CALL pg_clear_cache()") } else { Ok(()) }
    }

    fn commits_at(&self, snapshot: i64) -> Result<Option<Commit>, LakeError> {
        Ok(self.commits_where(&format!("AND snapshot_id = {snapshot}"))?.pop())
    }

    fn copy(&self, connection: &Connection, to: &Path, snapshot: i64, schema: &str) -> duckdb::Result<()> {
        let file = sql::literal(&to.to_string_lossy());
        connection.execute_batch(&format!("ATTACH {file} AS {FROZEN} (BLOCK_SIZE 16384); BEGIN"))?;
        let alive = format!("begin_snapshot <= {snapshot} AND (end_snapshot IS NULL OR end_snapshot > {snapshot})");
        let schemas = self.table("ducklake_schema");
        let named = |name: &str| format!("max(schema_id) FILTER (schema_name = {})", sql::literal(name));
        let shown = format!("(SELECT coalesce({}, {}) FROM {schemas} WHERE {alive})", named(schema), named("main"));
        let tables = format!("SELECT table_id FROM {} WHERE schema_id = {shown} AND {alive}", self.table("ducklake_table"));
        for (table, columns) in self.outline(connection)? {
            let has = |name: &str| columns.iter().any(|column| column == name);
            let mut conditions = Vec::new();
            if EMPTY.contains(&table.as_str()) {
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
                // Without its main schema DuckLake takes it for no catalog.
                conditions.push(format!("(schema_id = {shown} OR schema_name = 'main')"));
            } else if has("schema_id") {
                conditions.push(format!("schema_id = {shown}"));
            }
            let condition = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
            let to = sql::path(&[FROZEN, "main", &table]);
            connection.execute_batch(&format!("CREATE TABLE {to} AS FROM {} {condition}", self.table(&table)))?;
        }
        // Small tables' rows can be in the catalog itself.
        let inlined = format!("SELECT table_name FROM {}", sql::path(&[FROZEN, "main", "ducklake_inlined_data_tables"]));
        let inlined: Vec<String> = connection.prepare(&inlined)?.query_map([], |row| row.get(0))?.collect::<duckdb::Result<_>>()?;
        for table in inlined {
            let to = sql::path(&[FROZEN, "main", &table]);
            connection.execute_batch(&format!("CREATE TABLE {to} AS FROM {} WHERE {alive}", self.table(&table)))?;
        }
        connection.execute_batch("COMMIT")
    }

    /// The catalog's tables that are DuckLake's own and the same for every lake, and their columns.
    fn outline(&self, connection: &Connection) -> duckdb::Result<Vec<(String, Vec<String>)>> {
        let whole = self.table("x");
        let schema = whole.split('.').nth(1).unwrap_or_default().trim_matches('"');
        let query = "
            SELECT table_name, string_agg(column_name, ',') FROM duckdb_columns()
            WHERE database_name = ? AND schema_name = ? AND table_name LIKE 'ducklake\\_%' ESCAPE '\\' AND NOT regexp_matches(table_name, '^ducklake_inlined_data_[0-9]')
            GROUP BY table_name ORDER BY table_name";
        let read = |row: &duckdb::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?.split(',').map(str::to_owned).collect()));
        connection.prepare(query)?.query_map([CATALOG, schema], read)?.collect()
    }
}

/// Which files it is made of, and their bytes. Lets go of the catalog's own file.
fn list(connection: &Connection) -> duckdb::Result<Vec<(String, u64)>> {
    let table = |name: &str| sql::path(&[FROZEN, "main", name]);
    let joined = |of: &str| {
        let within =
            |parent: &str, of: &str| format!("CASE WHEN {of}.path_is_relative::BOOLEAN THEN {parent} || {of}.path ELSE {of}.path END");
        let path = within(&within(&within("m.value", "s"), "t"), "f");
        format!(
            "SELECT {path} AS path, f.file_size_bytes AS bytes FROM {} f JOIN {} t USING (table_id) JOIN {} s USING (schema_id), {} m
             WHERE m.key = 'data_path' AND m.scope IS NULL",
            table(of),
            table("ducklake_table"),
            table("ducklake_schema"),
            table("ducklake_metadata")
        )
    };
    let query = format!("{} UNION ALL {}", joined("ducklake_data_file"), joined("ducklake_delete_file"));
    let files = connection.prepare(&query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<duckdb::Result<_>>()?;
    connection.execute_batch(&format!("DETACH {FROZEN}"))?;
    Ok(files)
}
