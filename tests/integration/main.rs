//! One binary that runs the real command, as its user would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and skips with a printed reason"
)]

mod child;
mod crash;
mod disk;
mod export;
mod exporter;
mod kept;
mod outsider;
mod support;
mod turns;
