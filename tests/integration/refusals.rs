//! Refusals show how to proceed, incorrect usage leaves nothing behind, and printed text cannot
//! control a terminal.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{Ran, Site};

/// Names that need quoting in a shell, in TOML or in both.
const NAMES: [&str; 6] =
    ["orders", "my orders", "it's \"quoted\"", "a.b=c", "größe", "esc\u{1b}[31mred"];

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Creates a site with a table for each kind of change that a flag can allow.
fn changed(name: &str, change: &str) -> Site {
    let table = format!("serving.{}", ident(name));
    let site = Site::with(&format!(
        "CREATE SCHEMA serving; CREATE TABLE serving.other AS SELECT 1 AS id;
         CREATE TABLE {table} AS SELECT i AS id, 'x' AS note FROM range(1000) t(i);"
    ));
    site.ok(&["export"]);
    site.change(&change.replace("$T", &table));
    site
}

const CHANGES: [&str; 4] = [
    "DELETE FROM $T",
    "DELETE FROM $T WHERE id >= 127",
    "DROP TABLE $T",
    "ALTER TABLE $T DROP COLUMN note",
];

fn after<'a>(ran: &'a Ran, start: &str) -> &'a str {
    ran.stderr.split_once(start).unwrap_or_else(|| panic!("no {start:?} in {}", ran.stderr)).1
}

#[test]
fn the_flag_that_a_refusal_prints_publishes_once() {
    for (name, change) in
        NAMES.iter().flat_map(|name| CHANGES.iter().map(move |change| (name, change)))
    {
        let site = changed(name, change);
        let refused = site.run(&["export"]);
        assert_eq!(refused.code, 3, "{name} {change}: {refused:#?}");
        let command = after(&refused, "To allow it once: materia ").lines().next().unwrap();
        assert!(!command.contains("--force"), "{refused:#?}");
        // Run by bash, as when an operator pastes it.
        let mut shell = std::process::Command::new("bash");
        let line = format!("exec \"$0\" {command}");
        let output = shell
            .args(["-c", &line, env!("CARGO_BIN_EXE_materia")])
            .env("LC_ALL", "C.UTF-8")
            .current_dir(site.folder())
            .output()
            .unwrap();
        let ran = Ran::of(&output);
        assert_eq!(ran.code, 0, "{name} {change}: {command}: {ran:#?}");
        assert!(ran.stdout.contains("published "), "{ran:#?}");
    }
}

#[test]
fn the_settings_that_a_refusal_prints_publish_from_then_on() {
    for (name, change) in
        NAMES.iter().flat_map(|name| CHANGES.iter().map(move |change| (name, change)))
    {
        let site = changed(name, change);
        let refused = site.run(&["export"]);
        let lines: Vec<_> = after(&refused, "in materia.toml:\n").lines().map(str::trim).collect();
        site.settings(&lines.join("\n"));
        let ran = site.ok(&["export"]);
        assert!(ran.stdout.contains("published "), "{name} {change}: {lines:?}: {ran:#?}");
        let record = &site.history()[1];
        assert_eq!(record["way_out"]["always"].as_array().unwrap().len(), lines.len());
    }
}

#[test]
fn what_no_setting_allows_says_what_to_correct_and_how_to_publish_once() {
    let site = Site::small();
    site.settings("[export.tables.names]\nnot_null = ['name']\n[export.tables.nmes]\nmin_rows = 1\n[[export.audits]]\nname = 'none'\nsql = 'FROM names'");
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    for expected in [
        "names in the pipeline, or not_null under [export.tables.names]",
        "correct the name in [export.tables.nmes]",
        "the audit none in materia.toml",
    ] {
        assert!(ran.stderr.contains(expected), "{expected}: {ran:#?}");
    }
    assert!(ran.stderr.contains("To allow it once: materia export --force"), "{ran:#?}");
    site.ok(&["export", "--force"]);
}

#[test]
fn a_table_that_came_back_under_another_name_is_reported_as_renamed() {
    let site = Site::small();
    site.ok(&["export"]);
    site.change("ALTER TABLE serving.numbers RENAME TO numbers_v2");
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains("numbers seems to have been renamed to numbers_v2"), "{ran:#?}");
    assert!(ran.stderr.contains("materia export --allow-lost numbers\n"), "{ran:#?}");
    site.ok(&["export", "--allow-lost", "numbers"]);
}

