//! Builds a file with the lakehouse's content that has passed its audits: the served file, or the
//! file from which a lake is filled.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, time::Instant};

use jiff::Timestamp;

use super::error::check_cancelled;
use super::{
    ExportError, ExportJob, ExportPlan, Progress, TablePlan, audit,
    concurrent::join,
    content::{self, TableDigests},
    export_lock,
    fingerprint::Fingerprint,
    incremental,
    previous::{self, Previous},
    publish,
    revision::Baseline,
    scratch::ScratchDir,
    seal::{Audited, Seal},
    snapshot::ms_since,
    stage::{self, StagedFile, StagedTable},
    stage_lakehouse::{self, ReadOutcome, StagedExport},
};
use crate::store::{
    AttemptRecord, AuditReport, ExportStep, IncrementalState, Manifest, RolledBackContent,
    TableManifest, TableRecord, withheld_message,
};

pub(super) enum BuildOutcome {
    /// The served file already has the lakehouse's content.
    Unchanged(Manifest),
    /// A new file was published.
    Published(Manifest),
    /// Nothing was published, because the content was rolled back; the text explains it.
    Held(String),
}

/// Returns what is served now, if it may be replaced.
pub(super) fn previous(
    job: &ExportJob,
    record: &AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Previous, ExportError> {
    publish::ensure_not_open_for_write(job.target.local())?;
    export_lock::validate_catalog_name(&job.target, &job.schema)?;
    previous::previous(job.target.local(), &job.schema, &job.cancel, record, watch)
}

/// Builds the file. Audits compare it with `against`, the generation that readers currently see.
pub(super) fn build_candidate(
    job: &ExportJob,
    previous: &Previous,
    against: Option<&Manifest>,
    work: &ScratchDir,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<BuildOutcome, ExportError> {
    let read = match stage_lakehouse::read(
        job,
        work,
        (previous.served(), &previous.withheld),
        record,
        watch,
    )? {
        ReadOutcome::Held(withheld) => return Ok(BuildOutcome::Held(withheld_message(withheld))),
        // The local file of a lake may have the content that was rolled back; `against` is the
        // served generation.
        ReadOutcome::Unchanged(served)
            if let Some(withheld) = withheld(previous, against, served) =>
        {
            return Ok(BuildOutcome::Held(withheld_message(withheld)));
        }
        ReadOutcome::Unchanged(served) => {
            return reaudit_unchanged(job, served, against, work, record, watch)
                .map(BuildOutcome::Unchanged);
        }
        ReadOutcome::Staged(read) => read,
    };
    let StagedExport { plan, mut staged, recipe, stamp, read_at, fingerprints, may_stay } = *read;

    let seal = Seal::of(&staged.path)?;
    watch.step(ExportStep::Audit);
    let auditing = Instant::now();
    let served = previous.served();
    let digests = content::of_staged(&staged, &plan.tables, (&plan.schema, served), job, work);
    // Tampering with the file would explain why it cannot be read.
    seal.check()?;
    let digests = digests?;
    let tables = describe_tables(&plan, &staged, &fingerprints, &digests);
    if may_stay && let Some(served) = served.filter(|served| is_held_by(&tables, &plan, served)) {
        drop(staged);
        let served = recognize(served, tables, stamp, job, watch);
        if let Some(withheld) = withheld(previous, against, &served) {
            return Ok(BuildOutcome::Held(withheld_message(withheld)));
        }
        return reaudit_unchanged(job, &served, against, work, record, watch)
            .map(BuildOutcome::Unchanged);
    }
    if let Some(withheld) = previous
        .withheld
        .iter()
        .find(|withheld| withheld.manifest.was_built_from(&plan.schema, Some(&recipe), &tables))
    {
        return Ok(BuildOutcome::Held(withheld_message(withheld)));
    }
    record.tables = table_records(&staged, against);
    // A table with the same values as before was not revised.
    let before = |table: &TableManifest| {
        against
            .and_then(|against| against.table(&table.name))
            .and_then(|before| before.content.as_ref())
    };
    let is_same =
        |table: &&TableManifest| table.content.is_some() && before(table) == table.content.as_ref();
    let reused = tables.iter().filter(is_same).map(|table| table.name.clone()).collect();
    let baseline = Baseline {
        reused,
        audited: &tables,
        ..Baseline::find(job, against, previous.manifest.as_ref())
    };
    let (basis, verdict) = join(
        || incremental::basis(&staged, recipe, stamp, job),
        || {
            audit::run_audit(
                &staged.path,
                staged.tables.iter().map(|table| table.rows),
                &plan,
                &baseline,
                job,
                work,
            )
        },
    );
    seal.check()?;
    let (verdict, basis) = (verdict?, basis?);
    let content = basis.content.clone();
    record.audit_ms = ms_since(auditing);
    if let Err(refused) = record.judge(&verdict, job) {
        keep_refused(job, &mut staged, watch);
        return Err(refused);
    }

    let publishing = Instant::now();
    let manifest = build_manifest(record, &plan, (&staged, tables), (read_at, basis), verdict);
    check_cancelled(&job.cancel)?;
    let audited = Audited { bytes: manifest.bytes, content: &content, job };
    publish::publish(staged, job.target.local(), &manifest, &audited, watch)?;
    record.publish_ms = ms_since(publishing);
    Ok(BuildOutcome::Published(manifest))
}

/// Returns the rolled-back content that the file has, unless exactly that content is being served.
fn withheld<'a>(
    previous: &'a Previous,
    against: Option<&Manifest>,
    file: &Manifest,
) -> Option<&'a RolledBackContent> {
    let served = against.is_some_and(|against| against.has_same_content(file));
    previous.withheld.iter().find(|withheld| !served && withheld.manifest.has_same_content(file))
}

