//! One DuckDB instance per generation: generations share no state, so their data cannot be mixed.

use std::path::Path;

use duckdb::{Config, Connection};

use super::{ReaderConfig, ReaderError};
use crate::{
    guard::{self, ForeignNames},
    sql,
    store::lake::{FrozenCatalog, Lake, describe_damage, find_damaged_files},
    values,
};

/// An instance without an attached file, with all its connections and their time and memory limits.
/// Creating one takes far longer than attaching a file, so one is always created ahead of time.
pub(super) struct SpareInstance {
    connections: Vec<Connection>,
    /// Whether the instance may access remote hosts.
    is_remote: bool,
}

impl SpareInstance {
    /// Creates an instance for a file, or for a lake with its extensions and credentials.
    ///
    /// # Errors
    /// A message for operators.
    pub(super) fn new(limits: &ReaderConfig, lake: Option<&Lake>) -> Result<Self, String> {
        let is_remote = lake.is_some_and(Lake::is_remote);
        let connections = Self::connections(limits).map_err(|error| error.to_string())?;
        if !limits.one_shot {
            // The engine creates its own catalog's views when they are first listed, which takes
            // longer than everything that is left to do at a swap.
            connections[0]
                .query_row("SELECT count(*) FROM duckdb_columns()", [], |_| Ok(()))
                .map_err(|error| error.to_string())?;
        }
        if let Some(lake) = lake {
            lake.load_storage(&connections[0], is_remote).map_err(|error| error.to_string())?;
        }
        Ok(Self { connections, is_remote })
    }

    fn connections(limits: &ReaderConfig) -> duckdb::Result<Vec<Connection>> {
        let spill = limits
            .spill
            .as_ref()
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut config =
            Config::default().enable_autoload_extension(false)?.with("temp_directory", spill)?;
        if let Some(threads) = limits.threads {
            config = config.threads(i64::try_from(threads).unwrap_or(i64::MAX))?;
        }
        // The previous generation may still serve queries, so each gets half of the reader's
        // memory.
        config = match limits.memory {
            Some(bytes) => config.max_memory(&format!("{}B", bytes / 2))?,
            None => config,
        };
        let connection = Connection::open_in_memory_with_flags(config)?;
        if limits.memory.is_none() {
            connection.execute_batch(&format!(
                "SET memory_limit = '{}'",
                quarter_of_memory(&connection)?
            ))?;
        }
        // These settings are global and must precede the configuration lock: values are returned as
        // stored, times in UTC.
        for (name, value) in [values::LOSSLESS_SETTING, ("TimeZone", "'UTC'")] {
            set_if_known(&connection, name, value)?;
        }
        let mut connections: Vec<Connection> =
            (1..limits.slots()).map(|_| connection.try_clone()).collect::<Result<_, _>>()?;
        connections.push(connection);
        limit_resources(&connections, limits)?;
        Ok(connections)
    }

    /// Attaches a file as `catalog` read-only and locks the configuration; afterwards no setting
    /// can be changed and no other file is accessible.
    ///
    /// Table names are resolved in `schema` if the file has it. A published file has no functions,
    /// so none are searched for: listing all of them takes longer than attaching.
    pub(super) fn attach(
        self,
        path: &Path,
        catalog: &str,
        schema: &str,
        is_published: bool,
    ) -> duckdb::Result<AttachedInstance> {
        let mut attached = self.attach_and_lock(&path.to_string_lossy(), catalog, schema)?;
        if !is_published {
            attached.foreign = guard::foreign_names(&attached.connections[0], catalog)?;
        }
        Ok(attached)
    }

    /// Compares a frozen catalog's files with the contents of its storage. Returns a message that
    /// describes the problem, if any.
    pub(super) fn storage_problem(&self, frozen: &FrozenCatalog) -> Option<String> {
        let connection = self.connections.first().filter(|_| self.is_remote);
        match find_damaged_files(connection, &frozen.files) {
            Ok(damaged) if damaged.is_empty() => None,
            Ok(damaged) => Some(describe_damage(&damaged)),
            Err(why) => Some(why),
        }
    }

    /// Attaches a frozen catalog as [`Self::attach`] does a file; only the files it names are
    /// accessible.
    pub(super) fn attach_lake(
        self,
        frozen: &FrozenCatalog,
        catalog: &str,
    ) -> Result<AttachedInstance, String> {
        if !self.is_remote && frozen.is_remote() {
            return Err("its data is on another machine than was thought; opened again".to_owned());
        }
        let files =
            frozen.files.iter().map(|file| sql::literal(&file.path)).collect::<Vec<_>>().join(", ");
        // Files of a lake are immutable, so cached file metadata needs no validation.
        let set =
            set_if_known(&self.connections[0], "validate_external_file_cache", "'NO_VALIDATION'")
                .and_then(|()| {
                    self.connections[0].execute_batch(&format!("SET allowed_paths = [{files}]"))
                });
        set.map_err(|error| error.to_string())?;
        let attached = self
            .attach_and_lock(&frozen.address(), catalog, &frozen.schema)
            .map_err(|error| error.to_string())?;
        let foreign = guard::foreign_names(&attached.connections[0], catalog)
            .map_err(|error| error.to_string())?;
        Ok(AttachedInstance { foreign, ..attached })
    }

