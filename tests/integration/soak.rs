//! Many askers while another process publishes again and again: the reader's promise in one place.
//!
//! Every table of the lakehouse carries the number of the run that wrote it. An answer that mixes two runs, goes back to an earlier one, or
//! fails, is what must never happen. `MATERIA_TEST_SOAK=1` makes it 10,000 generations instead of 300.

use std::{
    env, fs,
    io::BufRead,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use duckdb::arrow::{array::AsArray, datatypes::Int64Type};
use materia::{
    export::{self, Job, Unwatched},
    reader::{Limits, Query, wait},
    settings::Settings,
};

use crate::{child::Actor, reader::open, support::Site};

const TABLES: &str = "SELECT min(run), max(run), count(*) FROM (SELECT run FROM one UNION ALL SELECT run FROM two) WHERE run >= $least";

fn runs() -> u64 {
    if env::var_os("MATERIA_TEST_SOAK").is_some() { 10_000 } else { 300 }
}

fn lakehouse(run: u64) -> String {
    format!(
        "CREATE SCHEMA IF NOT EXISTS serving;
         CREATE OR REPLACE TABLE serving.one AS SELECT {run}::BIGINT AS run, i FROM range(2000) t(i);
         CREATE OR REPLACE TABLE serving.two AS SELECT {run}::BIGINT AS run, i FROM range(1000) t(i);"
    )
}

/// The other process: publishes one run after the other, and says so.
pub(crate) fn publish_all(folder: &Path) {
    let settings = |name: &str| (name == "DUCKDB_PATH").then(|| folder.join("lakehouse.duckdb").display().to_string());
    let job = Job { wait: Duration::from_secs(5), ..Job::new(&Settings::load(None, &settings).unwrap()).unwrap() };
    for run in 2..=runs() {
        Site::make(&job.lakehouse, &lakehouse(run));
        let finished = export::export(&job, &mut Unwatched);
        assert!(finished.error.is_none(), "{:?}", finished.error);
        println!("published {run}");
    }
}

#[test]
fn thirty_two_askers_get_only_whole_answers_that_never_go_back_while_hundreds_of_generations_are_published() {
    let site = Site::with(&lakehouse(1));
    site.ok(&["export"]);
    let reader = open(&site);
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut after_20 = None;
    std::thread::scope(|scope| {
        for asker in 0..32_i64 {
            let (reader, over, asked) = (reader.clone(), &over, &asked);
            scope.spawn(move || {
                let (mut newest, mut sequence) = (0, 0);
                while !over.load(Ordering::SeqCst) {
                    let pin = reader.pin().unwrap();
                    // Half of the askers ask what nobody asked before, the others mostly find a remembered answer.
                    let least = if asker % 2 == 0 { 0 } else { -i64::try_from(asked.load(Ordering::SeqCst)).unwrap() };
                    let answer = wait(pin.ask(Query::new(TABLES).bind("least", least), Limits::page())).unwrap();
                    let [from, to, rows] = [0, 1, 2].map(|column| answer.batches[0].column(column).as_primitive::<Int64Type>().value(0));
                    assert_eq!((from, rows), (to, 3000), "an answer from half an export");
                    assert!(from >= newest && pin.generation().sequence >= sequence, "run {from} after run {newest}");
                    (newest, sequence) = (from, pin.generation().sequence);
                    asked.fetch_add(1, Ordering::SeqCst);
                    // A pace: remembered answers come so fast that their askers would leave no processor to anybody else.
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
            // The test harness of the other process has things to say too.
            while line.trim() != awaited {
                line.clear();
                assert!(publisher.stdout.read_line(&mut line).unwrap() > 0, "the publisher ended before run {run}");
            }
            if run == 20 {
                after_20 = Some(Used::now());
            }
        }
        publisher.end();
        over.store(true, Ordering::SeqCst);
    });
    let (before, after) = (after_20.unwrap(), Used::now());
    println!("{} questions, {} generations; {before:?} after 20, {after:?} in the end", asked.load(Ordering::SeqCst), runs());
    assert!(asked.load(Ordering::SeqCst) > 32 * runs());
    assert!(after.memory as f64 <= before.memory as f64 * 1.2, "memory grew: {before:?} to {after:?}");
    assert!(
        after.descriptors <= before.descriptors + 40 && after.threads <= before.threads + 10,
        "something leaks: {before:?} to {after:?}"
    );
}

/// What this process uses. Other tests may run beside this one: the bounds leave them room, and a leak per generation exceeds them.
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
        Self { memory: pages * 4096, descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
    }
}
