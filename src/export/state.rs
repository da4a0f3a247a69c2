//! The state of a database file and its companions, which reveals writes: identity, sizes, times
//! and headers, without reading the content.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::header;
use crate::files::{self, FileId};

/// Longer than the granularity of a filesystem's time stamps: some store whole seconds, the others
/// follow the kernel's clock tick.
const GRANULARITY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(100));

/// Seconds and nanoseconds since 1970.
type FileTime = (i64, i64);

/// Identity, size and times of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    id: FileId,
    bytes: u64,
    modified: FileTime,
    changed: FileTime,
}

impl FileState {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            id: FileId::of(metadata),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// State of a database: its main file with the three header blocks, and each companion. Two equal
/// states prove that nothing was written between them, provided that the first one was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseState {
    main: FileState,
    headers: Vec<u8>,
    companions: [Option<FileState>; files::WAL_SUFFIXES.len()],
}

impl DatabaseState {
    /// Reads the state of the open main file and of the companions next to `path`. Opens nothing,
    /// so it may be used while DuckDB has the file open in this process.
    pub(super) fn read(path: &Path, file: &File) -> io::Result<Self> {
        let main = FileState::of(&file.metadata()?);
        let mut headers =
            vec![0; usize::try_from(header::BYTES.min(main.bytes)).map_err(io::Error::other)?];
        file.read_exact_at(&mut headers, 0)?;
        let mut companions = [const { None }; files::WAL_SUFFIXES.len()];
        for (companion, ending) in companions.iter_mut().zip(files::WAL_SUFFIXES) {
            *companion = match fs::metadata(files::with_suffix(path, ending)) {
                Ok(metadata) => Some(FileState::of(&metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(Self { main, headers, companions })
    }

    fn files(&self) -> impl Iterator<Item = &FileState> {
        std::iter::once(&self.main).chain(self.companions.iter().flatten())
    }

    /// Returns the size of the main file.
    pub(super) fn main_bytes(&self) -> u64 {
        self.main.bytes
    }

    /// Returns the total size of all files.
    pub(super) fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    /// Returns whether part of the content is in a companion.
    pub(super) fn has_log(&self) -> bool {
        self.companions.iter().flatten().any(|file| file.bytes > 0)
    }

    pub(super) fn is_file(&self, id: FileId) -> bool {
        self.main.id == id
    }

    /// Formats the main file's identity, size and times.
    pub(super) fn format_main(&self) -> String {
        let FileState { id, bytes, modified, changed } = &self.main;
        let times = (modified.0, modified.1, changed.0, changed.1);
        format!("{:?} {bytes} {times:?}", id.device_and_inode())
    }

    /// Returns when the newest of the files was last changed, by the filesystem's clock; `None`
    /// before 1970.
    fn last_change(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.files().map(|file| file.changed).max()?;
        Some(UNIX_EPOCH + Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?))
    }

    /// Returns for how long nothing was written at `now`; `None` if the filesystem's clock is
    /// ahead.
    pub(super) fn idle_at(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.last_change()?).ok()
    }

    /// Returns the time within which two writes may get the same time stamp.
    pub(super) fn granularity(&self) -> Duration {
        let whole_seconds = self.files().all(|file| file.changed.1 == 0);
        if whole_seconds { GRANULARITY.0 } else { GRANULARITY.1 }
    }

    /// Returns whether every write after `now` will change the files' time stamps.
    pub(super) fn is_settled_at(&self, now: SystemTime) -> bool {
        self.idle_at(now).is_some_and(|idle| idle > self.granularity())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn state(path: &Path) -> DatabaseState {
        DatabaseState::read(path, &File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_write_to_the_file_or_its_log_is_another_state_and_looking_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.duckdb");
        fs::write(&path, vec![1; 20_000]).unwrap();
        let first = state(&path);
        assert_eq!(first, state(&path));
        fs::write(files::with_suffix(&path, ".wal"), "log").unwrap();
        let second = state(&path);
        assert!(first != second && second.has_log() && !first.has_log());
        // The bytes and the length are the same, so only settled times can differ.
        while !second.is_settled_at(SystemTime::now()) {
            std::thread::yield_now();
        }
        File::options().write(true).open(&path).unwrap().write_all_at(&[1], 15_000).unwrap();
        assert_ne!(second, state(&path));
    }
}
