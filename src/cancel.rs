//! Cancellation of running work.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A cancellation token, shared by those who may cancel and the work that polls it.
#[derive(Debug, Clone, Default)]
pub struct CancellationToken(Arc<State>);

#[derive(Debug, Default)]
struct State {
    requests: AtomicUsize,
    first_signal: AtomicU8,
    /// Wakes threads in [`CancellationToken::sleep`].
    lock: Mutex<()>,
    requested: Condvar,
}

impl CancellationToken {
    /// Requests cancellation: a running query is interrupted, unfinished files are removed and the
    /// outcome is recorded.
    pub fn cancel(&self) {
        let guard = self.0.lock.lock();
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        drop(guard);
        self.0.requested.notify_all();
    }

    /// Requests cancellation because of a signal.
    pub fn cancel_by_signal(&self, signal: u8) {
        let _ = self.0.first_signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        self.cancel();
    }

    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.requests.load(Ordering::SeqCst) > 0
    }

    /// Returns whether cancellation was requested more than once, which ends the work immediately.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.0.requests.load(Ordering::SeqCst) > 1
    }

    /// Returns the first signal, if there was one.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        Some(self.0.first_signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// Sleeps for `time` or until cancellation; returns whether the full time passed.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> bool {
        // Only a thread that was requesting cancellation can have poisoned the lock.
        let Ok(guard) = self.0.lock.lock() else { return false };
        let _ = self.0.requested.wait_timeout_while(guard, time, |()| !self.is_cancelled());
        !self.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_is_woken_by_a_request_and_learns_the_first_signal() {
        let token = CancellationToken::default();
        assert!(token.sleep(Duration::ZERO) && !token.is_cancelled());
        let other = token.clone();
        let asking = std::thread::spawn(move || {
            other.cancel_by_signal(15);
            other.cancel_by_signal(2);
        });
        assert!(!token.sleep(Duration::from_mins(10)));
        assert!(asking.join().is_ok());
        assert_eq!((token.signal(), token.is_urgent()), (Some(15), true));
    }
}
