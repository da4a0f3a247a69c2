//! Which relations are published, under which names, and when that is refused.

use std::fs;

use crate::support::{Ran, Site};

/// Returns the standard error of the command, with single spaces.
fn message(ran: &Ran) -> String {
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(ran: &Ran, expected: &[&str]) {
    for text in expected {
        assert!(message(ran).contains(text), "{text:?} is not in {}", message(ran));
    }
}

/// Returns the served tables with their schema.
fn served(site: &Site) -> Vec<String> {
    texts(
        site,
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'analytics' ORDER BY 1",
    )
}

fn texts(site: &Site, sql: &str) -> Vec<String> {
    let connection = crate::support::reading(&site.served());
    connection
        .prepare(sql)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn two_schemas() -> Site {
    Site::with(
        "CREATE SCHEMA marts; CREATE SCHEMA reports;
         CREATE TABLE marts.orders AS SELECT 1 AS a; CREATE TABLE marts.customers AS SELECT 2 AS a;
         CREATE VIEW reports.daily AS SELECT a + 10 AS a FROM marts.orders; CREATE TABLE reports.hidden AS SELECT 3 AS a;",
    )
}

#[test]
fn several_schemas_are_served_as_one() {
    for args in
        [vec!["--schema", "marts,reports"], vec!["--schema", "marts", "--schema", "reports"]]
    {
        let site = two_schemas();
        site.ok(&[vec!["export"], args].concat());
        assert_eq!(
            served(&site),
            ["marts.customers", "marts.daily", "marts.hidden", "marts.orders"]
        );
        assert_eq!(site.number("SELECT a FROM marts.daily"), 11);
    }
    let site = two_schemas();
    site.settings("[export]\nschema = ['marts', 'reports']\nas = 'serving'\nexclude = ['reports.hid*', 'customers']");
    site.ok(&["export"]);
    assert_eq!(served(&site), ["serving.daily", "serving.orders"]);
    assert!(site.ok(&["status"]).stdout.contains("schema serving from marts, reports"));
    assert!(site.ok(&["history"]).stdout.contains("schema serving"));
    let dry = site.ok(&["export", "--dry-run"]).stdout;
    assert!(
        dry.contains("would export 2 tables of schema marts, reports from lakehouse.duckdb")
            && dry.contains("as schema serving"),
        "{dry}"
    );
}

#[test]
fn unchanged_tables_of_several_schemas_are_recognised_and_a_changed_one_is_copied() {
    let site = two_schemas();
    site.settings("[export]\nschema = ['marts', 'reports']\nas = 'serving'\n[export.tables.daily]\norder_by = ['a']");
    site.ok(&["export"]);
    assert!(site.ok(&["export"]).stdout.starts_with("unchanged"));
    site.change("UPDATE reports.hidden SET a = 4");
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.contains("4 tables (1 copied, 3 unchanged)"), "{ran:#?}");
    assert_eq!(site.number("SELECT a FROM serving.hidden"), 4);
}

#[test]
fn include_and_exclude_choose_by_globs_and_a_typing_error_is_noticed() {
    let site = two_schemas();
    let ran = site.ok(&[
        "export",
        "--schema",
        "marts,reports",
        "--include",
        "marts.*,dail?",
        "--exclude",
        "custmers",
    ]);
    assert_eq!(served(&site), ["marts.customers", "marts.daily", "marts.orders"]);
    assert_says(&ran, &["\"custmers\" matches nothing"]);
    assert_says(
        &site.fails(&["export", "--schema", "marts", "--include", "none"], 1),
        &["include and exclude select none of them"],
    );
}

#[test]
fn two_relations_of_one_name_are_refused_until_one_is_renamed() {
    let site = two_schemas();
    site.ok(&["export", "--schema", "marts"]);
    site.change("CREATE TABLE reports.\"Orders\" AS SELECT 7 AS a");
    let ran = site.fails(&["export", "--schema", "marts,reports"], 1);
    assert_says(
        &ran,
        &[
            "marts.orders and reports.Orders would both be served as marts.Orders",
            "[export.rename] \"reports.Orders\" = \"Orders_reports\"",
        ],
    );
    site.settings("[export.rename]\n'reports.Orders' = 'orders_reports'");
    site.ok(&["export", "--schema", "marts,reports"]);
    assert_eq!(site.number("SELECT a FROM marts.orders_reports"), 7);
    assert_eq!(site.number("SELECT a FROM marts.orders"), 1);
}

#[test]
fn what_dbt_leaves_behind_is_not_served_unless_it_is_named() {
    let site = Site::with("CREATE SCHEMA serving; CREATE TABLE serving.prices AS SELECT 1 AS a");
    site.change("CREATE TABLE serving.prices__dbt_tmp AS SELECT 1 AS a; CREATE VIEW serving.prices__dbt_backup AS SELECT 1 AS a");
    let ran = site.ok(&["export"]);
    assert_eq!(served(&site), ["serving.prices"]);
    assert_says(&ran, &["excluded, a leftover of dbt: serving.prices__dbt_backup and 1 more"]);
    site.change("DROP TABLE serving.prices__dbt_tmp; DROP VIEW serving.prices__dbt_backup");
    site.ok(&["export", "--full"]);
    site.change("CREATE TABLE serving.other__dbt_tmp AS SELECT 1 AS a");
    site.ok(&["export", "--include", "*", "--include", "*__dbt_tmp"]);
    assert_eq!(served(&site), ["serving.other__dbt_tmp", "serving.prices"]);
}

#[test]
fn without_the_schema_the_error_lists_what_there_is_and_the_command_it_prints_works() {
    let site = Site::with(
        "CREATE SCHEMA sqlmesh; CREATE TABLE sqlmesh._states AS SELECT 1 AS a; CREATE SCHEMA mine;
         CREATE TABLE mine.a AS SELECT 1 AS a; CREATE TABLE raw AS SELECT 1 AS a;",
    );
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 1);
    assert_says(
        &ran,
        &[
            "has no schema \"serving\"",
            "main, 1 table: raw",
            "mine, 1 table: a",
            "materia export --schema mine",
            "schema = \"mine\"",
        ],
    );
    site.ok(&["export", "--schema", "mine"]);
}

