//! The time of a whole export, including audits, publishing and history, as a ratio to DuckDB's own
//! `COPY FROM DATABASE` of the same tables, measured alternately in one run.
//!
//! `cargo bench --bench export [-- SCALE]`: SCALE multiplies the demo's rows; 600 by default.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and may panic"
)]
#![allow(clippy::disallowed_methods, reason = "the environment selects the short form")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use duckdb::Connection;
use materia::{
    demo::Demo,
    export::{self, AttemptResult, ExportJob, NoProgress},
    humanize,
    settings::{Settings, SnapshotMode},
};

/// Returns whether the benchmark only has to run, as in the test suite (`MATERIA_BENCH_SHORT=1`):
/// its figures are meaningless then.
fn is_short() -> bool {
    std::env::var_os("MATERIA_BENCH_SHORT").is_some()
}

fn main() {
    let scale = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(if is_short() { 1 } else { 600 });
    let rounds = if is_short() { 1 } else { 9 };
    let folder = tempfile::tempdir().unwrap();
    Demo { dir: folder.path().to_owned(), scale: Some(scale), ..Demo::default() }.create().unwrap();
    // Both copy the same tables: this lakehouse has only the serving schema.
    run(&job(&folder.path().join("lakehouse.duckdb"), SnapshotMode::None));
    let source = folder.path().join("tables.duckdb");
    fs::copy(folder.path().join("analytics.duckdb"), &source).unwrap();

    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        times[0].push(copy_database(&source, &folder.path().join("copy.duckdb")));
        for (mode, times) in
            [SnapshotMode::None, SnapshotMode::Copy].into_iter().zip(&mut times[1..])
        {
            let begun = Instant::now();
            run(&job(&source, mode));
            times.push(begun.elapsed());
        }
    }
    let [base, in_place, from_copy] = times.map(median);
    let record = run(&job(&source, SnapshotMode::None)).record;
    println!(
        "{} rows, {} ({rounds} rounds, medians)",
        humanize::count(record.rows()),
        humanize::bytes(record.bytes)
    );
    println!(
        "export in place   / COPY FROM DATABASE = {:.2}",
        in_place.as_secs_f64() / base.as_secs_f64()
    );
    println!(
        "export from copy  / COPY FROM DATABASE = {:.2}",
        from_copy.as_secs_f64() / base.as_secs_f64()
    );
}

fn job(lakehouse: &Path, snapshot: SnapshotMode) -> ExportJob {
    let lakehouse = lakehouse.display().to_string();
    let settings =
        Settings::load(None, &|name| (name == "DUCKDB_PATH").then(|| lakehouse.clone())).unwrap();
    ExportJob { snapshot, ..ExportJob::new(&settings).unwrap() }
}

fn run(job: &ExportJob) -> AttemptResult {
    let finished = export::export(job, &mut NoProgress);
    assert!(finished.error.is_none(), "{:?}", finished.error);
    finished
}

fn copy_database(from: &Path, to: &Path) -> Duration {
    let _ = fs::remove_file(to);
    let begun = Instant::now();
    let connection = Connection::open_in_memory().unwrap();
    let statements = format!(
        "ATTACH '{}' AS source (READ_ONLY); ATTACH '{}' AS target (STORAGE_VERSION 'v1.0.0');
         COPY FROM DATABASE source TO target; CHECKPOINT target; DETACH target; DETACH source;",
        from.display(),
        to.display()
    );
    connection.execute_batch(&statements).unwrap();
    drop(connection);
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
