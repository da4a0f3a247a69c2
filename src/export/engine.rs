//! The exporter's own DuckDB: with resource limits and cancelable statements.

use std::{
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

use duckdb::{Config, Connection, Row};

use super::error::check_cancelled;
use super::{CancellationToken, ExportError, plan::STAGED_CATALOG};
use crate::{
    files, guard, sql,
    store::lake::{FrozenCatalog, Lake},
};

/// Interval at which a running statement's progress and the cancellation token are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Error text when a time zone cannot be set.
const NO_ICU: &str = "this DuckDB was built without ICU and knows UTC alone";

/// Limits on the resources of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// In DuckDB's notation: `2GB`.
    pub memory: Option<String>,
    pub threads: Option<usize>,
}

/// Checks that DuckDB accepts the limits and knows the storage version, before an attempt begins.
/// Needs no file.
///
/// # Errors
/// Returns the text to show, naming the flag.
pub fn check(limits: &ResourceLimits, storage_version: Option<&str>) -> Result<(), String> {
    if limits.memory.is_none() && storage_version.is_none() {
        return Ok(());
    }
    let opened = config(limits, Path::new("")).and_then(Connection::open_in_memory_with_flags);
    let connection = opened.map_err(|_| {
        let memory = limits.memory.as_deref().unwrap_or_default();
        format!("{memory:?} is not a memory limit; give --memory-limit a size, for example 2GB")
    })?;
    match storage_version {
        Some(requested)
            if connection
                .execute_batch(&format!(
                    "SET storage_compatibility_version = {}",
                    sql::literal(requested)
                ))
                .is_err() =>
        {
            Err(ExportError::NoStorageVersion { requested: requested.to_owned() }.to_string())
        }
        _ => Ok(()),
    }
}

pub(super) struct Engine {
    connection: Connection,
    cancel: CancellationToken,
    /// Ends the cancellation thread when the engine is dropped.
    _watched: Sender<()>,
}

