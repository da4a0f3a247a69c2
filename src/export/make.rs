//! A file that holds what the lakehouse does and has passed its checks: what is served, or what a lake is filled from.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    ExportError, Job, Manifest, Plan, Record, RolledAway, Step, TableManifest, TablePlan, TableRecord, Verdict, Watch,
    adopt::{self, Previous},
    audit,
    beside::side_by_side,
    content,
    fingerprint::Fingerprint,
    publish,
    read::{self, Read, StagedRead},
    reuse::{self, Basis},
    revision::Baseline,
    rollbacks::still_holds,
    seal::{Audited, Seal},
    snapshot::ms_since,
    stage::{self, Staged, StagedTable},
    turn,
    work::Work,
};

/// What came of it.
pub(super) enum Made {
    /// The served file was such a file already.
    Unchanged(Manifest),
    /// It is a new one.
    Published(Manifest),
    /// There is none: it would hold what was rolled away from, as this says.
    Held(String),
}

/// What is served now, where it may be replaced at all.
pub(super) fn previous(job: &Job, record: &Record, watch: &mut dyn Watch) -> Result<Previous, ExportError> {
    publish::check_unheld(&job.target)?;
    turn::check_name(&job.target, &job.schema)?;
    adopt::previous(&job.target.file(), &job.schema, &job.cancel, record, watch)
}

/// Makes the file. Checks compare it with `against`, what its readers have now.
pub(super) fn make(
    job: &Job,
    previous: &Previous,
    against: Option<&Manifest>,
    work: &Work,
    record: &mut Record,
    watch: &mut dyn Watch,
) -> Result<Made, ExportError> {
    let read = match read::read(job, work, (previous.served(), &previous.withheld), record, watch)? {
        Read::Held(away) => return Ok(Made::Held(still_holds(away))),
        // The file that a lake is filled from may hold it; what is served is `against`.
        Read::Unchanged(served) if let Some(away) = withheld(previous, against, served) => return Ok(Made::Held(still_holds(away))),
        Read::Unchanged(served) => return confirm(job, served, against, work, record, watch).map(Made::Unchanged),
        Read::Staged(read) => read,
    };
    let StagedRead { plan, mut staged, recipe, stamp, read_at, fingerprints, may_stay } = *read;

    let seal = Seal::of(&staged.path)?;
    watch.step(Step::Audit);
    let auditing = Instant::now();
    let served = previous.served();
    let contents = content::of_staged(&staged, &plan.tables, (&plan.schema, served), job, work);
    // What was done to the file explains why it cannot be read.
    seal.check()?;
    let contents = contents?;
    let tables = describe_tables(&plan, &staged, &fingerprints, &contents);
    if may_stay && let Some(served) = served.filter(|served| is_held_by(&tables, &plan, served)) {
        drop(staged);
        let served = recognise(served, tables, stamp, job, watch);
        if let Some(away) = withheld(previous, against, &served) {
            return Ok(Made::Held(still_holds(away)));
        }
        return confirm(job, &served, against, work, record, watch).map(Made::Unchanged);
    }
    if let Some(away) = previous.withheld.iter().find(|away| away.manifest.is_made_of(&plan.schema, Some(&recipe), &tables)) {
        return Ok(Made::Held(still_holds(away)));
    }
    record.tables = table_records(&staged, against);
    // What holds the same values as before was not revised.
    let before = |table: &TableManifest| against.and_then(|against| against.table(&table.name)).and_then(|before| before.content.as_ref());
    let is_same = |table: &&TableManifest| table.content.is_some() && before(table) == table.content.as_ref();
    let reused = tables.iter().filter(is_same).map(|table| table.name.clone()).collect();
    let baseline = Baseline { reused, ..Baseline::find(job, against, previous.manifest.as_ref()) };
    let (basis, verdict) = side_by_side(
        || reuse::basis(&staged, recipe, stamp, job),
        || audit::make(&staged.path, staged.tables.iter().map(|table| table.rows), &plan, &baseline, job, work),
    );
    seal.check()?;
    let (verdict, basis) = (verdict?, basis?);
    let content = basis.content.clone();
    record.audit_ms = ms_since(auditing);
    if let Err(refused) = record.judge(&verdict, job) {
        set_aside(job, &mut staged, watch);
        return Err(refused);
    }

    let publishing = Instant::now();
    let manifest = describe(record, &plan, (&staged, tables), (read_at, basis), verdict);
    job.cancel.check()?;
    let audited = Audited { bytes: manifest.bytes, content: &content, job };
    publish::publish(staged, &job.target, &manifest, &audited, watch)?;
    record.publish_ms = ms_since(publishing);
    Ok(Made::Published(manifest))
}

/// Finds what was rolled away from among what the file holds, unless readers have just that.
fn withheld<'a>(previous: &'a Previous, against: Option<&Manifest>, file: &Manifest) -> Option<&'a RolledAway> {
    let served = against.is_some_and(|against| against.holds_as(file));
    previous.withheld.iter().find(|away| !served && away.manifest.holds_as(file))
}

