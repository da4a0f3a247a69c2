//! Load and cache figures of a reader, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reader, follower::read_lock, scheduler::QueueKind, watchdog::lock};

/// Load and cache figures of a reader at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderStats {
    /// Pages, queries and streams that pin the current generation.
    pub pins: usize,
    /// Former generations that are still pinned.
    pub retired_generations: usize,
    /// Queries waiting in the short queue.
    pub waiting_short: usize,
    /// Queries waiting in the long queue.
    pub waiting_long: usize,
    /// Streams waiting in their queue.
    pub waiting_streams: usize,
    /// Cached results of the current generation.
    pub cached_results: usize,
    /// Memory used by the cached results, in bytes.
    pub cached_bytes: u64,
    /// Queries served from a cache since the reader was opened.
    pub hits: u64,
    /// Queries not served from a cache since the reader was opened.
    pub misses: u64,
}

/// Counts cache hits and misses.
#[derive(Default)]
pub(super) struct CacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl CacheCounters {
    pub(super) fn count(&self, hit: bool) {
        let counted = if hit { &self.hits } else { &self.misses };
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Reader {
    /// Returns the current load and cache figures.
    #[must_use]
    pub fn stats(&self) -> ReaderStats {
        let shared = &self.shared;
        let current = read_lock(&shared.current).clone();
        // The references of the reader and of this function are not pins.
        let pins = current
            .as_ref()
            .map_or(0, |generation| std::sync::Arc::strong_count(generation).saturating_sub(2));
        let [waiting_short, waiting_long, waiting_streams] =
            [QueueKind::Short, QueueKind::Long, QueueKind::Stream]
                .map(|kind| shared.scheduler.waiting(kind));
        ReaderStats {
            pins,
            retired_generations: lock(&shared.retired)
                .iter()
                .filter(|retired| retired.generation.strong_count() > 0)
                .count(),
            waiting_short,
            waiting_long,
            waiting_streams,
            cached_results: current.as_ref().map_or(0, |generation| generation.cache.len()),
            cached_bytes: current.as_ref().map_or(0, |generation| generation.cache.weight()),
            hits: shared.cache_counters.hits.load(Ordering::Relaxed),
            misses: shared.cache_counters.misses.load(Ordering::Relaxed),
        }
    }
}
