//! Polls several times per second what cannot be subscribed to: the settings, the served file, the
//! history, the running export, the holder of the lakehouse.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use materia::{
    alert::{self, AlertInputs, HeldSince, SiteState},
    lock::LockHolder,
    pipeline::{Run, RunStore},
    reader::{self, Reader, ReaderConfig},
    status::{self, Status, StatusSource},
};

use super::{
    ConfigSource, RefusedFile, SharedReader, endpoint::EndpointPoller, site_metrics::MetricsPoller,
};
use crate::message::{Config, Message};

const IDLE_INTERVAL: Duration = Duration::from_millis(400);
/// The interval at which the history and generations of a lake are queried.
const LAKE_INTERVAL: Duration = Duration::from_secs(2);
/// The interval at which runs of pipelines and free space are read.
const FACTS_INTERVAL: Duration = Duration::from_secs(10);
/// The interval at which the site's `/ready` is requested.
const SITE_INTERVAL: Duration = Duration::from_secs(30);
/// The interval during an export, and after the served path has changed.
const BUSY_INTERVAL: Duration = Duration::from_millis(120);
/// The reader's own poll interval, which can be long because it is pinned when something changes.
const READER_INTERVAL: Duration = Duration::from_secs(1);
/// Polls at the busy interval after the served path has changed, until the reader has opened it.
const BUSY_POLLS: u32 = 10;

