//! A digest of what a table holds: by it two copies are known to be equal where nothing about how they are stored tells.
//!
//! It depends on every value, on which row and column holds it, and on the order of the rows: two sums over all rows, each of a hash of the row's
//! values and its number, the second with the columns in reverse. DuckDB's hash takes for equal what SQL takes for equal; where values that are
//! equal in SQL can be told apart (`0.0` and `-0.0`, an interval of a month and one of 30 days), what tells them apart is hashed as well.

use super::{ExportError, Job, Manifest, TablePlan, engine::Engine, plan::Column, stage::Staged, work::Work};
use crate::sql;

/// Types whose values are equal in SQL only if they are the same in every respect.
const EXACT: [&str; 23] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "VARCHAR",
    "BLOB",
    "DATE",
    "TIME",
    "TIME_NS",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
    "UUID",
    "JSON",
];

/// Returns the content digests of a staged file's tables, in the plan's order: a table that was taken over from the served generation has the one
/// that is recorded there. `None` stands for a table of a type that DuckDB cannot hash.
///
/// # Errors
/// The staged file cannot be opened, or somebody asks to stop.
pub(super) fn of_staged(
    staged: &Staged,
    tables: &[TablePlan],
    (schema, served): (&str, Option<&Manifest>),
    job: &Job,
    work: &Work,
) -> Result<Vec<Option<String>>, ExportError> {
    let recorded = |table: &TablePlan| served.and_then(|served| served.table(&table.name)?.content.clone());
    let known: Vec<_> = tables.iter().zip(&staged.tables).map(|(table, copy)| recorded(table).filter(|_| copy.treatment.reused)).collect();
    if known.iter().all(Option::is_some) {
        return Ok(known);
    }
    let engine = Engine::alone(&staged.path, &job.limits, &work.spill(), &job.cancel)?;
    let of = |(table, known): (&TablePlan, Option<String>)| match known {
        Some(known) => Ok(Some(known)),
        None => digest(&engine, &sql::path(&[schema, &table.name]), &table.columns),
    };
    tables.iter().zip(known).map(of).collect()
}

/// Returns the digest of one table, or `None` where it has a type that cannot be hashed.
///
/// # Errors
/// [`ExportError::Interrupted`] if somebody asks to stop.
pub(super) fn digest(engine: &Engine, table: &str, columns: &[Column]) -> Result<Option<String>, ExportError> {
    // What tells their values apart is not in their text, and in no hash.
    if columns
        .iter()
        .any(|column| column.data_type.contains("VARIANT") || column.data_type.get(1..).is_some_and(|kind| kind.contains("UNION(")))
    {
        return Ok(None);
    }
    match engine.texts(&query(table, columns), &[]) {
        Ok(mut digests) => Ok(digests.pop()),
        Err(ExportError::Engine { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn query(table: &str, columns: &[Column]) -> String {
    let terms: Vec<_> = columns.iter().map(term).collect();
    let reversed: Vec<_> = terms.iter().rev().cloned().collect();
    // A column of that name hides the row's own number.
    let is_hidden = columns.iter().any(|column| column.name.eq_ignore_ascii_case("rowid"));
    let (number, numbered) = if is_hidden {
        ("\"materia: row number\"", format!("(SELECT *, row_number() OVER () AS \"materia: row number\" FROM {table})"))
    } else {
        ("rowid", table.to_owned())
    };
    format!(
        "SELECT concat_ws('-', count(*), coalesce(sum(hash(hash({}, {number}))), 0), coalesce(sum(hash(hash({number}, {}))), 0)) FROM {numbered}",
        terms.join(", "),
        reversed.join(", ")
    )
}

/// What is hashed of one column.
fn term(column: &Column) -> String {
    let name = sql::ident(&column.name);
    let kind = column.data_type.trim();
    if EXACT.contains(&kind) || (kind.starts_with("DECIMAL(") && kind.ends_with(')')) {
        name
    } else if matches!(kind, "FLOAT" | "DOUBLE") {
        format!("{name}, signbit({name})")
    } else if kind.starts_with("UNION(") {
        format!("{name}, {name}::VARCHAR, union_tag({name})")
    } else {
        // DuckDB hashes [NULL], [] and NULL alike; their texts differ.
        format!("{name}, {name}::VARCHAR")
    }
}
