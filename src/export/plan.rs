//! The export plan: every relation of the serving schema, as it binds now.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use super::{
    ExportError, ExportJob, LakehouseError, Origin,
    allowed_files::AllowedFiles,
    attached,
    engine::{self, Engine},
    header, lake,
    outside::Views,
    scratch::ScratchDir,
    snapshot::Snapshot,
    sources,
};
use crate::sql;
use crate::store::{ColumnManifest, Manifest, RelationKind, TableManifest};

/// The staged file's catalog: its name up to the dot.
pub(super) const STAGED_CATALOG: &str = "_export";

/// Catalog name for a lakehouse whose own name would be ambiguous with one of its schemas.
const FALLBACK_CATALOG: &str = "_lakehouse";

/// Everything that will be exported, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportPlan {
    /// The catalog the lakehouse is attached under.
    #[serde(skip)]
    pub(super) catalog: String,
    /// The lakehouse's path, for errors.
    #[serde(skip)]
    pub(super) lakehouse: PathBuf,
    /// Notices for the operator about the selection of tables.
    #[serde(skip)]
    pub(super) notices: Vec<String>,
    /// The schema in the served file.
    pub schema: String,
    /// The published schemas of the lakehouse, as spelled there.
    pub sources: Vec<String>,
    /// The time zone in which views are evaluated.
    pub time_zone: String,
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
    /// Its name in the served file.
    pub name: String,
    /// Its schema and name in the lakehouse.
    pub origin: Origin,
    /// The rewritten query of a view that reads files, with their full names, or of a relation
    /// with columns that are converted for a lake.
    #[serde(skip)]
    pub(super) query: Option<String>,
    /// The kind of the relation in the lakehouse.
    pub kind: RelationKind,
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<ColumnManifest>,
    /// `ORDER BY` of the exported table.
    pub order_by: Vec<String>,
    /// DuckDB's own estimate of the rows; `None` for a view.
    pub estimated_rows: Option<u64>,
}

impl ExportPlan {
    /// Attaches the snapshot and plans everything to be published. A single relation that does not
    /// bind refuses the export.
    pub(super) fn resolve(
        engine: &Engine,
        snapshot: &Snapshot,
        job: &ExportJob,
        work: &ScratchDir,
    ) -> Result<Self, ExportError> {
        let mut catalog = job.sources.catalog.clone().unwrap_or_else(|| snapshot.stem.clone());
        engine.set_time_zone(&job.sources.time_zone)?;
        attach(engine, snapshot, &catalog, job)?;
        attached::attach(engine, &catalog, job, work)?;
        let files = AllowedFiles::find(&job.sources)?;
        engine.close_outside(&[&snapshot.path, &job.target.local().staged()], files.paths())?;
        let schemas = sources::find_schemas(engine, &catalog, job)?;
        let schema =
            job.sources.served_as.clone().or_else(|| schemas.first().cloned()).unwrap_or_default();
        let (mut relations, mut notices) = relations(engine, &catalog, &schemas, job)?;
        if relations.is_empty() {
            return Err(ExportError::EmptySchema {
                path: job.lakehouse.clone(),
                schema: schemas.join(", "),
            });
        }
        let mut bound = bind_all(engine, &catalog, &schemas, &mut relations, &files);
        if bound.is_err() && job.sources.catalog.is_none() {
            // In `serving.duckdb`, `serving.x` could refer to a schema or to a catalog. Another
            // catalog name resolves the ambiguity, unless views use the first.
            let is_ambiguous = schemas.iter().any(|schema| catalog.eq_ignore_ascii_case(schema));
            let other = match own_name(engine, &catalog, &relations, &files)? {
                None => is_ambiguous.then(|| FALLBACK_CATALOG.to_owned()),
                own => own,
            };
            if let Some(other) = other {
                engine.execute_batch(&format!("USE memory; DETACH {}", sql::ident(&catalog)))?;
                attach(engine, snapshot, &other, job)?;
                if bind_all(engine, &other, &schemas, &mut relations, &files).is_ok() {
                    bound = Ok(());
                    catalog = other;
                }
            }
        }
        if let Err(error @ ExportError::Unbindable { .. }) = bound {
            return Err(not_attached(engine, &catalog, &relations, &files)?.unwrap_or(error));
        }
        bound?;
        if job.target.is_lake() {
            notices.extend(lake::adapt_plan(&mut relations, &catalog, &job.lake.casts)?);
        }
        let lakehouse_version = storage_version(engine, &catalog)?;
        let storage_version =
            job.storage_version.clone().unwrap_or_else(|| lakehouse_version.clone());
        Ok(Self {
            catalog,
            lakehouse: job.lakehouse.clone(),
            notices,
            lakehouse_version,
            schema,
            sources: schemas,
            time_zone: job.sources.time_zone.clone(),
            storage_version,
            tables: relations,
        })
    }

