//! An open generation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock, Weak, mpsc::Sender},
    time::Instant,
};

use duckdb::Connection;
use jiff::Timestamp;
use quick_cache::{Weighter, sync::Cache};

use super::{
    Query, QueryResult, ReaderError,
    execute::{CacheKey, InFlightQueries},
    namespace::{Contents, Entered},
    watchdog::{StopReason, Ticket, lock},
};
use crate::{
    guard::{self, ForeignNames},
    store::GenerationId,
    store::{Manifest, Revision},
};

/// Metadata of a generation that is available without a query.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GenerationInfo {
    /// Number of this generation among those the reader has served, from 1; never decreases.
    pub sequence: u64,
    /// The generation's id; absent for a file that materia did not publish.
    pub id: Option<GenerationId>,
    /// The lake's snapshot id; absent for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<i64>,
    /// When its data was read from the lakehouse, according to the manifest.
    pub exported_at: Option<Timestamp>,
    /// When an export last found the lakehouse unchanged since this generation.
    pub confirmed_at: Option<Timestamp>,
    /// When this reader opened the generation.
    pub opened_at: Timestamp,
    /// Size of the file.
    pub bytes: u64,
    /// The schema in which table names are resolved.
    pub schema: String,
}

impl GenerationInfo {
    /// Returns when the generation was last known to match the lakehouse: the time of the last
    /// export that created or confirmed it.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        self.exported_at.max(self.confirmed_at)
    }
}

/// An open generation with its connections, cached results and running queries. Closes when the
/// last pin is dropped.
pub(super) struct OpenGeneration {
    /// Replaced when an export confirms the generation.
    pub(super) info: RwLock<Arc<GenerationInfo>>,
    /// The manifest of the newest older generation that is retained.
    pub(super) previous: Option<Arc<Manifest>>,
    /// Functions that the file defines.
    pub(super) foreign: ForeignNames,
    /// Differences to the previously served values.
    pub(super) revisions: Arc<Vec<Revision>>,
    /// One connection per worker thread; `None` once the generation has been closed.
    pub(super) connections: Vec<Mutex<Option<Connection>>>,
    /// The search path of queries without a namespace.
    pub(super) home: String,
    /// Where each connection resolves names.
    pub(super) entered: Vec<Mutex<Entered>>,
    /// The namespaces that exist in this generation.
    pub(super) namespaces: Mutex<HashMap<String, Contents>>,
    pub(super) cache: Cache<CacheKey, Arc<QueryResult>, SizeWeighter>,
    pub(super) in_flight: InFlightQueries,
    pub(super) streams: Mutex<Vec<Weak<Ticket>>>,
    /// Closing takes milliseconds, so a separate thread does it instead of the one that drops the
    /// last pin.
    pub(super) closer: Sender<Option<Vec<Connection>>>,
}

/// Weighs cached results by the memory they use.
#[derive(Clone)]
pub(super) struct SizeWeighter;

impl Weighter<CacheKey, Arc<QueryResult>> for SizeWeighter {
    fn weight(&self, _: &CacheKey, answer: &Arc<QueryResult>) -> u64 {
        const OVERHEAD: u64 = 512;
        answer.bytes as u64 + OVERHEAD
    }
}

/// Weighs remembered statements by their texts: clients of the SQL endpoint write what they like.
#[derive(Clone)]
pub(super) struct TextWeighter;

impl<T> Weighter<Arc<str>, T> for TextWeighter {
    fn weight(&self, text: &Arc<str>, _: &T) -> u64 {
        const OVERHEAD: u64 = 64;
        text.len() as u64 + OVERHEAD
    }
}

impl OpenGeneration {
    /// Returns the error of queries on a generation that has been closed.
    pub(super) fn retired_error() -> ReaderError {
        ReaderError::Unavailable {
            since: Timestamp::now(),
            reason:
                "this generation has been replaced and was pinned for too long; query the current one"
                    .to_owned(),
        }
    }

    /// Checks that a statement only reads, and adds to its namespace what it may need. Accepted texts
    /// are remembered across generations with whether they need that, unless the file defines
    /// functions.
    pub(super) fn check(
        &self,
        checked: &Cache<Arc<str>, bool, TextWeighter>,
        connection: &Connection,
        query: &Query,
    ) -> Result<(), ReaderError> {
        let is_plain = self.foreign.is_empty();
        let namespace = query.namespace.as_deref();
        // The same text is checked differently within a namespace.
        let key = match namespace {
            Some(_) => format!("namespace {}", query.sql).into(),
            None => query.sql.clone(),
        };
        let add_extras = |needs: bool| match namespace.filter(|_| needs) {
            Some(namespace) => self.add_extras(connection, namespace),
            None => Ok(()),
        };
        if is_plain && let Some(needs_extras) = checked.get(&key) {
            return add_extras(needs_extras);
        }
        let refused = |reason| ReaderError::Refused { reason };
        let scope = namespace.map(|namespace| &namespace.scope);
        let names =
            guard::inspect(connection, &query.sql, &self.foreign, scope).map_err(refused)?;
        add_extras(names.of_scope)?;
        guard::check_tables(connection, &names).map_err(refused)?;
        if is_plain {
            checked.insert(key, names.of_scope);
        }
        Ok(())
    }

    pub(super) fn watch_stream(&self, ticket: &Arc<Ticket>) {
        let mut streams = lock(&self.streams);
        streams.retain(|ticket| ticket.strong_count() > 0);
        streams.push(Arc::downgrade(ticket));
    }

    /// Interrupts all running queries and closes the generation, which was pinned for too long.
    pub(super) fn retire(&self) {
        let asking: Vec<_> = lock(&self.in_flight).values().filter_map(Weak::upgrade).collect();
        for asking in asking {
            asking.stop(StopReason::Retired);
        }
        let streams: Vec<_> = lock(&self.streams).iter().filter_map(Weak::upgrade).collect();
        for ticket in streams {
            ticket.stop(StopReason::Retired);
        }
        self.close();
    }

    /// Closes the connections. Running queries must have been stopped before.
    fn close(&self) {
        let connections: Vec<_> =
            self.connections.iter().filter_map(|slot| lock(slot).take()).collect();
        let _ = self.closer.send(Some(connections));
    }
}

impl Drop for OpenGeneration {
    fn drop(&mut self) {
        self.close();
    }
}

/// A former generation that is still pinned.
pub(super) struct Retired {
    pub(super) generation: Weak<OpenGeneration>,
    pub(super) since: Instant,
}
