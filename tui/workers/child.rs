//! Runs `materia` as a separate process whose output is sent as messages.

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

use materia::humanize;
use serde_json::Value;

use crate::message::{JobEvent, Message};

pub(super) struct Child {
    pid: rustix::process::Pid,
    /// Set once the process was reaped: its id may then belong to another process.
    ended: Arc<AtomicBool>,
}

impl Child {
    /// Starts the process; sends a message if that fails.
    pub(super) fn start(arguments: &[String], send: &Sender<Message>) -> Option<Self> {
        let send = send.clone();
        match spawn(arguments) {
            Ok(child) => {
                let pid =
                    i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)?;
                let ended = Arc::new(AtomicBool::new(false));
                let own = ended.clone();
                thread::spawn(move || {
                    let event = follow(child, &send, &own);
                    let _ = send.send(Message::Job(event));
                });
                Some(Self { pid, ended })
            }
            Err(error) => {
                let _ = send.send(Message::Job(JobEvent::Ended {
                    succeeded: false,
                    message: format!("materia cannot be started: {error}"),
                }));
                None
            }
        }
    }

    /// Sends SIGTERM, on which the process removes its temporary files and ends.
    pub(super) fn stop(&self) {
        if !self.ended.load(Ordering::SeqCst) {
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
        // Keys and the end of this terminal must not affect it.
        .process_group(0)
        .spawn()
}

/// Sends its output until it ends.
fn follow(
    mut child: std::process::Child,
    send: &Sender<Message>,
    ended_flag: &AtomicBool,
) -> JobEvent {
    let stderr_text = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        })
    });
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Some(event) = parse_event(&line) else { continue };
            if let JobEvent::Output(line) = &event {
                last.clone_from(line);
            }
            let _ = send.send(Message::Job(event));
        }
    }
    let ended = child.wait();
    ended_flag.store(true, Ordering::SeqCst);
    let stderr_text = stderr_text.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let succeeded = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
    // The outcome of a pipeline is one of the lines of its output.
    let message = match stderr_text.lines().rev().find_map(|line| line.strip_prefix("== ")) {
        Some(end) => end.to_owned(),
        None if succeeded => last,
        None => stderr_text.trim().trim_start_matches("materia: ").to_owned(),
    };
    let message = match (message.is_empty(), ended) {
        (true, Ok(status)) => format!("it ended with {status}"),
        (true, Err(error)) => error.to_string(),
        (false, _) => message,
    };
    JobEvent::Ended { succeeded, message }
}

/// Parses one line of its output.
fn parse_event(line: &str) -> Option<JobEvent> {
    let Ok(event) = serde_json::from_str::<Value>(line) else {
        return Some(JobEvent::Output(line.to_owned()));
    };
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| {
        humanize::duration(Duration::from_millis(event[key].as_u64().unwrap_or_default()))
    };
    Some(match event["event"].as_str()? {
        "step" => JobEvent::Status(step(&event["step"])),
        "waiting" => {
            let holder =
                serde_json::from_value::<materia::lock::LockHolder>(event["holder"].clone())
                    .map(|holder| holder.to_string());
            let holder = holder.unwrap_or_else(|_| "another process".to_owned());
            JobEvent::Status(format!(
                "waited {} of {} for {}: {holder}",
                time("waited_ms"),
                time("limit_ms"),
                text("what")
            ))
        }
        "table_begins" => {
            let (index, of) = (
                event["index"].as_u64().unwrap_or_default() + 1,
                event["of"].as_u64().unwrap_or_default(),
            );
            JobEvent::Status(format!("staging {} ({index} of {of})", text("table")))
        }
        "table_progress" => JobEvent::Status(format!(
            "staging {} {:.0} %",
            text("table"),
            event["percent"].as_f64().unwrap_or_default()
        )),
        "table_done" => JobEvent::Output(format!(
            "{}: {} in {}",
            text("table"),
            humanize::rows(event["rows"].as_u64().unwrap_or_default()),
            time("ms")
        )),
        "notice" => JobEvent::Output(text("message")),
        "finished" => {
            let record =
                serde_json::from_value::<materia::store::AttemptRecord>(event["record"].clone())
                    .ok()?;
            let to = if record.outcome == materia::store::AttemptOutcome::RolledBack {
                " to"
            } else {
                ""
            };
            let generation =
                record.generation.as_ref().map(|id| format!("{to} {id}")).unwrap_or_default();
            JobEvent::Output(format!(
                "{}{generation} in {}",
                record.outcome.label(),
                humanize::duration(Duration::from_millis(record.total_ms))
            ))
        }
        _ => return None,
    })
}

fn step(name: &Value) -> String {
    serde_json::from_value::<materia::store::ExportStep>(name.clone())
        .map_or_else(|_| String::new(), |step| step.label().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn describe(line: &str) -> String {
        match parse_event(line) {
            Some(JobEvent::Status(text)) => format!("status: {text}"),
            Some(JobEvent::Output(text)) => format!("output: {text}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_event_of_an_export_is_described() {
        use materia::{export::ExportEvent, lock::LockHolder};
        let holder =
            LockHolder { pid: Some(4121), command: Some("sqlmesh run".to_owned()), running: None };
        let waiting = ExportEvent::Waiting {
            what: "lakehouse.duckdb",
            holder: &holder,
            waited: Duration::from_secs(12),
            limit: Duration::from_mins(5),
        };
        let events = [
            ExportEvent::Step { step: materia::store::ExportStep::Audit },
            waiting,
            ExportEvent::TableBegins { table: "orders", index: 0, of: 3 },
            ExportEvent::TableProgress { table: "orders", percent: 43.2 },
            ExportEvent::TableDone { table: "orders", rows: 1_500, ms: 40 },
            ExportEvent::Notice { message: "mind the gap" },
        ];
        let described: Vec<_> =
            events.iter().map(|event| describe(&serde_json::to_string(event).unwrap())).collect();
        assert_eq!(
            described,
            [
                "status: auditing",
                "status: waited 12 s of 5 min for lakehouse.duckdb: sqlmesh run (pid 4121)",
                "status: staging orders (1 of 3)",
                "status: staging orders 43 %",
                "output: orders: 1,500 rows in 40 ms",
                "output: mind the gap",
            ]
        );
        assert_eq!(
            describe("20261121T021038123Z is pinned"),
            "output: 20261121T021038123Z is pinned"
        );
    }
}
