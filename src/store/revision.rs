//! Differences between the values of two generations, as stored in manifests and the history.

use serde::{Deserialize, Serialize};

use crate::humanize;

/// Maximum revised values and columns per table in a line of the history, which is read often and
/// completely.
const MAX_LARGEST_IN_HISTORY: usize = 3;
const MAX_TABLES_IN_HISTORY: usize = 20;

/// Differences of a table's values to the previously served generation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub table: String,
    /// The columns by which rows were matched.
    pub key: Vec<String>,
    /// Keys in both generations.
    pub common: u64,
    /// Common keys with a changed value.
    pub revised: u64,
    #[serde(default)]
    pub added: u64,
    #[serde(default)]
    pub removed: u64,
    /// Sample size when the figures are estimates; absent if all rows were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<u64>,
    /// The revised columns, the most revised first.
    #[serde(default)]
    pub columns: Vec<ColumnRevision>,
    /// The shift of a date or year under which both generations agree better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// The largest revisions, relative to what is usual in their column.
    #[serde(default)]
    pub largest: Vec<CellRevision>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnRevision {
    pub name: String,
    /// Compared values: those that are not zero or null in both generations.
    pub cells: u64,
    /// Compared values that changed.
    pub revised: u64,
    /// The median of new over old, ignoring signs; absent for a column without numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// The shift of a date or year under which old and new values agree best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    pub column: String,
    /// The size of the shift, for example `one year back`.
    pub by: String,
    /// The share of values that are equal when the shift is undone.
    pub agreement: f64,
    /// The share of values that are equal without it.
    pub unshifted: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRevision {
    /// The row's key, its columns separated by spaces.
    pub key: String,
    pub column: String,
    pub before: String,
    pub now: String,
}

impl ColumnRevision {
    /// Returns the share of the column's values that were revised.
    #[must_use]
    pub fn share(&self) -> f64 {
        share(self.revised, self.cells)
    }
}

impl Revision {
    /// The name of the audit that compares values.
    pub const AUDIT: &str = "revision";

    /// Reduces an export's revisions for the history: a few figures each of the tables with the
    /// most revised rows.
    #[must_use]
    pub fn for_history(revisions: &[Self]) -> Vec<Self> {
        let mut short: Vec<_> = revisions.iter().map(Self::shortened).collect();
        short.sort_by_key(|revision| std::cmp::Reverse(revision.revised));
        short.truncate(MAX_TABLES_IN_HISTORY);
        short
    }

    /// Returns whether any key or value differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.revised + self.added + self.removed > 0
    }

    /// Returns whether values were revised; added and removed keys do not count, since they are
    /// normal.
    #[must_use]
    pub fn has_revised(&self) -> bool {
        self.revised > 0 || self.shift.is_some()
    }

    /// Returns how many rows were revised, added and removed: `64 of 64 rows revised, 2 added`.
    #[must_use]
    pub fn counts(&self) -> String {
        let mut parts = Vec::new();
        if self.revised > 0 {
            parts.push(format!(
                "{} of {} revised",
                humanize::count(self.revised),
                humanize::rows(self.common)
            ));
        }
        for (count, done) in [(self.added, "added"), (self.removed, "removed")] {
            if count > 0 {
                parts.push(format!("{} {done}", humanize::rows(count)));
            }
        }
        let about = if self.sampled.is_some() { "about " } else { "" };
        if parts.is_empty() {
            "no value revised".to_owned()
        } else {
            format!("{about}{}", parts.join(", "))
        }
    }

    /// Returns the figures in one line: `64 of 64 rows revised; production 2023: 172.8 -> 171.4`.
    #[must_use]
    pub fn summary(&self) -> String {
        let shift = self.shift.iter().map(ToString::to_string);
        let largest = self.largest.first().map(ToString::to_string);
        std::iter::once(self.counts()).chain(shift).chain(largest).collect::<Vec<_>>().join("; ")
    }

    /// Reduces the figures for a line of the history.
    fn shortened(&self) -> Self {
        let mut short = self.clone();
        short.largest.truncate(MAX_LARGEST_IN_HISTORY);
        short.columns.truncate(MAX_LARGEST_IN_HISTORY);
        short
    }
}

impl std::fmt::Display for ColumnRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, cells, revised, ratio } = self;
        write!(
            f,
            "{name}: {} of {} revised",
            humanize::count(*revised),
            humanize::plural(usize::try_from(*cells).unwrap_or(usize::MAX), "value")
        )?;
        ratio.map_or(Ok(()), |ratio| write!(f, ", median ratio {ratio:.3}"))
    }
}

impl std::fmt::Display for CellRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} -> {}", self.column, self.key, self.before, self.now)
    }
}

impl std::fmt::Display for Shift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { column, by, agreement, unshifted } = self;
        write!(
            f,
            "agrees best when {column} is shifted {by} ({} of values equal, {} unshifted)",
            format_percent(*agreement),
            format_percent(*unshifted)
        )
    }
}

pub(crate) fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// Formats a share as `98 %`: only all is 100 %, and only nothing is 0 %.
pub(crate) fn format_percent(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 0.01 => "under 1 %".to_owned(),
        share if share > 0.99 && share < 1.0 => "over 99 %".to_owned(),
        share => humanize::percent((share * 100.0).round() / 100.0),
    }
}
