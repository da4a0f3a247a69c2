//! Queries whose result may have grown beyond what a page reads.

use std::sync::Arc;

use super::{
    limits::{Notes, Undrawn},
    rows::Rows,
};
use crate::{
    reader::{Answer, Limits, Pin, Query, ReaderError},
    words,
};

/// Which rows of a result that is too large are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The first ones of the query.
    First,
    /// The last ones: what ends with the newest row is most useful there.
    Last,
}

/// Fewer and fewer rows, where those that were allowed take too much memory.
const FEWER_ROWS: [usize; 3] = [100_000, 10_000, 1_000];

/// Runs a query; of a result that is larger than `limits` reads a part, and notes how large it is.
pub(super) async fn run(
    pin: &Pin,
    sql: &str,
    query: impl Fn(&str) -> Query,
    part: Part,
    notes: &mut Notes,
) -> Result<Arc<Answer>, Undrawn> {
    let limits = Limits::page();
    match pin.ask(query(sql), limits).await {
        Err(ReaderError::TooLarge { .. }) => {}
        outcome => return outcome.map_err(|error| undrawn(&error)),
    }
    let inner = sql.trim_end().trim_end_matches(';');
    let counted = pin.ask(query(&format!("SELECT count(*) AS total FROM (\n{inner}\n)")), limits).await.map_err(|error| undrawn(&error))?;
    let total = Rows::of(&counted).each().next().and_then(|row| row.text(0)?.parse::<usize>().ok()).unwrap_or_default();
    for rows in FEWER_ROWS {
        let offset = if part == Part::Last { total.saturating_sub(rows) } else { 0 };
        let some = format!("SELECT * FROM (\n{inner}\n) LIMIT {rows} OFFSET {offset}");
        match pin.ask(query(&some), limits).await {
            Err(ReaderError::TooLarge { .. }) => {}
            Err(error) => return Err(undrawn(&error)),
            Ok(answer) => {
                let which = if part == Part::Last { "last" } else { "first" };
                notes.texts.push(format!(
                    "The query returns {}; only the {which} {} are read.",
                    words::rows(total as u64),
                    words::count(answer.rows as u64)
                ));
                notes.unread = total.saturating_sub(answer.rows);
                return Ok(answer);
            }
        }
    }
    Err(Undrawn::by_amount(ReaderError::TooLarge { what: "bytes", limit: limits.bytes as u64 }.to_string()))
}

/// A query that takes too long or too much depends on how much data there is; any other failure is a mistake in it.
fn undrawn(error: &ReaderError) -> Undrawn {
    let by_amount = match error {
        ReaderError::TimedOut { .. } | ReaderError::TooLarge { .. } | ReaderError::Busy { .. } => true,
        ReaderError::Engine { message } => message.starts_with("Out of Memory"),
        _ => false,
    };
    Undrawn { reason: error.to_string(), by_amount }
}
