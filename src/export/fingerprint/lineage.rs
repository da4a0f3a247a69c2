//! The lineage of a relation: every table, view and macro below it, and whether its content is
//! deterministic.
//!
//! DuckDB's parser returns the names, and [`Lineage`] resolves them in the lakehouse. An ambiguous
//! name counts as all of its meanings: one too many costs a copy, one too few would serve old data.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::TableName;
use crate::export::{ExportError, engine::Engine, plan::TablePlan, sources::Origin};
use crate::store::RelationKind;

/// Table functions that read nothing but their arguments.
const OWN_TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];
/// Functions that DuckDB marks as consistent although they read the clock, are random, or read what
/// a text names.
const NOT_CONSISTENT: [&str; 5] = [
    "age",
    "current_localtime",
    "current_localtimestamp",
    "json_serialize_plan",
    "reservoir_quantile",
];
/// Names without parentheses that mean the current time, unless a column has the name.
const TIME_NAMES: [&str; 5] =
    ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
/// Known parts of a statement. Any other may belong to a later DuckDB whose semantics this code
/// does not know.
const KNOWN_NODES: [&str; 13] = [
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    "CTE_NODE",
    "ORDER_MODIFIER",
    "DISTINCT_MODIFIER",
    "EMPTY",
    "SUBQUERY",
    "JOIN",
    "EXPRESSION_LIST",
    "PIVOT",
    "BASE_TABLE",
    "TABLE_FUNCTION",
];
/// Known kinds of expressions.
const KNOWN_EXPRESSIONS: [&str; 16] = [
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "LAMBDA",
    "LAMBDA_REF",
    "OPERATOR",
    "STAR",
    "SUBQUERY",
    "TYPE",
    "WINDOW",
];

/// Resolves names within one lakehouse.
pub(super) struct Lineage<'a> {
    engine: &'a Engine,
    /// The lakehouse's catalog name, in lower case.
    catalog: String,
    relations: BTreeMap<String, Vec<LineageRelation>>,
    /// The overloads of each function, by lower-case name. Loaded when the first function is
    /// encountered, since most views call none.
    functions: OnceCell<BTreeMap<String, BTreeSet<Function>>>,
    /// The lakehouse's own types and DuckDB's own views, in lower case. The catalog does not list a
    /// type's parameters, and the views cover everything in the database.
    types: BTreeSet<String>,
    system_views: BTreeSet<String>,
}

struct LineageRelation {
    schema: String,
    name: String,
    is_view: bool,
    /// The statement that created it.
    sql: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Function {
    /// A macro of the lakehouse, whose catalog entry is incomplete: it lacks defaults.
    Own,
    /// Returns the same result for the same arguments.
    Consistent,
    /// Depends on more than its arguments, or reads outside data.
    Volatile,
    /// Expands to another expression or query.
    Macro(String),
}

/// The dependencies of a relation.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// The statements of all views and macros.
    pub(super) texts: BTreeSet<String>,
    pub(super) tables: BTreeSet<TableName>,
}

