//! Bars, standing or lying, beside one another or on top of one another.

use std::collections::BTreeMap;

use materia::dashboard::{Chart, Point};
use maud::{Markup, html};

use super::{colour, frame::Frame, place, px};

/// The share of its place that a bar fills.
const FILL: f64 = 0.72;
const WIDEST: f64 = 44.0;

pub(super) fn marks(chart: &Chart, frame: &Frame) -> Markup {
    let horizontal = chart.mark.is_horizontal();
    let room = (frame.step(chart) * FILL).min(if horizontal { f64::MAX } else { WIDEST * chart.series.len() as f64 }).max(1.0);
    let beside = if chart.mark.is_stacked() { 1 } else { chart.series.len().max(1) };
    let thick = (room / beside as f64).max(0.8);
    let mut up = BTreeMap::<i64, f64>::new();
    let mut down = BTreeMap::<i64, f64>::new();
    html! {
        @for (index, series) in chart.series.iter().enumerate() {
            g.bars.(colour(series, index)) data-series=(series.name) {
                @for point in &series.points {
                    @if let Some(value) = point.y {
                        @let begin = if chart.mark.is_stacked() { stack(if value < 0.0 { &mut down } else { &mut up }, point, value) } else { 0.0 };
                        @let (from, to) = if chart.mark.is_stacked() { (frame.y(begin), frame.y(begin + value)) } else { (frame.base(), frame.y(value)) };
                        @let first = frame.x(point.x) - room / 2.0 + if beside > 1 { thick * index as f64 } else { 0.0 };
                        (bar(horizontal, first, (thick - if beside > 1 { 1.0 } else { 0.0 }).max(0.6), from, to))
                    }
                }
            }
        }
    }
}

/// Where a bar on top of others begins.
fn stack(stack: &mut BTreeMap<i64, f64>, point: &Point, value: f64) -> f64 {
    let end = stack.entry(place(point.x)).or_default();
    let begin = *end;
    *end += value;
    begin
}

fn bar(horizontal: bool, first: f64, thick: f64, from: f64, to: f64) -> Markup {
    let (least, length) = (from.min(to), (from - to).abs().max(0.5));
    html! {
        @if horizontal {
            rect x=(px(least)) y=(px(first)) width=(px(length)) height=(px(thick)) rx="1.5" {}
        } @else {
            rect x=(px(first)) y=(px(least)) width=(px(thick)) height=(px(length)) rx="1.5" {}
        }
    }
}
