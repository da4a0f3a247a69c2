//! What a dashboard file says, checked as far as it can be without data.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Source,
    limits::{PanelLimits, PanelSeverity},
    units::Unit,
};
use crate::{plan::Plan, reader::Param, values::Format};

/// A dashboard as its author wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// The file it was written in.
    pub file: PathBuf,
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Smaller stands first.
    pub order: i64,
    /// What it is about.
    pub description: Option<String>,
    /// Who may see it.
    pub plan: Plan,
    /// Where its figures come from.
    pub sources: Vec<Source>,
    /// What can be chosen.
    pub filters: Vec<Filter>,
    /// What is shown.
    pub panels: Vec<Panel>,
}

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// `$name` in SQL, and the key in addresses.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// What can be chosen.
    pub kind: FilterKind,
    /// How many options are listed.
    pub max_options: usize,
}

/// What a filter offers.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterKind {
    /// One of several.
    Choice {
        /// What there is.
        options: Options,
        /// What is chosen when nothing is asked for; the first if absent.
        default: Option<String>,
    },
    /// Any number of several.
    Many {
        /// What there is.
        options: Options,
        /// What is chosen when nothing is asked for; all if absent.
        default: Option<Vec<String>>,
    },
    /// From one year to another.
    Years {
        /// The first and the last there is.
        bounds: Bounds,
        /// What is chosen when nothing is asked for.
        default: YearsDefault,
        /// Plans that see only the last so many.
        last: BTreeMap<Plan, u16>,
    },
    /// Any text.
    Search {
        /// What is looked for when nothing is asked for.
        default: String,
    },
}

/// Where options come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Options {
    /// The file.
    Fixed(Vec<Value>),
    /// A query: values, and labels if there is a second column.
    Sql(String),
}

/// An option.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// As it stands in addresses.
    pub text: String,
    /// As it is bound.
    pub param: Param,
    /// What it is called.
    pub label: String,
}

/// Where the years of a filter come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Bounds {
    /// The file.
    Fixed(i64, i64),
    /// A query: the first and the last.
    Sql(String),
}

/// The years that are shown when none are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YearsDefault {
    /// All.
    All,
    /// The last so many.
    Last(u16),
    /// From one to another.
    Range(i64, i64),
}

impl Filter {
    /// The names under which its values are bound.
    #[must_use]
    pub fn parameters(&self) -> Vec<String> {
        match self.kind {
            FilterKind::Years { .. } => vec![format!("{}_from", self.name), format!("{}_to", self.name)],
            _ => vec![self.name.clone()],
        }
    }

    /// The query that tells what there is, if there is one.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        match &self.kind {
            FilterKind::Choice { options: Options::Sql(sql), .. }
            | FilterKind::Many { options: Options::Sql(sql), .. }
            | FilterKind::Years { bounds: Bounds::Sql(sql), .. } => Some(sql),
            _ => None,
        }
    }
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// Its title.
    pub title: String,
    /// What to know about it.
    pub note: Option<String>,
    /// How many of the 12 columns it takes.
    pub width: u8,
    /// Who may see it.
    pub plan: Plan,
    /// What its numbers count and how they are printed.
    pub figures: Figures,
    /// How x is printed; by what it is if absent.
    pub x_format: Option<Format>,
    /// What it asks and how it is drawn.
    pub drawing: Drawing,
    /// No rows is what one may expect.
    pub allow_empty: bool,
    /// What its failure means for an export.
    pub severity: PanelSeverity,
    /// Fewer rows are a failure.
    pub min_rows: Option<usize>,
    /// How much of its data is drawn.
    pub limits: PanelLimits,
}

/// What numbers count, and how they are printed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// What they count.
    pub unit: Option<Unit>,
    /// How they are printed; by their type if absent.
    pub format: Option<Format>,
}

impl Figures {
    /// The format that was asked for, by the panel or by its unit.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.format.or_else(|| self.unit.as_ref().and_then(|unit| unit.format))
    }
}

/// What a panel asks and how it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    /// One figure.
    Stat {
        /// The query.
        sql: String,
        /// The column with the figure.
        y: String,
        /// The column with what it belongs to.
        x: Option<String>,
        /// How many rows back to compare with; 0 for not at all.
        before: usize,
        /// How the difference is told.
        change: ChangeKind,
        /// What the earlier figure is called.
        against: Option<String>,
    },
    /// Lines, areas, bars, dots.
    Chart(ChartDrawing),
    /// Coloured cells.
    Heatmap {
        /// The query.
        sql: String,
        /// The column that runs across.
        x: String,
        /// The column that runs down.
        y: String,
        /// The column with the numbers.
        value: String,
        /// What runs across.
        x_title: Option<String>,
        /// What runs down.
        y_title: Option<String>,
    },
    /// Rows and columns.
    Table {
        /// The query.
        sql: String,
        /// Which columns, in which order; all if absent.
        columns: Option<Vec<String>>,
        /// Titles by column.
        labels: BTreeMap<String, String>,
        /// Units and formats by column.
        figures: BTreeMap<String, Figures>,
        /// How many rows are shown, if the file says so.
        rows: Option<usize>,
    },
    /// Text.
    Markdown {
        /// In Markdown.
        text: String,
    },
    /// What changed in each table since the generation before.
    Changes,
}

/// A drawing over two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartDrawing {
    /// How points are drawn.
    pub mark: super::Mark,
    /// The query.
    pub sql: String,
    /// The column that runs along x.
    pub x: String,
    /// The columns with the numbers.
    pub y: Vec<String>,
    /// The column that tells series apart.
    pub series: Option<String>,
    /// The column with dots' names.
    pub label: Option<String>,
    /// Names of series by column.
    pub labels: BTreeMap<String, String>,
    /// What runs along x.
    pub x_title: Option<String>,
    /// What runs along y.
    pub y_title: Option<String>,
    /// Whether y reaches down to zero.
    pub zero: bool,
    /// Lines across.
    pub guides: Vec<(f64, String)>,
}

/// How the difference between two figures is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// As a share of the earlier one.
    #[default]
    Percent,
    /// In the figure's unit.
    Value,
    /// In hundredths: for figures that are shares.
    Points,
}

impl Drawing {
    /// The query.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        match self {
            Self::Stat { sql, .. } | Self::Heatmap { sql, .. } | Self::Table { sql, .. } => Some(sql),
            Self::Chart(chart) => Some(&chart.sql),
            Self::Markdown { .. } | Self::Changes => None,
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        use super::Mark;
        match self {
            Self::Stat { .. } => "stat",
            Self::Heatmap { .. } => "heatmap",
            Self::Table { .. } => "table",
            Self::Markdown { .. } => "markdown",
            Self::Changes => "changes",
            Self::Chart(chart) => match chart.mark {
                Mark::Line => "line",
                Mark::Area => "area",
                Mark::Scatter => "scatter",
                Mark::Bar | Mark::StackedBar | Mark::HorizontalBar | Mark::HorizontalStackedBar => "bar",
            },
        }
    }
}

/// A column's name as a title: `managed_money_net` is `Managed money net`.
#[must_use]
pub fn title_of(column: &str) -> String {
    let spaced = column.replace('_', " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
