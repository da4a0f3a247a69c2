//! The folder of logs: what each run printed, and what came of it.
//!
//! ```text
//! <run>.<pipeline>.log    what it printed
//! <run>.<pipeline>.json   what came of it
//! <pipeline>.lock         held while it runs
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
    files,
    lock::{self, Mode},
    settings::Settings,
    target::{GenerationId, Target},
    words,
};

/// Runs of one pipeline that are kept.
const KEPT: usize = 30;
/// Bytes of the end of the output that are searched for what failed.
const TAIL: usize = 64 * 1024;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// Exit code 0.
    Succeeded,
    /// It ended otherwise, or could not be started.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// Somebody stopped it, or killed materia.
    Interrupted,
    /// It comes after one that failed; not recorded.
    Skipped,
    /// It was being run already; not recorded.
    Busy,
}

impl Outcome {
    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
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
    /// When it began, as generations have it.
    pub id: GenerationId,
    /// Which pipeline.
    pub pipeline: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Milliseconds, all attempts and waits together.
    pub total_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// The command's own, or as shells and timeout(1) have it.
    pub exit_code: Option<u8>,
    /// Why it did not succeed.
    pub why: Option<String>,
    /// The process that ran it.
    pub pid: u32,
    /// What it printed.
    pub log: Option<PathBuf>,
}

impl Run {
    fn begin(id: GenerationId, pipeline: &str, now: Timestamp) -> Self {
        Self {
            id,
            pipeline: pipeline.to_owned(),
            outcome: Outcome::Running,
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
        Self::not_run(pipeline, Outcome::Skipped, format!("{lacking} did not succeed"))
    }

    fn not_run(pipeline: &str, outcome: Outcome, why: String) -> Self {
        let now = Timestamp::now();
        let run = Self::begin(GenerationId::after(now, None), pipeline, now);
        Self { outcome, why: Some(why), ended_at: Some(now), ..run }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pipeline, self.outcome.word())?;
        if self.attempts > 0 && self.ended_at.is_some() {
            write!(f, " in {}", words::duration(Duration::from_millis(self.total_ms)))?;
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
pub struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// As the settings have it, else beside the served file.
    #[must_use]
    pub fn new(settings: &Settings, target: &Target) -> Self {
        Self { folder: settings.logs.clone().unwrap_or_else(|| target.logs()) }
    }

    /// Every run that is recorded, oldest first. One that was killed with its materia is told as interrupted.
    ///
    /// # Errors
    /// The folder cannot be read; a missing one holds none.
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
            // What cannot be read was pruned meanwhile, or is not ours.
            let Some(mut run) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Run>(&text).ok()) else { continue };
            run.log = Some(path.with_extension("log")).filter(|log| log.exists());
            runs.push(run);
        }
        runs.sort_by(|one, other| (&one.id, &one.pipeline).cmp(&(&other.id, &other.pipeline)));
        let is_newest = |at: usize| !runs[at + 1..].iter().any(|later| later.pipeline == runs[at].pipeline);
        let killed: Vec<usize> = (0..runs.len())
            .filter(|at| runs[*at].outcome == Outcome::Running && !(is_newest(*at) && self.is_held(&runs[*at].pipeline)))
            .collect();
        for at in killed {
            runs[at].outcome = Outcome::Interrupted;
            runs[at].why = Some(format!("materia (pid {}) was killed while it ran", runs[at].pid));
        }
        Ok(runs)
    }

    fn lock_path(&self, pipeline: &str) -> PathBuf {
        self.folder.join(format!("{pipeline}.lock"))
    }

    fn is_held(&self, pipeline: &str) -> bool {
        let file = File::options().read(true).write(true).open(self.lock_path(pipeline));
        file.and_then(|file| lock::blocker(&file, Mode::Exclusive)).is_ok_and(|holder| holder.is_some())
    }

    /// Takes the pipeline's turn, for as long as the file lives, and begins a log.
    pub(super) fn begin(&self, pipeline: &str) -> Result<(File, Log), Box<Run>> {
        let unable = |error: io::Error| {
            let why = format!("no log can be kept in {}: {error}", self.folder.display());
            Box::new(Run { exit_code: Some(1), ..Run::not_run(pipeline, Outcome::Failed, why) })
        };
        fs::create_dir_all(&self.folder).map_err(unable)?;
        let path = self.lock_path(pipeline);
        let mut turn = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(unable)?;
        if lock::try_lock(&turn, Mode::Exclusive).map_err(unable)?.is_some() {
            let holder = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok()).map(lock::describe);
            let holder = holder.map_or_else(|| "somebody".to_owned(), |holder| holder.to_string());
            // As an export that waits in vain for its turn.
            return Err(Box::new(Run {
                exit_code: Some(4),
                ..Run::not_run(pipeline, Outcome::Busy, format!("it is being run by {holder}"))
            }));
        }
        turn.set_len(0).and_then(|()| writeln!(turn, "{}", std::process::id())).map_err(unable)?;
        let log = self.create(pipeline).map_err(unable)?;
        Ok((turn, log))
    }

    /// A log under an id that no other run of the pipeline has.
    fn create(&self, pipeline: &str) -> io::Result<Log> {
        let now = Timestamp::now();
        let mut id = GenerationId::after(now, None);
        loop {
            let path = self.folder.join(format!("{id}.{pipeline}.log"));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => id = GenerationId::after(now, Some(&id)),
                file => {
                    let run = Run { log: Some(path.clone()), ..Run::begin(id, pipeline, now) };
                    let mut log = Log { run, file: file?, path, tail: Vec::new(), trouble: None };
                    log.record()?;
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
                let (id, name) = path.file_name()?.to_str()?.strip_suffix(".log")?.split_once('.')?;
                (name == pipeline).then_some(()).and(GenerationId::parse(id))
            };
            logs.extend(of_it(&path).map(|id| (id, path)));
        }
        logs.sort();
        for (_, path) in logs.iter().rev().skip(KEPT) {
            files::remove_if_there(path)?;
            files::remove_if_there(&path.with_extension("json"))?;
        }
        Ok(())
    }
}

/// The log of a run that is under way.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) run: Run,
    file: File,
    path: PathBuf,
    tail: Vec<u8>,
    trouble: Option<io::Error>,
}

impl Log {
    /// Keeps what the pipeline printed. A log that cannot be written, say on a full disk, does not stop the pipeline.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        if let Err(error) = self.file.write_all(bytes) {
            self.trouble.get_or_insert(error);
        }
    }

    /// A line of our own, on a line of its own.
    pub(super) fn line(&mut self, line: &str) {
        let begun = self.tail.last().is_some_and(|byte| *byte != b'\n');
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let line = format!("{}== {now} {line}\n", if begun { "\n" } else { "" });
        // Not part of what the pipeline said.
        self.tail.clear();
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.trouble.get_or_insert(error);
        }
    }

    /// Returns the line, of those that the pipeline printed in this attempt, that says what failed.
    pub(super) fn reason(&self) -> Option<String> {
        super::reason::find(&String::from_utf8_lossy(&self.tail))
    }

    fn record(&mut self) -> io::Result<()> {
        files::write_whole(&self.path.with_extension("json"), &serde_json::to_vec(&self.run)?)
    }

    /// Records what came of it and removes what need not be kept; returns what went wrong with that.
    pub(super) fn close(&mut self, logs: &Logs) -> Option<String> {
        let recorded = self.record();
        let pruned = logs.prune(&self.run.pipeline);
        let trouble = self.trouble.take().or(recorded.err()).or(pruned.err())?;
        Some(format!("its log {} is not whole: {trouble}", self.path.display()))
    }
}