    /// Refuses schemas that are unrelated to those of the served generation, unless this was
    /// allowed.
    pub(super) fn check_schema(
        &self,
        served: Option<&Manifest>,
        job: &ExportJob,
    ) -> Result<(), ExportError> {
        let Some(served) =
            served.filter(|served| served.lakehouse.is_some() && !job.sources.allow_schema_change)
        else {
            return Ok(());
        };
        let before = if served.sources.is_empty() {
            std::slice::from_ref(&served.schema)
        } else {
            &served.sources
        };
        let has_other_name = !served.schema.eq_ignore_ascii_case(&self.schema);
        if !has_other_name && !sources::is_disjoint(before, &self.sources) {
            return Ok(());
        }
        let named = |schema: &str, sources: &[String]| {
            let list =
                sources.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            if sources == [schema.to_owned()] { list } else { format!("`{schema}` from {list}") }
        };
        let (served_as, now) = (named(&served.schema, before), named(&self.schema, &self.sources));
        let flags = format!(" --schema {}", self.sources.join(","));
        Err(ExportError::OtherSchema { served: served_as, now, flags })
    }
}

impl TablePlan {
    /// Returns the qualified name of the relation in SQL.
    pub(super) fn source(&self, catalog: &str) -> String {
        match &self.query {
            Some(query) => format!("({query})"),
            None => sql::path(&[catalog, &self.origin.schema, &self.origin.name]),
        }
    }
}

impl ExportPlan {
    /// Returns the origin of a generation.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let version = manifest.storage_version.clone().unwrap_or_default();
        let table = |table: &TableManifest| TablePlan {
            name: table.name.clone(),
            origin: Origin { schema: manifest.schema.clone(), name: table.name.clone() },
            query: None,
            kind: table.kind,
            comment: table.comment.clone(),
            columns: table.columns.clone(),
            order_by: Vec::new(),
            estimated_rows: Some(table.rows),
        };
        Self {
            catalog: STAGED_CATALOG.to_owned(),
            lakehouse: manifest
                .lakehouse
                .as_ref()
                .map(|source| source.path.clone())
                .unwrap_or_default(),
            notices: Vec::new(),
            schema: manifest.schema.clone(),
            sources: manifest.sources.clone(),
            time_zone: manifest.time_zone.clone().unwrap_or_default(),
            lakehouse_version: version.clone(),
            storage_version: version,
            tables: manifest.tables.iter().map(table).collect(),
        }
    }
}

