//! Why an attempt did not publish: each names the thing, says what is wrong and what to do next.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Audit, WayOut, history::Outcome};
use crate::{files, lake::LakeError, lock::Holder, target::GenerationId, words};

/// Why an attempt did not publish. Whatever it is, what was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Another process writes the lakehouse.
    #[error(
        "{} is held by {holder}; gave up after {} (--wait)", path.display(), words::duration(*waited)
    )]
    LakehouseBusy {
        /// The lakehouse.
        path: PathBuf,
        /// Who holds it.
        holder: Box<Holder>,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// The lakehouse was written again and again while it was copied.
    #[error("{}", super::observer::restless(path, *copy_time, *longest_rest, *waited))]
    LakehouseRestless {
        /// The lakehouse.
        path: PathBuf,
        /// How long a copy takes, where one got far enough to tell.
        copy_time: Option<Duration>,
        /// The longest time in which nobody wrote it.
        longest_rest: Duration,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// Another exporter is at work.
    #[error(
        "another export is at work beside {}: {holder}; gave up after {} (--wait)", target.display(), words::duration(*waited)
    )]
    TurnBusy {
        /// The served file.
        target: PathBuf,
        /// The other exporter.
        holder: Box<Holder>,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// The lakehouse cannot be read.
    #[error("{} {why}", path.display())]
    Lakehouse {
        /// The lakehouse.
        path: PathBuf,
        /// What is wrong with it.
        why: Unreadable,
    },
    /// There is no serving schema.
    #[error("{}", no_schema(path, schema, found, suggested.as_deref()))]
    NoSchema {
        /// The lakehouse.
        path: PathBuf,
        /// The schema that was looked for.
        schema: String,
        /// The schemas there are, each with its tables.
        found: Vec<String>,
        /// The one that is probably meant.
        suggested: Option<String>,
    },
    /// Two relations would get one name.
    #[error(
        "{first} and {second} would both be served as {name}; nothing was published. Rename one in materia.toml:\n[export.rename]\n{second:?} = {other:?}\nor leave one out with --exclude {second}"
    )]
    SameName {
        /// In the served file.
        name: String,
        /// Its schema and name in the lakehouse.
        first: String,
        /// The other one's.
        second: String,
        /// A name that is free.
        other: String,
    },
    /// Every relation is left out.
    #[error("{} has {left} tables and views in {schema}, and include and exclude leave none of them; look at the globs in [export]", path.display())]
    NothingSelected {
        /// The lakehouse.
        path: PathBuf,
        /// The schemas.
        schema: String,
        /// How many there are.
        left: usize,
    },
    /// The served generation came from another schema.
    #[error(
        "the served file holds {served}, this is {now}; nothing was published. To publish it in place of the other: materia export --allow-schema-change{flags}"
    )]
    OtherSchema {
        /// What is served.
        served: String,
        /// What was to be published.
        now: String,
        /// The flags that name it.
        flags: String,
    },
    /// A view reads what it may not.
    #[error("{relation} {what}; nothing was published. {advice}")]
    Outside {
        /// Schema and name.
        relation: String,
        /// What it does.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// Views use a catalog that is not attached.
    #[error(
        "{relation} reads {catalog}.{table}, and no file is attached as {catalog}; nothing was published. Name the file in materia.toml:\n[export.attach]\n{catalog} = \"{catalog}.duckdb\"\nor, where it is the lakehouse's own name in its pipeline:\n[export]\ncatalog = {catalog:?}"
    )]
    NotAttached {
        /// The view.
        relation: String,
        /// What it calls the file.
        catalog: String,
        /// What it reads there.
        table: String,
    },
    /// A file that views read cannot be attached.
    #[error("{} cannot be attached as {catalog} ([export.attach] in materia.toml): {why}", path.display())]
    Attach {
        /// The file.
        path: PathBuf,
        /// Its name.
        catalog: String,
        /// What is wrong.
        why: String,
    },
    /// The time zone is not known.
    #[error(
        "views cannot be evaluated in the time zone {zone:?} (export.time_zone): {why}. Name one as Europe/Berlin, or leave it out for UTC"
    )]
    TimeZone {
        /// As it was given.
        zone: String,
        /// What is wrong.
        why: String,
    },
    /// The serving schema is empty.
    #[error("{} has nothing in its schema {schema:?}; has the pipeline run?", path.display())]
    EmptySchema {
        /// The lakehouse.
        path: PathBuf,
        /// The schema.
        schema: String,
    },
    /// A view refers to something that is not there any more.
    #[error("{relation} cannot be read, so nothing is exported; mend it in the pipeline: {}", reason(source))]
    Unbindable {
        /// Schema and name.
        relation: String,
        /// DuckDB's reason.
        source: Box<duckdb::Error>,
    },
    /// The file cannot be written for that DuckDB.
    #[error("there is no DuckDB {asked:?} to write for; give --storage-version a release, for example v1.0.0, v1.5.0 or v2.0.0")]
    NoStorageVersion {
        /// What was asked for.
        asked: String,
    },
    /// Checks failed.
    #[error("{}", refusal(failed, way_out))]
    Refused {
        /// Every failed check.
        failed: Vec<Audit>,
        /// How it can be published after all.
        way_out: Box<WayOut>,
    },
    /// The staged file is not what the lakehouse holds.
    #[error("the staged file is not a whole copy of the lakehouse, which must not happen; nothing was published: {}", each(failed))]
    Broken {
        /// Every failed check.
        failed: Vec<Audit>,
    },
    /// Somebody asked to stop.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// The served path cannot be published to.
    #[error("cannot publish to {}: {why}", path.display())]
    Target {
        /// The served file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Somebody has the served file open for writing.
    #[error(
        "{} is open for writing by {holder}; only materia may write it. End that process, or open the file read-only there", path.display()
    )]
    ServedHeld {
        /// The served file.
        path: PathBuf,
        /// Who holds it.
        holder: Box<Holder>,
    },
    /// The filesystem cannot share blocks between files.
    #[error(
        "--snapshot reflink: {} cannot share blocks with the lakehouse ({source}); use --snapshot copy or none, or put both on one XFS or btrfs filesystem",
        path.display()
    )]
    NoReflink {
        /// The copy that could not be made.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is not enough room.
    #[error(
        "not enough space in {}: {} left, {} needed", folder.display(), words::bytes(*left), words::bytes(*needed)
    )]
    NoSpace {
        /// Where.
        folder: PathBuf,
        /// Bytes left.
        left: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// DuckDB left something beside the staged file, which would keep readers from opening it.
    #[error("{} is still there although the staged file was closed; nothing was published", companion.display())]
    NotClosed {
        /// What is beside it.
        companion: PathBuf,
    },
    /// Somebody wrote the staged file after it was audited.
    #[error(
        "{} is not what was audited: {how}; nothing was published. Only materia may write there: find out what else does, then run it again",
        path.display()
    )]
    Changed {
        /// The file that was about to be published.
        path: PathBuf,
        /// What differs.
        how: String,
    },
    /// There is no such generation.
    #[error("{}", no_generation(asked, kept))]
    NoGeneration {
        /// What was asked for; empty for the one before the served one.
        asked: String,
        /// What there is.
        kept: Vec<String>,
    },
    /// A kept generation cannot be served any more.
    #[error("generation {id} cannot be brought back: {why}")]
    BadGeneration {
        /// The generation.
        id: GenerationId,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}{}", path.display(), files::advice(source))]
    Io {
        /// A verb phrase.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The lake that is served cannot be reached or used.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Another exporter committed to the lake first.
    #[error("{} was written by somebody else meanwhile{by}; nothing was published, and what is served is whole. Run it again", lake.display())]
    Overtaken {
        /// The lake.
        lake: PathBuf,
        /// By whom, where that is known.
        by: String,
    },
    /// A lake would change the values.
    #[error("a DuckLake cannot hold {} exactly; cast in the pipeline, for example HUGEINT to DECIMAL(38, 0), or to VARCHAR", columns.join(", "))]
    Unholdable {
        /// Table, column and type of each.
        columns: Vec<String>,
    },
    /// DuckDB refused something.
    #[error("DuckDB could not {doing}: {}{}", reason(source), engine_advice(source))]
    Engine {
        /// A verb phrase or the statement.
        doing: String,
        /// DuckDB's reason.
        source: duckdb::Error,
    },
}

