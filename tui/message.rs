//! Messages that arrive over one channel, and the effects that are requested in response.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use materia::{
    alert::AlertInputs,
    dashboard::DashboardData,
    endpoint::EndpointState,
    pipeline::Run,
    reader::{self, Catalog, ColumnInfo, ColumnSummary},
    settings::{DashboardSettings, Settings},
    store::GenerationId,
};
use ratatui::{
    crossterm::event::{KeyEvent, MouseEvent},
    layout::Size,
};

use super::{
    app::ScreenId,
    grid::{Database, GridColumn, Page, PageRequest},
    screens::logs::LogFilter,
    theme::ColorScheme,
};

/// An input, or a result of a worker.
#[derive(Debug)]
pub(crate) enum Message {
    Key(KeyEvent),
    Paste(String),
    Click(ClickTarget),
    /// The wheel was turned by this many lines; negative is up.
    Scroll(isize),
    Resize(Size),
    Tick(Timestamp),
    /// The settings were read, or cannot be.
    Settings(Result<Arc<Config>, String>),
    /// The reader follows another generation, or cannot follow any.
    Served(Box<reader::ReaderState>),
    /// The files of the dashboards changed.
    Dashboards,
    /// The health of the site whose metrics are at this address, or why it is unknown.
    Site(SocketAddr, Result<SiteHealth, String>),
    /// The state of the PostgreSQL endpoint; `None` if the settings do not tell where it is.
    Endpoint(Option<EndpointState>),
    /// The state of files, locks and pipelines, or why it cannot be read.
    Status(Result<Arc<AlertInputs>, String>),
    /// The newest run of each pipeline.
    PipelineRuns(Vec<Run>),
    /// A response or a part of one.
    Response {
        channel: Channel,
        request_id: u64,
        response: Result<Response, String>,
    },
    /// An event of the command that was started from the dashboard.
    Job(JobEvent),
    /// An event of the file that is being saved.
    Save(SaveEvent),
    /// An event of the log with this index.
    Log(usize, LogEvent),
    /// Saved queries, and those of earlier sessions, oldest first.
    QueryHistory(Vec<PastQuery>),
    /// The query as saved in the editor, or why it cannot be edited.
    Edited(Result<String, String>),
    /// The terminal reported its background.
    Background(ColorScheme),
    /// A mouse event before its position is resolved to a click target.
    Mouse(MouseEvent),
    /// The differences between the values of two generations.
    Compared(u64, Result<String, String>),
    /// A frame was drawn.
    Rendered {
        /// The first line in view of a scrolled text.
        first_line: Option<usize>,
    },
    /// The terminal must be released until the process is continued.
    Suspend,
    /// A worker ended unexpectedly.
    WorkerFailed(String),
    /// The program must end because of a signal or a lost terminal.
    Quit,
}

/// What the dashboard shows, according to the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The served data, its lakehouse, and the age at which it is stale.
    pub place: materia::status::StatusSource,
    pub settings: Settings,
    /// Log files, and units of the journal as `unit:NAME`.
    pub logs: Vec<String>,
    /// Options that point started commands to the same files.
    pub options: Vec<String>,
}

impl Config {
    /// Returns the schema that is served.
    pub(crate) fn schema(&self) -> &str {
        self.settings.export.served_schema()
    }

    /// Returns the address of the site's metrics, if they are exposed.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.settings.web.metrics
    }

    /// Returns whether both show the same file and schema.
    pub(crate) fn serves_same_data(&self, other: &Self) -> bool {
        self.place.target == other.place.target && self.schema() == other.schema()
    }
}

/// The health of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SiteHealth {
    /// Number of signed-in accounts; `None` if the site cannot read its accounts.
    pub(crate) signed_in: Option<u64>,
    /// Statistics of recent requests; `None` until there are two samples.
    pub(crate) recent: Option<RequestStats>,
}

/// Requests to the site within a recent interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestStats {
    /// The length of the interval.
    pub(crate) time: Duration,
    pub(crate) requests: u64,
    /// Responses with status 500 and above.
    pub(crate) errors: u64,
    /// The 99th percentile of the latency; `None` without requests.
    pub(crate) p99: Option<Duration>,
}

/// The part of the screen under the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClickTarget {
    Tab(ScreenId),
    /// A line of the list on the screen or in the overlay.
    Line(usize),
    Heading(usize),
    /// A cell of the rows: row in the view, column.
    Cell(usize, usize),
    Editor,
    /// A filter of the dashboard, by its index.
    Filter(usize),
}

/// A sequence of requests in which a newer one replaces the one in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    Catalog,
    TableSizes,
    Rows,
    Profile,
    Statistics,
    Sql,
    Dashboard,
}

impl Channel {
    pub(crate) const ALL: [Self; 7] = [
        Self::Catalog,
        Self::TableSizes,
        Self::Rows,
        Self::Profile,
        Self::Statistics,
        Self::Sql,
        Self::Dashboard,
    ];
}

/// A request for data of the served generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Catalog,
    /// Sizes of these tables in bytes.
    TableSizes(Vec<String>),
    Page(PageRequest),
    /// Profiles of these columns of a table, one after the other.
    Profile {
        table: String,
        /// The table's number of rows.
        rows: u64,
        columns: Vec<ColumnInfo>,
    },
    /// Statistics of one column over the rows of a view.
    Statistics {
        page: PageRequest,
        column: GridColumn,
    },
    /// The list of dashboards.
    Dashboards(DashboardSettings),
    /// A dashboard with its filters' values; the first one if no slug is given.
    Dashboard {
        settings: DashboardSettings,
        slug: Option<String>,
        filters: Vec<(String, String)>,
    },
}

