//! Creates a realistic lakehouse for trying out materia: landing files, and the models of
//! `infra/beanflows/` that run on them, without Python.
//!
//! The sample figures are computed, are the same on every machine, and are marked as such in every
//! table's description. With a folder of official files, the same models produce official figures.

mod base_values;
mod build;
mod landing;
mod market;
mod model;
mod psd;
mod scale;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use serde::Serialize;

use crate::sql;
use build::{Build, CATALOG, DemoRun};
pub use landing::LandedFile;
use landing::Landing;

/// The options of a demo.
#[derive(Debug, Clone, Default)]
pub struct Demo {
    /// The folder in which `lakehouse.duckdb`, `materia.toml` and, for sample figures, `landing/`
    /// are created.
    pub dir: PathBuf,
    /// A folder of official files to use instead of sample files. A refresh reads the same folder
    /// again unless another one is given.
    pub landing: Option<PathBuf>,
    /// The factor by which the rows of the five serving tables are multiplied, for load tests. The
    /// default is 1, or the previous factor in a refresh.
    ///
    /// Countries, origins and regions are repeated as `Brazil (copy 2)` and so on; world sums grow
    /// with them. Weekly positions and monthly prices, which have only a date as their key, extend
    /// further into the past instead, at most to the year 1: by about 100 and 30 times.
    ///
    /// Measured with sample figures: 1 results in 17 thousand rows and 4 MB, 1000 in 15.7 million
    /// rows and 165 MB (requiring 1.2 GB of memory), 3000 in 46.9 million rows and 483 MB (3.0 GB).
    pub scale: Option<u32>,
    /// Whether to change an existing demo lakehouse, as a pipeline run would, instead of creating
    /// one.
    ///
    /// With sample figures, a refresh adds a week of positions and a month of prices, and revises
    /// the newest harvest of three countries; imports and rainfall stay unchanged, including their
    /// physical tables. With official files, everything that depends on a changed file is rebuilt.
    pub refresh: bool,
}

/// The result of creating or refreshing a demo.
#[derive(Debug, Clone, Serialize)]
pub struct DemoReport {
    pub lakehouse: PathBuf,
    /// The folder of files from which it was built.
    pub landing: PathBuf,
    /// The settings file, if this run wrote it.
    pub config: Option<PathBuf>,
    /// Whether the figures are sample figures.
    pub sample: bool,
    /// The factor by which the rows of the landed files were multiplied.
    pub scale: u32,
    /// The number of refreshes of the lakehouse.
    pub run: u32,
    pub tables: Vec<DemoTable>,
    /// The files of the landing folder, and what the models do with them.
    pub files: Vec<LandedFile>,
    /// The releases of USDA in the given landing folder, oldest first.
    pub vintages: Vec<DemoVintage>,
}

/// One release of USDA's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoVintage {
    /// Its month, or what its file's name says.
    pub vintage: String,
    pub first: String,
    pub last: String,
    /// Whether tables other than the revisions are built from it.
    pub is_newest: bool,
}

/// One serving relation of the lakehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoTable {
    /// The qualified name: `serving.rainfall`.
    pub name: String,
    pub rows: u64,
    /// Whether this run built it; false if a refresh left it unchanged.
    pub rebuilt: bool,
}

