//! What can be asked: SQL with named values, within limits.

use std::{sync::Arc, time::Duration};

use duckdb::types::Value;

/// A question: one `SELECT`, with `$name` where a value is to be put.
///
/// Table names are looked up in the served schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    pub(super) sql: Arc<str>,
    pub(super) values: Vec<(String, Param)>,
}

impl Query {
    /// A question without values.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// Gives `$name` its value; a later value of the same name wins. Values that the SQL does not use are ignored, so that one set of
    /// filters can serve every panel of a page.
    #[must_use]
    pub fn bind(mut self, name: &str, value: impl Into<Param>) -> Self {
        self.values.retain(|(known, _)| known != name);
        self.values.push((name.to_owned(), value.into()));
        self
    }
}

/// A value for a question.
#[derive(Debug, Clone)]
pub enum Param {
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number. Equal to another when all its bits are.
    Float(f64),
    /// Text.
    Text(String),
    /// Several values of one type, for `= ANY($name)`.
    List(Vec<Param>),
}

impl Param {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Boolean(*value),
            Self::Int(value) => Value::BigInt(*value),
            Self::Float(value) => Value::Double(*value),
            Self::Text(value) => Value::Text(value.clone()),
            Self::List(values) => Value::List(values.iter().map(Self::value).collect()),
        }
    }
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Param {}

impl std::hash::Hash for Param {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int(value) => value.hash(state),
            Self::Float(value) => value.to_bits().hash(state),
            Self::Text(value) => value.hash(state),
            Self::List(values) => values.hash(state),
        }
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Param {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Param {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Param>> From<Vec<T>> for Param {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// What one answer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Time DuckDB may work on it.
    pub time: Duration,
    /// Time it may wait for its turn.
    pub wait: Duration,
    /// Rows it may have.
    pub rows: usize,
    /// Bytes it may have, as Arrow.
    pub bytes: usize,
}

impl Limits {
    /// For what a page or a screen shows: 10 s, 100,000 rows, 64 MB.
    #[must_use]
    pub fn page() -> Self {
        Self { time: Duration::from_secs(10), wait: Duration::from_secs(5), rows: 100_000, bytes: 64 << 20 }
    }

    /// For whole tables, which are streamed: an hour, any number of rows.
    #[must_use]
    pub fn download() -> Self {
        Self { time: Duration::from_hours(1), wait: Duration::from_secs(10), rows: usize::MAX, bytes: usize::MAX }
    }
}
