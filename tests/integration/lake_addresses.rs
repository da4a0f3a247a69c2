//! What cannot be reached or used is told with its name and what to do, never with a password, and the attempt is in the history once the lake is back.

use std::{fs, net::TcpListener};

use crate::{
    lake_place::{Kind, Place, on_every_lake},
    postgres::PASSWORD,
    s3::SECRET,
    support::{Ran, Site},
};

on_every_lake!(
    a_lake_that_is_to_be_made_needs_a_place_for_its_data_and_remembers_it,
    an_extension_that_is_missing_is_named_with_the_command_that_installs_it,
    a_catalog_that_is_out_of_reach_fails_the_attempt_which_is_told_when_it_is_back,
    data_that_is_out_of_reach_fails_the_attempt_and_the_next_one_succeeds,
);

/// Expects a failure that says these words and no password.
fn expect(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{words:?}: {ran:#?}");
    let told = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(told.contains(word), "{word}: {ran:#?}");
    }
    assert!(!told.contains(PASSWORD) && !told.contains(SECRET) && !told.contains("panicked"), "{ran:#?}");
}

#[test]
fn an_address_that_cannot_be_read_is_a_wrong_setting_and_is_told_with_an_example() {
    let site = Site::small();
    for (address, words) in [
        ("ducklake:", "names no file"),
        ("ducklake:sqlite:", "names no file"),
        ("ducklake:postgres:", "names no PostgreSQL database"),
        ("ducklake:postgres:host", "cannot be read"),
        ("ducklake:mysql:host=x", "catalogs are kept in PostgreSQL, SQLite or a DuckDB file"),
        ("ducklake:md:x", "catalogs are kept in PostgreSQL, SQLite or a DuckDB file"),
        ("ducklake:postgres://materia:hunter2-of-the-accounts@[x/lake", "cannot be read"),
        ("ducklake:postgres:host=db password='hunter2-of-the-accounts", "cannot be read"),
    ] {
        for args in [&["export", "--to", address][..], &["status", "--to", address], &["rollback", "--to", address]] {
            expect(&site.run(args), 2, &[words]);
        }
        let ran = Ran::of(&site.command(&["export"]).env("SERVING_DUCKDB_PATH", address).output().unwrap());
        expect(&ran, 2, &["SERVING_DUCKDB_PATH", words]);
        site.settings(&format!("serving = \"{address}\""));
        expect(&site.run(&["export"]), 2, &[words]);
        fs::remove_file(site.path("materia.toml")).unwrap();
    }
    let ran = Ran::of(&site.command(&["export", "--to", "ducklake:sqlite:x"]).env("AWS_ENDPOINT_URL", "nonsense").output().unwrap());
    expect(&ran, 2, &["AWS_ENDPOINT_URL", "https://s3.example.com"]);
    assert_eq!(site.names(), ["lakehouse.duckdb"]);
}

fn a_lake_that_is_to_be_made_needs_a_place_for_its_data_and_remembers_it(place: &mut Place) {
    let data = place.variable("MATERIA_LAKE_DATA").unwrap();
    place.tell("MATERIA_LAKE_DATA", "");
    for _ in 0..2 {
        expect(&place.run(&["export"]), 1, &["MATERIA_LAKE_DATA", "data under [lake] in materia.toml"]);
    }
    expect(&place.run(&["status"]), 1, &["nothing is served"]);
    place.tell("MATERIA_LAKE_DATA", &data);
    place.ok(&["export"]);
    assert_eq!(place.outcomes(), ["failed", "failed", "published"]);
    let first = &place.history()[0];
    assert!(first["error"].as_str().unwrap().contains("MATERIA_LAKE_DATA"), "{first:#}");
    // From then on the lake itself knows.
    place.tell("MATERIA_LAKE_DATA", "");
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    place.ok(&["export"]);
    place.ok(&["status"]);
    place.ok(&["rollback"]);
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1000);
    // Another one than it has is refused: data would be in two places.
    place.tell("MATERIA_LAKE_DATA", &format!("{data}-elsewhere"));
    place.site.change("INSERT INTO serving.numbers VALUES (1001, 1)");
    let ran = place.run(&["export"]);
    expect(&ran, 1, &["elsewhere"]);
}

