//! Whether the staged file still answers every dashboard.

use std::path::Path;

use super::{Audit, ExportError, Job, work::Work};
use crate::{
    dashboard::{self, Broken},
    reader::{Reader, ReaderLimits, wait_unless},
    settings::Severity,
    words,
};

/// What these checks are called.
pub(super) const NAME: &str = "dashboards";

/// Answers every written dashboard from a finished file, through a reader as those who look at it do. What fails refuses the export;
/// a file that its author got wrong was wrong before, and is only reported.
pub(super) fn audit(path: &Path, schema: &str, job: &Job, work: &Work) -> Result<Vec<Audit>, ExportError> {
    let Some(written) = job.dashboards.written() else { return Ok(Vec::new()) };
    let note = |severity, passed, found| Audit { name: NAME.to_owned(), table: None, severity, passed, found };
    let limits = ReaderLimits { threads: job.limits.threads, spill: Some(work.spill()), ..ReaderLimits::default() };
    let reader = Reader::open(path, schema, limits).map_err(|source| ExportError::io("open a reader on", path, source))?;
    let answered = reader.pin().and_then(|pin| {
        let checked = wait_unless(dashboard::check(&job.dashboards, &pin), || job.cancel.requested());
        checked.unwrap_or_else(|| Ok(Vec::new()))
    });
    job.cancel.check()?;
    let mut audits: Vec<Audit> = job.dashboards.problems().iter().map(|problem| note(Severity::Warn, false, problem.to_string())).collect();
    match answered {
        Err(error) => audits.push(note(Severity::Error, false, format!("could not be checked: {error}"))),
        Ok(broken) if broken.is_empty() => {
            let panels = written.iter().map(|dashboard| dashboard.panels.len()).sum();
            let found = format!("{} of {} answered", words::plural(panels, "panel"), words::plural(written.len(), "dashboard"));
            audits.push(note(Severity::Error, true, found));
        }
        Ok(broken) => audits.extend(broken.iter().map(Broken::to_string).map(|found| note(Severity::Error, false, found))),
    }
    Ok(audits)
}