impl Engine {
    /// Starts an in-memory DuckDB that spills to files in `spill`.
    pub(super) fn start(
        limits: &ResourceLimits,
        spill: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, ExportError> {
        let open = || {
            let connection = Connection::open_in_memory_with_flags(config(limits, spill)?)?;
            connection.set_query_progress_tracking(true)?;
            // Commits write nothing out: the checkpoint runs after the lakehouse is detached.
            connection.execute_batch("SET checkpoint_threshold = '1TB'")?;
            Ok(connection)
        };
        let memory = limits.memory.as_ref().map(|memory| {
            format!(" with a memory limit of {memory:?} (--memory-limit, for example 2GB)")
        });
        Self::of(open(), cancel, &format!("start{}", memory.unwrap_or_default()))
    }

    /// Opens a finished file in isolation under the staged file's name, as a reader would:
    /// read-only, with nothing else accessible.
    pub(super) fn open_isolated(
        path: &Path,
        limits: &ResourceLimits,
        spill: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, ExportError> {
        Self::open_with_served(path, "", limits, spill, cancel)
    }

    /// Opens a finished file as [`Engine::open_isolated`] does, after the statements that attach
    /// the file it is compared with.
    pub(super) fn open_with_served(
        path: &Path,
        attach_served: &str,
        limits: &ResourceLimits,
        spill: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, ExportError> {
        let open = || {
            let connection = Connection::open_in_memory_with_flags(config(limits, spill)?)?;
            connection.execute_batch(&format!(
                "{attach_served}{}; USE {}",
                attach(path, STAGED_CATALOG, "READ_ONLY"),
                sql::ident(STAGED_CATALOG)
            ))?;
            // The time zone that readers use; a DuckDB without ICU supports no other.
            let _ = connection.execute_batch("SET GLOBAL TimeZone = 'UTC'; SET TimeZone = 'UTC'");
            connection.execute_batch("SET enable_external_access = false")?;
            Ok(connection)
        };
        Self::of(open(), cancel, &format!("open {}", path.display()))
    }

    fn of(
        connection: duckdb::Result<Connection>,
        cancel: &CancellationToken,
        doing: &str,
    ) -> Result<Self, ExportError> {
        let connection = connection.map_err(|source| ExportError::engine(doing, source))?;
        let (watched, waiting) = channel();
        let (interrupt, requested) = (connection.interrupt_handle(), cancel.clone());
        std::thread::spawn(move || {
            while waiting.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if requested.is_cancelled() {
                    interrupt.interrupt();
                }
            }
        });
        Ok(Self { connection, cancel: cancel.clone(), _watched: watched })
    }

    /// Sets the time zone in which views are evaluated, for this connection and its clones.
    pub(super) fn set_time_zone(&self, zone: &str) -> Result<(), ExportError> {
        let zone_text = sql::literal(zone);
        match self.execute_batch(&format!(
            "SET GLOBAL TimeZone = {zone_text}; SET TimeZone = {zone_text}"
        )) {
            // Without ICU the setting does not exist, and DuckDB rejects views that convert between
            // time zones.
            Err(ExportError::Engine { source, .. })
                if source.to_string().contains("unrecognized configuration parameter") =>
            {
                if zone.eq_ignore_ascii_case("UTC") {
                    Ok(())
                } else {
                    Err(ExportError::TimeZone { zone: zone.to_owned(), why: NO_ICU.to_owned() })
                }
            }
            Err(ExportError::Engine { source, .. }) => Err(ExportError::TimeZone {
                zone: zone.to_owned(),
                why: super::error::reason(&source),
            }),
            set => set,
        }
    }

    /// Disables external access for good: from here on, DuckDB opens only what is attached, the
    /// files named here, and its spill files.
    pub(super) fn close_outside<'a>(
        &self,
        databases: &[&Path],
        files: impl Iterator<Item = &'a Path>,
    ) -> Result<(), ExportError> {
        let with_logs = |path: &&Path| {
            let logs = files::WAL_SUFFIXES.iter().map(|ending| files::with_suffix(path, ending));
            std::iter::once(path.to_path_buf()).chain(logs).collect::<Vec<_>>()
        };
        let databases = databases.iter().flat_map(with_logs);
        // DuckDB compares file names literally.
        let full =
            databases.filter_map(|path| Some([std::path::absolute(&path).ok()?, path])).flatten();
        let allowed = full
            .chain(files.map(Path::to_path_buf))
            .map(|path| sql::literal(&path.to_string_lossy()));
        let allowed = allowed.collect::<Vec<_>>().join(", ");
        self.execute_batch(&format!(
            "SET allowed_paths = [{allowed}]; SET enable_external_access = false"
        ))
    }

    /// Opens another connection to the same DuckDB, for concurrent work.
    pub(super) fn try_clone(&self) -> Result<Self, ExportError> {
        Self::of(self.connection.try_clone(), &self.cancel, "open another connection")
    }

    /// Runs one statement to completion and returns the number of rows changed. `progress` receives
    /// percentages meanwhile.
    pub(super) fn run(
        &self,
        statement: &str,
        mut progress: impl FnMut(f64) + Send,
    ) -> Result<usize, ExportError> {
        let meter = self.connection.progress_handle();
        let (done, waiting) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while waiting.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if let Some(percent) = meter.query_progress().percentage() {
                        progress(percent);
                    }
                }
            });
            let result =
                self.interruptible(statement, |connection| connection.execute(statement, []));
            drop(done);
            result
        })
    }

    /// Attaches a lake for writing, and creates it if missing.
    pub(super) fn attach_lake(&self, lake: &Lake, alias: &str) -> Result<(), ExportError> {
        check_cancelled(&self.cancel)?;
        let attached = lake.attach(&self.connection, alias);
        check_cancelled(&self.cancel)?;
        Ok(attached?)
    }

    /// Attaches one snapshot of a lake for reading.
    pub(super) fn attach_snapshot(
        &self,
        lake: &Lake,
        frozen: &FrozenCatalog,
        alias: &str,
    ) -> Result<(), ExportError> {
        lake.load_storage(&self.connection, frozen.is_remote())?;
        self.execute_batch(&format!(
            "ATTACH {} AS {alias} (READ_ONLY)",
            sql::literal(&frozen.address())
        ))
    }

    /// Runs statements that finish at once.
    pub(super) fn execute_batch(&self, statements: &str) -> Result<(), ExportError> {
        self.interruptible(statements, |connection| connection.execute_batch(statements))
    }

    pub(super) fn rows<T>(
        &self,
        query: &str,
        values: &[&str],
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>, ExportError> {
        self.interruptible(query, |connection| {
            connection.prepare(query)?.query_map(duckdb::params_from_iter(values), read)?.collect()
        })
    }

    /// Reads a query with one text column.
    pub(super) fn query_strings(
        &self,
        query: &str,
        values: &[&str],
    ) -> Result<Vec<String>, ExportError> {
        self.rows(query, values, |row| row.get(0))
    }

    /// Reads a query with one number.
    pub(super) fn query_u64(&self, query: &str) -> Result<u64, ExportError> {
        self.interruptible(query, |connection| connection.query_row(query, [], |row| row.get(0)))
    }

    /// Checks that user-supplied SQL only reads; otherwise returns the reason for refusing it.
    pub(super) fn check_read_only(&self, sql: &str) -> Result<(), String> {
        guard::check(&self.connection, sql, &guard::ForeignNames::default())
    }

    /// Runs `work` unless the export is canceled.
    fn interruptible<T>(
        &self,
        statement: &str,
        work: impl FnOnce(&Connection) -> duckdb::Result<T>,
    ) -> Result<T, ExportError> {
        check_cancelled(&self.cancel)?;
        let result = work(&self.connection);
        check_cancelled(&self.cancel)?;
        result.map_err(|source| ExportError::engine(&shorten(statement), source))
    }
}

fn config(limits: &ResourceLimits, spill: &Path) -> duckdb::Result<Config> {
    // Extensions are neither loaded nor installed because a view mentions a name: statements can
    // only use what is built into DuckDB.
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

/// Returns an `ATTACH` statement for a path given as data.
pub(super) fn attach(path: &Path, catalog: &str, options: &str) -> String {
    format!(
        "ATTACH {} AS {} ({options})",
        sql::literal(&path.to_string_lossy()),
        sql::ident(catalog)
    )
}

fn shorten(statement: &str) -> String {
    const MOST: usize = 120;
    let one_line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &one_line[..end]),
        None => one_line,
    }
}
