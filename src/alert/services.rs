//! The services besides the export: the supervisor, the pipelines, the backups, the site and the
//! PostgreSQL endpoint.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::Deserialize;

use super::state::Undelivered;
use crate::{
    bucket::{BucketClient, BucketFolder, StorageCredentials},
    endpoint::EndpointState,
    humanize,
    pipeline::Run,
    settings::{AlertSettings, BackupTarget, Settings},
    status::{Condition, Finding},
};

/// Timeout of a request to the site.
const SITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long messages may wait before their receiver is considered dead; a receiver that restarts is
/// not.
const DELIVERY_GRACE: Duration = Duration::from_mins(10);
/// The default name of the supervisor's lock file, in the folder of the lakehouse.
const SUPERVISOR_LOCK: &str = "supervisor.lock";
/// The file that `infra/web/backup.sh` leaves in its folder when a backup fails.
const BACKUP_FAILED: &str = "failed";

/// The state of the services besides the export.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Services {
    pub running: Vec<Run>,
    /// The supervisor, if one is known.
    pub supervisor: Option<SupervisorState>,
    /// The accounts' backups, one per known folder; one in a bucket only if it was requested.
    pub backups: Vec<BackupState>,
    /// The site, if its address is configured and it was requested.
    pub site: Option<SiteState>,
    /// The PostgreSQL endpoint, if the settings name it and it was requested.
    pub endpoint: Option<EndpointState>,
    pub undelivered: Option<Undelivered>,
}

/// The supervisor's last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorState {
    pub path: PathBuf,
    pub seen_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupState {
    /// Their folder, or the address of one in a bucket.
    pub place: String,
    /// When the newest one was created.
    pub newest_at: Option<Timestamp>,
    /// When the folder was last changed: there has been no backup since.
    pub folder_changed_at: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}

/// The response of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteState {
    Answers(SiteReport),
    /// Why it does not respond.
    Down(String),
}

/// The site's report of its own state at `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SiteReport {
    /// Whether the accounts can be read and written.
    pub store: bool,
    /// Why email cannot be sent, if so.
    #[serde(default)]
    pub mail: Option<String>,
}

impl Services {
    /// Collects everything except what requires a request: the state of the site, and backups in a
    /// bucket.
    #[must_use]
    pub fn collect(settings: &Settings, runs: &[Run], undelivered: Option<&Undelivered>) -> Self {
        let is_running = |run: &&Run| run.outcome == crate::pipeline::RunOutcome::Running;
        Self {
            running: runs.iter().filter(is_running).cloned().collect(),
            supervisor: SupervisorState::find(settings),
            backups: backup_folders(settings).map(BackupState::of).collect(),
            site: None,
            endpoint: None,
            undelivered: undelivered.cloned(),
        }
    }

    /// Requests the state of the site, of the PostgreSQL endpoint and of backups in a bucket, where
    /// they are configured.
    pub(super) fn request(&mut self, settings: &Settings) {
        self.site = settings.alerts.site.as_deref().map(SiteState::request);
        self.endpoint = EndpointState::request(&settings.postgres);
        if let Some(BackupTarget::Bucket(folder)) = &settings.accounts.backup_to {
            let state = BackupState::in_bucket(folder, &settings.credentials.storage);
            self.backups.push(state);
        }
    }

    pub(super) fn findings(&self, settings: &AlertSettings, now: Timestamp) -> Vec<Finding> {
        let mut findings: Vec<_> =
            self.running.iter().filter_map(|run| hung(run, settings, now)).collect();
        findings.extend(self.supervisor.as_ref().and_then(|state| state.finding(settings, now)));
        let backups = self.backups.iter();
        findings.extend(backups.filter_map(|state| state.finding(settings, now)).take(1));
        findings.extend(self.site.iter().flat_map(SiteState::findings));
        if let Some(EndpointState::Down(why)) = &self.endpoint {
            let text = format!(
                "the PostgreSQL endpoint does not respond: {why}; see: systemctl status materia-postgres"
            );
            findings.push(Finding { condition: Condition::PostgresDown, text });
        }
        findings.extend(self.undelivered.as_ref().and_then(|state| undeliverable(state, now)));
        findings
    }
}

fn backup_folders(settings: &Settings) -> impl Iterator<Item = &Path> {
    let copies = match &settings.accounts.backup_to {
        Some(BackupTarget::Folder(folder)) => Some(folder.as_path()),
        _ => None,
    };
    settings.alerts.backups.as_deref().into_iter().chain(copies)
}

/// Returns whether this is the name of a backup of the accounts.
#[must_use]
pub fn is_backup_name(name: &str) -> bool {
    name.starts_with("accounts-")
        && Path::new(name).extension().is_some_and(|extension| extension == "db")
}

impl SupervisorState {
    fn find(settings: &Settings) -> Option<Self> {
        let named = settings.alerts.supervisor.clone();
        let default = settings.lakehouse.with_file_name(SUPERVISOR_LOCK);
        let path = named.or_else(|| default.exists().then_some(default))?;
        let seen_at = modified_at(&path);
        Some(Self { path, seen_at })
    }

    fn finding(&self, settings: &AlertSettings, now: Timestamp) -> Option<Finding> {
        let path = self.path.display();
        let text = match self.seen_at {
            Some(seen_at) => {
                let silent = elapsed(seen_at, now);
                if silent <= settings.supervisor_silent {
                    return None;
                }
                format!(
                    "the supervisor has shown no sign of life for {} ({path}); see: systemctl status materia-supervisor",
                    rounded(silent)
                )
            }
            None => format!(
                "the supervisor does not run: {path} does not exist; start it with: systemctl start materia-supervisor"
            ),
        };
        Some(Finding { condition: Condition::SupervisorStopped, text })
    }
}

