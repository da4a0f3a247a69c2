//! Decides whether SQL from outside only reads: the SQL of dashboards, the API, the terminal's
//! prompt and SQL audits.
//!
//! A statement passes if every node of its parse tree is known to read ([`tree`]), every function
//! in it is allowed by the table ([`functions`]), and every table it names can only be a table of
//! the served file. Everything unknown is refused: DuckDB's own check, "`json_serialize_sql` takes
//! only `SELECT`", accepts `WITH x AS (COPY ... TO ...)`.
//!
//! The engine below is opened read-only with external access off; the guard protects the attached
//! file itself, its log, and the other queries on the same instance.

mod functions;
mod tables;
mod text;
mod tree;

use std::{collections::BTreeSet, thread};

use duckdb::Connection;

pub use self::{tables::table_names, tree::json_depth};

/// Names of functions defined by a served file, in lower case. A published file has none; another
/// file may have macros, which would be called instead of the engine's functions.
pub type ForeignNames = BTreeSet<String>;

/// What SQL may name that is resolved in a catalog of its own instead of the served schema: a
/// [`crate::reader::Namespace`]. Everything outside of it does not exist for such SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The schemas that may qualify a table, in lower case.
    pub schemas: BTreeSet<String>,
    /// Views of the namespace that hide the engine's of the same name, in lower case.
    pub views: BTreeSet<String>,
    /// Macros of the namespace, in lower case; some hide the engine's functions.
    pub functions: BTreeSet<String>,
    /// Those of [`Self::schemas`] that contain nothing but such views.
    pub view_schemas: BTreeSet<String>,
}

impl Scope {
    /// Returns whether one of the views or macros may be meant by this name.
    fn has(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        [&self.views, &self.functions, &self.view_schemas].iter().any(|names| names.contains(&name))
    }
}

/// What a statement names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Whether a view or macro of the [`Scope`] may be among them.
    pub of_scope: bool,
    /// Those that could be a file's, for [`check_tables`].
    tables: Vec<String>,
}

/// Stack size for parsing the tree of the most deeply nested statement that passes the earlier
/// checks.
const STACK_BYTES: usize = 64 << 20;

/// Reads the names of the functions that the file attached as `catalog` defines.
///
/// # Errors
/// DuckDB's.
pub fn foreign_names(connection: &Connection, catalog: &str) -> duckdb::Result<ForeignNames> {
    let mut statement =
        connection.prepare("SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE database_name = ? AND NOT internal")?;
    statement.query_map([catalog], |row| row.get(0))?.collect()
}

/// Checks that `sql` is one statement that only reads, or an `EXPLAIN` of one.
///
/// `connection` parses it, and determines whether a name that could be a file's is a table's.
///
/// # Errors
/// The reason for the author, when it is refused.
pub fn check(connection: &Connection, sql: &str, foreign: &ForeignNames) -> Result<(), String> {
    let names = inspect(connection, sql, foreign, None)?;
    check_tables(connection, &names)
}

/// Works like [`check`] for SQL that is resolved in a namespace, which need not exist yet: what is
/// outside of `scope` is refused as if it did not exist. [`check_tables`] is left to do.
///
/// # Errors
/// The reason for the author, when it is refused.
pub fn inspect(
    connection: &Connection,
    sql: &str,
    foreign: &ForeignNames,
    scope: Option<&Scope>,
) -> Result<Names, String> {
    text::check(sql)?;
    let sql = text::explained(sql);
    let parsed: String = connection
        .query_row("SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", [sql], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    tree::check_depth(&parsed)?;
    let names = thread::scope(|threads| {
        let inspected = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(threads, || tree::inspect(&parsed, foreign, scope));
        let inspected =
            inspected.map_err(|error| format!("no thread to check it with: {error}"))?;
        inspected.join().unwrap_or_else(|_| Err("it could not be checked".to_owned()))
    });
    names.map_err(|reason| explain_pivot(reason, sql))
}

/// Checks that names that could be a file's are those of tables or views, which must exist by now.
///
/// # Errors
/// The reason for the author, when one is not.
pub fn check_tables(connection: &Connection, names: &Names) -> Result<(), String> {
    for name in &names.tables {
        if !is_table(connection, name)? {
            return Err(format!("there is no table {name:?}, and files cannot be read here"));
        }
    }
    Ok(())
}

/// Returns whether a name that could be a file's belongs to a table or view.
fn is_table(connection: &Connection, name: &str) -> Result<bool, String> {
    let query = "
        SELECT count(*) > 0 FROM (
            SELECT database_name AS d, schema_name AS s, table_name AS t FROM duckdb_tables()
            UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()
        ) WHERE lower($1) IN (lower(t), lower(s || '.' || t), lower(d || '.' || t), lower(d || '.' || s || '.' || t))";
    connection.query_row(query, [name], |row| row.get(0)).map_err(|error| error.to_string())
}

/// Explains why a `PIVOT` without a list of values is refused: it first runs a query to find them,
/// which makes two statements.
fn explain_pivot(reason: String, sql: &str) -> String {
    let is_pivot = sql
        .split(|char: char| !char.is_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case("pivot"));
    if reason == tree::NOT_A_SELECT && is_pivot {
        return "PIVOT needs the values that become columns: PIVOT t ON kind IN ('a', 'b') USING sum(amount)".to_owned();
    }
    reason
}