/// Why the demo was not created or refreshed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The folder already contains a demo lakehouse.
    #[error("{} was made by an earlier demo; use --refresh to change it as a pipeline run would, or choose another folder", path.display())]
    AlreadyMade { path: PathBuf },
    /// The folder contains a lakehouse that the demo did not create.
    #[error("{} was not made by the demo and is left alone; choose another folder", path.display())]
    NotOurs {
        /// The lakehouse file, or its write-ahead log.
        path: PathBuf,
    },
    /// There is no lakehouse to refresh.
    #[error("there is no {} to refresh; leave out --refresh to make it", path.display())]
    NothingToRefresh { path: PathBuf },
    /// The scale is zero.
    #[error("--scale 0 would leave no rows; use 1 or more")]
    ScaleOfNothing,
    /// A refresh was requested with a different scale.
    #[error("{} was made with --scale {scale}, and a refresh keeps that scale; omit --scale, or choose another folder", path.display())]
    ScaleKept {
        path: PathBuf,
        /// The scale of the lakehouse.
        scale: u32,
    },
    /// A refresh would mix official figures with sample figures.
    #[error(
        "{} holds {} figures, and {} has {} ones; they are not mixed, so choose another folder for the demo",
        path.display(), kind(*sample), landing.display(), kind(!*sample)
    )]
    Mixed {
        path: PathBuf,
        landing: PathBuf,
        /// Whether the lakehouse has sample figures.
        sample: bool,
    },
    /// The folder for sample files contains other files.
    #[error("{} holds files that are not sample files and stay as they are; to build from them use --landing, or choose another folder", path.display())]
    LandingTaken { path: PathBuf },
    /// The given landing folder has no file of a source.
    #[error("{} lacks {}; put the files there, or leave out --landing to use sample figures", path.display(), lacking.join(", "))]
    LandingLacks {
        path: PathBuf,
        /// The missing files, with the models that read them.
        lacking: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}; check that it is there, that there is room, and that you may", path.display())]
    File {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The lakehouse could not be opened.
    #[error("cannot open {}; if a pipeline or another program holds it, let that finish and try again", path.display())]
    Open { path: PathBuf, source: Box<duckdb::Error> },
    /// A table could not be built.
    #[error(
        "cannot build {table} from {}; check that the folder has the files, with the columns, that infra/beanflows/models/ name, and that there is room",
        landing.display()
    )]
    Build {
        /// The table, with its schema.
        table: String,
        landing: PathBuf,
        source: Box<duckdb::Error>,
    },
    /// A file embedded in the program is invalid.
    #[error("{file}, which is part of materia, {problem}; please report this")]
    Embedded { file: String, problem: String },
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
        Self::Build {
            table: table.to_owned(),
            landing: landing.folder.clone(),
            source: Box::new(source),
        }
    }

    fn builtin_models(file: &str, problem: impl Into<String>) -> Self {
        Self::Embedded { file: file.to_owned(), problem: problem.into() }
    }
}

impl Demo {
    /// Creates or refreshes the lakehouse.
    ///
    /// At whatever point the process dies, `lakehouse.duckdb` is complete: it appears under its
    /// name only when finished, and a refresh is one transaction.
    pub fn create(&self) -> Result<DemoReport, DemoError> {
        if self.scale == Some(0) {
            return Err(DemoError::ScaleOfNothing);
        }
        if self.refresh { self.refresh() } else { self.begin() }
    }

    fn lakehouse(&self) -> PathBuf {
        self.dir.join("lakehouse.duckdb")
    }

    fn begin(&self) -> Result<DemoReport, DemoError> {
        let lakehouse = self.lakehouse();
        ensure_empty(&lakehouse)?;
        fs::create_dir_all(&self.dir)
            .map_err(|source| DemoError::file("make the folder", &self.dir, source))?;
        let landing = self.write_landing_files(None, 0)?;
        let run = DemoRun {
            number: 0,
            scale: self.scale.unwrap_or(1),
            sample: landing.sample,
            landing: self.given(&landing),
        };

        let part = DemoPart {
            path: self.dir.join(format!(".lakehouse.duckdb.{}.part", std::process::id())),
        };
        // DuckDB 1.5, which SQLMesh installs, cannot read newer storage versions.
        let store = DemoStore::attach(&part.path, &["STORAGE_VERSION 'v1.0.0'"])?;
        let built = build_all(&store, &landing, &run)?;
        store.detach()?;
        // A link, unlike a rename, never replaces a file that was created in the meantime.
        fs::hard_link(&part.path, &lakehouse).map_err(|source| {
            DemoError::file("put the finished lakehouse at", &lakehouse, source)
        })?;
        self.report(landing, &run, built)
    }

