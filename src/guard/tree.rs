//! Checks of a statement's parse tree, as `json_serialize_sql` writes it.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{
    ForeignNames,
    functions::{self, CallKind},
};

/// What is said of a statement that is no query.
pub(super) const NOT_A_SELECT: &str = "only SELECT statements are answered; the data is read-only";

/// How deeply the tree may be nested. An operator in a chain (`1 + 1 + ...`) is three levels; DuckDB itself stops at 1,000 expressions.
const MAX_DEPTH: usize = 3_100;
/// How deeply lambdas may be nested: binding takes twice as long with each.
const MAX_LAMBDAS: usize = 8;

/// How many queries and tables one statement may hold. Planning cannot be interrupted, and 13,000 `SELECT`s in a `UNION ALL` take a minute.
const MAX_RELATIONS: usize = 1_000;

/// Nodes of queries, tables and their modifiers.
const NODES: [&str; 20] = [
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "CTE_NODE",
    "RECURSIVE_CTE_NODE",
    "BASE_TABLE",
    "EMPTY",
    "EXPRESSION_LIST",
    "JOIN",
    "PIVOT",
    "SHOW_REF",
    "SUBQUERY",
    "TABLE_FUNCTION",
    "ORDER_MODIFIER",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "DISTINCT_MODIFIER",
    "ORDER_DEFAULT",
    "ORDER_ASCENDING",
    "ASCENDING",
    "DESCENDING",
];

/// Classes of expressions. 2.0 writes types as expressions, too.
const CLASSES: [&str; 19] = [
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "DEFAULT",
    "FUNCTION",
    "LAMBDA",
    "LAMBDA_REF",
    "OPERATOR",
    "PARAMETER",
    "POSITIONAL_REFERENCE",
    "STAR",
    "SUBQUERY",
    "TYPE",
    "WINDOW",
];

/// Views of the engine's own that describe tables, and may be read.
pub(super) const ALLOWED_VIEWS: [&str; 16] = [
    "columns",
    "constraint_column_usage",
    "duckdb_columns",
    "duckdb_constraints",
    "duckdb_indexes",
    "duckdb_schemas",
    "duckdb_tables",
    "duckdb_types",
    "duckdb_views",
    "key_column_usage",
    "pg_tables",
    "pg_views",
    "schemata",
    "table_constraints",
    "tables",
    "views",
];

/// Views of the engine's own that are found without naming their schema, and tell of settings, paths or other users, or carry statements' texts.
pub(super) const REFUSED_VIEWS: [&str; 28] = [
    "duckdb_databases",
    "duckdb_logs",
    "duckdb_settings",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_database",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_index",
    "pg_indexes",
    "pg_namespace",
    "pg_prepared_statements",
    "pg_proc",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_tablespace",
    "pg_type",
    "pragma_database_list",
    "sqlite_master",
    "sqlite_schema",
    "sqlite_temp_master",
    "sqlite_temp_schema",
];

/// Schemas of the engine's own.
const SYSTEM_SCHEMAS: [&str; 2] = ["information_schema", "pg_catalog"];
/// Databases beside the served one.
const OTHER_CATALOGS: [&str; 3] = ["memory", "system", "temp"];

/// Refuses a tree that is nested too deeply to be looked through.
pub(super) fn check_depth(json: &str) -> Result<(), String> {
    if json_depth(json) > MAX_DEPTH { Err("the expression is nested too deeply".to_owned()) } else { Ok(()) }
}

/// Returns how deeply the brackets of a JSON text are nested, without recursion: what is deep must not be parsed to find out.
#[must_use]
pub fn json_depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Checks every node. Returns the table names that could be a file's: the caller looks whether they are a table's.
pub(super) fn inspect(json: &str, foreign: &ForeignNames) -> Result<Vec<String>, String> {
    let mut parser = serde_json::Deserializer::from_str(json);
    // The depth was checked, and the stack of this thread is made for it.
    parser.disable_recursion_limit();
    let parsed = Value::deserialize(&mut parser).map_err(|error| format!("it could not be checked: {error}"))?;
    if let Some(message) = parsed.get("error_message").and_then(Value::as_str) {
        return Err(if message.contains("Only SELECT") { NOT_A_SELECT.to_owned() } else { message.to_owned() });
    }
    match parsed.get("statements").and_then(Value::as_array).map(Vec::as_slice) {
        Some([statement]) => {
            let mut inspection = Inspection { foreign, lambdas: 0, relations: 0, files: Vec::new() };
            inspection.value(statement)?;
            Ok(inspection.files)
        }
        None | Some([]) => Err("there is no statement".to_owned()),
        Some(several) => Err(format!("one statement at a time, not {}", several.len())),
    }
}

struct Inspection<'a> {
    foreign: &'a ForeignNames,
    /// How many lambdas are around the present node.
    lambdas: usize,
    /// Queries and tables so far.
    relations: usize,
    files: Vec<String>,
}

