//! Classifies columns by the operations that their types support.

use std::fmt::{self, Display};

use serde::Serialize;

/// A class of column types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TypeClass {
    /// Integers of any size.
    #[serde(rename = "whole")]
    Integer,
    Decimal {
        /// The number of decimals.
        scale: u8,
    },
    Float {
        /// Whether they have 32 rather than 64 bits.
        single: bool,
    },
    /// Dates, timestamps and times of day.
    #[serde(rename = "time")]
    Temporal,
    Text,
    /// Members of an ENUM, read as text.
    Label,
    Boolean,
    Uuid,
    /// Lists, structs, binary data and all other types, which can only be tested for null.
    Other,
}

/// An operator of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    Eq,
    /// Not equal; false for nulls.
    Neq,
    Gt,
    /// Greater than or equal.
    Gte,
    Lt,
    /// Less than or equal.
    Lte,
    /// Equal to one of several.
    In,
    /// Contains a text, ignoring case.
    Contains,
    /// Matches a pattern in which `*` is a wildcard.
    Like,
    /// Like `Like`, ignoring case.
    Ilike,
    Is,
}

impl Operator {
    pub const ALL: [Self; 11] = [
        Self::Eq,
        Self::Neq,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::In,
        Self::Contains,
        Self::Like,
        Self::Ilike,
        Self::Is,
    ];

    /// Returns the name in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::In => "in",
            Self::Contains => "contains",
            Self::Like => "like",
            Self::Ilike => "ilike",
            Self::Is => "is",
        }
    }

    /// Returns the operator of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

impl Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TypeClass {
    /// Returns the class of a type in DuckDB's notation.
    #[must_use]
    pub fn of(data_type: &str) -> Self {
        if let Some(inner) =
            data_type.strip_prefix("DECIMAL(").and_then(|rest| rest.strip_suffix(')'))
        {
            let scale = inner.split_once(',').and_then(|(_, scale)| scale.trim().parse().ok());
            return scale.map_or(Self::Other, |scale| Self::Decimal { scale });
        }
        match data_type {
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT"
            | "USMALLINT" | "UINTEGER" | "UBIGINT" | "UHUGEINT" | "BIGNUM" => Self::Integer,
            "FLOAT" | "DOUBLE" => Self::Float { single: data_type == "FLOAT" },
            "DATE"
            | "TIME"
            | "TIME_NS"
            | "TIMESTAMP"
            | "TIMESTAMP_S"
            | "TIMESTAMP_MS"
            | "TIMESTAMP_NS"
            | "TIMESTAMP WITH TIME ZONE" => Self::Temporal,
            "VARCHAR" => Self::Text,
            "BOOLEAN" => Self::Boolean,
            "UUID" => Self::Uuid,
            label if label.starts_with("ENUM(") && label.ends_with(')') => Self::Label,
            _ => Self::Other,
        }
    }

    /// Returns the operators that such a column supports.
    #[must_use]
    pub fn operators(self) -> &'static [Operator] {
        use Operator::{Contains, Eq, Gt, Gte, Ilike, In, Is, Like, Lt, Lte, Neq};
        match self {
            Self::Integer | Self::Decimal { .. } | Self::Float { .. } | Self::Temporal => {
                &[Eq, Neq, Gt, Gte, Lt, Lte, In, Is]
            }
            Self::Text => &Operator::ALL,
            Self::Label => &[Eq, Neq, In, Contains, Like, Ilike, Is],
            Self::Boolean => &[Eq, Neq, Is],
            Self::Uuid => &[Eq, Neq, In, Is],
            Self::Other => &[Is],
        }
    }

    /// Returns whether rows can be ordered by such a column.
    #[must_use]
    pub fn is_sortable(self) -> bool {
        self != Self::Other
    }

    /// Returns whether the values are numbers that support arithmetic.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal { .. } | Self::Float { .. })
    }

    /// Returns whether values are compared as text.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Label)
    }

    /// Returns an example value for error messages.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Integer => "a whole number such as 2020",
            Self::Decimal { .. } => {
                "a number such as 12.5, with no more decimals than the column has"
            }
            Self::Float { .. } => "a number such as 12.5, nan or inf",
            Self::Temporal => "a day or time such as 2020-01-31 or 2020-01-31T12:00:00",
            Self::Text | Self::Label => "text",
            Self::Boolean => "true or false",
            Self::Uuid => "a UUID such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            Self::Other => "null",
        }
    }

    /// Returns whether a text can be such a value, before the engine is consulted: its casts round
    /// and guess, which a query must not.
    pub(super) fn can_parse(self, text: &str) -> bool {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        match self {
            Self::Integer => digits(unsigned),
            Self::Decimal { scale } => {
                let (whole, behind) = unsigned.split_once('.').unwrap_or((unsigned, ""));
                let fits = behind.trim_end_matches('0').len() <= usize::from(scale);
                fits && (digits(whole) && (behind.is_empty() || digits(behind))
                    || whole.is_empty() && digits(behind))
            }
            // The cast rounds a number that is too large to infinity.
            Self::Float { single } => text.parse::<f64>().is_ok_and(|number| {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "to see whether it becomes infinite"
                )]
                let finite = if single { (number as f32).is_finite() } else { number.is_finite() };
                finite || !unsigned.starts_with(|char: char| char.is_ascii_digit() || char == '.')
            }),
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Uuid => text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'),
            // DuckDB rejects a time zone if the type has none; it validates everything else itself.
            Self::Temporal => text
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'i')),
            Self::Text | Self::Label => true,
            Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_rounded_into_another_question() {
        assert!(
            TypeClass::Integer.can_parse("-7")
                && !TypeClass::Integer.can_parse("1.5")
                && !TypeClass::Integer.can_parse("1e3")
                && !TypeClass::Integer.can_parse("")
        );
        let cents = TypeClass::of("DECIMAL(10,2)");
        assert!(
            cents.can_parse("1.50")
                && cents.can_parse(".5")
                && cents.can_parse("1.")
                && !cents.can_parse("1.005")
                && !cents.can_parse(".")
                && !cents.can_parse("1e2")
        );
        let float = TypeClass::of("FLOAT");
        assert!(
            float.can_parse("1e-3")
                && float.can_parse("nan")
                && float.can_parse("-inf")
                && !float.can_parse("1,5")
                && !float.can_parse("1e39")
        );
    }

    #[test]
    fn only_types_that_are_known_whole_are_cast_to() {
        assert_eq!(TypeClass::of("INTEGER[]"), TypeClass::Other);
        assert_eq!(TypeClass::of("DECIMAL(10,2)[]"), TypeClass::Other);
        assert_eq!(TypeClass::of("STRUCT(a INTEGER)"), TypeClass::Other);
        assert_eq!(TypeClass::of("ENUM('a', 'b')[]"), TypeClass::Other);
        assert_eq!(TypeClass::of("JSON"), TypeClass::Other);
    }
}
