//! Charts with two axes: lines, areas, bars and dots.

mod axis;
mod histogram;
mod map;
mod overlays;
mod periods;
mod points;
mod reduce;
mod shapes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

pub(super) use self::histogram::{HISTOGRAM, draw as draw_histogram};
pub(in crate::dashboard) use self::histogram::{chart as histogram_chart, edges};
pub(super) use self::map::{MAP, draw as draw_map};
pub(in crate::dashboard) use self::overlays::add_queried;
pub(in crate::dashboard) use self::points::NONE;
pub use self::{
    histogram::HistogramSpec,
    map::{CountryValue, Map, MapSpec, PlacesSpec, View},
    overlays::{BandSpec, EventSpec, PlaceSpec},
    shapes::{Shape, ShapeSpec},
};
pub(super) use self::{
    overlays::{RawBand, RawEvent},
    shapes::{BOX, DONUT, DUMBBELL, FUNNEL, WATERFALL, draw as draw_shape},
};
use self::{points::ChartColumns, reduce::Reducer};
use super::{
    Content, Kind, RawPanel, Visualization, by_column, lower, optional, optional_column,
    table::{check_link, filled, mark_link},
};
use crate::{
    dashboard::{
        bounded::Part,
        colors::compare_names,
        limits::{Notes, Undrawn},
        model::{Panel, ValueSpec, default_title},
        parse::ParseContext,
        rows::ResultRows,
    },
    humanize,
};

/// Maximum number of small charts in a panel; more are not comparable.
const MAX_FACETS: usize = 12;

pub(super) const LINE: Kind = Kind {
    name: "line",
    keys: &[
        "sql",
        "x",
        "y",
        "series",
        "unit",
        "format",
        "x_format",
        "x_title",
        "y_title",
        "labels",
        "zero",
        "log",
        "gaps",
        "cumulative",
        "forecast",
        "y2",
        "y2_title",
        "y2_unit",
        "y2_format",
        "facet",
        "guide",
        "band",
        "event",
        "top",
        "max_series",
        "max_points",
        "others",
        "link",
        "colors",
        "colours",
    ],
    width: 12,
    parse: |context, raw, line| parse(context, raw, line, Mark::Line),
};

pub(super) const AREA: Kind = Kind {
    name: "area",
    keys: &[
        "sql",
        "x",
        "y",
        "series",
        "unit",
        "format",
        "x_format",
        "x_title",
        "y_title",
        "labels",
        "layout",
        "gaps",
        "cumulative",
        "forecast",
        "facet",
        "guide",
        "band",
        "event",
        "top",
        "max_series",
        "max_points",
        "others",
        "colors",
        "colours",
    ],
    width: 12,
    parse: |context, raw, line| parse(context, raw, line, Mark::Area),
};

pub(super) const BAR: Kind = Kind {
    name: "bar",
    keys: &[
        "sql",
        "x",
        "y",
        "series",
        "unit",
        "format",
        "x_format",
        "x_title",
        "y_title",
        "labels",
        "layout",
        "horizontal",
        "log",
        "lines",
        "cumulative",
        "forecast",
        "y2",
        "y2_title",
        "y2_unit",
        "y2_format",
        "facet",
        "guide",
        "band",
        "event",
        "top",
        "max_series",
        "max_bars",
        "others",
        "link",
        "colors",
        "colours",
    ],
    width: 12,
    parse: |context, raw, line| {
        let layout = raw.layout.as_ref().map(|layout| *layout.get_ref()).unwrap_or_default();
        let horizontal = raw.horizontal.as_ref().is_some_and(|horizontal| *horizontal.get_ref());
        let mark = match (layout, horizontal) {
            (Layout::Grouped, false) => Mark::Bar,
            (Layout::Stacked | Layout::Percent, false) => Mark::StackedBar,
            (Layout::Grouped, true) => Mark::HorizontalBar,
            (Layout::Stacked | Layout::Percent, true) => Mark::HorizontalStackedBar,
        };
        parse(context, raw, line, mark)
    },
};

