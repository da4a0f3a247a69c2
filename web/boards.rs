//! The dashboards that are drawn: read when the site starts, again when it is told to (SIGHUP), and, in debug mode, as soon as a file is changed.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use materia::{dashboard::Dashboards, settings::DashboardSettings};
use sha2::{Digest, Sha256};

/// In debug mode, files are looked at no more often.
const LOOK: Duration = Duration::from_secs(1);

/// The dashboards that are drawn.
pub(crate) struct Boards {
    settings: DashboardSettings,
    /// Whether files are looked at by itself.
    watch: bool,
    current: RwLock<Edition>,
    seen: Mutex<Seen>,
}

/// What is drawn at one time.
#[derive(Clone)]
pub(crate) struct Edition {
    pub(crate) dashboards: Dashboards,
    /// Differs between two editions.
    pub(crate) name: String,
}

struct Seen {
    at: Instant,
    stamps: Vec<(PathBuf, u64, Option<SystemTime>)>,
}

impl Boards {
    /// Those that have been read, as the settings name them. `watch`: files are looked at while the site is served.
    pub(crate) fn new(dashboards: Dashboards, settings: DashboardSettings, watch: bool) -> Self {
        let seen = Seen { at: Instant::now(), stamps: Dashboards::stamps(&settings) };
        tell(&dashboards);
        Self { settings, watch, current: RwLock::new(Edition::of(dashboards)), seen: Mutex::new(seen) }
    }

    /// What is drawn now.
    pub(crate) fn now(&self) -> Edition {
        if self.watch && self.are_changed() {
            self.read_again();
        }
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again. What has mistakes stays as it was; the log tells.
    pub(crate) fn read_again(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = current.dashboards.again(&self.settings);
        tell(&fresh);
        tracing::info!(count = fresh.written().map_or(0, <[_]>::len), "dashboards were read again");
        *current = Edition::of(fresh);
    }

    fn are_changed(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < LOOK {
            return false;
        }
        seen.at = Instant::now();
        let stamps = Dashboards::stamps(&self.settings);
        let changed = seen.stamps != stamps;
        seen.stamps = stamps;
        changed
    }
}

impl Edition {
    fn of(dashboards: Dashboards) -> Self {
        let name = format!("{:x}", Sha256::digest(format!("{dashboards:?}")));
        Self { dashboards, name }
    }
}

fn tell(dashboards: &Dashboards) {
    for problem in dashboards.problems() {
        tracing::warn!(%problem, "a dashboard is not as its author meant it");
    }
}
