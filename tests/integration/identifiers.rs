//! Tables and columns are served under their own names, whatever a pipeline calls them and however
//! its views are written.

use std::time::Instant;

use crate::support::{Site, reading};

/// Returns every row of `sql` on the served file, as text.
fn values(site: &Site, sql: &str) -> Vec<String> {
    let connection = reading(&site.served());
    let mut statement =
        connection.prepare(&format!("SELECT COLUMNS(*)::VARCHAR AS x FROM ({sql})")).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Returns the names of the served tables, sorted by code point.
fn tables(site: &Site) -> Vec<String> {
    let mut tables =
        values(site, "SELECT table_name FROM duckdb_tables() WHERE database_name = 'analytics'");
    tables.sort();
    tables
}

const ODD: [&str; 16] = [
    "select",
    "UPPER Case",
    "a\"b",
    "a.b",
    "a b",
    "a'b",
    " ",
    ".",
    "\"",
    "☕",
    "Größe",
    "日本語",
    "semi;colon",
    "--",
    "line\nbreak",
    "_export",
];

#[test]
fn tables_and_columns_with_any_name_are_served_under_it() {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut sql = String::from("CREATE SCHEMA serving;");
    for (index, name) in ODD.iter().enumerate() {
        let columns: Vec<_> = ODD
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{} AS {}", at + index * 100, quote(column)))
            .collect();
        sql += &format!("CREATE TABLE serving.{} AS SELECT {};", quote(name), columns.join(", "));
        sql += &format!(
            "CREATE VIEW serving.{} AS FROM serving.{};",
            quote(&format!("view of {name}")),
            quote(name)
        );
    }
    let site = Site::with(&sql);
    site.ok(&["export"]);
    // The second export must recognize the published tables by their names and compare them.
    site.ok(&["export"]);
    let mut expected: Vec<_> =
        ODD.iter().flat_map(|name| [(*name).to_owned(), format!("view of {name}")]).collect();
    expected.sort();
    assert_eq!(tables(&site), expected);
    for (index, name) in ODD.iter().enumerate() {
        for (at, column) in ODD.iter().enumerate() {
            let sql =
                format!("SELECT {}::BIGINT FROM analytics.serving.{}", quote(column), quote(name));
            assert_eq!(
                site.number(&sql),
                i64::try_from(at + index * 100).unwrap(),
                "{name:?}.{column:?}"
            );
        }
    }
}

#[test]
fn three_hundred_columns_keep_their_order() {
    let columns: Vec<_> = (0..300).map(|n| format!("{n} AS c{}", (n * 7) % 300)).collect();
    let site = Site::with(&format!(
        "CREATE SCHEMA serving; CREATE TABLE serving.wide AS SELECT {}",
        columns.join(", ")
    ));
    site.ok(&["export"]);
    let served = values(
        &site,
        "SELECT column_name FROM duckdb_columns() WHERE table_name = 'wide' ORDER BY column_index",
    );
    assert_eq!(served, (0..300).map(|n| format!("c{}", (n * 7) % 300)).collect::<Vec<_>>());
}

#[test]
fn five_hundred_tables_take_no_longer_each_than_a_hundred() {
    let seconds = |count: usize| {
        let tables: Vec<_> = (0..count)
            .map(|n| format!("CREATE TABLE serving.t{n} AS SELECT {n} AS a, 'x' AS b;"))
            .collect();
        let site = Site::with(&format!("CREATE SCHEMA serving; {}", tables.concat()));
        // The second export has a generation to compare with.
        site.ok(&["export", "-q"]);
        let begun = Instant::now();
        site.ok(&["export", "-q"]);
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(tables_served(&site), i64::try_from(count).unwrap());
        took
    };
    let (hundred, five_hundred) = (seconds(100), seconds(500));
    println!("100 tables: {hundred:.2} s, 500 tables: {five_hundred:.2} s");
    // Linear time would be a factor of 5, quadratic time 25; a busy machine is in between.
    assert!(
        five_hundred < hundred * 12.0,
        "100 tables took {hundred:.2} s, 500 took {five_hundred:.2} s"
    );
}

fn tables_served(site: &Site) -> i64 {
    site.number("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'analytics'")
}

#[test]
fn views_on_views_macros_and_tables_without_a_schema_are_served_with_their_values() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE base AS SELECT 4 AS v; CREATE TABLE serving.own AS SELECT 5 AS v;
         CREATE MACRO double(x) AS x * 2; CREATE MACRO serving.triple(x) AS x * 3; CREATE MACRO three() AS TABLE SELECT 3 AS n;
         CREATE VIEW serving.one AS SELECT double(v) AS w FROM base;
         CREATE VIEW serving.two AS SELECT serving.triple(w) AS u FROM serving.one;
         CREATE VIEW serving.three AS SELECT u + 1 AS t FROM serving.two;
         CREATE VIEW serving.of_table_macro AS SELECT n FROM three();
         CREATE VIEW serving.json AS SELECT json_extract('{\"a\": 1}', '$.a') AS a, '{\"b\":2}'::JSON AS b;
         USE lakehouse.serving; CREATE VIEW beside AS FROM own;",
    );
    site.ok(&["export"]);
    for (table, value) in
        [("one", "8"), ("two", "24"), ("three", "25"), ("of_table_macro", "3"), ("beside", "5")]
    {
        assert_eq!(values(&site, &format!("FROM serving.{table}")), [value], "{table}");
    }
    assert_eq!(values(&site, "SELECT a || ' ' || b FROM serving.json"), ["1 {\"b\":2}"]);
}

