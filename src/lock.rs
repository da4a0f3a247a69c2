//! Advisory locks that interoperate with DuckDB's.
//!
//! DuckDB locks a database file with POSIX `fcntl`: exclusively to write, shared to read. Such a
//! lock belongs to the process and is lost as soon as the process closes *any* descriptor of the
//! file. The locks here are open-file-description locks: they conflict with DuckDB's in the same
//! way, belong to one open file, and end with it, however the process ends. See `fcntl(2)`.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compatible with other readers, not with a writer.
    Shared,
    Exclusive,
}

/// The holder of a lock, as far as the system reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Process id; absent when the holder is in another PID namespace or on another host, or holds
    /// an open-file-description lock.
    pub pid: Option<u32>,
    /// The holder's command, shortened to program and first arguments.
    pub command: Option<String>,
    /// Uptime of the holding process: an upper bound, since the system does not record when a lock
    /// was taken.
    #[serde(rename = "running_ms", with = "optional_ms", default)]
    pub running: Option<Duration>,
}

/// Serializes optional durations as whole milliseconds.
mod optional_ms {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    // serde requires this signature.
    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "{command} (pid {pid}")?,
            (None, Some(pid)) => write!(f, "a process (pid {pid}")?,
            _ => return f.write_str("a process that is not visible from here"),
        }
        if let Some(running) = self.running {
            write!(f, ", running for {}", crate::humanize::duration(running))?;
        }
        f.write_str(")")
    }
}

/// Opens a lock file, and creates it if missing. Its content is preserved.
///
/// # Errors
/// The operating system's.
pub fn open_lock_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Tries to lock the whole of `file`. Returns `Ok(None)` on success and `Ok(Some(holder))` when
/// another process holds a conflicting lock.
///
/// The lock ends when the last descriptor of this open file is closed.
///
/// # Errors
/// The operating system's, for example where the filesystem does not support locks.
pub fn try_lock(file: &File, mode: Mode) -> io::Result<Option<LockHolder>> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(mode))) {
        Ok(_) => Ok(None),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            Ok(Some(conflicting_holder(file, mode)?.unwrap_or(LockHolder {
                pid: None,
                command: None,
                running: None,
            })))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the holder of a lock that conflicts with `mode`, without taking a lock.
///
/// # Errors
/// The operating system's.
pub fn conflicting_holder(file: &File, mode: Mode) -> io::Result<Option<LockHolder>> {
    let mut query = whole_file(mode);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut query))?;
    if i32::from(query.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    // -1 for an open-file-description lock, 0 for a process outside our PID namespace.
    Ok(Some(
        u32::try_from(query.l_pid)
            .ok()
            .filter(|pid| *pid > 0)
            .map_or(LockHolder { pid: None, command: None, running: None }, describe),
    ))
}

/// Whether a process has a database file open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    Free,
    Held(LockHolder),
    /// The filesystem does not support locks, or does not report them.
    Unknown,
}

/// Returns whether a process has the open database file locked for writing. Takes no lock, so it
/// never blocks a writer.
///
/// # Errors
/// The operating system's, except for a filesystem without locks.
pub fn writer(file: &File) -> io::Result<Writer> {
    match conflicting_holder(file, Mode::Shared) {
        Ok(None) => Ok(Writer::Free),
        Ok(Some(holder)) => Ok(Writer::Held(holder)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL) => {
                Ok(Writer::Unknown)
            }
            _ => Err(error),
        },
    }
}

/// Returns the lock holder that keeps readers out of the database at `path`. A missing file has
/// none.
///
/// Must not be used on a file that DuckDB has open in this process: closing our descriptor would
/// drop DuckDB's lock.
///
/// # Errors
/// The operating system's.
pub fn find_writer(path: &Path) -> io::Result<Option<LockHolder>> {
    match File::open(path) {
        Ok(file) => conflicting_holder(&file, Mode::Shared),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Describes a process from `/proc`; every field may be unknown.
#[must_use]
pub fn describe(pid: u32) -> LockHolder {
    LockHolder { pid: Some(pid), command: command_of(pid), running: process_age(pid) }
}

fn whole_file(mode: Mode) -> libc::flock {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    // The constants have different widths on different systems, but all values are small.
    #[allow(clippy::cast_possible_truncation)]
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn command_of(pid: u32) -> Option<String> {
    const MOST: usize = 60;
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = raw
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    let program = Path::new(words.first()?.as_ref()).file_name()?.to_string_lossy().into_owned();
    let line = words[1..].iter().fold(program, |line, word| line + " " + word);
    // An inline script (`python -c '...'`) has several lines; one is enough to identify it.
    let line: String =
        line.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => Some(format!("{}…", line[..end].trim_end())),
        None => Some(line.trim_end().to_owned()),
    }
}

fn process_age(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22 is the start time in clock ticks after boot; the command in field 2 may contain
    // spaces and brackets.
    let started: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 =
        fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    Duration::try_from_secs_f64(uptime - started as f64 / ticks as f64).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_open_of_the_file_meets_the_first_ones_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let first = open();
        assert_eq!(try_lock(&first, Mode::Shared).unwrap(), None);
        assert_eq!(try_lock(&open(), Mode::Shared).unwrap(), None);
        assert!(try_lock(&open(), Mode::Exclusive).unwrap().is_some());
        drop(first);
        assert_eq!(try_lock(&open(), Mode::Exclusive).unwrap(), None);
    }

    #[test]
    fn a_process_is_described_by_its_command_and_age() {
        let me = describe(std::process::id());
        assert!(me.command.unwrap().contains("materia"));
        assert!(me.running.unwrap() < Duration::from_hours(24));
    }
}
