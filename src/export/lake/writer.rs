//! A transaction of a lake: replaces whole tables, compares them with their source, and commits
//! them as one snapshot.

use crate::export::error::check_cancelled;
use std::{collections::BTreeMap, path::Path, time::Instant};

use crate::store::{AuditReport, ColumnManifest, ExportStep, Manifest};
use crate::{
    export::{
        CancellationToken, ExportError, ExportEvent, Progress, ResourceLimits, TablePlan,
        audit::Auditor, engine::Engine, plan, snapshot::ms_since, stage,
    },
    sql,
    store::{
        GenerationId,
        lake::{AUTHOR, CANDIDATE_AUTHOR, FrozenCatalog, GENERATION_TABLE, Lake, LakeState},
    },
};

/// Catalog name of the lake while it is attached.
const LAKE_CATALOG: &str = "_lake";

/// An open transaction, rolled back on drop unless it was committed.
pub(super) struct LakeTransaction<'a> {
    pub(super) engine: Engine,
    lake: &'a Lake,
    schema: String,
    /// The generation that was served when the transaction began.
    served: Option<GenerationId>,
    cancel: CancellationToken,
}

impl<'a> LakeTransaction<'a> {
    /// Opens the lake at the snapshot `found`, on which all decisions are based, and refuses any
    /// other. Creates a missing lake.
    pub(super) fn begin(
        lake: &'a Lake,
        schema: &str,
        found: Option<&LakeState>,
        (limits, spill, cancel): (&ResourceLimits, &Path, &CancellationToken),
    ) -> Result<Self, ExportError> {
        let engine = Engine::start(limits, spill, cancel)?;
        engine.attach_lake(lake, LAKE_CATALOG)?;
        if found.is_none_or(|found| found.served.is_none()) {
            // Readers recognize generations by the history, so it must exist in case the exporter
            // is killed right after its first commit.
            lake.create_tables()?;
        }
        engine.execute_batch("BEGIN")?;
        let served =
            found.and_then(|found| found.served.as_ref()).map(|commit| commit.manifest.id.clone());
        let writer =
            Self { engine, lake, schema: schema.to_owned(), served, cancel: cancel.clone() };
        let begun = writer
            .engine
            .query_u64(&format!("SELECT id FROM {LAKE_CATALOG}.current_snapshot()"))?;
        match found {
            Some(found) if i64::try_from(begun) != Ok(found.snapshot) => {
                return Err(writer.conflict_error());
            }
            // A new lake begins with one snapshot.
            None if begun > 0 => return Err(writer.conflict_error()),
            _ => {}
        }
        let [schema, table] = GENERATION_TABLE;
        writer.engine.execute_batch(&format!(
            "CREATE SCHEMA IF NOT EXISTS {}; CREATE SCHEMA IF NOT EXISTS {}",
            sql::path(&[LAKE_CATALOG, schema]),
            sql::path(&[LAKE_CATALOG, &writer.schema])
        ))?;
        let columns = "NULL::VARCHAR AS id, NULL::TIMESTAMP WITH TIME ZONE AS exported_at";
        writer.engine.execute_batch(&format!(
            "CREATE OR REPLACE TABLE {} AS SELECT {columns} LIMIT 0",
            sql::path(&[LAKE_CATALOG, schema, table])
        ))?;
        writer.remove_views()?;
        Ok(writer)
    }

    /// materia creates only tables: a view belongs to another program, and may have the name of a
    /// new table.
    fn remove_views(&self) -> Result<(), ExportError> {
        let query =
            "SELECT view_name FROM duckdb_views() WHERE database_name = ? AND schema_name = ?";
        let views = self.engine.query_strings(query, &[LAKE_CATALOG, &self.schema])?;
        views.iter().try_for_each(|view| {
            self.engine.execute_batch(&format!("DROP VIEW {}", self.path(view)))
        })
    }