fn attach(
    engine: &Engine,
    snapshot: &Snapshot,
    catalog: &str,
    job: &ExportJob,
) -> Result<(), ExportError> {
    engine.execute_batch(&engine::attach(&snapshot.path, catalog, "READ_ONLY")).map_err(
        |error| match error {
            // A writer opened the lakehouse first.
            ExportError::Engine { source, .. } if snapshot.is_in_place() && is_locked(&source) => {
                snapshot.busy()
            }
            ExportError::Engine { source, .. } => {
                let newer = max_supported_version(&source.to_string()).zip(
                    snapshot
                        .with_file(|file| Ok(header::storage_version(file).unwrap_or_default()))
                        .ok(),
                );
                let why = newer.map_or_else(
                    || LakehouseError::Damaged(Box::new(source)),
                    |(newest, version)| LakehouseError::Newer { version, newest },
                );
                ExportError::Lakehouse { path: job.lakehouse.clone(), why }
            }
            other => other,
        },
    )?;
    // A view may refer to a table of the main schema without qualifying it, which is resolved as in
    // the pipeline.
    engine.execute_batch(&format!("USE {}", sql::path(&[catalog, "main"])))
}

/// Returns whether DuckDB could not open a file because another process has it open.
fn is_locked(error: &duckdb::Error) -> bool {
    error.to_string().contains("Could not set lock on file")
}

