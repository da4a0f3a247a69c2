//! The folder of logs: the output and the result of each run.
//!
//! ```text
//! <run>.<pipeline>.log    its output
//! <run>.<pipeline>.json   its result
//! <pipeline>.lock         locked while it runs
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    files, humanize,
    lock::{self, Mode},
    settings::Settings,
    store::{GenerationId, Store},
};

/// Number of recorded runs per pipeline.
const RETAINED_RUNS: usize = 30;
/// Size of the end of the output that is searched for the reason of a failure.
const TAIL: usize = 64 * 1024;

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The run is in progress.
    Running,
    Succeeded,
    /// The run failed or could not be started.
    Failed,
    /// The run exceeded its timeout.
    TimedOut,
    /// The run was canceled, or materia was killed.
    Interrupted,
    /// A pipeline that it depends on failed; not recorded.
    Skipped,
    /// The pipeline was already running; not recorded.
    Busy,
}

impl RunOutcome {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
            Self::Busy => "busy",
        }
    }
}

/// One run of one pipeline. Times are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The time at which it began, in the format of generation ids.
    pub id: GenerationId,
    pub pipeline: String,
    pub outcome: RunOutcome,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Total milliseconds, including retries and waits.
    pub total_ms: u64,
    pub attempts: u32,
    /// The command's exit code, or a code by the convention of shells and timeout(1).
    pub exit_code: Option<u8>,
    /// Why it did not succeed.
    pub why: Option<String>,
    /// The process that ran it.
    pub pid: u32,
    pub log: Option<PathBuf>,
}

impl Run {
    fn begin(id: GenerationId, pipeline: &str, now: Timestamp) -> Self {
        Self {
            id,
            pipeline: pipeline.to_owned(),
            outcome: RunOutcome::Running,
            started_at: now,
            ended_at: None,
            total_ms: 0,
            attempts: 0,
            exit_code: None,
            why: None,
            pid: std::process::id(),
            log: None,
        }
    }

    pub(super) fn skipped(pipeline: &str, lacking: &str) -> Self {
        Self::not_run(pipeline, RunOutcome::Skipped, format!("{lacking} did not succeed"))
    }

    fn not_run(pipeline: &str, outcome: RunOutcome, why: String) -> Self {
        let now = Timestamp::now();
        let run = Self::begin(GenerationId::after(now, None), pipeline, now);
        Self { outcome, why: Some(why), ended_at: Some(now), ..run }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pipeline, self.outcome.label())?;
        if self.attempts > 0 && self.ended_at.is_some() {
            write!(f, " in {}", humanize::duration(Duration::from_millis(self.total_ms)))?;
        }
        if self.attempts > 1 {
            write!(f, ", attempt {}", self.attempts)?;
        }
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

/// The folder of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStore {
    folder: PathBuf,
}

impl RunStore {
    /// Returns the configured folder, else the default next to the served file.
    #[must_use]
    pub fn new(settings: &Settings, target: &Store) -> Self {
        Self { folder: settings.logs.clone().unwrap_or_else(|| target.local().logs()) }
    }

