//! All dashboards of a folder, or those that are built in.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{Dashboard, overview, parse, units::Units};
use crate::{
    reader::{Pin, ReaderError},
    settings::DashboardSettings,
    toml_file::FileError,
    words,
};

/// The file that declares the units of all dashboards in its folder.
const UNITS: &str = "units.toml";

/// BeanFlows': the coffee-market service that `materia demo` makes a lakehouse for.
const BEANFLOWS: [(&str, &str); 6] = [
    (UNITS, include_str!("../../infra/beanflows/dashboards/units.toml")),
    ("pulse.toml", include_str!("../../infra/beanflows/dashboards/pulse.toml")),
    ("supply.toml", include_str!("../../infra/beanflows/dashboards/supply.toml")),
    ("origins.toml", include_str!("../../infra/beanflows/dashboards/origins.toml")),
    ("positioning.toml", include_str!("../../infra/beanflows/dashboards/positioning.toml")),
    ("trade.toml", include_str!("../../infra/beanflows/dashboards/trade.toml")),
];

/// The dashboards there are. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Dashboards {
    /// `None`: whatever the served tables are.
    written: Option<Arc<[Arc<Dashboard>]>>,
    problems: Arc<[FileError]>,
}

/// Why there are no dashboards to load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("cannot read the dashboards in {}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder holds none.
    #[error("there is no dashboard (*.toml) in {}", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such set.
    #[error("no dashboards of the name {name:?} are built in; there are: beanflows")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

impl Dashboards {
    /// The dashboards that the settings name.
    ///
    /// # Errors
    /// Every [`LoadError`].
    pub fn load(settings: &DashboardSettings) -> Result<Self, LoadError> {
        match settings {
            DashboardSettings { dir: Some(dir), .. } => Self::folder(dir),
            DashboardSettings { built_in: Some(name), .. } => Self::built_in(name),
            DashboardSettings { built_in: None, dir: None } => Ok(Self::default()),
        }
    }

    /// Reads them again. What has mistakes now stays as it was, and so does everything where the folder or its units cannot be read:
    /// [`Dashboards::problems`] tells.
    #[must_use]
    pub fn again(&self, settings: &DashboardSettings) -> Self {
        let fresh = match Self::load(settings) {
            Ok(fresh) => fresh,
            Err(error) => {
                let path = settings.dir.clone().unwrap_or_default();
                let problem = FileError { path, line: None, message: error.to_string() };
                return Self { written: self.written.clone(), problems: [problem].into() };
            }
        };
        if fresh.problems.iter().any(|problem| is_units(&problem.path)) {
            return Self { written: self.written.clone(), problems: fresh.problems };
        }
        let (Some(before), Some(now)) = (&self.written, &fresh.written) else { return fresh };
        let mistaken = |file: &Path| fresh.problems.iter().any(|problem| problem.path == file);
        let kept: Vec<_> = before.iter().filter(|dashboard| mistaken(&dashboard.file)).cloned().collect();
        let is_kept = |one: &Dashboard| kept.iter().any(|kept| kept.file == one.file || kept.slug == one.slug);
        let mut all: Vec<_> = now.iter().filter(|dashboard| !is_kept(dashboard)).cloned().collect();
        all.extend(kept.iter().cloned());
        all.sort_by(|one, other| in_order(one, other));
        Self { written: Some(all.into()), problems: fresh.problems }
    }

    /// What tells that files were changed since: each with its length and when it was written. Nothing where no folder is used.
    #[must_use]
    pub fn stamps(settings: &DashboardSettings) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
        let entries = settings.dir.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
        let mut stamps: Vec<_> = files
            .map(|file| {
                let metadata = fs::metadata(&file).ok();
                (file, metadata.as_ref().map_or(0, fs::Metadata::len), metadata.and_then(|metadata| metadata.modified().ok()))
            })
            .collect();
        stamps.sort();
        stamps
    }

    /// Dashboards that are built in.
    ///
    /// # Errors
    /// [`LoadError::Unknown`].
    pub fn built_in(name: &str) -> Result<Self, LoadError> {
        match name {
            "beanflows" => {
                let named = |(file, text): &(&str, &str)| (Path::new("beanflows").join(file), (*text).to_owned());
                Ok(Self::of(&BEANFLOWS.iter().map(named).collect::<Vec<_>>()))
            }
            _ => Err(LoadError::Unknown { name: name.to_owned() }),
        }
    }

    /// Every `*.toml` in a folder. Files with mistakes are left out, or lack what is mistaken: see [`Dashboards::problems`].
    ///
    /// # Errors
    /// The folder cannot be read, or holds no dashboard.
    pub fn folder(path: &Path) -> Result<Self, LoadError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            |source| LoadError::Folder { path, source }
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed(path))? {
            let file = entry.map_err(failed(path))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
                let text = fs::read_to_string(&file).map_err(failed(&file))?;
                files.push((file, text));
            }
        }
        if !files.iter().any(|(file, _)| !is_units(file)) {
            return Err(LoadError::None { path: path.to_path_buf() });
        }
        files.sort();
        Ok(Self::of(&files))
    }

    fn of(files: &[(PathBuf, String)]) -> Self {
        let mut problems = Vec::new();
        let units = files.iter().find(|(file, _)| is_units(file)).map(|(file, text)| Units::read(file, text));
        let units = units.transpose().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let units = units.unwrap_or_default();
        let mut dashboards = Vec::<Dashboard>::new();
        for (file, text) in files.iter().filter(|(file, _)| !is_units(file)) {
            let (dashboard, mistakes) = parse::dashboard(file, text, &units);
            problems.extend(mistakes);
            let Some(dashboard) = dashboard else { continue };
            match dashboards.iter().find(|other| other.slug == dashboard.slug) {
                Some(other) => {
                    let message = format!("the address {:?} is taken by {}", dashboard.slug, other.file.display());
                    problems.push(FileError { path: file.clone(), line: None, message });
                }
                None => dashboards.push(dashboard),
            }
        }
        dashboards.sort_by(in_order);
        Self { written: Some(dashboards.into_iter().map(Arc::new).collect()), problems: problems.into() }
    }

    /// The dashboards for a generation, in their order. Where none are written, an overview of whatever is served.
    ///
    /// # Errors
    /// As [`Pin::catalog`], where none are written.
    pub async fn all(&self, pin: &Pin) -> Result<Arc<[Arc<Dashboard>]>, ReaderError> {
        match &self.written {
            Some(written) => Ok(written.clone()),
            None => Ok([Arc::new(overview::overview(pin).await?)].into()),
        }
    }

    /// Those that somebody wrote; `None` where an overview is drawn instead.
    #[must_use]
    pub fn written(&self) -> Option<&[Arc<Dashboard>]> {
        self.written.as_deref()
    }

    /// What the authors of the files got wrong.
    #[must_use]
    pub fn problems(&self) -> &[FileError] {
        &self.problems
    }

    /// What to say about an address that is none.
    #[must_use]
    pub fn unknown(list: &[Arc<Dashboard>], slug: &str) -> String {
        words::unknown("dashboard", slug, list.iter().map(|dashboard| dashboard.slug.as_str()))
    }
}

fn in_order(one: &Dashboard, other: &Dashboard) -> Ordering {
    (one.order, &one.title).cmp(&(other.order, &other.title))
}

fn is_units(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == UNITS)
}
