//! The Python module `materia`, in Pythons with the oldest, the usual and the newest supported
//! DuckDB.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Ran, Site};

const ROOT: &str = env!("REPOSITORY");

/// Returns the available Pythons, each with another DuckDB.
fn pythons() -> Vec<PathBuf> {
    let variables =
        ["MATERIA_TEST_OLDEST_PYTHON", "MATERIA_TEST_PYTHON", "MATERIA_TEST_DBT_PYTHON"];
    variables
        .into_iter()
        .filter_map(|variable| {
            let python = env::var_os(variable).map(PathBuf::from);
            if python.is_none() {
                println!("skipped: {variable} does not name a Python");
            }
            python
        })
        .collect()
}

fn python(program: &Path, script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("{ROOT}/tests/python/{script}"))
        .args(args)
        .env("PYTHONPATH", format!("{ROOT}/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// Publishes this many runs, one after another, while the script's threads run queries; returns the
/// script's counts.
fn ask_while_publishing(program: &Path, runs: i64, more: &[&str]) -> serde_json::Value {
    let site = Site::runs();
    site.settings("[export]\nkeep = 2\n");
    site.ok(&["export", "-q"]);
    let published = site.path("published");
    replace(&published, "1");
    let (served, says) = (site.served(), published.to_str().unwrap());
    let args = [&[served.to_str().unwrap(), says], more].concat();
    let mut child = python(program, "follow.py", &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    for run in 2..=runs {
        site.begin_run(run);
        site.ok(&["export", "-q"]);
        replace(&published, &run.to_string());
    }
    replace(&published, "end");
    let counted = lines.next().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    serde_json::from_str(&counted).unwrap()
}

#[test]
fn threads_that_follow_exports_from_python_get_no_stale_no_mixed_and_no_failed_answer() {
    for program in pythons() {
        let counted = ask_while_publishing(&program, 12, &[]);
        println!("{counted}");
        assert!(counted["runs"].as_u64() >= Some(6), "{counted}");
        assert!(counted["answers"].as_u64() >= Some(50), "{counted}");
        for none in ["stale", "mixed", "failed"] {
            assert_eq!(counted[none], 0, "{counted}");
        }
    }
}

#[test]
fn python_reads_what_is_served_through_links_rollbacks_damage_and_pruning() {
    for program in pythons() {
        let site = Site::runs();
        site.settings("[export]\nkeep = 2\n");
        let materia = env!("CARGO_BIN_EXE_materia");
        let ran = Ran::of(
            &python(&program, "reading.py", &[materia])
                .current_dir(site.folder())
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{}: {ran:#?}", program.display());
        assert_eq!(ran.stdout.lines().last(), Some("done"), "{ran:#?}");
    }
}

#[test]
fn the_examples_for_streamlit_and_quart_show_each_new_generation() {
    let Some(program) = env::var_os("MATERIA_TEST_APPS_PYTHON").map(PathBuf::from) else {
        println!(
            "skipped: MATERIA_TEST_APPS_PYTHON does not name a Python with Streamlit and Quart"
        );
        return;
    };
    let site = Site::empty();
    site.ok(&["demo", "."]);
    site.ok(&["export", "-q"]);
    for app in ["streamlit", "quart"] {
        let ran = Ran::of(
            &python(&program, "apps.py", &[app, env!("CARGO_BIN_EXE_materia")])
                .current_dir(site.folder())
                .env("EXAMPLES", format!("{ROOT}/examples"))
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{app}: {ran:#?}");
    }
}
