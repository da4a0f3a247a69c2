//! A verified backup of the accounts, made while the site runs.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use materia::{
    alert::is_backup_name,
    bucket::{BucketClient, BucketError, BucketFolder, StorageCredentials},
    files,
    settings::BackupTarget,
};
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

/// How long the copy waits for a writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// `DATABASE_URL` cannot be parsed. It may contain a password, so it is not shown.
    #[error("DATABASE_URL: the address cannot be read; write for example sqlite://accounts.db")]
    Address,
    /// The accounts are in PostgreSQL, which has better tools for this.
    #[error(
        "the accounts are in PostgreSQL, which makes its own copies: pg_dump --format=custom --file='{}' --dbname=\"$DATABASE_URL\" (and \
         pg_restore to go back)",
        .0.display()
    )]
    Postgres(PathBuf),
    /// The database does not exist.
    #[error("there are no accounts in {}; does DATABASE_URL name the right file?", .0.display())]
    Missing(PathBuf),
    /// The destination exists already.
    #[error("{} exists; name another file", .0.display())]
    Exists(PathBuf),
    /// The destination cannot be written or synced.
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    /// A copy in a bucket has other bytes than its original.
    #[error("{0} reads back differently; is another machine writing there?")]
    Differs(String),
    /// SQLite reported an error.
    #[error("the accounts in {} cannot be copied: {error}", path.display())]
    Copy { path: PathBuf, error: sqlx::Error },
    /// The bucket cannot be read or written.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A copy cannot replace the accounts.
    #[error("{from} was not restored: {why}. The accounts are as they were")]
    Restore {
        /// The copy: a path, or an address in a bucket.
        from: String,
        why: String,
    },
    /// The copy failed verification and was removed.
    #[error("the copy of {} failed verification and was removed: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
}

/// The outcome of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// The number of accounts in the copy.
    pub accounts: u64,
    /// The size of the copy.
    pub bytes: u64,
}

/// The outcome of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The number of accounts in the copy.
    pub accounts: u64,
    /// The new path of the previous accounts, if there were any.
    pub former: Option<PathBuf>,
}

/// Replaces the accounts at `url` with a backup, which is a file or the address of one in a bucket
/// (`s3://bucket/folder/name`); the previous accounts are kept under another name. The site must not
/// be running.
pub async fn restore(
    url: &str,
    from: &Path,
    credentials: &StorageCredentials,
) -> Result<Restored, BackupError> {
    let path = sqlite_options(url, from)?.get_filename().to_path_buf();
    let address = from.to_str().filter(|text| BucketFolder::matches(text));
    let refuse = |why: String| BackupError::Restore { from: from.display().to_string(), why };
    if address.is_none() && !from.is_file() {
        return Err(refuse("there is no such file".to_owned()));
    }
    let part = files::with_suffix(&path, ".restore");
    files::remove_if_exists(&part)
        .and_then(|()| create_private(&part))
        .map_err(|error| BackupError::Write { path: part.clone(), error })?;
    let copied = match address {
        Some(address) => download(address, &part, credentials),
        None => fs::copy(from, &part).map(drop).map_err(|error| error.to_string()),
    };
    let result = match copied {
        Ok(()) => replace_checked(&path, &part).await.map_err(|error| match error {
            BackupError::Restore { why, .. } => refuse(why),
            other => other,
        }),
        Err(why) => Err(refuse(why)),
    };
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

/// Downloads a backup from a bucket. The error names the newest backups if there is no such one.
fn download(address: &str, to: &Path, credentials: &StorageCredentials) -> Result<(), String> {
    let parts =
        BucketFolder::split_file(address).filter(|(_, name)| Path::new(name).extension().is_some());
    let newest = |folder: &BucketFolder, client: &BucketClient| {
        let names = client.list().unwrap_or_default().into_iter().map(|file| file.name);
        let names = names.filter(|name| is_backup_name(name)).max();
        names.map_or_else(String::new, |name| format!("; the newest is {}", folder.address(&name)))
    };
    let Some((folder, name)) = parts else {
        let folder = BucketFolder::try_from(address.to_owned())?;
        let client = BucketClient::new(&folder, credentials).map_err(|error| error.to_string())?;
        return Err(format!("it does not name a backup{}", newest(&folder, &client)));
    };
    let client = BucketClient::new(&folder, credentials).map_err(|error| error.to_string())?;
    let mut file = File::create(to).map_err(|error| error.to_string())?;
    client.get(name, &mut file).map_err(|error| match error {
        BucketError::Missing(_) => format!("it does not exist{}", newest(&folder, &client)),
        other => other.to_string(),
    })
}

/// Verifies a copy and renames it over the accounts.
async fn replace_checked(path: &Path, part: &Path) -> Result<Restored, BackupError> {
    let refuse = |why: String| BackupError::Restore { from: String::new(), why };
    let write = |error| BackupError::Write { path: part.to_owned(), error };
    leave_wal_mode(part).await.map_err(refuse)?;
    let accounts = check(part).await.map_err(refuse)?;
    File::open(part).and_then(|file| file.sync_all()).map_err(write)?;
    let former = if path.exists() {
        close_log(path).await.map_err(refuse)?;
        Some(keep_former(path)?)
    } else {
        None
    };
    fs::rename(part, path)
        .and_then(|()| files::sync_dir(files::parent_dir(path)))
        .map_err(write)?;
    Ok(Restored { accounts, former })
}

/// Gives the accounts a second name, which remains when they are replaced, and returns it.
fn keep_former(path: &Path) -> Result<PathBuf, BackupError> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut former = files::with_suffix(path, &format!(".before-{now}"));
    for number in 2_u32.. {
        match fs::hard_link(path, &former) {
            Ok(()) => break,
            // Accounts were restored in the same second.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                former = files::with_suffix(path, &format!(".before-{now}-{number}"));
            }
            Err(error) => return Err(BackupError::Write { path: former, error }),
        }
    }
    Ok(former)
}

