//! One DuckDB instance for each generation: nothing is shared between two generations, so nothing can be mixed.

use std::path::Path;

use duckdb::{Config, Connection};

use super::ReaderLimits;
use crate::{
    guard::{self, ForeignNames},
    lake::{Frozen, Lake},
    sql, values,
};

/// An instance that knows no file yet, with all its connections, each bounded in time and memory. Making one takes far longer than attaching
/// a file to it, so one is always made ahead.
pub(super) struct Blank {
    connections: Vec<Connection>,
    /// Whether it reaches what is not on this machine.
    is_remote: bool,
}

impl Blank {
    /// For a file, or for a lake, whose extensions and credentials it then has.
    ///
    /// # Errors
    /// In words.
    pub(super) fn new(limits: &ReaderLimits, lake: Option<&Lake>) -> Result<Self, String> {
        let is_remote = lake.is_some_and(Lake::is_remote);
        let connections = Self::connections(limits).map_err(|error| error.to_string())?;
        if let Some(lake) = lake {
            lake.prepare_reader(&connections[0], is_remote).map_err(|error| error.to_string())?;
        }
        Ok(Self { connections, is_remote })
    }

    fn connections(limits: &ReaderLimits) -> duckdb::Result<Vec<Connection>> {
        let spill = limits.spill.as_ref().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
        let mut config = Config::default().enable_autoload_extension(false)?.with("temp_directory", spill)?;
        if let Some(threads) = limits.threads {
            config = config.threads(i64::try_from(threads).unwrap_or(i64::MAX))?;
        }
        // The generation before this one may still be answering: each gets half of what the reader may use.
        config = match limits.memory {
            Some(bytes) => config.max_memory(&format!("{}B", bytes / 2))?,
            None => config,
        };
        let connection = Connection::open_in_memory_with_flags(config)?;
        if limits.memory.is_none() {
            connection.execute_batch(&format!("SET memory_limit = '{}'", quarter(&connection)?))?;
        }
        // For whole instances, and so before anything is locked: values come out as they are stored, times in UTC.
        for (name, value) in [values::LOSSLESS, ("TimeZone", "'UTC'")] {
            set_if_known(&connection, name, value)?;
        }
        let mut connections: Vec<Connection> = (1..limits.slots()).map(|_| connection.try_clone()).collect::<Result<_, _>>()?;
        connections.push(connection);
        connections.iter().try_for_each(|connection| bound(connection, limits))?;
        Ok(connections)
    }

    /// Attaches a file under `catalog`, and nothing can be changed or reached any more: read-only, one file, settings locked.
    ///
    /// Table names are looked up in `schema`, where the file has it.
    pub(super) fn attach(self, path: &Path, catalog: &str, schema: &str) -> duckdb::Result<Attached> {
        self.enter(&path.to_string_lossy(), catalog, schema)
    }

    /// Attaches a frozen catalog in the same way: of what is outside, nothing is within reach but the files that it names.
    pub(super) fn attach_lake(self, frozen: &Frozen, catalog: &str) -> Result<Attached, String> {
        if !self.is_remote && frozen.is_remote() {
            return Err("its data is on another machine than was thought; opened again".to_owned());
        }
        let files = frozen.files.iter().map(|file| sql::literal(file)).collect::<Vec<_>>().join(", ");
        // Files of a lake never change: what has been read of one need not be looked at again.
        let set = set_if_known(&self.connections[0], "validate_external_file_cache", "'NO_VALIDATION'")
            .and_then(|()| self.connections[0].execute_batch(&format!("SET allowed_paths = [{files}]")));
        set.map_err(|error| error.to_string())?;
        self.enter(&frozen.address(), catalog, &frozen.schema).map_err(|error| error.to_string())
    }