impl Inspection<'_> {
    fn value(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(value)),
            Value::Object(object) => self.object(object),
            _ => Ok(()),
        }
    }

    fn object(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        if matches!((text("class"), text("type")), (None, Some(_))) {
            self.relations += usize::from(matches!(text("type"), Some("SELECT_NODE" | "BASE_TABLE" | "JOIN" | "TABLE_FUNCTION")));
            if self.relations > MAX_RELATIONS {
                return Err(format!("there are more than {MAX_RELATIONS} queries and tables in one statement"));
            }
        }
        match (text("class"), text("type")) {
            (Some(class), Some(_)) if CLASSES.contains(&class) => match class {
                // What is written in it is data.
                "CONSTANT" => return Ok(()),
                "FUNCTION" | "WINDOW" => self.call(object, CallKind::Scalar)?,
                "LAMBDA" => {
                    self.lambdas += 1;
                    if self.lambdas > MAX_LAMBDAS {
                        return Err(format!("lambdas are nested more than {MAX_LAMBDAS} deep"));
                    }
                    let inside = object.values().try_for_each(|value| self.value(value));
                    self.lambdas -= 1;
                    return inside;
                }
                _ => {}
            },
            (Some(class), _) => return Err(format!("{} is refused: it is not known to only read", readable(class))),
            (None, Some("TABLE_FUNCTION")) => return self.table_function(object),
            (None, Some("BASE_TABLE")) => self.table(object)?,
            (None, Some("SHOW_REF")) => self.show(object)?,
            // The width of a DECIMAL and the like, as 1.5 writes them.
            (None, Some(node)) if NODES.contains(&node) || node.ends_with("_TYPE_INFO") => {}
            (None, Some(node)) => return Err(refused_node(node)),
            (None, None) if object.contains_key("info_type") => return Err(NOT_A_SELECT.to_owned()),
            (None, None) => {}
        }
        object.values().try_for_each(|value| self.value(value))
    }

    fn call(&self, function: &Map<String, Value>, kind: CallKind) -> Result<(), String> {
        let name = function.get("function_name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        // Also behind a column, as in `name.upper()`: whatever is before the dot, the served file must have no function of that name.
        if self.foreign.contains(&name) {
            return Err(format!("{name}() is refused: the served file defines a macro of that name"));
        }
        functions::check(kind, &name)
    }

    fn table_function(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let function =
            object.get("function").and_then(Value::as_object).ok_or("it could not be checked: a table function without a name")?;
        self.call(function, CallKind::Table)?;
        function.values().try_for_each(|value| self.value(value))?;
        object.iter().filter(|(key, _)| *key != "function").try_for_each(|(_, value)| self.value(value))
    }

    fn table(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        if object.get("at_clause").is_some_and(|at| !at.is_null()) {
            return Err("AT is refused: only the served generation can be read".to_owned());
        }
        let path = path_of(object);
        let lower: Vec<_> = path.iter().map(|part| part.to_lowercase()).collect();
        let (name, qualifiers) = lower.split_last().ok_or("it could not be checked: a table without a name")?;
        let refused = || Err(format!("{} is refused: it tells of the server, not of the data", path.join(".")));
        if qualifiers.iter().any(|part| SYSTEM_SCHEMAS.contains(&part.as_str())) {
            return if ALLOWED_VIEWS.contains(&name.as_str()) { Ok(()) } else { refused() };
        }
        let is_system_view = REFUSED_VIEWS.contains(&name.as_str());
        let is_elsewhere = qualifiers.len() > 1 && OTHER_CATALOGS.contains(&qualifiers[0].as_str());
        if is_system_view || is_elsewhere {
            return refused();
        }
        let full = path.join(".");
        if could_be_file(&full) {
            self.files.push(full);
        }
        Ok(())
    }

    /// `DESCRIBE`, `SUMMARIZE` and `SHOW`.
    fn show(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let kind = object.get("show_type").and_then(Value::as_str).unwrap_or_default();
        let name = object.get("table_name").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "DESCRIBE" | "SUMMARY" if name.is_empty() => Ok(()),
            "DESCRIBE" | "SUMMARY" => self.table(object),
            "SHOW_SPECIAL" | "SHOW_FROM" if ["tables", "\"tables\"", "__show_tables_expanded", ""].contains(&name) => Ok(()),
            _ => Err("of SHOW, only SHOW TABLES and SHOW ALL TABLES are answered".to_owned()),
        }
    }
}

/// The parts of a table's name, as 2.0 and 1.5 write them.
fn path_of(object: &Map<String, Value>) -> Vec<&str> {
    let qualified = object.get("qualified_name").and_then(|name| name.get("path")).and_then(Value::as_array);
    if let Some(parts) = qualified {
        return parts.iter().filter_map(Value::as_str).collect();
    }
    let part = |key: &str| object.get(key).and_then(Value::as_str).filter(|part| !part.is_empty());
    [part("catalog_name"), part("schema_name"), part("table_name")].into_iter().flatten().collect()
}

/// Whether the engine would look for a file of this name where there is no table.
fn could_be_file(name: &str) -> bool {
    name.contains(['/', '\\', '*', '?', ':']) || name.contains('.')
}

fn readable(name: &str) -> String {
    name.to_lowercase().replace('_', " ")
}

fn refused_node(node: &str) -> String {
    match node.strip_suffix("_QUERY_NODE") {
        Some(statement) => format!("{statement} is refused: {NOT_A_SELECT}"),
        None => format!("{} is refused: it is not known to only read", readable(node)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use duckdb::Connection;

    use super::*;

    #[test]
    fn every_view_of_the_engine_that_needs_no_schema_is_decided_about() {
        let connection = Connection::open_in_memory().unwrap();
        let query = "SELECT DISTINCT view_name FROM duckdb_views() WHERE internal AND schema_name <> 'information_schema' ORDER BY ALL";
        let mut statement = connection.prepare(query).unwrap();
        let views: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let unknown: Vec<_> =
            views.iter().filter(|view| !ALLOWED_VIEWS.contains(&view.as_str()) && !REFUSED_VIEWS.contains(&view.as_str())).collect();
        assert!(views.len() > 20 && unknown.is_empty(), "allow or refuse these: {unknown:?}");
    }
}
