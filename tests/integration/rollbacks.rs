//! A rollback lasts: the content that was rolled back is not published again while the lakehouse
//! has it, or until it is released.

use std::fs;

use crate::{
    child::{Actor, name_of},
    lake_targets::{Place, on_every_target},
    support::{Site, whole_run},
};
use materia::store::ExportStep;

on_every_target!(
    a_rolled_back_content_is_not_exported_again_until_the_lakehouse_changes,
    a_rollback_with_hold_lasts_until_it_is_released,
    every_content_that_was_rolled_back_is_not_exported_again,
    rolling_forward_again_ends_what_was_held,
);

fn numbers(place: &Place) -> i64 {
    place.number("SELECT count(*) FROM serving.numbers")
}

/// Publishes two generations, of 1,000 and of 1,001 rows.
fn two(place: &mut Place) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.ok(&["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    place.ok(&["export"]);
}

fn expect_held(place: &Place, args: &[&str]) {
    let (served, kept) = (place.served(), place.kept());
    let ran = place.ok(args);
    assert!(
        ran.stdout.starts_with("held: ") && ran.stdout.contains("materia release"),
        "{args:?}: {ran:#?}"
    );
    let last = place.history().pop().unwrap();
    assert_eq!(last["outcome"], "held", "{last:#}");
    assert!(last["error"].as_str().unwrap().contains("materia release"), "{last:#}");
    assert_eq!((place.served(), place.kept()), (served, kept), "{args:?}");
}

fn a_rolled_back_content_is_not_exported_again_until_the_lakehouse_changes(place: &mut Place) {
    two(place);
    let newest = place.served();
    place.ok(&["rollback"]);
    let oldest = place.served();
    for args in
        [&["export"][..], &["export", "--full"], &["export", "--force"], &["export", "--keep", "1"]]
    {
        expect_held(place, args);
    }
    let would = place.ok(&["export", "--dry-run"]).stdout;
    assert!(
        would.contains("held: nothing would be published; the lakehouse still contains"),
        "{would}"
    );
    assert_eq!(numbers(place), 1000);
    let status = place.status();
    assert_eq!(status["healthy"], true, "{status:#}");
    let older = &status["older_served"];
    assert_eq!(
        (older["served"].as_str(), older["newest"].as_str()),
        (Some(&*oldest), Some(&*newest)),
        "{status:#}"
    );
    assert!(
        older["by"].as_str().unwrap().starts_with("materia rollback") && older["since"].is_string(),
        "{status:#}"
    );
    let message = place.ok(&["status"]).stdout;
    assert!(
        message.contains(&format!(
            "generation {oldest} is served, older than the newest, {newest}, since "
        )),
        "{message}"
    );
    assert!(place.ok(&["alert"]).stdout.contains(&format!("new: generation {oldest} is served")));
    // Written again with the same rows, it is still the content that was rolled back.
    place
        .site
        .change("CREATE OR REPLACE TABLE serving.numbers AS FROM serving.numbers ORDER BY id");
    expect_held(place, &["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1001, 0)");
    assert!(place.ok(&["export"]).stdout.starts_with("published"));
    assert_eq!(numbers(place), 1002);
    assert!(place.status()["older_served"].is_null());
    assert!(place.ok(&["alert"]).stdout.contains("recovered: over: generation"));
    // It has had other content since, so that the same content is published again.
    place.site.change("DELETE FROM serving.numbers WHERE id = 1001");
    assert!(place.ok(&["export"]).stdout.starts_with("published"));
    assert_eq!(numbers(place), 1001);
}

fn a_rollback_with_hold_lasts_until_it_is_released(place: &mut Place) {
    two(place);
    let ran = place.ok(&["rollback", "--hold"]);
    assert!(ran.stdout.contains("until `materia release`"), "{ran:#?}");
    for change in ["INSERT INTO serving.numbers VALUES (1001, 0)", "DROP TABLE serving.names"] {
        place.site.change(change);
        expect_held(place, &["export"]);
        expect_held(place, &["export", "--full"]);
    }
    assert_eq!(place.status()["older_served"]["hold"], true);
    assert_eq!(numbers(place), 1000);
    let ran = place.ok(&["release"]);
    assert!(ran.stdout.starts_with("released"), "{ran:#?}");
    assert_eq!(place.history().pop().unwrap()["outcome"], "released");
    assert!(place.ok(&["release"]).stdout.starts_with("nothing is held"));
    place.site.settings("[export.tables.names]\nallow_lost = true\n");
    assert!(place.ok(&["export"]).stdout.starts_with("published"));
    assert_eq!(numbers(place), 1002);
}

fn every_content_that_was_rolled_back_is_not_exported_again(place: &mut Place) {
    two(place);
    place.site.change("INSERT INTO serving.numbers VALUES (1001, 0)");
    place.ok(&["export"]);
    place.ok(&["rollback"]);
    expect_held(place, &["export"]);
    place.ok(&["rollback"]);
    assert_eq!(numbers(place), 1000);
    expect_held(place, &["export"]);
    place.site.change("DELETE FROM serving.numbers WHERE id = 1001");
    expect_held(place, &["export"]);
    assert_eq!(place.status()["older_served"]["withheld"].as_array().unwrap().len(), 2);
    place.ok(&["release"]);
    place.ok(&["export"]);
    assert_eq!(numbers(place), 1001);
}

fn rolling_forward_again_ends_what_was_held(place: &mut Place) {
    two(place);
    let newest = place.served();
    place.ok(&["rollback"]);
    expect_held(place, &["export"]);
    place.ok(&["rollback", &newest]);
    assert!(place.status()["older_served"].is_null());
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged"));
    assert_eq!(numbers(place), 1001);
}

#[test]
fn content_that_only_its_values_tell_is_held_too() {
    let site = Site::small();
    site.change("CREATE VIEW serving.first AS SELECT * FROM lakehouse.serving.numbers LIMIT 10");
    site.ok(&["export"]);
    site.change("UPDATE serving.numbers SET value = -1 WHERE id = 3");
    site.ok(&["export"]);
    site.ok(&["rollback"]);
    for args in [&["export"][..], &["export", "--full"], &["export", "--storage-version", "v1.2.0"]]
    {
        let ran = site.ok(args);
        assert!(ran.stdout.starts_with("held"), "{args:?}: {ran:#?}");
    }
    assert!(!site.path("_export.duckdb").exists());
    assert_eq!(site.number("SELECT count(*) FROM serving.first WHERE value = -1"), 0);
    assert_eq!(site.kept().len(), 2);
}

#[test]
fn a_rollback_killed_at_any_step_has_happened_and_lasts_or_has_not_happened() {
    for step in [
        ExportStep::Recover,
        ExportStep::Manifest,
        ExportStep::Link,
        ExportStep::Rename,
        ExportStep::SyncFolder,
        ExportStep::Record,
    ] {
        let (site, moment) = (Site::runs(), name_of(step));
        site.ok(&["export"]);
        site.begin_run(2);
        site.ok(&["export"]);
        Actor::start(&format!("rollback until {moment}"), site.folder()).die();
        let swapped = matches!(step, ExportStep::SyncFolder | ExportStep::Record);
        let ran = site.ok(&["export"]);
        assert!(
            ran.stdout.starts_with(if swapped { "held" } else { "unchanged" }),
            "{moment}: {ran:#?}"
        );
        assert_eq!(whole_run(&site.served()), if swapped { 1 } else { 2 }, "{moment}");
        let status: serde_json::Value =
            serde_json::from_str(&site.ok(&["status", "--json"]).stdout).unwrap();
        assert_eq!(status["older_served"].is_null(), !swapped, "{moment}: {status:#}");
        site.begin_run(3);
        assert!(site.ok(&["export"]).stdout.starts_with("published"), "{moment}");
        assert!(!site.path("analytics.generations/rollback.json").exists(), "{moment}");
    }
}

#[test]
fn a_release_killed_at_any_step_has_released_or_has_not() {
    for step in [ExportStep::Recover, ExportStep::Manifest, ExportStep::Record] {
        let (site, moment) = (Site::runs(), name_of(step));
        site.ok(&["export"]);
        site.begin_run(2);
        site.ok(&["export"]);
        site.ok(&["rollback", "--hold"]);
        Actor::start(&format!("release until {moment}"), site.folder()).die();
        let ran = site.ok(&["export"]);
        let released = step == ExportStep::Record;
        assert!(
            ran.stdout.starts_with(if released { "published" } else { "held" }),
            "{moment}: {ran:#?}"
        );
        site.ok(&["release"]);
        site.ok(&["export"]);
        assert_eq!(whole_run(&site.served()), 2, "{moment}");
    }
}

#[test]
fn what_cannot_be_understood_stops_exports_and_names_the_way_out() {
    let site = Site::small();
    site.ok(&["export"]);
    fs::write(site.path("analytics.generations/rollback.json"), "{").unwrap();
    let ran = site.run(&["export"]);
    assert!(ran.code == 1 && ran.stderr.contains("materia release"), "{ran:#?}");
    site.ok(&["release"]);
    site.ok(&["export"]);
}
