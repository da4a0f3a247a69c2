//! Dashboards as files: loaded, checked and answered here, drawn elsewhere.

mod data;

pub use data::*;
