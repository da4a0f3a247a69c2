//! What comes in, and what is wished for in return.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use materia::{
    dashboard::DashboardData,
    reader::{self, Catalog, ColumnInfo, ColumnSummary},
    settings::DashboardSettings,
    status::Status,
};
use ratatui::{
    crossterm::event::{KeyEvent, MouseEvent},
    layout::Size,
};

use super::keys::Action;
use super::state::{
    Screen,
    grid::{Page, PageAsk},
};

/// Something happened. Everything arrives over one channel.
#[derive(Debug)]
pub(crate) enum Message {
    Key(KeyEvent),
    Paste(String),
    Click(Target),
    /// The wheel: lines down, negative up.
    Scroll(isize),
    Resize(Size),
    /// What time it is.
    Tick(Timestamp),
    /// The settings were read, or cannot be.
    Settings(Result<Arc<Setup>, String>),
    /// What the reader says about the served file.
    Served(Box<reader::State>),
    /// The files of the dashboards changed.
    Dashboards,
    /// How the site at this address does, or why that cannot be told.
    Site(SocketAddr, Result<SiteHealth, String>),
    /// What files and locks say, or why they cannot be read.
    Status(Result<Arc<Status>, String>),
    /// An answer, or a part of one.
    Answer {
        lane: Lane,
        request: u64,
        answer: Result<Answer, String>,
    },
    /// A command that was started here.
    Job(JobEvent),
    /// A file that is being saved.
    Save(SaveEvent),
    /// The n-th log.
    Log(usize, LogEvent),
    /// Queries asked in earlier sessions, oldest first.
    Asked(Vec<String>),
    /// The mouse, before it is known what is under it.
    Mouse(MouseEvent),
    /// What was drawn: from which line on, where a text is scrolled.
    Drawn {
        first_line: Option<usize>,
    },
    /// Something asked for other than by a key.
    Do(Action),
    /// A worker ended that should not have.
    Broken(String),
    /// Somebody wants the program to end: a signal, or a terminal that is gone.
    End,
}

/// What the dashboard shows, as the settings say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setup {
    pub(crate) place: materia::status::Place,
    /// The schema that is served.
    pub(crate) schema: String,
    pub(crate) dashboards: DashboardSettings,
    /// Where the site tells its metrics, if it does.
    pub(crate) metrics: Option<SocketAddr>,
    /// Log files, and units of the journal as `unit:NAME`.
    pub(crate) logs: Vec<String>,
    /// What `materia pipeline run` knows, in the order in which they run.
    pub(crate) pipelines: Vec<String>,
    /// Options that lead a command started here to the same files.
    pub(crate) options: Vec<String>,
}

impl Setup {
    /// Whether it is the same file and schema that both show.
    pub(crate) fn serves_the_same(&self, other: &Self) -> bool {
        self.place.target == other.place.target && self.schema == other.schema
    }
}

/// How the site does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SiteHealth {
    /// Accounts that are signed in; `None` where the site cannot read its accounts.
    pub(crate) signed_in: Option<u64>,
    /// What has been asked of it; `None` until that has been measured.
    pub(crate) lately: Option<Lately>,
}

/// What was asked of the site in the time before now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lately {
    /// How long that is.
    pub(crate) time: Duration,
    pub(crate) requests: u64,
    /// Answered with 500 and above.
    pub(crate) errors: u64,
    /// The time within which 99 of 100 requests were answered; `None` where there were none.
    pub(crate) p99: Option<Duration>,
}

/// What is under the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Tab(Screen),
    /// A line of the list that the screen or the overlay shows.
    Line(usize),
    /// The heading of a column.
    Heading(usize),
    /// A cell of the rows: row of the whole view, column.
    Cell(usize, usize),
    /// The SQL prompt.
    Editor,
    /// The n-th filter of the dashboard.
    Filter(usize),
}

/// Questions of one lane replace one another: the latest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Catalog,
    Bytes,
    Rows,
    Profile,
    Sql,
    Dashboard,
}

impl Lane {
    pub(crate) const ALL: [Self; 6] = [Self::Catalog, Self::Bytes, Self::Rows, Self::Profile, Self::Sql, Self::Dashboard];
}

/// What can be asked of the served generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    Catalog,
    /// Bytes of these tables.
    Bytes(Vec<String>),
    Page(PageAsk),
    /// What is in these columns of a table, one after the other; with the table's rows.
    Profile {
        table: String,
        rows: u64,
        columns: Vec<ColumnInfo>,
    },
    /// Which dashboards there are.
    Dashboards(DashboardSettings),
    /// A dashboard, the first one where no slug is given, with what is chosen in its filters.
    Dashboard {
        settings: DashboardSettings,
        slug: Option<String>,
        asked: Vec<(String, String)>,
    },
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Answer {
    Catalog(Arc<Catalog>),
    /// Some of the tables; more follow unless it is the last part.
    Bytes {
        tables: Vec<(String, u64)>,
        last: bool,
    },
    Page(Page),
    /// The n-th of the columns that were asked about.
    Profile {
        index: usize,
        profile: Box<Result<Profile, String>>,
        last: bool,
    },
    /// Slugs and titles of all dashboards.
    Dashboards(Vec<(String, String)>),
    /// With slugs and titles of all, and what is wrong with their files.
    Dashboard {
        list: Vec<(String, String)>,
        data: Arc<DashboardData>,
        mistakes: Vec<String>,
    },
}

/// What is in one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) summary: ColumnSummary,
    /// How the values spread: rows in equal ranges from smallest to largest, or of the most frequent values where there are no ranges.
    pub(crate) spread: Vec<u64>,
}

#[derive(Debug)]
pub(crate) enum JobEvent {
    /// What it is doing now.
    Doing(String),
    /// Something to remember.
    Said(String),
    /// It ended.
    Ended { good: bool, message: String },
}

#[derive(Debug)]
pub(crate) enum SaveEvent {
    /// The file is there already; nothing was written.
    Exists(SaveJob),
    Progress {
        rows: u64,
    },
    Ended(Result<String, String>),
}

/// Rows to save.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SaveJob {
    pub(crate) ask: PageAsk,
    pub(crate) path: PathBuf,
    pub(crate) overwrite: bool,
}

#[derive(Debug)]
pub(crate) enum LogEvent {
    Lines(Vec<String>),
    /// Why there is nothing, or that it goes on from the beginning.
    Note(String),
}

/// A wish. `work` fulfils it off the thread that draws, and answers with messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Ask {
        lane: Lane,
        request: u64,
        question: Question,
    },
    /// Stops what the lane is answering.
    Stop(Lane),
    /// Puts text into the terminal's clipboard.
    Copy(String),
    Save(SaveJob),
    StopSaving,
    /// Runs `materia` with these arguments as a process of its own.
    Start(Vec<String>),
    /// Asks the process that was started here to stop.
    StopStarted,
    /// Follows these logs from now on.
    Tail(Vec<String>),
    /// Remembers a query for later sessions.
    Remember(String),
    Suspend,
    Redraw,
    Quit,
}

/// How long something may be answered.
pub(crate) const TIMES: [Duration; 4] = [Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(10), Duration::from_hours(1)];
