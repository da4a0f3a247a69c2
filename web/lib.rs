//! The web site: pages and API for customers, and access to them.

mod accept_loop;
mod accounts;
mod alerts;
mod api;
mod app;
mod assets;
mod check;
mod client_ip;
mod components;
mod conditions;
mod connection;
mod dashboards;
mod data;
mod digests;
mod error;
mod events;
mod forwarded;
pub mod log;
mod metrics;
mod page;
mod page_cache;
mod pages;
mod png;
mod preview;
mod printer;
mod rate_limit;
mod request_body;
mod request_metrics;
mod router;
mod routes;
mod security;
mod server;
mod shared_service;
mod site_reader;
mod view_counter;
mod viewer;

pub use accounts::{
    Account, Accounts, Actor, Email, SqlClient, SqlKeyError, TransferReport, backup, copy_backup,
    restore, transfer,
};
pub use app::Clock;
pub use check::{CheckOutcome, CheckReport, CheckScope, check};
pub use preview::{PreviewNews, preview};
pub use server::{Activation, run};
pub use viewer::Role;

#[cfg(test)]
mod tests;
