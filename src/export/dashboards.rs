//! Whether the staged file still answers every dashboard. Only what is missing or mistaken refuses an export; more data than a panel draws
//! is a warning.

use std::path::Path;

use super::{Audit, ExportError, Job, work::Work};
use crate::{
    dashboard,
    reader::{Reader, ReaderLimits, wait_unless},
    settings::Severity,
    words,
};

/// What these checks are called.
pub(super) const NAME: &str = "dashboards";

/// More warnings than this are counted instead of kept: the history holds them for every export.
const MAX_WARNINGS: usize = 50;

/// Answers every written dashboard from a finished file, through a reader as those who look at it do. What fails refuses the export, unless
/// its panel says otherwise; a file that its author got wrong was wrong before, and is only reported.
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
        Ok(broken) => {
            let (failed, warned): (Vec<_>, Vec<_>) = broken.iter().partition(|broken| broken.severity == Severity::Error);
            if failed.is_empty() {
                let panels = written.iter().map(|dashboard| dashboard.panels.len()).sum();
                let found = format!("{} of {} answered", words::plural(panels, "panel"), words::plural(written.len(), "dashboard"));
                audits.push(note(Severity::Error, true, found));
            }
            audits.extend(failed.iter().map(|broken| note(Severity::Error, false, broken.to_string())));
            audits.extend(warned.iter().take(MAX_WARNINGS).map(|broken| note(Severity::Warn, false, broken.to_string())));
            if warned.len() > MAX_WARNINGS {
                let more = words::plural(warned.len() - MAX_WARNINGS, "more warning");
                audits.push(note(Severity::Warn, false, format!("{more} about dashboards: materia dashboards check lists them")));
            }
        }
    }
    Ok(audits)
}
