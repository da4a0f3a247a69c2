//! Enforces deadlines: one thread fails queries that queue for too long and interrupts those that
//! run for too long. It also lowers the priority of threads that run one for long.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use duckdb::InterruptHandle;
use rustix::process::Pid;

use super::priority;

/// DuckDB drops an interrupt that arrives before the query has begun, so it is repeated at this
/// interval until the query has ended.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(10);

/// Time after an interrupt at which the caller gets its error although the query still runs: a wait
/// for a remote host ignores interrupts, and its thread is released only when the network times
/// out.
const INTERRUPT_GRACE: Duration = Duration::from_millis(500);

/// Reason why a query was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// No worker took the query within its queue timeout.
    QueueTimeout,
    /// The query exceeded its time limit.
    TimedOut,
    /// The query exceeded its time slice while others wait.
    Preempted,
    /// No caller waits for the result any more.
    Abandoned,
    /// The generation was closed.
    Retired,
}

/// The state of one query in the queue and the engine.
pub(super) struct Ticket {
    state: Mutex<TicketState>,
    watchdog: Arc<Watchdog>,
    /// Replies that no worker will run the query, or that the engine does not release it after its
    /// deadline or its preemption. May be called repeatedly.
    on_abandon: Box<dyn Fn(StopReason) + Send + Sync>,
}

struct TicketState {
    phase: Phase,
    why: Option<StopReason>,
    /// Whether the thread of the query has a lower priority now.
    is_lowered: bool,
}

enum Phase {
    Queued {
        until: Instant,
    },
    Running {
        interrupt: Arc<InterruptHandle>,
        deadline: Instant,
        preempt: Option<Instant>,
        lower: Option<Lowering>,
    },
    Over,
}

/// When a thread gets a lower priority.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lowering {
    pub(super) at: Instant,
    pub(super) thread: Pid,
}

impl Ticket {
    pub(super) fn queued(
        until: Instant,
        watchdog: &Arc<Watchdog>,
        on_abandon: Box<dyn Fn(StopReason) + Send + Sync>,
    ) -> Arc<Self> {
        let state = TicketState { phase: Phase::Queued { until }, why: None, is_lowered: false };
        let ticket =
            Arc::new(Self { state: Mutex::new(state), watchdog: watchdog.clone(), on_abandon });
        watchdog.add(&ticket, until);
        ticket
    }

    /// Marks the query as running. Returns `false` when it has already been stopped.
    pub(super) fn begin(
        &self,
        interrupt: Arc<InterruptHandle>,
        deadline: Instant,
        preempt: Option<Instant>,
        lower: Option<Lowering>,
    ) -> bool {
        let mut state = lock(&self.state);
        if state.why.is_some() || matches!(state.phase, Phase::Over) {
            return false;
        }
        state.phase = Phase::Running { interrupt, deadline, preempt, lower };
        drop(state);
        let lower = lower.map(|lower| lower.at);
        self.watchdog.wake_by(preempt.into_iter().chain(lower).fold(deadline, Instant::min));
        true
    }

    /// Marks the query as ended and returns why it was stopped, if it was. Neither an interrupt nor
    /// a lower priority arrives after this.
    pub(super) fn end(&self) -> Option<StopReason> {
        let mut state = lock(&self.state);
        state.phase = Phase::Over;
        state.why
    }

    /// Returns whether the thread that ran the query has a lower priority since.
    pub(super) fn has_lowered(&self) -> bool {
        lock(&self.state).is_lowered
    }

    /// Returns a preempted query to a queue. Returns `false` when it has been stopped meanwhile.
    pub(super) fn queue_again(self: &Arc<Self>, until: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.why != Some(StopReason::Preempted) {
            return false;
        }
        *state = TicketState { phase: Phase::Queued { until }, why: None, is_lowered: false };
        drop(state);
        self.watchdog.add(self, until);
        true
    }

    /// Stops the query in whichever phase it is.
    pub(super) fn stop(&self, why: StopReason) {
        let mut state = lock(&self.state);
        if matches!(state.why, None | Some(StopReason::Preempted)) {
            state.why = Some(why);
        }
        if let Phase::Running { interrupt, .. } = &state.phase {
            interrupt.interrupt();
        }
        drop(state);
        self.watchdog.wake_by(Instant::now() + INTERRUPT_INTERVAL);
    }

