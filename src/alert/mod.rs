//! Alerts: each incident is reported once when it begins and once when it ends.
//!
//! [`AlertInputs::findings`] is the single list of problems, which `materia status`, `materia
//! alert`, the terminal dashboard and the site share. [`AlertState::transitions`] determines which
//! of them require a message. Messages wait in the state's outbox, so that no message is lost while
//! the receiver is unavailable.

mod services;
mod state;
mod webhook;

use std::{io, path::Path, time::Duration};

use jiff::Timestamp;

pub use self::{
    services::{
        BackupState, Services, SiteReport, SiteState, SupervisorState, accounts_down,
        is_backup_name, mail_failing,
    },
    state::{AlertState, HeldSince, Incident, Message, MessageKind, Undelivered, Unreported},
    webhook::{SendError, WebhookClient, check_receiver},
};
use crate::{
    files, humanize,
    pipeline::{self, Run, RunStore},
    settings::{AlertSettings, EXPORT, Settings},
    status::{Condition, Finding, Status},
    store::SnapshotMethod,
};

/// The space that the next export needs, relative to the last one's size.
const EXPORT_SIZE_MARGIN: f64 = 1.1;

/// The inputs of the alert conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertInputs {
    /// The status of the served data and of the last attempt.
    pub status: Status,
    /// The newest run of every configured pipeline, if its result is conclusive.
    pub runs: Vec<Run>,
    /// Free bytes next to the served file.
    pub space_left: Option<u64>,
    /// Since when the same process has been observed to hold the lakehouse.
    pub held: Option<HeldSince>,
    /// The services besides the export.
    pub services: Services,
}

impl AlertInputs {
    /// Collects the other inputs for `status`; `state` contains the observations of previous
    /// checks.
    ///
    /// # Errors
    /// The folder of logs cannot be read.
    pub fn collect(
        status: Status,
        settings: &Settings,
        logs: &RunStore,
        state: &AlertState,
    ) -> io::Result<Self> {
        let recorded = logs.runs()?;
        let newest = |name: &str| {
            recorded.iter().rev().find(|run| run.pipeline == name && is_conclusive(run)).cloned()
        };
        let runs = settings.pipelines.names().into_iter().filter_map(newest).collect();
        let space_left = files::available_space(files::parent_dir(&status.served)).ok();
        let held = state.held.clone().filter(|held| {
            status.lakehouse_held_by.as_ref().is_some_and(|holder| holder.pid == held.pid)
        });
        let services = Services::collect(settings, &recorded, state.undelivered.as_ref());
        Ok(Self { status, runs, space_left, held, services })
    }

    /// Requests the state of the site, of the PostgreSQL endpoint and of backups in a bucket, where
    /// they are configured.
    pub fn request_services(&mut self, settings: &Settings) {
        self.services.request(settings);
    }

    /// Returns all problems; empty if there are none.
    #[must_use]
    pub fn findings(&self, settings: &AlertSettings, now: Timestamp) -> Vec<Finding> {
        let mut findings = self.status.findings(now);
        findings.extend(self.check_lakehouse_lock(settings.lakehouse_held, now));
        findings.extend(self.check_disk_space());
        findings.extend(self.runs.iter().filter_map(failed));
        findings.extend(self.services.findings(settings, now));
        findings
    }

    /// Returns the conditions that are reported once although the service is healthy: they neither
    /// fail a probe nor stop the heartbeat.
    #[must_use]
    pub fn warnings(&self) -> Vec<Finding> {
        let served = self.status.generations.iter().find(|generation| generation.served);
        let Some(manifest) = served.and_then(|generation| generation.manifest.as_ref()) else {
            return Vec::new();
        };
        let revised: Vec<_> = manifest
            .audits
            .audits
            .iter()
            .filter(|audit| !audit.passed && audit.is_revision())
            .collect();
        let Some(first) = revised.first() else { return Vec::new() };
        let more = if revised.len() > 1 {
            format!(", and {} more", revised.len() - 1)
        } else {
            String::new()
        };
        let text = format!(
            "generation {} was published with revised values: {first}{more}; `materia status` has the figures",
            manifest.id
        );
        vec![Finding { condition: Condition::DataRevised, text }]
    }

    fn check_lakehouse_lock(&self, limit: Duration, now: Timestamp) -> Option<Finding> {
        let held = self.held.as_ref()?;
        let long =
            Duration::try_from(now.duration_since(held.since)).ok().filter(|long| *long > limit)?;
        let holder = self.status.lakehouse_held_by.as_ref().map(ToString::to_string)?;
        let text = format!(
            "{} has been held by {holder} for {}; no export gets at it",
            self.status.lakehouse.display(),
            humanize::duration(Duration::from_secs(long.as_secs()))
        );
        Some(Finding { condition: Condition::LakehouseHeld, text })
    }

    /// Checks that there is space for the next export, which is written next to the served one
    /// before anything old is removed.
    fn check_disk_space(&self) -> Option<Finding> {
        let left = self.space_left?;
        let last =
            self.status.history.iter().rev().find(|record| record.outcome.has_published())?;
        let copied = last
            .lakehouse
            .as_ref()
            .filter(|_| last.snapshot == Some(SnapshotMethod::Copy))
            .map_or(0, |lakehouse| lakehouse.bytes);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size times a little more than one"
        )]
        let needed = ((last.bytes + copied) as f64 * EXPORT_SIZE_MARGIN) as u64;
        if left >= needed {
            return None;
        }
        let folder = files::parent_dir(&self.status.served).display().to_string();
        let text = format!(
            "disk nearly full: {} left in {folder}, the next export needs about {}; free some, or lower `keep`",
            humanize::bytes(left),
            humanize::bytes(needed)
        );
        Some(Finding { condition: Condition::DiskNearlyFull, text })
    }
}

/// A run that is in progress or was stopped is not conclusive.
fn is_conclusive(run: &Run) -> bool {
    match run.outcome {
        pipeline::RunOutcome::Succeeded
        | pipeline::RunOutcome::Failed
        | pipeline::RunOutcome::TimedOut => true,
        pipeline::RunOutcome::Interrupted => run.exit_code.is_none(),
        pipeline::RunOutcome::Running
        | pipeline::RunOutcome::Skipped
        | pipeline::RunOutcome::Busy => false,
    }
}

fn failed(run: &Run) -> Option<Finding> {
    // A failure of the export itself is already in the history.
    let already_reported = run.pipeline == EXPORT && matches!(run.exit_code, Some(1 | 3 | 4));
    if run.outcome == pipeline::RunOutcome::Succeeded || already_reported {
        return None;
    }
    let why = run.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let log = run
        .log
        .as_deref()
        .map(Path::display)
        .map(|log| format!("; its log: {log}"))
        .unwrap_or_default();
    let text = format!("pipeline {} {}{why}{log}", run.pipeline, run.outcome.label());
    Some(Finding { condition: Condition::PipelineFailed(run.pipeline.clone()), text })
}
