//! The model of a dashboard file, validated as far as possible without data.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::civil::Date;
use serde::Deserialize;

use super::{
    DataSource,
    kinds::Visualization,
    limits::{PanelLimits, PanelSeverity},
    units::{Formula, Unit},
};
pub use super::{presets::Preset, templates::ValueQuery};
use crate::{plan::Plan, reader::Param, values::Format};

/// A dashboard as defined in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    pub file: PathBuf,
    /// A digest of that file's text and of the file of units.
    pub digest: String,
    pub slug: String,
    pub title: String,
    /// Position in the list of dashboards, in ascending order.
    pub order: i64,
    /// One sentence below the title.
    pub description: Option<String>,
    /// The heading under which it is listed, where there are many dashboards.
    pub group: Option<String>,
    /// The smallest plan that includes it.
    pub plan: Plan,
    /// The sources of its figures.
    pub sources: Vec<DataSource>,
    /// The filters, in the order of the file.
    pub filters: Vec<Filter>,
    /// The panels, in the order of the file.
    pub panels: Vec<Panel>,
    /// The named queries whose values are used in titles, notes and Markdown.
    pub values: Vec<ValueQuery>,
    /// Whether only operators see it.
    pub draft: bool,
    /// Whether its page can be read without an account.
    pub public: bool,
    /// Colors of series by name, as indexes of the palette; `None` is gray.
    pub colors: BTreeMap<String, Option<u8>>,
}

/// The name of the chosen tab in addresses.
pub const TAB: &str = "tab";

/// What the parameter of a table's page begins with; the panel's name follows. A filter cannot have
/// such a name.
const PAGE: &str = "page.";

/// Returns the parameter of the page of a table's rows, which are counted from 1.
#[must_use]
pub fn page_parameter(panel: &str) -> String {
    format!("{PAGE}{panel}")
}

impl Dashboard {
    /// Returns the titles of its tabs.
    pub(super) fn tabs(&self) -> impl Iterator<Item = &str> {
        self.panels.iter().filter_map(|panel| panel.tab.as_deref())
    }
}

/// One filter of a dashboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The line in the file, from 1.
    pub line: usize,
    /// `$name` in SQL, and the key in URLs.
    pub name: String,
    /// The label for viewers.
    pub label: String,
    /// The kind and its options.
    pub kind: FilterKind,
    /// Maximum number of listed options.
    pub max_options: usize,
    /// Whether it is set by addresses only.
    pub hidden: bool,
}

/// The kind of a filter, with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterKind {
    /// One of several options.
    Choice {
        options: FilterOptions,
        /// The option that is selected by default.
        default: Option<String>,
        /// Whether "All" is an option, and the default if there is no other: if the panels' SQL
        /// handles it.
        all: bool,
    },
    /// Any number of several options.
    Many {
        options: FilterOptions,
        /// The options that are selected by default; all if absent.
        default: Option<Vec<String>>,
    },
    /// A range of years.
    Years {
        /// The first and the last year.
        bounds: YearBounds,
        default: YearsDefault,
        /// Plans that see only this number of recent years.
        last: BTreeMap<Plan, u16>,
        /// Whether a year means the season that begins in it.
        seasons: bool,
    },
    /// From one day to another.
    Range {
        /// The first and the last day.
        bounds: RangeBounds<Date>,
        /// The days without a parameter.
        default: RangeDefault,
        /// The day with which presets end.
        relative_to: RelativeTo,
    },
    /// From one number to another.
    Numbers {
        /// The smallest and the largest number.
        bounds: RangeBounds<f64>,
        /// The numbers without a parameter; all if absent.
        default: Option<(f64, f64)>,
    },
    /// Any text.
    Search { default: String },
}

/// The source of options.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterOptions {
    /// Listed in the file.
    Fixed(Vec<Value>),
    /// A query: values, and labels if there is a second column.
    Sql(String),
}