impl<'a> Lineage<'a> {
    pub(super) fn of(engine: &'a Engine, catalog: &str) -> Result<Self, ExportError> {
        let query = "
            SELECT schema_name, table_name, false, sql FROM duckdb_tables() WHERE database_name = $1 AND NOT temporary
            UNION ALL
            SELECT schema_name, view_name, true, sql FROM duckdb_views() WHERE database_name = $1 AND NOT temporary AND NOT internal";
        let mut relations = BTreeMap::<String, Vec<LineageRelation>>::new();
        let read = |row: &duckdb::Row<'_>| {
            let sql: Option<String> = row.get(3)?;
            Ok(LineageRelation {
                schema: row.get(0)?,
                name: row.get(1)?,
                is_view: row.get(2)?,
                sql: sql.unwrap_or_default(),
            })
        };
        for relation in engine.rows(query, &[catalog], read)? {
            relations.entry(relation.name.to_lowercase()).or_default().push(relation);
        }
        let names = |query: &str, values: &[&str]| -> Result<BTreeSet<String>, ExportError> {
            Ok(engine.query_strings(query, values)?.into_iter().collect())
        };
        let types = names(
            "SELECT lower(type_name) FROM duckdb_types() WHERE database_name = ? AND NOT internal",
            &[catalog],
        )?;
        let system_views =
            names("SELECT lower(view_name) FROM duckdb_views() WHERE internal", &[])?;
        Ok(Self {
            engine,
            catalog: catalog.to_lowercase(),
            relations,
            functions: OnceCell::new(),
            types,
            system_views,
        })
    }

    /// Returns the statement that created a table.
    pub(super) fn declared(&self, (schema, name): &TableName) -> &str {
        let relations = self.relations.get(&name.to_lowercase()).into_iter().flatten();
        relations
            .filter(|relation| relation.schema == *schema && relation.name == *name)
            .map(|relation| relation.sql.as_str())
            .next()
            .unwrap_or_default()
    }

    /// Returns what the overloads of each function are, in the lakehouse and in DuckDB.
    fn functions(&self) -> Result<&BTreeMap<String, BTreeSet<Function>>, ExportError> {
        if let Some(functions) = self.functions.get() {
            return Ok(functions);
        }
        let query = "
            SELECT lower(function_name), lower(database_name) = $1, CASE WHEN function_type LIKE '%macro' THEN macro_definition END,
                   function_type IN ('scalar', 'aggregate', 'window') AND stability = 'CONSISTENT'
            FROM duckdb_functions() WHERE lower(database_name) IN ($1, 'system') AND function_type <> 'pragma'";
        let read = |row: &duckdb::Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<bool>>(3)?))
        };
        let mut functions = BTreeMap::<String, BTreeSet<Function>>::new();
        for (name, own, definition, consistent) in
            self.engine.rows(query, &[&self.catalog], read)?
        {
            let consistent = consistent == Some(true) && !NOT_CONSISTENT.contains(&name.as_str());
            let function = match definition {
                _ if own => Function::Own,
                Some(definition) => Function::Macro(definition),
                None if consistent || OWN_TABLE_FUNCTIONS.contains(&name.as_str()) => {
                    Function::Consistent
                }
                None => Function::Volatile,
            };
            functions.entry(name).or_default().insert(function);
        }
        Ok(self.functions.get_or_init(|| functions))
    }

    /// Returns the dependencies of a relation of the serving schema, or why its content may differ
    /// although they are the same.
    pub(super) fn dependencies(
        &self,
        origin: &Origin,
        table: &TablePlan,
    ) -> Result<Result<Dependencies, String>, ExportError> {
        let mut below = Dependencies::default();
        let mut queries = Vec::new();
        if table.kind == RelationKind::Table {
            below.tables.insert((origin.schema.clone(), origin.name.clone()));
        } else {
            let own = self
                .relations
                .get(&origin.name.to_lowercase())
                .into_iter()
                .flatten()
                .filter(|relation| relation.schema == origin.schema);
            queries.extend(
                own.filter(|relation| relation.is_view).map(|relation| relation.sql.clone()),
            );
        }
        if !table.order_by.is_empty() {
            queries.push(format!("SELECT 1 ORDER BY {}", table.order_by.join(", ")));
        }
        while let Some(text) = queries.pop() {
            if below.texts.contains(&text) {
                continue;
            }
            let Some(parsed) = parse(self.engine, query_of(&text))? else {
                return Ok(Err("its statement cannot be taken apart".to_owned()));
            };
            let found = References::in_statement(&parsed);
            if let Some(why) = found.different {
                return Ok(Err(why));
            }
            if let Some(name) = found.types.iter().find(|name| self.types.contains(*name)) {
                return Ok(Err(format!("it uses the lakehouse's own type {name}")));
            }
            for name in &found.tables {
                // DuckDB's own view or a file, even if a relation has the same name.
                if (name.schema.is_empty()
                    || ["main", "pg_catalog"].contains(&name.schema.as_str()))
                    && self.system_views.contains(&name.table)
                    || name.schema.is_empty() && name.table.contains(['.', '/', ':'])
                {
                    return Ok(Err(format!(
                        "it reads {}, which may be outside the lakehouse",
                        name.table
                    )));
                }
                let mut meant = self
                    .relations
                    .get(&name.table)
                    .into_iter()
                    .flatten()
                    .filter(|relation| self.may_resolve_to(name, relation))
                    .peekable();
                let is_own = name.schema.is_empty() && found.own_names.contains(&name.table);
                if meant.peek().is_none() && !is_own {
                    return Ok(Err(format!(
                        "it reads {}, which is not in the lakehouse",
                        name.table
                    )));
                }
                for relation in meant {
                    if relation.is_view {
                        queries.push(relation.sql.clone());
                    } else {
                        below.tables.insert((relation.schema.clone(), relation.name.clone()));
                    }
                }
            }
            for name in &found.functions {
                let Some(meant) = self.functions()?.get(name) else {
                    return Ok(Err(format!("it uses {name}(), which is not known")));
                };
                // In search order: the lakehouse's definition comes first.
                for function in meant {
                    match function {
                        Function::Own => {
                            return Ok(Err(format!("it uses the lakehouse's own {name}()")));
                        }
                        Function::Consistent => {}
                        Function::Volatile => {
                            return Ok(Err(format!(
                                "it uses {name}(), which may differ each time"
                            )));
                        }
                        Function::Macro(definition) => queries.push(definition.clone()),
                    }
                }
            }
            below.texts.insert(text);
        }
        Ok(Ok(below))
    }

    fn may_resolve_to(&self, name: &Name, relation: &LineageRelation) -> bool {
        let schema = relation.schema.to_lowercase();
        let in_catalog = name.catalog.is_empty() || name.catalog == self.catalog;
        // In `a.b`, `a` may be the catalog.
        in_catalog
            && (name.schema.is_empty()
                || name.schema == schema
                || (name.catalog.is_empty() && name.schema == self.catalog))
    }
}

