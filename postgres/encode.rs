//! Values as text and in binary, as PostgreSQL's clients read them.

use std::fmt::{self, Write as _};

use bytes::{BufMut as _, BytesMut};
use materia::values::{Column, DuckType, Positive, Scalar};

use crate::{
    error::SqlError,
    types::{self, ColumnType},
};

/// Days between 1970 and 2000, the year from which PostgreSQL counts.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Appends a value as text; returns false for NULL.
pub(crate) fn write_text(
    column: &Column<'_>,
    row: usize,
    kind: ColumnType,
    out: &mut String,
) -> bool {
    let Some(scalar) = column.scalar(row) else { return false };
    if kind.is_array
        && let Scalar::List { items, range } = scalar
    {
        let item = ColumnType { is_array: false, ..kind };
        out.push('{');
        for (index, at) in range.enumerate() {
            if index > 0 {
                out.push(',');
            }
            let start = out.len();
            if write_text(items, at, item, out) {
                quote_item(out, start);
            } else {
                out.push_str("NULL");
            }
        }
        out.push('}');
        return true;
    }
    match (kind.base, scalar) {
        (types::BOOL, Scalar::Boolean(value)) => out.push(if value { 't' } else { 'f' }),
        (types::FLOAT4, Scalar::Float(value)) => {
            write_float(out, value.into(), format_args!("{value:e}"), 6);
        }
        (types::FLOAT8, Scalar::Double(value)) => {
            write_float(out, value, format_args!("{value:e}"), 15);
        }
        (types::BYTEA, Scalar::Blob(bytes)) => {
            out.push_str("\\x");
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
        }
        (types::INTERVAL, Scalar::Interval { months, days, micros }) => {
            write_interval(out, months, days, micros);
        }
        (types::JSONB, _) => out.push_str(&json(column, row)),
        (types::DATE | types::TIMESTAMP | types::TIMESTAMPTZ | types::TIME, _) => {
            write_moment(out, column, row);
        }
        (types::NUMERIC, _) => {
            let start = out.len();
            column.write_text(row, out);
            // DuckDB writes no zero before the point where all digits are behind it.
            let sign = usize::from(out[start..].starts_with('-'));
            if out[start + sign..].starts_with('.') {
                out.insert(start + sign, '0');
            }
        }
        _ => {
            column.write_text(row, out);
        }
    }
    true
}

