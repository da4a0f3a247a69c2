//! A fixed clock and fixed data for tests, without files, threads or a database.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use materia::{
    alert::{AlertInputs, Services},
    dashboard::DashboardData,
    lock::LockHolder,
    reader::{self, Catalog, ColumnInfo, ColumnSummary, GenerationInfo, TableInfo},
    settings::{DashboardSettings, Settings, Severity},
    status::{Status, StatusSource},
    store::{
        AttemptOutcome, AttemptRecord, Audit, AuditReport, ExportStep, LakehouseInfo, Manifest,
        RetainedGeneration, RunningExport, SnapshotMethod, TableManifest, TableRecord,
    },
    store::{GenerationId, ServedState, Store},
};
use ratatui::layout::Size;

use crate::{
    app::App,
    grid::{GridColumn, Page, PageRequest},
    keys::key_event,
    message::{
        Channel, ColumnStatistics, Config, Effect, LogEvent, LogRequest, Message, Profile, Request,
        Response,
    },
    screens::logs::LogLine,
};

pub(crate) const IDS: [&str; 4] =
    ["20261120T020000000Z", "20261120T140000000Z", "20261121T020000000Z", "20261121T080000000Z"];

/// The address of a site's metrics.
pub(crate) const METRICS: std::net::SocketAddr =
    std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9184));

pub(crate) fn now() -> Timestamp {
    "2026-11-21T02:30:00Z".parse().unwrap()
}

pub(crate) fn id(at: usize) -> GenerationId {
    GenerationId::parse(IDS[at]).unwrap()
}

pub(crate) fn catalog() -> Catalog {
    let column = |name: &str, data_type: &str| ColumnInfo {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: true,
        comment: None,
    };
    let table = |name: &str, rows, comment: &str, columns: Vec<ColumnInfo>| TableInfo {
        name: name.to_owned(),
        rows,
        comment: Some(comment.to_owned()),
        columns,
    };
    Catalog {
        tables: vec![
            table(
                "coffee_prices",
                802,
                "Monthly coffee prices, US dollars per kg",
                vec![
                    column("month", "DATE"),
                    column("arabica", "DOUBLE"),
                    column("名前", "VARCHAR"),
                ],
            ),
            table("orders", 1_500_000, "", vec![column("id", "BIGINT"), column("value", "DOUBLE")]),
            table("totals", 0, "One row for each run", vec![column("run", "INTEGER")]),
        ],
    }
}

fn table_record(name: &str, rows: u64, previous_rows: Option<u64>, ms: u64) -> TableRecord {
    TableRecord { name: name.to_owned(), rows, previous_rows, ms, ..TableRecord::default() }
}

pub(crate) fn attempt(at: usize, outcome: AttemptOutcome) -> AttemptRecord {
    let began = id(at).time().unwrap();
    let good = outcome.is_success();
    let mut record = AttemptRecord::begin(id(at), began);
    record.outcome = outcome;
    record.ended_at = began + jiff::SignedDuration::from_secs(7);
    record.generation = good.then(|| id(at));
    record.previous = at.checked_sub(1).map(id);
    record.lakehouse = Some(LakehouseInfo {
        path: PathBuf::from("lakehouse.duckdb"),
        bytes: 266_000_000,
        version: Some("v1.0.0".to_owned()),
    });
    record.schema = Some("serving".to_owned());
    record.snapshot = Some(SnapshotMethod::Reflink);
    (record.wait_ms, record.blocked_ms, record.stage_ms) = (1_200, 12, 4_800);
    (record.audit_ms, record.publish_ms, record.total_ms) = (700, 300, 7_000);
    record.bytes = if good { 3_420_160 } else { 0 };
    record.audits_passed = 9;
    let copied = |record: TableRecord| TableRecord { why: "changed".to_owned(), ..record };
    record.tables = vec![
        copied(table_record("coffee_prices", 802, (at > 0).then_some(801), 23)),
        copied(table_record(
            "orders",
            if good { 1_500_000 } else { 0 },
            (at > 0).then_some(1_500_120),
            4_100,
        )),
        TableRecord {
            reused: true,
            why: "unchanged since 20261121T105000000Z".to_owned(),
            ..table_record("totals", 12, (at > 0).then_some(12), 0)
        },
    ];
    record
}

