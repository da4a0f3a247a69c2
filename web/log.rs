//! The log: one line for each event on standard error, for people or as JSON.

use std::io::{IsTerminal, stderr};

use materia::settings::LogFormat;
use tracing_subscriber::EnvFilter;

/// Starts the log, for people on a terminal and for machines elsewhere unless told. `RUST_LOG` chooses what is told; by default everything from
/// `info` on.
pub(crate) fn start(format: Option<LogFormat>) {
    let format = format.unwrap_or(if stderr().is_terminal() { LogFormat::Plain } else { LogFormat::Json });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    // Somebody may have started one before, in tests: theirs stays.
    let _ = match format {
        LogFormat::Plain => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).try_init(),
    };
}
