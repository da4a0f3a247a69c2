//! What there is to export: every relation of the serving schema, as it binds now.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{ExportError, Job, Manifest, TableManifest, Unreadable, engine, engine::Engine, header, snapshot::Snapshot};
use crate::sql;

/// The staged file's catalog: its name up to the dot.
pub(super) const STAGED: &str = "_export";

/// A catalog name for a lakehouse whose own would be mistaken for a schema in it.
const NEUTRAL: &str = "_lakehouse";

/// Everything that will be exported, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The catalog the lakehouse is attached under.
    #[serde(skip)]
    pub(super) catalog: String,
    /// The lakehouse's path, for errors.
    #[serde(skip)]
    pub(super) lakehouse: PathBuf,
    /// The serving schema, spelled as in the lakehouse.
    pub schema: String,
    /// The lakehouse's own storage version.
    pub lakehouse_version: String,
    /// The storage version of the exported file, for example `v1.0.0`.
    pub storage_version: String,
    /// In the order they are exported: by name.
    pub tables: Vec<TablePlan>,
}

/// One relation of the serving schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TablePlan {
    /// Its name.
    pub name: String,
    /// What it is in the lakehouse.
    pub kind: Kind,
    /// Its comment.
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// `ORDER BY` of the exported table.
    pub order_by: Vec<String>,
    /// DuckDB's own estimate of the rows; `None` for a view.
    pub estimated_rows: Option<u64>,
}

/// Table or view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A base table.
    Table,
    /// A view.
    View,
}

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as DuckDB writes it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Plan {
    /// Attaches the snapshot and looks at everything in its serving schema. One relation that does not bind refuses the whole.
    pub(super) fn make(engine: &Engine, snapshot: &Snapshot, job: &Job) -> Result<Self, ExportError> {
        let mut catalog = snapshot.stem.clone();
        attach(engine, snapshot, &catalog, job)?;
        let schema = find_schema(engine, &catalog, job)?;
        let mut relations = relations(engine, &catalog, &schema, job)?;
        if relations.is_empty() {
            return Err(ExportError::EmptySchema { path: job.lakehouse.clone(), schema });
        }
        let mut bound = bind_all(engine, &catalog, &schema, &mut relations);
        // In `serving.duckdb`, `serving.x` could be a schema's or a catalog's: another catalog name settles it, unless views use the first.
        if bound.is_err() && catalog.eq_ignore_ascii_case(&schema) {
            engine.quick(&format!("USE memory; DETACH {}", sql::ident(&catalog)))?;
            attach(engine, snapshot, NEUTRAL, job)?;
            if bind_all(engine, NEUTRAL, &schema, &mut relations).is_ok() {
                bound = Ok(());
                NEUTRAL.clone_into(&mut catalog);
            }
        }
        bound?;
        let lakehouse_version = storage_version(engine, &catalog)?;
        let storage_version = job.storage_version.clone().unwrap_or_else(|| lakehouse_version.clone());
        Ok(Self { catalog, lakehouse: job.lakehouse.clone(), lakehouse_version, schema, storage_version, tables: relations })
    }
}

impl Plan {
    /// What a generation was made from.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let version = manifest.storage_version.clone().unwrap_or_default();
        let table = |table: &TableManifest| TablePlan {
            name: table.name.clone(),
            kind: table.kind,
            comment: table.comment.clone(),
            columns: table.columns.clone(),
            order_by: Vec::new(),
            estimated_rows: Some(table.rows),
        };
        Self {
            catalog: STAGED.to_owned(),
            lakehouse: manifest.lakehouse.as_ref().map(|source| source.path.clone()).unwrap_or_default(),
            schema: manifest.schema.clone(),
            lakehouse_version: version.clone(),
            storage_version: version,
            tables: manifest.tables.iter().map(table).collect(),
        }
    }
}

fn attach(engine: &Engine, snapshot: &Snapshot, catalog: &str, job: &Job) -> Result<(), ExportError> {
    engine.quick(&engine::attach(&snapshot.path, catalog, "READ_ONLY")).map_err(|error| match error {
        ExportError::Engine { source, .. } => {
            let newer =
                newest_read(&source.to_string()).zip(snapshot.with_file(|file| Ok(header::storage_version(file).unwrap_or_default())).ok());
            let why =
                newer.map_or_else(|| Unreadable::Damaged(Box::new(source)), |(newest, version)| Unreadable::Newer { version, newest });
            ExportError::Lakehouse { path: job.lakehouse.clone(), why }
        }
        other => other,
    })?;
    // A view may name a table of the main schema alone: it is looked up where the pipeline would have.
    engine.quick(&format!("USE {}", sql::path(&[catalog, "main"])))
}

