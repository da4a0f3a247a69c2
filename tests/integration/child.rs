//! Child processes of the tests: the same binary, started again with a role.
//!
//! A database lock belongs to a process, so that interactions of two processes can only be tested
//! with two processes.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use materia::{
    export::{self, ExportEvent, ExportJob, Progress},
    reader::{Query, QueryLimits, Reader, ReaderConfig},
    settings::Settings,
    store::ExportStep,
};

use crate::support::{number, whole_run};

const PART: &str = "MATERIA_TEST_PART";
const ARGUMENT: &str = "MATERIA_TEST_ARGUMENT";
/// Prefix of the variables that are passed to a role.
const ENV_PREFIX: &str = "MATERIA_TEST_TOLD_";
const READY: &str = "the part begins";
const QUERIES: &str = "queries: ";
/// Line of an export that has come to the step at which it waits.
const WAITS: &str = "the export waits";
/// Next line of an export that waited; its error follows, if it failed.
const RECORDED: &str = "the history has a line of it";
const UNRECORDED: &str = "the history has no line of it";

/// A child process with a role; killed on drop.
pub(crate) struct Actor {
    pub(crate) process: Child,
    /// The output of its role.
    #[allow(dead_code, reason = "not every part says something")]
    pub(crate) stdout: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts this binary with a role, and waits until the role has begun.
    pub(crate) fn start(part: &str, argument: &Path) -> Self {
        Self::begin(&mut Command::new(env::current_exe().unwrap()), part, argument)
    }

    /// Works like [`Actor::start`], with additional environment variables.
    pub(crate) fn start_told(part: &str, argument: &Path, variables: &[(String, String)]) -> Self {
        let environment =
            variables.iter().map(|(name, value)| (format!("{ENV_PREFIX}{name}"), value));
        Self::begin(Command::new(env::current_exe().unwrap()).envs(environment), part, argument)
    }

