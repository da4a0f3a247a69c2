//! A DuckLake as the served store: tables as Parquet files in a folder or a bucket, their catalog
//! in PostgreSQL, SQLite or a DuckDB file. Any number of machines can read it.
//!
//! Each commit by materia is one generation: a DuckLake snapshot with materia as its author, whose
//! extra information contains the generation's [`crate::store::Manifest`]. A snapshot whose
//! dashboards are still to be checked has another author until it is published. The history and the pins
//! are not data of a generation. They are in two tables of the catalog's own database,
//! `materia_history` and `materia_pins`, so that writing them creates no snapshot.
//!
//! Only `export/lake/` writes the lake. Readers never attach it: they get a frozen catalog (see
//! [`frozen`]).

mod address;
mod catalog;
mod credentials;
mod foreign;
mod frozen;
mod grants;
mod storage;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use address::{CatalogUrl, SCHEME};
pub(crate) use catalog::{GenerationSnapshot, LakeState};
pub use credentials::Credentials;
use duckdb::{Config, Connection};
pub(crate) use frozen::FrozenCatalog;
pub use grants::{LakeAccess, LakeRoles};
pub use storage::DamagedFile;
pub(crate) use storage::{DataFile, describe_damage, find_damaged_files, read_footer};

use self::address::CatalogBackend;
use crate::{
    engine_error,
    extensions::{Extension, ExtensionDir, ExtensionError},
    humanize, sql,
};

/// The author of snapshots that are generations.
pub(crate) const AUTHOR: &str = "materia";
/// The author of snapshots that are still being checked. Readers do not follow them.
pub(crate) const CANDIDATE_AUTHOR: &str = "materia (not published)";
/// A table with one row that every generation replaces, in a separate schema: of two concurrent
/// exporters, only one can commit. It also identifies the generation to readers that use the lake
/// without materia.
pub(crate) const GENERATION_TABLE: [&str; 2] = ["materia", "generation"];
/// Name of the catalog's own database while it is attached.
const CATALOG: &str = "catalog";
/// How long to retry when another process has the catalog's file open.
const LOCK_RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for small queries to a catalog.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a lake cannot be used. The texts contain no password.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// DuckDB lacks a required extension.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The catalog does not respond.
    #[error("the catalog of {lake} cannot be reached: {why}")]
    Unreachable { lake: String, why: String },
    /// The catalog does not exist yet.
    #[error("{lake} contains no lake yet; the first `materia export` creates it")]
    Missing { lake: String },
    /// The served generation's snapshot is gone.
    #[error(
        "{lake} has no generation any more, although it served {generation}: another client expired its snapshot; run `materia export`, which publishes the data again"
    )]
    Expired { lake: String, generation: String },
    /// The configured location of the data is not the recorded one.
    #[error(
        "the data of {lake} is in {recorded}, but MATERIA_LAKE_DATA (data under [lake] in materia.toml) names {configured}; remove that setting, or move the data first: see \"Moving and restoring a lake\" in docs/scaling.md"
    )]
    OtherData { lake: String, recorded: String, configured: String },
    /// The storage cannot be listed.
    #[error("the data of {lake} cannot be read: {why}")]
    Storage { lake: String, why: String },
    /// Data to be served is missing or damaged.
    #[error("{lake} lost data while it was written: {why}; nothing was published. Run it again")]
    DataLost { lake: String, why: String },
    /// A DuckDB operation failed.
    #[error("cannot {doing}: {why}")]
    Engine { doing: String, why: String },
}

impl LakeError {
    pub(crate) fn engine(doing: &str, source: &duckdb::Error) -> Self {
        Self::Engine { doing: doing.to_owned(), why: engine_error::cause(&source.to_string()) }
    }

    /// Returns the first line of DuckDB's reason: the following ones repeat materia's own
    /// statement.
    pub(crate) fn reason(source: &duckdb::Error) -> String {
        engine_error::cause(source.to_string().lines().next().unwrap_or_default())
    }
}

impl From<LakeError> for std::io::Error {
    fn from(error: LakeError) -> Self {
        Self::other(error)
    }
}

/// A lake: the locations of its catalog and data, and the credentials of both. Cheap to clone;
/// clones share one connection to the catalog.
#[derive(Clone)]
pub struct Lake(Arc<Inner>);

struct Inner {
    address: CatalogUrl,
    name: String,
    data: Option<String>,
    credentials: Credentials,
    extensions: ExtensionDir,
    /// Grace period of replaced generations and minimum age of orphaned data.
    keeping: RetentionPolicy,
    /// The snapshot to serve in place of the newest generation.
    at: Option<i64>,
    catalog: Mutex<Option<Connection>>,
}