#[test]
fn another_schema_than_the_served_one_is_refused_unless_it_is_allowed() {
    let site = Site::with(
        "CREATE SCHEMA marts; CREATE SCHEMA marts__dev; CREATE TABLE marts.t AS SELECT 1 AS a; CREATE TABLE marts__dev.t AS SELECT 2 AS a",
    );
    site.ok(&["export", "--schema", "marts"]);
    let ran = site.fails(&["export", "--schema", "marts__dev"], 1);
    assert_says(
        &ran,
        &[
            "the served file holds `marts`, this is `marts__dev`",
            "materia export --allow-schema-change --schema marts__dev",
        ],
    );
    // The schema is still a different one under the same name.
    let ran = site.fails(&["export", "--schema", "marts__dev", "--as", "marts"], 1);
    assert_says(&ran, &["the served file holds `marts`, this is `marts` from `marts__dev`"]);
    assert_eq!(site.run(&["export", "--schema", "marts__dev", "--dry-run"]).code, 1);
    site.ok(&["export", "--allow-schema-change", "--schema", "marts__dev"]);
    assert_eq!(site.number("SELECT a FROM marts__dev.t"), 2);
}

/// Creates a lakehouse whose pipeline attached it under a name other than its file's.
fn aliased() -> Site {
    let site = Site::empty();
    let connection = duckdb::Connection::open_in_memory().unwrap();
    connection
        .execute_batch(&format!(
            "ATTACH '{}' AS warehouse (STORAGE_VERSION 'v1.0.0'); USE warehouse.main;
             CREATE SCHEMA serving; CREATE SCHEMA physical; CREATE TABLE physical.t AS SELECT 7 AS a;
             CREATE VIEW serving.direct AS SELECT * FROM \"warehouse\".\"physical\".\"t\";
             CREATE VIEW serving.above AS SELECT a + 1 AS a FROM \"warehouse\".\"serving\".\"direct\";
             CHECKPOINT warehouse; USE memory; DETACH warehouse;",
            site.lakehouse().display()
        ))
        .unwrap();
    site
}

