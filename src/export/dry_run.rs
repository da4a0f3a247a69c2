//! Determines what an export would do, without publishing anything.

use std::path::PathBuf;

use super::{
    DryRun, ExportError, ExportJob, audit,
    engine::Engine,
    export_lock, lake,
    observer::{Observer, Policy},
    progress::{ExportEvent, Progress},
    scratch::ScratchDir,
    stage_lakehouse,
};
use crate::{
    files,
    store::{LakehouseInfo, Publisher, RollbackState, hold_message, withheld_message},
};

/// Determines what an export would do. Writes only a private copy, which is removed again, and
/// locks the lakehouse only where an export would read it in place.
///
/// # Errors
/// As [`super::export`] up to its plan.
pub fn dry_run(job: &ExportJob, watch: &mut dyn Progress) -> Result<DryRun, ExportError> {
    let watch: &mut dyn Progress = &mut WithoutSteps(watch);
    export_lock::validate_target(&job.target, Some(&job.lakehouse))?;
    let local = job.target.local();
    let (previous, staged_from) =
        (job.target.served()?.generation(), job.target.local_served()?.generation());
    let before = previous.as_ref().and_then(|id| job.target.manifest(id));
    let file_holds = staged_from.and_then(|id| local.manifest(&id));
    if let Some(lake) = job.target.lake() {
        let own = Publisher::current(Some(&job.lakehouse));
        lake::ensure_owner(job, lake, Some(&own))?;
    }
    // Also works where an export could not write, which the caller may want to find out.
    let work = ScratchDir::begin(work_folder(job))
        .or_else(|error| ScratchDir::temporary().map_err(|_| error))?;
    let mut engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    let mut observer = Observer::new(&job.lakehouse, Policy::of(job), &job.cancel);
    let (mut snapshot, plan) = loop {
        let lakehouse = observer.wait(watch)?;
        if let Some(taken) = stage_lakehouse::take(
            &engine,
            &mut observer,
            lakehouse,
            (job, file_holds.as_ref()),
            &work,
            watch,
        )? {
            break taken;
        }
        engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    };
    plan.notices.iter().for_each(|notice| watch.notice(notice));
    plan.check_schema(before.as_ref(), job)?;
    let rollbacks = RollbackState::load(&job.target)?;
    let withheld: Vec<_> = rollbacks.withheld(previous.as_ref()).cloned().collect();
    let (table_actions, content) =
        stage_lakehouse::preview(&engine, &snapshot, &plan, (file_holds.as_ref(), &withheld), job)?;
    let held = rollbacks
        .hold_on(previous.as_ref())
        .map(hold_message)
        .or_else(|| content.map(withheld_message));
    drop(engine);
    snapshot.release(watch);
    Ok(DryRun {
        audits: audit::planned_checks(&plan, before.as_ref(), job),
        lakehouse: LakehouseInfo {
            path: job.lakehouse.clone(),
            bytes: snapshot.state.main_bytes(),
            version: Some(plan.storage_version.clone()),
        },
        previous,
        held,
        space_left: files::available_space(local.folder()).ok(),
        table_actions,
        plan,
    })
}

/// Returns a folder for this process alone: a concurrent export has its own and clears it.
fn work_folder(job: &ExportJob) -> PathBuf {
    files::with_suffix(&job.target.local().work(), &format!(".dry-run-{}", std::process::id()))
}

/// Forwards waits and notices only: a dry run is not an attempt and has no steps.
struct WithoutSteps<'a>(&'a mut dyn Progress);

impl Progress for WithoutSteps<'_> {
    fn event(&mut self, event: &ExportEvent<'_>) {
        if matches!(event, ExportEvent::Waiting { .. } | ExportEvent::Notice { .. }) {
            self.0.event(event);
        }
    }
}