impl BackupState {
    /// Examines the backups in a folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let is_backup = |path: &Path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(is_backup_name)
        };
        let entries = fs::read_dir(folder).map(|entries| {
            entries.flatten().map(|entry| entry.path()).filter(|path| is_backup(path))
        });
        let unreadable = entries.as_ref().err().map(|error| format!("it cannot be read: {error}"));
        let newest_at =
            entries.ok().and_then(|paths| paths.filter_map(|path| modified_at(&path)).max());
        let failed = match fs::read_to_string(folder.join(BACKUP_FAILED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(error.to_string()),
            Ok(text) => Some(text.trim().to_owned()),
        };
        Self {
            place: folder.display().to_string(),
            newest_at,
            folder_changed_at: modified_at(folder),
            failure: unreadable.or(failed),
        }
    }

    /// Lists the backups in a bucket.
    #[must_use]
    pub fn in_bucket(folder: &BucketFolder, credentials: &StorageCredentials) -> Self {
        let files = BucketClient::new(folder, credentials).and_then(|client| client.list());
        let (files, failure) = match files {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(format!("it cannot be listed: {error}"))),
        };
        let backups = files.iter().filter(|file| is_backup_name(&file.name));
        Self {
            place: folder.to_string(),
            newest_at: backups.map(|file| file.modified_at).max(),
            folder_changed_at: None,
            failure,
        }
    }

    fn finding(&self, settings: &AlertSettings, now: Timestamp) -> Option<Finding> {
        let place = &self.place;
        let newest = self.newest_at.map_or_else(
            || "there is none".to_owned(),
            |at| format!("the newest is {} old", rounded(elapsed(at, now))),
        );
        let text = if let Some(why) = &self.failure {
            format!(
                "the last backup of the accounts in {place} failed: {why}; {newest}; see: journalctl -u materia-backup"
            )
        } else {
            // A bucket has no time of its own: without any backup in it, it is too old.
            let since = self.newest_at.or(self.folder_changed_at).unwrap_or(Timestamp::UNIX_EPOCH);
            if elapsed(since, now) <= settings.backup_age {
                return None;
            }
            format!(
                "the accounts were last backed up too long ago: in {place} {newest}, at most {} is allowed; see: systemctl status materia-backup.timer",
                humanize::duration(settings.backup_age)
            )
        };
        Some(Finding { condition: Condition::Backup, text })
    }
}

impl SiteState {
    /// Requests `/ready` of the site at `address`.
    #[must_use]
    pub fn request(address: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(SITE_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("materia")
            .build()
            .new_agent();
        let response = match agent.get(format!("{}/ready", address.trim_end_matches('/'))).call() {
            Ok(response) => response,
            Err(ureq::Error::Timeout(_)) => {
                let within = humanize::duration(SITE_TIMEOUT);
                return Self::Down(format!("it did not answer within {within}"));
            }
            Err(error) => return Self::Down(error.to_string()),
        };
        let status = response.status().as_u16();
        let text = response.into_body().read_to_string().unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(report) => Self::Answers(report),
            Err(_) => Self::Down(format!("/ready answers with status {status}")),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let find = |condition, text| Finding { condition, text };
        match self {
            Self::Down(why) => vec![find(
                Condition::SiteDown,
                format!("the site does not respond: {why}; see: systemctl status materia-web"),
            )],
            Self::Answers(report) => {
                let accounts = (!report.store).then(accounts_down);
                accounts.into_iter().chain(report.mail.as_deref().map(mail_failing)).collect()
            }
        }
    }
}

/// Returns the finding that accounts cannot be read or written.
#[must_use]
pub fn accounts_down() -> Finding {
    Finding {
        condition: Condition::AccountsDown,
        text: "the site cannot read or write its accounts: nobody can sign in; see: journalctl -u materia-web".to_owned(),
    }
}

/// Returns the finding that email cannot be sent.
#[must_use]
pub fn mail_failing(why: &str) -> Finding {
    Finding {
        condition: Condition::MailFailing,
        text: format!("email cannot be sent: {why}; /admin/mail has the errors"),
    }
}

fn hung(run: &Run, settings: &AlertSettings, now: Timestamp) -> Option<Finding> {
    let running = elapsed(run.started_at, now);
    if running <= settings.pipeline_running {
        return None;
    }
    let log = run.log.as_deref().map(|log| format!("; its log: {}", log.display()));
    let text = format!(
        "pipeline {} has been running for {} (pid {}){}",
        run.pipeline,
        rounded(running),
        run.pid,
        log.unwrap_or_default()
    );
    Some(Finding { condition: Condition::PipelineHung(run.pipeline.clone()), text })
}

fn undeliverable(state: &Undelivered, now: Timestamp) -> Option<Finding> {
    let waited = elapsed(state.since, now);
    if waited < DELIVERY_GRACE {
        return None;
    }
    let text = format!(
        "alerts have not been delivered for {} ({} waiting): {}; check ALERT_WEBHOOK_URL with: materia alert --test",
        rounded(waited),
        humanize::plural(state.messages, "message"),
        state.error
    );
    Some(Finding { condition: Condition::WebhookFailing, text })
}

fn modified_at(path: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn rounded(duration: Duration) -> String {
    humanize::duration(Duration::from_secs(duration.as_secs()))
}
