//! Detects whether a staged file was modified between its audit and publishing.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{CancellationToken, ExportError, ExportJob, ResourceLimits, fingerprint::blocks};
use crate::{
    files::{self, FileId},
    humanize,
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
    /// Times of the content and of the inode, in seconds and nanoseconds since 1970. Programs
    /// cannot set the second one.
    times: [(i64, i64); 2],
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, ExportError> {
        let metadata =
            fs::metadata(path).map_err(|source| ExportError::io("look at", path, source))?;
        let times =
            [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
        Ok(Self { id: FileId::of(&metadata), bytes: metadata.len(), times })
    }
}

impl Seal {
    /// Records the file's identity and times before it is audited.
    pub(super) fn of(path: &Path) -> Result<Self, ExportError> {
        Ok(Self { path: path.to_path_buf(), stamp: Stamp::of(path)? })
    }

    /// Checks that the audits, and the hash that was computed in parallel, read the same file.
    ///
    /// # Errors
    /// [`ExportError::Changed`] if it was written or replaced since.
    pub(super) fn check(&self) -> Result<(), ExportError> {
        let now = Stamp::of(&self.path)?;
        if now.id != self.stamp.id {
            return Err(changed(
                &self.path,
                "another file took its place while it was audited".to_owned(),
            ));
        }
        check_bytes(&self.path, self.stamp.bytes, now.bytes)?;
        if now.times != self.stamp.times {
            return Err(changed(&self.path, "it was written while it was audited".to_owned()));
        }
        Ok(())
    }
}

/// The audited content: its size and a hash of every byte.
pub(super) struct Audited<'a> {
    pub(super) bytes: u64,
    pub(super) content: &'a str,
    /// The job, whose thread limit and cancellation apply when the file is read again.
    pub(super) job: &'a ExportJob,
}

impl Audited<'_> {
    /// Compares a file byte for byte with the audited one.
    ///
    /// # Errors
    /// [`ExportError::Changed`] if it differs, or has a log next to it;
    /// [`ExportError::Interrupted`].
    pub(super) fn check(&self, path: &Path) -> Result<(), ExportError> {
        if let Some(log) = files::wal_files(path).first() {
            return Err(changed(
                path,
                format!("{} exists, which readers would apply", log.display()),
            ));
        }
        check_bytes(path, self.bytes, Stamp::of(path)?.bytes)?;
        if hash(path, &self.job.limits, &self.job.cancel)? != self.content {
            return Err(changed(path, "it has other content".to_owned()));
        }
        Ok(())
    }
}

/// Returns a hash of every byte of a file.
///
/// # Errors
/// The file cannot be read, or [`ExportError::Interrupted`].
pub(super) fn hash(
    path: &Path,
    limits: &ResourceLimits,
    cancel: &CancellationToken,
) -> Result<String, ExportError> {
    let hashed = File::open(path).and_then(|file| blocks::hash_file(&file, limits, cancel));
    hashed.map_err(|source| match source.kind() {
        io::ErrorKind::Interrupted => ExportError::Interrupted,
        _ => ExportError::io("read", path, source),
    })
}

fn check_bytes(path: &Path, audited: u64, found: u64) -> Result<(), ExportError> {
    if audited == found {
        return Ok(());
    }
    let [audited, found] = [audited, found].map(humanize::count);
    Err(changed(path, format!("it has {found} bytes, {audited} were audited")))
}

fn changed(path: &Path, how: String) -> ExportError {
    ExportError::Changed { path: path.to_path_buf(), how }
}
