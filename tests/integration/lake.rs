//! A DuckLake as the target. It wants a DuckDB whose extensions can be had: `MATERIA_TEST_EXTENSIONS` names their folder, `LD_LIBRARY_PATH` the DuckDB
//! that they are for; `dev_run.sh test` sets both. Elsewhere these tests are skipped with a printed reason.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use materia::extensions::{Extension, Extensions};

/// The folder of the extensions for the DuckDB that runs, or `None`, with the reason printed.
pub(crate) fn extensions() -> Option<PathBuf> {
    let Some(folder) = env::var_os("MATERIA_TEST_EXTENSIONS").map(PathBuf::from) else {
        println!("skipped: MATERIA_TEST_EXTENSIONS does not name a folder of DuckDB's extensions");
        return None;
    };
    let version: String = Connection::open_in_memory().unwrap().query_row("SELECT version()", [], |row| row.get(0)).unwrap();
    if !folder.join(&version).is_dir() {
        println!("skipped: {} has no extensions for DuckDB {version}, which runs", folder.display());
        return None;
    }
    Some(folder)
}

/// The names in a folder with what tells one file from another.
pub(crate) fn stamps(folder: &Path) -> Vec<(String, u64)> {
    let stamp = |name: String| (name.clone(), fs::metadata(folder.join(name)).unwrap().ino());
    crate::support::names(folder).into_iter().map(stamp).collect()
}

#[test]
fn a_ducklake_is_written_and_read_with_what_is_in_the_folder() {
    let Some(folder) = extensions() else { return };
    let place = tempfile::tempdir().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    Extensions::new(folder).load(&connection, &[Extension::DuckLake, Extension::Sqlite]).unwrap();
    let attach = format!("ATTACH 'ducklake:sqlite:{0}/catalog.db' AS lake (DATA_PATH '{0}/data/')", place.path().display());
    connection.execute_batch(&attach).unwrap();
    connection.execute_batch("CREATE TABLE lake.numbers AS FROM range(100_000) t(i)").unwrap();
    let sum: i64 = connection.query_row("SELECT sum(i)::BIGINT FROM lake.numbers", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 4_999_950_000);
}
