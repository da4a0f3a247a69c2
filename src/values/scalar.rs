//! One value in the shape of its storage, for encoders of other systems' formats.

use std::ops::Range;

use super::{Column, column::CellArray, time};

/// A value that is not NULL. What has no variant of its own is [`Scalar::Other`], to be taken as
/// text or JSON.
#[derive(Clone)]
pub enum Scalar<'c, 'a> {
    Boolean(bool),
    Integer(i128),
    UHuge(u128),
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Float(f32),
    Double(f64),
    /// Days since 1970; `None` is an infinity, positive if so.
    Date(Result<i32, Positive>),
    /// Time of a day.
    Time {
        ticks: i64,
        per_second: i64,
    },
    /// Time of a day in microseconds, and its offset from UTC in seconds, positive to the east.
    TimeTz {
        micros: i64,
        offset: i32,
    },
    /// Ticks since 1970.
    Timestamp {
        ticks: Result<i64, Positive>,
        per_second: i64,
    },
    Interval {
        months: i32,
        days: i32,
        micros: i64,
    },
    Text(&'a str),
    Uuid([u8; 16]),
    Blob(&'a [u8]),
    /// Items of a LIST or ARRAY.
    List {
        items: &'c Column<'a>,
        range: Range<usize>,
    },
    Other,
}

/// The sign of an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positive(pub bool);

impl<'a> Column<'a> {
    /// The value in the shape of its storage; `None` for NULL.
    #[must_use]
    pub fn scalar(&self, row: usize) -> Option<Scalar<'_, 'a>> {
        if self.is_null(row) {
            return None;
        }
        Some(match &self.cells {
            CellArray::Boolean(array) => Scalar::Boolean(array.value(row)),
            CellArray::BooleanByte(array) => Scalar::Boolean(array.value(row) != 0),
            CellArray::Integer(array) => Scalar::Integer(array.get(row)),
            CellArray::UHuge(array) => Scalar::UHuge(u128::from_le_bytes(array.get(row))),
            CellArray::Decimal { array, scale, .. } => {
                Scalar::Decimal { unscaled: array.value(row), scale: *scale }
            }
            CellArray::Float(array) => Scalar::Float(array.value(row)),
            CellArray::Double(array) => Scalar::Double(array.value(row)),
            CellArray::Date(array) => {
                let days = array.value(row);
                Scalar::Date(time::finite_day(days).map(|_| days).ok_or(Positive(days > 0)))
            }
            CellArray::Time(times) => Scalar::Time {
                ticks: times.values.get(row).copied()?,
                per_second: times.per_second,
            },
            CellArray::TimeTz(array) => {
                let (micros, offset) = time::time_tz_parts(array.value(row));
                Scalar::TimeTz { micros, offset: i32::try_from(offset).unwrap_or(0) }
            }
            CellArray::Timestamp { ticks, .. } => {
                let value = ticks.values.get(row).copied()?;
                Scalar::Timestamp {
                    ticks: time::finite(value).ok_or(Positive(value > 0)),
                    per_second: ticks.per_second,
                }
            }
            CellArray::Interval(array) => {
                let value = array.value(row);
                Scalar::Interval {
                    months: value.months,
                    days: value.days,
                    micros: value.nanoseconds / 1_000,
                }
            }
            CellArray::Text(strings) | CellArray::Json(strings) => Scalar::Text(strings.get(row)),
            CellArray::Enum(keys, names) => Scalar::Text(names.named(*keys, row)),
            CellArray::Uuid(array) => match array.value(row).try_into() {
                Ok(bytes) => Scalar::Uuid(bytes),
                Err(_) => Scalar::Other,
            },
            CellArray::Blob(bytes) => Scalar::Blob(bytes.get(row)),
            CellArray::List { spans, items, .. } => Scalar::List { items, range: spans.get(row) },
            _ => Scalar::Other,
        })
    }
}
