//! From the lakehouse to a closed staged file, or to the finding that nothing has changed.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;

use super::{
    ExportError, Job, Manifest, Record, RolledAway,
    beside::side_by_side,
    engine::Engine,
    fingerprint::{self, Fingerprint},
    lakehouse::Lakehouse,
    observer::{Observer, Policy},
    plan::Plan,
    reuse::{self, Decision, Stamp, Treatment},
    snapshot::{How, Snapshot, ms, ms_since},
    stage::{self, Staged, Start},
    watch::{Step, Watch},
    work::Work,
};
use crate::sql;

/// What came of reading the lakehouse. The pipeline is free again.
pub(super) enum Read<'a> {
    /// It holds what is served.
    Unchanged(&'a Manifest),
    /// It holds what was rolled away from.
    Held(&'a RolledAway),
    /// It was copied.
    Staged(Box<StagedRead>),
}

/// A closed staged file and what is known about it.
pub(super) struct StagedRead {
    pub(super) plan: Plan,
    pub(super) staged: Staged,
    /// In the plan's order.
    pub(super) fingerprints: Vec<Fingerprint>,
    /// What tables' contents depend on besides the lakehouse.
    pub(super) recipe: String,
    /// What tells whether the lakehouse was written since, where anything does.
    pub(super) stamp: Option<String>,
    /// When the data was read.
    pub(super) read_at: Timestamp,
    /// Whether the served file is as it was published, and made in the same way: it may stay where it holds the same.
    pub(super) may_stay: bool,
}

/// Why everything is copied where the served file does not hold what was audited: it must not stay.
const NOT_AS_PUBLISHED: &str = "the served file is not what was published";

/// What an export would do about each table, in the plan's order.
pub(super) fn foresee(
    engine: &Engine,
    snapshot: &Snapshot,
    plan: &Plan,
    served: Option<&Manifest>,
    job: &Job,
) -> Result<Vec<Treatment>, ExportError> {
    let fingerprints = snapshot.with_file(|file| fingerprint::all(engine, plan, file, job))?;
    let decision = match reuse::usable(job, served, &reuse::recipe(engine, job)?) {
        Ok(usable) => reuse::decide(plan, &fingerprints, usable),
        Err(why) => Decision::Full(why),
    };
    Ok(decision.treatments(plan, &fingerprints))
}

/// Reads the lakehouse. `served` is what stands at the served path, `withheld` what is not to be published.
pub(super) fn read<'a>(
    job: &Job,
    work: &Work,
    (served, withheld): (Option<&'a Manifest>, &'a [RolledAway]),
    record: &mut Record,
    watch: &mut dyn Watch,
) -> Result<Read<'a>, ExportError> {
    // Starting DuckDB takes a while: not while the pipeline is kept out.
    let mut engine = Engine::start(&job.limits, &work.spill(), &job.cancel)?;
    let recipe = reuse::recipe(&engine, job)?;
    let usable = reuse::usable(job, served, &recipe);
    let mut observer = Observer::new(&job.lakehouse, Policy::of(job), &job.cancel);
    let waited_before = record.wait_ms;
    let (mut snapshot, plan) = loop {
        let lakehouse = wait(&mut observer, waited_before, record, watch)?;
        let stamp = Stamp::of(&lakehouse.state, job);
        if let (Ok((manifest, basis)), Some(stamp)) = (&usable, &stamp)
            && stamp.is(basis.lakehouse.as_ref())
            && reuse::is_recognisable(manifest)
        {
            return Ok(Read::Unchanged(manifest));
        }
        if let Some(taken) = take(&engine, &mut observer, lakehouse, (job, served), work, watch)? {
            break taken;
        }
        // What a plan has closed to the outside cannot attach another file.
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
    let copied = (snapshot.how != How::None).then(SystemTime::now);
    let (staged, fingerprints) = match usable {
        Ok(usable) => {
            let fingerprints = snapshot.with_file(|file| fingerprint::all(&engine, &plan, file, job))?;
            let away = withheld.iter().find(|away| reuse::is_made_of(&away.manifest, &plan, &fingerprints, &recipe));
            let staged = match (reuse::decide(&plan, &fingerprints, usable), away) {
                (Decision::Unchanged(manifest), _) => Err(Read::Unchanged(manifest)),
                (_, Some(away)) => Err(Read::Held(away)),
                (decision, None) => Ok(stage_as(&engine, &plan, &fingerprints, decision, &mut snapshot, job, watch)?),
            };
            (staged, fingerprints)
        }
        Err(why) => {
            let (staged, fingerprints) = stage_all(&engine, &plan, &mut snapshot, why, job, watch)?;
            (Ok(staged), fingerprints)
        }
    };
    // Whatever is still attached is closed before our own descriptor of it.
    drop(engine);
    record.blocked_ms = ms(snapshot.release(watch));
    let stamp = Stamp::settled(&snapshot.state, job, copied.unwrap_or_else(SystemTime::now));
    record.stage_ms = ms_since(staging);
    let staged = match staged {
        Ok(staged) => staged,
        Err(nothing_new) => return Ok(nothing_new),
    };
    record.bytes = staged.bytes;
    let may_stay = is_usable && staged.tables.iter().all(|table| table.treatment.why != NOT_AS_PUBLISHED);
    Ok(Read::Staged(Box::new(StagedRead { plan, staged, fingerprints, recipe, stamp, read_at, may_stay })))
}

