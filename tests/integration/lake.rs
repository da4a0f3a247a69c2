//! A DuckLake as the target. Requires a DuckDB with extensions: `MATERIA_TEST_EXTENSIONS` is their
//! folder, `LD_LIBRARY_PATH` the folder of the matching DuckDB; `dev_run.sh test` sets both.
//! Otherwise these tests are skipped with a printed reason.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use materia::extensions::{Extension, ExtensionDir};

use crate::{
    postgres_server::{PASSWORD, Postgres},
    s3::{BUCKET, S3, SECRET},
    tcp_proxy::Wire,
};

/// Returns the folder of the extensions for the loaded DuckDB, or prints a reason and returns
/// `None`.
pub(crate) fn extensions() -> Option<PathBuf> {
    let Some(folder) = env::var_os("MATERIA_TEST_EXTENSIONS").map(PathBuf::from) else {
        println!("skipped: MATERIA_TEST_EXTENSIONS does not name a folder of DuckDB's extensions");
        return None;
    };
    let version = crate::support::duckdb_version();
    // A folder of that name alone proves nothing.
    if !folder.join(&version).join("ducklake.duckdb_extension").is_file() {
        println!(
            "skipped: {} has no extensions for DuckDB {version}, which runs",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

/// Returns the names in a folder with the metadata that identifies each file.
pub(crate) fn stamps(folder: &Path) -> Vec<(String, u64)> {
    let stamp = |name: String| (name.clone(), fs::metadata(folder.join(name)).unwrap().ino());
    crate::support::names(folder).into_iter().map(stamp).collect()
}

#[test]
fn a_ducklake_is_written_and_read_with_what_is_in_the_folder() {
    let Some(folder) = extensions() else { return };
    let place = tempfile::tempdir().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    ExtensionDir::new(folder).load(&connection, &[Extension::DuckLake, Extension::Sqlite]).unwrap();
    let attach = format!(
        "ATTACH 'ducklake:sqlite:{0}/catalog.db' AS lake (DATA_PATH '{0}/data/')",
        place.path().display()
    );
    connection.execute_batch(&attach).unwrap();
    connection.execute_batch("CREATE TABLE lake.numbers AS FROM range(100_000) t(i)").unwrap();
    let sum: i64 = connection
        .query_row("SELECT sum(i)::BIGINT FROM lake.numbers", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum, 4_999_950_000);
}

#[test]
fn storage_that_stops_hangs_or_refuses_is_an_error_and_has_everything_when_it_is_back() {
    let Some(folder) = extensions() else { return };
    let Some(mut server) = S3::start() else { return };
    let mut wire = Wire::to(server.port());
    let place = tempfile::tempdir().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    ExtensionDir::new(folder)
        .load(&connection, &[Extension::DuckLake, Extension::Sqlite, Extension::Httpfs])
        .unwrap();
    // DuckDB's other HTTP client fails a write only after ten more seconds.
    connection.execute_batch("SET http_timeout = 1; SET http_retries = 0; SET httpfs_client_implementation = 'httplib'").unwrap();
    connection.execute_batch(&S3::secret(wire.port())).unwrap();
    let attach = format!(
        "ATTACH 'ducklake:sqlite:{}/catalog.db' AS lake (DATA_PATH 's3://{BUCKET}/data/')",
        place.path().display()
    );
    connection.execute_batch(&attach).unwrap();
    let write = || {
        connection.execute_batch("CREATE OR REPLACE TABLE lake.numbers AS FROM range(100_000) t(i)")
    };
    // Written again each time, so that no result comes from a cache.
    let works = || {
        write().and_then(|()| {
            connection
                .query_row("SELECT count(*) FROM lake.numbers", [], |row| row.get::<_, i64>(0))
        })
    };
    let fails = || {
        let error = write().unwrap_err().to_string();
        assert!(!error.contains(SECRET), "{error}");
    };
    assert_eq!(works().unwrap(), 100_000);
    let stored = server.objects();
    assert!(stored.len() == 1 && stored[0].starts_with("data/main/numbers/"), "{stored:?}");

    server.end();
    fails();
    server.begin();
    assert_eq!(works().unwrap(), 100_000);
    server.signal("STOP");
    fails();
    server.signal("CONT");
    assert_eq!(works().unwrap(), 100_000);
    wire.hang();
    fails();
    wire.refuse();
    fails();
    wire.restore();
    assert_eq!(works().unwrap(), 100_000);
    assert!(stored.iter().all(|object| server.objects().contains(object)));
}

#[test]
fn a_catalog_in_postgresql_that_refuses_is_an_error_and_is_found_again_when_it_is_back() {
    let Some(folder) = extensions() else { return };
    let Some(server) = Postgres::start() else { return };
    let mut wire = Wire::to(server.port());
    let place = tempfile::tempdir().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    ExtensionDir::new(folder)
        .load(&connection, &[Extension::DuckLake, Extension::Postgres])
        .unwrap();
    let secret = format!(
        "CREATE SECRET catalog (TYPE postgres, HOST '127.0.0.1', PORT {}, USER 'materia', PASSWORD '{PASSWORD}', DATABASE '{}')",
        wire.port(),
        server.database()
    );
    connection.execute_batch(&secret).unwrap();
    let attach = format!(
        "ATTACH 'ducklake:postgres:' AS lake (DATA_PATH '{}/data/', META_SECRET 'catalog')",
        place.path().display()
    );
    connection.execute_batch(&attach).unwrap();
    let works = || {
        connection
            .execute_batch("CREATE OR REPLACE TABLE lake.numbers AS FROM range(100_000) t(i)")?;
        connection.query_row("SELECT count(*) FROM lake.numbers", [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(works().unwrap(), 100_000);
    wire.refuse();
    let error = works().unwrap_err().to_string();
    assert!(error.contains("Connection refused") && !error.contains(PASSWORD), "{error}");
    wire.restore();
    assert_eq!(works().unwrap(), 100_000);
}