/// Ends the write-ahead mode of a copy that was not made by [`backup`], such as Litestream's: a
/// database in that mode cannot be read without writing next to it.
async fn leave_wal_mode(copy: &Path) -> Result<(), String> {
    let options = SqliteConnectOptions::new()
        .filename(copy)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Delete);
    let describe = |error: sqlx::Error| error.to_string();
    let connection = SqliteConnection::connect_with(&options).await.map_err(describe)?;
    connection.close().await.map_err(describe)
}

/// Applies SQLite's log to the file and removes it, which SQLite does only if no other process uses
/// the file: next to another file of accounts, the log would be mistaken for that file's.
async fn close_log(path: &Path) -> Result<(), String> {
    let busy = "the accounts are in use; stop the site first: systemctl stop materia-web.socket materia-web";
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let damaged = |error: sqlx::Error| {
        if error.to_string().contains("locked") {
            busy.to_owned()
        } else {
            format!(
                "{} cannot be opened ({error}); move it and its -wal and -shm files elsewhere first",
                path.display()
            )
        }
    };
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(damaged)?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE")
        .fetch_one(&mut connection)
        .await
        .map_err(damaged)?;
    connection.close().await.map_err(damaged)?;
    let is_left = ["-wal", "-shm"].iter().any(|end| files::with_suffix(path, end).exists());
    if mode == "delete" && !is_left { Ok(()) } else { Err(busy.to_owned()) }
}

fn sqlite_options(url: &str, file: &Path) -> Result<SqliteConnectOptions, BackupError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => {
            SqliteConnectOptions::from_str(url).map_err(|_| BackupError::Address)
        }
        Some(("postgres" | "postgresql", _)) => Err(BackupError::Postgres(file.to_owned())),
        _ => Err(BackupError::Address),
    }
}

/// Copies a backup to another disk or machine, under the same name, reads it back and compares it;
/// returns its address. Removes copies there that are older than a month, except for the newest
/// seven.
pub fn copy_backup(
    backup: &Path,
    target: &BackupTarget,
    credentials: &StorageCredentials,
) -> Result<String, BackupError> {
    match target {
        BackupTarget::Folder(folder) => {
            copy_to_folder(backup, folder).map(|to| to.display().to_string())
        }
        BackupTarget::Bucket(folder) => copy_to_bucket(backup, folder, credentials),
    }
}

fn copy_to_bucket(
    backup: &Path,
    folder: &BucketFolder,
    credentials: &StorageCredentials,
) -> Result<String, BackupError> {
    let name = backup.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let client = BucketClient::new(folder, credentials)?;
    let copies = client.list()?;
    let address = folder.address(name);
    if copies.iter().any(|copy| copy.name == name) {
        return Err(BackupError::Exists(address.into()));
    }
    client.put(name, backup)?;
    if !client.same_bytes(name, backup)? {
        return Err(BackupError::Differs(address));
    }
    let copies: Vec<_> = copies.into_iter().filter(|copy| is_backup_name(&copy.name)).collect();
    let now = Timestamp::now();
    let is_old = |at: Timestamp| {
        Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > MAX_COPY_AGE)
    };
    // The new one is the first of those that are kept.
    for copy in copies.iter().rev().skip(MIN_COPIES - 1).filter(|copy| is_old(copy.modified_at)) {
        // What remains is removed the next time.
        let _ = client.delete(&copy.name);
    }
    Ok(address)
}

