//! Converts rows to the points of each series.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{Axis, ChartSpec, Mark, Point, Series, axis, filled, reduce::Place};
use crate::{
    dashboard::{
        colors::compare_names,
        limits::{Notes, Undrawn},
        model::{Panel, default_title},
        rows::{ColumnKind, ResultRows, Row},
    },
    humanize,
    links::is_allowed,
    values::{Format, format_number},
};

/// The name of null.
pub(in crate::dashboard) const NONE: &str = "(none)";

/// What follows the x of a forecast.
const FORECAST_ENDING: &str = " F";

/// The columns of a chart, and how their values are printed.
pub(super) struct ChartColumns {
    x: usize,
    x_kind: ColumnKind,
    /// Whether x is a timestamp with a time zone.
    is_zoned: bool,
    pub(super) x_format: Format,
    y: Vec<usize>,
    /// The columns of the right axis.
    right: Vec<usize>,
    right_format: Format,
    pub(super) y_format: Format,
    /// Whether the author has chosen the format of y.
    has_y_format: bool,
    series: Option<usize>,
    label: Option<usize>,
    size: Option<usize>,
    facet: Option<usize>,
    forecast: Option<usize>,
}

impl ChartColumns {
    pub(super) fn find(
        spec: &ChartSpec,
        panel: &Panel,
        rows: &ResultRows<'_>,
    ) -> Result<Self, String> {
        let x = rows.find(&spec.x)?;
        let x_kind = if spec.mark.is_bar() { ColumnKind::Other } else { rows.kind(x) };
        if spec.mark == Mark::Scatter && !x_kind.is_number() && x_kind != ColumnKind::Temporal {
            rows.find_number(&spec.x)?;
        }
        let y: Vec<usize> = spec.y.iter().map(|y| rows.find_number(y)).collect::<Result<_, _>>()?;
        let format = panel.values.format();
        // Several columns share an axis, and the format must keep the decimals of each.
        let has_fraction = |y: &&usize| rows.kind(**y) == ColumnKind::Number;
        let own = y.iter().find(has_fraction).or(y.first());
        let own = own.map_or(Format::Plain, |y| rows.value_format(*y));
        let right: Vec<usize> =
            spec.right.iter().map(|y| rows.find_number(y)).collect::<Result<_, _>>()?;
        if let Some(unknown) = spec.lines.iter().find(|line| !spec.y.contains(line)) {
            return Err(humanize::unknown_name_message(
                "column of y in lines",
                unknown,
                spec.y.iter().map(String::as_str),
            ));
        }
        let right_format =
            spec.right_values.format().or_else(|| Some(rows.value_format(*right.first()?)));
        Ok(Self {
            x,
            x_kind,
            is_zoned: rows.is_zoned(x),
            x_format: panel.x_format.unwrap_or_else(|| rows.default_format(x)),
            y,
            right,
            right_format: right_format.unwrap_or_default(),
            y_format: format.unwrap_or(own),
            has_y_format: format.is_some(),
            series: spec.series.as_deref().map(|series| rows.find(series)).transpose()?,
            label: spec.label.as_deref().map(|label| rows.find(label)).transpose()?,
            size: spec.size.as_deref().map(|size| rows.find_number(size)).transpose()?,
            facet: spec.facet.as_deref().map(|facet| rows.find(facet)).transpose()?,
            forecast: spec.forecast.as_deref().map(|column| rows.find(column)).transpose()?,
        })
    }

    /// Returns whether x is an axis of names.
    pub(super) fn has_names(&self) -> bool {
        self.x_kind == ColumnKind::Other
    }

