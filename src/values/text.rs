//! Formats values as text, exactly as DuckDB's cast to VARCHAR does.

use std::fmt::Write;

use duckdb::arrow::util::display::array_value_to_string;

use super::{
    column::{CellArray, Column, member},
    geometry, number, time,
};

impl Column<'_> {
    /// Appends the text of a value that is not NULL.
    pub(super) fn write(&self, row: usize, out: &mut String) {
        match &self.cells {
            CellArray::Nulls => out.push_str("NULL"),
            CellArray::Boolean(array) => {
                out.push_str(if array.value(row) { "true" } else { "false" });
            }
            CellArray::BooleanByte(array) => {
                out.push_str(if array.value(row) == 0 { "false" } else { "true" });
            }
            CellArray::Integer(whole) => number::write_integer(out, whole.get(row)),
            CellArray::UHuge(wide) => {
                number::write_unsigned(out, u128::from_le_bytes(wide.get(row)));
            }
            CellArray::Bignum(bytes) => number::write_bignum(out, bytes.get(row)),
            // If all digits are decimals, DuckDB prints no zero before the point.
            CellArray::Decimal { array, scale, width } => {
                number::write_decimal(out, array.value(row), *scale, scale == width);
            }
            CellArray::Float(array) => number::write_float(out, array.value(row), true),
            CellArray::Double(array) => number::write_double(out, array.value(row), true),
            CellArray::Date(array) => time::write_date(out, array.value(row), false),
            CellArray::Time(ticks) => time::write_clock(out, ticks.values[row], ticks.per_second),
            CellArray::TimeTz(array) => time::write_time_tz(out, array.value(row), false),
            CellArray::Timestamp { ticks, zoned } => {
                time::write_timestamp(out, ticks.values[row], ticks.per_second, *zoned, false);
            }
            CellArray::Interval(array) => time::write_interval(out, array.value(row)),
            CellArray::Text(strings) | CellArray::Json(strings) => out.push_str(strings.get(row)),
            CellArray::Uuid(array) => write_uuid(out, array.value(row)),
            CellArray::Blob(bytes) => write_blob(out, bytes.get(row)),
            CellArray::Bit(bytes) => write_bits(out, bytes.get(row)),
            CellArray::Geometry(bytes) => geometry::write_wkt(out, bytes.get(row)),
            CellArray::Enum(keys, names) => out.push_str(names.named(*keys, row)),
            CellArray::List { spans, items, quoted } => {
                out.push('[');
                for (index, item) in spans.get(row).enumerate() {
                    separate(out, index);
                    items.write_member(item, *quoted, out);
                }
                out.push(']');
            }
            CellArray::Struct(fields) => {
                out.push('{');
                for (index, (name, column)) in fields.iter().enumerate() {
                    separate(out, index);
                    let start = out.len();
                    out.push_str(name);
                    quote(out, start);
                    out.push_str(": ");
                    column.write_member(row, !column.is_nested(), out);
                }
                out.push('}');
            }
            CellArray::Tuple(columns) => {
                out.push('(');
                for (index, column) in columns.iter().enumerate() {
                    separate(out, index);
                    column.write_member(row, !column.is_nested(), out);
                }
                // A comma distinguishes a tuple of one from parentheses.
                out.push_str(if columns.len() == 1 { ",)" } else { ")" });
            }
            CellArray::Map { spans, keys, values, .. } => {
                out.push('{');
                for (index, entry) in spans.get(row).enumerate() {
                    separate(out, index);
                    keys.write_member(entry, !keys.is_nested(), out);
                    out.push('=');
                    values.write_member(entry, !values.is_nested(), out);
                }
                out.push('}');
            }
            CellArray::Union { array, members } => {
                if let Some((_, column)) = member(members, array.type_id(row)) {
                    column.write_member(array.value_offset(row), false, out);
                }
            }
            CellArray::Other => {
                out.push_str(&array_value_to_string(self.array, row).unwrap_or_default());
            }
        }
    }

    /// Returns whether DuckDB prints such values inside others without quotes.
    pub(super) fn is_nested(&self) -> bool {
        matches!(
            self.cells,
            CellArray::List { .. }
                | CellArray::Struct(_)
                | CellArray::Tuple(_)
                | CellArray::Map { .. }
                | CellArray::Union { .. }
        )
    }

    /// Appends a value in the format used inside a list, struct or map.
    fn write_member(&self, row: usize, quoted: bool, out: &mut String) {
        if self.is_null(row) {
            out.push_str("NULL");
            return;
        }
        let start = out.len();
        self.write(row, out);
        if quoted && needs_quotes(&out[start..]) {
            quote(out, start);
        }
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// Returns whether text inside a nested value would be ambiguous without quotes: it could be read
/// as delimiters, as NULL or as nothing.
fn needs_quotes(text: &str) -> bool {
    // C's isspace includes the vertical tab; Rust's ASCII whitespace does not.
    let space = |byte: &u8| matches!(byte, 9..=13 | 32);
    let bytes = text.as_bytes();
    bytes.is_empty()
        || bytes.first().is_some_and(space)
        || bytes.last().is_some_and(space)
        || text.eq_ignore_ascii_case("null")
        || bytes.iter().any(|byte| {
            matches!(
                byte,
                b'"' | b'\'' | b'(' | b')' | b',' | b':' | b'=' | b'[' | b'\\' | b']' | b'{' | b'}'
            )
        })
}

/// Encloses the contents of `out` from `start` on in single quotes.
fn quote(out: &mut String, start: usize) {
    let plain = !out.as_bytes()[start..].iter().any(|byte| matches!(byte, b'\'' | b'\\'));
    if plain {
        out.insert(start, '\'');
    } else {
        let text = out.split_off(start);
        out.push('\'');
        for part in text.split_inclusive(['\'', '\\']) {
            let (head, last) =
                part.split_at(part.len() - usize::from(part.ends_with(['\'', '\\'])));
            out.push_str(head);
            if !last.is_empty() {
                out.push('\\');
                out.push_str(last);
            }
        }
    }
    out.push('\'');
}

/// Appends printable ASCII unchanged, other bytes and quotes as `\xAA`.
fn write_blob(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\'' | b'\\' | 0..=31 | 127.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
}

/// Appends lower-case hexadecimal digits.
pub(super) fn write_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn write_uuid(out: &mut String, bytes: &[u8]) {
    let mut rest = bytes;
    for (index, length) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        let (part, after) = rest.split_at(length.min(rest.len()));
        if index > 0 {
            out.push('-');
        }
        write_hex(out, part);
        rest = after;
    }
}

/// Appends DuckDB's bit strings: the first byte is the number of padding bits in the second.
fn write_bits(out: &mut String, bytes: &[u8]) {
    let Some((&padding, data)) = bytes.split_first() else { return };
    let bits = data.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 == 1));
    out.reserve(data.len() * 8);
    out.extend(bits.skip(padding.into()).map(|bit| if bit { '1' } else { '0' }));
}