    fn refresh(&self) -> Result<DemoReport, DemoError> {
        let lakehouse = self.lakehouse();
        if !lakehouse.exists() {
            return Err(DemoError::NothingToRefresh { path: lakehouse });
        }
        let before = read_run_record(&lakehouse)?
            .ok_or_else(|| DemoError::NotOurs { path: lakehouse.clone() })?;
        if self.scale.is_some_and(|scale| scale != before.scale) {
            return Err(DemoError::ScaleKept { path: lakehouse, scale: before.scale });
        }
        let number = before.number + 1;
        let landing = self.write_landing_files(before.landing.as_deref(), number)?;
        if landing.sample != before.sample {
            return Err(DemoError::Mixed {
                path: lakehouse,
                landing: landing.folder,
                sample: before.sample,
            });
        }
        let given = self.given(&landing).or(before.landing);
        let run = DemoRun { number, scale: before.scale, sample: before.sample, landing: given };
        let store = DemoStore::attach(&lakehouse, &[])?;
        let built = build_all(&store, &landing, &run)?;
        store.detach()?;
        self.report(landing, &run, built)
    }

    /// Returns the given or recorded landing folder, or else writes the sample files of this run to
    /// the demo's own.
    fn write_landing_files(
        &self,
        read_run_record: Option<&str>,
        run: u32,
    ) -> Result<Landing, DemoError> {
        match self.landing.as_deref().or(read_run_record.map(Path::new)) {
            Some(folder) => Landing::open(folder),
            None => Landing::write(&self.dir.join("landing"), run),
        }
    }

    fn given(&self, landing: &Landing) -> Option<String> {
        self.landing.is_some().then(|| landing.folder.to_string_lossy().into_owned())
    }

    fn report(
        &self,
        landing: Landing,
        run: &DemoRun,
        (tables, vintages): (Vec<DemoTable>, Vec<DemoVintage>),
    ) -> Result<DemoReport, DemoError> {
        let files = landing.files()?;
        let Landing { folder: landing, sample } = landing;
        let config = self.settings(sample)?;
        Ok(DemoReport {
            lakehouse: self.lakehouse(),
            landing,
            config,
            sample,
            scale: run.scale,
            run: run.number,
            tables,
            files,
            vintages,
        })
    }

    /// Writes the starter settings if there are none.
    fn settings(&self, is_sample: bool) -> Result<Option<PathBuf>, DemoError> {
        let path = self.dir.join("materia.toml");
        if path.exists() {
            return Ok(None);
        }
        fs::write(&path, starter_settings(is_sample))
            .map_err(|source| DemoError::file("write the settings", &path, source))?;
        Ok(Some(path))
    }
}

/// Returns BeanFlows' settings without its pipelines, whose scripts and models are not part of the
/// demo (here, `materia demo --refresh` is the pipeline), and without the audits of freshness:
/// sample figures end on a fixed day, and every page says that they are samples.
fn starter_settings(is_sample: bool) -> String {
    const SETTINGS: &str = include_str!("../../infra/beanflows/materia.toml");
    let parts = SETTINGS
        .split_once("# The steps that fill the lakehouse")
        .zip(SETTINGS.split_once("# The customers' site"));
    let settings = parts.map_or_else(
        || SETTINGS.to_owned(),
        |((before, _), (_, after))| format!("{before}# The customers' site{after}"),
    );
    let fresh =
        settings.split_once("# Sources that are late").zip(settings.split_once("# Which plan"));
    let settings = fresh
        .map(|((before, _), (_, after))| format!("{before}# Which plan{after}"))
        .unwrap_or(settings);
    if is_sample {
        settings.replacen("[brand]\n", &format!("[brand]\n{SAMPLE_NOTICE}"), 1)
    } else {
        settings
    }
}

/// What every page of a demo says.
const SAMPLE_NOTICE: &str = "# On every page. Remove it with the sample figures.
notice = \"All figures on this site are samples, not official.\"
";

