//! Converts values to JSON; the module's documentation has the table of conversions.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;

use super::{
    column::{Cell, CellArray, Column, member},
    number, text, time,
};

impl Serialize for Cell<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { column, row } = *self;
        if column.is_null(row) {
            return serializer.serialize_unit();
        }
        match &column.cells {
            CellArray::Boolean(array) => serializer.serialize_bool(array.value(row)),
            CellArray::BooleanByte(array) => serializer.serialize_bool(array.value(row) != 0),
            CellArray::Integer(whole) => match i64::try_from(whole.get(row)) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => as_text(column, row, serializer),
            },
            CellArray::UHuge(_) | CellArray::Bignum(_) => {
                let digits = column.text(row).unwrap_or_default();
                match digits.parse() {
                    Ok(number) => serializer.serialize_i64(number),
                    Err(_) => serializer.serialize_str(&digits),
                }
            }
            CellArray::Decimal { array, scale, .. } => {
                with(serializer, |out| number::write_decimal(out, array.value(row), *scale, false))
            }
            // Uses the double closest to the printed FLOAT, so that 0.1 stays 0.1.
            CellArray::Float(array) if array.value(row).is_finite() => {
                let number = array.value(row);
                serializer.serialize_f64(
                    column
                        .text(row)
                        .and_then(|digits| digits.parse().ok())
                        .unwrap_or_else(|| number.into()),
                )
            }
            CellArray::Double(array) if array.value(row).is_finite() => {
                serializer.serialize_f64(array.value(row))
            }
            CellArray::Date(array) => {
                with(serializer, |out| time::write_date(out, array.value(row), true))
            }
            CellArray::TimeTz(array) => {
                with(serializer, |out| time::write_time_tz(out, array.value(row), true))
            }
            CellArray::Timestamp { ticks, zoned } => with(serializer, |out| {
                time::write_timestamp(out, ticks.values[row], ticks.per_second, *zoned, true);
            }),
            CellArray::Blob(bytes) => with(serializer, |out| text::write_hex(out, bytes.get(row))),
            CellArray::Json(strings) => match document(strings.get(row)) {
                Some(value) => value.serialize(serializer),
                None => serializer.serialize_str(strings.get(row)),
            },
            CellArray::List { spans, items, .. } => {
                serializer.collect_seq(spans.get(row).map(|item| items.cell(item)))
            }
            CellArray::Tuple(columns) => {
                serializer.collect_seq(columns.iter().map(|column| column.cell(row)))
            }
            CellArray::Struct(fields) => {
                serializer.collect_map(fields.iter().map(|(name, column)| (name, column.cell(row))))
            }
            CellArray::Map { spans, keys, values, named: true } => {
                let entries = spans
                    .get(row)
                    .map(|entry| (keys.text(entry).unwrap_or_default(), values.cell(entry)));
                serializer.collect_map(entries)
            }
            CellArray::Map { spans, keys, values, named: false } => {
                let mut entries = serializer.serialize_seq(None)?;
                for entry in spans.get(row) {
                    entries.serialize_element(&ObjectEntry {
                        key: keys.cell(entry),
                        value: values.cell(entry),
                    })?;
                }
                entries.end()
            }
            CellArray::Union { array, members } => match member(members, array.type_id(row)) {
                Some((name, column)) => {
                    let mut object = serializer.serialize_map(Some(1))?;
                    object.serialize_entry(name, &column.cell(array.value_offset(row)))?;
                    object.end()
                }
                None => serializer.serialize_unit(),
            },
            _ => as_text(column, row, serializer),
        }
    }
}

#[derive(Serialize)]
struct ObjectEntry<'c, 'a> {
    key: Cell<'c, 'a>,
    value: Cell<'c, 'a>,
}

fn as_text<S: Serializer>(
    column: &Column<'_>,
    row: usize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&column.text(row).unwrap_or_default())
}

fn with<S: Serializer>(serializer: S, write: impl FnOnce(&mut String)) -> Result<S::Ok, S::Error> {
    let mut out = String::with_capacity(32);
    write(&mut out);
    serializer.serialize_str(&out)
}

/// Parses a document; numbers that neither 64 bits nor a double can represent become text. Returns
/// `None` if it is not valid JSON.
fn document(text: &str) -> Option<Value> {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, token) = rest.split_at(start);
        safe.push_str(before);
        let end = if token.starts_with('"') { string_end(token) } else { number_end(token) };
        let (token, after) = token.split_at(end);
        if token.starts_with('"') || survives(token) {
            safe.push_str(token);
        } else {
            safe.push('"');
            safe.push_str(token);
            safe.push('"');
        }
        rest = after;
    }
    safe.push_str(rest);
    serde_json::from_str(&safe).ok()
}

fn string_end(token: &str) -> usize {
    let mut escaped = true;
    for (place, byte) in token.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    token.len()
}

fn number_end(token: &str) -> usize {
    token
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | 'e' | 'E'))
        .unwrap_or(token.len())
}

/// Returns whether the number is represented exactly: integers of 64 bits, others up to the 17
/// digits of a double.
fn survives(number: &str) -> bool {
    if number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return number.parse::<i64>().is_ok();
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    let digits =
        mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    digits <= 17 && number.parse().is_ok_and(f64::is_finite)
}
