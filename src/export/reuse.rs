//! What of the served generation the next one may take over: all of it, some tables, or nothing.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    Cancel, ExportError, Job, Limits, Manifest, Watch,
    beside::side_by_side,
    engine::Engine,
    fingerprint::{Fingerprint, MADE, Text, blocks},
    lakehouse::COMPANIONS,
    plan::{Plan, TablePlan},
    seal, snapshot,
    stage::Staged,
    state::DatabaseState,
};
use crate::{files, target::Target};

/// The largest share of an exported file that may be free space inside: beyond it everything is copied, which leaves none.
const MOST_FREE: f64 = 0.3;
/// Less free space than this is not worth copying anything for, whatever its share.
const LITTLE_FREE: u64 = 4 << 20;
/// The least share of values that must be unchanged for taking over a file to be worth copying it.
const LEAST_REUSED: f64 = 0.1;
/// The share of values in dropped tables beyond which their space is freed first.
const MUCH_DROPPED: f64 = 0.02;

/// What a later export must know of this one to reuse it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Everything outside the lakehouse on which the content of tables depends: versions, time zone, schema.
    pub recipe: String,
    /// Which checks were made.
    pub checks: String,
    /// The lakehouse's file as it was read, and what was asked of it, where that tells whether it was written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lakehouse: Option<String>,
    /// A hash of every byte of the generation's file.
    pub content: String,
    /// When that file was last changed, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Bytes inside that file that hold nothing.
    pub free_bytes: u64,
}

/// What to do about each table.
#[derive(Debug, Clone)]
pub(super) enum Decision<'a> {
    /// The served generation is what an export would make.
    Unchanged(&'a Manifest),
    /// Start from the served generation and keep these tables.
    Keep(&'a Manifest, BTreeSet<String>),
    /// Copy everything, for this reason.
    Full(String),
}

/// What is done about one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// The table.
    pub table: String,
    /// Taken over from the served generation, and not copied.
    pub reused: bool,
    /// Why.
    pub why: String,
}

/// What tables' contents depend on besides the lakehouse.
pub(super) fn recipe(engine: &Engine, job: &Job) -> Result<String, ExportError> {
    let engine = engine.texts("SELECT version()", &[])?;
    let mut text = Text::new();
    for part in [
        env!("CARGO_PKG_VERSION"),
        &MADE.to_string(),
        &engine.join(" "),
        &job.schema.to_lowercase(),
        &job.sources.digest(),
        &job.sources.time_zone,
        &format!("{:?}", job.storage_version),
    ] {
        text.add(part);
    }
    Ok(text.digest())
}

/// Tells whether a lakehouse was written since: its file, its times, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(String);

impl Stamp {
    /// Spells a state; `None` where part of the lakehouse is in a log.
    pub(super) fn of(state: &DatabaseState, job: &Job) -> Option<Self> {
        let orders: Vec<_> =
            job.tables.iter().map(|(name, table)| (name, &table.order_by)).filter(|(_, order)| !order.is_empty()).collect();
        let mut text = Text::new();
        text.add(&format!("{} {orders:?}", state.spell_main()));
        (!state.has_log()).then(|| Self(text.digest()))
    }

    /// Spells a state for comparison with later ones, given when writers were let in again; `None` where a write after that might leave
    /// the file's times as they are.
    pub(super) fn settled(state: &DatabaseState, job: &Job, released: SystemTime) -> Option<String> {
        let stamp = Self::of(state, job)?;
        state.is_settled_at(released).then_some(stamp.0)
    }

    pub(super) fn is(&self, recorded: Option<&String>) -> bool {
        recorded == Some(&self.0)
    }
}

/// The generation that is served, where it is as it was published and this export may take something over from it; or why not.
pub(super) fn usable<'a>(job: &Job, served: Option<&'a Manifest>, recipe: &str) -> Result<(&'a Manifest, &'a Basis), String> {
    if job.full {
        return Err("a full export was asked for".to_owned());
    }
    let Some(manifest) = served else { return Err("nothing is served yet".to_owned()) };
    let Some(basis) = &manifest.basis else { return Err("what is served was not exported by this version of materia".to_owned()) };
    if basis.recipe != recipe {
        return Err("materia, DuckDB, the time zone, the schema or the storage version is another one than in the last export".to_owned());
    }
    if !is_as_published(&job.target, manifest, basis) {
        return Err("the served file was changed after it was published".to_owned());
    }
    Ok((manifest, basis))
}