fn copy_to_folder(backup: &Path, folder: &Path) -> Result<PathBuf, BackupError> {
    let to = folder.join(backup.file_name().unwrap_or_default());
    let write = |error| BackupError::Write { path: to.clone(), error };
    // A missing folder indicates an unmounted disk.
    fs::read_dir(folder).map_err(write)?;
    if to.exists() {
        return Err(BackupError::Exists(to));
    }
    let part = files::with_suffix(&to, ".part");
    let copied =
        files::remove_if_exists(&part)
            .and_then(|()| create_private(&part))
            .and_then(|()| fs::copy(backup, &part))
            .and_then(|_| File::open(&part)?.sync_all())
            .and_then(|()| files::same_bytes(backup, &part))
            .and_then(|is_same| {
                if is_same { Ok(()) } else { Err(io::Error::other("it reads back differently")) }
            })
            .and_then(|()| fs::rename(&part, &to))
            .and_then(|()| files::sync_dir(folder));
    if let Err(error) = copied {
        let _ = fs::remove_file(&part);
        return Err(write(error));
    }
    prune(folder);
    Ok(to)
}

/// Minimum number of retained copies, and the maximum age of others.
const MIN_COPIES: usize = 7;
const MAX_COPY_AGE: Duration = Duration::from_hours(30 * 24);

fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut copies: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_backup_name))
        .collect();
    copies.sort();
    let is_old = |path: &Path| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > MAX_COPY_AGE))
    };
    for copy in copies.iter().rev().skip(MIN_COPIES).filter(|copy| is_old(copy)) {
        let _ = fs::remove_file(copy);
    }
}

/// Copies a consistent snapshot of the accounts at `url` into a new file and verifies the copy. The
/// file gets its name only once it is complete, durable and verified; only its owner can read it,
/// as with the original.
pub async fn backup(url: &str, to: &Path) -> Result<Backup, BackupError> {
    let from = sqlite_options(url, to)?.create_if_missing(false).busy_timeout(BUSY_TIMEOUT);
    let path = from.get_filename().to_path_buf();
    if !path.exists() {
        return Err(BackupError::Missing(path));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = files::with_suffix(to, ".part");
    let result = copy_and_check(&from, &path, &part, to).await;
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

async fn copy_and_check(
    from: &SqliteConnectOptions,
    path: &Path,
    part: &Path,
    to: &Path,
) -> Result<Backup, BackupError> {
    let write = |error| BackupError::Write { path: part.to_owned(), error };
    let unreadable = |error| BackupError::Copy { path: path.to_owned(), error };
    files::remove_if_exists(part).map_err(write)?;
    create_private(part).map_err(write)?;
    let mut connection = SqliteConnection::connect_with(from).await.map_err(unreadable)?;
    let copied =
        sqlx::query("VACUUM INTO $1").bind(part.to_string_lossy()).execute(&mut connection).await;
    copied.map_err(unreadable)?;
    connection.close().await.map_err(unreadable)?;
    let accounts =
        check(part).await.map_err(|why| BackupError::Damaged { path: path.to_owned(), why })?;
    let file = File::open(part).map_err(write)?;
    file.sync_all().map_err(write)?;
    let bytes = file.metadata().map_err(write)?.len();
    fs::rename(part, to).and_then(|()| files::sync_dir(files::parent_dir(to))).map_err(write)?;
    Ok(Backup { accounts, bytes })
}

/// Verifies the whole copy and returns its number of accounts.
async fn check(copy: &Path) -> Result<u64, String> {
    let options = SqliteConnectOptions::new()
        .filename(copy)
        .read_only(true)
        .journal_mode(SqliteJournalMode::Delete);
    let describe = |error: sqlx::Error| error.to_string();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(describe)?;
    let failures: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await
        .map_err(describe)?;
    if failures != ["ok"] {
        return Err(failures.join("; "));
    }
    let orphans = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut connection)
        .await
        .map_err(describe)?
        .len();
    if orphans > 0 {
        return Err(format!("{orphans} rows refer to missing rows"));
    }
    let accounts: i64 = sqlx::query_scalar("SELECT count(*) FROM accounts")
        .fetch_one(&mut connection)
        .await
        .map_err(describe)?;
    connection.close().await.map_err(describe)?;
    u64::try_from(accounts).map_err(|error| error.to_string())
}

/// Creates an empty file that only its owner can read, for the copy to be written into.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}