/// An attempt with a failed audit.
pub(crate) fn refusal() -> AttemptRecord {
    let mut record = attempt(3, AttemptOutcome::Refused);
    record.error =
        Some("refused: orders has 0 rows, 1,500,000 in the served generation (max_drop 50 %)\nNothing was published.".to_owned());
    record.audits_failed = vec![audit(false, "max_drop", "0 rows, 1,500,000 before")];
    record
}

fn audit(passed: bool, name: &str, found: &str) -> Audit {
    Audit {
        name: name.to_owned(),
        table: Some("orders".to_owned()),
        severity: Severity::Error,
        passed,
        found: found.to_owned(),
    }
}

pub(crate) fn generation(at: usize, served: bool, pinned: bool) -> RetainedGeneration {
    let manifest = Manifest {
        id: id(at),
        exported_at: id(at).time().unwrap(),
        lakehouse: None,
        publisher: None,
        schema: "serving".to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: Some("v1.0.0".to_owned()),
        bytes: 3_420_160,
        tables: vec![TableManifest {
            name: "orders".to_owned(),
            kind: materia::store::RelationKind::Table,
            rows: 1_500_000,
            comment: None,
            columns: (0..=at)
                .map(|column| materia::store::ColumnManifest {
                    name: format!("c{column}"),
                    data_type: "INTEGER".to_owned(),
                    nullable: true,
                    comment: None,
                })
                .collect(),
            fingerprint: None,
            content: None,
            row_groups: Vec::new(),
            stored_row_groups: Vec::new(),
            values: None,
        }],
        audits: AuditReport {
            audits: vec![
                audit(true, "rows", "has 1,500,000 rows"),
                audit(true, "not_empty", "is not empty"),
            ],
            ..AuditReport::default()
        },
        revisions: Vec::new(),
        forced: false,
        materia: "0.1.0".to_owned(),
        basis: None,
    };
    RetainedGeneration { id: id(at), manifest: Some(manifest), served, pinned }
}

/// Data exported half an hour ago, with a limit of two hours and no problems.
pub(crate) fn status() -> Status {
    Status {
        served: PathBuf::from("analytics.duckdb"),
        what: ServedState::Generation(id(2)),
        unreadable: None,
        unreachable: None,
        storage: None,
        foreign_changes: None,
        generation: Some(id(2)),
        exported_at: id(2).time(),
        bytes: Some(3_420_160),
        generations: vec![generation(2, true, false), generation(1, false, true)],
        history: vec![
            attempt(0, AttemptOutcome::Published),
            attempt(1, AttemptOutcome::Published),
            attempt(2, AttemptOutcome::Published),
        ],
        history_lost: 0,
        stray_logs: Vec::new(),
        older: None,
        running: None,
        lakehouse: PathBuf::from("lakehouse.duckdb"),
        lakehouse_exists: true,
        lakehouse_held_by: None,
        max_age: Some(Duration::from_hours(2)),
    }
}

pub(crate) fn holder() -> LockHolder {
    LockHolder {
        pid: Some(4121),
        command: Some("sqlmesh run".to_owned()),
        running: Some(Duration::from_secs(192)),
    }
}

pub(crate) fn running(step: ExportStep) -> RunningExport {
    RunningExport {
        pid: 4242,
        id: id(3),
        generation: id(3),
        target: PathBuf::from("analytics.duckdb"),
        lake: None,
        started_at: now() - jiff::SignedDuration::from_secs(75),
        step,
        table: (step == ExportStep::Stage).then(|| "orders".to_owned()),
        percent: (step == ExportStep::Stage).then_some(43.2),
        waiting_for: (step == ExportStep::Wait).then(holder),
        in_place: false,
    }
}

pub(crate) fn settings() -> Settings {
    let text = "[pipelines.extract]\ncommand = ['extract']\n\
         [pipelines.transform]\ncommand = ['transform']\nafter = ['extract']";
    let file = (Path::new("materia.toml"), text);
    let mut settings = Settings::load(Some(file), &|_| None).unwrap();
    settings.dashboards = DashboardSettings { built_in: Some("beanflows".to_owned()), dir: None };
    settings
}

/// Returns the status without other problems.
pub(crate) fn facts(status: Status) -> AlertInputs {
    AlertInputs {
        status,
        runs: Vec::new(),
        space_left: None,
        held: None,
        services: Services::default(),
    }
}

