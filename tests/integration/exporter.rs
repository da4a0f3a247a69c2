//! The real command as a process that runs concurrently with the test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Ran, Site};

/// A view that takes longer to copy than any test waits.
pub(crate) const ENDLESS: &str =
    "SELECT count(*) AS n FROM range(3000000) a(i), range(3000000) b(j) WHERE i * j % 7 = 3";

/// A running export; killed on drop.
pub(crate) struct Exporter {
    pub(crate) process: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Exporter {
    pub(crate) fn start(site: &Site, args: &[&str]) -> Self {
        let args = [&["export", "--json", "--full"], args].concat();
        let mut process =
            site.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = process.stdout.take().map(BufReader::new);
        Self { process, stdout }
    }

    /// Reads events up to the one with these words.
    pub(crate) fn until(&mut self, words: &[&str]) -> String {
        let mut line = String::new();
        while !words.iter().all(|word| line.contains(word)) {
            line.clear();
            assert!(
                self.stdout.as_mut().unwrap().read_line(&mut line).unwrap() > 0,
                "the export ended before it said {words:?}"
            );
        }
        line
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for the end, up to `most`, and returns the exit status with the attempt's record.
    pub(crate) fn end(mut self, most: Duration) -> (Ran, Value) {
        let stdout = self.stdout.take().unwrap();
        let events = std::thread::spawn(|| stdout.lines().map_while(Result::ok).last());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < most, "still at work after {most:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut stderr = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let stdout = events.join().unwrap().unwrap_or_default();
        let record = serde_json::from_str::<Value>(&stdout)
            .map(|mut last| last["record"].take())
            .unwrap_or_default();
        (Ran { code: status.code().unwrap_or(-1), stdout, stderr }, record)
    }

    /// Sends the signal to stop and expects the process to end.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end(Duration::from_mins(1)).0.code, 143);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
