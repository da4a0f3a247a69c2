//! CSV by RFC 4180: lines end with CR LF, fields are quoted where they must be.
//!
//! Null is an empty field and an empty text is `""`, which libraries for CSV cannot tell apart when they write.

use std::io::Write;

use super::{Batches, DownloadError, Options};
use crate::values::{self, DuckType, Field};

/// Written at once, in bytes.
const AT_ONCE: usize = 64 << 10;

pub(super) fn write(options: &Options, batches: &mut Batches<'_>, mut out: impl Write) -> Result<u64, DownloadError> {
    let (mut fields, mut rows, mut text) = (None::<Vec<Field>>, 0, String::with_capacity(2 * AT_ONCE));
    let mut cell = String::new();
    while let Some(batch) = batches() {
        let batch = batch?;
        let fields = fields.get_or_insert_with(|| {
            let fields = super::fields(options, &batch);
            for (at, column) in fields.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                field(&column.name, true, options.safe_for_spreadsheets, &mut text);
            }
            text.push_str(
                "
",
            );
            fields
        });
        let columns = values::columns(fields, &batch);
        let plain: Vec<_> = fields.iter().map(|field| is_plain(&field.data_type)).collect();
        for row in 0..batch.num_rows() {
            for (at, (column, plain)) in columns.iter().zip(&plain).enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                if *plain {
                    column.write_text(row, &mut text);
                    continue;
                }
                cell.clear();
                let some = column.write_text(row, &mut cell);
                field(&cell, some, options.safe_for_spreadsheets, &mut text);
            }
            // A line with nothing on it is no row to most who read CSV.
            if columns.len() == 1 && columns.iter().all(|column| column.is_null(row)) {
                text.push_str("\"\"");
            }
            text.push_str("\r\n");
            if text.len() >= AT_ONCE {
                out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        rows += batch.num_rows() as u64;
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(rows)
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
