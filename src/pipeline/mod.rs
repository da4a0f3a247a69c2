//! Running pipelines: named commands, one after another, each with its log and a record of what came of it.
//!
//! A pipeline is a process group of its own. Whatever ends it (its own end, a signal to materia, its time) ends the whole group: nothing
//! that it started goes on writing to the lakehouse behind our back.

mod logs;
mod process;
mod reason;
mod stop;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::{logs::Log, process::Ended};
pub use self::{
    logs::{Logs, Outcome, Run},
    stop::Stop,
};
use crate::{
    settings::{EXPORT, PipelinesSettings},
    words,
};

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// One pipeline, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Where it runs; `None` is where materia does.
    pub cwd: Option<PathBuf>,
    /// Variables laid over the environment.
    pub env: BTreeMap<String, String>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// Pipelines without which it makes no sense, where they were to run before it.
    pub after: Vec<String>,
    /// How often it is tried again.
    pub retries: u32,
    /// How long before the second attempt; twice as long each time.
    pub retry_wait: Duration,
    /// How long it may take to stop when asked.
    pub grace: Duration,
}

impl Step {
    /// The named pipelines as the settings have them, in the order in which they run; `export` is the command of the built-in one.
    ///
    /// # Errors
    /// The text to show: a name that is none, with the nearest.
    pub fn choose(pipelines: &PipelinesSettings, wanted: &[String], export: &[OsString]) -> Result<Vec<Self>, String> {
        let step = |name: &str| {
            let pipeline = pipelines.get(name)?.clone();
            let own = || pipeline.command.iter().map(OsString::from).collect();
            Some(Self {
                name: name.to_owned(),
                command: if name == EXPORT { export.to_vec() } else { own() },
                // A folder of no name is the current one.
                cwd: pipeline.cwd.filter(|cwd| cwd != Path::new("")),
                env: pipeline.env,
                timeout: pipeline.timeout,
                after: pipeline.after,
                retries: pipeline.retries,
                retry_wait: pipeline.retry_wait,
                grace: pipeline.grace,
            })
        };
        Ok(pipelines.choose(wanted)?.into_iter().filter_map(step).collect())
    }
}

/// Something to tell while pipelines run.
#[derive(Debug)]
pub enum Event<'a> {
    /// An attempt begins.
    Begins {
        /// The pipeline.
        name: &'a str,
        /// Counted from 1.
        attempt: u32,
        /// How many there may be.
        of: u32,
    },
    /// What the pipeline printed, as it did.
    Output(&'a [u8]),
    /// An attempt failed and there will be another one.
    Retries {
        /// The pipeline.
        name: &'a str,
        /// Why it failed.
        why: &'a str,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// A pipeline is over.
    Ended(&'a Run),
    /// Something the operator should know although nothing failed.
    Notice(&'a str),
}

impl Event<'_> {
    /// The event as a line for people, without its end; what the pipeline itself prints is none.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::Begins { name, attempt: 1, .. } => format!("{name}: begins"),
            Self::Begins { name, attempt, of } => format!("{name}: attempt {attempt} of {of} begins"),
            Self::Output(_) => return None,
            Self::Retries { name, why, wait } => format!("{name}: {why}; tried again in {}", words::duration(*wait)),
            Self::Ended(run) => run.to_string(),
            Self::Notice(text) => (*text).to_owned(),
        })
    }
}

/// Says who reads the lakehouse under a lock now, in whose way a pipeline must not come: DuckDB would refuse it.
pub type LockedBy<'a> = &'a dyn Fn() -> Option<String>;

