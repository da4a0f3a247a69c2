//! Queries whose result may exceed what a page reads.

use std::sync::Arc;

use super::{
    limits::{Notes, Undrawn},
    rows::ResultRows,
};
use crate::{
    humanize,
    reader::{Pin, Query, QueryLimits, QueryResult, ReaderError},
};

/// Which rows of an oversized result are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The first rows of the query.
    First,
    /// The last rows, for results that end with the newest row.
    Last,
}

/// Decreasing numbers of rows, tried in turn if the permitted ones exceed the memory limit.
const FEWER_ROWS: [usize; 3] = [100_000, 10_000, 1_000];

/// Runs a query. If the result is larger than `limits`, reads a part of it and notes the total
/// size.
pub(super) async fn run(
    pin: &Pin,
    sql: &str,
    query: impl Fn(&str) -> Query,
    part: Part,
    notes: &mut Notes,
) -> Result<Arc<QueryResult>, Undrawn> {
    let limits = QueryLimits::for_page();
    match pin.query(query(sql), limits).await {
        Err(ReaderError::TooLarge { .. }) => {}
        outcome => return outcome.map_err(|error| undrawn(&error)),
    }
    let inner = sql.trim_end().trim_end_matches(';');
    let counted = pin
        .query(query(&format!("SELECT count(*) AS total FROM (\n{inner}\n)")), limits)
        .await
        .map_err(|error| undrawn(&error))?;
    let total = ResultRows::new(&counted)
        .each()
        .next()
        .and_then(|row| row.text(0)?.parse::<usize>().ok())
        .unwrap_or_default();
    for rows in FEWER_ROWS {
        let offset = if part == Part::Last { total.saturating_sub(rows) } else { 0 };
        let some = format!("SELECT * FROM (\n{inner}\n) LIMIT {rows} OFFSET {offset}");
        match pin.query(query(&some), limits).await {
            Err(ReaderError::TooLarge { .. }) => {}
            Err(error) => return Err(undrawn(&error)),
            Ok(answer) => {
                let which = if part == Part::Last { "last" } else { "first" };
                notes.texts.push(format!(
                    "The query returns {}; only the {which} {} are read.",
                    humanize::rows(total as u64),
                    humanize::count(answer.rows as u64)
                ));
                notes.unread = total.saturating_sub(answer.rows);
                return Ok(answer);
            }
        }
    }
    Err(Undrawn::by_amount(
        ReaderError::TooLarge { what: "bytes", limit: limits.bytes as u64 }.to_string(),
    ))
}

/// A query that exceeds its time or memory depends on the amount of data; any other failure is an
/// error in the query.
fn undrawn(error: &ReaderError) -> Undrawn {
    let by_amount = match error {
        ReaderError::TimedOut { .. }
        | ReaderError::TooLarge { .. }
        | ReaderError::Busy { .. }
        | ReaderError::OverBudget { .. } => true,
        ReaderError::Engine { message } => message.starts_with("Out of Memory"),
        _ => false,
    };
    Undrawn { reason: error.to_string(), by_amount }
}