    fn attach_and_lock(
        self,
        what: &str,
        catalog: &str,
        schema: &str,
    ) -> duckdb::Result<AttachedInstance> {
        let Self { connections, .. } = self;
        let first = &connections[0];
        first.execute_batch(&format!(
            "ATTACH {} AS {} (READ_ONLY)",
            sql::literal(what),
            sql::ident(catalog)
        ))?;
        let known: i64 = first.query_row(
            "SELECT count(*) FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?",
            [catalog, schema],
            |row| row.get(0),
        )?;
        let schema = if known > 0 { schema } else { "main" };
        let home = sql::path(&[catalog, schema]);
        first.execute_batch(&format!(
            "USE {home}; SET enable_external_access = false; SET lock_configuration = true"
        ))?;
        let (schema, foreign) = (schema.to_owned(), ForeignNames::new());
        Ok(AttachedInstance { connections, schema, home, foreign })
    }
}

/// Returns half of the memory of the machine or its container, in bytes: what a reader uses unless
/// it is given a number.
///
/// # Errors
/// The engine cannot be started.
pub fn default_memory() -> Result<u64, ReaderError> {
    // DuckDB's own limit is 80%.
    let query = "
        SELECT (split_part(most, ' ', 1)::DOUBLE * 50 / 80
            * pow(1024, list_position(['bytes', 'KiB', 'MiB', 'GiB', 'TiB'], split_part(most, ' ', 2)) - 1))::BIGINT
        FROM (SELECT current_setting('memory_limit') AS most)";
    let bytes = Connection::open_in_memory()
        .and_then(|connection| connection.query_row(query, [], |row| row.get(0)))
        .map_err(|error| ReaderError::engine(&error))?;
    Ok(bytes)
}

/// Returns a quarter of the memory of the machine or its container. DuckDB's default is 80%, and
/// 1.5 accepts no other percentage, so the default is scaled.
fn quarter_of_memory(untold: &Connection) -> duckdb::Result<String> {
    let query = "
        SELECT (split_part(most, ' ', 1)::DOUBLE * 25 / 80)::VARCHAR || split_part(most, ' ', 2)
        FROM (SELECT current_setting('memory_limit') AS most)";
    untold.query_row(query, [], |row| row.get(0))
}

/// The connections of a generation, ready for queries.
pub(super) struct AttachedInstance {
    /// Only the first one resolves names in [`Self::home`] already.
    pub(super) connections: Vec<Connection>,
    pub(super) schema: String,
    /// The search path of queries.
    pub(super) home: String,
    /// Functions that the file defines.
    pub(super) foreign: ForeignNames,
}

/// Sets the engine's own limits, which back up the watchdog's.
fn limit_resources(connections: &[Connection], limits: &ReaderConfig) -> duckdb::Result<()> {
    let longest = limits.max_pin_age.as_millis().to_string();
    // That of memory can only be set for each connection.
    if let Some(first) = connections.first() {
        set_if_known(first, "GLOBAL max_execution_time", &longest)?;
    }
    let Some(bytes) = limits.query_memory else { return Ok(()) };
    connections.iter().try_for_each(|connection| {
        set_if_known(connection, "operator_memory_limit", &format!("'{bytes}B'"))
    })
}

/// Sets an option if this DuckDB knows it: 1.5 has no per-query limits, and a build without ICU has
/// no time zone.
fn set_if_known(connection: &Connection, name: &str, value: &str) -> duckdb::Result<()> {
    match connection.execute_batch(&format!("SET {name} = {value}")) {
        Err(error) if error.to_string().contains("unrecognized configuration parameter") => Ok(()),
        set => set,
    }
}

/// Returns the catalog name for the file served at `path`: its stem, unless DuckDB reserves that
/// name or a schema has it too.
pub(super) fn catalog_name(path: &Path, schema: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let taken = ["memory", "system", "temp", ""];
    if taken.contains(&stem.to_lowercase().as_str()) || stem.eq_ignore_ascii_case(schema) {
        "materia".to_owned()
    } else {
        stem.into_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Returns the configured memory limit in bytes.
    fn memory(connection: &Connection) -> f64 {
        let set: String = connection
            .query_row("SELECT current_setting('memory_limit')", [], |row| row.get(0))
            .unwrap();
        let (number, unit) = set.split_once(' ').unwrap();
        let power =
            ["bytes", "KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit).unwrap();
        number.parse::<f64>().unwrap() * 1024_f64.powi(i32::try_from(power).unwrap())
    }

    #[test]
    fn two_generations_at_once_leave_half_of_the_memory_to_others() {
        let untold = Connection::open_in_memory().unwrap();
        let generation = SpareInstance::new(&ReaderConfig::default(), None).unwrap();
        let share = 2.0 * memory(&generation.connections[0]) / (memory(&untold) / 0.8);
        assert!((share - 0.5).abs() < 0.01, "{share}");
        let all = default_memory().unwrap() as f64 / (memory(&untold) / 0.8);
        assert!((all - 0.5).abs() < 0.01, "{all}");
    }

    #[test]
    fn nothing_can_be_reached_or_changed_once_a_file_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.duckdb");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t AS SELECT 1 AS a").unwrap();
        let attached = SpareInstance::new(&ReaderConfig::default(), None)
            .unwrap()
            .attach(&path, "x", "main", true)
            .unwrap();
        let longest = ReaderConfig::default().max_pin_age.as_millis().to_string();
        for (setting, value) in [
            ("max_execution_time", longest.as_str()),
            ("enable_external_access", "false"),
            ("lock_configuration", "true"),
            ("autoload_known_extensions", "false"),
        ] {
            let query = "SELECT count(*) FROM duckdb_settings() WHERE name = ? AND value = ?";
            for connection in &attached.connections {
                let set: i64 =
                    connection.query_row(query, [setting, value], |row| row.get(0)).unwrap();
                assert_eq!(set, 1, "{setting}");
            }
        }
    }
}
