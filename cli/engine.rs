//! The DuckDB on which the command runs: the library that it was linked to, or the one of the
//! version in `MATERIA_DUCKDB`.

use std::{
    collections::HashMap,
    env, fs, iter,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use super::Failure;

/// Names a version, for example `1.5` or `1.5.5`.
const VARIABLE: &str = "MATERIA_DUCKDB";
/// Where packages install libraries of other versions.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/local/lib/materia", "/usr/lib/materia"];
/// The folders that the loader searches first.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// Restarts the command on the library of the version that the environment requests, unless it
/// runs on it already.
pub(super) fn select() -> Result<(), Failure> {
    match env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        Some(wanted) => select_version(&wanted),
        None => Ok(()),
    }
}

/// Does the same for the version in a file of variables, once: a running dashboard reads that file
/// again, and is not restarted.
pub(super) fn select_from(dotenv: &HashMap<String, String>) -> Result<(), Failure> {
    static SELECTED: Once = Once::new();
    let mut selected = Ok(());
    SELECTED.call_once(|| {
        let is_in_environment = env::var_os(VARIABLE).is_some_and(|text| !text.is_empty());
        let wanted = dotenv.get(VARIABLE).filter(|text| !is_in_environment && !text.is_empty());
        if let Some(wanted) = wanted {
            selected = select_version(wanted);
        }
    });
    selected
}

/// Returns the folder with the extensions that were packaged with the engine, if there is one.
pub(super) fn packaged_extensions() -> Result<Option<PathBuf>, Failure> {
    let version = loaded_version()?;
    Ok(packaged(&folders(), &version))
}

fn packaged(folders: &[PathBuf], version: &str) -> Option<PathBuf> {
    let folder = find(folders, version)?.join("extensions");
    folder.join(format!("v{version}")).is_dir().then_some(folder)
}

/// Returns the version of the library in this process: `1.5.5`.
fn loaded_version() -> Result<String, Failure> {
    let version: String =
        duckdb::Connection::open_in_memory()?
            .query_row("SELECT version()", [], |row| row.get(0))?;
    Ok(version.trim_start_matches('v').to_owned())
}

fn select_version(wanted: &str) -> Result<(), Failure> {
    let loaded = loaded_version()?;
    if is_version(&loaded, wanted) {
        return Ok(());
    }
    let folders = folders();
    let Some(library) = find(&folders, wanted) else {
        let searched: Vec<_> = folders.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::usage(format!(
            "{VARIABLE}={wanted}: there is no duckdb-{wanted}* in {}; install the package materia-lake, or put the folder there that infra/libduckdb.sh prints for that version",
            searched.join(" or ")
        )));
    };
    let before = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let mut before = env::split_paths(&before).filter(|path| !path.as_os_str().is_empty());
    let first = before.next();
    if first.as_ref() == Some(&library) {
        return Err(Failure::usage(format!(
            "{VARIABLE}={wanted}: DuckDB v{loaded} was loaded instead of the library in {}",
            library.display()
        )));
    }
    let path = env::join_paths(iter::once(library).chain(first).chain(before))?;
    let mut arguments = env::args_os();
    let mut command = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Returns only if it fails.
    Err(command.args(arguments).env(LIBRARY_PATH, path).exec().into())
}

/// Returns the folders with libraries of several versions: next to the linked one, where packages
/// install them, and where `infra/libduckdb.sh` builds them.
fn folders() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|exe| {
        let prefix = exe.parent()?.parent()?;
        Some(prefix.join("lib/materia"))
    });
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
        .map(|cache| cache.join("materia"));
    let system = SYSTEM_FOLDERS.map(PathBuf::from);
    let mut folders: Vec<_> = own.into_iter().chain(system).chain(cache).collect();
    // The first is one of the system's if the command is installed there.
    folders.dedup();
    folders
}

/// Returns the newest library of this version: `duckdb-1.5.5`, or `libduckdb-1.5.5-linux-x86_64`.
fn find(folders: &[PathBuf], wanted: &str) -> Option<PathBuf> {
    let version = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let version = name.strip_prefix("lib").unwrap_or(name).strip_prefix("duckdb-")?;
        let version = version.split('-').next()?;
        let is_library = is_version(version, wanted) && path.join("libduckdb.so").exists();
        let numbers: Option<Vec<u32>> =
            version.split('.').map(|number| number.parse().ok()).collect();
        numbers.filter(|_| is_library)
    };
    let of_folder = |folder: &PathBuf| {
        let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        paths.filter_map(|path| Some((version(&path)?, path))).max()
    };
    folders.iter().find_map(of_folder).map(|(_, path)| path)
}

/// Returns whether a version is the wanted one, or begins with it.
fn is_version(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_of_a_version_is_found_by_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["duckdb-1.5.5", "duckdb-1.5.10", "libduckdb-1.4.0-linux-x86_64", "duckdb-1.50.0"]
        {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("libduckdb.so"), "").unwrap();
        }
        fs::create_dir(folder.path().join("duckdb-1.5.11")).unwrap();
        let found = |wanted: &str| {
            let path = find(&[PathBuf::from("missing"), folder.path().to_owned()], wanted)?;
            Some(path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(found("1.5").unwrap(), "duckdb-1.5.10");
        assert_eq!(found("1.5.5").unwrap(), "duckdb-1.5.5");
        assert_eq!(found("1.4").unwrap(), "libduckdb-1.4.0-linux-x86_64");
        assert_eq!(found("1.6"), None);
        let folders = [folder.path().to_owned()];
        assert_eq!(packaged(&folders, "1.5.10"), None);
        let extensions = folder.path().join("duckdb-1.5.10/extensions");
        fs::create_dir_all(extensions.join("v1.5.10")).unwrap();
        assert_eq!(packaged(&folders, "1.5.10"), Some(extensions));
    }
}
