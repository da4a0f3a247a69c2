//! What an export is asked to do, and what comes of it.

use std::{io, path::PathBuf, time::Duration};

use super::{Cancel, ExportError, Limits, Plan, Record, Source, Sources, Treatment, fingerprint::Text};
use crate::{
    dashboard::Dashboards,
    settings::{HeldMode, Settings, SnapshotMode, SqlAudit, TableSettings},
    target::{GenerationId, Target},
};

/// Everything one export needs to know.
#[derive(Debug, Clone)]
pub struct Job {
    /// The pipeline's file.
    pub lakehouse: PathBuf,
    /// What is served.
    pub target: Target,
    /// The name of the schema in the served file.
    pub schema: String,
    /// Which relations are published, and what they may read.
    pub sources: Sources,
    /// How long to wait for the lakehouse, and for another exporter.
    pub wait: Duration,
    /// How to read the lakehouse.
    pub snapshot: SnapshotMode,
    /// What to do about a lakehouse that is held open for writing.
    pub held: HeldMode,
    /// With [`HeldMode::Copy`], for how long its holder must not have written.
    pub held_idle: Duration,
    /// Where the filesystem has no locks, for how long nothing must have been written.
    pub snapshot_quiet: Duration,
    /// How many generations to keep.
    pub keep: usize,
    /// The largest share of its rows that a table may lose.
    pub max_drop: f64,
    /// Bounds on memory and threads.
    pub limits: Limits,
    /// Overrides the lakehouse's storage version.
    pub storage_version: Option<String>,
    /// Keeps the staged file of a refused export.
    pub keep_refused: bool,
    /// Publishes although checks fail.
    pub force: bool,
    /// Copies every table, whatever has changed.
    pub full: bool,
    /// What is asked of single tables.
    pub tables: std::collections::BTreeMap<String, TableSettings>,
    /// Checks in SQL.
    pub audits: Vec<SqlAudit>,
    /// Dashboards that must be answerable from what is published.
    pub dashboards: Dashboards,
    /// Stops the attempt from outside.
    pub cancel: Cancel,
}

impl Job {
    /// The export that the settings ask for, whatever the dashboards.
    ///
    /// # Errors
    /// The served path is a loop of links.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let export = settings.export.clone();
        Ok(Self {
            lakehouse: settings.lakehouse.clone(),
            target: settings.target()?,
            schema: export.served_schema().to_owned(),
            sources: Sources::new(&export),
            wait: export.wait,
            snapshot: export.snapshot,
            held: export.held,
            held_idle: export.held_idle,
            snapshot_quiet: export.snapshot_quiet,
            keep: export.keep,
            max_drop: export.max_drop,
            limits: Limits { memory: export.memory_limit, threads: export.threads },
            storage_version: export.storage_version,
            keep_refused: export.keep_refused,
            force: false,
            full: false,
            tables: export.tables,
            audits: export.audits,
            dashboards: Dashboards::default(),
            cancel: Cancel::default(),
        })
    }

    /// Tells whether the same checks are asked for as another time.
    pub(super) fn checks(&self) -> String {
        let mut text = Text::new();
        text.add(&format!("{:?} {:?} {}", self.tables, self.audits, self.max_drop));
        text.add(&format!("{:?}", self.dashboards));
        text.digest()
    }

    /// The job with nothing to check but what may come out differently although the data is the same: how old it is, and whatever SQL asks.
    pub(super) fn with_passing_checks_only(&self) -> Self {
        let only_fresh = |table: &TableSettings| TableSettings { fresh: table.fresh.clone(), ..TableSettings::default() };
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), only_fresh(table)));
        let tables = tables.filter(|(_, table)| table.fresh.is_some()).collect();
        Self { tables, dashboards: Dashboards::default(), ..self.clone() }
    }
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// As it stands in the history.
    pub record: Record,
    /// Why it did not publish.
    pub error: Option<ExportError>,
    /// Why it could not be recorded, where it could not.
    pub unrecorded: Option<io::Error>,
}

/// What an export would do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Rehearsal {
    /// What would be exported.
    pub plan: Plan,
    /// The checks that would be made.
    pub audits: Vec<String>,
    /// The lakehouse.
    pub lakehouse: Source,
    /// The generation that is served now.
    pub previous: Option<GenerationId>,
    /// What would be done about each table, in the plan's order.
    pub treatments: Vec<Treatment>,
    /// Bytes left where the export would be written.
    pub space_left: Option<u64>,
}
