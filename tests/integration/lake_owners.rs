//! Who publishes to a lake, and which target an attempt belongs to.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{
    child::Actor,
    json_docs::assert_documented,
    lake_targets::{Kind, Place, on_every_lake},
    support::Ran,
};

on_every_lake!(a_second_exporter_is_refused_unless_it_takes_the_lake_over,);

fn path(place: &Place) -> String {
    place.site.lakehouse().canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn a_second_exporter_is_refused_unless_it_takes_the_lake_over(place: &mut Place) {
    place.ok(&["export"]);
    let record = place.history().pop().unwrap();
    assert_eq!(record["publisher"]["lakehouse"], path(place), "{record:#}");
    assert!(!record["publisher"]["host"].as_str().unwrap().is_empty(), "{record:#}");
    assert_eq!(place.status()["publisher"], record["publisher"]);

    let other = place.other_host();
    other.site.change("INSERT INTO serving.numbers VALUES (5000, 1)");
    let ran = other.fails(&["export"], 1);
    assert!(
        ran.stderr.contains("is filled by ")
            && ran.stderr.contains(&path(place))
            && ran.stderr.contains(&path(&other))
            && ran.stderr.contains("--take-over"),
        "{ran:#?}"
    );
    let ran = other.run(&["export", "--dry-run"]);
    assert!(ran.code == 1 && ran.stderr.contains("--take-over"), "{ran:#?}");
    assert_eq!(place.outcomes(), ["published"], "it does not concern the owner");
    place.ok(&["status"]);

    other.ok(&["export", "--take-over"]);
    let record = place.history().pop().unwrap();
    assert_eq!(record["publisher"]["lakehouse"], path(&other), "{record:#}");
    assert_eq!(record["took_over"]["lakehouse"], path(place), "{record:#}");
    assert_documented("attempt", &place.ok(&["history", "--json"]).stdout);
    assert_documented("materia status", &place.ok(&["status", "--json"]).stdout);
    let ran = place.ok(&["history"]);
    assert!(ran.stdout.contains("took the lake over from "), "{ran:#?}");
    place.fails(&["export"], 1);
    // What the former owner exported is served again, and the lake still has the new owner.
    place.ok(&["rollback"]);
    place.fails(&["export"], 1);
    place.ok(&["release"]);
    other.ok(&["export"]);
    // Also with content that is served already.
    other.site.change("DELETE FROM serving.numbers WHERE id = 5000");
    other.ok(&["export"]);
    place.ok(&["export", "--take-over"]);
    assert_eq!(place.status()["publisher"]["lakehouse"], path(place));
}

#[test]
fn of_two_exports_the_one_that_commits_last_exits_with_4() {
    let Some(place) = Place::new(Kind::Sqlite) else { return };
    place.ok(&["export"]);
    let other = place.other_host();
    other.site.change("INSERT INTO serving.numbers VALUES (5000, 1)");
    // An export that has begun, and waits for its lakehouse.
    let writer = Actor::start("writer", &place.site.lakehouse());
    let mut export = place
        .command(&["export", "--json", "--wait", "2m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(export.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"waiting\"") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended without waiting");
    }
    other.ok(&["export", "--take-over"]);
    writer.end();
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    let ran = Ran::of(&export.wait_with_output().unwrap());
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("was written by another process in the meantime"), "{ran:#?}");
}

/// The command on the same host, with the file next to the lakehouse as the served one.
fn on_the_file(place: &Place, args: &[&str]) -> Ran {
    let mut command = place.command(args);
    command.env_remove("SERVING_DUCKDB_PATH");
    Ran::of(&command.output().unwrap())
}

#[test]
fn an_attempt_on_one_target_is_in_no_history_of_another() {
    let Some(mut place) = Place::new(Kind::Sqlite) else { return };
    let lake = place.variable("SERVING_DUCKDB_PATH").unwrap();
    assert_eq!(on_the_file(&place, &["export"]).code, 0);
    // A lake that cannot be created.
    fs::write(place.site.path("blocked"), "").unwrap();
    let blocked = format!("ducklake:sqlite:{}", place.site.path("blocked/lake.sqlite").display());
    place.tell("SERVING_DUCKDB_PATH", &blocked);
    assert_eq!(place.run(&["export"]).code, 1);
    assert_eq!(place.outcomes(), ["failed"]);
    let status = on_the_file(&place, &["status"]);
    assert_eq!(status.code, 0, "{status:#?}");

    place.tell("SERVING_DUCKDB_PATH", &lake);
    let moved = on_the_file(&place, &["migrate", "--to", &lake]);
    assert_eq!(moved.code, 0, "{moved:#?}");
    assert_eq!(place.outcomes(), ["migrated"]);
    let status = place.ok(&["status"]);
    assert!(status.stdout.contains(" migrated in "), "{status:#?}");
    // The file refuses what the pipeline made of it, which is no problem of the lake.
    place.site.change("DELETE FROM serving.numbers");
    assert_eq!(on_the_file(&place, &["export"]).code, 3);
    assert_eq!(on_the_file(&place, &["status"]).code, 1);
    place.ok(&["status"]);
    assert_eq!(place.outcomes(), ["migrated"]);
}

#[test]
fn without_the_catalog_the_history_has_this_hosts_attempts() {
    let Some(place) = Place::new(Kind::Sqlite) else { return };
    place.ok(&["export"]);
    let attempts = place.history();
    fs::write(place.site.path("lake.sqlite"), "no database".repeat(100)).unwrap();
    let ran = place.ok(&["history", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap(), attempts[0]);
    assert!(ran.stderr.contains("these are the attempts of this machine"), "{ran:#?}");
    let other = place.other_host();
    let ran = other.run(&["history"]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot be reached"), "{ran:#?}");
}
