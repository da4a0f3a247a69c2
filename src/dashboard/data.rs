//! An answered dashboard: finished values, which the terminal and the browser only draw.
//!
//! Every number that is shown comes twice: as a number, to place it, and as text, to print it. Nobody formats it again.

use std::sync::Arc;

use serde::Serialize;

use crate::{plan::Plan, reader::GenerationInfo};

/// A dashboard, answered for one generation, one set of filters and one viewer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DashboardData {
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: Option<String>,
    /// Where its figures come from.
    pub sources: Vec<Source>,
    /// What all of it was answered from.
    pub generation: Arc<GenerationInfo>,
    /// What can be chosen, and what is.
    pub filters: Vec<FilterData>,
    /// In the order in which they are shown, in rows of 12 columns.
    pub panels: Vec<PanelData>,
}

/// Where figures come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Who publishes them, and under which title.
    pub name: String,
    /// Where to find them.
    pub url: Option<String>,
    /// What may be done with them.
    pub licence: Option<String>,
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterData {
    /// Its name in addresses and SQL.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// What can be chosen and what is.
    pub choice: Choice,
    /// What was wrong with the value that was asked for, or why nothing can be chosen.
    pub problem: Option<String>,
    /// Why less can be chosen than there is: what the viewer's plan leaves out.
    pub limited: Option<String>,
    /// How many options there are, listed or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: usize,
    /// How many of the options are listed, where it is not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether its query failed.
    #[serde(skip)]
    pub failed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What a filter offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Choice {
    /// One of several. In addresses `name=value`.
    One {
        /// What there is.
        options: Vec<OptionData>,
    },
    /// Any number of several. In addresses `name=value` again and again.
    Many {
        /// What there is.
        options: Vec<OptionData>,
    },
    /// From one year to another, both included. In addresses `name_from=2010` and `name_to=2020`.
    Years {
        /// The first there is.
        first: i64,
        /// The last there is.
        last: i64,
        /// The first that is shown.
        from: i64,
        /// The last that is shown.
        to: i64,
    },
    /// Any text. In addresses `name=text`.
    Search {
        /// What is looked for; nothing means everything.
        text: String,
    },
}

/// One thing that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionData {
    /// Its value in addresses.
    pub value: String,
    /// What it is called.
    pub label: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// One panel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanelData {
    /// Its title.
    pub title: String,
    /// What to know about it.
    pub note: Option<String>,
    /// How many of the 12 columns it takes.
    pub width: u8,
    /// What its numbers count, as it stands behind or above them; `None` where they are bare or each column has its own.
    pub unit: Option<String>,
    /// What is not drawn because there is too much of it, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is drawn.
    pub content: Content,
    /// What whoever publishes it should know.
    #[serde(skip)]
    pub findings: Findings,
}

/// What was noticed while a panel was evaluated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// How many rows its query returned.
    pub rows: usize,
    /// Whether it could not be drawn because of the amount or the repetition of rows, and not because something is missing or mistaken.
    pub by_amount: bool,
    /// What is not shown although the panel's author did not say so.
    pub cut: Vec<String>,
    /// The keys that set what is shown.
    pub keys: Vec<&'static str>,
}

/// What a panel shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// One figure.
    Stat(Stat),
    /// Lines, areas, bars or dots over two axes.
    Chart(Chart),
    /// Coloured cells in rows and columns.
    Heatmap(Heatmap),
    /// Rows and columns of text.
    Table(Table),
    /// Text in Markdown, without HTML.
    Markdown {
        /// The text.
        text: String,
    },
    /// The query returned nothing to show.
    Empty {
        /// In words, for example that no row fits the filters.
        reason: String,
    },
    /// The viewer's plan does not include it.
    Locked {
        /// The smallest plan that does.
        plan: Plan,
        /// What it would show: a `stat`, `line`, `table` …
        would_be: &'static str,
    },
    /// It could not be answered; the others were.
    Failed {
        /// For operators and the log. Customers are told that it is being looked at.
        reason: String,
    },
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stat {
    /// The figure.
    pub value: f64,
    /// As it is printed, without the unit.
    pub shown: String,
    /// What it belongs to: a day, a month, a name.
    pub at: Option<String>,
    /// How it differs from an earlier one.
    pub change: Option<Change>,
    /// The figures up to this one, the oldest first; `None` for those that are missing. Empty where there is no history.
    pub history: Vec<Option<f64>>,
}

