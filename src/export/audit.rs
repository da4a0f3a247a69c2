//! The audits that a staged file must pass before it is published. The file is opened in isolation
//! and read-only, as a reader would open it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::error::check_cancelled;
use super::{
    ExportError, ExportJob,
    engine::{self, Engine},
    error::reason,
    plan::{self, ExportPlan, STAGED_CATALOG, TablePlan},
    revision::{self, Baseline, PREVIOUS, SERVED},
    scratch::ScratchDir,
};
use crate::store::{
    AttemptRecord, Audit, AuditReport, Candidate, ColumnManifest, Manifest, Remedy, Revision,
    Store, TableManifest,
};
use crate::{
    humanize,
    settings::{Severity, SqlAudit, TableSettings},
    sql,
};

/// Audits that the staged file is a complete copy. An incomplete export is never published, not
/// even with `--force`.
const COMPLETENESS_CHECKS: [&str; 3] = ["present", "copied", "rows"];

impl AuditReport {
    /// Checks that no failed audit prevents publishing.
    ///
    /// # Errors
    /// Returns [`ExportError::Broken`] when the staged file differs from the lakehouse, even with
    /// `force`; [`ExportError::Refused`] with every failed audit, unless `force` is set.
    pub(super) fn allows(&self, force: bool) -> Result<(), ExportError> {
        let (broken, failed): (Vec<_>, Vec<_>) = self
            .refusals()
            .cloned()
            .partition(|audit| COMPLETENESS_CHECKS.contains(&audit.name.as_str()));
        match (broken.is_empty(), failed.is_empty() || force) {
            (false, _) => Err(ExportError::IncompleteCopy { failed: broken }),
            (true, false) => Err(ExportError::Refused { failed, way_out: Box::default() }),
            (true, true) => Ok(()),
        }
    }
}

/// Returns the names of the checks that [`run_audit`] would run, for a dry run.
pub(super) fn planned_checks(
    plan: &ExportPlan,
    previous: Option<&Manifest>,
    job: &ExportJob,
) -> Vec<String> {
    let mut names: Vec<String> = COMPLETENESS_CHECKS.map(str::to_owned).to_vec();
    if previous.is_some() {
        names.extend(["lost", "not_empty", "max_drop", revision::NAME].map(str::to_owned));
    }
    let settings_of = |table: &TableSettings| {
        let unique =
            table.unique.list().into_iter().map(|key| format!("unique {}", key.join(", ")));
        let not_null = table.not_null.iter().map(|column| format!("not_null {column}"));
        let min_rows = table.min_rows.map(|rows| format!("min_rows {}", humanize::count(rows)));
        let fresh = table.fresh.as_ref().map(|fresh| {
            format!("fresh {} within {}", fresh.column, humanize::duration(fresh.within))
        });
        not_null.chain(unique).chain(min_rows).chain(fresh).collect::<Vec<_>>()
    };
    for table in &plan.tables {
        let settings = job.tables.get(&table.name).map(settings_of).unwrap_or_default();
        names.extend(settings.into_iter().map(|check| format!("{}: {check}", table.name)));
    }
    names.extend(job.audits.iter().map(|audit| audit.name.clone()));
    names.extend(job.checks.iter().map(|check| check.name().to_owned()));
    names
}

/// Runs every check on a finished file in isolation and returns all results, including failures.
/// `rows` is the expected row count of each of the plan's tables.
pub(super) fn run_audit(
    path: &Path,
    rows: impl Iterator<Item = u64>,
    plan: &ExportPlan,
    baseline: &Baseline<'_>,
    job: &ExportJob,
    work: &ScratchDir,
) -> Result<AuditReport, ExportError> {
    let previous = baseline.manifest;
    let (engine, baseline) = open(path, baseline, job, work)?;
    let found = plan::columns(&engine, STAGED_CATALOG, &plan.schema)?;
    let counted = count(&engine, &plan.schema, found.keys())?;
    let mut audit =
        Auditor { engine: &engine, schema: &plan.schema, verdict: AuditReport::default() };
    for (table, rows) in plan.tables.iter().zip(rows) {
        audit.check_copy(table, rows, found.get(&table.name).zip(counted.get(&table.name)));
        let settings = job.tables.get(&table.name).cloned().unwrap_or_default();
        if let Some(before) = previous.and_then(|manifest| manifest.table(&table.name)) {
            audit.check_against_served(table, rows, before, &settings, job.max_drop);
        }
        audit.check_configured(table, rows, &settings)?;
    }
    audit.check_missing_tables(plan, &counted, previous, job);
    audit.unknown_tables(plan, job);
    audit.revisions(plan, &baseline, &counted, job)?;
    baseline.offer(&engine, plan, &job.audits)?;
    for settings_of in &job.audits {
        audit.sql(settings_of)?;
    }
    let mut verdict = audit.verdict;
    drop(engine);
    if !job.checks.is_empty() {
        let store = Store::new(path).map_err(|source| ExportError::io("look at", path, source))?;
        verdict.audits.extend(run_checks(&store, &plan.schema, job, work)?);
    }
    Ok(verdict)
}

