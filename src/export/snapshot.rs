//! A private view of the lakehouse: an optimistic copy, or the lakehouse itself under DuckDB's read lock.
//!
//! A copy takes no lock. State and writers are observed before and after it; where anything differs, it is thrown away and made again.

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
    observer::Observer,
    stage,
    state::DatabaseState,
    watch::{Event, Watch},
    work::Work,
};
use crate::{
    files::{self, FileId},
    lock::{self, Holder, Mode},
    settings::SnapshotMode,
    words,
};

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
    /// What was copied, or is read in place.
    pub(super) state: DatabaseState,
    /// Who had it open for writing while it was copied.
    pub(super) held_by: Option<Holder>,
    /// How long it took until the lakehouse rested.
    pub(super) waited: Duration,
    /// While it is read in place.
    in_place: Option<InPlace>,
    /// For how long writers were refused, once they are not any more.
    blocked: Duration,
}

/// The lakehouse is attached where it is.
#[derive(Debug)]
struct InPlace {
    /// Opened before DuckDB attaches the file and closed after it is detached: closing a descriptor in between would end DuckDB's lock.
    file: File,
    since: Instant,
}

impl Snapshot {
    /// Takes the snapshot in the way that was asked for. `auto` shares blocks where the filesystem can, else copies where that leaves
    /// `reserve` bytes for the export, else reads in place.
    pub(super) fn take(
        observer: &mut Observer<'_>,
        lakehouse: Lakehouse,
        (mode, reserve): (SnapshotMode, u64),
        work: &Work,
        watch: &mut dyn Watch,
    ) -> Result<Self, ExportError> {
        let stem = lakehouse::stem(&lakehouse.path)?;
        if mode == SnapshotMode::None {
            return Ok(Self::in_place(lakehouse, stem, watch));
        }
        let to = work.path().join("snapshot.duckdb");
        match copy_at_rest(observer, lakehouse, &to, (mode, reserve), watch)? {
            Ok((how, lakehouse)) => Ok(Self {
                path: to,
                stem,
                how,
                state: lakehouse.state,
                held_by: lakehouse.held_by,
                waited: lakehouse.waited,
                in_place: None,
                blocked: Duration::ZERO,
            }),
            Err(lakehouse) if mode == SnapshotMode::Auto && lakehouse.held_by.is_none() => {
                tell_in_place(&lakehouse, &to, watch);
                Ok(Self::in_place(lakehouse, stem, watch))
            }
            Err(lakehouse) => Err(no_space(&lakehouse, &to)),
        }
    }

