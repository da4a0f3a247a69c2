//! Views may read outside the lakehouse only the files that the settings allow, and nothing that
//! reveals information about the exporter.

use std::{fs, os::unix::fs::symlink};

use duckdb::Connection;

use crate::support::{Site, reading};

/// Creates a lakehouse in `project` with views over files at paths relative to it, and with these
/// settings.
fn project(views: &str, settings: &str) -> Site {
    let site = Site::empty();
    for folder in ["project/data/days/day=1", "project/data/days/day=2"] {
        fs::create_dir_all(site.path(folder)).unwrap();
    }
    let connection = Connection::open_in_memory().unwrap();
    let files = [
        ("data/a", 1),
        ("data/b", 2),
        ("data/days/day=1/x", 3),
        ("data/days/day=2/x", 4),
        ("other", 5),
    ];
    for (file, value) in files {
        connection
            .execute_batch(&format!(
                "COPY (SELECT {value} AS a) TO '{}'",
                site.path(&format!("project/{file}.parquet")).display()
            ))
            .unwrap();
    }
    fs::write(site.path("project/data/c.csv"), "a,name\n6,é\n").unwrap();
    fs::write(site.path("project/materia.toml"), settings).unwrap();
    // DuckDB binds a view when it is created: in the project's folder, as a pipeline would.
    let folder = site.path("project").display().to_string();
    connection
        .execute_batch(&format!(
            "ATTACH '{folder}/lakehouse.duckdb' AS lakehouse (STORAGE_VERSION 'v1.0.0'); USE lakehouse.main;
             CREATE SCHEMA serving; CREATE SCHEMA staging; CREATE TABLE serving.ok AS SELECT 1 AS a; SET file_search_path = '{folder}';
             {views}; CHECKPOINT lakehouse; USE memory; DETACH lakehouse;"
        ))
        .unwrap();
    site
}

/// Exports from a folder other than the project's.
fn export(site: &Site) -> crate::support::Ran {
    site.run(&["--config", "project/materia.toml", "export"])
}

fn values(site: &Site, table: &str) -> String {
    let connection = reading(&site.path("project/analytics.duckdb"));
    connection
        .query_row(
            &format!("SELECT string_agg(v::VARCHAR, ' ' ORDER BY v) FROM serving.{table} t(v)"),
            [],
            |row| row.get(0),
        )
        .unwrap()
}

#[test]
fn views_over_allowed_files_are_served_wherever_the_export_runs() {
    let site = project(
        "CREATE VIEW staging.raw AS SELECT 'é' AS e, * FROM 'data/a.parquet';
         CREATE VIEW staging.named (p, q) AS SELECT a, a + 10 FROM read_parquet(['data/a.parquet', 'data/b.parquet']);
         CREATE VIEW serving.scanned AS SELECT * FROM 'data/*.parquet';
         CREATE VIEW serving.globbed AS SELECT a FROM read_parquet('data/*.parquet') t WHERE a > 1;
         CREATE VIEW serving.hive AS SELECT a * 10 + day AS v FROM read_parquet('data/days/**/*.parquet', hive_partitioning = true);
         CREATE VIEW serving.nested AS SELECT n.q FROM staging.raw r JOIN staging.named n ON r.a = n.p;
         CREATE VIEW serving.renamed AS SELECT named.q FROM staging.named;
         CREATE VIEW serving.top (v) AS SELECT a FROM 'data/b.parquet';
         CREATE VIEW serving.csv AS SELECT a FROM read_csv('data/c.csv') WHERE name = 'é';
         CREATE VIEW serving.with_part AS WITH z AS (SELECT * FROM staging.raw) SELECT a FROM z",
        "[export]\nfiles = ['data/**/*.parquet', 'data/c.csv']",
    );
    let ran = export(&site);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let all = ["scanned", "globbed", "hive", "nested", "renamed", "top", "csv", "with_part"]
        .map(|table| values(&site, table));
    assert_eq!(all, ["1 2", "2", "31 42", "11", "11 12", "2", "6", "1"]);
}

#[test]
fn a_view_over_a_file_that_is_not_allowed_is_refused_with_the_setting_to_write() {
    let allowed =
        "[export]\nfiles = ['data/a.parquet', 'data/days/*/*.parquet', 'links/*.parquet']";
    for view in [
        "'other.parquet'",
        "read_parquet('data/*.parquet')",
        "read_parquet(['data/a.parquet', 'data/b.parquet'])",
        "read_text('other.parquet')",
    ] {
        let site = project(
            &format!(
                "CREATE VIEW staging.below AS SELECT * FROM {view}; CREATE VIEW serving.v AS SELECT 1 AS v FROM staging.below"
            ),
            allowed,
        );
        let ran = export(&site);
        assert_eq!(ran.code, 1, "{view}: {ran:#?}");
        assert!(
            ran.stderr.contains("serving.v reads ")
                && ran.stderr.contains("export.files")
                && ran.stderr.contains("files = ["),
            "{ran:#?}"
        );
        assert!(!site.path("project/analytics.duckdb").exists());
    }
    // Without the setting, views may not read any file.
    let site = project("CREATE VIEW serving.v AS SELECT * FROM 'data/a.parquet'", "");
    assert_eq!(export(&site).code, 1);
}