pub(crate) fn config() -> Config {
    Config {
        place: StatusSource {
            target: Store::new(&PathBuf::from("analytics.duckdb")).unwrap(),
            lakehouse: PathBuf::from("lakehouse.duckdb"),
            max_age: Some(Duration::from_hours(2)),
        },
        settings: settings(),
        logs: vec!["web.log".to_owned(), "unit:materia".to_owned()],
        options: Vec::new(),
    }
}

pub(crate) fn generation_info() -> Arc<GenerationInfo> {
    Arc::new(GenerationInfo {
        sequence: 1,
        snapshot: None,
        id: Some(id(2)),
        exported_at: id(2).time(),
        confirmed_at: None,
        opened_at: now(),
        bytes: 3_420_160,
        schema: "serving".to_owned(),
    })
}

/// Returns the state before any data has arrived.
pub(crate) fn started(width: u16, height: u16) -> App {
    App::new(now(), Size { width, height }, false)
}

/// Returns the state after every response.
pub(crate) fn ready(width: u16, height: u16) -> App {
    ready_with(width, height, status())
}

pub(crate) fn ready_with(width: u16, height: u16, status: Status) -> App {
    let mut state = started(width, height);
    state.update(Message::Settings(Ok(Arc::new(config()))));
    let served =
        reader::ReaderState { generation: Some(generation_info()), problem: None, storage: None };
    let effects = state.update(Message::Served(Box::new(served)));
    respond(&mut state, effects);
    state.update(Message::Status(Ok(Arc::new(facts(status)))));
    state
}

/// Presses keys by their names, and responds to the resulting requests.
pub(crate) fn press(state: &mut App, keys: &str) -> Vec<Effect> {
    let mut all = Vec::new();
    for name in keys.split(' ') {
        let effects = state.update(Message::Key(key_event(name)));
        all.extend(effects.clone());
        respond(state, effects);
    }
    all
}

/// Types a text letter by letter.
pub(crate) fn write(state: &mut App, text: &str) {
    for char in text.chars() {
        let key = ratatui::crossterm::event::KeyEvent::from(
            ratatui::crossterm::event::KeyCode::Char(char),
        );
        let effects = state.update(Message::Key(key));
        respond(state, effects);
    }
}

/// Shows a log of these lines.
pub(crate) fn write_log(state: &mut App, lines: &[&str]) {
    let log = &state.logs.logs[state.logs.current];
    let (epoch, index) = (log.epoch + 1, state.logs.current);
    let event = LogEvent::State { epoch, lines: lines.len(), matches: 0, progress: None };
    state.update(Message::Log(index, event));
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    state.update(Message::Log(index, LogEvent::Window { epoch, first: 0, lines }));
}

/// Shows a log of numbered lines.
pub(crate) fn write_numbered_log(state: &mut App, lines: usize) {
    let epoch = state.logs.logs[0].epoch;
    let event = LogEvent::State { epoch, lines, matches: lines, progress: None };
    let effects = state.update(Message::Log(0, event));
    respond(state, effects);
}

/// Responds as a log of numbered lines, each of which matches every search.
fn respond_to_log(state: &mut App, index: usize, request: &LogRequest) -> Vec<Effect> {
    let log = &state.logs.logs[index];
    let (epoch, len) = (log.epoch, log.len);
    let event = match *request {
        LogRequest::Window { first, count } => LogEvent::Window {
            epoch,
            first,
            lines: (first..len.min(first + count)).map(|line| format!("line {line}")).collect(),
        },
        LogRequest::Find { from, forward } => {
            let at = if forward { from + 1 } else { from + len.max(1) - 1 } % len.max(1);
            LogEvent::Found { epoch, found: (len > 0).then_some((at, at + 1)) }
        }
        LogRequest::Filter(ref filter) => {
            let is_match = |line: &&LogLine| line.text.contains(&filter.search);
            let matches = log.window.iter().filter(is_match).count();
            LogEvent::State { epoch, lines: len, matches, progress: None }
        }
    };
    state.update(Message::Log(index, event))
}

