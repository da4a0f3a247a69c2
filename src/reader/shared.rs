//! State shared by the parts of one reader.

use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
        mpsc::Sender,
    },
    thread::JoinHandle,
};

use duckdb::Connection;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::{
    GenerationInfo, ReaderConfig, ReaderState,
    follower::PollSignal,
    generation::{OpenGeneration, Retired, TextWeighter},
    scheduler::{QueueKind, Scheduler},
    stats::CacheCounters,
    storage_health::StorageHealth,
    watchdog::Watchdog,
};
use crate::store::{ServedVersion, Store};

pub(super) struct ReaderInner {
    pub(super) target: Store,
    /// The schema in which table names are resolved.
    pub(super) schema: String,
    pub(super) config: ReaderConfig,
    pub(super) scheduler: Scheduler,
    pub(super) watchdog: Arc<Watchdog>,
    /// Statement texts that passed the guard, and whether they need a namespace's extras.
    pub(super) validated: Cache<Arc<str>, bool, TextWeighter>,
    /// Statement texts that are known to run long.
    pub(super) long_running: Cache<Arc<str>, (), TextWeighter>,
    /// Hits and misses of the result caches.
    pub(super) cache_counters: CacheCounters,
    /// Health of the storage of a lake; `None` for a file.
    pub(super) storage_health: Option<Arc<StorageHealth>>,
    /// The generation that new pins return.
    pub(super) current: RwLock<Option<Arc<OpenGeneration>>>,
    /// Former generations that may still be pinned.
    pub(super) retired: Mutex<Vec<Retired>>,
    pub(super) state: RwLock<ReaderState>,
    /// The version at the served path when it was last polled.
    pub(super) served_version: Mutex<Option<ServedVersion>>,
    pub(super) poll_signal: PollSignal,
    /// The number of polls that have begun, and of those that have ended.
    pub(super) polls_begun: AtomicU64,
    pub(super) polls_ended: watch::Sender<u64>,
    pub(super) sequence: AtomicU64,
    pub(super) generation_tx: watch::Sender<Option<Arc<GenerationInfo>>>,
    pub(super) closer: Sender<Option<Vec<Connection>>>,
    /// Places of workers that ended because their priority had been lowered.
    pub(super) vacancies: Mutex<Vec<(QueueKind, usize)>>,
    /// Workers that took the place of one whose priority had been lowered.
    pub(super) successors: Mutex<Vec<JoinHandle<()>>>,
    pub(super) shutdown: AtomicBool,
}
