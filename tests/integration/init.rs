//! `materia init`: what it detects in real projects of various tools, and what it writes.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use duckdb::Connection;

use crate::support::{Ran, Site, shared};

fn write(site: &Site, name: &str, text: &str) {
    let path = site.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns the written settings as TOML.
fn written(site: &Site) -> toml_value::Table {
    let text = fs::read_to_string(site.path("materia.toml")).unwrap();
    toml_value::parse(&text)
}

/// Just enough TOML parsing to inspect the written settings; the command itself validates the rest.
mod toml_value {
    pub(super) struct Table(Vec<(String, String)>);

    pub(super) fn parse(text: &str) -> Table {
        let mut section = String::new();
        let mut values = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned() + ".";
            } else if let Some((key, value)) = line.split_once(" = ") {
                values.push((format!("{section}{key}"), value.to_owned()));
            }
        }
        Table(values)
    }

    impl Table {
        pub(super) fn get(&self, key: &str) -> Option<&str> {
            self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
        }
    }
}

fn is_understood(site: &Site) {
    let ran = site.run(&["pipeline", "list"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
}

/// Runs it without `--yes`, with these lines as input.
fn answer(site: &Site, lines: &str) -> Ran {
    let mut command: Command = site.command(&["init"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    Ran::of(&child.wait_with_output().unwrap())
}

const PROFILES: &str = "shop:\n  target: prod\n  outputs:\n    prod:\n      type: duckdb\n      path: \"{{ env_var('WAREHOUSE', 'data/warehouse.duckdb') }}\"\n      schema: main\n";
const PROJECT: &str = "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  shop:\n    staging:\n      +schema: staging\n    marts:\n      +schema: marts\n";

#[test]
fn a_dbt_project_is_found_with_its_file_and_its_marts() {
    let site = Site::empty();
    write(&site, "dbt_project.yml", PROJECT);
    write(&site, "profiles.yml", PROFILES);
    let ran = site.ok(&["init", "--yes"]);
    assert!(
        ran.stdout.contains("dbt_project.yml") && ran.stdout.contains("data/warehouse.duckdb"),
        "{ran:#?}"
    );
    let settings = written(&site);
    assert_eq!(settings.get("lakehouse"), Some(r#""data/warehouse.duckdb""#));
    assert_eq!(settings.get("serving"), Some(r#""data/analytics.duckdb""#));
    assert_eq!(settings.get("export.schema"), Some(r#""main_marts""#));
    assert_eq!(settings.get("pipelines.dbt.command"), Some(r#"["dbt", "build"]"#));
    assert_eq!(settings.get("pipelines.export_serving.after"), Some(r#"["dbt"]"#));
    is_understood(&site);
}

#[test]
fn a_profile_that_names_a_variable_is_read_with_its_value_and_one_that_cannot_be_read_is_named() {
    let site = Site::empty();
    write(&site, "transform/dbt_project.yml", PROJECT);
    write(&site, "profiles/profiles.yml", PROFILES);
    let run = |warehouse: &str| {
        let _ = fs::remove_file(site.path("materia.toml"));
        let ran = Ran::of(
            &site
                .command(&["init", "--yes"])
                .env("DBT_PROFILES_DIR", site.path("profiles"))
                .env("WAREHOUSE", warehouse)
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran
    };
    run("../w.duckdb");
    let settings = written(&site);
    assert_eq!(settings.get("lakehouse"), Some(r#""w.duckdb""#));
    assert_eq!(settings.get("pipelines.dbt.cwd"), Some(r#""transform""#));
    is_understood(&site);
    write(&site, "profiles/profiles.yml", &PROFILES.replace("duckdb\n", "postgres\n"));
    let ran = run("");
    assert!(ran.stdout.contains("the target prod of the profile shop is not DuckDB"), "{ran:#?}");
    write(&site, "profiles/profiles.yml", "shop: [a\n");
    let ran = run("");
    assert!(ran.stdout.contains("profiles.yml cannot be read"), "{ran:#?}");
    is_understood(&site);
}

#[test]
fn a_sqlmesh_project_is_found_with_its_file_its_catalog_and_its_schema() {
    let site = Site::empty();
    write(
        &site,
        "config.yml",
        "gateways:\n  local:\n    connection:\n      type: duckdb\n      catalogs:\n        warehouse: db/lake.duckdb\n        raw: db/raw.duckdb\nmodel_defaults:\n  dialect: duckdb\n",
    );
    write(
        &site,
        "models/a.sql",
        "-- totals\nMODEL (\n  name marts.totals,\n  kind FULL\n);\nSELECT 1 AS one",
    );
    write(
        &site,
        "models/deep/b.py",
        "@model(\n    \"staging.orders\",\n    kind='full')\ndef execute(): ...",
    );
    write(&site, "uv.lock", "version = 1\n");
    site.ok(&["init", "--yes"]);
    let settings = written(&site);
    assert_eq!(settings.get("lakehouse"), Some(r#""db/lake.duckdb""#));
    assert_eq!(settings.get("export.schema"), Some(r#""marts""#));
    assert_eq!(settings.get("export.catalog"), Some(r#""warehouse""#));
    assert_eq!(
        settings.get("pipelines.sqlmesh.command"),
        Some(r#"["uv", "run", "sqlmesh", "run"]"#)
    );
    is_understood(&site);
}

#[test]
fn the_settings_for_a_real_sqlmesh_project_publish_it() {
    let (Some(project), Some(lakehouse)) =
        (shared("sqlmesh_beanflows"), shared("fixtures/lakehouse.duckdb"))
    else {
        return;
    };
    let site = Site::empty();
    fs::copy(project.join("config.yaml"), site.path("config.yaml")).unwrap();
    fs::create_dir(site.path("models")).unwrap();
    for model in crate::support::names(&project.join("models")) {
        fs::copy(project.join("models").join(&model), site.path("models").join(&model)).unwrap();
    }
    fs::write(site.lakehouse(), fs::read(lakehouse).unwrap()).unwrap();
    let ran = site.ok(&["init", "--yes"]);
    assert!(ran.stdout.contains("serving (6)"), "{ran:#?}");
    site.ok(&["export", "-q"]);
    assert_eq!(site.number("SELECT count(*) FROM serving.commodity_metrics"), 4103);
}

#[test]
fn a_file_in_use_is_read_without_keeping_its_writer_waiting() {
    let site = Site::with(
        "CREATE SCHEMA gold; CREATE TABLE gold.t AS SELECT 1 AS a; CREATE TABLE main.u AS SELECT 1 AS a",
    );
    let writer = Connection::open(site.lakehouse()).unwrap();
    writer.execute_batch("CREATE TABLE gold.later AS SELECT 2 AS a").unwrap();
    let ran = site.ok(&["init", "--yes"]);
    assert!(ran.stdout.contains("gold (2), main (1)"), "{ran:#?}");
    writer.execute_batch("INSERT INTO gold.later VALUES (3)").unwrap();
    assert_eq!(written(&site).get("export.schema"), Some(r#""gold""#));
}

#[test]
fn nothing_is_ever_overwritten_and_nothing_is_written_without_a_yes() {
    let site = Site::small();
    for refused in ["", "\nn\n", "serving\n"] {
        let ran = answer(&site, refused);
        assert!(
            ran.code == 1 && ran.stdout.ends_with("nothing was written\n"),
            "{refused:?}: {ran:#?}"
        );
        assert!(!site.path("materia.toml").exists(), "{refused:?}");
    }
    let ran = answer(&site, "marts, serving\ny\n");
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(written(&site).get("export.schema"), Some(r#"["marts", "serving"]"#));
    for content in ["", "mine"] {
        fs::write(site.path("materia.toml"), content).unwrap();
        let ran = site.run(&["init", "--yes"]);
        assert!(ran.code == 1 && ran.stderr.contains("exists and is not overwritten"), "{ran:#?}");
        assert_eq!(fs::read_to_string(site.path("materia.toml")).unwrap(), content);
    }
    // A dangling link counts as existing, too.
    fs::remove_file(site.path("materia.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere.toml", site.path("materia.toml")).unwrap();
    assert_eq!(site.run(&["init", "--yes"]).code, 1);
    assert!(!site.path("nowhere.toml").exists());
}

#[test]
fn of_several_files_one_is_chosen_and_what_materia_publishes_is_none_of_them() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    Site::make(
        &site.path("other.duckdb"),
        "CREATE SCHEMA reporting; CREATE TABLE reporting.r AS SELECT 1 AS a",
    );
    fs::write(site.path("sqlite.db"), "SQLite format 3\0 and more than twelve bytes").unwrap();
    let ran = answer(&site, "other.duckdb\n\n\n");
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(
        ran.stdout.contains("lakehouse (lakehouse.duckdb, other.duckdb) [lakehouse.duckdb]"),
        "{ran:#?}"
    );
    let settings = written(&site);
    assert_eq!(settings.get("lakehouse"), Some(r#""other.duckdb""#));
    assert_eq!(settings.get("export.schema"), Some(r#""reporting""#));
}

#[test]
fn names_with_quotes_spaces_and_another_alphabet_come_through() {
    let site = Site::empty();
    let folder = site.path("a \"b\" ü");
    fs::create_dir(&folder).unwrap();
    Site::make(
        &folder.join("größe.duckdb"),
        "CREATE SCHEMA \"serving\"; CREATE TABLE serving.t AS SELECT 1 AS a",
    );
    site.ok(&["init", "--yes"]);
    is_understood(&site);
    site.ok(&["export", "-q"]);
    assert!(folder.join("analytics.duckdb").exists(), "{:?}", site.listing());
}

#[test]
fn a_folder_with_nothing_in_it_gets_settings_that_say_what_to_fill_in() {
    let site = Site::empty();
    let ran = site.ok(&["init", "--yes"]);
    assert!(ran.stdout.contains("nothing: no dbt_project.yml"), "{ran:#?}");
    is_understood(&site);
    let ran = site.run(&["init", "--yes", "nowhere"]);
    assert!(ran.code == 2 && ran.stderr.contains("nowhere is not a folder"), "{ran:#?}");
    assert!(!Path::new("nowhere").exists());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/cli");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        let written = fs::read_to_string(site.path("materia.toml")).unwrap();
        insta::assert_snapshot!("init_in_an_empty_folder", written);
    });
}