    /// Replaces a table with the content of `from`; returns its number of rows and the duration in
    /// milliseconds.
    pub(super) fn replace_table(
        &self,
        table: &TablePlan,
        from: &str,
        (index, of): (usize, usize),
        watch: &mut dyn Progress,
    ) -> Result<(u64, u64), ExportError> {
        watch.event(&ExportEvent::TableBegins { table: &table.name, index, of });
        let begun = Instant::now();
        let to = self.path(&table.name);
        self.engine.execute_batch(&declare(&to, table))?;
        let progress =
            |percent| watch.event(&ExportEvent::TableProgress { table: &table.name, percent });
        let rows = self.engine.run(&format!("INSERT INTO {to} FROM {from}"), progress)? as u64;
        let ms = ms_since(begun);
        watch.event(&ExportEvent::TableDone { table: &table.name, rows, ms });
        Ok((rows, ms))
    }

    /// Attaches an older snapshot alongside the lake. `AT (VERSION ...)` would not work: within
    /// this transaction, every version of a replaced table is the new one.
    pub(super) fn attach_snapshot(&self, frozen: &FrozenCatalog) -> Result<(), ExportError> {
        self.engine.execute_batch(&format!(
            "ATTACH {} AS {OLD_CATALOG} (READ_ONLY)",
            sql::literal(&frozen.address())
        ))
    }

    pub(super) fn remove(&self, table: &str) -> Result<(), ExportError> {
        self.engine.execute_batch(&format!("DROP TABLE IF EXISTS {}", self.path(table)))
    }

    /// Lists the current tables of the schema.
    pub(super) fn tables(&self) -> Result<Vec<String>, ExportError> {
        Ok(plan::columns(&self.engine, LAKE_CATALOG, &self.schema)?.into_keys().collect())
    }

