//! The status of a served file: content, age and problems, for `materia status` and the terminal
//! dashboard.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::store::Published;
use crate::{
    files::FileId,
    humanize,
    lock::{self, LockHolder},
    reader,
    settings::Severity,
    store::{
        AttemptOutcome, AttemptRecord, OlderServed, RetainedGeneration, RollbackState,
        RunningExport,
    },
    store::{GenerationId, ServedState, Store},
};

/// The monitored paths and thresholds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSource {
    pub target: Store,
    pub lakehouse: PathBuf,
    /// Age above which the data is stale; `None` is never.
    pub max_age: Option<Duration>,
}

/// The status of a served file at one moment, from files and locks.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The served path, or the lake's address.
    pub served: PathBuf,
    pub what: ServedState,
    /// Why the served file cannot be read, if so.
    pub unreadable: Option<String>,
    /// Why a lake's catalog is not available, if so; the data that only the catalog has is then
    /// missing.
    pub unreachable: Option<String>,
    /// Why data of a lake cannot be read.
    pub storage: Option<String>,
    /// What other clients of a lake did to what was published, if anything.
    pub foreign_changes: Option<String>,
    /// The generation being served, if it is the one at the served path.
    pub generation: Option<GenerationId>,
    /// When its data was read from the lakehouse, or last confirmed to be unchanged.
    pub exported_at: Option<Timestamp>,
    /// Size of the served file.
    pub bytes: Option<u64>,
    /// Retained generations, newest first.
    pub generations: Vec<RetainedGeneration>,
    /// Every attempt, oldest first.
    pub history: Vec<AttemptRecord>,
    /// Number of unreadable lines of the history, which are skipped.
    pub history_lost: usize,
    /// Logs next to published files, whose contents were never audited.
    pub stray_logs: Vec<PathBuf>,
    /// Set when the served generation is older than the newest, or is held.
    pub older: Option<OlderServed>,
    pub running: Option<RunningExport>,
    pub lakehouse: PathBuf,
    pub lakehouse_exists: bool,
    /// The process that holds the lakehouse open for writing.
    pub lakehouse_held_by: Option<LockHolder>,
    /// Age above which the data is stale.
    pub max_age: Option<Duration>,
}

impl Status {
    /// Collects the status of the served file. `state` comes from a reader of it.
    ///
    /// # Errors
    /// The history, the generations or the export lock exist and cannot be read.
    pub fn collect(place: &StatusSource, state: reader::ReaderState) -> io::Result<Self> {
        let target = &place.target;
        let reader::ReaderState { generation, problem, storage } = state;
        // A reader falls back to a retained generation, but the status describes the one at the
        // served path.
        let info = generation.filter(|_| problem.is_none());
        let Published {
            history,
            history_lost,
            served: what,
            generations,
            foreign_changes,
            unreachable,
        } = target.published()?;
        let served = generations
            .iter()
            .find(|generation| generation.served)
            .map(|generation| &generation.id);
        // An unreadable rollback state makes exports fail, which report it.
        let rollbacks = if unreachable.is_some() {
            RollbackState::default()
        } else {
            RollbackState::load(target).unwrap_or_default()
        };
        let older = OlderServed::find(served, &generations, &history, &rollbacks);
        // A lake filled by other programs is served as it is.
        let what = if target.is_lake() && what == ServedState::Missing && info.is_some() {
            ServedState::Foreign
        } else {
            what
        };
        Ok(Self {
            served: target.display_name(),
            what,
            unreachable,
            storage: storage.map(|problem| problem.reason),
            foreign_changes,
            unreadable: problem.map(|problem| problem.reason),
            generation: info.as_ref().and_then(|info| info.id.clone()),
            exported_at: info.as_ref().and_then(|info| info.as_of()),
            bytes: if target.is_lake() {
                info.map(|info| info.bytes)
            } else {
                target.served_bytes()
            },
            generations,
            history,
            history_lost,
            stray_logs: target
                .local()
                .stray_logs()
                .unwrap_or_default()
                .into_iter()
                .map(|(_, log)| log)
                .collect(),
            older,
            running: target.running()?,
            lakehouse: place.lakehouse.clone(),
            lakehouse_exists: place.lakehouse.exists(),
            lakehouse_held_by: holder(place),
            max_age: place.max_age,
        })
    }