/// Ends an export that found nothing to copy: what the file holds is as fresh as the lakehouse. Checks are made again where they are others
/// than those it passed, or may come out differently although the data is the same.
fn confirm(
    job: &Job,
    served: &Manifest,
    against: Option<&Manifest>,
    work: &Work,
    record: &mut Record,
    watch: &mut dyn Watch,
) -> Result<Manifest, ExportError> {
    watch.step(Step::Audit);
    let auditing = Instant::now();
    let mut manifest = served.clone();
    let was_judged_so =
        served.basis.as_ref().is_some_and(|basis| basis.checks == job.checks()) && against.is_some_and(|against| against.holds_as(served));
    let has_passed = was_judged_so && served.audits.refusals().next().is_none();
    let job = if has_passed { job.with_passing_checks_only() } else { job.clone() };
    record.audits_passed = served.audits.audits.iter().filter(|audit| audit.passed).count();
    if !has_passed || !job.tables.is_empty() || !job.audits.is_empty() {
        let path = job.target.generation(&served.id);
        let baseline = Baseline::audited(against);
        let verdict = audit::make(&path, served.tables.iter().map(|table| table.rows), &Plan::of(served), &baseline, &job, work)?;
        record.judge(&verdict, &job)?;
        if !has_passed {
            (manifest.audits, manifest.forced) = (verdict, record.forced);
        }
    }
    record.audit_ms = ms_since(auditing);
    record.bytes = served.bytes;
    Ok(manifest)
}

fn table_records(staged: &Staged, previous: Option<&Manifest>) -> Vec<TableRecord> {
    let record = |table: &stage::StagedTable| TableRecord {
        name: table.treatment.table.clone(),
        rows: table.rows,
        previous_rows: previous.and_then(|previous| previous.table(&table.treatment.table)).map(|before| before.rows),
        ms: table.ms,
        reused: table.treatment.reused,
        why: table.treatment.why.clone(),
    };
    staged.tables.iter().map(record).collect()
}

/// Whether the served file holds, table for table and value for value, what was staged.
fn is_held_by(tables: &[TableManifest], plan: &Plan, served: &Manifest) -> bool {
    served.schema == plan.schema
        && served.storage_version.as_ref() == Some(&plan.storage_version)
        && tables.len() == served.tables.len()
        && tables.iter().all(|table| served.table(&table.name).is_some_and(|served| served.content.is_some() && served.holds_as(table)))
}

/// Records by what the next export recognises that the served file holds what the lakehouse does, which stores it in another way now. What comes
/// of it is not needed for being right: the next export would compare contents again.
fn recognise(served: &Manifest, tables: Vec<TableManifest>, stamp: Option<String>, job: &Job, watch: &mut dyn Watch) -> Manifest {
    let mut manifest = served.clone();
    manifest.tables = tables;
    if let Some(basis) = &mut manifest.basis {
        basis.lakehouse = stamp;
    }
    if manifest != *served
        && let Err(error) = publish::write_manifest(&job.target, &manifest)
    {
        watch.notice(&format!("what the lakehouse is recognised by could not be recorded: {error}"));
    }
    manifest
}

fn describe_tables(plan: &Plan, staged: &Staged, fingerprints: &[Fingerprint], contents: &[Option<String>]) -> Vec<TableManifest> {
    let known = staged.tables.iter().zip(fingerprints).zip(contents);
    let describe =
        |(table, ((copied, fingerprint), content)): (&TablePlan, ((&StagedTable, &Fingerprint), &Option<String>))| TableManifest {
            name: table.name.clone(),
            kind: table.kind,
            rows: copied.rows,
            comment: table.comment.clone(),
            columns: table.columns.clone(),
            fingerprint: fingerprint.clone().ok(),
            content: content.clone(),
        };
    plan.tables.iter().zip(known).map(describe).collect()
}

fn describe(
    record: &Record,
    plan: &Plan,
    (staged, tables): (&Staged, Vec<TableManifest>),
    (read_at, basis): (Timestamp, Basis),
    audits: Verdict,
) -> Manifest {
    Manifest {
        id: record.id.clone(),
        exported_at: read_at,
        lakehouse: record.lakehouse.clone(),
        schema: plan.schema.clone(),
        sources: plan.sources.clone(),
        time_zone: Some(plan.time_zone.clone()),
        storage_version: Some(plan.storage_version.clone()),
        bytes: staged.bytes,
        tables,
        revisions: audits.revisions.clone(),
        audits,
        forced: record.forced,
        materia: env!("CARGO_PKG_VERSION").to_owned(),
        basis: Some(basis),
    }
}

/// Keeps a refused file for inspection, where that was asked for.
fn set_aside(job: &Job, staged: &mut Staged, watch: &mut dyn Watch) {
    if !job.keep_refused {
        return;
    }
    let aside = job.target.refused();
    match std::fs::rename(&staged.path, &aside) {
        Ok(()) => {
            staged.keep();
            watch.notice(&format!("the refused file is kept as {}", aside.display()));
        }
        Err(error) => watch.notice(&format!("the refused file could not be kept: {error}")),
    }
}
