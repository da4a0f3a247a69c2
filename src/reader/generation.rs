//! A generation that is open for questions.

use std::{
    sync::{Arc, Mutex, RwLock, Weak, mpsc::Sender},
    time::Instant,
};

use duckdb::Connection;
use jiff::Timestamp;
use quick_cache::{Weighter, sync::Cache};

use super::{
    Answer, ReaderError,
    ask::{Key, UnderWay},
    watchdog::{Ticket, Why, lock},
};
use crate::{
    export::{Manifest, Revision},
    guard::{self, ForeignNames},
    target::GenerationId,
};

/// What a reader knows about a generation without asking it anything.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GenerationInfo {
    /// Counts the generations this reader has served, from 1; never goes backwards.
    pub sequence: u64,
    /// Its id; absent for a file that materia did not publish.
    pub id: Option<GenerationId>,
    /// The lake's snapshot that it is; absent for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<i64>,
    /// When its data was read from the lakehouse, where a manifest tells.
    pub exported_at: Option<Timestamp>,
    /// When an export last found that the lakehouse holds just what it does.
    pub confirmed_at: Option<Timestamp>,
    /// When this reader opened it.
    pub opened_at: Timestamp,
    /// Size of its file.
    pub bytes: u64,
    /// The schema in which table names are looked up.
    pub schema: String,
}

impl GenerationInfo {
    /// When it was last known to hold what the lakehouse does: it is as fresh as the last export that made or confirmed it.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        self.exported_at.max(self.confirmed_at)
    }
}

/// An open generation: connections, answers so far, and questions under way. Closes when the last pin goes.
pub(super) struct Generation {
    /// Replaced when an export confirms it.
    pub(super) info: RwLock<Arc<GenerationInfo>>,
    /// What is known about the newest kept generation that is older.
    pub(super) before: Option<Arc<Manifest>>,
    /// Functions that its file defines.
    pub(super) foreign: ForeignNames,
    /// How its values differ from those served before it.
    pub(super) revisions: Arc<Vec<Revision>>,
    /// One connection for each thread that answers; empty once the generation had to be closed.
    pub(super) slots: Vec<Mutex<Option<Connection>>>,
    pub(super) cache: Cache<Key, Arc<Answer>, ByBytes>,
    pub(super) under_way: UnderWay,
    /// Streams under way.
    pub(super) streams: Mutex<Vec<Weak<Ticket>>>,
    /// Closing takes milliseconds: it is done by a thread of its own, not by whoever drops the last pin.
    pub(super) reaper: Sender<Option<Vec<Connection>>>,
}

/// Weighs answers by the memory they take.
#[derive(Clone)]
pub(super) struct ByBytes;

impl Weighter<Key, Arc<Answer>> for ByBytes {
    fn weight(&self, _: &Key, answer: &Arc<Answer>) -> u64 {
        const OVERHEAD: u64 = 512;
        answer.bytes as u64 + OVERHEAD
    }
}

impl Generation {
    /// What to tell somebody who asks after the generation had to be closed.
    pub(super) fn gone() -> ReaderError {
        ReaderError::Unavailable {
            since: Timestamp::now(),
            reason: "this generation has been replaced and was held for too long; ask the current one".to_owned(),
        }
    }

    /// Lets through what only reads. What has passed once passes again, unless the file brings along functions of its own.
    pub(super) fn check(&self, checked: &Cache<Arc<str>, ()>, connection: &Connection, sql: &Arc<str>) -> Result<(), ReaderError> {
        let is_plain = self.foreign.is_empty();
        if is_plain && checked.get(sql).is_some() {
            return Ok(());
        }
        guard::check(connection, sql, &self.foreign).map_err(|reason| ReaderError::Refused { reason })?;
        if is_plain {
            checked.insert(sql.clone(), ());
        }
        Ok(())
    }

    pub(super) fn watch_stream(&self, ticket: &Arc<Ticket>) {
        let mut streams = lock(&self.streams);
        streams.retain(|ticket| ticket.strong_count() > 0);
        streams.push(Arc::downgrade(ticket));
    }

    /// Stops everything under way and closes, for a generation that was held for too long.
    pub(super) fn retire(&self) {
        let asking: Vec<_> = lock(&self.under_way).values().filter_map(Weak::upgrade).collect();
        for asking in asking {
            asking.stop(Why::Retired);
        }
        let streams: Vec<_> = lock(&self.streams).iter().filter_map(Weak::upgrade).collect();
        for ticket in streams {
            ticket.stop(Why::Retired);
        }
        self.close();
    }

    /// Takes the connections away. Questions under way must have been stopped before.
    fn close(&self) {
        let connections: Vec<_> = self.slots.iter().filter_map(|slot| lock(slot).take()).collect();
        let _ = self.reaper.send(Some(connections));
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.close();
    }
}

/// A former generation that is still pinned.
pub(super) struct Retired {
    pub(super) generation: Weak<Generation>,
    pub(super) since: Instant,
}