#[test]
fn views_that_use_time_zones_are_served_where_duckdb_knows_them() {
    if duckdb::Connection::open_in_memory().unwrap().execute_batch("LOAD icu").is_err() {
        println!("skipped: this DuckDB has no ICU");
        return;
    }
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE VIEW serving.zoned AS
         SELECT strftime(TIMESTAMPTZ '2026-07-01 12:00:00+00' AT TIME ZONE 'Europe/Berlin', '%H:%M') AS berlin,
                date_trunc('day', TIMESTAMPTZ '2026-07-01 12:00:00+00') IS NOT NULL AS truncated;",
    );
    site.ok(&["export"]);
    assert_eq!(values(&site, "SELECT berlin FROM serving.zoned"), ["14:00"]);
}

#[test]
fn comments_with_quotes_and_line_breaks_arrive_as_they_are() {
    let comment = "it's \"so\";\n-- and ☕ more\\n";
    let literal = comment.replace('\'', "''");
    let site = Site::with(&format!(
        "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 1 AS \"a b\"; CREATE VIEW serving.v AS SELECT 1 AS c;
         COMMENT ON TABLE serving.t IS '{literal}'; COMMENT ON COLUMN serving.t.\"a b\" IS '{literal}';
         COMMENT ON VIEW serving.v IS '{literal}'; COMMENT ON COLUMN serving.v.c IS '{literal}';",
    ));
    site.ok(&["export"]);
    let comments = "SELECT comment FROM duckdb_tables() WHERE database_name = 'analytics'
        UNION ALL SELECT comment FROM duckdb_columns() WHERE database_name = 'analytics'";
    assert_eq!(values(&site, comments), [comment; 4]);
}

#[test]
fn a_column_that_may_hold_no_null_still_may_not() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.t (a INTEGER NOT NULL, b INTEGER); INSERT INTO serving.t VALUES (1, 2)",
    );
    site.ok(&["export"]);
    let nullable = "SELECT column_name || ' ' || is_nullable FROM duckdb_columns() WHERE table_name = 't' ORDER BY column_index";
    assert_eq!(values(&site, nullable), ["a false", "b true"]);
}

