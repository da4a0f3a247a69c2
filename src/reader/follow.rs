//! Following the swap: one thread notices that another file is being served, opens it, and makes it the current generation.
//!
//! Questions go on with the generation they have. The thread looks now and then ([`super::ReaderLimits::look`]), and at once when a pin finds another file; looking
//! is one `stat`, which works on every filesystem, where change notifications do not.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender},
    },
    time::{Duration, Instant, SystemTime},
};

use duckdb::Connection;
use jiff::Timestamp;
use quick_cache::sync::Cache;

use super::{
    ByBytes, Generation, GenerationInfo, Problem, ReaderLimits, Shared,
    generation::Retired,
    instance::{Attached, Blank, catalog_name},
    watchdog::lock,
};
use crate::{
    export::{self, Manifest},
    files::FileId,
    lake::Lake,
    target::{GenerationId, Served},
};

/// How often a lake's catalog is asked at most.
const LAKE_LOOK: Duration = Duration::from_millis(250);

/// How often a file that could not be opened is tried again although it looks the same: permissions are not seen in it.
const AGAIN: Duration = Duration::from_secs(1);

/// Enough to tell that something else is served, or that a file was changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A file.
    File { id: FileId, bytes: u64, modified: Option<SystemTime> },
    /// A lake's snapshot.
    Snapshot(i64),
}

impl Seen {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self::File { id: FileId::of(metadata), bytes: metadata.size(), modified: metadata.modified().ok() }
    }
}

/// Wakes the following thread.
#[derive(Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    pub(super) fn ring(&self) {
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

/// The following thread's own state.
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// Made ahead, so that a swap only has to attach.
    spares: Receiver<Result<Blank, String>>,
    /// When the last attempt to open failed, and what it was about.
    failed: Option<(Option<Seen>, Instant)>,
    /// The history when it was last looked into.
    history: Option<History>,
    /// What is followed where it is no file: with a connection of its own, so that nobody else's question keeps this thread waiting.
    lake: Option<Lake>,
    /// The newest confirmation that the lake told of.
    confirmed: Option<GenerationId>,
}

