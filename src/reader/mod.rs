//! The shared reader: every access to the served file goes through it.
//!
//! A [`Reader`] follows swaps without dropping a query and enforces the limits of every query.
//! [`Reader::pin`] returns one generation; every query of that [`Pin`] reads it.
//!
//! Each generation has its own DuckDB instance, which can access nothing else: one file, read-only,
//! external access off, the configuration locked. Generations share no state, so their data cannot
//! be mixed, and no path, link or folder needs to be allowed. Creating an instance is slow and
//! attaching a file to it is fast, so the next instance is always created ahead of time. Its cost
//! compared with one instance for all generations, and with creating one at every swap (`cargo
//! bench --bench instances`, two threads running queries, 60 swaps, 5 per second; p99 of a query
//! without swaps in brackets):
//!
//! | way                     | p99 of a query    | flip p50 | flip p99 | close p50 | memory grown |
//! |-------------------------|-------------------|----------|----------|-----------|--------------|
//! | one instance for all    | 2.6 (2.4) ms      | 1.2 ms   | 6.2 ms   | 2.7 ms    | 2 MB         |
//! | a new one at every swap | 5.2 (2.3) ms      | 34.3 ms  | 44.9 ms  | 8.2 ms    | 4 MB         |
//! | a new one created ahead | 5.2 (2.4) ms      | 1.4 ms   | 7.3 ms   | 13.6 ms   | 0 MB         |
//!
//! One instance for all is the fastest, but cannot be locked as tightly: later generations can only
//! be attached from folders that every query may then read and write.

mod blocking;
mod budget;
mod buffer_quota;
mod catalog;
mod error;
mod execute;
mod follower;
mod generation;
mod instance;
mod namespace;
mod observation;
mod priority;
mod query;
mod scheduler;
mod shared;
mod stats;
mod storage_health;
mod watchdog;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use blocking::block_on_until;
pub use budget::Budget;
pub use buffer_quota::{BufferQuota, Reservation};
pub(crate) use catalog::COLUMNS;
pub use catalog::{Catalog, ColumnInfo, ColumnSummary, TableInfo};
pub use error::ReaderError;
pub use execute::{QueryResult, Stream};
pub use generation::GenerationInfo;
pub use instance::default_memory;
use jiff::Timestamp;
pub use namespace::Namespace;
pub use observation::Observation;
pub use pollster::block_on;
pub use query::{Param, Query, QueryLimits};
use quick_cache::sync::Cache;
pub use stats::ReaderStats;
use tokio::sync::watch;

use self::{
    follower::{Follower, PollSignal, read_lock, write_lock},
    generation::{OpenGeneration, SizeWeighter, TextWeighter},
    scheduler::{QueueKind, Scheduler},
    shared::ReaderInner,
    stats::CacheCounters,
    watchdog::{Watchdog, lock},
};
use crate::store::{Store, lake::Lake};

/// Memory for the texts of statements that are remembered, in bytes.
const REMEMBERED_TEXTS: u64 = 8 << 20;
/// Time that the last reader of a lake waits for threads blocked on the network.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Resource limits of one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderConfig {
    /// Memory for all of DuckDB's work and caches, in bytes; `None` is half of the machine's. Each
    /// generation's engine gets half of it, so that the current one and one that is being drained
    /// stay within it together.
    pub memory: Option<u64>,
    /// Memory for one query's sorts and hash tables, in bytes; `None` uses the engine's default.
    pub query_memory: Option<u64>,
    /// DuckDB's threads; `None` is one per core.
    pub threads: Option<usize>,
    /// Concurrent short queries.
    pub short: usize,
    /// Concurrent long queries.
    pub long: usize,
    /// Concurrent streams.
    pub streams: usize,
    /// Time after which a stream's thread gives way to others, so that long queries do not slow
    /// down short ones; `None` is never.
    pub give_way_after: Option<Duration>,
    /// Capacity of each queue.
    pub queue: usize,
    /// Memory for the cached results of one generation, in bytes.
    pub cache: u64,
    /// Interval between polls of the served path; a pin polls immediately.
    pub poll_interval: Duration,
    /// Longest time that a former generation may stay pinned.
    pub max_pin_age: Duration,
    /// Folder for temporary files of queries that exceed memory; `None` disables spilling.
    pub spill: Option<PathBuf>,
    /// Whether to stay at the generation that is served when the reader is opened. Then it prepares
    /// nothing for the next one: loading a lake's extensions takes long.
    pub one_shot: bool,
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            memory: None,
            query_memory: None,
            threads: None,
            short: 4,
            long: 2,
            streams: 8,
            give_way_after: None,
            queue: 256,
            cache: 64 << 20,
            poll_interval: Duration::from_millis(100),
            max_pin_age: Duration::from_hours(1),
            spill: None,
            one_shot: false,
        }
    }
}