/// Runs the checks that the caller passed to the export.
pub(super) fn run_checks(
    store: &Store,
    schema: &str,
    job: &ExportJob,
    work: &ScratchDir,
) -> Result<Vec<Audit>, ExportError> {
    let spill = work.spill();
    let is_cancelled = || job.cancel.is_cancelled();
    let candidate = Candidate {
        store,
        schema,
        threads: job.limits.threads,
        spill: &spill,
        is_cancelled: &is_cancelled,
    };
    let mut audits = Vec::new();
    for check in &job.checks {
        let checked = check.run(&candidate);
        check_cancelled(&job.cancel)?;
        let place = store.display_name();
        audits.extend(checked.map_err(|source| ExportError::io("check", &place, source))?);
    }
    Ok(audits)
}

/// Opens the file together with the one it is compared with, or alone if that one cannot be opened:
/// an export replaces a damaged file.
fn open<'a>(
    path: &Path,
    baseline: &Baseline<'a>,
    job: &ExportJob,
    work: &ScratchDir,
) -> Result<(Engine, Baseline<'a>), ExportError> {
    let open_staged = |file: Option<&PathBuf>| {
        let served =
            file.map(|file| engine::attach(file, SERVED, "READ_ONLY") + ";").unwrap_or_default();
        let attach = format!("ATTACH ':memory:' AS {PREVIOUS};{served}");
        Engine::open_with_served(path, &attach, &job.limits, &work.spill(), &job.cancel)
    };
    match open_staged(baseline.file.as_ref()) {
        Err(ExportError::Engine { .. }) if baseline.file.is_some() => {
            Ok((open_staged(None)?, Baseline { file: None, ..baseline.clone() }))
        }
        engine => Ok((engine?, baseline.clone())),
    }
}

/// Counts the rows of every table, many tables per query: one query each would cost more than the
/// counting.
fn count<'a>(
    engine: &Engine,
    schema: &str,
    tables: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, u64>, ExportError> {
    const COUNT_BATCH: usize = 100;
    let one = |name: &String| {
        format!(
            "SELECT {}, count(*) FROM {}",
            sql::literal(name),
            sql::path(&[STAGED_CATALOG, schema, name])
        )
    };
    let queries: Vec<_> = tables.map(one).collect();
    let mut counted = BTreeMap::new();
    for some in queries.chunks(COUNT_BATCH) {
        counted.extend(
            engine.rows(&some.join(" UNION ALL "), &[], |row| Ok((row.get(0)?, row.get(1)?)))?,
        );
    }
    Ok(counted)
}

/// Runs checks and collects their results.
pub(super) struct Auditor<'a> {
    pub(super) engine: &'a Engine,
    pub(super) schema: &'a str,
    pub(super) verdict: AuditReport,
}

