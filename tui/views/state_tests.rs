//! The site on the first screen, and every screen while it waits, has nothing to show, or cannot show it.

use std::{sync::Arc, time::Duration};

use materia::{
    export::Step,
    reader::{self, Catalog},
    status::Status,
};

use super::tests::{LOOK, at_every_size, buffer, snapshots, styles, text};
use crate::tui::{
    fixture::{METRICS, now, press, ready, ready_with, refusal, running, setup, started, status, write},
    keys,
    message::{Answer, Lane, Lately, Message, SaveEvent, Setup, SiteHealth},
    state::State,
    update::update,
};

fn assert_snapshot(name: &str, shown: &str) {
    snapshots().bind(|| insta::assert_snapshot!(name, shown));
}

fn assert_screen(name: &str, make: impl Fn(u16, u16) -> State) {
    assert_snapshot(name, &at_every_size(make));
}

/// With a site that tells how it does.
fn with_site(width: u16, height: u16, health: Option<Result<SiteHealth, String>>) -> State {
    let mut state = ready(width, height);
    update(&mut state, Message::Settings(Ok(Arc::new(Setup { metrics: Some(METRICS), ..setup() }))));
    if let Some(health) = health {
        update(&mut state, Message::Site(METRICS, health));
    }
    state
}

fn lately(requests: u64, errors: u64, p99: Option<Duration>) -> SiteHealth {
    SiteHealth { signed_in: Some(41), lately: Some(Lately { time: Duration::from_mins(1), requests, errors, p99 }) }
}

fn well() -> SiteHealth {
    lately(1_472, 0, Some(Duration::from_millis(48)))
}

#[test]
fn now_tells_how_the_site_does() {
    assert_screen("site_asking", |width, height| with_site(width, height, None));
    assert_screen("site_well", |width, height| with_site(width, height, Some(Ok(well()))));
    assert_screen("site_errors", |width, height| {
        with_site(width, height, Some(Ok(lately(94_320, 1_204, Some(Duration::from_millis(2_300))))))
    });
    assert_screen("site_silent", |width, height| with_site(width, height, Some(Err("nothing listens there".to_owned()))));
}

#[test]
fn the_site_is_coloured_as_it_does() {
    let mut told = String::new();
    let mut tell = |name: &str, health| {
        let shown = styles(&buffer(&with_site(80, 24, Some(health)), LOOK));
        let lines = shown.lines().filter(|line| line.contains("Site") || line.contains("site"));
        told += &format!("-- {name}\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    };
    tell("well", Ok(well()));
    tell("first reading", Ok(SiteHealth { signed_in: Some(1), lately: None }));
    tell("nobody asks", Ok(lately(0, 0, None)));
    tell("one error in a thousand", Ok(lately(1_000, 1, Some(Duration::from_micros(900)))));
    tell("one error in ten", Ok(lately(10, 1, Some(Duration::from_micros(900)))));
    tell("accounts cannot be read", Ok(SiteHealth { signed_in: None, ..well() }));
    tell("silent", Err("no answer within 2 s".to_owned()));
    assert_snapshot("site_styles", &told);
}

#[test]
fn what_a_former_address_told_is_not_taken_for_the_sites() {
    let mut state = with_site(80, 24, Some(Ok(well())));
    let elsewhere = "127.0.0.1:9999".parse().unwrap();
    update(&mut state, Message::Settings(Ok(Arc::new(Setup { metrics: Some(elsewhere), ..setup() }))));
    assert_eq!(state.overview.site, None);
    update(&mut state, Message::Site(METRICS, Ok(well())));
    assert_eq!(state.overview.site, None, "a late answer of the one before");
}

#[test]
fn an_empty_schema_is_told_on_every_screen() {
    assert_screen("tables_empty", |width, height| {
        let mut state = ready(width, height);
        let (lane, request) = (Lane::Catalog, state.requests);
        let answer = Ok(Answer::Catalog(Arc::new(Catalog { tables: Vec::new() })));
        update(&mut state, Message::Answer { lane, request, answer });
        press(&mut state, "2");
        state
    });
}

/// Nothing could be read since the start.
fn nothing_read(width: u16, height: u16, keys: &str) -> State {
    let mut state = started(width, height);
    update(&mut state, Message::Settings(Ok(Arc::new(setup()))));
    let problem = Some(reader::Problem { reason: "IO Error: it is not a valid DuckDB database file!".to_owned(), since: now() });
    update(&mut state, Message::Served(Box::new(reader::State { generation: None, problem })));
    let unreadable = Some("IO Error: it is not a valid DuckDB database file!".to_owned());
    let status = Status { unreadable, generation: None, exported_at: None, ..status() };
    update(&mut state, Message::Status(Ok(Arc::new(status))));
    press(&mut state, keys);
    state
}

#[test]
fn what_cannot_be_read_is_told_where_it_would_be() {
    assert_screen("tables_error", |width, height| nothing_read(width, height, "2"));
    assert_screen("dashboard_error", |width, height| nothing_read(width, height, "4"));
    assert_screen("history_damaged", |width, height| {
        let mut state = ready_with(width, height, Status { history_lost: 2, ..status() });
        press(&mut state, "3");
        state
    });
    assert_screen("now_history_damaged", |width, height| ready_with(width, height, Status { history_lost: 2, ..status() }));
    assert_screen("history_error", |width, height| {
        let mut state = started(width, height);
        update(&mut state, Message::Status(Err("what is around analytics.duckdb cannot be read: Permission denied".to_owned())));
        press(&mut state, "3");
        state
    });
    assert_screen("table_error", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 enter");
        update(&mut state, Message::Key(keys::event("s")));
        let (lane, request) = (Lane::Rows, state.requests);
        update(&mut state, Message::Answer { lane, request, answer: Err("stopped after 10 s, the limit".to_owned()) });
        state
    });
}

#[test]
fn what_is_being_waited_for_is_told() {
    assert_screen("history_opening", |width, height| {
        let mut state = started(width, height);
        press(&mut state, "3");
        state
    });
    assert_screen("sql_running", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "5");
        write(&mut state, "FROM orders");
        press(&mut state, "ctrl-r");
        write(&mut state, " ORDER BY value");
        // Not answered: the former answer stays.
        update(&mut state, Message::Key(keys::event("ctrl-r")));
        state
    });
    assert_screen("saving", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 j enter");
        update(&mut state, Message::Save(SaveEvent::Progress { rows: 1_200_000 }));
        state
    });
}

#[test]
fn health_is_in_sight_on_every_screen() {
    let too_old = |status: &mut Status| status.max_age = Some(Duration::from_mins(10));
    let exporting = |status: &mut Status| status.running = Some(running(Step::Stage));
    let refused = |status: &mut Status| status.history.push(refusal());
    let unreadable = |status: &mut Status| status.unreadable = Some("not a DuckDB file".to_owned());
    let mut told = String::new();
    let changes: [&dyn Fn(&mut Status); 5] = [&|_| {}, &too_old, &exporting, &refused, &unreadable];
    for (name, change) in ["fresh", "stale", "exporting", "refused", "unreadable"].into_iter().zip(changes) {
        for keys in ["1", "2", "2 enter", "3", "3 enter", "4", "5", "6"] {
            let mut status = status();
            change(&mut status);
            let mut state = ready_with(80, 24, status);
            press(&mut state, keys);
            let shown = text(&buffer(&state, LOOK));
            told += &format!("{name:<10} {keys:<8} {}\n", shown.lines().next().unwrap());
        }
    }
    assert_snapshot("health_everywhere", &told);
}
