//! The swap. Everything before the rename can be undone; everything after it only makes the swap
//! durable.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{ExportError, progress::Progress, seal::Audited, stage::StagedFile};
use crate::store::{ExportStep, FileStore, Manifest, quarantine_wal, remove_generation, temp_path};
use crate::{
    files::{self, FileId},
    lock,
    store::GenerationId,
};

/// Makes the staged file a generation and serves it, if it is unchanged since its audit.
pub(super) fn publish(
    mut staged: StagedFile,
    target: &FileStore,
    manifest: &Manifest,
    audited: &Audited<'_>,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    watch.step(ExportStep::Sync);
    set_read_only(&staged.path, target, manifest)
        .map_err(|source| ExportError::io("set the permissions of", &staged.path, source))?;
    sync(&staged.path)?;
    let kept = link_generation(&staged.path, target, manifest, watch).and_then(|()| {
        swap(&staged.path, target, watch, || {
            audited.check(&staged.path)?;
            // On filesystems without hard links, the generation is a copy, which readers open.
            let kept = target.generation_path(&manifest.id);
            if same_file(&staged.path, &kept) { Ok(()) } else { audited.check(&kept) }
        })
    });
    if kept.is_err() {
        let _ = remove_generation(target, &manifest.id);
        return kept;
    }
    staged.disarm();
    Ok(())
}

/// Serves a retained generation again.
pub(super) fn restore(
    id: &GenerationId,
    target: &FileStore,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    let returning = target.rollback_staging();
    watch.step(ExportStep::Link);
    link_or_copy(&target.generation_path(id), &returning)
        .map_err(|source| ExportError::io("bring back a generation as", &returning, source))?;
    let swapped = swap(&returning, target, watch, || Ok(()));
    if swapped.is_err() {
        let _ = files::remove_if_exists(&returning);
    }
    swapped
}

/// Writes the manifest and links the staged file as a generation.
fn link_generation(
    staged: &Path,
    target: &FileStore,
    manifest: &Manifest,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    watch.step(ExportStep::Manifest);
    let folder = target.generations_dir();
    target.create_generations_dir()?;
    target.write_manifest(manifest)?;
    watch.step(ExportStep::Link);
    let name = target.generation_path(&manifest.id);
    link_or_copy(staged, &name)
        .map_err(|source| ExportError::io("keep the generation as", &name, source))?;
    files::sync_dir(&folder).map_err(|source| ExportError::io("sync", &folder, source))
}

fn same_file(one: &Path, other: &Path) -> bool {
    FileId::at(one).ok().is_some_and(|one| FileId::at(other).ok() == Some(one))
}

/// Renames `from` over the served file if a last `check` passes. Readers see the new file from then
/// on.
fn swap(
    from: &Path,
    target: &FileStore,
    watch: &mut dyn Progress,
    check: impl FnOnce() -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let served = target.served_path();
    ensure_not_open_for_write(target)?;
    quarantine_wal(target, served)?;
    watch.step(ExportStep::Rename);
    check()?;
    fs::rename(from, served)
        .map_err(|source| ExportError::io("rename the finished file to", served, source))?;
    watch.step(ExportStep::SyncFolder);
    if let Err(error) = files::sync_dir(target.folder()) {
        // The swap has happened and readers see it, so the attempt can no longer fail.
        watch.notice(&format!("the swap could not be made durable against a power cut: {error}"));
    }
    Ok(())
}

/// Refuses to publish while a process has the served file open for writing: it would block readers,
/// and write its log next to the new file.
pub(super) fn ensure_not_open_for_write(target: &FileStore) -> Result<(), ExportError> {
    let path = target.served_path();
    match lock::find_writer(path).map_err(|source| ExportError::io("look at", path, source))? {
        Some(holder) => {
            Err(ExportError::TargetInUse { path: path.to_path_buf(), holder: Box::new(holder) })
        }
        None => Ok(()),
    }
}

/// Makes the file as readable as the one it replaces, or as the lakehouse if it is the first, and
/// read-only: opening it for writing by mistake would block every reader.
fn set_read_only(staged: &Path, target: &FileStore, manifest: &Manifest) -> io::Result<()> {
    const WRITE: u32 = 0o222;
    let lakehouse = || {
        manifest
            .lakehouse
            .as_ref()
            .map_or_else(|| fs::metadata(staged), |source| fs::metadata(&source.path))
    };
    let like = fs::metadata(target.served_path())
        .or_else(|_| lakehouse())
        .or_else(|_| fs::metadata(staged))?;
    fs::set_permissions(staged, Permissions::from_mode(like.permissions().mode() & 0o777 & !WRITE))
}

fn sync(path: &Path) -> Result<(), ExportError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| ExportError::io("sync", path, source))
}

/// Creates a hard link or, on filesystems without them, a copy that preserves the modification
/// time, by which it is recognized.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::TooManyLinks
            ) => {}
        linked => return linked,
    }
    copy_atomic(from, to)
}

/// The copy is renamed when it is complete: a partial one would be mistaken for a generation.
fn copy_atomic(from: &Path, to: &Path) -> io::Result<()> {
    let unfinished = temp_path(to);
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