impl Auditor<'_> {
    pub(super) fn record(&mut self, name: &str, table: Option<&str>, passed: bool, found: String) {
        self.verdict.audits.push(Audit {
            name: name.to_owned(),
            table: table.map(str::to_owned),
            severity: Severity::Error,
            passed,
            found,
        });
    }

    fn from(&self, table: &str) -> String {
        sql::path(&[STAGED_CATALOG, self.schema, table])
    }

    /// Checks that every relation is present, with its columns from the lakehouse and as many rows
    /// as were read.
    pub(super) fn check_copy(
        &mut self,
        table: &TablePlan,
        read: u64,
        found: Option<(&Vec<ColumnManifest>, &u64)>,
    ) {
        let name = Some(table.name.as_str());
        let Some((columns, &rows)) = found else {
            self.record("present", name, false, "is not in the staged file".to_owned());
            return;
        };
        self.record("present", name, true, "is in the staged file".to_owned());
        let same = *columns == table.columns;
        let found = if same {
            format!("has its {}", humanize::plural(columns.len(), "column"))
        } else {
            format!(
                "has other columns than in the lakehouse: {}",
                differences(&table.columns, columns)
            )
        };
        self.record("copied", name, same, found);
        let found = if rows == read {
            format!("has {}", humanize::rows(rows))
        } else {
            format!("has {}, {} in the lakehouse", humanize::rows(rows), humanize::count(read))
        };
        self.record("rows", name, rows == read, found);
    }

    /// Checks that nothing that was served has become unusable.
    fn check_against_served(
        &mut self,
        table: &TablePlan,
        rows: u64,
        before: &TableManifest,
        settings: &TableSettings,
        max_drop: f64,
    ) {
        let name = Some(table.name.as_str());
        if before.rows > 0 && !settings.allow_empty {
            let found = format!(
                "has {}, {} in the served generation",
                humanize::rows(rows),
                humanize::count(before.rows)
            );
            self.record("not_empty", name, rows > 0, found);
        }
        let max_drop = settings.max_drop.unwrap_or(max_drop);
        // Empty tables were checked above: they are refused, or allowed by a setting.
        if before.rows > 0 && rows > 0 {
            // A single division, so that a drop of 3 in 10 equals a configured 0.3 exactly.
            let dropped = before.rows.saturating_sub(rows) as f64 / before.rows as f64;
            let found = format!(
                "has {}, {} in the served generation, at most {} fewer allowed",
                humanize::rows(rows),
                humanize::count(before.rows),
                humanize::percent(max_drop)
            );
            self.record("max_drop", name, dropped <= max_drop, found);
        }
        let types = |columns: &[ColumnManifest]| {
            columns
                .iter()
                .map(|column| (column.name.clone(), column.data_type.clone()))
                .collect::<Vec<_>>()
        };
        let now = types(&table.columns);
        let gone: Vec<_> =
            types(&before.columns).into_iter().filter(|column| !now.contains(column)).collect();
        if !settings.allow_column_changes && !gone.is_empty() {
            let changes: Vec<_> = gone
                .iter()
                .map(|(column, was)| match now.iter().find(|(name, _)| name == column) {
                    Some((_, is)) => format!("{column} was {was} and is {is}"),
                    None => format!("{column} ({was}) is gone"),
                })
                .collect();
            self.record(
                "columns",
                name,
                false,
                format!("changed columns against the served generation: {}", changes.join("; ")),
            );
        }
    }

    /// Runs the checks configured for this table in `materia.toml`.
    fn check_configured(
        &mut self,
        table: &TablePlan,
        rows: u64,
        settings: &TableSettings,
    ) -> Result<(), ExportError> {
        let name = Some(table.name.as_str());
        let columns = |names: &[String]| -> Result<String, String> {
            names
                .iter()
                .map(|column| resolve_column(table, column).map(sql::ident))
                .collect::<Result<Vec<_>, _>>()
                .map(|quoted| quoted.join(", "))
        };
        if let Some(least) = settings.min_rows {
            self.record(
                "min_rows",
                name,
                rows >= least,
                format!("has {}, at least {} wanted", humanize::rows(rows), humanize::count(least)),
            );
        }
        for column in &settings.not_null {
            let query = resolve_column(table, column).map(|column| {
                format!(
                    "SELECT count(*) FROM {} WHERE {} IS NULL",
                    self.from(&table.name),
                    sql::ident(column)
                )
            });
            self.check_no_violations("not_null", table, query, |nulls| {
                format!("has {} without {column}", humanize::rows(nulls))
            })?;
        }
        for key in settings.unique.list() {
            let query = columns(key).map(|key| {
                format!(
                    "SELECT count(*) FROM (SELECT 1 FROM {} GROUP BY {key} HAVING count(*) > 1)",
                    self.from(&table.name)
                )
            });
            self.check_no_violations("unique", table, query, |keys| {
                format!("has {} of ({}) more than once", values(keys), key.join(", "))
            })?;
        }
        if let Some(fresh) = &settings.fresh {
            self.check_freshness(table, &fresh.column, fresh.within)?;
        }
        Ok(())
    }

    /// Runs a check that counts violations and expects none.
    fn check_no_violations(
        &mut self,
        check: &str,
        table: &TablePlan,
        query: Result<String, String>,
        say: impl Fn(u64) -> String,
    ) -> Result<(), ExportError> {
        let (passed, found) = match query {
            Ok(query) => {
                judge(self.engine.query_u64(&query), |offenders| (offenders == 0, say(offenders)))?
            }
            Err(unknown) => (false, unknown),
        };
        self.record(check, Some(&table.name), passed, found);
        Ok(())
    }

    fn check_freshness(
        &mut self,
        table: &TablePlan,
        column: &str,
        within: Duration,
    ) -> Result<(), ExportError> {
        let (passed, found) = match resolve_column(table, column) {
            Err(unknown) => (false, unknown),
            Ok(column) => {
                let query = format!(
                    "SELECT epoch_ms(max({})::TIMESTAMP) FROM {}",
                    sql::ident(column),
                    self.from(&table.name)
                );
                let newest = self.engine.rows(&query, &[], |row| row.get::<_, Option<i64>>(0));
                judge(newest, |newest| {
                    match newest
                        .first()
                        .copied()
                        .flatten()
                        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                    {
                        None => (false, format!("has no value of {column}")),
                        Some(newest) => {
                            let age = Duration::try_from(Timestamp::now().duration_since(newest))
                                .unwrap_or_default();
                            let found = format!(
                                "ends at {column} {newest}, {} ago, at most {}",
                                humanize::duration(age),
                                humanize::duration(within)
                            );
                            (age <= within, found)
                        }
                    }
                })?
            }
        };
        self.record("fresh", Some(&table.name), passed, found);
        Ok(())
    }

    /// Checks that no served table disappears.
    fn check_missing_tables(
        &mut self,
        plan: &ExportPlan,
        counted: &BTreeMap<String, u64>,
        previous: Option<&Manifest>,
        job: &ExportJob,
    ) {
        for before in previous.map(|manifest| manifest.tables.as_slice()).unwrap_or_default() {
            let allowed = job.tables.get(&before.name).is_some_and(|table| table.allow_lost);
            if !allowed && !plan.tables.iter().any(|table| table.name == before.name) {
                let found = match previous
                    .and_then(|manifest| renamed(before, plan, counted, manifest))
                {
                    Some(new) => format!(
                        "seems to have been renamed to {new}, which is new and has the same columns and {}; readers and dashboards must use the new name",
                        humanize::rows(before.rows)
                    ),
                    None => {
                        format!(
                            "is not in the lakehouse's {} any more, {} in the served generation",
                            plan.schema,
                            humanize::rows(before.rows)
                        )
                    }
                };
                self.record("lost", Some(&before.name), false, found);
            }
        }
    }

    /// Reports sections of `materia.toml` for tables that do not exist: probably a typo, and their
    /// checks would be skipped silently.
    fn unknown_tables(&mut self, plan: &ExportPlan, job: &ExportJob) {
        for (name, settings) in &job.tables {
            if !settings.allow_lost && !plan.tables.iter().any(|table| table.name == *name) {
                let nearest =
                    humanize::nearest(name, plan.tables.iter().map(|table| table.name.as_str()));
                let help = nearest
                    .map(|nearest| format!("; did you mean {nearest:?}?"))
                    .unwrap_or_default();
                self.record(
                    "configured",
                    Some(name),
                    false,
                    format!("has settings in [export.tables] and is not in {}{help}", plan.schema),
                );
            }
        }
    }

    fn sql(&mut self, settings_of: &SqlAudit) -> Result<(), ExportError> {
        self.engine.execute_batch(&format!("USE {}", sql::path(&[STAGED_CATALOG, self.schema])))?;
        if let Err(reason) = self.engine.check_read_only(&settings_of.sql) {
            let found = format!("could not be checked: {reason}");
            self.verdict.audits.push(Audit {
                name: settings_of.name.clone(),
                table: None,
                severity: settings_of.severity,
                passed: false,
                found,
            });
            return Ok(());
        }
        let query =
            format!("SELECT count(*) FROM (\n{}\n)", settings_of.sql.trim().trim_end_matches(';'));
        let (passed, found) = judge(self.engine.query_u64(&query), |rows| match rows {
            0 => (true, "returned no rows".to_owned()),
            rows => (false, format!("returned {}", humanize::rows(rows))),
        })?;
        self.verdict.audits.push(Audit {
            name: settings_of.name.clone(),
            table: None,
            severity: settings_of.severity,
            passed,
            found,
        });
        Ok(())
    }
}

