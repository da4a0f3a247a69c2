//! Attaches other files that views read. Each is copied without a lock, so that an export never
//! blocks the process that writes it.

use super::{
    ExportError, ExportJob, NoProgress,
    engine::{self, Engine},
    error::reason,
    observer::{Observer, Policy},
    plan::STAGED_CATALOG,
    scratch::ScratchDir,
    snapshot,
};
use crate::{files, settings::SnapshotMode};

/// Attaches copies of the files, made in the working folder, under the names that views use.
///
/// # Errors
/// [`ExportError::Attach`] names the file.
pub(super) fn attach(
    engine: &Engine,
    lakehouse: &str,
    job: &ExportJob,
    work: &ScratchDir,
) -> Result<(), ExportError> {
    for (index, (catalog, path)) in job.sources.attach.iter().enumerate() {
        let problem =
            |why: String| ExportError::Attach { path: path.clone(), catalog: catalog.clone(), why };
        if catalog.eq_ignore_ascii_case(lakehouse) || catalog.eq_ignore_ascii_case(STAGED_CATALOG) {
            return Err(problem(format!(
                "{catalog} is the name of another file here; the lakehouse's own is set with export.catalog"
            )));
        }
        if !path.is_file() {
            return Err(problem("there is no such file".to_owned()));
        }
        let copy = work.path().join(format!("attached-{index}.duckdb"));
        files::remove_database(&copy).map_err(|source| ExportError::io("remove", &copy, source))?;
        let mut observer = Observer::new(path, Policy::of(job), &job.cancel);
        // A dry run has no observer to report the copy to.
        let copied =
            snapshot::copy_database(&mut observer, &copy, (SnapshotMode::Auto, 0), &mut NoProgress);
        copied.map_err(|error| match error {
            ExportError::Interrupted => ExportError::Interrupted,
            other => problem(other.to_string()),
        })?;
        engine.execute_batch(&engine::attach(&copy, catalog, "READ_ONLY")).map_err(|error| {
            match error {
                ExportError::Engine { source, .. } => problem(reason(&source)),
                other => other,
            }
        })?;
    }
    Ok(())
}
