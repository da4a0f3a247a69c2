//! The shared reader: everybody who looks at the served file does it through here.
//!
//! A [`Reader`] follows the swap without dropping a question, and keeps every question inside its limits. [`Reader::pin`] gives one
//! generation; everything asked of that [`Pin`] is answered from it.
//!
//! Each generation has a DuckDB instance of its own, in which nothing else is within reach: one file, read-only, external access off, the
//! configuration locked. Nothing is shared between two generations, so nothing can be mixed, and no path, link or folder needs to be
//! allowed. An instance takes long to make and no time to attach a file to, so the next one is always made ahead. What that costs against
//! one instance for all generations, and against making one at every swap (`cargo bench --bench instances`, two threads asking, 60 swaps, 5
//! per second; p99 of a question without swaps in brackets):
//!
//! | way                     | p99 of a question | flip p50 | flip p99 | close p50 | memory grown |
//! |-------------------------|-------------------|----------|----------|-----------|--------------|
//! | one instance for all    | 2.6 (2.4) ms      | 1.2 ms   | 6.2 ms   | 2.7 ms    | 2 MB         |
//! | a new one at every swap | 5.2 (2.3) ms      | 34.3 ms  | 44.9 ms  | 8.2 ms    | 4 MB         |
//! | a new one made ahead    | 5.2 (2.4) ms      | 1.4 ms   | 7.3 ms   | 13.6 ms   | 0 MB         |
//!
//! One instance for all is the fastest, and cannot be locked as tightly: later generations can only be attached from folders that every
//! query may then read and write.

mod ask;
mod away;
mod catalog;
mod error;
mod figures;
mod follow;
mod generation;
mod instance;
mod lanes;
mod query;
mod shared;
mod wait;
mod watchdog;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use ask::{Answer, Stream};
pub(crate) use catalog::COLUMNS;
pub use catalog::{Catalog, ColumnInfo, ColumnSummary, TableInfo};
pub use error::ReaderError;
pub use figures::Figures;
pub use generation::GenerationInfo;
use jiff::Timestamp;
pub use query::{Limits, Param, Query};
use quick_cache::sync::Cache;
use tokio::sync::watch;
pub use wait::{wait, wait_unless};

use self::{
    figures::Counts,
    follow::{Alarm, Follower, Seen, read, write},
    generation::{ByBytes, Generation},
    lanes::{LaneKind, Lanes},
    shared::Shared,
    watchdog::{Watchdog, lock},
};
use crate::{lake::Lake, target::Target};

/// How long a reader of a lake waits at its end for threads that the network holds.
const GOODBYE: Duration = Duration::from_secs(2);

/// What one reader may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Memory for all of DuckDB's work and caches, in bytes; `None` is half of the machine's. Each generation's engine gets half of it,
    /// so that the current one and one that is being drained stay within it together.
    pub memory: Option<u64>,
    /// Memory for one question's sorts and hash tables, in bytes; `None` leaves it to the engine.
    pub question_memory: Option<u64>,
    /// DuckDB's threads; `None` is one for each core.
    pub threads: Option<usize>,
    /// Short questions answered at once.
    pub short: usize,
    /// Long questions answered at once.
    pub long: usize,
    /// Streams delivered at once.
    pub streams: usize,
    /// Questions that may wait in each lane.
    pub queue: usize,
    /// Memory for the answers remembered of one generation, in bytes.
    pub cache: u64,
    /// How often the served path is looked at without being asked; a pin looks at once.
    pub look: Duration,
    /// How long a former generation may still be held.
    pub drain: Duration,
    /// Where questions that do not fit into memory may write temporary files; `None` is nowhere.
    pub spill: Option<PathBuf>,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self {
            memory: None,
            question_memory: None,
            threads: None,
            short: 4,
            long: 2,
            streams: 8,
            queue: 256,
            cache: 64 << 20,
            look: Duration::from_millis(100),
            drain: Duration::from_hours(1),
            spill: None,
        }
    }
}

impl ReaderLimits {
    /// For a look by one asker: one thread for each kind of question, one for DuckDB.
    #[must_use]
    pub fn small() -> Self {
        Self { threads: Some(1), short: 1, long: 1, streams: 1, ..Self::default() }
    }

    fn slots(&self) -> usize {
        self.short + self.long + self.streams
    }
}

/// What is being served, and what is wrong, if anything.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// The current generation; `None` until there has been one.
    pub generation: Option<Arc<GenerationInfo>>,
    /// Why what stands at the served path now is not what is being served.
    pub problem: Option<Problem>,
}

/// Something that keeps a reader from following.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub reason: String,
}

/// Follows a served file and answers questions about it. Cheap to clone; when the last clone and the last pin are gone, its threads end.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    _threads: Arc<Threads>,
}

/// Ends the threads when the last reader goes, and waits for them: a process that exits while DuckDB is at work in another thread crashes.
struct Threads {
    shared: Arc<Shared>,
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
        shared.over.store(true, Ordering::SeqCst);
        shared.alarm.ring();
        for job in shared.lanes.close() {
            job.abandon();
        }
        // Whoever waits for a machine that does not answer is not waited for.
        let patience = shared.target.lake().map(|_| Instant::now() + GOODBYE);
        for handle in lock(&self.handles).drain(..) {
            while patience.is_some_and(|until| Instant::now() < until) && !handle.is_finished() {
                thread::sleep(Duration::from_millis(5));
            }
            if patience.is_none() || handle.is_finished() {
                let _ = handle.join();
            }
        }
        shared.watchdog.stop();
        drop(write(&shared.current).take());
        let _ = shared.reaper.send(None);
        if let Some(reaper) = self.reaper.take() {
            let _ = reaper.join();
        }
    }
}