/// Whether the served file has its size and time, and no log of a writer beside it.
fn is_as_published(target: &Target, manifest: &Manifest, basis: &Basis) -> bool {
    let path = target.served_path();
    let as_published = |metadata: fs::Metadata| metadata.len() == manifest.bytes && modified_ns(&metadata) == Some(basis.modified_ns);
    let has_log = COMPANIONS.iter().any(|ending| files::with_suffix(path, ending).exists());
    fs::metadata(path).is_ok_and(as_published) && !has_log
}

/// Whether every table of it can be recognised: a lakehouse that was not written since then has the same content.
pub(super) fn is_recognisable(manifest: &Manifest) -> bool {
    manifest.tables.iter().all(|table| table.fingerprint.is_some())
}

/// Compares what there is to export with what is served.
pub(super) fn decide<'a>(plan: &Plan, fingerprints: &[Fingerprint], (manifest, basis): (&'a Manifest, &'a Basis)) -> Decision<'a> {
    if manifest.storage_version.as_ref() != Some(&plan.storage_version) {
        return Decision::Full("the storage version is another one than in the last export".to_owned());
    }
    let is_same = |(table, fingerprint): &(&TablePlan, &Fingerprint)| {
        fingerprint.as_ref().is_ok_and(|fingerprint| fingerprint_of(manifest, &table.name) == Some(fingerprint))
    };
    let same: BTreeSet<_> = plan.tables.iter().zip(fingerprints).filter(is_same).map(|(table, _)| table.name.clone()).collect();
    if same.len() == plan.tables.len() && same.len() == manifest.tables.len() {
        return Decision::Unchanged(manifest);
    }
    if is_loose(basis.free_bytes, manifest.bytes) {
        return Decision::Full("more than 30 % of the served file is free space".to_owned());
    }
    if same.is_empty() || values(manifest, |name| same.contains(name)) < LEAST_REUSED * values(manifest, |_| true) {
        return Decision::Full("nearly everything has changed".to_owned());
    }
    Decision::Keep(manifest, same)
}

/// Whether a generation was made of just what there is to export, as far as fingerprints tell.
pub(super) fn is_made_of(manifest: &Manifest, plan: &Plan, fingerprints: &[Fingerprint], recipe: &str) -> bool {
    let is_same = |(table, fingerprint): (&TablePlan, &Fingerprint)| {
        fingerprint.as_ref().is_ok_and(|fingerprint| fingerprint_of(manifest, &table.name) == Some(fingerprint))
    };
    manifest.schema == plan.schema
        && manifest.basis.as_ref().is_some_and(|basis| basis.recipe == recipe)
        && manifest.tables.len() == plan.tables.len()
        && plan.tables.iter().zip(fingerprints).all(is_same)
}

impl Decision<'_> {
    /// What it means for each of the plan's tables.
    pub(super) fn treatments(&self, plan: &Plan, fingerprints: &[Fingerprint]) -> Vec<Treatment> {
        let of = |(index, table): (usize, &TablePlan)| {
            let kept = |served: &Manifest| (true, format!("unchanged since {}", served.id));
            let (reused, why) = match self {
                Self::Full(why) => (false, why.clone()),
                Self::Unchanged(served) => kept(served),
                Self::Keep(served, names) if names.contains(&table.name) => kept(served),
                Self::Keep(served, _) => (false, why_copied(served, &table.name, fingerprints.get(index))),
            };
            Treatment { table: table.name.clone(), reused, why }
        };
        plan.tables.iter().enumerate().map(of).collect()
    }
}

fn why_copied(served: &Manifest, name: &str, fingerprint: Option<&Fingerprint>) -> String {
    let is_new = served.table(name).is_none();
    match (fingerprint, fingerprint_of(served, name)) {
        _ if is_new => "new".to_owned(),
        (Some(Err(why)), _) => format!("always copied: {why}"),
        (_, None) => "could not be recognised in the last export".to_owned(),
        (_, Some(_)) => "changed".to_owned(),
    }
}

fn fingerprint_of<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a String> {
    manifest.table(name)?.fingerprint.as_ref()
}

