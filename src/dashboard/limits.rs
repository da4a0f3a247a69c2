//! How much of its data a panel draws, and what happens to the rest.

use serde::Deserialize;

/// The smallest, default and largest value of a limit.
pub(super) struct Bounds {
    /// The key in dashboard files.
    pub(super) key: &'static str,
    pub(super) default: usize,
    pub(super) largest: usize,
}

/// Series in one chart: beyond about twenty they cannot be told apart.
pub(super) const MAX_SERIES: Bounds = Bounds { key: "max_series", default: 20, largest: 60 };
/// Bars along x.
pub(super) const MAX_BARS: Bounds = Bounds { key: "max_bars", default: 100, largest: 500 };
/// Points of all series of one chart; each is an element of the page and a cell of the table below the chart.
pub(super) const MAX_POINTS: Bounds = Bounds { key: "max_points", default: 5_000, largest: 20_000 };
/// Rows, and columns, of a heatmap.
pub(super) const MAX_CELLS: Bounds = Bounds { key: "max_cells", default: 120, largest: 240 };
/// Rows of a table.
pub(super) const ROWS: Bounds = Bounds { key: "rows", default: 50, largest: 1_000 };
/// Options that a filter lists.
pub(super) const MAX_OPTIONS: Bounds = Bounds { key: "max_options", default: 1_000, largest: 10_000 };

/// How much of its data a panel draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelLimits {
    /// Series of a chart.
    pub series: usize,
    /// Bars along x.
    pub bars: usize,
    /// Points of all series of a chart.
    pub points: usize,
    /// Rows, and columns, of a heatmap.
    pub cells: usize,
    /// What happens to the series and bars beyond the limit; by the kind of chart if absent.
    pub others: Option<Others>,
}

impl Default for PanelLimits {
    fn default() -> Self {
        Self { series: MAX_SERIES.default, bars: MAX_BARS.default, points: MAX_POINTS.default, cells: MAX_CELLS.default, others: None }
    }
}

/// What happens to the series and bars beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// They are added up and drawn as "Other". Only their author knows whether the sum is true.
    Sum,
    /// They are left out.
    Drop,
}

/// What a failure of a panel means for an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelSeverity {
    /// Nothing is published.
    #[default]
    Error,
    /// It is reported, and the export goes on.
    Warn,
    /// Nothing is reported.
    Off,
}

/// What a panel does not show, in sentences, and which keys change that.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Notes {
    pub(super) texts: Vec<String>,
    pub(super) keys: Vec<&'static str>,
    /// What the drawing itself says, and those who publish should know.
    pub(super) unexpected: Vec<String>,
    /// Rows that were never read, so that sums of the rest would be untrue.
    pub(super) unread: usize,
}

impl Notes {
    pub(super) fn add(&mut self, text: String, key: &'static str) {
        self.texts.push(text);
        self.key(key);
    }

    pub(super) fn unexpected(&mut self, text: String, key: &'static str) {
        self.unexpected.push(text);
        self.key(key);
    }

    fn key(&mut self, key: &'static str) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }
}

/// Why a panel cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undrawn {
    pub(super) reason: String,
    /// Whether the number or the repetition of rows is the cause, not a missing column, a type or the query.
    pub(super) by_amount: bool,
}

impl From<String> for Undrawn {
    fn from(reason: String) -> Self {
        Self { reason, by_amount: false }
    }
}

impl Undrawn {
    pub(super) fn by_amount(reason: String) -> Self {
        Self { reason, by_amount: true }
    }
}