pub(super) const SCATTER: Kind = Kind {
    name: "scatter",
    keys: &[
        "sql",
        "x",
        "y",
        "series",
        "label",
        "unit",
        "format",
        "x_format",
        "labels",
        "x_title",
        "y_title",
        "zero",
        "log",
        "size",
        "facet",
        "guide",
        "band",
        "event",
        "top",
        "max_series",
        "max_points",
        "link",
        "colors",
        "colours",
    ],
    width: 12,
    parse: |context, raw, line| parse(context, raw, line, Mark::Scatter),
};

/// How bars of several series are arranged at the same x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dashboard) enum Layout {
    #[default]
    Grouped,
    Stacked,
    /// Stacked, as shares of their sum.
    Percent,
}

/// How lines and areas handle missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// They are interrupted.
    #[default]
    Break,
    /// They connect to the next value.
    Join,
    /// Missing values count as zero.
    Zero,
}

/// The specification of a chart.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub struct ChartSpec {
    /// How points are drawn.
    pub mark: Mark,
    pub sql: String,
    /// The column of the x axis.
    pub x: String,
    /// The columns with the numbers.
    pub y: Vec<String>,
    /// The column whose values identify the series.
    pub series: Option<String>,
    /// The column with the labels of dots.
    pub label: Option<String>,
    /// Names of series, by column.
    pub labels: BTreeMap<String, String>,
    /// The title of x.
    pub x_title: Option<String>,
    /// The title of y.
    pub y_title: Option<String>,
    /// Whether the y axis includes zero.
    pub zero: bool,
    /// Whether the y axis is logarithmic.
    pub log: bool,
    /// Whether values are drawn as shares of their sum at each x.
    pub percent: bool,
    /// How lines and areas handle missing values.
    pub gaps: Gaps,
    /// Horizontal guide lines.
    pub guides: Vec<(f64, String)>,
    /// Columns of `y` that are drawn as lines over the bars.
    pub lines: Vec<String>,
    /// Columns that are drawn as lines with a separate right axis.
    pub right: Vec<String>,
    /// The title of the right axis.
    pub right_title: Option<String>,
    /// Unit and format of the values on the right axis.
    pub right_values: ValueSpec,
    /// Whether values are cumulative sums.
    pub cumulative: bool,
    /// The column that says which rows are forecasts.
    pub forecast: Option<String>,
    /// The column with the sizes of dots.
    pub size: Option<String>,
    /// Highlighted intervals of an axis.
    pub bands: Vec<BandSpec>,
    /// Marked positions along x.
    pub events: Vec<EventSpec>,
    /// The column for whose values there is one small chart each.
    pub facet: Option<String>,
    /// Where its marks lead, with `$column` as a placeholder for the row's value.
    pub link: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Chart {
    /// How the points are drawn.
    pub mark: Mark,
    /// The horizontal axis; the vertical one for horizontal bars.
    pub x: Axis,
    /// The vertical axis; the horizontal one for horizontal bars.
    pub y: Axis,
    /// The series, in the order of the legend.
    pub series: Vec<Series>,
    /// Guide lines at values of `y`.
    pub guides: Vec<Tick>,
    /// The right axis, for series with [`Series::right`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<Axis>,
    /// The unit of the right axis, after single values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right_unit: Option<String>,
    /// What the sizes of dots are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_title: Option<String>,
    /// Highlighted intervals of an axis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// Marked positions along `x`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Tick>,
}

/// One of several charts with the same axes, one per value of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facet {
    pub name: String,
    pub chart: Chart,
}

/// A highlighted interval of an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// Whether it is an interval of `x` rather than of `y`.
    pub along_x: bool,
    /// Where it begins, within the axis.
    pub from: f64,
    /// Where it ends, within the axis.
    pub to: f64,
    pub label: String,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Connected by a line, with gaps where a value is missing.
    #[default]
    Line,
    /// Filled down to zero, stacked.
    Area,
    /// Grouped bars.
    Bar,
    /// Stacked bars.
    StackedBar,
    /// Horizontal grouped bars.
    HorizontalBar,
    /// Horizontal stacked bars.
    HorizontalStackedBar,
    Scatter,
    /// Bars that begin where the previous one ends.
    Waterfall,
    /// Horizontal centered bars.
    Funnel,
    /// Two dots and the distance between them.
    Dumbbell,
    /// The minimum, the quartiles and the maximum, each as a series.
    BoxPlot,
    /// Sectors of a ring, each as a series.
    Donut,
}

