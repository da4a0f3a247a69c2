//! Decides whether SQL from outside only reads: what dashboards, the API, the terminal's prompt and SQL audits run.
//!
//! A statement passes if every node of its parse tree is known to read ([`tree`]), every function in it stands in the table as allowed
//! ([`functions`]), and every table it names can only be a table of the served file. Anything that is not known is refused: DuckDB's own check,
//! "`json_serialize_sql` takes only `SELECT`", lets `WITH x AS (COPY ... TO ...)` through.
//!
//! The engine below is opened read-only with external access off; the guard is what keeps the attached file itself, its log, and the other
//! queries on the same instance out of reach.

mod functions;
mod text;
mod tree;

use std::{collections::BTreeSet, thread};

use duckdb::Connection;

pub use self::tree::json_depth;

/// Names of functions that a served file brings along itself, in lower case. A published file has none; one from elsewhere may have macros, which
/// would be called in place of the engine's functions.
pub type ForeignNames = BTreeSet<String>;

/// Enough for parsing the tree of the most deeply nested statement that passes the checks before it.
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
/// `connection` parses it, and is asked whether a name that could be a file's is a table's.
///
/// # Errors
/// The reason for the author, where it is refused.
pub fn check(connection: &Connection, sql: &str, foreign: &ForeignNames) -> Result<(), String> {
    text::check(sql)?;
    let sql = text::explained(sql);
    let parsed: String = connection
        .query_row("SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", [sql], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    tree::check_depth(&parsed)?;
    let findings = thread::scope(|scope| {
        let inspected = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || tree::inspect(&parsed, foreign));
        let inspected = inspected.map_err(|error| format!("no thread to check it with: {error}"))?;
        inspected.join().unwrap_or_else(|_| Err("it could not be checked".to_owned()))
    });
    for name in findings.map_err(|reason| explain_pivot(reason, sql))? {
        if !is_table(connection, &name)? {
            return Err(format!("there is no table {name:?}, and files cannot be read here"));
        }
    }
    Ok(())
}

/// Whether a name that looks like a file's is that of a table or view.
fn is_table(connection: &Connection, name: &str) -> Result<bool, String> {
    let query = "
        SELECT count(*) > 0 FROM (
            SELECT database_name AS d, schema_name AS s, table_name AS t FROM duckdb_tables()
            UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()
        ) WHERE lower($1) IN (lower(t), lower(s || '.' || t), lower(d || '.' || t), lower(d || '.' || s || '.' || t))";
    connection.query_row(query, [name], |row| row.get(0)).map_err(|error| error.to_string())
}

/// `PIVOT` without a list of values first runs a query to find them, which is more than one statement.
fn explain_pivot(reason: String, sql: &str) -> String {
    let is_pivot = sql.split(|char: char| !char.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("pivot"));
    if reason == tree::NOT_A_SELECT && is_pivot {
        return "PIVOT needs the values that become columns: PIVOT t ON kind IN ('a', 'b') USING sum(amount)".to_owned();
    }
    reason
}
