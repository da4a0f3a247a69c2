//! Runs pipelines: named commands, one after another, each with its log and a record of its result.
//!
//! Each pipeline is a separate process group. When it ends, for whatever reason (completion, a
//! signal to materia, its timeout), the whole group ends, so that no leftover process continues to
//! write to the lakehouse.

mod logs;
mod process;
mod reason;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

pub use self::logs::{Run, RunOutcome, RunStore};
use self::{logs::Log, process::ExitReason};
use crate::cancel::CancellationToken;
use crate::{
    humanize,
    settings::{EXPORT, PipelinesSettings},
};

/// Maximum delay between two attempts.
const MAX_READER_WAIT: Duration = Duration::from_hours(1);

/// One pipeline, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineStep {
    pub name: String,
    pub command: Vec<OsString>,
    /// Its working directory; `None` is materia's own.
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// Timeout of one attempt.
    pub timeout: Option<Duration>,
    /// Pipelines that must have succeeded first, if they are part of the run.
    pub after: Vec<String>,
    pub retries: u32,
    /// Delay before the first retry; doubles with every further one.
    pub retry_wait: Duration,
    /// How long it may take to stop after the first signal.
    pub grace: Duration,
}

impl PipelineStep {
    /// Returns the named pipelines with their settings, in execution order; `export` is the command
    /// of the built-in one.
    ///
    /// # Errors
    /// Returns the message to show: an unknown name, with the closest valid one.
    pub fn select_steps(
        pipelines: &PipelinesSettings,
        wanted: &[String],
        export: &[OsString],
    ) -> Result<Vec<Self>, String> {
        let step = |name: &str| {
            let pipeline = pipelines.get(name)?.clone();
            let own = || pipeline.command.iter().map(OsString::from).collect();
            Some(Self {
                name: name.to_owned(),
                command: if name == EXPORT { export.to_vec() } else { own() },
                // An empty path means the current directory.
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

/// An event to report while pipelines run.
#[derive(Debug)]
pub enum PipelineEvent<'a> {
    Begins {
        name: &'a str,
        attempt: u32,
        /// The maximum number of attempts.
        of: u32,
    },
    /// Raw output of the pipeline.
    Output(&'a [u8]),
    /// An attempt failed and will be retried.
    Retries {
        name: &'a str,
        why: &'a str,
        /// The delay before the next attempt.
        wait: Duration,
    },
    /// A pipeline has ended.
    Ended(&'a Run),
    /// Information for the operator that is not a failure.
    Notice(&'a str),
}

impl PipelineEvent<'_> {
    /// Formats the event as a line for people, without a line break; `None` for the pipeline's own
    /// output.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::Begins { name, attempt: 1, .. } => format!("{name}: begins"),
            Self::Begins { name, attempt, of } => {
                format!("{name}: attempt {attempt} of {of} begins")
            }
            Self::Output(_) => return None,
            Self::Retries { name, why, wait } => {
                format!("{name}: {why}; tried again in {}", humanize::duration(*wait))
            }
            Self::Ended(run) => run.to_string(),
            Self::Notice(text) => (*text).to_owned(),
        })
    }
}

/// Returns the process that currently reads the lakehouse under a lock, which would make DuckDB
/// refuse a pipeline's writes.
pub type LockedBy<'a> = &'a dyn Fn() -> Option<String>;

/// Interval at which the lock on the lakehouse is checked again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Runs pipelines in the order given and reports each result. A pipeline that depends on a failed
/// one is skipped; the others run. Each one starts when no process reads the lakehouse in place.
pub fn run(
    steps: &[PipelineStep],
    logs: &RunStore,
    cancel: &CancellationToken,
    locked_by: LockedBy,
    watch: &mut dyn FnMut(&PipelineEvent),
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for step in steps {
        if cancel.signal().is_some() {
            break;
        }
        let lacking = runs
            .iter()
            .find(|run| run.outcome != RunOutcome::Succeeded && step.after.contains(&run.pipeline));
        let run = match lacking {
            Some(lacking) => Run::skipped(&step.name, &lacking.pipeline),
            None => run_one(step, logs, cancel, locked_by, watch),
        };
        watch(&PipelineEvent::Ended(&run));
        runs.push(run);
    }
    runs
}

/// Waits until no process reads the lakehouse under a lock. Exports do this themselves.
fn wait_for_reader(
    step: &PipelineStep,
    cancel: &CancellationToken,
    locked_by: LockedBy,
    log: &mut Log,
    watch: &mut dyn FnMut(&PipelineEvent),
) {
    let mut was_reported = false;
    while step.name != EXPORT && cancel.signal().is_none() {
        let Some(reader) = locked_by() else { return };
        if !was_reported {
            report(
                &PipelineEvent::Notice(&format!(
                    "{}: waiting for {reader}, which reads the lakehouse in place",
                    step.name
                )),
                log,
                watch,
            );
            was_reported = true;
        }
        let _ = cancel.sleep(LOCK_POLL);
    }
}

fn run_one(
    step: &PipelineStep,
    logs: &RunStore,
    cancel: &CancellationToken,
    locked_by: LockedBy,
    watch: &mut dyn FnMut(&PipelineEvent),
) -> Run {
    let (_turn, mut log) = match logs.begin(&step.name) {
        Ok(begun) => begun,
        Err(refused) => return *refused,
    };
    if let Some(problem) = log.missing(logs) {
        watch(&PipelineEvent::Notice(&format!("{}: {problem}", step.name)));
    }
    let begun = Instant::now();
    let of = step.retries.saturating_add(1);
    for attempt in 1..=of {
        wait_for_reader(step, cancel, locked_by, &mut log, watch);
        report(&PipelineEvent::Begins { name: &step.name, attempt, of }, &mut log, watch);
        log.run.attempts = attempt;
        let ended = process::attempt(step, cancel, &mut |bytes| {
            log.write(bytes);
            watch(&PipelineEvent::Output(bytes));
        });
        judge(&mut log, &ended, step);
        if log.run.outcome == RunOutcome::Succeeded || cancel.signal().is_some() || attempt == of {
            break;
        }
        let wait = step.retry_wait.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_READER_WAIT);
        let why = log.run.why.clone().unwrap_or_default();
        report(&PipelineEvent::Retries { name: &step.name, why: &why, wait }, &mut log, watch);
        if !cancel.sleep(wait) {
            break;
        }
    }
    log.run.ended_at = Some(Timestamp::now());
    log.run.total_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let line = log.run.to_string();
    log.line(&line);
    if let Some(trouble) = log.close(logs) {
        watch(&PipelineEvent::Notice(&format!("{}: {trouble}", step.name)));
    }
    log.run
}

/// Reports an event to the log and to the observer.
fn report(event: &PipelineEvent, log: &mut Log, watch: &mut dyn FnMut(&PipelineEvent)) {
    if let Some(line) = event.line() {
        log.line(&line);
    }
    watch(event);
}

fn judge(log: &mut Log, ended: &ExitReason, step: &PipelineStep) {
    let reason = log.reason().map(|words| format!(": {words}")).unwrap_or_default();
    let (outcome, exit_code, why) = match ended {
        ExitReason::Exited(0) => (RunOutcome::Succeeded, 0, None),
        ExitReason::Exited(code) => {
            (RunOutcome::Failed, *code, Some(format!("exit code {code}{reason}")))
        }
        ExitReason::Signalled(signal) => {
            (RunOutcome::Failed, 128 + signal, Some(format!("killed by signal {signal}{reason}")))
        }
        // The convention of timeout(1).
        ExitReason::TimedOut => {
            let limit = humanize::duration(step.timeout.unwrap_or_default());
            (RunOutcome::TimedOut, 124, Some(format!("not done within {limit}{reason}")))
        }
        ExitReason::Stopped(signal) => {
            (RunOutcome::Interrupted, 128 + signal, Some(format!("stopped by signal {signal}")))
        }
        // The convention of shells.
        ExitReason::NotStarted(error) => {
            let program =
                step.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
            (RunOutcome::Failed, 127, Some(format!("{program} cannot be started: {error}")))
        }
    };
    (log.run.outcome, log.run.exit_code, log.run.why) = (outcome, Some(exit_code), why);
}