#[test]
fn a_table_with_constraints_defaults_and_generated_columns_is_served_with_its_values() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE SEQUENCE numbers; CREATE TABLE serving.kinds (kind VARCHAR PRIMARY KEY);
         INSERT INTO serving.kinds VALUES ('x'), ('y');
         CREATE TABLE serving.keyed (
             id INTEGER PRIMARY KEY DEFAULT nextval('numbers'), kind VARCHAR UNIQUE REFERENCES serving.kinds (kind),
             size INTEGER CHECK (size > 0), twice INTEGER GENERATED ALWAYS AS (size * 2) VIRTUAL);
         INSERT INTO serving.keyed (kind, size) VALUES ('x', 10), ('y', 20);
         CREATE INDEX by_size ON serving.keyed (size);",
    );
    site.ok(&["export"]);
    assert_eq!(
        values(
            &site,
            "SELECT concat_ws(' ', id, kind, size, twice) FROM serving.keyed ORDER BY id"
        ),
        ["1 x 10 20", "2 y 20 40"]
    );
}

#[test]
fn order_by_sorts_the_served_table() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT hash(i) AS h, i % 3 AS \"g r\" FROM range(5000) t(i)",
    );
    site.settings("[export.tables.t]\norder_by = ['\"g r\" DESC', 'h']");
    site.ok(&["export"]);
    let before = "SELECT rowid AS r, h, \"g r\" AS g, lag(h) OVER by_row AS lh, lag(\"g r\") OVER by_row AS lg FROM serving.t WINDOW by_row AS (ORDER BY rowid)";
    assert_eq!(
        site.number(&format!(
            "SELECT count(*) FROM ({before}) WHERE g > lg OR (g = lg AND h < lh)"
        )),
        0
    );
    assert_eq!(site.number("SELECT count(*) FROM serving.t"), 5_000);
}

#[test]
fn an_order_by_that_cannot_be_followed_names_the_setting() {
    let site = Site::small();
    site.ok(&["export"]);
    site.settings("[export.tables.numbers]\norder_by = ['nothing']");
    let ran = site.fails(&["export"], 1);
    assert!(
        ran.stderr.contains("could not copy serving.numbers in the order of [export.tables.numbers], nothing: Binder Error"),
        "{ran:#?}"
    );
}

#[test]
fn tables_of_no_row_and_of_one_row_are_served() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.none (a INTEGER); CREATE TABLE serving.one AS SELECT 1 AS a",
    );
    let ran = site.ok(&["export"]);
    assert_eq!(
        (
            site.number("SELECT count(*) FROM serving.none"),
            site.number("SELECT count(*) FROM serving.one")
        ),
        (0, 1)
    );
    assert!(ran.stderr.contains(" 0 rows") && ran.stderr.contains(" 1 row "), "{ran:#?}");
    site.ok(&["export"]);
}

#[test]
fn only_the_requested_schema_is_served() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE SCHEMA serving__dev; CREATE TABLE serving.mine AS SELECT 1 AS a;
         CREATE TABLE serving__dev.not_mine AS SELECT 1 AS a; CREATE TABLE elsewhere AS SELECT 1 AS a;
         CREATE TEMP TABLE passing AS SELECT 1 AS a; CREATE TEMP VIEW passing_view AS SELECT 1 AS a;",
    );
    site.ok(&["export"]);
    assert_eq!(tables(&site), ["mine"]);
    let schemas = "SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'analytics' ORDER BY schema_name";
    assert_eq!(values(&site, schemas), ["main", "serving"]);
}

#[test]
fn another_schema_can_be_served_and_its_case_need_not_be_known() {
    let site = Site::with(
        "CREATE SCHEMA \"Marts\"; CREATE TABLE \"Marts\".t AS SELECT 1 AS a; CREATE TABLE plain AS SELECT 2 AS a",
    );
    site.ok(&["export", "--schema", "mARTS"]);
    let schemas = "SELECT schema_name FROM duckdb_tables() WHERE database_name = 'analytics'";
    assert_eq!(values(&site, schemas), ["Marts"]);
    site.ok(&["export", "--schema", "main", "--to", "plain.duckdb"]);
    assert_eq!(
        crate::support::number(&site.path("plain.duckdb"), "SELECT a FROM plain.main.plain"),
        2
    );
}
