//! A lake whose data is lost, truncated or damaged: the damage is reported, the next export writes
//! the data again, and no reader moves to a generation that it cannot read.

use std::fs;

use crate::{
    lake_targets::{Place, on_every_lake},
    support::eventually,
};

on_every_lake!(
    each_lost_data_file_is_reported_and_written_anew_by_the_next_export,
    with_all_data_lost_an_export_writes_everything_anew,
    a_data_file_that_was_cut_short_is_reported_and_written_anew,
    lost_tables_come_back_with_an_export_that_changes_another,
    a_reader_keeps_its_generation_while_the_next_one_cannot_be_read,
    a_generation_that_lost_data_is_not_restored,
    a_check_of_the_lake_finds_damage_that_no_size_shows,
);

fn lose_everything(place: &Place) {
    for table in ["numbers", "names", "generation"] {
        place.paths(table).iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

/// Expects the damaged storage to be reported as a separate condition.
fn reports(place: &Place, what: &str) {
    let ran = place.run(&["status"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains(what) && ran.stdout.contains("materia export"), "{ran:#?}");
}

fn each_lost_data_file_is_reported_and_written_anew_by_the_next_export(place: &mut Place) {
    place.ok(&["export", "--keep", "1"]);
    let dump = place.dump();
    for table in ["numbers", "names", "generation"] {
        let served = place.served();
        let file = place.newest_path(table);
        fs::remove_file(&file).unwrap();
        if table != "generation" {
            reports(place, "1 data file of");
        }
        let ran = place.ok(&["export", "--keep", "1"]);
        assert!(ran.stderr.contains("is missing"), "what was lost is named: {ran:#?}");
        assert_ne!(place.served(), served, "{table}");
        if table != "generation" {
            let (reused, why) = place.treatment(table);
            assert!(!reused && why.contains("missing"), "{why}");
            let other = if table == "names" { "numbers" } else { "names" };
            assert!(place.treatment(other).0, "the other table stays as it is");
        }
        assert_eq!(place.dump(), dump);
        place.ok(&["status"]);
        assert_eq!(place.ok(&["export"]).stdout.matches("unchanged").count(), 1);
    }
}

fn with_all_data_lost_an_export_writes_everything_anew(place: &mut Place) {
    place.ok(&["export"]);
    let dump = place.dump();
    lose_everything(place);
    reports(place, "2 data files of names, numbers are missing or damaged");
    let alert = place.run(&["alert"]);
    assert!(alert.stdout.contains("2 data files of names, numbers"), "{alert:#?}");
    assert_eq!(place.run(&["lake", "check"]).code, 1);
    place.ok(&["export", "--keep", "1"]);
    assert_eq!(place.dump(), dump);
    place.ok(&["status"]);
}

fn a_data_file_that_was_cut_short_is_reported_and_written_anew(place: &mut Place) {
    place.ok(&["export"]);
    let dump = place.dump();
    let file = place.newest_path("numbers");
    let whole = fs::read(&file).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        let file = place.newest_path("numbers");
        fs::write(&file, &whole[..length]).unwrap();
        reports(place, &format!("has {length} bytes"));
        place.ok(&["export"]);
        assert!(place.treatment("numbers").1.contains(&format!("has {length} bytes")));
        assert_eq!(place.dump(), dump);
        place.ok(&["status"]);
    }
}

fn lost_tables_come_back_with_an_export_that_changes_another(place: &mut Place) {
    place.ok(&["export"]);
    lose_everything(place);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, NULL)");
    place.ok(&["export"]);
    assert!(place.treatment("names").1.contains("missing"), "{:?}", place.treatment("names"));
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1001);
    assert_eq!(place.number("SELECT count(*) FROM serving.names"), 3);
    place.ok(&["status"]);
}

fn a_reader_keeps_its_generation_while_the_next_one_cannot_be_read(place: &mut Place) {
    place.ok(&["export"]);
    let reader = place.reader();
    let before = reader.state().generation.unwrap();
    // A generation whose data does not match its catalog, in one transaction.
    let newest = "WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)";
    place
        .catalog()
        .execute_batch(&format!(
            "BEGIN;
             UPDATE ducklake_data_file SET file_size_bytes = file_size_bytes + 1;
             INSERT INTO ducklake_snapshot_changes SELECT snapshot_id + 1, changes_made, author, commit_message, commit_extra_info FROM ducklake_snapshot_changes {newest};
             INSERT INTO ducklake_snapshot SELECT snapshot_id + 1, snapshot_time, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot {newest};
             COMMIT"
        ))
        .unwrap();
    eventually("the reader says why it does not follow", || {
        reader
            .state()
            .problem
            .is_some_and(|problem| problem.reason.contains("when it was published"))
    });
    assert_eq!(reader.state().generation.unwrap().snapshot, before.snapshot);
    assert!(reader.state().storage.is_some());
    place.ok(&["export"]);
    eventually("the reader follows to what can be read", || {
        let state = reader.state();
        state.problem.is_none()
            && state.storage.is_none()
            && state.generation.unwrap().snapshot > before.snapshot.map(|snapshot| snapshot + 1)
    });
}

fn a_generation_that_lost_data_is_not_restored(place: &mut Place) {
    place.ok(&["export"]);
    let first = place.served();
    let lost = place.newest_path("numbers");
    place.site.change("INSERT INTO serving.numbers VALUES (1000, NULL)");
    place.ok(&["export"]);
    fs::remove_file(&lost).unwrap();
    place.ok(&["status"]);
    let check = place.run(&["lake", "check"]);
    assert_eq!(check.code, 1, "{check:#?}");
    assert!(check.stdout.contains(&first), "{check:#?}");
    let ran = place.fails(&["rollback", &first], 1);
    assert!(ran.stderr.contains("1 data file of numbers is missing or damaged"), "{ran:#?}");
}

fn a_check_of_the_lake_finds_damage_that_no_size_shows(place: &mut Place) {
    place.ok(&["export"]);
    let whole = place.ok(&["lake", "check"]);
    assert!(whole.stdout.contains("3 data files of 1 generation"), "{whole:#?}");
    place.ok(&["lake", "check", "--deep"]);
    let file = place.newest_path("numbers");
    let bytes = fs::read(&file).unwrap();
    // The footer's length is changed: the file still ends like a Parquet file.
    let mut footer = bytes.clone();
    let end = footer.len();
    footer[end - 8..end - 4].copy_from_slice(&[0xff; 4]);
    fs::write(&file, &footer).unwrap();
    let ran = place.run(&["lake", "check", "--json"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["damage"].as_array().unwrap().len(), 1, "{found:#}");
    assert_eq!(found["damage"][0]["table"], "numbers");
    assert_eq!(found["damage"][0]["generations"][0], place.served());

    let mut values = bytes.clone();
    values[20..200].fill(0x55);
    fs::write(&file, &values).unwrap();
    place.ok(&["lake", "check"]);
    let ran = place.run(&["lake", "check", "--deep"]);
    assert!(ran.code == 1 && ran.stdout.contains("numbers: "), "{ran:#?}");
    place.ok(&["export", "--full"]);
    // The older generation still needs that file.
    let ran = place.run(&["lake", "check", "--deep"]);
    assert!(ran.code == 1 && ran.stdout.contains("the served generation is whole"), "{ran:#?}");
    fs::write(&file, &bytes).unwrap();
    place.ok(&["lake", "check", "--deep"]);
}

#[test]
fn a_file_is_no_lake_to_check() {
    let site = crate::support::Site::small();
    let ran = site.run(&["lake", "check"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("is a file; name a lake with --to ducklake:"), "{ran:#?}");
}