/// How a figure differs from an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The difference, in the figure's unit; its sign is the direction.
    pub value: f64,
    /// As it is printed, with its sign: `+3.2 %`, `-1,204`.
    pub shown: String,
    /// Against what: `Sep 2025`, `a year before`.
    pub against: String,
}

/// Lines, areas, bars or dots over two axes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// How the points are drawn.
    pub mark: Mark,
    /// Across; for horizontal bars up and down.
    pub x: Axis,
    /// Up and down; for horizontal bars across.
    pub y: Axis,
    /// In the order of the legend.
    pub series: Vec<Series>,
    /// Lines at values of `y` that mean something.
    pub guides: Vec<Tick>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Joined by a line, with gaps where a value is missing.
    Line,
    /// Filled down to zero, on top of one another.
    Area,
    /// Bars beside one another.
    Bar,
    /// Bars on top of one another.
    StackedBar,
    /// Lying bars, beside one another.
    HorizontalBar,
    /// Lying bars, end to end.
    HorizontalStackedBar,
    /// Dots.
    Scatter,
}

impl Mark {
    /// Whether points of different series at the same x add up.
    #[must_use]
    pub fn is_stacked(self) -> bool {
        matches!(self, Self::Area | Self::StackedBar | Self::HorizontalStackedBar)
    }

    /// Whether x runs from top to bottom.
    #[must_use]
    pub fn is_horizontal(self) -> bool {
        matches!(self, Self::HorizontalBar | Self::HorizontalStackedBar)
    }
}

/// One axis. For stacked marks, y reaches as far as the stacks do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// What runs along it.
    pub title: String,
    /// What its numbers mean.
    pub scale: Scale,
    /// Where it begins.
    pub min: f64,
    /// Where it ends; greater than `min`.
    pub max: f64,
    /// Where it is labelled, in order; all within `min` and `max`.
    pub ticks: Vec<Tick>,
}

/// What the numbers along an axis mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scale {
    /// Themselves.
    Number,
    /// Milliseconds since 1970, UTC.
    Time,
    /// Places in a list: 0 is the first name's. Runs from -0.5 to the number of names less 0.5, so that bars fit.
    Category {
        /// The names.
        names: Vec<String>,
    },
}

/// A labelled place along an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// Its text.
    pub label: String,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// What they are called.
    pub name: String,
    /// Ordered by x, except those of scatter.
    pub points: Vec<Point>,
    /// Whether it is the sum of those that are not drawn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Where along x.
    pub x: f64,
    /// How far along y; `None` where there is no value.
    pub y: Option<f64>,
    /// Its x as text.
    pub x_shown: String,
    /// Its y as text; empty where there is no value.
    pub y_shown: String,
    /// What it is called, where dots have names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Coloured cells in rows and columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heatmap {
    /// What runs across.
    pub x_title: String,
    /// What runs down.
    pub y_title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, from the top.
    pub rows: Vec<HeatmapRow>,
    /// The smallest value, and as text.
    pub min: Tick,
    /// The largest value, and as text.
    pub max: Tick,
}

/// One row of a heatmap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatmapRow {
    /// Its name.
    pub name: String,
    /// One for each column; `None` where there is no value.
    pub cells: Vec<Option<Tick>>,
}

/// Rows and columns of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// The rows' cells as they are printed; nulls are empty.
    pub rows: Vec<Vec<String>>,
    /// How many more rows there are than are shown.
    pub left_out: usize,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// What stands above it.
    pub title: String,
    /// What its numbers count.
    pub unit: Option<String>,
    /// Whether its cells line up on the right.
    pub right: bool,
}