    /// Performs the actions that are due and returns when to check again; `None` when nothing is
    /// left to watch.
    fn check(&self, now: Instant) -> Option<Instant> {
        let mut state = lock(&self.state);
        let TicketState { phase, why, is_lowered } = &mut *state;
        match phase {
            Phase::Over => None,
            Phase::Queued { until } if *until > now && why.is_none() => Some(*until),
            Phase::Queued { .. } => {
                if *why.get_or_insert(StopReason::QueueTimeout) == StopReason::QueueTimeout {
                    (self.on_abandon)(StopReason::QueueTimeout);
                }
                *phase = Phase::Over;
                None
            }
            Phase::Running { interrupt, deadline, preempt, lower } => {
                if let Some(due) = lower.take_if(|lower| lower.at <= now) {
                    *is_lowered = priority::lower(due.thread);
                }
                // The deadline also applies to a preempted query that ignores its interrupt.
                if matches!(why, None | Some(StopReason::Preempted)) && *deadline <= now {
                    *why = Some(StopReason::TimedOut);
                }
                if why.is_none() && preempt.is_some_and(|preempt| preempt <= now) {
                    *why = Some(StopReason::Preempted);
                }
                let interrupted_at = match why {
                    Some(StopReason::TimedOut) => Some(*deadline),
                    Some(StopReason::Preempted) => *preempt,
                    _ => None,
                };
                if let (Some(why), Some(_)) = (
                    *why,
                    interrupted_at
                        .filter(|interrupted_at| *interrupted_at + INTERRUPT_GRACE <= now),
                ) {
                    (self.on_abandon)(why);
                }
                if why.is_some() {
                    interrupt.interrupt();
                    return Some(now + INTERRUPT_INTERVAL);
                }
                let lower = lower.map(|lower| lower.at);
                Some(preempt.iter().copied().chain(lower).fold(*deadline, Instant::min))
            }
        }
    }
}

/// The watchdog thread and its watched tickets.
pub(super) struct Watchdog {
    watched: Mutex<Watched>,
    changed: Condvar,
}

struct Watched {
    tickets: Vec<Arc<Ticket>>,
    /// The next wake-up time of the thread.
    next: Instant,
    over: bool,
}

impl Watchdog {
    pub(super) fn start() -> std::io::Result<Arc<Self>> {
        let watched = Watched { tickets: Vec::new(), next: Instant::now(), over: false };
        let watchdog = Arc::new(Self { watched: Mutex::new(watched), changed: Condvar::new() });
        let own = watchdog.clone();
        std::thread::Builder::new().name("reader-watchdog".to_owned()).spawn(move || own.run())?;
        Ok(watchdog)
    }

    pub(super) fn stop(&self) {
        lock(&self.watched).over = true;
        self.changed.notify_all();
    }

    fn add(&self, ticket: &Arc<Ticket>, due: Instant) {
        let mut watched = lock(&self.watched);
        watched.tickets.push(ticket.clone());
        self.wake(watched, due);
    }

    fn wake_by(&self, due: Instant) {
        let watched = lock(&self.watched);
        self.wake(watched, due);
    }

    /// Wakes the thread only if `due` is before its next wake-up: a wake-up costs more than most
    /// queries.
    fn wake(&self, mut watched: MutexGuard<'_, Watched>, due: Instant) {
        if due < watched.next {
            watched.next = due;
            drop(watched);
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        const IDLE_WAIT: Duration = Duration::from_hours(1);
        let mut watched = lock(&self.watched);
        while !watched.over {
            let now = Instant::now();
            let mut next = now + IDLE_WAIT;
            watched.tickets.retain(|ticket| match ticket.check(now) {
                Some(due) => {
                    next = next.min(due);
                    true
                }
                None => false,
            });
            watched.next = next;
            let wait = next.saturating_duration_since(Instant::now());
            watched =
                self.changed.wait_timeout(watched, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Locks a mutex and ignores poisoning: nothing here can panic between two dependent writes, so the
/// state is consistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
