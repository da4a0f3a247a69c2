//! Bars, standing and lying, and filled areas: cells filled by eighths.

use materia::dashboard::{Chart, Mark, Scale};
use ratatui::layout::Rect;

use super::{
    Paint,
    charts::{role, series_sign, share},
};
use crate::tui::{
    look::{Depth, Role, rank},
    text::width,
};

/// A stack of filled cells in one column of a plot, from one height to another; heights are shares of the plot's.
fn fill(paint: &mut Paint, plot: Rect, x: u16, [from, to]: [f64; 2], series: usize, chart: &Chart) {
    const LOWER: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let total = usize::from(plot.height) * 8;
    let (low, high) = (rank(from.min(to), total + 1), rank(from.max(to), total + 1));
    let style = paint.style(role(chart, series));
    let letter = series_sign(paint.look, series, chart.series.len());
    for line in 0..usize::from(plot.height) {
        let cell = line * 8..line * 8 + 8;
        let (begin, end) = (low.max(cell.start), high.min(cell.end));
        if begin >= end {
            continue;
        }
        let y = plot.bottom() - 1 - u16::try_from(line).unwrap_or_default();
        let Some(spot) = paint.frame.buffer_mut().cell_mut((x, y)) else { continue };
        match letter {
            Some(letter) if end - begin >= 4 => drop(spot.set_symbol(letter).set_style(style)),
            Some(_) => {}
            None if begin == cell.start => drop(spot.set_symbol(LOWER[end - begin]).set_style(style)),
            // It begins above another one, which keeps the lower part of the cell.
            None if spot.symbol() != " " && spot.symbol() != "█" => drop(spot.set_bg(style.fg.unwrap_or_default())),
            None => drop(spot.set_symbol(LOWER[8]).set_style(style)),
        }
    }
}

/// Where bars stand: the place of their middle and their half width along x, in the axis' own units.
fn slots(chart: &Chart) -> f64 {
    if let Scale::Category { .. } = chart.x.scale {
        return 0.4;
    }
    let mut places: Vec<f64> = chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.x)).collect();
    places.sort_by(f64::total_cmp);
    let gap = places.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0).fold(f64::INFINITY, f64::min);
    if gap.is_finite() { gap * 0.4 } else { (chart.x.max - chart.x.min) * 0.05 }
}

/// Bars that stand, beside or on top of one another.
pub(super) fn standing(paint: &mut Paint, plot: Rect, chart: &Chart) {
    let half = slots(chart);
    let of = chart.series.len();
    let zero = share(&chart.y, 0.0);
    let column = |x: f64| f64::from(plot.width) * share(&chart.x, x);
    let mut stacks = std::collections::HashMap::<u64, f64>::new();
    for (index, series) in chart.series.iter().enumerate() {
        for point in &series.points {
            let Some(y) = point.y else { continue };
            let (mut left, mut right) = (column(point.x - half), column(point.x + half));
            let mut from = 0.0;
            if chart.mark == Mark::Bar {
                let each = (right - left) / of as f64;
                (left, right) = (left + each * index as f64, left + each * (index + 1) as f64);
            } else {
                let stack = stacks.entry(point.x.to_bits() ^ u64::from(y < 0.0)).or_default();
                from = *stack;
                *stack += y;
            }
            let heights =
                if chart.mark == Mark::Bar { [zero, share(&chart.y, y)] } else { [share(&chart.y, from), share(&chart.y, from + y)] };
            let (left, right) = (cells(left), cells(right).max(cells(left) + 1));
            for x in left..right.min(plot.width) {
                fill(paint, plot, plot.x + x, heights, index, chart);
            }
        }
    }
}

fn cells(at: f64) -> u16 {
    // Within a terminal's width.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cells = at.round().clamp(0.0, f64::from(u16::MAX)) as u16;
    cells
}

/// Areas on top of one another, each column of cells at its own place along x.
pub(super) fn areas(paint: &mut Paint, plot: Rect, chart: &Chart) {
    for column in 0..plot.width {
        let x = chart.x.min + (chart.x.max - chart.x.min) * (f64::from(column) + 0.5) / f64::from(plot.width.max(1));
        let mut from = 0.0;
        for (index, series) in chart.series.iter().enumerate() {
            let Some(y) = at(series, x) else { continue };
            fill(paint, plot, plot.x + column, [share(&chart.y, from), share(&chart.y, from + y)], index, chart);
            from += y;
        }
    }
}

/// A series' value between its points; nothing before the first, after the last, and beside missing ones.
fn at(series: &materia::dashboard::Series, x: f64) -> Option<f64> {
    let after = series.points.iter().position(|point| point.x >= x)?;
    let (one, two) = (&series.points[after.checked_sub(1).unwrap_or(after)], &series.points[after]);
    if two.x <= one.x {
        return if (two.x - x).abs() < f64::EPSILON { two.y } else { None };
    }
    let part = (x - one.x) / (two.x - one.x);
    Some(one.y? + (two.y? - one.y?) * part)
}

/// Bars that lie, each on a line of its own, with its value behind it.
pub(super) fn lying(paint: &mut Paint, area: Rect, chart: &Chart) {
    let Scale::Category { names } = &chart.x.scale else { return };
    let of = chart.series.len();
    let longest = names.iter().map(|name| width(name, 24)).max().unwrap_or_default().min(usize::from(area.width) / 3);
    let label = u16::try_from(longest).unwrap_or_default();
    let widest =
        |series: &materia::dashboard::Series| series.points.iter().map(|point| width(&point.y_shown, 16)).max().unwrap_or_default();
    let values = u16::try_from(chart.series.iter().map(widest).max().unwrap_or_default() + 1).unwrap_or_default();
    let bars = area.width.saturating_sub(label + 1 + values);
    let each = if chart.mark.is_stacked() { 1 } else { of };
    let mut lines = area.rows();
    for (place, name) in names.iter().enumerate() {
        for line in 0..each {
            let Some(row) = lines.next() else { return };
            let text = if line == 0 { paint.fit_right(name, longest) } else { String::new() };
            let span = paint.span(Role::Text, text);
            paint.line(Rect { width: label, ..row }, span);
            let mut from = 0.0;
            let mut written = String::new();
            for (index, series) in chart.series.iter().enumerate().filter(|(index, _)| chart.mark.is_stacked() || *index == line) {
                let there = series.points.iter().find(|point| (point.x - place as f64).abs() < 0.5);
                let Some((found, y)) = there.and_then(|found| Some((found, found.y?))) else { continue };
                let ends = [share(&chart.y, from), share(&chart.y, from + y)].map(|share| cells(share * f64::from(bars)));
                let (left, right) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
                let sign =
                    series_sign(paint.look, index, of).unwrap_or(if paint.look.depth == Depth::None { "#" } else { paint.look.bar() });
                let bar = paint.span(role(chart, index), sign.repeat(usize::from(right - left)));
                let spot = Rect { x: row.x + label + 1 + left, width: right - left, ..row };
                paint.line(spot, bar);
                from += y;
                written.clone_from(&found.y_shown);
            }
            if !chart.mark.is_stacked() {
                let end = cells(share(&chart.y, from.max(0.0)) * f64::from(bars));
                let x = row.x + label + 1 + end;
                let span = paint.span(Role::Dim, format!(" {written}"));
                paint.line(Rect { x, width: row.right().saturating_sub(x), ..row }, span);
            }
        }
    }
}
