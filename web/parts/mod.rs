//! What pages are put together from.

mod document;
mod errors;
mod forms;

pub(crate) use document::document;
pub(crate) use errors::error_page;
pub(crate) use forms::{Field, button, field, notice};
