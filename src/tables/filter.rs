//! Filters on columns and their translation to SQL.

use super::type_class::TypeClass;
use crate::{
    reader::{ColumnInfo, Param, Query},
    sql,
};

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnFilter {
    /// The index of the column in the table.
    pub column: usize,
    /// Whether the filter selects rows that fail the test; nulls neither pass nor fail.
    pub negated: bool,
    pub test: Predicate,
}

/// The test of a filter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Predicate {
    /// Compares with one value.
    Compare(Comparison, String),
    /// Equals one of several values.
    OneOf(Vec<String>),
    /// Contains a text, ignoring case.
    Contains(String),
    /// Matches a pattern in which `*` is a wildcard.
    Like {
        pattern: String,
        /// Whether case is ignored.
        any_case: bool,
    },
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    Unequal,
    Greater,
    AtLeast,
    Less,
    AtMost,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::AtMost => "<=",
        }
    }
}

impl ColumnFilter {
    /// Returns the values that must be valid for the column's type.
    pub(super) fn values(&self) -> Vec<&String> {
        match &self.test {
            Predicate::Compare(_, value) => vec![value],
            Predicate::OneOf(values) => values.iter().collect(),
            Predicate::Contains(_) | Predicate::Like { .. } | Predicate::Null => Vec::new(),
        }
    }

    /// Returns the condition in SQL, with `$f<number>_<n>` for bound values.
    pub(super) fn sql(&self, column: &ColumnInfo, number: usize) -> String {
        let kind = TypeClass::of(&column.data_type);
        let name = name_of(column);
        let compared = if kind == TypeClass::Label {
            format!("CAST({name} AS VARCHAR)")
        } else {
            name.clone()
        };
        let as_text =
            if kind == TypeClass::Text { name.clone() } else { format!("CAST({name} AS VARCHAR)") };
        let value = |at: usize| typed(&format!("f{number}_{at}"), column);
        let test = match &self.test {
            Predicate::Compare(comparison, _) => {
                format!("{compared} {} {}", comparison.sql(), value(0))
            }
            Predicate::OneOf(values) => format!(
                "{compared} IN ({})",
                (0..values.len()).map(value).collect::<Vec<_>>().join(", ")
            ),
            Predicate::Contains(_) => format!("contains(lower({as_text}), lower($f{number}_0))"),
            Predicate::Like { any_case, .. } => {
                format!(
                    "{as_text} {} $f{number}_0 ESCAPE '\\'",
                    if *any_case { "ILIKE" } else { "LIKE" }
                )
            }
            Predicate::Null => format!("{name} IS NULL"),
        };
        if self.negated { format!("NOT ({test})") } else { test }
    }

    pub(super) fn bind(&self, query: Query, number: usize) -> Query {
        let bind = |query: Query, (at, value): (usize, String)| {
            query.bind(&format!("f{number}_{at}"), Param::Text(value))
        };
        match &self.test {
            Predicate::Compare(_, value) | Predicate::Contains(value) => {
                bind(query, (0, value.clone()))
            }
            Predicate::OneOf(values) => values.iter().cloned().enumerate().fold(query, bind),
            Predicate::Like { pattern, .. } => bind(query, (0, escaped(pattern))),
            Predicate::Null => query,
        }
    }
}

/// Returns a column's qualified name in a query that calls the table `t`.
pub(super) fn name_of(column: &ColumnInfo) -> String {
    format!("t.{}", sql::ident(&column.name))
}

/// Returns a bound value cast to the column's type. Only types that [`TypeClass`] fully supports
/// reach this function.
pub(super) fn typed(parameter: &str, column: &ColumnInfo) -> String {
    if TypeClass::of(&column.data_type).is_text() {
        format!("${parameter}")
    } else {
        format!("CAST(${parameter} AS {})", column.data_type)
    }
}

/// Escapes SQL's wildcards and converts `*` to one.
fn escaped(pattern: &str) -> String {
    pattern.chars().fold(String::with_capacity(pattern.len()), |mut text, char| {
        match char {
            '*' => text.push('%'),
            '%' | '_' | '\\' => text.extend(['\\', char]),
            _ => text.push(char),
        }
        text
    })
}
