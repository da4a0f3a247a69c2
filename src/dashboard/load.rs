//! Loads the dashboards of a folder, or the built-in ones.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{Dashboard, Panel, Visualization, default_dashboard, parse, units::Units};
use crate::{
    digest::DigestBuilder,
    humanize,
    reader::{Pin, ReaderError},
    settings::{DashboardSettings, TableRules},
    toml_file::FileError,
};

/// The file that declares the units of all dashboards in its folder.
const UNITS: &str = "units.toml";
/// The file that declares the formulas of derived figures of all dashboards in its folder.
const FORMULAS: &str = "formulas.toml";

/// BeanFlows' dashboards: the coffee-market service for which `materia demo` creates a lakehouse.
const BEANFLOWS: [(&str, &str); 7] = [
    (UNITS, include_str!("../../infra/beanflows/dashboards/units.toml")),
    (FORMULAS, include_str!("../../infra/beanflows/dashboards/formulas.toml")),
    ("pulse.toml", include_str!("../../infra/beanflows/dashboards/pulse.toml")),
    ("supply.toml", include_str!("../../infra/beanflows/dashboards/supply.toml")),
    ("origins.toml", include_str!("../../infra/beanflows/dashboards/origins.toml")),
    ("positioning.toml", include_str!("../../infra/beanflows/dashboards/positioning.toml")),
    ("trade.toml", include_str!("../../infra/beanflows/dashboards/trade.toml")),
];

/// A set of dashboards. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Dashboards {
    /// `None` means that an overview of the served tables is generated.
    user_defined: Option<Arc<[Arc<Dashboard>]>>,
    problems: Arc<[FileError]>,
    /// The columns that generated panels leave out.
    rules: Arc<TableRules>,
}

/// Why there are no dashboards to load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("cannot read the dashboards in {}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        source: std::io::Error,
    },
    /// The folder has no dashboard.
    #[error("there is no dashboard (*.toml) in {}", path.display())]
    None { path: PathBuf },
    /// No set of this name is built in.
    #[error("no dashboards of the name {name:?} are built in; there are: beanflows")]
    Unknown { name: String },
}

impl Dashboards {
    /// Leaves columns that these rules hide out of what is generated: an overview, and panels of
    /// changes. Queries of dashboard files may use them.
    #[must_use]
    pub fn with_rules(self, rules: impl Into<Arc<TableRules>>) -> Self {
        let rules = rules.into();
        let user_defined =
            self.user_defined.map(|all| all.iter().map(|one| with_rules(one, &rules)).collect());
        Self { user_defined, rules, ..self }
    }

    /// Loads the dashboards that the settings name.
    ///
    /// # Errors
    /// Every [`LoadError`].
    pub fn load(settings: &DashboardSettings) -> Result<Self, LoadError> {
        match settings {
            DashboardSettings { dir: Some(dir), .. } => Self::load_dir(dir),
            DashboardSettings { built_in: Some(name), .. } => Self::built_in(name),
            DashboardSettings { built_in: None, dir: None } => Ok(Self::default()),
        }
    }

    /// Loads the dashboards that the settings name; without any if they cannot be loaded, for which
    /// [`Dashboards::problems`] has the reason.
    #[must_use]
    pub fn load_or_report(settings: &DashboardSettings) -> Self {
        Self::load(settings).unwrap_or_else(|error| {
            let path = settings.dir.clone().unwrap_or_default();
            let problem = FileError { path, line: None, message: error.to_string() };
            Self {
                user_defined: Some([].into()),
                problems: [problem].into(),
                rules: Arc::default(),
            }
        })
    }

    /// Reads the files again. The dashboard of an invalid file remains unchanged, and all
    /// dashboards do if the folder or a file of units or formulas cannot be read: [`Dashboards::problems`]
    /// has the reasons.
    #[must_use]
    pub fn reload(&self, settings: &DashboardSettings) -> Self {
        let rules = self.rules.clone();
        let fresh = match Self::load(settings) {
            Ok(fresh) => fresh.with_rules(rules),
            Err(error) => {
                let path = settings.dir.clone().unwrap_or_default();
                let problem = FileError { path, line: None, message: error.to_string() };
                return Self {
                    user_defined: self.user_defined.clone(),
                    problems: [problem].into(),
                    rules,
                };
            }
        };
        if fresh.problems.iter().any(|problem| is_shared(&problem.path)) {
            return Self { user_defined: self.user_defined.clone(), ..fresh };
        }
        let (Some(before), Some(now)) = (&self.user_defined, &fresh.user_defined) else {
            return fresh;
        };
        let is_invalid = |file: &Path| fresh.problems.iter().any(|problem| problem.path == file);
        let kept: Vec<_> =
            before.iter().filter(|dashboard| is_invalid(&dashboard.file)).cloned().collect();
        let is_kept = |one: &Dashboard| {
            kept.iter().any(|kept| kept.file == one.file || kept.slug == one.slug)
        };
        let mut all: Vec<_> = now.iter().filter(|dashboard| !is_kept(dashboard)).cloned().collect();
        all.extend(kept.iter().cloned());
        all.sort_by(|one, other| in_order(one, other));
        Self { user_defined: Some(all.into()), ..fresh }
    }

