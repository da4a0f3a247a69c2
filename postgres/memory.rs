//! What the server keeps for one connection, within `[postgres] connection_memory`.
//!
//! Prepared statements, the values of portals, and rows between the engine and the client share one
//! quota. A message or a setting has a limit of its own, as it is not kept or small. What DuckDB
//! needs to run a statement belongs to the plan's engine.

use std::sync::Arc;

use materia::{
    humanize,
    reader::{BufferQuota, Reservation},
};

use crate::error::{OUT_OF_MEMORY, PROGRAM_LIMIT_EXCEEDED, SqlError};

/// What every kept thing occupies besides its text.
const OVERHEAD: usize = 512;

pub(crate) struct ConnectionMemory(Arc<BufferQuota>);

impl ConnectionMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(BufferQuota::new(bytes))
    }

    pub(crate) fn quota(&self) -> Arc<BufferQuota> {
        self.0.clone()
    }

    /// Returns the length of the longest message that a client may send.
    pub(crate) fn max_message(&self) -> usize {
        self.0.limit() / 4
    }

    /// Reserves memory for `what`, until the returned value is dropped.
    pub(crate) fn keep(&self, what: &str, bytes: usize) -> Result<Reservation, SqlError> {
        self.0.reserve(bytes.saturating_add(OVERHEAD)).ok_or_else(|| {
            let limit = humanize::bytes(self.0.limit() as u64);
            exhausted(&format!("out of memory: {what} would exceed the {limit} of a connection"))
        })
    }

    /// Refuses a row that is longer than everything that a connection may keep.
    pub(crate) fn check_row(&self, bytes: usize) -> Result<(), SqlError> {
        if bytes <= self.0.limit() {
            return Ok(());
        }
        let [own, limit] = [bytes, self.0.limit()].map(|bytes| humanize::bytes(bytes as u64));
        Err(too_large(&format!("a row has {own}; a connection has {limit}")))
    }
}

/// The error of something that would fit if other things were not kept.
pub(crate) fn exhausted(message: &str) -> SqlError {
    SqlError::new(OUT_OF_MEMORY, message)
        .hint("Close cursors and prepared statements that are not needed any more.")
}

/// The error of something that never fits.
pub(crate) fn too_large(message: &str) -> SqlError {
    SqlError::new(PROGRAM_LIMIT_EXCEEDED, message)
        .hint("Select fewer columns, or shorter values; whole tables are downloads of the site.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_dropped_makes_room() {
        let memory = ConnectionMemory::new(10 * OVERHEAD);
        let kept: Vec<_> = (0..10).map(|_| memory.keep("a statement", 0).unwrap()).collect();
        let refused = memory.keep("a statement", 0).unwrap_err();
        assert_eq!(refused.code, "53200");
        assert!(refused.message.contains("a statement would exceed the 5.12 kB"), "{refused:?}");
        drop(kept);
        assert!(memory.keep("a statement", 9 * OVERHEAD).is_ok());
        assert_eq!(memory.keep("a statement", usize::MAX).unwrap_err().code, "53200");
        assert!(memory.check_row(10 * OVERHEAD).is_ok());
        assert_eq!(memory.check_row(10 * OVERHEAD + 1).unwrap_err().code, "54000");
    }
}
