//! The reasons why an attempt does not publish. Each message names the object, describes the
//! problem and suggests the next action.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::store::{AttemptOutcome, Audit, Publisher, Remedy, StoreError, no_generation};
use crate::{
    cancel::CancellationToken,
    engine_error, files, humanize,
    lock::LockHolder,
    store::{GenerationId, lake::LakeError},
};

/// Why an attempt did not publish. In every case, the previously served data is still served.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Another process is writing the lakehouse.
    #[error(
        "{} is held by {holder}; gave up after {} (--wait)", path.display(), humanize::duration(*waited)
    )]
    LakehouseBusy {
        path: PathBuf,
        holder: Box<LockHolder>,
        /// How long the export waited.
        waited: Duration,
    },
    /// The lakehouse was written during every attempt to copy it.
    #[error("{}", super::observer::restless(path, *copy_time, *longest_rest, *waited))]
    LakehouseNeverIdle {
        path: PathBuf,
        /// How long a copy takes, if one got far enough for an estimate.
        copy_time: Option<Duration>,
        /// The longest time without a write.
        longest_rest: Duration,
        /// How long the export waited.
        waited: Duration,
    },
    /// Another export holds the export lock.
    #[error(
        "another export to {} is running: {holder}; gave up after {} (--wait)", target.display(), humanize::duration(*waited)
    )]
    ExportInProgress {
        target: PathBuf,
        holder: Box<LockHolder>,
        /// How long the export waited.
        waited: Duration,
    },
    /// The lakehouse cannot be read.
    #[error("{} {why}", path.display())]
    Lakehouse { path: PathBuf, why: LakehouseError },
    /// The serving schema does not exist.
    #[error("{}", no_schema(path, schema, found, suggested.as_deref()))]
    NoSchema {
        path: PathBuf,
        schema: String,
        /// The existing schemas, each with its tables.
        found: Vec<String>,
        /// The schema that was probably meant.
        suggested: Option<String>,
    },
    /// Two relations would be served under the same name.
    #[error(
        "{first} and {second} would both be served as {name}; nothing was published. Rename one in materia.toml:\n[export.rename]\n{second:?} = {other:?}\nor leave one out with --exclude {second}"
    )]
    SameName {
        /// The name in the served file.
        name: String,
        /// Its schema and name in the lakehouse.
        first: String,
        second: String,
        other: String,
    },
    /// `include` and `exclude` leave no relation.
    #[error("{} has {left} tables and views in {schema}, and include and exclude select none of them; check the globs in [export]", path.display())]
    NothingSelected {
        path: PathBuf,
        schema: String,
        /// The number of excluded relations.
        left: usize,
    },
    /// The served generation came from another schema.
    #[error(
        "the served file holds {served}, this is {now}; nothing was published. To publish it in place of the other: materia export --allow-schema-change{flags}"
    )]
    OtherSchema {
        served: String,
        /// The schemas that would be published.
        now: String,
        /// The flags that name them.
        flags: String,
    },
    /// A view reads something it is not allowed to read.
    #[error("{relation} {what}; nothing was published. {advice}")]
    Outside {
        relation: String,
        what: String,
        /// How to fix it.
        advice: String,
    },
    /// Views use a catalog that is not attached.
    #[error(
        "{relation} reads {catalog}.{table}, and no file is attached as {catalog}; nothing was published. Name the file in materia.toml:\n[export.attach]\n{catalog} = \"{catalog}.duckdb\"\nor, where it is the lakehouse's own name in its pipeline:\n[export]\ncatalog = {catalog:?}"
    )]
    NotAttached {
        relation: String,
        /// The name under which views refer to the file.
        catalog: String,
        /// A table that they read from it.
        table: String,
    },
    /// A file that views read cannot be attached.
    #[error("{} cannot be attached as {catalog} ([export.attach] in materia.toml): {why}", path.display())]
    Attach { path: PathBuf, catalog: String, why: String },
    #[error(
        "views cannot be evaluated in the time zone {zone:?} (export.time_zone): {why}. Name one as Europe/Berlin, or leave it out for UTC"
    )]
    TimeZone {
        /// The time zone as configured.
        zone: String,
        why: String,
    },
    /// The serving schema is empty.
    #[error("{} has nothing in its schema {schema:?}; has the pipeline run?", path.display())]
    EmptySchema { path: PathBuf, schema: String },
    /// A view refers to something that no longer exists.
    #[error(
        "{relation} cannot be read, so nothing is exported; fix it in the pipeline: {}",
        reason(source)
    )]
    Unbindable { relation: String, source: Box<duckdb::Error> },
    /// The file cannot be written for the requested DuckDB version.
    #[error(
        "there is no DuckDB {requested:?} to write for; give --storage-version a release, for example v1.0.0, v1.5.0 or v2.0.0"
    )]
    NoStorageVersion {
        /// The requested storage version.
        requested: String,
    },
    #[error("{}", refusal(failed, way_out))]
    Refused {
        failed: Vec<Audit>,
        /// How to publish anyway.
        way_out: Box<Remedy>,
    },
    /// The staged file differs from the lakehouse.
    #[error(
        "the staged file is not a whole copy of the lakehouse, which must not happen; nothing was published: {}",
        each(failed)
    )]
    IncompleteCopy { failed: Vec<Audit> },
    /// The export was canceled.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// The served path cannot be published to.
    #[error("cannot publish to {}: {why}", path.display())]
    Target { path: PathBuf, why: String },
    /// A process has the served file open for writing.
    #[error(
        "{} is open for writing by {holder}; only materia may write it. End that process, or open the file read-only there", path.display()
    )]
    TargetInUse { path: PathBuf, holder: Box<LockHolder> },
    /// The filesystem cannot share blocks between files.
    #[error(
        "--snapshot reflink: {} cannot share blocks with the lakehouse ({source}); use --snapshot copy or none, or put both on one XFS or btrfs filesystem",
        path.display()
    )]
    NoReflink {
        /// The copy that failed.
        path: PathBuf,
        source: io::Error,
    },
    /// There is not enough disk space.
    #[error(
        "not enough space in {}: {} left, {} needed", folder.display(), humanize::bytes(*left), humanize::bytes(*needed)
    )]
    InsufficientSpace { folder: PathBuf, left: u64, needed: u64 },
    /// DuckDB left a file next to the staged file, which would prevent readers from opening it.
    #[error("{} is still there although the staged file was closed; nothing was published", companion.display())]
    LeftoverCompanion { companion: PathBuf },
    /// The staged file was modified after its audit.
    #[error(
        "{} is not what was audited: {how}; nothing was published. Only materia may write there: find out what else does, then run it again",
        path.display()
    )]
    Changed {
        /// The file that was about to be published.
        path: PathBuf,
        how: String,
    },
    /// No such generation.
    #[error("{}", no_generation(requested, kept))]
    NoGeneration {
        /// The requested id; empty for the generation before the served one.
        requested: String,
        kept: Vec<String>,
    },
    /// A retained generation can no longer be served.
    #[error("generation {id} cannot be brought back: {why}")]
    BadGeneration { id: GenerationId, why: String },
    /// An operation of the operating system failed.
    #[error("cannot {doing} {}: {source}{}", path.display(), files::advice(source))]
    Io {
        doing: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        source: io::Error,
    },
    /// The served lake cannot be reached or used.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Another exporter committed to the lake first.
    #[error("{} was written by another process in the meantime{by}; nothing was published, and what is served is intact. Run it again", lake.display())]
    Conflict {
        lake: PathBuf,
        /// The other exporter, if known.
        by: String,
    },
    /// Another machine or lakehouse fills the lake.
    #[error("{} is filled by {owner}, and this is {own}; nothing was published, since exporters that take turns replace each other's data. To take it over: --take-over", lake.display())]
    NotOwner { lake: PathBuf, owner: Box<Publisher>, own: Box<Publisher> },
    /// A lake would alter the values.
    #[error("a DuckLake cannot hold {} exactly; cast in the pipeline, for example HUGEINT to DECIMAL(38, 0), or to VARCHAR{}", columns.join(", "), cast_advice(columns))]
    UnsupportedTypes {
        /// Table, column and type of each.
        columns: Vec<String>,
    },
    #[error("DuckDB could not {doing}: {}{}", reason(source), engine_advice(source))]
    Engine {
        /// A verb phrase or the statement.
        doing: String,
        source: duckdb::Error,
    },
}

