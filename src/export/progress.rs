//! Progress events of the library; the terminal's bars, JSON lines and the export lock's
//! announcement all receive them.

use std::time::Duration;

use serde::Serialize;

use crate::store::ExportStep;
use crate::{lock::LockHolder, store::GenerationId};

/// An event that a caller may display.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ExportEvent<'a> {
    /// The attempt has this id from here on. Repeated with another id if a concurrent exporter used
    /// it.
    Begins {
        /// As in the history.
        id: &'a GenerationId,
    },
    Step {
        step: ExportStep,
    },
    /// The export waits for a lock holder; repeated while it waits.
    Waiting {
        /// `lakehouse.duckdb`, or `the export of analytics.duckdb`.
        what: &'a str,
        holder: &'a LockHolder,
        #[serde(rename = "waited_ms", serialize_with = "as_ms")]
        waited: Duration,
        #[serde(rename = "limit_ms", serialize_with = "as_ms")]
        limit: Duration,
    },
    /// The copy of a table begins.
    TableBegins {
        table: &'a str,
        index: usize,
        /// The total number of tables.
        of: usize,
    },
    /// Progress of a table's copy, as estimated by DuckDB.
    TableProgress {
        table: &'a str,
        percent: f64,
    },
    /// A table has been copied.
    TableDone {
        table: &'a str,
        rows: u64,
        ms: u64,
    },
    /// The lakehouse begins or ceases to be read in place, which blocks writers.
    InPlace {
        /// Whether it is read in place from now on.
        reading: bool,
    },
    /// Information for the operator that is not a failure.
    Notice {
        message: &'a str,
    },
}

/// Durations in JSON are whole milliseconds.
fn as_ms<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    super::snapshot::ms(*span).serialize(serializer)
}

/// Receives the events of one attempt, in order, from whichever thread they happen on.
pub trait Progress: Send {
    /// Handles one event. Runs on the exporter's thread and should return immediately.
    fn event(&mut self, event: &ExportEvent<'_>);
}

pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&mut self, _: &ExportEvent<'_>) {}
}

impl dyn Progress + '_ {
    pub(super) fn step(&mut self, step: ExportStep) {
        self.event(&ExportEvent::Step { step });
    }

    pub(super) fn notice(&mut self, message: &str) {
        self.event(&ExportEvent::Notice { message });
    }
}
