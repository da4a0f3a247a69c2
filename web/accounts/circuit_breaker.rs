//! A circuit breaker for session lookups: while the store does not respond, one request at a time
//! probes it and the others are served without a session.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long the circuit stays open after a failed attempt.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// A probe without an outcome after this time is considered lost.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Closed while the store responds; open, with occasional probes, while it does not.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    /// When the next probe may start; `None` while the circuit is closed.
    retry_at: Mutex<Option<Instant>>,
}

impl CircuitBreaker {
    /// Returns whether to query the store. While the circuit is open, only one caller at a time
    /// may.
    pub(super) fn try_acquire(&self, now: Instant) -> bool {
        let mut retry_at = self.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = *retry_at else { return true };
        if now >= at {
            *retry_at = Some(now + PROBE_TIMEOUT);
        }
        now >= at
    }

    /// Records the outcome of an attempt.
    pub(super) fn record(&self, now: Instant, well: bool) {
        let retry_at = (!well).then(|| now + OPEN_FOR);
        *self.retry_at.lock().unwrap_or_else(PoisonError::into_inner) = retry_at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_store_is_away_one_at_a_time_tries_until_it_is_back() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        assert!(breaker.try_acquire(now) && breaker.try_acquire(now), "all is well");
        breaker.record(now, false);
        assert!(!breaker.try_acquire(now));
        let now = now + OPEN_FOR;
        assert!(breaker.try_acquire(now), "one tries");
        assert!(!breaker.try_acquire(now), "nobody else meanwhile");
        let now = now + PROBE_TIMEOUT;
        assert!(breaker.try_acquire(now), "the one before was given up without a word");
        breaker.record(now, true);
        assert!(breaker.try_acquire(now) && breaker.try_acquire(now));
    }
}