impl Reader {
    /// Opens a reader on the served path. The file need not exist yet: the reader becomes available by itself when it appears.
    ///
    /// # Errors
    /// The path is a loop of links, or the system has no more threads.
    pub fn open(served: &Path, schema: &str, limits: ReaderLimits) -> io::Result<Self> {
        Self::follow(&Target::new(served)?, schema, limits)
    }

    /// As [`Reader::open`], for a file or a lake. It need not exist yet.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn follow(target: &Target, schema: &str, limits: ReaderLimits) -> io::Result<Self> {
        let (reaper, closing) = mpsc::channel();
        let shared = Arc::new(Shared {
            target: target.clone(),
            schema: schema.to_owned(),
            lanes: Lanes::new(limits.queue),
            watchdog: Watchdog::start()?,
            checked: Cache::new(10_000),
            slow: Cache::new(10_000),
            counts: Counts::default(),
            away: target.lake().map(|_| Arc::default()),
            current: RwLock::new(None),
            retired: Mutex::default(),
            state: RwLock::new(State { generation: None, problem: None }),
            seen: Mutex::new(None),
            alarm: Alarm::default(),
            sequence: AtomicU64::new(0),
            announce: watch::Sender::new(None),
            reaper,
            over: AtomicBool::new(false),
            limits,
        });
        let reaper = thread::Builder::new().name("reader-reaper".to_owned()).spawn(move || follow::reap(&closing))?;
        let threads = Arc::new(Threads { shared: shared.clone(), handles: Mutex::default(), reaper: Some(reaper) });
        let (made, spares) = mpsc::sync_channel(1);
        let (own, lake) = (shared.limits.clone(), target.lake().map(Lake::apart));
        threads.start("reader-ahead", move || follow::make_ahead(&own, lake.as_ref(), &made))?;
        let mut follower = Follower::new(shared.clone(), spares);
        // The first questions find a generation where there is one.
        follower.look();
        threads.start("reader-follow", move || follower.run())?;
        let limits = &shared.limits;
        let lanes = [(LaneKind::Short, limits.short), (LaneKind::Long, limits.long), (LaneKind::Stream, limits.streams)];
        let kinds = lanes.into_iter().flat_map(|(kind, threads)| std::iter::repeat_n(kind, threads));
        for (slot, kind) in kinds.enumerate() {
            let own = shared.clone();
            threads.start("reader-answer", move || ask::work(&own, kind, slot))?;
        }
        Ok(Self { shared, _threads: threads })
    }

    /// The generation to ask. Takes one `stat` of the served path; when another file stands there, it is opened in the background and
    /// later pins get it.
    ///
    /// # Errors
    /// [`ReaderError::Unavailable`] until there has been a generation.
    pub fn pin(&self) -> Result<Pin, ReaderError> {
        if self.shared.target.lake().is_none() {
            let found = fs::metadata(self.shared.target.served_path()).ok().map(|metadata| Seen::of(&metadata));
            if found.is_some() && found != *lock(&self.shared.seen) {
                self.shared.alarm.ring();
            }
        }
        let current = read(&self.shared.current).clone();
        let pin = |generation: Arc<Generation>| {
            let info = read(&generation.info).clone();
            Pin { reader: self.clone(), generation, info, trouble: Arc::default() }
        };
        current.map(pin).ok_or_else(|| {
            let problem = read(&self.shared.state).problem.clone();
            let problem = problem.unwrap_or_else(|| Problem { since: Timestamp::now(), reason: "it is being opened".to_owned() });
            ReaderError::Unavailable { since: problem.since, reason: problem.reason }
        })
    }

    /// What is being served, and what is wrong, if anything.
    #[must_use]
    pub fn state(&self) -> State {
        read(&self.shared.state).clone()
    }

    /// Announces every change of the current generation, and that an export confirmed it.
    #[must_use]
    pub fn generations(&self) -> watch::Receiver<Option<Arc<GenerationInfo>>> {
        self.shared.announce.subscribe()
    }
}

/// One generation, held for as long as this lives. Cheap to clone.
#[derive(Clone)]
pub struct Pin {
    reader: Reader,
    generation: Arc<Generation>,
    /// As it was when it was pinned: all panels of one page tell the same age.
    info: Arc<GenerationInfo>,
    /// The first question's that got no answer, for a reason that passes.
    trouble: Arc<OnceLock<ReaderError>>,
}

impl Pin {
    /// Which generation it is.
    #[must_use]
    pub fn generation(&self) -> &Arc<GenerationInfo> {
        &self.info
    }

    /// Why a question that was asked of this pin or a clone of it got no answer, where that passes by itself: what was made of the others is no lasting
    /// picture of the generation. [`ReaderError::Unavailable`], [`ReaderError::Away`] or [`ReaderError::Busy`].
    #[must_use]
    pub fn trouble(&self) -> Option<&ReaderError> {
        self.trouble.get()
    }

    /// Remembers why there is no answer.
    fn note(&self, outcome: &Result<Arc<Answer>, ReaderError>) {
        if let Err(error) = outcome
            && error.passes()
        {
            let _ = self.trouble.set(error.clone());
        }
    }
}
