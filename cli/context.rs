//! The settings of this process: flags, then environment, then `.env`, then `materia.toml`, in
//! descending precedence.

use std::{
    collections::HashMap,
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use materia::{
    dashboard::Dashboards,
    settings::{self, OriginCandidate, SettingOrigin, Settings},
    store::Store,
};

use super::{Failure, doctor::Sources, engine};

const DEFAULT_CONFIG: &str = "materia.toml";
/// The file of variables for a server's units, created by the bootstrap and by the Debian package.
const SYSTEM_ENV: &str = "/etc/materia/env";
/// The folder of defaults, set by units and images: it overrides nothing.
const DATA_DIR: &str = "MATERIA_DATA_DIR";
/// Variables with the paths on which a command operates.
const PLACES: [&str; 5] =
    ["MATERIA_CONFIG", "DUCKDB_PATH", "SERVING_DUCKDB_PATH", "DATABASE_URL", DATA_DIR];

/// The files named on the command line.
#[derive(Debug, Clone)]
pub(super) struct PathArgs {
    pub(super) config: Option<PathBuf>,
    pub(super) lakehouse: Option<PathBuf>,
    pub(super) to: Option<PathBuf>,
}

impl PathArgs {
    /// Returns the settings file: the named one, or the one in the current folder, which need not
    /// exist.
    pub(super) fn settings_path(&self) -> PathBuf {
        self.named_settings().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
    }

    fn named_settings(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| {
            env::var_os("MATERIA_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
        })
    }

    /// Returns the same options for another command.
    pub(super) fn options(&self) -> Vec<String> {
        let named =
            [("--config", &self.config), ("--lakehouse", &self.lakehouse), ("--to", &self.to)];
        named
            .into_iter()
            .filter_map(|(flag, path)| {
                Some([flag.to_owned(), path.as_ref()?.to_string_lossy().into_owned()])
            })
            .flatten()
            .collect()
    }
}

/// The context of every subcommand.
pub(super) struct Context {
    pub(super) settings: Settings,
    /// The origins of the important locations.
    pub(super) origins: Vec<SettingOrigin>,
    /// The files from which settings were read.
    pub(super) sources: Sources,
}

impl Context {
    /// Loads the settings for a read-only command: without any path in flags, files or variables,
    /// uses those of the server's units.
    pub(super) fn load_to_read(files: PathArgs) -> anyhow::Result<Self> {
        let names_place = files.config.is_some()
            || files.lakehouse.is_some()
            || files.to.is_some()
            || [DEFAULT_CONFIG, ".env", "lakehouse.duckdb"]
                .iter()
                .any(|name| Path::new(name).exists())
            || PLACES.iter().any(|name| env::var_os(name).is_some_and(|text| !text.is_empty()));
        // Without permission, the file is treated as missing, and the defaults apply.
        let system = Path::new(SYSTEM_ENV);
        let is_readable = !names_place && fs::File::open(system).is_ok();
        Self::load_with(files, is_readable.then_some(system))
    }

    pub(super) fn load(files: PathArgs) -> anyhow::Result<Self> {
        Self::load_with(files, None)
    }

    fn load_with(files: PathArgs, system: Option<&Path>) -> anyhow::Result<Self> {
        let (named, path) = (files.named_settings(), files.settings_path());
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            text => Some(
                text.with_context(|| format!("cannot read the settings file {}", path.display()))?,
            ),
        };
        let default_path = path.with_file_name(".env");
        // The packages' materia.toml is next to the variables of their units.
        let of_package = Path::new(SYSTEM_ENV);
        let is_packaged = path.parent() == of_package.parent()
            && !default_path.exists()
            && fs::File::open(of_package).is_ok();
        let system = system.or_else(|| is_packaged.then_some(of_package));
        let dotenv_path = system.unwrap_or(&default_path);
        let dotenv = dotenv(dotenv_path)?;
        engine::select_from(&dotenv).map_err(|failure| anyhow::anyhow!(failure.message))?;
        let origins = origins(&files, &path, text.as_deref(), &dotenv, dotenv_path);
        let lookup = |name: &str| env::var(name).ok().or_else(|| dotenv.get(name).cloned());
        let mut settings =
            Settings::load(text.as_deref().map(|text| (path.as_path(), text)), &lookup)?;
        if let Some(lakehouse) = files.lakehouse {
            // The default served path depends on the lakehouse; an explicit one does not.
            if settings.serving == Settings::default_serving_path(&settings.lakehouse) {
                settings.serving = Settings::default_serving_path(&lakehouse);
            }
            settings.lakehouse = lakehouse;
        }
        if let Some(place) = files.to {
            settings
                .with_target(&place, Path::new(""))
                .map_err(|problem| anyhow::anyhow!("--to: {problem}"))?;
        }
        let sources = Sources {
            config: text.map(|text| (path, text)),
            dotenv_path: dotenv_path.to_owned(),
            dotenv,
        };
        Ok(Self { settings, origins, sources })
    }

    pub(super) fn target(&self) -> anyhow::Result<Store> {
        self.settings
            .target()
            .with_context(|| format!("cannot follow {}", self.settings.serving.display()))
    }
}

