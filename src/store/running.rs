//! The progress that a running exporter writes to its lock file.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{GenerationId, Store};
use crate::lock::LockHolder;

/// The steps of an attempt, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportStep {
    /// Waiting for another exporter.
    Turn,
    /// Removing the leftovers of a killed exporter.
    Recover,
    /// Waiting for the lakehouse.
    Wait,
    /// Taking a snapshot of the lakehouse.
    Snapshot,
    /// Determining what to export.
    Plan,
    /// Copying tables into the staged file.
    Stage,
    /// Checkpointing and closing the staged file.
    Checkpoint,
    /// Auditing the staged file.
    Audit,
    /// Syncing the staged file.
    Sync,
    Manifest,
    /// Linking the staged file as a generation.
    Link,
    /// Renaming it over the served file: the swap.
    Rename,
    /// Syncing the folder of the served file.
    SyncFolder,
    /// Copying changed tables into a lake.
    Upload,
    /// Comparing the lake's tables with the audited ones.
    Verify,
    /// Committing to the lake: its swap.
    Commit,
    Record,
    /// Pruning generations beyond the retention.
    Prune,
}

impl ExportStep {
    /// Returns a description for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Turn => "waiting for the lock",
            Self::Recover => "clearing up",
            Self::Wait => "waiting for the lakehouse",
            Self::Snapshot => "taking a snapshot",
            Self::Plan => "planning",
            Self::Stage => "staging",
            Self::Checkpoint => "writing out",
            Self::Audit => "auditing",
            Self::Sync | Self::Manifest | Self::Link | Self::Rename | Self::SyncFolder => {
                "publishing"
            }
            Self::Upload => "uploading",
            Self::Verify => "verifying",
            Self::Commit => "committing",
            Self::Record => "recording",
            Self::Prune => "pruning",
        }
    }

    /// Returns whether an attempt killed in this step may have changed the served data.
    pub(crate) fn may_have_swapped(self) -> bool {
        matches!(self, Self::Rename | Self::SyncFolder | Self::Commit | Self::Record | Self::Prune)
    }

    /// Every step of an export to a file, in order. An export to a lake inserts its steps between
    /// `SyncFolder` and `Record`.
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

/// The progress of a running exporter, world-readable in its lock file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningExport {
    pub pid: u32,
    pub id: GenerationId,
    /// The generation to be served on success: `id` for an export, an older one for a rollback.
    pub generation: GenerationId,
    pub target: PathBuf,
    /// The address of the lake that is filled from that file, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lake: Option<String>,
    pub started_at: jiff::Timestamp,
    pub step: ExportStep,
    /// The table being copied, if any.
    pub table: Option<String>,
    /// Progress of that table, 0 to 100, if DuckDB reports it.
    pub percent: Option<f64>,
    /// The lock holder that it waits for, if any.
    pub waiting_for: Option<LockHolder>,
    /// Whether it reads the lakehouse in place, which blocks writers.
    #[serde(default)]
    pub in_place: bool,
}

impl RunningExport {
    pub(crate) fn begin(
        target: &Store,
        id: &GenerationId,
        generation: GenerationId,
        now: jiff::Timestamp,
    ) -> Self {
        Self {
            pid: std::process::id(),
            id: id.clone(),
            generation,
            target: target.local().served_path().to_path_buf(),
            lake: target.lake().map(|lake| lake.name().to_owned()),
            started_at: now,
            step: ExportStep::Turn,
            table: None,
            percent: None,
            waiting_for: None,
            in_place: false,
        }
    }

    /// Reads the progress from a lock file; returns `None` if it is empty or torn.
    pub(crate) fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}
