//! Opens the pipeline's file and rejects files that cannot be read.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ExportError, LakehouseError, header, state::DatabaseState};
use crate::{files, lock::LockHolder};

/// Catalog names that DuckDB reserves.
const RESERVED_STEMS: [&str; 3] = ["memory", "system", "temp"];

/// A lakehouse that no process is writing.
#[derive(Debug)]
pub(super) struct Lakehouse {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) state: DatabaseState,
    /// The process that has the file open for writing but has not written for a long time.
    pub(super) held_by: Option<LockHolder>,
    /// Whether the filesystem supports locks.
    pub(super) locks: bool,
    /// How long the export waited for the lakehouse to become idle.
    pub(super) waited: Duration,
}

impl Lakehouse {
    /// Returns a warning if a writer ended without applying its log to the file: DuckDB reads the
    /// log up to the first unreadable entry and silently ignores the rest.
    pub(super) fn wal_warning(&self) -> Option<String> {
        if let Some(holder) = &self.held_by {
            let idle = self.state.idle_at(std::time::SystemTime::now()).unwrap_or_default();
            let idle = crate::humanize::duration(Duration::from_secs(idle.as_secs()));
            return Some(format!(
                "held open for writing by {holder}, nothing written for {idle}: what is committed is exported (--held copy)"
            ));
        }
        let log = files::with_suffix(&self.path, files::WAL_SUFFIXES[0]);
        let bytes = log.metadata().map_or(0, |metadata| metadata.len());
        (bytes > 0).then(|| {
            format!(
                "its last writer ended without a checkpoint: what it committed is read from {} ({})",
                log.display(),
                crate::humanize::bytes(bytes)
            )
        })
    }
}

/// Sleeps for 50 to 250 ms, but no longer than `left`: short enough to follow the pipeline
/// promptly, and randomized so that waiters do not retry in step.
pub(super) fn backoff(left: Duration) {
    std::thread::sleep(Duration::from_millis(fastrand::u64(50..250)).min(left));
}

pub(super) fn open(path: &Path) -> Result<File, ExportError> {
    let unreadable = |why| ExportError::Lakehouse { path: path.to_path_buf(), why };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(LakehouseError::Missing),
        _ => ExportError::io("open", path, error),
    })?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(unreadable(LakehouseError::Folder)),
        Ok(_) => Ok(file),
        Err(source) => Err(ExportError::io("look at", path, source)),
    }
}

/// Checks the headers, so that a file that DuckDB would reject is rejected with a helpful reason.
pub(super) fn check_header(path: &Path, file: &File) -> Result<(), ExportError> {
    let unreadable = |why| Err(ExportError::Lakehouse { path: path.to_path_buf(), why });
    let mut start = [0_u8; 28];
    match file.read_exact_at(&mut start, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
            return unreadable(if empty {
                LakehouseError::Empty
            } else {
                LakehouseError::NotDuckDb
            });
        }
        read => read.map_err(|source| ExportError::io("read", path, source))?,
    }
    if !header::is_duckdb(&start) {
        return unreadable(LakehouseError::NotDuckDb);
    }
    // An unreadable header means that the file is truncated, which DuckDB reports.
    if header::is_encrypted(file).is_ok_and(|encrypted| encrypted) {
        return unreadable(LakehouseError::Encrypted);
    }
    match header::storage_version(file) {
        Ok(version) if version > header::NEWEST_STORAGE => {
            unreadable(LakehouseError::Newer { version, newest: header::NEWEST_STORAGE })
        }
        _ => Ok(()),
    }
}

/// Returns whether DuckDB's error concerns the content of a file rather than the request.
pub(super) fn is_damage(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    ["Corrupt database file", "Could not read enough bytes"].iter().any(|sign| text.contains(sign))
}

/// Returns the catalog name that DuckDB gives a file, by which its views refer to it: the file name
/// up to the first dot after any leading ones.
pub(super) fn catalog_name(path: &Path) -> Result<String, ExportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    if stem.is_empty() || RESERVED_STEMS.contains(&stem.to_lowercase().as_str()) {
        return Err(ExportError::Lakehouse {
            path: path.to_path_buf(),
            why: LakehouseError::ReservedName(stem.to_owned()),
        });
    }
    Ok(stem.to_owned())
}
