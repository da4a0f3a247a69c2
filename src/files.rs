//! Files that survive a crash: durable folders, whole-file replacement, links followed.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Makes the names in `folder` durable: without it a rename may be undone by a power cut.
///
/// # Errors
/// The operating system's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a whole file or nothing: a temporary one beside it, made durable, renamed over.
///
/// # Errors
/// The operating system's; the temporary file is gone and the old file is untouched.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = with_suffix(path, ".new");
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
        return written;
    }
    sync_folder(folder_of(path))
}

/// `path` with `suffix` appended to its whole name: `x.duckdb` and `.wal` give `x.duckdb.wal`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder a path is in; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Removes a file that may not be there.
///
/// # Errors
/// The operating system's, except that the file was not there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Follows symbolic links to the name that a rename must replace, which need not exist yet.
///
/// # Errors
/// A loop of links, or a folder on the way that cannot be read.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40; // as the Linux kernel
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder_of(&path).join(next),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links, probably a loop"))
}

/// What tells one file from another, whatever it is called: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of an open or named file's metadata.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns device and inode.
    #[must_use]
    pub fn device_and_inode(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Of the file that has this name now.
    ///
    /// # Errors
    /// The operating system's.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// Whether two files hold the same bytes. The first difference ends the comparison.
///
/// # Errors
/// One of them cannot be read.
pub fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    const PIECE: usize = 1 << 20;
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
        match other.read_exact(&mut right[..read]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            done => done?,
        }
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

/// Bytes that an ordinary user may still write to the filesystem of `folder`.
///
/// # Errors
/// The operating system's.
pub fn space_left(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What to do about an error of the filesystem, to be put behind it; empty where nothing general can be said.
#[must_use]
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and run it again",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "; materia must be able to write there",
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_links_leads_to_the_file_even_if_it_does_not_exist_yet() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink("inner/second", folder.path().join("first")).unwrap();
        std::os::unix::fs::symlink("../real.duckdb", inner.join("second")).unwrap();
        let found = follow_links(&folder.path().join("first")).unwrap();
        assert_eq!(found, inner.join("../real.duckdb"));
    }

    #[test]
    fn a_loop_of_links_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        assert!(follow_links(&folder.path().join("a")).is_err());
    }

    #[test]
    fn a_replaced_file_is_either_the_old_or_the_new_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
