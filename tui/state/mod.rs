//! Everything that is shown. `update` changes it, views draw it.

pub(crate) mod dashboards;
pub(crate) mod grid;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod palette;
pub(crate) mod sql;
pub(crate) mod tables;

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use materia::{reader::Catalog, status::Status, words};
use ratatui::{
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
    layout::Size,
};
use ratatui_textarea::TextArea;

use self::{
    dashboards::{DashboardsScreen, Picker},
    history::HistoryScreen,
    logs::LogsScreen,
    palette::Palette,
    sql::SqlScreen,
    tables::TablesScreen,
};
use super::{
    keys::Scope,
    message::{Effect, Lane, Setup, SiteHealth},
};

/// The tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Screen {
    Now,
    Tables,
    History,
    Dashboards,
    Sql,
    Logs,
}

impl Screen {
    pub(crate) const ALL: [Self; 6] = [Self::Now, Self::Tables, Self::History, Self::Dashboards, Self::Sql, Self::Logs];

    /// Whose keys count on it, before anything is opened there.
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Now => Scope::Now,
            Self::Tables => Scope::Tables,
            Self::History => Scope::History,
            Self::Dashboards => Scope::Dashboards,
            Self::Sql => Scope::Editor,
            Self::Logs => Scope::Logs,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Tables => "Tables",
            Self::History => "History",
            Self::Dashboards => "Dashboards",
            Self::Sql => "SQL",
            Self::Logs => "Logs",
        }
    }
}

/// Everything that is shown.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) size: Size,
    pub(crate) screen: Screen,
    pub(crate) served: Served,
    pub(crate) overview: Overview,
    pub(crate) tables: TablesScreen,
    pub(crate) history: HistoryScreen,
    pub(crate) dashboards: DashboardsScreen,
    pub(crate) sql: SqlScreen,
    pub(crate) logs: LogsScreen,
    pub(crate) overlay: Option<Overlay>,
    /// Whether anything but reading is allowed.
    pub(crate) actions: bool,
    pub(crate) job: Option<Job>,
    /// A file that is being saved: rows so far.
    pub(crate) saving: Option<u64>,
    pub(crate) toast: Option<Toast>,
    /// The first of two keys.
    pub(crate) pressed: String,
    /// The number of the newest request.
    pub(crate) requests: u64,
    /// Counts the pictures of whatever turns while one waits.
    pub(crate) turn: usize,
}

/// What the reader gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    pub(crate) setup: Option<Arc<Setup>>,
    /// Why the settings cannot be used.
    pub(crate) bad_settings: Option<String>,
    /// Counts generations; 0 before the first one.
    pub(crate) sequence: u64,
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// Why there is no catalog, or why it is an old one.
    pub(crate) problem: Option<String>,
}

/// What files and locks tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overview {
    pub(crate) status: Option<Arc<Status>>,
    /// Why they cannot be read now.
    pub(crate) problem: Option<String>,
    /// When whoever holds the lakehouse was first seen.
    pub(crate) held_since: Option<Timestamp>,
    /// When the process that holds it began.
    pub(crate) holder_began: Option<Timestamp>,
    /// How the site does, or why that cannot be told; `None` until it has been asked.
    pub(crate) site: Option<Result<SiteHealth, String>>,
    /// First line shown.
    pub(crate) scroll: usize,
}

/// Something over the screen that gets all keys.
#[derive(Debug, Clone)]
pub(crate) enum Overlay {
    Help { scroll: usize },
    Palette(Box<Palette>),
    Confirm(Box<Confirm>),
    Prompt(Box<Prompt>),
    Picker(Box<Picker>),
}

/// A question with two answers.
#[derive(Debug, Clone)]
pub(crate) struct Confirm {
    pub(crate) title: String,
    /// What will happen, in words.
    pub(crate) text: String,
    /// The command that would do the same.
    pub(crate) command: Option<String>,
    pub(crate) yes: Effect,
}

/// One line to type in.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) input: TextArea<'static>,
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptKind {
    FilterTables,
    FilterRows,
    GoToRow,
    Save,
    SearchLogs,
}

impl Prompt {
    pub(crate) fn new(kind: PromptKind, text: &str) -> Self {
        Self { kind, input: line_input(text), problem: None }
    }

    pub(crate) fn text(&self) -> String {
        self.input.lines().concat()
    }
}

/// An input of one line with its cursor at the end.
pub(crate) fn line_input(text: &str) -> TextArea<'static> {
    let mut input = TextArea::new(vec![text.to_owned()]);
    input.move_cursor(ratatui_textarea::CursorMove::End);
    input
}

/// A key in an input; whether it changed the text. `ctrl-u` takes away what is before the cursor, as in a shell.
pub(crate) fn edit_line(input: &mut TextArea<'static>, key: KeyEvent) -> bool {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('u') {
        return input.delete_line_by_head();
    }
    input.input(Event::Key(key))
}

