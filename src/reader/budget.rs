//! A shared budget for related queries, such as the panels of one dashboard.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{QueryResult, ReaderError};

/// One deadline and one memory budget for all queries of a [`super::Pin`]; see
/// [`super::Pin::with_budget`].
#[derive(Debug)]
pub struct Budget {
    time: Duration,
    until: Instant,
    bytes: usize,
    bytes_left: AtomicUsize,
    /// The engine limits memory per query, so bounding the number of concurrent queries bounds
    /// their total.
    permits: Semaphore,
}

impl Budget {
    /// Returns the budget of one dashboard: 20 s from now, 128 MB of results as Arrow, and two
    /// concurrent queries.
    #[must_use]
    pub fn dashboard() -> Self {
        Self::new(Duration::from_secs(20), 128 << 20, 2)
    }

    /// Returns a budget that ends `time` from now and allows `bytes` of results as Arrow and
    /// `concurrent` queries in the engine at the same time.
    #[must_use]
    pub fn new(time: Duration, bytes: usize, concurrent: usize) -> Self {
        Self {
            time,
            until: Instant::now() + time,
            bytes,
            bytes_left: AtomicUsize::new(bytes),
            permits: Semaphore::new(concurrent),
        }
    }

    /// Waits for a permit. Every holder ends by the deadline, so no waiter waits beyond it.
    pub(super) async fn acquire(
        budget: Option<&Self>,
    ) -> Result<Option<SemaphorePermit<'_>>, ReaderError> {
        let Some(budget) = budget else { return Ok(None) };
        let permit = budget.permits.acquire().await.map_err(|_| budget.time_error())?;
        if Instant::now() >= budget.until { Err(budget.time_error()) } else { Ok(Some(permit)) }
    }

    /// Returns the deadline of every query of this budget.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Charges the size of a result to the budget, or refuses it. A query stopped at the shared
    /// deadline gets a different error from one that exceeded its own timeout.
    pub(super) fn charge(
        &self,
        outcome: Result<Arc<QueryResult>, ReaderError>,
    ) -> Result<Arc<QueryResult>, ReaderError> {
        match outcome {
            Ok(answer) => {
                let enough = |left: usize| left.checked_sub(answer.bytes);
                self.bytes_left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough)
                    .map_err(|_| ReaderError::OverBudget {
                        what: crate::humanize::bytes(self.bytes as u64),
                    })?;
                Ok(answer)
            }
            Err(ReaderError::TimedOut { .. } | ReaderError::Busy { .. })
                if Instant::now() >= self.until =>
            {
                Err(self.time_error())
            }
            Err(error) => Err(error),
        }
    }

    fn time_error(&self) -> ReaderError {
        ReaderError::OverBudget { what: crate::humanize::duration(self.time) }
    }
}
