//! The DuckDB extensions that a DuckLake needs: files in one fixed folder, installed only by
//! `materia extensions install`.
//!
//! Each version of DuckDB has a subfolder, since extensions work with exactly one version:
//! `v1.5.5/ducklake.duckdb_extension`. A file gets its final name only after it has been loaded.
//! DuckDB itself verifies the signature, the integrity, the version and the platform.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use duckdb::{Config, Connection};
use serde::Serialize;

use crate::{files, sql};

/// Suffix of an extension file after the extension's name.
const FILE_SUFFIX: &str = ".duckdb_extension";
/// Folder in which new files are verified before they replace the old ones; its previous contents
/// are discarded.
const STAGING_DIR: &str = ".new";

/// Advice for engines that have no extensions at all, such as DuckDB 2.0.
const ENGINE_ADVICE: &str = ". Where there is none for this DuckDB, run materia on DuckDB 1.5 (MATERIA_DUCKDB=1.5, with the package materia-lake or the folder that infra/libduckdb.sh --for lake prints), see docs/scaling.md";

/// An extension used by materia.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// The lakehouse format itself.
    DuckLake,
    /// Catalogs in PostgreSQL.
    Postgres,
    /// Catalogs in SQLite.
    Sqlite,
    /// Data on S3.
    Httpfs,
}

impl Extension {
    pub const ALL: [Self; 4] = [Self::DuckLake, Self::Postgres, Self::Sqlite, Self::Httpfs];

    /// Returns DuckDB's name of the extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckLake => "ducklake",
            Self::Postgres => "postgres_scanner",
            Self::Sqlite => "sqlite_scanner",
            Self::Httpfs => "httpfs",
        }
    }

    /// Returns what the extension is needed for.
    #[must_use]
    pub fn needed_for(self) -> &'static str {
        match self {
            Self::DuckLake => "a DuckLake as the target",
            Self::Postgres => "a catalog in PostgreSQL",
            Self::Sqlite => "a catalog in SQLite",
            Self::Httpfs => "data on S3",
        }
    }

    fn file_name(self) -> String {
        format!("{}{FILE_SUFFIX}", self.name())
    }
}

/// Reason why an extension cannot be used or installed.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// The extension is not installed for this DuckDB.
    #[error("the extension {name} for DuckDB {version} is not in {}; install it with: materia extensions install{ENGINE_ADVICE}", folder.display())]
    Missing {
        /// DuckDB's name of the extension.
        name: &'static str,
        /// DuckDB's version as it reports it: `v1.5.5`.
        version: String,
        /// The folder of that version.
        folder: PathBuf,
    },
    /// DuckDB rejects the file.
    #[error("DuckDB {version} cannot load {}: {why}. Reinstall it with: materia extensions install", path.display())]
    Unusable { path: PathBuf, version: String, why: String },
    /// The source folder of an installation lacks the extension.
    #[error("{} holds no file {name}{FILE_SUFFIX}, nor does any folder in it; nothing was installed", folder.display())]
    NotGiven {
        /// DuckDB's name of the extension.
        name: &'static str,
        folder: PathBuf,
    },
    /// An extension to be installed does not load.
    #[error(
        "the extension {name} was not installed, nor any other; what was there before is still there. {why}"
    )]
    Refused {
        /// DuckDB's name of the extension.
        name: &'static str,
        /// Every tried file with the reason why it was rejected.
        why: String,
    },
    /// The download from DuckDB's own repository failed.
    #[error(
        "the extension {name} for DuckDB {version} could not be downloaded: {why}{ENGINE_ADVICE}\nWhere the repository is out of reach, name a folder that holds the files: materia extensions install --from DIR"
    )]
    Download {
        /// DuckDB's name of the extension.
        name: &'static str,
        version: String,
        why: String,
    },
    /// The folder or a file cannot be read or written.
    #[error("cannot {doing} {}: {why}", path.display())]
    Files {
        doing: &'static str,
        path: PathBuf,
        /// The operating system's reason.
        why: io::Error,
    },
    #[error(transparent)]
    Engine(#[from] duckdb::Error),
}

