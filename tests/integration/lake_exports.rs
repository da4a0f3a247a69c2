//! An export writes only what has changed, detects modifications by others of published data, and
//! publishes nothing that it refuses.

use std::{collections::BTreeSet, fs};

use crate::{
    lake_targets::{Place, on_every_lake, on_every_target},
    support::eventually,
};

on_every_target!(
    an_export_that_finds_nothing_changed_makes_no_generation_and_renews_the_age_of_what_readers_have,
    only_what_changed_is_written_again_and_the_history_says_why,
    a_full_export_writes_everything_again,
    a_table_that_was_dropped_or_renamed_is_no_longer_served,
    what_fails_an_audit_leaves_what_is_served_untouched_until_it_is_forced,
    revised_values_are_compared_with_what_readers_have_and_sql_audits_read_them_as_previous,
    dashboards_that_cannot_be_answered_any_more_keep_an_export_from_being_published,
    a_rehearsal_tells_what_an_export_would_do_and_changes_nothing,
);
on_every_lake!(
    tables_that_somebody_changed_in_the_lake_are_put_right_by_the_next_export_and_no_reader_sees_them_before,
    tables_that_somebody_dropped_or_added_in_the_lake_are_put_right_by_the_next_export,
    another_schema_of_the_same_lake_that_somebody_writes_is_left_alone_and_no_export_becomes_a_full_one,
);

fn an_export_that_finds_nothing_changed_makes_no_generation_and_renews_the_age_of_what_readers_have(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let reader = place.reader();
    let before = reader.pin().unwrap().generation().clone();
    let (snapshots, generations, stored) = (place.snapshots(), place.generations(), place.stored());
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.starts_with("unchanged: "), "{ran:#?}");
    assert!(ran.stdout.contains(&generations[0].0), "{ran:#?}");
    assert_eq!(
        (place.snapshots(), place.generations(), place.stored()),
        (snapshots, generations, stored)
    );
    assert_eq!(place.outcomes(), ["published", "unchanged"]);
    eventually("the age is renewed in a reader that runs", || {
        reader.pin().unwrap().generation().as_of() > before.as_of()
            && reader.pin().unwrap().generation().confirmed_at.is_some()
    });
    let after = reader.pin().unwrap().generation().clone();
    assert_eq!(
        (after.sequence, &after.id, after.snapshot),
        (before.sequence, &before.id, before.snapshot)
    );
    let status = place.status();
    let time =
        |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(
        Some(time(&status["exported_at"]).as_millisecond()),
        after.as_of().map(jiff::Timestamp::as_millisecond)
    );
}

fn only_what_changed_is_written_again_and_the_history_says_why(place: &mut Place) {
    place.ok(&["export"]);
    let first = place.served();
    let (names, numbers, stored) = if place.is_lake() {
        (place.data_files("names"), place.data_files("numbers"), place.stored())
    } else {
        (Vec::new(), Vec::new(), BTreeSet::new())
    };
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    place.ok(&["export"]);
    let (reused, why) = place.treatment("numbers");
    assert!(reused && why == format!("unchanged since {first}"), "{why}");
    let (reused, why) = place.treatment("names");
    assert!(!reused && why.contains("changed"), "{why}");
    assert_eq!(place.number("SELECT count(*) FROM serving.names"), 4);
    if place.is_lake() {
        assert_eq!(
            place.data_files("numbers"),
            numbers,
            "the file of a table that has not changed"
        );
        assert_ne!(place.data_files("names"), names);
        let new: Vec<_> = place.stored().difference(&stored).cloned().collect();
        assert!(
            new.len() == 2
                && new
                    .iter()
                    .all(|file| file.starts_with("serving/names/") || file.starts_with("materia/")),
            "{new:?}"
        );
    }
    // The unchanged table is still recognized after a generation in which it was reused.
    place.site.change("INSERT INTO serving.names VALUES (5, 'e')");
    place.ok(&["export"]);
    assert!(place.treatment("numbers").0);
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1000);
}

fn a_full_export_writes_everything_again(place: &mut Place) {
    place.ok(&["export"]);
    let (files, dump) = (place.is_lake().then(|| place.data_files("names")), place.dump());
    place.ok(&["export", "--full"]);
    for table in ["names", "numbers"] {
        assert_eq!(place.treatment(table), (false, "a full export was requested".to_owned()));
    }
    assert_eq!(place.outcomes(), ["published", "published"]);
    assert_eq!(place.dump(), dump);
    if let Some(files) = files {
        assert_ne!(place.data_files("names"), files);
    }
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.starts_with("unchanged: "), "{ran:#?}");
}