    /// Returns the age of the served data.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.exported_at.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default())
    }

    /// Returns whether the served data is older than `max_age`.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.age(now).zip(self.max_age).is_some_and(|(age, max_age)| age > max_age)
    }

    #[must_use]
    pub fn last_attempt(&self) -> Option<&AttemptRecord> {
        self.history.last()
    }

    /// Returns the newest attempt that concerns the export: a failed rollback, for example to a
    /// mistyped name, changed nothing.
    #[must_use]
    pub fn last_relevant_attempt(&self) -> Option<&AttemptRecord> {
        self.history.iter().rev().find(|record| {
            (record.lakehouse.is_some() || record.outcome != AttemptOutcome::Failed)
                && record.outcome != AttemptOutcome::Released
        })
    }

    /// Returns the problems as text; empty when everything is healthy.
    #[must_use]
    pub fn problems(&self, now: Timestamp) -> Vec<String> {
        self.findings(now).into_iter().map(|finding| finding.text).collect()
    }

    /// Returns the problems, each with its condition.
    #[must_use]
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |condition, text| findings.push(Finding { condition, text });
        let served = self.served.display();
        match (&self.what, &self.unreadable) {
            _ if self.unreachable.is_some() => {
                find(Condition::NotServed, self.unreachable.clone().unwrap_or_default());
            }
            (ServedState::Foreign | ServedState::Generation(_), Some(why)) => {
                find(
                    Condition::NotServed,
                    format!(
                        "{served} cannot be read; run `materia export` or `materia rollback`: {why}"
                    ),
                );
            }
            (ServedState::Missing, Some(why)) if self.foreign_changes.is_some() => {
                find(Condition::NotServed, format!("nothing is served: {why}"));
            }
            (ServedState::Missing, _) => {
                find(
                    Condition::NotServed,
                    format!("nothing is served: {served} does not exist; run `materia export`"),
                );
            }
            (ServedState::Foreign, None) => {
                find(
                    Condition::NotServed,
                    format!(
                        "{served} was not published by materia, or was changed since; run `materia export`"
                    ),
                );
            }
            (ServedState::Generation(_), None) => {}
        }
        if let Some(why) = &self.storage {
            let text = format!(
                "{served}: {why}; run `materia export`, which rewrites what is missing, and `materia lake check` for the full list"
            );
            find(Condition::Storage, text);
        }
        if let Some(what) = &self.foreign_changes {
            find(Condition::LakeChanged, format!("{served}: {what}"));
        }
        if let Some(log) = self.stray_logs.first() {
            let more = if self.stray_logs.len() > 1 {
                format!(" and {} more", self.stray_logs.len() - 1)
            } else {
                String::new()
            };
            let text = format!(
                "{}{more} is next to a published file: another program wrote data that was never audited; run `materia export`, which moves the log away",
                log.display()
            );
            find(Condition::StrayLog, text);
        }
        if let (Some(age), Some(max_age)) = (self.age(now), self.max_age)
            && age > max_age
        {
            find(
                Condition::Stale,
                format!(
                    "stale: exported {}, at most {} is allowed",
                    humanize::ago(age),
                    humanize::duration(max_age)
                ),
            );
        }
        if let Some(last) = self.last_relevant_attempt().filter(|last| !last.outcome.is_success()) {
            let refused = last.outcome == AttemptOutcome::Refused;
            let condition =
                if refused { Condition::ExportRefused } else { Condition::ExportFailed };
            find(condition, format!("the last attempt {} {}", last.id, failure_summary(last)));
        }
        findings
    }

    /// Returns information for operators that is not a problem.
    #[must_use]
    pub fn notices(&self) -> Vec<Finding> {
        self.older
            .iter()
            .map(|older| Finding { condition: Condition::OlderServed, text: older.to_string() })
            .collect()
    }
}

/// A problem or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding.
    pub condition: Condition,
    /// Description and next action.
    pub text: String,
}

/// A condition that is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No data is served, or data that was not published.
    NotServed,
    /// Data of a lake is missing or damaged, or its storage does not respond.
    Storage,
    /// Another client changed served tables of a lake, or expired generations.
    LakeChanged,
    /// A published file has a log next to it, which would show data that was never audited.
    StrayLog,
    /// The served data is older than `max_age`.
    Stale,
    /// The last attempt failed or was interrupted.
    ExportFailed,
    /// Audits refused the last attempt.
    ExportRefused,
    /// A process has held the lakehouse for too long.
    LakehouseHeld,
    /// An older generation than the newest is served after a rollback; a notice, not a problem.
    OlderServed,
    /// The next export does not fit on the disk.
    DiskNearlyFull,
    /// A pipeline's last run failed.
    PipelineFailed(String),
    /// A pipeline has been running for too long.
    PipelineHung(String),
    /// The supervisor shows no heartbeat.
    SupervisorStopped,
    /// The newest backup of the accounts is too old, or the last one failed.
    Backup,
    /// The site does not respond.
    SiteDown,
    /// The PostgreSQL endpoint does not respond.
    PostgresDown,
    /// The site cannot read or write its accounts.
    AccountsDown,
    /// The site cannot send email.
    MailFailing,
    /// Alerts cannot be delivered.
    WebhookFailing,
    /// The served values differ from the previously served ones by more than expected; a notice for
    /// review.
    DataRevised,
}