/// One option of a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The value in URLs.
    pub text: String,
    pub param: Param,
    /// The label for viewers.
    pub label: String,
}

/// The source of a filter's range of years.
#[derive(Debug, Clone, PartialEq)]
pub enum YearBounds {
    /// Given in the file.
    Fixed(i64, i64),
    /// A query that returns the first and the last year.
    Sql(String),
}

/// Where the ends of a range come from.
#[derive(Debug, Clone, PartialEq)]
pub enum RangeBounds<T> {
    Fixed(T, T),
    /// A query: the first and the last.
    Sql(String),
}

/// The day with which the presets of a range end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelativeTo {
    /// The newest day in the data.
    #[default]
    Newest,
    /// The current day, in UTC.
    Today,
}

/// The days that are shown without a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeDefault {
    /// So many up to the newest.
    Preset(Preset),
    /// From one day to another.
    Days(Date, Date),
}

/// The years that are shown without a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YearsDefault {
    All,
    /// This number of recent years.
    Last(u16),
    /// From one year to another.
    Range(i64, i64),
}

impl Filter {
    /// Returns the names under which its values are bound.
    #[must_use]
    pub fn parameters(&self) -> Vec<String> {
        match self.kind {
            FilterKind::Years { .. } => {
                vec![format!("{}_from", self.name), format!("{}_to", self.name)]
            }
            FilterKind::Range { .. } | FilterKind::Numbers { .. } => {
                vec![format!("{}_from", self.name), format!("{}_to", self.name), self.name.clone()]
            }
            _ => vec![self.name.clone()],
        }
    }

    /// Returns whether an empty value in an address differs from none, which selects the default.
    pub(super) fn can_be_emptied(&self) -> bool {
        match &self.kind {
            FilterKind::Many { default, .. } => default.is_some(),
            FilterKind::Search { default } => !default.is_empty(),
            _ => false,
        }
    }

    /// Returns the query of its options or bounds, if it has one.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        match &self.kind {
            FilterKind::Choice { options: FilterOptions::Sql(sql), .. }
            | FilterKind::Many { options: FilterOptions::Sql(sql), .. }
            | FilterKind::Years { bounds: YearBounds::Sql(sql), .. }
            | FilterKind::Range { bounds: RangeBounds::Sql(sql), .. }
            | FilterKind::Numbers { bounds: RangeBounds::Sql(sql), .. } => Some(sql),
            _ => None,
        }
    }

    /// Returns whether viewers select among options, so that an empty selection means all.
    #[must_use]
    pub fn has_options(&self) -> bool {
        matches!(self.kind, FilterKind::Choice { .. } | FilterKind::Many { .. })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The line in the file, from 1.
    pub line: usize,
    pub title: String,
    /// Where its title leads, with `$filter` for what is selected in a filter.
    pub title_link: Option<String>,
    /// The SQL of the panel and of the named queries, as they are in the file.
    pub texts: Vec<SqlText>,
    /// The tab that begins with it.
    pub tab: Option<String>,
    /// The heading of the section that begins with it.
    pub section: Option<String>,
    /// A note below the drawing.
    pub note: Option<String>,
    /// Its width in columns, of 12.
    pub width: u8,
    /// The smallest plan that includes it.
    pub plan: Plan,
    /// Whether it is public, so that the homepage may show it.
    pub public: bool,
    /// Unit and format of its numbers.
    pub values: ValueSpec,
    /// The format of x; derived from its type if absent.
    pub x_format: Option<Format>,
    /// The query and how its result is drawn.
    pub visualization: Visualization,
    /// What is expected of its result.
    pub requirements: PanelRequirements,
    /// Where its figures come from.
    pub origin: PanelOrigin,
    /// Limits on the amount of drawn data.
    pub limits: PanelLimits,
}