    /// Returns every series, and the positions along an axis of names; limited to the rows of a
    /// facet, if one is given.
    pub(super) fn series(
        &self,
        spec: &ChartSpec,
        rows: &ResultRows<'_>,
        facet: Option<&str>,
        notes: &mut Notes,
    ) -> (Vec<Series>, Vec<Place>) {
        let named = |name: String| Series { name, ..Series::default() };
        let own = |column: &String| Series {
            name: spec.labels.get(column).cloned().unwrap_or_else(|| default_title(column)),
            line: spec.lines.contains(column) || spec.right.contains(column),
            right: spec.right.contains(column),
            ..Series::default()
        };
        let mut all: Vec<Series> = if self.series.is_some() {
            Vec::new()
        } else {
            spec.y.iter().chain(&spec.right).map(own).collect()
        };
        let numbers: Vec<(usize, Format)> = (self.y.iter().map(|y| (*y, self.y_format)))
            .chain(self.right.iter().map(|y| (*y, self.right_format)))
            .collect();
        let size = |row: Row<'_, '_>| Some(row.number(self.size?)?.abs());
        let largest = rows.each().filter_map(size).fold(0.0, f64::max);
        let size_format = self.size.map_or(Format::Plain, |size| rows.value_format(size));
        let mut by_name = HashMap::<String, usize>::new();
        let mut places = Places::default();
        let mut without_x = 0;
        let is_mine = |row: &Row<'_, '_>| {
            self.facet.zip(facet).is_none_or(|(column, facet)| {
                row.text(column).unwrap_or_else(|| NONE.into()) == facet
            })
        };
        for row in rows.each().filter(is_mine) {
            let Some((x, x_shown)) = self.place(row, rows, &mut places) else {
                without_x += 1;
                continue;
            };
            let first = match self.series {
                None => 0,
                Some(column) => {
                    let name = row.text(column).unwrap_or_else(|| NONE.into());
                    if let Some(index) = by_name.get(name.as_ref()) {
                        *index
                    } else {
                        by_name.insert(name.clone().into_owned(), all.len());
                        all.push(named(name.into_owned()));
                        all.len() - 1
                    }
                }
            };
            for (index, (column, format)) in numbers.iter().enumerate() {
                let y = row.number(*column);
                let y_shown = row.format(*column, *format).filter(|_| y.is_some());
                let name = self.label.and_then(|label| row.text(label)).map(Cow::into_owned);
                all[first + index].points.push(Point {
                    x,
                    y,
                    forecast: self.is_forecast(row),
                    x_shown: x_shown.clone(),
                    y_shown: y_shown.unwrap_or_default().into_owned(),
                    name,
                    href: (spec.link.as_ref())
                        .map(|link| filled(link, row, rows))
                        .filter(|href| is_allowed(href)),
                    size: size(row)
                        .filter(|_| largest > 0.0)
                        .map(|size| (size / largest, format_number(size, size_format))),
                    ..Point::default()
                });
            }
        }
        if without_x > 0 {
            notes.texts.push(format!(
                "{} without {} {} not shown.",
                humanize::rows(without_x),
                default_title(&spec.x),
                if without_x == 1 { "is" } else { "are" }
            ));
        }
        // Bars come first, followed by the lines over them.
        if spec.mark.is_bar() {
            all.sort_by_key(|series| series.line);
        }
        // The order of rows is not significant, so series are sorted for a stable result.
        if self.series.is_some() {
            all.sort_by(|one, other| compare_names(&one.name, &other.name));
        }
        (all, places.list)
    }

    fn is_forecast(&self, row: Row<'_, '_>) -> bool {
        self.forecast.and_then(|column| row.text(column)).is_some_and(|text| text == "true")
    }

    /// Returns a row's position along x, and its x as text; `None` if x is null and the axis is
    /// numeric or temporal.
    fn place(
        &self,
        row: Row<'_, '_>,
        rows: &ResultRows<'_>,
        places: &mut Places,
    ) -> Option<(f64, String)> {
        let ending = if self.is_forecast(row) { FORECAST_ENDING } else { "" };
        let shown = row.format(self.x, self.x_format).map(|shown| format!("{shown}{ending}"));
        match self.x_kind {
            ColumnKind::Temporal => Some((row.millis(self.x)? as f64, shown?)),
            ColumnKind::Integer | ColumnKind::Number => Some((row.number(self.x)?, shown?)),
            ColumnKind::Other => {
                let name = shown.unwrap_or_else(|| NONE.to_owned());
                let order = || match rows.kind(self.x) {
                    ColumnKind::Temporal => row.millis(self.x).map(|millis| millis as f64),
                    ColumnKind::Integer | ColumnKind::Number => row.number(self.x),
                    ColumnKind::Other => None,
                };
                Some((places.index_of(&name, order), name))
            }
        }
    }

