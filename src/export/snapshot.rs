//! Our private view of the lakehouse, and for how long taking it kept the pipeline out.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Cancel, ExportError,
    lakehouse::{self, COMPANIONS, Lakehouse},
    watch::Watch,
    work::Work,
};
use crate::{files, settings::SnapshotMode, words};

/// How the lakehouse was read in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// From a copy that shares its blocks with the original.
    Reflink,
    /// From a full copy.
    Copy,
    /// In place, under a lock.
    None,
}

/// A lakehouse that does not change while it is read.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The file to attach.
    pub(super) path: PathBuf,
    /// The catalog name it must be attached under.
    pub(super) stem: String,
    pub(super) how: How,
    hold: Hold,
}

/// While the file is read in place, the lock; afterwards, how long it was held.
#[derive(Debug)]
enum Hold {
    Held(Lakehouse),
    Released(Duration),
}

impl Snapshot {
    /// Takes the snapshot in the way that was asked for; `auto` falls back to reading in place.
    pub(super) fn take(
        lakehouse: Lakehouse,
        mode: SnapshotMode,
        work: &Work,
        cancel: &Cancel,
        watch: &mut dyn Watch,
    ) -> Result<Self, ExportError> {
        let stem = lakehouse::stem(&lakehouse.path)?;
        let copy = work.path().join("snapshot.duckdb");
        let how = match mode {
            SnapshotMode::None => How::None,
            SnapshotMode::Copy => {
                need_space(&lakehouse, work)?;
                copy_all(&lakehouse, &copy, |from, to| copy_bytes(from, to, cancel))?;
                How::Copy
            }
            SnapshotMode::Reflink | SnapshotMode::Auto => match copy_all(&lakehouse, &copy, reflink) {
                Ok(()) => How::Reflink,
                Err(_) if mode == SnapshotMode::Auto => How::None,
                Err(ExportError::Io { path, source, .. }) => return Err(ExportError::NoReflink { path, source }),
                Err(other) => return Err(other),
            },
        };
        if how == How::None {
            return Self::in_place(lakehouse);
        }
        let blocked = lakehouse.held_since.elapsed();
        watch.notice(&format!("the pipeline is free again after {}", words::duration(blocked)));
        Ok(Self { path: copy, stem, how, hold: Hold::Released(blocked) })
    }

    /// Reads the lakehouse where it is; writers are kept out until the snapshot is released.
    pub(super) fn in_place(lakehouse: Lakehouse) -> Result<Self, ExportError> {
        let stem = lakehouse::stem(&lakehouse.path)?;
        Ok(Self { path: lakehouse.path.clone(), stem, how: How::None, hold: Hold::Held(lakehouse) })
    }

    /// Does something with the file that is attached. In place that is the descriptor under our lock: closing another one of the same file
    /// would end DuckDB's.
    pub(super) fn with_file<T>(&self, work: impl FnOnce(&File) -> Result<T, ExportError>) -> Result<T, ExportError> {
        match &self.hold {
            Hold::Held(lakehouse) => work(&lakehouse.file),
            Hold::Released(_) => work(&File::open(&self.path).map_err(|source| ExportError::io("open", &self.path, source))?),
        }
    }

    /// Lets writers in again, if they are not yet. The snapshot must not be attached any more.
    pub(super) fn release(self) -> Duration {
        self.blocked()
    }

    /// For how long writers have been kept out, up to now.
    pub(super) fn blocked(&self) -> Duration {
        match &self.hold {
            Hold::Held(lakehouse) => lakehouse.held_since.elapsed(),
            Hold::Released(blocked) => *blocked,
        }
    }
}

/// Copies the file and its companions together: a file without its log is silently older than it should be.
fn copy_all(lakehouse: &Lakehouse, to: &Path, copy: impl Fn(&File, &File) -> io::Result<()>) -> Result<(), ExportError> {
    let one = |from: &File, to: &Path| {
        let made = File::create(to).and_then(|file| copy(from, &file));
        if made.is_err() {
            let _ = fs::remove_file(to);
        }
        made.map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => ExportError::Interrupted,
            _ => ExportError::io("copy the lakehouse to", to, source),
        })
    };
    one(&lakehouse.file, to)?;
    for ending in COMPANIONS {
        match File::open(files::with_suffix(&lakehouse.path, ending)) {
            Ok(from) => one(&from, &files::with_suffix(to, ending))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ExportError::io("read", &files::with_suffix(&lakehouse.path, ending), source)),
        }
    }
    Ok(())
}

/// Shares the blocks of `from`, where the filesystem can.
pub(super) fn reflink(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// `io::copy` uses `copy_file_range` where the system has it; in pieces, so that it can be stopped.
pub(super) fn copy_bytes(from: &File, to: &File, cancel: &Cancel) -> io::Result<()> {
    const PIECE: u64 = 64 << 20;
    let mut to = to;
    loop {
        if cancel.requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if io::copy(&mut from.take(PIECE), &mut to)? == 0 {
            return Ok(());
        }
    }
}

fn need_space(lakehouse: &Lakehouse, work: &Work) -> Result<(), ExportError> {
    match files::space_left(work.path()) {
        Ok(left) if left < lakehouse.bytes => {
            Err(ExportError::NoSpace { folder: files::folder_of(work.path()).to_path_buf(), left, needed: lakehouse.bytes })
        }
        _ => Ok(()),
    }
}

/// Milliseconds since `begun`, for reports.
pub(super) fn ms_since(begun: Instant) -> u64 {
    ms(begun.elapsed())
}

pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
