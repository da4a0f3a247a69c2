//! One binary that runs the real command, as its user would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and skips with a printed reason"
)]
#![allow(clippy::format_push_string, clippy::single_match_else, clippy::unused_self, reason = "what reads most plainly will do in a test")]

mod alerts;
mod api;
mod audits;
mod beside_writers;
mod bootstrap;
mod browser;
mod child;
mod cli;
mod crash;
mod dashboards;
mod demo;
mod disk;
mod documents;
mod export;
mod exporter;
mod extract;
mod growth;
mod histories;
mod incremental;
mod input;
mod kept;
mod lake;
mod lake_addresses;
mod lake_crash;
mod lake_deployment;
mod lake_exports;
mod lake_extensions;
mod lake_failures;
mod lake_generations;
mod lake_migrate;
mod lake_outsider;
mod lake_place;
mod lake_readers;
mod lake_rivals;
mod lake_servers;
mod lake_values;
mod metrics;
mod names;
mod operations;
mod outside;
mod outsider;
mod pipelines;
#[allow(dead_code, reason = "some of it is for the tests beside the accounts")]
mod postgres;
mod python;
mod read_only;
mod reader;
mod reader_limits;
mod receiver;
mod refusals;
mod revisions;
mod rollbacks;
mod s3;
mod screen;
mod servers;
mod site_log;
mod soak;
mod sources;
mod sqlmesh;
mod support;
mod table_query;
mod tampering;
mod terminal;
mod tui;
mod turns;
mod types;
mod unchanged;
mod users;
mod walls;
mod web;
mod wire;
mod xfs;