    pub(super) fn x_axis(&self, spec: &ChartSpec, drawings: &[&[Series]]) -> Axis {
        let title = spec.x_title.clone().unwrap_or_else(|| default_title(&spec.x));
        let points = || drawings.iter().copied().flatten().flat_map(|series| &series.points);
        let range = range(points().map(|point| point.x));
        let mut axis = match self.x_kind {
            ColumnKind::Temporal => axis::calendar_axis(title, range, self.x_format, self.is_zoned),
            ColumnKind::Integer | ColumnKind::Number if spec.mark == Mark::Scatter => {
                axis::nice_axis(title, range, self.x_format)
            }
            ColumnKind::Integer | ColumnKind::Number => {
                axis::data_axis(title, range, self.x_format)
            }
            ColumnKind::Other => {
                let mut named: Vec<(f64, &String)> =
                    points().map(|point| (point.x, &point.x_shown)).collect();
                named.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                named.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
                axis::category_axis(
                    title,
                    named.into_iter().map(|(_, name)| name.clone()).collect(),
                )
            }
        };
        axis.has_title |= spec.x_title.is_some() || spec.mark == Mark::Scatter;
        axis
    }

    pub(super) fn y_axis(&self, spec: &ChartSpec, panel: &Panel, drawings: &[&[Series]]) -> Axis {
        let on_left = |drawing: &&[Series]| -> Vec<f64> {
            let alone =
                |series: &&Series| !series.right && (series.line || !spec.mark.is_stacked());
            let points = drawing.iter().filter(alone).flat_map(|series| &series.points);
            let mut ends: Vec<f64> = points.filter_map(|point| point.y).collect();
            if spec.mark.is_stacked() {
                ends.extend(stack_ends(drawing));
            }
            ends
        };
        let mut reach: Vec<f64> = drawings.iter().flat_map(on_left).collect();
        if !spec.log && (spec.zero || !matches!(spec.mark, Mark::Line | Mark::Scatter)) {
            reach.push(0.0);
        }
        reach.extend(spec.guides.iter().map(|(at, _)| *at).filter(|at| !spec.log || *at > 0.0));
        let own = || spec.y.first().map(|column| default_title(column)).unwrap_or_default();
        let unit = panel.values.unit.as_ref().and_then(|unit| unit.prefix().map(str::to_owned));
        // A scatter chart has titles for both quantities, whatever their units.
        let title = match (&spec.y_title, spec.mark) {
            (Some(title), _) => title.clone(),
            (None, Mark::Scatter) => own(),
            (None, _) if spec.percent => "Share".to_owned(),
            (None, _) => unit.unwrap_or_else(own),
        };
        let range = range(reach.into_iter());
        let mut axis = if spec.log {
            axis::log_axis(title, range, self.y_format)
        } else {
            axis::nice_axis(title, range, self.y_format)
        };
        axis.has_title = spec.y_title.is_some() || spec.mark == Mark::Scatter;
        axis
    }

    /// Returns the right axis, if there is one.
    pub(super) fn right_axis(&self, spec: &ChartSpec, drawings: &[&[Series]]) -> Option<Axis> {
        let series = drawings.iter().copied().flatten().filter(|series| series.right);
        let values: Vec<f64> =
            series.flat_map(|series| &series.points).filter_map(|point| point.y).collect();
        if values.is_empty() {
            return None;
        }
        let own = || {
            let column = spec.right.first();
            column
                .and_then(|column| spec.labels.get(column).cloned())
                .or_else(|| column.map(|column| default_title(column)))
        };
        let unit = spec.right_values.unit.as_ref().and_then(|unit| unit.prefix());
        let title = spec.right_title.clone().or_else(|| unit.map(str::to_owned)).or_else(own);
        let range = range(values.into_iter());
        let mut axis = axis::nice_axis(title.unwrap_or_default(), range, self.right_format);
        // Otherwise it would be unclear which axis belongs to which quantity.
        axis.has_title = true;
        Some(axis)
    }

    /// Formats values as shares from now on.
    pub(super) fn print_shares(&mut self) {
        self.y_format = Format::Percent(1);
        self.has_y_format = true;
    }

    /// Formats values with enough decimals to distinguish them along the axis, unless the author
    /// has chosen a format.
    pub(super) fn print_values(&self, series: &mut [Series], y: &Axis) {
        let Format::Decimal(decimals) = self.y_format else { return };
        if self.has_y_format {
            return;
        }
        let step = y.ticks.windows(2).map(|pair| pair[1].at - pair[0].at).next();
        let needed = step.map_or(0, axis::decimals_of).saturating_add(1);
        if needed <= decimals {
            return;
        }
        let on_left = series.iter_mut().filter(|series| !series.right);
        for point in on_left.flat_map(|series| &mut series.points) {
            if let Some(y) = point.y {
                point.y_shown = format_number(y, Format::Decimal(needed));
            }
        }
    }
}

