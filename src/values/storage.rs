//! Arrow's storage of a column's values, with one way to read each kind.

use std::ops::Range;

use duckdb::arrow::{
    array::{
        Array, ArrowPrimitiveType, AsArray, BinaryViewArray, FixedSizeBinaryArray,
        GenericBinaryArray, GenericStringArray, PrimitiveArray, StringViewArray,
    },
    datatypes::{
        DataType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};

/// Integers of up to 128 bits.
#[derive(Clone, Copy)]
pub(super) enum IntArray<'a> {
    I8(&'a PrimitiveArray<Int8Type>),
    I16(&'a PrimitiveArray<Int16Type>),
    I32(&'a PrimitiveArray<Int32Type>),
    I64(&'a PrimitiveArray<Int64Type>),
    U8(&'a PrimitiveArray<UInt8Type>),
    U16(&'a PrimitiveArray<UInt16Type>),
    U32(&'a PrimitiveArray<UInt32Type>),
    U64(&'a PrimitiveArray<UInt64Type>),
    Huge(FixedBytes16Array<'a>),
}

/// The 16 bytes of a HUGEINT or UHUGEINT: raw with lossless conversion, otherwise as a decimal.
#[derive(Clone, Copy)]
pub(super) enum FixedBytes16Array<'a> {
    Bytes(&'a FixedSizeBinaryArray),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
}

/// Times as counts of a unit of time.
#[derive(Clone, Copy)]
pub(super) struct TimestampArray<'a> {
    pub(super) values: &'a [i64],
    pub(super) per_second: i64,
}

#[derive(Clone, Copy)]
pub(super) enum StringValues<'a> {
    Small(&'a GenericStringArray<i32>),
    Large(&'a GenericStringArray<i64>),
    View(&'a StringViewArray),
}

#[derive(Clone, Copy)]
pub(super) enum BinaryValues<'a> {
    Small(&'a GenericBinaryArray<i32>),
    Large(&'a GenericBinaryArray<i64>),
    View(&'a BinaryViewArray),
    Fixed(&'a FixedSizeBinaryArray),
}

/// The range of items that belongs to each row.
pub(super) enum ListOffsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}

impl<'a> IntArray<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Int8 => Self::I8(array.as_primitive_opt()?),
            DataType::Int16 => Self::I16(array.as_primitive_opt()?),
            DataType::Int32 => Self::I32(array.as_primitive_opt()?),
            DataType::Int64 => Self::I64(array.as_primitive_opt()?),
            DataType::UInt8 => Self::U8(array.as_primitive_opt()?),
            DataType::UInt16 => Self::U16(array.as_primitive_opt()?),
            DataType::UInt32 => Self::U32(array.as_primitive_opt()?),
            DataType::UInt64 => Self::U64(array.as_primitive_opt()?),
            _ => return None,
        })
    }

    pub(super) fn get(&self, row: usize) -> i128 {
        match self {
            Self::I8(array) => array.value(row).into(),
            Self::I16(array) => array.value(row).into(),
            Self::I32(array) => array.value(row).into(),
            Self::I64(array) => array.value(row).into(),
            Self::U8(array) => array.value(row).into(),
            Self::U16(array) => array.value(row).into(),
            Self::U32(array) => array.value(row).into(),
            Self::U64(array) => array.value(row).into(),
            Self::Huge(wide) => i128::from_le_bytes(wide.get(row)),
        }
    }
}

impl FixedBytes16Array<'_> {
    pub(super) fn get(&self, row: usize) -> [u8; 16] {
        match self {
            Self::Bytes(array) => array.value(row).try_into().unwrap_or_default(),
            Self::Decimal(array) => array.value(row).to_le_bytes(),
        }
    }
}

impl<'a> StringValues<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Small(array.as_string_opt()?),
            DataType::LargeUtf8 => Self::Large(array.as_string_opt()?),
            DataType::Utf8View => Self::View(array.as_string_view_opt()?),
            _ => return None,
        })
    }

    pub(super) fn get(&self, row: usize) -> &'a str {
        match self {
            Self::Small(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
        }
    }

    /// Returns the member that an ENUM value refers to. Members stay in the array, so a batch of an
    /// ENUM with 70,000 members costs nothing.
    pub(super) fn named(&self, keys: IntArray<'a>, row: usize) -> &'a str {
        usize::try_from(keys.get(row))
            .ok()
            .filter(|key| *key < self.len())
            .map_or("", |key| self.get(key))
    }

    fn len(&self) -> usize {
        match self {
            Self::Small(array) => array.len(),
            Self::Large(array) => array.len(),
            Self::View(array) => array.len(),
        }
    }
}

impl<'a> BinaryValues<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Binary => Self::Small(array.as_binary_opt()?),
            DataType::LargeBinary => Self::Large(array.as_binary_opt()?),
            DataType::BinaryView => Self::View(array.as_binary_view_opt()?),
            DataType::FixedSizeBinary(_) => Self::Fixed(array.as_fixed_size_binary_opt()?),
            _ => return None,
        })
    }

    pub(super) fn get(&self, row: usize) -> &'a [u8] {
        match self {
            Self::Small(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
            Self::Fixed(array) => array.value(row),
        }
    }
}

impl ListOffsets<'_> {
    pub(super) fn get(&self, row: usize) -> Range<usize> {
        let place = |offset: Option<i64>| {
            offset.and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
        };
        match self {
            Self::Small(offsets) => {
                place(offsets.get(row).map(|&offset| offset.into()))
                    ..place(offsets.get(row + 1).map(|&offset| offset.into()))
            }
            Self::Large(offsets) => {
                place(offsets.get(row).copied())..place(offsets.get(row + 1).copied())
            }
            Self::Fixed(size) => row * size..(row + 1) * size,
        }
    }
}

impl<'a> TimestampArray<'a> {
    pub(super) fn new<T: ArrowPrimitiveType<Native = i64>>(
        array: &'a dyn Array,
        per_second: i64,
    ) -> Option<Self> {
        Some(Self { values: array.as_primitive_opt::<T>()?.values(), per_second })
    }
}
