//! The checks a staged file must pass before it is published. The file is opened alone and read-only, as a reader would.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ExportError, Job, dashboards,
    engine::{self, Engine},
    error::reason,
    generations::{Manifest, TableManifest},
    plan::{self, Column, Plan, STAGED, TablePlan},
    revision::{self, Baseline, PREVIOUS, Revision, SERVED},
    work::Work,
};
use crate::{
    settings::{Severity, SqlAudit, TableSettings},
    sql, words,
};

/// The checks that the staged file is a whole copy. Half an export is never published, not even by force.
const WHOLE: [&str; 3] = ["present", "copied", "rows"];

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// What was checked: `present`, `copied`, `rows`, `not_empty`, `max_drop`, `columns`, `lost`, `not_null`, `unique`, `min_rows`, `fresh`, `revision`, `dashboards`, or a SQL audit's name.
    pub name: String,
    /// The table it was about, if about one.
    pub table: Option<String>,
    /// What a failure means.
    pub severity: Severity,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, with numbers.
    pub found: String,
}

/// All checks of one export.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verdict {
    /// In the order they were made.
    pub audits: Vec<Audit>,
    /// How values differ from those that are served; a manifest keeps this for itself.
    #[serde(skip)]
    pub revisions: Vec<Revision>,
}

impl Verdict {
    /// The checks that failed and refuse the export.
    pub fn refusals(&self) -> impl Iterator<Item = &Audit> {
        self.audits.iter().filter(|audit| !audit.passed && audit.severity == Severity::Error)
    }

    /// The checks that failed and are only reported.
    pub fn warnings(&self) -> impl Iterator<Item = &Audit> {
        self.audits.iter().filter(|audit| !audit.passed && audit.severity == Severity::Warn)
    }

    /// Whether nothing stands in the way of publishing.
    ///
    /// # Errors
    /// [`ExportError::Broken`] when the staged file is not what the lakehouse holds, whatever was forced; [`ExportError::Refused`] with
    /// every failed check, unless `force` was given.
    pub(super) fn allows(&self, force: bool) -> Result<(), ExportError> {
        let (broken, failed): (Vec<_>, Vec<_>) = self.refusals().cloned().partition(|audit| WHOLE.contains(&audit.name.as_str()));
        match (broken.is_empty(), failed.is_empty() || force) {
            (false, _) => Err(ExportError::Broken { failed: broken }),
            (true, false) => Err(ExportError::Refused { failed, way_out: Box::default() }),
            (true, true) => Ok(()),
        }
    }
}

impl Audit {
    /// Whether it compared values with those that were served before.
    #[must_use]
    pub fn is_revision(&self) -> bool {
        self.name == revision::NAME
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{} {} ({})", words::printable(table), words::printable(&self.found), words::printable(&self.name)),
            None => write!(f, "{} ({})", self.found, self.name),
        }
    }
}

/// The names of the checks that [`audit`] would make, for a dry run.
pub(super) fn planned(plan: &Plan, previous: Option<&Manifest>, job: &Job) -> Vec<String> {
    let mut names: Vec<String> = WHOLE.map(str::to_owned).to_vec();
    if previous.is_some() {
        names.extend(["lost", "not_empty", "max_drop", revision::NAME].map(str::to_owned));
    }
    let asked = |table: &TableSettings| {
        let unique = table.unique.list().into_iter().map(|key| format!("unique {}", key.join(", ")));
        let not_null = table.not_null.iter().map(|column| format!("not_null {column}"));
        let min_rows = table.min_rows.map(|rows| format!("min_rows {}", words::count(rows)));
        let fresh = table.fresh.as_ref().map(|fresh| format!("fresh {} within {}", fresh.column, words::duration(fresh.within)));
        not_null.chain(unique).chain(min_rows).chain(fresh).collect::<Vec<_>>()
    };
    for table in &plan.tables {
        let settings = job.tables.get(&table.name).map(asked).unwrap_or_default();
        names.extend(settings.into_iter().map(|check| format!("{}: {check}", table.name)));
    }
    names.extend(job.audits.iter().map(|audit| audit.name.clone()));
    names.extend(job.dashboards.written().map(|_| dashboards::NAME.to_owned()));
    names
}

