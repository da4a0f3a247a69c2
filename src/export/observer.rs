//! Waits until no process writes a database file, and detects later writes. No lock is taken.

use std::{
    fs::File,
    io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use super::error::check_cancelled;
use super::{
    CancellationToken, ExportError, ExportJob,
    lakehouse::{self, Lakehouse},
    progress::{ExportEvent, Progress},
    state::DatabaseState,
};
use crate::{
    files,
    lock::{self, LockHolder, Writer},
    settings::HeldMode,
};

/// The longest wait beyond `--wait` for time stamps too recent to be conclusive.
const SETTLE_GRACE: Duration = Duration::from_secs(5);

/// The conditions to wait for, and the timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) limit: Duration,
    /// After this time without a write, a file that a process has open for writing may be copied.
    pub(super) held_idle: Option<Duration>,
    /// How long the file must not have been written before a copy is accepted, on filesystems
    /// without locks.
    pub(super) quiet: Duration,
}

impl Policy {
    pub(super) fn of(job: &ExportJob) -> Self {
        let held_idle = (job.held == HeldMode::Copy).then_some(job.held_idle);
        Self { limit: job.wait, held_idle, quiet: job.snapshot_quiet }
    }
}

/// Observes one database file through stat, headers and `F_OFD_GETLK`. Opens the file again each
/// time, so that a replaced file and changes made on another machine are seen; must therefore not
/// be used while DuckDB has the file open in this process.
pub(super) struct Observer<'a> {
    path: &'a Path,
    policy: Policy,
    cancel: &'a CancellationToken,
    begun: Instant,
    /// The last state, and the time at which it was first observed.
    seen: Option<(DatabaseState, Instant)>,
    /// The time since which no writer was observed and nothing was written.
    resting_since: Option<Instant>,
    longest_rest: Duration,
    /// The duration of a copy, estimated from discarded copies.
    copy_time: Option<Duration>,
    discarded: usize,
}

impl<'a> Observer<'a> {
    pub(super) fn new(path: &'a Path, policy: Policy, cancel: &'a CancellationToken) -> Self {
        Self {
            path,
            policy,
            cancel,
            begun: Instant::now(),
            seen: None,
            resting_since: None,
            longest_rest: Duration::ZERO,
            copy_time: None,
            discarded: 0,
        }
    }

    /// Waits until no process writes the file and its time stamps are old enough to reveal the next
    /// write. Reports the lock holder meanwhile.
    ///
    /// # Errors
    /// The file cannot be read, or was written throughout the timeout.
    pub(super) fn wait(&mut self, watch: &mut dyn Progress) -> Result<Lakehouse, ExportError> {
        let name =
            self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned();
        loop {
            check_cancelled(self.cancel)?;
            // DuckDB follows links too: the log is next to the file they lead to, and the catalog
            // has that file's name.
            let real = files::follow_links(self.path)
                .map_err(|source| ExportError::io("follow", self.path, source))?;
            let file = lakehouse::open(&real)?;
            lakehouse::check_header(&real, &file)?;
            let (writer, state) = probe(&real, &file)?;
            let since = self.note(&state, &writer);
            let idle = state.idle_at(SystemTime::now()).unwrap_or_default().max(since.elapsed());
            let locks = writer != Writer::Unknown;
            let (ready, held_by) = match writer {
                Writer::Held(holder) => (
                    self.policy
                        .held_idle
                        .is_some_and(|least| idle >= least.max(state.granularity())),
                    Some(holder),
                ),
                Writer::Free | Writer::Unknown => (idle > state.granularity(), None),
            };
            let waited = self.begun.elapsed();
            if ready {
                return Ok(Lakehouse { path: real, file, state, held_by, locks, waited });
            }
            let limit = if held_by.is_some() {
                self.policy.limit
            } else {
                self.policy.limit + SETTLE_GRACE
            };
            if waited >= limit {
                return Err(self.give_up(held_by));
            }
            match &held_by {
                Some(holder) => {
                    watch.event(&ExportEvent::Waiting { what: &name, holder, waited, limit });
                    lakehouse::backoff(limit.saturating_sub(waited));
                }
                None => std::thread::sleep(Duration::from_millis(fastrand::u64(5..25))),
            }
        }
    }

