//! Other files that views read: each is copied without a lock, so that whoever writes it is not refused because of an export.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::{
    Cancel, ExportError, Job,
    engine::{self, Engine},
    error::reason,
    lakehouse::COMPANIONS,
    plan::STAGED,
    snapshot,
};
use crate::{files, lock, words};

/// A file that was changed less long ago may be changed again within the same tick of the filesystem's clock.
const SETTLED_AFTER: Duration = Duration::from_millis(50);
/// How long to wait before a file is looked at again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Attaches the files under the names that views use. A dry run, which has no folder for copies, reads them where they are.
///
/// # Errors
/// [`ExportError::Attach`] names the file.
pub(super) fn attach(engine: &Engine, lakehouse: &str, job: &Job) -> Result<(), ExportError> {
    let work = job.target.work();
    for (index, (catalog, path)) in job.sources.attach.iter().enumerate() {
        let problem = |why: String| ExportError::Attach { path: path.clone(), catalog: catalog.clone(), why };
        if catalog.eq_ignore_ascii_case(lakehouse) || catalog.eq_ignore_ascii_case(STAGED) {
            return Err(problem(format!("{catalog} is the name of another file here; the lakehouse's own is set with export.catalog")));
        }
        if !path.is_file() {
            return Err(problem("there is no such file".to_owned()));
        }
        // Of this process: a dry run beside an export finds the folder of that one.
        let copy = work.join(format!("attached-{}-{index}.duckdb", std::process::id()));
        let from = if work.is_dir() {
            copy_at_rest(path, &copy, job.wait, &job.cancel).map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => ExportError::Interrupted,
                _ => problem(error.to_string()),
            })?;
            &copy
        } else {
            path
        };
        engine.quick(&engine::attach(from, catalog, "READ_ONLY")).map_err(|error| match error {
            ExportError::Engine { source, .. } => problem(reason(&source)),
            other => other,
        })?;
    }
    Ok(())
}

/// Copies a file and its log between two writes: nothing may differ before and after, and nobody may be writing.
fn copy_at_rest(path: &Path, to: &Path, wait: Duration, cancel: &Cancel) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        if cancel.requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let before = state(path)?;
        if is_at_rest(path)? && is_settled(&before) {
            copy_all(path, to, cancel)?;
            if is_at_rest(path)? && state(path)? == before {
                return Ok(());
            }
        }
        if begun.elapsed() > wait {
            let held = lock::writer_of(path)?.map_or_else(|| "it is written all the time".to_owned(), |holder| format!("held by {holder}"));
            return Err(io::Error::other(format!("{held}; gave up after {} (--wait)", words::duration(wait))));
        }
        std::thread::sleep(RETRY_AFTER);
    }
}

fn is_at_rest(path: &Path) -> io::Result<bool> {
    Ok(lock::writer_of(path)?.is_none())
}

/// A file with its companions.
fn all(path: &Path) -> Vec<PathBuf> {
    let companions = COMPANIONS.iter().map(|ending| files::with_suffix(path, ending));
    std::iter::once(path.to_path_buf()).chain(companions).collect()
}

/// What would differ if something had been written: inode, size and times of each file; `None` for one that is not there.
fn state(path: &Path) -> io::Result<Vec<Option<[i128; 6]>>> {
    let of = |path: PathBuf| match fs::metadata(&path) {
        Ok(file) => {
            let numbers = [file.ino().into(), file.len().into(), file.mtime().into(), file.mtime_nsec().into()];
            let [inode, bytes, seconds, nanos]: [i128; 4] = numbers;
            Ok(Some([inode, bytes, seconds, nanos, file.ctime().into(), file.ctime_nsec().into()]))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    all(path).into_iter().map(of).collect()
}

fn is_settled(state: &[Option<[i128; 6]>]) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed());
    let newest = state.iter().flatten().map(|file| file[2] * 1_000_000_000 + file[3]).max().unwrap_or_default();
    now - newest > SETTLED_AFTER.as_nanos().cast_signed()
}

fn copy_all(path: &Path, to: &Path, cancel: &Cancel) -> io::Result<()> {
    for (from, to) in all(path).into_iter().zip(all(to)) {
        files::remove_if_there(&to)?;
        let from = match File::open(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            from => from?,
        };
        let copy = File::create(&to)?;
        snapshot::reflink(&from, &copy).or_else(|_| snapshot::copy_bytes(&from, &copy, cancel))?;
    }
    Ok(())
}
