//! Charts over two axes, heatmaps, and the line of a figure's history.

use materia::dashboard::{Axis, Chart, Heatmap, Mark, Scale};
use ratatui::{
    layout::Rect,
    style::Color,
    symbols::Marker,
    text::{Line, Span},
    widgets::canvas::{self, Canvas, Points},
};

use super::{Paint, bars};
use crate::tui::{
    look::{Depth, Look, Role},
    text::width,
};

/// How far along an axis a value is, from 0 to 1.
pub(super) fn share(axis: &Axis, value: f64) -> f64 {
    ((value - axis.min) / (axis.max - axis.min)).clamp(0.0, 1.0)
}

/// What tells series apart where colours cannot: a letter each. `None` where colours do.
pub(super) fn series_sign(look: Look, series: usize, of: usize) -> Option<&'static str> {
    const LETTERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    match (look.ascii || look.depth == Depth::None, of) {
        (false, _) => None,
        (true, ..2) => Some("#"),
        (true, _) => Some(LETTERS[series % LETTERS.len()]),
    }
}

/// The colour of a series; gray for the sum of those that are not drawn.
pub(super) fn role(chart: &Chart, series: usize) -> Role {
    if chart.series.get(series).is_some_and(|series| series.other) { Role::Dim } else { Role::Series(series) }
}

pub(super) fn draw(paint: &mut Paint, area: Rect, chart: &Chart) {
    let area = legend(paint, area, chart);
    if area.height < 3 || area.width < 12 {
        return;
    }
    if chart.mark.is_horizontal() {
        return bars::lying(paint, area, chart);
    }
    let plot = axes(paint, area, chart);
    match chart.mark {
        Mark::Bar | Mark::StackedBar => bars::standing(paint, plot, chart),
        Mark::Area => bars::areas(paint, plot, chart),
        _ => points(paint, plot, chart),
    }
    for guide in &chart.guides {
        let y = row(plot, &chart.y, guide.at);
        let text = format!("{} {}", paint.look.line().repeat(2), guide.label);
        let span = paint.span(Role::Warn, text);
        paint.line(Rect { y, height: 1, ..plot }, span);
    }
}

/// Names of several series, in a few lines where one is not enough; returns what is left below them.
fn legend(paint: &mut Paint, area: Rect, chart: &Chart) -> Rect {
    if chart.series.len() < 2 {
        return area;
    }
    let of = chart.series.len();
    let mut lines = vec![Vec::new()];
    let mut used = 0;
    for (index, series) in chart.series.iter().enumerate() {
        let sign = series_sign(paint.look, index, of).unwrap_or(if paint.look.ascii { "#" } else { "■" });
        let columns = width(&series.name, 24) + 4;
        if used > 0 && used + columns > usize::from(area.width) {
            lines.push(Vec::new());
            used = 0;
        }
        used += columns;
        if let Some(line) = lines.last_mut() {
            line.push(paint.span(role(chart, index), format!(" {sign} ")));
            line.push(paint.span(Role::Text, format!("{} ", paint.fit(&series.name, columns - 4))));
        }
    }
    // Where there is little room, the chart needs it more than its legend.
    lines.truncate(usize::from(area.height / 5).max(1));
    let height = u16::try_from(lines.len()).unwrap_or_default();
    paint.lines(area, lines.into_iter().map(Line::from));
    Rect { y: area.y + height, height: area.height.saturating_sub(height), ..area }
}

fn row(plot: Rect, axis: &Axis, value: f64) -> u16 {
    let up = share(axis, value) * f64::from(plot.height.saturating_sub(1));
    // Within the plot.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let up = up.round() as u16;
    plot.bottom().saturating_sub(1 + up)
}

/// Labels where the axes say; returns where to draw.
fn axes(paint: &mut Paint, area: Rect, chart: &Chart) -> Rect {
    let labels = chart.y.ticks.iter().map(|tick| width(&tick.label, 12)).max().unwrap_or_default();
    let margin = u16::try_from(labels + 1).unwrap_or_default().min(area.width / 3);
    let plot = Rect { x: area.x + margin, width: area.width - margin, height: area.height - 1, ..area };
    let mut lowest = u16::MAX;
    for tick in &chart.y.ticks {
        let y = row(plot, &chart.y, tick.at);
        // Two labels in one line would be one number too many.
        if lowest <= y {
            continue;
        }
        lowest = y;
        let text = paint.fit_right(&tick.label, usize::from(margin) - 1);
        let span = paint.span(Role::Dim, text);
        paint.line(Rect { y, height: 1, width: margin, ..area }, span);
        let rule = paint.span(Role::Frame, paint.look.middle().repeat(usize::from(plot.width)));
        paint.line(Rect { y, height: 1, ..plot }, rule);
    }
    let below = Rect { y: plot.bottom(), height: 1, ..plot };
    let places: Vec<(f64, &str)> = match &chart.x.scale {
        Scale::Category { names } => names.iter().enumerate().map(|(index, name)| (index as f64, name.as_str())).collect(),
        _ => chart.x.ticks.iter().map(|tick| (tick.at, tick.label.as_str())).collect(),
    };
    let mut end = below.x;
    for (at, label) in places {
        let middle = share(&chart.x, at) * f64::from(plot.width.saturating_sub(1));
        // Within the plot.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let middle = plot.x + middle.round() as u16;
        let columns = u16::try_from(width(label, 20)).unwrap_or_default();
        let x = middle.saturating_sub(columns / 2).max(below.x).min(below.right().saturating_sub(columns));
        // A label that would run into the one before is left out.
        if x >= end {
            let span = paint.span(Role::Dim, label);
            paint.line(Rect { x, width: columns.min(below.right().saturating_sub(x)), ..below }, span);
            end = x + columns + 1;
        }
    }
    plot
}

