//! Looks, a few times in a second, at what no question tells: settings, the served file, the history, who exports, who holds the lakehouse.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use materia::{
    export,
    lock::Holder,
    reader::{self, Reader, ReaderLimits},
    status::{self, Status},
};

use super::{Served, Source, site::Site};
use crate::tui::message::{Message, Setup};

const QUIET: Duration = Duration::from_millis(400);
/// How often a lake's history and generations are asked for.
const LAKE: Duration = Duration::from_secs(2);
/// While an export is at work, or something else stands at the served path.
const BUSY: Duration = Duration::from_millis(120);
/// The reader does not look by itself as often: it is told when there is something to look at.
const READER: Duration = Duration::from_secs(1);
/// Looks in quick succession after something else was found at the served path: until the reader has opened it.
const QUICK_LOOKS: u32 = 10;

pub(super) struct Watcher {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn start(source: Source, served: Served, send: Sender<Message>) -> Self {
        let (end, ended) = mpsc::channel();
        let mut looking = Looking {
            source,
            served,
            send,
            settings: None,
            setup: None,
            site: None,
            state: None,
            served_mark: None,
            quick: 0,
            files: Vec::new(),
            dashboards: None,
            status: None,
            problem: None,
            asked: None,
        };
        let thread = thread::spawn(move || {
            loop {
                let pause = looking.look();
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

/// What tells one state of a file from another without reading it.
type Mark = Option<(u64, u64, u64, i64, i64)>;

fn mark(path: &Path) -> Mark {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

struct Looking {
    source: Source,
    served: Served,
    send: Sender<Message>,
    /// The settings files as they were when they were read.
    settings: Option<Vec<Mark>>,
    setup: Option<Arc<Setup>>,
    site: Option<Site>,
    state: Option<reader::State>,
    /// What stood at the served path at the last look.
    served_mark: Mark,
    /// Quick looks to come.
    quick: u32,
    files: Vec<Mark>,
    /// The files of the dashboards, once they have been looked at.
    dashboards: Option<Vec<Mark>>,
    status: Option<Arc<Status>>,
    problem: Option<String>,
    /// When everything was last looked at.
    asked: Option<Instant>,
}

impl Looking {
    /// Looks once, tells what is new, and returns when to look again.
    fn look(&mut self) -> Duration {
        self.look_at_settings();
        let Some(setup) = self.setup.clone() else { return QUIET };
        let Some(reader) = self.served.get() else { return QUIET };
        let served_mark = mark(setup.place.target.served_path());
        self.quick = if served_mark == self.served_mark { self.quick.saturating_sub(1) } else { QUICK_LOOKS };
        self.served_mark = served_mark;
        if self.quick > 0 {
            // A pin looks at the served path, whatever comes of it.
            let _ = reader.pin();
        }
        let state = reader.state();
        let moved = self.state.as_ref() != Some(&state);
        if moved {
            self.state = Some(state.clone());
            let _ = self.send.send(Message::Served(Box::new(state.clone())));
        }
        self.look_at_dashboards(&setup);
        self.look_at_files(&setup, state, moved);
        let busy = self.quick > 0 || self.status.as_ref().is_some_and(|status| status.running.is_some());
        if busy { BUSY } else { QUIET }
    }

    fn look_at_settings(&mut self) {
        let marks: Vec<_> = self.source.files.iter().map(|path| mark(path)).collect();
        if self.settings.as_ref() == Some(&marks) {
            return;
        }
        self.settings = Some(marks);
        let loaded = (self.source.load)().and_then(|setup| {
            let before = self.setup.as_deref();
            if before.is_none_or(|before| !before.serves_the_same(&setup)) {
                self.open(&setup)?;
            }
            if self.setup.as_deref() != Some(&setup) {
                (self.state, self.status) = (None, None);
            }
            Ok(Arc::new(setup))
        });
        let before = self.setup.as_ref().and_then(|before| before.metrics);
        if let Ok(setup) = &loaded {
            self.setup = Some(setup.clone());
        }
        let _ = self.send.send(Message::Settings(loaded));
        // What it tells counts only once the settings are known.
        let metrics = self.setup.as_ref().and_then(|setup| setup.metrics);
        if before != metrics {
            self.site = metrics.map(|address| Site::start(address, self.send.clone()));
        }
    }

    /// Opens a reader for what is served by these settings.
    fn open(&self, setup: &Setup) -> Result<(), String> {
        let limits = ReaderLimits { short: 3, long: 2, streams: 2, cache: 32 << 20, look: READER, ..ReaderLimits::default() };
        let target = &setup.place.target;
        let reader =
            Reader::follow(target, &setup.schema, limits).map_err(|error| format!("cannot follow {}: {error}", target.name().display()))?;
        self.served.set(Some(reader));
        Ok(())
    }

    fn look_at_dashboards(&mut self, setup: &Setup) {
        let Some(dir) = &setup.dashboards.dir else { return };
        let mut files: Vec<PathBuf> =
            fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
        files.sort();
        let marks: Vec<_> = files.iter().map(|path| mark(path)).collect();
        if self.dashboards.as_ref().is_some_and(|before| *before != marks) {
            let _ = self.send.send(Message::Dashboards);
        }
        self.dashboards = Some(marks);
    }

    fn look_at_files(&mut self, setup: &Setup, state: reader::State, moved: bool) {
        let place = &setup.place;
        let target = &place.target;
        let paths: [PathBuf; 3] = [target.served_path().to_path_buf(), target.history(), target.generations()];
        let files: Vec<_> = paths.iter().map(|path| mark(path)).collect();
        // A lake's catalog has no date: it is asked now and then.
        let is_due = target.lake().is_some() && self.asked.is_none_or(|asked| asked.elapsed() > LAKE);
        let looked = match self.status.as_deref().filter(|_| !moved && !is_due && files == self.files && self.problem.is_none()) {
            // Only what no file's date tells.
            Some(before) => {
                let now = export::running(target).map(|running| (running, status::holder(place), place.lakehouse.exists()));
                match now {
                    Ok((running, holder, exists))
                        if running == before.running
                            && exists == before.lakehouse_exists
                            && same(holder.as_ref(), before.lakehouse_held_by.as_ref()) =>
                    {
                        return;
                    }
                    Ok((running, lakehouse_held_by, lakehouse_exists)) => {
                        Ok(Status { running, lakehouse_held_by, lakehouse_exists, ..before.clone() })
                    }
                    Err(error) => Err(error),
                }
            }
            None => Status::look(place, state).inspect(|_| self.asked = Some(Instant::now())),
        };
        self.files = files;
        match looked {
            Ok(status) => {
                self.problem = None;
                let status = Arc::new(status);
                self.status = Some(status.clone());
                let _ = self.send.send(Message::Status(Ok(status)));
            }
            Err(error) => {
                let problem = format!("what is around {} cannot be read: {error}", target.name().display());
                if self.problem.as_ref() != Some(&problem) {
                    self.problem = Some(problem.clone());
                    let _ = self.send.send(Message::Status(Err(problem)));
                }
            }
        }
    }
}

/// Whether it is the same holder; for how long it has been running is no news.
fn same(one: Option<&Holder>, other: Option<&Holder>) -> bool {
    let who = |holder: Option<&Holder>| holder.map(|holder| (holder.pid, holder.command.clone()));
    who(one) == who(other)
}
