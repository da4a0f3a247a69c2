//! DuckDB's extensions that a DuckLake needs: files in one fixed folder, put there by `materia extensions install` and by nothing else.
//!
//! They lie in a subfolder for each version of DuckDB, since one version's files are no use to another: `v1.5.5/ducklake.duckdb_extension`. A file
//! gets its name only after it has been loaded. DuckDB itself checks that they are signed by its makers, whole, and for this version and machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use duckdb::{Config, Connection};
use serde::Serialize;

use crate::{files, sql};

/// What a file of an extension is called after its name.
const ENDING: &str = ".duckdb_extension";
/// Where new files are looked at before they replace the old ones; whatever lies there is nobody's.
const FRESH: &str = ".new";

/// An extension that materia makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// The lakehouse format itself.
    DuckLake,
    /// Its catalog in PostgreSQL.
    Postgres,
    /// Its catalog in SQLite.
    Sqlite,
    /// Its data on S3.
    Httpfs,
}

impl Extension {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::DuckLake, Self::Postgres, Self::Sqlite, Self::Httpfs];

    /// What DuckDB calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckLake => "ducklake",
            Self::Postgres => "postgres_scanner",
            Self::Sqlite => "sqlite_scanner",
            Self::Httpfs => "httpfs",
        }
    }

    /// What cannot be done without it.
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
        format!("{}{ENDING}", self.name())
    }
}

/// Why an extension cannot be used or installed.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// It was never installed for this DuckDB.
    #[error("the extension {name} for DuckDB {version} is not in {}; install it with: materia extensions install", folder.display())]
    Missing {
        /// DuckDB's name of it.
        name: &'static str,
        /// Of DuckDB, as it says itself: `v1.5.5`.
        version: String,
        /// The folder for that version.
        folder: PathBuf,
    },
    /// The file is there, but DuckDB does not take it.
    #[error("DuckDB {version} cannot load {}: {why}. Install it anew with: materia extensions install", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Of DuckDB.
        version: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was to be installed is not there.
    #[error("{} holds no file {name}{ENDING}, nor does any folder in it; nothing was installed", folder.display())]
    NotGiven {
        /// DuckDB's name of it.
        name: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// What was to be installed does not load.
    #[error("the extension {name} was not installed, nor any other; what was there before is still there. {why}")]
    Refused {
        /// DuckDB's name of it.
        name: &'static str,
        /// Each file that was tried and what is wrong with it.
        why: String,
    },
    /// DuckDB's own repository did not give it.
    #[error(
        "the extension {name} for DuckDB {version} could not be downloaded: {why}\nWhere the repository is out of reach, name a folder that holds the files: materia extensions install --from DIR"
    )]
    Download {
        /// DuckDB's name of it.
        name: &'static str,
        /// Of DuckDB.
        version: String,
        /// DuckDB's reason.
        why: String,
    },
    /// The folder or a file cannot be read or written.
    #[error("cannot {doing} {}: {why}", path.display())]
    Files {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The operating system's reason.
        why: io::Error,
    },
    /// DuckDB itself does not start or answer.
    #[error(transparent)]
    Engine(#[from] duckdb::Error),
}

/// The folder of extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extensions {
    folder: PathBuf,
}

/// One extension, and whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// DuckDB's name of it.
    pub name: &'static str,
    /// What cannot be done without it.
    pub needed_for: &'static str,
    /// Where its file is or would be.
    pub path: PathBuf,
    /// Whether it can be used.
    #[serde(flatten)]
    pub state: State,
}

/// Whether an extension can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It was loaded.
    Present {
        /// The extension's own version.
        extension_version: String,
    },
    /// It was never installed for this DuckDB.
    Missing,
    /// DuckDB does not take the file.
    Unusable {
        /// What is wrong with it.
        why: String,
    },
}

impl Extensions {
    /// Those in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder, as it was named.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Loads extensions into the whole instance that `connection` belongs to, which from then on gets none by itself. To be done before the
    /// instance's settings are locked and the world outside is closed to it.
    ///
    /// # Errors
    /// The first one that is missing or does not load.
    pub fn load(&self, connection: &Connection, which: &[Extension]) -> Result<(), ExtensionError> {
        let version = version(connection)?;
        connection.execute_batch("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")?;
        which.iter().try_for_each(|extension| self.load_one(connection, &version, *extension).map(drop))
    }

