//! The kinds of panels. Each kind is one module with the keys of its file, its query, and the
//! finished data that front ends draw.
//!
//! A new kind requires a module with a [`Kind`], and in this file an entry in [`KINDS`], variants
//! of [`Visualization`] and [`Content`], and its keys in `panel_keys`. Kinds that draw points over
//! two axes result in a [`Chart`], which front ends already support.

mod changes;
mod chart;
mod heatmap;
mod markdown;
mod stat;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use self::changes::{ChangesSpec, time_column};
pub(super) use self::changes::{is_time, is_year};
pub(super) use self::chart::{NONE, add_queried, edges, histogram_chart};
use self::table::{RawLink, RawThresholds};
pub use self::{
    chart::{
        Axis, Band, BandSpec, Chart, ChartSpec, CountryValue, EventSpec, Facet, Gaps,
        HistogramSpec, Map, MapSpec, Mark, PlaceSpec, PlacesSpec, Point, Scale, Series, Shape,
        ShapeSpec, Tick, View,
    },
    heatmap::{Heatmap, HeatmapRow, HeatmapSpec},
    markdown::MarkdownSpec,
    stat::{Change, ChangeKind, GoodDirection, Stat, StatSpec, Target, TargetSpec, Tone},
    table::{CellStyle, Decoration, Table, TableColumn, TableSpec, Thresholds},
};
use super::{
    bounded::Part,
    limits::{Notes, Others, PanelSeverity, Undrawn},
    model::Panel,
    parse::{ParseContext, RawText},
    rows::ResultRows,
};
use crate::{
    plan::Plan,
    reader::{Pin, Query},
    values::Format,
};

/// The query of a panel and how its result is drawn.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a dashboard has few panels")]
pub enum Visualization {
    Stat(StatSpec),
    /// Lines, areas, bars or dots over two axes.
    Chart(ChartSpec),
    /// The number of rows in each interval.
    Histogram(HistogramSpec),
    /// Boxes, waterfalls, funnels, rings and dumbbells.
    Shape(ShapeSpec),
    /// Countries or dots on a map.
    Map(MapSpec),
    /// Colored cells in rows and columns.
    Heatmap(HeatmapSpec),
    /// Rows and columns of text.
    Table(TableSpec),
    Markdown(MarkdownSpec),
    /// The changes of each table since the previous generation.
    Changes(ChangesSpec),
}

/// The content of a panel.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    Stat(Stat),
    /// Lines, areas, bars or dots over two axes.
    Chart(Chart),
    /// Small charts with the same axes.
    Facets {
        /// One per value of a column.
        charts: Vec<Facet>,
    },
    /// Countries or dots on a map.
    Map(Map),
    /// Colored cells in rows and columns.
    Heatmap(Heatmap),
    /// Rows and columns of text.
    Table(Table),
    /// Text in Markdown, without HTML.
    Markdown {
        text: String,
    },
    /// The query returned no data to show.
    Empty {
        /// The reason as a message, for example that no row matches the filters.
        reason: String,
    },
    /// The viewer's plan does not include it.
    Locked {
        /// The smallest plan that includes it.
        plan: Plan,
        /// The kind of its content: `stat`, `line`, `table` …
        would_be: &'static str,
    },
    /// It could not be evaluated; the other panels were.
    Failed {
        /// For operators and the log, not for customers.
        reason: String,
    },
}

/// A kind of panel, as named in files.
pub(super) struct Kind {
    /// The value of `kind`.
    pub(super) name: &'static str,
    /// The keys that it supports besides those of every kind.
    pub(super) keys: &'static [&'static str],
    /// The default width in columns, of 12.
    pub(super) width: u8,
    /// Converts the keys to the specification, and reports errors.
    pub(super) parse: fn(&mut ParseContext<'_>, RawPanel, usize) -> Option<Visualization>,
}

/// Every kind, in the order of the documentation.
pub(super) const KINDS: [&Kind; 16] = [
    &stat::STAT,
    &chart::LINE,
    &chart::AREA,
    &chart::BAR,
    &chart::SCATTER,
    &chart::HISTOGRAM,
    &chart::BOX,
    &chart::WATERFALL,
    &chart::FUNNEL,
    &chart::DONUT,
    &chart::DUMBBELL,
    &chart::MAP,
    &heatmap::HEATMAP,
    &table::TABLE,
    &markdown::MARKDOWN,
    &changes::CHANGES,
];

impl Content {
    /// Returns its charts, including small ones.
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        let (one, small) = match self {
            Self::Chart(chart) => (Some(chart), [].as_slice()),
            Self::Map(map) => (Some(&map.dots), [].as_slice()),
            Self::Facets { charts } => (None, charts.as_slice()),
            _ => (None, [].as_slice()),
        };
        one.into_iter().chain(small.iter().map(|facet| &facet.chart))
    }

    /// Returns its charts mutably, including small ones.
    pub(super) fn charts_mut(&mut self) -> impl Iterator<Item = &mut Chart> {
        let (one, small) = match self {
            Self::Chart(chart) => (Some(chart), [].as_mut_slice()),
            Self::Map(map) => (Some(&mut map.dots), [].as_mut_slice()),
            Self::Facets { charts } => (None, charts.as_mut_slice()),
            _ => (None, [].as_mut_slice()),
        };
        one.into_iter().chain(small.iter_mut().map(|facet| &mut facet.chart))
    }
}

