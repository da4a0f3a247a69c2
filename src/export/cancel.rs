//! Stopping an attempt from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::ExportError;

/// A request to stop, shared between whoever may ask for it and the attempt.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the attempt to stop: the running query is interrupted, the staged file removed, the attempt recorded.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn check(&self) -> Result<(), ExportError> {
        if self.requested() { Err(ExportError::Interrupted) } else { Ok(()) }
    }
}
