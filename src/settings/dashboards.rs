//! The `[dashboards]` section.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The sources of dashboards. With neither, an overview of the served tables is generated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, try_from = "DashboardsSection")]
pub struct DashboardSettings {
    /// Built-in dashboards by name: `beanflows`. `use`.
    pub built_in: Option<String>,
    /// A folder of dashboard files. `dir` / `MATERIA_DASHBOARDS`.
    pub dir: Option<PathBuf>,
}

/// The section as written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DashboardsSection {
    r#use: Option<String>,
    dir: Option<PathBuf>,
}

impl TryFrom<DashboardsSection> for DashboardSettings {
    type Error = &'static str;

    fn try_from(file: DashboardsSection) -> Result<Self, Self::Error> {
        match file {
            DashboardsSection { r#use: Some(_), dir: Some(_) } => {
                Err("use and dir exclude one another; leave one of them out")
            }
            DashboardsSection { r#use, dir } => Ok(Self { built_in: r#use, dir }),
        }
    }
}

impl DashboardSettings {
    /// Resolves the folder against that of `materia.toml` and applies the environment, which takes
    /// precedence.
    pub(super) fn overlay(&mut self, env: super::Lookup, folder: &Path) {
        self.dir = self.dir.take().map(|dir| folder.join(dir));
        if let Some(dir) = env("MATERIA_DASHBOARDS").filter(|dir| !dir.is_empty()) {
            *self = Self { built_in: None, dir: Some(PathBuf::from(dir)) };
        }
    }
}
