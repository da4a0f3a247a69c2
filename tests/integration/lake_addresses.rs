//! The error for something unreachable or unusable names it and the next action, never contains a
//! password, and the attempt is in the history once the lake is available again.

use std::{fs, net::TcpListener};

use crate::{
    lake_targets::{Kind, Place, on_every_lake},
    postgres_server::PASSWORD,
    s3::SECRET,
    support::{Ran, Site},
};

on_every_lake!(
    a_new_lake_needs_a_data_folder_and_remembers_it,
    an_extension_that_is_missing_is_named_with_the_command_that_installs_it,
    an_unreachable_catalog_fails_the_attempt_which_is_recorded_once_it_is_reachable,
    data_that_is_out_of_reach_fails_the_attempt_and_the_next_one_succeeds,
);

/// Expects a failure whose message contains these words and no password.
fn expect(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{words:?}: {ran:#?}");
    let message = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(message.contains(word), "{word}: {ran:#?}");
    }
    assert!(
        !message.contains(PASSWORD) && !message.contains(SECRET) && !message.contains("panicked"),
        "{ran:#?}"
    );
}

#[test]
fn an_invalid_lake_address_is_a_settings_error_with_an_example() {
    let site = Site::small();
    for (address, words) in [
        ("ducklake:", "names no file"),
        ("ducklake:sqlite:", "names no file"),
        ("ducklake:postgres:", "names no PostgreSQL database"),
        ("ducklake:postgres:host", "cannot be read"),
        ("ducklake:mysql:host=x", "a catalog is in PostgreSQL, SQLite or a DuckDB file"),
        ("ducklake:md:x", "a catalog is in PostgreSQL, SQLite or a DuckDB file"),
        ("ducklake:postgres://materia:hunter2-of-the-accounts@[x/lake", "cannot be read"),
        ("ducklake:postgres:host=db password='hunter2-of-the-accounts", "cannot be read"),
    ] {
        for args in [
            &["export", "--to", address][..],
            &["status", "--to", address],
            &["rollback", "--to", address],
        ] {
            expect(&site.run(args), 2, &[words]);
        }
        let ran = Ran::of(
            &site.command(&["export"]).env("SERVING_DUCKDB_PATH", address).output().unwrap(),
        );
        expect(&ran, 2, &["SERVING_DUCKDB_PATH", words]);
        site.settings(&format!("serving = \"{address}\""));
        expect(&site.run(&["export"]), 2, &[words]);
        fs::remove_file(site.path("materia.toml")).unwrap();
    }
    let ran = Ran::of(
        &site
            .command(&["export", "--to", "ducklake:sqlite:x"])
            .env("AWS_ENDPOINT_URL", "nonsense")
            .output()
            .unwrap(),
    );
    expect(&ran, 2, &["AWS_ENDPOINT_URL", "https://s3.example.com"]);
    assert_eq!(site.names(), ["lakehouse.duckdb"]);
}

fn a_new_lake_needs_a_data_folder_and_remembers_it(place: &mut Place) {
    let data = place.variable("MATERIA_LAKE_DATA").unwrap();
    place.tell("MATERIA_LAKE_DATA", "");
    for _ in 0..2 {
        expect(
            &place.run(&["export"]),
            1,
            &["MATERIA_LAKE_DATA", "data under [lake] in materia.toml"],
        );
    }
    expect(&place.run(&["status"]), 1, &["nothing is served"]);
    place.tell("MATERIA_LAKE_DATA", &data);
    place.ok(&["export"]);
    assert_eq!(place.outcomes(), ["failed", "failed", "published"]);
    let first = &place.history()[0];
    assert!(first["error"].as_str().unwrap().contains("MATERIA_LAKE_DATA"), "{first:#}");
    // From then on the lake itself has the data path.
    place.tell("MATERIA_LAKE_DATA", "");
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    place.ok(&["export"]);
    place.ok(&["status"]);
    place.ok(&["rollback"]);
    assert_eq!(place.number("SELECT count(*) FROM serving.numbers"), 1000);
    // A different data path is refused: the data would be in two places.
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
    // An extension for the catalog is not sufficient for the data.
    let only = place.site.path("only");
    let version = fs::read_dir(&extensions)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let into = only.join(version.file_name().unwrap());
    fs::create_dir_all(&into).unwrap();
    let file = format!("{catalog}.duckdb_extension");
    std::os::unix::fs::symlink(version.join(&file), into.join(&file)).unwrap();
    place.tell("MATERIA_EXTENSIONS", only.to_str().unwrap());
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    expect(
        &place.run(&["export"]),
        1,
        &["ducklake", "install it with: materia extensions install"],
    );
    expect(
        &place.run(&["status"]),
        1,
        &["ducklake", "install it with: materia extensions install"],
    );
}

