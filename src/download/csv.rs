//! CSV by RFC 4180: lines end with CR LF, fields are quoted where they must be.
//!
//! Null is an empty field and an empty text is `""`, which libraries for CSV cannot tell apart when they write.

use duckdb::arrow::record_batch::RecordBatch;

use super::{DownloadError, lines::Lines};
use crate::values::{self, DuckType, Field};

/// CSV, perhaps with formulas made harmless.
pub(super) struct Csv {
    pub(super) safe: bool,
}

impl Lines for Csv {
    fn head(&self, fields: &[Field], text: &mut Vec<u8>) {
        let mut line = String::new();
        for (at, column) in fields.iter().enumerate() {
            line.push_str(if at == 0 { "" } else { "," });
            field(&column.name, true, self.safe, &mut line);
        }
        line.push_str("\r\n");
        text.extend_from_slice(line.as_bytes());
    }

    fn lines(&self, fields: &[Field], batch: &RecordBatch, text: &mut Vec<u8>) -> Result<(), DownloadError> {
        let columns = values::columns(fields, batch);
        let plain: Vec<_> = fields.iter().map(|field| is_plain(&field.data_type)).collect();
        let (mut lines, mut cell) = (String::with_capacity(batch.num_rows() * columns.len() * 8), String::new());
        for row in 0..batch.num_rows() {
            for (at, (column, plain)) in columns.iter().zip(&plain).enumerate() {
                if at > 0 {
                    lines.push(',');
                }
                if *plain {
                    column.write_text(row, &mut lines);
                    continue;
                }
                cell.clear();
                let some = column.write_text(row, &mut cell);
                field(&cell, some, self.safe, &mut lines);
            }
            // A line with nothing on it is no row to most who read CSV.
            if columns.len() == 1 && columns.iter().all(|column| column.is_null(row)) {
                lines.push_str("\"\"");
            }
            lines.push_str("\r\n");
        }
        text.extend_from_slice(lines.as_bytes());
        Ok(())
    }
}

/// Types whose text never needs quotes.
fn is_plain(data_type: &DuckType) -> bool {
    data_type.is_numeric()
        || data_type.is_temporal()
        || matches!(data_type, DuckType::Boolean | DuckType::Uuid | DuckType::Time | DuckType::TimeNs | DuckType::TimeTz | DuckType::Bit)
}

fn field(value: &str, some: bool, safe: bool, text: &mut String) {
    let formula = safe && value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quotes = some && (value.is_empty() || value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) || edge(value));
    if !quotes {
        text.push_str(if formula { "'" } else { "" });
        text.push_str(value);
        return;
    }
    text.push('"');
    text.push_str(if formula { "'" } else { "" });
    for (at, part) in value.split('"').enumerate() {
        text.push_str(if at == 0 { "" } else { "\"\"" });
        text.push_str(part);
    }
    text.push('"');
}

/// Spaces at the edges, which some take away from fields without quotes.
fn edge(value: &str) -> bool {
    value.starts_with([' ', '\t']) || value.ends_with([' ', '\t'])
}
