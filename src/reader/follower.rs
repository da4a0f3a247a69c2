//! Follows the served path: one thread detects a swap, opens the new file and makes it the current
//! generation.
//!
//! Running queries continue on their generation. The thread polls at
//! [`super::ReaderConfig::poll_interval`], and immediately when a pin finds another file. A poll is
//! one `stat`, which works on every filesystem, unlike change notifications.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use duckdb::Connection;
use jiff::Timestamp;
use quick_cache::sync::Cache;

use super::{
    GenerationInfo, OpenGeneration, ReaderConfig, ReaderInner, ReaderProblem, SizeWeighter,
    execute,
    generation::Retired,
    instance::{AttachedInstance, SpareInstance, catalog_name},
    namespace::Entered,
    watchdog::lock,
};
use crate::{
    files::{self, FileId},
    store::lake::{DataFile, Lake, describe_damage},
    store::{ConfirmationMark, GenerationId, Manifest, ServedState, ServedVersion, VersionPoller},
};

/// How often a lake's data is compared with its catalog.
const STORAGE_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The same while its data is missing or damaged.
const STORAGE_RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Interval at which an unchanged file that could not be opened is retried: a `stat` for changes
/// does not show new permissions.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Wakes the follower thread.
#[derive(Default)]
pub(super) struct PollSignal {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl PollSignal {
    pub(super) fn notify(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    fn wait(&self, most: Duration) {
        let mut rung = lock(&self.rung);
        if !*rung {
            rung = self.bell.wait_timeout(rung, most).unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}

/// State owned by the follower thread.
pub(super) struct Follower {
    shared: Arc<ReaderInner>,
    /// Instances created ahead of time, so that a swap only has to attach.
    spares: Receiver<Result<SpareInstance, String>>,
    /// The version and time of the last failed attempt to open.
    failed: Option<(Option<ServedVersion>, Instant)>,
    /// Mark of the history when it was last read.
    history: Option<ConfirmationMark>,
    poller: VersionPoller,
    /// The data files of a lake's served snapshot.
    storage: Mutex<Option<Vec<DataFile>>>,
    /// When the data files were last compared with the storage.
    storage_checked: Mutex<Instant>,
    /// Shared with the thread that compares them, while it runs.
    storage_check: Arc<()>,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<ReaderInner>,
        spares: Receiver<Result<SpareInstance, String>>,
    ) -> Self {
        let poller = VersionPoller::new(&shared.target, !shared.config.one_shot);
        Self {
            shared,
            spares,
            failed: None,
            history: None,
            poller,
            storage: Mutex::default(),
            storage_checked: Mutex::new(Instant::now()),
            storage_check: Arc::default(),
        }
    }

    /// Follows the served path until the reader shuts down.
    pub(super) fn run(mut self) {
        while !self.shared.shutdown.load(Ordering::SeqCst) {
            self.poll();
            self.retire();
            execute::replace_workers(&self.shared);
            let interval = self.poller.interval(self.shared.config.poll_interval);
            self.shared.poll_signal.wait(interval);
        }
    }

    /// Polls the served path and opens a new version.
    pub(super) fn poll(&mut self) {
        let number = self.shared.polls_begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.open_newer();
        self.shared.polls_ended.send_replace(number);
    }

    fn open_newer(&mut self) {
        let found = self.poller.served();
        let seen = found.as_ref().ok().copied().flatten();
        if found.is_ok() && seen.is_some() && seen == *lock(&self.shared.served_version) {
            self.clear_problem(seen);
            self.refresh_confirmation();
            self.check_storage();
            return;
        }
        if self.failed.is_some_and(|(about, at)| about == seen && at.elapsed() < RETRY_INTERVAL) {
            return;
        }
        let opened = match found {
            Ok(Some(seen)) => self.open(seen),
            Ok(None) => {
                let target = &self.shared.target;
                let why = if target.is_lake() {
                    "contains no lake yet, or an empty one; `materia export` publishes to it"
                } else {
                    "does not exist"
                };
                Err(format!("{} {why}", target.display_name().display()))
            }
            Err(why) => Err(why),
        };
        match opened {
            Ok(generation) => {
                self.failed = None;
                self.swap(generation);
                // Only now: a caller that reads this version pins the generation.
                *lock(&self.shared.served_version) = seen;
            }
            Err(reason) => {
                self.failed = Some((seen, Instant::now()));
                self.fall_back(seen);
                self.set_problem(reason);
            }
        }
    }

    /// Checks periodically, on a separate thread, that the served snapshot's data still exists;
    /// more often while some is missing or damaged.
    fn check_storage(&self) {
        let Some(lake) = self.poller.lake() else { return };
        let Some(files) = lock(&self.storage).clone() else { return };
        let shared = &self.shared;
        let is_suspicious = read_lock(&shared.state).storage.is_some()
            || shared.storage_health.as_ref().is_some_and(|health| health.is_out());
        let interval =
            if is_suspicious { STORAGE_RECHECK_INTERVAL } else { STORAGE_CHECK_INTERVAL };
        let mut checked = lock(&self.storage_checked);
        if checked.elapsed() < interval || Arc::strong_count(&self.storage_check) > 1 {
            return;
        }
        *checked = Instant::now();
        let (lake, shared, running) = (lake.clone(), shared.clone(), self.storage_check.clone());
        let version = *lock(&shared.served_version);
        let check = move || {
            let problem = match lake.find_damaged_files(&files) {
                Ok(damaged) if damaged.is_empty() => None,
                Ok(damaged) => Some(describe_damage(&damaged)),
                Err(error) => Some(error.to_string()),
            };
            if version == *lock(&shared.served_version) {
                set_storage_problem(&shared, problem);
            }
            drop(running);
        };
        // If no thread can be started, the next poll tries again.
        drop(std::thread::Builder::new().name("reader-storage".to_owned()).spawn(check));
    }

    /// Clears the problem once the version being served is back at its path.
    fn clear_problem(&mut self, seen: Option<ServedVersion>) {
        if self.failed.take_if(|(about, _)| *about != seen).is_some() {
            let mut state = write_lock(&self.shared.state);
            state.problem = None;
        }
    }

    /// Updates the confirmation time: an export that finds no change leaves the served file and
    /// adds a line to the history.
    fn refresh_confirmation(&mut self) {
        let target = &self.shared.target;
        let history = self.poller.confirmation();
        if history == self.history {
            return;
        }
        self.history = history;
        let Some(generation) = read_lock(&self.shared.current).clone() else { return };
        let info = read_lock(&generation.info).clone();
        let confirmed_at = info.id.as_ref().and_then(|id| target.last_confirmed(id).ok().flatten());
        if confirmed_at <= info.confirmed_at {
            return;
        }
        let info = Arc::new(GenerationInfo { confirmed_at, ..(*info).clone() });
        *write_lock(&generation.info) = info.clone();
        write_lock(&self.shared.state).generation = Some(info.clone());
        self.shared.generation_tx.send_replace(Some(info));
    }

    /// Opens the file at the served path, by its generation's own path if it has one: a later swap
    /// cannot replace the file at that path.
    fn open(&mut self, seen: ServedVersion) -> Result<OpenGeneration, String> {
        if let ServedVersion::Snapshot(snapshot) = seen {
            return self.open_snapshot(snapshot);
        }
        let target = &self.shared.target;
        let metadata =
            fs::metadata(target.local().served_path()).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err(format!("{} is not a file", target.local().served_path().display()));
        }
        let id = match target.local().served() {
            Ok(ServedState::Generation(id)) => Some(id),
            _ => None,
        };
        // A copied folder has the same bytes in other files.
        let is_seen = |link: &PathBuf| {
            fs::metadata(link).is_ok_and(|metadata| ServedVersion::from_metadata(&metadata) == seen)
                && fs::File::open(link).is_ok()
        };
        let linked = id.as_ref().map(|id| target.local().generation_path(id)).filter(is_seen);
        let path = linked.unwrap_or_else(|| target.local().served_path().to_path_buf());
        let generation = self.open_file(&path, id)?;
        // Without a unique path, the opened file may have been swapped in meanwhile, so the path is
        // checked again.
        match fs::metadata(&path) {
            Ok(metadata) if ServedVersion::from_metadata(&metadata) == seen => Ok(generation),
            _ => Err(format!("{} was replaced while it was opened", path.display())),
        }
    }

    fn open_file(
        &mut self,
        path: &PathBuf,
        id: Option<GenerationId>,
    ) -> Result<OpenGeneration, String> {
        let shared = &self.shared;
        let wrong = |error: duckdb::Error| error.to_string();
        let bytes =
            fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        let manifest = id.as_ref().and_then(|id| shared.target.manifest(id));
        if let Some(manifest) = manifest.as_ref().filter(|manifest| manifest.bytes != bytes) {
            return Err(format!(
                "{} has {bytes} bytes, {} when it was published",
                path.display(),
                manifest.bytes
            ));
        }
        let schema =
            manifest.as_ref().map_or(shared.schema.as_str(), |manifest| manifest.schema.as_str());
        let catalog = catalog_name(shared.target.local().served_path(), schema);
        let blank = self.spares.recv().map_err(|error| error.to_string())??;
        let is_published = id.is_some();
        check_no_wal(path, is_published)?;
        let attached = blank.attach(path, &catalog, schema, manifest.is_some()).map_err(wrong)?;
        // A log written since the first check may have been applied when the file was attached.
        check_no_wal(path, is_published)?;
        warm_up(&attached.connections).map_err(wrong)?;
        Ok(self.generation(attached, (bytes, None), id, manifest))
    }

    /// Opens a lake's snapshot from a frozen catalog, whose file is not needed afterwards.
    fn open_snapshot(&self, snapshot: i64) -> Result<OpenGeneration, String> {
        let shared = &self.shared;
        let Some(lake) = self.poller.lake() else {
            return Err("there is no lake".to_owned());
        };
        let frozen = lake.freeze(snapshot, &shared.schema).map_err(|error| error.to_string())?;
        let catalog = catalog_name(shared.target.local().served_path(), &frozen.schema);
        let blank = self.spares.recv().map_err(|error| error.to_string())??;
        let problem = blank.storage_problem(&frozen);
        set_storage_problem(shared, problem.clone());
        // If there is no generation to fall back to, a partially readable one is better than none.
        if let Some(problem) = problem
            && read_lock(&shared.current).is_some()
        {
            return Err(format!("the newest generation cannot be read: {problem}"));
        }
        let attached = blank.attach_lake(&frozen, &catalog)?;
        *lock(&self.storage) = Some(frozen.files.clone());
        warm_up(&attached.connections).map_err(|error| error.to_string())?;
        let manifest = frozen.commit.as_ref().map(|commit| commit.manifest.clone());
        let id = manifest.as_ref().map(|manifest| manifest.id.clone());
        Ok(self.generation(attached, (frozen.bytes, Some(snapshot)), id, manifest))
    }

    fn generation(
        &self,
        AttachedInstance { connections, schema, home, foreign }: AttachedInstance,
        (bytes, snapshot): (u64, Option<i64>),
        id: Option<GenerationId>,
        manifest: Option<Manifest>,
    ) -> OpenGeneration {
        let shared = &self.shared;
        let confirmed_at =
            id.as_ref().and_then(|id| shared.target.last_confirmed(id).ok().flatten());
        let revisions =
            manifest.as_ref().map(|manifest| manifest.revisions.clone()).unwrap_or_default();
        let info = GenerationInfo {
            sequence: shared.sequence.fetch_add(1, Ordering::SeqCst) + 1,
            id,
            snapshot,
            exported_at: manifest.map(|manifest| manifest.exported_at),
            confirmed_at,
            opened_at: Timestamp::now(),
            bytes,
            schema,
        };
        OpenGeneration {
            previous: info.id.as_ref().and_then(|id| shared.target.previous(id)).map(Arc::new),
            revisions: Arc::new(revisions),
            info: RwLock::new(Arc::new(info)),
            foreign,
            home,
            entered: (0..connections.len())
                .map(|slot| Mutex::new(if slot == 0 { Entered::Home } else { Entered::Unknown }))
                .collect(),
            namespaces: Mutex::default(),
            connections: connections
                .into_iter()
                .map(|connection| Mutex::new(Some(connection)))
                .collect(),
            cache: Cache::with_weighter(1_000, shared.config.cache, SizeWeighter),
            in_flight: Mutex::default(),
            streams: Mutex::default(),
            closer: shared.closer.clone(),
        }
    }

    /// Swaps the current generation in one pointer update.
    fn swap(&self, generation: OpenGeneration) {
        let info = read_lock(&generation.info).clone();
        let former = write_lock(&self.shared.current).replace(Arc::new(generation));
        {
            let mut state = write_lock(&self.shared.state);
            state.generation = Some(info.clone());
            state.problem = None;
        }
        if let Some(former) = former {
            lock(&self.shared.retired)
                .push(Retired { generation: Arc::downgrade(&former), since: Instant::now() });
        }
        self.shared.generation_tx.send_replace(Some(info));
    }

    fn set_problem(&self, reason: String) {
        let mut state = write_lock(&self.shared.state);
        let since = state
            .problem
            .as_ref()
            .filter(|problem| problem.reason == reason)
            .map_or_else(Timestamp::now, |problem| problem.since);
        state.problem = Some(ReaderProblem { since, reason });
    }

    /// Falls back to the newest retained generation that opens when the served file was changed in
    /// place and its open generation cannot be trusted any more. The problem stays until the served
    /// path is intact again.
    fn fall_back(&mut self, seen: Option<ServedVersion>) {
        let current = *lock(&self.shared.served_version);
        let (
            Some(ServedVersion::File { id: before, .. }),
            Some(ServedVersion::File { id: now, .. }),
        ) = (current, seen)
        else {
            return;
        };
        if before != now || current == seen {
            return;
        }
        for id in self.shared.target.local().generation_ids().unwrap_or_default().into_iter().rev()
        {
            let path = self.shared.target.local().generation_path(&id);
            if FileId::at(&path).is_ok_and(|kept| kept != now)
                && let Ok(generation) = self.open_file(&path, Some(id))
            {
                self.swap(generation);
                // Prevents another attempt for the same damage.
                *lock(&self.shared.served_version) = None;
                return;
            }
        }
    }

    /// Closes former generations that have been pinned for longer than any query may take.
    fn retire(&self) {
        let drain = self.shared.config.max_pin_age;
        let mut overdue = Vec::new();
        lock(&self.shared.retired).retain(|retired| match retired.generation.upgrade() {
            None => false,
            Some(generation) if retired.since.elapsed() > drain => {
                overdue.push(generation);
                false
            }
            Some(_) => true,
        });
        for generation in overdue {
            generation.retire();
        }
    }
}

/// Records the problem with a lake's storage and the time since which it exists.
fn set_storage_problem(shared: &ReaderInner, reason: Option<String>) {
    let mut state = write_lock(&shared.state);
    let since = state.storage.take().map(|problem| problem.since);
    state.storage =
        reason.map(|reason| ReaderProblem { since: since.unwrap_or_else(Timestamp::now), reason });
}

/// Refuses a file that has a write-ahead log: DuckDB would apply the log, whose contents were never
/// audited.
fn check_no_wal(path: &Path, is_published: bool) -> Result<(), String> {
    match files::wal_files(path).first().filter(|_| is_published) {
        Some(log) => Err(format!(
            "{} is a log that was never audited; `materia export` moves it away",
            log.display()
        )),
        None => Ok(()),
    }
}

/// Reads the catalog and every table's metadata once, which speeds up the first queries and detects
/// a damaged file before it is served.
fn warm_up(connections: &[Connection]) -> duckdb::Result<()> {
    const MOST: usize = 100;
    let Some(connection) = connections.first() else { return Ok(()) };
    let query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = current_schema() AND database_name = current_database()";
    let tables: Vec<String> =
        connection.prepare(query)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for table in tables.iter().take(MOST) {
        connection.query_row(
            &format!("SELECT count(*) FROM {}", crate::sql::ident(table)),
            [],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// Creates instances ahead of time: one waits in the channel and another one to be sent, so that
/// two swaps in a row find theirs.
pub(super) fn prepare_spares(
    limits: &ReaderConfig,
    lake: Option<&Lake>,
    spares: &SyncSender<Result<SpareInstance, String>>,
) {
    while spares.send(SpareInstance::new(limits, lake)).is_ok() && !limits.one_shot {}
}

/// Closes the connections of former generations until it receives `None`.
pub(super) fn close_connections(closing: &Receiver<Option<Vec<Connection>>>) {
    while let Ok(Some(connections)) = closing.recv() {
        drop(connections);
    }
}

pub(super) fn write_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