/// Appends a value with its length as a field of a row; the length of NULL is -1.
///
/// # Errors
/// The value is outside of the range of the client's type.
pub(crate) fn put_field(
    column: &Column<'_>,
    row: usize,
    kind: ColumnType,
    binary: bool,
    out: &mut BytesMut,
    scratch: &mut String,
) -> Result<(), SqlError> {
    if column.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    if binary {
        put_binary(column, row, kind, out)?;
    } else {
        scratch.clear();
        write_text(column, row, kind, scratch);
        out.put_slice(scratch.as_bytes());
    }
    let length = i32::try_from(out.len() - start - 4)
        .map_err(|_| SqlError::new("54000", "a value is larger than 2 GB"))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn out_of_range(kind: ColumnType) -> SqlError {
    SqlError::new("22003", format!("a value is out of range for the type {}", kind.base.name))
        .hint("Cast the column to text.")
}

fn put_binary(
    column: &Column<'_>,
    row: usize,
    kind: ColumnType,
    out: &mut BytesMut,
) -> Result<(), SqlError> {
    let Some(scalar) = column.scalar(row) else { return Ok(()) };
    if kind.is_array
        && let Scalar::List { items, range } = scalar
    {
        return put_array(items, range, kind, out);
    }
    let range = || out_of_range(kind);
    match (kind.base, scalar) {
        (types::BOOL, Scalar::Boolean(value)) => out.put_u8(value.into()),
        (types::INT2, Scalar::Integer(value)) => {
            out.put_i16(i16::try_from(value).map_err(|_| range())?);
        }
        (types::INT4, Scalar::Integer(value)) => {
            out.put_i32(i32::try_from(value).map_err(|_| range())?);
        }
        (types::INT8, Scalar::Integer(value)) => {
            out.put_i64(i64::try_from(value).map_err(|_| range())?);
        }
        (types::FLOAT4, Scalar::Float(value)) => out.put_f32(value),
        (types::FLOAT8, Scalar::Double(value)) => out.put_f64(value),
        (types::NUMERIC, Scalar::Decimal { unscaled, scale }) => {
            put_numeric(out, unscaled < 0, unscaled.unsigned_abs(), scale.into());
        }
        (types::NUMERIC, Scalar::Integer(value)) => {
            put_numeric(out, value < 0, value.unsigned_abs(), 0);
        }
        (types::NUMERIC, Scalar::UHuge(value)) => put_numeric(out, false, value, 0),
        (types::NUMERIC, _) => put_numeric_text(out, &column.text(row).unwrap_or_default()),
        (types::DATE, Scalar::Date(days)) => out.put_i32(match days {
            Ok(days) => days.checked_sub(EPOCH_DAYS).ok_or_else(range)?,
            Err(Positive(positive)) => infinity(positive, i32::MAX, i32::MIN),
        }),
        (types::TIME, Scalar::Time { ticks, per_second }) => {
            out.put_i64(micros(ticks, per_second).ok_or_else(range)?);
        }
        (types::TIMETZ, Scalar::TimeTz { micros, offset }) => {
            out.put_i64(micros);
            out.put_i32(-offset);
        }
        (types::TIMESTAMP | types::TIMESTAMPTZ, Scalar::Timestamp { ticks, per_second }) => {
            out.put_i64(match ticks {
                Ok(ticks) => micros(ticks, per_second)
                    .and_then(|micros| micros.checked_sub(EPOCH_MICROS))
                    .ok_or_else(range)?,
                Err(Positive(positive)) => infinity(positive, i64::MAX, i64::MIN),
            });
        }
        (types::INTERVAL, Scalar::Interval { months, days, micros }) => {
            out.put_i64(micros);
            out.put_i32(days);
            out.put_i32(months);
        }
        (types::UUID, Scalar::Uuid(bytes)) => out.put_slice(&bytes),
        (types::BYTEA, Scalar::Blob(bytes)) => out.put_slice(bytes),
        (types::JSONB, _) => {
            out.put_u8(1);
            out.put_slice(json(column, row).as_bytes());
        }
        (types::VARBIT, _) => put_bits(out, &column.text(row).unwrap_or_default()),
        (_, Scalar::Text(text)) => out.put_slice(text.as_bytes()),
        _ => out.put_slice(column.text(row).unwrap_or_default().as_bytes()),
    }
    Ok(())
}

fn put_array(
    items: &Column<'_>,
    range: std::ops::Range<usize>,
    kind: ColumnType,
    out: &mut BytesMut,
) -> Result<(), SqlError> {
    let item = ColumnType { is_array: false, ..kind };
    let length = i32::try_from(range.len()).map_err(|_| out_of_range(kind))?;
    out.put_i32(i32::from(length > 0));
    out.put_i32(range.clone().any(|at| items.is_null(at)).into());
    out.put_u32(kind.base.oid);
    if length > 0 {
        out.put_i32(length);
        out.put_i32(1);
        let mut scratch = String::new();
        for at in range {
            put_field(items, at, item, true, out, &mut scratch)?;
        }
    }
    Ok(())
}

fn infinity<T>(positive: bool, most: T, least: T) -> T {
    if positive { most } else { least }
}

/// Converts ticks to microseconds. Finer ticks are cut off.
fn micros(ticks: i64, per_second: i64) -> Option<i64> {
    const MICROS: i64 = 1_000_000;
    if per_second <= MICROS {
        ticks.checked_mul(MICROS / per_second)
    } else {
        Some(ticks.div_euclid(per_second / MICROS))
    }
}

fn json(column: &Column<'_>, row: usize) -> String {
    serde_json::to_string(&column.cell(row)).unwrap_or_else(|_| "null".to_owned())
}

/// Puts an item of an array in quotes where PostgreSQL does.
fn quote_item(out: &mut String, start: usize) {
    let item = &out[start..];
    let needs = item.is_empty()
        || item.eq_ignore_ascii_case("null")
        || item.contains(|char: char| {
            matches!(char, '{' | '}' | ',' | '"' | '\\')
                || char.is_ascii_whitespace()
                || char == '\u{b}'
        });
    if needs {
        let item = out.split_off(start);
        out.push('"');
        for char in item.chars() {
            if matches!(char, '"' | '\\') {
                out.push('\\');
            }
            out.push(char);
        }
        out.push('"');
    }
}

/// Appends the shortest text that reads back, with an exponent where PostgreSQL has one.
/// `scientific` is that text with an exponent: `1.25e-7`.
fn write_float(out: &mut String, value: f64, scientific: fmt::Arguments<'_>, digits: i32) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let start = out.len();
    let _ = out.write_fmt(scientific);
    let Some(end) = out[start..].find('e').map(|at| start + at) else { return };
    let exponent: i32 = out[end + 1..].parse().unwrap_or(0);
    out.truncate(end);
    if !(-4..digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
        return;
    }
    // The point moves to its place.
    let first = start + usize::from(out[start..].starts_with('-'));
    if out.len() > first + 1 {
        out.remove(first + 1);
    }
    let Ok(places) = usize::try_from(exponent) else {
        return out.insert_str(first, &"0.000"[..=exponent.unsigned_abs() as usize]);
    };
    let point = first + places + 1;
    if out.len() > point {
        out.insert(point, '.');
    } else {
        out.extend(std::iter::repeat_n('0', point - out.len()));
    }
}

fn write_interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let start = out.len();
    let mut negative_before = false;
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plus = if negative_before && number > 0 { "+" } else { "" };
            let plural = if number == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{plus}{number} {unit}{plural}");
            negative_before = number < 0;
        }
    }
    if micros != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        let sign = if micros < 0 {
            "-"
        } else if negative_before {
            "+"
        } else {
            ""
        };
        let all = micros.unsigned_abs();
        let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
        let _ = write!(
            out,
            "{space}{sign}{:02}:{:02}:{:02}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        );
        if fraction > 0 {
            let text = format!("{fraction:06}");
            let _ = write!(out, ".{}", text.trim_end_matches('0'));
        }
    }
}

