//! An export that finds the served data up to date creates no generation, even if it can only tell
//! after copying; and rollback targets are never pruned by such exports.

use crate::{
    lake_targets::{Place, on_every_target},
    support::Site,
};

on_every_target!(
    idle_rounds_with_views_that_must_be_copied_leave_exactly_one_generation,
    the_last_generation_with_another_content_is_never_pruned,
);

/// Views that make a lakehouse unrecognizable: the first rows of a table, and a function that may
/// depend on the time.
const ALWAYS_COPIED: &str = "CREATE VIEW serving.first AS SELECT * FROM lakehouse.serving.numbers LIMIT 10;
    CREATE VIEW serving.past AS SELECT id, name, now() > TIMESTAMPTZ '2020-01-01' AS is_past FROM lakehouse.serving.names;";

fn idle_rounds_with_views_that_must_be_copied_leave_exactly_one_generation(place: &mut Place) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.site.change(ALWAYS_COPIED);
    place.ok(&["export"]);
    for round in 0..3 {
        let ran = place.ok(&["export"]);
        assert!(ran.stdout.starts_with("unchanged"), "round {round}: {ran:#?}");
    }
    assert_eq!(place.outcomes(), ["published", "unchanged", "unchanged", "unchanged"]);
    assert_eq!(place.kept().len(), 1);
    assert!(!place.site.path("_export.duckdb").exists());
    // The served data counts as confirmed by the last round.
    let status = place.status();
    let last = place.history().pop().unwrap();
    assert_eq!(
        status["exported_at"].as_str().map(|at| &at[..19]),
        last["started_at"].as_str().map(|at| &at[..19]),
        "{status:#}"
    );
    place.site.change("UPDATE serving.numbers SET value = -1 WHERE id = 3");
    assert!(place.ok(&["export"]).stdout.starts_with("published"));
    assert_eq!(place.kept().len(), 2);
}

fn the_last_generation_with_another_content_is_never_pruned(place: &mut Place) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.ok(&["export"]);
    place.site.change("UPDATE serving.names SET name = 'other' WHERE id = 1");
    place.ok(&["export", "--keep", "1"]);
    let kept = place.kept();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for _ in 0..3 {
        place.ok(&["export", "--full", "--keep", "1"]);
    }
    let oldest = &kept[1];
    assert!(place.kept().contains(oldest), "{:?}", place.kept());
    place.ok(&["rollback", oldest]);
    assert_eq!(place.served(), *oldest);
}

/// Creates a site with a table that fingerprints do not identify, exposed by a view.
fn odd(select: &str) -> Site {
    let site = Site::small();
    show(&site, select);
    site.ok(&["export"]);
    site
}

fn show(site: &Site, select: &str) {
    // A view with a LIMIT has no fingerprint, so only its content can be compared.
    site.change(&format!(
        "CREATE OR REPLACE TABLE main.odd AS {select}; CREATE OR REPLACE VIEW serving.odd AS FROM lakehouse.main.odd LIMIT 1000000"
    ));
}

