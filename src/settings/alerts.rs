//! The `[alerts]` section: when and where alerts are sent. URLs are secret and come from the
//! environment only.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{Lookup, Secret, SettingsError, duration, overlay};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// URL that receives alerts as JSON, in a format that Slack accepts. `ALERT_WEBHOOK_URL`;
    /// default: none.
    #[serde(skip)]
    pub webhook: Option<Secret>,
    /// URL that is requested whenever all is well, for a service that alerts when the requests
    /// stop. `HEARTBEAT_URL`; default: none.
    #[serde(skip)]
    pub heartbeat: Option<Secret>,
    /// Minimum time between two alerts for the same condition.
    #[serde(deserialize_with = "duration")]
    pub cool_down: Duration,
    /// Time after which a process that holds the lakehouse is reported as blocking exports.
    #[serde(deserialize_with = "duration")]
    pub lakehouse_held: Duration,
    /// Time after which a pipeline that is still running is reported.
    #[serde(deserialize_with = "duration")]
    pub pipeline_running: Duration,
    /// The supervisor's lock file, whose modification time is its last heartbeat. `supervisor` /
    /// `SUPERVISOR_LOCK`; default: `supervisor.lock` in the folder of the lakehouse, if it exists.
    pub supervisor: Option<PathBuf>,
    /// Time without a heartbeat after which the supervisor is reported.
    #[serde(deserialize_with = "duration")]
    pub supervisor_silent: Duration,
    /// The folder of the accounts' backups. `backups` / `MATERIA_BACKUPS`; default: none.
    pub backups: Option<PathBuf>,
    /// Age above which the newest backup is reported.
    #[serde(deserialize_with = "duration")]
    pub backup_age: Duration,
    /// The address of the site, whose `/ready` is requested. `site` / `MATERIA_SITE`; default:
    /// none.
    pub site: Option<String>,
    /// Time for which an email may wait for its mail server before it is reported.
    #[serde(deserialize_with = "duration")]
    pub mail_delayed: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            webhook: None,
            heartbeat: None,
            cool_down: Duration::from_hours(1),
            lakehouse_held: Duration::from_hours(2),
            pipeline_running: Duration::from_hours(2),
            supervisor: None,
            supervisor_silent: Duration::from_mins(3),
            backups: None,
            backup_age: Duration::from_hours(30),
            site: None,
            mail_delayed: Duration::from_mins(5),
        }
    }
}

impl AlertSettings {
    /// Applies the environment to the section of the file, whose paths are relative to `folder`.
    pub(super) fn overlay(&mut self, env: Lookup, folder: &Path) -> Result<(), SettingsError> {
        self.webhook = address("ALERT_WEBHOOK_URL", env)?;
        self.heartbeat = address("HEARTBEAT_URL", env)?;
        let path =
            |variable: &str| env(variable).filter(|text| !text.is_empty()).map(PathBuf::from);
        self.supervisor = path("SUPERVISOR_LOCK")
            .or_else(|| self.supervisor.take().map(|path| folder.join(path)));
        self.backups =
            path("MATERIA_BACKUPS").or_else(|| self.backups.take().map(|path| folder.join(path)));
        overlay(env, "MATERIA_SITE", &mut self.site, |text| Ok(Some(text.to_owned())))?;
        if let Some(site) = &self.site {
            check_site(site)
                .map_err(|problem| SettingsError::Variable { variable: "MATERIA_SITE", problem })?;
        }
        Ok(())
    }
}

fn check_site(text: &str) -> Result<(), String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err(format!(
            "{text:?} is not the address of a site; write for example http://127.0.0.1:8000"
        )),
    }
}

/// Reads a URL. It is secret, so errors do not contain it.
fn address(variable: &'static str, env: Lookup) -> Result<Option<Secret>, SettingsError> {
    let Some(text) =
        env(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let usable = url::Url::parse(&text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let problem = || {
        "it is not an address; write for example https://hooks.example.com/services/...".to_owned()
    };
    if usable {
        Ok(Some(Secret::new(text)))
    } else {
        Err(SettingsError::Variable { variable, problem: problem() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn an_address_that_cannot_be_one_is_refused_without_being_shown() {
        for wrong in
            ["hooks.example.com/secret", "ftp://hooks.example.com/secret", "https:// secret"]
        {
            let error = Settings::load(None, &|name| {
                (name == "ALERT_WEBHOOK_URL").then(|| wrong.to_owned())
            })
            .map(|_| ())
            .unwrap_err();
            let message = error.to_string();
            assert!(
                message.starts_with("ALERT_WEBHOOK_URL: it is not an address")
                    && !message.contains("secret"),
                "{wrong}: {message}"
            );
        }
        let settings = Settings::load(None, &|_| Some(String::new())).unwrap();
        assert_eq!(settings.alerts, AlertSettings::default());
    }
}
