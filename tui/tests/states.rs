//! The site on the first screen, and every screen while it is loading, empty, or showing an error.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use materia::{
    alert::{AlertInputs, HeldSince},
    endpoint::{Connection, EndpointState, LOCAL_ACCOUNT},
    reader::{self, Catalog},
    status::Status,
    store::{AttemptOutcome, AttemptRecord, ExportStep},
};

use super::{
    drawing::{THEME, at_every_size, buffer, snapshots, styles, text},
    fixture::{
        METRICS, attempt, config, facts, holder, now, press, ready, ready_with, refusal, running,
        started, status, write, write_log,
    },
};
use crate::{
    app::App,
    keys::key_event,
    message::{Channel, Config, Effect, Message, RequestStats, Response, SaveEvent, SiteHealth},
    theme::StyleRole,
};

fn assert_snapshot(name: &str, shown: &str) {
    snapshots().bind(|| insta::assert_snapshot!(name, shown));
}

fn assert_screen(name: &str, make: impl Fn(u16, u16) -> App) {
    assert_snapshot(name, &at_every_size(make));
}

fn with_metrics(address: SocketAddr) -> Config {
    let mut config = config();
    config.settings.web.metrics = Some(address);
    config
}

/// Returns a state in which the site has this health.
fn with_site(width: u16, height: u16, health: Option<Result<SiteHealth, String>>) -> App {
    let mut state = ready(width, height);
    state.update(Message::Settings(Ok(Arc::new(with_metrics(METRICS)))));
    if let Some(health) = health {
        state.update(Message::Site(METRICS, health));
    }
    state
}

fn recent(requests: u64, errors: u64, p99: Option<Duration>) -> SiteHealth {
    SiteHealth {
        signed_in: Some(41),
        recent: Some(RequestStats { time: Duration::from_mins(1), requests, errors, p99 }),
    }
}

fn well() -> SiteHealth {
    recent(1_472, 0, Some(Duration::from_millis(48)))
}

#[test]
fn the_overview_shows_the_health_of_the_site() {
    assert_screen("site_asking", |width, height| with_site(width, height, None));
    assert_screen("site_well", |width, height| with_site(width, height, Some(Ok(well()))));
    assert_screen("site_errors", |width, height| {
        with_site(
            width,
            height,
            Some(Ok(recent(94_320, 1_204, Some(Duration::from_millis(2_300))))),
        )
    });
    assert_screen("site_silent", |width, height| {
        with_site(width, height, Some(Err("nothing listens there".to_owned())))
    });
}

