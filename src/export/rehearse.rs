//! What an export would do, found out without publishing anything.

use std::path::PathBuf;

use super::{
    ExportError, Job, Rehearsal, Source, audit,
    engine::Engine,
    generations::{self, manifest},
    observer::{Observer, Policy},
    read, turn,
    watch::{Event, Watch},
    work::Work,
};
use crate::{
    files,
    target::{GenerationId, Served, Target},
};

/// Finds out what an export would do, without writing anything but a private copy that is removed again. No lock is taken on the
/// lakehouse, except where an export would read it in place.
///
/// # Errors
/// As [`super::export`] up to its plan.
pub fn rehearse(job: &Job, watch: &mut dyn Watch) -> Result<Rehearsal, ExportError> {
    let watch: &mut dyn Watch = &mut WithoutSteps(watch);
    turn::check_place(&job.target, Some(&job.lakehouse))?;
    let of = |target: &Target| -> Result<Option<GenerationId>, ExportError> {
        Ok(match generations::served(target)? {
            Served::Generation(id) => Some(id),
            Served::Missing | Served::Foreign => None,
        })
    };
    let (previous, file) = (of(&job.target)?, of(&job.target.file())?);
    let before = previous.as_ref().and_then(|id| manifest(&job.target, id));
    let held = file.as_ref().and_then(|id| manifest(&job.target.file(), id));
    // Also where an export could not write: it is what somebody wants to find out.
    let work = Work::begin(work_folder(job)).or_else(|error| Work::temporary().map_err(|_| error))?;
    let mut engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    let mut observer = Observer::new(&job.lakehouse, Policy::of(job), &job.cancel);
    let (mut snapshot, plan) = loop {
        let lakehouse = observer.wait(watch)?;
        if let Some(taken) = read::take(&engine, &mut observer, lakehouse, (job, held.as_ref()), &work, watch)? {
            break taken;
        }
        engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    };
    plan.notices.iter().for_each(|notice| watch.notice(notice));
    plan.check_schema(before.as_ref(), job)?;
    let treatments = read::foresee(&engine, &snapshot, &plan, held.as_ref(), job)?;
    drop(engine);
    snapshot.release(watch);
    Ok(Rehearsal {
        audits: audit::planned(&plan, before.as_ref(), job),
        lakehouse: Source { path: job.lakehouse.clone(), bytes: snapshot.state.main_bytes(), version: Some(plan.storage_version.clone()) },
        previous,
        space_left: files::space_left(job.target.folder()).ok(),
        treatments,
        plan,
    })
}

/// A folder of this process alone: an export beside it has, and clears, its own.
fn work_folder(job: &Job) -> PathBuf {
    files::with_suffix(&job.target.work(), &format!(".dry-run-{}", std::process::id()))
}

/// Passes on who is waited for and what the operator should know: a dry run is no attempt, and has no steps.
struct WithoutSteps<'a>(&'a mut dyn Watch);

impl Watch for WithoutSteps<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Waiting { .. } | Event::Notice { .. }) {
            self.0.event(event);
        }
    }
}