/// How often it is asked again who reads the lakehouse.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Runs pipelines in the order given and tells what came of each. One that comes after a failed one is skipped; the others go on. Each
/// begins when nobody reads the lakehouse in place.
pub fn run(steps: &[Step], logs: &Logs, halt: &Stop, locked_by: LockedBy, watch: &mut dyn FnMut(&Event)) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for step in steps {
        if halt.signal().is_some() {
            break;
        }
        let lacking = runs.iter().find(|run| run.outcome != Outcome::Succeeded && step.after.contains(&run.pipeline));
        let run = match lacking {
            Some(lacking) => Run::skipped(&step.name, &lacking.pipeline),
            None => run_one(step, logs, halt, locked_by, watch),
        };
        watch(&Event::Ended(&run));
        runs.push(run);
    }
    runs
}

/// Waits until nobody reads the lakehouse under a lock. An export waits for others by itself.
fn wait_for_reader(step: &Step, halt: &Stop, locked_by: LockedBy, log: &mut Log, watch: &mut dyn FnMut(&Event)) {
    let mut is_told = false;
    while step.name != EXPORT && halt.signal().is_none() {
        let Some(reader) = locked_by() else { return };
        if !is_told {
            tell(&Event::Notice(&format!("{}: waiting for {reader}, which reads the lakehouse in place", step.name)), log, watch);
            is_told = true;
        }
        halt.sleep(LOCK_POLL);
    }
}

fn run_one(step: &Step, logs: &Logs, halt: &Stop, locked_by: LockedBy, watch: &mut dyn FnMut(&Event)) -> Run {
    let (_turn, mut log) = match logs.begin(&step.name) {
        Ok(begun) => begun,
        Err(refused) => return *refused,
    };
    let begun = Instant::now();
    let of = step.retries.saturating_add(1);
    for attempt in 1..=of {
        wait_for_reader(step, halt, locked_by, &mut log, watch);
        tell(&Event::Begins { name: &step.name, attempt, of }, &mut log, watch);
        log.run.attempts = attempt;
        let ended = process::attempt(step, halt, &mut |bytes| {
            log.write(bytes);
            watch(&Event::Output(bytes));
        });
        judge(&mut log, &ended, step);
        if log.run.outcome == Outcome::Succeeded || halt.signal().is_some() || attempt == of {
            break;
        }
        let wait = step.retry_wait.saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST_WAIT);
        let why = log.run.why.clone().unwrap_or_default();
        tell(&Event::Retries { name: &step.name, why: &why, wait }, &mut log, watch);
        if !halt.sleep(wait) {
            break;
        }
    }
    log.run.ended_at = Some(Timestamp::now());
    log.run.total_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let line = log.run.to_string();
    log.line(&line);
    if let Some(trouble) = log.close(logs) {
        watch(&Event::Notice(&format!("{}: {trouble}", step.name)));
    }
    log.run
}

/// Tells both the log and whoever watches.
fn tell(event: &Event, log: &mut Log, watch: &mut dyn FnMut(&Event)) {
    if let Some(line) = event.line() {
        log.line(&line);
    }
    watch(event);
}

fn judge(log: &mut Log, ended: &Ended, step: &Step) {
    let said = log.reason().map(|words| format!(": {words}")).unwrap_or_default();
    let (outcome, exit_code, why) = match ended {
        Ended::Exited(0) => (Outcome::Succeeded, 0, None),
        Ended::Exited(code) => (Outcome::Failed, *code, Some(format!("exit code {code}{said}"))),
        Ended::Signalled(signal) => (Outcome::Failed, 128 + signal, Some(format!("killed by signal {signal}{said}"))),
        // As timeout(1) has it.
        Ended::TimedOut => {
            let limit = words::duration(step.timeout.unwrap_or_default());
            (Outcome::TimedOut, 124, Some(format!("not done within {limit}{said}")))
        }
        Ended::Stopped(signal) => (Outcome::Interrupted, 128 + signal, Some(format!("stopped by signal {signal}"))),
        // As shells have it.
        Ended::NotStarted(error) => {
            let program = step.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
            (Outcome::Failed, 127, Some(format!("{program} cannot be started: {error}")))
        }
    };
    (log.run.outcome, log.run.exit_code, log.run.why) = (outcome, Some(exit_code), why);
}
