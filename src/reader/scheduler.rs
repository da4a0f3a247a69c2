//! Schedules queries on worker threads.
//!
//! Short queries must not wait behind long ones. A query starts in the short queue. If it exceeds
//! its time slice (the more queries wait, the shorter: see [`Scheduler::time_slice`]), it is
//! preempted and restarts in the long queue, and later queries of the same text go there directly.
//! Streams last as long as their consumer reads, so they have a separate queue. Every queue is
//! bounded and has a fixed number of worker threads, each with its own connection in every
//! generation.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{execute::QueryJob, watchdog::lock};

/// The time slice of a short query with an empty queue, and with a very long one.
const TIME_SLICE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(20)];

/// Index of a queue in [`Scheduler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueKind {
    Short,
    Long,
    Stream,
}

/// All queues of one reader.
pub(super) struct Scheduler([JobQueue; 3]);

struct JobQueue {
    queue: Mutex<QueueState>,
    ready: Condvar,
}

struct QueueState {
    jobs: VecDeque<QueryJob>,
    capacity: usize,
    over: bool,
}

impl Scheduler {
    pub(super) fn new(capacity: usize) -> Self {
        Self(std::array::from_fn(|_| JobQueue {
            queue: Mutex::new(QueueState { jobs: VecDeque::new(), capacity, over: false }),
            ready: Condvar::new(),
        }))
    }

    fn job_queue(&self, kind: QueueKind) -> &JobQueue {
        &self.0[kind as usize]
    }

    /// Adds a job, or returns it when the queue is full.
    pub(super) fn push(&self, kind: QueueKind, job: QueryJob) -> Option<QueryJob> {
        let job_queue_of_kind = self.job_queue(kind);
        let mut queue = lock(&job_queue_of_kind.queue);
        // Abandoned jobs occupy no capacity.
        if queue.jobs.len() >= queue.capacity {
            queue.jobs.retain(|job| !job.is_abandoned());
        }
        if queue.over || queue.jobs.len() >= queue.capacity {
            return Some(job);
        }
        queue.jobs.push_back(job);
        drop(queue);
        job_queue_of_kind.ready.notify_one();
        None
    }

    /// Returns the time slice of a short query when the short queue has `threads` workers.
    pub(super) fn time_slice(&self, threads: usize) -> Duration {
        let waiting = lock(&self.job_queue(QueueKind::Short).queue).jobs.len() / threads.max(1);
        let [most, least] = TIME_SLICE;
        (most / u32::try_from(waiting + 1).unwrap_or(u32::MAX)).max(least)
    }

    /// Returns the number of waiting jobs.
    pub(super) fn waiting(&self, kind: QueueKind) -> usize {
        lock(&self.job_queue(kind).queue).jobs.len()
    }

    /// Waits for a job; returns `None` once the reader has shut down.
    pub(super) fn pop(&self, kind: QueueKind) -> Option<QueryJob> {
        let job_queue_of_kind = self.job_queue(kind);
        let mut queue = lock(&job_queue_of_kind.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.over {
                return None;
            }
            queue = job_queue_of_kind.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes all worker threads to end; returns the jobs that are still queued.
    pub(super) fn close(&self) -> Vec<QueryJob> {
        let mut left = Vec::new();
        for job_queue_of_kind in &self.0 {
            let mut queue = lock(&job_queue_of_kind.queue);
            queue.over = true;
            left.extend(queue.jobs.drain(..));
            drop(queue);
            job_queue_of_kind.ready.notify_all();
        }
        left
    }
}