/// How long data that is no longer served is retained for readers and transactions that may still
/// need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How long a replaced generation is retained regardless of `keep`, since readers may still be
    /// using it.
    pub grace: Duration,
    /// Minimum age at which data that belongs to no snapshot is removed. Such data is left by
    /// killed exporters, but also belongs to transactions in progress.
    pub orphans: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { grace: Duration::from_hours(1), orphans: Duration::from_hours(24) }
    }
}

impl Lake {
    /// Returns the lake whose catalog is at `address`. `data` is the location of its tables, a
    /// folder or `s3://bucket/prefix/`, which is required to create a lake.
    #[must_use]
    pub fn new(
        address: CatalogUrl,
        data: Option<String>,
        credentials: Credentials,
        extensions: ExtensionDir,
        keeping: RetentionPolicy,
    ) -> Self {
        let address = address.with_password(credentials.password.as_ref());
        let name = address.to_string();
        Self(Arc::new(Inner {
            address,
            name,
            data,
            credentials,
            extensions,
            keeping,
            at: None,
            catalog: Mutex::new(None),
        }))
    }

    /// Returns the same lake with a separate connection, for callers that must not wait for others.
    #[must_use]
    pub fn with_own_connection(&self) -> Self {
        self.serving(self.0.at)
    }

    /// Returns the same lake as if it served this snapshot.
    #[must_use]
    pub(crate) fn at(&self, snapshot: i64) -> Self {
        self.serving(Some(snapshot))
    }

