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

/// Lets a text pass that is one `SELECT`, or an `EXPLAIN` of one.
pub(super) fn check(connection: &Connection, sql: &Arc<str>, checked: &Checked) -> Result<(), ReaderError> {
    if checked.get(sql).is_some() {
        return Ok(());
    }
    // DuckDB's own parser decides: it turns only `SELECT` statements into JSON, and reports anything else.
    let query = "
        WITH parsed AS (SELECT json_serialize_sql($1::VARCHAR)::VARCHAR AS statement)
        SELECT statement ->> '$.error_message', json_array_length(statement, '$.statements')::INTEGER FROM parsed";
    let (problem, statements): (Option<String>, Option<i32>) =
        connection.query_row(query, [explained(sql)], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| ReaderError::engine(&error))?;
    let reason = match (problem, statements) {
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