    /// Every extension for the DuckDB that is linked, and whether it loads.
    ///
    /// # Errors
    /// DuckDB itself does not start.
    pub fn list(&self) -> Result<Vec<Listed>, ExtensionError> {
        Extension::ALL.into_iter().map(|extension| self.look(extension)).collect()
    }

    /// Installs every extension for the DuckDB that is linked: from the files somewhere in the folder `from`, or from DuckDB's own repository.
    ///
    /// All of them have been loaded before the first gets its name: if one does not load, what was there before stays. Installing waits for
    /// another who installs.
    ///
    /// # Errors
    /// An extension is not given, or not to be had, or does not load, or cannot be written.
    pub fn install(&self, from: Option<&Path>) -> Result<Vec<Listed>, ExtensionError> {
        let version = version(&nothing_by_itself()?)?;
        let place = self.place(&version);
        let fresh = place.join(FRESH);
        fs::create_dir_all(&place).map_err(at("make", &place))?;
        let turn = fs::File::open(&place).and_then(|folder| folder.lock().map(|()| folder)).map_err(at("lock", &place))?;
        remove_folder(&fresh).map_err(at("clear", &fresh))?;
        fs::create_dir(&fresh).map_err(at("write to", &place))?;
        let installed = stage(from, &fresh, &version).and_then(|()| {
            for extension in Extension::ALL {
                let path = place.join(extension.file_name());
                fs::rename(fresh.join(extension.file_name()), &path).map_err(at("replace", &path))?;
            }
            files::sync_folder(&place).and_then(|()| files::sync_folder(&self.folder)).map_err(at("keep", &place))
        });
        let cleared = remove_folder(&fresh).map_err(at("clear", &fresh));
        drop(turn);
        installed.and(cleared)?;
        self.list()
    }

    fn place(&self, version: &str) -> PathBuf {
        self.folder.join(version)
    }

    fn look(&self, extension: Extension) -> Result<Listed, ExtensionError> {
        let connection = nothing_by_itself()?;
        let version = version(&connection)?;
        let state = match self.load_one(&connection, &version, extension) {
            Ok(extension_version) => State::Present { extension_version },
            Err(ExtensionError::Missing { .. }) => State::Missing,
            Err(ExtensionError::Unusable { why, .. }) => State::Unusable { why },
            Err(error) => return Err(error),
        };
        let path = self.place(&version).join(extension.file_name());
        Ok(Listed { name: extension.name(), needed_for: extension.needed_for(), path, state })
    }

    fn load_one(&self, connection: &Connection, version: &str, extension: Extension) -> Result<String, ExtensionError> {
        let folder = self.place(version);
        let path = folder.join(extension.file_name());
        if !path.exists() {
            return Err(ExtensionError::Missing { name: extension.name(), version: version.to_owned(), folder });
        }
        loaded(connection, &path, extension).map_err(|why| ExtensionError::Unusable { path, version: version.to_owned(), why })
    }
}

/// Puts one file for each extension into `fresh`, durable and found to load.
fn stage(from: Option<&Path>, fresh: &Path, version: &str) -> Result<(), ExtensionError> {
    let given = match from {
        Some(folder) => folder.to_path_buf(),
        None => download(&fresh.join("downloaded"), version)?,
    };
    let found = found(&given)?;
    for extension in Extension::ALL {
        let (name, file) = (extension.name(), extension.file_name());
        let candidates: Vec<_> = found.iter().filter(|path| path.file_name().is_some_and(|found| *found == *file)).collect();
        if candidates.is_empty() {
            return Err(ExtensionError::NotGiven { name, folder: given });
        }
        let (path, mut why) = (fresh.join(&file), Vec::new());
        for candidate in candidates {
            copy(candidate, &path)?;
            match loaded(&nothing_by_itself()?, &path, extension) {
                Ok(_) => {
                    why.clear();
                    break;
                }
                Err(problem) => why.push(format!("DuckDB {version} cannot load {}: {problem}", candidate.display())),
            }
        }
        if !why.is_empty() {
            return Err(ExtensionError::Refused { name, why: why.join("\n") });
        }
    }
    Ok(())
}

