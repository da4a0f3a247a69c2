//! A realistic lakehouse for trying materia out: landing files, the models of `infra/beanflows/` run over them, no Python needed.
//!
//! The sample figures are computed, the same on every machine, and say so in every table's description. Given a folder of official files
//! instead, the same models give official figures.

mod build;
mod landing;
mod market;
mod model;
mod psd;
mod sample;
mod scale;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use serde::Serialize;

use crate::sql;
use build::{Build, CATALOG, Run};
use landing::Landing;

/// What to make, and where.
#[derive(Debug, Clone, Default)]
pub struct Demo {
    /// The folder that gets `lakehouse.duckdb`, `materia.toml` and, for sample figures, `landing/`.
    pub dir: PathBuf,
    /// A folder of official files to build from, instead of sample files. A refresh reads the same folder again unless given another.
    pub landing: Option<PathBuf>,
    /// How many times the rows of the five serving tables, for load tests; 1 if not given, and what it was in a refresh.
    ///
    /// Countries, origins and regions are repeated as `Brazil (copy 2)` and so on; world sums grow with them. Weekly positions and monthly
    /// prices, which have only their date, reach further into the past instead, to the year 1 at most: about 100 and 30 times.
    ///
    /// Measured with sample figures: 1 gives 17 thousand rows and 4 MB, 1000 gives 15.7 million rows and 165 MB (and takes 1.2 GB of memory),
    /// 3000 gives 46.9 million rows and 483 MB (3.0 GB).
    pub scale: Option<u32>,
    /// Change a lakehouse the demo made, as a pipeline run would, instead of making one.
    ///
    /// Sample figures: one more week of positions, one more month of prices, and a revised newest harvest for three countries; imports and
    /// rain stay untouched, down to their physical tables. Official files: whatever depends on a file that changed is rebuilt.
    pub refresh: bool,
}

/// What there is now.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// The lakehouse file.
    pub lakehouse: PathBuf,
    /// The folder of files it was built from.
    pub landing: PathBuf,
    /// The settings file, if this run wrote it.
    pub config: Option<PathBuf>,
    /// Whether the figures are sample figures.
    pub sample: bool,
    /// How many times the rows of the landed files.
    pub scale: u32,
    /// How many refreshes the lakehouse has seen.
    pub run: u32,
    /// The serving relations.
    pub tables: Vec<MadeTable>,
}

/// One serving relation of a made lakehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeTable {
    /// Name with its schema, `serving.rainfall`.
    pub name: String,
    /// Rows it has.
    pub rows: u64,
    /// Whether this run built it anew; false for what a refresh left untouched.
    pub rebuilt: bool,
}

/// Why there is no demo, or why it was not refreshed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The folder holds a lakehouse of an earlier demo.
    #[error("{} was made by an earlier demo; use --refresh to change it as a pipeline run would, or choose another folder", path.display())]
    AlreadyMade {
        /// The lakehouse file.
        path: PathBuf,
    },
    /// The folder holds a file the demo did not make.
    #[error("{} was not made by the demo and is left alone; choose another folder", path.display())]
    NotOurs {
        /// The lakehouse file, or its write-ahead log.
        path: PathBuf,
    },
    /// A refresh of what is not there.
    #[error("there is no {} to refresh; leave out --refresh to make it", path.display())]
    NothingToRefresh {
        /// The lakehouse file.
        path: PathBuf,
    },
    /// A scale of no rows.
    #[error("--scale 0 would leave no rows; use 1 or more")]
    ScaleOfNothing,
    /// A refresh that asks for another scale.
    #[error("{} was made with --scale {made}, and a refresh keeps it; leave --scale out, or choose another folder", path.display())]
    ScaleKept {
        /// The lakehouse file.
        path: PathBuf,
        /// The scale it was made with.
        made: u32,
    },
    /// A refresh that would put official figures among sample figures, or the other way round.
    #[error(
        "{} holds {} figures, and {} has {} ones; they are not mixed, so choose another folder for the demo",
        path.display(), kind(*sample), landing.display(), kind(!*sample)
    )]
    Mixed {
        /// The lakehouse file.
        path: PathBuf,
        /// The landing folder.
        landing: PathBuf,
        /// Whether the lakehouse holds sample figures.
        sample: bool,
    },
    /// The place of the sample files holds other files.
    #[error("{} holds files that are not sample files and stay as they are; to build from them use --landing, or choose another folder", path.display())]
    LandingTaken {
        /// The landing folder.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}; check that it is there, that there is room, and that you may", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The lakehouse could not be opened.
    #[error("cannot open {}; if a pipeline or another program holds it, let that finish and try again", path.display())]
    Open {
        /// The lakehouse file.
        path: PathBuf,
        /// DuckDB's answer.
        source: Box<duckdb::Error>,
    },
    /// A table could not be built.
    #[error(
        "cannot build {table} from {}; check that the folder has the files, with the columns, that infra/beanflows/models/ name, and that there is room",
        landing.display()
    )]
    Build {
        /// The table, with its schema.
        table: String,
        /// The landing folder.
        landing: PathBuf,
        /// DuckDB's answer.
        source: Box<duckdb::Error>,
    },
    /// A file that is part of the program is wrong.
    #[error("{file}, which is part of materia, {problem}; please report this")]
    Embedded {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn kind(sample: bool) -> &'static str {
    if sample { "sample" } else { "official" }
}

