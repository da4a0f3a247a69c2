//! Retention and recovery: prunes generations, and cleans up and records what killed exporters
//! left.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    AttemptOutcome, AttemptRecord, FileStore, GenerationId, RetainedGeneration, RunningExport,
    ServedState, Store, StoreError,
};
use crate::{files, lock};

/// Suffix of quarantined logs, before their original suffix.
const QUARANTINE_MARK: &str = ".stale";

/// Returns the quarantine path of a log next to a published file: DuckDB would apply it, and
/// readers would see data that was never audited.
fn quarantine_path(store: &FileStore, id: Option<&GenerationId>, suffix: &str) -> PathBuf {
    let name = id.map_or("foreign", GenerationId::as_str);
    store.generations_dir().join(format!("{name}{QUARANTINE_MARK}{}", suffix.replace('.', "-")))
}

/// Quarantines the logs next to a published file, which `materia` never writes; returns their
/// original paths.
pub(crate) fn quarantine_wal(
    store: &FileStore,
    published: &Path,
) -> Result<Vec<PathBuf>, StoreError> {
    let logs = files::wal_files(published);
    if logs.is_empty() {
        return Ok(logs);
    }
    store.create_generations_dir()?;
    let generation = store
        .generation_at(published)
        .map_err(|source| StoreError::io("look at", published, source))?;
    let id = if let ServedState::Generation(id) = &generation { Some(id) } else { None };
    for log in &logs {
        let suffix = log
            .as_os_str()
            .as_bytes()
            .strip_prefix(published.as_os_str().as_bytes())
            .unwrap_or_default();
        let quarantined = quarantine_path(store, id, &String::from_utf8_lossy(suffix));
        fs::rename(log, &quarantined).map_err(|source| StoreError::io("move away", log, source))?;
    }
    Ok(logs)
}

/// Quarantines the logs next to every published file, except those that a writer still has open.
fn clear_stray_logs(store: &FileStore, notices: &mut Vec<String>) -> Result<(), StoreError> {
    let logs = store
        .stray_logs()
        .map_err(|source| StoreError::io("look for logs next to", store.served_path(), source))?;
    let files: BTreeSet<PathBuf> = logs.into_iter().map(|(file, _)| file).collect();
    for file in files {
        if lock::find_writer(&file)
            .map_err(|source| StoreError::io("look at", &file, source))?
            .is_some()
        {
            continue;
        }
        for log in quarantine_wal(store, &file)? {
            notices.push(format!(
                "{} was moved away: it was next to a published file and contained data that was never audited",
                log.display()
            ));
        }
    }
    Ok(())
}

/// Removes the leftovers of killed exporters: the staged file, a generation that was linked but
/// never served, working files.
pub(crate) fn recover(store: &FileStore) -> Result<Vec<String>, StoreError> {
    let mut notices = Vec::new();
    let problem = |source| {
        StoreError::io("remove what an earlier export left next to", store.served_path(), source)
    };
    let staged = [store.staged(), store.former_staged()];
    for sibling in siblings(store).map_err(problem)? {
        for path in &staged {
            // Linked as a generation but never renamed over the served file, so it has never had a
            // reader.
            if let ServedState::Generation(id) = sibling.generation_at(path).map_err(problem)?
                && sibling.served().map_err(problem)? != ServedState::Generation(id.clone())
            {
                remove_generation(&sibling, &id).map_err(problem)?;
            }
        }
        remove_orphans(&sibling).map_err(problem)?;
        clear_stray_logs(&sibling, &mut notices)?;
    }
    for path in staged.into_iter().chain([store.rollback_staging()]) {
        files::remove_database(&path).map_err(problem)?;
        files::remove_if_exists(&temp_path(&path)).map_err(problem)?;
    }
    files::remove_dir_if_exists(&store.work()).map_err(problem)?;
    Ok(notices)
}

/// Returns every store with generations in this folder: they share one staged file, and the killed
/// exporter may have used any of them.
fn siblings(store: &FileStore) -> io::Result<Vec<FileStore>> {
    let mut stores = vec![store.clone()];
    for entry in fs::read_dir(store.folder())? {
        let name = entry?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".generations")) {
            let sibling = FileStore::new(&store.folder().join(format!("{stem}.duckdb")))?;
            stores
                .extend((sibling.generations_dir() != store.generations_dir()).then_some(sibling));
        }
    }
    Ok(stores)
}

