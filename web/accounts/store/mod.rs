//! The accounts' database: SQLite for one server, PostgreSQL for several.
//!
//! Every statement is written once, in the common subset: numbered parameters (`$1`), `RETURNING`,
//! `ON CONFLICT`, timestamps in whole seconds. sqlx's `Any` sends it to either database, which
//! avoids a type parameter for the database in all code related to accounts. The differences are
//! limited to this module and the migrations.

mod database_url;
mod error;

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
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, timeout},
};

use self::database_url::DatabaseUrl;
pub(crate) use self::error::StoreError;

pub(super) type StoredRow = sqlx::any::AnyRow;

/// One migration in both dialects.
struct MigrationStep {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($name:literal, $file:literal) => {
        MigrationStep {
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
        }
    };
}

/// The migrations in order. A released migration is never changed: its checksum is compared at
/// start.
const MIGRATIONS: [MigrationStep; 13] = [
    step!("accounts", "0001_accounts.sql"),
    step!("audit log", "0002_audit_log.sql"),
    step!("api keys", "0003_api_keys.sql"),
    step!("sign-in", "0004_sign_in.sql"),
    step!("mail queue", "0005_mail_queue.sql"),
    step!("billing", "0006_billing.sql"),
    step!("sql keys", "0007_sql_keys.sql"),
    step!("saved views", "0008_saved_views.sql"),
    step!("alerts", "0009_alerts.sql"),
    step!("digests", "0010_digests.sql"),
    step!("dashboard views", "0011_dashboard_views.sql"),
    step!("activity", "0012_activity.sql"),
    step!("keys of the site", "0013_site_keys.sql"),
];

/// How long a statement waits for a writer in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the outcome of a write test is reused, so that frequent probes cause few writes.
const WRITE_TEST_INTERVAL: Duration = Duration::from_secs(3);
/// How long connecting to PostgreSQL may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const POOL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection to PostgreSQL is used: it caches the structure of tables and the resolved
/// address.
const MAX_LIFETIME: Duration = Duration::from_mins(1);

/// Run on each new connection to PostgreSQL. Statements are limited to a few seconds, and a server
/// that hangs within a write transaction loses it. Notices are not logged.
const SESSION_SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '4s'; \
                       SET client_min_messages = error";

/// Acquires the write lock immediately: a transaction that reads first could not upgrade after
/// another writer.
const SQLITE_BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
/// Acquires an advisory lock that is shared by all servers and released with the transaction.
/// Statements see what was committed before it.
const POSTGRES_BEGIN_WRITE: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7165384920417625601)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

/// The accounts' database, with all migrations applied.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: Pool<Any>,
    backend: Backend,
    /// Held by this process's writer: only one at a time waits for the database's own lock, and the
    /// other connections stay available to readers.
    write_lock: Arc<Mutex<()>>,
    /// When the database was last tested, and the outcome.
    last_write_test: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// A write transaction: its statements are committed together or not at all, and other writers are
/// excluded.
///
/// sqlx's own transactions count their depth on the connection, and a commit that fails (a full
/// disk) leaves the count wrong for as long as the connection is used. This one has no count: a
/// connection whose commit failed is discarded, and one that was not committed is rolled back when
/// it returns to the pool.
pub(super) struct Transaction {
    connection: PoolConnection<Any>,
    write_permit: OwnedMutexGuard<()>,
}

