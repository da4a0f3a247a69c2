//! Advisory locks that meet DuckDB's.
//!
//! DuckDB locks a database file with POSIX `fcntl`: exclusively to write, shared to read. Such a lock belongs to the process and is
//! lost as soon as the process closes *any* descriptor of the file. Ours are open-file-description locks: they conflict with
//! DuckDB's in the same way, belong to one open file, and end with it, however the process ends. See `fcntl(2)`.

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

/// How a lock shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Readers together, no writer.
    Shared,
    /// One holder alone.
    Exclusive,
}

/// Who holds a lock, as far as the system tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; absent when the holder is in another PID namespace or host, or holds an open-file-description lock.
    pub pid: Option<u32>,
    /// The holder's command, shortened to program and first arguments.
    pub command: Option<String>,
    /// For how long the holding process has been running: an upper bound, since the system does not record when a lock was taken.
    #[serde(rename = "running_ms", with = "optional_ms", default)]
    pub running: Option<Duration>,
}

/// Durations in JSON are whole milliseconds.
mod optional_ms {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    // serde's signature
    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "{command} (pid {pid}")?,
            (None, Some(pid)) => write!(f, "a process (pid {pid}")?,
            _ => return f.write_str("a process that is not visible from here"),
        }
        if let Some(running) = self.running {
            write!(f, ", running for {}", crate::words::duration(running))?;
        }
        f.write_str(")")
    }
}

/// Tries to lock the whole of `file`. `Ok(None)` is success; `Ok(Some(holder))` names who is in the way.
///
/// The lock ends when the last descriptor of this open file is closed.
///
/// # Errors
/// The operating system's, for example where the filesystem has no locks.
pub fn try_lock(file: &File, mode: Mode) -> io::Result<Option<Holder>> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(mode))) {
        Ok(_) => Ok(None),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Some(blocker(file, mode)?.unwrap_or(Holder { pid: None, command: None, running: None }))),
        Err(errno) => Err(errno.into()),
    }
}

/// Who would keep us from taking a lock on `file` now, without taking it.
///
/// # Errors
/// The operating system's.
pub fn blocker(file: &File, mode: Mode) -> io::Result<Option<Holder>> {
    let mut query = whole_file(mode);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut query))?;
    if i32::from(query.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    // -1 for an open-file-description lock, 0 for a process outside our PID namespace.
    Ok(Some(u32::try_from(query.l_pid).ok().filter(|pid| *pid > 0).map_or(Holder { pid: None, command: None, running: None }, describe)))
}

/// Whether some process has a database file open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// None has.
    Free,
    /// This one has.
    Held(Holder),
    /// The filesystem has no locks, or does not tell about them.
    Unknown,
}

/// Asks whether some process has the open database file locked for writing. No lock is taken, so nobody is refused because of the question.
///
/// # Errors
/// The operating system's, except that the filesystem knows no locks.
pub fn writer(file: &File) -> io::Result<Writer> {
    match blocker(file, Mode::Shared) {
        Ok(None) => Ok(Writer::Free),
        Ok(Some(holder)) => Ok(Writer::Held(holder)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(Writer::Unknown),
            _ => Err(error),
        },
    }
}

/// Who keeps a reader out of the database at `path` now. A missing file is held by nobody.
///
/// Must not be used on a file that DuckDB has open in this process: closing our descriptor would drop DuckDB's lock.
///
/// # Errors
/// The operating system's.
pub fn writer_of(path: &Path) -> io::Result<Option<Holder>> {
    match File::open(path) {
        Ok(file) => blocker(&file, Mode::Shared),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What `/proc` tells about a process; every part may be unknown.
#[must_use]
pub fn describe(pid: u32) -> Holder {
    Holder { pid: Some(pid), command: command_of(pid), running: running_for(pid) }
}

fn whole_file(mode: Mode) -> libc::flock {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    // The constants are of different widths on different systems, all of them small.
    #[allow(clippy::cast_possible_truncation)]
    libc::flock { l_type: kind as libc::c_short, l_whence: libc::SEEK_SET as libc::c_short, l_start: 0, l_len: 0, l_pid: 0 }
}

fn command_of(pid: u32) -> Option<String> {
    const MOST: usize = 60;
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = raw.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    let program = Path::new(words.first()?.as_ref()).file_name()?.to_string_lossy().into_owned();
    let line = words[1..].iter().fold(program, |line, word| line + " " + word);
    // An inline script (`python -c '...'`) has lines of its own; one line is enough to know it by.
    let line: String = line.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => Some(format!("{}…", line[..end].trim_end())),
        None => Some(line.trim_end().to_owned()),
    }
}

fn running_for(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22 is the start time in clock ticks after boot; the command in field 2 may hold spaces and brackets.
    let started: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
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