    fn enter(self, what: &str, catalog: &str, schema: &str) -> duckdb::Result<Attached> {
        let Self { connections, .. } = self;
        let first = &connections[0];
        first.execute_batch(&format!("ATTACH {} AS {} (READ_ONLY)", sql::literal(what), sql::ident(catalog)))?;
        let known: i64 = first.query_row(
            "SELECT count(*) FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?",
            [catalog, schema],
            |row| row.get(0),
        )?;
        let schema = if known > 0 { schema } else { "main" };
        let enter = format!("USE {}", sql::path(&[catalog, schema]));
        connections.iter().try_for_each(|connection| connection.execute_batch(&enter))?;
        first.execute_batch("SET enable_external_access = false; SET lock_configuration = true")?;
        Ok(Attached { schema: schema.to_owned(), foreign: guard::foreign_names(&connections[0], catalog)?, connections })
    }
}

/// A quarter of the machine's memory, or of its container's. DuckDB takes 80 % unless told; 1.5 takes no other percentage, so its own is scaled.
fn quarter(untold: &Connection) -> duckdb::Result<String> {
    let query = "
        SELECT (split_part(most, ' ', 1)::DOUBLE * 25 / 80)::VARCHAR || split_part(most, ' ', 2)
        FROM (SELECT current_setting('memory_limit') AS most)";
    untold.query_row(query, [], |row| row.get(0))
}

/// A generation's connections, ready for questions.
pub(super) struct Attached {
    pub(super) connections: Vec<Connection>,
    pub(super) schema: String,
    /// Functions that the file defines.
    pub(super) foreign: ForeignNames,
}

/// The engine's own bounds, behind the watchdog's.
fn bound(connection: &Connection, limits: &ReaderLimits) -> duckdb::Result<()> {
    let longest = limits.drain.as_millis();
    let mut settings = vec![("max_execution_time", longest.to_string())];
    settings.extend(limits.question_memory.map(|bytes| ("operator_memory_limit", format!("'{bytes}B'"))));
    settings.iter().try_for_each(|(name, value)| set_if_known(connection, name, value))
}

/// Sets what this DuckDB knows: 1.5 has no bounds for single questions, one without ICU no time zone.
fn set_if_known(connection: &Connection, name: &str, value: &str) -> duckdb::Result<()> {
    match connection.execute_batch(&format!("SET {name} = {value}")) {
        Err(error) if error.to_string().contains("unrecognized configuration parameter") => Ok(()),
        set => set,
    }
}

/// What the file served at `path` is called inside: its stem, unless DuckDB keeps that name for itself or a schema has it too.
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

    /// What is set, in bytes.
    fn memory(connection: &Connection) -> f64 {
        let set: String = connection.query_row("SELECT current_setting('memory_limit')", [], |row| row.get(0)).unwrap();
        let (number, unit) = set.split_once(' ').unwrap();
        let power = ["bytes", "KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit).unwrap();
        number.parse::<f64>().unwrap() * 1024_f64.powi(i32::try_from(power).unwrap())
    }

    #[test]
    fn two_generations_at_once_leave_half_of_the_memory_to_others() {
        let untold = Connection::open_in_memory().unwrap();
        let generation = Blank::new(&ReaderLimits::default(), None).unwrap();
        let share = 2.0 * memory(&generation.connections[0]) / (memory(&untold) / 0.8);
        assert!((share - 0.5).abs() < 0.01, "{share}");
    }

    #[test]
    fn nothing_can_be_reached_or_changed_once_a_file_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.duckdb");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t AS SELECT 1 AS a").unwrap();
        let attached = Blank::new(&ReaderLimits::default(), None).unwrap().attach(&path, "x", "main").unwrap();
        for (setting, value) in
            [("enable_external_access", "false"), ("lock_configuration", "true"), ("autoload_known_extensions", "false")]
        {
            let query = "SELECT count(*) FROM duckdb_settings() WHERE name = ? AND value = ?";
            for connection in &attached.connections {
                let set: i64 = connection.query_row(query, [setting, value], |row| row.get(0)).unwrap();
                assert_eq!(set, 1, "{setting}");
            }
        }
    }
}
