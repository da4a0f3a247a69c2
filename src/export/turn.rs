//! One exporter at a time for each folder of served files, and what the current one is doing.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Cancel, ExportError, Unreadable, lakehouse,
    watch::{Event, Step, Watch},
};
use crate::{
    files::{self, FileId},
    lock::{self, Holder, Mode},
    target::{GenerationId, Target},
};

/// What an exporter says about itself while it works; readable by anybody in the lock file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The exporter's process.
    pub pid: u32,
    /// The attempt.
    pub id: GenerationId,
    /// What it will serve when it succeeds: `id` for an export, an older generation for a rollback.
    pub generation: GenerationId,
    /// Which served file it works on.
    pub target: PathBuf,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// What it is doing.
    pub step: Step,
    /// The table being copied, if any.
    pub table: Option<String>,
    /// How far that table is, 0 to 100, where DuckDB can tell.
    pub percent: Option<f64>,
    /// Who it is waiting for, if anybody.
    pub waiting_for: Option<Holder>,
    /// Whether it reads the lakehouse in place, so that nobody can write it.
    #[serde(default)]
    pub in_place: bool,
}

impl Running {
    pub(super) fn begin(target: &Target, id: &GenerationId, generation: GenerationId, now: jiff::Timestamp) -> Self {
        Self {
            pid: std::process::id(),
            id: id.clone(),
            generation,
            target: target.served_path().to_path_buf(),
            started_at: now,
            step: Step::Turn,
            table: None,
            percent: None,
            waiting_for: None,
            in_place: false,
        }
    }
}

/// The right to publish. Given back when dropped, and by the system when the process dies.
pub(super) struct Turn {
    path: PathBuf,
    file: File,
    /// Bytes of the longest announcement so far.
    longest: usize,
}

impl Turn {
    /// Waits for the turn. The second value is what a dead exporter had announced and never finished.
    pub(super) fn take(
        target: &Target,
        limit: Duration,
        cancel: &Cancel,
        watch: &mut dyn Watch,
    ) -> Result<(Self, Option<Running>), ExportError> {
        let path = target.lock();
        let what = format!("the export of {}", target.served_path().display());
        let begun = Instant::now();
        loop {
            cancel.check()?;
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|source| ExportError::io("open", &path, source))?;
            let blocked = lock::try_lock(&file, Mode::Exclusive).map_err(|source| ExportError::io("lock", &path, source))?;
            if blocked.is_none() {
                // Whoever had the turn before us removes the file: a lock on a removed file is nobody's turn.
                let ours = file.metadata().map(|metadata| FileId::of(&metadata)).ok();
                if ours.is_some() && ours == FileId::at(&path).ok() {
                    let abandoned = read(&mut file);
                    let longest = file.metadata().ok().and_then(|metadata| usize::try_from(metadata.len()).ok()).unwrap_or_default();
                    return Ok((Self { path, file, longest }, abandoned));
                }
                continue;
            }
            let holder = read(&mut file).map_or(Holder { pid: None, command: None, running: None }, |running| lock::describe(running.pid));
            let waited = begun.elapsed();
            if waited >= limit {
                return Err(ExportError::TurnBusy { target: target.served_path().to_path_buf(), holder: Box::new(holder), waited });
            }
            watch.event(&Event::Waiting { what: &what, holder: &holder, waited, limit });
            lakehouse::pause(limit.saturating_sub(waited));
        }
    }

    /// Writes what is being done, for whoever looks. A full disk must not stop an export at this point, so failures are ignored.
    ///
    /// One call writes over the former text to its end: a kill between two would leave the end of the former one, and with it nothing
    /// that can be read.
    fn announce(&mut self, running: &Running) {
        let Ok(mut text) = serde_json::to_vec(running) else { return };
        self.longest = self.longest.max(text.len());
        text.resize(self.longest, b' ');
        let _ = self.file.write_all_at(&text, 0);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(file: &mut File) -> Option<Running> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Which exporter is at work on this target's folder now, if any.
///
/// # Errors
/// The lock file is there and cannot be read.
pub fn running(target: &Target) -> io::Result<Option<Running>> {
    let mut file = match File::open(target.lock()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // A file without a holder is what a killed exporter left; the next one clears it.
    Ok(if lock::blocker(&file, Mode::Shared)?.is_some() { read(&mut file) } else { None })
}

/// Passes events on, and keeps the lock file's announcement up to date with them.
pub(super) struct Announcing<'a> {
    turn: Turn,
    running: Running,
    inner: &'a mut dyn Watch,
    /// When a percentage was last written: DuckDB tells more often than anybody looks.
    written: Instant,
}

impl<'a> Announcing<'a> {
    pub(super) fn new(mut turn: Turn, running: Running, inner: &'a mut dyn Watch) -> Self {
        turn.announce(&running);
        Self { turn, running, inner, written: Instant::now() }
    }
}

impl Watch for Announcing<'_> {
    fn event(&mut self, event: &Event<'_>) {
        let running = &mut self.running;
        let mut worth_writing = true;
        match event {
            Event::Step { step } => {
                running.step = *step;
                (running.table, running.percent, running.waiting_for) = (None, None, None);
            }
            Event::Waiting { holder, .. } => running.waiting_for = Some((*holder).clone()),
            Event::TableBegins { table, .. } => (running.table, running.percent) = (Some((*table).to_owned()), None),
            Event::TableProgress { percent, .. } => {
                running.percent = Some(*percent);
                worth_writing = self.written.elapsed() > Duration::from_millis(200);
            }
            Event::InPlace { reading } => running.in_place = *reading,
            Event::Begins { .. } | Event::TableDone { .. } | Event::Notice { .. } => worth_writing = false,
        }
        if worth_writing {
            self.turn.announce(&self.running);
            self.written = Instant::now();
        }
        self.inner.event(event);
    }
}

