//! Follows logs: files of any size, and units of the journal.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use tempfile::NamedTempFile;

use super::log_file::{LogFile, LogState, clean};
use crate::message::{LogEvent, LogRequest, LogSource, Message};

const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The pause between two steps through a large file.
const STEP_INTERVAL: Duration = Duration::from_millis(1);
/// Number of earlier journal lines to read at the start.
const JOURNAL_LINES: &str = "1000";

/// Follows logs until it is dropped.
pub(super) struct LogTailer {
    requests: Option<Sender<(usize, LogRequest)>>,
    thread: Option<JoinHandle<()>>,
    journals: Vec<Journal>,
}

/// A unit of the journal, whose lines are copied to a temporary file.
struct Journal {
    child: Child,
    /// Removed when it is dropped.
    copy: NamedTempFile,
}

impl LogTailer {
    pub(super) fn start(sources: Vec<LogSource>, send: &Sender<Message>) -> Self {
        let (requests, receiver) = mpsc::channel::<(usize, LogRequest)>();
        let mut journals = Vec::new();
        let mut tails = Vec::new();
        for (index, source) in sources.into_iter().enumerate() {
            let path = match source {
                LogSource::File(path) => path,
                LogSource::Unit(unit) => match follow_journal(&unit) {
                    Ok(journal) => {
                        let path = journal.copy.path().to_path_buf();
                        journals.push(journal);
                        path
                    }
                    Err(error) => {
                        let note = format!("journalctl cannot be started: {error}");
                        let _ = send.send(Message::Log(index, LogEvent::Note(note)));
                        continue;
                    }
                },
            };
            tails.push(Tail { index, file: LogFile::new(path), state: None, note: String::new() });
        }
        let send = send.clone();
        let thread = thread::spawn(move || {
            let mut pause = Duration::ZERO;
            loop {
                match receiver.recv_timeout(pause) {
                    Ok((index, request)) => {
                        if let Some(tail) = tails.iter_mut().find(|tail| tail.index == index) {
                            tail.handle(request, &send);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let mut is_scanning = false;
                for tail in &mut tails {
                    is_scanning |= tail.poll(&send);
                }
                pause = if is_scanning { STEP_INTERVAL } else { POLL_INTERVAL };
            }
        });
        Self { requests: Some(requests), thread: Some(thread), journals }
    }

    pub(super) fn request(&self, index: usize, request: LogRequest) {
        if let Some(requests) = &self.requests {
            let _ = requests.send((index, request));
        }
    }
}

impl Drop for LogTailer {
    fn drop(&mut self) {
        self.requests = None;
        for mut journal in self.journals.drain(..) {
            let _ = journal.child.kill();
            let _ = journal.child.wait();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Tail {
    index: usize,
    file: LogFile,
    /// The latest state and note, so that each is sent once.
    state: Option<LogState>,
    note: String,
}

impl Tail {
    fn send_note(&mut self, send: &Sender<Message>, note: String) {
        if self.note != note {
            self.note.clone_from(&note);
            let _ = send.send(Message::Log(self.index, LogEvent::Note(note)));
        }
    }

    /// Reads new content; returns whether a large file is being scanned.
    fn poll(&mut self, send: &Sender<Message>) -> bool {
        let state = match self.file.poll() {
            Ok(state) => state,
            Err(error) => {
                let is_missing = error.kind() == std::io::ErrorKind::NotFound;
                let reason = if is_missing {
                    "it does not exist yet; it is read as soon as it does".to_owned()
                } else {
                    error.to_string()
                };
                self.state = None;
                self.send_note(send, format!("{}: {reason}", self.file.path().display()));
                return false;
            }
        };
        let is_scanning = state.progress.is_some();
        if self.state.as_ref() == Some(&state) {
            return is_scanning;
        }
        if state.lines == 0 && !is_scanning {
            self.send_note(send, "nothing has been written yet".to_owned());
        } else {
            self.note.clear();
        }
        let is_first = self.state.is_none();
        self.state = Some(state.clone());
        let event = LogEvent::State {
            epoch: state.epoch,
            lines: state.lines,
            matches: state.matches,
            progress: state.progress,
        };
        let _ = send.send(Message::Log(self.index, event));
        if is_first && is_scanning {
            let lines = self.file.preview();
            let _ = send.send(Message::Log(self.index, LogEvent::Preview(lines)));
        }
        is_scanning
    }

    fn handle(&mut self, request: LogRequest, send: &Sender<Message>) {
        let event = match request {
            LogRequest::Filter(filter) => {
                self.file.set_filter(filter);
                return;
            }
            LogRequest::Window { first, count } => match self.file.window(first, count) {
                Ok(lines) => LogEvent::Window { epoch: self.file.epoch(), first, lines },
                Err(error) => LogEvent::Note(error.to_string()),
            },
            LogRequest::Find { from, forward } => {
                LogEvent::Found { epoch: self.file.epoch(), found: self.file.find(from, forward) }
            }
        };
        let _ = send.send(Message::Log(self.index, event));
    }
}

/// Copies the lines of a unit to a temporary file as they are written.
fn follow_journal(unit: &str) -> std::io::Result<Journal> {
    let copy = tempfile::Builder::new().prefix("materia-journal-").tempfile()?;
    let mut child = Command::new("journalctl")
        .args(["--unit", unit, "--follow", "--lines", JOURNAL_LINES])
        .args(["--output", "short-iso", "--no-pager"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdout, mut file): (_, File) = (child.stdout.take(), copy.reopen()?);
    thread::spawn(move || {
        let Some(stdout) = stdout else { return };
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if writeln!(file, "{}", clean(&line)).is_err() {
                return;
            }
        }
    });
    Ok(Journal { child, copy })
}
