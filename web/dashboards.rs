//! The dashboards of the site: loaded at startup, reloaded on SIGHUP and, in debug mode, when a
//! file changes.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use materia::{
    dashboard::{self, Dashboard, Dashboards, Panel, Visualization},
    digest::DigestBuilder,
    plan::Plan,
    settings::{DashboardSettings, Settings, TableRules},
};
use tokio::sync::watch;

/// In debug mode, files are checked at most this often.
const RELOAD_INTERVAL: Duration = Duration::from_millis(200);

/// The loaded dashboards, and how to reload them.
pub(crate) struct DashboardStore {
    settings: DashboardSettings,
    rules: TableRules,
    /// Whether files are checked for changes.
    watch: bool,
    current: RwLock<DashboardSet>,
    last_stamps: Mutex<FileStamps>,
    /// The digest of the current set.
    digest: watch::Sender<String>,
}

/// A consistent set of loaded dashboards.
#[derive(Clone)]
pub(crate) struct DashboardSet {
    pub(crate) dashboards: Dashboards,
    /// Identifies the set.
    pub(crate) digest: String,
    /// The only table that each panel reads, by dashboard; `None` if it reads several.
    tables: Arc<HashMap<String, Vec<Option<String>>>>,
    /// The address of a picture for previews of links: the first chart that everybody may see.
    pub(crate) picture: Option<String>,
}

struct FileStamps {
    checked_at: Instant,
    stamps: Vec<(PathBuf, u64, Option<SystemTime>)>,
}

impl DashboardStore {
    /// Creates the store with dashboards loaded from `settings`. In debug mode, their files are
    /// checked for changes.
    pub(crate) fn new(dashboards: Dashboards, settings: &Settings) -> Self {
        let (watch, rules, settings) =
            (settings.web.debug, settings.tables.clone(), settings.dashboards.clone());
        let last_stamps =
            FileStamps { checked_at: Instant::now(), stamps: Dashboards::file_stamps(&settings) };
        log_diagnostics(&dashboards, &rules);
        let current = DashboardSet::of(dashboards.with_rules(rules.clone()));
        Self {
            settings,
            rules,
            watch,
            digest: watch::Sender::new(current.digest.clone()),
            current: RwLock::new(current),
            last_stamps: Mutex::new(last_stamps),
        }
    }

    /// Returns the current dashboards.
    pub(crate) fn current(&self) -> DashboardSet {
        if self.watch && self.have_changed() {
            self.reload();
        }
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads the files. Files with errors retain their former content; the errors are logged.
    pub(crate) fn reload(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = current.dashboards.reload(&self.settings);
        log_diagnostics(&fresh, &self.rules);
        tracing::info!(
            count = fresh.user_defined().map_or(0, <[_]>::len),
            "reloaded the dashboards"
        );
        *current = DashboardSet::of(fresh);
        self.digest.send_if_modified(|digest| {
            let is_other = *digest != current.digest;
            digest.clone_from(&current.digest);
            is_other
        });
    }

    /// Returns the digest of the current set, and of every later one.
    pub(crate) fn changes(&self) -> watch::Receiver<String> {
        self.digest.subscribe()
    }

    fn have_changed(&self) -> bool {
        let mut last_stamps = self.last_stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if last_stamps.checked_at.elapsed() < RELOAD_INTERVAL {
            return false;
        }
        last_stamps.checked_at = Instant::now();
        let stamps = Dashboards::file_stamps(&self.settings);
        let changed = last_stamps.stamps != stamps;
        last_stamps.stamps = stamps;
        changed
    }
}

impl DashboardSet {
    fn of(dashboards: Dashboards) -> Self {
        // Pages show diagnostics to authors, so they depend on them as well.
        let mut builder = DigestBuilder::new();
        builder.add(&dashboards.digest());
        for problem in dashboards.problems() {
            builder.add(&problem.to_string());
        }
        let digest = builder.digest();
        let tables = Arc::new(only_tables(&dashboards));
        let defined = dashboards.user_defined().unwrap_or_default().iter();
        let picture = defined.filter(|one| !one.draft).find_map(|dashboard| picture(dashboard));
        Self { dashboards, digest, tables, picture }
    }

    /// Returns whether this dashboard, or any, can be read without an account.
    pub(crate) fn has_public(&self, slug: Option<&str>) -> bool {
        self.public().any(|dashboard| slug.is_none_or(|slug| slug == dashboard.slug))
    }

    /// Returns the dashboards that can be read without an account.
    pub(crate) fn public(&self) -> impl Iterator<Item = &Arc<Dashboard>> {
        let all = self.dashboards.user_defined().unwrap_or_default().iter();
        all.filter(|dashboard| dashboard.public && !dashboard.draft)
    }

    /// Returns the only table that each panel of a dashboard reads.
    pub(crate) fn tables(&self, slug: &str) -> &[Option<String>] {
        self.tables.get(slug).map_or(&[], Vec::as_slice)
    }
}

/// Returns the address of a picture of a dashboard: its first chart that everybody may see.
pub(crate) fn picture(dashboard: &Dashboard) -> Option<String> {
    let is_shown = |panel: &&(String, &Panel)| {
        panel.1.public
            && panel.1.plan == Plan::Free
            && matches!(panel.1.visualization, Visualization::Chart(_))
    };
    let panels: Vec<(String, &Panel)> =
        dashboard.panel_names().into_iter().zip(&dashboard.panels).collect();
    let (name, _) = panels.iter().find(is_shown)?;
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    Some(format!("/embed/{}/{name}.png", dashboard.slug))
}

fn only_tables(dashboards: &Dashboards) -> HashMap<String, Vec<Option<String>>> {
    let defined = dashboards.user_defined().unwrap_or_default();
    let read = dashboard::tables_read(defined).into_iter().map(|panels| {
        let only = |tables: BTreeSet<String>| {
            let mut tables = tables.into_iter();
            tables.next().filter(|_| tables.next().is_none())
        };
        panels.into_iter().map(only).collect()
    });
    defined.iter().map(|dashboard| dashboard.slug.clone()).zip(read).collect()
}

fn log_diagnostics(dashboards: &Dashboards, rules: &TableRules) {
    for problem in dashboards.problems() {
        tracing::warn!(%problem, "a dashboard file has an error");
    }
    for warning in dashboard::exposed(dashboards.user_defined().unwrap_or_default(), rules) {
        tracing::warn!(%warning, "a table of a paid panel can be read by a lower plan");
    }
}
