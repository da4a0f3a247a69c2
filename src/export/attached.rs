//! Other files that views read: each is copied without a lock, so that whoever writes it is not refused because of an export.

use super::{
    ExportError, Job, Unwatched,
    engine::{self, Engine},
    error::reason,
    observer::{Observer, Policy},
    plan::STAGED,
    snapshot, stage,
};
use crate::settings::SnapshotMode;

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
            stage::remove(&copy).map_err(|source| ExportError::io("remove", &copy, source))?;
            let mut observer = Observer::new(path, Policy::of(job), &job.cancel);
            // A plan has nobody to tell of it.
            let copied = snapshot::copy_database(&mut observer, &copy, (SnapshotMode::Auto, 0), &mut Unwatched);
            copied.map_err(|error| match error {
                ExportError::Interrupted => ExportError::Interrupted,
                other => problem(other.to_string()),
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
