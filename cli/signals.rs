//! Ctrl-C and SIGTERM: the first signal stops the running work and cleans up, the second one ends
//! the process immediately.

use materia::cancel::CancellationToken;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Returns the exit code that reports the signal to a shell.
pub(super) fn exit_code(cancel: &CancellationToken) -> Option<u8> {
    cancel.signal().map(|signal| signal.saturating_add(128))
}

/// Connects the process's signals to `cancel`.
pub(super) fn watch(cancel: &CancellationToken) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            if cancel.is_cancelled() {
                // Skips the usual exit handlers, which would destroy DuckDB while it is running.
                signal_hook::low_level::exit(128 + signal);
            }
            cancel.cancel_by_signal(number(signal));
        }
    });
    Ok(())
}

/// Forwards the process's signals to the running pipelines, including SIGHUP, which pipelines do
/// not receive otherwise.
pub(super) fn watch_pipelines(stop: &CancellationToken) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            stop.cancel_by_signal(number(signal));
        }
    });
    Ok(())
}

fn number(signal: i32) -> u8 {
    u8::try_from(signal).unwrap_or(15)
}