/// What keeps a lakehouse from being read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is no such file.
    #[error("does not exist; name the pipeline's file with --lakehouse, DUCKDB_PATH or materia.toml")]
    Missing,
    /// It is a folder.
    #[error("is a folder; name the file in it")]
    Folder,
    /// It has no content.
    #[error("is empty (0 bytes); has the pipeline ever run?")]
    Empty,
    /// It is something else.
    #[error("is not a DuckDB database")]
    NotDuckDb,
    /// A newer DuckDB wrote it.
    #[error(
        "was written by a newer DuckDB (storage version {version}, this one reads up to {newest}); update materia, or the DuckDB it runs on"
    )]
    Newer {
        /// The file's storage version.
        version: u64,
        /// The newest that can be read.
        newest: u64,
    },
    /// It needs a key.
    #[error("is encrypted; materia cannot read encrypted lakehouses")]
    Encrypted,
    /// DuckDB cannot attach it under the name its views use.
    #[error("cannot be attached: DuckDB keeps the name {0:?} for itself; rename the file and the catalog in the pipeline")]
    ReservedName(String),
    /// DuckDB cannot make sense of it.
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

    /// How the history calls this end.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused { .. } => Outcome::Refused,
            Self::Interrupted => Outcome::Interrupted,
            _ => Outcome::Failed,
        }
    }
}

