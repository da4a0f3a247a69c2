//! Nothing that fails its audits is published; a refusal names every failed audit with its figures.

use std::fs;

use crate::support::{Ran, Site, number};

/// 10 orders by 4 customers, one without a date, and a second table.
const ORDERS: &str = "CREATE SCHEMA serving;
    CREATE TABLE serving.orders AS SELECT i AS id, i % 4 AS customer, CASE WHEN i > 0 THEN DATE '2026-01-01' + i::INTEGER END AS day FROM range(10) t(i);
    CREATE TABLE serving.names AS SELECT 'a' AS name;";

/// Creates a site that serves `ORDERS`.
fn orders() -> Site {
    let site = Site::with(ORDERS);
    site.ok(&["export"]);
    site
}

/// Creates a site with these settings that does not serve anything yet.
fn site_with(settings: &str) -> Site {
    let site = Site::with(ORDERS);
    site.settings(settings);
    site
}

/// Returns the lines of a refusal, without indentation.
fn refusals(ran: &Ran) -> Vec<&str> {
    let text = ran.stderr.split_once("materia: refused: ").unwrap().1;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let end = lines.iter().position(|line| *line == "Nothing was published.").unwrap();
    assert!(
        lines[end + 1..].iter().any(|line| line.starts_with("To allow it once: materia export --")),
        "{}",
        ran.stderr
    );
    lines[..end].to_vec()
}

/// Runs the first export, which must be refused for exactly these reasons.
fn assert_refused(settings: &str, expected: &[&str]) {
    let site = site_with(settings);
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert_eq!(refusals(&ran), expected);
    assert_eq!(site.names(), ["analytics.history.jsonl", "lakehouse.duckdb", "materia.toml"]);
}

fn assert_published(settings: &str) -> Ran {
    site_with(settings).ok(&["export"])
}

/// Returns the manifest of the served generation.
fn manifest(site: &Site) -> serde_json::Value {
    let id = site.history().last().unwrap()["generation"].as_str().unwrap().to_owned();
    serde_json::from_slice(
        &fs::read(site.path(&format!("analytics.generations/{id}.json"))).unwrap(),
    )
    .unwrap()
}