impl Visualization {
    /// Returns the query, if it has one.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        match self {
            Self::Stat(stat) => Some(&stat.sql),
            Self::Chart(chart) => Some(&chart.sql),
            Self::Histogram(histogram) => Some(&histogram.sql),
            Self::Shape(shape) => Some(&shape.sql),
            Self::Map(map) => Some(&map.sql),
            Self::Heatmap(heatmap) => Some(&heatmap.sql),
            Self::Table(table) => Some(&table.sql),
            Self::Markdown(_) | Self::Changes(_) => None,
        }
    }

    /// Returns the addresses to which it leads, with `$column` for values.
    pub(super) fn links(&self) -> Vec<String> {
        match self {
            Self::Chart(chart) => chart.link.iter().cloned().collect(),
            Self::Map(map) => map.link.iter().cloned().collect(),
            Self::Table(table) => table.links.values().cloned().collect(),
            Self::Markdown(markdown) => crate::links::in_markdown(&markdown.text),
            _ => Vec::new(),
        }
    }

    /// Returns the name of its kind in files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stat(_) => stat::STAT.name,
            Self::Chart(chart) => chart.kind(),
            Self::Histogram(_) => chart::HISTOGRAM.name,
            Self::Shape(shape) => shape.shape.kind().name,
            Self::Map(_) => chart::MAP.name,
            Self::Heatmap(_) => heatmap::HEATMAP.name,
            Self::Table(_) => table::TABLE.name,
            Self::Markdown(_) => markdown::MARKDOWN.name,
            Self::Changes(_) => changes::CHANGES.name,
        }
    }

    /// Returns which rows of an oversized result are read.
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Stat(_) => Part::Last,
            Self::Chart(chart) => chart.part(),
            _ => Part::First,
        }
    }

    /// Returns the content of a panel that has no query.
    pub(super) async fn without_query(&self, pin: &Pin) -> Result<Content, Undrawn> {
        match self {
            Self::Markdown(markdown) => Ok(Content::Markdown { text: markdown.text.clone() }),
            Self::Changes(spec) => {
                changes::changes(spec, pin).await.map_err(|error| error.to_string().into())
            }
            _ => Err("it has a query".to_owned().into()),
        }
    }

    /// Returns whether it is a chart that always has one series.
    pub(super) fn has_one_series(&self) -> bool {
        match self {
            Self::Chart(chart) => chart.series.is_none() && chart.y.len() + chart.right.len() == 1,
            Self::Histogram(_) => true,
            Self::Shape(shape) => {
                matches!(shape.shape, Shape::BoxPlot | Shape::Waterfall | Shape::Funnel)
            }
            _ => false,
        }
    }

    /// Returns whether its values are shares of a sum or counts of rows, whatever the unit of the
    /// column.
    pub(super) fn has_own_unit(&self) -> bool {
        match self {
            Self::Chart(chart) => chart.percent,
            Self::Histogram(_) => true,
            Self::Shape(shape) => matches!(shape.shape, Shape::Donut | Shape::Funnel),
            _ => false,
        }
    }

    /// Converts the rows of its query to finished data.
    pub(super) fn draw(
        &self,
        panel: &Panel,
        rows: &ResultRows<'_>,
        notes: &mut Notes,
    ) -> Result<Content, Undrawn> {
        match self {
            Self::Stat(spec) => Ok(stat::draw(spec, panel, rows)?),
            Self::Chart(spec) => chart::draw(spec, panel, rows, notes),
            Self::Histogram(spec) => Ok(chart::draw_histogram(spec, panel, rows, notes)?),
            Self::Shape(spec) => chart::draw_shape(spec, panel, rows, notes),
            Self::Map(spec) => chart::draw_map(spec, panel, rows, notes),
            Self::Heatmap(spec) => heatmap::draw(spec, panel, rows, notes),
            Self::Table(spec) => Ok(table::draw(spec, panel.limits.page, rows, notes)?),
            Self::Markdown(_) | Self::Changes(_) => Err("it has no query".to_owned().into()),
        }
    }

    /// Returns further queries than [`Self::sql`], for benchmarks.
    pub(super) async fn further_queries(&self, pin: &Pin) -> Vec<Query> {
        match self {
            Self::Changes(spec) => changes::queries(spec, pin).await,
            _ => Vec::new(),
        }
    }
}

/// One column name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected the name of a column, or a list of names")]
pub(super) enum Columns {
    One(String),
    Several(Vec<String>),
}

impl Columns {
    /// Returns the names in lower case, as in results.
    pub(super) fn list(self) -> Vec<String> {
        match self {
            Self::One(column) => vec![column.to_lowercase()],
            Self::Several(columns) => lower(columns),
        }
    }
}

