//! The export lock: one exporter at a time for each folder of served files, and the progress of the
//! current one.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::error::check_cancelled;
use super::{
    CancellationToken, ExportError, LakehouseError, lakehouse,
    progress::{ExportEvent, Progress},
};
use crate::store::RunningExport;
use crate::{
    files::{self, FileId},
    lock::{self, LockHolder, Mode},
    store::Store,
};

/// The exclusive right to publish. Released on drop, and by the operating system when the process
/// dies.
pub(super) struct ExportLock {
    path: PathBuf,
    file: File,
    /// Length in bytes of the longest announcement so far.
    longest: usize,
}

impl ExportLock {
    /// Waits for the lock. Also returns the unfinished announcement of an exporter that died, if
    /// any.
    pub(super) fn acquire(
        target: &Store,
        limit: Duration,
        cancel: &CancellationToken,
        watch: &mut dyn Progress,
    ) -> Result<(Self, Option<RunningExport>), ExportError> {
        let path = target.local().lock_path();
        let what = format!("the export of {}", target.local().served_path().display());
        let begun = Instant::now();
        loop {
            check_cancelled(cancel)?;
            let mut file = lock::open_lock_file(&path)
                .map_err(|source| ExportError::io("open", &path, source))?;
            let blocked = lock::try_lock(&file, Mode::Exclusive)
                .map_err(|source| ExportError::io("lock", &path, source))?;
            if blocked.is_none() {
                // The previous holder removes the file, and a lock on a removed file excludes no
                // other process: the locked file must still be the one at the path.
                let ours = file.metadata().map(|metadata| FileId::of(&metadata)).ok();
                if ours.is_some() && ours == FileId::at(&path).ok() {
                    let abandoned = RunningExport::read(&mut file);
                    let longest = file
                        .metadata()
                        .ok()
                        .and_then(|metadata| usize::try_from(metadata.len()).ok())
                        .unwrap_or_default();
                    return Ok((Self { path, file, longest }, abandoned));
                }
                continue;
            }
            let holder = RunningExport::read(&mut file)
                .map_or(LockHolder { pid: None, command: None, running: None }, |running| {
                    lock::describe(running.pid)
                });
            let waited = begun.elapsed();
            if waited >= limit {
                return Err(ExportError::ExportInProgress {
                    target: target.local().served_path().to_path_buf(),
                    holder: Box::new(holder),
                    waited,
                });
            }
            watch.event(&ExportEvent::Waiting { what: &what, holder: &holder, waited, limit });
            lakehouse::backoff(limit.saturating_sub(waited));
        }
    }

    /// Writes the progress of the running export for other processes. Failures are ignored: a full
    /// disk must not stop an export here.
    ///
    /// A single call overwrites the former text to its end: a kill between two calls would leave
    /// the rest of the former text, and the file would be unreadable.
    fn write_progress(&mut self, running: &RunningExport) {
        let Ok(mut text) = serde_json::to_vec(running) else { return };
        self.longest = self.longest.max(text.len());
        text.resize(self.longest, b' ');
        let _ = self.file.write_all_at(&text, 0);
    }
}

impl Drop for ExportLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Forwards events and keeps the lock file's announcement up to date.
pub(super) struct ProgressRecorder<'a> {
    lock: ExportLock,
    running: RunningExport,
    inner: &'a mut dyn Progress,
    /// When a percentage was last written: DuckDB reports more often than readers of the file need.
    written: Instant,
}

impl<'a> ProgressRecorder<'a> {
    pub(super) fn new(
        mut lock: ExportLock,
        running: RunningExport,
        inner: &'a mut dyn Progress,
    ) -> Self {
        lock.write_progress(&running);
        Self { lock, running, inner, written: Instant::now() }
    }
}

