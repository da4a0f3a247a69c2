//! Who is connected, and what runs: for operators, and for the limits of an account.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use materia::digest::DigestBuilder;
use tokio::sync::OwnedSemaphorePermit;

use crate::{crash_record::RecordedLine, server::Control};

/// Characters of a statement that operators see.
const SHOWN: usize = 1_000;

/// What one connection does.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    application: String,
    /// Statements since the connection began.
    statements: u64,
    /// Statements since the last [`Activity::take_uses`].
    uses: u64,
    running: Vec<ActiveEntry>,
    next: u64,
}

/// A statement that runs, or whose rows are being sent.
#[derive(Debug, Clone)]
struct ActiveEntry {
    number: u64,
    hash: String,
    text: String,
    since: Timestamp,
}

/// What operators see of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) application: String,
    pub(crate) statements: u64,
    /// The hash, the beginning and the start of the statement that has been running longest.
    pub(crate) running: Option<(String, String, Timestamp)>,
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_application(&self, name: &str) {
        name.clone_into(&mut self.state().application);
    }

    pub(crate) fn running(&self) -> usize {
        self.state().running.len()
    }

    /// Returns the number of statements since the last call.
    pub(crate) fn take_uses(&self) -> u64 {
        std::mem::take(&mut self.state().uses)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let running = state.running.first().cloned();
        Snapshot {
            application: state.application.clone(),
            statements: state.statements,
            running: running.map(|running| (running.hash, running.text, running.since)),
        }
    }

    fn begin(&self, hash: &str, text: &str) -> u64 {
        let mut state = self.state();
        state.statements += 1;
        state.uses += 1;
        state.next += 1;
        let number = state.next;
        state.running.push(ActiveEntry {
            number,
            hash: hash.to_owned(),
            text: text.chars().take(SHOWN).collect(),
            since: Timestamp::now(),
        });
        number
    }

    fn end(&self, number: u64) {
        self.state().running.retain(|running| running.number != number);
    }
}

/// A running statement's places: in the account's share, in the crash record, and in what operators
/// see. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct ActiveStatement {
    control: Arc<Control>,
    number: u64,
    _line: Option<RecordedLine>,
    _place: OwnedSemaphorePermit,
}

impl ActiveStatement {
    pub(crate) fn begin(
        control: Arc<Control>,
        hash: &str,
        text: &str,
        places: (Option<RecordedLine>, OwnedSemaphorePermit),
    ) -> Self {
        let number = control.activity.begin(hash, text);
        Self { control, number, _line: places.0, _place: places.1 }
    }
}

impl Drop for ActiveStatement {
    fn drop(&mut self) {
        self.control.activity.end(self.number);
    }
}

/// Returns the name of a statement in logs, which never contain its text.
pub(crate) fn hash(sql: &str) -> String {
    DigestBuilder::new().add(sql.trim()).digest()
}