/// Whether exporters can work in the target's folder at all, said before anything is waited for.
pub(super) fn check_place(target: &Target, lakehouse: Option<&Path>) -> Result<(), ExportError> {
    let served = target.served_path();
    let bad = |why: &'static str| Err(ExportError::Target { path: served.to_path_buf(), why: why.to_owned() });
    match fs::metadata(target.folder()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The default place is beside the lakehouse: of two things that are missing, the lakehouse is the one to name.
            if let Some(path) = lakehouse.filter(|lakehouse| !lakehouse.exists()) {
                return Err(ExportError::Lakehouse { path: path.to_path_buf(), why: Unreadable::Missing });
            }
            return Err(ExportError::Target {
                path: served.to_path_buf(),
                why: format!("its folder {} does not exist; create it first", target.folder().display()),
            });
        }
        Err(source) => return Err(ExportError::io("look at", target.folder(), source)),
        Ok(metadata) if !metadata.is_dir() => return bad("its folder is not a folder"),
        Ok(_) => {}
    }
    if let Some(lakehouse) = lakehouse.filter(|lakehouse| is_ours(lakehouse, target)) {
        let why = format!(
            "the lakehouse {} is where materia keeps files of its own, and would be removed; rename it, or serve from another folder",
            lakehouse.display()
        );
        return Err(ExportError::Target { path: served.to_path_buf(), why });
    }
    match fs::metadata(served) {
        Ok(metadata) if metadata.is_dir() => return bad("it is a folder; name a file in it, for example analytics.duckdb"),
        Ok(metadata) => {
            if lakehouse.is_some_and(|lakehouse| FileId::at(lakehouse).ok() == Some(FileId::of(&metadata))) {
                return bad("it is the lakehouse itself; name another file with --to, for example --to served.duckdb");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ExportError::io("look at", served, source)),
    }
    if files::with_suffix(served, "") == target.staged() || served == target.returning() {
        return bad("that name is used for the staged file; choose another");
    }
    Ok(())
}

/// A file named like the schema in it makes every `schema.table` ambiguous for whoever opens it: it could be catalog and table.
pub(super) fn check_name(target: &Target, schema: &str) -> Result<(), ExportError> {
    let stem = target.served_path().file_stem().unwrap_or_default().to_string_lossy();
    let catalog = stem.split('.').next().unwrap_or_default();
    if !catalog.eq_ignore_ascii_case(schema) {
        return Ok(());
    }
    let why = format!(
        "DuckDB would take {schema}.x in it for a table of the file's own catalog {catalog}; choose another name, for example analytics.duckdb"
    );
    Err(ExportError::Target { path: target.served_path().to_path_buf(), why })
}

/// Whether a lakehouse has the name of a file, or is in a folder, that exporters replace or clear.
fn is_ours(lakehouse: &Path, target: &Target) -> bool {
    let files = [target.staged(), target.returning(), target.refused(), target.lock()];
    let Ok(lakehouse) = fs::canonicalize(lakehouse) else { return false };
    let is = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path == lakehouse);
    let is_in = |folder: &Path| fs::canonicalize(folder).is_ok_and(|folder| lakehouse.starts_with(folder));
    files.iter().any(|path| is(path)) || is_in(&target.work()) || is_in(&target.generations())
}
