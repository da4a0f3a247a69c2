//! Selects the relations of the lakehouse to publish and their served names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{ExportError, ExportJob, engine::Engine};
use crate::{digest::DigestBuilder, glob, humanize, settings::ExportSettings};

/// Patterns of relations that dbt creates temporarily, and leaves behind when it is stopped.
const DBT_LEFTOVERS: [&str; 5] =
    ["*__dbt_tmp*", "*__dbt_temp*", "*__dbt_backup*", "*__dbt_stg", "*__dbt_int"];

/// Selects the published relations and what their views may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    pub schemas: Vec<String>,
    /// Globs of the relations to publish; empty selects every relation.
    pub include: Vec<String>,
    /// Globs of excluded relations.
    pub exclude: Vec<String>,
    /// The schema's name in the served file, if it differs from the first source schema's.
    pub served_as: Option<String>,
    /// Served names by `schema.table`.
    pub rename: BTreeMap<String, String>,
    /// The lakehouse's catalog name, if configured.
    pub catalog: Option<String>,
    /// Other files that views read, by catalog name.
    pub attach: BTreeMap<String, PathBuf>,
    /// Globs of files that views may read.
    pub files: Vec<String>,
    /// The base folder of relative paths.
    pub folder: PathBuf,
    /// The time zone in which views are evaluated.
    pub time_zone: String,
    /// Allows schemas other than those of the served generation.
    pub allow_schema_change: bool,
}

/// A relation's schema and name in the lakehouse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    pub schema: String,
    pub name: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl Sources {
    /// Returns the configured sources.
    #[must_use]
    pub fn new(export: &ExportSettings) -> Self {
        Self {
            schemas: export.schema.clone(),
            include: export.include.clone(),
            exclude: export.exclude.clone(),
            served_as: export.served_as.clone(),
            rename: export.rename.clone(),
            catalog: export.catalog.clone(),
            attach: export.attach.clone(),
            files: export.files.clone(),
            folder: export.folder.clone(),
            time_zone: export.time_zone.clone(),
            allow_schema_change: false,
        }
    }

    /// Returns a digest by which a later export recognizes the same selection of relations.
    pub(super) fn digest(&self) -> String {
        let mut text = DigestBuilder::new();
        let lower = |names: &[String]| {
            names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>().join(",")
        };
        for names in [&self.schemas, &self.include, &self.exclude, &self.files] {
            text.add(&lower(names));
        }
        text.add(self.served_as.as_deref().unwrap_or_default());
        text.add(self.catalog.as_deref().unwrap_or_default());
        text.add_json(&self.rename).add_json(&self.attach).digest()
    }

    /// Returns the served name of a published relation; `None` for an excluded one.
    fn served_name(&self, origin: &Origin) -> Option<String> {
        let is = |glob: &String| matches(glob, origin);
        let is_leftover = is_leftover(&origin.name)
            && !self.include.iter().any(|glob| glob.contains("__dbt_") && is(glob));
        let is_included = self.include.is_empty() || self.include.iter().any(is);
        if !is_included || is_leftover || self.exclude.iter().any(is) {
            return None;
        }
        let other =
            self.rename.iter().find(|(from, _)| from.eq_ignore_ascii_case(&origin.to_string()));
        Some(other.map_or_else(|| origin.name.clone(), |(_, to)| to.clone()))
    }
}

fn is_leftover(name: &str) -> bool {
    let name = name.to_lowercase();
    DBT_LEFTOVERS.iter().any(|glob| glob::matches(glob, &name))
}

/// Matches case-insensitively. A glob with a dot applies to schema and table, one without a dot to
/// a table in any schema.
fn matches(glob: &str, origin: &Origin) -> bool {
    let text = if glob.contains('.') { origin.to_string() } else { origin.name.clone() };
    glob::matches(&glob.to_lowercase(), &text.to_lowercase())
}

/// The selected relations of the schemas.
pub(super) struct RelationSelection {
    /// The served name of each given relation, if it is selected.
    pub(super) served: Vec<Option<String>>,
    /// Notices for the operator.
    pub(super) notices: Vec<String>,
}

