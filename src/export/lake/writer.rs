//! One transaction of a lake: whole tables are replaced, compared with where they came from, and committed as one snapshot.

use std::{path::Path, time::Instant};

use crate::{
    export::{
        Cancel, Column, Event, ExportError, Limits, Manifest, TablePlan, Verdict, Watch, audit::Auditor, engine::Engine, plan,
        snapshot::ms_since, stage, watch::Step,
    },
    lake::{AUTHOR, Found, Frozen, Lake, MARK},
    sql,
    target::GenerationId,
};

/// What the lake is attached as.
const LAKE: &str = "_lake";

/// An open transaction. Dropped without a commit, nothing of it was ever there.
pub(super) struct Writer<'a> {
    pub(super) engine: Engine,
    lake: &'a Lake,
    schema: String,
    /// The generation that was served when it was begun.
    served: Option<GenerationId>,
    cancel: Cancel,
}

impl<'a> Writer<'a> {
    /// Opens the lake where `found` says, and nowhere else: what was decided is about that snapshot. It is made where there is none.
    pub(super) fn begin(
        lake: &'a Lake,
        schema: &str,
        found: Option<&Found>,
        (limits, spill, cancel): (&Limits, &Path, &Cancel),
    ) -> Result<Self, ExportError> {
        let engine = Engine::start(limits, spill, cancel)?;
        engine.attach_lake(lake, LAKE)?;
        if found.is_none_or(|found| found.served.is_none()) {
            // A first generation whose exporter dies right after the commit must be known as one: readers look for its history as well.
            lake.prepare()?;
        }
        engine.quick("BEGIN")?;
        let served = found.and_then(|found| found.served.as_ref()).map(|commit| commit.manifest.id.clone());
        let writer = Self { engine, lake, schema: schema.to_owned(), served, cancel: cancel.clone() };
        let begun = writer.engine.number(&format!("SELECT id FROM {LAKE}.current_snapshot()"))?;
        match found {
            Some(found) if i64::try_from(begun) != Ok(found.snapshot) => return Err(writer.overtaken()),
            // A lake that has just been made begins with one snapshot.
            None if begun > 0 => return Err(writer.overtaken()),
            _ => {}
        }
        let [schema, table] = MARK;
        writer.engine.quick(&format!(
            "CREATE SCHEMA IF NOT EXISTS {}; CREATE SCHEMA IF NOT EXISTS {}",
            sql::path(&[LAKE, schema]),
            sql::path(&[LAKE, &writer.schema])
        ))?;
        let columns = "NULL::VARCHAR AS id, NULL::TIMESTAMP WITH TIME ZONE AS exported_at";
        writer.engine.quick(&format!("CREATE OR REPLACE TABLE {} AS SELECT {columns} LIMIT 0", sql::path(&[LAKE, schema, table])))?;
        writer.remove_views()?;
        Ok(writer)
    }

    /// materia makes tables only: a view is somebody else's, and may have the name that a table is to get.
    fn remove_views(&self) -> Result<(), ExportError> {
        let query = "SELECT view_name FROM duckdb_views() WHERE database_name = ? AND schema_name = ?";
        let views = self.engine.texts(query, &[LAKE, &self.schema])?;
        views.iter().try_for_each(|view| self.engine.quick(&format!("DROP VIEW {}", self.path(view))))
    }

    /// Replaces a table by what `from` holds, and returns the rows and the milliseconds it took.
    pub(super) fn replace(
        &self,
        table: &TablePlan,
        from: &str,
        (index, of): (usize, usize),
        watch: &mut dyn Watch,
    ) -> Result<(u64, u64), ExportError> {
        watch.event(&Event::TableBegins { table: &table.name, index, of });
        let begun = Instant::now();
        let to = self.path(&table.name);
        self.engine.quick(&declare(&to, table))?;
        let progress = |percent| watch.event(&Event::TableProgress { table: &table.name, percent });
        let rows = self.engine.run(&format!("INSERT INTO {to} FROM {from}"), progress)? as u64;
        let ms = ms_since(begun);
        watch.event(&Event::TableDone { table: &table.name, rows, ms });
        Ok((rows, ms))
    }

    /// Attaches an older snapshot beside what is written. Asking the lake itself for it would not do: in this transaction a table that has been
    /// replaced is the new one, whatever version of it is asked for.
    pub(super) fn attach_old(&self, frozen: &Frozen) -> Result<(), ExportError> {
        self.engine.quick(&format!("ATTACH {} AS {OLD} (READ_ONLY)", sql::literal(&frozen.address())))
    }

    /// Removes a table.
    pub(super) fn remove(&self, table: &str) -> Result<(), ExportError> {
        self.engine.quick(&format!("DROP TABLE IF EXISTS {}", self.path(table)))
    }

    /// The tables there are now in the schema.
    pub(super) fn tables(&self) -> Result<Vec<String>, ExportError> {
        Ok(plan::columns(&self.engine, LAKE, &self.schema)?.into_keys().collect())
    }

