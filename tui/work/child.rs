//! `materia` as a process of its own: what it says comes back as messages.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use materia::words;
use serde_json::Value;

use crate::tui::message::{JobEvent, Message};

pub(super) struct Child {
    pid: rustix::process::Pid,
    /// Its process id may be somebody else's once it has been waited for.
    over: Arc<AtomicBool>,
}

impl Child {
    /// Starts it; where it cannot be started, a message says so.
    pub(super) fn start(arguments: &[String], send: &Sender<Message>) -> Option<Self> {
        let send = send.clone();
        match spawn(arguments) {
            Ok(child) => {
                let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)?;
                let over = Arc::new(AtomicBool::new(false));
                let own = over.clone();
                thread::spawn(move || {
                    let ended = follow(child, &send, &own);
                    let _ = send.send(Message::Job(ended));
                });
                Some(Self { pid, over })
            }
            Err(error) => {
                let _ = send.send(Message::Job(JobEvent::Ended { good: false, message: format!("materia cannot be started: {error}") }));
                None
            }
        }
    }

    /// Asks it to stop and to clear up after itself.
    pub(super) fn stop(&self) {
        if !self.over.load(Ordering::SeqCst) {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::TERM);
        }
    }
}

fn spawn(arguments: &[String]) -> std::io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt as _;
    let events = matches!(arguments.first().map(String::as_str), Some("export" | "rollback"));
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(events.then_some("--json"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What is pressed here, and the end of this terminal, are not meant for it.
        .process_group(0)
        .spawn()
}

/// Passes on what it says until it ends.
fn follow(mut child: std::process::Child, send: &Sender<Message>, over: &AtomicBool) -> JobEvent {
    let complaints = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        })
    });
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Some(event) = said(&line) else { continue };
            if let JobEvent::Said(line) = &event {
                last.clone_from(line);
            }
            let _ = send.send(Message::Job(event));
        }
    }
    let ended = child.wait();
    over.store(true, Ordering::SeqCst);
    let complaints = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let good = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
    // What became of a pipeline stands beside what it printed.
    let message = match complaints.lines().rev().find_map(|line| line.strip_prefix("== ")) {
        Some(end) => end.to_owned(),
        None if good => last,
        None => complaints.trim().trim_start_matches("materia: ").to_owned(),
    };
    let message = match (message.is_empty(), ended) {
        (true, Ok(status)) => format!("it ended with {status}"),
        (true, Err(error)) => error.to_string(),
        (false, _) => message,
    };
    JobEvent::Ended { good, message }
}

/// One line of what it says, in words.
fn said(line: &str) -> Option<JobEvent> {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return Some(JobEvent::Said(line.to_owned())) };
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| words::duration(Duration::from_millis(event[key].as_u64().unwrap_or_default()));
    Some(match event["event"].as_str()? {
        "step" => JobEvent::Doing(step(&event["step"])),
        "waiting" => {
            let holder = serde_json::from_value::<materia::lock::Holder>(event["holder"].clone()).map(|holder| holder.to_string());
            let holder = holder.unwrap_or_else(|_| "somebody".to_owned());
            JobEvent::Doing(format!("waited {} of {} for {}: {holder}", time("waited_ms"), time("limit_ms"), text("what")))
        }
        "table_begins" => {
            let (index, of) = (event["index"].as_u64().unwrap_or_default() + 1, event["of"].as_u64().unwrap_or_default());
            JobEvent::Doing(format!("staging {} ({index} of {of})", text("table")))
        }
        "table_progress" => JobEvent::Doing(format!("staging {} {:.0} %", text("table"), event["percent"].as_f64().unwrap_or_default())),
        "table_done" => {
            JobEvent::Said(format!("{}: {} in {}", text("table"), words::rows(event["rows"].as_u64().unwrap_or_default()), time("ms")))
        }
        "notice" => JobEvent::Said(text("message")),
        "finished" => {
            let record = serde_json::from_value::<materia::export::Record>(event["record"].clone()).ok()?;
            let generation = record.generation.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
            JobEvent::Said(format!("{}{generation} in {}", record.outcome.word(), words::duration(Duration::from_millis(record.total_ms))))
        }
        _ => return None,
    })
}

fn step(name: &Value) -> String {
    serde_json::from_value::<materia::export::Step>(name.clone()).map_or_else(|_| String::new(), |step| step.word().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn words_of(line: &str) -> String {
        match said(line) {
            Some(JobEvent::Doing(text)) => format!("doing: {text}"),
            Some(JobEvent::Said(text)) => format!("said: {text}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_event_of_an_export_is_told_in_words() {
        use materia::{export::Event, lock::Holder};
        let holder = Holder { pid: Some(4121), command: Some("sqlmesh run".to_owned()), running: None };
        let waiting =
            Event::Waiting { what: "lakehouse.duckdb", holder: &holder, waited: Duration::from_secs(12), limit: Duration::from_mins(5) };
        let events = [
            Event::Step { step: materia::export::Step::Audit },
            waiting,
            Event::TableBegins { table: "orders", index: 0, of: 3 },
            Event::TableProgress { table: "orders", percent: 43.2 },
            Event::TableDone { table: "orders", rows: 1_500, ms: 40 },
            Event::Notice { message: "mind the gap" },
        ];
        let told: Vec<_> = events.iter().map(|event| words_of(&serde_json::to_string(event).unwrap())).collect();
        assert_eq!(
            told,
            [
                "doing: auditing",
                "doing: waited 12 s of 5 min for lakehouse.duckdb: sqlmesh run (pid 4121)",
                "doing: staging orders (1 of 3)",
                "doing: staging orders 43 %",
                "said: orders: 1,500 rows in 40 ms",
                "said: mind the gap",
            ]
        );
        assert_eq!(words_of("20261121T021038123Z is pinned"), "said: 20261121T021038123Z is pinned");
    }
}