/// Takes a snapshot and attaches it; `None` where it is to be read in place and a writer was faster.
pub(super) fn take(
    engine: &Engine,
    observer: &mut Observer<'_>,
    lakehouse: Lakehouse,
    (job, served): (&Job, Option<&Manifest>),
    work: &Work,
    watch: &mut dyn Watch,
) -> Result<Option<(Snapshot, Plan)>, ExportError> {
    watch.step(Step::Snapshot);
    // The staged file needs room too: about as much as what is served, at most as much as the lakehouse.
    let reserve = served.map_or(lakehouse.state.total_bytes(), |served| served.bytes);
    let mut snapshot = Snapshot::take(observer, lakehouse, (job.snapshot, reserve), work, watch)?;
    watch.step(Step::Plan);
    match Plan::make(engine, &snapshot, job) {
        Ok(plan) if snapshot.confirm()? => return Ok(Some((snapshot, plan))),
        Ok(plan) => engine.quick(&format!("USE memory; DETACH {}", sql::ident(&plan.catalog)))?,
        Err(error @ ExportError::LakehouseBusy { .. }) if observer.is_out_of_time() => return Err(error),
        Err(ExportError::LakehouseBusy { .. }) => {}
        Err(error) => return Err(error),
    }
    snapshot.release(watch);
    Ok(None)
}

fn wait(observer: &mut Observer<'_>, before: u64, record: &mut Record, watch: &mut dyn Watch) -> Result<Lakehouse, ExportError> {
    watch.step(Step::Wait);
    let lakehouse = observer.wait(watch);
    if let Err(ExportError::LakehouseBusy { waited, .. } | ExportError::LakehouseRestless { waited, .. }) = &lakehouse {
        record.wait_ms = before + ms(*waited);
    }
    let lakehouse = lakehouse?;
    record.wait_ms = before + ms(lakehouse.waited);
    if let Some(source) = &mut record.lakehouse {
        source.bytes = lakehouse.state.main_bytes();
    }
    if let Some(unfinished) = lakehouse.unfinished() {
        watch.notice(&unfinished);
    }
    Ok(lakehouse)
}

/// Copies everything, and meanwhile finds out by what the next export will recognise it.
fn stage_all(
    engine: &Engine,
    plan: &Plan,
    snapshot: &mut Snapshot,
    why: String,
    job: &Job,
    watch: &mut dyn Watch,
) -> Result<(Staged, Vec<Fingerprint>), ExportError> {
    let beside = engine.beside()?;
    let treatments = Decision::Full(why).treatments(plan, &[]);
    let attached = &*snapshot;
    let (fingerprints, staged) = side_by_side(
        move || attached.with_file(|file| fingerprint::all(&beside, plan, file, job)),
        || stage::fill(engine, plan, &treatments, Start::Empty(job.target.staged()), &mut *watch),
    );
    Ok((stage::close(engine, plan, Some(snapshot), staged?, watch)?, fingerprints?))
}

/// Stages what was decided. Where the served file is not what was published, or would leave too much space unused, everything is copied.
fn stage_as(
    engine: &Engine,
    plan: &Plan,
    fingerprints: &[Fingerprint],
    mut decision: Decision<'_>,
    snapshot: &mut Snapshot,
    job: &Job,
    watch: &mut dyn Watch,
) -> Result<Staged, ExportError> {
    let path = job.target.staged();
    if let Decision::Keep(manifest, _) = &decision {
        watch.step(Step::Stage);
        let why = match reuse::take_over(job, manifest, path.clone())? {
            None => NOT_AS_PUBLISHED,
            Some(copy) => {
                let treatments = decision.treatments(plan, fingerprints);
                let staged = stage::fill(engine, plan, &treatments, Start::Served(copy, manifest), watch)?;
                let in_place = snapshot.is_in_place();
                let staged = stage::close(engine, plan, Some(snapshot), staged, watch)?;
                // In place the lakehouse is free again, and would have to be waited for anew: the next export that finds a change tidies up.
                if in_place || !reuse::is_too_loose(&staged) {
                    return Ok(staged);
                }
                "taking unchanged tables over would leave more than 30 % of the file unused"
            }
        };
        watch.notice(&format!("everything is copied: {why}"));
        decision = Decision::Full(why.to_owned());
    }
    let staged = stage::fill(engine, plan, &decision.treatments(plan, fingerprints), Start::Empty(path), watch)?;
    stage::close(engine, plan, Some(snapshot), staged, watch)
}