/// Builds the tables; for official files, also returns their vintages.
fn build_all(
    store: &DemoStore,
    landing: &Landing,
    run: &DemoRun,
) -> Result<(Vec<DemoTable>, Vec<DemoVintage>), DemoError> {
    let tables = Build::run(&store.connection, landing, run)?;
    let vintages = if landing.sample {
        Vec::new()
    } else {
        vintages(&store.connection)
            .map_err(|source| DemoError::engine("staging.psd", landing, source))?
    };
    Ok((tables, vintages))
}

/// Returns the releases of USDA's figures in an attached lakehouse, oldest first.
fn vintages(connection: &Connection) -> duckdb::Result<Vec<DemoVintage>> {
    let mut query = connection.prepare(&format!(
        "SELECT vintage, min(season), max(season), bool_or(is_newest) FROM {} GROUP BY vintage ORDER BY vintage",
        sql::path(&[CATALOG, "staging", "psd"])
    ))?;
    let rows = query.query_map([], |row| {
        Ok(DemoVintage {
            vintage: row.get(0)?,
            first: row.get(1)?,
            last: row.get(2)?,
            is_newest: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Refuses a path that has a lakehouse, or a log that would be applied to the new one.
fn ensure_empty(lakehouse: &Path) -> Result<(), DemoError> {
    let log = lakehouse.with_extension("duckdb.wal");
    if fs::symlink_metadata(lakehouse).is_ok() {
        let path = lakehouse.to_owned();
        return Err(if read_run_record(lakehouse)?.is_some() {
            DemoError::AlreadyMade { path }
        } else {
            DemoError::NotOurs { path }
        });
    }
    if fs::symlink_metadata(&log).is_ok() { Err(DemoError::NotOurs { path: log }) } else { Ok(()) }
}

/// Returns the lakehouse's record of its last run; `None` if the demo did not make it. Only reads.
fn read_run_record(lakehouse: &Path) -> Result<Option<DemoRun>, DemoError> {
    let store = DemoStore::attach(lakehouse, &["READ_ONLY"])?;
    DemoRun::read(&store.connection).map_err(|source| DemoError::open(lakehouse, source))
}

/// A DuckDB instance with one lakehouse attached, under the name its views use.
struct DemoStore {
    connection: Connection,
    path: PathBuf,
}

impl DemoStore {
    fn attach(path: &Path, options: &[&str]) -> Result<Self, DemoError> {
        let failed = |source| DemoError::open(path, source);
        let connection = Connection::open_in_memory().map_err(failed)?;
        let name = utf8("open", path)?;
        let file = sql::literal(name);
        // Spills next to the lakehouse, where space is needed anyway, instead of to the current
        // folder.
        let spill = sql::literal(&format!("{name}.tmp"));
        let options =
            if options.is_empty() { String::new() } else { format!("({})", options.join(", ")) };
        connection
            .execute_batch(&format!(
                "SET temp_directory = {spill}; ATTACH {file} AS {} {options}",
                sql::ident(CATALOG)
            ))
            .map_err(failed)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Closes the file with an empty log.
    fn detach(self) -> Result<(), DemoError> {
        let catalog = sql::ident(CATALOG);
        self.connection
            .execute_batch(&format!("CHECKPOINT {catalog}; DETACH {catalog}"))
            .map_err(|source| DemoError::open(&self.path, source))
    }
}

/// Returns a path as UTF-8 for DuckDB.
fn utf8<'a>(action: &'static str, path: &'a Path) -> Result<&'a str, DemoError> {
    path.to_str().ok_or_else(|| {
        let problem = io::Error::new(
            io::ErrorKind::InvalidFilename,
            "its name is not UTF-8, which DuckDB needs; rename it",
        );
        DemoError::file(action, path, problem)
    })
}

/// An unfinished lakehouse; removed on drop.
struct DemoPart {
    path: PathBuf,
}

impl Drop for DemoPart {
    fn drop(&mut self) {
        // A leftover file does no harm.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.path.with_extension("part.wal"));
    }
}