/// Returns the only new table with the same columns and row count as a table that disappeared.
fn renamed<'a>(
    before: &TableManifest,
    plan: &'a ExportPlan,
    counted: &BTreeMap<String, u64>,
    previous: &Manifest,
) -> Option<&'a str> {
    let shape = |columns: &[ColumnManifest]| {
        columns
            .iter()
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect::<Vec<_>>()
    };
    let is_alike = |table: &&TablePlan| {
        shape(&table.columns) == shape(&before.columns)
            && counted.get(&table.name) == Some(&before.rows)
    };
    let mut new =
        plan.tables.iter().filter(|table| previous.table(&table.name).is_none()).filter(is_alike);
    // With two candidates, the rename is ambiguous.
    new.next().filter(|_| new.next().is_none()).map(|table| table.name.as_str())
}

/// Interprets the result of a check. A check that cannot run fails, so that its author learns of
/// it.
fn judge<T>(
    answer: Result<T, ExportError>,
    say: impl FnOnce(T) -> (bool, String),
) -> Result<(bool, String), ExportError> {
    match answer {
        Ok(answer) => Ok(say(answer)),
        Err(ExportError::Engine { source, .. }) => {
            Ok((false, format!("could not be checked: {}", reason(&source))))
        }
        Err(other) => Err(other),
    }
}

