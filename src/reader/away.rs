//! What is told who gets no answer in time: that much is being asked, that it took too long, or that a lake's storage does not answer.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    Limits, ReaderError,
    shared::Shared,
    watchdog::{Why, lock},
};

/// For how long nothing better is believed without news.
const BELIEVED: Duration = Duration::from_secs(30);
/// So soon after bad news an answer proves nothing: some need no storage. Longer than it takes until the next question is found to wait.
const UNPROVEN: Duration = Duration::from_secs(2);

/// Whether a lake's storage answers, as far as questions tell: when it was last found not to answer.
#[derive(Default)]
pub(super) struct Away(Mutex<Option<Instant>>);

impl Away {
    /// A question failed because of it, or waits for it and hears nothing.
    pub(super) fn note(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// A question was answered.
    pub(super) fn is_back(&self) {
        lock(&self.0).take_if(|at| at.elapsed() > UNPROVEN);
    }

    /// Says so instead of `error` where that is the reason for it.
    pub(super) fn or(&self, error: ReaderError) -> ReaderError {
        if lock(&self.0).is_some_and(|at| at.elapsed() < BELIEVED) {
            ReaderError::Away { reason: format!("questions wait for it; this one got {error}") }
        } else {
            error
        }
    }
}

/// What to tell who asked; nothing while there may still be an answer.
pub(super) fn given_up(why: Why, limits: &Limits, away: Option<&Away>) -> Option<ReaderError> {
    let error = match why {
        // It hears no interrupt: in a lake, since it waits for the storage.
        Why::Preempted | Why::TimedOut => {
            away.inspect(|away| away.note());
            ReaderError::TimedOut { limit: limits.time }
        }
        _ => busy(limits.wait),
    };
    (why != Why::Preempted).then(|| away.map_or_else(|| error.clone(), |away| away.or(error.clone())))
}

fn busy(waited: Duration) -> ReaderError {
    ReaderError::Busy { retry_after: waited.max(Duration::from_secs(1)) }
}

impl Shared {
    /// That there is no place for a question; or why there is none.
    pub(super) fn busy(&self, waited: Duration) -> ReaderError {
        let busy = busy(waited);
        self.away.as_ref().map_or(busy.clone(), |away| away.or(busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_said_only_while_the_storage_answers() {
        let busy = || ReaderError::Busy { retry_after: Duration::from_secs(1) };
        let away = Away::default();
        assert_eq!(away.or(busy()), busy());
        away.note();
        assert!(matches!(away.or(busy()), ReaderError::Away { .. }));
        // What was answered may have been in memory.
        away.is_back();
        assert!(matches!(away.or(busy()), ReaderError::Away { .. }));
        *lock(&away.0) = Instant::now().checked_sub(UNPROVEN * 2);
        away.is_back();
        assert_eq!(away.or(busy()), busy());
    }
}