fn each(failed: &[Audit]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn no_schema(path: &Path, schema: &str, found: &[String], suggested: Option<&str>) -> String {
    let mut text = format!("{} has no schema {schema:?}; it has\n  {}\n", path.display(), found.join("\n  "));
    match suggested {
        None => text.push_str("None of them has tables to publish; has the pipeline run?"),
        Some(suggested) => {
            let is_usual = path.file_name().is_some_and(|name| name == "lakehouse.duckdb");
            let lakehouse = if is_usual { String::new() } else { format!(" --lakehouse {}", path.display()) };
            let _ = write!(
                text,
                "Name the one to publish, for example: materia export{lakehouse} --schema {suggested}\nor for good in materia.toml:\n[export]\nschema = {suggested:?}"
            );
        }
    }
    text
}

fn no_generation(asked: &str, kept: &[String]) -> String {
    match (asked, kept) {
        (_, []) => "no generation is kept yet; an export makes the first".to_owned(),
        ("", _) => format!("no generation older than the served one is kept; kept are {}", list(kept)),
        _ => format!("{asked:?} is not the beginning of exactly one kept generation; kept are {}", list(kept)),
    }
}

fn refusal(failed: &[Audit], way_out: &WayOut) -> String {
    let mut text = String::from("refused: ");
    for audit in failed {
        text.push_str(&audit.to_string());
        text.push('\n');
    }
    format!("{text}Nothing was published.\n{}", way_out.lines())
}

/// DuckDB's reason without the excerpt of the statement, which is ours and not the reader's.
pub(super) fn reason(error: &duckdb::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nLINE ").next().unwrap_or_default();
    text.split("\n\nPossible solutions:").next().unwrap_or_default().trim_end().to_owned()
}

fn engine_advice(error: &duckdb::Error) -> &'static str {
    let text = error.to_string();
    if text.contains("No space left on device") {
        "; free some space and run it again"
    } else if text.contains("Out of Memory") || text.contains("failed to pin block") || text.contains("out of memory") {
        "; raise --memory-limit or lower --threads"
    } else if text.contains("not supported in storage versions prior to") {
        "; ask for that one with --storage-version, or change the type in the pipeline"
    } else {
        ""
    }
}
