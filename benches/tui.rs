//! The latency of the terminal dashboard: the real command in a pty, with 10,000 tables, one of
//! which has 10 million rows (or `MATERIA_BENCH_ROWS`), and a log of 300,000 lines.
//!
//! `cargo bench --bench tui` prints each figure with its limit: start to first frame, key to frame
//! while moving through the list of tables, through the rows of the large one and through the log,
//! processor time while idle (60 s, or `MATERIA_BENCH_IDLE` seconds), and memory growth over an
//! hour's worth of keys.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on says so by panicking, and prints what it measured"
)]

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

/// Returns whether the benchmark only has to run, as in the test suite (`MATERIA_BENCH_SHORT=1`):
/// its figures are meaningless then.
fn is_short() -> bool {
    std::env::var_os("MATERIA_BENCH_SHORT").is_some()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    make(&folder.path().join("analytics.duckdb"));
    make_log(&folder.path().join("web.log"));

    // Warm-up: the first run reads the program and the file from disk.
    Dashboard::start(folder.path()).first_frame();
    let frames: Vec<_> = (0..if is_short() { 1 } else { 10 })
        .map(|_| Dashboard::start(folder.path()).first_frame())
        .collect();
    print_figure(
        "start to first frame, slowest of 10",
        *frames.iter().max().unwrap(),
        Duration::from_millis(100),
    );

    let mut dashboard = Dashboard::start(folder.path());
    dashboard.rest();
    dashboard.press("2");
    dashboard.rest();
    let keys = ["j", "j", "\u{4}", "k", "\u{15}", "G", "gg"];
    print_figure(
        "key to frame in 10,000 tables, p99 of 700",
        dashboard.latency(&keys, 100),
        Duration::from_millis(16),
    );
    dashboard.press("/");
    print_figure(
        "key to frame while filtering 10,000 tables, p99 of 400",
        dashboard.latency(&["t", "a", "\u{7f}", "\u{7f}"], 100),
        Duration::from_millis(16),
    );
    dashboard.press("\u{1b}");
    dashboard.rest();
    dashboard.press(":");
    print_figure(
        "key to frame in the palette, p99 of 400",
        dashboard.latency(&["t", "1", "\u{7f}", "\u{7f}"], 100),
        Duration::from_millis(16),
    );
    dashboard.press("\u{1b}");
    dashboard.rest();
    dashboard.press("/large\r\r");
    dashboard.rest();
    let keys = ["j", "\u{4}", "\u{4}", "k", "l", "h", "\u{15}", "\u{6}"];
    print_figure(
        &format!("key to frame in {} million rows, p99 of 800", rows() / 1_000_000),
        dashboard.latency(&keys, 100),
        Duration::from_millis(16),
    );
    dashboard.press("s");
    print_figure(
        "key to frame while they are sorted, p99 of 200",
        dashboard.latency(&["l", "h"], 100),
        Duration::from_millis(16),
    );
    dashboard.press("\u{1b}\u{1b}");
    dashboard.rest();
    let before = dashboard.memory();
    dashboard.press("6");
    dashboard.rest();
    let keys = ["k", "\u{15}", "\u{2}", "gg", "j", "\u{4}", "G"];
    print_figure(
        "key to frame in a log of 300,000 lines, p99 of 700",
        dashboard.latency(&keys, 100),
        Duration::from_millis(16),
    );
    dashboard.press("/request 9\r");
    dashboard.rest();
    print_figure(
        "key to frame from match to match, p99 of 200",
        dashboard.latency(&["n", "N"], 100),
        Duration::from_millis(16),
    );
    let grown = dashboard.memory().saturating_sub(before) as f64 / 1e6;
    println!("memory for the log: {grown:.1} MB");
    dashboard.press("\u{1b}");
    dashboard.rest();

    // One key every 0.24 s is 15,000 keys per hour.
    let hour = |dashboard: &mut Dashboard| {
        dashboard.latency(&["j", "k", "\r", "\u{4}", "l", "\u{1b}", "3", "1", "4", "2"], 1_500);
        dashboard.rest();
        dashboard.memory()
    };
    dashboard.press("\u{1b}\u{1b}2");
    let (first, second) = (hour(&mut dashboard), hour(&mut dashboard));
    let more = second.saturating_sub(first) as f64 / 1e6;
    let verdict = if more <= 4.0 { "" } else { "  TOO MUCH" };
    println!(
        "memory after one hour's keys {:.1} MB, after two {:.1} MB: growth {more:.1} MB (at most 4 MB){verdict}",
        first as f64 / 1e6,
        second as f64 / 1e6
    );

    dashboard.press("\u{1b}1");
    dashboard.rest();
    let seconds = std::env::var("MATERIA_BENCH_IDLE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(if is_short() { 1 } else { 60 });
    let before = dashboard.ticks();
    thread::sleep(Duration::from_secs(seconds));
    let used = (dashboard.ticks() - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    let percent = used / seconds as f64 * 100.0;
    let verdict = if percent <= 0.1 { "" } else { "  TOO MUCH" };
    println!(
        "processor time while idle for {seconds} s: {percent:.3}% of a core (at most 0.1%){verdict}"
    );
}

fn print_figure(what: &str, measured: Duration, most: Duration) {
    let verdict = if measured <= most { "" } else { "  TOO SLOW" };
    println!(
        "{what}: {:.1} ms (at most {} ms){verdict}",
        measured.as_secs_f64() * 1e3,
        most.as_millis()
    );
}

/// Returns the number of rows of the large table.
fn rows() -> u64 {
    let chosen = std::env::var("MATERIA_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok());
    chosen.unwrap_or(if is_short() { 10_000 } else { 10_000_000 })
}

fn make_log(path: &Path) {
    let lines = if is_short() { 10_000 } else { 300_000 };
    let line = |line: u64| {
        format!(
            "{{\"timestamp\":\"2026-11-29T15:00:00Z\",\"level\":\"INFO\",\"message\":\"request {line}\",\"path\":\"/tables/orders\",\"status\":200}}\n"
        )
    };
    fs::write(path, (0..lines).map(line).collect::<String>()).unwrap();
}

fn make(path: &Path) {
    let (tables, rows) = (if is_short() { 20 } else { 10_000 }, rows());
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("CREATE SCHEMA serving").unwrap();
    let large = format!(
        "CREATE TABLE serving.large AS SELECT i AS id, hash(i) % 1000 AS kind, i * 0.5 AS value, 'row ' || i AS name FROM range({rows}) t(i)"
    );
    connection.execute_batch(&large).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for table in 0..tables {
        connection
            .execute_batch(&format!(
                "CREATE TABLE serving.table_{table:05} (id INTEGER, name VARCHAR, value DOUBLE)"
            ))
            .unwrap();
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
        let pair = native_pty_system()
            .openpty(PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 })
            .unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_materia"));
        command.args(["tui", "--theme", "dark", "--log", "web.log"]);
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

    /// Returns the time from process start to the first full frame.
    fn first_frame(self) -> Duration {
        let mut bytes = 0;
        // Switching to the alternate screen takes only a few bytes; a frame takes more.
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
        while self.output.recv_timeout(Duration::from_millis(500)) != Err(RecvTimeoutError::Timeout)
        {
            assert!(Instant::now() < deadline, "the screen keeps changing");
        }
    }

    /// Returns the 99th percentile of the time from a key to the first output after it. Keys without
    /// output are not counted.
    fn latency(&mut self, keys: &[&str], rounds: usize) -> Duration {
        let rounds = if is_short() { 1 } else { rounds };
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

    /// Returns the clock ticks used by all threads of the process.
    fn ticks(&self) -> u64 {
        let stat = self.stat("stat");
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Returns the process's anonymous resident memory in bytes.
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
