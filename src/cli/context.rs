//! Settings as this process sees them: flags over environment over `.env` over `materia.toml`.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use materia::{dashboard::Dashboards, settings::Settings, target::Target};

use super::Failure;

const DEFAULT_CONFIG: &str = "materia.toml";

/// The files that the command line names.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) config: Option<PathBuf>,
    pub(super) lakehouse: Option<PathBuf>,
    pub(super) to: Option<PathBuf>,
}

impl Files {
    /// The settings file: as named, or in the current folder, where it need not exist.
    pub(super) fn settings_path(&self) -> PathBuf {
        self.named_settings().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
    }

    fn named_settings(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| env::var_os("MATERIA_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    /// The same as options for another command.
    pub(super) fn options(&self) -> Vec<String> {
        let named = [("--config", &self.config), ("--lakehouse", &self.lakehouse), ("--to", &self.to)];
        named
            .into_iter()
            .filter_map(|(flag, path)| Some([flag.to_owned(), path.as_ref()?.to_string_lossy().into_owned()]))
            .flatten()
            .collect()
    }
}

/// What every verb needs.
pub(super) struct Context {
    pub(super) settings: Settings,
}

impl Context {
    pub(super) fn load(files: Files) -> anyhow::Result<Self> {
        let (named, path) = (files.named_settings(), files.settings_path());
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            text => Some(text.with_context(|| format!("cannot read the settings file {}", path.display()))?),
        };
        let dotenv = dotenv(&path.with_file_name(".env"))?;
        let lookup = |name: &str| env::var(name).ok().or_else(|| dotenv.get(name).cloned());
        let mut settings = Settings::load(text.as_deref().map(|text| (path.as_path(), text)), &lookup)?;
        if let Some(lakehouse) = files.lakehouse {
            // The default place follows the lakehouse; a place that was chosen does not.
            if settings.serving == Settings::serving_beside(&settings.lakehouse) {
                settings.serving = Settings::serving_beside(&lakehouse);
            }
            settings.lakehouse = lakehouse;
        }
        if let Some(place) = files.to {
            settings.serve_at(&place, Path::new("")).map_err(|problem| anyhow::anyhow!("--to: {problem}"))?;
        }
        Ok(Self { settings })
    }

    pub(super) fn target(&self) -> anyhow::Result<Target> {
        self.settings.target().with_context(|| format!("cannot follow {}", self.settings.serving.display()))
    }
}

/// The dashboards that the settings name; a set or folder that is not there is a wrong setting.
pub(super) fn dashboards(settings: &Settings) -> Result<Dashboards, Failure> {
    Dashboards::load(&settings.dashboards).map_err(|error| Failure::usage(format!("[dashboards]: {error}")))
}

fn dotenv(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let wrong = || format!("cannot use {}", path.display());
    dotenvy::from_path_iter(path).and_then(Iterator::collect).with_context(wrong)
}
