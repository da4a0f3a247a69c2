//! The exporter's own DuckDB: within limits, every statement interruptible.

use std::{
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

use duckdb::{Config, Connection, Row};

use super::{Cancel, ExportError, lakehouse::COMPANIONS, plan::STAGED};
use crate::{
    files, guard,
    lake::{Frozen, Lake},
    sql,
};

/// How often a running statement is asked for its progress and whether it should stop.
const PULSE: Duration = Duration::from_millis(100);

/// Why a time zone cannot be set.
const NO_ICU: &str = "this DuckDB was built without ICU and knows UTC alone";

/// Bounds on what an export may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// As DuckDB writes it: `2GB`.
    pub memory: Option<String>,
    /// Number of threads.
    pub threads: Option<usize>,
}

/// Checks that DuckDB takes the limits and knows the storage version, without a file and before anything is attempted.
///
/// # Errors
/// The text to show, naming the flag.
pub fn check(limits: &Limits, storage_version: Option<&str>) -> Result<(), String> {
    if limits.memory.is_none() && storage_version.is_none() {
        return Ok(());
    }
    let opened = config(limits, Path::new("")).and_then(Connection::open_in_memory_with_flags);
    let connection = opened.map_err(|_| {
        let memory = limits.memory.as_deref().unwrap_or_default();
        format!("{memory:?} is not a memory limit; give --memory-limit a size, for example 2GB")
    })?;
    match storage_version {
        Some(asked) if connection.execute_batch(&format!("SET storage_compatibility_version = {}", sql::literal(asked))).is_err() => {
            Err(ExportError::NoStorageVersion { asked: asked.to_owned() }.to_string())
        }
        _ => Ok(()),
    }
}

pub(super) struct Engine {
    connection: Connection,
    cancel: Cancel,
    /// Ends the thread that interrupts what is running when somebody asks to stop: with the engine.
    _watched: Sender<()>,
}

impl Engine {
    /// Starts DuckDB in memory; what does not fit there goes to files in `spill`.
    pub(super) fn start(limits: &Limits, spill: &Path, cancel: &Cancel) -> Result<Self, ExportError> {
        let open = || {
            let connection = Connection::open_in_memory_with_flags(config(limits, spill)?)?;
            connection.set_query_progress_tracking(true)?;
            // A commit writes nothing out: the lakehouse is detached before the checkpoint that does.
            connection.execute_batch("SET checkpoint_threshold = '1TB'")?;
            Ok(connection)
        };
        let memory = limits.memory.as_ref().map(|memory| format!(" with a memory limit of {memory:?} (--memory-limit, for example 2GB)"));
        Self::of(open(), cancel, &format!("start{}", memory.unwrap_or_default()))
    }

    /// Opens a finished file by itself and under the staged file's name, as a reader would: read-only, with nothing else within its reach.
    pub(super) fn alone(path: &Path, limits: &Limits, spill: &Path, cancel: &Cancel) -> Result<Self, ExportError> {
        Self::beside_served(path, "", limits, spill, cancel)
    }

    /// Opens a finished file as [`Engine::alone`] does, after the statements that attach what it is compared with.
    pub(super) fn beside_served(
        path: &Path,
        attach_served: &str,
        limits: &Limits,
        spill: &Path,
        cancel: &Cancel,
    ) -> Result<Self, ExportError> {
        let open = || {
            let connection = Connection::open_in_memory_with_flags(config(limits, spill)?)?;
            connection.execute_batch(&format!("{attach_served}{}; USE {}", attach(path, STAGED, "READ_ONLY"), sql::ident(STAGED)))?;
            // As readers are; a DuckDB without ICU knows nothing else.
            let _ = connection.execute_batch("SET GLOBAL TimeZone = 'UTC'; SET TimeZone = 'UTC'");
            connection.execute_batch("SET enable_external_access = false")?;
            Ok(connection)
        };
        Self::of(open(), cancel, &format!("open {}", path.display()))
    }

    fn of(connection: duckdb::Result<Connection>, cancel: &Cancel, doing: &str) -> Result<Self, ExportError> {
        let connection = connection.map_err(|source| ExportError::engine(doing, source))?;
        let (watched, waiting) = channel();
        let (interrupt, asked) = (connection.interrupt_handle(), cancel.clone());
        std::thread::spawn(move || {
            while waiting.recv_timeout(PULSE) == Err(RecvTimeoutError::Timeout) {
                if asked.requested() {
                    interrupt.interrupt();
                }
            }
        });
        Ok(Self { connection, cancel: cancel.clone(), _watched: watched })
    }

    /// Sets the time zone in which views are evaluated, for this connection and those made from it.
    pub(super) fn set_time_zone(&self, zone: &str) -> Result<(), ExportError> {
        let zone_text = sql::literal(zone);
        match self.quick(&format!("SET GLOBAL TimeZone = {zone_text}; SET TimeZone = {zone_text}")) {
            // Without ICU there is no such setting, and a DuckDB that cannot convert between time zones refuses views that need it.
            Err(ExportError::Engine { source, .. }) if source.to_string().contains("unrecognized configuration parameter") => {
                if zone.eq_ignore_ascii_case("UTC") {
                    Ok(())
                } else {
                    Err(ExportError::TimeZone { zone: zone.to_owned(), why: NO_ICU.to_owned() })
                }
            }
            Err(ExportError::Engine { source, .. }) => {
                Err(ExportError::TimeZone { zone: zone.to_owned(), why: super::error::reason(&source) })
            }
            set => set,
        }
    }

