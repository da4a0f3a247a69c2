//! A DuckLake as the place that is served: tables as Parquet in a folder or a bucket, their catalog in PostgreSQL, SQLite or a DuckDB file.
//! Any number of machines read it.
//!
//! One commit that materia makes is one generation: a snapshot of DuckLake, signed with materia as its author, whose extra information is the
//! generation's [`crate::export::Manifest`]. What is not data of a generation, the history and the pins, stands in two tables of the
//! catalog's own database, `materia_history` and `materia_pins`, so that writing them makes no snapshot.
//!
//! The lake is written by `export/lake/` alone. Readers never attach it: they get a frozen catalog (see [`frozen`]).

mod access;
mod address;
mod catalog;
mod frozen;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use access::Credentials;
pub use address::{Address, SCHEME};
pub(crate) use catalog::{Commit, Found};
use duckdb::{Config, Connection};
pub(crate) use frozen::Frozen;

use self::address::CatalogPlace;
use crate::{
    extensions::{ExtensionError, Extensions},
    sql, words,
};

/// Who signs the snapshots that are generations.
pub(crate) const AUTHOR: &str = "materia";
/// A schema of the lake with one table of one row that every generation replaces, so that of two exporters at the same time one commits. It also tells
/// whoever reads the lake without materia which generation it is.
pub(crate) const MARK: [&str; 2] = ["materia", "generation"];
/// What the catalog's own database is called while it is attached.
const CATALOG: &str = "catalog";
/// For how long a catalog in a file that somebody else has open is tried again.
const HELD: Duration = Duration::from_secs(10);
/// For how long a catalog is waited for that has been asked something small.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Why a lake cannot be used. Says no password.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// DuckDB lacks what a lake needs.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The catalog does not answer.
    #[error("the catalog of {lake} cannot be reached: {why}")]
    Unreachable {
        /// The lake.
        lake: String,
        /// DuckDB's reason.
        why: String,
    },
    /// There is no catalog yet.
    #[error("{lake} holds no lake yet; the first `materia export` makes it")]
    Missing {
        /// The lake.
        lake: String,
    },
    /// DuckDB could not do something.
    #[error("cannot {doing}: {why}")]
    Engine {
        /// What was tried.
        doing: String,
        /// DuckDB's reason.
        why: String,
    },
}

impl LakeError {
    pub(crate) fn engine(doing: &str, source: &duckdb::Error) -> Self {
        Self::Engine { doing: doing.to_owned(), why: source.to_string() }
    }
}

impl From<LakeError> for std::io::Error {
    fn from(error: LakeError) -> Self {
        Self::other(error)
    }
}

/// A lake: where its catalog is, where its data is, and what opens both. Cheap to clone; clones share one connection to the catalog.
#[derive(Clone)]
pub struct Lake(Arc<Inner>);

struct Inner {
    address: Address,
    name: String,
    data: Option<String>,
    credentials: Credentials,
    extensions: Extensions,
    /// How long a reader may take to let go of a former generation, and how old data must be that belongs to none.
    keeping: Keeping,
    catalog: Mutex<Option<Connection>>,
}

/// How long what is not served any more is kept for those who may still need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// After another generation took its place, a generation is kept for this long whatever `keep` says: readers may be answering from it.
    pub grace: Duration,
    /// Data that belongs to no snapshot is removed when it is older: a killed exporter's, but also that of a transaction which is still under way.
    pub orphans: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { grace: Duration::from_hours(1), orphans: Duration::from_hours(24) }
    }
}

impl Lake {
    /// A lake whose catalog is at `address`. `data` is where its tables go, a folder or `s3://bucket/prefix/`, and must be named to make one.
    #[must_use]
    pub fn new(address: Address, data: Option<String>, credentials: Credentials, extensions: Extensions, keeping: Keeping) -> Self {
        let address = address.or_password(credentials.password.as_ref());
        let name = address.to_string();
        Self(Arc::new(Inner { address, name, data, credentials, extensions, keeping, catalog: Mutex::new(None) }))
    }

