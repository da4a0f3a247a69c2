//! The input and the result of an export.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use super::{CancellationToken, ExportError, ExportPlan, ResourceLimits, Sources, TableAction};
use crate::store::{AttemptRecord, LakehouseInfo};
use crate::{
    digest::DigestBuilder,
    settings::{HeldMode, LakeCast, Settings, SnapshotMode, SqlAudit, TableSettings},
    store::{Check, GenerationId, Store},
};

/// What concerns exports to a lake only.
#[derive(Debug, Clone, Default)]
pub struct LakeOptions {
    /// Publishes to a lake that another machine or lakehouse has filled, and owns it from then on.
    pub take_over: bool,
    /// How types are converted that a lake would alter.
    pub casts: Vec<LakeCast>,
}

#[derive(Debug, Clone)]
pub struct ExportJob {
    pub lakehouse: PathBuf,
    pub target: Store,
    /// The name of the schema in the served file.
    pub schema: String,
    /// Selects the published relations and what their views may read.
    pub sources: Sources,
    /// How long to wait for the lakehouse, and for another exporter.
    pub wait: Duration,
    /// How to read the lakehouse.
    pub snapshot: SnapshotMode,
    /// How to treat a lakehouse that is held open for writing.
    pub held: HeldMode,
    /// With [`HeldMode::Copy`], for how long its holder must not have written.
    pub held_idle: Duration,
    /// Where the filesystem has no locks, for how long nothing must have been written.
    pub snapshot_quiet: Duration,
    /// The number of generations to retain.
    pub keep: usize,
    /// The number of attempts that the history keeps; `None` is all.
    pub history: Option<usize>,
    /// The largest share of its rows that a table may lose.
    pub max_drop: f64,
    /// Limits on memory and threads.
    pub limits: ResourceLimits,
    /// Overrides the lakehouse's storage version.
    pub storage_version: Option<String>,
    /// Keeps the staged file of a refused export.
    pub keep_refused: bool,
    /// Publishes although checks fail.
    pub force: bool,
    /// Copies every table, whatever has changed.
    pub full: bool,
    pub lake: LakeOptions,
    /// Settings of single tables.
    pub tables: std::collections::BTreeMap<String, TableSettings>,
    pub audits: Vec<SqlAudit>,
    /// Further checks of the finished file, such as whether every dashboard can be rendered from
    /// it.
    pub checks: Vec<Arc<dyn Check>>,
    /// Cancels the attempt from outside.
    pub cancel: CancellationToken,
}

impl ExportJob {
    /// Returns the export that the settings describe, without checks of dashboards.
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
            history: export.history,
            max_drop: export.max_drop,
            limits: ResourceLimits { memory: export.memory_limit, threads: export.threads },
            storage_version: export.storage_version,
            keep_refused: export.keep_refused,
            force: false,
            full: false,
            lake: LakeOptions { take_over: false, casts: settings.lakes.casts.clone() },
            tables: export.tables,
            audits: export.audits,
            checks: Vec::new(),
            cancel: CancellationToken::default(),
        })
    }

    /// Returns a digest by which a later export recognizes the same set of checks.
    pub(super) fn checks_digest(&self) -> String {
        let mut digest = DigestBuilder::new();
        digest.add_json(&self.tables).add_json(&self.audits).add_json(&self.max_drop);
        for check in &self.checks {
            digest.add(check.name()).add(&check.digest());
        }
        digest.digest()
    }

    /// Returns the job reduced to checks that may give another result for the same data: data age
    /// and SQL audits.
    pub(super) fn with_time_dependent_checks(&self) -> Self {
        let only_fresh = |table: &TableSettings| TableSettings {
            fresh: table.fresh.clone(),
            ..TableSettings::default()
        };
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), only_fresh(table)));
        let tables = tables.filter(|(_, table)| table.fresh.is_some()).collect();
        Self { tables, checks: Vec::new(), ..self.clone() }
    }
}

/// The outcome of an attempt.
#[derive(Debug)]
pub struct AttemptResult {
    /// The attempt's record in the history.
    pub record: AttemptRecord,
    /// Why nothing was published.
    pub error: Option<ExportError>,
    /// Why the record could not be written.
    pub unrecorded: Option<io::Error>,
}

/// The result of a dry run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DryRun {
    /// The relations that would be exported.
    pub plan: ExportPlan,
    /// The names of the audits that would run.
    pub audits: Vec<String>,
    pub lakehouse: LakehouseInfo,
    pub previous: Option<GenerationId>,
    /// Why nothing would be published whatever the tables contain: a rollback is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The action for each table, in the plan's order.
    #[serde(rename = "treatments")]
    pub table_actions: Vec<TableAction>,
    /// Available bytes at the destination of the export.
    pub space_left: Option<u64>,
}