/// The positions along an axis of names, in the order of their first rows.
#[derive(Default)]
struct Places {
    list: Vec<Place>,
    by_name: HashMap<String, usize>,
}

impl Places {
    fn index_of(&mut self, name: &str, order: impl FnOnce() -> Option<f64>) -> f64 {
        let index = self.by_name.get(name).copied().unwrap_or_else(|| {
            self.by_name.insert(name.to_owned(), self.list.len());
            self.list.push(Place { name: name.to_owned(), order: order() });
            self.list.len() - 1
        });
        index as f64
    }
}

pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
        (min.min(value), max.max(value))
    });
    if min <= max { (min, max) } else { (0.0, 1.0) }
}

/// Returns the ends of the stacks: the sums of positive and of negative values at each x.
fn stack_ends(series: &[Series]) -> Vec<f64> {
    let places = series.first().map_or(0, |series| series.points.len());
    let stacked = || series.iter().filter(|series| !series.line);
    let at = |place: usize| stacked().filter_map(move |series| series.points.get(place)?.y);
    (0..places)
        .flat_map(|place| {
            [at(place).filter(|y| *y > 0.0).sum(), at(place).filter(|y| *y < 0.0).sum()]
        })
        .collect()
}

/// Omits values that a logarithmic axis cannot represent, and notes their number.
pub(super) fn leave_out_zero(series: &mut [Series], notes: &mut Notes) {
    let mut count = 0;
    for point in series.iter_mut().flat_map(|series| &mut series.points) {
        if point.y.is_some_and(|y| y <= 0.0) {
            point.y = None;
            point.y_shown.clear();
            count += 1;
        }
    }
    if count > 0 {
        notes.texts.push(format!(
            "{} of zero or less {} not shown on a logarithmic axis.",
            humanize::plural(count, "value"),
            if count == 1 { "is" } else { "are" }
        ));
    }
}

/// Replaces each value by the cumulative sum.
pub(super) fn add_up(series: &mut [Series], format: Format) {
    for series in series.iter_mut().filter(|series| !series.right) {
        let mut sum = 0.0;
        for point in &mut series.points {
            if let Some(y) = point.y {
                sum += y;
                point.y = Some(sum);
                point.y_shown = format_number(sum, format);
            }
        }
    }
}

/// Replaces values by their shares of the sum at each x. Negative values count with their absolute
/// value.
pub(super) fn as_shares(series: &mut [Series]) {
    let places = series.first().map_or(0, |series| series.points.len());
    for place in 0..places {
        let at = |series: &Series| series.points.get(place).and_then(|point| point.y);
        let stacked = |series: &&Series| !series.line;
        let sum: f64 = series.iter().filter(stacked).filter_map(at).map(f64::abs).sum();
        let stacked = series.iter_mut().filter(|series| !series.line);
        for point in stacked.filter_map(|series| series.points.get_mut(place)) {
            let share = point.y.filter(|_| sum > 0.0).map(|y| y / sum);
            point.y = share;
            point.y_shown =
                share.map(|share| format_number(share, Format::Percent(1))).unwrap_or_default();
        }
    }
}

/// With two rows for one point, it would be undefined which value it has.
pub(super) fn ensure_one_row_each(series: &[Series]) -> Result<(), Undrawn> {
    for series in series {
        let mut seen = HashSet::new();
        if let Some(twice) = series.points.iter().find(|point| !seen.insert(point.x.to_bits())) {
            return Err(Undrawn::by_amount(format!(
                "{:?} has two rows for {}: aggregate them in SQL, or distinguish them with series",
                series.name, twice.x_shown
            )));
        }
    }
    Ok(())
}

/// Sorts the points of each series along x, and gives all series of bars and areas the same
/// positions.
pub(super) fn sort(series: &mut [Series], mark: Mark) {
    for series in &mut *series {
        series.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    if mark == Mark::Line {
        return;
    }
    let mut places: Vec<(f64, String)> = series
        .iter()
        .flat_map(|series| &series.points)
        .map(|point| (point.x, point.x_shown.clone()))
        .collect();
    places.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    places.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
    for series in series {
        let mut points = std::mem::take(&mut series.points).into_iter().peekable();
        series.points = places
            .iter()
            .map(|(x, x_shown)| match points.next_if(|point| point.x.total_cmp(x).is_eq()) {
                Some(point) => point,
                None => Point { x: *x, x_shown: x_shown.clone(), ..Point::default() },
            })
            .collect();
    }
}