/// Lines or dots.
fn points(paint: &mut Paint, plot: Rect, chart: &Chart) {
    let of = chart.series.len();
    for (index, series) in chart.series.iter().enumerate() {
        let color = paint.style(role(chart, index)).fg.unwrap_or(Color::Reset);
        let marker = match series_sign(paint.look, index, of).and_then(|sign| sign.chars().next()) {
            Some('#') if !paint.look.ascii => Marker::Braille,
            Some('#') => Marker::Custom('*'),
            Some(letter) => Marker::Custom(letter),
            None => Marker::Braille,
        };
        let known: Vec<(f64, f64)> = series.points.iter().filter_map(|point| Some((point.x, point.y?))).collect();
        let joined: Vec<canvas::Line> = match chart.mark {
            Mark::Scatter => Vec::new(),
            _ => series
                .points
                .windows(2)
                .filter_map(|pair| Some(canvas::Line { x1: pair[0].x, y1: pair[0].y?, x2: pair[1].x, y2: pair[1].y?, color }))
                .collect(),
        };
        let canvas =
            Canvas::default().marker(marker).x_bounds([chart.x.min, chart.x.max]).y_bounds([chart.y.min, chart.y.max]).paint(|context| {
                context.draw(&Points { coords: &known, color });
                for line in &joined {
                    context.draw(line);
                }
            });
        paint.draw(plot, canvas);
    }
}

/// A figure's history as one line of bars, newest at the right; gaps where a value is missing.
pub(super) fn spark(paint: &Paint, history: &[Option<f64>], columns: usize) -> Span<'static> {
    let shown = &history[history.len().saturating_sub(columns)..];
    let known = || shown.iter().flatten().copied();
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let bar = |value: &Option<f64>| match value {
        None => " ",
        Some(_) if high <= low => paint.look.spark(0.5),
        Some(value) => paint.look.spark((value - low) / (high - low)),
    };
    paint.span(Role::Series(0), shown.iter().map(bar).collect::<String>())
}

pub(super) fn heatmap(paint: &mut Paint, area: Rect, map: &Heatmap) {
    let names = map.rows.iter().map(|row| width(&row.name, 20)).max().unwrap_or_default().min(usize::from(area.width) / 3);
    let space = usize::from(area.width).saturating_sub(names + 1);
    let cell = (space / map.columns.len().max(1)).clamp(1, 6);
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let mut end = 0;
    for (index, name) in map.columns.iter().enumerate() {
        let at = index * cell;
        if at >= end && at + width(name, 20) <= space {
            let span = paint.span(Role::Dim, name.clone());
            let x = head.x + u16::try_from(names + 1 + at).unwrap_or_default();
            paint.line(Rect { x, width: head.right().saturating_sub(x), ..head }, span);
            end = at + width(name, 20) + 1;
        }
    }
    let range = map.max.at - map.min.at;
    for (line, row) in area.rows().skip(1).take(usize::from(area.height).saturating_sub(2)).zip(&map.rows) {
        let mut spans = vec![paint.span(Role::Text, format!("{} ", paint.fit_right(&row.name, names)))];
        for value in row.cells.iter().take(space / cell.max(1)) {
            let Some(value) = value else {
                spans.push(paint.span(Role::Dim, paint.fit(paint.look.middle(), cell)));
                continue;
            };
            let share = if range > 0.0 { (value.at - map.min.at) / range } else { 0.5 };
            spans.push(shade(paint, share, cell));
        }
        paint.line(line, Line::from(spans));
    }
    let below = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let mut spans = vec![paint.span(Role::Dim, format!("{} {} ", " ".repeat(names), map.min.label))];
    spans.extend((0..10_u8).map(|step| shade(paint, f64::from(step) / 9.0, 1)));
    spans.push(paint.span(Role::Dim, format!(" {}", map.max.label)));
    paint.line(below, Line::from(spans));
}

/// A cell as dark as `share` says: a colour, or a sign where there are none.
fn shade(paint: &Paint, share: f64, columns: usize) -> Span<'static> {
    const SHADES: [&str; 5] = [".", ":", "+", "#", "@"];
    if paint.look.depth == Depth::None || paint.look.ascii {
        return Span::styled(SHADES[crate::tui::look::rank(share, SHADES.len())].repeat(columns), paint.look.heat(share));
    }
    Span::styled(paint.look.bar().repeat(columns), paint.look.heat(share))
}
