//! Checks of a statement's parse tree, as `json_serialize_sql` writes it.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{
    ForeignNames, Names, Scope,
    functions::{self, CallKind},
};

/// Reason for refusing a statement that is not a query.
pub(super) const NOT_A_SELECT: &str = "only SELECT statements are allowed; the data is read-only";

/// Maximum nesting of the tree. An operator in a chain (`1 + 1 + ...`) is three levels; DuckDB
/// itself stops at 1,000 expressions.
const MAX_DEPTH: usize = 3_100;
/// Maximum nesting of lambdas: binding takes twice as long with each.
const MAX_LAMBDAS: usize = 8;

/// Maximum queries and tables in one statement. Planning cannot be interrupted, and 13,000
/// `SELECT`s in a `UNION ALL` take a minute.
const MAX_RELATIONS: usize = 1_000;

/// Allowed nodes of queries, tables and their modifiers.
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

/// Allowed classes of expressions. DuckDB 2.0 also writes types as expressions.
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

/// The engine's own views that describe tables and may be read.
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

/// The engine's own views that resolve without a schema and expose settings, paths, other users or
/// the texts of statements.
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

/// The table functions of the engine that tell nothing of tables outside of a namespace.
const SCOPED_TABLE_FUNCTIONS: [&str; 7] =
    ["generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"];

/// The engine's own schemas.
const SYSTEM_SCHEMAS: [&str; 2] = ["information_schema", "pg_catalog"];
/// Catalogs other than the served one.
const OTHER_CATALOGS: [&str; 3] = ["memory", "system", "temp"];

/// Refuses a tree that is nested too deeply to be traversed.
pub(super) fn check_depth(json: &str) -> Result<(), String> {
    if json_depth(json) > MAX_DEPTH {
        Err("the expression is nested too deeply".to_owned())
    } else {
        Ok(())
    }
}

/// Returns the nesting depth of a JSON text without recursion, since parsing a deep text would
/// overflow the stack.
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

/// Checks every node. Returns the names; the caller checks whether those that could be a file's are
/// tables.
pub(super) fn inspect(
    json: &str,
    foreign: &ForeignNames,
    scope: Option<&Scope>,
) -> Result<Names, String> {
    let mut parser = serde_json::Deserializer::from_str(json);
    // The depth has been checked, and this thread's stack is large enough for it.
    parser.disable_recursion_limit();
    let parsed = Value::deserialize(&mut parser)
        .map_err(|error| format!("it could not be checked: {error}"))?;
    if let Some(message) = parsed.get("error_message").and_then(Value::as_str) {
        return Err(if message.contains("Only SELECT") {
            NOT_A_SELECT.to_owned()
        } else {
            match parsed.get("position").and_then(Value::as_str).filter(|_| scope.is_some()) {
                // For clients that mark the place.
                Some(position) => format!("{message} [at {position}]"),
                None => message.to_owned(),
            }
        });
    }
    match parsed.get("statements").and_then(Value::as_array).map(Vec::as_slice) {
        Some([statement]) => {
            let mut inspection =
                Inspection { foreign, scope, lambdas: 0, relations: 0, names: Names::default() };
            inspection.value(statement)?;
            Ok(inspection.names)
        }
        None | Some([]) => Err("there is no statement".to_owned()),
        Some(several) => Err(format!("one statement at a time, not {}", several.len())),
    }
}

struct Inspection<'a> {
    foreign: &'a ForeignNames,
    scope: Option<&'a Scope>,
    /// Lambdas around the current node.
    lambdas: usize,
    /// Queries and tables visited so far.
    relations: usize,
    names: Names,
}

