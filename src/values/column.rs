//! One column of a batch, looked through once so that reading a cell is a match and no downcast.

use std::borrow::Cow;

use duckdb::arrow::{
    array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, UnionArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field as ArrowField, Float32Type, Float64Type, Int8Type, IntervalMonthDayNanoType,
        IntervalUnit, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use serde_json::Value;

use super::{
    DuckType, Format, format,
    storage::{Bytes, Spans, Strings, Ticks, Whole, Wide},
    time,
};

/// A view of one column of a batch. Rows outside the batch read as NULL.
pub struct Column<'a> {
    pub(super) array: &'a dyn Array,
    pub(super) cells: Cells<'a>,
}

/// One value; serialises as the JSON that [`super`] describes, fields of a STRUCT in their order.
#[derive(Clone, Copy)]
pub struct Cell<'c, 'a> {
    pub(super) column: &'c Column<'a>,
    pub(super) row: usize,
}

/// How the values of a column are stored and what they mean.
pub(super) enum Cells<'a> {
    Nulls,
    Boolean(&'a BooleanArray),
    /// Booleans in bytes: `arrow.bool8`.
    BooleanByte(&'a PrimitiveArray<Int8Type>),
    Whole(Whole<'a>),
    UHuge(Wide<'a>),
    Bignum(Bytes<'a>),
    Decimal {
        array: &'a PrimitiveArray<Decimal128Type>,
        width: u8,
        scale: u8,
    },
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(Ticks<'a>),
    TimeTz(&'a FixedSizeBinaryArray),
    Timestamp {
        ticks: Ticks<'a>,
        zoned: bool,
    },
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    Text(Strings<'a>),
    Json(Strings<'a>),
    Uuid(&'a FixedSizeBinaryArray),
    Blob(Bytes<'a>),
    Bit(Bytes<'a>),
    Geometry(Bytes<'a>),
    Enum(Whole<'a>, Strings<'a>),
    List {
        spans: Spans<'a>,
        items: Box<Column<'a>>,
        /// DuckDB prints JSON in a LIST as it is, and quotes it everywhere else, in an ARRAY too.
        quoted: bool,
    },
    Struct(Vec<(&'a str, Column<'a>)>),
    Tuple(Vec<Column<'a>>),
    Map {
        spans: Spans<'a>,
        keys: Box<Column<'a>>,
        values: Box<Column<'a>>,
        /// Whether keys are text, so that JSON can use them as names.
        named: bool,
    },
    Union {
        array: &'a UnionArray,
        members: Vec<(i8, &'a str, Column<'a>)>,
    },
    /// A type that DuckDB 2.0 does not send; Arrow's own text.
    Other,
}

impl<'a> Column<'a> {
    /// Looks through a column of the given type. A type that does not fit the array is not trusted: the array is read as what it is.
    #[must_use]
    pub fn new(data_type: &DuckType, array: &'a dyn Array) -> Self {
        let cells = cells(data_type, array).unwrap_or(Cells::Other);
        Self { array, cells }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }

    /// Whether the value is NULL.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.array.len()
            || match &self.cells {
                Cells::Nulls => true,
                // Arrow's unions have no validity of their own: the chosen member tells.
                Cells::Union { array, members } => {
                    let place = array.value_offset(row);
                    member(members, array.type_id(row)).is_none_or(|(_, column)| column.is_null(place))
                }
                _ => self.array.is_null(row),
            }
    }

    /// What `CAST(x AS VARCHAR)` prints; `None` for NULL. Text and enums are borrowed.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<Cow<'a, str>> {
        if self.is_null(row) {
            return None;
        }
        Some(match &self.cells {
            Cells::Text(strings) | Cells::Json(strings) => Cow::Borrowed(strings.get(row)),
            Cells::Enum(keys, names) => Cow::Borrowed(names.named(*keys, row)),
            _ => {
                let mut out = String::with_capacity(24);
                self.write(row, &mut out);
                Cow::Owned(out)
            }
        })
    }

    /// Appends what [`Self::text`] returns, without an allocation of its own; nothing and `false` for NULL.
    pub fn write_text(&self, row: usize, out: &mut String) -> bool {
        let some = !self.is_null(row);
        if some {
            self.write(row, out);
        }
        some
    }

    /// The value as JSON. To write many, serialise [`Self::cell`] instead: it builds no [`Value`] and keeps the order of STRUCT fields.
    #[must_use]
    pub fn json(&self, row: usize) -> Value {
        serde_json::to_value(self.cell(row)).unwrap_or(Value::Null)
    }

    /// The value, to be serialised.
    #[must_use]
    pub fn cell(&self, row: usize) -> Cell<'_, 'a> {
        Cell { column: self, row }
    }

    /// The value as the nearest double, for charts; `None` for NULL and for what is not a number.
    #[must_use]
    pub fn number(&self, row: usize) -> Option<f64> {
        if self.is_null(row) {
            return None;
        }
        match &self.cells {
            Cells::Whole(whole) => Some(whole.get(row) as f64),
            Cells::UHuge(wide) => Some(u128::from_le_bytes(wide.get(row)) as f64),
            Cells::Float(array) => Some(array.value(row).into()),
            Cells::Double(array) => Some(array.value(row)),
            // Through text: dividing by a power of ten would round twice.
            Cells::Decimal { .. } | Cells::Bignum(_) => self.text(row)?.parse().ok(),
            _ => None,
        }
    }

    /// The day or moment in milliseconds since 1970 UTC, for time axes; `None` for NULL, for ±infinity and for what is neither.
    #[must_use]
    pub fn millis(&self, row: usize) -> Option<i64> {
        if self.is_null(row) {
            return None;
        }
        match &self.cells {
            Cells::Date(array) => time::finite_day(array.value(row)).and_then(|days| days.checked_mul(86_400_000)),
            Cells::Timestamp { ticks, .. } => {
                let value = time::finite(*ticks.values.get(row)?)?;
                if ticks.per_second <= 1_000 {
                    value.checked_mul(1_000 / ticks.per_second)
                } else {
                    Some(value.div_euclid(ticks.per_second / 1_000))
                }
            }
            _ => None,
        }
    }

    /// The value as people read it; `None` for NULL. Integers and decimals are rounded exactly, whatever their size. A format that does not
    /// fit the value (a month of a text) leaves it as [`Self::text`] has it.
    #[must_use]
    pub fn human(&self, row: usize, format: Format) -> Option<Cow<'a, str>> {
        if self.is_null(row) {
            return None;
        }
        let shown = match &self.cells {
            Cells::Whole(whole) => format::human_exact(whole.get(row), 0, format),
            Cells::Decimal { array, scale, .. } => format::human_exact(array.value(row), *scale, format),
            Cells::UHuge(_) | Cells::Float(_) | Cells::Double(_) => self.number(row).map(|value| format::human(value, format)),
            Cells::Date(_) | Cells::Timestamp { .. } if format.is_temporal() => {
                self.millis(row).map(|millis| format::human_time(millis, format))
            }
            _ => None,
        };
        shown.map(Cow::Owned).or_else(|| self.text(row))
    }
}

pub(super) fn member<'c, 'a>(members: &'c [(i8, &'a str, Column<'a>)], tag: i8) -> Option<(&'a str, &'c Column<'a>)> {
    members.iter().find(|(id, ..)| *id == tag).map(|(_, name, column)| (*name, column))
}

fn cells<'a>(kind: &DuckType, array: &'a dyn Array) -> Option<Cells<'a>> {
    let children = kind.children();
    // A child's type, or what Arrow says where the given type has no such child.
    let child = |index: usize, array: &'a dyn Array, field: &ArrowField| match children.get(index) {
        Some(kind) => Column::new(kind, array),
        None => Column::new(&DuckType::of_arrow(field), array),
    };
    Some(match array.data_type() {
        DataType::Null => Cells::Nulls,
        DataType::Boolean => Cells::Boolean(array.as_boolean_opt()?),
        DataType::Int8 if *kind == DuckType::Boolean => Cells::BooleanByte(array.as_primitive_opt()?),
        DataType::Decimal128(_, 0) if *kind == DuckType::HugeInt => Cells::Whole(Whole::Huge(Wide::Decimal(array.as_primitive_opt()?))),
        DataType::Decimal128(_, 0) if *kind == DuckType::UHugeInt => Cells::UHuge(Wide::Decimal(array.as_primitive_opt()?)),
        DataType::Decimal128(width, scale) => {
            Cells::Decimal { array: array.as_primitive_opt()?, width: *width, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Float32 => Cells::Float(array.as_primitive_opt()?),
        DataType::Float64 => Cells::Double(array.as_primitive_opt()?),
        DataType::Date32 => Cells::Date(array.as_primitive_opt()?),
        DataType::Time64(TimeUnit::Microsecond) => Cells::Time(Ticks::of::<Time64MicrosecondType>(array, 1_000_000)?),
        DataType::Time64(TimeUnit::Nanosecond) => Cells::Time(Ticks::of::<Time64NanosecondType>(array, 1_000_000_000)?),
        DataType::Timestamp(unit, zone) => {
            let ticks = match unit {
                TimeUnit::Second => Ticks::of::<TimestampSecondType>(array, 1)?,
                TimeUnit::Millisecond => Ticks::of::<TimestampMillisecondType>(array, 1_000)?,
                TimeUnit::Microsecond => Ticks::of::<TimestampMicrosecondType>(array, 1_000_000)?,
                TimeUnit::Nanosecond => Ticks::of::<TimestampNanosecondType>(array, 1_000_000_000)?,
            };
            Cells::Timestamp { ticks, zoned: zone.is_some() }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => Cells::Interval(array.as_primitive_opt()?),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let strings = Strings::of(array)?;
            if *kind == DuckType::Json { Cells::Json(strings) } else { Cells::Text(strings) }
        }
        DataType::FixedSizeBinary(16) if *kind == DuckType::HugeInt => {
            Cells::Whole(Whole::Huge(Wide::Bytes(array.as_fixed_size_binary_opt()?)))
        }
        DataType::FixedSizeBinary(16) if *kind == DuckType::UHugeInt => Cells::UHuge(Wide::Bytes(array.as_fixed_size_binary_opt()?)),
        DataType::FixedSizeBinary(16) if *kind == DuckType::Uuid => Cells::Uuid(array.as_fixed_size_binary_opt()?),
        DataType::FixedSizeBinary(8) if *kind == DuckType::TimeTz => Cells::TimeTz(array.as_fixed_size_binary_opt()?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let bytes = Bytes::of(array)?;
            match kind {
                DuckType::Bit => Cells::Bit(bytes),
                DuckType::Bignum => Cells::Bignum(bytes),
                DuckType::Geometry => Cells::Geometry(bytes),
                _ => Cells::Blob(bytes),
            }
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary_opt()?;
            Cells::Enum(Whole::of(dictionary.keys())?, Strings::of(dictionary.values().as_ref())?)
        }
        DataType::List(field) => {
            let list = array.as_list_opt::<i32>()?;
            list_cells(Spans::Small(list.value_offsets()), child(0, list.values().as_ref(), field))
        }
        DataType::LargeList(field) => {
            let list = array.as_list_opt::<i64>()?;
            list_cells(Spans::Large(list.value_offsets()), child(0, list.values().as_ref(), field))
        }
        DataType::FixedSizeList(field, size) => {
            let list = array.as_fixed_size_list_opt()?;
            list_cells(Spans::Fixed(usize::try_from(*size).ok()?), child(0, list.values().as_ref(), field))
        }
        DataType::Struct(fields) => {
            let values = array.as_struct_opt()?.columns();
            let columns = fields.iter().zip(values).enumerate().map(|(index, (field, array))| child(index, array.as_ref(), field));
            match kind {
                DuckType::Tuple(_) => Cells::Tuple(columns.collect()),
                _ => Cells::Struct(fields.iter().map(|field| field.name().as_str()).zip(columns).collect()),
            }
        }
        DataType::Map(entries, _) => {
            let map = array.as_map_opt()?;
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let keys = child(0, map.keys().as_ref(), pair.first()?);
            let values = child(1, map.values().as_ref(), pair.get(1)?);
            let named = children.first().map_or_else(|| DuckType::of_arrow(&pair[0]).is_name(), |key| key.is_name());
            Cells::Map { spans: Spans::Small(map.value_offsets()), keys: Box::new(keys), values: Box::new(values), named }
        }
        DataType::Union(fields, _) => {
            let union = array.as_union_opt()?;
            let members = fields
                .iter()
                .enumerate()
                .map(|(index, (id, field))| (id, field.name().as_str(), child(index, union.child(id).as_ref(), field)))
                .collect();
            Cells::Union { array: union, members }
        }
        _ => Cells::Whole(Whole::of(array)?),
    })
}

fn list_cells<'a>(spans: Spans<'a>, items: Column<'a>) -> Cells<'a> {
    let raw = items.is_nested() || matches!((&items.cells, &spans), (Cells::Json(_), Spans::Small(_) | Spans::Large(_)));
    Cells::List { spans, items: Box::new(items), quoted: !raw }
}
