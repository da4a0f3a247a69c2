//! From rows to points over two axes.

use std::collections::{HashMap, HashSet};

use super::{
    Axis, Chart, Content, Mark, Point, Series, Tick, axis,
    cut::{Cutter, Place},
    limits::{Notes, Undrawn},
    model::{ChartDrawing, Panel, title_of},
    rows::{Holds, Row, Rows},
};
use crate::values::Format;

pub(super) fn chart(drawing: &ChartDrawing, panel: &Panel, rows: &Rows, notes: &mut Notes) -> Result<Content, Undrawn> {
    let columns = Columns::find(drawing, panel, rows)?;
    let (mut series, places) = columns.series(drawing, panel, rows);
    if series.iter().flat_map(|series| &series.points).all(|point| point.y.is_none()) {
        return Ok(Content::Empty { reason: String::new() });
    }
    if drawing.mark != Mark::Scatter {
        one_row_each(&series)?;
    }
    let format = columns.y_format(panel, rows);
    let mut cutter = Cutter { mark: drawing.mark, limits: &panel.limits, format, notes };
    cutter.bars(&mut series, &places);
    cutter.series(&mut series);
    cutter.points(&mut series);
    let x = columns.x_axis(drawing, &series);
    if drawing.mark != Mark::Scatter {
        order(&mut series, drawing.mark);
    }
    let y = columns.y_axis(drawing, panel, &series, rows);
    let guides = drawing.guides.iter().map(|(at, label)| Tick { at: *at, label: label.clone() }).collect();
    Ok(Content::Chart(Chart { mark: drawing.mark, x, y, series, guides }))
}

/// Where the columns are, and how their values are printed.
struct Columns {
    x: usize,
    x_holds: Holds,
    x_format: Format,
    y: Vec<usize>,
    series: Option<usize>,
    label: Option<usize>,
}

impl Columns {
    fn find(drawing: &ChartDrawing, panel: &Panel, rows: &Rows) -> Result<Self, String> {
        let x = rows.find(&drawing.x)?;
        let is_bar = !matches!(drawing.mark, Mark::Line | Mark::Area | Mark::Scatter);
        let x_holds = if is_bar { Holds::Other } else { rows.holds(x) };
        if drawing.mark == Mark::Scatter && !x_holds.is_number() {
            rows.find_number(&drawing.x)?;
        }
        Ok(Self {
            x,
            x_holds,
            x_format: panel.x_format.unwrap_or_else(|| rows.format(x)),
            y: drawing.y.iter().map(|y| rows.find_number(y)).collect::<Result<_, _>>()?,
            series: drawing.series.as_deref().map(|series| rows.find(series)).transpose()?,
            label: drawing.label.as_deref().map(|label| rows.find(label)).transpose()?,
        })
    }

    /// Every series, and the places along an axis of names.
    fn series(&self, drawing: &ChartDrawing, panel: &Panel, rows: &Rows) -> (Vec<Series>, Vec<Place>) {
        let called = |name: String| Series { name, points: Vec::new(), other: false };
        let own = |column: &String| called(drawing.labels.get(column).cloned().unwrap_or_else(|| title_of(column)));
        let mut all: Vec<Series> = if self.series.is_some() { Vec::new() } else { drawing.y.iter().map(own).collect() };
        let mut by_name = HashMap::<String, usize>::new();
        let mut places = Places::default();
        for row in rows.each() {
            let x_shown = row.human(self.x, self.x_format).map(std::borrow::Cow::into_owned);
            let x = match self.x_holds {
                Holds::Time => row.millis(self.x).map(|millis| millis as f64),
                Holds::Whole | Holds::Number => row.number(self.x),
                Holds::Other => x_shown.as_ref().map(|name| places.of(name, || self.place(row, rows))),
            };
            let (Some(x), Some(x_shown)) = (x, x_shown) else { continue };
            let first = match self.series {
                None => 0,
                Some(column) => {
                    let name = row.text(column).unwrap_or_else(|| "none".into());
                    if let Some(index) = by_name.get(name.as_ref()) {
                        *index
                    } else {
                        by_name.insert(name.clone().into_owned(), all.len());
                        all.push(called(name.into_owned()));
                        all.len() - 1
                    }
                }
            };
            for (index, column) in self.y.iter().enumerate() {
                let format = panel.figures.format().unwrap_or_else(|| rows.holds(*column).format());
                let y = row.number(*column);
                let y_shown = row.human(*column, format).filter(|_| y.is_some()).unwrap_or_default().into_owned();
                let name = self.label.and_then(|label| row.text(label)).map(std::borrow::Cow::into_owned);
                all[first + index].points.push(Point { x, y, x_shown: x_shown.clone(), y_shown, name });
            }
        }
        (all, places.list)
    }

