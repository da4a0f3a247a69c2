//! The database of accounts: opened, and brought up to date, in one place.
//!
//! SQLite today. Statements use numbered parameters (`$1`), `RETURNING`, `ON CONFLICT` and whole seconds, which PostgreSQL has as well: following
//! it means another folder of migrations and another [`Db`].

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// The database that the statements are sent to.
pub(crate) type Db = sqlx::Sqlite;
/// Several statements that are kept together or not at all.
pub(super) type Transaction = sqlx::Transaction<'static, Db>;

/// The migrations in their order. One that was released is never changed: its checksum is compared at start.
const MIGRATIONS: [(&str, &str); 3] = [
    ("accounts", include_str!("migrations/sqlite/0001_accounts.sql")),
    ("audit log", include_str!("migrations/sqlite/0002_audit_log.sql")),
    ("api keys", include_str!("migrations/sqlite/0003_api_keys.sql")),
];

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Why the store could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// `DATABASE_URL` does not name a database that can be used. The text may hold a password: it is not shown.
    #[error("DATABASE_URL: {0}; write for example sqlite://accounts.db")]
    Address(&'static str),
    /// The file cannot be opened.
    #[error("cannot open the accounts in {path}: {error}; its folder must exist and be writable")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database says.
        error: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the accounts up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// A statement failed.
    #[error("the accounts cannot be read or written: {0}")]
    Statement(#[from] sqlx::Error),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// The database of accounts, up to date.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: sqlx::Pool<Db>,
}

impl Store {
    /// Opens the database, makes it where it does not exist, and applies the migrations that it lacks.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("sqlite:") {
            return Err(StoreError::Address("only SQLite can be used as yet"));
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|_| StoreError::Address("the address cannot be read"))?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let path = options.get_filename().to_path_buf();
        private(&path).map_err(|error| StoreError::Open { path: path.clone(), error: error.into() })?;
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await;
        let store = Self { pool: pool.map_err(|error| StoreError::Open { path, error })? };
        store.migrate().await?;
        Ok(store)
    }

    /// Applies what is missing in one transaction that keeps every other writer out: of two processes that start at once, one waits. sqlx's
    /// own migrator takes no lock on SQLite.
    async fn migrate(&self) -> Result<(), StoreError> {
        let numbered = (1..)
            .zip(MIGRATIONS)
            .map(|(number, (name, sql))| Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false));
        let migrator = Migrator::with_migrations(numbered.collect());
        let mut turn = self.write().await?;
        migrator.run_direct(None, &mut *turn, false).await?;
        Ok(turn.commit().await?)
    }

    /// For statements that read.
    pub(super) fn pool(&self) -> &sqlx::Pool<Db> {
        &self.pool
    }

    /// For statements that write. Takes the turn to write at once: one that reads first and then finds another writer could not go on.
    pub(super) async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Whether the database answers.
    pub(crate) async fn answers(&self) -> bool {
        sqlx::query("SELECT 1 FROM accounts LIMIT 1").fetch_optional(&self.pool).await.is_ok()
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Makes the file readable to its owner only, where it does not exist yet: SQLite gives its log and index files the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