/// Why a lakehouse cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LakehouseError {
    /// The file does not exist.
    #[error(
        "does not exist; name the pipeline's file with --lakehouse, DUCKDB_PATH or materia.toml"
    )]
    Missing,
    /// The path is a folder.
    #[error("is a folder; name the file in it")]
    Folder,
    /// The file is empty.
    #[error("is empty (0 bytes); has the pipeline ever run?")]
    Empty,
    /// The file has another format.
    #[error("is not a DuckDB database")]
    NotDuckDb,
    /// The file was written by a newer DuckDB.
    #[error(
        "was written by a newer DuckDB (storage version {version}, this one reads up to {newest}); update materia, or the DuckDB it runs on"
    )]
    Newer {
        /// The file's storage version.
        version: u64,
        /// The newest supported storage version.
        newest: u64,
    },
    /// The file is encrypted.
    #[error("is encrypted; materia cannot read encrypted lakehouses")]
    Encrypted,
    /// DuckDB cannot attach it under the name its views use.
    #[error(
        "cannot be attached: DuckDB reserves the name {0:?}; rename the file and the catalog in the pipeline"
    )]
    ReservedName(String),
    /// DuckDB cannot parse it.
    #[error("cannot be read, it is probably truncated or damaged: {0}")]
    Damaged(Box<duckdb::Error>),
}

