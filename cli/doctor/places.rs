//! Checks files and folders: whether they exist, their owners, and what an export can do with them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use materia::{
    export::{self, SnapshotForecast},
    files, humanize, lock,
    store::{SnapshotMethod, Store},
};
use rustix::fs::{Access, access};

use super::Checks;
use crate::context::Context;

pub(super) fn check(context: &Context, checks: &mut Checks) {
    let settings = &context.settings;
    let lakehouse = lakehouse(&settings.lakehouse, checks);
    let Ok(target) = context.target() else {
        checks.error(
            "serving",
            format!("{} cannot be followed", settings.serving.display()),
            "is it a link that leads nowhere, or a folder?",
        );
        return;
    };
    if serving(&target, settings.lake.is_some(), checks) {
        if lakehouse {
            forecast(&settings.lakehouse, &target, checks);
        }
        clock(&target, checks);
    }
    locks(&target, checks);
    secrets(context, checks);
}

/// Formats owner and mode like `stat`.
fn owner_and_mode(path: &Path) -> String {
    fs::metadata(path).map_or_else(
        |error| error.to_string(),
        |metadata| {
            format!(
                "owner {}:{}, mode {:o}",
                metadata.uid(),
                metadata.gid(),
                metadata.mode() & 0o7777
            )
        },
    )
}

/// Checks the lakehouse; returns whether an export could read it.
fn lakehouse(path: &Path, checks: &mut Checks) -> bool {
    let shown = path.display();
    if !path.exists() {
        checks.error(
            "lakehouse",
            format!("{shown} does not exist"),
            "run the pipeline, or name its file: lakehouse in materia.toml, DUCKDB_PATH or --lakehouse",
        );
        return false;
    }
    if let Some(problem) = export::lakehouse_problem(path) {
        checks.error(
            "lakehouse",
            format!("{shown} {problem} ({})", owner_and_mode(path)),
            "name the pipeline's file, or make it readable for the user that runs materia",
        );
        return false;
    }
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let size = humanize::bytes(size);
    match lock::find_writer(path) {
        Ok(Some(holder)) => checks.warn(
            "lakehouse",
            format!("{shown}, {size}, is held by {holder}"),
            "nothing, while a pipeline runs; otherwise close it there, or export with --held copy",
        ),
        _ => checks.ok("lakehouse", format!("{shown}, {size}, is free ({})", owner_and_mode(path))),
    }
    true
}

/// Checks the folder in which exports write; returns whether they can.
fn serving(target: &Store, is_lake: bool, checks: &mut Checks) -> bool {
    let (folder, served) = (target.local().folder(), target.local().served_path());
    let shown = folder.display();
    if is_lake {
        checks.ok("serving", target.display_name().display().to_string());
    }
    let Ok(metadata) = fs::metadata(folder) else {
        checks.error(
            "serving",
            format!("the folder {shown} does not exist"),
            format!("mkdir {shown}"),
        );
        return false;
    };
    let state = owner_and_mode(folder);
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        checks.error(
            "serving",
            format!("{shown} cannot be written by this user ({state})"),
            format!("run materia as the owner of {shown}, or change the owner"),
        );
        return false;
    }
    if metadata.mode() & 0o002 != 0 && metadata.mode() & 0o1000 == 0 {
        checks.warn(
            "serving",
            format!("{shown} can be written by everybody ({state})"),
            format!("chmod o-w {shown}: any user who can write there can replace what is served"),
        );
    }
    let own = rustix::process::geteuid().as_raw();
    if own == 0 && metadata.uid() != 0 {
        checks.warn(
            "serving",
            format!("this is root, and {shown} belongs to another user ({state})"),
            "run commands as that user, for example: runuser -u materia -- materia doctor",
        );
    }
    if served.exists() {
        checks.ok("serving", format!("{} ({})", served.display(), owner_and_mode(served)));
    } else if !is_lake {
        checks.error(
            "serving",
            format!("{} does not exist: nothing is served", served.display()),
            "materia export",
        );
    }
    true
}

