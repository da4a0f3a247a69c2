//! A bound on the memory that one client's buffers occupy.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::watchdog::lock;

/// How often a thread that waits for room checks whether its batch is still wanted.
const ABANDONED_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes that the buffers of one client may occupy together: batches between the engine and the
/// client, and whatever else the client's server keeps for it.
#[derive(Debug)]
pub struct BufferQuota {
    limit: usize,
    used: Mutex<usize>,
    released: Condvar,
}

/// Bytes of a [`BufferQuota`], released when dropped.
#[derive(Debug)]
pub struct Reservation {
    quota: Arc<BufferQuota>,
    bytes: usize,
}

impl BufferQuota {
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::new(0), released: Condvar::new() })
    }

    /// Returns the bytes that may be reserved at the same time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Reserves bytes; returns `None` if fewer are left.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let mut used = lock(&self.used);
        *used = used.checked_add(bytes).filter(|sum| *sum <= self.limit)?;
        Some(Reservation { quota: self.clone(), bytes })
    }

    /// Reserves bytes, and waits for them as long as `may_wait` returns true.
    pub(super) fn reserve_while(
        self: &Arc<Self>,
        bytes: usize,
        may_wait: impl Fn() -> bool,
    ) -> Option<Reservation> {
        loop {
            if let Some(reserved) = self.reserve(bytes) {
                return Some(reserved);
            }
            if bytes > self.limit || !may_wait() {
                return None;
            }
            let used = lock(&self.used);
            drop(
                self.released
                    .wait_timeout(used, ABANDONED_INTERVAL)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *lock(&self.quota.used) -= self.bytes;
        self.quota.released.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_reserved_and_what_is_released_can_be_reserved_again() {
        let quota = BufferQuota::new(10);
        let first = quota.reserve(6).unwrap();
        assert!(quota.reserve(5).is_none());
        assert!(quota.reserve(usize::MAX).is_none());
        let second = quota.reserve(4).unwrap();
        drop(first);
        assert!(quota.reserve(7).is_none());
        assert!(quota.reserve(6).is_some());
        drop(second);
        assert!(quota.reserve_while(11, || true).is_none(), "waiting would not help");
        let all = quota.reserve(10).unwrap();
        assert!(quota.reserve_while(1, || false).is_none());
        std::thread::scope(|threads| {
            threads.spawn(|| drop(all));
            assert!(quota.reserve_while(10, || true).is_some());
        });
    }
}