/// Makes every check of a finished file, alone and as a reader would, and returns all results, the failed ones too. `rows` is how many
/// rows each of the plan's tables must have.
pub(super) fn make(
    path: &Path,
    rows: impl Iterator<Item = u64>,
    plan: &Plan,
    baseline: &Baseline<'_>,
    job: &Job,
    work: &Work,
) -> Result<Verdict, ExportError> {
    let previous = baseline.manifest;
    let (engine, baseline) = open(path, baseline, job, work)?;
    let found = plan::columns(&engine, STAGED, &plan.schema)?;
    let counted = count(&engine, &plan.schema, found.keys())?;
    let mut audit = Auditor { engine: &engine, schema: &plan.schema, verdict: Verdict::default() };
    for (table, rows) in plan.tables.iter().zip(rows) {
        audit.against_lakehouse(table, rows, found.get(&table.name).zip(counted.get(&table.name)));
        let settings = job.tables.get(&table.name).cloned().unwrap_or_default();
        if let Some(before) = previous.and_then(|manifest| manifest.table(&table.name)) {
            audit.against_previous(table, rows, before, &settings, job.max_drop);
        }
        audit.as_configured(table, rows, &settings)?;
    }
    audit.lost(plan, &counted, previous, job);
    audit.unknown_tables(plan, job);
    audit.revisions(plan, &baseline, &counted, job)?;
    baseline.offer(&engine, plan, &job.audits)?;
    for asked in &job.audits {
        audit.sql(asked)?;
    }
    let mut verdict = audit.verdict;
    drop(engine);
    verdict.audits.extend(dashboards::audit(path, &plan.schema, job, work)?);
    Ok(verdict)
}

/// Opens the file beside what it is compared with; alone where that cannot be opened, since a damaged file is what an export replaces.
fn open<'a>(path: &Path, baseline: &Baseline<'a>, job: &Job, work: &Work) -> Result<(Engine, Baseline<'a>), ExportError> {
    let beside = |file: Option<&PathBuf>| {
        let served = file.map(|file| engine::attach(file, SERVED, "READ_ONLY") + ";").unwrap_or_default();
        let attach = format!("ATTACH ':memory:' AS {PREVIOUS};{served}");
        Engine::beside_served(path, &attach, &job.limits, &work.spill(), &job.cancel)
    };
    match beside(baseline.file.as_ref()) {
        Err(ExportError::Engine { .. }) if baseline.file.is_some() => Ok((beside(None)?, Baseline { file: None, ..baseline.clone() })),
        engine => Ok((engine?, baseline.clone())),
    }
}

/// Rows of every table, many to a question: a question for each would cost more than the counting.
fn count<'a>(engine: &Engine, schema: &str, tables: impl Iterator<Item = &'a String>) -> Result<BTreeMap<String, u64>, ExportError> {
    const AT_ONCE: usize = 100;
    let one = |name: &String| format!("SELECT {}, count(*) FROM {}", sql::literal(name), sql::path(&[STAGED, schema, name]));
    let questions: Vec<_> = tables.map(one).collect();
    let mut counted = BTreeMap::new();
    for some in questions.chunks(AT_ONCE) {
        counted.extend(engine.rows(&some.join(" UNION ALL "), &[], |row| Ok((row.get(0)?, row.get(1)?)))?);
    }
    Ok(counted)
}

/// Makes checks and takes down what comes of them.
pub(super) struct Auditor<'a> {
    pub(super) engine: &'a Engine,
    pub(super) schema: &'a str,
    pub(super) verdict: Verdict,
}

