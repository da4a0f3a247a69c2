//! Not everybody waits for a store that is away: while it is, one request at a time tries, and the others go on without it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long nobody tries after an attempt that failed.
const REST: Duration = Duration::from_secs(1);
/// An attempt that did not come back by then was given up.
const LOST: Duration = Duration::from_secs(5);

/// Whether the store is worth waiting for.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When the next one may try; nothing: all is well.
    again: Mutex<Option<Instant>>,
}

impl Patience {
    /// Whether to try. Where it failed before, only one is told so at a time.
    pub(super) fn tries(&self, now: Instant) -> bool {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = *again else { return true };
        if now >= at {
            *again = Some(now + LOST);
        }
        now >= at
    }

    /// What came of trying.
    pub(super) fn learn(&self, now: Instant, well: bool) {
        let again = (!well).then(|| now + REST);
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_store_is_away_one_at_a_time_tries_until_it_is_back() {
        let (patience, now) = (Patience::default(), Instant::now());
        assert!(patience.tries(now) && patience.tries(now), "all is well");
        patience.learn(now, false);
        assert!(!patience.tries(now));
        let now = now + REST;
        assert!(patience.tries(now), "one tries");
        assert!(!patience.tries(now), "nobody else meanwhile");
        let now = now + LOST;
        assert!(patience.tries(now), "the one before was given up without a word");
        patience.learn(now, true);
        assert!(patience.tries(now) && patience.tries(now));
    }
}
