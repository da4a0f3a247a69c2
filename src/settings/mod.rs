//! Settings: `materia.toml` and the environment, merged over the defaults. Commands apply their
//! flags to the result.

mod accounts;
mod alerts;
mod brand;
mod dashboards;
mod export;
mod lake;
mod logo;
mod origins;
mod pipelines;
mod postgres;
mod tables;
mod tui;
mod web;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

pub use crate::{secret::Secret, store::Severity};
use accounts::AccountsSection;
pub use accounts::{AccountsSettings, BackupTarget, SignUp};
pub use alerts::AlertSettings;
pub use brand::{
    BillingPeriod, BrandSettings, LandingSettings, Palette, PlanOffer, Pricing, Source,
};
pub use dashboards::DashboardSettings;
pub use export::{
    ExportSettings, FreshnessCheck, HeldMode, SnapshotMode, SqlAudit, TableSettings, UniqueKeys,
    parse_held, parse_names, parse_snapshot,
};
pub use lake::{LakeCast, LakeSettings};
pub use origins::{
    OriginCandidate, Overridden, SettingOrigin, VARIABLES, string_in_file, value_in_file,
};
pub use pipelines::{EXPORT, PipelineSettings, PipelinesSettings};
pub use postgres::{LimitsSection, PostgresLimits, PostgresSettings};
use serde::{Deserialize, Deserializer};
pub use tables::{ColumnView, TableRule, TableRules, TableView, is_public, rule_of};
pub use tui::{Keys, TuiSettings, is_theme_file};
pub use web::{LogFormat, WebSettings};

use crate::{
    humanize,
    store::lake::{CatalogUrl, Credentials, Lake},
    toml_file::{self, FileError},
};

/// Looks up a variable in the process environment or in the `.env` file of the folder of
/// `materia.toml`.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// All settings of materia, with defaults filled in and every path resolved against the current
/// folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The pipeline's file. `lakehouse` / `DUCKDB_PATH`; default `lakehouse.duckdb` in the folder
    /// of `materia.toml`, or in `MATERIA_DATA_DIR`.
    pub lakehouse: PathBuf,
    /// The served file, or the file from which a served lake is filled. `serving` /
    /// `SERVING_DUCKDB_PATH`, a path or an address that begins with `ducklake:`; default
    /// `analytics.duckdb` in the folder of the lakehouse.
    pub serving: PathBuf,
    /// The served lake, if any.
    pub lake: Option<Lake>,
    /// Further settings of a lake.
    pub lakes: LakeSettings,
    /// Credentials for a lake.
    pub credentials: Credentials,
    /// The folder of the pipelines' logs. `logs`; default `analytics.logs` in the folder of the
    /// served file.
    pub logs: Option<PathBuf>,
    /// The folder of DuckDB's extensions, which a DuckLake needs. `extensions` /
    /// `MATERIA_EXTENSIONS`; default `extensions` in the folder of `materia.toml`, or in
    /// `MATERIA_DATA_DIR`.
    pub extensions: PathBuf,
    pub export: ExportSettings,
    /// The pipelines that fill the lakehouse.
    pub pipelines: PipelinesSettings,
    /// Thresholds for a healthy status.
    pub status: StatusSettings,
    /// When and where alerts are sent.
    pub alerts: AlertSettings,
    /// Settings of the terminal dashboard.
    pub tui: TuiSettings,
    /// The sources of dashboards.
    pub dashboards: DashboardSettings,
    /// The tables that each plan may read.
    pub tables: TableRules,
    /// Settings of the web server.
    pub web: WebSettings,
    /// Settings of the endpoint for PostgreSQL's clients.
    pub postgres: PostgresSettings,
    /// The identity of the site.
    pub brand: BrandSettings,
    /// Where accounts are stored and how mail is sent.
    pub accounts: AccountsSettings,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusSettings {
    /// Age above which the data is stale. `max_age` / `MATERIA_MAX_AGE`; default: never stale.
    #[serde(deserialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    lakehouse: Option<PathBuf>,
    serving: Option<PathBuf>,
    lake: LakeSettings,
    logs: Option<PathBuf>,
    extensions: Option<PathBuf>,
    export: ExportSettings,
    pipelines: PipelinesSettings,
    status: StatusSettings,
    alerts: AlertSettings,
    tui: TuiSettings,
    dashboards: DashboardSettings,
    tables: TableRules,
    web: WebSettings,
    postgres: PostgresSettings,
    brand: BrandSettings,
    accounts: AccountsSection,
}

