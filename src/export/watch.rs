//! How progress leaves the library: the terminal's bars, JSON lines and the exporter's own announcement are all watchers.

use std::time::Duration;

use serde::Serialize;

use crate::{lock::Holder, target::GenerationId};

/// The steps of an attempt, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Waiting for another exporter.
    Turn,
    /// Clearing what a killed exporter left.
    Recover,
    /// Waiting for the lakehouse.
    Wait,
    /// Taking a private view of the lakehouse.
    Snapshot,
    /// Finding out what there is to export.
    Plan,
    /// Copying tables into the staged file.
    Stage,
    /// Writing the staged file out and closing it.
    Checkpoint,
    /// Checking the staged file.
    Audit,
    /// Making the staged file durable.
    Sync,
    /// Writing the manifest.
    Manifest,
    /// Keeping the staged file as a generation.
    Link,
    /// Moving it over the served file: the swap.
    Rename,
    /// Making the swap durable.
    SyncFolder,
    /// Copying what changed into a lake.
    Upload,
    /// Comparing it there with what was audited.
    Verify,
    /// Committing it: the swap of a lake.
    Commit,
    /// Writing the history.
    Record,
    /// Removing generations that need not be kept.
    Prune,
}

impl Step {
    /// What is being done, in words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Turn => "waiting for its turn",
            Self::Recover => "clearing up",
            Self::Wait => "waiting for the lakehouse",
            Self::Snapshot => "taking a snapshot",
            Self::Plan => "planning",
            Self::Stage => "staging",
            Self::Checkpoint => "writing out",
            Self::Audit => "auditing",
            Self::Sync | Self::Manifest | Self::Link | Self::Rename | Self::SyncFolder => "publishing",
            Self::Upload => "uploading",
            Self::Verify => "verifying",
            Self::Commit => "committing",
            Self::Record => "recording",
            Self::Prune => "pruning",
        }
    }

    /// Whether an attempt that had come this far may have changed what is served.
    pub(super) fn may_have_swapped(self) -> bool {
        matches!(self, Self::Rename | Self::SyncFolder | Self::Commit | Self::Record | Self::Prune)
    }

    /// Every step of an export to a file, in order. Where a lake is served, what is between `SyncFolder` and `Record` follows.
    pub const ALL: [Self; 15] = [
        Self::Turn,
        Self::Recover,
        Self::Wait,
        Self::Snapshot,
        Self::Plan,
        Self::Stage,
        Self::Checkpoint,
        Self::Audit,
        Self::Sync,
        Self::Manifest,
        Self::Link,
        Self::Rename,
        Self::SyncFolder,
        Self::Record,
        Self::Prune,
    ];
}

/// Something a watcher may want to show.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The attempt has this identity from here on; said again where another exporter that was waited for took it.
    Begins {
        /// As in the history.
        id: &'a GenerationId,
    },
    /// A step begins.
    Step {
        /// Which.
        step: Step,
    },
    /// Somebody is in the way; said again and again while waiting.
    Waiting {
        /// `lakehouse.duckdb`, or `the export of analytics.duckdb`.
        what: &'a str,
        /// Who holds it.
        holder: &'a Holder,
        /// Waited so far.
        #[serde(rename = "waited_ms", serialize_with = "as_ms")]
        waited: Duration,
        /// Until when.
        #[serde(rename = "limit_ms", serialize_with = "as_ms")]
        limit: Duration,
    },
    /// A table's copy begins.
    TableBegins {
        /// Its name.
        table: &'a str,
        /// Counted from 0.
        index: usize,
        /// How many tables there are.
        of: usize,
    },
    /// How far a table's copy is, as DuckDB estimates it.
    TableProgress {
        /// Its name.
        table: &'a str,
        /// 0 to 100.
        percent: f64,
    },
    /// A table has been copied.
    TableDone {
        /// Its name.
        table: &'a str,
        /// Its rows.
        rows: u64,
        /// Milliseconds it took.
        ms: u64,
    },
    /// The lakehouse begins or ceases to be read where it is: meanwhile nobody can write it.
    InPlace {
        /// Whether it is read in place from now on.
        reading: bool,
    },
    /// Something the operator should know although nothing failed.
    Notice {
        /// In words.
        message: &'a str,
    },
}

/// Durations in JSON are whole milliseconds.
fn as_ms<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    super::snapshot::ms(*span).serialize(serializer)
}

/// Receives the events of one attempt, in order, from whichever thread they happen on.
pub trait Watch: Send {
    /// Takes one event. It is called on the exporter's own time and should return at once.
    fn event(&mut self, event: &Event<'_>);
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn event(&mut self, _: &Event<'_>) {}
}

impl dyn Watch + '_ {
    pub(super) fn step(&mut self, step: Step) {
        self.event(&Event::Step { step });
    }

    pub(super) fn notice(&mut self, message: &str) {
        self.event(&Event::Notice { message });
    }
}
