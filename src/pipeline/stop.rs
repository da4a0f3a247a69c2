//! Stopping pipelines from outside.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A request to stop, shared between whoever may ask for it and what runs. The first signal is passed on to the running group, a second
/// one kills it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    first: AtomicU8,
    times: AtomicUsize,
    /// Wakes whoever waits between two attempts.
    turn: Mutex<()>,
    bell: Condvar,
}

impl Stop {
    /// Asks to stop because of this signal.
    pub fn ask(&self, signal: u8) {
        let guard = self.0.turn.lock();
        let _ = self.0.first.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        self.0.times.fetch_add(1, Ordering::SeqCst);
        drop(guard);
        self.0.bell.notify_all();
    }

    /// The first signal, if there was one.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        Some(self.0.first.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// Whether somebody asked more than once.
    pub(super) fn is_urgent(&self) -> bool {
        self.0.times.load(Ordering::SeqCst) > 1
    }

    /// Waits, and tells whether nobody asked meanwhile.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        // A thread that panicked while it asked has asked.
        let Ok(guard) = self.0.turn.lock() else { return false };
        let _ = self.0.bell.wait_timeout_while(guard, time, |()| self.signal().is_none());
        self.signal().is_none()
    }
}
