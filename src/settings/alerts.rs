//! The `[alerts]` section: when somebody is to be told, and how. Addresses are secret and come from the environment only.

use std::time::Duration;

use serde::Deserialize;

use super::{Lookup, Secret, SettingsError, duration};

/// The `[alerts]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// Where alerts are sent as JSON, which Slack takes too. `ALERT_WEBHOOK_URL`; default: nowhere.
    #[serde(skip)]
    pub webhook: Option<Secret>,
    /// What is asked for whenever all is well, for a service that tells when it no longer is. `HEARTBEAT_URL`; default: nothing.
    #[serde(skip)]
    pub heartbeat: Option<Secret>,
    /// The same thing is not alerted again sooner than this.
    #[serde(deserialize_with = "duration")]
    pub cool_down: Duration,
    /// A lakehouse that somebody holds for longer than this keeps exports out for too long.
    #[serde(deserialize_with = "duration")]
    pub lakehouse_held: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { webhook: None, heartbeat: None, cool_down: Duration::from_hours(1), lakehouse_held: Duration::from_hours(2) }
    }
}

impl AlertSettings {
    pub(super) fn overlay(&mut self, env: Lookup) -> Result<(), SettingsError> {
        self.webhook = address("ALERT_WEBHOOK_URL", env)?;
        self.heartbeat = address("HEARTBEAT_URL", env)?;
        Ok(())
    }
}

/// An address that something can be sent to. It is secret: what is wrong with it is told without it.
fn address(variable: &'static str, env: Lookup) -> Result<Option<Secret>, SettingsError> {
    let Some(text) = env(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return Ok(None) };
    let usable = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let problem = || "it is not an address; write for example https://hooks.example.com/services/...".to_owned();
    if usable { Ok(Some(Secret::new(text))) } else { Err(SettingsError::Variable { variable, problem: problem() }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn an_address_that_cannot_be_one_is_refused_without_being_shown() {
        for wrong in ["hooks.example.com/secret", "ftp://hooks.example.com/secret", "https:// secret"] {
            let error = Settings::load(None, &|name| (name == "ALERT_WEBHOOK_URL").then(|| wrong.to_owned())).map(|_| ()).unwrap_err();
            let told = error.to_string();
            assert!(told.starts_with("ALERT_WEBHOOK_URL: it is not an address") && !told.contains("secret"), "{wrong}: {told}");
        }
        let settings = Settings::load(None, &|_| Some(String::new())).unwrap();
        assert_eq!(settings.alerts, AlertSettings::default());
    }
}
