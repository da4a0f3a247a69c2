//! Reads the lakehouse into a closed staged file, or finds it unchanged.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use jiff::Timestamp;

use super::{
    ExportError, ExportJob,
    concurrent::join,
    engine::Engine,
    fingerprint::{self, Fingerprint},
    incremental::{self, LakehouseStamp, ReuseDecision, TableAction},
    lakehouse::Lakehouse,
    observer::{Observer, Policy},
    plan::ExportPlan,
    progress::Progress,
    row_groups,
    scratch::ScratchDir,
    snapshot::{Snapshot, ms, ms_since},
    stage::{self, StagedFile, StagingBase},
};
use crate::sql;
use crate::store::{AttemptRecord, ExportStep, Manifest, RolledBackContent, SnapshotMethod};

/// The outcome of reading the lakehouse, which has been unlocked.
pub(super) enum ReadOutcome<'a> {
    /// The lakehouse matches the served generation.
    Unchanged(&'a Manifest),
    /// The lakehouse has content that was rolled back.
    Held(&'a RolledBackContent),
    Staged(Box<StagedExport>),
}

/// A closed staged file with its metadata.
pub(super) struct StagedExport {
    pub(super) plan: ExportPlan,
    pub(super) staged: StagedFile,
    /// In the plan's order.
    pub(super) fingerprints: Vec<Fingerprint>,
    /// Digest of everything besides the lakehouse on which the content of tables depends.
    pub(super) recipe: String,
    /// The state by which the next export recognizes an unwritten lakehouse, if it has one.
    pub(super) stamp: Option<String>,
    /// When the data was read.
    pub(super) read_at: Timestamp,
    /// Whether the served file is as published and was built with the same recipe: it may stay if
    /// its content is the same.
    pub(super) may_stay: bool,
}

/// Reason for copying everything if the served file is not the audited one: it must be replaced.
const NOT_AS_PUBLISHED: &str = "the served file is not what was published";

/// Returns the action for each table, in the plan's order, and which of the `withheld` contents the
/// lakehouse has.
pub(super) fn preview<'a>(
    engine: &Engine,
    snapshot: &Snapshot,
    plan: &ExportPlan,
    (served, withheld): (Option<&Manifest>, &'a [RolledBackContent]),
    job: &ExportJob,
) -> Result<(Vec<TableAction>, Option<&'a RolledBackContent>), ExportError> {
    let fingerprints = snapshot.with_file(|file| fingerprint::all(engine, plan, file, job))?;
    let recipe = incremental::environment_digest(engine, job)?;
    let decision = match incremental::check_reusable(job, served, &recipe) {
        Ok(usable) => incremental::decide(plan, &fingerprints, usable, |same| {
            row_groups::find(engine, plan, &fingerprints, usable.0, same)
        })?,
        Err(why) => ReuseDecision::Full(why),
    };
    let withheld = withheld.iter().find(|withheld| {
        incremental::was_built_from(&withheld.manifest, plan, &fingerprints, &recipe)
    });
    Ok((decision.table_actions(plan, &fingerprints), withheld))
}

/// Reads the lakehouse. `served` is the generation at the served path, `withheld` the content that
/// must not be published.
pub(super) fn read<'a>(
    job: &ExportJob,
    work: &ScratchDir,
    (served, withheld): (Option<&'a Manifest>, &'a [RolledBackContent]),
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<ReadOutcome<'a>, ExportError> {
    // Starting DuckDB takes time, so it happens before pipelines are blocked.
    let mut engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    let recipe = incremental::environment_digest(&engine, job)?;
    let usable = incremental::check_reusable(job, served, &recipe);
    let mut observer = Observer::new(&job.lakehouse, Policy::of(job), &job.cancel);
    let waited_before = record.wait_ms;
    let (mut snapshot, plan) = loop {
        let lakehouse = wait(&mut observer, waited_before, record, watch)?;
        let stamp = LakehouseStamp::of(&lakehouse.state, job);
        if let (Ok((manifest, basis)), Some(stamp)) = (&usable, &stamp)
            && stamp.is(basis.lakehouse.as_ref())
            && incremental::is_recognisable(manifest)
        {
            return Ok(ReadOutcome::Unchanged(manifest));
        }
        if let Some(taken) = take(&engine, &mut observer, lakehouse, (job, served), work, watch)? {
            break taken;
        }
        // The previous engine's plan has disabled external access, so it cannot attach another
        // file.
        engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    };
    record.wait_ms = waited_before + ms(snapshot.waited);
    record.snapshot = Some(snapshot.how);
    record.held_by.clone_from(&snapshot.held_by);
    let (staging, read_at) = (Instant::now(), Timestamp::now());
    plan.notices.iter().for_each(|notice| watch.notice(notice));
    plan.check_schema(served, job)?;
    if let Some(source) = &mut record.lakehouse {
        source.version = Some(plan.lakehouse_version.clone());
    }
    let is_usable = usable.is_ok();
    let copied = (snapshot.how != SnapshotMethod::None).then(SystemTime::now);
    let (staged, fingerprints) = match usable {
        Ok(usable) => {
            let fingerprints =
                snapshot.with_file(|file| fingerprint::all(&engine, &plan, file, job))?;
            let withheld = withheld.iter().find(|withheld| {
                incremental::was_built_from(&withheld.manifest, &plan, &fingerprints, &recipe)
            });
            let decision = incremental::decide(&plan, &fingerprints, usable, |same| {
                if withheld.is_some() {
                    return Ok(BTreeMap::new());
                }
                row_groups::find(&engine, &plan, &fingerprints, usable.0, same)
            })?;
            let staged = match (decision, withheld) {
                (ReuseDecision::Unchanged(manifest), _) => Err(ReadOutcome::Unchanged(manifest)),
                (_, Some(withheld)) => Err(ReadOutcome::Held(withheld)),
                (decision, None) => Ok(stage_incremental(
                    &engine,
                    &plan,
                    &fingerprints,
                    decision,
                    &mut snapshot,
                    job,
                    watch,
                )?),
            };
            (staged, fingerprints)
        }
        Err(why) => {
            let (staged, fingerprints) = stage_all(&engine, &plan, &mut snapshot, why, job, watch)?;
            (Ok(staged), fingerprints)
        }
    };
    // Closes whatever is still attached before our own descriptor: closing a descriptor first would
    // release DuckDB's lock.
    drop(engine);
    record.blocked_ms = ms(snapshot.release(watch));
    let stamp = LakehouseStamp::into_persistable(
        &snapshot.state,
        job,
        copied.unwrap_or_else(SystemTime::now),
    );
    record.stage_ms = ms_since(staging);
    let staged = match staged {
        Ok(staged) => staged,
        Err(nothing_new) => return Ok(nothing_new),
    };
    record.bytes = staged.bytes;
    let may_stay =
        is_usable && staged.tables.iter().all(|table| table.table_action.why != NOT_AS_PUBLISHED);
    Ok(ReadOutcome::Staged(Box::new(StagedExport {
        plan,
        staged,
        fingerprints,
        recipe,
        stamp,
        read_at,
        may_stay,
    })))
}