#[test]
fn wrong_usage_in_an_empty_folder_is_exit_2_and_leaves_it_empty() {
    let wrong: [&[&str]; 14] = [
        &["export"],
        &["export", "--lakehouse", "none.duckdb"],
        &["export", "--memory-limit", "lots"],
        &["export", "--threads", "0"],
        &["export", "--storage-version", "v9"],
        &["export", "--max-drop", "orders"],
        &["export", "--max-drop", "orders=2"],
        &["export", "--dashboards", "x"],
        &["rollback", "zzz"],
        &["pin", "zzz"],
        &["unpin", "zzz"],
        &["users", "list"],
        &["users", "set-plan", "a@example.test", "pro"],
        &["pipeline", "run", "zzz"],
    ];
    for args in wrong {
        let site = Site::empty();
        let ran = site.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:#?}");
        assert_eq!(site.listing(), Vec::<String>::new(), "{args:?}: {ran:#?}");
    }
    for args in [&["status"][..], &["history"]] {
        let site = Site::empty();
        let ran = site.run(args);
        assert!(
            ran.code < 2 && site.listing().is_empty(),
            "{args:?}: {ran:#?} {:?}",
            site.listing()
        );
    }
}

#[test]
fn wrong_limits_are_no_attempt_where_something_is_served() {
    let site = Site::small();
    site.ok(&["export"]);
    for args in [
        &["export", "--memory-limit", "lots"][..],
        &["export", "--storage-version", "v9"],
        &["rollback", "zzz"],
    ] {
        let ran = site.run(args);
        assert_eq!((ran.code, site.history().len()), (2, 1), "{args:?}: {ran:#?}");
    }
}

#[test]
fn nothing_that_is_printed_acts_on_a_terminal() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.\"esc\u{1b}[31mred\" AS SELECT 1 AS \"col\u{1b}]0;x\u{7}\";
         CREATE TABLE serving.\"two\nlines\u{202e}\" AS SELECT 1 AS a;
         COMMENT ON TABLE serving.\"esc\u{1b}[31mred\" IS 'c\u{1b}[2J\u{9b}31m';",
    );
    let shown = |args: &[&str]| {
        let ran = site.run(args);
        for text in [&ran.stdout, &ran.stderr] {
            let acts = |char: char| {
                (char.is_control() && char != '\n')
                    || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!text.chars().any(acts), "{args:?}: {text:?}");
        }
        ran
    };
    shown(&["export", "--dry-run"]);
    shown(&["export"]);
    let status = shown(&["status"]);
    assert!(status.stdout.contains("two␤lines"), "{status:#?}");
    for args in [
        &["history"][..],
        &["history", "--json"],
        &["status", "--json"],
        &["dashboards", "check"],
        &["dashboards", "list"],
    ] {
        shown(args);
    }
    site.change(
        "DROP TABLE serving.\"two\nlines\u{202e}\"; DELETE FROM serving.\"esc\u{1b}[31mred\"",
    );
    for args in
        [&["export"][..], &["export", "--json"], &["history"], &["status"], &["status", "--json"]]
    {
        shown(args);
    }
}

#[test]
fn a_lakehouse_that_cannot_be_read_is_not_called_free() {
    let site = Site::empty();
    fs::write(site.lakehouse(), "not a database, and longer than a header").unwrap();
    let ran = site.run(&["status"]);
    assert!(
        ran.stdout.contains("is not a DuckDB database") && !ran.stdout.contains("is free"),
        "{ran:#?}"
    );
    fs::remove_file(site.lakehouse()).unwrap();
    fs::create_dir(site.lakehouse()).unwrap();
    let ran = site.run(&["status"]);
    assert!(ran.stdout.contains("is a folder") && !ran.stdout.contains("is free"), "{ran:#?}");
}

#[test]
fn a_lakehouse_named_like_the_served_file_gets_a_suggested_target() {
    let site = Site::small();
    fs::rename(site.lakehouse(), site.served()).unwrap();
    let ran = site.run(&["export", "--lakehouse", "analytics.duckdb"]);
    assert!(ran.stderr.contains("--to served.duckdb"), "{ran:#?}");
}

#[test]
fn the_first_published_file_is_as_readable_as_the_lakehouse_and_writable_by_nobody() {
    for (mode, published) in [(0o600, 0o400), (0o640, 0o440), (0o644, 0o444)] {
        let site = Site::small();
        fs::set_permissions(site.lakehouse(), fs::Permissions::from_mode(mode)).unwrap();
        site.ok(&["export"]);
        assert_eq!(fs::metadata(site.served()).unwrap().permissions().mode() & 0o777, published);
    }
}

#[test]
fn a_pipeline_that_the_export_does_not_wait_for_may_fail() {
    let site = Site::small();
    site.settings(
        "[pipelines.fill]\ncommand = ['true']\n[pipelines.other]\ncommand = ['sh', '-c', 'exit 7']\n[pipelines.export_serving]\nafter = ['fill']\n",
    );
    let ran = site.run(&["pipeline", "run", "--all"]);
    assert_eq!(ran.code, 7, "the other one is not hidden: {ran:#?}");
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
    let listed = site.ok(&["pipeline", "list", "--json"]).stdout;
    let export = listed.lines().find(|line| line.contains("\"export_serving\"")).unwrap();
    assert!(export.contains("\"succeeded\""), "{export}");
    let history = site.history();
    assert_eq!((history.len(), &history[0]["outcome"]), (1, &serde_json::json!("published")));
}
