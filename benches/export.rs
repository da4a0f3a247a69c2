//! The time of a whole export, audits, publishing and history included, as a ratio to DuckDB's own `COPY FROM DATABASE` of the same
//! tables, both measured in turn in one run.
//!
//! `cargo bench --bench export [-- SCALE]`: SCALE multiplies the demo's rows; 600 unless told.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints, and has nobody to report to"
)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use duckdb::Connection;
use materia::{
    demo::Demo,
    export::{self, Finished, Job, Unwatched},
    settings::{Settings, SnapshotMode},
    words,
};

const ROUNDS: usize = 9;

fn main() {
    let scale = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(600);
    let folder = tempfile::tempdir().unwrap();
    Demo { dir: folder.path().to_owned(), scale: Some(scale), ..Demo::default() }.make().unwrap();
    // Both copy the same: a lakehouse that holds nothing but the serving tables.
    run(&job(&folder.path().join("lakehouse.duckdb"), SnapshotMode::None));
    let source = folder.path().join("tables.duckdb");
    fs::copy(folder.path().join("analytics.duckdb"), &source).unwrap();

    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(copy_database(&source, &folder.path().join("copy.duckdb")));
        for (mode, times) in [SnapshotMode::None, SnapshotMode::Copy].into_iter().zip(&mut times[1..]) {
            let begun = Instant::now();
            run(&job(&source, mode));
            times.push(begun.elapsed());
        }
    }
    let [base, in_place, from_copy] = times.map(median);
    let record = run(&job(&source, SnapshotMode::None)).record;
    println!("{} rows, {} ({ROUNDS} rounds, medians)", words::count(record.rows()), words::bytes(record.bytes));
    println!("export in place   / COPY FROM DATABASE = {:.2}", in_place.as_secs_f64() / base.as_secs_f64());
    println!("export from copy  / COPY FROM DATABASE = {:.2}", from_copy.as_secs_f64() / base.as_secs_f64());
}

fn job(lakehouse: &Path, snapshot: SnapshotMode) -> Job {
    let lakehouse = lakehouse.display().to_string();
    let settings = Settings::load(None, &|name| (name == "DUCKDB_PATH").then(|| lakehouse.clone())).unwrap();
    Job { snapshot, ..Job::new(&settings).unwrap() }
}

fn run(job: &Job) -> Finished {
    let finished = export::export(job, &mut Unwatched);
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
