//! Which statements run, kept where a crash of the process does not lose it.
//!
//! DuckDB is a library: what crashes it ends the process. The supervisor of `materia postgres`
//! gives the serving process a file in memory, in which every running statement has a line; after a
//! crash, it reads whose statements were running. Writing a line is one `pwrite` and wakes nobody.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Where the supervisor writes [`CrashHistory`].
const HISTORY_AT: u64 = 0;
/// Where the serving process writes its address.
const ADDRESS_AT: u64 = 64 << 10;
/// Where the lines of running statements begin.
const LINES_AT: u64 = ADDRESS_AT + 1024;
const LINE: usize = 128;

/// What the supervisor knows of former crashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashHistory {
    /// Crashes since the supervisor started.
    pub crashes: u64,
    /// Statements that are refused, by their hash.
    pub refused: Vec<RefusedStatement>,
}

/// A statement that is refused because the engine crashed while it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedStatement {
    pub hash: String,
    pub until: SystemTime,
}

/// A statement that was running when the process ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunningStatement {
    /// The digest of its text.
    pub hash: String,
    pub account: String,
}

/// The file that supervisor and serving process share.
#[derive(Debug)]
pub struct CrashRecord {
    file: File,
    /// Which lines are in use.
    used: Mutex<Vec<bool>>,
}

impl CrashRecord {
    /// Creates an empty record.
    ///
    /// # Errors
    /// The system refuses a file.
    pub fn create() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let file = File::from(rustix::fs::memfd_create(
            "materia-postgres",
            rustix::fs::MemfdFlags::CLOEXEC,
        )?);
        #[cfg(not(target_os = "linux"))]
        let file = tempfile::tempfile()?;
        Ok(Self::of(file))
    }

    /// Opens the record that the supervisor gave to this process as its standard input.
    ///
    /// # Errors
    /// The standard input is no file.
    pub fn inherited() -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if file.metadata()?.is_file() {
            Ok(Self::of(file))
        } else {
            Err(io::Error::other("started without its supervisor"))
        }
    }

    /// Returns the record as the standard input of a new process.
    ///
    /// # Errors
    /// The system refuses a file descriptor.
    pub fn to_stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    fn of(file: File) -> Self {
        Self { file, used: Mutex::default() }
    }

    /// Writes what is known of crashes, for the next serving process.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_history(&self, history: &CrashHistory) -> io::Result<()> {
        self.put(HISTORY_AT, ADDRESS_AT, history)
    }

    /// Returns what is known of crashes.
    #[must_use]
    pub fn history(&self) -> CrashHistory {
        self.get(HISTORY_AT, ADDRESS_AT).unwrap_or_default()
    }

    /// Records the address that is listened on: the next process takes the same.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_address(&self, address: SocketAddr) -> io::Result<()> {
        self.put(ADDRESS_AT, LINES_AT, &address)
    }

    /// Returns the address that is listened on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.get(ADDRESS_AT, LINES_AT)
    }

    /// Returns the statements that were running when the serving process ended, and clears them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn take_running(&self) -> io::Result<Vec<RunningStatement>> {
        let length = usize::try_from(self.file.metadata()?.len().saturating_sub(LINES_AT));
        let mut lines = vec![0; length.unwrap_or(0)];
        self.file.read_exact_at(&mut lines, LINES_AT)?;
        if !lines.is_empty() {
            self.file.set_len(LINES_AT)?;
        }
        let mut running: Vec<RunningStatement> = lines.chunks(LINE).filter_map(parse).collect();
        running.sort();
        running.dedup();
        Ok(running)
    }

    /// Records that a statement runs, until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, statement: &RunningStatement) -> RecordedLine {
        let number = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let free = used.iter().position(|used| !used).unwrap_or(used.len());
            if free == used.len() {
                used.push(true);
            }
            used[free] = true;
            free
        };
        let mut line = serde_json::to_vec(statement).unwrap_or_default();
        line.resize(LINE, 0);
        self.write_line(number, &line);
        RecordedLine { record: self.clone(), number }
    }

    fn write_line(&self, number: usize, line: &[u8]) {
        // A statement runs even where its line cannot be written.
        if let Err(error) = self.file.write_all_at(line, LINES_AT + (number * LINE) as u64) {
            tracing::warn!(%error, "a running statement could not be recorded");
        }
    }

    fn put(&self, at: u64, end: u64, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(value)?;
        bytes.push(0);
        if bytes.len() as u64 > end - at {
            return Err(io::Error::other("the record is full"));
        }
        self.file.write_all_at(&bytes, at)?;
        if self.file.metadata()?.len() < LINES_AT {
            self.file.set_len(LINES_AT)?;
        }
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, at: u64, end: u64) -> Option<T> {
        let mut bytes = vec![0; usize::try_from(end - at).ok()?];
        let read = self.file.read_at(&mut bytes, at).ok()?;
        parse(&bytes[..read])
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes.split(|byte| *byte == 0).next()?).ok()
}

/// A statement's line in the record, while this value lives.
#[derive(Debug)]
pub(crate) struct RecordedLine {
    record: Arc<CrashRecord>,
    number: usize,
}

impl Drop for RecordedLine {
    fn drop(&mut self) {
        self.record.write_line(self.number, &[0]);
        let mut used = self.record.used.lock().unwrap_or_else(PoisonError::into_inner);
        used[self.number] = false;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn statement(hash: &str) -> RunningStatement {
        RunningStatement { hash: hash.repeat(32), account: "a".repeat(32) }
    }

    #[test]
    fn what_runs_is_found_after_the_process_and_what_ended_is_not() {
        let record = Arc::new(CrashRecord::create().unwrap());
        assert_eq!(record.take_running().unwrap(), []);
        let history = CrashHistory {
            crashes: 3,
            refused: vec![RefusedStatement { hash: "x".to_owned(), until: SystemTime::now() }],
        };
        record.set_history(&history).unwrap();
        record.set_address(([127, 0, 0, 1], 5433).into()).unwrap();
        let first = record.begin(&statement("a"));
        let second = record.begin(&statement("b"));
        drop(first);
        let third = record.begin(&statement("c"));
        // The process is gone, and its destructors have not run.
        std::mem::forget((second, third));
        assert_eq!(record.history(), history);
        assert_eq!(record.address(), Some(([127, 0, 0, 1], 5433).into()));
        assert_eq!(record.take_running().unwrap(), [statement("b"), statement("c")]);
        assert_eq!(record.take_running().unwrap(), []);
    }
}
