//! Many concurrent queries while another process publishes repeatedly: the reader's guarantees in
//! one place.
//!
//! Every table of the lakehouse contains the number of the run that wrote it. A result must never
//! mix two runs, return to an earlier one, or fail. `MATERIA_TEST_SOAK=1` makes it 10,000
//! generations instead of 200.

use std::{
    env, fs,
    io::BufRead,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use duckdb::arrow::{array::AsArray, datatypes::Int64Type};
use materia::{
    export::{self, ExportJob, NoProgress},
    reader::{Query, QueryLimits, block_on},
    settings::Settings,
};

use crate::{child::Actor, reader::open, support::Site};

const TABLES: &str = "SELECT min(run), max(run), count(*) FROM (SELECT run FROM one UNION ALL SELECT run FROM two) WHERE run >= $least";

fn runs() -> u64 {
    if env::var_os("MATERIA_TEST_SOAK").is_some() { 10_000 } else { 200 }
}

fn lakehouse(run: u64) -> String {
    format!(
        "CREATE SCHEMA IF NOT EXISTS serving;
         CREATE OR REPLACE TABLE serving.one AS SELECT {run}::BIGINT AS run, i FROM range(2000) t(i);
         CREATE OR REPLACE TABLE serving.two AS SELECT {run}::BIGINT AS run, i FROM range(1000) t(i);"
    )
}

/// The other process: publishes one run after the other, and prints each.
pub(crate) fn publish_all(folder: &Path) {
    let settings = |name: &str| {
        (name == "DUCKDB_PATH").then(|| folder.join("lakehouse.duckdb").display().to_string())
    };
    let job = ExportJob {
        wait: Duration::from_secs(5),
        ..ExportJob::new(&Settings::load(None, &settings).unwrap()).unwrap()
    };
    for run in 2..=runs() {
        Site::make(&job.lakehouse, &lakehouse(run));
        let finished = export::export(&job, &mut NoProgress);
        assert!(finished.error.is_none(), "{:?}", finished.error);
        println!("published {run}");
    }
}

#[test]
fn thirty_two_clients_get_only_complete_results_that_never_go_back_while_hundreds_of_generations_are_published()
 {
    let site = Site::with(&lakehouse(1));
    site.ok(&["export"]);
    let reader = open(&site);
    let (over, queries) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut after_20 = None;
    std::thread::scope(|scope| {
        for asker in 0..32_i64 {
            let (reader, over, queries) = (reader.clone(), &over, &queries);
            scope.spawn(move || {
                let (mut newest, mut sequence) = (0, 0);
                while !over.load(Ordering::SeqCst) {
                    let pin = reader.pin().unwrap();
                    // Half of the clients run new queries, the others mostly get cached results.
                    let least = if asker % 2 == 0 {
                        0
                    } else {
                        -i64::try_from(queries.load(Ordering::SeqCst)).unwrap()
                    };
                    let answer = block_on(
                        pin.query(Query::new(TABLES).bind("least", least), QueryLimits::for_page()),
                    )
                    .unwrap();
                    let [from, to, rows] = [0, 1, 2].map(|column| {
                        answer.batches[0].column(column).as_primitive::<Int64Type>().value(0)
                    });
                    assert_eq!((from, rows), (to, 3000), "an answer from half an export");
                    assert!(
                        from >= newest && pin.generation().sequence >= sequence,
                        "run {from} after run {newest}"
                    );
                    (newest, sequence) = (from, pin.generation().sequence);
                    queries.fetch_add(1, Ordering::SeqCst);
                    // Paced, since clients with cached results would otherwise use all of the CPU.
                    if asker % 2 == 0 {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
            });
        }
        let mut publisher = Actor::start("publisher", site.folder());
        let mut line = String::new();
        for run in 2..=runs() {
            let awaited = format!("published {run}");
            // The test harness of the other process prints lines as well.
            while line.trim() != awaited {
                line.clear();
                assert!(
                    publisher.stdout.read_line(&mut line).unwrap() > 0,
                    "the publisher ended before run {run}"
                );
            }
            if run == 20 {
                after_20 = Some(Used::now());
            }
        }
        publisher.end();
        over.store(true, Ordering::SeqCst);
    });
    let (before, after) = (after_20.unwrap(), Used::now());
    println!(
        "{} questions, {} generations; {before:?} after 20, {after:?} in the end",
        queries.load(Ordering::SeqCst),
        runs()
    );
    assert!(queries.load(Ordering::SeqCst) > 32 * runs());
    assert!(
        after.memory as f64 <= before.memory as f64 * 1.2,
        "memory grew: {before:?} to {after:?}"
    );
    assert!(
        after.descriptors <= before.descriptors + 40 && after.threads <= before.threads + 10,
        "something leaks: {before:?} to {after:?}"
    );
}

/// Resource usage of this process. Other tests may run concurrently, which the limits allow for; a
/// leak per generation exceeds them.
#[derive(Debug)]
struct Used {
    memory: u64,
    descriptors: usize,
    threads: usize,
}

impl Used {
    fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        Self {
            memory: pages * 4096,
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}
