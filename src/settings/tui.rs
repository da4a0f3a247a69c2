//! The `[tui]` section.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

/// Settings of the terminal dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuiSettings {
    /// Logs to show: files, or `unit:NAME` for a systemd unit's journal.
    pub logs: Vec<String>,
    /// `auto`, `dark`, `light`, or a theme file. `--theme` takes precedence.
    pub theme: Option<String>,
    /// Keys of actions, by their names in `materia tui --print-keys`. They replace all default keys
    /// of the action.
    pub keys: BTreeMap<String, Keys>,
}

/// One key, or several for the same action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a key, or a list of keys")]
pub enum Keys {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }
}

impl TuiSettings {
    /// Resolves files against the folder of `materia.toml`.
    pub(super) fn locate(&mut self, folder: &Path) {
        for log in self.logs.iter_mut().filter(|log| !log.starts_with("unit:")) {
            *log = folder.join(&log).to_string_lossy().into_owned();
        }
        if let Some(theme) = self.theme.as_mut().filter(|theme| is_theme_file(theme)) {
            *theme = folder.join(&theme).to_string_lossy().into_owned();
        }
    }
}

/// Returns whether a theme is the name of a file rather than of a color scheme.
#[must_use]
pub fn is_theme_file(theme: &str) -> bool {
    !matches!(theme, "auto" | "dark" | "light")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use crate::settings::Settings;

    #[test]
    fn logs_are_beside_the_settings_and_units_are_nowhere() {
        let text = "[tui]\nlogs = ['web.log', '/var/log/supervisor.log', 'unit:materia-web']";
        let settings =
            Settings::load(Some((Path::new("etc/materia.toml"), text)), &|_| None).unwrap();
        assert_eq!(
            settings.tui.logs,
            ["etc/web.log", "/var/log/supervisor.log", "unit:materia-web"]
        );
    }

    #[test]
    fn a_theme_is_a_scheme_or_a_file_beside_the_settings() {
        for (theme, located) in [("light", "light"), ("night.toml", "etc/night.toml")] {
            let text = format!("[tui]\ntheme = '{theme}'");
            let settings =
                Settings::load(Some((Path::new("etc/materia.toml"), &text)), &|_| None).unwrap();
            assert_eq!(settings.tui.theme.as_deref(), Some(located));
        }
    }
}
