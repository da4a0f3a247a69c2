//! A single test binary that runs the real command as its user would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and skips with a printed reason"
)]
#![allow(
    clippy::format_push_string,
    clippy::single_match_else,
    clippy::unused_self,
    reason = "what reads most plainly will do in a test"
)]

mod alerts;
mod api;
mod audits;
mod bootstrap;
mod browser;
mod child;
mod cli;
mod compatibility;
mod concurrency;
mod concurrent_writers;
mod conditions;
mod copies;
mod crash;
mod dashboards;
mod demo;
mod diff;
mod disk;
mod doctor;
mod documents;
mod downloads;
mod duckdb_versions;
mod export;
mod exporter;
mod exposure;
mod external_files;
mod extract;
mod generations;
mod growth;
mod histories;
mod http_receiver;
mod identifiers;
mod incremental;
mod init;
mod input;
mod invariants;
mod json_docs;
mod lake;
mod lake_addresses;
mod lake_checks;
mod lake_concurrency;
mod lake_crash;
mod lake_deployment;
mod lake_exports;
mod lake_extensions;
mod lake_failures;
mod lake_foreign_reader;
mod lake_generations;
mod lake_migrate;
mod lake_moves;
mod lake_others;
mod lake_owners;
mod lake_permissions;
mod lake_readers;
mod lake_servers;
mod lake_storage;
mod lake_targets;
mod lake_values;
mod litestream;
mod metrics;
mod normalized_output;
mod operations;
mod packages;
mod pipelines;
mod postgres_endpoint;
mod postgres_isolation;
#[allow(dead_code, reason = "some of it is for the tests of accounts")]
mod postgres_server;
mod python;
mod python_module;
mod read_only;
mod reader;
mod reader_limits;
mod real_pipelines;
mod recipes;
mod reflink;
mod refusals;
mod repository;
mod revisions;
mod rollbacks;
mod s3;
mod security;
mod servers;
mod site_failures;
mod site_limits;
mod site_log;
mod soak;
mod sources;
mod supply_chain;
mod support;
mod table_query;
mod tampering;
mod tcp_proxy;
mod terminal;
mod tui;
mod types;
mod unchanged;
mod users;
mod web;
