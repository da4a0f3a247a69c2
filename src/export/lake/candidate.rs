//! Checks a snapshot of a lake as readers will see it, and publishes it if it passes: until then,
//! they do not follow it.

use std::time::Instant;

use super::{restore, writer};
use crate::{
    export::{ExportError, ExportJob, Progress, audit, scratch::ScratchDir, snapshot::ms_since},
    store::{
        AttemptRecord, Audit, ExportStep, Manifest, Severity,
        lake::{GenerationSnapshot, Lake},
    },
};

/// Runs the job's checks on the snapshot that was committed with this manifest. Publishes it, or
/// puts the tables of the `served` generation back into the lake.
///
/// # Errors
/// [`ExportError::Refused`] if a check fails, and [`ExportError::Conflict`] if another exporter has
/// published meanwhile.
pub(super) fn check_and_publish(
    (job, lake): (&ExportJob, &Lake),
    manifest: &Manifest,
    served: Option<&GenerationSnapshot>,
    work: &ScratchDir,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    let conflict = || writer::conflict_error(lake, served.map(|commit| &commit.manifest.id));
    let candidates = lake.candidates()?;
    let Some(snapshot) = candidates
        .into_iter()
        .rfind(|commit| commit.manifest.id == manifest.id)
        .map(|commit| commit.snapshot)
    else {
        return Err(conflict());
    };
    watch.step(ExportStep::Audit);
    let auditing = Instant::now();
    let checked = job.target.clone().with_lake(lake.at(snapshot));
    let audits = audit::run_checks(&checked, &manifest.schema, job, work);
    record.audit_ms += ms_since(auditing);
    let judged = audits.and_then(|audits| {
        let failed: Vec<_> = audits
            .into_iter()
            .filter(|audit| !audit.passed && audit.severity == Severity::Error)
            .map(|audit| Audit { found: format!("in the lake, {}", audit.found), ..audit })
            .collect();
        if failed.is_empty() { Ok(()) } else { record.judge_further(failed, job) }
    });
    if let Err(refused) = judged {
        if matches!(refused, ExportError::Interrupted) {
            // Ends at once; the next export writes these tables again.
            return Err(refused);
        }
        match served.map(|served| put_back((job, lake), served, work, watch)) {
            Some(Ok(())) => watch.notice(
                "the audited file passes, its copy in the lake does not: the former generation's tables are in the lake again, and no reader saw others. `materia export --full` writes every table anew",
            ),
            Some(Err(error)) => watch.notice(&format!(
                "the former generation's tables could not be put back into the lake ({error}); materia's readers still serve them, and the next export tries again"
            )),
            None => {}
        }
        return Err(refused);
    }
    watch.step(ExportStep::Commit);
    match lake.publish_candidate(snapshot, served.map(|commit| commit.snapshot)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(conflict()),
        // The response may have been lost after the database had committed.
        Err(error) => match lake.served() {
            Ok(Some(now)) if now.snapshot == snapshot => Ok(()),
            _ => Err(error.into()),
        },
    }
}

/// Commits the tables of the served generation again: clients other than materia read the newest
/// snapshot.
fn put_back(
    (job, lake): (&ExportJob, &Lake),
    served: &GenerationSnapshot,
    work: &ScratchDir,
    watch: &mut dyn Progress,
) -> Result<(), ExportError> {
    let manifest = &served.manifest;
    let found = lake.find(&manifest.schema)?;
    let frozen = lake.freeze(served.snapshot, &manifest.schema)?;
    let is_there = |name: &str| found.as_ref().is_some_and(|found| found.has_as_published(name));
    let spill = work.spill();
    let limits = (&job.limits, spill.as_path(), &job.cancel);
    restore((lake, found.as_ref()), &frozen, manifest, &is_there, limits, watch)
}
