//! The `[export]` section: how exports run, and the audits they must pass.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize};

use super::{at_least_one, duration, optional_factor, optional_share, share, some_at_least_one};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportSettings {
    /// The published schemas, one name or a list. `schema` / `MATERIA_SCHEMA`, separated by commas.
    #[serde(deserialize_with = "names")]
    pub schema: Vec<String>,
    /// Globs on `schema.table`, or on the table alone, that a relation must match; default:
    /// everything except dbt's leftovers.
    #[serde(deserialize_with = "names")]
    pub include: Vec<String>,
    /// Globs of excluded relations.
    #[serde(deserialize_with = "names")]
    pub exclude: Vec<String>,
    /// The schema's name in the served file; default: that of the first schema in the lakehouse.
    #[serde(rename = "as")]
    pub served_as: Option<String>,
    /// New names for relations in the served file, by `schema.table`.
    pub rename: BTreeMap<String, String>,
    /// The catalog name that the lakehouse's views use; default: detected from the views, else the
    /// file's stem.
    pub catalog: Option<String>,
    /// Other DuckDB files that views read, by the catalog name they use.
    pub attach: BTreeMap<String, PathBuf>,
    /// Globs of the files that views may read; they may read no others.
    #[serde(deserialize_with = "names")]
    pub files: Vec<String>,
    /// The base folder of relative paths in views and in `files`: that of `materia.toml`.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The time zone in which views are evaluated. `time_zone` / `MATERIA_TIME_ZONE`.
    pub time_zone: String,
    /// Timeout for the lakehouse and for another exporter. `wait` / `MATERIA_WAIT`.
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
    /// How the lakehouse is read while its pipeline continues. `snapshot` / `MATERIA_SNAPSHOT`.
    pub snapshot: SnapshotMode,
    /// How to handle a lakehouse that a process keeps open for writing. `held` / `MATERIA_HELD`.
    pub held: HeldMode,
    /// With `held = "copy"`, the minimum time since the last write of such a process.
    #[serde(deserialize_with = "duration")]
    pub held_idle: Duration,
    /// Where the filesystem does not support locks, the minimum time since the last write before a
    /// copy is accepted.
    #[serde(deserialize_with = "duration")]
    pub snapshot_quiet: Duration,
    /// Number of generations retained for rollback, including the served one; at least 1. `keep` /
    /// `MATERIA_KEEP`.
    #[serde(deserialize_with = "at_least_one")]
    pub keep: usize,
    /// Number of attempts that the history keeps, besides those of the retained generations.
    /// `history`; default: all.
    #[serde(deserialize_with = "some_at_least_one")]
    pub history: Option<usize>,
    /// The largest share of its rows that a table may lose between two generations, 0 to 1.
    #[serde(deserialize_with = "share")]
    pub max_drop: f64,
    /// DuckDB's memory limit for the export, for example `2GB`. `memory_limit` /
    /// `MATERIA_MEMORY_LIMIT`; default: DuckDB's own, 80% of the machine.
    pub memory_limit: Option<String>,
    /// Threads for the export. `threads` / `MATERIA_THREADS`; default: one per core.
    #[serde(deserialize_with = "some_at_least_one")]
    pub threads: Option<usize>,
    /// The oldest DuckDB version that must be able to read the export, for example `v1.0.0`.
    /// `storage_version` / `MATERIA_STORAGE_VERSION`; default: that of the lakehouse.
    pub storage_version: Option<String>,
    /// Keeps the staged file of a refused export for inspection.
    pub keep_refused: bool,
    /// A file for Prometheus' node exporter, written after every attempt; its name ends in `.prom`.
    /// `metrics_file` / `MATERIA_METRICS_FILE`; default: none.
    pub metrics_file: Option<PathBuf>,
    /// Audits and options of single tables, by name.
    pub tables: BTreeMap<String, TableSettings>,
    /// Audits written in SQL over the staged file.
    pub audits: Vec<SqlAudit>,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self {
            schema: vec!["serving".to_owned()],
            include: Vec::new(),
            exclude: Vec::new(),
            served_as: None,
            rename: BTreeMap::new(),
            catalog: None,
            attach: BTreeMap::new(),
            files: Vec::new(),
            folder: PathBuf::new(),
            time_zone: "UTC".to_owned(),
            wait: Duration::from_mins(5),
            snapshot: SnapshotMode::Auto,
            held: HeldMode::Wait,
            held_idle: Duration::from_secs(30),
            snapshot_quiet: Duration::from_secs(2),
            keep: 3,
            history: None,
            max_drop: 0.5,
            memory_limit: None,
            threads: None,
            storage_version: None,
            keep_refused: false,
            metrics_file: None,
            tables: BTreeMap::new(),
            audits: Vec::new(),
        }
    }
}

impl ExportSettings {
    /// Returns the name of the schema in the served file.
    #[must_use]
    pub fn served_schema(&self) -> &str {
        self.served_as.as_deref().or(self.schema.first().map(String::as_str)).unwrap_or("serving")
    }

    /// Resolves relative paths against the folder of `materia.toml`.
    pub(super) fn locate(&mut self, folder: &Path) {
        self.folder = folder.to_path_buf();
        for path in self.attach.values_mut() {
            *path = folder.join(&path);
        }
    }
}