impl DemoError {
    fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    fn open(path: &Path, source: duckdb::Error) -> Self {
        Self::Open { path: path.to_owned(), source: Box::new(source) }
    }

    fn engine(table: &str, landing: &Landing, source: duckdb::Error) -> Self {
        Self::Build { table: table.to_owned(), landing: landing.folder.clone(), source: Box::new(source) }
    }

    fn embedded(file: &str, problem: impl Into<String>) -> Self {
        Self::Embedded { file: file.to_owned(), problem: problem.into() }
    }
}

impl Demo {
    /// Makes the lakehouse, or changes it.
    ///
    /// Wherever the process dies, `lakehouse.duckdb` is whole: it appears under its name only when finished, and a refresh is one
    /// transaction.
    pub fn make(&self) -> Result<Made, DemoError> {
        if self.scale == Some(0) {
            return Err(DemoError::ScaleOfNothing);
        }
        if self.refresh { self.refresh() } else { self.begin() }
    }

    fn lakehouse(&self) -> PathBuf {
        self.dir.join("lakehouse.duckdb")
    }

    fn begin(&self) -> Result<Made, DemoError> {
        let lakehouse = self.lakehouse();
        refuse_if_taken(&lakehouse)?;
        fs::create_dir_all(&self.dir).map_err(|source| DemoError::file("make the folder", &self.dir, source))?;
        let landing = self.land(None, 0)?;
        let run = Run { number: 0, scale: self.scale.unwrap_or(1), sample: landing.sample, landing: self.given(&landing) };

        let part = Part { path: self.dir.join(format!(".lakehouse.duckdb.{}.part", std::process::id())) };
        // DuckDB 1.5, which SQLMesh installs, reads nothing newer than this storage version.
        let store = Store::attach(&part.path, &["STORAGE_VERSION 'v1.0.0'"])?;
        let tables = Build::run(&store.connection, &landing, &run)?;
        store.detach()?;
        // A link, unlike a rename, never replaces what came there in the meantime.
        fs::hard_link(&part.path, &lakehouse).map_err(|source| DemoError::file("put the finished lakehouse at", &lakehouse, source))?;
        self.made(landing, &run, tables)
    }

    fn refresh(&self) -> Result<Made, DemoError> {
        let lakehouse = self.lakehouse();
        if !lakehouse.exists() {
            return Err(DemoError::NothingToRefresh { path: lakehouse });
        }
        let before = remembered(&lakehouse)?.ok_or_else(|| DemoError::NotOurs { path: lakehouse.clone() })?;
        if self.scale.is_some_and(|scale| scale != before.scale) {
            return Err(DemoError::ScaleKept { path: lakehouse, made: before.scale });
        }
        let number = before.number + 1;
        let landing = self.land(before.landing.as_deref(), number)?;
        if landing.sample != before.sample {
            return Err(DemoError::Mixed { path: lakehouse, landing: landing.folder, sample: before.sample });
        }
        let given = self.given(&landing).or(before.landing);
        let run = Run { number, scale: before.scale, sample: before.sample, landing: given };
        let store = Store::attach(&lakehouse, &[])?;
        let tables = Build::run(&store.connection, &landing, &run)?;
        store.detach()?;
        self.made(landing, &run, tables)
    }

