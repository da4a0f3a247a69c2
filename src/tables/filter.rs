//! Conditions on columns, and the SQL they become.

use super::kind::Kind;
use crate::{
    reader::{ColumnInfo, Param, Query},
    sql,
};

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The column, by its place in the table.
    pub column: usize,
    /// Whether rows are wanted for which the test fails; nulls neither pass nor fail.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// What is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Compared with one value.
    Compare(Comparison, String),
    /// Equal to one of several.
    OneOf(Vec<String>),
    /// Holds a text, in any case.
    Contains(String),
    /// Like a pattern in which `*` is anything.
    Like {
        /// The pattern.
        pattern: String,
        /// Whether case makes no difference.
        any_case: bool,
    },
    /// Is null.
    Null,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Filter {
    /// Every value that has to be one of the column's type.
    pub(super) fn values(&self) -> Vec<&String> {
        match &self.test {
            Test::Compare(_, value) => vec![value],
            Test::OneOf(values) => values.iter().collect(),
            Test::Contains(_) | Test::Like { .. } | Test::Null => Vec::new(),
        }
    }

    /// The condition, with `$f<number>_<n>` where values are bound.
    pub(super) fn sql(&self, column: &ColumnInfo, number: usize) -> String {
        let kind = Kind::of(&column.data_type);
        let name = name_of(column);
        let compared = if kind == Kind::Label { format!("CAST({name} AS VARCHAR)") } else { name.clone() };
        let as_text = if kind == Kind::Text { name.clone() } else { format!("CAST({name} AS VARCHAR)") };
        let value = |at: usize| typed(&format!("f{number}_{at}"), column);
        let test = match &self.test {
            Test::Compare(comparison, _) => format!("{compared} {} {}", comparison.sql(), value(0)),
            Test::OneOf(values) => format!("{compared} IN ({})", (0..values.len()).map(value).collect::<Vec<_>>().join(", ")),
            Test::Contains(_) => format!("contains(lower({as_text}), lower($f{number}_0))"),
            Test::Like { any_case, .. } => {
                format!("{as_text} {} $f{number}_0 ESCAPE '\\'", if *any_case { "ILIKE" } else { "LIKE" })
            }
            Test::Null => format!("{name} IS NULL"),
        };
        if self.negated { format!("NOT ({test})") } else { test }
    }

    /// Binds the values.
    pub(super) fn bind(&self, query: Query, number: usize) -> Query {
        let bind = |query: Query, (at, value): (usize, String)| query.bind(&format!("f{number}_{at}"), Param::Text(value));
        match &self.test {
            Test::Compare(_, value) | Test::Contains(value) => bind(query, (0, value.clone())),
            Test::OneOf(values) => values.iter().cloned().enumerate().fold(query, bind),
            Test::Like { pattern, .. } => bind(query, (0, escaped(pattern))),
            Test::Null => query,
        }
    }
}

/// A column's name in a question whose table is called `t`.
pub(super) fn name_of(column: &ColumnInfo) -> String {
    format!("t.{}", sql::ident(&column.name))
}

/// A bound value as one of the column's type. Only names of types that [`Kind`] knows whole get here.
pub(super) fn typed(parameter: &str, column: &ColumnInfo) -> String {
    if Kind::of(&column.data_type).is_text() { format!("${parameter}") } else { format!("CAST(${parameter} AS {})", column.data_type) }
}

/// SQL's own wildcards mean themselves, `*` is anything.
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
