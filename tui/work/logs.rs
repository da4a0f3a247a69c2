//! Reads what is written at the end of files and of the journal.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::tui::message::{LogEvent, Message};

/// How much of a file that is there already is read.
const FROM_THE_END: u64 = 256 * 1024;
/// The most that is read at once, so that a log that grows fast cannot fill the memory.
const AT_ONCE: u64 = 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(250);

/// Every log that is being read.
pub(super) struct Tails {
    end: Option<Sender<()>>,
    files: Option<JoinHandle<()>>,
    journals: Arc<Mutex<Vec<Child>>>,
}

impl Tails {
    /// Files by their paths, units of the journal as `unit:NAME`.
    pub(super) fn start(names: Vec<String>, send: &Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel::<()>();
        let journals = Arc::new(Mutex::new(Vec::new()));
        let mut files = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            match name.strip_prefix("unit:") {
                Some(unit) => follow_journal(index, unit, &journals, send.clone()),
                None => {
                    files.push(Tail { index, path: PathBuf::from(name), open: None, rest: Vec::new(), half: false, note: String::new() });
                }
            }
        }
        let send = send.clone();
        let files = thread::spawn(move || {
            loop {
                for tail in &mut files {
                    tail.look(&send);
                }
                if files.is_empty() || ended.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { end: Some(end), files: Some(files), journals }
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        self.end = None;
        for mut child in self.journals.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(files) = self.files.take() {
            let _ = files.join();
        }
    }
}

struct Tail {
    index: usize,
    path: PathBuf,
    open: Option<(File, u64)>,
    /// A line whose end has not been written yet.
    rest: Vec<u8>,
    /// Whether reading began in the middle of a line, which is not shown.
    half: bool,
    /// What was said last, so that it is said once.
    note: String,
}

impl Tail {
    fn look(&mut self, send: &Sender<Message>) {
        if let Err(error) = self.read(send) {
            self.open = None;
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let why = if missing { "it does not exist yet; it is read as soon as it does".to_owned() } else { error.to_string() };
            self.say(send, format!("{}: {why}", self.path.display()));
        }
    }

    fn say(&mut self, send: &Sender<Message>, note: String) {
        if self.note != note {
            self.note.clone_from(&note);
            let _ = send.send(Message::Log(self.index, LogEvent::Note(note)));
        }
    }

    /// Reads what has come. A file that was replaced or cut off is read from its beginning.
    fn read(&mut self, send: &Sender<Message>) -> std::io::Result<()> {
        let metadata = std::fs::metadata(&self.path)?;
        let replaced = self.open.as_ref().is_some_and(|(_, inode)| *inode != metadata.ino());
        if replaced {
            // What was written to the old file after the last look.
            self.drain(send)?;
        }
        if self.open.is_none() || replaced {
            let mut file = open(&self.path)?;
            if self.open.is_none() && metadata.len() > FROM_THE_END {
                file.seek(SeekFrom::Start(metadata.len() - FROM_THE_END))?;
                self.half = true;
            }
            self.open = Some((file, metadata.ino()));
            self.rest.clear();
            if metadata.len() == 0 {
                self.say(send, "nothing has been written yet".to_owned());
            }
        }
        if let Some((file, _)) = &mut self.open
            && metadata.len() < file.stream_position()?
        {
            file.rewind()?;
            self.rest.clear();
        }
        self.drain(send)
    }

    fn drain(&mut self, send: &Sender<Message>) -> std::io::Result<()> {
        let Some((file, _)) = &mut self.open else { return Ok(()) };
        let before = self.rest.len();
        file.take(AT_ONCE).read_to_end(&mut self.rest)?;
        if self.rest.len() == before {
            return Ok(());
        }
        if self.half
            && let Some(end) = self.rest.iter().position(|byte| *byte == b'\n')
        {
            self.rest.drain(..=end);
            self.half = false;
        }
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let lines = whole.split(|byte| *byte == b'\n').map(|line| clean(&String::from_utf8_lossy(line))).collect::<Vec<_>>();
        self.note.clear();
        let lines = lines[..lines.len() - 1].to_vec();
        let _ = send.send(Message::Log(self.index, LogEvent::Lines(lines)));
        Ok(())
    }
}

/// Opens what can be read to its end; a pipe or a device would hold everything up.
fn open(path: &Path) -> std::io::Result<File> {
    let file = std::fs::metadata(path)?;
    if !file.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    File::open(path)
}

/// A line without the colours it was written with, and tabs as spaces.
fn clean(line: &str) -> String {
    let mut cleaned = String::with_capacity(line.len());
    let mut chars = line.trim_end_matches('\r').chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => {
                // ESC [ ... letter
                if chars.next() == Some('[') {
                    for char in chars.by_ref() {
                        if char.is_ascii_alphabetic() {
                            break;
                        }
                    }
                }
            }
            '\t' => cleaned.push_str("    "),
            char if char.is_control() => {}
            char => cleaned.push(char),
        }
    }
    cleaned
}