impl Mark {
    /// Returns whether points of different series at the same x are added.
    #[must_use]
    pub fn is_stacked(self) -> bool {
        matches!(self, Self::Area | Self::StackedBar | Self::HorizontalStackedBar)
    }

    /// Returns whether x runs from top to bottom.
    #[must_use]
    pub fn is_horizontal(self) -> bool {
        matches!(
            self,
            Self::HorizontalBar | Self::HorizontalStackedBar | Self::Funnel | Self::Dumbbell
        )
    }

    /// Returns whether the colors of its series require a legend.
    #[must_use]
    pub fn has_legend(self) -> bool {
        self != Self::BoxPlot
    }

    /// Returns whether points are connected along x.
    #[must_use]
    pub fn is_joined(self) -> bool {
        matches!(self, Self::Line | Self::Area)
    }

    /// Returns whether values are drawn as the length of a bar.
    #[must_use]
    pub fn is_bar(self) -> bool {
        !matches!(self, Self::Line | Self::Area | Self::Scatter)
    }
}

/// An axis. For stacked marks, the y axis extends to the ends of the stacks.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Axis {
    /// The title of its quantity.
    pub title: String,
    /// Whether the title is drawn: if the author has set it, or if the quantity would otherwise be
    /// unclear.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_title: bool,
    /// Whether it is logarithmic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
    /// The meaning of its numbers.
    pub scale: Scale,
    pub min: f64,
    /// The maximum; greater than `min`.
    pub max: f64,
    /// Its labels, in order; all between `min` and `max`.
    pub ticks: Vec<Tick>,
}

/// The meaning of the numbers along an axis.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scale {
    #[default]
    Number,
    /// Milliseconds since 1970, UTC.
    Time,
    /// Indexes of a list of names, from 0. The axis extends from -0.5 to the number of names minus
    /// 0.5, so that bars fit.
    Category { names: Vec<String> },
}

/// A labelled position along an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    pub at: f64,
    pub label: String,
}

/// A series of points.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// Ordered by x, except in scatter charts.
    pub points: Vec<Point>,
    /// Whether it is the sum of series that are not drawn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
    /// Its index in the palette of [`PALETTE_SIZE`](crate::dashboard::PALETTE_SIZE) colors; `None`
    /// is gray.
    pub color: Option<u8>,
    /// Whether it is a line over bars.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub line: bool,
    /// Whether its values belong to the right axis.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub right: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Point {
    /// The position along x.
    pub x: f64,
    /// The value along y; `None` if missing.
    pub y: Option<f64>,
    /// x as text.
    pub x_shown: String,
    /// y as text; empty if missing.
    pub y_shown: String,
    /// The label of a dot, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the preceding periods have no rows, so that no line leads to this point.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub after_gap: bool,
    /// Whether it is a forecast, which is drawn differently.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forecast: bool,
    /// Where its bar begins, if not at zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The size of its dot, as a share of the largest one and as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<(f64, String)>,
    /// The value of a dot on a map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Tick>,
    /// Where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

impl ChartSpec {
    pub(super) fn kind(&self) -> &'static str {
        match self.mark {
            Mark::Line => LINE.name,
            Mark::Area => AREA.name,
            Mark::Scatter => SCATTER.name,
            _ => BAR.name,
        }
    }

    pub(super) fn part(&self) -> Part {
        if self.mark.is_joined() { Part::Last } else { Part::First }
    }
}