impl Progress for ProgressRecorder<'_> {
    fn event(&mut self, event: &ExportEvent<'_>) {
        let running = &mut self.running;
        let mut worth_writing = true;
        match event {
            ExportEvent::Step { step } => {
                running.step = *step;
                (running.table, running.percent, running.waiting_for) = (None, None, None);
            }
            ExportEvent::Waiting { holder, .. } => running.waiting_for = Some((*holder).clone()),
            ExportEvent::TableBegins { table, .. } => {
                (running.table, running.percent) = (Some((*table).to_owned()), None);
            }
            ExportEvent::TableProgress { percent, .. } => {
                running.percent = Some(*percent);
                worth_writing = self.written.elapsed() > Duration::from_millis(200);
            }
            ExportEvent::InPlace { reading } => running.in_place = *reading,
            ExportEvent::Begins { .. }
            | ExportEvent::TableDone { .. }
            | ExportEvent::Notice { .. } => worth_writing = false,
        }
        if worth_writing {
            self.lock.write_progress(&self.running);
            self.written = Instant::now();
        }
        self.inner.event(event);
    }
}

/// Checks that the target's folder is usable at all, before waiting for anything.
pub(super) fn validate_target(target: &Store, lakehouse: Option<&Path>) -> Result<(), ExportError> {
    let served = target.local().served_path();
    let bad = |why: &'static str| {
        Err(ExportError::Target { path: served.to_path_buf(), why: why.to_owned() })
    };
    match fs::metadata(target.local().folder()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The default target is next to the lakehouse: if both are missing, the error names the
            // lakehouse.
            if let Some(path) = lakehouse.filter(|lakehouse| !lakehouse.exists()) {
                return Err(ExportError::Lakehouse {
                    path: path.to_path_buf(),
                    why: LakehouseError::Missing,
                });
            }
            return Err(ExportError::Target {
                path: served.to_path_buf(),
                why: format!(
                    "its folder {} does not exist; create it first",
                    target.local().folder().display()
                ),
            });
        }
        Err(source) => return Err(ExportError::io("look at", target.local().folder(), source)),
        Ok(metadata) if !metadata.is_dir() => return bad("its folder is not a folder"),
        Ok(_) => {}
    }
    if let Some(lakehouse) = lakehouse.filter(|lakehouse| is_reserved_path(lakehouse, target)) {
        let why = format!(
            "the lakehouse {} is where materia keeps its own files, and would be removed; rename it, or serve from another folder",
            lakehouse.display()
        );
        return Err(ExportError::Target { path: served.to_path_buf(), why });
    }
    match fs::metadata(served) {
        Ok(metadata) if metadata.is_dir() => {
            return bad("it is a folder; name a file in it, for example analytics.duckdb");
        }
        Ok(metadata) => {
            if lakehouse
                .is_some_and(|lakehouse| FileId::at(lakehouse).ok() == Some(FileId::of(&metadata)))
            {
                return bad(
                    "it is the lakehouse itself; name another file with --to, for example --to served.duckdb",
                );
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ExportError::io("look at", served, source)),
    }
    if files::with_suffix(served, "") == target.local().former_staged()
        || served == target.local().rollback_staging()
    {
        return bad("that name is used for the staged file; choose another");
    }
    Ok(())
}

/// Refuses a file named like its schema, which would make every `schema.table` ambiguous for
/// readers: catalog and table, or schema and table.
pub(super) fn validate_catalog_name(target: &Store, schema: &str) -> Result<(), ExportError> {
    let stem = target.local().served_path().file_stem().unwrap_or_default().to_string_lossy();
    let catalog = stem.split('.').next().unwrap_or_default();
    if !catalog.eq_ignore_ascii_case(schema) {
        return Ok(());
    }
    let why = format!(
        "DuckDB would take {schema}.x in it for a table of the file's own catalog {catalog}; choose another name, for example analytics.duckdb"
    );
    Err(ExportError::Target { path: target.local().served_path().to_path_buf(), why })
}

/// Returns whether the lakehouse's path is one that exporters replace, or is in a folder that they
/// clear.
fn is_reserved_path(lakehouse: &Path, target: &Store) -> bool {
    let files = [
        target.local().former_staged(),
        target.local().rollback_staging(),
        target.local().refused(),
        target.local().lock_path(),
    ];
    let Ok(lakehouse) = fs::canonicalize(lakehouse) else { return false };
    let is = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path == lakehouse);
    let is_in =
        |folder: &Path| fs::canonicalize(folder).is_ok_and(|folder| lakehouse.starts_with(folder));
    files.iter().any(|path| is(path))
        || is_in(&target.local().work())
        || is_in(&target.local().generations_dir())
}