impl Auditor<'_> {
    pub(super) fn note(&mut self, name: &str, table: Option<&str>, passed: bool, found: String) {
        self.verdict.audits.push(Audit {
            name: name.to_owned(),
            table: table.map(str::to_owned),
            severity: Severity::Error,
            passed,
            found,
        });
    }

    fn from(&self, table: &str) -> String {
        sql::path(&[STAGED, self.schema, table])
    }

    /// Every relation is there, with the columns it has in the lakehouse and as many rows as were read from it.
    pub(super) fn against_lakehouse(&mut self, table: &TablePlan, read: u64, found: Option<(&Vec<Column>, &u64)>) {
        let name = Some(table.name.as_str());
        let Some((columns, &rows)) = found else {
            self.note("present", name, false, "is not in the staged file".to_owned());
            return;
        };
        self.note("present", name, true, "is in the staged file".to_owned());
        let same = *columns == table.columns;
        let found = if same {
            format!("has its {}", words::plural(columns.len(), "column"))
        } else {
            format!("has other columns than in the lakehouse: {}", differences(&table.columns, columns))
        };
        self.note("copied", name, same, found);
        let found = if rows == read {
            format!("has {}", words::rows(rows))
        } else {
            format!("has {}, {} in the lakehouse", words::rows(rows), words::count(read))
        };
        self.note("rows", name, rows == read, found);
    }

    /// Nothing that was served has become unusable.
    fn against_previous(&mut self, table: &TablePlan, rows: u64, before: &TableManifest, settings: &TableSettings, max_drop: f64) {
        let name = Some(table.name.as_str());
        if before.rows > 0 && !settings.allow_empty {
            let found = format!("has {}, {} in the served generation", words::rows(rows), words::count(before.rows));
            self.note("not_empty", name, rows > 0, found);
        }
        let max_drop = settings.max_drop.unwrap_or(max_drop);
        // An empty table has been judged above: it is either refused or allowed to be empty.
        if before.rows > 0 && rows > 0 {
            // One division, so that a drop of 3 in 10 is exactly the 0.3 that somebody wrote.
            let dropped = before.rows.saturating_sub(rows) as f64 / before.rows as f64;
            let found = format!(
                "has {}, {} in the served generation, at most {} fewer allowed",
                words::rows(rows),
                words::count(before.rows),
                words::percent(max_drop)
            );
            self.note("max_drop", name, dropped <= max_drop, found);
        }
        let types = |columns: &[Column]| columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect::<Vec<_>>();
        let now = types(&table.columns);
        let gone: Vec<_> = types(&before.columns).into_iter().filter(|column| !now.contains(column)).collect();
        if !settings.allow_column_changes && !gone.is_empty() {
            let said: Vec<_> = gone
                .iter()
                .map(|(column, was)| match now.iter().find(|(name, _)| name == column) {
                    Some((_, is)) => format!("{column} was {was} and is {is}"),
                    None => format!("{column} ({was}) is gone"),
                })
                .collect();
            self.note("columns", name, false, format!("changed columns against the served generation: {}", said.join("; ")));
        }
    }

    /// What `materia.toml` asks of this table.
    fn as_configured(&mut self, table: &TablePlan, rows: u64, settings: &TableSettings) -> Result<(), ExportError> {
        let name = Some(table.name.as_str());
        let columns = |names: &[String]| -> Result<String, String> {
            names.iter().map(|column| known(table, column).map(sql::ident)).collect::<Result<Vec<_>, _>>().map(|quoted| quoted.join(", "))
        };
        if let Some(least) = settings.min_rows {
            self.note("min_rows", name, rows >= least, format!("has {}, at least {} wanted", words::rows(rows), words::count(least)));
        }
        for column in &settings.not_null {
            let query = known(table, column)
                .map(|column| format!("SELECT count(*) FROM {} WHERE {} IS NULL", self.from(&table.name), sql::ident(column)));
            self.counted("not_null", table, query, |nulls| format!("has {} without {column}", words::rows(nulls)))?;
        }
        for key in settings.unique.list() {
            let query = columns(key)
                .map(|key| format!("SELECT count(*) FROM (SELECT 1 FROM {} GROUP BY {key} HAVING count(*) > 1)", self.from(&table.name)));
            self.counted("unique", table, query, |keys| format!("has {} of ({}) more than once", values(keys), key.join(", ")))?;
        }
        if let Some(fresh) = &settings.fresh {
            self.fresh(table, &fresh.column, fresh.within)?;
        }
        Ok(())
    }

    /// A check that counts offenders and wants none.
    fn counted(
        &mut self,
        check: &str,
        table: &TablePlan,
        query: Result<String, String>,
        say: impl Fn(u64) -> String,
    ) -> Result<(), ExportError> {
        let (passed, found) = match query {
            Ok(query) => judge(self.engine.number(&query), |offenders| (offenders == 0, say(offenders)))?,
            Err(unknown) => (false, unknown),
        };
        self.note(check, Some(&table.name), passed, found);
        Ok(())
    }

    fn fresh(&mut self, table: &TablePlan, column: &str, within: Duration) -> Result<(), ExportError> {
        let (passed, found) = match known(table, column) {
            Err(unknown) => (false, unknown),
            Ok(column) => {
                let query = format!("SELECT epoch_ms(max({})::TIMESTAMP) FROM {}", sql::ident(column), self.from(&table.name));
                let newest = self.engine.rows(&query, &[], |row| row.get::<_, Option<i64>>(0));
                judge(newest, |newest| match newest.first().copied().flatten().and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
                    None => (false, format!("has no value of {column}")),
                    Some(newest) => {
                        let age = Duration::try_from(Timestamp::now().duration_since(newest)).unwrap_or_default();
                        let found = format!("ends at {column} {newest}, {} ago, at most {}", words::duration(age), words::duration(within));
                        (age <= within, found)
                    }
                })?
            }
        };
        self.note("fresh", Some(&table.name), passed, found);
        Ok(())
    }

    /// No table disappears that was served before.
    fn lost(&mut self, plan: &Plan, counted: &BTreeMap<String, u64>, previous: Option<&Manifest>, job: &Job) {
        for before in previous.map(|manifest| manifest.tables.as_slice()).unwrap_or_default() {
            let allowed = job.tables.get(&before.name).is_some_and(|table| table.allow_lost);
            if !allowed && !plan.tables.iter().any(|table| table.name == before.name) {
                let found = match previous.and_then(|manifest| renamed(before, plan, counted, manifest)) {
                    Some(new) => format!(
                        "seems to have been renamed to {new}, which is new and has the same columns and {}; readers and dashboards must use the new name",
                        words::rows(before.rows)
                    ),
                    None => {
                        format!("is not in the lakehouse's {} any more, {} in the served generation", plan.schema, words::rows(before.rows))
                    }
                };
                self.note("lost", Some(&before.name), false, found);
            }
        }
    }

    /// A section of `materia.toml` about a table that does not exist is probably a slip, and its checks are not being made.
    fn unknown_tables(&mut self, plan: &Plan, job: &Job) {
        for (name, settings) in &job.tables {
            if !settings.allow_lost && !plan.tables.iter().any(|table| table.name == *name) {
                let nearest = words::nearest(name, plan.tables.iter().map(|table| table.name.as_str()));
                let help = nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default();
                self.note("configured", Some(name), false, format!("has settings in [export.tables] and is not in {}{help}", plan.schema));
            }
        }
    }

    fn sql(&mut self, asked: &SqlAudit) -> Result<(), ExportError> {
        self.engine.quick(&format!("USE {}", sql::path(&[STAGED, self.schema])))?;
        if let Err(reason) = self.engine.check_read_only(&asked.sql) {
            let found = format!("could not be checked: {reason}");
            self.verdict.audits.push(Audit { name: asked.name.clone(), table: None, severity: asked.severity, passed: false, found });
            return Ok(());
        }
        let query = format!("SELECT count(*) FROM (\n{}\n)", asked.sql.trim().trim_end_matches(';'));
        let (passed, found) = judge(self.engine.number(&query), |rows| match rows {
            0 => (true, "returned no rows".to_owned()),
            rows => (false, format!("returned {}", words::rows(rows))),
        })?;
        self.verdict.audits.push(Audit { name: asked.name.clone(), table: None, severity: asked.severity, passed, found });
        Ok(())
    }
}

