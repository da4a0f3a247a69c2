//! CSV by RFC 4180: lines end with CR LF, fields are quoted only where necessary.
//!
//! Null is an empty field and an empty text is `""`, a distinction that CSV libraries cannot write.

use duckdb::arrow::record_batch::RecordBatch;

use super::{DownloadError, lines::LineFormat};
use crate::values::{self, DuckType, Field};

/// Lets Excel recognize UTF-8; other programs would read it as part of the first column's name.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The CSV format, optionally for spreadsheets: with a byte order mark and escaped formulas.
pub(super) struct Csv {
    pub(super) safe: bool,
}

impl LineFormat for Csv {
    fn head(&self, fields: &[Field], text: &mut Vec<u8>) {
        let mut line = String::new();
        line.extend(self.safe.then_some(BYTE_ORDER_MARK));
        for (at, column) in fields.iter().enumerate() {
            line.push_str(if at == 0 { "" } else { "," });
            field(&column.name, true, self.safe, &mut line);
        }
        line.push_str("\r\n");
        text.extend_from_slice(line.as_bytes());
    }

    fn lines(
        &self,
        fields: &[Field],
        batch: &RecordBatch,
        text: &mut Vec<u8>,
    ) -> Result<(), DownloadError> {
        let columns = values::columns(fields, batch);
        let plain: Vec<_> = fields.iter().map(|field| is_plain(&field.data_type)).collect();
        let (mut lines, mut cell) =
            (String::with_capacity(batch.num_rows() * columns.len() * 8), String::new());
        for row in 0..batch.num_rows() {
            for (at, (column, plain)) in columns.iter().zip(&plain).enumerate() {
                if at > 0 {
                    lines.push(',');
                }
                if *plain {
                    let start = lines.len();
                    column.write_text(row, &mut lines);
                    // Spreadsheets do not read minus infinity as a number.
                    if self.safe && lines[start..].starts_with("-inf") {
                        lines.insert(start, '\'');
                    }
                    continue;
                }
                cell.clear();
                let some = column.write_text(row, &mut cell);
                field(&cell, some, self.safe, &mut lines);
            }
            // Most CSV parsers do not treat an empty line as a row.
            if columns.len() == 1 && columns.iter().all(|column| column.is_null(row)) {
                lines.push_str("\"\"");
            }
            lines.push_str("\r\n");
        }
        text.extend_from_slice(lines.as_bytes());
        Ok(())
    }
}

/// Returns whether values of the type never need quotes.
fn is_plain(data_type: &DuckType) -> bool {
    data_type.is_numeric()
        || data_type.is_temporal()
        || matches!(
            data_type,
            DuckType::Boolean
                | DuckType::Uuid
                | DuckType::Time
                | DuckType::TimeNs
                | DuckType::TimeTz
                | DuckType::Bit
        )
}

fn field(value: &str, some: bool, safe: bool, text: &mut String) {
    let formula = safe && is_formula(value);
    let quotes = some
        && (value.is_empty()
            || value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'))
            || has_edge_spaces(value));
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

/// Returns whether a spreadsheet could read a text as a formula: it begins with a formula
/// character, including full-width forms, after nothing but spaces, control characters and
/// invisible characters; or with a tab or line break, which some spreadsheets strip.
fn is_formula(value: &str) -> bool {
    let unseen = |char: char| {
        char.is_whitespace()
            || char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
    };
    value.starts_with(['\t', '\r', '\n'])
        || value
            .trim_start_matches(unseen)
            .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

/// Returns whether a text begins or ends with spaces, which some parsers strip from unquoted
/// fields.
fn has_edge_spaces(value: &str) -> bool {
    value.starts_with([' ', '\t']) || value.ends_with([' ', '\t'])
}
