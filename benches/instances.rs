//! The cost of following a swap in three ways: one DuckDB instance for all generations, a new one
//! for each, and a new one prepared ahead.
//!
//! `cargo bench --bench instances`. Two threads run the same short query throughout, while 60
//! generations are swapped in, 5 per second. The reader's module documents which way it uses, and
//! why.
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
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use duckdb::{Config, Connection};

const EVERY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    Shared,
    New,
    MadeAhead,
}

/// Returns whether the benchmark only has to run, as in the test suite (`MATERIA_BENCH_SHORT=1`):
/// its figures are meaningless then.
fn is_short() -> bool {
    std::env::var_os("MATERIA_BENCH_SHORT").is_some()
}

fn main() {
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>13}",
        "way", "p99 quiet", "p99 swaps", "flip p50", "flip p99", "close p50", "memory grown"
    );
    for way in [Way::Shared, Way::New, Way::MadeAhead] {
        measure(way);
    }
}

/// One open generation: a connection to clone, and the catalog it is in.
struct Generation {
    connection: Mutex<Connection>,
    catalog: String,
}

struct Opener {
    way: Way,
    shared: Connection,
    ahead: Option<Connection>,
}

impl Opener {
    fn new(way: Way, folder: &Path) -> Self {
        let shared = blank();
        let allow = format!(
            "SET allowed_directories = ['{}']; SET enable_external_access = false",
            folder.display()
        );
        shared.execute_batch(&allow).unwrap();
        Self { way, shared, ahead: Some(blank()) }
    }

    fn open(&mut self, path: &Path) -> Arc<Generation> {
        let (connection, catalog) = match self.way {
            Way::Shared => {
                (self.shared.try_clone().unwrap(), path.file_stem().unwrap().to_str().unwrap())
            }
            Way::New => (blank(), "analytics"),
            Way::MadeAhead => (self.ahead.take().unwrap_or_else(blank), "analytics"),
        };
        connection
            .execute_batch(&format!("ATTACH '{}' AS {catalog} (READ_ONLY)", path.display()))
            .unwrap();
        let generation =
            Generation { connection: Mutex::new(connection), catalog: catalog.to_owned() };
        generation.connect().query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
        Arc::new(generation)
    }

    fn prepare(&mut self) {
        if self.way == Way::MadeAhead {
            self.ahead.get_or_insert_with(blank);
        }
    }

    fn close(&self, former: Arc<Generation>) {
        while Arc::strong_count(&former) > 1 {
            thread::yield_now();
        }
        let catalog = former.catalog.clone();
        drop(former);
        if self.way == Way::Shared {
            self.shared.execute_batch(&format!("DETACH {catalog}")).unwrap();
        }
    }
}

impl Generation {
    fn connect(&self) -> Connection {
        let connection = self.connection.lock().unwrap().try_clone().unwrap();
        connection.execute_batch(&format!("USE {}.serving", self.catalog)).unwrap();
        connection
    }
}

fn blank() -> Connection {
    Connection::open_in_memory_with_flags(
        Config::default().enable_autoload_extension(false).unwrap(),
    )
    .unwrap()
}

fn measure(way: Way) {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original.duckdb");
    let make = "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i, i % 100 AS k, random() AS v FROM range(200000) t(i); CHECKPOINT";
    Connection::open(&original).unwrap().execute_batch(make).unwrap();
    let link = |number: usize| {
        let path = folder.path().join(format!("generation_{number}.duckdb"));
        fs::copy(&original, &path).unwrap();
        path
    };
    let mut opener = Opener::new(way, folder.path());
    let current = RwLock::new(opener.open(&link(0)));
    opener.prepare();
    let quiet = asked_during(&current, || thread::sleep(EVERY * if is_short() { 1 } else { 30 }));
    let memory = resident();
    let (mut flips, mut closes) = (Vec::new(), Vec::new());
    let swapping = asked_during(&current, || {
        for number in 1..=if is_short() { 3 } else { 60 } {
            let path = link(number);
            thread::sleep(EVERY);
            let begun = Instant::now();
            let next = opener.open(&path);
            let former = std::mem::replace(&mut *current.write().unwrap(), next);
            flips.push(begun.elapsed());
            let begun = Instant::now();
            opener.close(former);
            closes.push(begun.elapsed());
            opener.prepare();
        }
    });
    let grown = resident().saturating_sub(memory) / 1_000_000;
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let [p50, p99] = [0.5, 0.99].map(|share| ms(quantile(&mut flips, share)));
    let close_p50 = ms(quantile(&mut closes, 0.5));
    println!(
        "{:<10} {:>10} {:>10} {p50:>10} {p99:>10} {close_p50:>10} {grown:>10} MB",
        format!("{way:?}"),
        ms(quiet),
        ms(swapping)
    );
}

/// Returns the 99th percentile of the latency of two threads that query continuously while `work`
/// runs.
fn asked_during(current: &RwLock<Arc<Generation>>, work: impl FnOnce()) -> Duration {
    let (over, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut own: Option<(Arc<Generation>, Connection)> = None;
                while !over.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    let now = current.read().unwrap().clone();
                    if own.as_ref().is_none_or(|(former, _)| !Arc::ptr_eq(former, &now)) {
                        let connection = now.connect();
                        own = Some((now, connection));
                    }
                    let connection = &own.as_ref().unwrap().1;
                    connection
                        .query_row("SELECT sum(v) FROM t WHERE k = 7", [], |_| Ok(()))
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

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
