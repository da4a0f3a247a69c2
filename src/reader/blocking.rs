//! Waiting for a result on a thread without an asynchronous runtime.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

/// How often `stop` is checked while nothing wakes the thread.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a future on this thread until it ends or `stop` returns true; dropping the future then
/// interrupts its queries. `None` when it was stopped. Must not be called from asynchronous code.
pub fn block_on_until<F: Future>(future: F, stop: impl Fn() -> bool) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    while !stop() {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => thread::park_timeout(STOP_CHECK_INTERVAL),
        }
    }
    None
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