/// A command that was started here.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) command: String,
    pub(crate) started: Timestamp,
    pub(crate) doing: String,
    pub(crate) said: Vec<String>,
    /// Whether it went well, and what it said last.
    pub(crate) ended: Option<(bool, String)>,
}

impl Job {
    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }
}

/// A short notice.
#[derive(Debug, Clone)]
pub(crate) struct Toast {
    pub(crate) text: String,
    pub(crate) good: bool,
    pub(crate) until: Timestamp,
}

impl State {
    /// Before anything is known.
    pub(crate) fn new(now: Timestamp, size: Size, actions: bool) -> Self {
        Self {
            now,
            size,
            screen: Screen::Now,
            served: Served::default(),
            overview: Overview::default(),
            tables: TablesScreen::default(),
            history: HistoryScreen::default(),
            dashboards: DashboardsScreen::default(),
            sql: SqlScreen::default(),
            logs: LogsScreen::default(),
            overlay: None,
            actions,
            job: None,
            saving: None,
            toast: None,
            pressed: String::new(),
            requests: 0,
            turn: 0,
        }
    }

    pub(crate) fn status(&self) -> Option<&Status> {
        self.overview.status.as_deref()
    }

    /// Whose keys count now, most particular first.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let particular = match (self.screen, &self.tables.open) {
            (Screen::Tables, Some(open)) => {
                if open.on_rows {
                    Scope::Grid
                } else {
                    Scope::Columns
                }
            }
            (Screen::History, _) if self.history.open.is_some() => Scope::Attempt,
            // Letters are text there.
            (Screen::Sql, _) if self.sql.typing => return vec![Scope::Editor],
            (Screen::Sql, _) => Scope::Grid,
            (screen, _) => screen.scope(),
        };
        vec![particular, Scope::Global]
    }

    pub(crate) fn say(&mut self, good: bool, text: impl Into<String>) {
        let until = self.now.saturating_add(if good { 4.seconds() } else { 12.seconds() }).unwrap_or(self.now);
        self.toast = Some(Toast { text: text.into(), good, until });
    }

    /// A number for a new request, later than all before.
    pub(crate) fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Whether something is being waited for, so that something should turn.
    pub(crate) fn is_waiting(&self) -> bool {
        let rows = match self.screen {
            Screen::Tables => self.tables.open.as_ref().is_some_and(|open| open.grid.asked.is_some() || open.profiling.is_some()),
            Screen::Sql => self.sql.grid.as_ref().is_some_and(|grid| grid.asked.is_some()),
            Screen::Dashboards => self.dashboards.asked.is_some(),
            _ => false,
        };
        let first = self.served.sequence == 0 && self.served.problem.is_none() && self.served.bad_settings.is_none();
        rows || first || self.saving.is_some() || self.job.as_ref().is_some_and(Job::is_running) || self.is_exporting()
    }

    pub(crate) fn is_exporting(&self) -> bool {
        self.status().is_some_and(|status| status.running.is_some())
    }

    /// When something that is shown changes by itself next, if it does.
    pub(crate) fn next_change(&self) -> Option<Timestamp> {
        let after = |milliseconds: i64| self.now.saturating_add(milliseconds.milliseconds()).ok();
        let turning = self.is_waiting().then(|| after(125)).flatten();
        let toast = self.toast.as_ref().map(|toast| toast.until);
        let age = self.status().and_then(|status| status.exported_at).and_then(|at| next_age(at, self.now));
        // Tells the seconds since somebody holds the lakehouse.
        let held = self.overview.held_since.filter(|_| self.screen == Screen::Now).and_then(|at| next_age(at, self.now));
        let stale = self.status().and_then(|status| {
            let at = status.exported_at?.checked_add(jiff::SignedDuration::try_from(status.max_age?).ok()?).ok()?;
            at.checked_add(1.milliseconds()).ok().filter(|at| *at > self.now)
        });
        [turning, toast, age, held, stale].into_iter().flatten().min()
    }

    /// The lane whose answer the screen waits for, to be stopped by `esc`.
    pub(crate) fn busy_lane(&self) -> Option<Lane> {
        match self.screen {
            Screen::Tables => self.tables.open.as_ref().filter(|open| open.grid.asked.is_some()).map(|_| Lane::Rows),
            Screen::Sql => self.sql.grid.as_ref().filter(|grid| grid.asked.is_some()).map(|_| Lane::Sql),
            _ => None,
        }
    }
}

/// How long ago something was, as coarse as one cares: `12 s ago`, `3 min ago`, `2 h 5 min ago`, `4 d 3 h ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0).unsigned_abs();
    words::ago(std::time::Duration::from_secs(if seconds < 60 { seconds } else { seconds / 60 * 60 }))
}

/// When [`ago`] will say something else.
fn next_age(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let passed = now.duration_since(at).as_millis().max(0);
    let step = match passed {
        ..60_000 => 1_000,
        60_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    let next = i64::try_from((passed / step + 1) * step).ok()?;
    at.checked_add(next.milliseconds()).ok()
}
