//! What the parts of one reader share.

use std::sync::{
    Arc, Mutex, RwLock,
    atomic::{AtomicBool, AtomicU64},
    mpsc::Sender,
};

use duckdb::Connection;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::{
    GenerationInfo, ReaderLimits, State,
    away::Away,
    figures::Counts,
    follow::{Alarm, Seen},
    generation::{Generation, Retired},
    lanes::Lanes,
    watchdog::Watchdog,
};
use crate::target::Target;

pub(super) struct Shared {
    pub(super) target: Target,
    /// The schema in which table names are looked up.
    pub(super) schema: String,
    pub(super) limits: ReaderLimits,
    pub(super) lanes: Lanes,
    pub(super) watchdog: Arc<Watchdog>,
    /// Texts that are known to only read.
    pub(super) checked: Cache<Arc<str>, ()>,
    /// Texts that are known to take long.
    pub(super) slow: Cache<Arc<str>, ()>,
    /// How often an answer was remembered.
    pub(super) counts: Counts,
    /// Whether the storage answers, where it is a lake's.
    pub(super) away: Option<Arc<Away>>,
    /// The generation that new pins get.
    pub(super) current: RwLock<Option<Arc<Generation>>>,
    /// Former generations that somebody may still hold.
    pub(super) retired: Mutex<Vec<Retired>>,
    pub(super) state: RwLock<State>,
    /// What stood at the served path when it was last looked into.
    pub(super) seen: Mutex<Option<Seen>>,
    pub(super) alarm: Alarm,
    pub(super) sequence: AtomicU64,
    pub(super) announce: watch::Sender<Option<Arc<GenerationInfo>>>,
    pub(super) reaper: Sender<Option<Vec<Connection>>>,
    pub(super) over: AtomicBool,
}
