//! What an export changes in the values that are served: each table that has a key is compared with the generation served before.
//!
//! Tables of any size are compared in bounded time and memory: rows are hashed into buckets on both sides, and only buckets that differ are
//! joined, at most [`compare::MAX_CELLS`] values of them.

mod audit;
mod baseline;
mod compare;
mod key;
mod shift;

use serde::{Deserialize, Serialize};

pub(super) use self::{
    baseline::{Baseline, PREVIOUS, SERVED},
    compare::{Compared, Sides, Thresholds, compare},
};
use crate::words;

/// The name of the audit.
pub(super) const NAME: &str = "revision";

/// Revised values that a manifest keeps of one table, and columns whose figures it keeps.
const MAX_LARGEST: usize = 10;
const MAX_COLUMNS: usize = 50;
/// The same for a line of the history, which is read whole and often.
const MAX_LARGEST_IN_HISTORY: usize = 3;
const MAX_TABLES_IN_HISTORY: usize = 20;

/// How a table's values differ from those of the generation served before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The table.
    pub table: String,
    /// The columns that rows were matched by.
    pub key: Vec<String>,
    /// Keys in both generations.
    pub common: u64,
    /// Of them, those with a value that is another one now.
    pub revised: u64,
    /// Keys that are new.
    #[serde(default)]
    pub added: u64,
    /// Keys that are gone.
    #[serde(default)]
    pub removed: u64,
    /// The figures are estimated from so many rows; absent where all were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<u64>,
    /// The columns that were revised, the most revised first.
    #[serde(default)]
    pub columns: Vec<ColumnRevision>,
    /// The shift of a date or year by which both agree better than as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// The largest revisions, measured by what is usual in their column.
    #[serde(default)]
    pub largest: Vec<CellRevision>,
}

/// One revised column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnRevision {
    /// Its name.
    pub name: String,
    /// Values that were compared: those that are not zero or null in both generations.
    pub cells: u64,
    /// Of them, those that are other ones now.
    pub revised: u64,
    /// The median of new over old, signs left out; absent for a column without numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// A date or year by whose shift old and new agree best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The column.
    pub column: String,
    /// How far its values moved, for example `one year back`.
    pub by: String,
    /// The share of values that are equal when it is taken back.
    pub agreement: f64,
    /// The share of values that are equal as they are.
    pub unshifted: f64,
}

/// One revised value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRevision {
    /// The row's key, its columns separated by spaces.
    pub key: String,
    /// The column.
    pub column: String,
    /// The value that is served.
    pub before: String,
    /// The value that replaces it.
    pub now: String,
}

impl ColumnRevision {
    /// The share of its values that were revised.
    #[must_use]
    pub fn share(&self) -> f64 {
        share(self.revised, self.cells)
    }
}

impl Revision {
    /// Whether any key or value differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.revised + self.added + self.removed > 0
    }

    /// Whether values were revised: keys that come and go are what data does.
    #[must_use]
    pub fn has_revised(&self) -> bool {
        self.revised > 0 || self.shift.is_some()
    }

    /// Returns how many rows were revised, added and removed: `64 of 64 rows revised, 2 added`.
    #[must_use]
    pub fn counts(&self) -> String {
        let mut parts = Vec::new();
        if self.revised > 0 {
            parts.push(format!("{} of {} revised", words::count(self.revised), words::rows(self.common)));
        }
        for (count, done) in [(self.added, "added"), (self.removed, "removed")] {
            if count > 0 {
                parts.push(format!("{} {done}", words::rows(count)));
            }
        }
        let about = if self.sampled.is_some() { "about " } else { "" };
        if parts.is_empty() { "no value revised".to_owned() } else { format!("{about}{}", parts.join(", ")) }
    }

    /// Returns the figures in one line: `64 of 64 rows revised; production 2023: 172.8 -> 171.4`.
    #[must_use]
    pub fn summary(&self) -> String {
        let shift = self.shift.iter().map(ToString::to_string);
        let largest = self.largest.first().map(ToString::to_string);
        std::iter::once(self.counts()).chain(shift).chain(largest).collect::<Vec<_>>().join("; ")
    }

    /// Reduces the figures to what a line of the history keeps.
    fn shortened(&self) -> Self {
        let mut short = self.clone();
        short.largest.truncate(MAX_LARGEST_IN_HISTORY);
        short.columns.truncate(MAX_LARGEST_IN_HISTORY);
        short
    }
}

/// Returns what the history keeps of an export's revisions: of the tables with the most revised rows, a few figures each.
pub(super) fn for_history(revisions: &[Revision]) -> Vec<Revision> {
    let mut short: Vec<_> = revisions.iter().map(Revision::shortened).collect();
    short.sort_by_key(|revision| std::cmp::Reverse(revision.revised));
    short.truncate(MAX_TABLES_IN_HISTORY);
    short
}

impl std::fmt::Display for ColumnRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, cells, revised, ratio } = self;
        write!(
            f,
            "{name}: {} of {} revised",
            words::count(*revised),
            words::plural(usize::try_from(*cells).unwrap_or(usize::MAX), "value")
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
        write!(f, "agrees best when {column} is shifted {by} ({} of values equal, {} unshifted)", whole(*agreement), whole(*unshifted))
    }
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// `98 %`: only all is 100 %, and only nothing is 0 %.
fn whole(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 0.01 => "under 1 %".to_owned(),
        share if share > 0.99 && share < 1.0 => "over 99 %".to_owned(),
        share => words::percent((share * 100.0).round() / 100.0),
    }
}
