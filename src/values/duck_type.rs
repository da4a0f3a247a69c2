//! DuckDB's types, recognized from the statement and from Arrow, and formatted in DuckDB's
//! notation.

use std::fmt::{self, Display, Write};

use duckdb::{
    arrow::datatypes::{DataType, Field, TimeUnit},
    core::{LogicalTypeHandle, LogicalTypeId},
};
use serde::{Serialize, Serializer};

/// A DuckDB type. [`Display`] formats it like `DESCRIBE`, except for ENUM, since Arrow provides
/// members only together with values, and for field names that are unreserved keywords, which are
/// not quoted here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the DuckDB type of that name")]
#[non_exhaustive]
pub enum DuckType {
    Null,
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    HugeInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    UHugeInt,
    Bignum,
    Float,
    Double,
    Decimal {
        width: u8,
        scale: i8,
    },
    Date,
    Time,
    TimeNs,
    TimeTz,
    Timestamp,
    TimestampS,
    TimestampMs,
    TimestampNs,
    TimestampTz,
    TimestampTzNs,
    Interval,
    Varchar,
    Json,
    Uuid,
    Blob,
    Bit,
    Geometry,
    Enum,
    List(Box<DuckType>),
    Array(Box<DuckType>, i32),
    Struct(Vec<(String, DuckType)>),
    Tuple(Vec<DuckType>),
    Map(Box<DuckType>, Box<DuckType>),
    Union(Vec<(String, DuckType)>),
    /// Arrow's name of a type that DuckDB 2.0 does not produce.
    Other(String),
}