#[test]
fn a_link_out_of_an_allowed_folder_leads_nowhere() {
    let site = project(
        "CREATE VIEW serving.v AS SELECT * FROM 'data/a.parquet'",
        "[export]\nfiles = ['data/*.parquet']",
    );
    assert_eq!(export(&site).code, 0);
    fs::remove_file(site.path("project/data/a.parquet")).unwrap();
    symlink(site.path("project/other.parquet"), site.path("project/data/a.parquet")).unwrap();
    let ran = export(&site);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("is a link out of its folder"), "{ran:#?}");
    assert_eq!(values(&site, "v"), "1");
}

#[test]
fn a_view_that_reveals_the_exporter_its_machine_or_the_network_is_refused() {
    let site = Site::small();
    site.ok(&["export"]);
    let secret = site.path("secret.txt");
    fs::write(&secret, "TOP-SECRET").unwrap();
    let (secret, lakehouse) =
        (secret.display().to_string(), site.lakehouse().display().to_string());
    let files = [
        format!("SELECT * FROM read_text('{secret}')"),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT size FROM read_blob('{lakehouse}')"),
        format!("SELECT * FROM query('SELECT content FROM read_text(''{secret}'')')"),
    ];
    let own = [
        "SELECT name, value FROM duckdb_settings()",
        "SELECT name, value FROM duckdb_variables()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_extensions()",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM pragma_platform()",
        "SELECT * FROM glob('/*')",
        "SELECT current_setting('temp_directory') AS a",
        "SELECT (SELECT max(value) FROM duckdb_settings()) AS a",
        "WITH s AS (SELECT * FROM duckdb_memory()) SELECT * FROM s",
        "SELECT * FROM (WITH duckdb_databases AS (SELECT 1 AS z) SELECT 1 AS y), duckdb_databases",
        "SELECT getvariable('x') AS a",
        "SELECT current_query() AS a",
        "SELECT telling() AS a",
        "SELECT * FROM listing()",
        "SELECT * FROM generated",
        "SELECT * FROM query_table('duckdb_databases')",
    ];
    site.change(
        "CREATE TABLE generated (a INTEGER, b VARCHAR GENERATED ALWAYS AS (current_setting('temp_directory'))); CREATE MACRO telling() AS current_setting('temp_directory'); CREATE MACRO listing() AS TABLE SELECT * FROM duckdb_settings()",
    );
    for view in files.iter().map(String::as_str).chain(own) {
        site.change(&format!("CREATE OR REPLACE VIEW serving.names2 AS {view}"));
        let ran = site.fails(&["export"], 1);
        assert!(
            ran.stderr.contains("serving.names2 ") && ran.stderr.contains("nothing was published"),
            "{view}: {ran:#?}"
        );
        assert!(!ran.stderr.contains("TOP-SECRET"), "{ran:#?}");
    }
}

#[test]
fn a_view_over_the_network_is_refused_and_nothing_is_fetched_for_it() {
    let site = Site::with("CREATE SCHEMA serving; CREATE TABLE serving.ok AS SELECT 1 AS a");
    for address in ["http://127.0.0.1:9/x.csv", "s3://bucket/x.parquet"] {
        // Created as a table of this name first, since DuckDB would access the URL when the view is
        // created.
        site.change(&format!(
            "CREATE TABLE main.\"{address}\" AS SELECT 1 AS a; CREATE OR REPLACE VIEW serving.v AS SELECT * FROM \"{address}\"; DROP TABLE main.\"{address}\""
        ));
        let home = site.path("home");
        let ran = crate::support::Ran::of(
            &site.command(&["export"]).env("HOME", &home).output().unwrap(),
        );
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(
            ran.stderr.contains(&format!("serving.v reads {address}"))
                && ran.stderr.contains("over the network"),
            "{ran:#?}"
        );
        assert!(!home.exists(), "something was installed");
    }
}

#[test]
fn views_over_the_catalog_and_harmless_functions_are_still_served() {
    let site = Site::with(&format!(
        "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 1 AS a; CREATE MACRO twice(x) AS x * 2;
         CREATE VIEW serving.dictionary AS SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'serving';
         CREATE VIEW serving.united AS {};
         CREATE VIEW serving.numbers AS SELECT twice(i) AS n, version() AS v FROM range(3) r(i), unnest([1]) u(x);",
        vec!["SELECT 1 AS a"; 300].join(" UNION ALL "),
    ));
    site.ok(&["export"]);
    assert_eq!(site.number("SELECT max(n) FROM serving.numbers"), 4);
}

#[test]
fn a_view_that_is_larger_than_the_memory_ends_and_says_what_to_do() {
    let site = Site::small();
    site.ok(&["export"]);
    site.change("CREATE VIEW serving.large AS SELECT repeat('x', 300000000) AS x FROM range(20)");
    let ran = site.fails(&["export", "--memory-limit", "300MB"], 1);
    assert!(
        ran.stderr.contains("--memory-limit") && !ran.stderr.contains("Possible solutions"),
        "{ran:#?}"
    );
}
