//! Request metrics for Prometheus and the operators' pages, and the request log.

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

use super::{app::AppState, view_counter::ViewCounter};

/// Maximum number of requests logged per second; beyond it, only failures are logged.
const MAX_LOGGED_PER_SECOND: u64 = 50;
/// The number of recorded minutes.
const MINUTES: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

pub(crate) struct RequestMetrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<RouteLabel, Histogram>,
    in_flight: AtomicU64,
    minutes: Mutex<[Minute; MINUTES]>,
    log_sampler: LogSampler,
    started: Instant,
}

/// Limits the request log: at a high rate, logging would dominate the work and the disk usage.
#[derive(Debug, Default)]
struct LogSampler(Mutex<Sample>);

#[derive(Debug, Default)]
struct Sample {
    /// The second since the start of the process.
    second: u64,
    requests: u64,
    /// Requests since the last line that were not logged.
    skipped: u64,
}

impl LogSampler {
    /// Returns whether to log a request, and the number of those skipped before it.
    fn sample(&self, second: u64) -> Option<u64> {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sample.second != second {
            (sample.second, sample.requests) = (second, 0);
        }
        sample.requests += 1;
        if sample.requests <= MAX_LOGGED_PER_SECOND {
            return Some(std::mem::take(&mut sample.skipped));
        }
        sample.skipped += 1;
        None
    }
}

/// The requests of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// The minute since the start of the process.
    pub(crate) number: u64,
    pub(crate) requests: u64,
    /// Responses with a status of 500 or above.
    pub(crate) failures: u64,
    /// The sum of their durations.
    pub(crate) took: Duration,
    pub(crate) slowest: Duration,
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("materia");
        let requests = Family::<Labels, Counter>::default();
        let seconds = Family::<RouteLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
        });
        registry.register("http_requests", "Responses sent", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time to the response's head",
            Unit::Seconds,
            seconds.clone(),
        );
        Self {
            registry,
            requests,
            seconds,
            in_flight: AtomicU64::new(0),
            minutes: Mutex::new([Minute::default(); MINUTES]),
            log_sampler: LogSampler::default(),
            started: Instant::now(),
        }
    }

    fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = Labels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&RouteLabel { route: route.to_owned() })
            .observe(took.as_secs_f64());
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

    /// Returns the last hour by minutes, oldest first, without minutes that had no requests.
    pub(crate) fn last_hour(&self) -> Vec<Minute> {
        let now = self.started.elapsed().as_secs() / 60;
        let minutes = *self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known: Vec<_> = minutes
            .into_iter()
            .filter(|minute| minute.requests > 0 && minute.number + (MINUTES as u64) > now)
            .collect();
        known.sort_by_key(|minute| minute.number);
        known
    }

    /// Returns the number of requests in progress.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns how long the process has been serving.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the metrics that are counted as they occur.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Counts a request while it exists, even if the client disconnects.
struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives every request an id, counts and logs it. Query strings are not logged: they may contain
/// confidential values.
pub(crate) async fn track(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = format!("{:016x}", fastrand::u64(..));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let opened = ViewCounter::opened(&request);
    app.request_metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let flight = InFlight(&app.request_metrics.in_flight);
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(flight);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.request_metrics.count(&route, method.as_str(), status, took);
    if let Some(dashboard) = opened.filter(|_| matches!(status, 200 | 304)) {
        app.view_counter.add(dashboard);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    let ms = took.as_secs_f64() * 1_000.0;
    let is_frequent = matches!(path.as_str(), "/health" | "/ready") || path.starts_with("/assets/");
    span.in_scope(|| match status {
        500.. => tracing::warn!(%method, path, status, ms, "answered"),
        _ if is_frequent => tracing::debug!(%method, path, status, ms, "answered"),
        _ => match app.request_metrics.log_sampler.sample(app.request_metrics.uptime().as_secs()) {
            Some(0) => tracing::info!(%method, path, status, ms, "answered"),
            Some(skipped) => tracing::info!(%method, path, status, ms, skipped, "answered"),
            None => {}
        },
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_a_rate_requests_are_counted_in_the_log_instead_of_listed() {
        let sampler = LogSampler::default();
        let logged = (0..1_000).filter(|_| sampler.sample(7).is_some()).count() as u64;
        assert_eq!(logged, MAX_LOGGED_PER_SECOND);
        assert_eq!(sampler.sample(8), Some(1_000 - MAX_LOGGED_PER_SECOND));
        assert_eq!(sampler.sample(8), Some(0));
    }
}
