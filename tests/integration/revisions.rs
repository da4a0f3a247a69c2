//! Audits of values: a table is compared with the previously served one, key by key.

use std::fs;

use crate::support::{Ran, Site, shared};

/// 100 sales by shop and month, with columns of other types.
const SALES: &str = "CREATE SCHEMA serving;
    CREATE TABLE serving.sales AS SELECT 'shop ' || (i % 5) AS shop, DATE '2024-01-01' + to_months((i // 5)::INTEGER) AS month,
        (100.0 + (i * 37) % 91)::DOUBLE AS amount, (1000 + (i * 53) % 97)::INTEGER AS visitors, 'note ' || (i % 50) AS note FROM range(100) t(i);";

/// Creates a site that serves `SALES`.
fn sales() -> Site {
    let site = Site::with(SALES);
    site.ok(&["export"]);
    site
}

/// Returns the figures of a table in the newest manifest, or null.
fn revision(site: &Site, table: &str) -> serde_json::Value {
    let id = site.history().last().unwrap()["generation"].as_str().unwrap().to_owned();
    let manifest: serde_json::Value = serde_json::from_slice(
        &fs::read(site.path(&format!("analytics.generations/{id}.json"))).unwrap(),
    )
    .unwrap();
    let found = manifest["revisions"]
        .as_array()
        .and_then(|tables| tables.iter().find(|found| found["table"] == table).cloned());
    found.unwrap_or_default()
}

/// Changes the lakehouse, and expects it to be published without a warning.
fn assert_silent(site: &Site, sql: &str) {
    site.change(sql);
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.starts_with("published "), "{sql}: {ran:#?}");
}

fn warning(ran: &Ran) -> &str {
    ran.stdout
        .lines()
        .find(|line| line.starts_with("warning: "))
        .unwrap_or_else(|| panic!("no warning: {ran:#?}"))
}

#[test]
fn values_that_are_a_thousand_times_as_large_are_refused() {
    let site = sales();
    site.change("UPDATE serving.sales SET amount = amount * 1000");
    let ran = site.fails(&["export"], 3);
    let expected = "refused: sales has another scale than in the served generation: amount was multiplied by 1000, at most 5 is allowed; \
                    100 of 100 rows revised; largest: amount";
    assert!(ran.stderr.contains(expected), "{ran:#?}");
    assert!(
        ran.stderr.contains("To allow it once: materia export --allow-revision sales"),
        "{ran:#?}"
    );
    assert!(
        ran.stderr.contains("[export.tables.sales]")
            && ran.stderr.contains("allow_revision = true"),
        "{ran:#?}"
    );
    assert_eq!(site.history().pop().unwrap()["revisions"][0]["revised"], 100);
    site.settings("[export.tables.sales]\nallow_revision = true");
    site.ok(&["export"]);
    assert_eq!(revision(&site, "sales")["revised"], 100);
}

#[test]
fn another_scale_is_allowed_once_by_the_flag_that_the_refusal_prints() {
    let site = sales();
    site.change("UPDATE serving.sales SET amount = amount * 1000");
    site.ok(&["export", "--allow-revision", "sales"]);
    site.change("UPDATE serving.sales SET amount = amount / 1000");
    site.fails(&["export"], 3);
}

#[test]
fn values_that_are_a_thousandth_or_nothing_are_refused_and_four_times_as_much_is_not() {
    for (change, message) in [
        ("amount / 1000", "divided by 1000"),
        ("0", "set to 0"),
        ("-amount * 6", "multiplied by 6"),
    ] {
        let site = sales();
        site.change(&format!("UPDATE serving.sales SET amount = {change}"));
        assert!(site.fails(&["export"], 3).stderr.contains(message), "{change}");
    }
    let site = sales();
    site.change("UPDATE serving.sales SET amount = amount * 4");
    assert!(warning(&site.ok(&["export"])).contains("100 % of amount, at most 50 % expected"));
}

#[test]
fn the_thresholds_are_each_tables_own() {
    let site = sales();
    site.settings("[export.tables.sales]\nmax_ratio = 10000\nmax_revised = 1.0");
    assert_silent(&site, "UPDATE serving.sales SET amount = amount * 1000");
    site.settings("[export.tables.sales]\nmax_ratio = 1.5\nmax_revised = 0.01");
    site.change("UPDATE serving.sales SET amount = amount * 2");
    assert!(
        site.fails(&["export"], 3)
            .stderr
            .contains("amount was multiplied by 2, at most 1.5 is allowed")
    );
    site.settings("[export.tables.sales]\nmax_revised = 0.01");
    site.change("UPDATE serving.sales SET amount = amount / 2; UPDATE serving.sales SET amount = amount + 1 WHERE note LIKE 'note 1%'");
    assert!(warning(&site.ok(&["export"])).contains("22 of 100 rows revised"));
    for (wrong, message) in
        [("max_ratio = 0.5", "a factor above 1"), ("max_revised = 2", "a share from 0 to 1")]
    {
        site.settings(&format!("[export.tables.sales]\n{wrong}"));
        let ran = site.run(&["export"]);
        assert!(ran.code == 2 && ran.stderr.contains(message), "{ran:#?}");
    }
}

#[test]
fn a_month_that_is_appended_rows_in_another_order_and_a_new_column_are_no_revision() {
    let site = sales();
    assert_silent(
        &site,
        "INSERT INTO serving.sales SELECT shop, DATE '2025-09-01', 5000, 2, 'new' FROM range(5) t(i), (SELECT 'shop ' || i AS shop)",
    );
    let found = revision(&site, "sales");
    assert_eq!(
        (&found["revised"], &found["added"], &found["key"]),
        (&0.into(), &5.into(), &serde_json::json!(["shop", "month"]))
    );
    assert_silent(
        &site,
        "CREATE TABLE main.s AS FROM serving.sales ORDER BY amount, note; DROP TABLE serving.sales; CREATE TABLE serving.sales AS FROM main.s; DROP TABLE main.s",
    );
    assert_eq!(revision(&site, "sales"), serde_json::Value::Null);
    assert_silent(&site, "ALTER TABLE serving.sales ADD COLUMN tax DOUBLE DEFAULT 7");
    assert_silent(&site, "UPDATE serving.sales SET tax = 8 WHERE shop = 'shop 1'");
}

#[test]
fn a_few_revised_values_are_recorded_without_a_warning() {
    let site = sales();
    assert_silent(
        &site,
        "UPDATE serving.sales SET amount = amount + 50 WHERE shop = 'shop 2' AND month = DATE '2024-03-01'; UPDATE serving.sales SET amount = amount * 1.000000000001",
    );
    let found = revision(&site, "sales");
    assert_eq!((&found["common"], &found["revised"]), (&100.into(), &1.into()));
    assert_eq!(found["largest"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&found["largest"][0]["key"], &found["largest"][0]["column"]),
        (&"shop 2 2024-03-01".into(), &"amount".into())
    );
    let text = "sales: 1 of 100 rows revised; amount shop 2 2024-03-01: ";
    let history = site.ok(&["history", "-n", "1"]).stdout;
    assert!(history.contains(text), "{history}");
    let status = site.ok(&["status"]).stdout;
    assert!(
        status.contains("revised against the generation before")
            && status.contains("1 of 100 rows revised; amount shop 2 2024-03-01: "),
        "{status}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&site.ok(&["status", "--json"]).stdout).unwrap();
    assert_eq!(json["revisions"][0]["revised"], 1);
}

#[test]
fn the_panel_of_changes_says_how_many_rows_were_revised_and_shows_no_value() {
    let site = sales();
    fs::create_dir(site.path("boards")).unwrap();
    fs::write(
        site.path("boards/d.toml"),
        "title = 'D'\n[[panel]]\ntitle = 'What changed'\nkind = 'changes'\n",
    )
    .unwrap();
    site.settings("[dashboards]\ndir = 'boards'");
    let before = site.ok(&["dashboards", "show", "d"]).stdout;
    assert!(!before.contains("Revised values"), "{before}");
    site.change("UPDATE serving.sales SET amount = 123.25 WHERE note = 'note 7'");
    site.ok(&["export"]);
    let panel = site.ok(&["dashboards", "show", "d"]).stdout;
    assert!(
        panel.contains("Revised values")
            && panel.contains("same rows")
            && panel.contains("2 of 100 rows revised"),
        "{panel}"
    );
    assert!(!panel.contains("123.25"), "{panel}");
    // Its author can say that everybody who sees the panel may see the values.
    fs::write(
        site.path("boards/d.toml"),
        "title = 'D'\n[[panel]]\ntitle = 'What changed'\nkind = 'changes'\nvalues = true\n",
    )
    .unwrap();
    let panel = site.ok(&["dashboards", "show", "d"]).stdout;
    assert!(panel.contains("2 of 100 rows revised; ") && panel.contains("→ 123.25"), "{panel}");
    site.settings("[dashboards]\ndir = 'boards'\n[tables.sales]\nplan = 'pro'");
    let checked = site.ok(&["dashboards", "check"]).stdout;
    assert!(
        checked.contains("shows revised values of the table sales to the plan free"),
        "{checked}"
    );
}

#[test]
fn the_manifest_keeps_the_ten_largest_revisions_and_the_history_fewer() {
    let site = sales();
    site.change("UPDATE serving.sales SET amount = amount + 1, visitors = visitors + 1; UPDATE serving.sales SET amount = amount + 400 WHERE note = 'note 7'");
    site.ok(&["export"]);
    let largest = revision(&site, "sales")["largest"].as_array().unwrap().clone();
    assert_eq!((largest.len(), &largest[0]["key"]), (10, &"shop 2 2024-02-01".into()));
    assert_eq!(
        site.history().pop().unwrap()["revisions"][0]["largest"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn of_large_tables_only_what_differs_is_compared_and_what_is_estimated_is_said_to_be() {
    let rows = "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i AS id, (i % 1000 + 1)::DOUBLE AS value FROM range(1_500_000) r(i)";
    let site = Site::with(rows);
    site.ok(&["export"]);
    assert_silent(
        &site,
        "UPDATE serving.t SET value = value + 1 WHERE id BETWEEN 5000 AND 5999; DELETE FROM serving.t WHERE id < 7; INSERT INTO serving.t VALUES (9000000, 1)",
    );
    let found = revision(&site, "t");
    let figures =
        ["common", "revised", "added", "removed"].map(|name| found[name].as_u64().unwrap());
    assert_eq!((figures, &found["sampled"]), ([1_499_993, 1000, 1, 7], &serde_json::Value::Null));
    site.change("UPDATE serving.t SET value = value * 100");
    let ran = site.fails(&["export"], 3);
    assert!(
        ran.stderr.contains("value was multiplied by 100, ")
            && ran.stderr.contains("; estimated from "),
        "{ran:#?}"
    );
    let revised = site.history().pop().unwrap()["revisions"][0]["revised"].as_u64().unwrap();
    assert!((1_450_000..=1_550_000).contains(&revised), "{revised}");
}

#[test]
fn labels_that_moved_are_named_with_the_shift_by_which_old_and_new_agree() {
    let site = sales();
    site.change("UPDATE serving.sales SET month = month + INTERVAL 1 month");
    let ran = site.ok(&["export"]);
    assert!(
        warning(&ran).contains(
            "agrees best when month is shifted one month forward (100 % of values equal, "
        ),
        "{ran:#?}"
    );
    // Not part of the key: a delivery date, for example.
    let days = |by: i64| {
        format!(
            "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i AS id, DATE '2024-01-01' + (i * 7 + {by})::INTEGER AS delivered FROM range(50) r(i)"
        )
    };
    let site = Site::with(&days(0));
    site.ok(&["export"]);
    site.replace(&days(1));
    site.ok(&["export"]);
    let found = revision(&site, "t");
    assert_eq!(
        (&found["shift"]["column"], &found["shift"]["by"]),
        (&"delivered".into(), &"one day forward".into())
    );
}

#[test]
fn what_has_no_key_is_said_once_and_is_no_warning() {
    let rows = |factor: u32| {
        format!(
            "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 'same' AS name, (i * {factor})::DOUBLE AS value FROM range(20) r(i)"
        )
    };
    let site = Site::with(&rows(1));
    site.ok(&["export"]);
    site.replace(&rows(1000));
    assert!(site.ok(&["export"]).stdout.starts_with("published "));
    let id = site.history().pop().unwrap()["generation"].as_str().unwrap().to_owned();
    let manifest =
        fs::read_to_string(site.path(&format!("analytics.generations/{id}.json"))).unwrap();
    assert!(
        manifest.contains("no key was found to compare values by in t; key = [...] names one"),
        "{manifest}"
    );
    // A declared key that is not unique is worth a warning.
    site.settings("[export.tables.t]\nkey = ['name']");
    site.replace(&rows(3));
    assert!(warning(&site.ok(&["export"])).contains("cannot be compared by its key (name)"));
}

#[test]
fn numbers_and_times_of_a_run_small_tables_and_sparse_columns_are_no_revision() {
    let rows = |run: u32| {
        format!(
            "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i AS id, {run} AS run, TIMESTAMP '2026-01-01' + INTERVAL ({run}) hour AS loaded, 5 + i AS value,
             CASE WHEN i < 2 THEN {run} ELSE 0 END AS rare FROM range(30) r(i); CREATE TABLE serving.few AS SELECT 'a' AS name, {run} AS value"
        )
    };
    let site = Site::with(&rows(1));
    site.ok(&["export"]);
    site.replace(&rows(50));
    assert!(site.ok(&["export"]).stdout.starts_with("published "));
    assert!(!site.ok(&["history", "-n", "1"]).stdout.contains("30 of 30"));
}

#[test]
fn audits_in_sql_read_what_is_served_as_previous() {
    const AUDIT: &str = "[[export.audits]]\nname = 'amounts stay'\nsql = 'SELECT * FROM sales s JOIN previous.sales p USING (shop, month) WHERE s.amount <> p.amount'\n";
    let site = Site::with(SALES);
    site.settings(AUDIT);
    // It is empty in a first export.
    site.ok(&["export"]);
    site.ok(&["export"]);
    site.change("UPDATE serving.sales SET amount = 1 WHERE note = 'note 3'");
    let ran = site.fails(&["export"], 3);
    assert!(ran.stderr.contains("returned 2 rows (amounts stay)"), "{ran:#?}");
    site.settings("");
    site.ok(&["export"]);
    // A table and a column that are not served yet, and one that the lakehouse no longer has.
    site.settings(
        "[export.tables.sales]\nallow_lost = true\n[[export.audits]]\nname = 'new'\nsql = 'FROM more JOIN previous.more p USING (id) JOIN previous.sales s ON s.amount = more.id'",
    );
    site.change("CREATE TABLE serving.more AS SELECT 1 AS id; DROP TABLE serving.sales");
    site.ok(&["export"]);
    site.settings("[[export.audits]]\nname = 'new column'\nsql = 'FROM more m JOIN previous.more p USING (id) WHERE m.tax <> p.tax'");
    site.change("ALTER TABLE serving.more ADD COLUMN tax INTEGER DEFAULT 1");
    site.ok(&["export"]);
    site.settings(
        "[[export.audits]]\nname = 'writes'\nsql = 'DELETE FROM previous.more RETURNING *'",
    );
    assert_eq!(site.run(&["export"]).code, 3);
}

/// Coffee by country and year, as BeanFlows' models compute it from USDA's file.
fn coffee(from: &str, factor: u32) -> String {
    let measure = |attribute: &str| {
        format!("(sum(bags) FILTER (WHERE attribute = '{attribute}'))::DECIMAL(18,3)")
    };
    format!(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.commodity_metrics AS WITH psd AS (SELECT trim(Country_Name) AS country_name, Market_Year::INTEGER AS market_year,
             trim(Attribute_Description) AS attribute, Value::DOUBLE * {factor} AS bags FROM {from})
         SELECT country_name, market_year, {} AS production, {} AS exports, {} AS domestic_consumption, {} AS ending_stocks FROM psd GROUP BY ALL;
         CREATE TABLE serving.global_balance AS SELECT market_year, sum(production)::DOUBLE AS production, sum(ending_stocks)::DOUBLE AS ending_stocks
             FROM serving.commodity_metrics GROUP BY ALL;",
        measure("Production"),
        measure("Exports"),
        measure("Domestic Consumption"),
        measure("Ending Stocks")
    )
}

#[test]
fn a_vintage_whose_years_moved_warns_with_the_shift_and_a_slip_of_units_is_refused() {
    let (Some(old), Some(new)) = (
        shared("data/usda_psd_coffee_2022-12.csv.gz"),
        shared("data/usda_psd_coffee_long_2023-24_vintage.parquet"),
    ) else {
        return;
    };
    let (old, new) = (
        format!("read_csv('{}', all_varchar = true)", old.display()),
        format!("'{}'", new.display()),
    );
    let site = Site::with(&coffee(&old, 1));
    site.ok(&["export"]);
    site.replace(&coffee(&new, 1));
    let ran = site.ok(&["export"]);
    let warnings: Vec<_> =
        ran.stdout.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(
        warnings[0].contains("commodity_metrics has ") && warnings[0].contains(" rows revised"),
        "{ran:#?}"
    );
    assert!(
        warnings[0].contains(
            "market_year is shifted one year back (98 % of values equal, 13 % unshifted)"
        ),
        "{ran:#?}"
    );
    assert!(
        warnings[1].contains("global_balance has 64 of 64 rows revised")
            && warnings[1].contains("100 % of production"),
        "{ran:#?}"
    );
    assert!(warnings[1].contains("market_year is shifted one year back"), "{ran:#?}");
    site.replace(&coffee(&new, 1000));
    let ran = site.fails(&["export"], 3);
    assert!(
        ran.stderr.contains(
            "production, exports, domestic_consumption, ending_stocks were multiplied by 1000"
        ),
        "{ran:#?}"
    );
}
