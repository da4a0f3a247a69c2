//! Publishing to a lake. The file beside the lakehouse is made and audited as if it were served; then one transaction copies into the lake what differs there,
//! compares it value for value, and commits: one snapshot is one generation.
//!
//! The pipeline is kept out while the file is made, and not while anything goes through the network. What an export could not commit is committed by the
//! next one, which finds the file as it should be and the lake behind it.

mod keep;
mod migrate;
mod types;
mod writer;

use std::{path::Path, time::Instant};

pub(super) use self::keep::{generations, prune};
pub use self::migrate::migrate;
use self::writer::Writer;
use super::{
    Cancel, ExportError, Job, Limits, Manifest, Outcome, Plan, Record, RollbackRequest, RollbackState, Step, TableRecord, Watch, engine,
    make::{self, Made},
    plan::STAGED,
    rollbacks,
    snapshot::ms_since,
    work::Work,
};
use crate::{
    lake::{Commit, Found, Lake},
    sql,
    target::{GenerationId, Target},
};

/// One export to a lake.
pub(super) fn export(job: &Job, lake: &Lake, record: &mut Record, watch: &mut dyn Watch) -> Result<Outcome, ExportError> {
    // Before the pipeline is kept out for anything.
    let served = lake.served()?.map(|commit| commit.manifest);
    record.previous = served.as_ref().map(|served| served.id.clone());
    let rollbacks = RollbackState::load(&job.target)?;
    if let Some(hold) = rollbacks.hold_on(record.previous.as_ref()) {
        return Ok(record.hold(rollbacks::held_by(hold)));
    }
    let mut previous = make::previous(job, record, watch)?;
    previous.withheld = rollbacks.withheld(record.previous.as_ref()).cloned().collect();
    let work = Work::begin(job.target.work())?;
    let made = match make::make(job, &previous, served.as_ref(), &work, record, watch)? {
        Made::Held(why) => return Ok(record.hold(why)),
        Made::Unchanged(manifest) | Made::Published(manifest) => manifest,
    };
    if let Some(served) = served.as_ref().filter(|served| !job.full && served.holds_as(&made))
        && lake.find(&made.schema)?.is_some_and(|found| found.is_as_published())
    {
        record.bytes = served.bytes;
        record.tables.clear();
        record.generation = Some(served.id.clone());
        return Ok(Outcome::Unchanged);
    }
    let publishing = Instant::now();
    let manifest = Manifest { id: record.id.clone(), ..made.clone() };
    let shipment =
        Shipment { job, lake, file: &job.target.generation(&made.id), manifest: &manifest, served: served.as_ref(), compare_all: false };
    shipment.ship(&work, record, watch)?;
    record.publish_ms += ms_since(publishing);
    record.generation = Some(manifest.id);
    Ok(Outcome::Published)
}

/// A generation's file on its way into a lake.
struct Shipment<'a> {
    job: &'a Job,
    lake: &'a Lake,
    file: &'a Path,
    /// The generation that it becomes.
    manifest: &'a Manifest,
    /// The one that it was checked against.
    served: Option<&'a Manifest>,
    /// Compares the values of tables too that are in the lake already.
    compare_all: bool,
}

impl Shipment<'_> {
    /// Copies it, as far as the lake does not hold it already, and commits.
    fn ship(&self, work: &Work, record: &mut Record, watch: &mut dyn Watch) -> Result<(), ExportError> {
        let Self { job, lake, manifest, served, .. } = *self;
        types::check(manifest)?;
        watch.step(Step::Upload);
        let found = lake.find(&manifest.schema)?;
        let now = found.as_ref().and_then(|found| found.served.as_ref());
        if now.map(|commit| &commit.manifest.id) != served.map(|served| &served.id) {
            // What the checks compared with is not what is served any more.
            let by = now.map(|commit| format!(" (generation {})", commit.manifest.id)).unwrap_or_default();
            return Err(ExportError::Overtaken { lake: job.target.name(), by });
        }
        let writer = Writer::begin(lake, &manifest.schema, found.as_ref(), (&job.limits, &work.spill(), &job.cancel))?;
        writer.engine.quick(&engine::attach(self.file, STAGED, "READ_ONLY"))?;
        let plan = Plan::of(manifest);
        let treated: Vec<_> = manifest.tables.iter().map(|table| (&table.name, why(job, &table.name, manifest, found.as_ref()))).collect();
        let of = treated.iter().filter(|(_, why)| why.is_err()).count();
        let (mut written, mut compared, mut records) = (0, Vec::new(), Vec::new());
        for (table, (name, why)) in plan.tables.iter().zip(&treated) {
            let from = sql::path(&[STAGED, &manifest.schema, name]);
            let before = served.and_then(|served| served.table(name));
            let mut line = TableRecord { name: (*name).clone(), previous_rows: before.map(|before| before.rows), ..TableRecord::default() };
            match why {
                Ok(same) => (line.rows, line.reused, line.why) = (before.map_or(0, |before| before.rows), true, same.clone()),
                Err(differs) => {
                    (line.rows, line.ms) = writer.replace(table, &from, (written, of), watch)?;
                    line.why.clone_from(differs);
                    written += 1;
                }
            }
            if why.is_err() || self.compare_all {
                compared.push(((*name).clone(), from));
            }
            records.push(line);
        }
        for name in writer.tables()?.iter().filter(|name| manifest.table(name).is_none()) {
            writer.remove(name)?;
        }
        watch.step(Step::Verify);
        writer.verify(manifest, &compared)?;
        record.tables = records;
        record.bytes = manifest.bytes;
        writer.commit(manifest, watch)
    }
}

