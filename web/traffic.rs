//! What the site has been asked: counted for Prometheus and for the operators' page, and written to the log.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tracing::Instrument;

use super::app::App;

/// How many minutes are remembered.
const MINUTES: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// What the site has been asked.
pub(crate) struct Traffic {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Route, Histogram>,
    in_flight: AtomicU64,
    minutes: Mutex<[Minute; MINUTES]>,
    started: Instant,
}

/// One minute of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// Counted from the start of the process.
    pub(crate) number: u64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// Those with 500 and above.
    pub(crate) failures: u64,
    /// What they took together.
    pub(crate) took: Duration,
    /// What the slowest took.
    pub(crate) slowest: Duration,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("materia");
        let requests = Family::<Labels, Counter>::default();
        let seconds = Family::<Route, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16)));
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit("http_request_duration", "Time to the response's head", Unit::Seconds, seconds.clone());
        Self {
            registry,
            requests,
            seconds,
            in_flight: AtomicU64::new(0),
            minutes: Mutex::new([Minute::default(); MINUTES]),
            started: Instant::now(),
        }
    }

    fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = Labels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
        let number = self.started.elapsed().as_secs() / 60;
        let place = usize::try_from(number).unwrap_or_default() % MINUTES;
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = &mut minutes[place];
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        minute.requests += 1;
        minute.failures += u64::from(status >= 500);
        minute.took += took;
        minute.slowest = minute.slowest.max(took);
    }

    /// The last hour by minutes, the oldest first; minutes without requests are left out.
    pub(crate) fn lately(&self) -> Vec<Minute> {
        let now = self.started.elapsed().as_secs() / 60;
        let minutes = *self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known: Vec<_> =
            minutes.into_iter().filter(|minute| minute.requests > 0 && minute.number + (MINUTES as u64) > now).collect();
        known.sort_by_key(|minute| minute.number);
        known
    }

    /// Requests being answered right now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long the process has been serving.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is counted as it happens.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Counts while it lives, also when the client goes away.
struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives every request an id, counts it, and writes a line about it. Queries are left out of the line: they may hold what only the viewer should know.
pub(crate) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = format!("{:016x}", fastrand::u64(..));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    app.traffic.in_flight.fetch_add(1, Ordering::Relaxed);
    let flight = InFlight(&app.traffic.in_flight);
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(flight);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.traffic.count(&route, method.as_str(), status, took);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    let ms = took.as_secs_f64() * 1_000.0;
    span.in_scope(|| match status {
        500.. => tracing::warn!(%method, path, status, ms, "answered"),
        _ if matches!(path.as_str(), "/health" | "/ready") || path.starts_with("/assets/") => {
            tracing::debug!(%method, path, status, ms, "answered");
        }
        _ => tracing::info!(%method, path, status, ms, "answered"),
    });
    response
}