/// Removes incomplete files, and files named after a generation that no longer exists.
fn remove_orphans(store: &FileStore) -> io::Result<()> {
    let entries = match fs::read_dir(store.generations_dir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = [".json", ".pinned"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .or(name.split_once(QUARANTINE_MARK).map(|(id, _)| id));
        let id = of.and_then(GenerationId::parse);
        let is_half = [".json.new", ".duckdb.new"].iter().any(|ending| name.ends_with(ending));
        if is_half || id.is_some_and(|id| !store.generation_path(&id).exists()) {
            files::remove_if_exists(&path)?;
        }
    }
    Ok(())
}

/// Returns the newest generation before the served one whose content differs from it, or else the
/// newest of all that do: without it there would be nothing to roll back to. `all` is newest first.
/// A generation with unknown content counts as different.
pub(crate) fn last_that_differs(all: &[RetainedGeneration]) -> Option<GenerationId> {
    let served = all.iter().find(|generation| generation.served)?;
    let differs = |generation: &&RetainedGeneration| match (&generation.manifest, &served.manifest)
    {
        (Some(kept), Some(served)) => !kept.has_same_content(served),
        _ => generation.id != served.id,
    };
    let before = all.iter().filter(|generation| generation.id < served.id).find(differs);
    before.or_else(|| all.iter().find(differs)).map(|generation| generation.id.clone())
}

/// Removes all but the newest `keep` generations, the served one, the last one whose content
/// differs from it, and the pinned ones; returns the removed ids.
pub(crate) fn prune(store: &FileStore, keep: usize) -> io::Result<Vec<GenerationId>> {
    let all = store.list()?;
    let differs = last_that_differs(&all);
    remove(store, all, keep, differs.as_ref())
}

/// Removes all but the newest `keep` generations, the served one and the pinned ones of a file that
/// has no readers: there is nothing to roll back.
pub(crate) fn prune_unread(store: &FileStore, keep: usize) -> io::Result<Vec<GenerationId>> {
    remove(store, store.list()?, keep, None)
}

fn remove(
    store: &FileStore,
    all: Vec<RetainedGeneration>,
    keep: usize,
    differs: Option<&GenerationId>,
) -> io::Result<Vec<GenerationId>> {
    let mut removed = Vec::new();
    for generation in all.into_iter().skip(keep) {
        if !generation.served && !generation.pinned && Some(&generation.id) != differs {
            remove_generation(store, &generation.id)?;
            removed.push(generation.id);
        }
    }
    Ok(removed)
}

/// Removes one generation with every file of its name.
pub(crate) fn remove_generation(store: &FileStore, id: &GenerationId) -> io::Result<()> {
    files::remove_database(&store.generation_path(id))?;
    let quarantined_logs =
        files::WAL_SUFFIXES.iter().map(|suffix| quarantine_path(store, Some(id), suffix));
    for path in [store.manifest_path(id), store.pin_marker(id)].into_iter().chain(quarantined_logs)
    {
        files::remove_if_exists(&path)?;
    }
    Ok(())
}

/// Returns the temporary path of a file that is being copied.
pub(crate) fn temp_path(path: &Path) -> PathBuf {
    files::with_suffix(path, ".new")
}

/// Records in the history that an exporter was killed.
///
/// # Errors
/// The history or the generations cannot be read or written.
pub(crate) fn record_killed_attempt(store: &Store, running: &RunningExport) -> io::Result<()> {
    match reconstruct(store, running)? {
        Some((store, record)) => store.append(&record),
        None => Ok(()),
    }
}

/// Reconstructs the record of a killed attempt and the store whose history it belongs to; returns
/// `None` if it is already recorded.
fn reconstruct(
    store: &Store,
    running: &RunningExport,
) -> io::Result<Option<(Store, AttemptRecord)>> {
    // The attempt may have worked on another served file of this folder, under a path valid only in
    // its own working directory.
    let name = running.target.file_name().unwrap_or_default();
    let local = store.local();
    let lake = store.lake().map(|lake| lake.name().to_owned());
    let store = if local.served_path().file_name() == Some(name) && lake == running.lake {
        store.clone()
    } else {
        Store::new(&local.folder().join(name))?
    };
    if let Some(other) = running.lake.as_ref().filter(|_| lake != running.lake) {
        // That lake may be out of reach, so it is not queried.
        let local = store.local().with_history_of(other);
        let mut record = AttemptRecord::begin(running.id.clone(), running.started_at);
        record.ended_at = jiff::Timestamp::now();
        record.outcome = AttemptOutcome::Interrupted;
        record.error =
            Some(format!("killed (pid {}) during {}", running.pid, running.step.label()));
        return Ok(Some((Store::File(local), record)));
    }
    if store.history()?.iter().any(|record| record.id == running.id) {
        return Ok(None);
    }
    let mut record = AttemptRecord::begin(running.id.clone(), running.started_at);
    record.ended_at = jiff::Timestamp::now();
    let is_rollback = running.generation != running.id;
    // A killed rollback to the generation already served had changed nothing before its swap.
    let served = store.served().map_err(io::Error::other)?
        == ServedState::Generation(running.generation.clone())
        && (!is_rollback || running.step.may_have_swapped());
    if served {
        record.outcome =
            if is_rollback { AttemptOutcome::RolledBack } else { AttemptOutcome::Published };
        record.error = Some(format!(
            "killed (pid {}) after the swap; recorded by the next attempt",
            running.pid
        ));
        if let Some(manifest) = store.manifest(&running.generation) {
            record.set_served(manifest);
        }
        record.generation = Some(running.generation.clone());
    } else {
        record.outcome = AttemptOutcome::Interrupted;
        record.error =
            Some(format!("killed (pid {}) during {}", running.pid, running.step.label()));
    }
    Ok(Some((store, record)))
}
