//! Errors of the database, and whether a retry may help.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why the store could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `DATABASE_URL` does not name a supported database. Its text may contain a password and is
    /// not shown.
    #[error(
        "DATABASE_URL: {0}; write for example sqlite://accounts.db or postgres://user:password@host/database"
    )]
    Address(String),
    /// The file cannot be opened.
    #[error("cannot open the accounts in {path}: {error}; its folder must exist and be writable")]
    Open { path: PathBuf, error: sqlx::Error },
    /// PostgreSQL cannot be reached or refuses the connection.
    #[error("cannot open the accounts in PostgreSQL at {redacted}: {}; it must be running and accept this machine's connection", describe(.error))]
    Unreachable {
        /// Host, port and database.
        redacted: String,
        error: sqlx::Error,
    },
    #[error("cannot bring the accounts up to date: {0}")]
    Migrate(#[from] MigrateError),
    #[error("the accounts cannot be read or written: {}", describe(.0))]
    Statement(#[from] sqlx::Error),
    /// Another writer in this process held the write lock for too long.
    #[error("the accounts cannot be written: other writers took too long")]
    LockTimeout,
    /// The database did not respond in time.
    #[error("the accounts do not respond")]
    Timeout,
    /// The database recently did not respond, and was not queried again.
    #[error("the accounts did not respond a moment ago")]
    CircuitOpen,
    /// The system provided no random bytes.
    #[error("the system provided no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Describes an error without the terms of the pool and of PostgreSQL's source.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => "it does not respond".to_owned(),
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    }
}

impl StoreError {
    /// Returns whether the database is unavailable or overloaded, so that a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::LockTimeout | Self::Timeout | Self::CircuitOpen => true,
            Self::Unreachable { error, .. }
            | Self::Statement(error)
            | Self::Migrate(
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
            ) => is_transient_sqlx(error),
            Self::Address(_) | Self::Open { .. } | Self::Migrate(_) | Self::Random(_) => false,
        }
    }

    /// Returns whether another writer still holds the database after the wait.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::LockTimeout => true,
            Self::Statement(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| ["5", "261", "517", "55P03"].contains(&&*code))
            }
            _ => false,
        }
    }

    /// Returns whether a parameter contains characters that PostgreSQL cannot store as text
    /// (SQLSTATE 22021).
    pub(crate) fn is_invalid_text(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
    }
}

fn is_transient_sqlx(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_)
        | E::Tls(_)
        | E::Protocol(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed => true,
        E::Database(error) => error.code().is_some_and(|code| {
            // SQLSTATE classes for connection, resource, operator intervention and system errors;
            // then: cached plan of a changed table, lock not available, read-only transaction,
            // transaction aborted, idle timeout, serialization failure and deadlock. The short
            // codes are SQLite's for a file that is busy or locked.
            ["08", "53", "57", "58"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || [
                    "0A000", "55P03", "25006", "25P02", "25P03", "40001", "40P01", "5", "6", "13",
                    "261", "517",
                ]
                .contains(&&*code)
        }),
        _ => false,
    }
}
