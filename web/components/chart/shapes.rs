//! Bars that do not begin at zero, boxes, and pairs of dots.

use materia::dashboard::{Chart, Point, Series};
use maud::{Markup, html};

use super::{color, plot_area::PlotArea, px, text};

const MAX_WIDTH: f64 = 44.0;

fn width(area: &PlotArea<'_>, most: f64) -> f64 {
    (area.step() * 0.66).clamp(1.0, most)
}

fn known(series: &Series) -> impl Iterator<Item = (&Point, f64)> {
    series.points.iter().filter_map(|point| Some((point, point.y?)))
}

/// Draws bars from one sum to the next, connected by thin lines.
pub(super) fn waterfall(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let wide = width(area, MAX_WIDTH);
    let kind = |point: &Point, y: f64| match point.from {
        None => "total",
        Some(_) if y < 0.0 => "less",
        Some(_) => "more",
    };
    html! {
        @for series in &chart.series {
            g.bars.(color(series)) {
                @for (point, y) in known(series) {
                    @let (from, to) = (area.y(point.from.unwrap_or_default()), area.y(point.from.unwrap_or_default() + y));
                    rect.(kind(point, y)) x=(px(area.x(point.x) - wide / 2.0)) y=(px(from.min(to))) width=(px(wide)) height=(px((from - to).abs().max(0.5))) {}
                }
            }
            g.joins {
                @for (point, y) in known(series).filter(|(point, _)| point.from.is_some()) {
                    @if point.x + 1.0 < chart.x.max {
                        path d={ "M" (px(area.x(point.x) + wide / 2.0)) "," (px(area.y(point.from.unwrap_or_default() + y))) "H" (px(area.x(point.x + 1.0) - wide / 2.0)) } {}
                    }
                }
            }
        }
    }
}

pub(super) fn funnel(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let thick = (area.step() * 0.8).clamp(1.0, MAX_WIDTH);
    let middle = f64::midpoint(area.left, area.right);
    html! {
        @for series in &chart.series {
            g.bars.(color(series)) {
                @for (point, y) in known(series) {
                    @let wide = (chart.y.fraction(y) * (area.right - area.left)).max(1.0);
                    rect x=(px(middle - wide / 2.0)) y=(px(area.x(point.x) - thick / 2.0)) width=(px(wide)) height=(px(thick)) {}
                }
            }
            g.values {
                @for (point, y) in known(series) {
                    @let wide = chart.y.fraction(y) * (area.right - area.left);
                    @if let Some((x, text, is_within)) = label_at(&point.y_shown, middle, wide, area.width) {
                        text.within[is_within] x=(px(x)) y=(px(area.x(point.x) + 4.0)) text-anchor=[is_within.then_some("middle")] { (text) }
                    }
                }
            }
        }
    }
}

/// Returns where the value of a bar around `middle` has room, within it or right of it; only its
/// share where there is too little.
fn label_at(shown: &str, middle: f64, wide: f64, end: f64) -> Option<(f64, &str, bool)> {
    let share = shown.split_once('(').and_then(|(_, share)| share.strip_suffix(')'));
    [Some(shown), share].into_iter().flatten().find_map(|text| {
        let needed = text::width(text) + 8.0;
        let right = middle + wide / 2.0 + 6.0;
        if needed + 4.0 < wide {
            Some((middle, text, true))
        } else {
            (right + needed < end).then_some((right, text, false))
        }
    })
}

/// Draws a line between two dots for each name.
pub(super) fn dumbbell(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let [one, other] = chart.series.as_slice() else { return html! {} };
    html! {
        g.joins {
            @for (from, to) in one.points.iter().zip(&other.points) {
                @if let (Some(begin), Some(end)) = (from.y, to.y) {
                    path d={ "M" (px(area.y(begin))) "," (px(area.x(from.x))) "H" (px(area.y(end))) } {}
                }
            }
        }
        @for series in [one, other] {
            g.ends.(color(series)) {
                @for (point, y) in known(series) { circle cx=(px(area.y(y))) cy=(px(area.x(point.x))) r="5.5" {} }
            }
        }
    }
}

/// Draws a box from the lower to the upper quartile with the median, and whiskers to both ends.
pub(super) fn boxes(chart: &Chart, area: &PlotArea<'_>) -> Markup {
    let [lowest, lower, median, upper, highest] = chart.series.as_slice() else {
        return html! {};
    };
    let wide = width(area, MAX_WIDTH);
    let value = |series: &Series, at: usize| series.points.get(at).and_then(|point| point.y);
    let five = |at: usize| {
        let all = [lowest, lower, median, upper, highest].map(|series| value(series, at));
        all.iter().all(Option::is_some).then(|| all.map(|y| area.y(y.unwrap_or_default())))
    };
    html! {
        g.boxes.(color(median)) {
            @for (at, point) in median.points.iter().enumerate() {
                @if let Some([low, lower, median, upper, high]) = five(at) {
                    @let (x, left, right) = (area.x(point.x), area.x(point.x) - wide / 2.0, area.x(point.x) + wide / 2.0);
                    path.whisker d={ "M" (px(x)) "," (px(low)) "V" (px(lower)) "M" (px(x)) "," (px(upper)) "V" (px(high))
                        "M" (px(left + wide / 4.0)) "," (px(low)) "H" (px(right - wide / 4.0))
                        "M" (px(left + wide / 4.0)) "," (px(high)) "H" (px(right - wide / 4.0)) } {}
                    rect x=(px(left)) y=(px(upper)) width=(px(wide)) height=(px((lower - upper).max(0.5))) {}
                    path.median d={ "M" (px(left)) "," (px(median)) "H" (px(right)) } {}
                }
            }
        }
    }
}