/// What is expected of a panel's result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PanelRequirements {
    /// Whether an empty result is expected.
    pub allow_empty: bool,
    /// The consequence of its failure for an export.
    pub severity: PanelSeverity,
    /// The minimum number of rows; fewer are a failure.
    pub min_rows: Option<usize>,
}

/// Where a panel's figures come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PanelOrigin {
    /// The named queries that say how far its sources reach.
    pub freshness: Vec<String>,
    /// How its derived figures are computed.
    pub formulas: Vec<Formula>,
}

/// SQL as it is written in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The line of its first letter, from 1.
    pub line: usize,
    /// The column of its first letter, from 1.
    pub column: usize,
    /// The text, with its quotes.
    pub text: String,
}

impl Panel {
    /// Returns the line and column of what a message of the engine names, where its name is in the
    /// panel's SQL once.
    #[must_use]
    pub fn locate(&self, reason: &str) -> Option<(usize, usize)> {
        const BEFORE: [&str; 6] = [
            "at or near \"",
            "column \"",
            "Table with name ",
            "table \"",
            "Function with name ",
            "Column with name ",
        ];
        let name = BEFORE.iter().find_map(|before| {
            let rest = reason.split_once(before)?.1;
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
            Some(&rest[..end]).filter(|name| !name.is_empty())
        })?;
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let mut places = self.texts.iter().flat_map(|sql| {
            sql.text.match_indices(name).filter_map(move |(at, found)| {
                let (before, after) = (&sql.text[..at], &sql.text[at + found.len()..]);
                if before.ends_with(is_word) || after.starts_with(is_word) {
                    return None;
                }
                let line = before.matches('\n').count();
                let column = match before.rfind('\n') {
                    Some(newline) => before[newline + 1..].chars().count() + 1,
                    None => sql.column + before.chars().count(),
                };
                Some((sql.line + line, column))
            })
        });
        let place = places.next()?;
        places.next().is_none().then_some(place)
    }
}

/// Unit and format of numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ValueSpec {
    pub unit: Option<Unit>,
    /// The format; derived from their type if absent.
    pub format: Option<Format>,
}

impl ValueSpec {
    /// Returns the format of the panel or of its unit. A currency keeps its sign in another
    /// precision.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        let of_unit = self.unit.as_ref().and_then(|unit| unit.format);
        let money = of_unit.and_then(|format| format.money());
        match (self.format, money) {
            (Some(Format::Integer), Some(money)) => Some(Format::Money(money.with_decimals(0))),
            (Some(Format::Decimal(decimals)), Some(money)) => {
                Some(Format::Money(money.with_decimals(decimals)))
            }
            (Some(Format::Compact), Some(money)) => Some(Format::Money(money.compact())),
            (own, _) => own.or(of_unit),
        }
    }

    /// Returns the form of the unit behind single figures and in columns. The sign of a currency is
    /// part of the figure.
    #[must_use]
    pub fn suffix(&self) -> Option<&str> {
        let is_money = self.format().is_some_and(|format| format.money().is_some());
        self.unit.as_ref().filter(|_| !is_money).and_then(Unit::suffix)
    }
}

/// Returns a column's name as a title: `managed_money_net` is `Managed money net`.
///
/// Names in capitals, and known abbreviations, keep their capitals: `us_imports` is `US imports`.
#[must_use]
pub fn default_title(column: &str) -> String {
    const ACRONYMS: [&str; 16] = [
        "us", "usa", "uk", "eu", "gdp", "cpi", "mrr", "arr", "usd", "eur", "id", "url", "api",
        "kpi", "vat", "co2",
    ];
    let word = |(place, word): (usize, &str)| -> String {
        if ACRONYMS.contains(&word) {
            return word.to_uppercase();
        }
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if place == 0 => first.to_uppercase().chain(letters).collect(),
            _ => word.to_owned(),
        }
    };
    column.replace('_', " ").split(' ').enumerate().map(word).collect::<Vec<_>>().join(" ")
}
