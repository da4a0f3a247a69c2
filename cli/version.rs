//! `materia --version --verbose`.

use std::{ffi::OsString, process::ExitCode};

use super::{Failure, print};

/// Returns whether the arguments request the verbose version and nothing else.
pub(super) fn is_verbose(args: impl Iterator<Item = OsString>) -> bool {
    let args: Vec<_> = args.collect();
    let has = |names: &[&str]| args.iter().any(|arg| names.iter().any(|name| arg == *name));
    args.len() == 2 && has(&["--version", "-V"]) && has(&["--verbose"])
}

pub(super) fn run() -> Result<ExitCode, Failure> {
    let engine = duckdb::Connection::open_in_memory()?.query_row(
        "SELECT library_version || ' (' || source_id || ')' FROM pragma_version()",
        [],
        |row| row.get::<_, String>(0),
    )?;
    let linked = if cfg!(feature = "bundled") { "compiled in" } else { "shared library" };
    let features = if cfg!(feature = "bundled") { "bundled" } else { "none" };
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    print(&format!(
        "materia {}\nengine:   DuckDB {engine}, {linked}\nfeatures: {features}\nbuild:    {profile}, {}, {}, commit {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("MATERIA_TARGET"),
        env!("MATERIA_RUSTC"),
        option_env!("MATERIA_COMMIT").unwrap_or("unknown"),
    ))
    .map(|()| ExitCode::SUCCESS)
}