/// Has DuckDB fetch every extension from its makers into `folder`.
fn download(folder: &Path, version: &str) -> Result<PathBuf, ExtensionError> {
    let connection = nothing_by_itself()?;
    connection.execute_batch(&format!("SET extension_directory = {}", sql::literal(&folder.to_string_lossy())))?;
    for extension in Extension::ALL {
        let name = extension.name();
        connection.execute_batch(&format!("INSTALL {name}")).map_err(|error| {
            let text = error.to_string();
            // The first line says where from, the last one in parentheses why not.
            let cause = text.rsplit_once("(ERROR ").map(|(_, cause)| format!(": {}", cause.trim_end_matches(')'))).unwrap_or_default();
            ExtensionError::Download { name, version: version.to_owned(), why: reason(&text) + &cause }
        })?;
    }
    Ok(folder.to_path_buf())
}

/// Every extension's file in a folder and the folders in it, in the order of their names.
fn found(folder: &Path) -> Result<Vec<PathBuf>, ExtensionError> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(at("read", &folder))? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))).map_err(at("read", &folder))?;
            if kind.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ENDING) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<(), ExtensionError> {
    files::remove_if_there(to).map_err(at("replace", to))?;
    let mut read = fs::File::open(from).map_err(at("read", from))?;
    fs::File::create(to).and_then(|mut file| io::copy(&mut read, &mut file).and_then(|_| file.sync_all())).map_err(at("write", to))
}

/// An instance that neither fetches nor loads an extension that nobody named.
fn nothing_by_itself() -> duckdb::Result<Connection> {
    Connection::open_in_memory_with_flags(Config::default().enable_autoload_extension(false)?.threads(1)?)
}

fn version(connection: &Connection) -> duckdb::Result<String> {
    connection.query_row("SELECT version()", [], |row| row.get(0))
}

/// Loads a file and returns the extension's own version, or what is wrong with the file.
fn loaded(connection: &Connection, path: &Path, extension: Extension) -> Result<String, String> {
    let load = format!("LOAD {}", sql::literal(&path.to_string_lossy()));
    let version = "SELECT extension_version FROM duckdb_extensions() WHERE loaded AND extension_name = ?";
    let load = connection.execute_batch(&load).and_then(|()| connection.query_row(version, [extension.name()], |row| row.get(0)));
    load.map_err(|error| reason(&error.to_string()))
}

/// DuckDB's reason without what is said already: the kind of error and the file, or advice to load whatever there is.
fn reason(text: &str) -> String {
    if text.contains("signature is either missing or invalid") {
        return "it is not as DuckDB's makers signed it: damaged, changed, or made by somebody else".to_owned();
    }
    let first = text.lines().next().unwrap_or_default();
    let first = first.split_once("Error: ").map_or(first, |(_, rest)| rest);
    let first = if first.starts_with("Failed to load '") { first.split_once("', ").map_or(first, |(_, rest)| rest) } else { first };
    first.trim_end_matches('.').to_owned()
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ExtensionError + use<'a> {
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
        assert!(reason(other).starts_with("The file was built specifically for DuckDB version 'v1.5.5'"), "{}", reason(other));
        let unsigned = "IO Error: Extension \"x\" could not be loaded because its signature is either missing or invalid and unsigned \
                        extensions are disabled by configuration (allow_unsigned_extensions)";
        assert!(!reason(unsigned).contains("allow_unsigned_extensions"));
    }

    #[test]
    fn a_missing_extension_is_told_with_its_name_the_engines_version_the_folder_and_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let connection = nothing_by_itself().unwrap();
        let error = Extensions::new(folder.path()).load(&connection, &[Extension::DuckLake]).unwrap_err().to_string();
        let version = version(&connection).unwrap();
        let place = folder.path().join(&version);
        assert_eq!(
            error,
            format!(
                "the extension ducklake for DuckDB {version} is not in {}; install it with: materia extensions install",
                place.display()
            )
        );
    }

    #[test]
    fn an_instance_that_loads_extensions_gets_none_by_itself() {
        let connection = Connection::open_in_memory().unwrap();
        Extensions::new("nowhere").load(&connection, &[]).unwrap();
        for setting in ["autoinstall_known_extensions", "autoload_known_extensions"] {
            let on: bool = connection.query_row(&format!("SELECT current_setting('{setting}')::BOOLEAN"), [], |row| row.get(0)).unwrap();
            assert!(!on, "{setting}");
        }
    }
}