/// Reason why a setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    File(#[from] FileError),
    /// A variable in the environment or `.env` has an invalid value.
    #[error("{variable}: {problem}")]
    Variable {
        variable: &'static str,
        /// The problem with the value.
        problem: String,
    },
}

impl Settings {
    /// Merges the environment over `materia.toml` (path and content, if it exists) over the
    /// defaults.
    ///
    /// Paths in the file are relative to the file's folder, paths in the environment to the current
    /// one.
    ///
    /// # Errors
    /// The first setting that is unknown or has an invalid value.
    pub fn load(file: Option<(&Path, &str)>, env: Lookup) -> Result<Self, SettingsError> {
        let (mut file, folder) = match file {
            Some((path, text)) => (
                toml_file::parse::<File>(path, text)?,
                crate::files::parent_dir(path).to_path_buf(),
            ),
            None => (File::default(), PathBuf::new()),
        };
        let folder = if folder == Path::new(".") { PathBuf::new() } else { folder };
        let export = &mut file.export;
        export.locate(&folder);
        overlay(env, "MATERIA_SCHEMA", &mut export.schema, parse_names)?;
        overlay(env, "MATERIA_TIME_ZONE", &mut export.time_zone, |text| Ok(text.to_owned()))?;
        overlay(env, "MATERIA_WAIT", &mut export.wait, humanize::parse_duration)?;
        overlay(env, "MATERIA_SNAPSHOT", &mut export.snapshot, parse_snapshot)?;
        overlay(env, "MATERIA_HELD", &mut export.held, parse_held)?;
        overlay(env, "MATERIA_KEEP", &mut export.keep, |text| {
            text.parse()
                .map(NonZeroUsize::get)
                .map_err(|_| format!("{text:?} is not a number of generations, at least 1"))
        })?;
        overlay(env, "MATERIA_MEMORY_LIMIT", &mut export.memory_limit, |text| {
            Ok(Some(text.to_owned()))
        })?;
        overlay(env, "MATERIA_THREADS", &mut export.threads, |text| {
            text.parse()
                .map(NonZeroUsize::get)
                .map(Some)
                .map_err(|_| format!("{text:?} is not a number of threads, at least 1"))
        })?;
        overlay(env, "MATERIA_STORAGE_VERSION", &mut export.storage_version, |text| {
            Ok(Some(text.to_owned()))
        })?;
        overlay(env, "MATERIA_MAX_AGE", &mut file.status.max_age, |text| {
            humanize::parse_duration(text).map(Some)
        })?;

        file.lake.overlay(env, &folder)?;
        file.alerts.overlay(env, &folder)?;
        file.pipelines.locate(&folder);
        file.tui.locate(&folder);
        file.dashboards.overlay(env, &folder);
        file.web.overlay(env)?;
        file.postgres.overlay(env, &folder)?;
        file.web.legal = file.web.legal.map(|path| folder.join(path));

        // A variable with an empty value, as compose files set it, counts as unset.
        let path =
            |variable: &str| env(variable).filter(|text| !text.is_empty()).map(PathBuf::from);
        file.export.metrics_file = path("MATERIA_METRICS_FILE")
            .or_else(|| file.export.metrics_file.map(|path| folder.join(path)));
        // Unlike the other variables, it only replaces defaults: units and images set it without
        // overriding materia.toml.
        let data = path("MATERIA_DATA_DIR").unwrap_or_else(|| folder.clone());
        let lakehouse = path("DUCKDB_PATH")
            .or_else(|| file.lakehouse.map(|path| folder.join(path)))
            .unwrap_or_else(|| data.join("lakehouse.duckdb"));
        let extensions = path("MATERIA_EXTENSIONS")
            .or_else(|| file.extensions.map(|path| folder.join(path)))
            .unwrap_or_else(|| data.join("extensions"));
        let accounts = AccountsSettings::load(file.accounts, (&folder, &data), env)?;
        let credentials = Credentials::load(env)
            .map_err(|problem| SettingsError::Variable { variable: "AWS_ENDPOINT_URL", problem })?;
        let mut settings = Self {
            serving: Self::default_serving_path(&lakehouse),
            lake: None,
            lakes: file.lake,
            credentials,
            lakehouse,
            logs: file.logs.map(|path| folder.join(path)),
            extensions,
            export: file.export,
            pipelines: file.pipelines,
            status: file.status,
            alerts: file.alerts,
            tui: file.tui,
            dashboards: file.dashboards,
            tables: file.tables,
            web: file.web,
            postgres: file.postgres,
            brand: file.brand,
            accounts,
        };
        let wrong =
            |problem: String| SettingsError::Variable { variable: "SERVING_DUCKDB_PATH", problem };
        match (path("SERVING_DUCKDB_PATH"), file.serving) {
            (Some(place), _) => settings.with_target(&place, Path::new("")).map_err(wrong)?,
            (None, Some(place)) if CatalogUrl::matches(&place.to_string_lossy()) => {
                settings.with_target(&place, &folder).map_err(wrong)?;
            }
            (None, Some(place)) => settings.serving = folder.join(place),
            (None, None) => {}
        }
        Ok(settings)
    }

