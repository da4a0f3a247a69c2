//! A view of one column of a batch, resolved once so that reading a cell needs no downcast.

use std::borrow::Cow;

use duckdb::arrow::{
    array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, UnionArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field as ArrowField, Float32Type, Float64Type,
        Int8Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
        Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use serde_json::Value;

use super::{
    DuckType, Format, format,
    storage::{
        BinaryValues, FixedBytes16Array, IntArray, ListOffsets, StringValues, TimestampArray,
    },
    time,
};

/// A view of one column of a batch. Rows outside the batch read as NULL.
pub struct Column<'a> {
    pub(super) array: &'a dyn Array,
    pub(super) cells: CellArray<'a>,
}

/// One value; serializes as the JSON that [`super`] describes, fields of a STRUCT in their order.
#[derive(Clone, Copy)]
pub struct Cell<'c, 'a> {
    pub(super) column: &'c Column<'a>,
    pub(super) row: usize,
}

/// How the values of a column are stored and what they mean.
pub(super) enum CellArray<'a> {
    Nulls,
    Boolean(&'a BooleanArray),
    /// Booleans in bytes: `arrow.bool8`.
    BooleanByte(&'a PrimitiveArray<Int8Type>),
    Integer(IntArray<'a>),
    UHuge(FixedBytes16Array<'a>),
    Bignum(BinaryValues<'a>),
    Decimal {
        array: &'a PrimitiveArray<Decimal128Type>,
        width: u8,
        scale: u8,
    },
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(TimestampArray<'a>),
    TimeTz(&'a FixedSizeBinaryArray),
    Timestamp {
        ticks: TimestampArray<'a>,
        zoned: bool,
    },
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    Text(StringValues<'a>),
    Json(StringValues<'a>),
    Uuid(&'a FixedSizeBinaryArray),
    Blob(BinaryValues<'a>),
    Bit(BinaryValues<'a>),
    Geometry(BinaryValues<'a>),
    Enum(IntArray<'a>, StringValues<'a>),
    List {
        spans: ListOffsets<'a>,
        items: Box<Column<'a>>,
        /// DuckDB prints JSON in a LIST unchanged, and quotes it everywhere else, including in an
        /// ARRAY.
        quoted: bool,
    },
    Struct(Vec<(&'a str, Column<'a>)>),
    Tuple(Vec<Column<'a>>),
    Map {
        spans: ListOffsets<'a>,
        keys: Box<Column<'a>>,
        values: Box<Column<'a>>,
        /// Whether keys are text, so that they can be names in a JSON object.
        named: bool,
    },
    Union {
        array: &'a UnionArray,
        members: Vec<(i8, &'a str, Column<'a>)>,
    },
    /// A type that DuckDB 2.0 does not produce, formatted by Arrow.
    Other,
}

impl<'a> Column<'a> {
    /// Creates a view of a column. If the given type does not fit the array, the array's own type
    /// is used.
    #[must_use]
    pub fn new(data_type: &DuckType, array: &'a dyn Array) -> Self {
        let cells = cells(data_type, array).unwrap_or(CellArray::Other);
        Self { array, cells }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }

    /// Returns whether the value is NULL.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.array.len()
            || match &self.cells {
                CellArray::Nulls => true,
                // Arrow's unions have no null mask: the selected member determines it.
                CellArray::Union { array, members } => {
                    let place = array.value_offset(row);
                    member(members, array.type_id(row))
                        .is_none_or(|(_, column)| column.is_null(place))
                }
                _ => self.array.is_null(row),
            }
    }

    /// Returns the result of `CAST(x AS VARCHAR)`; `None` for NULL. Text and enums are borrowed.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<Cow<'a, str>> {
        if self.is_null(row) {
            return None;
        }
        Some(match &self.cells {
            CellArray::Text(strings) | CellArray::Json(strings) => Cow::Borrowed(strings.get(row)),
            CellArray::Enum(keys, names) => Cow::Borrowed(names.named(*keys, row)),
            _ => {
                let mut out = String::with_capacity(24);
                self.write(row, &mut out);
                Cow::Owned(out)
            }
        })
    }

    /// Appends the result of [`Self::text`] without an allocation; appends nothing and returns
    /// `false` for NULL.
    pub fn write_text(&self, row: usize, out: &mut String) -> bool {
        let some = !self.is_null(row);
        if some {
            self.write(row, out);
        }
        some
    }

    /// Returns the value as JSON. To write many values, serialize [`Self::cell`] instead: it
    /// creates no [`Value`] and preserves the order of STRUCT fields.
    #[must_use]
    pub fn json(&self, row: usize) -> Value {
        serde_json::to_value(self.cell(row)).unwrap_or(Value::Null)
    }

    /// Returns the value for serialization.
    #[must_use]
    pub fn cell(&self, row: usize) -> Cell<'_, 'a> {
        Cell { column: self, row }
    }

    /// Returns the value as the nearest double, for charts; `None` for NULL and for non-numeric
    /// values.
    #[must_use]
    pub fn number(&self, row: usize) -> Option<f64> {
        if self.is_null(row) {
            return None;
        }
        match &self.cells {
            CellArray::Integer(whole) => Some(whole.get(row) as f64),
            CellArray::UHuge(wide) => Some(u128::from_le_bytes(wide.get(row)) as f64),
            CellArray::Float(array) => Some(array.value(row).into()),
            CellArray::Double(array) => Some(array.value(row)),
            // Converts through text, since division by a power of ten would round twice.
            CellArray::Decimal { .. } | CellArray::Bignum(_) => self.text(row)?.parse().ok(),
            _ => None,
        }
    }

    /// Returns the date or timestamp in milliseconds since 1970 UTC, for time axes; `None` for
    /// NULL, for ±infinity and for other types.
    #[must_use]
    pub fn millis(&self, row: usize) -> Option<i64> {
        if self.is_null(row) {
            return None;
        }
        match &self.cells {
            CellArray::Date(array) => {
                time::finite_day(array.value(row)).and_then(|days| days.checked_mul(86_400_000))
            }
            CellArray::Timestamp { ticks, .. } => {
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

    /// Formats the value as people read it; `None` for NULL. Integers and decimals are rounded
    /// exactly, whatever their size. A format that does not apply to the value (a month of a text)
    /// falls back to [`Self::text`].
    #[must_use]
    pub fn format(&self, row: usize, format: Format) -> Option<Cow<'a, str>> {
        if self.is_null(row) {
            return None;
        }
        let shown = match &self.cells {
            CellArray::Integer(whole) => format::format_exact(whole.get(row), 0, format),
            CellArray::Decimal { array, scale, .. } => {
                format::format_exact(array.value(row), *scale, format)
            }
            CellArray::UHuge(_) | CellArray::Float(_) | CellArray::Double(_) => {
                self.number(row).map(|value| format::format_number(value, format))
            }
            CellArray::Timestamp { zoned: true, .. } if format.has_clock() => {
                let moment = self.millis(row).map(|millis| format::format_time(millis, format));
                moment.map(|moment| format!("{moment} UTC"))
            }
            CellArray::Date(_) | CellArray::Timestamp { .. } if format.is_temporal() => {
                self.millis(row).map(|millis| format::format_time(millis, format))
            }
            _ => None,
        };
        shown.map(Cow::Owned).or_else(|| self.text(row))
    }
}

pub(super) fn member<'c, 'a>(
    members: &'c [(i8, &'a str, Column<'a>)],
    tag: i8,
) -> Option<(&'a str, &'c Column<'a>)> {
    members.iter().find(|(id, ..)| *id == tag).map(|(_, name, column)| (*name, column))
}

fn cells<'a>(kind: &DuckType, array: &'a dyn Array) -> Option<CellArray<'a>> {
    let children = kind.children();
    // Returns a child's type, or Arrow's type if the given type has no such child.
    let child = |index: usize, array: &'a dyn Array, field: &ArrowField| match children.get(index) {
        Some(kind) => Column::new(kind, array),
        None => Column::new(&DuckType::of_arrow(field), array),
    };
    Some(match array.data_type() {
        DataType::Null => CellArray::Nulls,
        DataType::Boolean => CellArray::Boolean(array.as_boolean_opt()?),
        DataType::Int8 if *kind == DuckType::Boolean => {
            CellArray::BooleanByte(array.as_primitive_opt()?)
        }
        DataType::Decimal128(_, 0) if *kind == DuckType::HugeInt => CellArray::Integer(
            IntArray::Huge(FixedBytes16Array::Decimal(array.as_primitive_opt()?)),
        ),
        DataType::Decimal128(_, 0) if *kind == DuckType::UHugeInt => {
            CellArray::UHuge(FixedBytes16Array::Decimal(array.as_primitive_opt()?))
        }
        DataType::Decimal128(width, scale) => CellArray::Decimal {
            array: array.as_primitive_opt()?,
            width: *width,
            scale: u8::try_from(*scale).ok()?,
        },
        DataType::Float32 => CellArray::Float(array.as_primitive_opt()?),
        DataType::Float64 => CellArray::Double(array.as_primitive_opt()?),
        DataType::Date32 => CellArray::Date(array.as_primitive_opt()?),
        DataType::Time64(TimeUnit::Microsecond) => {
            CellArray::Time(TimestampArray::new::<Time64MicrosecondType>(array, 1_000_000)?)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            CellArray::Time(TimestampArray::new::<Time64NanosecondType>(array, 1_000_000_000)?)
        }
        DataType::Timestamp(unit, zone) => {
            let ticks = match unit {
                TimeUnit::Second => TimestampArray::new::<TimestampSecondType>(array, 1)?,
                TimeUnit::Millisecond => {
                    TimestampArray::new::<TimestampMillisecondType>(array, 1_000)?
                }
                TimeUnit::Microsecond => {
                    TimestampArray::new::<TimestampMicrosecondType>(array, 1_000_000)?
                }
                TimeUnit::Nanosecond => {
                    TimestampArray::new::<TimestampNanosecondType>(array, 1_000_000_000)?
                }
            };
            CellArray::Timestamp { ticks, zoned: zone.is_some() }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            CellArray::Interval(array.as_primitive_opt()?)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let strings = StringValues::new(array)?;
            if *kind == DuckType::Json {
                CellArray::Json(strings)
            } else {
                CellArray::Text(strings)
            }
        }
        DataType::FixedSizeBinary(16) if *kind == DuckType::HugeInt => CellArray::Integer(
            IntArray::Huge(FixedBytes16Array::Bytes(array.as_fixed_size_binary_opt()?)),
        ),
        DataType::FixedSizeBinary(16) if *kind == DuckType::UHugeInt => {
            CellArray::UHuge(FixedBytes16Array::Bytes(array.as_fixed_size_binary_opt()?))
        }
        DataType::FixedSizeBinary(16) if *kind == DuckType::Uuid => {
            CellArray::Uuid(array.as_fixed_size_binary_opt()?)
        }
        DataType::FixedSizeBinary(8) if *kind == DuckType::TimeTz => {
            CellArray::TimeTz(array.as_fixed_size_binary_opt()?)
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let bytes = BinaryValues::new(array)?;
            match kind {
                DuckType::Bit => CellArray::Bit(bytes),
                DuckType::Bignum => CellArray::Bignum(bytes),
                DuckType::Geometry => CellArray::Geometry(bytes),
                _ => CellArray::Blob(bytes),
            }
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary_opt()?;
            CellArray::Enum(
                IntArray::new(dictionary.keys())?,
                StringValues::new(dictionary.values().as_ref())?,
            )
        }
        DataType::List(field) => {
            let list = array.as_list_opt::<i32>()?;
            list_cells(
                ListOffsets::Small(list.value_offsets()),
                child(0, list.values().as_ref(), field),
            )
        }
        DataType::LargeList(field) => {
            let list = array.as_list_opt::<i64>()?;
            list_cells(
                ListOffsets::Large(list.value_offsets()),
                child(0, list.values().as_ref(), field),
            )
        }
        DataType::FixedSizeList(field, size) => {
            let list = array.as_fixed_size_list_opt()?;
            list_cells(
                ListOffsets::Fixed(usize::try_from(*size).ok()?),
                child(0, list.values().as_ref(), field),
            )
        }
        DataType::Struct(fields) => {
            let values = array.as_struct_opt()?.columns();
            let columns = fields
                .iter()
                .zip(values)
                .enumerate()
                .map(|(index, (field, array))| child(index, array.as_ref(), field));
            match kind {
                DuckType::Tuple(_) => CellArray::Tuple(columns.collect()),
                _ => CellArray::Struct(
                    fields.iter().map(|field| field.name().as_str()).zip(columns).collect(),
                ),
            }
        }
        DataType::Map(entries, _) => {
            let map = array.as_map_opt()?;
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let keys = child(0, map.keys().as_ref(), pair.first()?);
            let values = child(1, map.values().as_ref(), pair.get(1)?);
            let named = children
                .first()
                .map_or_else(|| DuckType::of_arrow(&pair[0]).is_name(), |key| key.is_name());
            CellArray::Map {
                spans: ListOffsets::Small(map.value_offsets()),
                keys: Box::new(keys),
                values: Box::new(values),
                named,
            }
        }
        DataType::Union(fields, _) => {
            let union = array.as_union_opt()?;
            let members = fields
                .iter()
                .enumerate()
                .map(|(index, (id, field))| {
                    (id, field.name().as_str(), child(index, union.child(id).as_ref(), field))
                })
                .collect();
            CellArray::Union { array: union, members }
        }
        _ => CellArray::Integer(IntArray::new(array)?),
    })
}

fn list_cells<'a>(spans: ListOffsets<'a>, items: Column<'a>) -> CellArray<'a> {
    let raw = items.is_nested()
        || matches!(
            (&items.cells, &spans),
            (CellArray::Json(_), ListOffsets::Small(_) | ListOffsets::Large(_))
        );
    CellArray::List { spans, items: Box::new(items), quoted: !raw }
}
