//! Only questions get through: one statement, and it must be a `SELECT`.
//!
//! The engine cannot be talked into touching another file (see [`super::instance`]). What is left to keep out is what would disturb
//! other askers on the same instance: `DETACH`, open transactions, tables in memory.

use std::sync::Arc;

use duckdb::Connection;
use quick_cache::sync::Cache;

use super::ReaderError;

/// Texts that have passed.
pub(super) type Checked = Cache<Arc<str>, ()>;

/// Functions that act where a `SELECT` should only read: they change settings of the whole instance (1.5 lets them, however locked it is, and then
/// answers nobody any more), or run a text that nobody has looked at.
const ACTING: [&str; 5] = ["disable_logging", "enable_logging", "json_execute_serialized_sql", "query", "truncate_duckdb_logs"];

/// Functions that tell with which credentials a lake's storage is reached.
const TELLING: [&str; 2] = ["duckdb_secrets", "which_secret"];

/// Lets a text pass that is one `SELECT`, or an `EXPLAIN` of one.
pub(super) fn check(connection: &Connection, sql: &Arc<str>, checked: &Checked) -> Result<(), ReaderError> {
    if checked.get(sql).is_some() {
        return Ok(());
    }
    // DuckDB's own parser decides: it turns only `SELECT` statements into JSON, and reports anything else.
    let query = "
        WITH parsed AS (SELECT json_serialize_sql($1::VARCHAR)::VARCHAR AS statement)
        SELECT
            statement ->> '$.error_message',
            json_array_length(statement, '$.statements')::INTEGER,
            list_filter(json_extract_string(statement, '$..function_name'), lambda name: list_contains(string_split($2, ' '), lower(name)))[1]
        FROM parsed";
    let (problem, statements, acting): (Option<String>, Option<i32>, Option<String>) = connection
        .query_row(query, [explained(sql), &[&ACTING[..], &TELLING[..]].concat().join(" ")], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(|error| ReaderError::engine(&error))?;
    let reason = match (problem, statements) {
        (None, Some(1)) if acting.as_deref().is_some_and(|name| TELLING.contains(&name.to_lowercase().as_str())) => {
            format!("{}() is not for questions", acting.unwrap_or_default())
        }
        (None, Some(1)) if acting.is_some() => format!("{}() does more than answer; questions may not use it", acting.unwrap_or_default()),
        (None, Some(1)) => {
            checked.insert(sql.clone(), ());
            return Ok(());
        }
        (None, Some(0) | None) => "there is no statement".to_owned(),
        (None, Some(count)) => format!("one statement at a time, not {count}"),
        (Some(problem), _) if problem.contains("Only SELECT") => "only SELECT statements are answered; the data is read-only".to_owned(),
        (Some(problem), _) => problem,
    };
    Err(ReaderError::Refused { reason })
}

/// The statement that an `EXPLAIN` is about, or the text itself.
fn explained(sql: &str) -> &str {
    let rest = |text: &'_ str, word: &str| {
        let text = text.trim_start();
        let (start, rest) = text.split_at_checked(word.len())?;
        (start.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then_some(text.len() - rest.len())
    };
    let Some(after) = rest(sql, "explain") else { return sql };
    let sql = &sql.trim_start()[after..];
    match rest(sql, "analyze") {
        Some(after) => &sql.trim_start()[after..],
        None => sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explain_is_judged_by_what_it_explains() {
        assert_eq!(explained("  EXPLAIN ANALYZE SELECT 1").trim(), "SELECT 1");
        assert_eq!(explained("explain drop table x").trim(), "drop table x");
        assert_eq!(explained("explainer").trim(), "explainer");
        assert_eq!(explained("ex"), "ex");
    }
}