impl Request {
    /// Returns the file that the request reads.
    pub(crate) fn database(&self) -> Database {
        match self {
            Self::Page(page) | Self::Statistics { page, .. } => page.database,
            _ => Database::Served,
        }
    }
}

/// The response to a request, or a part of it.
#[derive(Debug)]
pub(crate) enum Response {
    Catalog(Arc<Catalog>),
    /// Some of the tables; more follow unless it is the last part.
    TableSizes {
        tables: Vec<(String, u64)>,
        last: bool,
    },
    Page(Page),
    /// The profile of the requested column with this index.
    Profile {
        index: usize,
        profile: Box<Result<Profile, String>>,
        last: bool,
    },
    Statistics(Box<ColumnStatistics>),
    /// Slugs and titles of all dashboards.
    Dashboards(Vec<(String, String)>),
    /// A dashboard, with slugs and titles of all, and diagnostics of their files.
    Dashboard {
        list: Vec<(String, String)>,
        data: Arc<DashboardData>,
        /// The query of each panel that has one, with the filters' values written out.
        queries: Vec<Option<String>>,
        diagnostics: Vec<String>,
    },
}

/// Summary statistics of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) summary: ColumnSummary,
    /// Rows in equal ranges from the smallest to the largest value, or of the most frequent values
    /// if there are no ranges.
    pub(crate) spread: Vec<u64>,
}

/// The values of one column over all rows of a view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ColumnStatistics {
    pub(crate) rows: u64,
    pub(crate) nulls: u64,
    /// Number of different values, without nulls.
    pub(crate) distinct: u64,
    /// The smallest and the largest value.
    pub(crate) range: Option<(String, String)>,
    /// The mean, and an estimate of the median; of numbers only.
    pub(crate) averages: Option<(String, String)>,
    /// The most frequent values with their rows, most frequent first.
    pub(crate) top: Vec<(Option<String>, u64)>,
    /// Rows in equal ranges, each with its start; of numbers and times only.
    pub(crate) histogram: Vec<(String, u64)>,
}

/// Progress of a command that was started from the dashboard.
#[derive(Debug)]
pub(crate) enum JobEvent {
    Status(String),
    /// A line of its output to retain.
    Output(String),
    Ended {
        succeeded: bool,
        message: String,
    },
}

/// Progress of a file that is being saved.
#[derive(Debug)]
pub(crate) enum SaveEvent {
    /// The file already exists; nothing was written.
    Exists(SaveJob),
    Progress {
        rows: u64,
    },
    Ended(Result<String, String>),
}

/// Rows to save into a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SaveJob {
    pub(crate) page: PageRequest,
    pub(crate) path: PathBuf,
    pub(crate) overwrite: bool,
}

/// Two generations to compare by values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) request_id: u64,
    pub(crate) config: Arc<Config>,
    pub(crate) before: GenerationId,
    pub(crate) now: GenerationId,
}

/// The source of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogSource {
    File(PathBuf),
    /// A unit of the journal.
    Unit(String),
}

impl LogSource {
    /// Parses a configured name: a path, or `unit:NAME`.
    pub(crate) fn parse(name: &str) -> Self {
        match name.strip_prefix("unit:") {
            Some(unit) => Self::Unit(unit.to_owned()),
            None => Self::File(PathBuf::from(name)),
        }
    }
}

/// A request to the worker that follows logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogRequest {
    /// Lines from a position onward.
    Window { first: usize, count: usize },
    /// The new filter and search.
    Filter(LogFilter),
    /// The match after a position, or before it.
    Find { from: usize, forward: bool },
}

/// The result of reading a log. Events of an earlier epoch have outdated positions.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// The lines that pass the filter, the matches of the search, and the percentage of the log
    /// that was scanned, while it is being scanned.
    State { epoch: u64, lines: usize, matches: usize, progress: Option<u8> },
    /// The last lines of a log that is being scanned for the first time.
    Preview(Vec<String>),
    /// Lines from a position onward.
    Window { epoch: u64, first: usize, lines: Vec<String> },
    /// The position and the number of a match.
    Found { epoch: u64, found: Option<(usize, usize)> },
    /// Why there is nothing to show.
    Note(String),
}

/// A query from the history, or a saved one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PastQuery {
    pub(crate) query: String,
    /// The name under which it was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// When it was run or saved; unknown for queries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
}

/// Work outside of `update`, on another thread if it takes time. Results arrive as messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Request {
        channel: Channel,
        request_id: u64,
        request: Request,
    },
    /// Cancels the request in progress on the channel.
    Cancel(Channel),
    /// Copies text to the terminal's clipboard.
    Copy(String),
    Save(SaveJob),
    CancelSaving,
    /// Runs `materia` with these arguments as a separate process.
    Start(Vec<String>),
    /// Sends the started process a request to end.
    StopStarted,
    /// Follows exactly these logs from now on.
    Tail(Vec<LogSource>),
    /// Sends a request about the log with this index.
    Log(usize, LogRequest),
    /// Compares two generations by values.
    Compare(Comparison),
    /// Cancels the comparison in progress.
    CancelComparison,
    /// Adds a query to the history, or to the saved ones if it has a name.
    Remember(PastQuery),
    /// Opens the editor with a query.
    EditQuery(String),
    Suspend,
    Redraw,
    Quit,
}

/// The time limits of queries that the operator can choose from.
pub(crate) const TIMEOUTS: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
];
