//! Queries: SQL with named parameters, and their limits.

use std::{sync::Arc, time::Duration};

use duckdb::types::Value;

use super::Namespace;

/// A query: one `SELECT` with `$name` parameters.
///
/// Table names are resolved in the served schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    pub(super) sql: Arc<str>,
    pub(super) values: Vec<(String, Param)>,
    pub(super) namespace: Option<Arc<Namespace>>,
}

impl Query {
    /// Creates a query without parameters.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.into(), values: Vec::new(), namespace: None }
    }

    /// Resolves names in `namespace` instead of the served schema. The names of the result's columns
    /// stay as the query spells them.
    #[must_use]
    pub fn within(mut self, namespace: Arc<Namespace>) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Binds a value to `$name`; a later value of the same name wins. Values that the SQL does not
    /// use are ignored, so that one set of filters can serve every panel of a page.
    #[must_use]
    pub fn bind(mut self, name: &str, value: impl Into<Param>) -> Self {
        self.values.retain(|(known, _)| known != name);
        self.values.push((name.to_owned(), value.into()));
        self
    }
}

#[derive(Debug, Clone)]
pub enum Param {
    Null,
    Bool(bool),
    Int(i64),
    /// A number. Two numbers are equal if all their bits are equal.
    Float(f64),
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

/// Limits of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryLimits {
    /// Time that DuckDB may run the query.
    pub timeout: Duration,
    /// Time that the query may wait in the queue.
    pub queue_timeout: Duration,
    /// Maximum rows of the result.
    pub rows: usize,
    /// Maximum bytes of the result, as Arrow.
    pub bytes: usize,
}

impl QueryLimits {
    /// Returns the limits for a page or a screen: 10 s, 100,000 rows, 64 MB.
    #[must_use]
    pub fn for_page() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(5),
            rows: 100_000,
            bytes: 64 << 20,
        }
    }

    /// Returns the limits for streamed whole tables: one hour, any number of rows.
    #[must_use]
    pub fn for_download() -> Self {
        Self {
            timeout: Duration::from_hours(1),
            queue_timeout: Duration::from_secs(10),
            rows: usize::MAX,
            bytes: usize::MAX,
        }
    }
}