/// Takes a snapshot and attaches it; `None` if it should be read in place and a writer opened it
/// first.
pub(super) fn take(
    engine: &Engine,
    observer: &mut Observer<'_>,
    lakehouse: Lakehouse,
    (job, served): (&ExportJob, Option<&Manifest>),
    work: &ScratchDir,
    watch: &mut dyn Progress,
) -> Result<Option<(Snapshot, ExportPlan)>, ExportError> {
    watch.step(ExportStep::Snapshot);
    // Reserves space for the staged file: about the size of the served file, at most that of the
    // lakehouse.
    let reserve = served.map_or(lakehouse.state.total_bytes(), |served| served.bytes);
    let mut snapshot = Snapshot::take(observer, lakehouse, (job.snapshot, reserve), work, watch)?;
    watch.step(ExportStep::Plan);
    match ExportPlan::resolve(engine, &snapshot, job, work) {
        Ok(plan) if snapshot.confirm()? => return Ok(Some((snapshot, plan))),
        Ok(plan) => {
            engine.execute_batch(&format!("USE memory; DETACH {}", sql::ident(&plan.catalog)))?;
        }
        Err(error @ ExportError::LakehouseBusy { .. }) if observer.is_out_of_time() => {
            return Err(error);
        }
        Err(ExportError::LakehouseBusy { .. }) => {}
        Err(error) => return Err(error),
    }
    snapshot.release(watch);
    Ok(None)
}

