//! Other processes of the tests: this same binary, started again with a part to play.
//!
//! A database lock belongs to a process, so that what happens between two processes can only be tried with two processes.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

const PART: &str = "MATERIA_TEST_PART";
const ARGUMENT: &str = "MATERIA_TEST_ARGUMENT";
const READY: &str = "the part begins";

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
        let mut process = Command::new(env::current_exe().unwrap())
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
    match part.as_str() {
        "writer" => hold(&duckdb::Connection::open(argument).unwrap()),
        "publisher" => {
            println!("{READY}");
            crate::soak::publish_all(argument);
        }
        other => panic!("no part is called {other}"),
    }
}

/// Keeps a connection, and so DuckDB's lock on its file, until standard input ends.
fn hold(connection: &duckdb::Connection) {
    println!("{READY}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = connection;
}