/// Dates and times are DuckDB's text but for years before Christ and for nanoseconds.
fn write_moment(out: &mut String, column: &Column<'_>, row: usize) {
    let start = out.len();
    column.write_text(row, out);
    if let Some(at) = out[start..].find(" (BC)") {
        out.replace_range(start + at..start + at + 5, "");
        out.push_str(" BC");
    }
    if let Some(point) = out[start..].find('.').map(|at| start + at) {
        let digits = out[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 6 {
            out.replace_range(point + 7..point + 1 + digits, "");
            let kept = out[point..point + 7].trim_end_matches(['0', '.']).len();
            out.replace_range(point + kept..point + 7, "");
        }
    }
}

fn put_numeric(out: &mut BytesMut, negative: bool, unscaled: u128, scale: u32) {
    // Groups of four digits, aligned at the point.
    let padding = (4 - scale % 4) % 4;
    let mut groups = Vec::new();
    let fraction_groups = i32::try_from((scale + padding) / 4).unwrap_or(0);
    // The padding may exceed 128 bits, so the lowest group is taken apart.
    let lowest_unit = 10_u128.pow(4 - padding);
    let mut rest = unscaled;
    if padding > 0 {
        groups.push((rest % lowest_unit) * 10_u128.pow(padding));
        rest /= lowest_unit;
    }
    while rest > 0 {
        groups.push(rest % 10_000);
        rest /= 10_000;
    }
    put_groups(out, negative, groups, fraction_groups, scale);
}

/// Writes groups of four digits, the lowest first, of which `fraction_groups` follow the point.
fn put_groups(
    out: &mut BytesMut,
    negative: bool,
    mut groups: Vec<u128>,
    fraction_groups: i32,
    scale: u32,
) {
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = i32::try_from(groups.len()).unwrap_or(0) - fraction_groups - 1;
    let trailing = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..trailing);
    let (count, weight) = if groups.is_empty() { (0, 0) } else { (groups.len(), weight) };
    out.put_i16(i16::try_from(count).unwrap_or(i16::MAX));
    out.put_i16(i16::try_from(weight).unwrap_or(0));
    out.put_u16(if negative && count > 0 { 0x4000 } else { 0 });
    out.put_u16(u16::try_from(scale).unwrap_or(0));
    for group in groups.iter().rev() {
        out.put_i16(i16::try_from(*group).unwrap_or(0));
    }
}

/// Writes a whole number of any length.
fn put_numeric_text(out: &mut BytesMut, text: &str) {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let bytes = digits.as_bytes();
    let groups = bytes.rchunks(4).map(|group| {
        group.iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit.wrapping_sub(b'0')))
    });
    put_groups(out, negative, groups.collect(), 0, 0);
}

fn put_bits(out: &mut BytesMut, text: &str) {
    out.put_i32(i32::try_from(text.len()).unwrap_or(0));
    for byte in text.as_bytes().chunks(8) {
        let bit = |at: usize| u8::from(byte.get(at) == Some(&b'1')) << (7 - at);
        out.put_u8((0..8).fold(0, |sum, at| sum | bit(at)));
    }
}

/// Returns the types of columns.
pub(crate) fn column_types<'a>(types: impl Iterator<Item = &'a DuckType>) -> Vec<ColumnType> {
    types.map(ColumnType::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_postgresql_writes_them() {
        for (value, wanted) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100_000.0, "100000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.25e300, "1.25e+300"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            write_float(&mut out, value, format_args!("{value:e}"), 15);
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn intervals_are_written_as_postgresql_writes_them() {
        for (months, days, micros, wanted) in [
            (14, 3, 3_000_000, "1 year 2 mons 3 days 00:00:03"),
            (-1, 2, -1_500_000, "-1 mons +2 days -00:00:01.5"),
            (0, 0, 0, "00:00:00"),
            (1, -1, 1, "1 mon -1 days +00:00:00.000001"),
        ] {
            let mut out = String::new();
            write_interval(&mut out, months, days, micros);
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn decimals_are_groups_of_four_digits() {
        let binary = |negative, unscaled, scale| {
            let mut out = BytesMut::new();
            put_numeric(&mut out, negative, unscaled, scale);
            out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
        };
        assert_eq!(binary(false, 1_234_567, 2), [3, 1, 0, 2, 1, 2345, 6700]);
        assert_eq!(binary(true, 5, 1), [1, -1, 0x4000, 1, 5000]);
        assert_eq!(binary(false, 0, 3), [0, 0, 0, 3]);
        assert_eq!(binary(false, 10_000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(binary(false, u128::MAX, 0).len(), 4 + 10);
        let mut out = BytesMut::new();
        put_numeric_text(&mut out, "-123456789012345678901234567890123456789012");
        assert_eq!(&out[..8], [0, 11, 0, 10, 0x40, 0, 0, 0]);
    }
}
