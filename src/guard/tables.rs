//! The tables that a statement reads, as named in its text.

use std::{collections::BTreeSet, thread};

use duckdb::Connection;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{STACK_BYTES, tree};

/// Returns the names of the tables that a query reads, in lower case and without their schema; the
/// names of common table expressions are omitted.
///
/// # Errors
/// The reason why it cannot be parsed.
pub fn table_names(connection: &Connection, sql: &str) -> Result<BTreeSet<String>, String> {
    let parsed: String = connection
        .query_row("SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", [sql], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    tree::check_depth(&parsed)?;
    thread::scope(|scope| {
        let found =
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || find(&parsed));
        let found = found.map_err(|error| format!("no thread to read it with: {error}"))?;
        found.join().unwrap_or_else(|_| Err("it could not be read".to_owned()))
    })
}

fn find(json: &str) -> Result<BTreeSet<String>, String> {
    let mut parser = serde_json::Deserializer::from_str(json);
    // The depth has been checked, and this thread's stack is large enough for it.
    parser.disable_recursion_limit();
    let parsed = Value::deserialize(&mut parser).map_err(|error| error.to_string())?;
    if let Some(message) = parsed.get("error_message").and_then(Value::as_str) {
        return Err(message.to_owned());
    }
    let mut names = BTreeSet::new();
    collect(&parsed, &BTreeSet::new(), &mut names);
    Ok(names)
}

/// Collects the tables below `value`; `own` has the visible common table expressions.
fn collect(value: &Value, own: &BTreeSet<String>, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, own, names)),
        Value::Object(object) => collect_object(object, own, names),
        _ => {}
    }
}

fn collect_object(
    object: &Map<String, Value>,
    own: &BTreeSet<String>,
    names: &mut BTreeSet<String>,
) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut own = own.clone();
    // A common table expression is visible in the queries after it, and in its own only if it is
    // recursive.
    let ctes = object.get("cte_map").and_then(|map| map.get("map")).and_then(Value::as_array);
    for cte in ctes.into_iter().flatten() {
        collect(cte, &own, names);
        own.extend(cte.get("key").and_then(Value::as_str).map(str::to_lowercase));
    }
    if text("type") == "RECURSIVE_CTE_NODE" {
        own.insert(text("cte_name").to_lowercase());
    }
    let name = text("table_name").to_lowercase();
    if !name.is_empty()
        && (!text("schema_name").is_empty() || !own.contains(&name))
        && matches!(text("type"), "BASE_TABLE" | "SHOW_REF")
    {
        names.insert(name);
    }
    object
        .iter()
        .filter(|(key, _)| *key != "cte_map")
        .for_each(|(_, value)| collect(value, &own, names));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use duckdb::Config;

    use super::*;

    #[test]
    fn every_table_that_a_query_reads_is_found_wherever_it_stands() {
        let connection = Connection::open_in_memory_with_flags(
            Config::default().enable_autoload_extension(false).unwrap(),
        )
        .unwrap();
        for (sql, expected) in [
            ("SELECT a FROM Prices WHERE a > $least", "prices"),
            (
                "WITH prices AS (SELECT * FROM prices), b AS (SELECT * FROM prices JOIN s.y USING (z)) SELECT * FROM b WHERE a IN (SELECT q FROM t)",
                "prices t y",
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN t ON true) SELECT * FROM r",
                "t",
            ),
            ("WITH a AS (SELECT 1) SELECT * FROM a, main.a", "a"),
            ("SUMMARIZE prices", "prices"),
            ("FROM (PIVOT prices ON a IN (1) USING sum(b)) UNION ALL FROM other", "other prices"),
            (
                "SELECT (SELECT max(x) FROM one) + count(*) FILTER (WHERE EXISTS (FROM two)) FROM three",
                "one three two",
            ),
            ("SELECT 1", ""),
        ] {
            let found: Vec<_> = table_names(&connection, sql).unwrap().into_iter().collect();
            assert_eq!(found.join(" "), expected, "{sql}");
        }
        assert!(table_names(&connection, "SELECT FROM WHERE").is_err());
    }
}