fn a_table_that_was_dropped_or_renamed_is_no_longer_served(place: &mut Place) {
    place.site.change("CREATE TABLE serving.other AS SELECT 1 AS a");
    place.ok(&["export"]);
    place.site.change("DROP TABLE serving.other; ALTER TABLE serving.names RENAME TO people");
    let ran = place.fails(&["export"], 3);
    assert!(ran.stderr.contains("other") && ran.stderr.contains("names"), "{ran:#?}");
    place.site.settings(
        "[export.tables.other]\nallow_lost = true\n[export.tables.names]\nallow_lost = true",
    );
    place.ok(&["export"]);
    let tables: Vec<_> =
        place.dump().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(tables, ["numbers", "people"]);
    let pin = place.reader().pin().unwrap();
    assert_eq!(
        crate::reader::int(&crate::reader::ask(&pin, "SELECT count(*) FROM people").unwrap()),
        3
    );
    for gone in ["other", "names"] {
        assert!(crate::reader::ask(&pin, &format!("FROM {gone}")).is_err(), "{gone}");
    }
    assert!(place.treatment("numbers").0);
}

fn what_fails_an_audit_leaves_what_is_served_untouched_until_it_is_forced(place: &mut Place) {
    place.site.settings("[[export.audits]]\nname = 'no negative values'\nsql = 'SELECT * FROM serving.numbers WHERE value < 0'");
    place.ok(&["export"]);
    let stored = place.stored();
    place.site.change(
        "DELETE FROM serving.numbers WHERE id < 900; INSERT INTO serving.numbers VALUES (1, -1)",
    );
    let ran = place.fails(&["export"], 3);
    assert!(
        ran.stderr.contains("no negative values")
            && ran.stderr.contains("numbers has 101 rows, 1,000 in the served generation"),
        "{ran:#?}"
    );
    assert_eq!(place.stored(), stored, "nothing is uploaded");
    // A refused export is not mistaken for the served data afterwards.
    place.fails(&["export"], 3);
    assert_eq!(place.run(&["status"]).code, 1);
    place.ok(&["export", "--force"]);
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 101);
    assert_eq!(place.history().last().unwrap()["forced"], true);
    assert_eq!(place.outcomes(), ["published", "refused", "refused", "published"]);
}

fn revised_values_are_compared_with_what_readers_have_and_sql_audits_read_them_as_previous(
    place: &mut Place,
) {
    place.ok(&["export"]);
    place.site.change("UPDATE serving.numbers SET value = value * 1000");
    let ran = place.fails(&["export"], 3);
    assert!(
        ran.stderr.contains(
            "numbers has another scale than in the served generation: value was multiplied by 1000"
        ),
        "{ran:#?}"
    );
    place.site.change("UPDATE serving.numbers SET value = value / 1000; UPDATE serving.numbers SET value = 77 WHERE id = 3");
    let audit = "[[export.audits]]\nname = 'values stay'\nseverity = 'warn'\nsql = 'FROM numbers n JOIN previous.numbers p USING (id) WHERE n.value <> p.value'";
    place.site.settings(audit);
    let ran = place.ok(&["export"]);
    assert!(ran.stdout.contains("warning: returned 1 row (values stay)"), "{ran:#?}");
    assert_eq!(place.history().last().unwrap()["revisions"][0]["largest"][0]["now"], "77");
    let status = place.status();
    assert_eq!(
        (&status["revisions"][0]["table"], &status["revisions"][0]["revised"]),
        (&"numbers".into(), &1.into())
    );
}

fn dashboards_that_cannot_be_answered_any_more_keep_an_export_from_being_published(
    place: &mut Place,
) {
    fs::create_dir(place.site.path("boards")).unwrap();
    let board = "title = 'Values'\n[[panel]]\ntitle = 'Sum'\nkind = 'stat'\nsql = 'SELECT sum(value) AS n FROM numbers'\ny = 'n'\n";
    fs::write(place.site.path("boards/values.toml"), board).unwrap();
    place.site.settings(
        "[dashboards]\ndir = 'boards'\n[export.tables.numbers]\nallow_column_changes = true",
    );
    place.ok(&["export"]);
    let shown = place.ok(&["dashboards", "show", "values"]).stdout;
    assert!(shown.contains("749,250"), "{shown}");
    place.site.change("ALTER TABLE serving.numbers RENAME COLUMN value TO amount");
    let ran = place.fails(&["export"], 3);
    assert!(ran.stderr.contains("value") && ran.stderr.contains("Sum"), "{ran:#?}");
    assert!(place.ok(&["dashboards", "show", "values"]).stdout.contains("749,250"));
    fs::write(place.site.path("boards/values.toml"), board.replace("value)", "amount)")).unwrap();
    place.ok(&["export"]);
    assert!(place.ok(&["dashboards", "show", "values"]).stdout.contains("749,250"));
}