    /// Works like [`Actor::start`], as an unprivileged user, from a copy in `folder`, since that
    /// user may not read the build folder.
    pub(crate) fn start_as_nobody(part: &str, argument: &Path, folder: &Path) -> Self {
        const NOBODY: u32 = 65_534;
        let copy = folder.join("another_process");
        fs::copy(env::current_exe().unwrap(), &copy).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if entry.extension().is_some_and(|end| end == "so" || end == "dylib") {
                fs::copy(&entry, folder.join(entry.file_name().unwrap())).unwrap();
            }
        }
        Self::begin(
            Command::new(copy).uid(NOBODY).gid(NOBODY).env_remove("LD_LIBRARY_PATH"),
            part,
            argument,
        )
    }

    /// Sends a line to the process and returns the line with which it replies.
    pub(crate) fn tell(&mut self, line: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        answer
    }

    fn begin(command: &mut Command, part: &str, argument: &Path) -> Self {
        let mut process = command
            .args(["--exact", "child::part_of_another_process", "--ignored", "--nocapture"])
            .env(PART, part)
            .env(ARGUMENT, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(READY) {
            line.clear();
            assert!(
                stdout.read_line(&mut line).unwrap() > 0,
                "the part {part} ended before it began"
            );
        }
        Self { process, stdout }
    }

    /// Waits until the process has killed itself.
    pub(crate) fn die(self) {
        assert!(self.has_died(), "it lives to tell");
    }

    /// Waits until the process has ended, and returns whether it killed itself before it was done.
    pub(crate) fn has_died(mut self) -> bool {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}: {text}");
        status.signal() == Some(9)
    }

    /// Waits until an export has come to the step at which it waits.
    pub(crate) fn until_waiting(&mut self) {
        let mut line = String::new();
        while !line.contains(WAITS) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before it waited");
        }
    }

    /// Continues an export that waits; returns whether the history has a line of it, and its error,
    /// if it failed.
    pub(crate) fn finish_export(mut self) -> (bool, Option<String>) {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        assert!(self.process.wait().unwrap().success(), "{text}");
        let (recorded, rest) = text.split_once('\n').unwrap();
        assert!([RECORDED, UNRECORDED].contains(&recorded), "{text}");
        let error = rest.split("\ntest child::").next().unwrap_or_default().trim();
        (recorded == RECORDED, (!error.is_empty()).then(|| error.to_owned()))
    }

    /// Stops a reader and returns its number of queries.
    pub(crate) fn count_queries(mut self) -> u64 {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        assert!(self.process.wait().unwrap().success(), "{text}");
        let count = text.split_once(QUERIES).unwrap().1;
        count.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Asks the process to end its role, and waits until it has ended.
    pub(crate) fn end(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test, but the `main` of child processes.
#[test]
#[ignore = "plays a part in other tests"]
fn part_of_another_process() {
    let Ok(part) = env::var(PART) else { return };
    let argument = env::var_os(ARGUMENT).unwrap();
    let argument = Path::new(&argument);
    match part.split_once(" until ").unwrap_or((&part, "")) {
        ("writer", _) => hold(&duckdb::Connection::open(argument).unwrap()),
        ("publisher", _) => {
            println!("{READY}");
            crate::soak::publish_all(argument);
        }
        ("asked reader", _) => answer_each_line(argument),
        ("dying writer", _) => die_writing(argument),
        ("reader", _) => read_again_and_again(argument),
        ("export", moment) => drop(export::export(&job(argument), &mut KilledAt::moment(moment))),
        ("export that waits", moment) => {
            let mut progress = WaitsAt(KilledAt::moment(moment).moment);
            let finished = export::export(&job(argument), &mut progress);
            println!("{}", if finished.unrecorded.is_some() { UNRECORDED } else { RECORDED });
            println!("{}", finished.error.map_or_else(String::new, |error| error.to_string()));
        }
        ("full export", moment) => drop(export::export(
            &ExportJob { full: true, ..job(argument) },
            &mut KilledAt::moment(moment),
        )),
        ("rollback", moment) => {
            let ExportJob { target, wait, cancel, .. } = job(argument);
            drop(export::rollback(&target, None, wait, &cancel, &mut KilledAt::moment(moment)));
        }
        ("release", moment) => {
            let ExportJob { target, wait, cancel, .. } = job(argument);
            drop(export::release(&target, wait, &cancel, &mut KilledAt::moment(moment)));
        }
        (other, _) => panic!("no part is called {other}"),
    }
}

/// Returns the job of `materia export` without flags in `folder`.
fn job(folder: &Path) -> ExportJob {
    let lakehouse = folder.join("lakehouse.duckdb").to_str().unwrap().to_owned();
    let lookup = |name: &str| {
        if name == "DUCKDB_PATH" {
            Some(lakehouse.clone())
        } else {
            env::var(format!("{ENV_PREFIX}{name}")).ok()
        }
    };
    ExportJob::new(&Settings::load(None, &lookup).unwrap()).unwrap()
}

/// Kills its own process as soon as a moment is announced: the name of a step or table, or that
/// many microseconds later (`commit + 500`). SIGKILL leaves no chance to clean up.
struct KilledAt {
    moment: String,
    later: Duration,
}

impl KilledAt {
    fn moment(moment: &str) -> Self {
        println!("{READY}");
        let (moment, later) = moment.split_once(" + ").unwrap_or((moment, "0"));
        Self { moment: moment.to_owned(), later: Duration::from_micros(later.parse().unwrap()) }
    }
}

impl Progress for KilledAt {
    fn event(&mut self, event: &ExportEvent<'_>) {
        let now = match event {
            ExportEvent::Step { step } => name_of(*step),
            ExportEvent::TableBegins { table, .. } => (*table).to_owned(),
            _ => return,
        };
        let kill = || {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap();
        };
        let later = self.later;
        if now == self.moment && later.is_zero() {
            kill();
        } else if now == self.moment {
            std::thread::spawn(move || {
                std::thread::sleep(later);
                kill();
            });
        }
    }
}

/// Waits at a step until standard input ends.
struct WaitsAt(String);

impl Progress for WaitsAt {
    fn event(&mut self, event: &ExportEvent<'_>) {
        if matches!(event, ExportEvent::Step { step } if name_of(*step) == self.0) {
            println!("{WAITS}");
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
    }
}

/// Returns the machine-readable name of a step: `sync_folder`.
pub(crate) fn name_of(step: ExportStep) -> String {
    serde_json::to_value(step).unwrap().as_str().unwrap().to_owned()
}

/// Commits an order, begins to add more, and waits to be killed: the committed one is only in the
/// log.
fn die_writing(lakehouse: &Path) {
    let connection = duckdb::Connection::open(lakehouse).unwrap();
    let committed =
        "SET checkpoint_threshold = '1TB'; INSERT INTO serving.numbers VALUES (5000, 0)";
    connection.execute_batch(committed).unwrap();
    connection
        .execute_batch("BEGIN; INSERT INTO serving.numbers SELECT i, 1 FROM range(6000, 7000) t(i)")
        .unwrap();
    hold(&connection);
}

/// Opens the served file of [`crate::support::Site::runs`] for every query, until standard input
/// ends, and prints the number of queries.
fn read_again_and_again(served: &Path) {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    let (mut queries, end) = (0, asked_to_end.clone());
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        end.store(true, Ordering::SeqCst);
    });
    whole_run(served);
    println!("{READY}");
    while !asked_to_end.load(Ordering::SeqCst) {
        whole_run(served);
        let of_one_run =
            "SELECT count(*) FROM serving.orders o JOIN serving.customers c USING (id, run)";
        assert_eq!(
            number(served, of_one_run),
            number(served, "SELECT count(*) FROM serving.customers")
        );
        queries += 1;
    }
    println!("{QUERIES}{queries}");
}

/// Keeps a connection open, and with it DuckDB's lock on the file, until standard input ends.
fn hold(connection: &duckdb::Connection) {
    println!("{READY}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = connection;
}

/// Opens a reader on the served file and replies to each line of standard input with the number of
/// rows in `numbers` and the current problem.
fn answer_each_line(served: &Path) {
    let reader = Reader::open_file(served, "serving", ReaderConfig::small()).unwrap();
    println!("{READY}");
    for _ in std::io::stdin().lines() {
        let answer = reader.pin().and_then(|pin| {
            pin.query_blocking(Query::new("SELECT count(*) FROM numbers"), QueryLimits::for_page())
        });
        let count = answer.map_or(-1, |answer| crate::reader::int(&answer));
        let problem = reader
            .state()
            .problem
            .map(|problem| problem.reason.replace('\n', " "))
            .unwrap_or_default();
        println!("{count} rows; {problem}");
    }
}
