//! What pages are put together from.

pub(crate) mod chart;
mod document;
mod errors;
mod filters;
mod forms;
pub(crate) mod freshness;
pub(crate) mod markdown;
mod moments;
mod panel;
mod plans;
mod scroll;

pub(crate) use document::document;
pub(crate) use errors::error_page;
pub(crate) use filters::filters;
pub(crate) use forms::{Field, button, field, notice};
pub(crate) use freshness::{Freshness, ago, name as generation_name};
pub(crate) use moments::{moment, since};
pub(crate) use panel::panel;
pub(crate) use plans::{plan_title, plans};
pub(crate) use scroll::scroll;
