//! Limits on the amount of data that a panel draws, and the handling of the rest.

use serde::Deserialize;

/// The smallest, default and largest value of a limit.
pub(super) struct Bounds {
    /// The key in dashboard files.
    pub(super) key: &'static str,
    pub(super) default: usize,
    pub(super) max: usize,
}

/// Series in one chart: more than about twenty are indistinguishable.
pub(super) const MAX_SERIES: Bounds = Bounds { key: "max_series", default: 20, max: 60 };
/// Bars along x.
pub(super) const MAX_BARS: Bounds = Bounds { key: "max_bars", default: 100, max: 500 };
/// Points of all series of one chart: a screen cannot show more, and each is a cell of the table
/// below the chart.
pub(super) const MAX_POINTS: Bounds = Bounds { key: "max_points", default: 1_000, max: 20_000 };
/// Rows, and columns, of a heatmap.
pub(super) const MAX_CELLS: Bounds = Bounds { key: "max_cells", default: 120, max: 240 };
/// Listed options of a filter.
pub(super) const ROWS: Bounds = Bounds { key: "rows", default: 50, max: 1_000 };
/// Options that a filter lists.
pub(super) const MAX_OPTIONS: Bounds = Bounds { key: "max_options", default: 1_000, max: 10_000 };

/// The amount of data that a panel draws.
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
    /// Whether the author has set the number of points.
    pub has_own_points: bool,
    /// Whether the author only wants the largest series or bars, so that omissions are intentional.
    pub is_top: bool,
    /// Which page of a table's rows is shown, counted from 0.
    pub page: usize,
    /// The handling of series and bars beyond the limit; depends on the kind of chart if absent.
    pub others: Option<Others>,
}

impl Default for PanelLimits {
    fn default() -> Self {
        Self {
            series: MAX_SERIES.default,
            bars: MAX_BARS.default,
            points: MAX_POINTS.default,
            cells: MAX_CELLS.default,
            has_own_points: false,
            is_top: false,
            page: 0,
            others: None,
        }
    }
}

/// The handling of series and bars beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "RawOthers")]
pub enum Others {
    /// They are added up and drawn as "Other". Only the author knows whether the sum is meaningful.
    Sum,
    /// They are omitted.
    Drop,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"sum\", \"drop\", true or false")]
enum RawOthers {
    Flag(bool),
    Name(OthersName),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OthersName {
    Sum,
    Drop,
}

impl From<RawOthers> for Others {
    fn from(raw: RawOthers) -> Self {
        match raw {
            RawOthers::Flag(true) | RawOthers::Name(OthersName::Sum) => Self::Sum,
            RawOthers::Flag(false) | RawOthers::Name(OthersName::Drop) => Self::Drop,
        }
    }
}

/// The consequence of a panel's failure for an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelSeverity {
    /// Nothing is published.
    #[default]
    Error,
    /// It is reported, and the export continues.
    Warn,
    /// Nothing is reported.
    Off,
}

/// Omissions of a panel, in sentences, and the keys that control them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Notes {
    pub(super) texts: Vec<String>,
    pub(super) keys: Vec<&'static str>,
    /// Omissions shown with the drawing that its author intended.
    pub(super) expected: Vec<String>,
    /// Omissions shown with the drawing that operators should know about.
    pub(super) unexpected: Vec<String>,
    /// The number of rows that were not read, so that sums of the rest would be wrong.
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
    /// Whether the cause is the number or the repetition of rows, rather than a missing column, a
    /// type or the query.
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