    /// Checks that every table is as expected and that the written tables have exactly the values
    /// of their source. Returns the digests of the written tables.
    pub(super) fn verify(
        &self,
        manifest: &Manifest,
        written: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, ExportError> {
        let found = plan::columns(&self.engine, LAKE_CATALOG, &self.schema)?;
        let plan = plan::ExportPlan::of(manifest);
        let mut audit =
            Auditor { engine: &self.engine, schema: &self.schema, verdict: AuditReport::default() };
        let mut digests = BTreeMap::new();
        for (table, known) in plan.tables.iter().zip(&manifest.tables) {
            check_cancelled(&self.cancel)?;
            let rows = match written.iter().find(|(name, _)| *name == table.name) {
                Some((name, from)) => {
                    let [there, here] = [self.digest(&self.path(name))?, self.digest(from)?];
                    audit.record(
                        "same_values",
                        Some(name),
                        there == here,
                        "has in the lake the content that was audited".to_owned(),
                    );
                    digests.insert(name.clone(), recorded_digest(&self.engine, &there)?);
                    there.0
                }
                None => known.rows,
            };
            audit.check_copy(
                table,
                known.rows,
                found.get(&table.name).map(|columns| (columns, &rows)),
            );
        }
        let failed: Vec<_> = audit.verdict.refusals().cloned().collect();
        if failed.is_empty() { Ok(digests) } else { Err(ExportError::IncompleteCopy { failed }) }
    }

    fn digest(&self, from: &str) -> Result<(u64, String), ExportError> {
        digest(&self.engine, from)
    }

    /// Commits the transaction as the newest generation.
    pub(super) fn commit(
        self,
        manifest: &Manifest,
        watch: &mut dyn Progress,
    ) -> Result<(), ExportError> {
        check_cancelled(&self.cancel)?;
        watch.step(ExportStep::Commit);
        self.commit_as(AUTHOR, manifest)
    }

    /// Commits the transaction as a snapshot that readers do not follow yet.
    pub(super) fn commit_candidate(self, manifest: &Manifest) -> Result<(), ExportError> {
        self.commit_as(CANDIDATE_AUTHOR, manifest)
    }

    fn commit_as(self, author: &str, manifest: &Manifest) -> Result<(), ExportError> {
        let text = serde_json::to_string(manifest)
            .map_err(|error| ExportError::io("describe", &self.name(), error.into()))?;
        let [schema, table] = GENERATION_TABLE;
        self.engine.execute_batch(&format!(
            "INSERT INTO {} VALUES ({}, {}::TIMESTAMP WITH TIME ZONE)",
            sql::path(&[LAKE_CATALOG, schema, table]),
            sql::literal(manifest.id.as_str()),
            sql::literal(&manifest.exported_at.to_string())
        ))?;
        self.engine.execute_batch(&format!(
            "CALL {LAKE_CATALOG}.set_commit_message('{author}', {}, extra_info => {})",
            sql::literal(&format!("generation {}", manifest.id)),
            sql::literal(&text)
        ))?;
        check_cancelled(&self.cancel)?;
        match self.engine.run("COMMIT", |_| ()) {
            Err(ExportError::Engine { source, .. }) if is_conflict(&source) => {
                Err(self.conflict_error())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn conflict_error(&self) -> ExportError {
        conflict_error(self.lake, self.served.as_ref())
    }

    fn name(&self) -> std::path::PathBuf {
        self.lake.name().into()
    }

    fn path(&self, table: &str) -> String {
        sql::path(&[LAKE_CATALOG, &self.schema, table])
    }
}

/// Returns the error of an export that another one preceded, with the generation that is served
/// instead of `before`.
pub(super) fn conflict_error(lake: &Lake, before: Option<&GenerationId>) -> ExportError {
    let now = lake
        .served()
        .ok()
        .flatten()
        .map(|commit| commit.manifest.id)
        .filter(|now| Some(now) != before);
    let by = now.map(|id| format!(" (generation {id})")).unwrap_or_default();
    ExportError::Conflict { lake: lake.name().into(), by }
}

/// Returns the number of rows and a sum over the hashes of all rows, independent of their order.
pub(super) fn digest(engine: &Engine, from: &str) -> Result<(u64, String), ExportError> {
    // Must not be a valid column name, or the column would be hashed in place of the row.
    const ROW: &str = "\"materia: a whole row\"";
    let query = format!(
        "SELECT count(*), coalesce(sum(hash({ROW})::HUGEINT), 0)::VARCHAR FROM (FROM {from}) AS {ROW}"
    );
    let mut rows = engine.rows(&query, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.pop().unwrap_or_default())
}

/// Returns a digest as manifests record it: prefixed with DuckDB's version, since another version
/// may use another hash function.
pub(super) fn recorded_digest(
    engine: &Engine,
    (_, values): &(u64, String),
) -> Result<String, ExportError> {
    let version = engine.query_strings("SELECT version()", &[])?.pop().unwrap_or_default();
    Ok(format!("{version} {values}"))
}

/// Returns whether another process committed first: DuckLake detects conflicting changes, SQLite
/// any change.
fn is_conflict(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    text.contains("conflict") || text.contains("database is locked")
}

/// Returns the statements that replace a relation with an empty table. DuckLake can declare NOT
/// NULL columns only when it creates the table.
fn declare(to: &str, table: &TablePlan) -> String {
    let column = |column: &ColumnManifest| {
        format!(
            "{} {}{}",
            sql::ident(&column.name),
            column.data_type,
            if column.nullable { "" } else { " NOT NULL" }
        )
    };
    let columns: Vec<_> = table.columns.iter().map(column).collect();
    format!(
        "CREATE OR REPLACE TABLE {to} ({});{}",
        columns.join(", "),
        stage::comment_sql(to, table)
    )
}

/// Catalog name of an attached older snapshot.
pub(super) const OLD_CATALOG: &str = "_old";

/// Expires snapshots and removes data that no retained snapshot needs.
pub(super) fn expire_and_clean(
    lake: &Lake,
    expired: &[i64],
    (limits, spill, cancel): (&ResourceLimits, &Path, &CancellationToken),
) -> Result<(), ExportError> {
    let engine = Engine::start(limits, spill, cancel)?;
    engine.attach_lake(lake, LAKE_CATALOG)?;
    let keeping = lake.retention();
    let ago = |span: std::time::Duration| {
        format!("now()::TIMESTAMP WITH TIME ZONE - INTERVAL {} MILLISECONDS", span.as_millis())
    };
    if !expired.is_empty() {
        let versions = expired.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        engine.execute_batch(&format!(
            "CALL ducklake_expire_snapshots('{LAKE_CATALOG}', versions => [{versions}])"
        ))?;
    }
    engine.execute_batch(&format!(
        "CALL ducklake_cleanup_old_files('{LAKE_CATALOG}', older_than => {})",
        ago(keeping.grace)
    ))?;
    engine.execute_batch(&format!(
        "CALL ducklake_delete_orphaned_files('{LAKE_CATALOG}', older_than => {})",
        ago(keeping.orphans)
    ))
}