impl Inspection<'_> {
    fn value(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(value)),
            Value::Object(object) => self.object(object),
            Value::String(text) => {
                // Whatever a text of the tree is, a name that is in none of them is not used.
                self.names.of_scope |= self.scope.is_some_and(|scope| scope.has(text));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        if matches!((text("class"), text("type")), (None, Some(_))) {
            self.relations += usize::from(matches!(
                text("type"),
                Some("SELECT_NODE" | "BASE_TABLE" | "JOIN" | "TABLE_FUNCTION")
            ));
            if self.relations > MAX_RELATIONS {
                return Err(format!(
                    "there are more than {MAX_RELATIONS} queries and tables in one statement"
                ));
            }
        }
        match (text("class"), text("type")) {
            (Some(class), Some(_)) if CLASSES.contains(&class) => match class {
                // Its content is data.
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
            (Some(class), _) => {
                return Err(format!(
                    "{} is refused: it is not known to only read",
                    readable(class)
                ));
            }
            (None, Some("TABLE_FUNCTION")) => return self.table_function(object),
            (None, Some("BASE_TABLE")) => self.table(object)?,
            (None, Some("SHOW_REF")) => self.show(object)?,
            // Type parameters, such as the width of a DECIMAL, in DuckDB 1.5.
            (None, Some(node)) if NODES.contains(&node) || node.ends_with("_TYPE_INFO") => {}
            (None, Some(node)) => return Err(refused_node(node)),
            (None, None) if object.contains_key("info_type") => return Err(NOT_A_SELECT.to_owned()),
            (None, None) => {}
        }
        object.values().try_for_each(|value| self.value(value))
    }

    fn call(&self, function: &Map<String, Value>, kind: CallKind) -> Result<(), String> {
        let name = function
            .get("function_name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_lowercase();
        // Also covers method calls such as `name.upper()`: whatever precedes the dot, the served
        // file must not define a function of that name.
        if self.foreign.contains(&name) {
            return Err(format!(
                "{name}() is refused: the served file defines a macro of that name"
            ));
        }
        if self.scope.is_some_and(|scope| scope.functions.contains(&name)) {
            return Ok(());
        }
        functions::check(kind, &name)?;
        let tells = kind == CallKind::Table && !SCOPED_TABLE_FUNCTIONS.contains(&name.as_str());
        if self.scope.is_some() && tells {
            return Err(format!("{name}() is refused: it reveals the server, not the data"));
        }
        Ok(())
    }

    fn table_function(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let function = object
            .get("function")
            .and_then(Value::as_object)
            .ok_or("it could not be checked: a table function without a name")?;
        self.call(function, CallKind::Table)?;
        function.values().try_for_each(|value| self.value(value))?;
        object
            .iter()
            .filter(|(key, _)| *key != "function")
            .try_for_each(|(_, value)| self.value(value))
    }

    fn table(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        if object.get("at_clause").is_some_and(|at| !at.is_null()) {
            return Err("AT is refused: only the served generation can be read".to_owned());
        }
        let path = path_of(object);
        let lower: Vec<_> = path.iter().map(|part| part.to_lowercase()).collect();
        let (name, qualifiers) =
            lower.split_last().ok_or("it could not be checked: a table without a name")?;
        let refused =
            || Err(format!("{} is refused: it reveals the server, not the data", path.join(".")));
        if let Some(scope) = self.scope {
            return self.scoped_table(scope, name, qualifiers, path.join("."));
        }
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
            self.names.tables.push(full);
        }
        Ok(())
    }

    /// Checks a table's name in a namespace. A qualified name must not leave it: to the engine,
    /// the first part may also be a catalog's name.
    fn scoped_table(
        &mut self,
        scope: &Scope,
        name: &str,
        qualifiers: &[String],
        full: String,
    ) -> Result<(), String> {
        match qualifiers {
            [] if ALLOWED_VIEWS.contains(&name) || REFUSED_VIEWS.contains(&name) => {
                if !scope.views.contains(name) {
                    return Err(format!("relation \"{name}\" does not exist"));
                }
            }
            [] => {}
            [schema] if scope.schemas.contains(schema) => {}
            [schema] => return Err(format!("schema \"{schema}\" does not exist")),
            _ => return Err(format!("cross-database references are not possible: {full}")),
        }
        if could_be_file(&full) {
            self.names.tables.push(full);
        }
        Ok(())
    }

    /// Checks `DESCRIBE`, `SUMMARIZE` and `SHOW`.
    fn show(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        let kind = object.get("show_type").and_then(Value::as_str).unwrap_or_default();
        let name = object.get("table_name").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "DESCRIBE" | "SUMMARY" if name.is_empty() => Ok(()),
            "DESCRIBE" | "SUMMARY" => self.table(object),
            "SHOW_SPECIAL" | "SHOW_FROM"
                if self.scope.is_none()
                    && ["tables", "\"tables\"", "__show_tables_expanded", ""].contains(&name) =>
            {
                Ok(())
            }
            _ => Err("of SHOW, only SHOW TABLES and SHOW ALL TABLES are allowed".to_owned()),
        }
    }
}

/// Returns the parts of a table's name, in the formats of DuckDB 2.0 and 1.5.
fn path_of(object: &Map<String, Value>) -> Vec<&str> {
    let qualified =
        object.get("qualified_name").and_then(|name| name.get("path")).and_then(Value::as_array);
    if let Some(parts) = qualified {
        return parts.iter().filter_map(Value::as_str).collect();
    }
    let part = |key: &str| object.get(key).and_then(Value::as_str).filter(|part| !part.is_empty());
    [part("catalog_name"), part("schema_name"), part("table_name")].into_iter().flatten().collect()
}

/// Returns whether the engine would open a file of this name if there is no such table.
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
        let views: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let unknown: Vec<_> = views
            .iter()
            .filter(|view| {
                !ALLOWED_VIEWS.contains(&view.as_str()) && !REFUSED_VIEWS.contains(&view.as_str())
            })
            .collect();
        assert!(views.len() > 20 && unknown.is_empty(), "allow or refuse these: {unknown:?}");
    }
    #[test]
    fn a_view_or_macro_of_a_namespace_is_found_wherever_it_is_named() {
        let connection = Connection::open_in_memory().unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let scope = Scope {
            schemas: names(&["main", "_info"]),
            views: names(&["pg_class"]),
            functions: names(&["version", "current_user", "quote_ident", "pg_get_keywords"]),
            view_schemas: names(&["_info"]),
        };
        let uses = |sql: &str| {
            crate::guard::inspect(&connection, sql, &ForeignNames::new(), Some(&scope))
                .map(|names| names.of_scope)
        };
        for sql in [
            "SELECT VERSION()",
            "SELECT current_user",
            "SELECT name.quote_ident() FROM t",
            "SELECT * FROM \"PG_class\" c",
            "SELECT 1 WHERE EXISTS (WITH a AS (FROM pg_class) FROM a)",
            "SELECT * FROM _info.tables",
            "SELECT list_transform([1], lambda x: version())",
            "FROM pg_get_keywords()",
            "EXPLAIN SELECT * FROM pg_class",
            "DESCRIBE pg_class",
        ] {
            assert_eq!(uses(sql), Ok(true), "{sql}");
        }
        for sql in ["SELECT 'pg_class', upper(a) FROM main.t", "FROM t -- pg_class"] {
            assert_eq!(uses(sql), Ok(false), "{sql}");
        }
    }
}
