//! The logs screen: what files and units write.

use std::collections::VecDeque;

/// Lines kept of each log.
pub(crate) const KEPT: usize = 10_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct LogsScreen {
    pub(crate) logs: Vec<Log>,
    /// Which one is shown.
    pub(crate) current: usize,
    /// Whether the screen has been looked at, so that the logs are being read.
    pub(crate) started: bool,
    pub(crate) search: String,
    /// Characters to the right.
    pub(crate) left: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) name: String,
    pub(crate) lines: VecDeque<LogLine>,
    /// Why there is nothing, or what happened last.
    pub(crate) note: String,
    /// First line shown.
    pub(crate) top: usize,
    /// Whether the newest line stays in view.
    pub(crate) follow: bool,
    /// The line that the search is at.
    pub(crate) found: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) level: Level,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    /// The line does not say.
    None,
}

impl LogLine {
    pub(crate) fn new(text: String) -> Self {
        Self { level: Level::of(&text), text }
    }
}

impl Level {
    /// What the beginning of the line says: `ERROR`, `"level":"warn"`, `level=info`, `[debug]`.
    fn of(text: &str) -> Self {
        let beginning: String = text.chars().take(160).collect::<String>().to_lowercase();
        let words = beginning.split(|char: char| !char.is_alphanumeric());
        for word in words {
            match word {
                "error" | "err" | "fatal" | "panic" | "critical" | "crit" | "emerg" | "alert" | "panicked" => return Self::Error,
                "warn" | "warning" => return Self::Warn,
                "info" | "notice" => return Self::Info,
                "debug" | "trace" => return Self::Debug,
                _ => {}
            }
        }
        Self::None
    }
}

impl LogsScreen {
    pub(crate) fn configure(&mut self, names: &[String]) {
        if names.iter().eq(self.logs.iter().map(|log| &log.name)) {
            return;
        }
        let log = |name: &String| Log {
            name: name.clone(),
            lines: VecDeque::new(),
            note: "reading".to_owned(),
            top: 0,
            follow: true,
            found: None,
        };
        self.logs = names.iter().map(log).collect();
        self.current = 0;
        self.started = false;
    }

    pub(crate) fn shown(&self) -> Option<&Log> {
        self.logs.get(self.current)
    }

    pub(crate) fn shown_mut(&mut self) -> Option<&mut Log> {
        self.logs.get_mut(self.current)
    }

    /// Goes to the next line that has what is searched for, or to the one before.
    pub(crate) fn find(&mut self, forward: bool, height: usize) -> bool {
        let wanted = self.search.to_lowercase();
        let Some(log) = self.logs.get_mut(self.current).filter(|_| !wanted.is_empty()) else { return false };
        let has = |index: &usize| log.lines[*index].text.to_lowercase().contains(&wanted);
        let from = log.found.unwrap_or(log.top);
        let found = if forward {
            (from + 1..log.lines.len()).find(has).or_else(|| (0..=from.min(log.lines.len().saturating_sub(1))).find(has))
        } else {
            (0..from.min(log.lines.len())).rev().find(has).or_else(|| (from..log.lines.len()).rev().find(has))
        };
        let Some(found) = found else { return false };
        log.found = Some(found);
        log.follow = false;
        log.top = found.saturating_sub(height / 2);
        true
    }
}

impl Log {
    pub(crate) fn take(&mut self, lines: Vec<String>, height: usize) {
        self.note.clear();
        self.lines.extend(lines.into_iter().map(LogLine::new));
        let over = self.lines.len().saturating_sub(KEPT);
        self.lines.drain(..over);
        self.top = self.top.saturating_sub(over);
        self.found = self.found.and_then(|found| found.checked_sub(over));
        if self.follow {
            self.top = self.lines.len().saturating_sub(height);
        }
    }

    /// Scrolls; at the end it follows again.
    pub(crate) fn scroll(&mut self, by: isize, height: usize) {
        let last = self.lines.len().saturating_sub(height);
        self.top = self.top.saturating_add_signed(by).min(last);
        self.follow = self.top == last;
    }
}
