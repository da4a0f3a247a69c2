//! The working folder of one attempt.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::ExportError;

/// A folder beside the target for the private copy and for what does not fit into memory; removed when dropped.
#[derive(Debug)]
pub(super) struct Work(PathBuf);

impl Work {
    pub(super) fn begin(path: PathBuf) -> Result<Self, ExportError> {
        clear(&path).and_then(|()| private_folder(&path)).map_err(|source| ExportError::io("make the working folder", &path, source))?;
        Ok(Self(path))
    }

    /// A folder in the system's place for temporary files, which only this user may enter.
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

impl Drop for Work {
    fn drop(&mut self) {
        let _ = clear(&self.0);
    }
}

/// Makes a folder that only its owner can enter: the private copy may hold more than what is served.
fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

pub(super) fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
