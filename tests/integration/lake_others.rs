//! Other clients of a lake change or expire what materia published, which is a condition until it is
//! repaired.

use crate::{
    lake_targets::{Place, on_every_lake},
    support::Ran,
};

on_every_lake!(
    what_another_client_changes_in_served_tables_is_a_condition_until_the_next_export,
    what_another_client_expires_is_reported_as_that,
);

/// Expects this condition in `materia alert` and `materia status`.
fn reports(place: &Place, what: &str) -> Ran {
    let alert = place.lines(&["alert", "--json"]).remove(0);
    let findings = alert["findings"].as_array().unwrap();
    let text = findings.iter().find(|finding| finding["condition"] == "lake_changed");
    let text = text.unwrap_or_else(|| panic!("{alert:#}"))["text"].as_str().unwrap();
    assert!(text.contains(what), "{text}");
    let status = place.run(&["status"]);
    assert!(status.code == 1 && status.stdout.contains(what), "{status:#?}");
    status
}

fn what_another_client_changes_in_served_tables_is_a_condition_until_the_next_export(
    place: &mut Place,
) {
    place.ok(&["export"]);
    place.meddle("CREATE SCHEMA theirs; CREATE TABLE theirs.own AS SELECT 1 AS a");
    place.ok(&["status"]);
    place.meddle(
        "UPDATE serving.names SET name = 'theirs'; CREATE TABLE serving.added AS SELECT 1 AS a",
    );
    let changed = "another client changed in the lake, after it was published: added, names;";
    reports(place, changed);
    place.ok(&["export"]);
    place.ok(&["status"]);
    place.meddle("DROP TABLE serving.numbers");
    reports(place, "after it was published: numbers;");
}

fn what_another_client_expires_is_reported_as_that(place: &mut Place) {
    place.ok(&["export"]);
    let first = place.status();
    let (id, snapshot) = (first["generation"].as_str().unwrap(), &first["snapshot"]);
    place.ok(&["pin", id]);
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    place.ok(&["export"]);
    let expire = |snapshot: &serde_json::Value| {
        let expire = format!("CALL ducklake_expire_snapshots('served', versions => [{snapshot}])");
        place.outsider().execute_batch(&expire).unwrap();
    };
    expire(snapshot);
    reports(place, &format!("pinned, but expired by another client: {id}"));
    place.ok(&["unpin", id]);
    place.ok(&["status"]);

    let served = place.status();
    // The newest snapshot cannot be expired.
    place.meddle("CREATE SCHEMA theirs");
    expire(&served["snapshot"]);
    let served = served["generation"].as_str().unwrap();
    reports(
        place,
        &format!("generation {served}, the last one served, is not in the lake any more"),
    );
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.starts_with("published "), "{ran:#?}");
    place.ok(&["status"]);
    assert_eq!(place.number("SELECT count(*) FROM serving.names"), 4);
}
