//! The terminal dashboard as an operator feels it: the real command behind a pty, with 10,000 tables and one of 10 million rows.
//!
//! `cargo bench --bench tui` prints, with the limit each figure must keep: start to first frame, key to frame while moving through the list of
//! tables and through the rows of the large one, processor time while nothing happens (60 s, or `MATERIA_BENCH_IDLE` seconds), and what an hour's worth
//! of keys adds to its memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so by panicking, and prints what it measured")]

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use duckdb::Connection;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const TABLES: usize = 10_000;
const ROWS: u64 = 10_000_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    make(&folder.path().join("analytics.duckdb"));

    // The first run reads the program and the file from the disk.
    Dashboard::start(folder.path()).first_frame();
    let frames: Vec<_> = (0..10).map(|_| Dashboard::start(folder.path()).first_frame()).collect();
    tell("start to first frame, slowest of 10", *frames.iter().max().unwrap(), Duration::from_millis(100));

    let mut dashboard = Dashboard::start(folder.path());
    dashboard.rest();
    dashboard.press("2");
    dashboard.rest();
    let keys = ["j", "j", "\u{4}", "k", "\u{15}", "G", "gg"];
    tell("key to frame in 10,000 tables, p99 of 700", dashboard.latency(&keys, 100), Duration::from_millis(16));
    dashboard.press("/");
    tell(
        "key to frame while filtering 10,000 tables, p99 of 400",
        dashboard.latency(&["t", "a", "\u{7f}", "\u{7f}"], 100),
        Duration::from_millis(16),
    );
    dashboard.press("\u{1b}");
    dashboard.rest();
    dashboard.press(":");
    tell("key to frame in the palette, p99 of 400", dashboard.latency(&["t", "1", "\u{7f}", "\u{7f}"], 100), Duration::from_millis(16));
    dashboard.press("\u{1b}");
    dashboard.rest();
    dashboard.press("/large\r\r");
    dashboard.rest();
    let keys = ["j", "\u{4}", "\u{4}", "k", "l", "h", "\u{15}", "\u{6}"];
    tell("key to frame in 10 million rows, p99 of 800", dashboard.latency(&keys, 100), Duration::from_millis(16));
    dashboard.press("s");
    tell(
        "key to frame in 10 million rows while they are sorted, p99 of 200",
        dashboard.latency(&["l", "h"], 100),
        Duration::from_millis(16),
    );
    dashboard.press("\u{1b}\u{1b}");
    dashboard.rest();

    // A key each 0.24 s is 15,000 in an hour.
    let hour = |dashboard: &mut Dashboard| {
        dashboard.latency(&["j", "k", "\r", "\u{4}", "l", "\u{1b}", "3", "1", "4", "2"], 1_500);
        dashboard.rest();
        dashboard.memory()
    };
    dashboard.press("\u{1b}\u{1b}2");
    let (first, second) = (hour(&mut dashboard), hour(&mut dashboard));
    let more = second.saturating_sub(first) as f64 / 1e6;
    let verdict = if more <= 4.0 { "" } else { "  IT GROWS" };
    println!(
        "memory after an hour's keys {:.1} MB, after another hour's {:.1} MB: {more:.1} MB more (at most 4 MB){verdict}",
        first as f64 / 1e6,
        second as f64 / 1e6
    );

    dashboard.press("\u{1b}1");
    dashboard.rest();
    let seconds = std::env::var("MATERIA_BENCH_IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let before = dashboard.ticks();
    thread::sleep(Duration::from_secs(seconds));
    let used = (dashboard.ticks() - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    let percent = used / seconds as f64 * 100.0;
    let verdict = if percent <= 0.1 { "" } else { "  TOO MUCH" };
    println!("processor time while nothing happens for {seconds} s: {percent:.3} % of a core (at most 0.1 %){verdict}");
}

fn tell(what: &str, measured: Duration, most: Duration) {
    let verdict = if measured <= most { "" } else { "  TOO SLOW" };
    println!("{what}: {:.1} ms (at most {} ms){verdict}", measured.as_secs_f64() * 1e3, most.as_millis());
}

fn make(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("CREATE SCHEMA serving").unwrap();
    let large = format!(
        "CREATE TABLE serving.large AS SELECT i AS id, hash(i) % 1000 AS kind, i * 0.5 AS value, 'row ' || i AS name FROM range({ROWS}) t(i)"
    );
    connection.execute_batch(&large).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for table in 0..TABLES {
        connection.execute_batch(&format!("CREATE TABLE serving.table_{table:05} (id INTEGER, name VARCHAR, value DOUBLE)")).unwrap();
    }
    connection.execute_batch("COMMIT; CHECKPOINT").unwrap();
}

struct Dashboard {
    begun: Instant,
    output: Receiver<usize>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _pty: Box<dyn MasterPty + Send>,
}

impl Dashboard {
    fn start(folder: &Path) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_materia"));
        command.args(["tui", "--theme", "dark"]);
        command.cwd(folder);
        command.env("TERM", "xterm-256color");
        command.env("XDG_STATE_HOME", folder);
        let begun = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if send.send(read).is_err() {
                    return;
                }
            }
        });
        Self { begun, output, keys: pair.master.take_writer().unwrap(), child, _pty: pair.master }
    }

    /// From the start of the process to a screen full of something.
    fn first_frame(self) -> Duration {
        let mut bytes = 0;
        // The switch to the other screen is a few bytes; a frame is many.
        while bytes < 300 {
            bytes += self.output.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        self.begun.elapsed()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until nothing has been drawn for a while.
    fn rest(&mut self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.output.recv_timeout(Duration::from_millis(500)) != Err(RecvTimeoutError::Timeout) {
            assert!(Instant::now() < deadline, "it does not come to rest");
        }
    }

    /// The 99th of 100 times from a key to the first output after it. A key that changes nothing counts as nothing.
    fn latency(&mut self, keys: &[&str], rounds: usize) -> Duration {
        let mut times = Vec::new();
        for _ in 0..rounds {
            for key in keys {
                while self.output.try_recv().is_ok() {}
                let begun = Instant::now();
                self.press(key);
                if self.output.recv_timeout(Duration::from_millis(200)).is_ok() {
                    times.push(begun.elapsed());
                }
            }
        }
        times.sort();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }

    fn stat(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.process_id().unwrap())).unwrap()
    }

    /// Clock ticks that all its threads have used.
    fn ticks(&self) -> u64 {
        let stat = self.stat("stat");
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Bytes of memory it has for itself.
    fn memory(&self) -> u64 {
        let status = self.stat("status");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
