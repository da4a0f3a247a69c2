//! Alerts: what is wrong is told once when it begins and once when it is over.
//!
//! [`Facts::findings`] decides what is wrong, on the facts that `materia status` shows. [`State::decide`] decides what of that is news. What is to
//! be sent waits in the state's outbox, so that a receiver that is down misses nothing.

mod state;
mod webhook;

use std::{io, path::Path, time::Duration};

use jiff::Timestamp;

pub use self::{
    state::{Episode, Held, Kind, Message, State},
    webhook::{Receiver, SendError},
};
use crate::{
    export::{How, Outcome},
    files,
    pipeline::{self, Logs, Run},
    settings::{AlertSettings, EXPORT, Settings},
    status::{Condition, Finding, Status},
    words,
};

/// What the next export needs beyond the last one's size.
const GROWTH: f64 = 1.1;

/// Everything that is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What is served and how the last attempt went.
    pub status: Status,
    /// The newest run of every pipeline that the settings have, where that run says how the pipeline is.
    pub runs: Vec<Run>,
    /// Bytes left beside the served file.
    pub space_left: Option<u64>,
    /// Since when the same process has been seen to hold the lakehouse.
    pub held: Option<Held>,
}

impl Facts {
    /// Adds to `status` what else is judged. `held` is what the state remembers.
    ///
    /// # Errors
    /// The folder of logs cannot be read.
    pub fn look(status: Status, settings: &Settings, logs: &Logs, held: Option<Held>) -> io::Result<Self> {
        let recorded = logs.runs()?;
        let newest = |name: &str| recorded.iter().rev().find(|run| run.pipeline == name && says_how_it_is(run)).cloned();
        let runs = settings.pipelines.names().into_iter().filter_map(newest).collect();
        let space_left = files::space_left(files::folder_of(&status.served)).ok();
        let held = held.filter(|held| status.lakehouse_held_by.as_ref().is_some_and(|holder| holder.pid == held.pid));
        Ok(Self { status, runs, space_left, held })
    }

    /// Everything that is wrong; nothing where all is well.
    #[must_use]
    pub fn findings(&self, settings: &AlertSettings, now: Timestamp) -> Vec<Finding> {
        let mut findings = self.status.findings(now);
        findings.extend(self.held_too_long(settings.lakehouse_held, now));
        findings.extend(self.disk_nearly_full());
        findings.extend(self.runs.iter().filter_map(failed));
        findings
    }

    /// What operators are told once although nothing is wrong with the service: it is no reason for a probe to fail or for the heartbeat to stop.
    #[must_use]
    pub fn warnings(&self) -> Vec<Finding> {
        let served = self.status.generations.iter().find(|generation| generation.served);
        let Some(manifest) = served.and_then(|generation| generation.manifest.as_ref()) else { return Vec::new() };
        let revised: Vec<_> = manifest.audits.audits.iter().filter(|audit| !audit.passed && audit.is_revision()).collect();
        let Some(first) = revised.first() else { return Vec::new() };
        let more = if revised.len() > 1 { format!(", and {} more", revised.len() - 1) } else { String::new() };
        let text = format!("generation {} was published with revised values: {first}{more}; `materia status` has the figures", manifest.id);
        vec![Finding { condition: Condition::DataRevised, text }]
    }

    fn held_too_long(&self, limit: Duration, now: Timestamp) -> Option<Finding> {
        let held = self.held.as_ref()?;
        let long = Duration::try_from(now.duration_since(held.since)).ok().filter(|long| *long > limit)?;
        let holder = self.status.lakehouse_held_by.as_ref().map(ToString::to_string)?;
        let text = format!(
            "{} has been held by {holder} for {}; no export gets at it",
            self.status.lakehouse.display(),
            words::duration(Duration::from_secs(long.as_secs()))
        );
        Some(Finding { condition: Condition::LakehouseHeld, text })
    }

    /// Whether the next export fits: it is written beside the served one before anything old is removed.
    fn disk_nearly_full(&self) -> Option<Finding> {
        let left = self.space_left?;
        let last = self.status.history.iter().rev().find(|record| record.outcome == Outcome::Published)?;
        let copied = last.lakehouse.as_ref().filter(|_| last.snapshot == Some(How::Copy)).map_or(0, |lakehouse| lakehouse.bytes);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size times a little more than one")]
        let needed = ((last.bytes + copied) as f64 * GROWTH) as u64;
        if left >= needed {
            return None;
        }
        let folder = files::folder_of(&self.status.served).display().to_string();
        let text = format!(
            "disk nearly full: {} left in {folder}, the next export needs about {}; free some, or lower `keep`",
            words::bytes(left),
            words::bytes(needed)
        );
        Some(Finding { condition: Condition::DiskNearlyFull, text })
    }
}

/// One that is under way, or that somebody stopped, says nothing about the pipeline.
fn says_how_it_is(run: &Run) -> bool {
    match run.outcome {
        pipeline::Outcome::Succeeded | pipeline::Outcome::Failed | pipeline::Outcome::TimedOut => true,
        pipeline::Outcome::Interrupted => run.exit_code.is_none(),
        pipeline::Outcome::Running | pipeline::Outcome::Skipped | pipeline::Outcome::Busy => false,
    }
}

fn failed(run: &Run) -> Option<Finding> {
    // An export that ran and failed by itself stands in the history.
    let told_already = run.pipeline == EXPORT && matches!(run.exit_code, Some(1 | 3 | 4));
    if run.outcome == pipeline::Outcome::Succeeded || told_already {
        return None;
    }
    let why = run.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let log = run.log.as_deref().map(Path::display).map(|log| format!("; its log: {log}")).unwrap_or_default();
    let text = format!("pipeline {} {}{why}{log}", run.pipeline, run.outcome.word());
    Some(Finding { condition: Condition::PipelineFailed(run.pipeline.clone()), text })
}
