//! Crash-safe file operations: folder syncs, atomic replacement and link resolution.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Makes the names in `folder` durable: without it a power failure may undo a rename.
///
/// # Errors
/// The operating system's.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Replaces a file atomically: writes a temporary file in the same folder, syncs it and renames it
/// over the old one.
///
/// # Errors
/// The operating system's; the temporary file is removed and the old file is untouched.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = with_suffix(path, ".new");
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
        return written;
    }
    sync_dir(parent_dir(path))
}

/// Appends `suffix` to the whole name of `path`: `x.duckdb` and `.wal` give `x.duckdb.wal`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Suffixes of the files next to a database that DuckDB applies when it opens it: the write-ahead
/// log since the last checkpoint, and the two logs of a checkpoint in progress.
pub const WAL_SUFFIXES: [&str; 3] = [".wal", ".wal.checkpoint", ".wal.recovery"];

/// Returns the existing logs of a database file.
#[must_use]
pub fn wal_files(database: &Path) -> Vec<PathBuf> {
    WAL_SUFFIXES
        .iter()
        .map(|suffix| with_suffix(database, suffix))
        .filter(|log| log.exists())
        .collect()
}

/// Returns the folder of a path; `.` for a bare name.
#[must_use]
pub fn parent_dir(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Removes a file that may be missing.
///
/// # Errors
/// The operating system's, except for a missing file.
pub fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a database file and its logs, any of which may be missing.
///
/// # Errors
/// The operating system's.
pub fn remove_database(path: &Path) -> io::Result<()> {
    remove_if_exists(path)?;
    WAL_SUFFIXES.iter().try_for_each(|suffix| remove_if_exists(&with_suffix(path, suffix)))
}

/// Removes a folder and its contents; it may be missing.
///
/// # Errors
/// The operating system's.
pub fn remove_dir_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Resolves symbolic links to the name that a rename must replace, which need not exist yet.
///
/// # Errors
/// A loop of links, or a folder on the way that cannot be read.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    const MAX_SYMLINKS: usize = 40; // as the Linux kernel
    let mut path = path.to_path_buf();
    for _ in 0..MAX_SYMLINKS {
        match fs::read_link(&path) {
            Ok(next) => path = parent_dir(&path).join(next),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links, probably a loop"))
}

/// The identity of a file independent of its names: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns the identity from the metadata of a file.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns device and inode.
    #[must_use]
    pub fn device_and_inode(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Returns the identity of the file at a path.
    ///
    /// # Errors
    /// The operating system's.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// Returns whether two files have the same bytes. The comparison ends at the first difference.
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

/// Returns the bytes that an unprivileged user may still write to the filesystem of `folder`.
///
/// # Errors
/// The operating system's.
pub fn available_space(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns the kind of the filesystem of a folder.
///
/// # Errors
/// The operating system's.
pub fn filesystem_name(folder: &Path) -> io::Result<&'static str> {
    // Source: `linux/magic.h` and the sources of ZFS and XFS.
    Ok(match rustix::fs::statfs(folder)?.f_type & 0xffff_ffff {
        0xef53 => "ext4",
        0x5846_5342 => "XFS",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "ZFS",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlay",
        0x6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9p",
        _ => "unknown",
    })
}

/// Returns the next action after a filesystem error, to be appended to its message; empty where
/// there is no general advice.
#[must_use]
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and run it again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; materia must be able to write there"
        }
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
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
