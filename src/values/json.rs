//! Values as JSON; the table of what becomes what is in the module's documentation.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;

use super::{
    column::{Cell, Cells, Column, member},
    number, text, time,
};

/// The largest whole number that a double, and thus JavaScript, tells from its neighbours.
const MAX_SAFE: i64 = (1 << 53) - 1;
const MIN_SAFE: i64 = -MAX_SAFE;

impl Serialize for Cell<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { column, row } = *self;
        if column.is_null(row) {
            return serializer.serialize_unit();
        }
        match &column.cells {
            Cells::Boolean(array) => serializer.serialize_bool(array.value(row)),
            Cells::BooleanByte(array) => serializer.serialize_bool(array.value(row) != 0),
            Cells::Whole(whole) => match i64::try_from(whole.get(row)) {
                Ok(number @ MIN_SAFE..=MAX_SAFE) => serializer.serialize_i64(number),
                _ => as_text(column, row, serializer),
            },
            Cells::UHuge(_) | Cells::Bignum(_) => {
                let digits = column.text(row).unwrap_or_default();
                match digits.parse() {
                    Ok(number @ MIN_SAFE..=MAX_SAFE) => serializer.serialize_i64(number),
                    _ => serializer.serialize_str(&digits),
                }
            }
            Cells::Decimal { array, scale, .. } => with(serializer, |out| number::write_decimal(out, array.value(row), *scale, false)),
            // The double nearest to what a FLOAT prints as, so that 0.1 stays 0.1.
            Cells::Float(array) if array.value(row).is_finite() => {
                let number = array.value(row);
                serializer.serialize_f64(column.text(row).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| number.into()))
            }
            Cells::Double(array) if array.value(row).is_finite() => serializer.serialize_f64(array.value(row)),
            Cells::Date(array) => with(serializer, |out| time::write_date(out, array.value(row), true)),
            Cells::TimeTz(array) => with(serializer, |out| time::write_time_tz(out, array.value(row), true)),
            Cells::Timestamp { ticks, zoned } => {
                with(serializer, |out| time::write_timestamp(out, ticks.values[row], ticks.per_second, *zoned, true))
            }
            Cells::Blob(bytes) => with(serializer, |out| text::write_hex(out, bytes.get(row))),
            Cells::Json(strings) => match document(strings.get(row)) {
                Some(value) => value.serialize(serializer),
                None => serializer.serialize_str(strings.get(row)),
            },
            Cells::List { spans, items, .. } => serializer.collect_seq(spans.get(row).map(|item| items.cell(item))),
            Cells::Tuple(columns) => serializer.collect_seq(columns.iter().map(|column| column.cell(row))),
            Cells::Struct(fields) => serializer.collect_map(fields.iter().map(|(name, column)| (name, column.cell(row)))),
            Cells::Map { spans, keys, values, named: true } => {
                let entries = spans.get(row).map(|entry| (keys.text(entry).unwrap_or_default(), values.cell(entry)));
                serializer.collect_map(entries)
            }
            Cells::Map { spans, keys, values, named: false } => {
                let mut entries = serializer.serialize_seq(None)?;
                for entry in spans.get(row) {
                    entries.serialize_element(&Entry { key: keys.cell(entry), value: values.cell(entry) })?;
                }
                entries.end()
            }
            Cells::Union { array, members } => match member(members, array.type_id(row)) {
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
struct Entry<'c, 'a> {
    key: Cell<'c, 'a>,
    value: Cell<'c, 'a>,
}

fn as_text<S: Serializer>(column: &Column<'_>, row: usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&column.text(row).unwrap_or_default())
}

fn with<S: Serializer>(serializer: S, write: impl FnOnce(&mut String)) -> Result<S::Ok, S::Error> {
    let mut out = String::with_capacity(32);
    write(&mut out);
    serializer.serialize_str(&out)
}

/// A document, with the numbers that a double cannot hold as text; `None` when it is not JSON.
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
    token.find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | 'e' | 'E')).unwrap_or(token.len())
}

/// Whether a double keeps the number: whole ones as far as JavaScript counts, others up to the 17 digits that a double is written with.
fn survives(number: &str) -> bool {
    if number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return number.parse().is_ok_and(|number: i64| (MIN_SAFE..=MAX_SAFE).contains(&number));
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    digits <= 17 && number.parse().is_ok_and(f64::is_finite)
}