#[test]
fn a_lakehouse_is_read_under_the_name_that_its_views_use() {
    let site = aliased();
    site.ok(&["export"]);
    assert_eq!(site.number("SELECT a FROM serving.above"), 8);
    assert!(site.ok(&["export"]).stdout.starts_with("unchanged"));
    site.settings("[export]\ncatalog = 'warehouse'");
    site.ok(&["export", "--full"]);
    assert_eq!(site.number("SELECT a FROM serving.above"), 8);
}

#[test]
fn a_view_over_another_file_is_served_when_that_file_is_named() {
    let site = Site::empty();
    let connection = duckdb::Connection::open_in_memory().unwrap();
    connection
        .execute_batch(&format!(
            "ATTACH '{}' AS raw (STORAGE_VERSION 'v1.0.0'); CREATE TABLE raw.main.events AS SELECT 5 AS a;
             ATTACH '{}' AS lakehouse (STORAGE_VERSION 'v1.0.0'); CREATE SCHEMA lakehouse.serving;
             CREATE VIEW lakehouse.serving.v AS SELECT * FROM raw.main.events;
             CHECKPOINT raw; CHECKPOINT lakehouse; DETACH lakehouse; DETACH raw;",
            site.path("events.duckdb").display(),
            site.lakehouse().display()
        ))
        .unwrap();
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 1);
    assert_says(
        &ran,
        &[
            "serving.v reads raw.main.events, and no file is attached as raw",
            "[export.attach] raw = \"raw.duckdb\"",
        ],
    );
    fs::create_dir(site.path("etc")).unwrap();
    fs::write(
        site.path("etc/materia.toml"),
        "lakehouse = '../lakehouse.duckdb'\n[export.attach]\nraw = '../events.duckdb'",
    )
    .unwrap();
    site.ok(&["--config", "etc/materia.toml", "export"]);
    assert_eq!(site.number("SELECT a FROM serving.v"), 5);
    assert!(!site.names().contains(&"_export.work".to_owned()));
    // An export waits for a process that is writing an attached file, and names it.
    let writer = duckdb::Connection::open(site.path("events.duckdb")).unwrap();
    let ran = site.fails(&["--config", "etc/materia.toml", "export", "--wait", "0s"], 1);
    assert_says(&ran, &["events.duckdb cannot be attached as raw", "held by", "(--wait)"]);
    drop(writer);
    site.ok(&["--config", "etc/materia.toml", "export"]);
    fs::write(
        site.path("etc/materia.toml"),
        "lakehouse = '../lakehouse.duckdb'\n[export.attach]\nraw = 'none.duckdb'",
    )
    .unwrap();
    assert_says(
        &site.fails(&["--config", "etc/materia.toml", "export"], 1),
        &["none.duckdb cannot be attached as raw", "there is no such file"],
    );
}

#[test]
fn views_are_evaluated_in_utc_wherever_the_exporter_runs_unless_a_zone_is_set() {
    if duckdb::Connection::open_in_memory().unwrap().execute_batch("LOAD icu").is_err() {
        println!("skipped: this DuckDB has no ICU");
        return;
    }
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE r AS SELECT TIMESTAMPTZ '2024-03-31 00:30:00+00' AS t;
         CREATE VIEW serving.v AS SELECT t::DATE::VARCHAR AS d, strftime(t, '%H:%M') AS s FROM r;",
    );
    let read = |site: &Site| texts(site, "SELECT d || ' ' || s FROM serving.v");
    for zone in ["America/New_York", "Asia/Tokyo", "UTC"] {
        let ran = site.command(&["export", "--full"]).env("TZ", zone).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert_eq!(read(&site), ["2024-03-31 00:30"], "{zone}");
    }
    // A different time zone copies tables that are unchanged in the lakehouse.
    let ran = site.ok(&["export", "--time-zone", "America/New_York"]);
    assert!(ran.stdout.starts_with("published"), "{ran:#?}");
    assert_eq!(read(&site), ["2024-03-30 20:30"]);
    let newest = site.kept().pop().unwrap();
    let manifest = fs::read_to_string(site.generation(&newest).with_extension("json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["time_zone"],
        "America/New_York"
    );
    assert_says(
        &site.fails(&["export", "--time-zone", "Nowhere/City"], 1),
        &["time zone \"Nowhere/City\" (export.time_zone)"],
    );
}