    /// Returns every recorded run, oldest first. One that was killed together with its materia is
    /// reported as interrupted.
    ///
    /// # Errors
    /// The folder cannot be read; a missing one has no runs.
    pub fn runs(&self) -> io::Result<Vec<Run>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            // An unreadable file was pruned meanwhile, or is not a record of materia.
            let Some(mut run) =
                fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Run>(&text).ok())
            else {
                continue;
            };
            run.log = Some(path.with_extension("log")).filter(|log| log.exists());
            runs.push(run);
        }
        runs.sort_by(|one, other| (&one.id, &one.pipeline).cmp(&(&other.id, &other.pipeline)));
        let is_newest =
            |at: usize| !runs[at + 1..].iter().any(|later| later.pipeline == runs[at].pipeline);
        let killed: Vec<usize> = (0..runs.len())
            .filter(|at| {
                runs[*at].outcome == RunOutcome::Running
                    && !(is_newest(*at) && self.is_held(&runs[*at].pipeline))
            })
            .collect();
        for at in killed {
            runs[at].outcome = RunOutcome::Interrupted;
            runs[at].why = Some(format!("materia (pid {}) was killed while it ran", runs[at].pid));
        }
        Ok(runs)
    }

    fn lock_path(&self, pipeline: &str) -> PathBuf {
        self.folder.join(format!("{pipeline}.lock"))
    }

    fn is_held(&self, pipeline: &str) -> bool {
        let file = File::options().read(true).write(true).open(self.lock_path(pipeline));
        file.and_then(|file| lock::conflicting_holder(&file, Mode::Exclusive))
            .is_ok_and(|holder| holder.is_some())
    }

    /// Locks the pipeline until the file is closed, and begins a log. A pipeline runs without a
    /// lock and without a log where the file system has no room for them; the log says so.
    pub(super) fn begin(&self, pipeline: &str) -> Result<(Option<File>, Log), Box<Run>> {
        let path = self.lock_path(pipeline);
        let locked = fs::create_dir_all(&self.folder)
            .and_then(|()| lock::open_lock_file(&path))
            .and_then(|file| Ok((lock::try_lock(&file, Mode::Exclusive)?, file)));
        let mut turn = match locked {
            Ok((None, file)) => file,
            Ok((Some(_), _)) => {
                let holder = fs::read_to_string(&path)
                    .ok()
                    .and_then(|pid| pid.trim().parse().ok())
                    .map(lock::describe);
                let holder = holder
                    .map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                // Recorded like an export that timed out waiting for the export lock.
                let why = format!("it is being run by {holder}");
                return Err(Box::new(Run {
                    exit_code: Some(4),
                    ..Run::not_run(pipeline, RunOutcome::Busy, why)
                }));
            }
            // In a folder of another user, it is unknown whether the pipeline is already running.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let why = format!(
                    "{} cannot be used: {error}; run it as the user to whom it belongs",
                    self.folder.display()
                );
                return Err(Box::new(Run {
                    exit_code: Some(1),
                    ..Run::not_run(pipeline, RunOutcome::Failed, why)
                }));
            }
            Err(error) => return Ok((None, Log::without_file(pipeline, error))),
        };
        // On a full disk, the next process that waits for the lock cannot see its holder.
        let _ = turn.set_len(0).and_then(|()| writeln!(turn, "{}", std::process::id()));
        let log = self.create(pipeline).unwrap_or_else(|error| Log::without_file(pipeline, error));
        Ok((Some(turn), log))
    }

    /// Creates a log under an id that no other run of the pipeline has.
    fn create(&self, pipeline: &str) -> io::Result<Log> {
        let now = Timestamp::now();
        let mut id = GenerationId::after(now, None);
        loop {
            let path = self.folder.join(format!("{id}.{pipeline}.log"));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    id = GenerationId::after(now, Some(&id));
                }
                file => {
                    let run = Run { log: Some(path.clone()), ..Run::begin(id, pipeline, now) };
                    let file = Some((file?, path.clone()));
                    let log = Log { run, file, tail: Vec::new(), trouble: None };
                    // A log without a record would never be pruned.
                    if let Err(error) = log.record() {
                        let _ = files::remove_if_exists(&path);
                        return Err(error);
                    }
                    return Ok(log);
                }
            }
        }
    }

    fn prune(&self, pipeline: &str) -> io::Result<()> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let of_it = |path: &Path| {
                let (id, name) =
                    path.file_name()?.to_str()?.strip_suffix(".log")?.split_once('.')?;
                (name == pipeline).then_some(()).and(GenerationId::parse(id))
            };
            logs.extend(of_it(&path).map(|id| (id, path)));
        }
        logs.sort();
        for (_, path) in logs.iter().rev().skip(RETAINED_RUNS) {
            files::remove_if_exists(path)?;
            files::remove_if_exists(&path.with_extension("json"))?;
        }
        Ok(())
    }
}

/// The log of a run in progress.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) run: Run,
    /// The file and its path; `None` if it could not be created.
    file: Option<(File, PathBuf)>,
    tail: Vec<u8>,
    trouble: Option<io::Error>,
}

impl Log {
    fn without_file(pipeline: &str, error: io::Error) -> Self {
        let now = Timestamp::now();
        let run = Run::begin(GenerationId::after(now, None), pipeline, now);
        Self { run, file: None, tail: Vec::new(), trouble: Some(error) }
    }

    /// Returns why there is no log, if there is none.
    pub(super) fn missing(&self, logs: &RunStore) -> Option<String> {
        let error = self.trouble.as_ref().filter(|_| self.file.is_none())?;
        let folder = logs.folder.display();
        Some(format!("runs without a log, which cannot be kept in {folder}: {error}"))
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some((file, _)) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.trouble.get_or_insert(error);
        }
    }

    /// Appends pipeline output. A log that cannot be written, for example on a full disk, does not
    /// stop the pipeline.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.append(bytes);
    }

    /// Writes one of materia's messages on a separate line.
    pub(super) fn line(&mut self, line: &str) {
        let begun = self.tail.last().is_some_and(|byte| *byte != b'\n');
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let line = format!("{}== {now} {line}\n", if begun { "\n" } else { "" });
        // The message is not part of the pipeline's output.
        self.tail.clear();
        self.append(line.as_bytes());
    }

    /// Returns the line of this attempt's output that names the reason of the failure.
    pub(super) fn reason(&self) -> Option<String> {
        super::reason::find(&String::from_utf8_lossy(&self.tail))
    }

    fn record(&self) -> io::Result<()> {
        let Some((_, path)) = &self.file else { return Ok(()) };
        files::write_atomic(&path.with_extension("json"), &serde_json::to_vec(&self.run)?)
    }

    /// Records the result and prunes old runs; returns the errors.
    pub(super) fn close(&mut self, logs: &RunStore) -> Option<String> {
        let (_, path) = self.file.as_ref()?;
        let path = path.display().to_string();
        let recorded = self.record();
        let pruned = logs.prune(&self.run.pipeline);
        let trouble = self.trouble.take().or(recorded.err()).or(pruned.err())?;
        Some(format!("its log {path} is not whole: {trouble}"))
    }
}