    fn serving(&self, at: Option<i64>) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            address: inner.address.clone(),
            name: inner.name.clone(),
            data: inner.data.clone(),
            credentials: inner.credentials.clone(),
            extensions: inner.extensions.clone(),
            keeping: inner.keeping,
            at,
            catalog: Mutex::new(None),
        }))
    }

    /// Returns the lake's address, without a password.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the extensions of DuckDB that it needs, as far as its settings show.
    #[must_use]
    pub fn extensions(&self) -> Vec<Extension> {
        let catalog = match self.0.address.catalog {
            CatalogBackend::Postgres(_) => Some(Extension::Postgres),
            CatalogBackend::Sqlite(_) => Some(Extension::Sqlite),
            CatalogBackend::DuckDb(_) => None,
        };
        let is_remote = self.is_configured_remote();
        let storage = is_remote.then_some(Extension::Httpfs);
        [Some(Extension::DuckLake), catalog, storage].into_iter().flatten().collect()
    }

    /// Returns the catalog's file, if it is a DuckDB file, to which no connection is kept.
    pub(crate) fn catalog_file(&self) -> Option<&Path> {
        match &self.0.address.catalog {
            CatalogBackend::DuckDb(path) => Some(path),
            CatalogBackend::Sqlite(_) | CatalogBackend::Postgres(_) => None,
        }
    }

    /// Returns whether its settings say that the data is accessed over the network, without a query
    /// to the catalog.
    pub(crate) fn is_configured_remote(&self) -> bool {
        self.0.data.as_deref().is_some_and(credentials::is_remote)
    }

    /// Checks that the extensions for its readers are installed, without loading them.
    ///
    /// # Errors
    /// The first missing extension.
    pub(crate) fn check_extensions(&self) -> Result<(), LakeError> {
        Ok(self.0.extensions.check(&self.extensions())?)
    }

    pub(crate) fn retention(&self) -> RetentionPolicy {
        self.0.keeping
    }

    /// Attaches the lake to a DuckDB for writing, and creates it if missing.
    pub(crate) fn attach(&self, connection: &Connection, alias: &str) -> Result<(), LakeError> {
        let inner = &self.0;
        credentials::load_catalog_secret(connection, &inner.address, &inner.extensions)?;
        let there = self.check_data_path()?;
        let place = inner.data.clone().or(there);
        let Some(place) = place else {
            let why = "it does not exist yet, and no setting says where its data goes; name a folder or a bucket as MATERIA_LAKE_DATA, or as data under [lake] in materia.toml";
            return Err(LakeError::Engine {
                doing: format!("make {}", inner.name),
                why: why.to_owned(),
            });
        };
        credentials::load_storage_secret(
            connection,
            &inner.credentials,
            credentials::is_remote(&place),
            &inner.extensions,
        )?;
        let mut options = vec![
            format!("DATA_PATH {}", sql::literal(&place)),
            "DATA_INLINING_ROW_LIMIT 0".to_owned(),
        ];
        match inner.address.catalog {
            CatalogBackend::Sqlite(_) => options.extend([
                "META_JOURNAL_MODE 'WAL'".to_owned(),
                "META_BUSY_TIMEOUT 10000".to_owned(),
            ]),
            CatalogBackend::Postgres(_) if inner.address.password.is_some() => {
                options.push(format!("META_SECRET '{}'", credentials::CATALOG_SECRET));
            }
            CatalogBackend::Postgres(_) | CatalogBackend::DuckDb(_) => {}
        }
        let statement = format!(
            "ATTACH {} AS {} ({})",
            sql::literal(&inner.address.lake()),
            sql::ident(alias),
            options.join(", ")
        );
        Self::retry_while_locked(|| connection.execute_batch(&statement))
            .map_err(|error| self.unreachable(&error))
    }

    /// Returns the recorded location of the data, if the lake exists, and refuses a configured one
    /// that contradicts it.
    pub(crate) fn check_data_path(&self) -> Result<Option<String>, LakeError> {
        let recorded = self.data_path()?;
        match (&recorded, &self.0.data) {
            (Some(recorded), Some(configured)) if recorded != configured => {
                Err(LakeError::OtherData {
                    lake: self.0.name.clone(),
                    recorded: recorded.clone(),
                    configured: configured.clone(),
                })
            }
            _ => Ok(recorded),
        }
    }

    /// Prepares a DuckDB to attach a frozen catalog.
    pub(crate) fn load_storage(
        &self,
        connection: &Connection,
        is_remote: bool,
    ) -> Result<(), LakeError> {
        credentials::load_storage_secret(
            connection,
            &self.0.credentials,
            is_remote,
            &self.0.extensions,
        )
    }

    /// Returns whether the data is accessed over the network; `false` while the data path is
    /// unknown.
    pub(crate) fn is_remote(&self) -> bool {
        let place = self.0.data.clone().or_else(|| self.data_path().ok().flatten());
        place.is_some_and(|place| credentials::is_remote(&place))
    }

    /// Runs a small query on the catalog's own database. A broken connection is replaced.
    fn query<T: Send + 'static>(
        &self,
        ask: impl Fn(&Connection) -> duckdb::Result<T> + Send + 'static,
    ) -> Result<T, LakeError> {
        self.query_with_timeout(QUERY_TIMEOUT, ask)
    }

    /// Runs a query that may take longer on the catalog's own database.
    fn query_with_timeout<T: Send + 'static>(
        &self,
        limit: Duration,
        ask: impl Fn(&Connection) -> duckdb::Result<T> + Send + 'static,
    ) -> Result<T, LakeError> {
        let mut kept = self.0.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let (lake, connection) = (self.clone(), kept.take());
        let (answer, connection) =
            self.with_timeout(limit, move || lake.query_until(connection, &ask))?;
        *kept = connection;
        answer
    }

    /// Returns the result, and the connection for the next query.
    fn query_until<T>(
        &self,
        kept: Option<Connection>,
        ask: &impl Fn(&Connection) -> duckdb::Result<T>,
    ) -> (Result<T, LakeError>, Option<Connection>) {
        // An open DuckDB file would block every process that wants to write it.
        let keep = |connection| {
            (!matches!(self.0.address.catalog, CatalogBackend::DuckDb(_))).then_some(connection)
        };
        let missing = || LakeError::Missing { lake: self.0.name.clone() };
        if let Some(connection) = kept {
            match ask(&connection) {
                Ok(answer) => return (Ok(answer), keep(connection)),
                Err(error) if is_missing_catalog(&error) => return (Err(missing()), None),
                Err(_) => {}
            }
        }
        let connection = match self.connect("READ_ONLY") {
            Ok(connection) => connection,
            Err(error) => return (Err(error), None),
        };
        match ask(&connection) {
            Ok(answer) => (Ok(answer), keep(connection)),
            Err(error) if is_missing_catalog(&error) => (Err(missing()), None),
            Err(error) => (Err(self.unreachable(&error)), None),
        }
    }

    /// Writes to the catalog's own database, outside of any snapshot.
    fn execute<T: Send + 'static>(
        &self,
        change: impl Fn(&Connection) -> duckdb::Result<T> + Send + 'static,
    ) -> Result<T, LakeError> {
        let lake = self.clone();
        let run = move || {
            let connection = lake.connect("READ_WRITE")?;
            Self::retry_while_locked(|| change(&connection)).map_err(|error| {
                if is_missing_catalog(&error) {
                    LakeError::Missing { lake: lake.0.name.clone() }
                } else {
                    lake.unreachable(&error)
                }
            })
        };
        self.with_timeout(QUERY_TIMEOUT, run)?
    }

    /// Runs `work` on a separate thread and abandons it after the timeout: a thread that waits for
    /// an unresponsive PostgreSQL cannot be interrupted. The abandoned thread ends with its
    /// connection or with the process.
    fn with_timeout<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LakeError> {
        if !matches!(self.0.address.catalog, CatalogBackend::Postgres(_)) {
            return Ok(work());
        }
        let (answer, waiting) = mpsc::channel();
        let started = thread::Builder::new()
            .name("lake-catalog".to_owned())
            .spawn(move || drop(answer.send(work())));
        let why = match started {
            Err(error) => error.to_string(),
            Ok(_) => match waiting.recv_timeout(limit) {
                Ok(done) => return Ok(done),
                Err(_) => format!("no response within {}", humanize::duration(limit)),
            },
        };
        Err(LakeError::Unreachable { lake: self.0.name.clone(), why })
    }

    /// Opens a connection to the catalog's own database only.
    fn connect(&self, mode: &str) -> Result<Connection, LakeError> {
        let Inner { address, extensions, name, .. } = &*self.0;
        // Found out before a DuckDB is started for it: pollers ask several times a second.
        if let CatalogBackend::Sqlite(path) | CatalogBackend::DuckDb(path) = &address.catalog
            && !path.exists()
        {
            // Without its extension, no export could create it.
            if matches!(address.catalog, CatalogBackend::Sqlite(_)) {
                extensions.check(&[Extension::Sqlite])?;
            }
            return Err(LakeError::Missing { lake: name.clone() });
        }
        let start = || {
            Connection::open_in_memory_with_flags(
                Config::default().enable_autoload_extension(false)?.threads(1)?,
            )
        };
        let connection = start().map_err(|source| LakeError::engine("start DuckDB", &source))?;
        credentials::load_catalog_secret(&connection, address, extensions)?;
        let mut options = vec![mode.to_owned()];
        match &address.catalog {
            CatalogBackend::Postgres(_) => {
                options.push("TYPE postgres".to_owned());
                options.extend(
                    address
                        .password
                        .as_ref()
                        .map(|_| format!("SECRET {}", credentials::CATALOG_SECRET)),
                );
            }
            CatalogBackend::Sqlite(_) => {
                options.extend(["TYPE sqlite".to_owned(), "BUSY_TIMEOUT 10000".to_owned()]);
            }
            CatalogBackend::DuckDb(_) => {}
        }
        let statement = format!(
            "ATTACH {} AS {CATALOG} ({})",
            sql::literal(&address.database()),
            options.join(", ")
        );
        Self::retry_while_locked(|| connection.execute_batch(&statement))
            .map_err(|error| self.unreachable(&error))?;
        Ok(connection)
    }

    /// Retries while another process has the catalog's file locked, which is always brief.
    fn retry_while_locked<T>(work: impl Fn() -> duckdb::Result<T>) -> duckdb::Result<T> {
        let begun = Instant::now();
        loop {
            let done = work();
            let is_held = |error: &duckdb::Error| {
                let text = error.to_string();
                text.contains("Could not set lock on file") || text.contains("database is locked")
            };
            if !done.as_ref().is_err_and(is_held) || begun.elapsed() > LOCK_RETRY_TIMEOUT {
                return done;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn unreachable(&self, error: &duckdb::Error) -> LakeError {
        LakeError::Unreachable { lake: self.0.name.clone(), why: error.to_string() }
    }

    /// Returns the qualified name of a table in the catalog's own database.
    fn table(&self, name: &str) -> String {
        let schema = if matches!(self.0.address.catalog, CatalogBackend::Postgres(_)) {
            "public"
        } else {
            "main"
        };
        sql::path(&[CATALOG, schema, name])
    }
}

/// Returns whether the error means that the catalog's tables do not exist, rather than that they
/// cannot be read.
fn is_missing_catalog(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    text.contains("Catalog Error") && text.contains("does not exist")
}

impl PartialEq for Lake {
    fn eq(&self, other: &Self) -> bool {
        self.0.address == other.0.address && self.0.data == other.0.data && self.0.at == other.0.at
    }
}

impl Eq for Lake {}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lake").field(&self.0.name).finish()
    }
}

/// Returns a data path in the form that DuckLake stores: absolute, so that it is valid from any
/// working directory.
///
/// # Errors
/// The current folder no longer exists.
pub fn data_path(text: &str, folder: &Path) -> std::io::Result<String> {
    let slash = |text: String| if text.ends_with('/') { text } else { text + "/" };
    if text.contains("://") {
        return Ok(slash(text.to_owned()));
    }
    std::path::absolute(folder.join(text)).map(|path| slash(path.to_string_lossy().into_owned()))
}