impl DuckType {
    /// Returns the type of a result column from the executed statement; `arrow` supplements the
    /// types that the crate does not support.
    pub(super) fn of_logical(logical: &LogicalTypeHandle, arrow: &Field) -> Self {
        let child = |index: usize, field: &Field| Self::of_logical(&logical.child(index), field);
        match (logical.id(), arrow.data_type()) {
            (LogicalTypeId::Varchar, _) if logical.get_alias().as_deref() == Some("JSON") => {
                Self::Json
            }
            (LogicalTypeId::Boolean, _) => Self::Boolean,
            (LogicalTypeId::Hugeint, _) => Self::HugeInt,
            (LogicalTypeId::UHugeint, _) => Self::UHugeInt,
            (LogicalTypeId::Bignum, _) => Self::Bignum,
            (LogicalTypeId::TimeTZ, _) => Self::TimeTz,
            (LogicalTypeId::Uuid, _) => Self::Uuid,
            (LogicalTypeId::Bit, _) => Self::Bit,
            (LogicalTypeId::Geometry, _) => Self::Geometry,
            (LogicalTypeId::List, DataType::List(item) | DataType::LargeList(item)) => {
                Self::List(Box::new(child(0, item)))
            }
            (LogicalTypeId::Array, DataType::FixedSizeList(item, size)) => {
                Self::Array(Box::new(child(0, item)), *size)
            }
            (LogicalTypeId::Map, DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    Self::Map(Box::new(child(0, &pair[0])), Box::new(child(1, &pair[1])))
                }
                _ => Self::of_arrow(arrow),
            },
            (LogicalTypeId::Struct, DataType::Struct(fields))
                if fields.len() == logical.num_children() =>
            {
                // Only a tuple has unnamed members; Arrow names them element1, element2 and so on.
                let tuple = !fields.is_empty()
                    && (0..fields.len()).all(|index| logical.child_name(index).is_empty());
                let types = fields.iter().enumerate().map(|(index, field)| child(index, field));
                if tuple {
                    Self::Tuple(types.collect())
                } else {
                    Self::Struct(named(fields.iter().map(AsRef::as_ref), types))
                }
            }
            (LogicalTypeId::Union, DataType::Union(fields, _))
                if fields.len() == logical.num_children() =>
            {
                let types =
                    fields.iter().enumerate().map(|(index, (_, field))| child(index, field));
                Self::Union(named(fields.iter().map(|(_, field)| field.as_ref()), types))
            }
            _ => Self::of_arrow(arrow),
        }
    }

    /// Returns the type of an Arrow field, from its data type and its extension metadata.
    #[must_use]
    pub fn of_arrow(field: &Field) -> Self {
        let metadata = |key: &str| field.metadata().get(key).map_or("", String::as_str);
        let extension = metadata("ARROW:extension:name");
        let vendor = metadata("ARROW:extension:metadata");
        let opaque = |name: &str| {
            extension == "arrow.opaque" && vendor.contains(&format!("\"type_name\":\"{name}\""))
        };
        let of = |field: &Field| Box::new(Self::of_arrow(field));
        match field.data_type() {
            DataType::Null => Self::Null,
            DataType::Int8 if extension == "arrow.bool8" => Self::Boolean,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::BigInt,
            DataType::UInt8 => Self::UTinyInt,
            DataType::UInt16 => Self::USmallInt,
            DataType::UInt32 => Self::UInteger,
            DataType::UInt64 => Self::UBigInt,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(width, scale)
            | DataType::Decimal64(width, scale)
            | DataType::Decimal128(width, scale) => Self::Decimal { width: *width, scale: *scale },
            DataType::Date32 => Self::Date,
            DataType::Time64(TimeUnit::Nanosecond) => Self::TimeNs,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(TimeUnit::Second, None) => Self::TimestampS,
            DataType::Timestamp(TimeUnit::Millisecond, None) => Self::TimestampMs,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Self::TimestampNs,
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => Self::TimestampTzNs,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                if extension == "arrow.json" =>
            {
                Self::Json
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Varchar,
            DataType::FixedSizeBinary(16) if extension == "arrow.uuid" => Self::Uuid,
            DataType::FixedSizeBinary(16) if opaque("hugeint") => Self::HugeInt,
            DataType::FixedSizeBinary(16) if opaque("uhugeint") => Self::UHugeInt,
            DataType::FixedSizeBinary(8) if opaque("time_tz") => Self::TimeTz,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView if opaque("bit") => {
                Self::Bit
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView if opaque("bignum") => {
                Self::Bignum
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView
                if extension == "geoarrow.wkb" =>
            {
                Self::Geometry
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Blob,
            DataType::Dictionary(_, _) => Self::Enum,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => Self::List(of(item)),
            DataType::FixedSizeList(item, size) => Self::Array(of(item), *size),
            DataType::Struct(fields) => Self::Struct(
                fields.iter().map(|field| (field.name().clone(), *of(field))).collect(),
            ),
            DataType::Union(fields, _) => Self::Union(
                fields.iter().map(|(_, field)| (field.name().clone(), *of(field))).collect(),
            ),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Self::Map(of(&pair[0]), of(&pair[1])),
                other => Self::Other(other.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }

    /// Returns whether values are numbers: shown right-aligned, and suitable for the y axis of a
    /// chart.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float | Self::Double | Self::Decimal { .. })
    }

    /// Returns whether values are integers.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            Self::TinyInt
                | Self::SmallInt
                | Self::Integer
                | Self::BigInt
                | Self::HugeInt
                | Self::UTinyInt
                | Self::USmallInt
                | Self::UInteger
                | Self::UBigInt
                | Self::UHugeInt
                | Self::Bignum
        )
    }

    /// Returns whether values are timestamps with a time zone.
    #[must_use]
    pub fn is_zoned(&self) -> bool {
        matches!(self, Self::TimestampTz | Self::TimestampTzNs)
    }

    /// Returns whether values are dates or timestamps, suitable for a time axis. Times of day and
    /// intervals are not.
    #[must_use]
    pub fn is_temporal(&self) -> bool {
        matches!(
            self,
            Self::Date
                | Self::Timestamp
                | Self::TimestampS
                | Self::TimestampMs
                | Self::TimestampNs
                | Self::TimestampTz
                | Self::TimestampTzNs
        )
    }

    /// Returns whether values are text that can be the name of a JSON field.
    pub(super) fn is_name(&self) -> bool {
        matches!(self, Self::Varchar | Self::Enum | Self::Uuid)
    }

    /// Returns the types of the members, in order: one for lists and arrays, two for maps.
    pub(super) fn children(&self) -> Vec<&Self> {
        match self {
            Self::List(item) | Self::Array(item, _) => vec![item],
            Self::Struct(fields) | Self::Union(fields) => {
                fields.iter().map(|(_, kind)| kind).collect()
            }
            Self::Tuple(types) => types.iter().collect(),
            Self::Map(key, value) => vec![key, value],
            _ => Vec::new(),
        }
    }
}

fn named<'a>(
    fields: impl Iterator<Item = &'a Field>,
    types: impl Iterator<Item = DuckType>,
) -> Vec<(String, DuckType)> {
    fields.map(|field| field.name().clone()).zip(types).collect()
}

impl Display for DuckType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "\"NULL\"",
            Self::Boolean => "BOOLEAN",
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::Integer => "INTEGER",
            Self::BigInt => "BIGINT",
            Self::HugeInt => "HUGEINT",
            Self::UTinyInt => "UTINYINT",
            Self::USmallInt => "USMALLINT",
            Self::UInteger => "UINTEGER",
            Self::UBigInt => "UBIGINT",
            Self::UHugeInt => "UHUGEINT",
            Self::Bignum => "BIGNUM",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::TimeNs => "TIME_NS",
            Self::TimeTz => "TIME WITH TIME ZONE",
            Self::Timestamp => "TIMESTAMP",
            Self::TimestampS => "TIMESTAMP_S",
            Self::TimestampMs => "TIMESTAMP_MS",
            Self::TimestampNs => "TIMESTAMP_NS",
            Self::TimestampTz => "TIMESTAMP WITH TIME ZONE",
            Self::TimestampTzNs => "TIMESTAMPTZ_NS",
            Self::Interval => "INTERVAL",
            Self::Varchar => "VARCHAR",
            Self::Json => "JSON",
            Self::Uuid => "UUID",
            Self::Blob => "BLOB",
            Self::Bit => "BIT",
            Self::Geometry => "GEOMETRY",
            Self::Enum => "ENUM",
            Self::Other(name) => name,
            Self::Decimal { width, scale } => return write!(f, "DECIMAL({width},{scale})"),
            Self::List(item) => return write!(f, "{item}[]"),
            Self::Array(item, size) => return write!(f, "{item}[{size}]"),
            Self::Map(key, value) => return write!(f, "MAP({key}, {value})"),
            Self::Struct(fields) if fields.is_empty() => "STRUCT",
            Self::Struct(fields) => {
                return members(f, "STRUCT", fields.iter().map(|(name, kind)| (Some(name), kind)));
            }
            Self::Union(fields) => {
                return members(f, "UNION", fields.iter().map(|(name, kind)| (Some(name), kind)));
            }
            Self::Tuple(types) => {
                return members(f, "TUPLE", types.iter().map(|kind| (None, kind)));
            }
        })
    }
}

fn members<'a>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    members: impl Iterator<Item = (Option<&'a String>, &'a DuckType)>,
) -> fmt::Result {
    f.write_str(kind)?;
    f.write_char('(')?;
    for (index, (name, data_type)) in members.enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        match name {
            Some(name) if is_plain(name) => write!(f, "{name} ")?,
            Some(name) => write!(f, "{} ", crate::sql::ident(name))?,
            None => {}
        }
        write!(f, "{data_type}")?;
    }
    f.write_char(')')
}

/// Returns whether SQL accepts the name without quotes.
fn is_plain(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    starts && word && !RESERVED.split(' ').any(|keyword| keyword.eq_ignore_ascii_case(name))
}

/// The reserved words of `duckdb_keywords()` in DuckDB 2.0.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default \
                        deferrable desc describe distinct do else end except false fetch for foreign from group having in initially \
                        intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider \
                        placing primary qualify references returning select show some summarize symmetric table then to trailing true \
                        union unique unpivot using variadic when where window with";

impl Serialize for DuckType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