    /// Reads the lakehouse where it is; DuckDB's own lock keeps writers out from the moment it is attached.
    fn in_place(lakehouse: Lakehouse, stem: String, watch: &mut dyn Watch) -> Self {
        watch.event(&Event::InPlace { reading: true });
        let Lakehouse { path, file, state, held_by, waited, .. } = lakehouse;
        let in_place = Some(InPlace { file, since: Instant::now() });
        Self { path, stem, how: How::None, state, held_by, waited, in_place, blocked: Duration::ZERO }
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// Does something with the file that is attached.
    pub(super) fn with_file<T>(&self, work: impl FnOnce(&File) -> Result<T, ExportError>) -> Result<T, ExportError> {
        match &self.in_place {
            Some(InPlace { file, .. }) => work(file),
            None => work(&File::open(&self.path).map_err(|source| ExportError::io("open", &self.path, source))?),
        }
    }

    /// Says who keeps DuckDB from attaching the lakehouse in place.
    pub(super) fn busy(&self) -> ExportError {
        let holder = self.in_place.as_ref().and_then(|in_place| lock::blocker(&in_place.file, Mode::Shared).ok().flatten());
        let holder = Box::new(holder.unwrap_or(Holder { pid: None, command: None, running: None }));
        ExportError::LakehouseBusy { path: self.path.clone(), holder, waited: Duration::ZERO }
    }

    /// Takes note of what DuckDB has attached in place: nobody can write it now. `false` where that is another file than was observed.
    pub(super) fn confirm(&mut self) -> Result<bool, ExportError> {
        let Some(InPlace { file, .. }) = &self.in_place else { return Ok(true) };
        self.state = DatabaseState::read(&self.path, file).map_err(|source| ExportError::io("look at", &self.path, source))?;
        Ok(FileId::at(&self.path).is_ok_and(|id| self.state.is_file(id)))
    }

    /// Takes note that nothing is attached any more: writers are let in, and a copy is removed. Returns for how long they were refused.
    pub(super) fn release(&mut self, watch: &mut dyn Watch) -> Duration {
        if let Some(InPlace { file, since }) = self.in_place.take() {
            self.blocked = since.elapsed();
            drop(file);
            watch.event(&Event::InPlace { reading: false });
        } else if self.how != How::None {
            let _ = stage::remove(&self.path);
        }
        self.blocked
    }
}

/// Copies any database file with its companions to `to`, as of one moment at which nobody wrote it. No lock is taken.
///
/// # Errors
/// The file cannot be read or did not come to rest in time, `to` cannot be written, or there is no room for it.
pub(super) fn copy_database(
    observer: &mut Observer<'_>,
    to: &Path,
    (mode, reserve): (SnapshotMode, u64),
    watch: &mut dyn Watch,
) -> Result<How, ExportError> {
    let lakehouse = observer.wait(watch)?;
    match copy_at_rest(observer, lakehouse, to, (mode, reserve), watch)? {
        Ok((how, _)) => Ok(how),
        Err(lakehouse) => Err(no_space(&lakehouse, to)),
    }
}

/// Copies the lakehouse again and again until nothing was written meanwhile. The inner `Err` is the lakehouse where
/// there is no room.
#[allow(clippy::type_complexity, reason = "either way with the lakehouse as it was observed")]
fn copy_at_rest(
    observer: &mut Observer<'_>,
    mut lakehouse: Lakehouse,
    to: &Path,
    (mode, reserve): (SnapshotMode, u64),
    watch: &mut dyn Watch,
) -> Result<Result<(How, Lakehouse), Lakehouse>, ExportError> {
    let mut how = if mode == SnapshotMode::Copy { How::Copy } else { How::Reflink };
    loop {
        let begun = Instant::now();
        let mut copied = 0;
        let complete = match how {
            How::Reflink => match copy_all(&lakehouse, to, &mut |from, to| reflink(from, to).map(|()| true)) {
                Err(ExportError::Io { path, source, .. }) if mode == SnapshotMode::Reflink => {
                    return Err(ExportError::NoReflink { path, source });
                }
                Err(ExportError::Io { .. }) => {
                    how = How::Copy;
                    continue;
                }
                complete => complete,
            },
            How::Copy | How::None => {
                if !has_room(&lakehouse, to, if mode == SnapshotMode::Auto { reserve } else { 0 }) {
                    return Ok(Err(lakehouse));
                }
                let still = &mut |bytes| {
                    copied += bytes;
                    observer.is_unchanged(&lakehouse)
                };
                copy_all(&lakehouse, to, &mut |from, to| copy_pieces(from, to, &mut *still))
            }
        };
        let complete = match complete {
            Err(ExportError::Io { source, .. }) if mode == SnapshotMode::Auto && is_full(&source) => {
                let _ = stage::remove(to);
                return Ok(Err(lakehouse));
            }
            complete => complete?,
        };
        let took = begun.elapsed();
        if complete && observer.accepts(&lakehouse)? {
            return Ok(Ok((how, lakehouse)));
        }
        stage::remove(to).map_err(|source| ExportError::io("remove", to, source))?;
        if observer.discarded() == 0 {
            watch.notice("the lakehouse was written while it was copied: the copy is thrown away and made again");
        }
        let bytes = lakehouse.state.total_bytes();
        observer.discard(took, if complete { bytes } else { copied }, bytes)?;
        lakehouse = observer.wait(watch)?;
    }
}

/// Says that `auto` reads in place for lack of room.
fn tell_in_place(lakehouse: &Lakehouse, to: &Path, watch: &mut dyn Watch) {
    let folder = files::folder_of(files::folder_of(to));
    watch.notice(&format!(
        "the lakehouse is read in place, and writing it fails until that is done: a private copy ({}) and the export do not fit into {} ({} left)",
        words::bytes(lakehouse.state.total_bytes()),
        folder.display(),
        files::space_left(folder).map_or_else(|_| "unknown".to_owned(), words::bytes),
    ));
}

/// Copies the file and its companions together: a file without its log is silently older than it should be. `false` where `copy` stopped
/// because the lakehouse has changed.
fn copy_all(lakehouse: &Lakehouse, to: &Path, copy: &mut dyn FnMut(&File, &File) -> Result<bool, io::Error>) -> Result<bool, ExportError> {
    let mut one = |from: &File, to: &Path| {
        let made = File::create(to).and_then(|file| copy(from, &file));
        if made.is_err() {
            let _ = fs::remove_file(to);
        }
        made.map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => ExportError::Interrupted,
            _ => ExportError::io("copy the lakehouse to", to, source),
        })
    };
    if !one(&lakehouse.file, to)? {
        return Ok(false);
    }
    for ending in COMPANIONS {
        match File::open(files::with_suffix(&lakehouse.path, ending)) {
            Ok(from) if !one(&from, &files::with_suffix(to, ending))? => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ExportError::io("read", &files::with_suffix(&lakehouse.path, ending), source)),
        }
    }
    Ok(true)
}

/// Shares the blocks of `from`, where the filesystem can.
pub(super) fn reflink(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// `io::copy` uses `copy_file_range` where the system has it; in pieces, so that it can be stopped.
pub(super) fn copy_bytes(from: &File, to: &File, cancel: &Cancel) -> io::Result<()> {
    copy_pieces(from, to, &mut |_| cancel.check().map(|()| true)).map(drop)
}

/// Copies until `go_on`, called with the bytes of each piece, says no; `false` then.
fn copy_pieces(from: &File, to: &File, go_on: &mut dyn FnMut(u64) -> Result<bool, ExportError>) -> io::Result<bool> {
    const PIECE: u64 = 64 << 20;
    let mut to = to;
    let mut copied = 0;
    loop {
        match go_on(copied) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(ExportError::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Err(ExportError::Io { source, .. }) => return Err(source),
            Err(other) => return Err(io::Error::other(other.to_string())),
        }
        copied = io::copy(&mut from.take(PIECE), &mut to)?;
        if copied == 0 {
            return Ok(true);
        }
    }
}

/// Whether a copy and `reserve` bytes more fit beside the target.
fn has_room(lakehouse: &Lakehouse, to: &Path, reserve: u64) -> bool {
    files::space_left(files::folder_of(to)).is_ok_and(|left| left >= lakehouse.state.total_bytes().saturating_add(reserve))
}

fn no_space(lakehouse: &Lakehouse, to: &Path) -> ExportError {
    let folder = files::folder_of(files::folder_of(to)).to_path_buf();
    let left = files::space_left(files::folder_of(to)).unwrap_or_default();
    ExportError::NoSpace { folder, left, needed: lakehouse.state.total_bytes() }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Milliseconds since `begun`, for reports.
pub(super) fn ms_since(begun: Instant) -> u64 {
    ms(begun.elapsed())
}

pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