/// How the lakehouse is read while its pipeline continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotMode {
    /// `reflink` where the filesystem supports it, else `copy` where it fits, else `none`.
    #[default]
    Auto,
    /// A copy that shares its blocks with the original (XFS, btrfs): milliseconds, whatever the
    /// size.
    Reflink,
    /// A full private copy. Like a reflink, it takes no lock.
    Copy,
    /// No copy: the lakehouse is read in place, and writers fail until the export has read
    /// everything.
    None,
}

impl SnapshotMode {
    /// Every mode by its name in flags and files.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("reflink", Self::Reflink),
        ("copy", Self::Copy),
        ("none", Self::None),
    ];
}

/// How to handle a lakehouse that a process keeps open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldMode {
    /// Waits until the process closes it.
    #[default]
    Wait,
    /// Once `held_idle` has passed without a write, exports what is committed: main file and log as
    /// a crash would leave them.
    Copy,
}

/// Parses a [`HeldMode`] by its name.
///
/// # Errors
/// Returns the message to show.
pub fn parse_held(text: &str) -> Result<HeldMode, String> {
    match text {
        "wait" => Ok(HeldMode::Wait),
        "copy" => Ok(HeldMode::Copy),
        _ => Err(format!("{text:?} is not what to do about a held lakehouse; use wait or copy")),
    }
}

/// `[export.tables.<name>]`: audits and options of one table.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate setting")]
pub struct TableSettings {
    /// Columns to sort the exported table by, as in SQL's `ORDER BY`.
    pub order_by: Vec<String>,
    /// Columns that must not contain nulls.
    pub not_null: Vec<String>,
    /// Columns that identify rows, which are matched by them when compared with those served
    /// before; default: `unique`, or columns detected to be unique.
    pub key: Vec<String>,
    /// The largest share of a column's values that may be revised without a warning, 0 to 1;
    /// default: 0.5.
    #[serde(deserialize_with = "optional_share")]
    pub max_revised: Option<f64>,
    /// The largest factor by which the values of a column may be multiplied or divided, more than
    /// 1; default: 5.
    #[serde(deserialize_with = "optional_factor")]
    pub max_ratio: Option<f64>,
    /// Allows any revision of values.
    pub allow_revision: bool,
    /// A unique key (a list of columns), or several (a list of lists).
    pub unique: UniqueKeys,
    /// The minimum number of rows.
    pub min_rows: Option<u64>,
    /// Maximum age of the newest value of a column.
    pub fresh: Option<FreshnessCheck>,
    /// Overrides the export's `max_drop` for this table.
    #[serde(deserialize_with = "optional_share")]
    pub max_drop: Option<f64>,
    /// Allows the table to be empty although it was not before.
    pub allow_empty: bool,
    /// Allows the table to be missing although it was served before.
    pub allow_lost: bool,
    /// Allows columns to be removed or to change their type.
    pub allow_column_changes: bool,
}

/// One unique key or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a list of column names, or a list of such lists")]
pub enum UniqueKeys {
    /// `unique = ["country_code", "market_year"]`: the columns together.
    One(Vec<String>),
    /// `unique = [["id"], ["country_code", "market_year"]]`.
    Several(Vec<Vec<String>>),
}

impl Default for UniqueKeys {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl UniqueKeys {
    #[must_use]
    pub fn list(&self) -> Vec<&[String]> {
        match self {
            Self::One(columns) if columns.is_empty() => Vec::new(),
            Self::One(columns) => vec![columns],
            Self::Several(keys) => keys.iter().map(Vec::as_slice).collect(),
        }
    }
}

/// `fresh = { column = "report_date", within = "10d" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FreshnessCheck {
    /// A date or timestamp column.
    pub column: String,
    /// The maximum age of its newest value.
    #[serde(deserialize_with = "duration")]
    pub within: Duration,
}

/// `[[export.audits]]`: SQL over the staged file; every row it returns is a failure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SqlAudit {
    /// The name of the audit in reports.
    pub name: String,
    /// The query. Table names are resolved in the exported schema.
    pub sql: String,
    /// Whether a failure refuses the export.
    #[serde(default)]
    pub severity: crate::store::Severity,
}

/// Splits names that are separated by commas.
///
/// # Errors
/// None; the signature is that of the other parsers.
pub fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<_> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        Err(format!("{text:?} names nothing; write one name, or several separated by commas"))
    } else {
        Ok(names)
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a name or a list of names")]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    match Names::deserialize(deserializer)? {
        Names::One(text) => parse_names(&text).map_err(serde::de::Error::custom),
        Names::Several(names) => Ok(names),
    }
}

/// Parses a [`SnapshotMode`] by its name.
///
/// # Errors
/// Returns the message to show, with the closest valid name.
pub fn parse_snapshot(text: &str) -> Result<SnapshotMode, String> {
    SnapshotMode::NAMES.iter().find_map(|(name, mode)| (*name == text).then_some(*mode)).ok_or_else(
        || format!("{text:?} is not a way to snapshot; use auto, reflink, copy or none"),
    )
}
