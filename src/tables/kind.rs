//! What can be asked of a column, by its type.

use std::fmt::{self, Display};

use serde::Serialize;

/// Columns by what can be asked of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Whole numbers of any size.
    Whole,
    /// Numbers with so many decimals.
    Decimal {
        /// Digits behind the point.
        scale: u8,
    },
    /// Numbers with a floating point.
    Float {
        /// Of 32 bits, not of 64.
        single: bool,
    },
    /// Days, moments and times of day.
    Time,
    /// Text.
    Text,
    /// One of an ENUM's members, read as text.
    Label,
    /// True or false.
    Boolean,
    /// A UUID.
    Uuid,
    /// Lists, structs, bytes and whatever else can only be there or not.
    Other,
}

/// How a column is compared with values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal; nulls are neither.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// One of several.
    In,
    /// Holds a text, in any case.
    Contains,
    /// Like a pattern in which `*` is anything.
    Like,
    /// The same in any case.
    Ilike,
    /// Null.
    Is,
}

impl Operator {
    /// Every one.
    pub const ALL: [Self; 11] =
        [Self::Eq, Self::Neq, Self::Gt, Self::Gte, Self::Lt, Self::Lte, Self::In, Self::Contains, Self::Like, Self::Ilike, Self::Is];

    /// Its name in addresses.
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

    /// The operator of this name.
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

impl Kind {
    /// The kind of a type as DuckDB writes it.
    #[must_use]
    pub fn of(data_type: &str) -> Self {
        if let Some(inner) = data_type.strip_prefix("DECIMAL(").and_then(|rest| rest.strip_suffix(')')) {
            let scale = inner.split_once(',').and_then(|(_, scale)| scale.trim().parse().ok());
            return scale.map_or(Self::Other, |scale| Self::Decimal { scale });
        }
        match data_type {
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER" | "UBIGINT" | "UHUGEINT"
            | "BIGNUM" => Self::Whole,
            "FLOAT" | "DOUBLE" => Self::Float { single: data_type == "FLOAT" },
            "DATE" | "TIME" | "TIME_NS" | "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" | "TIMESTAMP WITH TIME ZONE" => {
                Self::Time
            }
            "VARCHAR" => Self::Text,
            "BOOLEAN" => Self::Boolean,
            "UUID" => Self::Uuid,
            label if label.starts_with("ENUM(") && label.ends_with(')') => Self::Label,
            _ => Self::Other,
        }
    }

    /// What such a column can be asked.
    #[must_use]
    pub fn operators(self) -> &'static [Operator] {
        use Operator::{Contains, Eq, Gt, Gte, Ilike, In, Is, Like, Lt, Lte, Neq};
        match self {
            Self::Whole | Self::Decimal { .. } | Self::Float { .. } | Self::Time => &[Eq, Neq, Gt, Gte, Lt, Lte, In, Is],
            Self::Text => &Operator::ALL,
            Self::Label => &[Eq, Neq, In, Contains, Like, Ilike, Is],
            Self::Boolean => &[Eq, Neq, Is],
            Self::Uuid => &[Eq, Neq, In, Is],
            Self::Other => &[Is],
        }
    }

    /// Whether rows can be put in the order of such a column.
    #[must_use]
    pub fn sorts(self) -> bool {
        self != Self::Other
    }

    /// Whether such values are numbers, with which one can reckon.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Decimal { .. } | Self::Float { .. })
    }

    /// Whether values are compared as text.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Label)
    }

    /// What a value looks like, for whoever gave something else.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Whole => "a whole number such as 2020",
            Self::Decimal { .. } => "a number such as 12.5, with no more decimals than the column has",
            Self::Float { .. } => "a number such as 12.5, nan or inf",
            Self::Time => "a day or time such as 2020-01-31 or 2020-01-31T12:00:00",
            Self::Text | Self::Label => "text",
            Self::Boolean => "true or false",
            Self::Uuid => "a UUID such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            Self::Other => "null",
        }
    }

    /// Whether a text can stand for such a value at all, before the engine is asked: its casts round and guess where a question must not.
    pub(super) fn reads(self, text: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        match self {
            Self::Whole => digits(unsigned),
            Self::Decimal { scale } => {
                let (whole, behind) = unsigned.split_once('.').unwrap_or((unsigned, ""));
                let fits = behind.trim_end_matches('0').len() <= usize::from(scale);
                fits && (digits(whole) && (behind.is_empty() || digits(behind)) || whole.is_empty() && digits(behind))
            }
            // A number that is too large is not infinite, though the cast says so.
            Self::Float { single } => text.parse::<f64>().is_ok_and(|number| {
                #[allow(clippy::cast_possible_truncation, reason = "to see whether it becomes infinite")]
                let finite = if single { (number as f32).is_finite() } else { number.is_finite() };
                finite || !unsigned.starts_with(|char: char| char.is_ascii_digit() || char == '.')
            }),
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Uuid => text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'),
            // DuckDB takes no time zone where the type has none, and the rest it knows best.
            Self::Time => text.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'i')),
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
        assert!(Kind::Whole.reads("-7") && !Kind::Whole.reads("1.5") && !Kind::Whole.reads("1e3") && !Kind::Whole.reads(""));
        let cents = Kind::of("DECIMAL(10,2)");
        assert!(
            cents.reads("1.50")
                && cents.reads(".5")
                && cents.reads("1.")
                && !cents.reads("1.005")
                && !cents.reads(".")
                && !cents.reads("1e2")
        );
        let float = Kind::of("FLOAT");
        assert!(float.reads("1e-3") && float.reads("nan") && float.reads("-inf") && !float.reads("1,5") && !float.reads("1e39"));
    }

    #[test]
    fn only_types_that_are_known_whole_are_cast_to() {
        assert_eq!(Kind::of("INTEGER[]"), Kind::Other);
        assert_eq!(Kind::of("DECIMAL(10,2)[]"), Kind::Other);
        assert_eq!(Kind::of("STRUCT(a INTEGER)"), Kind::Other);
        assert_eq!(Kind::of("ENUM('a', 'b')[]"), Kind::Other);
        assert_eq!(Kind::of("JSON"), Kind::Other);
    }
}