fn wait(
    observer: &mut Observer<'_>,
    before: u64,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Lakehouse, ExportError> {
    watch.step(ExportStep::Wait);
    let lakehouse = observer.wait(watch);
    if let Err(
        ExportError::LakehouseBusy { waited, .. } | ExportError::LakehouseNeverIdle { waited, .. },
    ) = &lakehouse
    {
        record.wait_ms = before + ms(*waited);
    }
    let lakehouse = lakehouse?;
    record.wait_ms = before + ms(lakehouse.waited);
    if let Some(source) = &mut record.lakehouse {
        source.bytes = lakehouse.state.main_bytes();
    }
    if let Some(unfinished) = lakehouse.wal_warning() {
        watch.notice(&unfinished);
    }
    Ok(lakehouse)
}

/// Copies everything and concurrently computes the fingerprints for the next export.
fn stage_all(
    engine: &Engine,
    plan: &ExportPlan,
    snapshot: &mut Snapshot,
    why: String,
    job: &ExportJob,
    watch: &mut dyn Progress,
) -> Result<(StagedFile, Vec<Fingerprint>), ExportError> {
    let second = engine.try_clone()?;
    let table_actions = ReuseDecision::Full(why).table_actions(plan, &[]);
    let attached = &*snapshot;
    let (fingerprints, staged) = join(
        move || attached.with_file(|file| fingerprint::all(&second, plan, file, job)),
        || {
            stage::copy_tables(
                engine,
                plan,
                &table_actions,
                StagingBase::Empty(job.target.local().staged()),
                &mut *watch,
            )
        },
    );
    Ok((stage::checkpoint_and_close(engine, plan, Some(snapshot), staged?, watch)?, fingerprints?))
}

/// Carries out the decision. Copies everything if the served file is not as published, or too much
/// space would be left unused.
fn stage_incremental(
    engine: &Engine,
    plan: &ExportPlan,
    fingerprints: &[Fingerprint],
    mut decision: ReuseDecision<'_>,
    snapshot: &mut Snapshot,
    job: &ExportJob,
    watch: &mut dyn Progress,
) -> Result<StagedFile, ExportError> {
    let path = job.target.local().staged();
    if let ReuseDecision::Keep(manifest, _, unchanged) = &decision {
        watch.step(ExportStep::Stage);
        let why = match incremental::copy_served(job, manifest, path.clone())? {
            None => NOT_AS_PUBLISHED,
            Some(copy) => {
                let table_actions = decision.table_actions(plan, fingerprints);
                let staged = stage::copy_tables(
                    engine,
                    plan,
                    &table_actions,
                    StagingBase::Served(copy, manifest, unchanged),
                    watch,
                )?;
                let in_place = snapshot.is_in_place();
                let staged =
                    stage::checkpoint_and_close(engine, plan, Some(snapshot), staged, watch)?;
                // When read in place, the lakehouse has been unlocked, and locking it again would
                // mean another wait: the next export that finds a change reclaims the space.
                if in_place || !incremental::is_too_fragmented(&staged) {
                    return Ok(staged);
                }
                "taking unchanged tables over would leave more than 30 % of the file unused"
            }
        };
        watch.notice(&format!("everything is copied: {why}"));
        decision = ReuseDecision::Full(why.to_owned());
    }
    let staged = stage::copy_tables(
        engine,
        plan,
        &decision.table_actions(plan, fingerprints),
        StagingBase::Empty(path),
        watch,
    )?;
    stage::checkpoint_and_close(engine, plan, Some(snapshot), staged, watch)
}
