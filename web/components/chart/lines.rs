//! Lines, areas and dots.

use std::{collections::BTreeMap, fmt::Write as _};

use materia::dashboard::{Chart, Mark, Point, Series};
use maud::{Markup, html};

use super::{color, linked, place, plot_area::PlotArea, px};

/// With more points than this, only lines are drawn.
const MAX_DOTS: usize = 40;

pub(super) fn marks(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    match chart.mark {
        Mark::Area => areas(chart, area),
        Mark::Scatter => dots(chart, area),
        _ => lines(chart, area),
    }
}

fn lines(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    draw_lines(chart, area, &chart.series.iter().collect::<Vec<_>>())
}

/// Draws the series that are lines over bars.
pub(super) fn over_bars(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let over: Vec<&Series> = chart.series.iter().filter(|series| series.line).collect();
    draw_lines(chart, area, &over)
}

fn draw_lines(chart: &Chart, area: &PlotArea<'_>, all: &[&Series]) -> Markup {
    html! {
        @for series in all {
            @let has_dots = series.points.len() <= MAX_DOTS && chart.series.len() <= 3;
            g.line.(color(series)) {
                path d=(path(series, area)) fill="none" {}
                @for piece in series.pieces() {
                    @if has_dots {
                        @for point in piece { (dot(point, area, series, 2.2)) }
                    } @else if piece.iter().any(|point| point.forecast) {
                        @for point in piece.iter().filter(|point| point.forecast) { (dot(point, area, series, 3.0)) }
                    } @else if let [only] = piece {
                        // A point without neighbors has no line, and would be invisible without a
                        // dot.
                        (dot(only, area, series, 3.0))
                    }
                }
            }
        }
    }
}

fn dot(point: &Point, area: &PlotArea<'_>, series: &Series, radius: f64) -> Markup {
    let y = area.y_of(series, point.y.unwrap_or_default());
    let mark = html! {
        circle class=[point.forecast.then_some("forecast")] cx=(px(area.x(point.x))) cy=(px(y)) r=(px(if point.forecast { radius.max(3.0) } else { radius })) {}
    };
    linked(point.href.as_deref(), &mark)
}

/// Returns a line with gaps where values or periods are missing.
fn path(series: &Series, area: &PlotArea<'_>) -> String {
    let mut path = String::new();
    for piece in series.pieces() {
        let points =
            piece.iter().filter_map(|point| Some((area.x(point.x), area.y_of(series, point.y?))));
        path.push_str(&line_of(&points.collect::<Vec<_>>()));
    }
    path
}

/// Draws stacked areas, upwards above zero and downwards below it, with gaps where a value is
/// missing.
fn areas(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let mut up = BTreeMap::<i64, f64>::new();
    let mut down = BTreeMap::<i64, f64>::new();
    let mut drawn = Vec::new();
    for series in &chart.series {
        let (mut fill, mut edge) = (String::new(), String::new());
        for piece in series.pieces() {
            let (mut top, mut bottom) = (Vec::new(), Vec::new());
            for point in piece {
                let value = point.y.unwrap_or_default();
                let stack = if value < 0.0 { &mut down } else { &mut up };
                let begin = stack.entry(place(point.x)).or_default();
                bottom.push((area.x(point.x), area.y(*begin)));
                *begin += value;
                top.push((area.x(point.x), area.y(*begin)));
            }
            // A single value is a narrow column.
            if let ([(x, y)], [(_, base)]) = (top.as_slice(), bottom.as_slice()) {
                (bottom, top) =
                    (vec![(x - 1.5, *base), (x + 1.5, *base)], vec![(x - 1.5, *y), (x + 1.5, *y)]);
            }
            fill.push_str(&outline(&top, &bottom));
            edge.push_str(&line_of(&top));
        }
        drawn.push((fill, edge));
    }
    html! {
        @for ((fill, edge), series) in drawn.iter().zip(&chart.series) {
            g.area.(color(series)) { path.fill d=(fill) {} path.edge d=(edge) fill="none" {} }
        }
    }
}

fn line_of(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{},{}", if index == 0 { "M" } else { "L" }, px(*x), px(*y));
    }
    path
}

fn outline(top: &[(f64, f64)], bottom: &[(f64, f64)]) -> String {
    let mut path = line_of(top);
    for (x, y) in bottom.iter().rev() {
        let _ = write!(path, "L{},{}", px(*x), px(*y));
    }
    path + "Z"
}

/// Returns the radius of a dot whose area is proportional to its value.
fn radius(point: &Point) -> f64 {
    point.size.as_ref().map_or(4.5, |(share, _)| 2.5 + 15.5 * share.max(0.0).sqrt())
}

fn dots(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    html! {
        @for series in &chart.series {
            g.dots.(color(series)) {
                @for point in series.points.iter().filter(|point| point.y.is_some()) {
                    (dot(point, area, series, radius(point)))
                }
            }
        }
    }
}
