//! A deployment moves from a file into a lake and back, with everything it serves.

use crate::lake_targets::{Place, on_every_lake};

on_every_lake!(
    a_file_moves_into_a_lake_and_back_value_for_value_and_nothing_is_switched_by_it,
    exports_go_on_in_the_lake_from_where_the_file_was,
    a_failed_migration_is_reported_and_changes_neither_place,
);

/// The command on the same host, with the file next to the lakehouse as the served one.
fn on_the_file(place: &Place, args: &[&str]) -> crate::support::Ran {
    let mut command = place.command(args);
    command.env_remove("SERVING_DUCKDB_PATH");
    crate::support::Ran::of(&command.output().unwrap())
}

fn address(place: &Place) -> String {
    place.variable("SERVING_DUCKDB_PATH").unwrap()
}

fn a_file_moves_into_a_lake_and_back_value_for_value_and_nothing_is_switched_by_it(
    place: &mut Place,
) {
    assert_eq!(on_the_file(place, &["export"]).code, 0);
    let file = on_the_file(place, &["status", "--json"]).stdout;
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    let moved = on_the_file(place, &["migrate", "--to", &address(place)]);
    assert_eq!(moved.code, 0, "{moved:#?}");
    assert!(
        moved.stdout.contains("compared value by value")
            && moved.stdout.contains("To switch, set SERVING_DUCKDB_PATH"),
        "{moved:#?}"
    );
    assert!(!format!("{moved:?}").contains(crate::postgres_server::PASSWORD), "{moved:#?}");
    // The same generation, for independent clients too.
    assert_eq!(place.status()["generation"], file["generation"]);
    assert_eq!(
        place.number("SELECT sum(id) FROM serving.numbers"),
        place.site.number("SELECT sum(id) FROM serving.numbers")
    );
    let still: serde_json::Value =
        serde_json::from_str(&on_the_file(place, &["status", "--json"]).stdout).unwrap();
    assert_eq!((&still["generation"], &still["served"]), (&file["generation"], &file["served"]));
    // And back, to another file.
    let back = place.site.path("back/analytics.duckdb");
    std::fs::create_dir(back.parent().unwrap()).unwrap();
    let returned = place.ok(&["migrate", "--to", back.to_str().unwrap()]);
    assert_eq!(returned.stdout.matches(" equal").count(), 2, "{returned:#?}");
    for table in ["numbers", "names"] {
        let all = format!(
            "SELECT count(*) + sum(hash(t)::HUGEINT % 1000000007)::BIGINT FROM serving.{table} AS t"
        );
        assert_eq!(crate::support::number(&back, &all), place.site.number(&all), "{table}");
    }
}

fn exports_go_on_in_the_lake_from_where_the_file_was(place: &mut Place) {
    assert_eq!(on_the_file(place, &["export"]).code, 0);
    assert_eq!(on_the_file(place, &["migrate", "--to", &address(place)]).code, 0);
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
    place.site.change("INSERT INTO serving.numbers VALUES (5000, 0.5)");
    let exported = place.ok(&["export"]);
    assert!(exported.stdout.contains("(1 copied, 1 unchanged)"), "{exported:#?}");
    // Migrating data that is already there writes no table.
    let again = place.run(&["migrate", "--to", place.site.path("twice.duckdb").to_str().unwrap()]);
    assert_eq!(again.code, 0, "{again:#?}");
}

fn a_failed_migration_is_reported_and_changes_neither_place(place: &mut Place) {
    let nothing = on_the_file(place, &["migrate", "--to", &address(place)]);
    assert_eq!(nothing.code, 1, "{nothing:#?}");
    assert!(
        nothing
            .stderr
            .contains("serves nothing that materia published; run `materia export` first"),
        "{nothing:#?}"
    );
    place.site.change("CREATE TABLE serving.huge AS SELECT 1::HUGEINT AS n");
    assert_eq!(on_the_file(place, &["export"]).code, 0);
    let huge = on_the_file(place, &["migrate", "--to", &address(place)]);
    assert_eq!(huge.code, 1, "{huge:#?}");
    assert!(huge.stderr.contains("a DuckLake cannot hold huge.n (HUGEINT) exactly"), "{huge:#?}");
    let huge = on_the_file(place, &["migrate", "--dry-run", "--to", &address(place)]);
    assert!(huge.code == 1 && huge.stderr.contains("huge.n (HUGEINT)"), "{huge:#?}");
    let same =
        on_the_file(place, &["migrate", "--to", place.site.path("other.duckdb").to_str().unwrap()]);
    assert!(same.code == 1 && same.stderr.contains("the same kind of place"), "{same:#?}");
    let nowhere = on_the_file(place, &["migrate"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("name where to"), "{nowhere:#?}");
    assert!(place.generations().is_empty());
    // With a setting, its values are kept as another type.
    place.site.settings("[lake]\ncasts = 'lossless'");
    let rehearsed = on_the_file(place, &["migrate", "--dry-run", "--to", &address(place)]);
    assert_eq!(rehearsed.code, 0, "{rehearsed:#?}");
    assert!(
        rehearsed.stdout.contains("huge.n (HUGEINT) is stored as DECIMAL(38,0)")
            && rehearsed.stdout.contains("nothing was written"),
        "{rehearsed:#?}"
    );
    assert!(place.generations().is_empty());
    let moved = on_the_file(place, &["migrate", "--to", &address(place)]);
    assert_eq!(moved.code, 0, "{moved:#?}");
    assert_eq!(place.number("SELECT sum(n)::BIGINT FROM serving.huge"), 1);
    place.ok(&["export"]);
    let rehearsed = place.ok(&[
        "migrate",
        "--dry-run",
        "--to",
        place.site.path("back.duckdb").to_str().unwrap(),
    ]);
    assert!(rehearsed.stdout.contains("numbers"), "{rehearsed:#?}");
    let to = place.site.path("back.duckdb");
    let rehearsed = place.ok(&["migrate", "--dry-run", "--json", "--to", to.to_str().unwrap()]);
    crate::json_docs::assert_documented("materia migrate --dry-run", &rehearsed.stdout);
}
