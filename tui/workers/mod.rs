//! Runs effects off the drawing thread, and sends their results as messages over one channel.

mod channel;
mod child;
mod compare;
mod endpoint;
mod log_file;
mod logs;
mod poller;
mod queries;
mod query_history;
mod save;
mod site_metrics;
mod statistics;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc::Sender},
    thread::{self, JoinHandle},
};

use materia::reader::{Pin, Reader};
use tokio::sync::watch;

use self::{
    channel::{PendingRequest, run_channel},
    child::Child,
    compare::CompareTask,
    logs::LogTailer,
    poller::Watcher,
    save::SaveTask,
};
use super::{
    grid::Database,
    message::{Channel, Config, Effect, Message},
};

/// The source of the settings, which are reloaded when one of the files changes.
pub struct ConfigSource {
    pub files: Vec<PathBuf>,
    /// Loads the settings; the error describes the problem and its location.
    pub load: Box<dyn Fn() -> Result<Config, String> + Send>,
    /// The folder of the query history and the saved queries; `None` disables both.
    pub queries: Option<PathBuf>,
}

/// The reader of the configured file, and that of the refused file, replaced when the settings
/// change.
#[derive(Clone, Default)]
pub(super) struct SharedReader {
    served: Arc<RwLock<Option<Reader>>>,
    refused: Arc<Mutex<Option<RefusedFile>>>,
}

/// The staged file of the last refused export, which is opened when it is queried.
pub(super) struct RefusedFile {
    pub(super) path: PathBuf,
    pub(super) schema: String,
    pub(super) reader: Option<Reader>,
}

impl RefusedFile {
    fn pin(&mut self) -> Result<Pin, String> {
        if !self.path.exists() {
            self.reader = None;
            return Err(format!(
                "no refused file is kept: {} does not exist; keep_refused = true in [export] of materia.toml keeps that of the next refused export",
                self.path.display()
            ));
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open_file(&self.path, &self.schema, poller::reader_limits())
                .map_err(|error| format!("cannot open {}: {error}", self.path.display()))?,
        };
        let pin = reader.pin().map_err(|error| error.to_string());
        self.reader = Some(reader);
        pin
    }
}

impl SharedReader {
    pub(super) fn pin(&self) -> Result<Pin, String> {
        self.get()
            .ok_or_else(|| "the served file is being opened".to_owned())?
            .pin()
            .map_err(|error| error.to_string())
    }

    pub(super) fn pin_database(&self, database: Database) -> Result<Pin, String> {
        match database {
            Database::Served => self.pin(),
            Database::Refused => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                let file = refused.as_mut().ok_or("the served file is being opened")?;
                file.pin()
            }
        }
    }

    fn set(&self, reader: Option<Reader>, refused: Option<RefusedFile>) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = reader;
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    fn get(&self) -> Option<Reader> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All threads except the drawing one.
pub(crate) struct Workers {
    send: Sender<Message>,
    reader: SharedReader,
    channels: HashMap<Channel, watch::Sender<PendingRequest>>,
    threads: Vec<JoinHandle<()>>,
    watcher: Watcher,
    child: Option<Child>,
    saving: Option<SaveTask>,
    comparing: Option<CompareTask>,
    logs: Option<LogTailer>,
    queries: Option<PathBuf>,
}

impl Workers {
    /// Starts the threads without waiting for them.
    pub(crate) fn start(source: ConfigSource, send: Sender<Message>) -> Self {
        let reader = SharedReader::default();
        let mut channels = HashMap::new();
        let mut threads = Vec::new();
        for channel in Channel::ALL {
            let (sender, receiver) = watch::channel(None);
            let (reader, send) = (reader.clone(), send.clone());
            threads.push(thread::spawn(move || run_channel(channel, &reader, receiver, &send)));
            channels.insert(channel, sender);
        }
        let queries = source.queries.clone();
        let watcher = Watcher::start(source, reader.clone(), send.clone());
        let workers = Self {
            send,
            reader,
            channels,
            threads,
            watcher,
            child: None,
            saving: None,
            comparing: None,
            logs: None,
            queries,
        };
        // Read synchronously, because the first key may recall a query; the file is small.
        if let Some(folder) = &workers.queries {
            drop(workers.send.send(Message::QueryHistory(query_history::read(folder))));
        }
        workers
    }

    /// Runs an effect, or passes it to the thread that does.
    pub(crate) fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Request { channel, request_id, request } => {
                if let Some(pending) = self.channels.get(&channel) {
                    pending.send_replace(Some((request_id, request)));
                }
            }
            Effect::Cancel(channel) => {
                if let Some(pending) = self.channels.get(&channel) {
                    pending.send_replace(None);
                }
            }
            Effect::Save(job) => {
                self.saving = Some(SaveTask::start(job, &self.reader, self.send.clone()));
            }
            Effect::CancelSaving => self.saving.iter().for_each(SaveTask::cancel),
            Effect::Compare(comparison) => {
                // The one in progress is canceled first, which frees its memory.
                self.comparing = None;
                self.comparing = Some(CompareTask::start(comparison, self.send.clone()));
            }
            Effect::CancelComparison => self.comparing = None,
            Effect::Start(arguments) => self.child = Child::start(&arguments, &self.send),
            Effect::StopStarted => self.child.iter().for_each(Child::stop),
            Effect::Tail(sources) => self.logs = Some(LogTailer::start(sources, &self.send)),
            Effect::Log(index, request) => {
                if let Some(logs) = &self.logs {
                    logs.request(index, request);
                }
            }
            Effect::Remember(query) => {
                if let Some(folder) = &self.queries {
                    query_history::append(folder, &query);
                }
            }
            // The event loop runs these on the terminal.
            Effect::Copy(_)
            | Effect::EditQuery(_)
            | Effect::Suspend
            | Effect::Redraw
            | Effect::Quit => {}
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Running queries are interrupted before the reader is dropped.
        self.channels.clear();
        self.saving = None;
        self.comparing = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.watcher.stop();
        self.reader.set(None, None);
    }
}
