//! The database of accounts: opened, and brought up to date, in one place. SQLite for one server, PostgreSQL for several.
//!
//! Every statement is written once, in what both understand: numbered parameters (`$1`), `RETURNING`, `ON CONFLICT`, whole seconds. sqlx's `Any`
//! sends it to whichever there is, so that the database is no type parameter of everything that has to do with accounts, and nothing is written
//! twice. What differs stands here and in the migrations.

mod address;
mod trouble;

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Any, AnyConnection, ConnectOptions, Connection, Executor, Pool, SqlSafeStr,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout},
};

use self::address::Address;
pub(crate) use self::trouble::StoreError;

/// A row of an answer.
pub(super) type StoredRow = sqlx::any::AnyRow;

/// A migration in the words of each database.
struct Step {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($name:literal, $file:literal) => {
        Step {
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
        }
    };
}

/// The migrations in their order. One that was released is never changed: its checksum is compared at start.
const MIGRATIONS: [Step; 4] = [
    step!("accounts", "0001_accounts.sql"),
    step!("audit log", "0002_audit_log.sql"),
    step!("api keys", "0003_api_keys.sql"),
    step!("sign-in", "0004_sign_in.sql"),
];

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long PostgreSQL may take to let us in.
const HELLO: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection to PostgreSQL lives: it knows the tables as they were, and the address that the name had.
const LIFE: Duration = Duration::from_mins(1);

/// What a connection to PostgreSQL begins with. No statement takes longer than seconds, and a server that stands still while it has the turn to
/// write loses it. Notices are not for the log.
const MANNERS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '4s'; \
                       SET client_min_messages = error";

/// Takes the turn to write at once: one that reads first and then finds another writer could not go on.
const SQLITE_TURN: &str = "BEGIN IMMEDIATE";
/// The same over all servers: the lock, of a number that is ours, ends with the transaction. Statements see what others committed before it.
const POSTGRES_TURN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7165384920417625601)";

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// The database of accounts, up to date.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: Pool<Any>,
    kind: Kind,
    /// Who writes has it: of this process, one at a time waits for the database's own turn, and leaves the other connections to who reads.
    turn: Arc<Mutex<()>>,
}

/// Several statements that are kept together or not at all, and that nobody else's come between.
pub(super) struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    _turn: OwnedMutexGuard<()>,
}

impl Store {
    /// Opens the database, makes it where it is a file that does not exist, and applies the migrations that it lacks.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (kind, pool) = match Address::parse(url)? {
            Address::Sqlite(options) => (Kind::Sqlite, open_sqlite(options).await?),
            Address::Postgres { options, place } => (Kind::Postgres, open_postgres(options, place).await?),
        };
        let store = Self { pool, kind, turn: Arc::default() };
        store.migrate().await?;
        Ok(store)
    }

    /// Applies what is missing in one transaction that keeps every other writer out: of two processes that start at once, one waits.
    async fn migrate(&self) -> Result<(), StoreError> {
        let numbered = (1..).zip(MIGRATIONS).map(|(number, step)| {
            let sql = if self.kind == Kind::Sqlite { step.sqlite } else { step.postgres };
            Migration::new(number, step.name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(numbered.collect());
        let mut turn = self.write().await?;
        migrator.run_direct(None, &mut *turn, false).await?;
        turn.commit().await
    }

    /// The file that an address names, where it names one.
    pub(super) fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
        Ok(match Address::parse(url)? {
            Address::Sqlite(options) => Some(options.get_filename().to_path_buf()),
            Address::Postgres { .. } => None,
        })
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// For statements that read.
    pub(super) fn pool(&self) -> &Pool<Any> {
        &self.pool
    }

    /// For statements that write. One at a time, over all processes and servers: what was read in a turn still holds when it ends.
    pub(super) async fn write(&self) -> Result<Transaction, StoreError> {
        let turn = timeout(BUSY, self.turn.clone().lock_owned()).await.map_err(|_| StoreError::Waited)?;
        let begin = if self.kind == Kind::Sqlite { SQLITE_TURN } else { POSTGRES_TURN };
        Ok(Transaction { inner: self.pool.begin_with(begin).await?, _turn: turn })
    }

    /// Whether the database answers.
    pub(crate) async fn answers(&self) -> bool {
        let asked = sqlx::query("SELECT 1 FROM accounts LIMIT 1").fetch_optional(&self.pool);
        timeout(PATIENCE, asked).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Transaction {
    /// Keeps what was written.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let Self { inner, _turn } = self;
        Ok(inner.commit().await?)
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

async fn open_sqlite(options: SqliteConnectOptions) -> Result<Pool<Any>, StoreError> {
    let path = options.get_filename().to_path_buf();
    let wrong = |error| StoreError::Open { path: path.clone(), error };
    private(&path).map_err(|error| wrong(error.into()))?;
    // The file remembers that it has a log.
    let first = open_with_log(&options).await.map_err(&wrong)?;
    let options = address::of_file(options).map_err(&wrong)?;
    let pool = AnyPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY * 2)
        .after_connect(|connection, _| Box::pin(async move { connection.execute("PRAGMA synchronous = NORMAL").await.map(drop) }));
    let pool = pool.connect_with(options).await.map_err(&wrong)?;
    first.close().await.map_err(wrong)?;
    Ok(pool)
}

/// Opens the file and switches it to a write-ahead log. SQLite does not wait for another process that does the same to a new file.
async fn open_with_log(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    const RETRY_AFTER: Duration = Duration::from_millis(20);
    let is_locked = |error: &sqlx::Error| error.as_database_error().is_some_and(|error| error.message().contains("database is locked"));
    let deadline = Instant::now() + BUSY;
    loop {
        match options.clone().journal_mode(SqliteJournalMode::Wal).busy_timeout(BUSY).connect().await {
            Err(error) if is_locked(&error) && Instant::now() < deadline => sleep(RETRY_AFTER).await,
            opened => return opened,
        }
    }
}

async fn open_postgres(options: AnyConnectOptions, place: String) -> Result<Pool<Any>, StoreError> {
    // The pool's own first attempt would not tell why it failed.
    let first = timeout(HELLO, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    first.map_err(|error| StoreError::Unreachable { place, error })?.close().await?;
    let pool = AnyPoolOptions::new().max_connections(10).acquire_timeout(PATIENCE).max_lifetime(LIFE);
    let pool = pool.after_connect(|connection, _| Box::pin(async move { connection.execute(MANNERS).await.map(drop) }));
    // A request that is given up may leave a transaction behind, or a connection that nobody answers any more.
    let pool = pool.after_release(|connection, _| {
        Box::pin(async move {
            let clean = timeout(PATIENCE, connection.execute("ROLLBACK")).await;
            clean.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|_| true)
        })
    });
    Ok(pool.connect_lazy_with(options))
}

/// Makes the file readable to its owner only, where it does not exist yet: SQLite gives its log and index files the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
