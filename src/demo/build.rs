//! Runs the models into a lakehouse and lays it out as SQLMesh does: numbered tables in `sqlmesh__<schema>`, and views over them.
//!
//! The views name the catalog as SQLMesh's do, but DuckDB 2.0 leaves a view's own catalog out of the text it stores (1.5 kept it): these
//! views, unlike those of a lakehouse that DuckDB 1.5 wrote, can be read under any catalog name.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::{Connection, params};

use super::{
    DemoError, MadeTable,
    landing::Landing,
    model::{Kind, Model, models},
    sample::hash,
    scale::scaled,
};
use crate::sql;

/// The catalog name, which the views' text names: the stem of `lakehouse.duckdb`.
pub(super) const CATALOG: &str = "lakehouse";

/// What the lakehouse remembers of the run that wrote it, in its schema `demo`; also how a demo's lakehouse is told from any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// How many refreshes there have been.
    pub(super) number: u32,
    pub(super) scale: u32,
    /// Whether it was built from sample figures.
    pub(super) sample: bool,
    /// The folder given by the user; none for the demo's own.
    pub(super) landing: Option<String>,
}

impl Run {
    /// Reads it from the attached lakehouse; none where the demo did not make it.
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
            .query_row(&query, [], |row| Ok(Self { number: row.get(0)?, scale: row.get(1)?, sample: row.get(2)?, landing: row.get(3)? }))
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

/// Where a model's rows are, and what they were made of.
struct Physical {
    table: String,
    /// Hash of the model text and of all else that shapes the table apart from what it reads.
    made_of: u64,
}

/// One run of all models. Either all of it is in the lakehouse afterwards, or none.
pub(super) struct Build<'a> {
    connection: &'a Connection,
    landing: &'a Landing,
    run: &'a Run,
    physical: BTreeMap<String, Physical>,
    rebuilt: BTreeSet<String>,
}

impl<'a> Build<'a> {
    /// Builds what is new: everything in a fresh lakehouse; in an older one the raw tables whose files now hold something else,
    /// whatever reads them, and models whose text changed.
    pub(super) fn run(connection: &'a Connection, landing: &'a Landing, run: &'a Run) -> Result<Vec<MadeTable>, DemoError> {
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
        models.iter().filter(|model| model.schema == "serving").map(|model| build.made(model)).collect()
    }

    fn model(&mut self, model: &Model) -> Result<(), DemoError> {
        let name = model.full_name();
        let engine = |source| DemoError::engine(&name, self.landing, source);
        let landing = self.landing.literal()?;
        let query = model.query(&landing, |read| self.physical.get(read).map(|parent| parent.reference(read)));
        let query = scaled(&name, &query, self.run.scale);

        let made_of = hash(&format!("{}\n{}\n{}", model.text, self.run.scale, self.run.sample));
        let same_text = self.physical.get(&name).is_some_and(|old| old.made_of == made_of);
        let same_parents = !model.reads().iter().any(|parent| self.rebuilt.contains(*parent));
        if same_text && same_parents && self.same_rows(model, &query).map_err(engine)? {
            return Ok(());
        }
        let number = hash(&format!("{}\n{}", model.text, self.run.number)) & u64::from(u32::MAX);
        let fresh = Physical { table: format!("{}__{}__{number}", model.schema, model.name), made_of };
        self.replace(model, &query, &fresh).map_err(engine)?;
        self.physical.insert(name.clone(), fresh);
        self.rebuilt.insert(name);
        Ok(())
    }

    /// Whether a model that reads landed files would give the rows it already has. Others change only with what they read.
    fn same_rows(&self, model: &Model, query: &str) -> duckdb::Result<bool> {
        let name = model.full_name();
        let Some(old) = self.physical.get(&name).filter(|_| model.reads().is_empty()) else { return Ok(true) };
        let old = physical_path(&model.schema, &old.table);
        self.connection.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE landed AS {query}"))?;
        self.connection.query_row(
            &format!(
                "SELECT COUNT(*) = 0 FROM ((FROM temp.landed EXCEPT ALL FROM {old}) UNION ALL (FROM {old} EXCEPT ALL FROM temp.landed))"
            ),
            [],
            |row| row.get(0),
        )
    }

    /// Makes the numbered table, points the view at it, describes both, and drops the table it replaces.
    fn replace(&self, model: &Model, query: &str, fresh: &Physical) -> duckdb::Result<()> {
        let physical_schema = sql::path(&[CATALOG, &physical_schema(&model.schema)]);
        let schema = sql::path(&[CATALOG, &model.schema]);
        let physical = physical_path(&model.schema, &fresh.table);
        let view = table(&model.schema, &model.name);
        let kind = kind_word(model.kind);
        let columns = match model.kind {
            Kind::Full => String::new(),
            Kind::View => format!("({})", model.columns.iter().map(|(name, _)| sql::ident(name)).collect::<Vec<_>>().join(", ")),
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
            self.connection.execute_batch(&format!("DROP {kind} {}", physical_path(&model.schema, &old.table)))?;
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
            self.connection.execute_batch(&format!("COMMENT ON COLUMN {path}.{column} IS {description}"))?;
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

    fn made(&self, model: &Model) -> Result<MadeTable, DemoError> {
        let name = model.full_name();
        let count = format!("SELECT COUNT(*) FROM {}", table(&model.schema, &model.name));
        let rows =
            self.connection.query_row(&count, [], |row| row.get(0)).map_err(|source| DemoError::engine(&name, self.landing, source))?;
        Ok(MadeTable { rebuilt: self.rebuilt.contains(&name), name, rows })
    }
}

impl Physical {
    /// How a query reads this table where the model text says `read`: columns can still be named after the model.
    fn reference(&self, read: &str) -> String {
        let (schema, name) = read.split_once('.').unwrap_or(("main", read));
        format!("{} AS {}", physical_path(schema, &self.table), sql::ident(name))
    }
}

/// The models the lakehouse already holds.
fn known(connection: &Connection) -> duckdb::Result<BTreeMap<String, Physical>> {
    if Run::read(connection)?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut query = connection.prepare(&format!("SELECT name, physical, made_of FROM {}", table("demo", "models")))?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, Physical { table: row.get(1)?, made_of: row.get(2)? })))?;
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

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Full => "TABLE",
        Kind::View => "VIEW",
    }
}
