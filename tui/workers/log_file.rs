//! A log file of any size: an index of its lines, and the lines that pass a filter or match a
//! search.
//!
//! The file is read in steps, so that requests are handled while a large one is being indexed. Only
//! every [`INDEX_STRIDE`]th offset is retained: memory does not grow with the text.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::screens::logs::{Level, LogFilter};

/// The distance, in lines, between offsets of the index.
const INDEX_STRIDE: usize = 64;
/// Number of bytes per scanning step.
const STEP_BYTES: usize = 8 << 20;
/// Number of bytes per read.
const READ_BYTES: usize = 1 << 20;
/// Longer lines are truncated.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Maximum number of retained positions of filtered lines, and of matches.
const MAX_POSITIONS: usize = 1_000_000;
/// Number of bytes at the end that are shown while a large file is being indexed.
const PREVIEW_BYTES: u64 = 64 << 10;

/// The result of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogState {
    /// Changes whenever positions of lines do.
    pub(super) epoch: u64,
    /// Number of lines that match the filter.
    pub(super) lines: usize,
    /// Matches of the search.
    pub(super) matches: usize,
    /// The percentage of the file that was scanned, while it is being scanned.
    pub(super) progress: Option<u8>,
}

pub(super) struct LogFile {
    path: PathBuf,
    epoch: u64,
    open: Option<(File, u64)>,
    /// Number of indexed bytes, up to the end of the last complete line.
    indexed: u64,
    /// Whether the end of the file was reached.
    is_indexed: bool,
    lines: usize,
    /// The offset of every [`INDEX_STRIDE`]th line.
    index: Vec<u64>,
    filter: LogFilter,
    scan: Scan,
}

