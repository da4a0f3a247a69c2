//! materia publishes a DuckDB lakehouse's serving layer, shows it to operators in the terminal and
//! to customers on the web.
//!
//! This library contains the domain logic; it depends on no terminal, no HTML and no process
//! environment.

pub mod alert;
pub mod bucket;
pub mod cancel;
pub mod dashboard;
pub mod demo;
pub mod digest;
pub mod download;
pub mod endpoint;
mod engine_error;
pub mod export;
pub mod extensions;
pub mod files;
pub mod glob;
pub mod guard;
pub mod humanize;
pub mod idle_tables;
pub mod links;
pub mod locale;
pub mod lock;
pub mod pipeline;
pub mod plan;
pub mod reader;
pub mod secret;
pub mod settings;
pub mod sql;
pub mod status;
pub mod store;
pub mod tables;
pub mod toml_file;
pub mod values;