/// Returns the column as the table spells it, or an error text for an unknown name.
fn resolve_column<'a>(table: &'a TablePlan, column: &str) -> Result<&'a str, String> {
    let lower = column.to_lowercase();
    if let Some(known) = table.columns.iter().find(|known| known.name.to_lowercase() == lower) {
        return Ok(&known.name);
    }
    let nearest =
        humanize::nearest(column, table.columns.iter().map(|column| column.name.as_str()));
    Err(format!(
        "has no column {column:?}{}",
        nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default()
    ))
}

fn values(number: u64) -> String {
    format!("{} value{}", humanize::count(number), if number == 1 { "" } else { "s" })
}

fn differences(wanted: &[ColumnManifest], found: &[ColumnManifest]) -> String {
    let missing = wanted.iter().filter(|column| !found.contains(column));
    let extra = found.iter().filter(|column| !wanted.contains(column));
    let differences: Vec<_> = missing
        .map(|column| format!("wanted {} {}", column.name, column.data_type))
        .chain(extra.map(|column| format!("found {} {}", column.name, column.data_type)))
        .collect();
    if differences.is_empty() { "in another order".to_owned() } else { differences.join("; ") }
}

impl AttemptRecord {
    /// Adds the failures of further checks to those already collected, and returns whether they
    /// prevent publishing.
    pub(super) fn judge_further(
        &mut self,
        failed: Vec<Audit>,
        job: &ExportJob,
    ) -> Result<(), ExportError> {
        let known = self.clone();
        let judged = self.judge(&AuditReport { audits: failed, revisions: Vec::new() }, job);
        self.audits_passed = known.audits_passed;
        self.audits_failed.extend(known.audits_failed);
        self.revisions = known.revisions;
        self.forced |= known.forced;
        judged
    }

    /// Collects the results of the given checks and returns whether they prevent publishing.
    pub(super) fn judge(
        &mut self,
        verdict: &AuditReport,
        job: &ExportJob,
    ) -> Result<(), ExportError> {
        self.audits_passed = verdict.audits.iter().filter(|audit| audit.passed).count();
        self.audits_failed = verdict.audits.iter().filter(|audit| !audit.passed).cloned().collect();
        self.revisions = Revision::for_history(&verdict.revisions);
        self.forced = verdict.refusals().next().is_some() && job.force;
        verdict.allows(job.force).map_err(|error| match error {
            ExportError::Refused { failed, .. } => {
                let way_out = Remedy::of(&failed, self, job);
                self.way_out = Some(way_out.clone());
                ExportError::Refused { failed, way_out: Box::new(way_out) }
            }
            other => other,
        })
    }
}