impl ExportError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }

    pub(super) fn engine(doing: &str, source: duckdb::Error) -> Self {
        Self::Engine { doing: doing.to_owned(), source }
    }

    /// Returns the outcome's name in the history.
    #[must_use]
    pub fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Refused { .. } => AttemptOutcome::Refused,
            Self::Interrupted => AttemptOutcome::Interrupted,
            _ => AttemptOutcome::Failed,
        }
    }
}

/// Names the setting that converts some of these columns.
fn cast_advice(columns: &[String]) -> String {
    let has = |kind: &str| columns.iter().any(|column| column.contains(kind));
    let casts: Vec<_> = [("HUGEINT", "lossless"), ("ENUM(", "enum"), ("INTERVAL", "interval")]
        .into_iter()
        .filter(|(kind, _)| has(kind))
        .map(|(_, cast)| format!("{cast:?}"))
        .collect();
    if casts.is_empty() {
        return String::new();
    }
    format!("; or let materia cast, in materia.toml:\n[lake]\ncasts = [{}]", casts.join(", "))
}

fn each(failed: &[Audit]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn no_schema(path: &Path, schema: &str, found: &[String], suggested: Option<&str>) -> String {
    let mut text =
        format!("{} has no schema {schema:?}; it has\n  {}\n", path.display(), found.join("\n  "));
    match suggested {
        None => text.push_str("None of them has tables to publish; has the pipeline run?"),
        Some(suggested) => {
            let is_usual = path.file_name().is_some_and(|name| name == "lakehouse.duckdb");
            let lakehouse =
                if is_usual { String::new() } else { format!(" --lakehouse {}", path.display()) };
            let _ = write!(
                text,
                "Name the one to publish, for example: materia export{lakehouse} --schema {suggested}\nor for good in materia.toml:\n[export]\nschema = {suggested:?}"
            );
        }
    }
    text
}

fn refusal(failed: &[Audit], way_out: &Remedy) -> String {
    let mut text = String::from("refused: ");
    for audit in failed {
        text.push_str(&audit.to_string());
        text.push('\n');
    }
    format!("{text}Nothing was published.\n{}", way_out.lines())
}

/// Returns DuckDB's reason without the excerpt of the statement, which means nothing to the
/// operator.
pub(super) fn reason(error: &duckdb::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nLINE ").next().unwrap_or_default();
    engine_error::cause(text.split("\n\nPossible solutions:").next().unwrap_or_default().trim_end())
}

fn engine_advice(error: &duckdb::Error) -> &'static str {
    let text = error.to_string();
    if text.contains("No space left on device") {
        "; free some space and run it again"
    } else if text.contains("Out of Memory")
        || text.contains("failed to pin block")
        || text.contains("out of memory")
    {
        "; raise --memory-limit or lower --threads"
    } else if text.contains("DECIMAL(38,0)") {
        "; a lake holds 38 digits: cast the column in the pipeline, for example to VARCHAR"
    } else if text.contains("not supported in storage versions prior to") {
        "; request that one with --storage-version, or change the type in the pipeline"
    } else {
        ""
    }
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { doing, path, source } => Self::Io { doing, path, source },
            StoreError::NoGeneration { requested, kept } => Self::NoGeneration { requested, kept },
            StoreError::Damaged { path, why } => Self::Target { path, why },
            StoreError::Lake(error) => Self::Lake(error),
        }
    }
}

/// Returns early when the export is canceled.
pub(super) fn check_cancelled(cancel: &CancellationToken) -> Result<(), ExportError> {
    if cancel.is_cancelled() { Err(ExportError::Interrupted) } else { Ok(()) }
}