/// Copies the served generation to the staged path; `None` where it is not what was published. It is read for that while it is copied.
pub(super) fn take_over(job: &Job, manifest: &Manifest, to: PathBuf) -> Result<Option<Staged>, ExportError> {
    let staged = Staged::begin(to);
    let from = job.target.generation(&manifest.id);
    let problem = |source: io::Error| match source.kind() {
        io::ErrorKind::Interrupted => ExportError::Interrupted,
        _ => ExportError::io("copy the served generation to", &staged.path, source),
    };
    let source = File::open(&from).map_err(|source| ExportError::io("open", &from, source))?;
    let copy = File::create_new(&staged.path).map_err(problem)?;
    let (content, copied) = side_by_side(
        || blocks::hash_file(&source, &job.limits, &job.cancel),
        || snapshot::reflink(&source, &copy).or_else(|_| snapshot::copy_bytes(&source, &copy, &job.cancel)),
    );
    let content = copied.and(content).map_err(problem)?;
    let as_published = manifest.basis.as_ref().is_some_and(|basis| basis.content == content);
    Ok(as_published.then_some(staged))
}

/// Whether what is not taken over is so much that its space should be free before anything is copied. It costs writing the catalog out once
/// more; otherwise the space is used by the next export.
pub(super) fn is_worth_freeing(manifest: &Manifest, treatments: &[Treatment]) -> bool {
    let kept: BTreeSet<_> = treatments.iter().filter(|treatment| treatment.reused).map(|treatment| treatment.table.as_str()).collect();
    values(manifest, |name| !kept.contains(name)) > MUCH_DROPPED * values(manifest, |_| true)
}

/// How many values some of its tables have: about in proportion to their bytes, which nobody tells.
fn values(manifest: &Manifest, of: impl Fn(&str) -> bool) -> f64 {
    manifest.tables.iter().filter(|table| of(&table.name)).map(|table| table.rows as f64 * table.columns.len() as f64).sum()
}

/// Too much free space inside to publish: copying everything leaves none.
pub(super) fn is_too_loose(staged: &Staged) -> bool {
    is_loose(staged.free_bytes, staged.bytes)
}

fn is_loose(free: u64, bytes: u64) -> bool {
    free > LITTLE_FREE && free as f64 > bytes as f64 * MOST_FREE
}

/// What the next export must know of a finished staged file.
pub(super) fn basis(staged: &Staged, recipe: String, lakehouse: Option<String>, job: &Job) -> Result<Basis, ExportError> {
    let modified = fs::metadata(&staged.path).map(|metadata| modified_ns(&metadata));
    let modified_ns = modified.and_then(|modified| modified.ok_or_else(|| io::Error::other("its time of change is before 1970")));
    let modified_ns = modified_ns.map_err(|source| ExportError::io("read", &staged.path, source))?;
    let content = seal::hash(&staged.path, job)?;
    Ok(Basis { recipe, checks: job.checks(), lakehouse, content, modified_ns, free_bytes: staged.free_bytes })
}

/// Gives the served file and its generation the time at which they were published, where a copy of the folder lost it and the bytes are the same: by
/// that time they are recognised.
pub(super) fn restore_times(target: &Target, manifest: &Manifest, cancel: &Cancel, watch: &mut dyn Watch) -> Result<(), ExportError> {
    let Some(basis) = &manifest.basis else { return Ok(()) };
    for path in [target.served_path().to_path_buf(), target.generation(&manifest.id)] {
        let restored = (|| {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            if modified_ns(&metadata) == Some(basis.modified_ns) || metadata.len() != manifest.bytes {
                return Ok(false);
            }
            if blocks::hash_file(&file, &Limits::default(), cancel)? != basis.content {
                return Ok(false);
            }
            file.set_modified(UNIX_EPOCH + Duration::from_nanos(basis.modified_ns)).map(|()| true)
        })();
        match restored {
            Ok(false) => {}
            Ok(true) => watch.notice(&format!("{} was copied and holds what was published: it has its time again", path.display())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(ExportError::Interrupted),
            Err(error) => watch.notice(&format!("{} cannot be given its time of publication: {error}", path.display())),
        }
    }
    Ok(())
}

fn modified_ns(metadata: &fs::Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok()
}