/// The progress of a filter and a search through the indexed lines.
#[derive(Default)]
struct Scan {
    offset: u64,
    /// Whether every indexed line was scanned.
    is_done: bool,
    /// Number of lines that match the filter.
    passed: usize,
    /// The offsets of those lines, if a filter is set.
    offsets: Vec<u64>,
    /// The positions of matches among those lines.
    matches: Vec<usize>,
    /// The level of the latest line with a level, which applies to lines without one.
    level: Level,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            epoch: 0,
            open: None,
            indexed: 0,
            is_indexed: false,
            lines: 0,
            index: Vec::new(),
            filter: LogFilter::default(),
            scan: Scan::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the filter and the search; the file is scanned again from the start.
    pub(super) fn set_filter(&mut self, filter: LogFilter) {
        if filter.min_level != self.filter.min_level {
            self.epoch += 1;
        }
        self.filter = filter;
        self.scan = Scan::default();
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Reads the next step of new content. A file that was replaced or truncated is read from the
    /// start.
    ///
    /// # Errors
    /// The file does not exist, is not a regular file, or cannot be read.
    pub(super) fn poll(&mut self) -> io::Result<LogState> {
        let metadata = std::fs::metadata(&self.path).inspect_err(|_| self.reset())?;
        let is_same = self.open.as_ref().is_some_and(|(_, inode)| *inode == metadata.ino());
        if !is_same || metadata.len() < self.indexed {
            // Opening a pipe or a device could block.
            if !metadata.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            self.reset();
            self.open = Some((File::open(&self.path)?, metadata.ino()));
        }
        self.extend_index(metadata.len())?;
        self.extend_scan()?;
        let len = metadata.len().max(1);
        let scanned = if self.is_scanning() { self.scan.offset } else { self.indexed };
        let is_done = self.is_indexed && (!self.is_scanning() || self.scan.is_done);
        Ok(LogState {
            epoch: self.epoch,
            lines: self.view_len(),
            matches: self.scan.matches.len(),
            progress: (!is_done).then(|| u8::try_from(scanned * 100 / len).unwrap_or(100)),
        })
    }

    fn reset(&mut self) {
        let path = std::mem::take(&mut self.path);
        let filter = std::mem::take(&mut self.filter);
        *self = Self { filter, epoch: self.epoch + 1, ..Self::new(path) };
    }

    /// Returns whether a filter or a search is set.
    fn is_scanning(&self) -> bool {
        self.filter != LogFilter::default()
    }

    fn view_len(&self) -> usize {
        if self.filter.min_level.is_some() { self.scan.passed } else { self.lines }
    }

    fn extend_index(&mut self, len: u64) -> io::Result<()> {
        let Some((file, _)) = &self.open else { return Ok(()) };
        let (lines, index) = (&mut self.lines, &mut self.index);
        (self.indexed, self.is_indexed) =
            for_each_line(file, self.indexed, Some(len), |offset, _| {
                if lines.is_multiple_of(INDEX_STRIDE) {
                    index.push(offset);
                }
                *lines += 1;
            })?;
        Ok(())
    }

    fn extend_scan(&mut self) -> io::Result<()> {
        if !self.is_scanning() {
            return Ok(());
        }
        let Some((file, _)) = &self.open else { return Ok(()) };
        let (scan, filter) = (&mut self.scan, &self.filter);
        let search = filter.search.to_lowercase();
        (scan.offset, scan.is_done) =
            for_each_line(file, scan.offset, Some(self.indexed), |offset, line| {
                let text = String::from_utf8_lossy(line);
                match Level::parse(&text) {
                    Level::None => {}
                    level => scan.level = level,
                }
                if filter.min_level.is_some_and(|min| scan.level.rank() < min.rank()) {
                    return;
                }
                if filter.min_level.is_some() && scan.offsets.len() < MAX_POSITIONS {
                    scan.offsets.push(offset);
                }
                let is_match = !search.is_empty() && text.to_lowercase().contains(&search);
                if is_match && scan.matches.len() < MAX_POSITIONS {
                    scan.matches.push(scan.passed);
                }
                scan.passed += 1;
            })?;
        Ok(())
    }

    /// Returns lines of the view from `first` on.
    pub(super) fn window(&self, first: usize, count: usize) -> io::Result<Vec<String>> {
        let Some((file, _)) = &self.open else { return Ok(Vec::new()) };
        if self.filter.min_level.is_some() {
            let offsets = self.scan.offsets.iter().skip(first).take(count);
            return offsets.map(|offset| read_line(file, *offset)).collect();
        }
        let Some(start) = self.index.get(first / INDEX_STRIDE) else { return Ok(Vec::new()) };
        let (mut at, mut lines) = (first / INDEX_STRIDE * INDEX_STRIDE, Vec::new());
        let mut offset = *start;
        while offset < self.indexed && lines.len() < count {
            let (next, _) = for_each_line(file, offset, Some(self.indexed), |_, line| {
                if at >= first && lines.len() < count {
                    lines.push(clean(&String::from_utf8_lossy(line)));
                }
                at += 1;
            })?;
            if next == offset {
                break;
            }
            offset = next;
        }
        Ok(lines)
    }

    /// Returns the position and the number of the match after `from`, or before it, wrapping
    /// around.
    pub(super) fn find(&self, from: usize, forward: bool) -> Option<(usize, usize)> {
        let matches = &self.scan.matches;
        let index = if forward {
            matches.partition_point(|at| *at <= from) % matches.len().max(1)
        } else {
            let before = matches.partition_point(|at| *at < from);
            before.checked_sub(1).or(matches.len().checked_sub(1))?
        };
        matches.get(index).map(|at| (*at, index + 1))
    }

    /// Returns the last lines of a file that is being indexed for the first time.
    pub(super) fn preview(&self) -> Vec<String> {
        let Some((file, _)) = &self.open else { return Vec::new() };
        let Ok(len) = file.metadata().map(|metadata| metadata.len()) else { return Vec::new() };
        let start = len.saturating_sub(PREVIEW_BYTES);
        let mut lines = Vec::new();
        let _ = for_each_line(file, start, None, |_, line| {
            lines.push(clean(&String::from_utf8_lossy(line)));
        });
        // The first one may be only the end of a line.
        lines.into_iter().skip(1).collect()
    }
}

/// Calls `visit` with the offset and the bytes of each complete line, for about one step; returns
/// the offset of the next line, and whether the end was reached.
fn for_each_line(
    file: &File,
    start: u64,
    end: Option<u64>,
    mut visit: impl FnMut(u64, &[u8]),
) -> io::Result<(u64, bool)> {
    let mut next = start;
    let mut buffer = Vec::new();
    let mut read_to = start;
    while read_to - start < STEP_BYTES as u64 {
        let limit =
            end.map_or(READ_BYTES as u64, |end| end.saturating_sub(read_to).min(READ_BYTES as u64));
        let kept = buffer.len();
        buffer.resize(kept + usize::try_from(limit).unwrap_or(READ_BYTES), 0);
        let read = file.read_at(&mut buffer[kept..], read_to)?;
        buffer.truncate(kept + read);
        if read == 0 {
            return Ok((next, true));
        }
        read_to += read as u64;
        let mut from = 0;
        while let Some(length) = buffer[from..].iter().position(|byte| *byte == b'\n') {
            let line = &buffer[from..from + length];
            visit(next, &line[..line.len().min(MAX_LINE_BYTES)]);
            next += length as u64 + 1;
            from += length + 1;
        }
        buffer.drain(..from);
    }
    if next == start && read_to - start >= STEP_BYTES as u64 {
        // A line that is longer than a step is broken there.
        visit(next, &buffer[..MAX_LINE_BYTES]);
        return Ok((read_to, false));
    }
    Ok((next, false))
}

fn read_line(file: &File, offset: u64) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 10];
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        let end = buffer[..read].iter().position(|byte| *byte == b'\n');
        if end.is_some() || read < buffer.len() || buffer.len() >= MAX_LINE_BYTES {
            let line = &buffer[..end.unwrap_or(read)];
            return Ok(clean(&String::from_utf8_lossy(line)));
        }
        buffer.resize(buffer.len() * 8, 0);
    }
}