/// Selects the published relations.
///
/// # Errors
/// Two of them would have the same name, or none is left.
pub(super) fn select(
    job: &ExportJob,
    origins: &[Origin],
) -> Result<RelationSelection, ExportError> {
    let sources = &job.sources;
    let served: Vec<_> = origins.iter().map(|origin| sources.served_name(origin)).collect();
    let mut names = BTreeMap::<String, &Origin>::new();
    for (origin, name) in origins.iter().zip(&served) {
        let Some(name) = name else { continue };
        if let Some(first) = names.insert(name.to_lowercase(), origin) {
            return Err(ExportError::SameName {
                name: format!("{}.{name}", job.schema),
                first: first.to_string(),
                second: origin.to_string(),
                other: format!("{}_{}", origin.name, origin.schema),
            });
        }
    }
    let mut notices = Vec::new();
    let left: Vec<_> = origins
        .iter()
        .zip(&served)
        .filter(|(origin, name)| name.is_none() && is_leftover(&origin.name))
        .collect();
    if let Some((first, _)) = left.first() {
        let others =
            if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
        notices.push(format!(
            "excluded, a leftover of dbt: {first}{others}; to publish it, name it with --include"
        ));
    }
    for glob in sources.include.iter().chain(&sources.exclude) {
        if !origins.iter().any(|origin| matches(glob, origin)) {
            notices.push(format!("{glob:?} matches nothing in the schema"));
        }
    }
    for from in sources.rename.keys() {
        if !origins.iter().any(|origin| origin.to_string().eq_ignore_ascii_case(from)) {
            notices.push(format!("[export.rename] names {from:?}, which is not published"));
        }
    }
    if names.is_empty() && !origins.is_empty() {
        return Err(ExportError::NothingSelected {
            path: job.lakehouse.clone(),
            schema: sources.schemas.join(", "),
            left: origins.len(),
        });
    }
    Ok(RelationSelection { served, notices })
}

/// Returns the schemas to publish, as spelled in the lakehouse.
///
/// # Errors
/// [`ExportError::NoSchema`] with the existing schemas.
pub(super) fn find_schemas(
    engine: &Engine,
    catalog: &str,
    job: &ExportJob,
) -> Result<Vec<String>, ExportError> {
    // DuckDB considers `main` internal, but a pipeline may serve from it.
    let query = "
        SELECT schema_name FROM duckdb_schemas()
        WHERE database_name = ? AND (NOT internal OR schema_name = 'main') ORDER BY schema_name";
    let schemas = engine.query_strings(query, &[catalog])?;
    let mut found = Vec::<String>::new();
    for requested in &job.sources.schemas {
        let exact = schemas.iter().find(|schema| *schema == requested);
        match exact.or_else(|| {
            schemas.iter().find(|schema| schema.to_lowercase() == requested.to_lowercase())
        }) {
            Some(schema) if !found.contains(schema) => found.push(schema.clone()),
            Some(_) => {}
            None => return Err(no_schema(engine, catalog, requested, &schemas, job)?),
        }
    }
    Ok(found)
}

fn no_schema(
    engine: &Engine,
    catalog: &str,
    requested: &str,
    schemas: &[String],
    job: &ExportJob,
) -> Result<ExportError, ExportError> {
    const MAX_SCHEMAS: usize = 20;
    const MAX_TABLES: usize = 5;
    let query = "
        SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = $1 AND NOT temporary
        UNION ALL
        SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = $1 AND NOT temporary AND NOT internal
        ORDER BY ALL";
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    for (schema, table) in
        engine.rows(query, &[catalog], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
    {
        tables.entry(schema).or_default().push(table);
    }
    let of = |schema: &String| tables.get(schema).map(Vec::as_slice).unwrap_or_default();
    let mut lines = Vec::new();
    for schema in schemas.iter().take(MAX_SCHEMAS) {
        let names = of(schema);
        let first =
            names.iter().take(MAX_TABLES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if names.len() > MAX_TABLES {
            format!(" and {} more", names.len() - MAX_TABLES)
        } else {
            String::new()
        };
        let colon = if names.is_empty() { "" } else { ": " };
        lines.push(format!(
            "{schema}, {}{colon}{first}{more}",
            humanize::plural(names.len(), "table")
        ));
    }
    if schemas.len() > MAX_SCHEMAS {
        lines.push(format!("and {} more schemas", schemas.len() - MAX_SCHEMAS));
    }
    // SQLMesh's own schemas are never the ones to serve.
    let meant =
        |schema: &&String| !schema.to_lowercase().starts_with("sqlmesh") && !of(schema).is_empty();
    let known = ["marts", "mart", "analytics", "gold", "reporting"];
    let likely =
        schemas.iter().filter(meant).find(|schema| known.contains(&schema.to_lowercase().as_str()));
    let suggested = likely
        .or_else(|| schemas.iter().filter(meant).find(|schema| *schema != "main"))
        .or_else(|| schemas.iter().find(meant))
        .cloned();
    Ok(ExportError::NoSchema {
        path: job.lakehouse.clone(),
        schema: requested.to_owned(),
        found: lines,
        suggested,
    })
}

/// Returns whether two generations come from entirely different schemas.
pub(super) fn is_disjoint(served: &[String], now: &[String]) -> bool {
    let lower =
        |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    lower(served).is_disjoint(&lower(now))
}
