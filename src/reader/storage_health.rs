//! Chooses the error of a query without a timely result: busy, timed out, or storage unavailable.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    QueryLimits, ReaderError,
    shared::ReaderInner,
    watchdog::{StopReason, lock},
};

/// Time after the last failure during which the storage counts as unavailable.
const OUTAGE_TTL: Duration = Duration::from_secs(30);
/// Time after a failure during which a success is ignored, since some queries need no storage.
/// Longer than the time until the next blocked query is detected.
const MIN_OUTAGE: Duration = Duration::from_secs(2);

/// Health of a lake's storage as observed by queries: the time of the last failure.
#[derive(Default)]
pub(super) struct StorageHealth(Mutex<Option<Instant>>);

impl StorageHealth {
    /// Records that a query failed because of the storage, or does not respond to interrupts while
    /// waiting for it.
    pub(super) fn record_failure(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// Returns whether the storage was recently found to be unavailable.
    pub(super) fn is_out(&self) -> bool {
        lock(&self.0).is_some_and(|at| at.elapsed() < OUTAGE_TTL)
    }

    /// Records that a query succeeded.
    pub(super) fn record_success(&self) {
        lock(&self.0).take_if(|at| at.elapsed() > MIN_OUTAGE);
    }

    /// Returns a storage error instead of `error` if unavailable storage explains it.
    pub(super) fn explain(&self, error: ReaderError) -> ReaderError {
        if lock(&self.0).is_some_and(|at| at.elapsed() < OUTAGE_TTL) {
            ReaderError::StorageUnavailable {
                reason: format!("queries are waiting for it; the last one failed: {error}"),
            }
        } else {
            error
        }
    }
}

/// Returns the error of a stopped query; `None` while it may still produce a result.
pub(super) fn stop_error(
    why: StopReason,
    limits: &QueryLimits,
    away: Option<&StorageHealth>,
) -> Option<ReaderError> {
    let error = match why {
        // A query that ignores interrupts is waiting for the storage of a lake.
        StopReason::Preempted | StopReason::TimedOut => {
            away.inspect(|away| away.record_failure());
            ReaderError::TimedOut { limit: limits.timeout }
        }
        _ => busy_error(limits.queue_timeout),
    };
    (why != StopReason::Preempted)
        .then(|| away.map_or_else(|| error.clone(), |away| away.explain(error.clone())))
}

fn busy_error(waited: Duration) -> ReaderError {
    ReaderError::Busy { retry_after: waited.max(Duration::from_secs(1)) }
}

impl ReaderInner {
    /// Returns the error for a full queue, or the storage error that explains it.
    pub(super) fn busy(&self, waited: Duration) -> ReaderError {
        let busy = busy_error(waited);
        self.storage_health.as_ref().map_or(busy.clone(), |away| away.explain(busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_said_only_while_the_storage_answers() {
        let busy = || ReaderError::Busy { retry_after: Duration::from_secs(1) };
        let away = StorageHealth::default();
        assert_eq!(away.explain(busy()), busy());
        away.record_failure();
        assert!(matches!(away.explain(busy()), ReaderError::StorageUnavailable { .. }));
        // The result may have come from the cache.
        away.record_success();
        assert!(matches!(away.explain(busy()), ReaderError::StorageUnavailable { .. }));
        *lock(&away.0) = Instant::now().checked_sub(MIN_OUTAGE * 2);
        away.record_success();
        assert_eq!(away.explain(busy()), busy());
    }
}
