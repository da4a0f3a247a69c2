//! What goes wrong with the database, and whether waiting helps.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why the store could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// `DATABASE_URL` does not name a database that can be used. The text may hold a password: it is not shown.
    #[error("DATABASE_URL: {0}; write for example sqlite://accounts.db or postgres://user:password@host/database")]
    Address(String),
    /// The file cannot be opened.
    #[error("cannot open the accounts in {path}: {error}; its folder must exist and be writable")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database says.
        error: sqlx::Error,
    },
    /// PostgreSQL cannot be reached, or does not let us in.
    #[error("cannot open the accounts in PostgreSQL at {place}: {}; it must run, and let this machine in as DATABASE_URL says", said(.error))]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// What the database says.
        error: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the accounts up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// A statement failed.
    #[error("the accounts cannot be read or written: {}", said(.0))]
    Statement(#[from] sqlx::Error),
    /// Others of this process were writing all the while.
    #[error("the accounts cannot be written: others were writing for too long")]
    Waited,
    /// The database did not answer in time.
    #[error("the accounts do not answer")]
    Silent,
    /// It did not a moment ago, and was not asked again.
    #[error("the accounts did not answer a moment ago")]
    Resting,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// In the words of people who know neither pools nor PostgreSQL's source.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => "it does not answer".to_owned(),
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    }
}

impl StoreError {
    /// Whether it is the database that is away or overwhelmed: the same may go well a little later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Waited | Self::Silent | Self::Resting => true,
            Self::Unreachable { error, .. }
            | Self::Statement(error)
            | Self::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => passes(error),
            Self::Address(_) | Self::Open { .. } | Self::Migrate(_) | Self::Random(_) => false,
        }
    }

    /// Whether what was asked for is no text that a database stores: no question of ours.
    pub(crate) fn is_no_text(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
    }
}

fn passes(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => true,
        E::Database(error) => error.code().is_some_and(|code| {
            // PostgreSQL's classes of what concerns its connections, resources, operators and system; then a lock not given in time, a server that
            // only reads as yet, a transaction that was ended, and a connection that knows a table as it was before a newer materia came. The
            // short ones are SQLite's, for a file that somebody else has.
            ["08", "53", "57", "58"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || ["0A000", "55P03", "25006", "25P02", "25P03", "40001", "40P01", "5", "6", "261", "517"].contains(&&*code)
        }),
        _ => false,
    }
}