fn follow_journal(index: usize, unit: &str, journals: &Arc<Mutex<Vec<Child>>>, send: Sender<Message>) {
    let started = Command::new("journalctl")
        .args(["--unit", unit, "--follow", "--lines", "1000", "--output", "short-iso", "--no-pager"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let note = |text: String| drop(send.send(Message::Log(index, LogEvent::Note(text))));
    match started {
        Err(error) => note(format!("journalctl cannot be started: {error}")),
        Ok(mut child) => {
            note(format!("nothing from {unit} in the journal yet"));
            let stdout = child.stdout.take();
            journals.lock().unwrap_or_else(PoisonError::into_inner).push(child);
            thread::spawn(move || {
                let Some(stdout) = stdout else { return };
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if send.send(Message::Log(index, LogEvent::Lines(vec![clean(&line)]))).is_err() {
                        return;
                    }
                }
                let _ = send.send(Message::Log(index, LogEvent::Note("journalctl ended".to_owned())));
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::{fs, io::Write as _, sync::mpsc::Receiver};

    use super::*;

    fn lines(tail: &mut Tail, send: &Sender<Message>, receive: &Receiver<Message>) -> Vec<String> {
        tail.look(send);
        let told = receive.try_iter().flat_map(|message| match message {
            Message::Log(_, LogEvent::Lines(lines)) => lines,
            Message::Log(_, LogEvent::Note(note)) => vec![format!("note: {}", note.rsplit(": ").next().unwrap())],
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn a_log_is_read_on_through_rotation_truncation_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let (send, receive) = mpsc::channel();
        let mut tail = Tail { index: 0, path: path.clone(), open: None, rest: Vec::new(), half: false, note: String::new() };
        let look = |tail: &mut Tail| lines(tail, &send, &receive);
        assert_eq!(look(&mut tail), ["note: it does not exist yet; it is read as soon as it does"]);
        assert_eq!(look(&mut tail), [""; 0], "said once");

        fs::write(&path, "one\ntwo\nhal").unwrap();
        assert_eq!(look(&mut tail), ["one", "two"]);
        let append = |text: &str| fs::File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        append("f\n\u{1b}[31mERROR\u{1b}[0m\tred\r\n");
        assert_eq!(look(&mut tail), ["half", "ERROR    red"]);

        append("last of the old\n");
        fs::rename(&path, folder.path().join("web.log.1")).unwrap();
        fs::write(&path, "first of the new\n").unwrap();
        assert_eq!(look(&mut tail), ["last of the old", "first of the new"]);

        fs::write(&path, "cut\n").unwrap();
        assert_eq!(look(&mut tail), ["cut"]);
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut tail), ["note: it does not exist yet; it is read as soon as it does"]);
        fs::write(&path, "back\n").unwrap();
        assert_eq!(look(&mut tail), ["back"]);
    }
}
