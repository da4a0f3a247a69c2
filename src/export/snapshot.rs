//! A snapshot of the lakehouse: an optimistic private copy, or the lakehouse itself under DuckDB's
//! read lock.
//!
//! A copy takes no lock. State and writers are observed before and after it; if anything differs,
//! the copy is discarded and repeated.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::error::check_cancelled;
use super::{
    CancellationToken, ExportError,
    lakehouse::{self, Lakehouse},
    observer::Observer,
    progress::{ExportEvent, Progress},
    scratch::ScratchDir,
    state::DatabaseState,
};
use crate::store::SnapshotMethod;
use crate::{
    files::{self, FileId},
    humanize,
    lock::{self, LockHolder, Mode},
    settings::SnapshotMode,
};

/// A lakehouse that does not change while it is being read.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The file to attach.
    pub(super) path: PathBuf,
    /// The catalog name it must be attached under.
    pub(super) stem: String,
    pub(super) how: SnapshotMethod,
    /// State of the file that was copied, or is read in place.
    pub(super) state: DatabaseState,
    /// The lock holder that had the lakehouse open for writing during the copy.
    pub(super) held_by: Option<LockHolder>,
    /// How long the export waited until the lakehouse was idle.
    pub(super) waited: Duration,
    /// Present while the lakehouse is read in place.
    in_place: Option<InPlace>,
    /// How long writers were blocked, known when they no longer are.
    blocked: Duration,
}

/// The lakehouse, attached in place.
#[derive(Debug)]
struct InPlace {
    /// Opened before DuckDB attaches the file and closed after it is detached: closing a descriptor
    /// in between would end DuckDB's lock.
    file: File,
    since: Instant,
}

impl Snapshot {
    /// Takes the snapshot in the configured mode. `auto` shares blocks if the filesystem supports
    /// it, else copies if that leaves `reserve` bytes for the export, else reads in place.
    pub(super) fn take(
        observer: &mut Observer<'_>,
        lakehouse: Lakehouse,
        (mode, reserve): (SnapshotMode, u64),
        work: &ScratchDir,
        watch: &mut dyn Progress,
    ) -> Result<Self, ExportError> {
        let stem = lakehouse::catalog_name(&lakehouse.path)?;
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
                report_in_place(&lakehouse, &to, watch);
                Ok(Self::in_place(lakehouse, stem, watch))
            }
            Err(lakehouse) => Err(no_space(&lakehouse, &to)),
        }
    }

    /// Reads the lakehouse in place; DuckDB's own lock blocks writers as soon as the file is
    /// attached.
    fn in_place(lakehouse: Lakehouse, stem: String, watch: &mut dyn Progress) -> Self {
        watch.event(&ExportEvent::InPlace { reading: true });
        let Lakehouse { path, file, state, held_by, waited, .. } = lakehouse;
        let in_place = Some(InPlace { file, since: Instant::now() });
        Self {
            path,
            stem,
            how: SnapshotMethod::None,
            state,
            held_by,
            waited,
            in_place,
            blocked: Duration::ZERO,
        }
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// Runs `work` on the attached file.
    pub(super) fn with_file<T>(
        &self,
        work: impl FnOnce(&File) -> Result<T, ExportError>,
    ) -> Result<T, ExportError> {
        match &self.in_place {
            Some(InPlace { file, .. }) => work(file),
            None => work(
                &File::open(&self.path)
                    .map_err(|source| ExportError::io("open", &self.path, source))?,
            ),
        }
    }

    /// Returns the error that names the lock holder preventing DuckDB from attaching the lakehouse
    /// in place.
    pub(super) fn busy(&self) -> ExportError {
        let holder = self.in_place.as_ref().and_then(|in_place| {
            lock::conflicting_holder(&in_place.file, Mode::Shared).ok().flatten()
        });
        let holder =
            Box::new(holder.unwrap_or(LockHolder { pid: None, command: None, running: None }));
        ExportError::LakehouseBusy { path: self.path.clone(), holder, waited: Duration::ZERO }
    }

    /// Confirms the file that DuckDB has attached in place, which no process can write now. Returns
    /// `false` if it is not the file that was observed.
    pub(super) fn confirm(&mut self) -> Result<bool, ExportError> {
        let Some(InPlace { file, .. }) = &self.in_place else { return Ok(true) };
        self.state = DatabaseState::read(&self.path, file)
            .map_err(|source| ExportError::io("look at", &self.path, source))?;
        Ok(FileId::at(&self.path).is_ok_and(|id| self.state.is_file(id)))
    }

    /// Releases the snapshot after it was detached: writers may proceed, and a private copy is
    /// removed. Returns how long writers were blocked.
    pub(super) fn release(&mut self, watch: &mut dyn Progress) -> Duration {
        if let Some(InPlace { file, since }) = self.in_place.take() {
            self.blocked = since.elapsed();
            drop(file);
            watch.event(&ExportEvent::InPlace { reading: false });
        } else if self.how != SnapshotMethod::None {
            let _ = files::remove_database(&self.path);
        }
        self.blocked
    }
}

