//! The `[dashboards]` section.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Which dashboards there are. With neither, an overview is drawn from whatever is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, try_from = "File")]
pub struct DashboardSettings {
    /// Dashboards that are built in, by name: `beanflows`. `use`.
    pub built_in: Option<String>,
    /// A folder of dashboard files. `dir` / `MATERIA_DASHBOARDS`.
    pub dir: Option<PathBuf>,
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    r#use: Option<String>,
    dir: Option<PathBuf>,
}

impl TryFrom<File> for DashboardSettings {
    type Error = &'static str;

    fn try_from(file: File) -> Result<Self, Self::Error> {
        match file {
            File { r#use: Some(_), dir: Some(_) } => Err("use and dir exclude one another; leave one of them out"),
            File { r#use, dir } => Ok(Self { built_in: r#use, dir }),
        }
    }
}

impl DashboardSettings {
    /// Makes the folder usable from the current one, and lets the environment override everything.
    pub(super) fn overlay(&mut self, env: super::Lookup, folder: &Path) {
        self.dir = self.dir.take().map(|dir| folder.join(dir));
        if let Some(dir) = env("MATERIA_DASHBOARDS").filter(|dir| !dir.is_empty()) {
            *self = Self { built_in: None, dir: Some(PathBuf::from(dir)) };
        }
    }
}
