//! Who answers which question when.
//!
//! Short questions must not wait behind long ones. A question starts in the short lane; if it has not ended after a while (the more wait
//! behind it, the shorter: see [`Lanes::patience`]), it makes room and starts again in the long lane, and questions of the same text go there at once from then on. Streams, which last as
//! long as their reader takes, have a lane of their own. Every lane has a fixed number of threads, each with its own connection in every
//! generation, and a bounded queue.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{ask::Job, watchdog::lock};

/// How long a question counts as short when nobody waits behind it, and when very many do.
const PATIENCE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(20)];

/// The lanes, by their place in [`Lanes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneKind {
    Short,
    Long,
    Stream,
}

/// All lanes of one reader.
pub(super) struct Lanes([Lane; 3]);

struct Lane {
    queue: Mutex<Queue>,
    ready: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    capacity: usize,
    over: bool,
}

impl Lanes {
    pub(super) fn new(capacity: usize) -> Self {
        Self(std::array::from_fn(|_| Lane {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), capacity, over: false }),
            ready: Condvar::new(),
        }))
    }

    fn lane(&self, kind: LaneKind) -> &Lane {
        &self.0[kind as usize]
    }

    /// Queues a job, or gives it back when the queue is full.
    pub(super) fn push(&self, kind: LaneKind, job: Job) -> Option<Job> {
        let lane = self.lane(kind);
        let mut queue = lock(&lane.queue);
        // Jobs that have been given up meanwhile take no place.
        if queue.jobs.len() >= queue.capacity {
            queue.jobs.retain(|job| !job.given_up());
        }
        if queue.over || queue.jobs.len() >= queue.capacity {
            return Some(job);
        }
        queue.jobs.push_back(job);
        drop(queue);
        lane.ready.notify_one();
        None
    }

    /// For how long a question may keep a place in the short lane, which has `threads` of them.
    pub(super) fn patience(&self, threads: usize) -> Duration {
        let waiting = lock(&self.lane(LaneKind::Short).queue).jobs.len() / threads.max(1);
        let [most, least] = PATIENCE;
        (most / u32::try_from(waiting + 1).unwrap_or(u32::MAX)).max(least)
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self, kind: LaneKind) -> usize {
        lock(&self.lane(kind).queue).jobs.len()
    }

    /// Waits for a job; `None` when the reader is gone.
    pub(super) fn pop(&self, kind: LaneKind) -> Option<Job> {
        let lane = self.lane(kind);
        let mut queue = lock(&lane.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.over {
                return None;
            }
            queue = lane.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the threads go; returns what is still queued.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut left = Vec::new();
        for lane in &self.0 {
            let mut queue = lock(&lane.queue);
            queue.over = true;
            left.extend(queue.jobs.drain(..));
            drop(queue);
            lane.ready.notify_all();
        }
        left
    }
}