impl Store {
    /// Opens the database, creates it if it is a file that does not exist, and applies missing
    /// migrations.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (backend, pool) = match DatabaseUrl::parse(url)? {
            DatabaseUrl::Sqlite(options) => (Backend::Sqlite, open_sqlite(options).await?),
            DatabaseUrl::Postgres { options, redacted } => {
                (Backend::Postgres, open_postgres(options, redacted).await?)
            }
        };
        let store =
            Self { pool, backend, write_lock: Arc::default(), last_write_test: Arc::default() };
        store.migrate().await?;
        Ok(store)
    }

    /// Applies missing migrations in one transaction that excludes other writers: of two processes
    /// that start at the same time, one waits.
    async fn migrate(&self) -> Result<(), StoreError> {
        let numbered = (1..).zip(MIGRATIONS).map(|(number, step)| {
            let sql = if self.backend == Backend::Sqlite { step.sqlite } else { step.postgres };
            Migration::new(
                number,
                step.name.into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        });
        let mut migrator = Migrator::with_migrations(numbered.collect());
        // Written by a newer version that was rolled back.
        migrator.set_ignore_missing(true);
        // The migrator begins transactions itself, which become savepoints only within one of
        // sqlx's own.
        let _permit = self.acquire_write_lock().await?;
        let mut tx = self.pool.begin_with(self.begin_statement()).await?;
        migrator.run_direct(None, &mut *tx, false).await?;
        Ok(tx.commit().await?)
    }

    fn begin_statement(&self) -> &'static str {
        match self.backend {
            Backend::Sqlite => SQLITE_BEGIN_WRITE,
            Backend::Postgres => POSTGRES_BEGIN_WRITE,
        }
    }

    async fn acquire_write_lock(&self) -> Result<OwnedMutexGuard<()>, StoreError> {
        let lock = self.write_lock.clone().lock_owned();
        timeout(BUSY_TIMEOUT, lock).await.map_err(|_| StoreError::LockTimeout)
    }

    /// Checks that the database can be opened, without creating it and without migrations. Returns
    /// a description of it.
    pub(crate) async fn check(url: &str) -> Result<String, StoreError> {
        sqlx::any::install_default_drivers();
        match DatabaseUrl::parse(url)? {
            DatabaseUrl::Sqlite(options) => {
                let path = options.get_filename().to_path_buf();
                let wrong = |error| StoreError::Open { path: path.clone(), error };
                if !path.exists() {
                    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                    let folder = folder.unwrap_or(Path::new("."));
                    tempfile::tempfile_in(folder).map_err(|error| wrong(error.into()))?;
                    return Ok(format!("{} will be created", path.display()));
                }
                let options = options.create_if_missing(false).busy_timeout(BUSY_TIMEOUT);
                let mut connection = options.connect().await.map_err(wrong)?;
                connection.execute("BEGIN IMMEDIATE; ROLLBACK").await.map_err(wrong)?;
                connection.close().await.map_err(wrong)?;
                Ok(path.display().to_string())
            }
            DatabaseUrl::Postgres { options, redacted } => {
                let first = timeout(CONNECT_TIMEOUT, options.connect()).await;
                let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
                let unreachable =
                    |error| StoreError::Unreachable { redacted: redacted.clone(), error };
                first.map_err(unreachable)?.close().await?;
                Ok(format!("PostgreSQL at {redacted}"))
            }
        }
    }

    /// Returns the file in the URL, if there is one.
    pub(super) fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
        Ok(match DatabaseUrl::parse(url)? {
            DatabaseUrl::Sqlite(options) => Some(options.get_filename().to_path_buf()),
            DatabaseUrl::Postgres { .. } => None,
        })
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.backend == Backend::Postgres
    }

    /// Returns the connections for statements that read.
    pub(super) fn pool(&self) -> &Pool<Any> {
        &self.pool
    }

    /// Begins a write transaction. There is only one at a time across all processes and servers, so
    /// that everything it has read is still valid when it commits.
    pub(super) async fn begin_write(&self) -> Result<Transaction, StoreError> {
        let permit = self.acquire_write_lock().await?;
        let mut connection = self.pool.acquire().await?;
        connection.execute(self.begin_statement()).await?;
        Ok(Transaction { connection, write_permit: permit })
    }

    /// Returns whether the database can be written, tested by a small transaction at most every
    /// [`WRITE_TEST_INTERVAL`]. A database that is only busy, and can be read, counts as healthy.
    pub(crate) async fn can_write(&self) -> bool {
        let mut last = self.last_write_test.lock().await;
        if let Some((tested_at, outcome)) = *last
            && tested_at.elapsed() < WRITE_TEST_INTERVAL
        {
            return outcome;
        }
        let outcome = match timeout(POOL_TIMEOUT, self.test_write()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) if !error.is_busy() => {
                tracing::error!(%error, "the accounts cannot be written");
                false
            }
            Ok(Err(_)) | Err(_) => self.ping().await,
        };
        *last = Some((Instant::now(), outcome));
        outcome
    }

    /// Commits a transaction that changes nothing.
    async fn test_write(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        for statement in [
            "INSERT INTO attempts (kind, subject, at) VALUES ('write test', '', 0)",
            "DELETE FROM attempts WHERE kind = 'write test'",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    /// Returns whether the database responds.
    pub(crate) async fn ping(&self) -> bool {
        let query = sqlx::query("SELECT 1 FROM accounts LIMIT 1").fetch_optional(&self.pool);
        timeout(POOL_TIMEOUT, query).await.is_ok_and(|answer| answer.is_ok())
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.commit_and_keep_permit().await.map(drop)
    }

    /// Commits, and excludes this process's other writers until the permit is dropped: in-memory
    /// state derived from the commit must be in place before the next writer reads it.
    pub(super) async fn commit_and_keep_permit(self) -> Result<OwnedMutexGuard<()>, StoreError> {
        let Self { mut connection, write_permit } = self;
        let committed = connection.execute("COMMIT").await;
        if committed.is_err() {
            connection.close_on_drop();
        }
        committed?;
        Ok(write_permit)
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

async fn open_sqlite(options: SqliteConnectOptions) -> Result<Pool<Any>, StoreError> {
    let path = options.get_filename().to_path_buf();
    let wrong = |error| StoreError::Open { path: path.clone(), error };
    create_private(&path).map_err(|error| wrong(error.into()))?;
    // The write-ahead mode is stored in the file.
    let first = open_with_log(&options).await.map_err(&wrong)?;
    let options = database_url::file_options(options).map_err(&wrong)?;
    let pool = AnyPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY_TIMEOUT * 2)
        .after_connect(|connection, _| {
            Box::pin(
                async move { connection.execute("PRAGMA synchronous = NORMAL").await.map(drop) },
            )
        })
        .after_release(|connection, _| Box::pin(roll_back(connection)));
    let pool = pool.connect_with(options).await.map_err(&wrong)?;
    first.close().await.map_err(wrong)?;
    Ok(pool)
}

/// Opens the file and switches it to write-ahead logging. SQLite does not wait if another process
/// is doing the same to a new file.
async fn open_with_log(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    const RETRY_AFTER: Duration = Duration::from_millis(20);
    let is_locked = |error: &sqlx::Error| {
        error
            .as_database_error()
            .is_some_and(|error| error.message().contains("database is locked"))
    };
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .connect()
            .await
        {
            Err(error) if is_locked(&error) && Instant::now() < deadline => {
                sleep(RETRY_AFTER).await;
            }
            opened => return opened,
        }
    }
}

async fn open_postgres(
    options: AnyConnectOptions,
    redacted: String,
) -> Result<Pool<Any>, StoreError> {
    // The pool's own first attempt would not report why it failed.
    let first =
        timeout(CONNECT_TIMEOUT, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    first.map_err(|error| StoreError::Unreachable { redacted, error })?.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(POOL_TIMEOUT)
        .max_lifetime(MAX_LIFETIME);
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move { connection.execute(SESSION_SETTINGS).await.map(drop) })
    });
    let pool = pool.after_release(|connection, _| Box::pin(roll_back(connection)));
    Ok(pool.connect_lazy_with(options))
}

/// Ends a transaction that was not committed: by an early return, or by a cancelled request. A
/// connection that no longer responds is discarded.
async fn roll_back(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let done = timeout(POOL_TIMEOUT, connection.execute("ROLLBACK")).await;
    match done.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(_) => Ok(true),
        // SQLite's error if there is no transaction; PostgreSQL only warns.
        Err(sqlx::Error::Database(error)) if error.message().contains("no transaction") => Ok(true),
        Err(error) => Err(error),
    }
}

/// Creates the file readable to its owner only, if it does not exist: SQLite gives its log and
/// index files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