fn an_extension_that_is_missing_is_named_with_the_command_that_installs_it(place: &mut Place) {
    let extensions = place.variable("MATERIA_EXTENSIONS").unwrap();
    let catalog = if place.kind == Kind::Sqlite { "sqlite_scanner" } else { "postgres_scanner" };
    place.tell("MATERIA_EXTENSIONS", place.site.path("none").to_str().unwrap());
    for args in [&["export"][..], &["status"], &["rollback"], &["pin", "2026"]] {
        expect(&place.run(args), 1, &[catalog, "install it with: materia extensions install"]);
    }
    place.tell("MATERIA_EXTENSIONS", &extensions);
    place.ok(&["export"]);
    let outcomes = place.outcomes();
    assert_eq!(outcomes.last().unwrap(), "published", "{outcomes:?}");
    assert_eq!(outcomes[0], "failed", "{outcomes:?}");
    // One that is there for the catalog is not enough for the data.
    let only = place.site.path("only");
    let version = fs::read_dir(&extensions).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let into = only.join(version.file_name().unwrap());
    fs::create_dir_all(&into).unwrap();
    let file = format!("{catalog}.duckdb_extension");
    std::os::unix::fs::symlink(version.join(&file), into.join(&file)).unwrap();
    place.tell("MATERIA_EXTENSIONS", only.to_str().unwrap());
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    expect(&place.run(&["export"]), 1, &["ducklake", "install it with: materia extensions install"]);
    expect(&place.run(&["status"]), 1, &["ducklake", "install it with: materia extensions install"]);
}

/// A port at which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn a_catalog_that_is_out_of_reach_fails_the_attempt_which_is_told_when_it_is_back(place: &mut Place) {
    place.ok(&["export"]);
    let address = place.address();
    let wrong: Vec<(String, &str)> = match place.kind {
        Kind::PostgresS3 => {
            let port = address.split("port=").nth(1).unwrap().split(' ').next().unwrap();
            vec![
                (address.replace(PASSWORD, &format!("{PASSWORD}-not")), "password authentication failed"),
                (address.replace(&format!("port={port}"), &format!("port={}", closed_port())), "refused"),
                (address.replace("dbname=accounts", "dbname=nowhere"), "does not exist"),
                (address.replace("user=materia", "user=nobody"), "nobody"),
            ]
        }
        Kind::Sqlite | Kind::File => {
            fs::write(place.site.path("broken.sqlite"), "this is no database ".repeat(100)).unwrap();
            vec![
                (address.replace("lake.sqlite", "broken.sqlite"), "broken.sqlite"),
                (address.replace("lake.sqlite", "nowhere/lake.sqlite"), "nowhere/lake.sqlite"),
            ]
        }
    };
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    for (wrong, words) in &wrong {
        place.tell("SERVING_DUCKDB_PATH", wrong);
        let name = wrong.split(" password").next().unwrap();
        expect(&place.run(&["export"]), 1, &[words, name]);
        // Where there is no file there is no lake yet.
        if !name.contains("nowhere/") {
            expect(&place.run(&["rollback"]), 1, &[words, name]);
            expect(&place.run(&["status"]), 1, &[words, name]);
            expect(&place.run(&["history"]), 1, &[words, name]);
        }
    }
    place.tell("SERVING_DUCKDB_PATH", &address);
    place.ok(&["export"]);
    let outcomes = place.outcomes();
    assert_eq!((outcomes.first().unwrap().as_str(), outcomes.last().unwrap().as_str()), ("published", "published"));
    let failed = wrong.iter().map(|(address, _)| if address.contains("nowhere/") { 1 } else { 2 }).sum::<usize>();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "failed").count(), failed, "{outcomes:?}");
    let told = place.ok(&["history", "--json"]).stdout;
    assert!(!told.contains(PASSWORD), "{told}");
}

fn data_that_is_out_of_reach_fails_the_attempt_and_the_next_one_succeeds(place: &mut Place) {
    place.ok(&["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    match place.kind {
        Kind::PostgresS3 => {
            let (secret, endpoint) = ("AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL");
            let right = place.variable(endpoint).unwrap();
            place.tell(secret, &format!("{SECRET}-not"));
            let ran = place.run(&["export"]);
            expect(&ran, 1, &["s3://lake/"]);
            place.tell(secret, SECRET);
            place.tell(endpoint, &format!("http://127.0.0.1:{}", closed_port()));
            let ran = place.run(&["export"]);
            expect(&ran, 1, &["127.0.0.1"]);
            place.tell(endpoint, &right);
        }
        Kind::Sqlite | Kind::File => {
            let (data, away) = (place.site.path("data"), place.site.path("away"));
            fs::rename(&data, &away).unwrap();
            fs::write(&data, "a file where the folder was").unwrap();
            let ran = place.run(&["export"]);
            expect(&ran, 1, &[data.to_str().unwrap()]);
            fs::remove_file(&data).unwrap();
            fs::rename(away, data).unwrap();
        }
    }
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1000);
    place.ok(&["export"]);
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1001);
    assert_eq!(
        place.history().iter().filter(|record| record["outcome"] == "failed").count(),
        if place.kind == Kind::Sqlite { 1 } else { 2 }
    );
}
