//! The components that pages are composed of.

pub(crate) mod chart;
mod column_type;
mod document;
mod errors;
mod filters;
mod forms;
pub(crate) mod freshness;
pub(crate) mod markdown;
mod panel;
mod panel_image;
mod panel_menu;
mod pricing;
mod scroll;
mod time;

pub(crate) use column_type::type_without_values;
pub(crate) use document::document;
pub(crate) use errors::error_page;
pub(crate) use filters::{FilteredPage, filters, filters_in_words};
pub(crate) use forms::{Field, button, field, notice};
pub(crate) use freshness::{Freshness, ago, name as generation_name};
pub(crate) use panel::{formula_id, locked_banner, panel, panel_in_row, widest_chart_in_row};
pub(crate) use panel_image::{Caption, has_image, panel_image};
pub(crate) use panel_menu::PanelLinks;
pub(crate) use pricing::{plan_title, plans};
pub(crate) use scroll::scroll;
pub(crate) use time::{date, moment, since};
