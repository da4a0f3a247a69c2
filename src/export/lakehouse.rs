//! The pipeline's file: opening it, and rejecting what cannot be read.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ExportError, Unreadable, header, state::DatabaseState};
use crate::{files, lock::Holder};

/// Names that DuckDB keeps for catalogs of its own.
const RESERVED_STEMS: [&str; 3] = ["memory", "system", "temp"];

/// Files that belong to a database file: the log of what was committed since its last checkpoint, and a checkpoint's own two.
pub(super) const COMPANIONS: [&str; 3] = [".wal", ".wal.checkpoint", ".wal.recovery"];

/// The lakehouse at a moment when nobody wrote it.
#[derive(Debug)]
pub(super) struct Lakehouse {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) state: DatabaseState,
    /// Who has it open for writing all the same, without having written for long.
    pub(super) held_by: Option<Holder>,
    /// Whether the filesystem tells about locks.
    pub(super) locks: bool,
    /// How long it took to come to rest.
    pub(super) waited: Duration,
}

impl Lakehouse {
    /// What to tell when a writer ended without writing its log into the file: DuckDB reads the log up to the first line it cannot make
    /// sense of, and says nothing about what comes after.
    pub(super) fn unfinished(&self) -> Option<String> {
        if let Some(holder) = &self.held_by {
            let idle = self.state.idle_at(std::time::SystemTime::now()).unwrap_or_default();
            let idle = crate::words::duration(Duration::from_secs(idle.as_secs()));
            return Some(format!(
                "held open for writing by {holder}, nothing written for {idle}: what is committed is exported (--held copy)"
            ));
        }
        let log = files::with_suffix(&self.path, COMPANIONS[0]);
        let bytes = log.metadata().map_or(0, |metadata| metadata.len());
        (bytes > 0).then(|| {
            format!(
                "its last writer ended without a checkpoint: what it committed is read from {} ({})",
                log.display(),
                crate::words::bytes(bytes)
            )
        })
    }
}

/// Sleeps for 50 to 250 ms, not beyond `left`: soon enough to follow the pipeline at once, and not in step with other waiters.
pub(super) fn pause(left: Duration) {
    std::thread::sleep(Duration::from_millis(fastrand::u64(50..250)).min(left));
}

pub(super) fn open(path: &Path) -> Result<File, ExportError> {
    let unreadable = |why| ExportError::Lakehouse { path: path.to_path_buf(), why };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(Unreadable::Missing),
        _ => ExportError::io("open", path, error),
    })?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(unreadable(Unreadable::Folder)),
        Ok(_) => Ok(file),
        Err(source) => Err(ExportError::io("look at", path, source)),
    }
}

/// Looks into the headers, so that a file DuckDB would reject is rejected with the reason that helps.
pub(super) fn examine(path: &Path, file: &File) -> Result<(), ExportError> {
    let unreadable = |why| Err(ExportError::Lakehouse { path: path.to_path_buf(), why });
    let mut start = [0_u8; 28];
    match file.read_exact_at(&mut start, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
            return unreadable(if empty { Unreadable::Empty } else { Unreadable::NotDuckDb });
        }
        read => read.map_err(|source| ExportError::io("read", path, source))?,
    }
    if !header::is_duckdb(&start) {
        return unreadable(Unreadable::NotDuckDb);
    }
    // A header that cannot be read is that of a truncated file, which DuckDB will say.
    if header::is_encrypted(file).is_ok_and(|encrypted| encrypted) {
        return unreadable(Unreadable::Encrypted);
    }
    match header::storage_version(file) {
        Ok(version) if version > header::NEWEST_STORAGE => unreadable(Unreadable::Newer { version, newest: header::NEWEST_STORAGE }),
        _ => Ok(()),
    }
}

/// Whether DuckDB complains about the content of a file, and not about what was asked.
pub(super) fn is_damage(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    ["Corrupt database file", "Could not read enough bytes"].iter().any(|sign| text.contains(sign))
}

/// The catalog name DuckDB gives a file, which is what the views inside it call it: its name up to the first dot, after leading ones.
pub(super) fn stem(path: &Path) -> Result<String, ExportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    if stem.is_empty() || RESERVED_STEMS.contains(&stem.to_lowercase().as_str()) {
        return Err(ExportError::Lakehouse { path: path.to_path_buf(), why: Unreadable::ReservedName(stem.to_owned()) });
    }
    Ok(stem.to_owned())
}