    /// The landing folder given, or remembered, or the demo's own with the sample files of this run.
    fn land(&self, remembered: Option<&str>, run: u32) -> Result<Landing, DemoError> {
        match self.landing.as_deref().or(remembered.map(Path::new)) {
            Some(folder) => Landing::open(folder),
            None => Landing::write(&self.dir.join("landing"), run),
        }
    }

    fn given(&self, landing: &Landing) -> Option<String> {
        self.landing.is_some().then(|| landing.folder.to_string_lossy().into_owned())
    }

    fn made(&self, landing: Landing, run: &Run, tables: Vec<MadeTable>) -> Result<Made, DemoError> {
        let Landing { folder: landing, sample } = landing;
        let config = self.settings()?;
        Ok(Made { lakehouse: self.lakehouse(), landing, config, sample, scale: run.scale, run: run.number, tables })
    }

    /// Writes the starter settings where there are none.
    fn settings(&self) -> Result<Option<PathBuf>, DemoError> {
        let path = self.dir.join("materia.toml");
        if path.exists() {
            return Ok(None);
        }
        fs::write(&path, starter_settings()).map_err(|source| DemoError::file("write the settings", &path, source))?;
        Ok(Some(path))
    }
}

/// BeanFlows' settings without its pipelines, whose scripts and models are elsewhere: here, `materia demo --refresh` is the pipeline.
fn starter_settings() -> String {
    const SETTINGS: &str = include_str!("../../infra/beanflows/materia.toml");
    let parts = SETTINGS.split_once("# What fills the lakehouse").zip(SETTINGS.split_once("# The customers' site"));
    parts.map_or_else(|| SETTINGS.to_owned(), |((before, _), (_, after))| format!("{before}# The customers' site{after}"))
}

/// Refuses a place where a lakehouse is, or where a log of one would be taken for the new one's.
fn refuse_if_taken(lakehouse: &Path) -> Result<(), DemoError> {
    let log = lakehouse.with_extension("duckdb.wal");
    if fs::symlink_metadata(lakehouse).is_ok() {
        let path = lakehouse.to_owned();
        return Err(if remembered(lakehouse)?.is_some() { DemoError::AlreadyMade { path } } else { DemoError::NotOurs { path } });
    }
    if fs::symlink_metadata(&log).is_ok() { Err(DemoError::NotOurs { path: log }) } else { Ok(()) }
}

/// What a lakehouse remembers of its last run; none if the demo did not make it. Only reads.
fn remembered(lakehouse: &Path) -> Result<Option<Run>, DemoError> {
    let store = Store::attach(lakehouse, &["READ_ONLY"])?;
    Run::read(&store.connection).map_err(|source| DemoError::open(lakehouse, source))
}

/// A DuckDB instance with one lakehouse attached, under the name its views use.
struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    fn attach(path: &Path, options: &[&str]) -> Result<Self, DemoError> {
        let failed = |source| DemoError::open(path, source);
        let connection = Connection::open_in_memory().map_err(failed)?;
        let name = utf8("open", path)?;
        let file = sql::literal(name);
        // Beside the lakehouse, where there has to be room anyway, not in the folder the program happens to run in.
        let spill = sql::literal(&format!("{name}.tmp"));
        let options = if options.is_empty() { String::new() } else { format!("({})", options.join(", ")) };
        connection
            .execute_batch(&format!("SET temp_directory = {spill}; ATTACH {file} AS {} {options}", sql::ident(CATALOG)))
            .map_err(failed)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Lets go of the file with nothing left in its log.
    fn detach(self) -> Result<(), DemoError> {
        let catalog = sql::ident(CATALOG);
        self.connection
            .execute_batch(&format!("CHECKPOINT {catalog}; DETACH {catalog}"))
            .map_err(|source| DemoError::open(&self.path, source))
    }
}

/// A path as DuckDB takes it.
fn utf8<'a>(action: &'static str, path: &'a Path) -> Result<&'a str, DemoError> {
    path.to_str().ok_or_else(|| {
        let problem = io::Error::new(io::ErrorKind::InvalidFilename, "its name is not UTF-8, which DuckDB needs; rename it");
        DemoError::file(action, path, problem)
    })
}

/// An unfinished lakehouse; gone when dropped.
struct Part {
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Nothing depends on this: a part that stays is in nobody's way.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.path.with_extension("part.wal"));
    }
}
