//! Writes complete results as files: CSV, JSON Lines, Parquet, Arrow and Excel, written batch by
//! batch with the memory of a few batches.
//!
//! | DuckDB | CSV | JSON Lines | Parquet, Arrow | Excel |
//! |---|---|---|---|---|
//! | BOOLEAN | `true`, `false` | truth value | boolean | truth value |
//! | integers up to 32 bits | digits | number | the same type | number |
//! | BIGINT | digits | number | the same type | number* |
//! | UBIGINT | digits | number* | the same type | number* |
//! | HUGEINT, UHUGEINT | digits | number* | `DECIMAL(38,0)`* | number* |
//! | BIGNUM | digits | number* | text | number* |
//! | DECIMAL | all its decimals | text | decimal | number* |
//! | FLOAT, DOUBLE | digits, `nan`, `inf` | number* | the same type | number* |
//! | DATE, TIMESTAMP | DuckDB's text | ISO 8601 | date, timestamp (seconds as milliseconds)* | date, to the millisecond* |
//! | TIMESTAMP WITH TIME ZONE | in UTC, with `+00` | in UTC, with `+00:00` | timestamp in UTC* | date in UTC* |
//! | ENUM | text | text | dictionary in the declared order; text inside nested types | text |
//! | TIME | text | text | time* | text |
//! | UUID, BIT, INTERVAL, UNION, TUPLE, GEOMETRY, `TIME_NS`, TIME WITH TIME ZONE, `TIMESTAMPTZ_NS`, VARIANT | text | text; UNION `{"tag": value}`, TUPLE an array | text | text |
//! | LIST, ARRAY, STRUCT, MAP | DuckDB's text | array, object | nested; text where a member is | text |
//! | BLOB | DuckDB's text (`\xFF`) | hexadecimal | bytes | DuckDB's text |
//! | infinite DATE, TIMESTAMP | `infinity`, `-infinity` | the same | the same, the whole column as text | the same, the whole column as text |
//! | NULL | nothing; an empty text is `""` | `null` | null | nothing |
//!
//! \* The whole column is text if any value of the table does not fit; [`crate::tables::Forms`]
//! defines what fits, and the SQL with which downloads select the columns.

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
pub use format::DownloadFormat;

use crate::values::{self, Field};

/// Options of a written file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DownloadOptions {
    /// The columns: their names, and their types in DuckDB's notation. If empty, they are derived
    /// from the Arrow schema.
    pub columns: Vec<Field>,
    /// Whether CSV is written for spreadsheets: with a byte order mark, and with `'` before texts
    /// that a spreadsheet would evaluate as formulas. The file then differs from the data.
    pub escape_formulas: bool,
}

/// The source of the rows: returns the next batch, and `None` after the last one. The first batch
/// may be empty; it defines the columns.
pub type Batches<'a> = dyn FnMut() -> Option<Result<RecordBatch, DownloadError>> + 'a;

/// Writes all batches as one file; returns the number of rows.
///
/// # Errors
/// The errors of `batches` and of writing. The file is incomplete after an error.
pub fn write(
    format: DownloadFormat,
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
    out: impl Write + Send,
) -> Result<u64, DownloadError> {
    match format {
        DownloadFormat::Csv => {
            lines::write(&csv::Csv { safe: options.escape_formulas }, options, batches, out)
        }
        DownloadFormat::JsonLines => lines::write(&json_lines::JsonLines, options, batches, out),
        DownloadFormat::Parquet => columnar::parquet(options, batches, out),
        DownloadFormat::Arrow => columnar::arrow(options, batches, out),
        DownloadFormat::Excel => excel::write(options, batches, out),
    }
}

/// Returns the columns of a batch.
fn fields(options: &DownloadOptions, batch: &RecordBatch) -> Vec<Field> {
    if options.columns.len() == batch.num_columns() {
        options.columns.clone()
    } else {
        values::fields_of(&batch.schema())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