/// Returns DuckDB's parse of a query or an expression; `None` if it cannot be parsed.
pub(super) fn parse(engine: &Engine, text: &str) -> Result<Option<Value>, ExportError> {
    for query in [text.to_owned(), format!("SELECT {text}")] {
        let parsed = match engine
            .query_strings("SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", &[&query])
        {
            Err(ExportError::Engine { .. }) => None,
            parsed => parsed?.pop(),
        };
        let parsed: Option<Value> = parsed.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(parsed) =
            parsed.filter(|parsed| parsed.get("error") == Some(&Value::Bool(false)))
        {
            return Ok(Some(parsed));
        }
    }
    Ok(None)
}

/// Returns the query in `CREATE VIEW name (columns) AS query`: everything after the first `AS`
/// outside quotes. Other text is returned whole.
pub(in crate::export) fn query_of(text: &str) -> &str {
    if !text.starts_with("CREATE ") {
        return text;
    }
    let mut quoted = false;
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '"';
        let rest = &text[at..];
        if !quoted && rest.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(" AS ")) {
            return &rest[4..];
        }
    }
    text
}

/// A table's name as written, in lower case; missing parts are empty.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    catalog: String,
    schema: String,
    table: String,
}

/// The names in one statement.
#[derive(Debug, Default)]
struct References {
    tables: BTreeSet<Name>,
    functions: BTreeSet<String>,
    types: BTreeSet<String>,
    /// The names of the `WITH` clauses.
    own_names: BTreeSet<String>,
    /// Why the statement's result may differ each time.
    different: Option<String>,
}

impl References {
    fn in_statement(parsed: &Value) -> Self {
        let mut found = Self::default();
        found.walk(parsed);
        found
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            Value::Object(fields) => {
                self.node(value);
                fields.values().for_each(|value| self.walk(value));
            }
            _ => {}
        }
    }

    fn node(&mut self, node: &Value) {
        let text = |field: &str| node.get(field).and_then(Value::as_str).unwrap_or_default();
        let lower = |field: &str| text(field).to_lowercase();
        if !text("function_name").is_empty() {
            self.functions.insert(lower("function_name"));
        }
        for field in ["type_name", "user_type_name"] {
            self.types.insert(lower(field));
        }
        // The form that DuckDB 1.5 returns.
        if text("type") == "UNBOUND_TYPE_INFO" {
            self.types.insert(lower("name"));
        }
        if !text("cte_name").is_empty() {
            self.own_names.insert(lower("cte_name"));
        }
        if let Some(parts) = node.pointer("/cte_map/map").and_then(Value::as_array) {
            self.own_names.extend(
                parts.iter().filter_map(|part| Some(part.get("key")?.as_str()?.to_lowercase())),
            );
        }
        if node.get("sample").is_some_and(|sample| !sample.is_null()) {
            self.mark_nondeterministic("it takes a sample");
        }
        match (text("class"), text("type")) {
            ("", "BASE_TABLE") => {
                if node.get("at_clause").is_some_and(|at| !at.is_null()) {
                    self.mark_nondeterministic("it reads a table as it was");
                }
                self.tables.insert(Name {
                    catalog: lower("catalog_name"),
                    schema: lower("schema_name"),
                    table: lower("table_name"),
                });
            }
            ("", "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER") => {
                self.mark_nondeterministic("it has a LIMIT");
            }
            ("", "DISTINCT_MODIFIER")
                if node
                    .get("distinct_on_targets")
                    .and_then(Value::as_array)
                    .is_some_and(|on| !on.is_empty()) =>
            {
                self.mark_nondeterministic("it uses DISTINCT ON");
            }
            ("", kind) => {
                // Sort directions and type details have a `type` as well.
                if !kind.is_empty() && !KNOWN_NODES.contains(&kind) && !is_detail(kind) {
                    self.mark_nondeterministic(&format!("its statement has a {kind}"));
                }
            }
            ("COLUMN_REF", _) => {
                let names = node
                    .get("column_names")
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                if let [Value::String(name)] = names
                    && TIME_NAMES.contains(&name.to_lowercase().as_str())
                {
                    self.mark_nondeterministic(&format!("it uses {}", name.to_lowercase()));
                }
            }
            (class, _) if KNOWN_EXPRESSIONS.contains(&class) => {}
            (class, _) => self.mark_nondeterministic(&format!("its statement has a {class}")),
        }
    }

    fn mark_nondeterministic(&mut self, why: &str) {
        self.different.get_or_insert_with(|| why.to_owned());
    }
}

fn is_detail(kind: &str) -> bool {
    kind.ends_with("_TYPE_INFO")
        || kind.starts_with("ORDER_")
        || matches!(kind, "ASCENDING" | "DESCENDING")
}