#[test]
fn the_color_of_the_site_shows_its_health() {
    let mut shown = String::new();
    let mut show = |name: &str, health| {
        let frame = styles(&buffer(&with_site(80, 24, Some(health)), THEME));
        let lines = frame.lines().filter(|line| line.contains("Site") || line.contains("site"));
        shown += &format!("-- {name}\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    };
    show("well", Ok(well()));
    show("first sample", Ok(SiteHealth { signed_in: Some(1), recent: None }));
    show("no requests", Ok(recent(0, 0, None)));
    show("one error in a thousand", Ok(recent(1_000, 1, Some(Duration::from_micros(900)))));
    show("one error in ten", Ok(recent(10, 1, Some(Duration::from_micros(900)))));
    show("accounts cannot be read", Ok(SiteHealth { signed_in: None, ..well() }));
    show("silent", Err("no response within 2 s".to_owned()));
    assert_snapshot("site_styles", &shown);
}

#[test]
fn the_health_of_a_previous_address_is_not_shown() {
    let mut state = with_site(80, 24, Some(Ok(well())));
    let elsewhere = "127.0.0.1:9999".parse().unwrap();
    state.update(Message::Settings(Ok(Arc::new(with_metrics(elsewhere)))));
    assert_eq!(state.context.status_view.site, None);
    state.update(Message::Site(METRICS, Ok(well())));
    assert_eq!(state.context.status_view.site, None, "a late sample of the previous address");
}

#[test]
fn an_empty_schema_is_named() {
    assert_screen("tables_empty", |width, height| {
        let mut state = ready(width, height);
        let (channel, request_id) = (Channel::Catalog, state.context.last_request_id);
        let response = Ok(Response::Catalog(Arc::new(Catalog { tables: Vec::new() })));
        state.update(Message::Response { channel, request_id, response });
        press(&mut state, "2");
        state
    });
}

/// Returns a state in which nothing could be read since the start.
fn nothing_read(width: u16, height: u16, keys: &str) -> App {
    let mut state = started(width, height);
    state.update(Message::Settings(Ok(Arc::new(config()))));
    let problem = Some(reader::ReaderProblem {
        reason: "IO Error: it is not a valid DuckDB database file!".to_owned(),
        since: now(),
    });
    state.update(Message::Served(Box::new(reader::ReaderState {
        generation: None,
        problem,
        storage: None,
    })));
    let unreadable = Some("IO Error: it is not a valid DuckDB database file!".to_owned());
    let status = Status { unreadable, generation: None, exported_at: None, ..status() };
    state.update(Message::Status(Ok(Arc::new(facts(status)))));
    press(&mut state, keys);
    state
}

#[test]
fn what_cannot_be_read_is_explained_in_its_place() {
    assert_screen("tables_error", |width, height| nothing_read(width, height, "2"));
    assert_screen("dashboard_error", |width, height| nothing_read(width, height, "4"));
    assert_screen("history_damaged", |width, height| {
        let mut state = ready_with(width, height, Status { history_lost: 2, ..status() });
        press(&mut state, "3");
        state
    });
    assert_screen("now_history_damaged", |width, height| {
        ready_with(width, height, Status { history_lost: 2, ..status() })
    });
    assert_screen("history_error", |width, height| {
        let mut state = started(width, height);
        state.update(Message::Status(Err(
            "what is around analytics.duckdb cannot be read: Permission denied".to_owned(),
        )));
        press(&mut state, "3");
        state
    });
    assert_screen("table_error", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 enter");
        state.update(Message::Key(key_event("s")));
        let (channel, request_id) = (Channel::Rows, state.context.last_request_id);
        state.update(Message::Response {
            channel,
            request_id,
            response: Err("stopped after 10 s, the limit".to_owned()),
        });
        state
    });
}

#[test]
fn what_is_being_waited_for_is_shown() {
    assert_screen("history_opening", |width, height| {
        let mut state = started(width, height);
        press(&mut state, "3");
        state
    });
    assert_screen("sql_running", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "5");
        write(&mut state, "FROM orders");
        press(&mut state, "f5");
        write(&mut state, " ORDER BY value");
        // Before the response, the previous rows remain.
        state.update(Message::Key(key_event("f5")));
        state
    });
    assert_screen("saving", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 j enter");
        state.update(Message::Save(SaveEvent::Progress { rows: 1_200_000 }));
        state
    });
}

#[test]
fn health_is_visible_on_every_screen() {
    let too_old = |status: &mut Status| status.max_age = Some(Duration::from_mins(10));
    let exporting = |status: &mut Status| status.running = Some(running(ExportStep::Stage));
    let refused = |status: &mut Status| status.history.push(refusal());
    let unreadable = |status: &mut Status| status.unreadable = Some("not a DuckDB file".to_owned());
    let mut shown = String::new();
    let changes: [&dyn Fn(&mut Status); 5] = [&|_| {}, &too_old, &exporting, &refused, &unreadable];
    for (name, change) in
        ["fresh", "stale", "exporting", "refused", "unreadable"].into_iter().zip(changes)
    {
        for keys in ["1", "2", "2 enter", "3", "3 enter", "4", "5", "6"] {
            let mut status = status();
            change(&mut status);
            let mut state = ready_with(80, 24, status);
            press(&mut state, keys);
            let frame = text(&buffer(&state, THEME));
            shown += &format!("{name:<10} {keys:<8} {}\n", frame.lines().next().unwrap());
        }
    }
    assert_snapshot("health_everywhere", &shown);
}

