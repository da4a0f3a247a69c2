//! Runs the models in a lakehouse with SQLMesh's layout: numbered tables in `sqlmesh__<schema>`,
//! and views over them.
//!
//! The views qualify names with the catalog as SQLMesh's do, but DuckDB 2.0 omits a view's own
//! catalog from the stored text, unlike 1.5. So these views can be read under any catalog name,
//! unlike those of a lakehouse that DuckDB 1.5 wrote.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::{Connection, params};

use super::{
    DemoError, DemoTable,
    base_values::hash,
    landing::Landing,
    model::{Model, ModelKind, models},
    scale::scaled,
};
use crate::sql;

/// The catalog name used by the views: the stem of `lakehouse.duckdb`.
pub(super) const CATALOG: &str = "lakehouse";

/// The record, in the lakehouse's schema `demo`, of the run that wrote it; also identifies a demo's
/// lakehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DemoRun {
    /// The number of refreshes so far.
    pub(super) number: u32,
    pub(super) scale: u32,
    /// Whether it was built from sample figures.
    pub(super) sample: bool,
    /// The landing folder given by the user; `None` for the demo's own.
    pub(super) landing: Option<String>,
}

impl DemoRun {
    /// Reads the record from the attached lakehouse; `None` if the demo did not create it.
    pub(super) fn read(connection: &Connection) -> duckdb::Result<Option<Self>> {
        let ours: bool = connection.query_row(
            "SELECT COUNT(*) = 2 FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'demo' AND table_name IN ('run', 'models')",
            params![CATALOG],
            |row| row.get(0),
        )?;
        if !ours {
            return Ok(None);
        }
        let query = format!("SELECT number, scale, sample, landing FROM {}", table("demo", "run"));
        connection
            .query_row(&query, [], |row| {
                Ok(Self {
                    number: row.get(0)?,
                    scale: row.get(1)?,
                    sample: row.get(2)?,
                    landing: row.get(3)?,
                })
            })
            .map(Some)
    }

    fn write(&self, connection: &Connection) -> duckdb::Result<()> {
        let run = table("demo", "run");
        connection
            .execute_batch(&format!("CREATE OR REPLACE TABLE {run} (number UINTEGER, scale UINTEGER, sample BOOLEAN, landing VARCHAR)"))?;
        let insert = format!("INSERT INTO {run} VALUES (?, ?, ?, ?)");
        connection.execute(&insert, params![self.number, self.scale, self.sample, self.landing])?;
        Ok(())
    }
}

/// The table with a model's rows, and the hash of its definition.
struct PhysicalTable {
    table: String,
    /// Hash of the model text and of everything else that determines the table, apart from the
    /// tables it reads.
    made_of: u64,
}

/// One run of all models. It is atomic.
pub(super) struct Build<'a> {
    connection: &'a Connection,
    landing: &'a Landing,
    run: &'a DemoRun,
    physical: BTreeMap<String, PhysicalTable>,
    rebuilt: BTreeSet<String>,
}

impl<'a> Build<'a> {
    /// Builds what has changed: everything in a new lakehouse; in an existing one, the raw tables
    /// whose files have changed, everything that depends on them, and models whose text has
    /// changed.
    pub(super) fn run(
        connection: &'a Connection,
        landing: &'a Landing,
        run: &'a DemoRun,
    ) -> Result<Vec<DemoTable>, DemoError> {
        let engine = |source| DemoError::engine("lakehouse", landing, source);
        let models = models()?;
        connection.execute_batch("BEGIN").map_err(engine)?;
        let physical = known(connection).map_err(engine)?;
        let mut build = Self { connection, landing, run, physical, rebuilt: BTreeSet::new() };
        for model in &models {
            build.model(model)?;
        }
        build.remember().map_err(engine)?;
        connection.execute_batch("COMMIT").map_err(engine)?;
        models
            .iter()
            .filter(|model| model.schema == "serving")
            .map(|model| build.table_report(model))
            .collect()
    }

    fn model(&mut self, model: &Model) -> Result<(), DemoError> {
        let name = model.full_name();
        let engine = |source| DemoError::engine(&name, self.landing, source);
        let landing = self.landing.literal()?;
        let query = model
            .query(&landing, |read| self.physical.get(read).map(|parent| parent.reference(read)));
        let query = scaled(&name, &query, self.run.scale);

        let made_of = hash(&format!("{}\n{}\n{}", model.text, self.run.scale, self.run.sample));
        let same_text = self.physical.get(&name).is_some_and(|old| old.made_of == made_of);
        let same_parents = !model.reads().iter().any(|parent| self.rebuilt.contains(*parent));
        if same_text && same_parents && self.same_rows(model, &query).map_err(engine)? {
            return Ok(());
        }
        let number = hash(&format!("{}\n{}", model.text, self.run.number)) & u64::from(u32::MAX);
        let fresh =
            PhysicalTable { table: format!("{}__{}__{number}", model.schema, model.name), made_of };
        self.replace(model, &query, &fresh).map_err(engine)?;
        self.physical.insert(name.clone(), fresh);
        self.rebuilt.insert(name);
        Ok(())
    }

