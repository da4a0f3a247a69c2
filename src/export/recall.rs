//! What became of an attempt whose process was killed: told by the next one.

use std::io;

use super::{Outcome, Record, Running, generations, history, watch::Watch};
use crate::target::{Served, Target};

/// Writes the line of history that a killed exporter could not write any more.
pub(super) fn remember(target: &Target, running: &Running, watch: &mut dyn Watch) {
    watch.notice(&format!("a former exporter (pid {}) was killed; clearing what it left", running.pid));
    let recorded = recall(target, running).and_then(|record| match record {
        Some((target, record)) => history::append(&target, &record),
        None => Ok(()),
    });
    if let Err(error) = recorded {
        watch.notice(&format!("the killed attempt could not be recorded: {error}"));
    }
}

/// What became of a killed attempt, and whose history that belongs in; nothing where it is recorded already.
fn recall(target: &Target, running: &Running) -> io::Result<Option<(Target, Record)>> {
    // It may have worked on another served file of this folder, and have named it from somewhere else.
    let name = running.target.file_name().unwrap_or_default();
    let target = if target.served_path().file_name() == Some(name) { target.clone() } else { Target::new(&target.folder().join(name))? };
    if history::read(&target)?.iter().any(|record| record.id == running.id) {
        return Ok(None);
    }
    let mut record = Record::begin(running.id.clone(), running.started_at);
    record.ended_at = jiff::Timestamp::now();
    let is_rollback = running.generation != running.id;
    // A rollback to what was being served already was going to be refused.
    let served = generations::served(&target).map_err(io::Error::other)? == Served::Generation(running.generation.clone())
        && (!is_rollback || running.step.may_have_swapped());
    if served {
        record.outcome = if is_rollback { Outcome::RolledBack } else { Outcome::Published };
        record.error = Some(format!("killed (pid {}) after the swap; recorded by the next attempt", running.pid));
        if let Some(manifest) = generations::manifest(&target, &running.generation) {
            record.served(manifest);
        }
        record.generation = Some(running.generation.clone());
    } else {
        record.outcome = Outcome::Interrupted;
        record.error = Some(format!("killed (pid {}) during {}", running.pid, running.step.word()));
    }
    Ok(Some((target, record)))
}
