//! The audit `revision`: its texts for each table, and when it warns or refuses.

use std::collections::BTreeMap;

use super::{
    super::{
        ExportError, ExportJob,
        audit::Auditor,
        error::reason,
        plan::{ExportPlan, STAGED_CATALOG, TablePlan},
    },
    Baseline, ChangedRows, Compared, NAME, RevisionThresholds, Sides, compare, format_percent,
};
use crate::store::Audit;
use crate::{
    humanize,
    settings::{Severity, TableSettings},
    sql,
};

/// The share of a column's values that may be revised without a warning.
const MAX_REVISED: f64 = 0.5;
/// The largest factor by which a column may be multiplied or divided.
const MAX_RATIO: f64 = 5.0;
/// The maximum number of columns and tables named in a text.
const MAX_NAMED: usize = 5;

impl Auditor<'_> {
    /// Compares every copied table with the served one, value by value.
    pub(in super::super) fn revisions(
        &mut self,
        plan: &ExportPlan,
        baseline: &Baseline<'_>,
        rows: &BTreeMap<String, u64>,
        job: &ExportJob,
    ) -> Result<(), ExportError> {
        if baseline.manifest.is_some() && baseline.catalog().is_none() {
            self.record(
                NAME,
                None,
                true,
                "values were not compared: no file with what is served is at hand".to_owned(),
            );
        }
        let Some((catalog, manifest)) =
            baseline.catalog().filter(|_| !baseline.is_audited).zip(baseline.manifest)
        else {
            return Ok(());
        };
        let served = baseline.columns(self.engine, plan)?;
        let mut keyless = Vec::new();
        for table in plan.tables.iter().filter(|table| !baseline.reused.contains(&table.name)) {
            let (Some(&new_rows), Some(columns), Some(before)) =
                (rows.get(&table.name), served.get(&table.name), manifest.table(&table.name))
            else {
                continue;
            };
            if new_rows == 0 || before.rows == 0 {
                continue;
            }
            let settings = job.tables.get(&table.name).cloned().unwrap_or_default();
            let (old, new) = (
                sql::path(&[catalog, baseline.schema(plan), &table.name]),
                sql::path(&[STAGED_CATALOG, &plan.schema, &table.name]),
            );
            let sides = Sides {
                old: &old,
                new: &new,
                old_rows: before.rows,
                new_rows,
                old_columns: columns,
                new_columns: &table.columns,
                changed: baseline
                    .audited(&table.name)
                    .and_then(|audited| ChangedRows::between(before, audited, (&old, &new))),
            };
            self.revision(table, &sides, &settings, &mut keyless)?;
        }
        if !keyless.is_empty() {
            let more = keyless.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            keyless.truncate(MAX_NAMED);
            self.record(
                NAME,
                None,
                true,
                format!(
                    "no key was found to compare values by in {}{more}; key = [...] names one",
                    keyless.join(", ")
                ),
            );
        }
        Ok(())
    }

    fn revision(
        &mut self,
        table: &TablePlan,
        sides: &Sides<'_>,
        settings: &TableSettings,
        keyless: &mut Vec<String>,
    ) -> Result<(), ExportError> {
        let limits = RevisionThresholds {
            max_revised: settings.max_revised.unwrap_or(MAX_REVISED),
            max_ratio: settings.max_ratio.unwrap_or(MAX_RATIO),
        };
        let compared = match compare(self.engine, sides, settings, &table.name, limits, 0) {
            Ok(Some(compared)) => compared,
            Ok(None) if settings.key.is_empty() => {
                keyless.push(table.name.clone());
                return Ok(());
            }
            Ok(None) => {
                let found = format!(
                    "cannot be compared by its key ({}): it is missing, null or not unique here or in the served generation",
                    settings.key.join(", ")
                );
                self.record_revision(table, Severity::Warn, false, found);
                return Ok(());
            }
            Err(ExportError::Engine { source, .. }) => {
                self.record_revision(
                    table,
                    Severity::Warn,
                    false,
                    format!(
                        "could not be compared with the served generation: {}",
                        reason(&source)
                    ),
                );
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let severity = if compared.rescaled.is_empty() { Severity::Warn } else { Severity::Error };
        let passed = settings.allow_revision
            || (compared.rescaled.is_empty() && compared.revised.is_empty());
        self.record_revision(table, severity, passed, found(&compared, limits));
        if compared.revision.differs() {
            self.verdict.revisions.push(compared.revision);
        }
        Ok(())
    }

    fn record_revision(
        &mut self,
        table: &TablePlan,
        severity: Severity,
        passed: bool,
        found: String,
    ) {
        self.verdict.audits.push(Audit {
            name: NAME.to_owned(),
            table: Some(table.name.clone()),
            severity,
            passed,
            found,
        });
    }
}

fn found(compared: &Compared, limits: RevisionThresholds) -> String {
    let Compared { revision, revised, rescaled, .. } = compared;
    let key = revision.key.join(", ");
    if !revision.differs() {
        return format!("has no revised value (compared by {key})");
    }
    let mut parts = Vec::new();
    if !rescaled.is_empty() {
        let factor = format!("{:.2}", limits.max_ratio);
        let most = factor.trim_end_matches('0').trim_end_matches('.');
        parts.push(format!(
            "has another scale than in the served generation: {}, at most {most} is allowed",
            scales(rescaled)
        ));
    }
    let counts = revision.counts();
    parts.push(if parts.is_empty() { format!("has {counts} (compared by {key})") } else { counts });
    if rescaled.is_empty() && !revised.is_empty() {
        let shares = |name: &String| {
            let share = revision
                .columns
                .iter()
                .find(|column| column.name == *name)
                .map_or(0.0, super::ColumnRevision::share);
            format!("{} of {name}", format_percent(share))
        };
        let shares: Vec<_> = revised.iter().map(shares).collect();
        parts.push(format!(
            "revised values: {}, at most {} expected",
            some(&shares),
            humanize::percent(limits.max_revised)
        ));
    }
    parts.extend(revision.shift.iter().map(ToString::to_string));
    if !rescaled.is_empty() || !revised.is_empty() || revision.shift.is_some() {
        parts.extend(revision.largest.first().map(|largest| format!("largest: {largest}")));
    }
    parts.extend(revision.sampled.map(|rows| format!("estimated from {}", humanize::rows(rows))));
    parts.join("; ")
}

/// Formats rescaled columns, grouped by factor: `price, cost were multiplied by 1000`.
fn scales(rescaled: &[(String, String)]) -> String {
    let mut by_factor: Vec<(&str, Vec<String>)> = Vec::new();
    for (column, done) in rescaled {
        match by_factor.iter_mut().find(|(known, _)| known == done) {
            Some((_, columns)) => columns.push(column.clone()),
            None => by_factor.push((done, vec![column.clone()])),
        }
    }
    let one = |(done, columns): &(&str, Vec<String>)| {
        format!("{} {} {done}", some(columns), if columns.len() == 1 { "was" } else { "were" })
    };
    let changes: Vec<_> = by_factor.iter().map(one).collect();
    some(&changes)
}

/// Formats the first few names of a list and the number of the others.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(MAX_NAMED)].join(", "))
}