/// The folder of extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionDir {
    folder: PathBuf,
}

/// One extension and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtensionInfo {
    /// DuckDB's name of the extension.
    pub name: &'static str,
    /// What the extension is needed for.
    pub needed_for: &'static str,
    /// The path of its file, which may be missing.
    pub path: PathBuf,
    /// Whether it is usable.
    #[serde(flatten)]
    pub state: ExtensionState,
}

/// Whether an extension is usable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ExtensionState {
    Present {
        /// The extension's own version.
        extension_version: String,
    },
    /// It is not installed for this DuckDB.
    Missing,
    /// DuckDB rejects the file.
    Unusable { why: String },
}

impl ExtensionDir {
    /// Uses the extensions in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the folder as configured.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Loads extensions into the whole instance of `connection` and disables automatic loading.
    /// Must run before the instance's configuration is locked and external access is disabled.
    ///
    /// # Errors
    /// The first extension that is missing or does not load.
    pub fn load(&self, connection: &Connection, which: &[Extension]) -> Result<(), ExtensionError> {
        let version = version(connection)?;
        connection.execute_batch(
            "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false",
        )?;
        which
            .iter()
            .try_for_each(|extension| self.load_one(connection, &version, *extension).map(drop))
    }

    /// Checks that extensions for the linked DuckDB are installed, without loading them.
    ///
    /// # Errors
    /// The first one that is missing; DuckDB itself does not start.
    pub(crate) fn check(&self, which: &[Extension]) -> Result<(), ExtensionError> {
        let version = linked_version()?;
        which.iter().try_for_each(|extension| self.file(version, *extension).map(drop))
    }

    /// Lists every extension for the linked DuckDB, and whether it loads.
    ///
    /// # Errors
    /// DuckDB itself does not start.
    pub fn list(&self) -> Result<Vec<ExtensionInfo>, ExtensionError> {
        Extension::ALL.into_iter().map(|extension| self.inspect(extension)).collect()
    }

    /// Installs every extension for the linked DuckDB, from the files in the folder `from` and its
    /// subfolders or from DuckDB's own repository.
    ///
    /// All extensions are loaded before the first one is put in place: if one does not load, the
    /// previous installation remains. Concurrent installations wait for one another.
    ///
    /// # Errors
    /// An extension is missing, cannot be downloaded, does not load or cannot be written.
    pub fn install(&self, from: Option<&Path>) -> Result<Vec<ExtensionInfo>, ExtensionError> {
        let version = linked_version()?;
        let place = self.extension_path(version);
        let fresh = place.join(STAGING_DIR);
        fs::create_dir_all(&place).map_err(io_error("make", &place))?;
        let turn = fs::File::open(&place)
            .and_then(|folder| folder.lock().map(|()| folder))
            .map_err(io_error("lock", &place))?;
        remove_folder(&fresh).map_err(io_error("clear", &fresh))?;
        fs::create_dir(&fresh).map_err(io_error("write to", &place))?;
        let installed = stage(from, &fresh, version).and_then(|()| {
            for extension in Extension::ALL {
                let path = place.join(extension.file_name());
                fs::rename(fresh.join(extension.file_name()), &path)
                    .map_err(io_error("replace", &path))?;
            }
            files::sync_dir(&place)
                .and_then(|()| files::sync_dir(&self.folder))
                .map_err(io_error("keep", &place))
        });
        let cleared = remove_folder(&fresh).map_err(io_error("clear", &fresh));
        drop(turn);
        if installed.is_err() {
            // Removes the remains of a failed first installation, since the folder of a version
            // indicates that its extensions are installed. Non-empty folders remain.
            let _ = fs::remove_dir(&place).and_then(|()| fs::remove_dir(&self.folder));
        }
        installed.and(cleared)?;
        self.list()
    }

    fn extension_path(&self, version: &str) -> PathBuf {
        self.folder.join(version)
    }

