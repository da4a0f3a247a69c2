//! Every retained generation can be served again, with the same commands and messages on every kind
//! of target.

use std::collections::BTreeSet;

use crate::{
    lake_targets::{Place, on_every_lake, on_every_target},
    reader::{ask, int},
    support::eventually,
};

on_every_target!(
    any_kept_generation_can_be_restored_by_a_prefix_of_its_id,
    retention_counts_neither_pinned_nor_served_generations,
    status_tells_what_is_served_and_ends_with_what_is_wrong,
    a_generation_brought_back_is_as_it_was_whatever_has_been_exported_since,
);
on_every_lake!(
    after_a_prune_no_data_is_stored_that_no_snapshot_needs,
    a_replaced_generation_is_kept_until_its_readers_are_done,
    generations_of_a_lake_are_the_same_seen_from_every_host,
    two_generations_of_a_lake_are_compared_by_value_and_have_their_true_size,
);

/// Publishes this many generations, each with one number more than the previous one; the first has
/// 1,000.
fn exported(place: &Place, runs: i64) {
    for run in 0..runs {
        if run > 0 {
            place.site.change(&format!("INSERT INTO serving.numbers VALUES ({}, 0)", 999 + run));
        }
        place.ok(&["export", "--keep", "20"]);
    }
}

/// Returns how many numbers are served, to an independent client and to a reader.
fn numbers(place: &Place) -> i64 {
    let served = place.number("SELECT count(*) FROM serving.numbers");
    assert_eq!(
        int(&ask(&place.reader().pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()),
        served
    );
    served
}

fn any_kept_generation_can_be_restored_by_a_prefix_of_its_id(place: &mut Place) {
    exported(place, 4);
    let mut kept = place.kept();
    kept.reverse();
    let ran = place.ok(&["rollback"]);
    assert!(
        ran.stdout.starts_with(&format!(
            "rolled back: generation {} is served, 1,005 rows; exports are held",
            kept[2]
        )),
        "{ran:#?}"
    );
    assert_eq!(numbers(place), 1002);
    place.ok(&["rollback"]);
    assert_eq!(numbers(place), 1001, "a second rollback goes one further");
    place.ok(&["rollback", &kept[3]]);
    assert_eq!((numbers(place), place.served()), (1003, kept[3].clone()));
    let beginning = (1..19)
        .map(|length| &kept[0][..length])
        .find(|beginning| !kept[1].starts_with(beginning))
        .unwrap();
    place.ok(&["rollback", beginning]);
    assert_eq!((numbers(place), place.served()), (1000, kept[0].clone()));
    for requested in [&beginning[..beginning.len() - 1], "19990101T000000000Z"] {
        let ran = place.run(&["rollback", requested]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(kept.iter().all(|id| ran.stderr.contains(id)), "what is kept is named: {ran:#?}");
    }
    let ran = place.fails(&["rollback"], 1);
    assert!(ran.stderr.contains("no generation older than the served one is retained"), "{ran:#?}");
    let ran = place.fails(&["rollback", &kept[0]], 1);
    assert!(ran.stderr.contains("it is the one being served"), "{ran:#?}");
    // The lakehouse has the content of the newest generation rather than of the served one.
    assert!(place.ok(&["export"]).stdout.starts_with("held"));
    place.ok(&["release"]);
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.starts_with("published "), "{ran:#?}");
    assert_eq!(numbers(place), 1003);
    let outcomes = place.outcomes();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "rolled_back").count(), 4);
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "failed").count(), 2);
    let message = place.ok(&["history"]).stdout;
    assert!(
        message.contains("rolled back") && message.contains(&format!("serving {}", kept[0])),
        "{message}"
    );
}