/// A guide line at a value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferenceLine {
    pub(super) at: f64,
    pub(super) label: String,
}

/// Declares [`RawPanel`], and which keys are set and where.
macro_rules! panel_keys {
    ($($key:ident: $type:ty),* $(,)?) => {
        /// Every key of every kind, unparsed.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawPanel {
            pub(super) title: String,
            pub(super) title_link: Option<RawText>,
            pub(super) note: Option<String>,
            pub(super) tab: Option<Spanned<String>>,
            pub(super) section: Option<String>,
            pub(super) freshness: Option<Spanned<Columns>>,
            pub(super) formula: Option<Spanned<Columns>>,
            pub(super) kind: KindName,
            pub(super) width: Option<Spanned<u8>>,
            pub(super) plan: Option<Plan>,
            pub(super) public: Option<Spanned<bool>>,
            $(pub(super) $key: Option<Spanned<$type>>,)*
        }

        impl RawPanel {
            /// Returns the named queries whose rows are bands or events.
            pub(super) fn overlay_queries(&self) -> Vec<String> {
                let bands = self.band.iter().flat_map(|bands| bands.get_ref());
                let events = self.event.iter().flat_map(|events| events.get_ref());
                let named = bands.filter_map(chart::RawBand::query);
                named.chain(events.filter_map(chart::RawEvent::query)).map(str::to_owned).collect()
            }

            /// Returns the keys that are set, with the byte offsets of their values.
            pub(super) fn written(&self) -> Vec<(&'static str, usize)> {
                [$((stringify!($key), self.$key.as_ref().map(|value| value.span().start))),*]
                    .into_iter()
                    .filter_map(|(key, start)| Some((key, start?)))
                    .collect()
            }
        }
    };
}

panel_keys! {
    sql: String,
    x: String,
    y: Columns,
    series: String,
    label: String,
    value: String,
    country: String,
    longitude: String,
    latitude: String,
    view: View,
    values: bool,
    unit: String,
    format: Format,
    x_format: Format,
    x_title: String,
    y_title: String,
    labels: BTreeMap<String, String>,
    layout: chart::Layout,
    horizontal: bool,
    zero: bool,
    gaps: Gaps,
    guide: Vec<ReferenceLine>,
    band: Vec<chart::RawBand>,
    event: Vec<chart::RawEvent>,
    lines: Vec<String>,
    y2: Columns,
    y2_title: String,
    y2_unit: String,
    y2_format: Format,
    cumulative: bool,
    forecast: String,
    size: String,
    facet: String,
    total: String,
    target: stat::TargetSpec,
    before: usize,
    change: ChangeKind,
    good: GoodDirection,
    against: String,
    bins: usize,
    columns: Vec<String>,
    units: BTreeMap<String, String>,
    formats: BTreeMap<String, Format>,
    rows: usize,
    style: BTreeMap<String, CellStyle>,
    totals: Vec<String>,
    groups: BTreeMap<String, Vec<String>>,
    thresholds: RawThresholds,
    link: RawLink,
    text: String,
    allow_empty: bool,
    severity: PanelSeverity,
    min_rows: usize,
    top: usize,
    log: bool,
    max_series: usize,
    max_bars: usize,
    max_points: usize,
    max_cells: usize,
    others: Others,
    colors: BTreeMap<String, String>,
    colours: BTreeMap<String, String>,
}

/// The names of [`KINDS`].
const KIND_NAMES: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = KINDS[at].name;
        at += 1;
    }
    names
};

/// The value of `kind`: one of [`KINDS`].
#[derive(Clone, Copy)]
pub(super) struct KindName(pub(super) &'static Kind);

impl std::fmt::Debug for KindName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let kind = KINDS.into_iter().find(|kind| kind.name == name);
        let unknown = || serde::de::Error::unknown_variant(&name, &KIND_NAMES);
        kind.map(Self).ok_or_else(unknown)
    }
}

/// The keys of every kind with a query.
const COMMON_KEYS: [&str; 3] = ["allow_empty", "severity", "min_rows"];

impl Kind {
    /// Returns every key that it supports.
    pub(super) fn all_keys(&self) -> Vec<&'static str> {
        let has_query = self.keys.contains(&"sql");
        let common = COMMON_KEYS.into_iter().filter(|_| has_query);
        self.keys.iter().copied().chain(common).collect()
    }
}

/// Returns the text of an optional key.
fn optional(value: Option<RawText>) -> Option<String> {
    value.map(Spanned::into_inner)
}

/// Returns the column in an optional key, in lower case as in results.
fn optional_column(value: Option<RawText>) -> Option<String> {
    optional(value).map(|name| name.to_lowercase())
}

fn lower(columns: Vec<String>) -> Vec<String> {
    columns.into_iter().map(|column| column.to_lowercase()).collect()
}

/// Returns texts by column.
fn by_column(labels: Option<Spanned<BTreeMap<String, String>>>) -> BTreeMap<String, String> {
    let labels = labels.map(Spanned::into_inner).unwrap_or_default();
    labels.into_iter().map(|(column, label)| (column.to_lowercase(), label)).collect()
}