/// Copies any database file with its companions to `to`, as of one moment without a write. No lock
/// is taken.
///
/// # Errors
/// The file cannot be read or was written throughout the timeout, `to` cannot be written, or there
/// is not enough room.
pub(super) fn copy_database(
    observer: &mut Observer<'_>,
    to: &Path,
    (mode, reserve): (SnapshotMode, u64),
    watch: &mut dyn Progress,
) -> Result<SnapshotMethod, ExportError> {
    let lakehouse = observer.wait(watch)?;
    match copy_at_rest(observer, lakehouse, to, (mode, reserve), watch)? {
        Ok((how, _)) => Ok(how),
        Err(lakehouse) => Err(no_space(&lakehouse, to)),
    }
}

/// Copies the lakehouse repeatedly until none was disturbed by a write. The inner `Err` returns the
/// lakehouse if there is not enough room.
#[allow(clippy::type_complexity, reason = "either way with the lakehouse as it was observed")]
fn copy_at_rest(
    observer: &mut Observer<'_>,
    mut lakehouse: Lakehouse,
    to: &Path,
    (mode, reserve): (SnapshotMode, u64),
    watch: &mut dyn Progress,
) -> Result<Result<(SnapshotMethod, Lakehouse), Lakehouse>, ExportError> {
    let mut how =
        if mode == SnapshotMode::Copy { SnapshotMethod::Copy } else { SnapshotMethod::Reflink };
    loop {
        let begun = Instant::now();
        let mut copied = 0;
        let complete = match how {
            SnapshotMethod::Reflink => {
                match copy_all(&lakehouse, to, &mut |from, to| reflink(from, to).map(|()| true)) {
                    Err(ExportError::Io { path, source, .. }) if mode == SnapshotMode::Reflink => {
                        return Err(ExportError::NoReflink { path, source });
                    }
                    Err(ExportError::Io { .. }) => {
                        how = SnapshotMethod::Copy;
                        continue;
                    }
                    complete => complete,
                }
            }
            SnapshotMethod::Copy | SnapshotMethod::None => {
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
            Err(ExportError::Io { source, .. })
                if mode == SnapshotMode::Auto && is_full(&source) =>
            {
                let _ = files::remove_database(to);
                return Ok(Err(lakehouse));
            }
            complete => complete?,
        };
        let took = begun.elapsed();
        if complete && observer.accepts(&lakehouse)? {
            return Ok(Ok((how, lakehouse)));
        }
        files::remove_database(to).map_err(|source| ExportError::io("remove", to, source))?;
        if observer.discarded() == 0 {
            watch.notice(
                "the lakehouse was written while it was copied: the copy is discarded and repeated",
            );
        }
        let bytes = lakehouse.state.total_bytes();
        observer.discard(took, if complete { bytes } else { copied }, bytes)?;
        lakehouse = observer.wait(watch)?;
    }
}

/// Reports that `auto` reads in place because disk space is insufficient.
fn report_in_place(lakehouse: &Lakehouse, to: &Path, watch: &mut dyn Progress) {
    let folder = files::parent_dir(files::parent_dir(to));
    watch.notice(&format!(
        "the lakehouse is read in place, and writing it fails until that is done: a private copy ({}) and the export do not fit into {} ({} left)",
        humanize::bytes(lakehouse.state.total_bytes()),
        folder.display(),
        files::available_space(folder).map_or_else(|_| "unknown".to_owned(), humanize::bytes),
    ));
}

/// Copies the file together with its companions: without its log, the copy would silently be
/// outdated. Returns `false` if `copy` stopped because the lakehouse changed.
fn copy_all(
    lakehouse: &Lakehouse,
    to: &Path,
    copy: &mut dyn FnMut(&File, &File) -> Result<bool, io::Error>,
) -> Result<bool, ExportError> {
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
    for ending in files::WAL_SUFFIXES {
        match File::open(files::with_suffix(&lakehouse.path, ending)) {
            Ok(from) if !one(&from, &files::with_suffix(to, ending))? => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(ExportError::io(
                    "read",
                    &files::with_suffix(&lakehouse.path, ending),
                    source,
                ));
            }
        }
    }
    Ok(true)
}

/// Shares the blocks of `from` if the filesystem supports it.
pub(super) fn reflink(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// `io::copy` uses `copy_file_range` where available; it copies in pieces, so that it can be
/// stopped.
pub(super) fn copy_bytes(from: &File, to: &File, cancel: &CancellationToken) -> io::Result<()> {
    copy_pieces(from, to, &mut |_| check_cancelled(cancel).map(|()| true)).map(drop)
}

/// Copies until `go_on`, called with the size of each piece, returns `false`; returns `false` in
/// that case.
fn copy_pieces(
    from: &File,
    to: &File,
    go_on: &mut dyn FnMut(u64) -> Result<bool, ExportError>,
) -> io::Result<bool> {
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

/// Returns whether a copy and `reserve` more bytes fit next to the target.
fn has_room(lakehouse: &Lakehouse, to: &Path, reserve: u64) -> bool {
    files::available_space(files::parent_dir(to))
        .is_ok_and(|left| left >= lakehouse.state.total_bytes().saturating_add(reserve))
}

fn no_space(lakehouse: &Lakehouse, to: &Path) -> ExportError {
    let folder = files::parent_dir(files::parent_dir(to)).to_path_buf();
    let left = files::available_space(files::parent_dir(to)).unwrap_or_default();
    ExportError::InsufficientSpace { folder, left, needed: lakehouse.state.total_bytes() }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns the milliseconds since `begun`.
pub(super) fn ms_since(begun: Instant) -> u64 {
    ms(begun.elapsed())
}

pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
