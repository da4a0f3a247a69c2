//! Compares two generations by values, as `materia diff` does.

use std::{sync::mpsc::Sender, thread};

use materia::{
    cancel::CancellationToken,
    export::{self, ResourceLimits},
};

use crate::message::{Comparison, Message};

/// A comparison in progress. Dropping it cancels it.
pub(super) struct CompareTask {
    cancel: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl CompareTask {
    pub(super) fn start(comparison: Comparison, send: Sender<Message>) -> Self {
        let cancel = CancellationToken::default();
        let own = cancel.clone();
        let thread = thread::spawn(move || {
            let text = compare(&comparison, &own);
            let _ = send.send(Message::Compared(comparison.request_id, text));
        });
        Self { cancel, thread: Some(thread) }
    }
}

impl Drop for CompareTask {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn compare(comparison: &Comparison, cancel: &CancellationToken) -> Result<String, String> {
    let config = &comparison.config;
    let settings = &config.settings.export;
    let limits =
        ResourceLimits { memory: settings.memory_limit.clone(), threads: settings.threads };
    let generations = (&comparison.before, &comparison.now);
    export::diff(&config.place.target, generations, &settings.tables, &limits, cancel)
        .map(|diff| diff.to_text())
        .map_err(|error| error.to_string())
}
