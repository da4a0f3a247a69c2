//! The API with independent clients: the scripts in `tests/api`. `MATERIA_TEST_API_PYTHON` names a
//! Python with their dependencies; `dev_run.sh test` sets it.

use std::{path::Path, process::Command};

/// Runs a script of `tests/api`, which prints a line for each guarantee and fails if one is
/// violated.
fn script(name: &str, arguments: &[&str]) {
    let Some(python) = std::env::var_os("MATERIA_TEST_API_PYTHON") else {
        println!("skipped: MATERIA_TEST_API_PYTHON is not set");
        return;
    };
    let folder = Path::new(env!("REPOSITORY")).join("tests/api");
    let mut command = Command::new(python);
    command
        .arg(name)
        .arg(env!("CARGO_BIN_EXE_materia"))
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = command.output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    println!("{printed}");
    assert!(ran.status.success(), "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn pandas_polars_pyarrow_duckdb_and_excel_read_what_the_source_has() {
    script("clients.py", &[]);
}

#[test]
fn whatever_the_description_allows_and_much_that_it_does_not_is_answered_as_described() {
    script("contract.py", &["10"]);
}
