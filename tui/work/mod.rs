//! Wishes are fulfilled here, off the thread that draws. Everything comes back as messages over one channel.

mod child;
mod lane;
mod logs;
mod questions;
mod remember;
mod save;
mod site;
mod watch;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, mpsc::Sender},
    thread::{self, JoinHandle},
};

use materia::reader::{Pin, Reader};
use tokio::sync::watch as channel;

use self::{child::Child, lane::Asked, save::Saving, watch::Watcher};
use super::message::{Effect, Lane, Message, Setup};

/// Where the settings come from: read again when one of the files changes.
pub(crate) struct Source {
    /// The files whose change is worth another look.
    pub(crate) files: Vec<PathBuf>,
    /// Reads them; the error says what is wrong and where.
    pub(crate) load: Box<dyn Fn() -> Result<Setup, String> + Send>,
    /// Where queries are remembered; `None` is nowhere.
    pub(crate) queries: Option<PathBuf>,
}

/// The reader that questions go to. Another one where the settings change.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<RwLock<Option<Reader>>>);

impl Served {
    pub(super) fn pin(&self) -> Result<Pin, String> {
        let reader = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        reader.ok_or_else(|| "the served file is being opened".to_owned())?.pin().map_err(|error| error.to_string())
    }

    fn set(&self, reader: Option<Reader>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn get(&self) -> Option<Reader> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Everybody at work.
pub(crate) struct Work {
    send: Sender<Message>,
    served: Served,
    lanes: HashMap<Lane, channel::Sender<Asked>>,
    threads: Vec<JoinHandle<()>>,
    watcher: Watcher,
    child: Option<Child>,
    saving: Option<Saving>,
    logs: Option<logs::Tails>,
    queries: Option<PathBuf>,
}

impl Work {
    /// Starts the threads; returns at once.
    pub(crate) fn start(source: Source, send: Sender<Message>) -> Self {
        let served = Served::default();
        let mut lanes = HashMap::new();
        let mut threads = Vec::new();
        for lane in Lane::ALL {
            let (asked, receiver) = channel::channel(None);
            let (served, send) = (served.clone(), send.clone());
            threads.push(thread::spawn(move || lane::attend(lane, &served, receiver, &send)));
            lanes.insert(lane, asked);
        }
        let queries = source.queries.clone();
        let watcher = Watcher::start(source, served.clone(), send.clone());
        let work = Self { send, served, lanes, threads, watcher, child: None, saving: None, logs: None, queries };
        // Before any key: a small file, and whoever asks for an earlier query at once must find it.
        if let Some(path) = &work.queries {
            drop(work.send.send(Message::Asked(remember::read(path))));
        }
        work
    }

    /// Fulfils a wish, or sees to it that it will be.
    pub(crate) fn fulfil(&mut self, effect: Effect) {
        match effect {
            Effect::Ask { lane, request, question } => {
                if let Some(asked) = self.lanes.get(&lane) {
                    asked.send_replace(Some((request, question)));
                }
            }
            Effect::Stop(lane) => {
                if let Some(asked) = self.lanes.get(&lane) {
                    asked.send_replace(None);
                }
            }
            Effect::Save(job) => self.saving = Some(Saving::start(job, &self.served, self.send.clone())),
            Effect::StopSaving => self.saving.iter().for_each(Saving::stop),
            Effect::Start(arguments) => self.child = Child::start(&arguments, &self.send),
            Effect::StopStarted => self.child.iter().for_each(Child::stop),
            Effect::Tail(names) => self.logs = Some(logs::Tails::start(names, &self.send)),
            Effect::Remember(query) => {
                if let Some(path) = &self.queries {
                    remember::write(path, &query);
                }
            }
            // These are the terminal's.
            Effect::Copy(_) | Effect::Suspend | Effect::Redraw | Effect::Quit => {}
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Questions under way are interrupted before the reader is taken apart.
        self.lanes.clear();
        self.saving = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.watcher.stop();
        self.served.set(None);
    }
}