    /// Returns the default served path for a lakehouse.
    #[must_use]
    pub fn default_serving_path(lakehouse: &Path) -> PathBuf {
        lakehouse.with_file_name("analytics.duckdb")
    }
}

fn overlay<T>(
    env: Lookup,
    variable: &'static str,
    value: &mut T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<(), SettingsError> {
    if let Some(text) = env(variable).filter(|text| !text.is_empty()) {
        *value = parse(&text).map_err(|problem| SettingsError::Variable { variable, problem })?;
    }
    Ok(())
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    humanize::parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("0 is too few, at least 1")),
        number => Ok(number),
    }
}

fn some_at_least_one<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    at_least_one(deserializer).map(Some)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(serde::de::Error::custom(format!(
        "{share} is not a share from 0 to 1; half of the rows is 0.5"
    )))
}

fn optional_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    share(deserializer).map(Some)
}

fn optional_factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let factor = f64::deserialize(deserializer)?;
    if factor > 1.0 {
        return Ok(Some(factor));
    }
    Err(serde::de::Error::custom(format!(
        "{factor} is not a factor above 1; five times as much or as little is 5"
    )))
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn complaint(text: &str) -> String {
        Settings::load(Some((Path::new("etc/materia.toml"), text)), &nothing)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let text = "lakehouse = 'lake.duckdb'\n[export]\nkeep = 7\nwait = '10s'";
        let env = |name: &str| (name == "MATERIA_WAIT").then(|| "1m".to_owned());
        let settings = Settings::load(Some((Path::new("etc/materia.toml"), text)), &env).unwrap();
        assert_eq!(settings.lakehouse, Path::new("etc/lake.duckdb"));
        assert_eq!(settings.serving, Path::new("etc/analytics.duckdb"));
        assert_eq!(settings.extensions, Path::new("etc/extensions"));
        assert_eq!(settings.export.keep, 7);
        assert_eq!(settings.export.wait, Duration::from_mins(1));
        assert_eq!(settings.export.schema, ["serving"]);
    }

    #[test]
    fn operators_variables_name_the_two_files() {
        let env = |name: &str| match name {
            "DUCKDB_PATH" => Some("/data/lakehouse.duckdb".to_owned()),
            "SERVING_DUCKDB_PATH" => Some("/srv/analytics.duckdb".to_owned()),
            _ => None,
        };
        let settings =
            Settings::load(Some((Path::new("materia.toml"), "serving = 'x.duckdb'")), &env)
                .unwrap();
        assert_eq!(settings.lakehouse, Path::new("/data/lakehouse.duckdb"));
        assert_eq!(settings.serving, Path::new("/srv/analytics.duckdb"));
    }

    #[test]
    fn the_folder_of_a_deployments_data_replaces_defaults_and_nothing_that_is_configured() {
        let load = |text: &str, others: &[(&str, &str)]| {
            let env = |name: &str| {
                let own = (name == "MATERIA_DATA_DIR").then_some("/data");
                let others = others.iter().find(|(known, _)| *known == name);
                others.map(|(_, value)| *value).or(own).map(str::to_owned)
            };
            let settings =
                Settings::load(Some((Path::new("etc/materia.toml"), text)), &env).unwrap();
            let paths = [settings.lakehouse, settings.serving, settings.extensions];
            (paths.map(|path| path.display().to_string()), settings.accounts.database_url)
        };
        let (paths, accounts) = load("", &[]);
        assert_eq!(paths, ["/data/lakehouse.duckdb", "/data/analytics.duckdb", "/data/extensions"]);
        assert_eq!(accounts.reveal(), "sqlite:///data/accounts.db");
        let configured = "lakehouse = 'a.duckdb'\nserving = 'b.duckdb'\nextensions = 'c'";
        assert_eq!(load(configured, &[]).0, ["etc/a.duckdb", "etc/b.duckdb", "etc/c"]);
        let variables = [("DUCKDB_PATH", "/d/e.duckdb"), ("DATABASE_URL", "sqlite:///f.db")];
        let (paths, accounts) = load(configured, &variables);
        assert_eq!(paths[0], "/d/e.duckdb");
        assert_eq!(accounts.reveal(), "sqlite:///f.db");
    }

    #[test]
    fn every_mistake_in_the_file_names_its_place_and_the_nearest_key() {
        assert_eq!(
            complaint("[export]\nkep = 3"),
            "etc/materia.toml:2: unknown key \"kep\"; did you mean \"keep\"?"
        );
        assert_eq!(
            complaint("[exprt]\nkeep = 3"),
            "etc/materia.toml:1: unknown key \"exprt\"; did you mean \"export\"?"
        );
        assert_eq!(
            complaint("[export.tables.orders]\nnotnull = ['a']"),
            "etc/materia.toml:2: unknown key \"notnull\"; did you mean \"not_null\"?"
        );
        assert_eq!(
            complaint("[export]\nsnapshot = 'refling'"),
            "etc/materia.toml:2: unknown value \"refling\"; did you mean \"reflink\"?"
        );
        assert_eq!(
            complaint("[export]\nwait = 'soon'"),
            "etc/materia.toml:2: \"soon\" is not a length of time; write for example 90s, 5m, 2h, 1h30m or 10d"
        );
    }

    #[test]
    fn a_share_that_would_allow_every_loss_is_not_taken() {
        assert_eq!(
            complaint("[export]\nmax_drop = 20"),
            "etc/materia.toml:2: 20 is not a share from 0 to 1; half of the rows is 0.5"
        );
        assert!(
            complaint("[export.tables.orders]\nmax_drop = -0.1")
                .starts_with("etc/materia.toml:2: -0.1 is not a share")
        );
    }

    #[test]
    fn nothing_is_kept_or_run_with_less_than_one() {
        assert_eq!(complaint("[export]\nkeep = 0"), "etc/materia.toml:2: 0 is too few, at least 1");
        assert_eq!(
            complaint("[export]\nthreads = 0"),
            "etc/materia.toml:2: 0 is too few, at least 1"
        );
        for variable in ["MATERIA_KEEP", "MATERIA_THREADS"] {
            let error = Settings::load(None, &|name| (name == variable).then(|| "0".to_owned()))
                .unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{variable}: \"0\" is not a number of ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_not_set() {
        let settings = Settings::load(None, &|_| Some(String::new())).unwrap();
        assert_eq!(settings, Settings::load(None, &nothing).unwrap());
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let env = |name: &str| (name == "MATERIA_KEEP").then(|| "many".to_owned());
        let error = Settings::load(None, &env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "MATERIA_KEEP: \"many\" is not a number of generations, at least 1"
        );
    }

    #[test]
    fn a_key_may_be_one_or_several() {
        let read = |text: &str| toml::from_str::<TableSettings>(text).unwrap().unique.list().len();
        assert_eq!(read("unique = ['a', 'b']"), 1);
        assert_eq!(read("unique = [['a'], ['b', 'c']]"), 2);
        assert_eq!(read(""), 0);
    }
}