#[test]
fn every_condition_of_the_alerts_needs_attention_here_too() {
    let mut state = ready(120, 40);
    let failed = serde_json::json!({
        "id": "20261121T020000000Z", "pipeline": "extract", "outcome": "failed",
        "started_at": "2026-11-21T02:00:00Z", "ended_at": "2026-11-21T02:00:07Z",
        "total_ms": 7000, "attempts": 1, "exit_code": 1, "why": "connection refused",
        "pid": 77, "log": null
    });
    let status = Status { lakehouse_held_by: Some(holder()), ..status() };
    let facts = AlertInputs {
        runs: vec![serde_json::from_value(failed).unwrap()],
        space_left: Some(1_000),
        held: Some(HeldSince {
            pid: holder().pid,
            since: now() - jiff::SignedDuration::from_hours(9),
        }),
        ..facts(status)
    };
    let findings = facts.findings(&config().settings.alerts, now());
    assert_eq!(findings.len(), 3, "{findings:?}");
    state.update(Message::Status(Ok(Arc::new(facts))));
    let shown = text(&buffer(&state, THEME));
    for part in
        ["pipeline extract failed: connection refused", "has been held by", "disk nearly full"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn the_overview_says_when_the_next_export_is_expected_if_they_are_regular() {
    let shown = |minutes_ago: &[i64]| {
        // Oldest first, as in the history.
        let history = minutes_ago.iter().map(|minutes| AttemptRecord {
            started_at: now() - jiff::SignedDuration::from_mins(*minutes),
            ..attempt(0, AttemptOutcome::Published)
        });
        let mut status = status();
        status.history = history.collect();
        let facts = AlertInputs { space_left: Some(80_000_000_000), ..facts(status) };
        let mut state = ready(120, 40);
        state.update(Message::Status(Ok(Arc::new(facts))));
        text(&buffer(&state, THEME))
    };
    let regular = shown(&[79, 64, 49, 34, 19, 4]);
    assert!(regular.contains("idle, next expected in 11 min"), "{regular}");
    assert!(regular.contains("80.0 GB free on the disk"), "{regular}");
    let late = shown(&[95, 80, 65, 50, 35]);
    assert!(late.contains("idle, was expected 20 min ago"), "{late}");
    let by_hand = shown(&[4_000, 900, 899, 3]);
    assert!(by_hand.contains("idle ") && !by_hand.contains("expected"), "{by_hand}");
    assert!(!shown(&[30, 15]).contains("expected"), "two are no rhythm");
    assert!(!shown(&[3, 3, 3, 3, 3]).contains("expected"), "attempts of the same minute");
}

#[test]
fn an_error_takes_the_place_of_the_rows_with_its_caret() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "FROM orders");
    press(&mut state, "f5");
    write(&mut state, " WHERE valeu > 1");
    state.update(Message::Key(key_event("f5")));
    let (channel, request_id) = (Channel::Sql, state.context.last_request_id);
    state.update(Message::Tick(now() + jiff::SignedDuration::from_millis(3_200)));
    let running = text(&buffer(&state, THEME));
    assert!(running.contains("running for 3.2 s"), "{running}");
    let long = "x, ".repeat(60);
    let line = format!("LINE 1: SELECT {long}valeu FROM orders");
    let caret = format!("{}^^^^^", " ".repeat(line.find("valeu").unwrap()));
    let error = format!("Binder Error: Referenced column \"valeu\" not found\n\n{line}\n{caret}");
    state.update(Message::Response { channel, request_id, response: Err(error) });
    let shown = text(&buffer(&state, THEME));
    let lines: Vec<_> = shown.lines().collect();
    let caret = lines.iter().position(|line| line.trim() == "^^^^^").unwrap();
    let at = lines[caret].find('^').unwrap();
    assert!(lines[caret - 1][at..].starts_with("valeu"), "{shown}");
    assert!(lines.iter().any(|line| line.contains("Binder Error")), "{shown}");
    let rows = lines.iter().position(|line| line.contains("コロンビア")).unwrap();
    assert!(rows > caret, "the previous rows are below: {shown}");
    let dim = buffer(&state, THEME)[(5, u16::try_from(rows).unwrap())].fg;
    assert_eq!(Some(dim), THEME.style(StyleRole::Dim).fg);
}

#[test]
fn json_lines_are_columns_and_the_raw_record_is_one_key_away() {
    let mut state = ready(80, 24);
    press(&mut state, "6");
    write_log(
        &mut state,
        &[
            "{\"timestamp\":\"2026-11-21T02:29:00.5Z\",\"level\":\"WARN\",\"fields\":{\"message\":\"slow\",\"ms\":1200}}",
            "{\"not\": \"a log record\"}",
        ],
    );
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains(" 2026-11-21 02:29:00 WARN  slow  ms=1200\n"), "{shown}");
    assert!(shown.contains("{\"not\": \"a log record\"}"), "{shown}");
    press(&mut state, "k enter");
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("\"timestamp\": \"2026-11-21T02:29:00.5Z\""), "{shown}");
    let effects = press(&mut state, "y");
    assert!(matches!(&effects[..], [Effect::Copy(line)] if line.starts_with("{\"timestamp\"")));
}

