//! Two things at the same time.

use std::{panic::resume_unwind, thread};

/// Does `other` on a thread of its own while the caller's does `own`, and returns what came of both.
pub(super) fn side_by_side<A: Send, B>(other: impl FnOnce() -> A + Send, own: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let own = own();
        (other.join().unwrap_or_else(|panic| resume_unwind(panic)), own)
    })
}