#[test]
fn a_change_of_any_value_or_of_the_order_of_rows_is_a_change() {
    let pairs = [
        (
            "two rows change places",
            "FROM (VALUES (1, 'a'), (2, 'b')) t(i, s)",
            "FROM (VALUES (2, 'b'), (1, 'a')) t(i, s)",
        ),
        (
            "two values of a column change places",
            "FROM (VALUES (1, 'a'), (2, 'b')) t(i, s)",
            "FROM (VALUES (1, 'b'), (2, 'a')) t(i, s)",
        ),
        ("two values of a row change places", "SELECT 1 AS i, 2 AS j", "SELECT 2 AS i, 1 AS j"),
        ("a null", "SELECT NULL::VARCHAR AS s", "SELECT '' AS s"),
        ("a null that is text", "SELECT NULL::VARCHAR AS s", "SELECT 'NULL' AS s"),
        ("not a number", "SELECT 'nan'::DOUBLE AS d", "SELECT NULL::DOUBLE AS d"),
        ("the sign of zero", "SELECT 0.0::DOUBLE AS d", "SELECT -0.0::DOUBLE AS d"),
        ("an empty list", "SELECT []::INTEGER[] AS l", "SELECT [NULL]::INTEGER[] AS l"),
        ("no list", "SELECT []::INTEGER[] AS l", "SELECT NULL::INTEGER[] AS l"),
        ("where a list ends", "SELECT [[1], [2]] AS l", "SELECT [[1, 2]] AS l"),
        (
            "a field of a field",
            "SELECT {'a': {'b': NULL::INTEGER}} AS s",
            "SELECT {'a': NULL::STRUCT(b INTEGER)} AS s",
        ),
        ("an interval", "SELECT INTERVAL 1 MONTH AS i", "SELECT INTERVAL 30 DAYS AS i"),
        ("a key of a map", "SELECT MAP {'a': 1} AS m", "SELECT MAP {'b': 1} AS m"),
        (
            "a member of a union",
            "SELECT union_value(k := 1)::UNION(k INTEGER, l INTEGER) AS u",
            "SELECT union_value(l := 1)::UNION(k INTEGER, l INTEGER) AS u",
        ),
        ("the name of a column", "SELECT 1 AS i", "SELECT 1 AS j"),
        (
            "a column called rowid",
            "FROM (VALUES (1, 5), (2, 5)) t(i, rowid)",
            "FROM (VALUES (2, 5), (1, 5)) t(i, rowid)",
        ),
    ];
    let mut site = odd("SELECT 1 AS first");
    site.settings("[export.tables.odd]\nallow_column_changes = true\n");
    for (what, before, after) in pairs {
        show(&site, before);
        site.ok(&["export"]);
        let ran = site.ok(&["export"]);
        assert!(ran.stdout.starts_with("unchanged"), "{what}, again: {ran:#?}");
        show(&site, before);
        let ran = site.ok(&["export"]);
        assert!(ran.stdout.starts_with("unchanged"), "{what}, written anew: {ran:#?}");
        show(&site, after);
        let ran = site.ok(&["export"]);
        assert!(ran.stdout.starts_with("published"), "{what}: {ran:#?}");
    }
    site = odd("SELECT 1 AS i");
    site.change("COMMENT ON VIEW serving.odd IS 'what it is'");
    assert!(site.ok(&["export"]).stdout.starts_with("published"), "a comment");
    site.change("COMMENT ON COLUMN serving.odd.i IS 'what it is'");
    assert!(site.ok(&["export"]).stdout.starts_with("published"), "a column's comment");
}

#[test]
fn tables_written_anew_with_the_same_rows_are_unchanged_and_recognised_the_next_time() {
    let site = Site::small();
    site.ok(&["export"]);
    site.replace(
        "CREATE SCHEMA serving; CREATE TABLE serving.other AS SELECT 1 AS a;
         CREATE TABLE serving.names AS SELECT * FROM (VALUES (1, 'x'), (2, 'b'), (3, NULL)) t(id, name);
         UPDATE serving.names SET name = 'ä' WHERE id = 1;
         CREATE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(1000) t(i);
         DROP TABLE serving.other;",
    );
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.starts_with("unchanged"), "{ran:#?}");
    assert_eq!(site.kept().len(), 1);
}

#[test]
fn audits_that_may_come_out_differently_run_again_although_nothing_changed() {
    let site = Site::small();
    site.change(ALWAYS_COPIED);
    site.ok(&["export"]);
    site.settings("[[export.audits]]\nname = 'late'\nsql = 'SELECT 1 AS late'\n");
    let ran = site.fails(&["export"], 3);
    assert!(ran.stderr.contains("late"), "{ran:#?}");
    assert_eq!(site.kept().len(), 1);
}

#[test]
fn a_damaged_served_file_is_replaced_although_the_lakehouse_is_unchanged() {
    let site = Site::small();
    site.change(ALWAYS_COPIED);
    site.ok(&["export"]);
    let served = std::fs::metadata(site.served()).unwrap().modified().unwrap();
    let later = served + std::time::Duration::from_secs(5);
    std::fs::File::open(site.served()).unwrap().set_modified(later).unwrap();
    let content = std::fs::read(site.served()).unwrap();
    let mut permissions = std::fs::metadata(site.served()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(site.served(), permissions).unwrap();
    let mut damaged = content;
    let last = damaged.len() - 100_000;
    damaged[last] ^= 1;
    std::fs::write(site.served(), damaged).unwrap();
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.starts_with("published"), "{ran:#?}");
}
