//! The history screen: every attempt, and the one or the two that are open.

use materia::{export::Record, status::Status, target::GenerationId};

use super::list::Cursor;

#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryScreen {
    pub(crate) cursor: Cursor,
    pub(crate) marked: Option<GenerationId>,
    pub(crate) open: Option<Open>,
    /// First line shown of what is open.
    pub(crate) scroll: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Open {
    Attempt(GenerationId),
    /// Older and newer.
    Compared(GenerationId, GenerationId),
}

impl HistoryScreen {
    /// The attempt one is on; the newest comes first.
    pub(crate) fn current<'a>(&self, status: &'a Status) -> Option<&'a Record> {
        status.history.len().checked_sub(self.cursor.at + 1).and_then(|at| status.history.get(at))
    }

    /// The attempt that rolling back, pinning and copying are about.
    pub(crate) fn subject<'a>(&self, status: &'a Status) -> Option<&'a Record> {
        match &self.open {
            Some(Open::Attempt(id) | Open::Compared(_, id)) => record(status, id),
            None => self.current(status),
        }
    }
}

/// An attempt by its id.
pub(crate) fn record<'a>(status: &'a Status, id: &GenerationId) -> Option<&'a Record> {
    status.history.iter().rev().find(|record| record.id == *id)
}

/// The newest attempt that published or served `generation`.
pub(crate) fn of_generation<'a>(status: &'a Status, generation: &GenerationId) -> Option<&'a Record> {
    let served = |record: &&Record| record.generation.as_ref() == Some(generation);
    // The export itself knows more than a later rollback to it.
    record(status, generation).filter(served).or_else(|| status.history.iter().rev().find(served))
}
