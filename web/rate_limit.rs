//! The rate limit of requests per client.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

use super::{app::AppState, client_ip::ClientIp, error::WebError};

/// Counts the recent requests of each client's network; `None` where there is no limit.
pub(crate) struct RateLimit(Option<DefaultKeyedRateLimiter<IpAddr>>);

impl RateLimit {
    /// Allows `per_minute` requests a minute in the long run and bursts of a fifth of them.
    pub(crate) fn new(per_minute: Option<NonZeroU32>) -> Self {
        Self(per_minute.map(|rate| {
            let burst = NonZeroU32::new(rate.get() / 5).unwrap_or(NonZeroU32::MIN);
            DefaultKeyedRateLimiter::keyed(Quota::per_minute(rate).allow_burst(burst))
        }))
    }

    fn check(&self, client: ClientIp) -> Result<(), WebError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&client.network()).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            // Whole seconds, as the header requires, rounded up.
            WebError::RateLimited { retry_after: Duration::from_secs(wait.as_secs() + 1) }
        })
    }

    /// Drops the counters of clients that have their full limit again.
    pub(crate) fn retain_recent(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Refuses the request of a client that made too many.
pub(crate) async fn enforce_rate_limit(
    State(app): State<AppState>,
    client: ClientIp,
    request: Request,
    next: Next,
) -> Result<Response, WebError> {
    let path = request.uri().path();
    // Probes are frequent, and a page loads several assets at a time.
    if !(path.starts_with("/assets/") || matches!(path, "/health" | "/ready")) {
        app.rate_limit.check(client)?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_affected() {
        let limit = RateLimit::new(NonZeroU32::new(10));
        let [one, other] =
            ["2001:db8::1", "2001:db8:0:1::1"].map(|ip| ClientIp(ip.parse().unwrap()));
        let neighbor = ClientIp("2001:db8::2".parse().unwrap());
        assert_eq!((limit.check(one), limit.check(one)), (Ok(()), Ok(())));
        assert!(
            matches!(limit.check(neighbor), Err(WebError::RateLimited { retry_after }) if retry_after >= Duration::from_secs(1))
        );
        assert_eq!(limit.check(other), Ok(()));
    }
}