    /// Checks that every table is there as it should be, and that those that were written hold, value for value, what they were written from.
    pub(super) fn verify(&self, manifest: &Manifest, written: &[(String, String)]) -> Result<(), ExportError> {
        let found = plan::columns(&self.engine, LAKE, &self.schema)?;
        let plan = plan::Plan::of(manifest);
        let mut audit = Auditor { engine: &self.engine, schema: &self.schema, verdict: Verdict::default() };
        for (table, known) in plan.tables.iter().zip(&manifest.tables) {
            self.cancel.check()?;
            let rows = match written.iter().find(|(name, _)| *name == table.name) {
                Some((name, from)) => {
                    let [there, here] = [self.digest(&self.path(name))?, self.digest(from)?];
                    audit.note("same_values", Some(name), there == here, "holds in the lake what was audited".to_owned());
                    there.0
                }
                None => known.rows,
            };
            audit.against_lakehouse(table, known.rows, found.get(&table.name).map(|columns| (columns, &rows)));
        }
        let failed: Vec<_> = audit.verdict.refusals().cloned().collect();
        if failed.is_empty() { Ok(()) } else { Err(ExportError::Broken { failed }) }
    }

    fn digest(&self, from: &str) -> Result<(u64, String), ExportError> {
        digest(&self.engine, from)
    }

    /// Makes it the newest generation.
    pub(super) fn commit(self, manifest: &Manifest, watch: &mut dyn Watch) -> Result<(), ExportError> {
        let text = serde_json::to_string(manifest).map_err(|error| ExportError::io("describe", &self.name(), error.into()))?;
        let [schema, table] = MARK;
        self.engine.quick(&format!(
            "INSERT INTO {} VALUES ({}, {}::TIMESTAMP WITH TIME ZONE)",
            sql::path(&[LAKE, schema, table]),
            sql::literal(manifest.id.as_str()),
            sql::literal(&manifest.exported_at.to_string())
        ))?;
        self.engine.quick(&format!(
            "CALL {LAKE}.set_commit_message('{AUTHOR}', {}, extra_info => {})",
            sql::literal(&format!("generation {}", manifest.id)),
            sql::literal(&text)
        ))?;
        self.cancel.check()?;
        watch.step(Step::Commit);
        match self.engine.run("COMMIT", |_| ()) {
            Err(ExportError::Engine { source, .. }) if is_conflict(&source) => Err(self.overtaken()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn overtaken(&self) -> ExportError {
        let now = self.lake.served().ok().flatten().map(|commit| commit.manifest.id).filter(|now| Some(now) != self.served.as_ref());
        let by = now.map(|id| format!(" (generation {id})")).unwrap_or_default();
        ExportError::Overtaken { lake: self.name(), by }
    }

    fn name(&self) -> std::path::PathBuf {
        self.lake.name().into()
    }

    fn path(&self, table: &str) -> String {
        sql::path(&[LAKE, &self.schema, table])
    }
}

/// How many rows there are, and a sum over every value that does not depend on their order.
pub(super) fn digest(engine: &Engine, from: &str) -> Result<(u64, String), ExportError> {
    // Not a name that a column could have: it would be taken for that one.
    const ROW: &str = "\"materia: a whole row\"";
    let query = format!("SELECT count(*), coalesce(sum(hash({ROW})::HUGEINT), 0)::VARCHAR FROM (FROM {from}) AS {ROW}");
    let mut rows = engine.rows(&query, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.pop().unwrap_or_default())
}

/// Whether somebody else committed first: DuckLake finds that in what both have changed, SQLite whatever it was.
fn is_conflict(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    text.contains("conflict") || text.contains("database is locked")
}

/// The statements that make an empty table in the place of whatever was there. A lake declares columns not null as it makes them, and not later on.
fn declare(to: &str, table: &TablePlan) -> String {
    let column =
        |column: &Column| format!("{} {}{}", sql::ident(&column.name), column.data_type, if column.nullable { "" } else { " NOT NULL" });
    let columns: Vec<_> = table.columns.iter().map(column).collect();
    format!("CREATE OR REPLACE TABLE {to} ({});{}", columns.join(", "), stage::comments(to, table))
}

/// What an older snapshot is attached as.
pub(super) const OLD: &str = "_old";

/// Removes what no kept snapshot needs.
pub(super) fn clean(lake: &Lake, expired: &[i64], (limits, spill, cancel): (&Limits, &Path, &Cancel)) -> Result<(), ExportError> {
    let engine = Engine::start(limits, spill, cancel)?;
    engine.attach_lake(lake, LAKE)?;
    let keeping = lake.keeping();
    let ago = |span: std::time::Duration| format!("now()::TIMESTAMP WITH TIME ZONE - INTERVAL {} MILLISECONDS", span.as_millis());
    if !expired.is_empty() {
        let versions = expired.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        engine.quick(&format!("CALL ducklake_expire_snapshots('{LAKE}', versions => [{versions}])"))?;
    }
    engine.quick(&format!("CALL ducklake_cleanup_old_files('{LAKE}', older_than => {})", ago(keeping.grace)))?;
    engine.quick(&format!("CALL ducklake_delete_orphaned_files('{LAKE}', older_than => {})", ago(keeping.orphans)))
}