impl ReaderConfig {
    /// Returns limits for a single client: one worker thread per queue, one for DuckDB.
    #[must_use]
    pub fn small() -> Self {
        Self { threads: Some(1), short: 1, long: 1, streams: 1, ..Self::default() }
    }

    /// Returns limits for a command that reads the served generation once.
    #[must_use]
    pub fn one_shot() -> Self {
        Self { one_shot: true, ..Self::small() }
    }

    fn slots(&self) -> usize {
        self.short + self.long + self.streams
    }
}

/// The served generation, and the current problem.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReaderState {
    /// The current generation; `None` until the first one is opened.
    pub generation: Option<Arc<GenerationInfo>>,
    /// Why the data at the served path is not the data being served.
    pub problem: Option<ReaderProblem>,
    /// Why the data of a lake's served or newest generation cannot be read.
    pub storage: Option<ReaderProblem>,
}

/// A problem that keeps a reader from following the served path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReaderProblem {
    pub since: Timestamp,
    pub reason: String,
}

/// Follows a served file and runs queries on it. Cheap to clone; its threads end when the last
/// clone and the last pin are dropped.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<ReaderInner>,
    _threads: Arc<Threads>,
}

/// Ends the threads when the last reader is dropped, and joins them: a process that exits while
/// DuckDB runs in another thread crashes.
struct Threads {
    shared: Arc<ReaderInner>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    reaper: Option<JoinHandle<()>>,
}

impl Threads {
    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        lock(&self.handles).push(handle);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.shutdown.store(true, Ordering::SeqCst);
        shared.poll_signal.notify();
        for job in shared.scheduler.close() {
            job.abandon();
        }
        // Threads blocked on a remote host that does not respond are not joined.
        let deadline = shared.target.is_lake().then(|| Instant::now() + SHUTDOWN_TIMEOUT);
        let mut handles = std::mem::take(&mut *lock(&self.handles));
        // A worker that ends may have started its successor before.
        while let Some(handle) = handles.pop().or_else(|| lock(&shared.successors).pop()) {
            while deadline.is_some_and(|until| Instant::now() < until) && !handle.is_finished() {
                thread::sleep(Duration::from_millis(5));
            }
            if deadline.is_none() || handle.is_finished() {
                let _ = handle.join();
            }
        }
        shared.watchdog.stop();
        drop(write_lock(&shared.current).take());
        let _ = shared.closer.send(None);
        if let Some(reaper) = self.reaper.take() {
            let _ = reaper.join();
        }
    }
}

impl Reader {
    /// Opens a reader on the served path. The file need not exist yet; the reader becomes available
    /// when it appears.
    ///
    /// # Errors
    /// The path is a loop of links, or no more threads can be created.
    pub fn open_file(served: &Path, schema: &str, limits: ReaderConfig) -> io::Result<Self> {
        Self::open(&Store::new(served)?, schema, limits)
    }

    /// Opens a reader on a file or a lake, which need not exist yet.
    ///
    /// # Errors
    /// No more threads can be created.
    pub fn open(target: &Store, schema: &str, limits: ReaderConfig) -> io::Result<Self> {
        let (reaper, closing) = mpsc::channel();
        let shared = Arc::new(ReaderInner {
            target: target.clone(),
            schema: schema.to_owned(),
            scheduler: Scheduler::new(limits.queue),
            watchdog: Watchdog::start()?,
            validated: Cache::with_weighter(10_000, REMEMBERED_TEXTS, TextWeighter),
            long_running: Cache::with_weighter(10_000, REMEMBERED_TEXTS, TextWeighter),
            cache_counters: CacheCounters::default(),
            storage_health: target.is_lake().then(Arc::default),
            current: RwLock::new(None),
            retired: Mutex::default(),
            state: RwLock::new(ReaderState { generation: None, problem: None, storage: None }),
            served_version: Mutex::new(None),
            poll_signal: PollSignal::default(),
            polls_begun: AtomicU64::new(0),
            polls_ended: watch::Sender::new(0),
            sequence: AtomicU64::new(0),
            generation_tx: watch::Sender::new(None),
            closer: reaper,
            vacancies: Mutex::default(),
            successors: Mutex::default(),
            shutdown: AtomicBool::new(false),
            config: limits,
        });
        let reaper = thread::Builder::new()
            .name("reader-reaper".to_owned())
            .spawn(move || follower::close_connections(&closing))?;
        let threads = Arc::new(Threads {
            shared: shared.clone(),
            handles: Mutex::default(),
            reaper: Some(reaper),
        });
        let (made, spares) = mpsc::sync_channel(1);
        let limits = &shared.config;
        let own_lake =
            |lake: &Lake| if limits.one_shot { lake.clone() } else { lake.with_own_connection() };
        let (own, lake) = (limits.clone(), target.lake().map(own_lake));
        threads
            .start("reader-ahead", move || follower::prepare_spares(&own, lake.as_ref(), &made))?;
        let mut follower = Follower::new(shared.clone(), spares);
        // Polls once so that the first queries find an existing generation.
        follower.poll();
        if !limits.one_shot {
            threads.start("reader-follow", move || follower.run())?;
        }
        let threads_per_queue = [
            (QueueKind::Short, limits.short),
            (QueueKind::Long, limits.long),
            (QueueKind::Stream, limits.streams),
        ];
        let kinds = threads_per_queue
            .into_iter()
            .flat_map(|(kind, threads)| std::iter::repeat_n(kind, threads));
        for (slot, kind) in kinds.enumerate() {
            let own = shared.clone();
            threads.start(execute::WORKER, move || execute::run_worker(&own, kind, slot))?;
        }
        Ok(Self { shared, _threads: threads })
    }

