//! `/metrics`: how the site does, for Prometheus and for `materia tui`.

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use axum::{extract::State, http::header};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::app::App;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lane {
    lane: &'static str,
}

/// `/metrics`, on the operators' address.
pub(crate) async fn metrics(State(app): State<App>) -> ([(header::HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode_registry(&mut text, app.traffic.registry());
    let _ = encode_registry(&mut text, &now(&app).await);
    let _ = encode_eof(&mut text);
    ([(header::CONTENT_TYPE, KIND)], text)
}

/// What is so now, rather than counted as it happens.
async fn now(app: &App) -> Registry {
    let mut registry = Registry::with_prefix("materia");
    number(&mut registry, "http_in_flight", "Requests being answered", app.traffic.in_flight());
    number(&mut registry, "event_listeners", "Pages that wait for the next generation", app.events.listeners() as u64);
    generation(&mut registry, app);
    reader(&mut registry, app);
    let pages = app.pages.figures();
    number(&mut registry, "pages_kept", "Drawn pages that are kept", pages.kept as u64);
    number(&mut registry, "pages_kept_bytes", "The memory that they take", pages.bytes);
    count(&mut registry, "pages_hits", "Requests for pages that needed no drawing", pages.hits);
    count(&mut registry, "pages_misses", "Requests for pages that did", pages.misses);
    accounts(&mut registry, app).await;
    registry
}

fn generation(registry: &mut Registry, app: &App) {
    let state = app.reader.state();
    let info = state.generation;
    let at = info.as_ref().map(|info| info.as_of().unwrap_or(info.opened_at));
    let age = at.map_or(-1, |at| app.clock.now().duration_since(at).as_secs());
    registry.register_with_unit("generation_age", "Age of the served data; -1 when nothing is served", Unit::Seconds, gauge(age));
    number(registry, "generation_sequence", "Generations served since the start", info.as_ref().map_or(0, |info| info.sequence));
    number(registry, "generation_bytes", "Size of the served file", info.map_or(0, |info| info.bytes));
    number(registry, "reader_problem", "1 while what stands at the served path cannot be served", u64::from(state.problem.is_some()));
}

fn reader(registry: &mut Registry, app: &App) {
    let reader = app.reader.figures();
    number(registry, "reader_pins", "Pages, questions and downloads that hold the served generation", reader.pins as u64);
    number(registry, "reader_former_generations", "Former generations that somebody still holds", reader.former as u64);
    let waiting = Family::<Lane, Gauge>::default();
    let lanes = [("short", reader.waiting_short), ("long", reader.waiting_long), ("streams", reader.waiting_streams)];
    for (lane, jobs) in lanes {
        waiting.get_or_create(&Lane { lane }).set(signed(jobs as u64));
    }
    registry.register("reader_waiting", "Questions that wait for their turn", waiting);
    number(registry, "reader_answers", "Answers that are remembered", reader.answers as u64);
    number(registry, "reader_answers_bytes", "The memory that they take", reader.answers_bytes);
    count(registry, "reader_hits", "Questions that were answered by remembering", reader.hits);
    count(registry, "reader_misses", "Questions that were asked", reader.misses);
}

async fn accounts(registry: &mut Registry, app: &App) {
    let begun = Instant::now();
    let signed_in = app.accounts.signed_in_users().await;
    let took = if signed_in.is_ok() { begun.elapsed() } else { Duration::ZERO };
    number(registry, "store_up", "1 while the accounts can be read", u64::from(signed_in.is_ok()));
    let seconds = Gauge::<f64, AtomicU64>::default();
    seconds.set(took.as_secs_f64());
    registry.register_with_unit("store_answer", "Time that the accounts took to answer one question", Unit::Seconds, seconds);
    let users = gauge(signed_in.unwrap_or(-1));
    registry.register("signed_in_users", "Accounts with a session; -1 when the accounts cannot be read", users);
}

fn number(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, gauge(signed(value)));
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
