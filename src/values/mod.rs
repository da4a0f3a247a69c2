//! Every DuckDB value as text for people and as JSON for machines; numbers and dates are formatted
//! here for both front ends.
//!
//! ```text
//! let schema = statement.stream_arrow(params)?.get_schema();   // runs the statement; the rows stay in it
//! let fields = values::fields(&schema, &statement);
//! while let Some(rows) = statement.step()? {
//!     let columns = values::columns(&fields, &RecordBatch::from(&rows));
//!     columns[0].text(row)                                     // what CAST(x AS VARCHAR) would print
//! }
//! ```
//!
//! # How types are recognized
//!
//! Arrow alone does not distinguish DuckDB's types. By default HUGEINT and UHUGEINT both arrive as
//! `Decimal128(38, 0)` (the upper half of UHUGEINT as negative numbers), UUID and JSON as text, BIT
//! as bytes, TUPLE as a struct; TIME WITH TIME ZONE arrives as a plain time without its offset.
//! With `arrow_lossless_conversion` ([`LOSSLESS_SETTING`]) all but TUPLE carry their type in the
//! field's metadata, inside nested types too, and no value is lost. The statement's logical types
//! include TUPLE and all others except `TIMESTAMPTZ_NS`, which Arrow includes.
//!
//! So [`fields`] combines both: the logical types of the executed statement, supplemented by the
//! Arrow schema. Unlike `DESCRIBE`, this needs no second query, and it is correct for bound values,
//! whose types are unknown before execution. Readers set [`LOSSLESS_SETTING`] so that TIME WITH
//! TIME ZONE keeps its offset; everything else is correct without it.
//!
//! Arrow never provides:
//! - the members of an ENUM before its values: the type is formatted as `ENUM`;
//! - whether a UNION is NULL or contains a NULL: both read as NULL;
//! - the time part of an INTERVAL beyond 292 years: DuckDB multiplies it into 64 bits of
//!   nanoseconds, which overflow silently;
//! - VARIANT: the crate rejects the statement.
//!
//! A query that needs one of these must cast it to VARCHAR or JSON.
//!
//! # Text
//!
//! Exactly the result of `CAST(x AS VARCHAR)` in DuckDB 2.0 with `TimeZone = 'UTC'`: TIMESTAMP WITH
//! TIME ZONE is always in UTC.
//!
//! # JSON
//!
//! Each value is converted as listed below. [`crate::tables::Forms`] chooses a single type for a
//! column whose values would have several.
//!
//! | DuckDB | JSON |
//! |---|---|
//! | BOOLEAN | `true`, `false` |
//! | integers | number if it fits into a signed 64-bit integer, otherwise text |
//! | DECIMAL | text, with all its decimals |
//! | FLOAT, DOUBLE | number; `"nan"`, `"inf"`, `"-inf"` |
//! | DATE, TIME, TIMESTAMP | ISO 8601: `2026-11-21`, `10:00:00.5`, `2026-11-21T10:00:00`, with `+00:00` for WITH TIME ZONE; years outside 0 to 9999 with sign and six digits; `"infinity"` |
//! | INTERVAL | DuckDB's text: `1 month 2 days 00:00:03` |
//! | BLOB | lower-case hexadecimal, which `unhex()` parses |
//! | VARCHAR, ENUM, UUID, BIT, GEOMETRY (WKT) | text |
//! | JSON | the document itself, with the same rule for its numbers; text if it is not valid |
//! | LIST, ARRAY, TUPLE | array |
//! | STRUCT | object |
//! | MAP | object if the keys are text (VARCHAR, ENUM, UUID); else an array of `{"key": …, "value": …}` |
//! | UNION | `{"tag": value}` |
//! | NULL | `null` |

mod column;
mod currency;
mod duck_type;
mod format;
mod geometry;
mod json;
mod number;
mod scalar;
mod storage;
mod text;
mod time;

use duckdb::{
    Statement,
    arrow::{datatypes::Schema, record_batch::RecordBatch},
};
use serde::Serialize;

pub use column::{Cell, Column};
pub use currency::{Money, SignPosition};
pub use duck_type::DuckType;
pub(crate) use format::format_time_in;
pub use format::{Format, UnknownFormat, format_number, format_time};
pub use scalar::{Positive, Scalar};

/// The setting and value with which DuckDB returns its types without loss:
/// `Config::default().with(name, value)` or `SET GLOBAL`.
pub const LOSSLESS_SETTING: (&str, &str) = ("arrow_lossless_conversion", "true");

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name in the query.
    pub name: String,
    /// DuckDB's type; serialized in DuckDB's notation.
    #[serde(rename = "type")]
    pub data_type: DuckType,
}

/// Returns the columns of an executed statement. `schema` is the one that the execution returned
/// (`ArrowStream::get_schema`).
#[must_use]
pub fn fields(schema: &Schema, statement: &Statement<'_>) -> Vec<Field> {
    let known = statement.column_count();
    let types = schema.fields().iter().enumerate().map(|(index, field)| {
        if index < known {
            DuckType::of_logical(&statement.column_logical_type(index), field)
        } else {
            DuckType::of_arrow(field)
        }
    });
    schema
        .fields()
        .iter()
        .zip(types)
        .map(|(field, data_type)| Field { name: field.name().clone(), data_type })
        .collect()
}

/// Returns the columns of a result of which only the Arrow schema is available. Without
/// [`LOSSLESS_SETTING`], HUGEINT looks like DECIMAL(38,0), UUID like VARCHAR, BIT like BLOB; TUPLE
/// always looks like STRUCT.
#[must_use]
pub fn fields_of(schema: &Schema) -> Vec<Field> {
    schema
        .fields()
        .iter()
        .map(|field| Field { name: field.name().clone(), data_type: DuckType::of_arrow(field) })
        .collect()
}

/// Returns one view per column of a batch. Columns beyond `fields` are omitted.
#[must_use]
pub fn columns<'a>(fields: &[Field], batch: &'a RecordBatch) -> Vec<Column<'a>> {
    fields
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| Column::new(&field.data_type, array.as_ref()))
        .collect()
}

#[cfg(test)]
mod tests;