/// Ends an export that found nothing to copy: the file is as fresh as the lakehouse. Audits run
/// again if they differ from those the file passed, or may give another result for the same data.
fn reaudit_unchanged(
    job: &ExportJob,
    served: &Manifest,
    against: Option<&Manifest>,
    work: &ScratchDir,
    record: &mut AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Manifest, ExportError> {
    watch.step(ExportStep::Audit);
    let auditing = Instant::now();
    let mut manifest = served.clone();
    let was_judged_so =
        served.basis.as_ref().is_some_and(|basis| basis.checks == job.checks_digest())
            && against.is_some_and(|against| against.has_same_content(served));
    let has_passed = was_judged_so && served.audits.refusals().next().is_none();
    let job = if has_passed { job.with_time_dependent_checks() } else { job.clone() };
    record.audits_passed = served.audits.audits.iter().filter(|audit| audit.passed).count();
    if !has_passed || !job.tables.is_empty() || !job.audits.is_empty() {
        let path = job.target.local().generation_path(&served.id);
        let baseline = Baseline::of_audited(against);
        let verdict = audit::run_audit(
            &path,
            served.tables.iter().map(|table| table.rows),
            &ExportPlan::of(served),
            &baseline,
            &job,
            work,
        )?;
        record.judge(&verdict, &job)?;
        if !has_passed {
            (manifest.audits, manifest.forced) = (verdict, record.forced);
        }
    }
    record.audit_ms = ms_since(auditing);
    record.bytes = served.bytes;
    Ok(manifest)
}

fn table_records(staged: &StagedFile, previous: Option<&Manifest>) -> Vec<TableRecord> {
    let record = |table: &stage::StagedTable| TableRecord {
        name: table.table_action.table.clone(),
        rows: table.rows,
        previous_rows: previous
            .and_then(|previous| previous.table(&table.table_action.table))
            .map(|before| before.rows),
        ms: table.ms,
        reused: table.table_action.reused,
        why: table.table_action.why.clone(),
    };
    staged.tables.iter().map(record).collect()
}

/// Returns whether the served file has exactly the tables and values that were staged.
fn is_held_by(tables: &[TableManifest], plan: &ExportPlan, served: &Manifest) -> bool {
    served.schema == plan.schema
        && served.storage_version.as_ref() == Some(&plan.storage_version)
        && tables.len() == served.tables.len()
        && tables.iter().all(|table| {
            served
                .table(&table.name)
                .is_some_and(|served| served.content.is_some() && served.has_same_content(table))
        })
}

/// Records the fingerprints by which the next export recognizes that the served file matches the
/// lakehouse, whose storage has changed. Correctness does not depend on it: without it, the next
/// export compares contents again.
fn recognize(
    served: &Manifest,
    tables: Vec<TableManifest>,
    stamp: Option<String>,
    job: &ExportJob,
    watch: &mut dyn Progress,
) -> Manifest {
    let mut manifest = served.clone();
    manifest.tables = tables;
    if let Some(basis) = &mut manifest.basis {
        basis.lakehouse = stamp;
    }
    if manifest != *served
        && let Err(error) = job.target.local().write_manifest(&manifest)
    {
        watch
            .notice(&format!("what the lakehouse is recognised by could not be recorded: {error}"));
    }
    manifest
}

fn describe_tables(
    plan: &ExportPlan,
    staged: &StagedFile,
    fingerprints: &[Fingerprint],
    digests: &[TableDigests],
) -> Vec<TableManifest> {
    let known = staged.tables.iter().zip(fingerprints).zip(digests);
    let describe = |(table, ((copied, fingerprint), digests)): (
        &TablePlan,
        ((&StagedTable, &Fingerprint), &TableDigests),
    )| TableManifest {
        name: table.name.clone(),
        kind: table.kind,
        rows: copied.rows,
        comment: table.comment.clone(),
        columns: table.columns.clone(),
        fingerprint: fingerprint.as_ref().ok().map(|found| found.digest.clone()),
        content: digests.content.clone(),
        row_groups: digests.row_groups.clone(),
        stored_row_groups: match fingerprint {
            Ok(found) if !digests.row_groups.is_empty() => found.row_groups.clone(),
            _ => Vec::new(),
        },
        values: None,
    };
    plan.tables.iter().zip(known).map(describe).collect()
}

fn build_manifest(
    record: &AttemptRecord,
    plan: &ExportPlan,
    (staged, tables): (&StagedFile, Vec<TableManifest>),
    (read_at, basis): (Timestamp, IncrementalState),
    audits: AuditReport,
) -> Manifest {
    Manifest {
        id: record.id.clone(),
        exported_at: read_at,
        lakehouse: record.lakehouse.clone(),
        publisher: None,
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

/// Keeps a refused file for inspection, if `keep_refused` is set.
fn keep_refused(job: &ExportJob, staged: &mut StagedFile, watch: &mut dyn Progress) {
    if !job.keep_refused {
        return;
    }
    let aside = job.target.local().refused();
    // A file that failed its audits is readable by its owner only.
    let private = Permissions::from_mode(0o600);
    match std::fs::set_permissions(&staged.path, private)
        .and_then(|()| std::fs::rename(&staged.path, &aside))
    {
        Ok(()) => {
            staged.disarm();
            watch.notice(&format!("the refused file is kept as {}", aside.display()));
        }
        Err(error) => watch.notice(&format!("the refused file could not be kept: {error}")),
    }
}
