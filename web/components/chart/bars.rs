//! Bars, vertical or horizontal, grouped or stacked.

use std::{collections::BTreeMap, fmt::Write as _};

use materia::dashboard::{Chart, Point};
use maud::{Markup, html};

use super::{color, linked, place, plot_area::PlotArea, px};

/// The share of its slot that a bar fills.
const FILL: f64 = 0.72;
const MAX_WIDTH: f64 = 44.0;

pub(super) fn marks(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let horizontal = chart.mark.is_horizontal();
    let stacked = chart.mark.is_stacked();
    let space = (area.step() * FILL)
        .min(if horizontal {
            f64::MAX
        } else {
            MAX_WIDTH * chart.series.iter().filter(|series| !series.line).count().max(1) as f64
        })
        .max(1.0);
    let bars = || chart.series.iter().filter(|series| !series.line);
    let side_by_side = if stacked { 1 } else { bars().count().max(1) };
    let thickness = (space / side_by_side as f64).max(0.8);
    let gap = if side_by_side > 1 && thickness > 3.0 { 1.0 } else { 0.0 };
    let mut up = BTreeMap::<i64, f64>::new();
    let mut down = BTreeMap::<i64, f64>::new();
    html! {
        @for (index, series) in bars().enumerate() {
            g.bars.(color(series)) {
                @for point in &series.points {
                    @if let Some(value) = point.y {
                        @let begin = if stacked { stack(if value < 0.0 { &mut down } else { &mut up }, point, value) } else { 0.0 };
                        @let (from, to) = if stacked { (area.y(begin), area.y(begin + value)) } else { (area.base(), area.y(value)) };
                        @let first = area.x(point.x) - space / 2.0 + if side_by_side > 1 { thickness * index as f64 } else { 0.0 };
                        (linked(point.href.as_deref(), &bar(horizontal, first, (thickness - gap).max(0.6), (from, to), point.forecast)))
                    }
                }
            }
        }
    }
}

/// Returns the value at which a stacked bar begins.
fn stack(stack: &mut BTreeMap<i64, f64>, point: &Point, value: f64) -> f64 {
    let end = stack.entry(place(point.x)).or_default();
    let begin = *end;
    *end += value;
    begin
}

fn bar(
    horizontal: bool,
    first: f64,
    thickness: f64,
    (from, to): (f64, f64),
    is_forecast: bool,
) -> Markup {
    let (start, length) = (from.min(to), (from - to).abs().max(0.5));
    let [x, y, width, height] = if horizontal {
        [start, first, length, thickness]
    } else {
        [first, start, thickness, length]
    };
    html! {
        rect class=[is_forecast.then_some("forecast")] x=(px(x)) y=(px(y)) width=(px(width)) height=(px(height)) {}
        @if is_forecast { path.hatch d=(hatching(x, y, width, height)) {} }
    }
}

/// Returns diagonal lines within a rectangle.
fn hatching(x: f64, y: f64, width: f64, height: f64) -> String {
    const DISTANCE: f64 = 6.0;
    let mut path = String::new();
    // Each line begins on the left or the bottom edge and rises to the right.
    let mut along = DISTANCE / 2.0;
    while along < width + height {
        let (begin_x, begin_y) =
            if along <= height { (0.0, along) } else { (along - height, height) };
        let rise = begin_y.min(width - begin_x);
        let [x1, y1] = [px(x + begin_x), px(y + begin_y)];
        let [x2, y2] = [px(x + begin_x + rise), px(y + begin_y - rise)];
        let _ = write!(path, "M{x1},{y1}L{x2},{y2}");
        along += DISTANCE;
    }
    path
}
