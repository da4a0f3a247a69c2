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
