//! Audits and their results, as stored in manifests and the history.

use serde::{Deserialize, Serialize};

use super::Revision;
use crate::humanize;

/// One audit and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The kind of audit: `present`, `copied`, `rows`, `not_empty`, `max_drop`, `columns`, `lost`,
    /// `not_null`, `unique`, `min_rows`, `fresh`, `revision`, `dashboards`, or a SQL audit's name.
    pub name: String,
    /// The audited table, if the audit concerns a single one.
    pub table: Option<String>,
    /// The consequence of a failure.
    pub severity: Severity,
    pub passed: bool,
    /// The finding, with figures.
    pub found: String,
}

/// All audits of one export.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditReport {
    /// In the order in which they ran.
    pub audits: Vec<Audit>,
    /// Differences to the served values; manifests store them in a field of their own.
    #[serde(skip)]
    pub revisions: Vec<Revision>,
}

impl AuditReport {
    /// Returns the failed audits that refuse the export.
    pub fn refusals(&self) -> impl Iterator<Item = &Audit> {
        self.audits.iter().filter(|audit| !audit.passed && audit.severity == Severity::Error)
    }

    /// Returns the failed audits that are only reported.
    pub fn warnings(&self) -> impl Iterator<Item = &Audit> {
        self.audits.iter().filter(|audit| !audit.passed && audit.severity == Severity::Warn)
    }
}

impl Audit {
    /// Returns whether this audit compares values with those served before.
    #[must_use]
    pub fn is_revision(&self) -> bool {
        self.name == Revision::AUDIT
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.table {
            Some(table) => write!(
                f,
                "{} {} ({})",
                humanize::printable(table),
                humanize::printable(&self.found),
                humanize::printable(&self.name)
            ),
            None => write!(f, "{} ({})", self.found, self.name),
        }
    }
}

/// The consequence of a failed audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[default]
    Error,
    /// The failure is reported and the export continues.
    Warn,
}