    /// Where a row belongs along an axis of names, if its x is a date or a number.
    fn place(&self, row: Row, rows: &Rows) -> Option<f64> {
        match rows.holds(self.x) {
            Holds::Time => row.millis(self.x).map(|millis| millis as f64),
            Holds::Whole | Holds::Number => row.number(self.x),
            Holds::Other => None,
        }
    }

    fn y_format(&self, panel: &Panel, rows: &Rows) -> Format {
        panel.figures.format().unwrap_or_else(|| self.y.first().map_or(Format::Plain, |y| rows.holds(*y).format()))
    }

    fn x_axis(&self, drawing: &ChartDrawing, series: &[Series]) -> Axis {
        let title = drawing.x_title.clone().unwrap_or_else(|| title_of(&drawing.x));
        let points = || series.iter().flat_map(|series| &series.points);
        let range = range(points().map(|point| point.x));
        match self.x_holds {
            Holds::Time => axis::time(title, range, self.x_format),
            Holds::Whole | Holds::Number if drawing.mark == Mark::Scatter => axis::round(title, range, self.x_format),
            Holds::Whole | Holds::Number => axis::tight(title, range, self.x_format),
            Holds::Other => {
                let mut named: Vec<(f64, &String)> = points().map(|point| (point.x, &point.x_shown)).collect();
                named.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                named.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
                axis::names(title, named.into_iter().map(|(_, name)| name.clone()).collect())
            }
        }
    }

    fn y_axis(&self, drawing: &ChartDrawing, panel: &Panel, series: &[Series], rows: &Rows) -> Axis {
        let mut reach: Vec<f64> = if drawing.mark.is_stacked() {
            stacks(series)
        } else {
            series.iter().flat_map(|series| &series.points).filter_map(|point| point.y).collect()
        };
        if drawing.zero || !matches!(drawing.mark, Mark::Line | Mark::Scatter) {
            reach.push(0.0);
        }
        reach.extend(drawing.guides.iter().map(|(at, _)| *at));
        let own = || drawing.y.first().map(|column| title_of(column)).unwrap_or_default();
        let title = drawing.y_title.clone().or_else(|| panel.figures.unit.as_ref().and_then(|unit| unit.above().map(str::to_owned)));
        axis::round(title.unwrap_or_else(own), range(reach.into_iter()), self.y_format(panel, rows))
    }
}

/// The places along an axis of names, in the order of their first rows.
#[derive(Default)]
struct Places {
    list: Vec<Place>,
    by_name: HashMap<String, usize>,
}

impl Places {
    fn of(&mut self, name: &str, order: impl FnOnce() -> Option<f64>) -> f64 {
        let index = self.by_name.get(name).copied().unwrap_or_else(|| {
            self.by_name.insert(name.to_owned(), self.list.len());
            self.list.push(Place { name: name.to_owned(), order: order() });
            self.list.len() - 1
        });
        index as f64
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
    if min <= max { (min, max) } else { (0.0, 1.0) }
}

/// Where the stacks end: sums of what is above zero and of what is below, at each x.
fn stacks(series: &[Series]) -> Vec<f64> {
    let places = series.first().map_or(0, |series| series.points.len());
    let at = |place: usize| series.iter().filter_map(move |series| series.points.get(place)?.y);
    (0..places).flat_map(|place| [at(place).filter(|y| *y > 0.0).sum(), at(place).filter(|y| *y < 0.0).sum()]).collect()
}

/// Which of two values a point has, nothing says.
fn one_row_each(series: &[Series]) -> Result<(), Undrawn> {
    for series in series {
        let mut seen = HashSet::new();
        if let Some(twice) = series.points.iter().find(|point| !seen.insert(point.x.to_bits())) {
            return Err(Undrawn::by_amount(format!(
                "{:?} has two rows for {}: sum them up in SQL, or tell them apart with series",
                series.name, twice.x_shown
            )));
        }
    }
    Ok(())
}

/// Puts the points of each series in the order of x, and gives every series of bars and areas the same places.
fn order(series: &mut [Series], mark: Mark) {
    for series in &mut *series {
        series.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    if mark == Mark::Line {
        return;
    }
    let mut places: Vec<(f64, String)> =
        series.iter().flat_map(|series| &series.points).map(|point| (point.x, point.x_shown.clone())).collect();
    places.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    places.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
    for series in series {
        let mut points = std::mem::take(&mut series.points).into_iter().peekable();
        series.points = places
            .iter()
            .map(|(x, x_shown)| match points.next_if(|point| point.x.total_cmp(x).is_eq()) {
                Some(point) => point,
                None => Point { x: *x, y: None, x_shown: x_shown.clone(), y_shown: String::new(), name: None },
            })
            .collect();
    }
}
