//! Queries of tables by customers, without SQL: only names of the served catalog, operators and
//! bound values.
//!
//! [`ParsedRequest::parse`] parses the parameters of a URL (`PostgREST`'s grammar) for one
//! [`TableInfo`](crate::reader::TableInfo). It returns a [`ParsedRequest`], or an error with the
//! invalid parameter, its value, and the allowed ones. Its [`TableQuery`] becomes queries for the
//! reader. [`access`] determines which tables a plan may read, and from which year on.

pub mod access;
mod cursor;
mod error;
mod filter;
mod layout;
mod list_syntax;
mod parameters;
mod query;
mod type_class;

pub use cursor::{Cursor, CursorError};
pub use error::{ParameterError, TableQueryError};
pub use filter::{ColumnFilter, Comparison, Predicate};
pub use layout::{Forms, TableLayout};
pub use parameters::{
    IGNORED_PARAMS, MAX_OFFSET, MAX_ORDER_KEYS, PageBounds, ParsedRequest, quoted,
};
pub use query::{FromYear, Nulls, Order, PageStart, TableQuery};
pub use type_class::{Operator, TypeClass};
