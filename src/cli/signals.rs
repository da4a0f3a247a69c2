//! Ctrl-C and SIGTERM: the first asks what is at work to stop and clean up, the second ends it at once.

use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

use materia::{export::Cancel, pipeline::Stop};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Which signal asked to stop, if any.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<AtomicI32>);

impl Stopped {
    /// The exit code that tells a shell about the signal.
    pub(super) fn exit_code(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|signal| *signal > 0).map(|signal| 128 + signal)
    }
}

/// Connects the process's signals to `cancel`.
pub(super) fn watch(cancel: &Cancel) -> std::io::Result<Stopped> {
    let stopped = Stopped::default();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (cancel, first) = (cancel.clone(), stopped.clone());
    std::thread::spawn(move || {
        for signal in &mut signals {
            if cancel.requested() {
                // Without the usual way out, on which DuckDB would be taken apart while it is at work.
                signal_hook::low_level::exit(128 + signal);
            }
            first.0.store(signal, Ordering::SeqCst);
            cancel.cancel();
        }
    });
    Ok(stopped)
}

/// Passes the process's signals on to the pipelines that run. The end of the terminal is one too: nobody else would tell them.
pub(super) fn watch_pipelines(stop: &Stop) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            stop.ask(u8::try_from(signal).unwrap_or(15));
        }
    });
    Ok(())
}