    /// Returns a digest that differs between two sets of dashboards.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = DigestBuilder::new();
        for dashboard in self.user_defined.iter().flat_map(|dashboards| dashboards.iter()) {
            text.add(&dashboard.file.to_string_lossy()).add(&dashboard.digest);
        }
        text.digest()
    }

    /// Returns each file with its length and modification time; nothing if no folder is configured.
    #[must_use]
    pub fn file_stamps(settings: &DashboardSettings) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
        let entries =
            settings.dir.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let files = entries
            .map(|entry| entry.path())
            .filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
        let mut stamps: Vec<_> = files
            .map(|file| {
                let metadata = fs::metadata(&file).ok();
                (
                    file,
                    metadata.as_ref().map_or(0, fs::Metadata::len),
                    metadata.and_then(|metadata| metadata.modified().ok()),
                )
            })
            .collect();
        stamps.sort();
        stamps
    }

    /// Returns a built-in set.
    ///
    /// # Errors
    /// [`LoadError::Unknown`].
    pub fn built_in(name: &str) -> Result<Self, LoadError> {
        match name {
            "beanflows" => {
                let named = |(file, text): &(&str, &str)| {
                    (Path::new("beanflows").join(file), (*text).to_owned())
                };
                Ok(Self::from_files(&BEANFLOWS.iter().map(named).collect::<Vec<_>>()))
            }
            _ => Err(LoadError::Unknown { name: name.to_owned() }),
        }
    }

    /// Loads every `*.toml` of a folder. Invalid files, or invalid parts of them, are omitted: see
    /// [`Dashboards::problems`].
    ///
    /// # Errors
    /// The folder cannot be read, or contains no dashboard.
    pub fn load_dir(path: &Path) -> Result<Self, LoadError> {
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
        if !files.iter().any(|(file, _)| !is_shared(file)) {
            return Err(LoadError::None { path: path.to_path_buf() });
        }
        files.sort();
        Ok(Self::from_files(&files))
    }

    fn from_files(files: &[(PathBuf, String)]) -> Self {
        let mut problems = Vec::new();
        let mut units = Units::default();
        let mut shared = DigestBuilder::new();
        for (file, text) in files.iter().filter(|(file, _)| is_shared(file)) {
            let read = if file.ends_with(UNITS) {
                units.add_units(file, text)
            } else {
                units.add_formulas(file, text)
            };
            problems.extend(read.err());
            shared.add(text);
        }
        let shared = shared.digest();
        let mut dashboards = Vec::<Dashboard>::new();
        for (file, text) in files.iter().filter(|(file, _)| !is_shared(file)) {
            let (dashboard, diagnostics) = parse::dashboard(file, text, &units);
            problems.extend(diagnostics);
            let Some(mut dashboard) = dashboard else { continue };
            dashboard.digest = DigestBuilder::new().add(&shared).add(text).digest();
            match dashboards.iter().find(|other| other.slug == dashboard.slug) {
                Some(other) => {
                    let message = format!(
                        "the address {:?} is taken by {}",
                        dashboard.slug,
                        other.file.display()
                    );
                    problems.push(FileError { path: file.clone(), line: None, message });
                }
                None => dashboards.push(dashboard),
            }
        }
        dashboards.sort_by(in_order);
        Self {
            user_defined: Some(dashboards.into_iter().map(Arc::new).collect()),
            problems: problems.into(),
            rules: Arc::default(),
        }
    }

    /// Returns the dashboards for a generation, in order. If the user has defined none, returns an
    /// overview of the served tables.
    ///
    /// # Errors
    /// As [`Pin::catalog`], for the overview.
    pub async fn all(&self, pin: &Pin) -> Result<Arc<[Arc<Dashboard>]>, ReaderError> {
        match &self.user_defined {
            Some(dashboards) => Ok(dashboards.clone()),
            None => Ok([Arc::new(default_dashboard::overview(pin, &self.rules).await?)].into()),
        }
    }

    /// Returns the dashboards that customers see: like [`Dashboards::all`], without drafts.
    ///
    /// # Errors
    /// As [`Dashboards::all`].
    pub async fn published(&self, pin: &Pin) -> Result<Arc<[Arc<Dashboard>]>, ReaderError> {
        let all = self.all(pin).await?;
        if !all.iter().any(|dashboard| dashboard.draft) {
            return Ok(all);
        }
        Ok(all.iter().filter(|dashboard| !dashboard.draft).cloned().collect())
    }

    /// Returns the user-defined dashboards; `None` if an overview is generated instead.
    #[must_use]
    pub fn user_defined(&self) -> Option<&[Arc<Dashboard>]> {
        self.user_defined.as_deref()
    }

    /// Returns the diagnostics of all files.
    #[must_use]
    pub fn problems(&self) -> &[FileError] {
        &self.problems
    }

    /// Returns the message for an unknown slug.
    #[must_use]
    pub fn unknown_slug_message(list: &[Arc<Dashboard>], slug: &str) -> String {
        humanize::unknown_name_message(
            "dashboard",
            slug,
            list.iter().map(|dashboard| dashboard.slug.as_str()),
        )
    }
}

/// Returns a dashboard whose panels of changes leave out what the rules hide.
fn with_rules(dashboard: &Arc<Dashboard>, rules: &Arc<TableRules>) -> Arc<Dashboard> {
    let is_generated = |panel: &Panel| matches!(panel.visualization, Visualization::Changes(_));
    if !dashboard.panels.iter().any(is_generated) {
        return dashboard.clone();
    }
    let mut dashboard = Dashboard::clone(dashboard);
    for panel in &mut dashboard.panels {
        if let Visualization::Changes(spec) = &mut panel.visualization {
            spec.rules = rules.clone();
        }
    }
    Arc::new(dashboard)
}

fn in_order(one: &Dashboard, other: &Dashboard) -> Ordering {
    (one.order, &one.title).cmp(&(other.order, &other.title))
}

/// Returns whether a file belongs to all dashboards of its folder.
fn is_shared(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == UNITS || name == FORMULAS)
}