    /// The same lake with a connection of its own, for somebody who must not wait for others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let inner = &self.0;
        Self::new(inner.address.clone(), inner.data.clone(), inner.credentials.clone(), inner.extensions.clone(), inner.keeping)
    }

    /// Its address, without a password.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn keeping(&self) -> Keeping {
        self.0.keeping
    }

    /// Attaches the lake to a DuckDB that will write it, and makes it where there is none.
    pub(crate) fn attach(&self, connection: &Connection, alias: &str) -> Result<(), LakeError> {
        let inner = &self.0;
        access::open_catalog(connection, &inner.address, &inner.extensions)?;
        let there = self.data_path()?;
        let place = inner.data.clone().or_else(|| there.clone());
        let Some(place) = place else {
            let why = "it is to be made, and nobody says where its data goes; name a folder or a bucket as MATERIA_LAKE_DATA, or data under [lake] in materia.toml";
            return Err(LakeError::Engine { doing: format!("make {}", inner.name), why: why.to_owned() });
        };
        access::open_storage(connection, &inner.credentials, access::is_remote(&place), &inner.extensions)?;
        let mut options = vec![format!("DATA_PATH {}", sql::literal(&place)), "DATA_INLINING_ROW_LIMIT 0".to_owned()];
        match inner.address.catalog {
            CatalogPlace::Sqlite(_) => options.extend(["META_JOURNAL_MODE 'WAL'".to_owned(), "META_BUSY_TIMEOUT 10000".to_owned()]),
            CatalogPlace::Postgres(_) if inner.address.password.is_some() => {
                options.push(format!("META_SECRET '{}'", access::CATALOG_SECRET));
            }
            CatalogPlace::Postgres(_) | CatalogPlace::DuckDb(_) => {}
        }
        let statement = format!("ATTACH {} AS {} ({})", sql::literal(&inner.address.lake()), sql::ident(alias), options.join(", "));
        Self::patiently(|| connection.execute_batch(&statement)).map_err(|error| self.unreachable(&error))
    }

    /// Prepares a DuckDB for a frozen catalog.
    pub(crate) fn prepare_reader(&self, connection: &Connection, is_remote: bool) -> Result<(), LakeError> {
        access::open_storage(connection, &self.0.credentials, is_remote, &self.0.extensions)
    }

    /// Whether its data is reached through the network; `false` where nobody knows yet.
    pub(crate) fn is_remote(&self) -> bool {
        let place = self.0.data.clone().or_else(|| self.data_path().ok().flatten());
        place.is_some_and(|place| access::is_remote(&place))
    }

    /// Asks the catalog's own database something small. A connection that broke is made again.
    fn ask<T: Send + 'static>(&self, ask: impl Fn(&Connection) -> duckdb::Result<T> + Send + 'static) -> Result<T, LakeError> {
        self.ask_within(ANSWERS_WITHIN, ask)
    }

    /// Asks it something that may take longer.
    fn ask_within<T: Send + 'static>(
        &self,
        limit: Duration,
        ask: impl Fn(&Connection) -> duckdb::Result<T> + Send + 'static,
    ) -> Result<T, LakeError> {
        let mut kept = self.0.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let (lake, connection) = (self.clone(), kept.take());
        let (answer, connection) = self.in_time(limit, move || lake.ask_by(connection, &ask))?;
        *kept = connection;
        answer
    }

    /// The answer, and the connection to ask by next time.
    fn ask_by<T>(
        &self,
        kept: Option<Connection>,
        ask: &impl Fn(&Connection) -> duckdb::Result<T>,
    ) -> (Result<T, LakeError>, Option<Connection>) {
        // A DuckDB file that stays open keeps everybody out who wants to write it.
        let keep = |connection| (!matches!(self.0.address.catalog, CatalogPlace::DuckDb(_))).then_some(connection);
        let missing = || LakeError::Missing { lake: self.0.name.clone() };
        if let Some(connection) = kept {
            match ask(&connection) {
                Ok(answer) => return (Ok(answer), keep(connection)),
                Err(error) if is_missing(&error) => return (Err(missing()), None),
                Err(_) => {}
            }
        }
        let connection = match self.connect("READ_ONLY") {
            Ok(connection) => connection,
            Err(error) => return (Err(error), None),
        };
        match ask(&connection) {
            Ok(answer) => (Ok(answer), keep(connection)),
            Err(error) if is_missing(&error) => (Err(missing()), None),
            Err(error) => (Err(self.unreachable(&error)), None),
        }
    }

    /// Writes to the catalog's own database, outside of any snapshot.
    fn tell(&self, tell: impl Fn(&Connection) -> duckdb::Result<()> + Send + 'static) -> Result<(), LakeError> {
        let lake = self.clone();
        let told = move || {
            let connection = lake.connect("READ_WRITE")?;
            Self::patiently(|| tell(&connection)).map_err(|error| {
                if is_missing(&error) { LakeError::Missing { lake: lake.0.name.clone() } } else { lake.unreachable(&error) }
            })
        };
        self.in_time(ANSWERS_WITHIN, told)?
    }

    /// Does something with the catalog, and goes away where that takes too long: nothing frees a thread that waits for a PostgreSQL which has stopped
    /// answering and has not ended. It is left behind, and ends with the connection or the process.
    fn in_time<T: Send + 'static>(&self, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LakeError> {
        if !matches!(self.0.address.catalog, CatalogPlace::Postgres(_)) {
            return Ok(work());
        }
        let (answer, waiting) = mpsc::channel();
        let started = thread::Builder::new().name("lake-catalog".to_owned()).spawn(move || drop(answer.send(work())));
        let why = match started {
            Err(error) => error.to_string(),
            Ok(_) => match waiting.recv_timeout(limit) {
                Ok(done) => return Ok(done),
                Err(_) => format!("no answer within {}", words::duration(limit)),
            },
        };
        Err(LakeError::Unreachable { lake: self.0.name.clone(), why })
    }

    /// A connection to the catalog's own database alone.
    fn connect(&self, mode: &str) -> Result<Connection, LakeError> {
        let Inner { address, extensions, name, .. } = &*self.0;
        let start = || Connection::open_in_memory_with_flags(Config::default().enable_autoload_extension(false)?.threads(1)?);
        let connection = start().map_err(|source| LakeError::engine("start DuckDB", &source))?;
        access::open_catalog(&connection, address, extensions)?;
        let mut options = vec![mode.to_owned()];
        match &address.catalog {
            CatalogPlace::Postgres(_) => {
                options.push("TYPE postgres".to_owned());
                options.extend(address.password.as_ref().map(|_| format!("SECRET {}", access::CATALOG_SECRET)));
            }
            CatalogPlace::Sqlite(path) | CatalogPlace::DuckDb(path) if !path.exists() => {
                return Err(LakeError::Missing { lake: name.clone() });
            }
            CatalogPlace::Sqlite(_) => options.extend(["TYPE sqlite".to_owned(), "BUSY_TIMEOUT 10000".to_owned()]),
            CatalogPlace::DuckDb(_) => {}
        }
        let statement = format!("ATTACH {} AS {CATALOG} ({})", sql::literal(&address.database()), options.join(", "));
        Self::patiently(|| connection.execute_batch(&statement)).map_err(|error| self.unreachable(&error))?;
        Ok(connection)
    }

    /// Does something again and again while it is refused because somebody else has the catalog, which is a file: nobody has it for long.
    fn patiently(work: impl Fn() -> duckdb::Result<()>) -> duckdb::Result<()> {
        let begun = Instant::now();
        loop {
            let done = work();
            let is_held = |error: &duckdb::Error| {
                let text = error.to_string();
                text.contains("Could not set lock on file") || text.contains("database is locked")
            };
            if !done.as_ref().is_err_and(is_held) || begun.elapsed() > HELD {
                return done;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn unreachable(&self, error: &duckdb::Error) -> LakeError {
        LakeError::Unreachable { lake: self.0.name.clone(), why: error.to_string() }
    }

    /// A table of the catalog's own database.
    fn table(&self, name: &str) -> String {
        let schema = if matches!(self.0.address.catalog, CatalogPlace::Postgres(_)) { "public" } else { "main" };
        sql::path(&[CATALOG, schema, name])
    }
}

/// Whether the catalog's tables are not there, as against something that keeps them from being read.
fn is_missing(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    text.contains("Catalog Error") && text.contains("does not exist")
}

impl PartialEq for Lake {
    fn eq(&self, other: &Self) -> bool {
        self.0.address == other.0.address && self.0.data == other.0.data
    }
}

impl Eq for Lake {}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lake").field(&self.0.name).finish()
    }
}

/// A data path as DuckLake keeps it: absolute, so that it means the same wherever it is read from.
///
/// # Errors
/// The current folder is not there any more.
pub fn data_path(text: &str, folder: &Path) -> std::io::Result<String> {
    let slash = |text: String| if text.ends_with('/') { text } else { text + "/" };
    if text.contains("://") {
        return Ok(slash(text.to_owned()));
    }
    std::path::absolute(folder.join(text)).map(|path| slash(path.to_string_lossy().into_owned()))
}
