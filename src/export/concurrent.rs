//! Runs two pieces of work concurrently.

use std::{panic::resume_unwind, thread};

/// Runs `other` on a new thread and `own` on the caller's, and returns both results.
pub(super) fn join<A: Send, B>(
    other: impl FnOnce() -> A + Send,
    own: impl FnOnce() -> B,
) -> (A, B) {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let own = own();
        (other.join().unwrap_or_else(|panic| resume_unwind(panic)), own)
    })
}
