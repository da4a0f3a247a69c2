//! Whether a staged file is still the one that was audited when it is about to be published.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{ExportError, Job, fingerprint::blocks, lakehouse::COMPANIONS};
use crate::{
    files::{self, FileId},
    words,
};

/// The identity, size and times of a closed file, which any write changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seal {
    path: PathBuf,
    stamp: Stamp,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    id: FileId,
    bytes: u64,
    /// Of the content and of the file's entry, in seconds and nanoseconds since 1970. The second one cannot be set by a program.
    times: [(i64, i64); 2],
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, ExportError> {
        let metadata = fs::metadata(path).map_err(|source| ExportError::io("look at", path, source))?;
        let times = [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
        Ok(Self { id: FileId::of(&metadata), bytes: metadata.len(), times })
    }
}

impl Seal {
    /// Takes down what the file is before it is audited.
    pub(super) fn of(path: &Path) -> Result<Self, ExportError> {
        Ok(Self { path: path.to_path_buf(), stamp: Stamp::of(path)? })
    }

    /// Checks that the audits, and the hash that was made beside them, saw one and the same file.
    ///
    /// # Errors
    /// [`ExportError::Changed`] when it was written or replaced since.
    pub(super) fn check(&self) -> Result<(), ExportError> {
        let now = Stamp::of(&self.path)?;
        if now.id != self.stamp.id {
            return Err(changed(&self.path, "another file took its place while it was audited".to_owned()));
        }
        check_bytes(&self.path, self.stamp.bytes, now.bytes)?;
        if now.times != self.stamp.times {
            return Err(changed(&self.path, "it was written while it was audited".to_owned()));
        }
        Ok(())
    }
}

/// What was audited: its size and a hash of every byte.
pub(super) struct Audited<'a> {
    pub(super) bytes: u64,
    pub(super) content: &'a str,
    /// Whose limits of threads, and whose cancellation, hold for reading the file again.
    pub(super) job: &'a Job,
}

impl Audited<'_> {
    /// Compares a file byte for byte with what was audited.
    ///
    /// # Errors
    /// [`ExportError::Changed`] when it differs, or a log lies beside it; [`ExportError::Interrupted`].
    pub(super) fn check(&self, path: &Path) -> Result<(), ExportError> {
        if let Some(log) = COMPANIONS.iter().map(|ending| files::with_suffix(path, ending)).find(|log| log.exists()) {
            return Err(changed(path, format!("{} lies beside it, which readers would apply", log.display())));
        }
        check_bytes(path, self.bytes, Stamp::of(path)?.bytes)?;
        if hash(path, self.job)? != self.content {
            return Err(changed(path, "it has other content".to_owned()));
        }
        Ok(())
    }
}

/// A hash of every byte of a file.
///
/// # Errors
/// The file cannot be read, or [`ExportError::Interrupted`].
pub(super) fn hash(path: &Path, job: &Job) -> Result<String, ExportError> {
    let hashed = File::open(path).and_then(|file| blocks::hash_file(&file, &job.limits, &job.cancel));
    hashed.map_err(|source| match source.kind() {
        io::ErrorKind::Interrupted => ExportError::Interrupted,
        _ => ExportError::io("read", path, source),
    })
}

fn check_bytes(path: &Path, audited: u64, found: u64) -> Result<(), ExportError> {
    if audited == found {
        return Ok(());
    }
    let [audited, found] = [audited, found].map(words::count);
    Err(changed(path, format!("it has {found} bytes, {audited} were audited")))
}

fn changed(path: &Path, how: String) -> ExportError {
    ExportError::Changed { path: path.to_path_buf(), how }
}
