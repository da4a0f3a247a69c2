//! How much a reader has to do, and what it remembers: for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reader, follow::read, lanes::LaneKind, watchdog::lock};

/// How much a reader has to do, and what it remembers, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Pages, questions and streams that hold the current generation.
    pub pins: usize,
    /// Former generations that somebody still holds.
    pub former: usize,
    /// Questions that wait for a place in the short lane.
    pub waiting_short: usize,
    /// Questions that wait for a place in the long lane.
    pub waiting_long: usize,
    /// Streams that wait for a place.
    pub waiting_streams: usize,
    /// Answers that are remembered of the current generation.
    pub answers: usize,
    /// The memory that they take, in bytes.
    pub answers_bytes: u64,
    /// Questions that were answered by remembering, since the reader was opened.
    pub hits: u64,
    /// Questions that were not.
    pub misses: u64,
}

/// Counts how often remembering was enough.
#[derive(Default)]
pub(super) struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Counts {
    pub(super) fn count(&self, hit: bool) {
        let counted = if hit { &self.hits } else { &self.misses };
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Reader {
    /// How much it has to do, and what it remembers.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = &self.shared;
        let current = read(&shared.current).clone();
        // The reader's own hold and this one's are no pins.
        let pins = current.as_ref().map_or(0, |generation| std::sync::Arc::strong_count(generation).saturating_sub(2));
        let [waiting_short, waiting_long, waiting_streams] =
            [LaneKind::Short, LaneKind::Long, LaneKind::Stream].map(|kind| shared.lanes.waiting(kind));
        Figures {
            pins,
            former: lock(&shared.retired).iter().filter(|retired| retired.generation.strong_count() > 0).count(),
            waiting_short,
            waiting_long,
            waiting_streams,
            answers: current.as_ref().map_or(0, |generation| generation.cache.len()),
            answers_bytes: current.as_ref().map_or(0, |generation| generation.cache.weight()),
            hits: shared.counts.hits.load(Ordering::Relaxed),
            misses: shared.counts.misses.load(Ordering::Relaxed),
        }
    }
}
