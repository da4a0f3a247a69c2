//! Tests of the dashboard without a terminal, a thread or a database.

mod drawing;
pub(crate) mod fixture;
#[allow(clippy::too_many_lines, reason = "a panel of every kind")]
mod fixture_dashboard;
#[allow(
    clippy::too_many_lines,
    clippy::match_same_arms,
    reason = "one line for each key, in the order of the help"
)]
mod help;
mod input;
mod states;
