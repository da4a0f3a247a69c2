//! DuckDB's types as PostgreSQL's.
//!
//! | DuckDB | PostgreSQL |
//! |---|---|
//! | BOOLEAN | bool |
//! | TINYINT, UTINYINT, SMALLINT | int2 |
//! | USMALLINT, INTEGER | int4 |
//! | UINTEGER, BIGINT | int8 |
//! | UBIGINT, HUGEINT, UHUGEINT, BIGNUM, DECIMAL | numeric |
//! | FLOAT, DOUBLE | float4, float8 |
//! | DATE, TIME, TIMETZ | date, time, timetz |
//! | TIMESTAMP of any precision, TIMESTAMPTZ | timestamp, timestamptz, in microseconds |
//! | INTERVAL | interval |
//! | VARCHAR, ENUM, GEOMETRY (WKT) | text |
//! | UUID, BLOB, BIT, JSON | uuid, bytea, varbit, json |
//! | LIST and ARRAY of these | an array |
//! | STRUCT, MAP, UNION, TUPLE, LIST of LIST or of these | jsonb, as in the site's API |

use materia::values::DuckType;

/// The oid of a type, and of the array of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) oid: u32,
    pub(crate) array: u32,
    /// Bytes of a value; negative where they vary.
    pub(crate) size: i16,
    pub(crate) name: &'static str,
}

macro_rules! types {
    ($($constant:ident = $oid:literal, $array:literal, $size:literal, $name:literal;)*) => {
        $(pub(crate) const $constant: PgType =
            PgType { oid: $oid, array: $array, size: $size, name: $name };)*
        /// Every type that a column may have.
        pub(crate) const ALL: &[PgType] = &[$($constant),*];
    };
}

types! {
    BOOL = 16, 1000, 1, "bool";
    BYTEA = 17, 1001, -1, "bytea";
    CHAR = 18, 1002, 1, "char";
    NAME = 19, 1003, 64, "name";
    INT8 = 20, 1016, 8, "int8";
    INT2 = 21, 1005, 2, "int2";
    INT4 = 23, 1007, 4, "int4";
    TEXT = 25, 1009, -1, "text";
    OID = 26, 1028, 4, "oid";
    JSON = 114, 199, -1, "json";
    FLOAT4 = 700, 1021, 4, "float4";
    FLOAT8 = 701, 1022, 8, "float8";
    UNKNOWN = 705, 0, -2, "unknown";
    BPCHAR = 1042, 1014, -1, "bpchar";
    VARCHAR = 1043, 1015, -1, "varchar";
    DATE = 1082, 1182, 4, "date";
    TIME = 1083, 1183, 8, "time";
    TIMESTAMP = 1114, 1115, 8, "timestamp";
    TIMESTAMPTZ = 1184, 1185, 8, "timestamptz";
    INTERVAL = 1186, 1187, 16, "interval";
    TIMETZ = 1266, 1270, 12, "timetz";
    VARBIT = 1562, 1563, -1, "varbit";
    NUMERIC = 1700, 1231, -1, "numeric";
    UUID = 2950, 2951, 16, "uuid";
    JSONB = 3802, 3807, -1, "jsonb";
}

/// How a column is described to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) base: PgType,
    pub(crate) is_array: bool,
    pub(crate) modifier: i32,
}

impl ColumnType {
    fn plain(base: PgType) -> Self {
        Self { base, is_array: false, modifier: -1 }
    }

    pub(crate) fn oid(self) -> u32 {
        if self.is_array { self.base.array } else { self.base.oid }
    }

    pub(crate) fn size(self) -> i16 {
        if self.is_array { -1 } else { self.base.size }
    }

    /// Returns the type of a column.
    pub(crate) fn of(duck: &DuckType) -> Self {
        match duck {
            DuckType::List(item) | DuckType::Array(item, _) => {
                let item = Self::of(item);
                if item.is_array || item.base == JSONB {
                    Self::plain(JSONB)
                } else {
                    Self { is_array: true, ..item }
                }
            }
            DuckType::Decimal { width, scale } => Self {
                modifier: decimal_modifier((*width).into(), (*scale).into()),
                ..Self::plain(NUMERIC)
            },
            _ => Self::plain(base_of(duck)),
        }
    }