pub(super) struct Watcher {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn start(source: ConfigSource, reader: SharedReader, send: Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel();
        let mut poller = Poller {
            source,
            reader,
            send,
            settings: None,
            config: None,
            metrics: None,
            endpoint: None,
            state: None,
            served_stamp: None,
            busy_polls: 0,
            files: Vec::new(),
            dashboards: None,
            facts: None,
            facts_read_at: None,
            runs: None,
            runs_read_at: None,
            held: None,
            site: Arc::default(),
            site_asked_at: None,
            error: None,
            read_at: None,
        };
        let thread = thread::spawn(move || {
            loop {
                let pause = poller.poll();
                if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }

    pub(super) fn stop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Identifies the state of a file without reading it.
type FileStamp = Option<(u64, u64, u64, i64, i64)>;

fn file_stamp(path: &Path) -> FileStamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Returns the limits of the readers.
pub(super) fn reader_limits() -> ReaderConfig {
    ReaderConfig {
        short: 3,
        long: 2,
        streams: 2,
        cache: 32 << 20,
        poll_interval: READER_INTERVAL,
        ..ReaderConfig::default()
    }
}

struct Poller {
    source: ConfigSource,
    reader: SharedReader,
    send: Sender<Message>,
    /// The state of the settings files when they were read.
    settings: Option<Vec<FileStamp>>,
    config: Option<Arc<Config>>,
    metrics: Option<MetricsPoller>,
    endpoint: Option<EndpointPoller>,
    state: Option<reader::ReaderState>,
    /// The state of the served path at the last poll.
    served_stamp: FileStamp,
    /// Remaining polls at the busy interval.
    busy_polls: u32,
    files: Vec<FileStamp>,
    /// The files of the dashboards after the first poll.
    dashboards: Option<Vec<FileStamp>>,
    facts: Option<Arc<AlertInputs>>,
    /// When the facts other than the status were last read.
    facts_read_at: Option<Instant>,
    /// The newest run of each pipeline, and when they were read.
    runs: Option<Vec<Run>>,
    runs_read_at: Option<Instant>,
    /// Since when the lakehouse has been held, as observed by this process.
    held: Option<HeldSince>,
    /// The last response of the site, and when it was requested.
    site: Arc<Mutex<Option<SiteState>>>,
    site_asked_at: Option<Instant>,
    error: Option<String>,
    /// When the whole status was last read.
    read_at: Option<Instant>,
}

impl Poller {
    /// Polls once, sends changes, and returns the pause until the next poll.
    fn poll(&mut self) -> Duration {
        self.poll_settings();
        let Some(config) = self.config.clone() else { return IDLE_INTERVAL };
        let Some(reader) = self.reader.get() else { return IDLE_INTERVAL };
        let served_stamp = file_stamp(config.place.target.local().served_path());
        self.busy_polls = if served_stamp == self.served_stamp {
            self.busy_polls.saturating_sub(1)
        } else {
            BUSY_POLLS
        };
        self.served_stamp = served_stamp;
        if self.busy_polls > 0 {
            // Pinning makes the reader check the served path.
            let _ = reader.pin();
        }
        let state = reader.state();
        let moved = self.state.as_ref() != Some(&state);
        if moved {
            self.state = Some(state.clone());
            let _ = self.send.send(Message::Served(Box::new(state.clone())));
        }
        self.poll_dashboards(&config);
        self.poll_status(&config, state, moved);
        let busy = self.busy_polls > 0
            || self.facts.as_ref().is_some_and(|facts| facts.status.running.is_some());
        if busy { BUSY_INTERVAL } else { IDLE_INTERVAL }
    }

    fn poll_settings(&mut self) {
        let marks: Vec<_> = self.source.files.iter().map(|path| file_stamp(path)).collect();
        if self.settings.as_ref() == Some(&marks) {
            return;
        }
        self.settings = Some(marks);
        let loaded = (self.source.load)().and_then(|config| {
            let before = self.config.as_deref();
            if before.is_none_or(|before| !before.serves_same_data(&config)) {
                self.open(&config)?;
            }
            if self.config.as_deref() != Some(&config) {
                (self.state, self.facts) = (None, None);
            }
            Ok(Arc::new(config))
        });
        let before = self.config.as_ref().and_then(|before| before.metrics());
        let endpoint = |config: &Arc<Config>| config.settings.postgres.clone();
        let endpoint_before = self.config.as_ref().map(endpoint);
        if let Ok(config) = &loaded {
            self.config = Some(config.clone());
        }
        let _ = self.send.send(Message::Settings(loaded));
        // Its messages are ignored before the settings are known.
        let metrics = self.config.as_ref().and_then(|config| config.metrics());
        if before != metrics {
            self.metrics = metrics.map(|address| MetricsPoller::start(address, self.send.clone()));
        }
        let endpoint = self.config.as_ref().map(endpoint);
        if endpoint_before != endpoint {
            // What is known of the former one.
            let _ = self.send.send(Message::Endpoint(None));
            self.endpoint = endpoint.map(|own| EndpointPoller::start(own, self.send.clone()));
        }
    }

    /// Opens a reader of the configured file.
    fn open(&self, config: &Config) -> Result<(), String> {
        let target = &config.place.target;
        let reader = Reader::open(target, config.schema(), reader_limits()).map_err(|error| {
            format!("cannot follow {}: {error}", target.display_name().display())
        })?;
        let refused = RefusedFile {
            path: target.local().refused(),
            schema: config.schema().to_owned(),
            reader: None,
        };
        self.reader.set(Some(reader), Some(refused));
        Ok(())
    }

    fn poll_dashboards(&mut self, config: &Config) {
        let Some(dir) = &config.settings.dashboards.dir else { return };
        let mut files: Vec<PathBuf> = fs::read_dir(dir)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        let marks: Vec<_> = files.iter().map(|path| file_stamp(path)).collect();
        if self.dashboards.as_ref().is_some_and(|before| *before != marks) {
            let _ = self.send.send(Message::Dashboards);
        }
        self.dashboards = Some(marks);
    }

    fn poll_status(&mut self, config: &Config, state: reader::ReaderState, moved: bool) {
        let place = &config.place;
        let target = &place.target;
        let paths: [PathBuf; 4] = [
            target.local().served_path().to_path_buf(),
            target.local().history_path(),
            target.local().generations_dir(),
            logs_folder(config),
        ];
        let files: Vec<_> = paths.iter().map(|path| file_stamp(path)).collect();
        // The catalog of a lake has no modification time.
        let is_due = target.is_lake() && self.read_at.is_none_or(|at| at.elapsed() > LAKE_INTERVAL);
        if files != self.files || self.runs_read_at.is_none_or(|at| at.elapsed() > FACTS_INTERVAL) {
            self.poll_runs(config);
        }
        let is_current = !moved && !is_due && files == self.files && self.error.is_none();
        let before = self.facts.clone().filter(|_| is_current);
        self.files = files;
        match self.read_facts(config, state, before.as_deref()) {
            Ok(None) => {}
            Ok(Some(facts)) => {
                self.error = None;
                let facts = Arc::new(facts);
                self.facts = Some(facts.clone());
                let _ = self.send.send(Message::Status(Ok(facts)));
            }
            Err(error) => {
                let error = format!(
                    "the state of {} cannot be read: {error}",
                    target.display_name().display()
                );
                if self.error.as_ref() != Some(&error) {
                    self.error = Some(error.clone());
                    let _ = self.send.send(Message::Status(Err(error)));
                }
            }
        }
    }

    /// Sends the newest run of each configured pipeline.
    fn poll_runs(&mut self, config: &Config) {
        self.runs_read_at = Some(Instant::now());
        let recorded =
            RunStore::new(&config.settings, &config.place.target).runs().unwrap_or_default();
        let newest = |name: &str| recorded.iter().rev().find(|run| run.pipeline == name).cloned();
        let runs: Vec<_> =
            config.settings.pipelines.names().into_iter().filter_map(newest).collect();
        if self.runs.as_ref() != Some(&runs) {
            self.runs = Some(runs.clone());
            let _ = self.send.send(Message::PipelineRuns(runs));
        }
    }

    /// Reads everything that may have changed since `before`; `None` if nothing has.
    fn read_facts(
        &mut self,
        config: &Config,
        state: reader::ReaderState,
        before: Option<&AlertInputs>,
    ) -> io::Result<Option<AlertInputs>> {
        let place = &config.place;
        let changed = if let Some(before) = before {
            poll_locks(place, &before.status)?
        } else {
            let status = Status::collect(place, state)?;
            self.read_at = Some(Instant::now());
            Some(status)
        };
        let is_due = self.facts_read_at.is_none_or(|at| at.elapsed() > FACTS_INTERVAL);
        let status = match (changed, before) {
            (Some(status), _) => status,
            (None, Some(before)) if is_due => before.status.clone(),
            (None, _) => return Ok(None),
        };
        self.facts_read_at = Some(Instant::now());
        self.held = held_since(status.lakehouse_held_by.as_ref(), self.held.take());
        // `materia alert` may have observed the holder before this process.
        let mut alerts = alert::AlertState::load(&place.target).unwrap_or_default();
        alerts.held = match (alerts.held, self.held.clone()) {
            (Some(alerted), Some(held)) if alerted.pid == held.pid => Some(alerted),
            (_, held) => held,
        };
        let logs = RunStore::new(&config.settings, &place.target);
        let mut facts = AlertInputs::collect(status, &config.settings, &logs, &alerts)?;
        facts.services.site = self.poll_site(config);
        facts.services.endpoint = self.endpoint.as_ref().and_then(EndpointPoller::latest);
        // Free space changes constantly; only whether it is sufficient matters.
        let is_same = before.is_some_and(|before| {
            let comparable = AlertInputs {
                space_left: before.space_left,
                services: before.services.clone(),
                ..facts.clone()
            };
            comparable == *before && conditions(config, &facts) == conditions(config, before)
        });
        Ok((!is_same).then_some(facts))
    }
}

impl Poller {
    /// Returns the last response of the site; requests may take seconds, so they run on a separate
    /// thread.
    fn poll_site(&mut self, config: &Config) -> Option<SiteState> {
        let address = config.settings.alerts.site.clone()?;
        if self.site_asked_at.is_none_or(|at| at.elapsed() > SITE_INTERVAL) {
            self.site_asked_at = Some(Instant::now());
            let site = self.site.clone();
            thread::spawn(move || {
                let state = SiteState::request(&address);
                *site.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            });
        }
        self.site.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn logs_folder(config: &Config) -> PathBuf {
    let folder = config.settings.logs.clone();
    folder.unwrap_or_else(|| config.place.target.local().logs())
}

/// Returns the names of the conditions that are true.
fn conditions(config: &Config, facts: &AlertInputs) -> Vec<String> {
    let findings = facts.findings(&config.settings.alerts, Timestamp::now());
    findings.iter().map(|finding| finding.condition.key()).collect()
}

/// Returns since when the current holder has been observed.
fn held_since(holder: Option<&LockHolder>, before: Option<HeldSince>) -> Option<HeldSince> {
    let pid = holder?.pid;
    before.filter(|held| held.pid == pid).or(Some(HeldSince { pid, since: Timestamp::now() }))
}

/// Reads the locks, whose changes do not affect modification times; `None` if they did not change.
fn poll_locks(place: &StatusSource, before: &Status) -> io::Result<Option<Status>> {
    let running = place.target.running()?;
    let lakehouse_held_by = status::holder(place);
    let lakehouse_exists = place.lakehouse.exists();
    let is_same = running == before.running
        && lakehouse_exists == before.lakehouse_exists
        && is_same_holder(lakehouse_held_by.as_ref(), before.lakehouse_held_by.as_ref());
    Ok((!is_same).then(|| Status {
        running,
        lakehouse_held_by,
        lakehouse_exists,
        ..before.clone()
    }))
}

/// Returns whether it is the same holder; its running time is ignored.
fn is_same_holder(one: Option<&LockHolder>, other: Option<&LockHolder>) -> bool {
    let identity =
        |holder: Option<&LockHolder>| holder.map(|holder| (holder.pid, holder.command.clone()));
    identity(one) == identity(other)
}