    /// Closes the world outside to this DuckDB for good: from here on it opens what is attached, what is named here, and its spilled data.
    pub(super) fn close_outside<'a>(&self, databases: &[&Path], files: impl Iterator<Item = &'a Path>) -> Result<(), ExportError> {
        let with_logs = |path: &&Path| {
            let logs = COMPANIONS.iter().map(|ending| files::with_suffix(path, ending));
            std::iter::once(path.to_path_buf()).chain(logs).collect::<Vec<_>>()
        };
        let databases = databases.iter().flat_map(with_logs);
        // DuckDB compares names as they are written.
        let full = databases.filter_map(|path| Some([std::path::absolute(&path).ok()?, path])).flatten();
        let allowed = full.chain(files.map(Path::to_path_buf)).map(|path| sql::literal(&path.to_string_lossy()));
        let allowed = allowed.collect::<Vec<_>>().join(", ");
        self.quick(&format!("SET allowed_paths = [{allowed}]; SET enable_external_access = false"))
    }

    /// Another connection to the same DuckDB, for work side by side.
    pub(super) fn beside(&self) -> Result<Self, ExportError> {
        Self::of(self.connection.try_clone(), &self.cancel, "open another connection")
    }

    /// Runs one statement to its end and returns the number of rows it changed. `progress` gets percentages while it runs.
    pub(super) fn run(&self, statement: &str, mut progress: impl FnMut(f64) + Send) -> Result<usize, ExportError> {
        let meter = self.connection.progress_handle();
        let (done, waiting) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while waiting.recv_timeout(PULSE) == Err(RecvTimeoutError::Timeout) {
                    if let Some(percent) = meter.query_progress().percentage() {
                        progress(percent);
                    }
                }
            });
            let result = self.watched(statement, |connection| connection.execute(statement, []));
            drop(done);
            result
        })
    }

    /// Attaches a lake that will be written, and makes it where there is none.
    pub(super) fn attach_lake(&self, lake: &Lake, alias: &str) -> Result<(), ExportError> {
        self.cancel.check()?;
        let attached = lake.attach(&self.connection, alias);
        self.cancel.check()?;
        Ok(attached?)
    }

    /// Attaches one snapshot of a lake for reading.
    pub(super) fn open_frozen(&self, lake: &Lake, frozen: &Frozen, alias: &str) -> Result<(), ExportError> {
        lake.prepare_reader(&self.connection, frozen.is_remote())?;
        self.quick(&format!("ATTACH {} AS {alias} (READ_ONLY)", sql::literal(&frozen.address())))
    }

    /// Runs statements that are over at once.
    pub(super) fn quick(&self, statements: &str) -> Result<(), ExportError> {
        self.watched(statements, |connection| connection.execute_batch(statements))
    }

    /// Reads all rows of a query.
    pub(super) fn rows<T>(
        &self,
        query: &str,
        values: &[&str],
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>, ExportError> {
        self.watched(query, |connection| connection.prepare(query)?.query_map(duckdb::params_from_iter(values), read)?.collect())
    }

    /// Reads a query of one text column.
    pub(super) fn texts(&self, query: &str, values: &[&str]) -> Result<Vec<String>, ExportError> {
        self.rows(query, values, |row| row.get(0))
    }

    /// Reads a query of one number.
    pub(super) fn number(&self, query: &str) -> Result<u64, ExportError> {
        self.watched(query, |connection| connection.query_row(query, [], |row| row.get(0)))
    }

    /// Whether SQL from outside only reads; or the reason why it is refused.
    pub(super) fn check_read_only(&self, sql: &str) -> Result<(), String> {
        guard::check(&self.connection, sql, &guard::ForeignNames::default())
    }

    /// Does `work`, unless somebody asks to stop.
    fn watched<T>(&self, statement: &str, work: impl FnOnce(&Connection) -> duckdb::Result<T>) -> Result<T, ExportError> {
        self.cancel.check()?;
        let result = work(&self.connection);
        self.cancel.check()?;
        result.map_err(|source| ExportError::engine(&shorten(statement), source))
    }
}

fn config(limits: &Limits, spill: &Path) -> duckdb::Result<Config> {
    // What a statement needs is in DuckDB itself, or not to be had: nothing is loaded or installed because of a name in somebody's view.
    let mut config = Config::default()
        .enable_autoload_extension(false)?
        .with("autoinstall_known_extensions", "false")?
        .with("temp_directory", spill.to_string_lossy())?;
    if let Some(memory) = &limits.memory {
        config = config.max_memory(memory)?;
    }
    if let Some(threads) = limits.threads {
        config = config.threads(i64::try_from(threads).unwrap_or(i64::MAX))?;
    }
    Ok(config)
}

/// `ATTACH` for a path that is given as data.
pub(super) fn attach(path: &Path, catalog: &str, options: &str) -> String {
    format!("ATTACH {} AS {} ({options})", sql::literal(&path.to_string_lossy()), sql::ident(catalog))
}

fn shorten(statement: &str) -> String {
    const MOST: usize = 120;
    let one_line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &one_line[..end]),
        None => one_line,
    }
}