/// Finds the origins of the important locations, in descending order of precedence.
fn origins(
    files: &PathArgs,
    path: &Path,
    text: Option<&str>,
    dotenv: &HashMap<String, String>,
    dotenv_path: &Path,
) -> Vec<SettingOrigin> {
    // The default location is not mentioned.
    let dotenv_name = match dotenv_path.file_name() {
        Some(name) if name == ".env" => ".env".to_owned(),
        _ => dotenv_path.display().to_string(),
    };
    let named = |from: String, place: Option<String>| OriginCandidate { from, place };
    let is_set = |folder: &String| !folder.is_empty();
    let data_dir = if env::var(DATA_DIR).is_ok_and(|folder| is_set(&folder)) {
        Some(DATA_DIR.to_owned())
    } else {
        dotenv
            .get(DATA_DIR)
            .filter(|folder| is_set(folder))
            .map(|_| format!("{DATA_DIR} in {dotenv_name}"))
    };
    let find = |setting, flag: Option<(&str, &Option<PathBuf>)>, variable: &str| {
        let mut candidates = Vec::new();
        candidates.extend(flag.map(|(flag, place)| {
            let place = place.as_ref().map(|place| place.to_string_lossy().into_owned());
            named(flag.to_owned(), place)
        }));
        candidates.push(named(variable.to_owned(), env::var(variable).ok()));
        candidates
            .push(named(format!("{variable} in {dotenv_name}"), dotenv.get(variable).cloned()));
        let in_file = text.and_then(|text| settings::string_in_file(text, setting));
        candidates.push(named(path.display().to_string(), in_file));
        let mut origin = SettingOrigin::find(setting, candidates);
        // The served file is next to the lakehouse by default.
        if let Some(data_dir) = data_dir.as_ref().filter(|_| setting != "serving")
            && origin.from == "default"
        {
            origin.from.clone_from(data_dir);
        }
        origin
    };
    vec![
        find("serving", Some(("--to", &files.to)), "SERVING_DUCKDB_PATH"),
        find("lakehouse", Some(("--lakehouse", &files.lakehouse)), "DUCKDB_PATH"),
        find("extensions", None, "MATERIA_EXTENSIONS"),
    ]
}

/// Loads the configured dashboards; a set or folder that does not exist is an invalid setting.
pub(super) fn dashboards(settings: &Settings) -> Result<Dashboards, Failure> {
    Dashboards::load(&settings.dashboards)
        .map_err(|error| Failure::usage(format!("[dashboards]: {error}")))
}

fn dotenv(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let wrong = || match fs::metadata(path) {
        // Otherwise its variables would be ignored silently.
        Ok(metadata) if fs::File::open(path).is_err() => format!(
            "{} cannot be read by this user (owner {}:{}, mode {:o}); run the command as the user materia, or make it readable: chgrp materia {0} && chmod 640 {0}",
            path.display(),
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        ),
        _ => format!("cannot use {}", path.display()),
    };
    dotenvy::from_path_iter(path).and_then(Iterator::collect).with_context(wrong)
}
