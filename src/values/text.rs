//! Text as DuckDB's cast to VARCHAR prints it.

use std::fmt::Write;

use duckdb::arrow::util::display::array_value_to_string;

use super::{
    column::{Cells, Column, member},
    geometry, number, time,
};

impl Column<'_> {
    /// Appends the text of a value that is not NULL.
    pub(super) fn write(&self, row: usize, out: &mut String) {
        match &self.cells {
            Cells::Nulls => out.push_str("NULL"),
            Cells::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            Cells::BooleanByte(array) => out.push_str(if array.value(row) == 0 { "false" } else { "true" }),
            Cells::Whole(whole) => number::write_display(out, whole.get(row)),
            Cells::UHuge(wide) => number::write_display(out, u128::from_le_bytes(wide.get(row))),
            Cells::Bignum(bytes) => number::write_bignum(out, bytes.get(row)),
            // Where all digits are decimals, DuckDB prints no zero before the point.
            Cells::Decimal { array, scale, width } => number::write_decimal(out, array.value(row), *scale, scale == width),
            Cells::Float(array) => number::write_float(out, array.value(row), true),
            Cells::Double(array) => number::write_double(out, array.value(row), true),
            Cells::Date(array) => time::write_date(out, array.value(row), false),
            Cells::Time(ticks) => time::write_clock(out, ticks.values[row], ticks.per_second),
            Cells::TimeTz(array) => time::write_time_tz(out, array.value(row), false),
            Cells::Timestamp { ticks, zoned } => time::write_timestamp(out, ticks.values[row], ticks.per_second, *zoned, false),
            Cells::Interval(array) => time::write_interval(out, array.value(row)),
            Cells::Text(strings) | Cells::Json(strings) => out.push_str(strings.get(row)),
            Cells::Uuid(array) => write_uuid(out, array.value(row)),
            Cells::Blob(bytes) => write_blob(out, bytes.get(row)),
            Cells::Bit(bytes) => write_bits(out, bytes.get(row)),
            Cells::Geometry(bytes) => geometry::write_wkt(out, bytes.get(row)),
            Cells::Enum(keys, names) => out.push_str(names.named(*keys, row)),
            Cells::List { spans, items, quoted } => {
                out.push('[');
                for (index, item) in spans.get(row).enumerate() {
                    separate(out, index);
                    items.write_member(item, *quoted, out);
                }
                out.push(']');
            }
            Cells::Struct(fields) => {
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
            Cells::Tuple(columns) => {
                out.push('(');
                for (index, column) in columns.iter().enumerate() {
                    separate(out, index);
                    column.write_member(row, !column.is_nested(), out);
                }
                // A tuple of one is told from parentheses by its comma.
                out.push_str(if columns.len() == 1 { ",)" } else { ")" });
            }
            Cells::Map { spans, keys, values, .. } => {
                out.push('{');
                for (index, entry) in spans.get(row).enumerate() {
                    separate(out, index);
                    keys.write_member(entry, !keys.is_nested(), out);
                    out.push('=');
                    values.write_member(entry, !values.is_nested(), out);
                }
                out.push('}');
            }
            Cells::Union { array, members } => {
                if let Some((_, column)) = member(members, array.type_id(row)) {
                    column.write_member(array.value_offset(row), false, out);
                }
            }
            Cells::Other => out.push_str(&array_value_to_string(self.array, row).unwrap_or_default()),
        }
    }

    /// Whether DuckDB prints the values inside others without quotes of their own.
    pub(super) fn is_nested(&self) -> bool {
        matches!(self.cells, Cells::List { .. } | Cells::Struct(_) | Cells::Tuple(_) | Cells::Map { .. } | Cells::Union { .. })
    }

    /// Appends a value as it stands inside a list, struct or map.
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

/// Whether text inside a nested value could be taken for something else: for the frame around it, for NULL, for nothing.
fn needs_quotes(text: &str) -> bool {
    // C's isspace, which counts the vertical tab; Rust's ASCII whitespace does not.
    let space = |byte: &u8| matches!(byte, 9..=13 | 32);
    let bytes = text.as_bytes();
    bytes.is_empty()
        || bytes.first().is_some_and(space)
        || bytes.last().is_some_and(space)
        || text.eq_ignore_ascii_case("null")
        || bytes.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'(' | b')' | b',' | b':' | b'=' | b'[' | b'\\' | b']' | b'{' | b'}'))
}

/// Puts what `out` holds from `start` on in single quotes.
fn quote(out: &mut String, start: usize) {
    let plain = !out.as_bytes()[start..].iter().any(|byte| matches!(byte, b'\'' | b'\\'));
    if plain {
        out.insert(start, '\'');
    } else {
        let text = out.split_off(start);
        out.push('\'');
        for part in text.split_inclusive(['\'', '\\']) {
            let (head, last) = part.split_at(part.len() - usize::from(part.ends_with(['\'', '\\'])));
            out.push_str(head);
            if !last.is_empty() {
                out.push('\\');
                out.push_str(last);
            }
        }
    }
    out.push('\'');
}

/// Printable ASCII as it is, the rest and quotes as `\xAA`.
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

/// Lower-case hexadecimal digits.
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

/// DuckDB's bit strings: the first byte counts the bits of the second that are only padding.
fn write_bits(out: &mut String, bytes: &[u8]) {
    let Some((&padding, data)) = bytes.split_first() else { return };
    let bits = data.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 == 1));
    out.reserve(data.len() * 8);
    out.extend(bits.skip(padding.into()).map(|bit| if bit { '1' } else { '0' }));
}