/// The newest storage version that the engine reads, where it says that a file's is a newer one: DuckDB 1.5 reads fewer than 2.0.
fn newest_read(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("we can only read versions between ")?;
    let (_, newest) = rest.split_once(" and ")?;
    newest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn find_schema(engine: &Engine, catalog: &str, job: &Job) -> Result<String, ExportError> {
    // `main` counts as internal, and may be what a pipeline serves from.
    let query = "
        SELECT schema_name FROM duckdb_schemas()
        WHERE database_name = ? AND (NOT internal OR schema_name = 'main') ORDER BY schema_name";
    let schemas = engine.texts(query, &[catalog])?;
    let exact = schemas.iter().find(|schema| **schema == job.schema);
    match exact.or_else(|| schemas.iter().find(|schema| schema.to_lowercase() == job.schema.to_lowercase())) {
        Some(schema) => Ok(schema.clone()),
        None => Err(ExportError::NoSchema { path: job.lakehouse.clone(), schema: job.schema.clone(), found: schemas }),
    }
}

fn relations(engine: &Engine, catalog: &str, schema: &str, job: &Job) -> Result<Vec<TablePlan>, ExportError> {
    let query = "
        SELECT table_name AS name, true AS is_table, comment, estimated_size FROM duckdb_tables()
        WHERE database_name = $1 AND schema_name = $2 AND NOT temporary
        UNION ALL
        SELECT view_name, false, comment, NULL FROM duckdb_views()
        WHERE database_name = $1 AND schema_name = $2 AND NOT temporary AND NOT internal
        ORDER BY name";
    engine.rows(query, &[catalog, schema], |row| {
        let name: String = row.get(0)?;
        let order_by = job.tables.get(&name).map(|table| table.order_by.clone()).unwrap_or_default();
        Ok(TablePlan {
            name,
            kind: if row.get(1)? { Kind::Table } else { Kind::View },
            comment: row.get(2)?,
            columns: Vec::new(),
            order_by,
            estimated_rows: row.get(3)?,
        })
    })
}

/// Fills in every relation's columns. A view's are those it has when it is bound now: what was declared may be older than what is below it.
fn bind_all(engine: &Engine, catalog: &str, schema: &str, relations: &mut [TablePlan]) -> Result<(), ExportError> {
    let mut declared = columns(engine, catalog, schema)?;
    for table in relations {
        let declared = declared.remove(&table.name).unwrap_or_default();
        table.columns = match table.kind {
            Kind::Table => declared,
            Kind::View => bind(engine, catalog, schema, &table.name, &declared)?,
        };
    }
    Ok(())
}

/// The columns of a view: names and types as they bind, nullability and comments as declared.
fn bind(engine: &Engine, catalog: &str, schema: &str, view: &str, declared: &[Column]) -> Result<Vec<Column>, ExportError> {
    let describe = format!("DESCRIBE SELECT * FROM {}", sql::path(&[catalog, schema, view]));
    let bound = engine.rows(&describe, &[], |row| {
        let (name, data_type): (String, String) = (row.get(0)?, row.get(1)?);
        let known = declared.iter().find(|column| column.name == name);
        let (nullable, comment) = known.map_or((true, None), |column| (column.nullable, column.comment.clone()));
        Ok(Column { name, data_type, nullable, comment })
    });
    bound.map_err(|error| match error {
        ExportError::Engine { source, .. } => ExportError::Unbindable { relation: format!("{schema}.{view}"), source: Box::new(source) },
        other => other,
    })
}

/// Columns by relation, as they are declared; for the whole schema at once: asking for each relation would be quadratic.
pub(super) fn columns(engine: &Engine, catalog: &str, schema: &str) -> Result<BTreeMap<String, Vec<Column>>, ExportError> {
    let query = "
        SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
        WHERE database_name = ? AND schema_name = ? ORDER BY table_name, column_index";
    let mut columns = BTreeMap::<String, Vec<Column>>::new();
    let read = |row: &duckdb::Row<'_>| {
        Ok((row.get::<_, String>(0)?, Column { name: row.get(1)?, data_type: row.get(2)?, nullable: row.get(3)?, comment: row.get(4)? }))
    };
    for (table, column) in engine.rows(query, &[catalog, schema], read)? {
        columns.entry(table).or_default().push(column);
    }
    Ok(columns)
}

/// The oldest DuckDB that reads the lakehouse: `v1.0.0+` is told by the file's tags.
fn storage_version(engine: &Engine, catalog: &str) -> Result<String, ExportError> {
    let query = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = ?";
    let tag = engine.texts(query, &[catalog])?.pop().unwrap_or_default();
    // Storage older than v1.0.0 is only read by today's DuckDB, never written: v1.0.0 is the oldest it can write.
    let version = tag.trim_end_matches('+');
    Ok(if version.starts_with("v0.") || version.is_empty() { "v1.0.0".to_owned() } else { version.to_owned() })
}
