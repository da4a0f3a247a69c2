//! `materia export` from end to end.

use crate::{
    child::Actor,
    support::{Site, reading},
};

#[test]
fn an_export_serves_every_table_and_view_with_the_values_of_the_lakehouse() {
    let Some(site) = Site::sqlmesh() else { return };
    site.ok(&["export"]);
    let connection = reading(&site.served());
    connection
        .execute_batch(&format!("ATTACH '{}' AS lakehouse (READ_ONLY)", site.lakehouse().display()))
        .unwrap();
    let expected = [
        ("coffee_prices", 784),
        ("commodity_metrics", 4103),
        ("cot_positioning", 1046),
        ("global_balance", 64),
        ("rainfall", 9720),
        ("us_imports", 2948),
    ];
    for (table, rows) in expected {
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count(&format!("SELECT count(*) FROM serving.{table}")), rows, "{table}");
        for (left, right) in [("analytics", "lakehouse"), ("lakehouse", "analytics")] {
            let difference = format!(
                "SELECT count(*) FROM (FROM {left}.serving.{table} EXCEPT ALL FROM {right}.serving.{table})"
            );
            assert_eq!(count(&difference), 0, "{table}: in {left} and not in {right}");
        }
    }
    let described = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'analytics' AND comment IS NOT NULL";
    assert_eq!(site.number(described), 6);
    let columns = "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'commodity_metrics' AND comment = 'FAS country code'";
    assert_eq!(site.number(columns), 1);
}

#[test]
fn an_export_leaves_nothing_behind_but_the_served_file_its_generation_and_the_history() {
    let site = Site::small();
    site.ok(&["export"]);
    assert_eq!(
        site.names(),
        [
            "analytics.duckdb",
            "analytics.generations",
            "analytics.history.jsonl",
            "lakehouse.duckdb"
        ]
    );
}

#[test]
fn a_busy_lakehouse_is_waited_for_and_its_holder_is_named() {
    let site = Site::small();
    let writer = Actor::start("writer", &site.lakehouse());
    let ran = site.run(&["export", "--wait", "1s"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains(&format!("(pid {}", writer.process.id())), "{ran:#?}");
    assert!(!site.served().exists());
    writer.end();
    site.ok(&["export", "--wait", "1s"]);
}