fn forecast(lakehouse: &Path, target: &Store, checks: &mut Checks) {
    let folder = target.local().folder().display().to_string();
    // Closing the served file itself would release locks of readers in this process.
    if files::FileId::at(lakehouse).ok() == files::FileId::at(target.local().served_path()).ok() {
        checks.error(
            "snapshot",
            "the lakehouse and what is served are one file",
            "name another file for what is served: serving in materia.toml",
        );
        return;
    }
    let SnapshotForecast { method, filesystem, is_same_filesystem, needed, left } =
        match export::forecast_snapshot(lakehouse, target) {
            Ok(forecast) => forecast,
            Err(error) => {
                checks.error(
                    "snapshot",
                    format!("{folder}: {error}"),
                    format!("make {folder} writable for this user"),
                );
                return;
            }
        };
    let place = format!("{folder} ({filesystem}, {} free)", humanize::bytes(left));
    match method {
        SnapshotMethod::Reflink => checks.ok(
            "snapshot",
            format!("--snapshot auto shares blocks in {place}: milliseconds, and no lock"),
        ),
        SnapshotMethod::Copy => {
            let why = if is_same_filesystem {
                "this file system cannot share blocks; XFS and btrfs can"
            } else {
                "the lakehouse is on another file system"
            };
            checks.ok(
                "snapshot",
                format!(
                    "--snapshot auto copies the lakehouse to {place}, without a lock: {why}; with the export it takes up to {}",
                    humanize::bytes(needed)
                ),
            );
        }
        SnapshotMethod::None => checks.warn(
            "snapshot",
            format!(
                "--snapshot auto reads the lakehouse in place, and writing it fails meanwhile: a copy and the export take up to {}, in {place}",
                humanize::bytes(needed)
            ),
            "make room, lower export.keep, or put both files on XFS or btrfs",
        ),
    }
    if matches!(filesystem, "NFS" | "SMB" | "FUSE") {
        checks.warn(
            "filesystem",
            format!("{folder} is on {filesystem}, where locks of other machines may not be seen"),
            "keep the lakehouse and what is served on a local file system",
        );
    }
}

/// Compares the clock with the filesystem's, and with the served data.
fn clock(target: &Store, checks: &mut Checks) {
    let remedy = "see timedatectl; install or start an NTP service such as systemd-timesyncd";
    let skew = tempfile::tempfile_in(target.local().folder())
        .and_then(|file| file.metadata()?.modified())
        .map(|at| match SystemTime::now().duration_since(at) {
            Ok(behind) => behind,
            Err(ahead) => ahead.duration(),
        });
    match skew {
        Ok(skew) if skew.as_secs() > 2 => checks.warn(
            "clock",
            format!("the file system's clock differs by {}", humanize::duration(skew)),
            remedy,
        ),
        _ => {}
    }
    let now = jiff::Timestamp::now();
    let newest = target.generation_ids().ok().and_then(|ids| ids.into_iter().max());
    let future =
        newest.as_ref().and_then(materia::store::GenerationId::time).filter(|at| *at > now);
    if let (Some(at), Some(id)) = (future, &newest) {
        let ahead = std::time::Duration::try_from(at.duration_since(now)).unwrap_or_default();
        checks.warn(
            "clock",
            format!("the newest generation {id} is {} in the future", humanize::duration(ahead)),
            remedy,
        );
    }
    match super::services::output("timedatectl", &["show", "--property=NTPSynchronized", "--value"])
    {
        Some(answer) if answer.trim() == "no" => {
            checks.warn("clock", format!("{now}, and it is not synchronized"), remedy);
        }
        Some(_) => checks.ok("clock", format!("{now}, synchronized")),
        None => checks.ok("clock", format!("{now}")),
    }
}

fn locks(target: &Store, checks: &mut Checks) {
    match target.running() {
        Ok(Some(running)) => checks
            .ok("locks", format!("an export runs (pid {}): {}", running.pid, running.step.label())),
        Ok(None) => checks.ok("locks", "no export runs"),
        Err(error) => checks.error(
            "locks",
            format!("{}: {error}", target.local().lock_path().display()),
            "make it readable for the user that runs materia",
        ),
    }
}

/// Finds files with secrets that other users can read.
fn secrets(context: &Context, checks: &mut Checks) {
    let accounts = context.settings.accounts.database_url.reveal();
    let accounts = accounts
        .strip_prefix("sqlite://")
        .map(|path| PathBuf::from(path.split('?').next().unwrap_or_default()));
    let files = [Some(context.sources.dotenv_path.clone()), accounts].into_iter().flatten();
    for path in files {
        let shown = path.display();
        match File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.mode() & 0o007 != 0 => checks.warn(
                "secrets",
                format!("{shown} can be read by everybody ({})", owner_and_mode(&path)),
                format!("chmod o-rwx {shown}"),
            ),
            Ok(_) => checks.ok("secrets", format!("{shown} ({})", owner_and_mode(&path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => checks.warn(
                "secrets",
                format!("{shown} cannot be read by this user: {error} ({})", owner_and_mode(&path)),
                "run the command as the user that runs materia",
            ),
        }
    }
}