    /// Returns whether a model that reads landed files would produce the rows it already has. Other
    /// models change only if a table they read does.
    fn same_rows(&self, model: &Model, query: &str) -> duckdb::Result<bool> {
        let name = model.full_name();
        let Some(old) = self.physical.get(&name).filter(|_| model.reads().is_empty()) else {
            return Ok(true);
        };
        let old = physical_path(&model.schema, &old.table);
        self.connection
            .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE landed AS {query}"))?;
        self.connection.query_row(
            &format!(
                "SELECT COUNT(*) = 0 FROM ((FROM temp.landed EXCEPT ALL FROM {old}) UNION ALL (FROM {old} EXCEPT ALL FROM temp.landed))"
            ),
            [],
            |row| row.get(0),
        )
    }

    /// Creates the numbered table, points the view to it, describes both, and drops the table it
    /// replaces.
    fn replace(&self, model: &Model, query: &str, fresh: &PhysicalTable) -> duckdb::Result<()> {
        let physical_schema = sql::path(&[CATALOG, &physical_schema(&model.schema)]);
        let schema = sql::path(&[CATALOG, &model.schema]);
        let physical = physical_path(&model.schema, &fresh.table);
        let view = table(&model.schema, &model.name);
        let kind = kind_word(model.kind);
        let columns = match model.kind {
            ModelKind::Full => String::new(),
            ModelKind::View => format!(
                "({})",
                model
                    .columns
                    .iter()
                    .map(|(name, _)| sql::ident(name))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.connection.execute_batch(&format!(
            "CREATE SCHEMA IF NOT EXISTS {physical_schema};
             CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE {kind} {physical} {columns} AS {query}\n;
             CREATE OR REPLACE VIEW {view} AS SELECT * FROM {physical};"
        ))?;
        self.describe(model, kind, &physical)?;
        self.describe(model, "VIEW", &view)?;
        if let Some(old) = self.physical.get(&model.full_name()) {
            self.connection.execute_batch(&format!(
                "DROP {kind} {}",
                physical_path(&model.schema, &old.table)
            ))?;
        }
        Ok(())
    }

    fn describe(&self, model: &Model, kind: &str, path: &str) -> duckdb::Result<()> {
        let sample = if self.run.sample { "Sample figures, not official. " } else { "" };
        let description = sql::literal(&format!("{sample}{}", model.description));
        self.connection.execute_batch(&format!("COMMENT ON {kind} {path} IS {description}"))?;
        for (column, description) in &model.columns {
            let column = sql::ident(column);
            let description = sql::literal(description);
            self.connection
                .execute_batch(&format!("COMMENT ON COLUMN {path}.{column} IS {description}"))?;
        }
        Ok(())
    }

    fn remember(&self) -> duckdb::Result<()> {
        let models = table("demo", "models");
        self.connection.execute_batch(&format!(
            "CREATE SCHEMA IF NOT EXISTS {};
             CREATE OR REPLACE TABLE {models} (name VARCHAR, physical VARCHAR, made_of UBIGINT);",
            sql::path(&[CATALOG, "demo"])
        ))?;
        let insert = format!("INSERT INTO {models} VALUES (?, ?, ?)");
        for (name, physical) in &self.physical {
            self.connection.execute(&insert, params![name, physical.table, physical.made_of])?;
        }
        self.run.write(self.connection)
    }

    fn table_report(&self, model: &Model) -> Result<DemoTable, DemoError> {
        let name = model.full_name();
        let count = format!("SELECT COUNT(*) FROM {}", table(&model.schema, &model.name));
        let rows = self
            .connection
            .query_row(&count, [], |row| row.get(0))
            .map_err(|source| DemoError::engine(&name, self.landing, source))?;
        Ok(DemoTable { rebuilt: self.rebuilt.contains(&name), name, rows })
    }
}

impl PhysicalTable {
    /// Returns the table expression that replaces `read` in a query, so that columns can still be
    /// qualified with the model's name.
    fn reference(&self, read: &str) -> String {
        let (schema, name) = read.split_once('.').unwrap_or(("main", read));
        format!("{} AS {}", physical_path(schema, &self.table), sql::ident(name))
    }
}

/// Returns the models that the lakehouse already has.
fn known(connection: &Connection) -> duckdb::Result<BTreeMap<String, PhysicalTable>> {
    if DemoRun::read(connection)?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut query = connection
        .prepare(&format!("SELECT name, physical, made_of FROM {}", table("demo", "models")))?;
    let rows = query.query_map([], |row| {
        Ok((row.get(0)?, PhysicalTable { table: row.get(1)?, made_of: row.get(2)? }))
    })?;
    rows.collect()
}

fn table(schema: &str, name: &str) -> String {
    sql::path(&[CATALOG, schema, name])
}

fn physical_schema(schema: &str) -> String {
    format!("sqlmesh__{schema}")
}

fn physical_path(schema: &str, name: &str) -> String {
    table(&physical_schema(schema), name)
}

fn kind_word(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Full => "TABLE",
        ModelKind::View => "VIEW",
    }
}