impl Axis {
    /// Returns the position of a value along the axis, from 0 to 1.
    #[must_use]
    pub fn fraction(&self, value: f64) -> f64 {
        let (min, max, value) = if self.log {
            (self.min.log10(), self.max.log10(), value.max(f64::MIN_POSITIVE).log10())
        } else {
            (self.min, self.max, value)
        };
        if max > min { ((value - min) / (max - min)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

impl Series {
    /// Returns its points as contiguous pieces, which are never empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[Point]> {
        self.points
            .chunk_by(|one, next| one.y.is_some() && next.y.is_some() && !next.after_gap)
            .filter(|piece| piece.iter().all(|point| point.y.is_some()))
    }
}

fn parse(
    context: &mut ParseContext<'_>,
    raw: RawPanel,
    line: usize,
    mark: Mark,
) -> Option<Visualization> {
    let y_start = raw.y.as_ref().map(|y| y.span().start);
    let guides = raw.guide.map(Spanned::into_inner).unwrap_or_default();
    let log_start = raw.log.as_ref().filter(|log| *log.get_ref()).map(|log| log.span().start);
    if let (Some(start), true) = (log_start, mark.is_stacked()) {
        context.problem(
            Some(start),
            "a logarithmic axis cannot show sums: leave out log or the layout".to_owned(),
        );
    }
    let percent = raw.layout.as_ref().is_some_and(|layout| *layout.get_ref() == Layout::Percent);
    let right_start = raw.y2.as_ref().map(|y2| y2.span().start);
    let right_values = context.values(raw.y2_unit.as_ref(), raw.y2_format.as_ref());
    let bands = context.bands(raw.band.map(Spanned::into_inner).unwrap_or_default());
    let events = context.events(raw.event.map(Spanned::into_inner).unwrap_or_default());
    let spec = ChartSpec {
        mark,
        sql: context.required("sql", raw.sql, &raw.title, line)?,
        x: context.required_column("x", raw.x, &raw.title, line)?,
        y: context.required_columns("y", raw.y, &raw.title, line)?,
        series: optional_column(raw.series),
        label: optional_column(raw.label),
        labels: by_column(raw.labels),
        x_title: optional(raw.x_title),
        y_title: optional(raw.y_title),
        zero: raw.zero.is_some_and(Spanned::into_inner),
        log: log_start.is_some() && !mark.is_stacked(),
        percent,
        gaps: raw.gaps.map(Spanned::into_inner).unwrap_or_default(),
        guides: guides.into_iter().map(|guide| (guide.at, guide.label)).collect(),
        lines: raw.lines.map(|lines| lower(lines.into_inner())).unwrap_or_default(),
        right: raw.y2.map(|y2| y2.into_inner().list()).unwrap_or_default(),
        right_title: optional(raw.y2_title),
        right_values,
        cumulative: raw.cumulative.is_some_and(Spanned::into_inner),
        forecast: optional_column(raw.forecast),
        size: optional_column(raw.size),
        bands,
        events,
        facet: optional_column(raw.facet),
        link: mark_link(context, raw.link),
    };
    if spec.y.len() + spec.right.len() > 1 && spec.series.is_some() {
        let (start, what) = match right_start {
            Some(start) => (Some(start), "y2 and a series are too much: leave out one of them"),
            None => {
                (y_start, "several columns of y and a series are too much: use one y, or no series")
            }
        };
        context.problem(start, what.to_owned());
        return None;
    }
    if let (Some(start), true) = (right_start, mark.is_horizontal()) {
        let message = "horizontal bars have no axis on the right: leave out y2 or horizontal";
        context.problem(Some(start), message.to_owned());
        return None;
    }
    Some(Visualization::Chart(spec))
}

/// The points of one chart, before its axes are determined.
struct Drawing {
    name: String,
    series: Vec<Series>,
}

/// Converts rows to points.
pub(super) fn draw(
    spec: &ChartSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, Undrawn> {
    let mut columns = ChartColumns::find(spec, panel, rows)?;
    if let Some(link) = &spec.link {
        check_link(link, rows)?;
    }
    let names = facet_names(spec, rows, notes)?;
    let mut drawings = Vec::new();
    for name in names {
        let series = points_of(spec, panel, rows, &columns, name.as_deref(), notes)?;
        if let Some(series) = series {
            drawings.push(Drawing { name: name.unwrap_or_default(), series });
        }
    }
    if drawings.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    notes.texts.dedup();
    if spec.percent {
        for drawing in &mut drawings {
            points::as_shares(&mut drawing.series);
        }
        columns.print_shares();
    }
    // Small charts share their axes, so that they are comparable.
    let all: Vec<&[Series]> = drawings.iter().map(|drawing| drawing.series.as_slice()).collect();
    let y = columns.y_axis(spec, panel, &all);
    let right = columns.right_axis(spec, &all);
    let shared = (!columns.has_names()).then(|| columns.x_axis(spec, &all));
    let guides =
        || spec.guides.iter().map(|(at, label)| Tick { at: *at, label: label.clone() }).collect();
    let right_unit = spec.right_values.suffix();
    let mut charts = Vec::new();
    for Drawing { name, mut series } in drawings {
        let x = shared.clone().unwrap_or_else(|| columns.x_axis(spec, &[&series]));
        columns.print_values(&mut series, &y);
        let (bands, events) = overlays::resolve(spec, &x, &y)?;
        let chart = Chart {
            mark: spec.mark,
            x,
            y: y.clone(),
            series,
            size_title: spec
                .size
                .as_ref()
                .map(|size| spec.labels.get(size).cloned().unwrap_or_else(|| default_title(size))),
            guides: guides(),
            right: right.clone(),
            right_unit: right_unit.filter(|_| right.is_some()).map(str::to_owned),
            bands,
            events,
        };
        charts.push(Facet { name, chart });
    }
    if spec.facet.is_some() {
        return Ok(Content::Facets { charts });
    }
    let chart = charts.pop().map(|facet| Content::Chart(facet.chart));
    Ok(chart.unwrap_or(Content::Empty { reason: String::new() }))
}

/// Returns the values with one chart each, or a single `None` if there is only one chart.
fn facet_names(
    spec: &ChartSpec,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Vec<Option<String>>, Undrawn> {
    let Some(facet) = &spec.facet else { return Ok(vec![None]) };
    let column = rows.find(facet)?;
    let name = |row: crate::dashboard::rows::Row<'_, '_>| {
        row.text(column).unwrap_or_else(|| NONE.into()).into_owned()
    };
    let mut names: Vec<String> = rows.each().map(name).collect();
    names.sort_by(|one, other| compare_names(one, other));
    names.dedup();
    let max = MAX_FACETS;
    if names.len() > max {
        let all = humanize::count(names.len() as u64);
        notes.texts.push(format!("Showing the first {max} of {all} charts."));
        names.truncate(max);
    }
    Ok(names.into_iter().map(Some).collect())
}

/// Returns the points of one chart; `None` if it has no values.
fn points_of(
    spec: &ChartSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    columns: &ChartColumns,
    facet: Option<&str>,
    notes: &mut Notes,
) -> Result<Option<Vec<Series>>, Undrawn> {
    let (mut series, places) = columns.series(spec, rows, facet, notes);
    if spec.log {
        points::leave_out_zero(&mut series, notes);
    }
    if series.iter().flat_map(|series| &series.points).all(|point| point.y.is_none()) {
        return Ok(None);
    }
    if spec.mark != Mark::Scatter {
        points::ensure_one_row_each(&series)?;
    }
    let mut reducer =
        Reducer { mark: spec.mark, limits: &panel.limits, format: columns.y_format, notes };
    reducer.reduce_bars(&mut series, &places);
    reducer.reduce_series(&mut series);
    if spec.mark != Mark::Scatter {
        points::sort(&mut series, spec.mark);
    }
    if spec.cumulative {
        points::add_up(&mut series, columns.y_format);
    }
    if spec.mark.is_joined() {
        periods::cross_gaps(&mut series, spec, columns.x_format, columns.y_format);
    }
    reducer.reduce_points(&mut series);
    Ok(Some(series))
}
