//! The swap. Everything before the rename can be undone; everything after it is only made durable.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    ExportError,
    generations::{self, Manifest, discard, stale_log},
    lakehouse::COMPANIONS,
    seal::Audited,
    stage::Staged,
    watch::{Step, Watch},
};
use crate::{
    files::{self, FileId},
    lock,
    target::{GenerationId, Served, Target},
};

/// Makes the staged file a generation and serves it, if it is still what was audited.
pub(super) fn publish(
    mut staged: Staged,
    target: &Target,
    manifest: &Manifest,
    audited: &Audited<'_>,
    watch: &mut dyn Watch,
) -> Result<(), ExportError> {
    watch.step(Step::Sync);
    protect(&staged.path, target, manifest).map_err(|source| ExportError::io("set the permissions of", &staged.path, source))?;
    sync(&staged.path)?;
    let kept = keep(&staged.path, target, manifest, watch).and_then(|()| {
        swap(&staged.path, target, watch, || {
            audited.check(&staged.path)?;
            // Where there are no hard links it is a copy, and readers open that.
            let kept = target.generation(&manifest.id);
            if same_file(&staged.path, &kept) { Ok(()) } else { audited.check(&kept) }
        })
    });
    if kept.is_err() {
        let _ = discard(target, &manifest.id);
        return kept;
    }
    staged.keep();
    Ok(())
}

/// Serves a kept generation again.
pub(super) fn restore(id: &GenerationId, target: &Target, watch: &mut dyn Watch) -> Result<(), ExportError> {
    let returning = target.returning();
    watch.step(Step::Link);
    link_or_copy(&target.generation(id), &returning).map_err(|source| ExportError::io("bring back a generation as", &returning, source))?;
    let swapped = swap(&returning, target, watch, || Ok(()));
    if swapped.is_err() {
        let _ = files::remove_if_there(&returning);
    }
    swapped
}

/// Writes the manifest and gives the staged file its second name.
fn keep(staged: &Path, target: &Target, manifest: &Manifest, watch: &mut dyn Watch) -> Result<(), ExportError> {
    watch.step(Step::Manifest);
    let folder = target.generations();
    make_folder(target)?;
    write_manifest(target, manifest)?;
    watch.step(Step::Link);
    let name = target.generation(&manifest.id);
    link_or_copy(staged, &name).map_err(|source| ExportError::io("keep the generation as", &name, source))?;
    files::sync_folder(&folder).map_err(|source| ExportError::io("sync", &folder, source))
}

pub(super) fn make_folder(target: &Target) -> Result<(), ExportError> {
    let folder = target.generations();
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|source| ExportError::io("make the folder", &folder, source)),
    }
}

pub(super) fn write_manifest(target: &Target, manifest: &Manifest) -> Result<(), ExportError> {
    let path = target.manifest(&manifest.id);
    serde_json::to_vec_pretty(manifest)
        .map_err(io::Error::from)
        .and_then(|text| files::write_whole(&path, &text))
        .map_err(|source| ExportError::io("write", &path, source))
}

fn same_file(one: &Path, other: &Path) -> bool {
    FileId::at(one).ok().is_some_and(|one| FileId::at(other).ok() == Some(one))
}

/// Renames `from` over the served file, if it passes a last `check`: the moment at which readers begin to see it.
fn swap(from: &Path, target: &Target, watch: &mut dyn Watch, check: impl FnOnce() -> Result<(), ExportError>) -> Result<(), ExportError> {
    let served = target.served_path();
    set_logs_aside(target)?;
    watch.step(Step::Rename);
    check()?;
    fs::rename(from, served).map_err(|source| ExportError::io("rename the finished file to", served, source))?;
    watch.step(Step::SyncFolder);
    if let Err(error) = files::sync_folder(target.folder()) {
        // The swap has happened and readers see it: it cannot be called a failure any more.
        watch.notice(&format!("the swap could not be made durable against a power cut: {error}"));
    }
    Ok(())
}

/// Refuses while somebody writes the served file, and moves away the log a former writer left, which would be applied to the new file.
fn set_logs_aside(target: &Target) -> Result<(), ExportError> {
    let served = target.served_path();
    check_unheld(target)?;
    let logs: Vec<_> = COMPANIONS.iter().map(|ending| files::with_suffix(served, ending)).filter(|log| log.exists()).collect();
    for log in logs {
        make_folder(target)?;
        let id = match generations::served(target)? {
            Served::Generation(id) => Some(id),
            Served::Missing | Served::Foreign => None,
        };
        let aside = stale_log(target, id.as_ref());
        fs::rename(&log, &aside).map_err(|source| ExportError::io("move away", &log, source))?;
    }
    Ok(())
}

/// Nobody may have the served file open for writing: it would keep readers out, and write its log beside the new file.
pub(super) fn check_unheld(target: &Target) -> Result<(), ExportError> {
    let path = target.served_path();
    match lock::writer_of(path).map_err(|source| ExportError::io("look at", path, source))? {
        Some(holder) => Err(ExportError::ServedHeld { path: path.to_path_buf(), holder: Box::new(holder) }),
        None => Ok(()),
    }
}

/// As readable as the file it replaces, the first one as the lakehouse, and writable by nobody: opening it for writing by mistake would keep every reader out.
fn protect(staged: &Path, target: &Target, manifest: &Manifest) -> io::Result<()> {
    const WRITE: u32 = 0o222;
    let lakehouse = || manifest.lakehouse.as_ref().map_or_else(|| fs::metadata(staged), |source| fs::metadata(&source.path));
    let like = fs::metadata(target.served_path()).or_else(|_| lakehouse()).or_else(|_| fs::metadata(staged))?;
    fs::set_permissions(staged, Permissions::from_mode(like.permissions().mode() & 0o777 & !WRITE))
}

fn sync(path: &Path) -> Result<(), ExportError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| ExportError::io("sync", path, source))
}

/// A hard link; where the filesystem has none, a copy that keeps the time of change, by which it is recognised.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks) => {}
        linked => return linked,
    }
    copy_whole(from, to)
}

/// The copy gets its name when it is finished: half of one would be taken for a generation.
fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let unfinished = generations::unfinished(to);
    let copied = fs::copy(from, &unfinished).and_then(|_| {
        let copy = File::open(&unfinished)?;
        copy.set_modified(fs::metadata(from)?.modified()?)?;
        copy.sync_all()?;
        fs::rename(&unfinished, to)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    copied
}