/// Enough to tell that there is another attempt in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
enum History {
    File(Seen),
    Confirmed(GenerationId),
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, spares: Receiver<Result<Blank, String>>) -> Self {
        let lake = shared.target.lake().map(Lake::apart);
        Self { shared, spares, failed: None, history: None, lake, confirmed: None }
    }

    /// Follows until the reader is gone.
    pub(super) fn run(mut self) {
        while !self.shared.over.load(Ordering::SeqCst) {
            self.look();
            self.retire();
            let look = self.shared.limits.look;
            self.shared.alarm.wait(if self.lake.is_some() { look.max(LAKE_LOOK) } else { look });
        }
    }

    /// Looks at the served path and opens what is new there.
    pub(super) fn look(&mut self) {
        let found = self.see();
        let seen = found.as_ref().ok().copied().flatten();
        if found.is_ok() && seen.is_some() && seen == *lock(&self.shared.seen) {
            self.recovered(seen);
            self.confirm();
            return;
        }
        if self.failed.is_some_and(|(about, at)| about == seen && at.elapsed() < AGAIN) {
            return;
        }
        let opened = match found {
            Ok(Some(seen)) => self.open(seen),
            Ok(None) if self.lake.is_some() => Err(format!("{} holds nothing yet", self.shared.target.name().display())),
            Ok(None) => Err(format!("{} does not exist", self.shared.target.served_path().display())),
            Err(why) => Err(why),
        };
        match opened {
            Ok(generation) => {
                self.failed = None;
                *lock(&self.shared.seen) = seen;
                self.swap(generation);
            }
            Err(reason) => {
                self.failed = Some((seen, Instant::now()));
                self.replace_damaged(seen);
                self.problem(reason);
            }
        }
    }

    /// Whether something else is served now: one `stat`, or one question to the catalog of a lake.
    fn see(&mut self) -> Result<Option<Seen>, String> {
        if let Some(lake) = &self.lake {
            let newest = lake.newest().map_err(|error| error.to_string())?;
            self.confirmed = newest.as_ref().and_then(|newest| newest.confirmed.clone());
            return Ok(newest.map(|newest| Seen::Snapshot(newest.snapshot)));
        }
        match fs::metadata(self.shared.target.served_path()) {
            Ok(metadata) => Ok(Some(Seen::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What is being served already is back in its place.
    fn recovered(&mut self, seen: Option<Seen>) {
        if self.failed.take_if(|(about, _)| *about != seen).is_some() {
            let mut state = write(&self.shared.state);
            state.problem = None;
        }
    }

    /// An export that finds nothing changed leaves the served file and writes a line of history.
    fn confirm(&mut self) {
        let target = &self.shared.target;
        let history = match &self.lake {
            Some(_) => self.confirmed.clone().map(History::Confirmed),
            None => fs::metadata(target.history()).ok().map(|metadata| History::File(Seen::of(&metadata))),
        };
        if history == self.history {
            return;
        }
        self.history = history;
        let Some(generation) = read(&self.shared.current).clone() else { return };
        let info = read(&generation.info).clone();
        let confirmed_at = info.id.as_ref().and_then(|id| export::confirmed(target, id).ok().flatten());
        if confirmed_at <= info.confirmed_at {
            return;
        }
        let info = Arc::new(GenerationInfo { confirmed_at, ..(*info).clone() });
        *write(&generation.info) = info.clone();
        write(&self.shared.state).generation = Some(info.clone());
        self.shared.announce.send_replace(Some(info));
    }

    /// Opens what stands at the served path, by a name that no later swap can give to another file where there is one.
    fn open(&mut self, seen: Seen) -> Result<Generation, String> {
        if let Seen::Snapshot(snapshot) = seen {
            return self.open_snapshot(snapshot);
        }
        let target = &self.shared.target;
        let metadata = fs::metadata(target.served_path()).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err(format!("{} is not a file", target.served_path().display()));
        }
        let id = match target.served() {
            Ok(Served::Generation(id)) => Some(id),
            _ => None,
        };
        // A folder that was copied has the same bytes there, and another file.
        let is_seen = |link: &PathBuf| fs::metadata(link).is_ok_and(|metadata| Seen::of(&metadata) == seen) && fs::File::open(link).is_ok();
        let linked = id.as_ref().map(|id| target.generation(id)).filter(is_seen);
        let path = linked.unwrap_or_else(|| target.served_path().to_path_buf());
        let generation = self.open_file(&path, id)?;
        // Without a name of its own, the file that was opened may be one that was swapped in meanwhile: look again.
        match fs::metadata(&path) {
            Ok(metadata) if Seen::of(&metadata) == seen => Ok(generation),
            _ => Err(format!("{} was replaced while it was opened", path.display())),
        }
    }

    fn open_file(&mut self, path: &PathBuf, id: Option<GenerationId>) -> Result<Generation, String> {
        let shared = &self.shared;
        let wrong = |error: duckdb::Error| error.to_string();
        let bytes = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        let manifest = id.as_ref().and_then(|id| export::manifest(&shared.target, id));
        if let Some(manifest) = manifest.as_ref().filter(|manifest| manifest.bytes != bytes) {
            return Err(format!("{} has {bytes} bytes, {} when it was published", path.display(), manifest.bytes));
        }
        let schema = manifest.as_ref().map_or(shared.schema.as_str(), |manifest| manifest.schema.as_str());
        let catalog = catalog_name(shared.target.served_path(), schema);
        let blank = self.spares.recv().map_err(|error| error.to_string())??;
        let attached = blank.attach(path, &catalog, schema).map_err(wrong)?;
        warm(&attached.connections).map_err(wrong)?;
        Ok(self.generation(attached, (bytes, None), id, manifest))
    }

    /// Opens a lake's snapshot by a frozen catalog, whose file is needed no longer than that.
    fn open_snapshot(&self, snapshot: i64) -> Result<Generation, String> {
        let shared = &self.shared;
        let Some(lake) = &self.lake else { return Err("there is no lake".to_owned()) };
        let frozen = lake.freeze(snapshot, &shared.schema).map_err(|error| error.to_string())?;
        let catalog = catalog_name(shared.target.served_path(), &frozen.schema);
        let blank = self.spares.recv().map_err(|error| error.to_string())??;
        let attached = blank.attach_lake(&frozen, &catalog)?;
        warm(&attached.connections).map_err(|error| error.to_string())?;
        let manifest = frozen.commit.as_ref().map(|commit| commit.manifest.clone());
        let id = manifest.as_ref().map(|manifest| manifest.id.clone());
        Ok(self.generation(attached, (frozen.bytes, Some(snapshot)), id, manifest))
    }

    fn generation(
        &self,
        Attached { connections, schema, foreign }: Attached,
        (bytes, snapshot): (u64, Option<i64>),
        id: Option<GenerationId>,
        manifest: Option<Manifest>,
    ) -> Generation {
        let shared = &self.shared;
        let confirmed_at = id.as_ref().and_then(|id| export::confirmed(&shared.target, id).ok().flatten());
        let revisions = manifest.as_ref().map(|manifest| manifest.revisions.clone()).unwrap_or_default();
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
        Generation {
            before: info.id.as_ref().and_then(|id| export::before(&shared.target, id)).map(Arc::new),
            revisions: Arc::new(revisions),
            info: RwLock::new(Arc::new(info)),
            foreign,
            slots: connections.into_iter().map(|connection| Mutex::new(Some(connection))).collect(),
            cache: Cache::with_weighter(1_000, shared.limits.cache, ByBytes),
            under_way: Mutex::default(),
            streams: Mutex::default(),
            reaper: shared.reaper.clone(),
        }
    }

    /// The one pointer swap.
    fn swap(&self, generation: Generation) {
        let info = read(&generation.info).clone();
        let former = write(&self.shared.current).replace(Arc::new(generation));
        {
            let mut state = write(&self.shared.state);
            state.generation = Some(info.clone());
            state.problem = None;
        }
        if let Some(former) = former {
            lock(&self.shared.retired).push(Retired { generation: Arc::downgrade(&former), since: Instant::now() });
        }
        self.shared.announce.send_replace(Some(info));
    }

    fn problem(&self, reason: String) {
        let mut state = write(&self.shared.state);
        let since = state.problem.as_ref().filter(|problem| problem.reason == reason).map_or_else(Timestamp::now, |problem| problem.since);
        state.problem = Some(Problem { since, reason });
    }

    /// Where the file being served was changed in place, its open generation cannot be trusted any more: the newest kept one that opens
    /// takes its place. The problem stays until the served path is whole again.
    fn replace_damaged(&mut self, seen: Option<Seen>) {
        let current = *lock(&self.shared.seen);
        let (Some(Seen::File { id: before, .. }), Some(Seen::File { id: now, .. })) = (current, seen) else { return };
        if before != now || current == seen {
            return;
        }
        for id in self.shared.target.generation_ids().unwrap_or_default().into_iter().rev() {
            let path = self.shared.target.generation(&id);
            if FileId::at(&path).is_ok_and(|kept| kept != now)
                && let Ok(generation) = self.open_file(&path, Some(id))
            {
                self.swap(generation);
                // Not tried again for the same damage.
                *lock(&self.shared.seen) = None;
                return;
            }
        }
    }

    /// Closes former generations that have been held for longer than any question may take.
    fn retire(&self) {
        let drain = self.shared.limits.drain;
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

/// Reads the catalog and every table's outline once, so that the first questions do not have to, and a damaged file is noticed here.
fn warm(connections: &[Connection]) -> duckdb::Result<()> {
    const MOST: usize = 100;
    let Some(connection) = connections.first() else { return Ok(()) };
    let query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = current_schema() AND database_name = current_database()";
    let tables: Vec<String> = connection.prepare(query)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for table in tables.iter().take(MOST) {
        connection.query_row(&format!("SELECT count(*) FROM {}", crate::sql::ident(table)), [], |_| Ok(()))?;
    }
    Ok(())
}

/// Makes instances ahead: one waits in the channel, another one to get into it, so that two swaps in a row find theirs.
pub(super) fn make_ahead(limits: &ReaderLimits, lake: Option<&Lake>, spares: &SyncSender<Result<Blank, String>>) {
    while spares.send(Blank::new(limits, lake)).is_ok() {}
}

/// Closes what generations leave behind, until it is told to stop.
pub(super) fn reap(closing: &Receiver<Option<Vec<Connection>>>) {
    while let Ok(Some(connections)) = closing.recv() {
        drop(connections);
    }
}

pub(super) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
