//! Lines, areas and dots.

use std::{collections::BTreeMap, fmt::Write as _};

use materia::dashboard::{Chart, Mark, Series};
use maud::{Markup, html};

use super::{
    colour,
    frame::{Frame, shortened},
    place, px,
};

/// Names closer than this would run into one another.
const NAME_HEIGHT: f64 = 14.0;
/// With more points than this, only the line is drawn, and the script finds the nearest point by the table.
const MOST_DOTS: usize = 40;

pub(super) fn marks(chart: &Chart, frame: &Frame) -> Markup {
    match chart.mark {
        Mark::Area => areas(chart, frame),
        Mark::Scatter => dots(chart, frame),
        _ => lines(chart, frame),
    }
}

fn lines(chart: &Chart, frame: &Frame) -> Markup {
    html! {
        @for (index, series) in chart.series.iter().enumerate() {
            g.line.(colour(series, index)) data-series=(series.name) {
                path d=(path(series, frame)) fill="none" {}
                @if series.points.len() <= MOST_DOTS && chart.series.len() <= 3 {
                    @for point in &series.points { @if let Some(y) = point.y { circle cx=(px(frame.x(point.x))) cy=(px(frame.y(y))) r="2.2" {} } }
                } @else if let Some((x, y)) = last(series) {
                    circle cx=(px(frame.x(x))) cy=(px(frame.y(y))) r="3" {}
                }
            }
        }
    }
}

/// A line with a gap where a value is missing; a lone point becomes a dot.
fn path(series: &Series, frame: &Frame) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (index, point) in series.points.iter().enumerate() {
        let Some(y) = point.y else {
            pen_down = false;
            continue;
        };
        let _ = write!(path, "{}{},{}", if pen_down { "L" } else { "M" }, px(frame.x(point.x)), px(frame.y(y)));
        if !pen_down && series.points.get(index + 1).is_none_or(|next| next.y.is_none()) {
            path.push_str("h0.1");
        }
        pen_down = true;
    }
    path
}

fn last(series: &Series) -> Option<(f64, f64)> {
    series.points.iter().rev().find_map(|point| point.y.map(|y| (point.x, y)))
}

/// Names beside the ends of lines, moved apart where they would run into one another.
pub(super) fn names(chart: &Chart, frame: &Frame) -> Markup {
    let mut ends: Vec<(f64, usize)> = Vec::new();
    for (index, series) in chart.series.iter().enumerate() {
        if let Some((_, y)) = last(series) {
            ends.push((frame.y(y), index));
        }
    }
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut room = frame.bottom - frame.top;
    ends.retain(|_| {
        room -= NAME_HEIGHT;
        room >= 0.0
    });
    for at in 1..ends.len() {
        ends[at].0 = ends[at].0.max(ends[at - 1].0 + NAME_HEIGHT);
    }
    let below = ends.last().map_or(0.0, |end| (end.0 - frame.bottom).max(0.0));
    let mut limit = frame.bottom;
    if below > 0.0 {
        for end in ends.iter_mut().rev() {
            end.0 = end.0.min(limit);
            limit = end.0 - NAME_HEIGHT;
        }
    }
    html! {
        g.names aria-hidden="true" {
            @for (y, index) in ends { text.(colour(&chart.series[index], index)) x=(px(frame.right + 8.0)) y=(px(y + 4.0)) { (shortened(&chart.series[index].name)) } }
        }
    }
}

/// Areas on top of one another: above zero upwards, below zero downwards.
fn areas(chart: &Chart, frame: &Frame) -> Markup {
    let mut up = BTreeMap::<i64, f64>::new();
    let mut down = BTreeMap::<i64, f64>::new();
    let mut paths = Vec::new();
    for series in &chart.series {
        let (mut top, mut bottom) = (Vec::new(), Vec::new());
        for point in &series.points {
            let value = point.y.unwrap_or_default();
            let stack = if value < 0.0 { &mut down } else { &mut up };
            let begin = stack.entry(place(point.x)).or_default();
            bottom.push((frame.x(point.x), frame.y(*begin)));
            *begin += value;
            top.push((frame.x(point.x), frame.y(*begin)));
        }
        paths.push((outline(&top, &bottom), line_of(&top)));
    }
    html! {
        @for (index, (area, edge)) in paths.iter().enumerate() {
            g.area.(colour(&chart.series[index], index)) data-series=(chart.series[index].name) { path.fill d=(area) {} path.edge d=(edge) fill="none" {} }
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

fn dots(chart: &Chart, frame: &Frame) -> Markup {
    html! {
        @for (index, series) in chart.series.iter().enumerate() {
            g.dots.(colour(series, index)) data-series=(series.name) {
                @for point in &series.points {
                    @if let Some(y) = point.y {
                        circle cx=(px(frame.x(point.x))) cy=(px(frame.y(y))) r="4.5" {
                            title { @if let Some(name) = &point.name { (name) ": " } (point.x_shown) ", " (point.y_shown) }
                        }
                    }
                }
            }
        }
    }
}