    /// Returns whether the file is unchanged and no process has begun to write it.
    pub(super) fn is_unchanged(&mut self, lakehouse: &Lakehouse) -> Result<bool, ExportError> {
        check_cancelled(self.cancel)?;
        let file = match File::open(&lakehouse.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(ExportError::io("open", &lakehouse.path, source)),
        };
        // A truncated file is another state too.
        let Ok((writer, state)) = probe(&lakehouse.path, &file) else { return Ok(false) };
        self.note(&state, &writer);
        let begun_to_write = matches!(writer, Writer::Held(_)) && lakehouse.held_by.is_none();
        Ok(!begun_to_write && state == lakehouse.state)
    }

    /// Returns whether a finished copy is consistent: the content of a single moment.
    pub(super) fn accepts(&mut self, lakehouse: &Lakehouse) -> Result<bool, ExportError> {
        loop {
            if !self.is_unchanged(lakehouse)? {
                return Ok(false);
            }
            let unchanged_for =
                self.seen.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default();
            if lakehouse.locks || unchanged_for >= self.policy.quiet {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..60)));
        }
    }

    /// Records a copy that was discarded after `took`, with `copied` of `bytes` copied.
    ///
    /// # Errors
    /// The timeout leaves no time for another copy.
    pub(super) fn discard(
        &mut self,
        took: Duration,
        copied: u64,
        bytes: u64,
    ) -> Result<(), ExportError> {
        self.discarded += 1;
        if copied > 0 {
            let estimate = took.mul_f64(bytes.max(1) as f64 / copied as f64);
            self.copy_time = Some(self.copy_time.map_or(estimate, |known| known.min(estimate)));
        }
        if self.is_out_of_time() {
            return Err(self.give_up(None));
        }
        lakehouse::backoff(self.policy.limit.saturating_sub(self.begun.elapsed()));
        Ok(())
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.begun.elapsed() >= self.policy.limit
    }

    pub(super) fn discarded(&self) -> usize {
        self.discarded
    }

    /// Records an observation and returns since when the state has been the same.
    fn note(&mut self, state: &DatabaseState, writer: &Writer) -> Instant {
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen == state => *since,
            _ => {
                self.resting_since = None;
                self.seen = Some((state.clone(), now));
                now
            }
        };
        if matches!(writer, Writer::Held(_)) && self.policy.held_idle.is_none() {
            self.resting_since = None;
        } else {
            let resting_since = *self.resting_since.get_or_insert(now);
            self.longest_rest = self.longest_rest.max(now - resting_since);
        }
        since
    }

    fn give_up(&self, holder: Option<LockHolder>) -> ExportError {
        let (path, waited) = (self.path.to_path_buf(), self.begun.elapsed());
        match holder {
            Some(holder) if self.discarded == 0 => {
                ExportError::LakehouseBusy { path, holder: Box::new(holder), waited }
            }
            _ => ExportError::LakehouseNeverIdle {
                path,
                copy_time: self.copy_time,
                longest_rest: self.longest_rest,
                waited,
            },
        }
    }
}

fn probe(path: &Path, file: &File) -> Result<(Writer, DatabaseState), ExportError> {
    let writer =
        lock::writer(file).map_err(|source| ExportError::io("ask for locks on", path, source))?;
    let state = DatabaseState::read(path, file)
        .map_err(|source| ExportError::io("look at", path, source))?;
    Ok((writer, state))
}

pub(super) fn restless(
    path: &Path,
    copy_time: Option<Duration>,
    longest_rest: Duration,
    waited: Duration,
) -> String {
    let takes = copy_time
        .map(|time| format!("a copy takes about {}, and ", crate::humanize::duration(time)))
        .unwrap_or_default();
    format!(
        "{} never rested long enough to be copied: {takes}the longest rest seen in {} (--wait) was {}. \
         Keep it and what is served on one XFS or btrfs filesystem, where a copy takes milliseconds; run its pipeline and the export one after the other, \
         with `materia pipeline run`; or read it in place with --snapshot none, which makes the pipeline fail instead",
        path.display(),
        crate::humanize::duration(waited),
        crate::humanize::duration(longest_rest),
    )
}