fn retention_counts_neither_pinned_nor_served_generations(place: &mut Place) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    exported(place, 5);
    let mut kept = place.kept();
    kept.reverse();
    let message = place.ok(&["pin", &kept[0]]).stdout;
    assert_eq!(message, format!("{0} is pinned: it is kept until `materia unpin {0}`\n", kept[0]));
    place.ok(&["pin", &kept[0]]);
    place.ok(&["rollback", &kept[1]]);
    place.ok(&["release"]);
    place.ok(&["export", "--keep", "2"]);
    let left = place.generations();
    let served = place.served();
    assert_eq!(
        left.iter().map(|(id, served, pinned)| (id.as_str(), *served, *pinned)).collect::<Vec<_>>(),
        [
            (served.as_str(), true, false),
            (kept[4].as_str(), false, false),
            (kept[3].as_str(), false, false),
            (kept[0].as_str(), false, true)
        ]
    );
    place.ok(&["rollback", &kept[0]]);
    assert_eq!(numbers(place), 1000);
    assert_eq!(
        place.ok(&["unpin", &kept[0]]).stdout,
        format!("{} is not pinned: exports may remove it\n", kept[0])
    );
    let ran = place.run(&["pin", "1999"]);
    assert!(ran.code == 2 && ran.stderr.contains(&kept[0]), "{ran:#?}");
    place.ok(&["release"]);
    place.ok(&["export", "--keep", "1"]);
    assert_eq!(place.kept().len(), 2, "the served one, and the last with another content");
    assert_eq!(numbers(place), 1004);
}

fn status_tells_what_is_served_and_ends_with_what_is_wrong(place: &mut Place) {
    let ran = place.run(&["status"]);
    assert!(ran.code == 1 && ran.stdout.contains("nothing is served"), "{ran:#?}");
    place.ok(&["export"]);
    let ran = place.ok(&["status"]);
    for word in [
        "numbers",
        "1,000 rows",
        "names",
        "3 rows",
        "kept generations",
        "served",
        "last attempt",
        "published",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {ran:#?}");
    }
    let status = place.status();
    assert_eq!(status["generation"].as_str(), Some(place.served().as_str()));
    assert_eq!(status["rows"], 1003);
    assert!(status["bytes"].as_u64().unwrap() > 0);
    assert_eq!(place.run(&["status", "--max-age", "0s"]).code, 1, "anything is older than that");
    assert_eq!(place.run(&["status", "--max-age", "1h"]).code, 0);
    place.site.change("DELETE FROM serving.numbers");
    assert_eq!(place.run(&["export"]).code, 3);
    let ran = place.run(&["status"]);
    assert!(
        ran.code == 1 && ran.stdout.contains("attention") && ran.stdout.contains("1,000 rows"),
        "{ran:#?}"
    );
    place.ok(&["export", "--force"]);
    assert_eq!(place.run(&["status"]).code, 0);
}

fn a_generation_brought_back_is_as_it_was_whatever_has_been_exported_since(place: &mut Place) {
    let changes = [
        "CREATE TABLE serving.odd AS SELECT 1 AS a; COMMENT ON TABLE serving.odd IS 'one'",
        "CREATE OR REPLACE TABLE serving.odd (b VARCHAR NOT NULL); INSERT INTO serving.odd VALUES ('two')",
        "DROP TABLE serving.odd; CREATE TABLE serving.odd AS SELECT [1, 2] AS c, NULL::DATE AS d; UPDATE serving.names SET name = 'x'",
        "DROP TABLE serving.odd; DROP TABLE serving.names",
    ];
    let all = "allow_lost = true\nallow_column_changes = true\nallow_empty = true\n";
    place.site.settings(&format!("[export.tables.odd]\n{all}[export.tables.names]\n{all}"));
    let outline = |place: &Place| {
        let of = "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, comment) FROM duckdb_columns() WHERE database_name = 'served' AND schema_name = 'serving' ORDER BY ALL";
        (place.dump(), crate::lake_targets::texts(&place.outsider(), of))
    };
    let mut seen = Vec::new();
    for change in changes {
        place.site.change(change);
        place.ok(&["export", "--keep", "9"]);
        seen.push((place.served(), outline(place)));
    }
    for (id, content) in [&seen[0], &seen[3], &seen[1], &seen[2], &seen[0]] {
        place.ok(&["rollback", id]);
        assert_eq!(&outline(place), content, "{id}");
        assert_eq!(&place.served(), id);
    }
}

fn after_a_prune_no_data_is_stored_that_no_snapshot_needs(place: &mut Place) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    exported(place, 4);
    let pinned = place.kept()[2].clone();
    place.ok(&["pin", &pinned]);
    place.ok(&["rollback", &pinned[..]]);
    place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 1 AS a");
    let before = place.stored();
    place.ok(&["release"]);
    place.ok(&["export", "--full", "--keep", "1"]);
    let stored = place.stored();
    assert!(before.difference(&stored).count() >= 2, "{before:#?} {stored:#?}");
    assert_eq!(stored, place.needed());
    assert_eq!(
        place.kept().len(),
        3,
        "the served one, the last with another content and the pinned one"
    );
    // Every retained generation is complete.
    assert_eq!(place.number("SELECT a FROM marts.theirs"), 1);
    assert_eq!(numbers(place), 1003);
    place.ok(&["rollback", &pinned]);
    assert_eq!(numbers(place), 1001);
}