    fn inspect(&self, extension: Extension) -> Result<ExtensionInfo, ExtensionError> {
        let connection = open_without_autoload()?;
        let version = version(&connection)?;
        let state = match self.load_one(&connection, &version, extension) {
            Ok(extension_version) => ExtensionState::Present { extension_version },
            Err(ExtensionError::Missing { .. }) => ExtensionState::Missing,
            Err(ExtensionError::Unusable { why, .. }) => ExtensionState::Unusable { why },
            Err(error) => return Err(error),
        };
        let path = self.extension_path(&version).join(extension.file_name());
        Ok(ExtensionInfo {
            name: extension.name(),
            needed_for: extension.needed_for(),
            path,
            state,
        })
    }

    fn load_one(
        &self,
        connection: &Connection,
        version: &str,
        extension: Extension,
    ) -> Result<String, ExtensionError> {
        let path = self.file(version, extension)?;
        loaded(connection, &path, extension).map_err(|why| ExtensionError::Unusable {
            path,
            version: version.to_owned(),
            why,
        })
    }
}

impl ExtensionDir {
    /// Returns the path of an extension's file, if it exists.
    fn file(&self, version: &str, extension: Extension) -> Result<PathBuf, ExtensionError> {
        let folder = self.extension_path(version);
        let path = folder.join(extension.file_name());
        if path.exists() {
            return Ok(path);
        }
        Err(ExtensionError::Missing { name: extension.name(), version: version.to_owned(), folder })
    }
}

/// Writes one file per extension to `fresh`, synced and verified by loading it.
fn stage(from: Option<&Path>, fresh: &Path, version: &str) -> Result<(), ExtensionError> {
    let given = match from {
        Some(folder) => folder.to_path_buf(),
        None => download(&fresh.join("downloaded"), version)?,
    };
    let found = find_files(&given)?;
    for extension in Extension::ALL {
        let (name, file) = (extension.name(), extension.file_name());
        let candidates: Vec<_> = found
            .iter()
            .filter(|path| path.file_name().is_some_and(|found| *found == *file))
            .collect();
        if candidates.is_empty() {
            return Err(ExtensionError::NotGiven { name, folder: given });
        }
        let (path, mut why) = (fresh.join(&file), Vec::new());
        for candidate in candidates {
            copy(candidate, &path)?;
            match loaded(&open_without_autoload()?, &path, extension) {
                Ok(_) => {
                    why.clear();
                    break;
                }
                Err(problem) => why.push(format!(
                    "DuckDB {version} cannot load {}: {problem}",
                    candidate.display()
                )),
            }
        }
        if !why.is_empty() {
            return Err(ExtensionError::Refused { name, why: why.join("\n") });
        }
    }
    Ok(())
}

/// Downloads every extension from DuckDB's repository into `folder`.
fn download(folder: &Path, version: &str) -> Result<PathBuf, ExtensionError> {
    let connection = open_without_autoload()?;
    connection.execute_batch(&format!(
        "SET extension_directory = {}",
        sql::literal(&folder.to_string_lossy())
    ))?;
    for extension in Extension::ALL {
        let name = extension.name();
        connection.execute_batch(&format!("INSTALL {name}")).map_err(|error| {
            let text = error.to_string();
            // The first line has the source; the last one has the cause in parentheses.
            let cause = text
                .rsplit_once("(ERROR ")
                .map(|(_, cause)| format!(": {}", cause.trim_end_matches(')')))
                .unwrap_or_default();
            ExtensionError::Download {
                name,
                version: version.to_owned(),
                why: reason(&text) + &cause,
            }
        })?;
    }
    Ok(folder.to_path_buf())
}

/// Finds every extension file below a folder, sorted by name.
fn find_files(folder: &Path) -> Result<Vec<PathBuf>, ExtensionError> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let (path, kind) = entry
                .and_then(|entry| Ok((entry.path(), entry.file_type()?)))
                .map_err(io_error("read", &folder))?;
            if kind.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(FILE_SUFFIX) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<(), ExtensionError> {
    files::remove_if_exists(to).map_err(io_error("replace", to))?;
    let mut read = fs::File::open(from).map_err(io_error("read", from))?;
    fs::File::create(to)
        .and_then(|mut file| io::copy(&mut read, &mut file).and_then(|_| file.sync_all()))
        .map_err(io_error("write", to))
}

