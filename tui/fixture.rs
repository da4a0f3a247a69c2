//! A fixed clock and fixed data for tests: no file, no thread, no database.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use materia::{
    dashboard::DashboardData,
    export::{Audit, Generation, How, Manifest, Outcome, Record, Running, Source, Step, TableManifest, TableRecord, Verdict},
    lock::Holder,
    reader::{self, Catalog, ColumnInfo, ColumnSummary, GenerationInfo, TableInfo},
    settings::{DashboardSettings, Severity},
    status::{Place, Status},
    target::{GenerationId, Served, Target},
};
use ratatui::layout::Size;

use super::{
    keys,
    message::{Answer, Effect, Lane, Message, Profile, Question, Setup},
    state::{
        State,
        grid::{GridColumn, Page, PageAsk},
    },
    update::update,
};

pub(crate) const IDS: [&str; 4] = ["20261120T020000000Z", "20261120T140000000Z", "20261121T020000000Z", "20261121T080000000Z"];

/// Where a site would tell its metrics.
pub(crate) const METRICS: std::net::SocketAddr = std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9184));

pub(crate) fn now() -> Timestamp {
    "2026-11-21T02:30:00Z".parse().unwrap()
}

pub(crate) fn id(at: usize) -> GenerationId {
    GenerationId::parse(IDS[at]).unwrap()
}

pub(crate) fn catalog() -> Catalog {
    let column =
        |name: &str, data_type: &str| ColumnInfo { name: name.to_owned(), data_type: data_type.to_owned(), nullable: true, comment: None };
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
                vec![column("month", "DATE"), column("arabica", "DOUBLE"), column("名前", "VARCHAR")],
            ),
            table("orders", 1_500_000, "", vec![column("id", "BIGINT"), column("value", "DOUBLE")]),
            table("totals", 0, "One row for each run", vec![column("run", "INTEGER")]),
        ],
    }
}

fn table_record(name: &str, rows: u64, previous_rows: Option<u64>, ms: u64) -> TableRecord {
    TableRecord { name: name.to_owned(), rows, previous_rows, ms, ..TableRecord::default() }
}

pub(crate) fn attempt(at: usize, outcome: Outcome) -> Record {
    let began = id(at).time().unwrap();
    let good = outcome.is_success();
    let mut record = Record::begin(id(at), began);
    record.outcome = outcome;
    record.ended_at = began + jiff::SignedDuration::from_secs(7);
    record.generation = good.then(|| id(at));
    record.previous = at.checked_sub(1).map(id);
    record.lakehouse = Some(Source { path: PathBuf::from("lakehouse.duckdb"), bytes: 266_000_000, version: Some("v1.0.0".to_owned()) });
    record.schema = Some("serving".to_owned());
    record.snapshot = Some(How::Reflink);
    (record.wait_ms, record.blocked_ms, record.stage_ms) = (1_200, 12, 4_800);
    (record.audit_ms, record.publish_ms, record.total_ms) = (700, 300, 7_000);
    record.bytes = if good { 3_420_160 } else { 0 };
    record.audits_passed = 9;
    let copied = |record: TableRecord| TableRecord { why: "changed".to_owned(), ..record };
    record.tables = vec![
        copied(table_record("coffee_prices", 802, (at > 0).then_some(801), 23)),
        copied(table_record("orders", if good { 1_500_000 } else { 0 }, (at > 0).then_some(1_500_120), 4_100)),
        TableRecord {
            reused: true,
            why: "unchanged since 20261121T105000000Z".to_owned(),
            ..table_record("totals", 12, (at > 0).then_some(12), 0)
        },
    ];
    record
}

/// A check that failed.
pub(crate) fn refusal() -> Record {
    let mut record = attempt(3, Outcome::Refused);
    record.error =
        Some("refused: orders has 0 rows, 1,500,000 in the served generation (max_drop 50 %)\nNothing was published.".to_owned());
    record.audits_failed = vec![audit(false, "max_drop", "0 rows, 1,500,000 before")];
    record
}

