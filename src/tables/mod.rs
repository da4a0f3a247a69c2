//! Tables as customers ask about them: no SQL, only names of the served catalog, operators and bound values.
//!
//! [`Asked::parse`] reads parameters as they stand in addresses (`PostgREST`'s grammar) against one [`TableInfo`](crate::reader::TableInfo), and
//! either gives an [`Asked`] or says which parameter is wrong, what it was, and what is allowed. Its [`TableQuery`] becomes questions for the
//! reader. [`access`] says which tables a plan sees, and from which year on.

pub mod access;
mod cursor;
mod filter;
mod grammar;
mod kind;
mod mistake;
mod parameters;
mod query;

pub use cursor::{Cursor, CursorError};
pub use filter::{Comparison, Filter, Test};
pub use kind::{Kind, Operator};
pub use mistake::{AskError, Mistake};
pub use parameters::{Asked, Bounds, MOST_OFFSET, OTHERS, quoted};
pub use query::{Layout, Nulls, Order, Place, Since, TableQuery};
