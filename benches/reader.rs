//! The reader's overhead: over bare DuckDB, per pin, and while generations are swapped.
//!
//! `cargo bench --bench reader`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its figures and may panic"
)]
#![allow(clippy::disallowed_methods, reason = "the environment selects the short form")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use duckdb::Connection;
use materia::{
    export::{self, ExportJob, NoProgress},
    reader::{Query, QueryLimits, Reader, ReaderConfig, block_on},
    settings::Settings,
};

/// Scans the whole table for every number; the number only makes each query distinct.
const SHORT: &str = "SELECT sum(v) FROM t WHERE k + $k % 2 = 7";

/// Returns whether the benchmark only has to run, as in the test suite (`MATERIA_BENCH_SHORT=1`):
/// its figures are meaningless then.
fn is_short() -> bool {
    std::env::var_os("MATERIA_BENCH_SHORT").is_some()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let served = publish(folder.path());
    let reader = Reader::open_file(&served, "serving", ReaderConfig::default()).unwrap();
    overhead(&reader, &served);
    pins(&reader);
    storm(&reader, &served);
    println!(
        "without traffic:  rename to new generation {}",
        flips(&reader, &served, if is_short() { 4 } else { 100 })
    );
}

/// Two generations to swap between; the second one is served.
fn publish(folder: &Path) -> PathBuf {
    let lakehouse = folder.join("lakehouse.duckdb");
    for run in 0..2 {
        let make = format!(
            "CREATE SCHEMA IF NOT EXISTS serving;
             CREATE OR REPLACE TABLE serving.t AS SELECT {run} AS run, i, i % 100 AS k, random() AS v FROM range(150000) t(i)"
        );
        Connection::open(&lakehouse).unwrap().execute_batch(&make).unwrap();
        let path = lakehouse.display().to_string();
        let settings =
            Settings::load(None, &|name| (name == "DUCKDB_PATH").then(|| path.clone())).unwrap();
        let finished = export::export(&ExportJob::new(&settings).unwrap(), &mut NoProgress);
        assert!(finished.error.is_none(), "{:?}", finished.error);
    }
    folder.join("analytics.duckdb")
}

/// Compares queries through the reader with queries on bare DuckDB, alternating between both.
fn overhead(reader: &Reader, served: &Path) {
    let bare = Connection::open_with_flags(
        served,
        duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap(),
    )
    .unwrap();
    bare.execute_batch("USE analytics.serving").unwrap();
    let pin = reader.pin().unwrap();
    let (mut direct, mut blocking, mut asynchronous) = (Vec::new(), Vec::new(), Vec::new());
    // Each number is used once, so that no result comes from the cache.
    for number in 1_000..if is_short() { 1_020 } else { 3_000_i64 } {
        let begun = Instant::now();
        let mut statement = bare.prepare(SHORT).unwrap();
        let batches: Vec<_> = statement.query_arrow([number]).unwrap().collect();
        drop((batches, statement));
        direct.push(begun.elapsed());
        let begun = Instant::now();
        pin.query_blocking(Query::new(SHORT).bind("k", number), QueryLimits::for_page()).unwrap();
        blocking.push(begun.elapsed());
        let number = number + 1_000_000;
        let begun = Instant::now();
        block_on(pin.query(Query::new(SHORT).bind("k", number), QueryLimits::for_page())).unwrap();
        asynchronous.push(begun.elapsed());
    }
    let [direct, blocking, asynchronous] = [&mut direct, &mut blocking, &mut asynchronous]
        .map(|times| quantile(times, 0.5).as_secs_f64());
    println!(
        "a query of {:.2} ms: query_blocking / bare duckdb crate {:.3}, query {:.3}",
        direct * 1e3,
        blocking / direct,
        asynchronous / direct
    );
}

fn pins(reader: &Reader) {
    let many: u32 = if is_short() { 1_000 } else { 100_000 };
    let begun = Instant::now();
    for _ in 0..many {
        drop(reader.pin().unwrap());
    }
    println!(
        "a pin without a swap: {:.2} microseconds",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(many)
    );
}

/// Measures short queries while idle and while 5 generations per second are swapped in.
fn storm(reader: &Reader, served: &Path) {
    let quiet = asked_during(reader, || {
        thread::sleep(Duration::from_secs(if is_short() { 1 } else { 10 }));
    });
    let mut noticed = String::new();
    let swapping =
        asked_during(reader, || noticed = flips(reader, served, if is_short() { 4 } else { 50 }));
    println!(
        "p99 of a short query: {:.1} ms idle, {:.1} ms with 5 swaps per second, difference {:.1} ms",
        millis(quiet),
        millis(swapping),
        millis(swapping) - millis(quiet)
    );
    println!("with traffic:     rename to new generation {noticed}");
}

fn asked_during(reader: &Reader, work: impl FnOnce()) -> Duration {
    let (over, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for asker in 0..2_i64 {
            let (over, times) = (&over, &times);
            scope.spawn(move || {
                let mut number = asker * 1_000_000_000 + 1_000_000;
                while !over.load(Ordering::SeqCst) {
                    number += 1;
                    let begun = Instant::now();
                    block_on(
                        reader
                            .pin()
                            .unwrap()
                            .query(Query::new(SHORT).bind("k", number), QueryLimits::for_page()),
                    )
                    .unwrap();
                    times.lock().unwrap().push(begun.elapsed());
                }
            });
        }
        work();
        over.store(true, Ordering::SeqCst);
    });
    quantile(&mut times.into_inner().unwrap(), 0.99)
}

/// Swaps between the two generations 5 times per second, and measures the time until a pin returns
/// the new one.
fn flips(reader: &Reader, served: &Path, swaps: usize) -> String {
    let generations = served.with_file_name("analytics.generations");
    let mut kept: Vec<_> =
        fs::read_dir(generations).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.retain(|path| path.extension().is_some_and(|end| end == "duckdb"));
    kept.sort();
    let mut times = Vec::new();
    for swap in 0..swaps {
        let fresh = served.with_file_name("next");
        fs::hard_link(&kept[swap % 2], &fresh).unwrap();
        let sequence = reader.pin().unwrap().generation().sequence;
        let begun = Instant::now();
        fs::rename(&fresh, served).unwrap();
        while reader.state().generation.is_some_and(|info| info.sequence == sequence) {
            thread::sleep(Duration::from_micros(500));
        }
        times.push(begun.elapsed());
        thread::sleep(Duration::from_millis(200).saturating_sub(begun.elapsed()));
    }
    let [p50, p99] = [0.5, 0.99].map(|share| millis(quantile(&mut times, share)));
    format!("p50 {p50:.0} ms, p99 {p99:.0} ms")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a place in it"
    )]
    let place = (times.len() as f64 * share) as usize;
    times[place.min(times.len() - 1)]
}
