//! The TOML of a dashboard, key by key.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    dashboard::{
        Source,
        limits::{Others, PanelSeverity},
        model::ChangeKind,
    },
    plan::Plan,
    values::Format,
};

/// A text and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: String,
    pub(super) slug: Option<Text>,
    #[serde(default = "in_the_middle")]
    pub(super) order: i64,
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) plan: Plan,
    #[serde(default, rename = "source")]
    pub(super) sources: Vec<Source>,
    #[serde(default, rename = "filter")]
    pub(super) filters: Vec<Spanned<FilterFile>>,
    #[serde(default, rename = "panel")]
    pub(super) panels: Vec<Spanned<PanelFile>>,
}

fn in_the_middle() -> i64 {
    100
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterFile {
    pub(super) name: Text,
    pub(super) label: Option<String>,
    pub(super) kind: Spanned<FilterKind>,
    pub(super) sql: Option<Text>,
    pub(super) options: Option<Spanned<Vec<OptionFile>>>,
    pub(super) default: Option<Spanned<toml::Value>>,
    pub(super) last: Option<Spanned<BTreeMap<Plan, u16>>>,
    pub(super) max_options: Option<Spanned<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FilterKind {
    Choice,
    Many,
    Years,
    Search,
}

impl FilterKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::Many => "many",
            Self::Years => "years",
            Self::Search => "search",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, or { value = …, label = \"…\" }")]
pub(super) enum OptionFile {
    Named { value: toml::Value, label: String },
    Bare(toml::Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PanelKind {
    Stat,
    Line,
    Area,
    Bar,
    Scatter,
    Heatmap,
    Table,
    Markdown,
    Changes,
}

impl PanelKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Line => "line",
            Self::Area => "area",
            Self::Bar => "bar",
            Self::Scatter => "scatter",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
            Self::Markdown => "markdown",
            Self::Changes => "changes",
        }
    }

    /// The keys that mean something to this kind, apart from those of every kind.
    pub(super) fn keys(self) -> Vec<&'static str> {
        let own = match self {
            Self::Stat => "sql x y unit format x_format before change against",
            Self::Line => "sql x y series unit format x_format x_title y_title labels zero guide max_series max_points others",
            Self::Area => "sql x y series unit format x_format x_title y_title labels guide max_series max_points others",
            Self::Bar => "sql x y series unit format x_format x_title y_title labels layout horizontal guide max_series max_bars others",
            Self::Scatter => "sql x y series label unit format x_format x_title y_title zero guide max_series max_points",
            Self::Heatmap => "sql x y value unit format x_format x_title y_title max_cells",
            Self::Table => "sql columns labels units formats rows",
            Self::Markdown => return vec!["text"],
            Self::Changes => return vec!["severity"],
        };
        own.split(' ').chain(["allow_empty", "severity", "min_rows"]).collect()
    }
}

/// Columns: one name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected the name of a column, or a list of names")]
pub(super) enum Columns {
    One(String),
    Several(Vec<String>),
}

impl Columns {
    pub(super) fn list(self) -> Vec<String> {
        match self {
            Self::One(column) => vec![column],
            Self::Several(columns) => columns,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    #[default]
    Grouped,
    Stacked,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guide {
    pub(super) at: f64,
    pub(super) label: String,
}

/// Every key of every kind; which ones a kind has is told by [`PanelKind::keys`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PanelFile {
    pub(super) title: String,
    pub(super) note: Option<String>,
    pub(super) kind: PanelKind,
    pub(super) width: Option<Spanned<u8>>,
    pub(super) plan: Option<Plan>,
    pub(super) sql: Option<Text>,
    pub(super) x: Option<Text>,
    pub(super) y: Option<Spanned<Columns>>,
    pub(super) series: Option<Text>,
    pub(super) label: Option<Text>,
    pub(super) value: Option<Text>,
    pub(super) unit: Option<Text>,
    pub(super) format: Option<Spanned<Format>>,
    pub(super) x_format: Option<Spanned<Format>>,
    pub(super) x_title: Option<Text>,
    pub(super) y_title: Option<Text>,
    pub(super) labels: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) layout: Option<Spanned<Layout>>,
    pub(super) horizontal: Option<Spanned<bool>>,
    pub(super) zero: Option<Spanned<bool>>,
    pub(super) guide: Option<Spanned<Vec<Guide>>>,
    pub(super) before: Option<Spanned<usize>>,
    pub(super) change: Option<Spanned<ChangeKind>>,
    pub(super) against: Option<Text>,
    pub(super) columns: Option<Spanned<Vec<String>>>,
    pub(super) units: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) formats: Option<Spanned<BTreeMap<String, Format>>>,
    pub(super) rows: Option<Spanned<usize>>,
    pub(super) text: Option<Text>,
    pub(super) allow_empty: Option<Spanned<bool>>,
    pub(super) severity: Option<Spanned<PanelSeverity>>,
    pub(super) min_rows: Option<Spanned<usize>>,
    pub(super) max_series: Option<Spanned<usize>>,
    pub(super) max_bars: Option<Spanned<usize>>,
    pub(super) max_points: Option<Spanned<usize>>,
    pub(super) max_cells: Option<Spanned<usize>>,
    pub(super) others: Option<Spanned<Others>>,
}

impl PanelFile {
    /// The keys that were written, with the byte at which their values begin.
    pub(super) fn written(&self) -> Vec<(&'static str, usize)> {
        fn at<T>(value: Option<&Spanned<T>>) -> Option<usize> {
            value.map(|value| value.span().start)
        }
        [
            ("sql", at(self.sql.as_ref())),
            ("x", at(self.x.as_ref())),
            ("y", at(self.y.as_ref())),
            ("series", at(self.series.as_ref())),
            ("label", at(self.label.as_ref())),
            ("value", at(self.value.as_ref())),
            ("unit", at(self.unit.as_ref())),
            ("format", at(self.format.as_ref())),
            ("x_format", at(self.x_format.as_ref())),
            ("x_title", at(self.x_title.as_ref())),
            ("y_title", at(self.y_title.as_ref())),
            ("labels", at(self.labels.as_ref())),
            ("layout", at(self.layout.as_ref())),
            ("horizontal", at(self.horizontal.as_ref())),
            ("zero", at(self.zero.as_ref())),
            ("guide", at(self.guide.as_ref())),
            ("before", at(self.before.as_ref())),
            ("change", at(self.change.as_ref())),
            ("against", at(self.against.as_ref())),
            ("columns", at(self.columns.as_ref())),
            ("units", at(self.units.as_ref())),
            ("formats", at(self.formats.as_ref())),
            ("rows", at(self.rows.as_ref())),
            ("text", at(self.text.as_ref())),
            ("allow_empty", at(self.allow_empty.as_ref())),
            ("severity", at(self.severity.as_ref())),
            ("min_rows", at(self.min_rows.as_ref())),
            ("max_series", at(self.max_series.as_ref())),
            ("max_bars", at(self.max_bars.as_ref())),
            ("max_points", at(self.max_points.as_ref())),
            ("max_cells", at(self.max_cells.as_ref())),
            ("others", at(self.others.as_ref())),
        ]
        .into_iter()
        .filter_map(|(key, start)| Some((key, start?)))
        .collect()
    }
}