/// Opens an instance that neither downloads nor loads extensions automatically.
fn open_without_autoload() -> duckdb::Result<Connection> {
    Connection::open_in_memory_with_flags(
        Config::default().enable_autoload_extension(false)?.threads(1)?,
    )
}

/// Returns the version of the linked DuckDB. Only the first call starts one.
fn linked_version() -> duckdb::Result<&'static str> {
    static VERSION: OnceLock<String> = OnceLock::new();
    if let Some(version) = VERSION.get() {
        return Ok(version);
    }
    let found = version(&open_without_autoload()?)?;
    Ok(VERSION.get_or_init(|| found))
}

fn version(connection: &Connection) -> duckdb::Result<String> {
    connection.query_row("SELECT version()", [], |row| row.get(0))
}

/// Loads a file and returns the extension's own version, or why the file is unusable.
fn loaded(connection: &Connection, path: &Path, extension: Extension) -> Result<String, String> {
    let load = format!("LOAD {}", sql::literal(&path.to_string_lossy()));
    let version =
        "SELECT extension_version FROM duckdb_extensions() WHERE loaded AND extension_name = ?";
    let load = connection
        .execute_batch(&load)
        .and_then(|()| connection.query_row(version, [extension.name()], |row| row.get(0)));
    load.map_err(|error| reason(&error.to_string()))
}

/// Shortens DuckDB's message: drops the kind of error, the file, and the advice on automatic
/// loading, which do not apply or are shown elsewhere.
fn reason(text: &str) -> String {
    if text.contains("signature is either missing or invalid") {
        return "its signature is not DuckDB's: it is damaged, modified, or from another source"
            .to_owned();
    }
    let first = text.lines().next().unwrap_or_default();
    let first = first.split_once("Error: ").map_or(first, |(_, rest)| rest);
    let first = if first.starts_with("Failed to load '") {
        first.split_once("', ").map_or(first, |(_, rest)| rest)
    } else {
        first
    };
    first.trim_end_matches('.').to_owned()
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExtensionError + use<'a> {
    move |why| ExtensionError::Files { doing, path: path.to_path_buf(), why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_duckdb_says_of_a_file_is_told_without_its_frame() {
        let other = "Invalid Input Error: Failed to load '/x/a.duckdb_extension', The file was built specifically for DuckDB version 'v1.5.5' \
                     and can only be loaded with that version of DuckDB. (this version of DuckDB is 'v2.0.0')";
        assert!(
            reason(other)
                .starts_with("The file was built specifically for DuckDB version 'v1.5.5'"),
            "{}",
            reason(other)
        );
        let unsigned = "IO Error: Extension \"x\" could not be loaded because its signature is either missing or invalid and unsigned \
                        extensions are disabled by configuration (allow_unsigned_extensions)";
        assert!(!reason(unsigned).contains("allow_unsigned_extensions"));
    }

    #[test]
    fn a_missing_extension_is_told_with_its_name_the_engines_version_the_folder_and_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_without_autoload().unwrap();
        let error = ExtensionDir::new(folder.path())
            .load(&connection, &[Extension::DuckLake])
            .unwrap_err()
            .to_string();
        let version = version(&connection).unwrap();
        let place = folder.path().join(&version);
        assert_eq!(
            error,
            format!(
                "the extension ducklake for DuckDB {version} is not in {}; install it with: materia extensions install{ENGINE_ADVICE}",
                place.display()
            )
        );
    }

    #[test]
    fn an_instance_that_loads_extensions_gets_none_by_itself() {
        let connection = Connection::open_in_memory().unwrap();
        ExtensionDir::new("nowhere").load(&connection, &[]).unwrap();
        for setting in ["autoinstall_known_extensions", "autoload_known_extensions"] {
            let on: bool = connection
                .query_row(&format!("SELECT current_setting('{setting}')::BOOLEAN"), [], |row| {
                    row.get(0)
                })
                .unwrap();
            assert!(!on, "{setting}");
        }
    }
}