fn audit(passed: bool, name: &str, found: &str) -> Audit {
    Audit { name: name.to_owned(), table: Some("orders".to_owned()), severity: Severity::Error, passed, found: found.to_owned() }
}

pub(crate) fn generation(at: usize, served: bool, pinned: bool) -> Generation {
    let manifest = Manifest {
        id: id(at),
        exported_at: id(at).time().unwrap(),
        lakehouse: None,
        schema: "serving".to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: Some("v1.0.0".to_owned()),
        bytes: 3_420_160,
        tables: vec![TableManifest {
            name: "orders".to_owned(),
            kind: materia::export::Kind::Table,
            rows: 1_500_000,
            comment: None,
            columns: (0..=at)
                .map(|column| materia::export::Column {
                    name: format!("c{column}"),
                    data_type: "INTEGER".to_owned(),
                    nullable: true,
                    comment: None,
                })
                .collect(),
            fingerprint: None,
            content: None,
        }],
        audits: Verdict {
            audits: vec![audit(true, "rows", "has 1,500,000 rows"), audit(true, "not_empty", "is not empty")],
            ..Verdict::default()
        },
        revisions: Vec::new(),
        forced: false,
        materia: "0.1.0".to_owned(),
        basis: None,
    };
    Generation { id: id(at), manifest: Some(manifest), served, pinned }
}

/// Exported half an hour ago, at most two hours allowed, nothing wrong.
pub(crate) fn status() -> Status {
    Status {
        served: PathBuf::from("analytics.duckdb"),
        what: Served::Generation(id(2)),
        unreadable: None,
        unreachable: None,
        generation: Some(id(2)),
        exported_at: id(2).time(),
        bytes: Some(3_420_160),
        generations: vec![generation(2, true, false), generation(1, false, true)],
        history: vec![attempt(0, Outcome::Published), attempt(1, Outcome::Published), attempt(2, Outcome::Published)],
        history_lost: 0,
        older: None,
        running: None,
        lakehouse: PathBuf::from("lakehouse.duckdb"),
        lakehouse_exists: true,
        lakehouse_held_by: None,
        max_age: Some(Duration::from_hours(2)),
    }
}

pub(crate) fn holder() -> Holder {
    Holder { pid: Some(4121), command: Some("sqlmesh run".to_owned()), running: Some(Duration::from_secs(192)) }
}

pub(crate) fn running(step: Step) -> Running {
    Running {
        pid: 4242,
        id: id(3),
        generation: id(3),
        target: PathBuf::from("analytics.duckdb"),
        started_at: now() - jiff::SignedDuration::from_secs(75),
        step,
        table: (step == Step::Stage).then(|| "orders".to_owned()),
        percent: (step == Step::Stage).then_some(43.2),
        waiting_for: (step == Step::Wait).then(holder),
        in_place: false,
    }
}