    /// Returns the type of a column that DuckDB spells like this.
    pub(crate) fn of_name(spelling: &str) -> Self {
        let spelling = spelling.trim();
        if spelling.ends_with(']')
            && let Some(open) = spelling.rfind('[')
        {
            let item = Self::of_name(&spelling[..open]);
            return if item.is_array || item.base == JSONB {
                Self::plain(JSONB)
            } else {
                Self { is_array: true, ..item }
            };
        }
        if let Some(parts) =
            spelling.strip_prefix("DECIMAL(").and_then(|rest| rest.strip_suffix(')'))
        {
            let mut parts = parts.split(',').map(|part| part.trim().parse().unwrap_or(0));
            let (width, scale) = (parts.next().unwrap_or(18), parts.next().unwrap_or(0));
            return Self { modifier: decimal_modifier(width, scale), ..Self::plain(NUMERIC) };
        }
        let name = spelling.split('(').next().unwrap_or_default();
        Self::plain(match name {
            "BOOLEAN" => BOOL,
            "TINYINT" | "UTINYINT" | "SMALLINT" => INT2,
            "USMALLINT" | "INTEGER" => INT4,
            "UINTEGER" | "BIGINT" => INT8,
            "UBIGINT" | "HUGEINT" | "UHUGEINT" | "BIGNUM" | "VARINT" | "DECIMAL" => NUMERIC,
            "FLOAT" => FLOAT4,
            "DOUBLE" => FLOAT8,
            "DATE" => DATE,
            "TIME" | "TIME_NS" => TIME,
            "TIME WITH TIME ZONE" => TIMETZ,
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => TIMESTAMP,
            "TIMESTAMP WITH TIME ZONE" | "TIMESTAMPTZ_NS" => TIMESTAMPTZ,
            "INTERVAL" => INTERVAL,
            "UUID" => UUID,
            "BLOB" => BYTEA,
            "BIT" => VARBIT,
            "JSON" => JSON,
            "STRUCT" | "MAP" | "UNION" | "TUPLE" | "ROW" => JSONB,
            _ => TEXT,
        })
    }
}

fn decimal_modifier(width: i32, scale: i32) -> i32 {
    (width << 16 | scale) + 4
}

fn base_of(duck: &DuckType) -> PgType {
    match duck {
        DuckType::Boolean => BOOL,
        DuckType::TinyInt | DuckType::UTinyInt | DuckType::SmallInt => INT2,
        DuckType::USmallInt | DuckType::Integer => INT4,
        DuckType::UInteger | DuckType::BigInt => INT8,
        DuckType::UBigInt | DuckType::HugeInt | DuckType::UHugeInt | DuckType::Bignum => NUMERIC,
        DuckType::Float => FLOAT4,
        DuckType::Double => FLOAT8,
        DuckType::Date => DATE,
        DuckType::Time | DuckType::TimeNs => TIME,
        DuckType::TimeTz => TIMETZ,
        DuckType::Timestamp
        | DuckType::TimestampS
        | DuckType::TimestampMs
        | DuckType::TimestampNs => TIMESTAMP,
        DuckType::TimestampTz | DuckType::TimestampTzNs => TIMESTAMPTZ,
        DuckType::Interval => INTERVAL,
        DuckType::Uuid => UUID,
        DuckType::Blob => BYTEA,
        DuckType::Bit => VARBIT,
        DuckType::Json => JSON,
        DuckType::Struct(_) | DuckType::Tuple(_) | DuckType::Map(..) | DuckType::Union(_) => JSONB,
        _ => TEXT,
    }
}

/// Returns the type with this oid, and whether it is its array.
pub(crate) fn find(oid: u32) -> Option<(PgType, bool)> {
    ALL.iter().find_map(|known| {
        (known.oid == oid)
            .then_some((*known, false))
            .or_else(|| (known.array == oid && oid != 0).then_some((*known, true)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_the_same_by_its_spelling_and_as_the_engine_knows_it() {
        let decimal = DuckType::Decimal { width: 10, scale: 2 };
        for (spelling, duck) in [
            ("UBIGINT", DuckType::UBigInt),
            ("DECIMAL(10,2)", decimal.clone()),
            ("DECIMAL(10,2)[]", DuckType::List(Box::new(decimal))),
            ("INTEGER[3]", DuckType::Array(Box::new(DuckType::Integer), 3)),
            ("STRUCT(a INTEGER)", DuckType::Struct(vec![("a".to_owned(), DuckType::Integer)])),
            ("INTEGER[][]", DuckType::List(Box::new(DuckType::List(Box::new(DuckType::Integer))))),
            ("ENUM('a', 'b')", DuckType::Enum),
            ("TIMESTAMP WITH TIME ZONE", DuckType::TimestampTz),
        ] {
            assert_eq!(ColumnType::of_name(spelling), ColumnType::of(&duck), "{spelling}");
        }
    }
}