/// Returns a port without a listener.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn an_unreachable_catalog_fails_the_attempt_which_is_recorded_once_it_is_reachable(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let address = place.address();
    let wrong: Vec<(String, &str)> = match place.kind {
        Kind::PostgresS3 => {
            let port = address.split("port=").nth(1).unwrap().split(' ').next().unwrap();
            vec![
                (
                    address.replace(PASSWORD, &format!("{PASSWORD}-not")),
                    "password authentication failed",
                ),
                (
                    address.replace(&format!("port={port}"), &format!("port={}", closed_port())),
                    "refused",
                ),
                (address.replace("dbname=accounts", "dbname=nowhere"), "does not exist"),
                (address.replace("user=materia", "user=nobody"), "nobody"),
            ]
        }
        Kind::Sqlite | Kind::File => {
            fs::write(place.site.path("broken.sqlite"), "this is no database ".repeat(100))
                .unwrap();
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
        // A lake whose file does not exist is a new one.
        if !name.contains("nowhere/") {
            expect(&place.run(&["rollback"]), 1, &[words, name]);
            expect(&place.run(&["status"]), 1, &[words, name]);
            // What this host tried is known without the catalog.
            expect(&place.run(&["history"]), 0, &[words, name]);
        }
    }
    place.tell("SERVING_DUCKDB_PATH", &address);
    place.ok(&["export"]);
    let outcomes = place.outcomes();
    assert_eq!(
        (outcomes.first().unwrap().as_str(), outcomes.last().unwrap().as_str()),
        ("published", "published")
    );
    // Another address is another target; a wrong password is not.
    let name = |address: &str| address.split(" password").next().unwrap().to_owned();
    let same = wrong.iter().filter(|(wrong, _)| name(wrong) == name(&address));
    let failed = 2 * same.count();
    assert_eq!(
        outcomes.iter().filter(|outcome| *outcome == "failed").count(),
        failed,
        "{outcomes:?}"
    );
    let message = place.ok(&["history", "--json"]).stdout;
    assert!(!message.contains(PASSWORD), "{message}");
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

#[test]
fn status_says_who_named_each_place_and_warns_where_one_overrides_another() {
    let site = Site::small();
    site.settings("serving = \"ducklake:postgres:host=db dbname=lake password=hunter2\"");
    let status = |to: &str| {
        Ran::of(&site.command(&["status"]).env("SERVING_DUCKDB_PATH", to).output().unwrap())
    };
    let ran = status("other.duckdb");
    assert!(
        ran.stdout.contains("settings      serving from SERVING_DUCKDB_PATH, lakehouse by default")
            && ran.stdout.contains(
                "serving is taken from SERVING_DUCKDB_PATH, which overrides \"ducklake:postgres:host=db dbname=lake\" from materia.toml; remove one of them"
            )
            && !ran.stdout.contains("hunter2"),
        "{ran:#?}"
    );
    site.settings("serving = \"other.duckdb\"");
    let ran = site.run(&["status"]);
    assert!(
        ran.stdout.contains("serving from materia.toml") && !ran.stdout.contains("overrides"),
        "{ran:#?}"
    );
}
