//! `/metrics`: the state of the site for Prometheus and `materia tui`.

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

use materia::status::Condition;

use super::{accounts::ACCOUNTS_TIMEOUT, app::AppState, conditions::Conditions};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionName {
    condition: &'static str,
}

/// `/metrics`, on the operators' address.
pub(crate) async fn metrics(
    State(app): State<AppState>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode_registry(&mut text, app.request_metrics.registry());
    let _ = encode_registry(&mut text, &current_values(&app).await);
    let _ = encode_eof(&mut text);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}

/// Collects values that are read on demand instead of counted as they occur.
async fn current_values(app: &AppState) -> Registry {
    let mut registry = Registry::with_prefix("materia");
    register_gauge(
        &mut registry,
        "http_in_flight",
        "Requests in progress",
        app.request_metrics.in_flight(),
    );
    register_gauge(
        &mut registry,
        "event_listeners",
        "Pages that wait for the next generation",
        app.events.listeners() as u64,
    );
    generation(&mut registry, app);
    reader(&mut registry, app);
    let pages = app.page_cache.stats();
    register_gauge(&mut registry, "pages_kept", "Cached pages", pages.cached as u64);
    register_gauge(&mut registry, "pages_kept_bytes", "The memory that they take", pages.bytes);
    register_counter(&mut registry, "pages_hits", "Pages served from the cache", pages.hits);
    register_counter(&mut registry, "pages_misses", "Pages rendered", pages.misses);
    accounts(&mut registry, app).await;
    conditions(&mut registry, app).await;
    registry
}

/// Every condition by name, so that rules can detect the end of each one as well.
async fn conditions(registry: &mut Registry, app: &AppState) {
    let findings = Conditions::current(app).await;
    let family = Family::<ConditionName, Gauge>::default();
    for condition in Condition::ALL {
        let holds = |key: &str| key.split_once(':').map_or(key, |(name, _)| name) == condition;
        let number = findings.iter().filter(|finding| holds(&finding.condition.key())).count();
        family.get_or_create(&ConditionName { condition }).set(signed(number as u64));
    }
    registry.register("condition", "How many problems of each kind there are now", family);
}

fn generation(registry: &mut Registry, app: &AppState) {
    let state = app.reader.state();
    let info = state.generation;
    let at = info.as_ref().map(|info| info.as_of().unwrap_or(info.opened_at));
    let age = at.map_or(-1, |at| app.clock.now().duration_since(at).as_secs());
    registry.register_with_unit(
        "generation_age",
        "Age of the served data; -1 when nothing is served",
        Unit::Seconds,
        gauge(age),
    );
    register_gauge(
        registry,
        "generation_sequence",
        "Generations served since the start",
        info.as_ref().map_or(0, |info| info.sequence),
    );
    register_gauge(
        registry,
        "generation_bytes",
        "Size of the served file",
        info.map_or(0, |info| info.bytes),
    );
    register_gauge(
        registry,
        "reader_problem",
        "1 while the file at the served path cannot be served",
        u64::from(state.problem.is_some()),
    );
    register_gauge(
        registry,
        "storage_problem",
        "1 while data of the served lake is missing or damaged, or its storage does not respond",
        u64::from(state.storage.is_some()),
    );
}

fn reader(registry: &mut Registry, app: &AppState) {
    let reader = app.reader.stats();
    register_gauge(
        registry,
        "reader_pins",
        "Pages, queries and downloads that use the served generation",
        reader.pins as u64,
    );
    register_gauge(
        registry,
        "reader_former_generations",
        "Former generations still in use",
        reader.retired_generations as u64,
    );
    let waiting = Family::<QueueLabel, Gauge>::default();
    let queues = [
        ("short", reader.waiting_short),
        ("long", reader.waiting_long),
        ("streams", reader.waiting_streams),
    ];
    for (lane, jobs) in queues {
        waiting.get_or_create(&QueueLabel { lane }).set(signed(jobs as u64));
    }
    registry.register("reader_waiting", "Queries waiting for a slot", waiting);
    register_gauge(registry, "reader_answers", "Cached results", reader.cached_results as u64);
    register_gauge(
        registry,
        "reader_answers_bytes",
        "The memory that they take",
        reader.cached_bytes,
    );
    register_counter(registry, "reader_hits", "Query results served from the cache", reader.hits);
    register_counter(registry, "reader_misses", "Queries executed", reader.misses);
}

async fn accounts(registry: &mut Registry, app: &AppState) {
    let begun = Instant::now();
    // A scrape does not wait for an unavailable store.
    let signed_in = tokio::time::timeout(ACCOUNTS_TIMEOUT, app.accounts.signed_in_users()).await;
    let signed_in = signed_in.ok().and_then(Result::ok);
    let took = if signed_in.is_some() { begun.elapsed() } else { Duration::ZERO };
    let is_writable = tokio::time::timeout(ACCOUNTS_TIMEOUT, app.accounts.is_healthy()).await;
    let is_writable = is_writable.unwrap_or(false);
    register_gauge(
        registry,
        "store_up",
        "1 while the accounts can be read and written",
        u64::from(signed_in.is_some() && is_writable),
    );
    let seconds = Gauge::<f64, AtomicU64>::default();
    seconds.set(took.as_secs_f64());
    registry.register_with_unit(
        "store_answer",
        "Time of one query of the accounts",
        Unit::Seconds,
        seconds,
    );
    let users = gauge(signed_in.unwrap_or(-1));
    registry.register(
        "signed_in_users",
        "Accounts with a session; -1 when the accounts cannot be read",
        users,
    );
}

fn register_gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, gauge(signed(value)));
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn register_counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
