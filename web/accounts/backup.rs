//! A copy of the accounts, made while the site runs, and checked.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use materia::files;
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

/// How long the copy waits for somebody who writes.
const BUSY: Duration = Duration::from_secs(30);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// `DATABASE_URL` may hold a password: it is not shown.
    #[error("DATABASE_URL: the address cannot be read; write for example sqlite://accounts.db")]
    Address,
    /// PostgreSQL has programs for it, which know more than we do.
    #[error(
        "the accounts are in PostgreSQL, which makes its own copies: pg_dump --format=custom --file='{}' --dbname=\"$DATABASE_URL\" (and \
         pg_restore to go back)",
        .0.display()
    )]
    Postgres(PathBuf),
    /// There is nothing to back up.
    #[error("there are no accounts in {}; does DATABASE_URL name the right file?", .0.display())]
    Missing(PathBuf),
    /// A backup is not written over another one.
    #[error("{} exists; name another file", .0.display())]
    Exists(PathBuf),
    /// A file could not be made, or made durable.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The database refused.
    #[error("the accounts in {} cannot be copied: {error}", path.display())]
    Copy {
        /// What was read.
        path: PathBuf,
        /// The database's reason.
        error: sqlx::Error,
    },
    /// The copy is not good; it was removed.
    #[error("the copy of {} is not good and was removed: {why}", path.display())]
    Damaged {
        /// What was copied.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backup {
    /// Accounts in the copy.
    pub(crate) accounts: u64,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Copies the accounts at `url` as they are at one moment to a new file, while others read and write, and checks the copy. The file has its name
/// only once it is whole, durable and good; it is readable to its owner only, as the original.
pub(crate) async fn backup(url: &str, to: &Path) -> Result<Backup, BackupError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => {}
        Some(("postgres" | "postgresql", _)) => return Err(BackupError::Postgres(to.to_owned())),
        _ => return Err(BackupError::Address),
    }
    let from = SqliteConnectOptions::from_str(url).map_err(|_| BackupError::Address)?.create_if_missing(false).busy_timeout(BUSY);
    let path = from.get_filename().to_path_buf();
    if !path.exists() {
        return Err(BackupError::Missing(path));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = files::with_suffix(to, ".part");
    let made = make(&from, &path, &part, to).await;
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made
}

async fn make(from: &SqliteConnectOptions, path: &Path, part: &Path, to: &Path) -> Result<Backup, BackupError> {
    let write = |error| BackupError::Write { path: part.to_owned(), error };
    let unreadable = |error| BackupError::Copy { path: path.to_owned(), error };
    files::remove_if_there(part).map_err(write)?;
    private(part).map_err(write)?;
    let mut connection = SqliteConnection::connect_with(from).await.map_err(unreadable)?;
    let copied = sqlx::query("VACUUM INTO $1").bind(part.to_string_lossy()).execute(&mut connection).await;
    copied.map_err(unreadable)?;
    connection.close().await.map_err(unreadable)?;
    let accounts = check(part).await.map_err(|why| BackupError::Damaged { path: path.to_owned(), why })?;
    let file = File::open(part).map_err(write)?;
    file.sync_all().map_err(write)?;
    let bytes = file.metadata().map_err(write)?.len();
    fs::rename(part, to).and_then(|()| files::sync_folder(files::folder_of(to))).map_err(write)?;
    Ok(Backup { accounts, bytes })
}

/// Reads the whole copy and returns how many accounts it has.
async fn check(copy: &Path) -> Result<u64, String> {
    let options = SqliteConnectOptions::new().filename(copy).read_only(true).journal_mode(SqliteJournalMode::Delete);
    let told = |error: sqlx::Error| error.to_string();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(told)?;
    let complaints: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.map_err(told)?;
    if complaints != ["ok"] {
        return Err(complaints.join("; "));
    }
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.map_err(told)?.len();
    if orphans > 0 {
        return Err(format!("{orphans} rows belong to nobody"));
    }
    let accounts: i64 = sqlx::query_scalar("SELECT count(*) FROM accounts").fetch_one(&mut connection).await.map_err(told)?;
    connection.close().await.map_err(told)?;
    u64::try_from(accounts).map_err(|error| error.to_string())
}

/// An empty file that is readable to its owner only: the copy is written into it.
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}
