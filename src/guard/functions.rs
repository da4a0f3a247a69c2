//! The table of all functions of the supported engines.

use std::{collections::HashMap, sync::LazyLock};

/// One line per function; the file's header explains the verdicts.
const TABLE: &str = include_str!("functions.txt");

/// The syntactic position of a function call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CallKind {
    Scalar,
    Table,
}

/// Whether a function is allowed, or why it is refused.
type FunctionEntry = Result<(), &'static str>;

static FUNCTIONS: LazyLock<HashMap<(CallKind, &'static str), FunctionEntry>> =
    LazyLock::new(|| {
        let line = |line: &'static str| {
            let mut parts = line.splitn(3, ' ');
            let (verdict, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
            let kind = if kind == "table" { CallKind::Table } else { CallKind::Scalar };
            let verdict = match verdict {
                "allowed" => Ok(()),
                "acts" => Err("it does more than read"),
                "runs-sql" => Err("it runs SQL, or names a table, that is given as text"),
                "reads-files" => Err("it reads files"),
                "tells" => Err("it reveals the server, not the data"),
                _ => Err("it is internal to the engine"),
            };
            Some(((kind, name), verdict))
        };
        TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
    });

/// Checks one call by its name in lower case.
///
/// # Errors
/// The reason why it is refused.
pub(super) fn check(kind: CallKind, name: &str) -> Result<(), String> {
    match FUNCTIONS.get(&(kind, name)) {
        Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(format!("{name}() is refused: {why}")),
        None => Err(format!("{name}() is not a function that can be used here")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use duckdb::Connection;

    use super::*;

    #[test]
    fn every_function_of_the_engine_stands_in_the_table() {
        let connection = Connection::open_in_memory().unwrap();
        let query = "SELECT DISTINCT function_type, lower(function_name) FROM duckdb_functions() WHERE function_type <> 'pragma' ORDER BY ALL";
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .unwrap();
        let missing: Vec<_> = rows
            .map(Result::unwrap)
            .filter(|(kind, name)| {
                let kind =
                    if kind.starts_with("table") { CallKind::Table } else { CallKind::Scalar };
                !FUNCTIONS.contains_key(&(kind, name.as_str()))
            })
            .collect();
        assert!(missing.is_empty(), "decide about these in functions.txt: {missing:?}");
        assert!(FUNCTIONS.len() > 1000, "the table was not read");
    }
}
