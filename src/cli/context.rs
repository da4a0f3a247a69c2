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

/// What every verb needs.
pub(super) struct Context {
    pub(super) settings: Settings,
}

impl Context {
    pub(super) fn load(config: Option<PathBuf>, lakehouse: Option<PathBuf>, to: Option<PathBuf>) -> anyhow::Result<Self> {
        let named = config.or_else(|| env::var_os("MATERIA_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            text => Some(text.with_context(|| format!("cannot read the settings file {}", path.display()))?),
        };
        let dotenv = dotenv(&path.with_file_name(".env"))?;
        let lookup = |name: &str| env::var(name).ok().or_else(|| dotenv.get(name).cloned());
        let mut settings = Settings::load(text.as_deref().map(|text| (path.as_path(), text)), &lookup)?;
        if let Some(lakehouse) = lakehouse {
            // The default place follows the lakehouse; a place that was chosen does not.
            if settings.serving == Settings::serving_beside(&settings.lakehouse) {
                settings.serving = Settings::serving_beside(&lakehouse);
            }
            settings.lakehouse = lakehouse;
        }
        settings.serving = to.unwrap_or(settings.serving);
        Ok(Self { settings })
    }

    pub(super) fn target(&self) -> anyhow::Result<Target> {
        Target::new(&self.settings.serving).with_context(|| format!("cannot follow {}", self.settings.serving.display()))
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