/// Returns the newest storage version that the engine reads, parsed from its error for a newer
/// file: DuckDB 1.5 reads fewer versions than 2.0.
fn max_supported_version(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("we can only read versions between ")?;
    let (_, newest) = rest.split_once(" and ")?;
    newest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// Returns the name by which the views refer to the lakehouse, if it is not the one it is attached
/// under.
fn own_name(
    engine: &Engine,
    catalog: &str,
    relations: &[TablePlan],
    files: &AllowedFiles,
) -> Result<Option<String>, ExportError> {
    let views = Views::new(engine, catalog, files)?;
    let origins: Vec<_> = relations
        .iter()
        .map(|table| (table.origin.schema.clone(), table.origin.name.clone()))
        .collect();
    let mut unknown = views.unknown_catalogs(&origins)?.into_iter();
    let own = unknown.find(|(_, named)| named.iter().all(|name| views.has(name)));
    Ok(own.map(|(name, _)| name))
}

/// Returns an error that names a view reading a file that is not attached, if there is one.
fn not_attached(
    engine: &Engine,
    catalog: &str,
    relations: &[TablePlan],
    files: &AllowedFiles,
) -> Result<Option<ExportError>, ExportError> {
    let views = Views::new(engine, catalog, files)?;
    for table in relations.iter().filter(|table| table.kind == RelationKind::View) {
        let unknown =
            views.unknown_catalogs(&[(table.origin.schema.clone(), table.origin.name.clone())])?;
        if let Some((catalog, named)) = unknown.into_iter().next() {
            let parts = named.into_iter().next().map(|(schema, name)| {
                if schema.is_empty() { name } else { format!("{schema}.{name}") }
            });
            return Ok(Some(ExportError::NotAttached {
                relation: table.origin.to_string(),
                catalog,
                table: parts.unwrap_or_default(),
            }));
        }
    }
    Ok(None)
}

fn relations(
    engine: &Engine,
    catalog: &str,
    schemas: &[String],
    job: &ExportJob,
) -> Result<(Vec<TablePlan>, Vec<String>), ExportError> {
    let query = "
        SELECT table_name AS name, true AS is_table, comment, estimated_size FROM duckdb_tables()
        WHERE database_name = $1 AND schema_name = $2 AND NOT temporary
        UNION ALL
        SELECT view_name, false, comment, NULL FROM duckdb_views()
        WHERE database_name = $1 AND schema_name = $2 AND NOT temporary AND NOT internal
        ORDER BY name";
    let mut relations = Vec::new();
    for schema in schemas {
        relations.extend(engine.rows(query, &[catalog, schema], |row| {
            let name: String = row.get(0)?;
            Ok(TablePlan {
                origin: Origin { schema: schema.clone(), name: name.clone() },
                name,
                query: None,
                kind: if row.get(1)? { RelationKind::Table } else { RelationKind::View },
                comment: row.get(2)?,
                columns: Vec::new(),
                order_by: Vec::new(),
                estimated_rows: row.get(3)?,
            })
        })?);
    }
    let origins: Vec<_> = relations.iter().map(|table| table.origin.clone()).collect();
    let selection = sources::select(job, &origins)?;
    let mut selected = Vec::new();
    for (mut table, name) in relations.into_iter().zip(selection.served) {
        let Some(name) = name else { continue };
        table.order_by =
            job.tables.get(&name).map(|table| table.order_by.clone()).unwrap_or_default();
        table.name = name;
        selected.push(table);
    }
    selected.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((selected, selection.notices))
}

/// Fills in every relation's columns. The columns of a view are determined by binding it now: its
/// declared ones may be outdated.
fn bind_all(
    engine: &Engine,
    catalog: &str,
    schemas: &[String],
    relations: &mut [TablePlan],
    files: &AllowedFiles,
) -> Result<(), ExportError> {
    let mut declared = BTreeMap::new();
    for schema in schemas {
        declared.extend(
            columns(engine, catalog, schema)?
                .into_iter()
                .map(|(name, columns)| ((schema.clone(), name), columns)),
        );
    }
    let views = Views::new(engine, catalog, files)?;
    for table in relations {
        let declared = declared
            .remove(&(table.origin.schema.clone(), table.origin.name.clone()))
            .unwrap_or_default();
        table.query = views.check(&table.origin.schema, &table.origin.name)?;
        table.columns = match table.kind {
            RelationKind::Table => declared,
            RelationKind::View => bind(engine, catalog, table, &declared)?,
        };
    }
    Ok(())
}

/// Returns a view's columns: names and types as they bind, nullability and comments as declared.
fn bind(
    engine: &Engine,
    catalog: &str,
    view: &TablePlan,
    declared: &[ColumnManifest],
) -> Result<Vec<ColumnManifest>, ExportError> {
    let describe = format!("DESCRIBE SELECT * FROM {}", view.source(catalog));
    let bound = engine.rows(&describe, &[], |row| {
        let (name, data_type): (String, String) = (row.get(0)?, row.get(1)?);
        let known = declared.iter().find(|column| column.name == name);
        let (nullable, comment) =
            known.map_or((true, None), |column| (column.nullable, column.comment.clone()));
        Ok(ColumnManifest { name, data_type, nullable, comment })
    });
    bound.map_err(|error| match error {
        ExportError::Engine { source, .. } => {
            ExportError::Unbindable { relation: view.origin.to_string(), source: Box::new(source) }
        }
        other => other,
    })
}

/// Returns the declared columns by relation, for the whole schema at once: a query for each
/// relation would be quadratic.
pub(super) fn columns(
    engine: &Engine,
    catalog: &str,
    schema: &str,
) -> Result<BTreeMap<String, Vec<ColumnManifest>>, ExportError> {
    let query = "
        SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
        WHERE database_name = ? AND schema_name = ? ORDER BY table_name, column_index";
    let mut columns = BTreeMap::<String, Vec<ColumnManifest>>::new();
    let read = |row: &duckdb::Row<'_>| {
        Ok((
            row.get::<_, String>(0)?,
            ColumnManifest {
                name: row.get(1)?,
                data_type: row.get(2)?,
                nullable: row.get(3)?,
                comment: row.get(4)?,
            },
        ))
    };
    for (table, column) in engine.rows(query, &[catalog, schema], read)? {
        columns.entry(table).or_default().push(column);
    }
    Ok(columns)
}

/// Returns the oldest DuckDB that reads the lakehouse, from the file's tags: `v1.0.0+`.
fn storage_version(engine: &Engine, catalog: &str) -> Result<String, ExportError> {
    let query = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = ?";
    let tag = engine.query_strings(query, &[catalog])?.pop().unwrap_or_default();
    // DuckDB reads storage older than v1.0.0 but writes v1.0.0 at the oldest.
    let version = tag.trim_end_matches('+');
    Ok(if version.starts_with("v0.") || version.is_empty() {
        "v1.0.0".to_owned()
    } else {
        version.to_owned()
    })
}
