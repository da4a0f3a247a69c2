//! Deadlines: one thread ends the wait of questions that queue too long and interrupts those that run too long.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use duckdb::InterruptHandle;

/// DuckDB forgets an interrupt that arrives before the query has begun: it is repeated until the query has ended.
const REPEAT: Duration = Duration::from_millis(10);

/// What waits for a machine that does not answer hears no interrupt. Whoever asked is let go after this; the thread when the network gives up.
const STUCK: Duration = Duration::from_millis(500);

/// Why a question was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody took it up within its waiting time.
    Expired,
    /// It ran longer than it may.
    TimedOut,
    /// It ran longer than short questions do, and has to make room for them.
    Preempted,
    /// Nobody waits for the answer any more.
    Abandoned,
    /// Its generation had to be closed.
    Retired,
}

/// One question's way through the queue and the engine.
pub(super) struct Ticket {
    state: Mutex<State>,
    watchdog: Arc<Watchdog>,
    /// Tells the asker that nobody will take the question up, or that the engine does not let go of it: after its time, or when it was only to make
    /// room for others. May be told again and again.
    give_up: Box<dyn Fn(Why) + Send + Sync>,
}

struct State {
    phase: Phase,
    why: Option<Why>,
}

enum Phase {
    Queued { until: Instant },
    Running { interrupt: Arc<InterruptHandle>, deadline: Instant, preempt: Option<Instant> },
    Over,
}

impl Ticket {
    pub(super) fn queued(until: Instant, watchdog: &Arc<Watchdog>, give_up: Box<dyn Fn(Why) + Send + Sync>) -> Arc<Self> {
        let state = State { phase: Phase::Queued { until }, why: None };
        let ticket = Arc::new(Self { state: Mutex::new(state), watchdog: watchdog.clone(), give_up });
        watchdog.add(&ticket, until);
        ticket
    }

    /// The engine begins. `false` when the question has been given up already.
    pub(super) fn begin(&self, interrupt: Arc<InterruptHandle>, deadline: Instant, preempt: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        if state.why.is_some() || matches!(state.phase, Phase::Over) {
            return false;
        }
        state.phase = Phase::Running { interrupt, deadline, preempt };
        drop(state);
        self.watchdog.wake_by(preempt.unwrap_or(deadline));
        true
    }

    /// The engine has ended; tells why, if it was stopped. After this no interrupt comes any more.
    pub(super) fn end(&self) -> Option<Why> {
        let mut state = lock(&self.state);
        state.phase = Phase::Over;
        state.why
    }

    /// Back into a queue, after having made room for others. `false` when the question has been given up meanwhile.
    pub(super) fn queue_again(self: &Arc<Self>, until: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.why != Some(Why::Preempted) {
            return false;
        }
        *state = State { phase: Phase::Queued { until }, why: None };
        drop(state);
        self.watchdog.add(self, until);
        true
    }

    /// Stops the question, wherever it is.
    pub(super) fn stop(&self, why: Why) {
        let mut state = lock(&self.state);
        if matches!(state.why, None | Some(Why::Preempted)) {
            state.why = Some(why);
        }
        if let Phase::Running { interrupt, .. } = &state.phase {
            interrupt.interrupt();
        }
        drop(state);
        self.watchdog.wake_by(Instant::now() + REPEAT);
    }

    /// Does what is due; returns when to look again, or `None` when there is nothing left to watch.
    fn check(&self, now: Instant) -> Option<Instant> {
        let mut state = lock(&self.state);
        let State { phase, why } = &mut *state;
        match phase {
            Phase::Over => None,
            Phase::Queued { until } if *until > now && why.is_none() => Some(*until),
            Phase::Queued { .. } => {
                if *why.get_or_insert(Why::Expired) == Why::Expired {
                    (self.give_up)(Why::Expired);
                }
                *phase = Phase::Over;
                None
            }
            Phase::Running { interrupt, deadline, preempt } => {
                // One that was to make room and hears nothing is no exception.
                if matches!(why, None | Some(Why::Preempted)) && *deadline <= now {
                    *why = Some(Why::TimedOut);
                }
                if why.is_none() && preempt.is_some_and(|preempt| preempt <= now) {
                    *why = Some(Why::Preempted);
                }
                let told = match why {
                    Some(Why::TimedOut) => Some(*deadline),
                    Some(Why::Preempted) => *preempt,
                    _ => None,
                };
                if let (Some(why), Some(_)) = (*why, told.filter(|told| *told + STUCK <= now)) {
                    (self.give_up)(why);
                }
                if why.is_some() {
                    interrupt.interrupt();
                    return Some(now + REPEAT);
                }
                Some(preempt.map_or(*deadline, |preempt| preempt.min(*deadline)))
            }
        }
    }
}

/// The thread and what it watches.
pub(super) struct Watchdog {
    watched: Mutex<Watched>,
    changed: Condvar,
}

struct Watched {
    tickets: Vec<Arc<Ticket>>,
    /// When the thread will look next by itself.
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

    /// Waking costs more than most questions: only for what is due before the thread looks anyway.
    fn wake(&self, mut watched: MutexGuard<'_, Watched>, due: Instant) {
        if due < watched.next {
            watched.next = due;
            drop(watched);
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        const LONG: Duration = Duration::from_hours(1);
        let mut watched = lock(&self.watched);
        while !watched.over {
            let now = Instant::now();
            let mut next = now + LONG;
            watched.tickets.retain(|ticket| match ticket.check(now) {
                Some(due) => {
                    next = next.min(due);
                    true
                }
                None => false,
            });
            watched.next = next;
            let wait = next.saturating_duration_since(Instant::now());
            watched = self.changed.wait_timeout(watched, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Locks; what a panicking thread left is whole, since nothing here can panic between two writes that belong together.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