/// Why a table is left as it is in the lake, or why not.
fn why(job: &Job, name: &str, manifest: &Manifest, found: Option<&Found>) -> Result<String, String> {
    let Some((found, served)) = found.and_then(|found| Some((found, &found.served.as_ref()?.manifest))) else {
        return Err("nothing is served yet".to_owned());
    };
    let recipe = |manifest: &Manifest| manifest.basis.as_ref().map(|basis| basis.recipe.clone());
    let (now, Some(before)) = (manifest.table(name), served.table(name)) else { return Err("new".to_owned()) };
    let same = now.is_some_and(|now| now.holds_as(before));
    if job.full {
        Err("a full export was asked for".to_owned())
    } else if recipe(served).is_none() || recipe(served) != recipe(manifest) {
        Err("materia, DuckDB, the time zone or the schema is another one than in the last export".to_owned())
    } else if !same && before.fingerprint.is_none() && before.content.is_none() {
        Err("it cannot be recognised, and is always copied".to_owned())
    } else if !same {
        Err("changed".to_owned())
    } else if !found.has_as_published(name) {
        Err("it was changed in the lake after it was published".to_owned())
    } else {
        Ok(format!("unchanged since {}", served.id))
    }
}

/// Serves a kept generation again: a new snapshot with what the old one held.
pub(super) fn roll_back(
    (target, lake): (&Target, &Lake),
    (id, request): (&GenerationId, &RollbackRequest),
    cancel: &Cancel,
    record: &mut Record,
    watch: &mut dyn Watch,
) -> Result<Manifest, ExportError> {
    let bad = |why: &str| ExportError::BadGeneration { id: id.clone(), why: why.to_owned() };
    let commit =
        lake.commits()?.into_iter().rfind(|commit| commit.manifest.id == *id).ok_or_else(|| bad("it is not in the lake any more"))?;
    let Commit { snapshot, manifest, .. } = commit;
    let found = lake.find(&manifest.schema)?;
    let served = found.as_ref().and_then(|found| found.served.as_ref()).map(|commit| commit.manifest.clone());
    if served.as_ref().is_some_and(|served| served.id == *id) {
        return Err(bad("it is the one being served"));
    }
    record.previous = served.as_ref().map(|served| served.id.clone());
    let publishing = Instant::now();
    watch.step(Step::Upload);
    let work = Work::begin(target.work())?;
    // Before the transaction begins: a catalog in SQLite takes one writer at a time, and refuses a commit when another has written since.
    RollbackState::load(target)?.after(served.as_ref(), id, request).save(target)?;
    let writer = Writer::begin(lake, &manifest.schema, found.as_ref(), (&Limits::default(), &work.spill(), cancel))?;
    let is_there = |name: &str| {
        let same = served
            .as_ref()
            .is_some_and(|served| served.table(name).zip(manifest.table(name)).is_some_and(|(served, kept)| served.holds_as(kept)));
        same && found.as_ref().is_some_and(|found| found.has_as_published(name))
    };
    let frozen = lake.freeze(snapshot, &manifest.schema)?;
    writer.attach_old(&frozen)?;
    let plan = Plan::of(&manifest);
    let changed: Vec<_> = plan.tables.iter().filter(|table| !is_there(&table.name)).collect();
    let mut written = Vec::new();
    for (index, table) in changed.iter().enumerate() {
        let from = sql::path(&[writer::OLD, &manifest.schema, &table.name]);
        writer.replace(table, &from, (index, changed.len()), watch)?;
        written.push((table.name.clone(), from));
    }
    for name in writer.tables()?.iter().filter(|name| manifest.table(name).is_none()) {
        writer.remove(name)?;
    }
    watch.step(Step::Verify);
    writer.verify(&manifest, &written)?;
    writer.commit(&manifest, watch)?;
    record.publish_ms = ms_since(publishing);
    Ok(manifest)
}
