//! The `[tui]` section.

use std::path::Path;

use serde::Deserialize;

/// What the terminal dashboard shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuiSettings {
    /// Logs to show: files, or `unit:NAME` for what a unit writes to the journal.
    pub logs: Vec<String>,
}

impl TuiSettings {
    /// Files are relative to the settings' own folder.
    pub(super) fn locate(&mut self, folder: &Path) {
        for log in self.logs.iter_mut().filter(|log| !log.starts_with("unit:")) {
            *log = folder.join(&log).to_string_lossy().into_owned();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use crate::settings::Settings;

    #[test]
    fn logs_are_beside_the_settings_and_units_are_nowhere() {
        let text = "[tui]\nlogs = ['web.log', '/var/log/supervisor.log', 'unit:materia-web']";
        let settings = Settings::load(Some((Path::new("etc/materia.toml"), text)), &|_| None).unwrap();
        assert_eq!(settings.tui.logs, ["etc/web.log", "/var/log/supervisor.log", "unit:materia-web"]);
    }
}
