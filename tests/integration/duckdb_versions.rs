//! Lakehouses and served files of every DuckDB version since 0.10, as `make.sh` in
//! `tests/fixtures/written_by_duckdb` wrote them, are opened, exported and served.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use duckdb::Connection;
use serde_json::Value;

use crate::support::{Site, names, number};

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("REPOSITORY"), "/tests/fixtures/written_by_duckdb"))
}

/// Returns the versions, each with both kinds of files.
fn versions() -> Vec<String> {
    let versions: Vec<_> = names(fixtures())
        .iter()
        .filter_map(|name| name.strip_suffix(".lakehouse.duckdb.gz"))
        .map(str::to_owned)
        .collect();
    assert!(versions.len() >= 8, "{versions:?}");
    versions
}

fn unpack(version: &str, name: &str, to: &Path) {
    let status = Command::new("gzip")
        .args(["-dc"])
        .arg(fixtures().join(format!("{version}.{name}.gz")))
        .stdout(Stdio::from(File::create(to).unwrap()))
        .status()
        .unwrap();
    assert!(status.success(), "{version}.{name}");
}

/// Returns a site with the lakehouse that this version left: the last commit is only in its log.
fn lakehouse(version: &str) -> Site {
    let site = Site::empty();
    for name in ["lakehouse.duckdb", "lakehouse.duckdb.wal"] {
        unpack(version, name, &site.path(name));
    }
    site
}

/// Returns the oldest DuckDB version that reads the file.
fn storage_version(file: &Path) -> String {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("ATTACH '{}' AS file (READ_ONLY)", file.display())).unwrap();
    let query =
        "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'file'";
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_lakehouse_of_every_duckdb_since_0_10_is_exported_whole_in_its_own_storage_version() {
    for version in versions() {
        let site = lakehouse(&version);
        site.ok(&["export", "-q"]);
        assert_eq!(
            storage_version(&site.served()),
            storage_version(&site.lakehouse()),
            "{version}"
        );
        // A private copy of the lakehouse under its own name, which its view contains.
        let folder = tempfile::tempdir().unwrap();
        for name in ["lakehouse.duckdb", "lakehouse.duckdb.wal"] {
            fs::copy(site.path(name), folder.path().join(name)).unwrap();
        }
        let connection = Connection::open(folder.path().join("lakehouse.duckdb")).unwrap();
        let attach = format!("ATTACH '{}' AS analytics (READ_ONLY)", site.served().display());
        connection.execute_batch(&attach).unwrap();
        for (table, rows) in [("orders", 630), ("customers", 310)] {
            let (ours, theirs) =
                (format!("analytics.serving.{table}"), format!("lakehouse.serving.{table}"));
            let count =
                |query: &str| -> i64 { connection.query_row(query, [], |row| row.get(0)).unwrap() };
            assert_eq!(count(&format!("SELECT count(*) FROM {ours}")), rows, "{version} {table}");
            for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
                let differing =
                    format!("SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})");
                assert_eq!(count(&differing), 0, "{version} {table}");
            }
        }
        // The next export finds the same content.
        let unchanged = site.ok(&["export"]).stdout;
        assert!(unchanged.contains("unchanged"), "{version}: {unchanged}");
    }
}

#[test]
fn a_served_file_of_every_duckdb_since_0_10_is_shown_replaced_and_rolled_back_to() {
    for version in versions() {
        let site = lakehouse(&version);
        unpack(&version, "analytics.duckdb", &site.served());
        let before = fs::read(site.served()).unwrap();
        let reader = crate::reader::open(&site);
        let pin = reader.pin().unwrap();
        let sum = "SELECT CAST(sum(amount) AS BIGINT) FROM orders WHERE state = 'paid'";
        let shown = crate::reader::int(&crate::reader::ask(&pin, sum).unwrap());
        assert_eq!(shown, number(&site.served(), &sum.replace("orders", "serving.orders")));
        let status: Value = serde_json::from_str(&site.run(&["status", "--json"]).stdout).unwrap();
        assert_eq!(status["rows"], 700, "{version}: {status:#}");

        // The lakehouse has 70 rows less than what is served.
        site.ok(&["export", "-q"]);
        assert_eq!(site.number("SELECT count(*) FROM serving.orders"), 630, "{version}");
        site.ok(&["rollback"]);
        assert_eq!(fs::read(site.served()).unwrap(), before, "{version}");
    }
}