/// Removes escape sequences, and replaces tabs by spaces.
pub(super) fn clean(line: &str) -> String {
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test that cannot go on says so by panicking"
)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn log(text: &str) -> (tempfile::TempDir, LogFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        fs::write(&path, text).unwrap();
        (folder, LogFile::new(path))
    }

    fn poll_to_end(log: &mut LogFile) -> LogState {
        let mut state = log.poll().unwrap();
        while state.progress.is_some() {
            state = log.poll().unwrap();
        }
        state
    }

    #[test]
    fn a_log_is_read_on_through_rotation_truncation_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let mut log = LogFile::new(path.clone());
        assert_eq!(log.poll().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "one\ntwo\nhal").unwrap();
        assert_eq!(log.poll().unwrap().lines, 2, "a line without its end is not shown yet");
        let append = |text: &str| {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("f\n\u{1b}[31mERROR\u{1b}[0m\tred\r\n");
        let before = log.poll().unwrap();
        assert_eq!(log.window(0, 9).unwrap(), ["one", "two", "half", "ERROR    red"]);

        fs::rename(&path, folder.path().join("web.log.1")).unwrap();
        fs::write(&path, "first of the new\n").unwrap();
        let after = log.poll().unwrap();
        assert!(after.epoch > before.epoch && after.lines == 1);
        assert_eq!(log.window(0, 9).unwrap(), ["first of the new"]);
        fs::write(&path, "cut\n").unwrap();
        log.poll().unwrap();
        assert_eq!(log.window(0, 9).unwrap(), ["cut"]);
        fs::remove_file(&path).unwrap();
        assert!(log.poll().is_err());
        fs::write(&path, "back\n").unwrap();
        log.poll().unwrap();
        assert_eq!(log.window(0, 9).unwrap(), ["back"]);
    }

    #[test]
    fn every_line_of_a_large_log_is_found_and_shown() {
        let text: String = (0..300_000)
            .map(|line| format!("INFO request {line} took 12 ms, and more words\n"))
            .collect();
        assert!(text.len() > STEP_BYTES, "it takes several steps");
        let (_folder, mut log) = log(&text);
        assert_eq!(poll_to_end(&mut log).lines, 300_000);
        let shown = log.window(299_998, 10).unwrap();
        assert_eq!(shown.len(), 2);
        assert!(shown[1].starts_with("INFO request 299999 "), "{shown:?}");
        assert!(log.window(150_001, 1).unwrap()[0].starts_with("INFO request 150001 "));

        log.set_filter(LogFilter { search: "REQUEST 29999".to_owned(), min_level: None });
        let state = poll_to_end(&mut log);
        // 29999 and 299990 to 299999.
        assert_eq!((state.lines, state.matches), (300_000, 11));
        assert_eq!(log.find(29_999, true), Some((299_990, 2)));
        assert_eq!(log.find(299_999, true), Some((29_999, 1)), "around the end");
        assert_eq!(log.find(29_999, false), Some((299_999, 11)), "around the start");
        assert!(log.index.len() * 8 < 300_000, "the index is far smaller than the log");
    }

    #[test]
    fn a_level_shows_its_lines_and_what_belongs_to_them() {
        let text = "INFO start\nERROR failed\n  at a stack trace\nINFO on\n{\"level\":\"warn\",\"message\":\"slow\"}\n";
        let (_folder, mut log) = log(text);
        log.set_filter(LogFilter { min_level: Some(Level::Warn), search: "a".to_owned() });
        let state = poll_to_end(&mut log);
        assert_eq!(
            log.window(0, 9).unwrap(),
            ["ERROR failed", "  at a stack trace", "{\"level\":\"warn\",\"message\":\"slow\"}"]
        );
        assert_eq!((state.lines, state.matches), (3, 3));
        log.set_filter(LogFilter { min_level: Some(Level::Error), search: String::new() });
        assert_eq!(poll_to_end(&mut log).lines, 2);
    }

    #[test]
    fn a_line_without_an_end_does_not_stop_the_log() {
        let (_folder, mut log) = log(&("x".repeat(STEP_BYTES + 10) + "\nlast\n"));
        let state = poll_to_end(&mut log);
        let lines = log.window(0, 9).unwrap();
        assert_eq!(state.lines, lines.len());
        assert_eq!(lines.last().unwrap(), "last");
        assert!(lines[0].len() <= MAX_LINE_BYTES);
    }
}
