//! What customers may have of the tables: the same for the pages and the API.

mod answer;
mod download;
mod state;

pub(crate) use answer::{Sizes, TableRows, file, json, sizes, summary};
pub(crate) use download::{Download, Downloads, Refused, file_name, tag};
pub(crate) use state::State;