fn a_rehearsal_tells_what_an_export_would_do_and_changes_nothing(place: &mut Place) {
    place.ok(&["export"]);
    let (id, before) = (
        place.served(),
        (place.generations(), place.snapshots(), place.history(), place.site.listing()),
    );
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    let ran = place.ok(&["export", "--dry-run"]);
    assert!(ran.stdout.contains(&format!("unchanged since {id}")), "{ran:#?}");
    assert_eq!(
        (place.generations(), place.snapshots(), place.history(), place.site.listing()),
        before
    );
}

fn tables_that_somebody_changed_in_the_lake_are_put_right_by_the_next_export_and_no_reader_sees_them_before(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let (reader, dump) = (place.reader(), place.dump());
    let names = "SELECT count(*) FROM names WHERE name = 'theirs'";
    let count = || crate::reader::int(&crate::reader::ask(&reader.pin().unwrap(), names).unwrap());
    for meddled in [
        "UPDATE serving.names SET name = 'theirs'",
        "INSERT INTO serving.names VALUES (9, 'theirs')",
        "DELETE FROM serving.names",
        "ALTER TABLE serving.names ADD COLUMN more INTEGER",
        "CREATE OR REPLACE TABLE serving.names AS SELECT 1 AS id, 'theirs' AS name",
    ] {
        let sequence = reader.pin().unwrap().generation().sequence;
        place.meddle(meddled);
        assert_ne!(place.dump(), dump, "{meddled}: an outsider sees it");
        assert_eq!(count(), 0, "{meddled}: no reader of materia sees it");
        place.ok(&["export"]);
        assert_eq!(place.dump(), dump, "{meddled}");
        assert_eq!(
            place.treatment("names"),
            (false, "it was changed in the lake after it was published".to_owned()),
            "{meddled}"
        );
        assert!(place.treatment("numbers").0, "{meddled}");
        eventually("the reader follows", || {
            reader.pin().unwrap().generation().sequence == sequence + 1
        });
        assert_eq!(count(), 0, "{meddled}");
    }
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
}

fn tables_that_somebody_dropped_or_added_in_the_lake_are_put_right_by_the_next_export(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let dump = place.dump();
    for meddled in [
        "DROP TABLE serving.names",
        "ALTER TABLE serving.names RENAME TO people",
        "CREATE TABLE serving.theirs AS SELECT 1 AS a",
        "DROP SCHEMA serving CASCADE",
        "CREATE VIEW serving.looked_at AS SELECT 1 AS a",
        "DROP TABLE serving.names; CREATE VIEW serving.names AS SELECT 1 AS a",
        "CREATE TABLE serving.theirs AS SELECT 1 AS a; INSERT INTO serving.numbers VALUES (0, 0)",
    ] {
        place.meddle(meddled);
        assert_ne!(place.dump(), dump, "{meddled}");
        let ran = place.ok(&["export"]);
        assert_eq!(place.dump(), dump, "{meddled}: {ran:#?}");
    }
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
}

fn another_schema_of_the_same_lake_that_somebody_writes_is_left_alone_and_no_export_becomes_a_full_one(
    place: &mut Place,
) {
    place.ok(&["export"]);
    place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 1 AS a; CREATE TABLE main.loose AS SELECT 1 AS a");
    for round in 1..4 {
        place.meddle("INSERT INTO marts.theirs VALUES (2); INSERT INTO main.loose VALUES (2)");
        assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "), "round {round}");
        place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
        place.ok(&["export"]);
        assert!(place.treatment("numbers").0, "round {round}");
        assert_eq!(place.number("SELECT count(*) FROM marts.theirs"), 1 + round);
        assert_eq!(place.number("SELECT count(*) FROM main.loose"), 1 + round);
        assert_eq!(place.number("SELECT count(*) FROM serving.names"), 3 + round);
    }
    // A reader of the served data sees none of it either.
    let pin = place.reader().pin().unwrap();
    for theirs in ["marts.theirs", "main.loose", "materia.generation"] {
        assert!(crate::reader::ask(&pin, &format!("FROM {theirs}")).is_err(), "{theirs}");
    }
}