impl Condition {
    /// The name of every condition; `pipeline_failed:` and `pipeline_hung:` are followed by the
    /// pipeline's name.
    pub const ALL: [&str; 20] = [
        "not_served",
        "storage",
        "lake_changed",
        "stray_log",
        "stale",
        "export_failed",
        "export_refused",
        "lakehouse_held",
        "older_served",
        "disk_nearly_full",
        "pipeline_failed",
        "pipeline_hung",
        "supervisor_stopped",
        "backup",
        "site_down",
        "postgres_down",
        "accounts_down",
        "mail_failing",
        "webhook_failing",
        "data_revised",
    ];

    /// Returns the machine-readable name, which includes a pipeline's own name.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::NotServed => "not_served".to_owned(),
            Self::Storage => "storage".to_owned(),
            Self::LakeChanged => "lake_changed".to_owned(),
            Self::StrayLog => "stray_log".to_owned(),
            Self::Stale => "stale".to_owned(),
            Self::ExportFailed => "export_failed".to_owned(),
            Self::ExportRefused => "export_refused".to_owned(),
            Self::LakehouseHeld => "lakehouse_held".to_owned(),
            Self::OlderServed => "older_served".to_owned(),
            Self::DiskNearlyFull => "disk_nearly_full".to_owned(),
            Self::PipelineFailed(name) => format!("pipeline_failed:{name}"),
            Self::PipelineHung(name) => format!("pipeline_hung:{name}"),
            Self::SupervisorStopped => "supervisor_stopped".to_owned(),
            Self::Backup => "backup".to_owned(),
            Self::SiteDown => "site_down".to_owned(),
            Self::PostgresDown => "postgres_down".to_owned(),
            Self::AccountsDown => "accounts_down".to_owned(),
            Self::MailFailing => "mail_failing".to_owned(),
            Self::WebhookFailing => "webhook_failing".to_owned(),
            Self::DataRevised => "data_revised".to_owned(),
        }
    }
}

/// Returns the process that holds the lakehouse open for writing, as far as it can be determined.
#[must_use]
pub fn holder(place: &StatusSource) -> Option<LockHolder> {
    // If both are one file, a reader of this process has it open, and closing our descriptor would
    // drop DuckDB's lock.
    let one_file = FileId::at(&place.lakehouse)
        .ok()
        .is_some_and(|id| is_at(&id, place.target.local().served_path()));
    if one_file { None } else { lock::find_writer(&place.lakehouse).ok().flatten() }
}

fn is_at(id: &FileId, path: &Path) -> bool {
    FileId::at(path).ok().as_ref() == Some(id)
}

fn failure_summary(last: &AttemptRecord) -> String {
    let why = last.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    let word = last.outcome.label();
    // Avoids repeating a word with which the reason begins.
    let why = why.strip_prefix(word).map_or(why, |why| why.trim_start_matches([':', ';', ' ']));
    let more = last
        .audits_failed
        .iter()
        .filter(|audit| audit.severity == Severity::Error)
        .count()
        .saturating_sub(1);
    let more = if last.outcome == AttemptOutcome::Refused && more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    let was = if last.outcome == AttemptOutcome::Failed { "" } else { "was " };
    format!("{was}{word}: {why}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_name_of_its_own() {
        use Condition::{
            AccountsDown, Backup, DataRevised, DiskNearlyFull, ExportFailed, ExportRefused,
            LakeChanged, LakehouseHeld, MailFailing, NotServed, OlderServed, PipelineFailed,
            PipelineHung, PostgresDown, SiteDown, Stale, Storage, StrayLog, SupervisorStopped,
            WebhookFailing,
        };
        let all = [
            NotServed,
            Storage,
            LakeChanged,
            StrayLog,
            Stale,
            ExportFailed,
            ExportRefused,
            LakehouseHeld,
            OlderServed,
            DiskNearlyFull,
            PipelineFailed("x".to_owned()),
            PipelineHung("x".to_owned()),
            SupervisorStopped,
            Backup,
            SiteDown,
            PostgresDown,
            AccountsDown,
            MailFailing,
            WebhookFailing,
            DataRevised,
        ];
        assert_eq!(all.map(|condition| condition.key().replace(":x", "")), Condition::ALL);
    }
}
