//! The working folder of one attempt.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::ExportError;
use crate::files;

/// A folder next to the target for the private copy and for spill files; removed when dropped.
#[derive(Debug)]
pub(super) struct ScratchDir(PathBuf);

impl ScratchDir {
    pub(super) fn begin(path: PathBuf) -> Result<Self, ExportError> {
        files::remove_dir_if_exists(&path)
            .and_then(|()| private_folder(&path))
            .map_err(|source| ExportError::io("make the working folder", &path, source))?;
        Ok(Self(path))
    }

    /// Creates a folder in the system's temporary directory that only this user may enter.
    pub(super) fn temporary() -> io::Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("materia-").tempdir()?.keep()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn spill(&self) -> PathBuf {
        self.0.join("spill")
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = files::remove_dir_if_exists(&self.0);
    }
}

/// Creates a folder that only its owner can enter: the private copy may contain more than is
/// served.
fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}