    /// Pins the current generation. Takes one `stat` of the served path; a different file is opened
    /// in the background and returned by later pins.
    ///
    /// # Errors
    /// [`ReaderError::Unavailable`] until the first generation is opened.
    pub fn pin(&self) -> Result<Pin, ReaderError> {
        self.follow();
        let current = read_lock(&self.shared.current).clone();
        current.map(|generation| Pin::of(self.clone(), generation)).ok_or_else(|| {
            let problem = read_lock(&self.shared.state).problem.clone();
            let problem = problem.unwrap_or_else(|| ReaderProblem {
                since: Timestamp::now(),
                reason: "it is being opened".to_owned(),
            });
            ReaderError::Unavailable { since: problem.since, reason: problem.reason }
        })
    }

    /// Pins the generation at the served path, or a newer one: if the path has another file than the
    /// last poll found, waits until it is open. A file that cannot be opened is not waited for; the
    /// current generation is pinned instead. A lake, whose catalog only polls read, is pinned as by
    /// [`Self::pin`].
    ///
    /// # Errors
    /// [`ReaderError::Unavailable`] until the first generation is opened.
    pub async fn pin_latest(&self) -> Result<Pin, ReaderError> {
        // A poll that begins after this finds what is at the path now.
        let begun = self.shared.polls_begun.load(Ordering::SeqCst);
        if self.follow() && !self.shared.config.one_shot {
            let mut ended = self.shared.polls_ended.subscribe();
            // The sender lives as long as this reader.
            let _ = ended.wait_for(|ended| *ended > begun).await;
        }
        self.pin()
    }

    /// Takes one `stat` of the served path, and has a different file opened. Returns whether there
    /// is one.
    fn follow(&self) -> bool {
        let found = self.shared.target.served_version();
        let is_other = found.is_some() && found != *lock(&self.shared.served_version);
        if is_other {
            self.shared.poll_signal.notify();
        }
        is_other
    }

    /// Returns the served generation and the current problem.
    #[must_use]
    pub fn state(&self) -> ReaderState {
        read_lock(&self.shared.state).clone()
    }

    /// Subscribes to changes of the current generation and to its confirmations by exports.
    #[must_use]
    pub fn generations(&self) -> watch::Receiver<Option<Arc<GenerationInfo>>> {
        self.shared.generation_tx.subscribe()
    }
}

/// One generation, kept open while this value lives. Cheap to clone.
#[derive(Clone)]
pub struct Pin {
    reader: Reader,
    generation: Arc<OpenGeneration>,
    /// The metadata at the time of the pin, so that all panels of one page show the same age.
    info: Arc<GenerationInfo>,
    /// The first transient error of a query.
    trouble: Arc<OnceLock<ReaderError>>,
    /// The budget shared by this pin and its clones.
    budget: Option<Arc<Budget>>,
}

impl Pin {
    /// Returns the pinned generation.
    #[must_use]
    pub fn generation(&self) -> &Arc<GenerationInfo> {
        &self.info
    }

    fn of(reader: Reader, generation: Arc<OpenGeneration>) -> Self {
        let info = read_lock(&generation.info).clone();
        Self { reader, generation, info, trouble: Arc::default(), budget: None }
    }

    /// Pins the same generation again, with its current metadata, without a budget, and without the
    /// errors of earlier queries.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::of(self.reader.clone(), self.generation.clone())
    }

    /// Returns a pin of the same generation whose queries, and those of its clones, share one
    /// budget.
    #[must_use]
    pub fn with_budget(&self, budget: Budget) -> Self {
        Self { budget: Some(Arc::new(budget)), ..self.clone() }
    }

    /// Returns the first transient error of a query on this pin or a clone of it: a page built from
    /// the other results must not be cached as the generation's content. One of
    /// [`ReaderError::Unavailable`], [`ReaderError::StorageUnavailable`] and [`ReaderError::Busy`].
    #[must_use]
    pub fn transient_error(&self) -> Option<&ReaderError> {
        self.trouble.get()
    }

    /// Records a transient error.
    fn note_transient(&self, outcome: &Result<Arc<QueryResult>, ReaderError>) {
        if let Err(error) = outcome
            && error.passes()
        {
            let _ = self.trouble.set(error.clone());
        }
    }
}