fn a_replaced_generation_is_kept_until_its_readers_are_done(place: &mut Place) {
    place.ok(&["export"]);
    let reader = place.reader();
    let held = reader.pin().unwrap();
    let stored = place.stored();
    for run in 0..3 {
        place.site.change(&format!("INSERT INTO serving.numbers VALUES ({run}, 0)"));
        place.ok(&["export", "--keep", "1"]);
    }
    assert!(place.stored().is_superset(&stored), "the default is an hour");
    eventually("the reader follows", || reader.pin().unwrap().generation().sequence > 1);
    assert_eq!(
        int(&ask(&held, "SELECT count(*) FROM numbers WHERE value IS NOT NULL").unwrap()),
        1000
    );
    // A host with another setting removes them immediately.
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.ok(&["export", "--full", "--keep", "1"]);
    assert_eq!(place.kept().len(), 2, "the served one, and the last with another content");
    assert_eq!(place.stored(), place.needed());
    assert!(!place.stored().is_superset(&stored));
}

fn generations_of_a_lake_are_the_same_seen_from_every_host(place: &mut Place) {
    exported(place, 2);
    let other = place.other_host();
    assert_eq!(other.generations(), place.generations());
    assert_eq!(other.history(), place.history());
    let oldest = place.kept()[1].clone();
    other.ok(&["pin", &oldest]);
    other.ok(&["rollback"]);
    assert_eq!(place.served(), oldest);
    assert_eq!(other.generations(), place.generations());
    assert_eq!(place.outcomes(), ["published", "published", "rolled_back"]);
    place.ok(&["unpin", &oldest]);
    assert!(other.generations().iter().all(|(_, _, pinned)| !pinned));
    // A host with a separate lakehouse publishes it as the next generation of the same lake.
    other.site.change("DELETE FROM serving.numbers WHERE id = 0");
    other.ok(&["export", "--take-over"]);
    let ids: BTreeSet<_> = place.kept().into_iter().collect();
    assert_eq!(place.served(), *ids.last().unwrap());
    assert_eq!(numbers(place), 999);
}

fn two_generations_of_a_lake_are_compared_by_value_and_have_their_true_size(place: &mut Place) {
    place.ok(&["export"]);
    let first: u64 = ["numbers", "names"]
        .iter()
        .map(|table| std::fs::metadata(place.newest_path(table)).unwrap().len())
        .sum();
    place.site.change("UPDATE serving.numbers SET value = 77 WHERE id = 3; INSERT INTO serving.names VALUES (4, 'd')");
    place.ok(&["export", "--force"]);
    let diff = place.lines(&["diff", "--json"]).remove(0);
    let kept = place.kept();
    assert_eq!((&diff["before"], &diff["now"]), (&kept[1].clone().into(), &kept[0].clone().into()));
    let table = |name: &str| {
        let tables = diff["tables"].as_array().unwrap();
        tables.iter().find(|table| table["table"] == name).cloned().unwrap()
    };
    let (numbers, names) = (table("numbers"), table("names"));
    assert_eq!(numbers["revision"]["revised"], 1, "{diff:#}");
    assert_eq!(numbers["revision"]["largest"][0]["now"], "77", "{diff:#}");
    assert_eq!((&names["rows_before"], &names["rows"]), (&3.into(), &4.into()), "{diff:#}");
    let back = place.lines(&["diff", "--json", &kept[0], &kept[1]]).remove(0);
    assert_eq!(back["now"], kept[1]);
    let kept = place.status()["generations"].as_array().unwrap().clone();
    assert_eq!(kept[1]["bytes"], first, "{kept:#?}");
}