/// Responds to requests as a database with the fixture's tables would.
pub(crate) fn respond(state: &mut App, effects: Vec<Effect>) {
    let mut open: Vec<_> = effects;
    while let Some(effect) = open.pop() {
        if let Effect::Log(index, request) = effect {
            open.extend(respond_to_log(state, index, &request));
            continue;
        }
        let Effect::Request { channel, request_id, request } = effect else { continue };
        let message = |response| Message::Response { channel, request_id, response: Ok(response) };
        let messages = match request {
            Request::Catalog => vec![message(Response::Catalog(Arc::new(catalog())))],
            Request::TableSizes(tables) => {
                let tables = tables
                    .into_iter()
                    .map(|name| (name.clone(), 262_144 * name.len() as u64))
                    .collect();
                vec![message(Response::TableSizes { tables, last: true })]
            }
            Request::Page(request) => vec![message(Response::Page(page(&request)))],
            Request::Profile { columns, .. } => columns
                .iter()
                .enumerate()
                .map(|(index, _)| {
                    message(Response::Profile {
                        index,
                        profile: Box::new(Ok(profile(index))),
                        last: index + 1 == columns.len(),
                    })
                })
                .collect(),
            Request::Statistics { column, .. } => {
                vec![message(Response::Statistics(Box::new(statistics(&column))))]
            }
            Request::Dashboards(_) => vec![message(Response::Dashboards(dashboards()))],
            Request::Dashboard { slug, .. } => vec![message(Response::Dashboard {
                list: dashboards(),
                data: Arc::new(DashboardData {
                    slug: slug.unwrap_or_else(|| "pulse".to_owned()),
                    ..dashboard()
                }),
                queries: dashboard()
                    .panels
                    .iter()
                    .map(|panel| Some(format!("SELECT {:?} AS title", panel.title)))
                    .collect(),
                diagnostics: Vec::new(),
            })],
        };
        for message in messages {
            open.extend(state.update(message));
        }
        assert!(channel != Channel::Catalog || state.context.reader.catalog.is_some());
    }
}

/// Returns rows whose values are their own numbers.
pub(crate) fn page(request: &PageRequest) -> Page {
    let column = |name: &str, data_type: &str, numeric| GridColumn {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        numeric,
        width: 0,
    };
    let total = request.total.unwrap_or(if request.filters.is_empty() { 1_500 } else { 7 });
    let row = |number: usize| {
        vec![
            Some(number.to_string()),
            (!number.is_multiple_of(3)).then(|| format!("{}.5", number * 2)),
            Some(["Brazil", "コロンビア", "Côte d'Ivoire\nand more"][number % 3].to_owned()),
        ]
    };
    Page {
        columns: vec![
            column("id", "BIGINT", true),
            column("value", "DOUBLE", true),
            column("name", "VARCHAR", false),
        ],
        first: request.first,
        rows: (request.first..total.min(request.first + request.count))
            .map(|number| row(number + 1))
            .collect(),
        total,
        truncated: false,
        elapsed: Duration::from_millis(12),
    }
}

fn profile(index: usize) -> Profile {
    let summaries =
        [("1960-01-01", "2026-10-01", 0), ("0.726", "8.3006", 12), ("アラビカ", "ロブスタ", 802)];
    let (min, max, nulls) = summaries[index % 3];
    Profile {
        summary: ColumnSummary {
            min: Some(min.to_owned()),
            max: Some(max.to_owned()),
            approx_distinct: 790,
            nulls,
        },
        spread: [8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 1, 2, 3, 4, 8, 8].map(|count| count * 10).to_vec(),
    }
}

/// Returns statistics, with a histogram of numbers.
fn statistics(column: &GridColumn) -> ColumnStatistics {
    let values = ["Brazil", "コロンビア", "Côte d'Ivoire\nand more"];
    let top = values.into_iter().zip([700_000, 420_000, 379_998]);
    let mut top: Vec<_> = top.map(|(value, rows)| (Some(value.to_owned()), rows)).collect();
    top.push((None, 2));
    let histogram = (0..16).map(|part| (format!("{}.25", part * 7), 1_000 * (part * part + 1)));
    ColumnStatistics {
        rows: 1_500_000,
        nulls: 2,
        distinct: 3,
        range: Some(("Brazil".to_owned(), "コロンビア".to_owned())),
        averages: column.numeric.then(|| ("52.6".to_owned(), "53.0".to_owned())),
        top,
        histogram: if column.numeric { histogram.collect() } else { Vec::new() },
    }
}

fn dashboards() -> Vec<(String, String)> {
    vec![("pulse".to_owned(), "Pulse".to_owned()), ("supply".to_owned(), "Supply".to_owned())]
}

pub(crate) fn dashboard() -> DashboardData {
    super::fixture_dashboard::dashboard()
}
