//! Other processes of the tests: this same binary, started again with a part to play.
//!
//! A database lock belongs to a process, so that what happens between two processes can only be tried with two processes.

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
    export::{self, Event, Job, Step, Watch},
    reader::{Limits, Query, Reader, ReaderLimits},
    settings::Settings,
};

use crate::support::{number, whole_run};

const PART: &str = "MATERIA_TEST_PART";
const ARGUMENT: &str = "MATERIA_TEST_ARGUMENT";
/// Before the name of a variable that the part is to know.
const TOLD: &str = "MATERIA_TEST_TOLD_";
const READY: &str = "the part begins";
const ASKED: &str = "questions asked: ";

/// A running process with a part to play; it is killed when dropped.
pub(crate) struct Actor {
    pub(crate) process: Child,
    /// What it says while it plays.
    #[allow(dead_code, reason = "not every part says something")]
    pub(crate) stdout: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts this binary again in another part, and waits until it has begun.
    pub(crate) fn start(part: &str, argument: &Path) -> Self {
        Self::begin(&mut Command::new(env::current_exe().unwrap()), part, argument)
    }

    /// As [`Actor::start`], told these variables besides.
    pub(crate) fn start_told(part: &str, argument: &Path, variables: &[(String, String)]) -> Self {
        let told = variables.iter().map(|(name, value)| (format!("{TOLD}{name}"), value));
        Self::begin(Command::new(env::current_exe().unwrap()).envs(told), part, argument)
    }

    /// As [`Actor::start`], as a user without rights, from a copy in `folder`: that user may not look into the build's own.
    pub(crate) fn start_as_nobody(part: &str, argument: &Path, folder: &Path) -> Self {
        const NOBODY: u32 = 65_534;
        let copy = folder.join("another_process");
        fs::copy(env::current_exe().unwrap(), &copy).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|end| end == "so" || end == "dylib") {
                fs::copy(&entry, folder.join(entry.file_name().unwrap())).unwrap();
            }
        }
        Self::begin(Command::new(copy).uid(NOBODY).gid(NOBODY).env_remove("LD_LIBRARY_PATH"), part, argument)
    }

    /// Says one line to the process and returns the line it answers.
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
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the part {part} ended before it began");
        }
        Self { process, stdout }
    }

    /// Waits until the process has killed itself.
    pub(crate) fn die(self) {
        assert!(self.has_died(), "it lives to tell");
    }

    /// Waits until the process is gone, and tells whether it killed itself before it was done.
    pub(crate) fn has_died(mut self) -> bool {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}: {said}");
        status.signal() == Some(9)
    }

    /// Ends a reader and returns how often it asked.
    pub(crate) fn asked(mut self) -> u64 {
        drop(self.process.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert!(self.process.wait().unwrap().success(), "{said}");
        let asked = said.split_once(ASKED).unwrap().1;
        asked.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Asks the process to end its part, and waits until it is gone.
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

/// Not a test: the other process's `main`.
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
        ("full export", moment) => drop(export::export(&Job { full: true, ..job(argument) }, &mut KilledAt::moment(moment))),
        ("rollback", moment) => {
            let Job { target, wait, cancel, .. } = job(argument);
            drop(export::rollback(&target, None, wait, &cancel, &mut KilledAt::moment(moment)));
        }
        ("release", moment) => {
            let Job { target, wait, cancel, .. } = job(argument);
            drop(export::release(&target, wait, &cancel, &mut KilledAt::moment(moment)));
        }
        (other, _) => panic!("no part is called {other}"),
    }
}

/// What `materia` without flags would do in `folder`.
fn job(folder: &Path) -> Job {
    let lakehouse = folder.join("lakehouse.duckdb").to_str().unwrap().to_owned();
    let lookup = |name: &str| if name == "DUCKDB_PATH" { Some(lakehouse.clone()) } else { env::var(format!("{TOLD}{name}")).ok() };
    Job::new(&Settings::load(None, &lookup).unwrap()).unwrap()
}

/// Kills its own process as soon as a moment is announced: the name of a step or of a table, or so many microseconds later (`commit + 500`). There is no
/// cleaning up after SIGKILL.
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

impl Watch for KilledAt {
    fn event(&mut self, event: &Event<'_>) {
        let now = match event {
            Event::Step { step } => name_of(*step),
            Event::TableBegins { table, .. } => (*table).to_owned(),
            _ => return,
        };
        let kill = || rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
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

/// A step as machines spell it: `sync_folder`.
pub(crate) fn name_of(step: Step) -> String {
    serde_json::to_value(step).unwrap().as_str().unwrap().to_owned()
}

/// Commits an order of its own, begins to add more, and waits to be killed: what it committed is in the log only.
fn die_writing(lakehouse: &Path) {
    let connection = duckdb::Connection::open(lakehouse).unwrap();
    let committed = "SET checkpoint_threshold = '1TB'; INSERT INTO serving.numbers VALUES (5000, 0)";
    connection.execute_batch(committed).unwrap();
    connection.execute_batch("BEGIN; INSERT INTO serving.numbers SELECT i, 1 FROM range(6000, 7000) t(i)").unwrap();
    hold(&connection);
}

/// Opens the served file of [`crate::support::Site::runs`] anew for each question, until standard input ends, and tells how often.
fn read_again_and_again(served: &Path) {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    let (mut asked, end) = (0, asked_to_end.clone());
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        end.store(true, Ordering::SeqCst);
    });
    whole_run(served);
    println!("{READY}");
    while !asked_to_end.load(Ordering::SeqCst) {
        whole_run(served);
        let of_one_run = "SELECT count(*) FROM serving.orders o JOIN serving.customers c USING (id, run)";
        assert_eq!(number(served, of_one_run), number(served, "SELECT count(*) FROM serving.customers"));
        asked += 1;
    }
    println!("{ASKED}{asked}");
}

/// Keeps a connection, and so DuckDB's lock on its file, until standard input ends.
fn hold(connection: &duckdb::Connection) {
    println!("{READY}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = connection;
}

/// Opens a reader on the served file and answers each line of standard input with a count of `numbers` and what is wrong.
fn answer_each_line(served: &Path) {
    let reader = Reader::open(served, "serving", ReaderLimits::small()).unwrap();
    println!("{READY}");
    for _ in std::io::stdin().lines() {
        let answer = reader.pin().and_then(|pin| pin.ask_blocking(Query::new("SELECT count(*) FROM numbers"), Limits::page()));
        let count = answer.map_or(-1, |answer| crate::reader::int(&answer));
        let problem = reader.state().problem.map(|problem| problem.reason.replace('\n', " ")).unwrap_or_default();
        println!("{count} rows; {problem}");
    }
}
