//! materia publishes a DuckDB lakehouse's serving layer, shows it to operators in the terminal and to customers on the web.
//!
//! This library decides what is true; it knows no terminal, no HTML and no process environment.

pub mod alert;
pub mod dashboard;
pub mod demo;
pub mod download;
pub mod export;
pub mod extensions;
pub mod files;
pub mod glob;
pub mod guard;
pub mod idle_tables;
pub mod lake;
pub mod lock;
pub mod pipeline;
pub mod plan;
pub mod reader;
pub mod settings;
pub mod sql;
pub mod status;
pub mod tables;
pub mod target;
pub mod toml_file;
pub mod values;
pub mod words;