/// The one new table that has the columns and as many rows as a table that vanished.
fn renamed<'a>(before: &TableManifest, plan: &'a Plan, counted: &BTreeMap<String, u64>, previous: &Manifest) -> Option<&'a str> {
    let shape = |columns: &[Column]| columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect::<Vec<_>>();
    let is_alike = |table: &&TablePlan| shape(&table.columns) == shape(&before.columns) && counted.get(&table.name) == Some(&before.rows);
    let mut new = plan.tables.iter().filter(|table| previous.table(&table.name).is_none()).filter(is_alike);
    // Of two that are alike, nobody knows which it is.
    new.next().filter(|_| new.next().is_none()).map(|table| table.name.as_str())
}

/// What a check's answer means. A check that cannot be made has failed: its author must know.
fn judge<T>(answer: Result<T, ExportError>, say: impl FnOnce(T) -> (bool, String)) -> Result<(bool, String), ExportError> {
    match answer {
        Ok(answer) => Ok(say(answer)),
        Err(ExportError::Engine { source, .. }) => Ok((false, format!("could not be checked: {}", reason(&source)))),
        Err(other) => Err(other),
    }
}

/// The column as the table spells it, or what to say about a name that is none.
fn known<'a>(table: &'a TablePlan, column: &str) -> Result<&'a str, String> {
    let lower = column.to_lowercase();
    if let Some(known) = table.columns.iter().find(|known| known.name.to_lowercase() == lower) {
        return Ok(&known.name);
    }
    let nearest = words::nearest(column, table.columns.iter().map(|column| column.name.as_str()));
    Err(format!("has no column {column:?}{}", nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default()))
}

fn values(number: u64) -> String {
    format!("{} value{}", words::count(number), if number == 1 { "" } else { "s" })
}

fn differences(wanted: &[Column], found: &[Column]) -> String {
    let missing = wanted.iter().filter(|column| !found.contains(column));
    let extra = found.iter().filter(|column| !wanted.contains(column));
    let said: Vec<_> = missing
        .map(|column| format!("wanted {} {}", column.name, column.data_type))
        .chain(extra.map(|column| format!("found {} {}", column.name, column.data_type)))
        .collect();
    if said.is_empty() { "in another order".to_owned() } else { said.join("; ") }
}
