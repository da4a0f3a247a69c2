//! Every DuckDB value as text for people and as JSON for machines; numbers and dates are formatted here for both fronts.
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
//! # How types are recognised
//!
//! Arrow alone does not tell DuckDB's types apart. By default HUGEINT and UHUGEINT both arrive as `Decimal128(38, 0)` (the upper half of
//! UHUGEINT as negative numbers), UUID and JSON as text, BIT as bytes, TUPLE as a struct; TIME WITH TIME ZONE arrives as a plain time and its
//! offset is gone. With `arrow_lossless_conversion` ([`LOSSLESS`]) all but TUPLE carry their type in the field's metadata, inside nested
//! types too, and no value is lost. The statement's logical types know TUPLE and the rest, but not `TIMESTAMPTZ_NS`, which Arrow knows.
//!
//! So [`fields`] asks both: the logical types of the executed statement, and the Arrow schema where they are silent. It costs no
//! second query, unlike `DESCRIBE`, and is right with bound values, whose types are unknown before the run. Readers set [`LOSSLESS`] so that
//! TIME WITH TIME ZONE keeps its offset; everything else is right without it.
//!
//! What Arrow does not bring in any case:
//! - the members of an ENUM before its values: the type is spelled `ENUM`;
//! - whether a UNION is NULL or holds a NULL: both read as NULL;
//! - the time part of an INTERVAL beyond 292 years: DuckDB multiplies it into 64 bits of nanoseconds, which wrap around unnoticed;
//! - VARIANT: the crate refuses the statement.
//!
//! A query that needs one of these casts it to VARCHAR or JSON itself.
//!
//! # Text
//!
//! Exactly `CAST(x AS VARCHAR)` of DuckDB 2.0 with `TimeZone = 'UTC'`: TIMESTAMP WITH TIME ZONE is always shown in UTC.
//!
//! # JSON
//!
//! | DuckDB | JSON |
//! |---|---|
//! | BOOLEAN | `true`, `false` |
//! | integers | number up to ±(2^53 − 1), the largest that JavaScript keeps; text beyond |
//! | DECIMAL | text, with all its decimals |
//! | FLOAT, DOUBLE | number; `"nan"`, `"inf"`, `"-inf"` |
//! | DATE, TIME, TIMESTAMP | ISO 8601: `2026-11-21`, `10:00:00.5`, `2026-11-21T10:00:00`, with `+00:00` for WITH TIME ZONE; years outside 0 to 9999 with sign and six digits; `"infinity"` |
//! | INTERVAL | DuckDB's text: `1 month 2 days 00:00:03` |
//! | BLOB | lower-case hexadecimal, which `unhex()` reads back |
//! | VARCHAR, ENUM, UUID, BIT, GEOMETRY (WKT) | text |
//! | JSON | the document itself, with the same rule for its numbers; text when it is not valid |
//! | LIST, ARRAY, TUPLE | array |
//! | STRUCT | object |
//! | MAP | object when the keys are text (VARCHAR, ENUM, UUID); else an array of `{"key": …, "value": …}` |
//! | UNION | `{"tag": value}` |
//! | NULL | `null` |

mod column;
mod duck_type;
mod format;
mod geometry;
mod json;
mod number;
mod storage;
mod text;
mod time;

use duckdb::{
    Statement,
    arrow::{datatypes::Schema, record_batch::RecordBatch},
};
use serde::Serialize;

pub use column::{Cell, Column};
pub use duck_type::DuckType;
pub use format::{Format, UnknownFormat, human, human_time};

/// The setting, and its value, with which DuckDB hands over its types whole: `Config::default().with(name, value)` or `SET GLOBAL`.
pub const LOSSLESS: (&str, &str) = ("arrow_lossless_conversion", "true");

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name, as the query gave it.
    pub name: String,
    /// DuckDB's type; serialised in DuckDB's spelling.
    #[serde(rename = "type")]
    pub data_type: DuckType,
}

/// The columns of the answer to an executed statement. `schema` is what the run returned (`ArrowStream::get_schema`).
#[must_use]
pub fn fields(schema: &Schema, statement: &Statement<'_>) -> Vec<Field> {
    let known = statement.column_count();
    let types = schema.fields().iter().enumerate().map(|(index, field)| {
        if index < known { DuckType::of_logical(&statement.column_logical_type(index), field) } else { DuckType::of_arrow(field) }
    });
    schema.fields().iter().zip(types).map(|(field, data_type)| Field { name: field.name().clone(), data_type }).collect()
}

/// The columns of an answer of which only the Arrow schema is at hand. Without [`LOSSLESS`], HUGEINT looks like DECIMAL(38,0), UUID like
/// VARCHAR, BIT like BLOB; TUPLE always looks like STRUCT.
#[must_use]
pub fn fields_of(schema: &Schema) -> Vec<Field> {
    schema.fields().iter().map(|field| Field { name: field.name().clone(), data_type: DuckType::of_arrow(field) }).collect()
}

/// One view per column of a batch. Columns beyond `fields` are left out.
#[must_use]
pub fn columns<'a>(fields: &[Field], batch: &'a RecordBatch) -> Vec<Column<'a>> {
    fields.iter().zip(batch.columns()).map(|(field, array)| Column::new(&field.data_type, array.as_ref())).collect()
}

#[cfg(test)]
mod tests;