#[test]
fn every_table_is_checked_to_be_there_with_its_columns_and_rows() {
    let site = orders();
    let audits = manifest(&site)["audits"].as_array().unwrap().clone();
    let made: Vec<_> = audits
        .iter()
        .map(|audit| {
            format!("{} {} {}", audit["table"], audit["name"], audit["found"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        made,
        [
            "names present is in the staged file",
            "names copied has its 1 column",
            "names rows has 1 row",
            "orders present is in the staged file",
            "orders copied has its 3 columns",
            "orders rows has 10 rows"
        ]
    );
    assert!(audits.iter().all(|audit| audit["passed"] == true));
}

#[test]
fn a_table_that_became_empty_is_refused_unless_it_may() {
    let site = orders();
    site.change("DELETE FROM serving.orders");
    assert_eq!(
        refusals(&site.fails(&["export"], 3)),
        ["orders has 0 rows, 10 in the served generation (not_empty)"]
    );
    site.settings("[export.tables.orders]\nallow_empty = true");
    site.ok(&["export"]);
    // A table that was empty before may stay empty.
    site.settings("");
    site.ok(&["export"]);
}

#[test]
fn a_table_may_lose_half_of_its_rows_and_not_one_more() {
    let site = orders();
    site.change("DELETE FROM serving.orders WHERE id >= 4");
    let ran = site.fails(&["export"], 3);
    assert_eq!(
        refusals(&ran),
        ["orders has 4 rows, 10 in the served generation, at most 50 % fewer allowed (max_drop)"]
    );
    site.change("INSERT INTO serving.orders VALUES (4, 0, NULL)");
    site.ok(&["export"]);
}

#[test]
fn the_allowed_drop_is_exact_at_its_boundary_and_a_tables_own_wins() {
    for (share, before, after) in [
        ("0.3", 10, 7),
        ("0.1", 10, 9),
        ("0.7", 10, 3),
        ("0.005", 200, 199),
        ("0.0", 5, 5),
        ("1.0", 1000, 1),
    ] {
        let rows = |rows: u32| {
            format!(
                "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i FROM range({rows}) r(i)"
            )
        };
        let site = Site::with(&rows(before));
        site.settings(&format!("[export]\nmax_drop = 0.5\n[export.tables.t]\nmax_drop = {share}"));
        site.ok(&["export"]);
        if after > 1 {
            site.replace(&rows(after - 1));
            site.fails(&["export"], 3);
        }
        site.replace(&rows(after));
        site.ok(&["export"]);
    }
}

#[test]
fn a_table_that_is_gone_is_refused_unless_it_may_be() {
    let site = orders();
    site.change("DROP TABLE serving.orders");
    let expected = [
        "orders is not in the lakehouse's serving any more, 10 rows in the served generation (lost)",
    ];
    assert_eq!(refusals(&site.fails(&["export"], 3)), expected);
    site.settings("[export.tables.orders]\nallow_lost = true");
    site.ok(&["export"]);
    assert_eq!(
        site.number("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'analytics'"),
        1
    );
    site.ok(&["export"]);
}

#[test]
fn dropped_and_retyped_columns_are_refused_and_new_ones_are_not() {
    let site = orders();
    site.change("ALTER TABLE serving.orders DROP COLUMN day; ALTER TABLE serving.orders ALTER customer TYPE VARCHAR; ALTER TABLE serving.orders ADD COLUMN added INTEGER");
    let expected = "orders changed columns against the served generation: customer was BIGINT and is VARCHAR; day (DATE) is gone (columns)";
    assert_eq!(refusals(&site.fails(&["export"], 3)), [expected]);
    site.settings("[export.tables.orders]\nallow_column_changes = true");
    site.ok(&["export"]);
    site.settings("");
    site.change("ALTER TABLE serving.orders ADD COLUMN more INTEGER");
    site.ok(&["export"]);
}

#[test]
fn every_failed_audit_is_named_not_only_the_first() {
    let site = orders();
    site.change("DELETE FROM serving.orders WHERE id > 0; DROP TABLE serving.names");
    site.settings("[export.tables.orders]\nmin_rows = 3\nnot_null = ['day']");
    let ran = site.fails(&["export"], 3);
    assert_eq!(
        refusals(&ran),
        [
            "orders has 1 row, 10 in the served generation, at most 50 % fewer allowed (max_drop)",
            "orders has 1 row, at least 3 wanted (min_rows)",
            "orders has 1 row without day (not_null)",
            "names is not in the lakehouse's serving any more, 1 row in the served generation (lost)"
        ]
    );
    let record = site.history().pop().unwrap();
    assert_eq!(record["audits_failed"].as_array().unwrap().len(), 4);
    assert_eq!(record["tables"][0]["previous_rows"], 10);
}

#[test]
fn columns_that_must_not_be_null_are_counted() {
    assert_refused(
        "[export.tables.orders]\nnot_null = ['id', 'day']",
        &["orders has 1 row without day (not_null)"],
    );
    assert_published("[export.tables.orders]\nnot_null = ['id', 'CUSTOMER']");
}

#[test]
fn keys_are_checked_one_or_several_of_one_column_or_several() {
    let one = "[export.tables.orders]\nunique = ['customer']";
    assert_refused(one, &["orders has 4 values of (customer) more than once (unique)"]);
    let several = "[export.tables.orders]\nunique = [['id'], ['customer'], ['customer', 'id']]";
    assert_refused(several, &["orders has 4 values of (customer) more than once (unique)"]);
    assert_published("[export.tables.orders]\nunique = ['id']\n");
    assert_published("[export.tables.orders]\nunique = [['id'], ['customer', 'day']]\n");
}

#[test]
fn too_few_rows_are_refused() {
    assert_refused(
        "[export.tables.orders]\nmin_rows = 11",
        &["orders has 10 rows, at least 11 wanted (min_rows)"],
    );
    assert_published("[export.tables.orders]\nmin_rows = 10");
}

#[test]
fn data_that_is_too_old_is_refused_with_its_age() {
    let fresh = |within: &str| {
        format!("[export.tables.orders]\nfresh = {{ column = 'day', within = '{within}' }}")
    };
    let site = site_with(&fresh("1d"));
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let refused = refusals(&ran);
    assert!(
        refused[0].starts_with("orders ends at day 2026-01-10")
            && refused[0].ends_with(" ago, at most 1 d (fresh)"),
        "{refused:?}"
    );
    assert_published(&fresh("36500d"));
    for newest in ["current_date", "now()", "current_date + 3"] {
        let site = Site::with(&format!(
            "CREATE SCHEMA serving; CREATE TABLE serving.orders AS SELECT {newest} AS day"
        ));
        site.settings(&fresh("25h"));
        site.ok(&["export"]);
    }
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.orders AS SELECT NULL::DATE AS day",
    );
    site.settings(&fresh("1d"));
    assert_eq!(refusals(&site.run(&["export"])), ["orders has no value of day (fresh)"]);
}

#[test]
fn an_audit_in_sql_refuses_by_every_row_it_returns() {
    let audit = |sql: &str, more: &str| {
        format!("[[export.audits]]\nname = 'no early orders'\nsql = \"\"\"{sql}\"\"\"\n{more}")
    };
    assert_refused(
        &audit("SELECT * FROM orders WHERE id < 3;", ""),
        &["returned 3 rows (no early orders)"],
    );
    assert_refused(
        &audit("SELECT * FROM orders WHERE id < 1 -- the first", ""),
        &["returned 1 row (no early orders)"],
    );
    assert_refused(
        &audit("FROM serving.orders SEMI JOIN names ON id = 3", "severity = 'error'"),
        &["returned 1 row (no early orders)"],
    );
    assert_published(&audit("WITH early AS (FROM orders) SELECT * FROM early WHERE id < 0", ""));
    let ran = assert_published(&audit("FROM orders", "severity = 'warn'"));
    assert!(
        ran.stdout.starts_with("warning: returned 10 rows (no early orders)\npublished "),
        "{ran:#?}"
    );
}

#[test]
fn an_audit_that_cannot_run_has_failed_and_says_why() {
    let site = site_with("[[export.audits]]\nname = 'typing'\nsql = 'FROM ordres'");
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(
        ran.stderr.contains(
            "refused: could not be checked: Catalog Error: Table with name ordres does not exist!"
        ),
        "{ran:#?}"
    );
    assert!(
        ran.stderr.contains("Did you mean \"orders\"?") && ran.stderr.contains("(typing)"),
        "{ran:#?}"
    );
    // Audits have access to the staged file only.
    fs::write(site.path("other.csv"), "a\n1\n").unwrap();
    site.settings(&format!(
        "[[export.audits]]\nname = 'reaching out'\nsql = \"FROM '{}'\"",
        site.path("other.csv").display()
    ));
    assert_eq!(site.run(&["export"]).code, 3);
    site.settings("[[export.audits]]\nname = 'writing'\nsql = 'DELETE FROM orders RETURNING *'");
    assert_eq!(site.run(&["export"]).code, 3);
}

#[test]
fn settings_for_what_does_not_exist_are_refused_with_the_nearest_name() {
    assert_refused(
        "[export.tables.order]\nmin_rows = 1",
        &[
            "order has settings in [export.tables] and is not in serving; did you mean \"orders\"? (configured)",
        ],
    );
    assert_refused(
        "[export.tables.orders]\nnot_null = ['custmer']\nunique = ['idd']\nfresh = { column = 'dya', within = '1d' }",
        &[
            "orders has no column \"custmer\"; did you mean \"customer\"? (not_null)",
            "orders has no column \"idd\"; did you mean \"id\"? (unique)",
            "orders has no column \"dya\"; did you mean \"day\"? (fresh)",
        ],
    );
}

#[test]
fn a_forced_export_is_published_says_so_and_is_what_the_next_one_is_compared_with() {
    let site = orders();
    site.change("DELETE FROM serving.orders WHERE id > 0");
    let ran = site.ok(&["export", "--force"]);
    assert!(
        ran.stdout.starts_with("forced: orders has 1 row, 10 in the served generation"),
        "{ran:#?}"
    );
    assert_eq!(site.history().pop().unwrap()["forced"], true);
    assert_eq!(manifest(&site)["forced"], true);
    assert!(site.ok(&["history"]).stdout.lines().next().unwrap().ends_with("  forced"));
    assert_eq!(site.number("SELECT count(*) FROM serving.orders"), 1);
    site.ok(&["export"]);
    assert_eq!(site.history().pop().unwrap()["forced"], false);
}

#[test]
fn force_without_a_failure_is_an_ordinary_export() {
    let site = orders();
    site.ok(&["export", "--force"]);
    assert_eq!(site.history().pop().unwrap()["forced"], false);
}

#[test]
fn a_refused_file_is_kept_for_inspection_on_request() {
    let site = orders();
    site.change("DELETE FROM serving.orders WHERE id > 0");
    let ran = site.run(&["export", "--keep-refused"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(
        ran.stderr.contains("the refused file is kept as analytics.refused.duckdb"),
        "{ran:#?}"
    );
    assert_eq!(
        number(&site.path("analytics.refused.duckdb"), "SELECT count(*) FROM serving.orders"),
        1
    );
    assert_eq!(site.number("SELECT count(*) FROM serving.orders"), 10);
    let names = site.names();
    site.settings("[export]\nkeep_refused = true");
    site.run(&["export"]);
    assert_eq!(site.names(), [names.as_slice(), &["materia.toml".to_owned()]].concat());
}

#[test]
fn what_was_refused_is_not_what_the_next_export_is_compared_with() {
    let site = orders();
    site.change("DELETE FROM serving.orders WHERE id >= 4");
    site.fails(&["export"], 3);
    site.fails(&["export"], 3);
    site.change("INSERT INTO serving.orders SELECT i, 0, NULL FROM range(6) t(i)");
    site.ok(&["export"]);
}