#[test]
fn a_long_line_is_cut_or_wrapped() {
    let mut state = ready(80, 24);
    press(&mut state, "6");
    let long = format!("INFO {}end", "word ".repeat(30));
    write_log(&mut state, &["first", &long, "last"]);
    assert!(!text(&buffer(&state, THEME)).contains("end"));
    press(&mut state, "w");
    let shown = text(&buffer(&state, THEME));
    for part in ["first", "end", "last"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_narrow_history_keeps_outcome_and_rows() {
    let mut state = ready(60, 15);
    press(&mut state, "3");
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("published") && shown.contains("1,500,814"), "{shown}");
}

#[test]
fn pipelines_are_listed_with_their_newest_runs() {
    let mut state = ready(120, 40);
    let run = |pipeline: &str, outcome: &str, why: Option<&str>| {
        serde_json::from_value(serde_json::json!({
            "id": "20261121T020000000Z", "pipeline": pipeline, "outcome": outcome,
            "started_at": "2026-11-21T02:00:00Z", "ended_at": "2026-11-21T02:20:00Z",
            "total_ms": 1_200_000, "attempts": 1, "exit_code": 0, "why": why, "pid": 77,
            "log": null
        }))
        .unwrap()
    };
    let runs =
        vec![run("extract", "succeeded", None), run("transform", "failed", Some("exit code 2"))];
    state.update(Message::PipelineRuns(runs));
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("extract    succeeded   10 min ago, 20 min"), "{shown}");
    assert!(shown.contains("transform  failed      10 min ago, 20 min  exit code 2"), "{shown}");
}

#[test]
fn the_title_of_the_window_is_the_state() {
    let title = |change: &dyn Fn(&mut Status)| {
        let mut status = status();
        change(&mut status);
        ready_with(80, 24, status).context.title()
    };
    assert_eq!(started(80, 24).context.title(), "materia: opening");
    assert_eq!(title(&|_| {}), "materia: all clear");
    let exporting = title(&|status| status.running = Some(running(ExportStep::Stage)));
    assert_eq!(exporting, "materia: exporting");
    let refused = title(&|status| status.history.push(refusal()));
    assert_eq!(refused, "materia: 1 problem");
}

fn client(pid: i32, query: Option<&str>) -> Connection {
    Connection {
        pid,
        account: "a1".to_owned(),
        email: "ada@example.test".to_owned(),
        plan: "pro".to_owned(),
        application: "psql".to_owned(),
        address: "127.0.0.1:5".to_owned(),
        connected_at: "2026-11-21T02:00:00Z".parse().ok(),
        state: if query.is_some() { "active" } else { "idle" }.to_owned(),
        statement: query.map(|_| "hash".to_owned()),
        running_since: query.and_then(|_| "2026-11-21T02:29:00Z".parse().ok()),
        statements: 3,
        query: query.map(str::to_owned),
    }
}

#[test]
fn clients_of_the_endpoint_are_listed_and_their_statements_can_be_stopped() {
    let mut state = ready(120, 40);
    let shown = text(&buffer(&state, THEME));
    assert!(!shown.contains("PostgreSQL"), "nothing says that there is an endpoint: {shown}");
    let mut operator = client(9, Some("SHOW materia.connections"));
    operator.account = LOCAL_ACCOUNT.to_owned();
    let query = "SELECT sum(value)\n  FROM psd";
    let clients = vec![client(7, None), client(8, Some(query)), operator];
    state.update(Message::Endpoint(Some(EndpointState::Answers(Some(clients)))));
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("PostgreSQL 2 connections, 1 statement running"), "{shown}");
    let line = "    8  ada@example.test  psql  1 min ago       SELECT sum(value) FROM";
    assert!(shown.contains(line), "{shown}");
    assert!(shown.contains("    7  ada@example.test  psql  idle"), "{shown}");
    assert!(!shown.contains("materia.connections"), "only clients: {shown}");
    let started = |args: &[&str]| {
        Effect::Start(args.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    };
    press(&mut state, "! K enter");
    assert_eq!(press(&mut state, "y"), [started(&["postgres", "cancel", "8"])]);
    state.context.job = None;
    press(&mut state, ":");
    write(&mut state, "disconnect: 7");
    press(&mut state, "enter");
    let effects = press(&mut state, "y");
    assert_eq!(effects, [started(&["postgres", "cancel", "7", "--disconnect"])]);
    state.context.job = None;
    state.update(Message::Endpoint(Some(EndpointState::Answers(Some(Vec::new())))));
    press(&mut state, "K");
    let toast = state.context.toast.as_ref().unwrap();
    assert_eq!(toast.text, "no client runs a statement");
    state.update(Message::Endpoint(Some(EndpointState::Down("nothing listens there".to_owned()))));
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("PostgreSQL does not respond"), "{shown}");
}
