//! An evaluated dashboard: finished values, which the terminal and the browser only draw.
//!
//! Every displayed figure exists both as a number, for placing it, and as text, for printing it.
//! Front ends do not format numbers.

use std::{ops::Range, sync::Arc};

use serde::Serialize;

use super::{figures::slug, kinds::Content, units::Formula};
use crate::{
    reader::GenerationInfo,
    values::{Format, format_number},
};

/// A dashboard, evaluated for one generation, one set of filters and one viewer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DashboardData {
    pub slug: String,
    pub title: String,
    /// One sentence below the title.
    pub description: Option<String>,
    /// The sources of its figures.
    pub sources: Vec<DataSource>,
    /// The generation on which it was evaluated.
    pub generation: Arc<GenerationInfo>,
    /// The filters and their selection.
    pub filters: Vec<FilterData>,
    /// The panels in order, in rows of 12 columns.
    pub panels: Vec<PanelData>,
}

/// A tab of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// The title.
    pub title: String,
    /// The value in URLs.
    pub name: String,
    /// Its panels, by index.
    pub panels: Range<usize>,
}

impl DashboardData {
    /// Returns the tabs; panels before the first one belong to all of them.
    #[must_use]
    pub fn tabs(&self) -> Vec<Tab> {
        let begins = self.panels.iter().enumerate();
        let begins = begins.filter_map(|(at, panel)| Some((at, panel.tab.as_ref()?)));
        let begins: Vec<(usize, &String)> = begins.collect();
        let end = |next: usize| begins.get(next).map_or(self.panels.len(), |(at, _)| *at);
        let tab = |(place, (at, title)): (usize, &(usize, &String))| Tab {
            title: (*title).clone(),
            name: slug(title),
            panels: *at..end(place + 1),
        };
        begins.iter().enumerate().map(tab).collect()
    }
}

/// The source of figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Publisher and title.
    pub name: String,
    pub url: Option<String>,
    pub licence: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterData {
    /// The name in URLs and SQL.
    pub name: String,
    /// The label for viewers.
    pub label: String,
    /// The options and the selection.
    #[serde(rename = "choice")]
    pub value: FilterValue,
    /// The error in the requested value, or why nothing can be selected.
    pub problem: Option<String>,
    /// The restriction by the viewer's plan.
    pub limited: Option<String>,
    /// The number of options, listed or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: usize,
    /// The number of listed options, if not all are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it is set by addresses only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether its query failed.
    #[serde(skip)]
    pub failed: bool,
    /// Whether selecting nothing is a selection, which an address says with an empty value, since
    /// without a value the default is selected.
    #[serde(skip)]
    pub can_be_emptied: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
pub(super) fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The options and the selection of a filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FilterValue {
    /// One of several options. In URLs `name=value`.
    One { options: Vec<OptionData> },
    /// Any number of options. In URLs a repeated `name=value`.
    Many { options: Vec<OptionData> },
    /// A range of years, both included. In URLs `name_from=2010` and `name_to=2020`.
    Years {
        /// The first year with data.
        first: i64,
        /// The last year with data.
        last: i64,
        /// The first selected year.
        from: i64,
        /// The last selected year.
        to: i64,
        /// Whether a year means the season that begins in it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        seasons: bool,
    },
    /// From one day or number to another, both included. In addresses `name=90d`, or
    /// `name_from=2024-01-01` and `name_to=2024-06-30`.
    Range {
        /// Whether the ends are days; numbers otherwise.
        days: bool,
        /// The first day or number with data.
        first: String,
        /// The last day or number with data.
        last: String,
        /// The first selected one.
        from: String,
        /// The last selected one.
        to: String,
        /// Spans that end with the newest day; none is chosen where the ends are.
        presets: Vec<OptionData>,
    },
    /// Any text. In addresses `name=text`.
    Search {
        /// The text; empty for everything.
        text: String,
    },
}

impl FilterValue {
    /// Returns a year as viewers read it.
    #[must_use]
    pub fn year_label(&self, year: i64) -> String {
        match self {
            Self::Years { seasons: true, .. } => format_number(year as f64, Format::Season),
            _ => year.to_string(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionData {
    /// The value in URLs; empty for "All".
    pub value: String,
    /// The label for viewers.
    pub label: String,
    /// Whether it is selected.
    pub chosen: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanelData {
    pub title: String,
    /// Where its title leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The tab that begins with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tab: Option<String>,
    /// The heading of the section that begins with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The names of the filters that change it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// A note below the drawing.
    pub note: Option<String>,
    /// Its width in columns, of 12.
    pub width: u8,
    /// The unit of its numbers, printed after or above them; `None` if there is none or each column
    /// has its own.
    pub unit: Option<String>,
    /// The short form of the unit, after single values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_unit: Option<String>,
    /// Omissions due to the amount of data, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How far its sources reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freshness: Vec<Freshness>,
    /// How its derived figures are computed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formulas: Vec<Formula>,
    pub content: Content,
    /// Findings for operators.
    #[serde(skip)]
    pub findings: Findings,
}

/// How far a source reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// What its newest figures are of, when they were published, and when the next are due.
    pub text: String,
    /// Whether the next ones are overdue.
    pub is_late: bool,
}

/// Findings of a panel's evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// How many rows its query returned.
    pub rows: usize,
    /// Whether it could not be drawn because of the amount or the repetition of rows, rather than
    /// because of an error.
    pub by_amount: bool,
    /// Omissions that the panel's author did not intend.
    pub cut: Vec<String>,
    /// The keys that control how much is shown.
    pub keys: Vec<&'static str>,
}