pub(crate) fn setup() -> Setup {
    Setup {
        place: Place {
            target: Target::new(&PathBuf::from("analytics.duckdb")).unwrap(),
            lakehouse: PathBuf::from("lakehouse.duckdb"),
            max_age: Some(Duration::from_hours(2)),
        },
        schema: "serving".to_owned(),
        dashboards: DashboardSettings { built_in: Some("beanflows".to_owned()), dir: None },
        metrics: None,
        logs: vec!["web.log".to_owned(), "unit:materia".to_owned()],
        pipelines: ["extract", "transform", "export_serving"].map(str::to_owned).to_vec(),
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

/// Just started: nothing is known.
pub(crate) fn started(width: u16, height: u16) -> State {
    State::new(now(), Size { width, height }, false)
}

/// Everything has been answered.
pub(crate) fn ready(width: u16, height: u16) -> State {
    ready_with(width, height, status())
}

pub(crate) fn ready_with(width: u16, height: u16, status: Status) -> State {
    let mut state = started(width, height);
    update(&mut state, Message::Settings(Ok(Arc::new(setup()))));
    let served = reader::State { generation: Some(generation_info()), problem: None };
    let effects = update(&mut state, Message::Served(Box::new(served)));
    answer(&mut state, effects);
    update(&mut state, Message::Status(Ok(Arc::new(status))));
    state
}

/// Presses keys as the key table writes them, and answers whatever is asked because of them.
pub(crate) fn press(state: &mut State, keys: &str) -> Vec<Effect> {
    let mut all = Vec::new();
    for name in keys.split(' ') {
        let effects = update(state, Message::Key(keys::event(name)));
        all.extend(effects.clone());
        answer(state, effects);
    }
    all
}

/// Types a text letter by letter.
pub(crate) fn write(state: &mut State, text: &str) {
    for char in text.chars() {
        let key = ratatui::crossterm::event::KeyEvent::from(ratatui::crossterm::event::KeyCode::Char(char));
        let effects = update(state, Message::Key(key));
        answer(state, effects);
    }
}

/// Answers questions as a database with the fixture's tables would.
pub(crate) fn answer(state: &mut State, effects: Vec<Effect>) {
    let mut open: Vec<_> = effects;
    while let Some(effect) = open.pop() {
        let Effect::Ask { lane, request, question } = effect else { continue };
        let message = |answer| Message::Answer { lane, request, answer: Ok(answer) };
        let messages = match question {
            Question::Catalog => vec![message(Answer::Catalog(Arc::new(catalog())))],
            Question::Bytes(tables) => {
                let tables = tables.into_iter().map(|name| (name.clone(), 262_144 * name.len() as u64)).collect();
                vec![message(Answer::Bytes { tables, last: true })]
            }
            Question::Page(ask) => vec![message(Answer::Page(page(&ask)))],
            Question::Profile { columns, .. } => columns
                .iter()
                .enumerate()
                .map(|(index, _)| {
                    message(Answer::Profile { index, profile: Box::new(Ok(profile(index))), last: index + 1 == columns.len() })
                })
                .collect(),
            Question::Dashboards(_) => vec![message(Answer::Dashboards(dashboards()))],
            Question::Dashboard { slug, .. } => vec![message(Answer::Dashboard {
                list: dashboards(),
                data: Arc::new(DashboardData { slug: slug.unwrap_or_else(|| "pulse".to_owned()), ..dashboard() }),
                mistakes: Vec::new(),
            })],
        };
        for message in messages {
            open.extend(update(state, message));
        }
        assert!(lane != Lane::Catalog || state.served.catalog.is_some());
    }
}

/// Rows that tell their own number.
pub(crate) fn page(ask: &PageAsk) -> Page {
    let column =
        |name: &str, data_type: &str, numeric| GridColumn { name: name.to_owned(), data_type: data_type.to_owned(), numeric, width: 0 };
    let total = ask.total.unwrap_or(if ask.filters.is_empty() { 1_500 } else { 7 });
    let row = |number: usize| {
        vec![
            Some(number.to_string()),
            (!number.is_multiple_of(3)).then(|| format!("{}.5", number * 2)),
            Some(["Brazil", "コロンビア", "Côte d'Ivoire\nand more"][number % 3].to_owned()),
        ]
    };
    Page {
        columns: vec![column("id", "BIGINT", true), column("value", "DOUBLE", true), column("name", "VARCHAR", false)],
        first: ask.first,
        rows: (ask.first..total.min(ask.first + ask.count)).map(|number| row(number + 1)).collect(),
        total,
        cut: false,
        took: Duration::from_millis(12),
    }
}

fn profile(index: usize) -> Profile {
    let summaries = [("1960-01-01", "2026-10-01", 0), ("0.726", "8.3006", 12), ("アラビカ", "ロブスタ", 802)];
    let (min, max, nulls) = summaries[index % 3];
    Profile {
        summary: ColumnSummary { min: Some(min.to_owned()), max: Some(max.to_owned()), approx_distinct: 790, nulls },
        spread: [8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 1, 2, 3, 4, 8, 8].map(|count| count * 10).to_vec(),
    }
}

fn dashboards() -> Vec<(String, String)> {
    vec![("pulse".to_owned(), "Pulse".to_owned()), ("supply".to_owned(), "Supply".to_owned())]
}

pub(crate) fn dashboard() -> DashboardData {
    super::fixture_dashboard::dashboard()
}
