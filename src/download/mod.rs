//! Whole answers as files: CSV, JSON Lines, Parquet, Arrow and Excel, written batch by batch with the memory of a few batches.
//!
//! | DuckDB | CSV | JSON Lines | Parquet, Arrow | Excel |
//! |---|---|---|---|---|
//! | BOOLEAN | `true`, `false` | truth value | boolean | truth value |
//! | integers up to 64 bits | digits | as [`crate::values`] says | the same type | number; text beyond 2^53 |
//! | HUGEINT, UHUGEINT, BIGNUM | digits | as [`crate::values`] says | text | number; text beyond 2^53 |
//! | DECIMAL | all its decimals | text | decimal | number; text beyond 15 digits |
//! | FLOAT, DOUBLE | digits, `nan`, `inf` | number, `"nan"`, `"inf"` | the same type | number; text where not finite |
//! | DATE, TIMESTAMP | DuckDB's text | ISO 8601 | date, timestamp (seconds as milliseconds) | date, from 1900 on |
//! | TIMESTAMP WITH TIME ZONE | in UTC, with `+00` | in UTC, with `+00:00` | timestamp in UTC | date in UTC |
//! | ENUM | text | text | dictionary | text |
//! | TIME | text | text | time | text |
//! | UUID, BIT, INTERVAL, UNION, TUPLE, GEOMETRY, TIME_NS, TIME WITH TIME ZONE, TIMESTAMPTZ_NS, VARIANT | text | text; UNION `{"tag": value}`, TUPLE an array | text | text |
//! | LIST, ARRAY, STRUCT, MAP | DuckDB's text | array, object | nested; text where a member is | text |
//! | BLOB | DuckDB's text (`\xFF`) | hexadecimal | bytes | DuckDB's text |
//! | NULL | nothing; an empty text is `""` | `null` | null | nothing |

mod columnar;
mod csv;
mod error;
mod excel;
mod format;
mod json_lines;
mod lines;

use std::io::Write;

use duckdb::arrow::record_batch::RecordBatch;

pub use error::DownloadError;
pub use format::Format;

use crate::values::{self, Field};

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The columns: what they are called, and their types as DuckDB has them; as Arrow tells them where this is empty.
    pub columns: Vec<Field>,
    /// In CSV, puts `'` before texts that a spreadsheet would take for formulas. The file then differs from the data.
    pub safe_for_spreadsheets: bool,
}

/// Where the rows come from: the next batch, `None` after the last one. The first may be empty, and tells the columns.
pub type Batches<'a> = dyn FnMut() -> Option<Result<RecordBatch, DownloadError>> + 'a;

/// Writes all batches as one file, and tells how many rows it has.
///
/// # Errors
/// Whatever `batches` gives as an error, and what goes wrong in writing; what has been written by then is no whole file.
pub fn write(format: Format, options: &Options, batches: &mut Batches<'_>, out: impl Write + Send) -> Result<u64, DownloadError> {
    match format {
        Format::Csv => lines::write(&csv::Csv { safe: options.safe_for_spreadsheets }, options, batches, out),
        Format::JsonLines => lines::write(&json_lines::JsonLines, options, batches, out),
        Format::Parquet => columnar::parquet(options, batches, out),
        Format::Arrow => columnar::arrow(options, batches, out),
        Format::Excel => excel::write(options, batches, out),
    }
}

/// Whether other programs than DuckDB know no such type, so that it is fetched as text for Parquet and Arrow. Takes DuckDB's spelling.
#[must_use]
pub fn is_text_elsewhere(data_type: &str) -> bool {
    const UNKNOWN: [&str; 11] = [
        "HUGEINT",
        "BIGNUM",
        "BIT",
        "INTERVAL",
        "UNION(",
        "TIME WITH TIME ZONE",
        "GEOMETRY",
        "TIME_NS",
        "UUID",
        "TIMESTAMPTZ_NS",
        "TUPLE(",
    ];
    // A struct without fields has no place in Parquet.
    let empty_struct = data_type.replace("STRUCT(", "").contains("STRUCT");
    // The zoned timestamp ends as the zoned time does, and is known everywhere.
    let data_type = data_type.replace("TIMESTAMP WITH TIME ZONE", "");
    empty_struct || UNKNOWN.iter().any(|word| data_type.contains(word))
}

/// The columns of a batch.
fn fields(options: &Options, batch: &RecordBatch) -> Vec<Field> {
    if options.columns.len() == batch.num_columns() { options.columns.clone() } else { values::fields_of(&batch.schema()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
