//! Charts with two axes, heatmaps, and sparklines.

use materia::dashboard::{Axis, Chart, Heatmap, Mark, Point, Scale, Series};
use ratatui::{
    layout::Rect,
    style::{Color, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::canvas::{self, Points},
};

use super::{Canvas, bars, series_colors::series_style};
use crate::{
    text::width,
    theme::{ColorDepth, StyleRole, Theme},
};

/// Returns a letter that identifies a series if colors cannot; `None` if they do.
pub(super) fn series_sign(theme: Theme, series: usize, of: usize) -> Option<&'static str> {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    match (theme.ascii || theme.depth == ColorDepth::None, of) {
        (false, _) => None,
        (true, ..2) => Some("#"),
        (true, _) => {
            let place = series % LETTERS.len();
            LETTERS.get(place..=place)
        }
    }
}

pub(super) fn draw(canvas: &mut Canvas, area: Rect, chart: &Chart) {
    let area = legend(canvas, area, chart);
    let area = titles(canvas, area, chart);
    if area.height < 3 || area.width < 12 {
        return;
    }
    match chart.mark {
        Mark::Donut => return bars::sectors(canvas, area, chart),
        Mark::Dumbbell => return bars::dumbbells(canvas, area, chart),
        _ if chart.mark.is_horizontal() => return bars::horizontal_bars(canvas, area, chart),
        _ => {}
    }
    let plot = axes(canvas, area, chart);
    match chart.mark {
        Mark::Bar | Mark::StackedBar | Mark::Waterfall => {
            bars::vertical_bars(canvas, plot, chart);
            points(canvas, plot, chart, |series| series.line);
        }
        Mark::BoxPlot => bars::boxes(canvas, plot, chart),
        Mark::Area => bars::areas(canvas, plot, chart),
        _ => points(canvas, plot, chart, |_| true),
    }
    for event in &chart.events {
        let x = column(plot, &chart.x, event.at);
        for row in plot.rows() {
            let span = canvas.span(StyleRole::Warn, if canvas.theme.ascii { "|" } else { "│" });
            canvas.line(Rect { x, width: 1, ..row }, span);
        }
        let span = canvas.span(StyleRole::Warn, format!(" {}", event.label));
        let right = plot.right().saturating_sub(x + 1);
        canvas.line(Rect { x: x + 1, width: right, height: 1, ..plot }, span);
    }
    for guide in &chart.guides {
        let y = row(plot, &chart.y, guide.at);
        let text = format!("{} {}", canvas.theme.line().repeat(2), guide.label);
        let span = canvas.span(StyleRole::Warn, text);
        canvas.line(Rect { y, height: 1, ..plot }, span);
    }
}

/// Draws the legend, in several lines if necessary; returns the remaining area below it.
pub(super) fn legend(canvas: &mut Canvas, area: Rect, chart: &Chart) -> Rect {
    if chart.series.len() < 2 || !chart.mark.has_legend() || chart.mark == Mark::Donut {
        return area;
    }
    let of = chart.series.len();
    let mut lines = vec![Vec::new()];
    let mut used = 0;
    for (index, series) in chart.series.iter().enumerate() {
        let sign = series_sign(canvas.theme, index, of).unwrap_or(if canvas.theme.ascii {
            "#"
        } else {
            "■"
        });
        let name = named_side(series, chart);
        let columns = width(&name, 40) + 4;
        if used > 0 && used + columns > usize::from(area.width) {
            lines.push(Vec::new());
            used = 0;
        }
        used += columns;
        if let Some(line) = lines.last_mut() {
            line.push(Span::styled(format!(" {sign} "), series_style(canvas, series)));
            line.push(canvas.span(StyleRole::Text, format!("{} ", canvas.fit(&name, columns - 4))));
        }
    }
    // In a small area, the chart takes precedence over its legend.
    lines.truncate(usize::from(area.height / 5).max(1));
    let height = u16::try_from(lines.len()).unwrap_or_default();
    canvas.lines(area, lines.into_iter().map(Line::from));
    Rect { y: area.y + height, height: area.height.saturating_sub(height), ..area }
}

/// Returns a series' name with the right axis, whose ticks have no separate space.
fn named_side(series: &Series, chart: &Chart) -> String {
    let ends = chart.right.as_ref().filter(|_| series.right).and_then(|right| {
        let (first, last) = (right.ticks.first()?, right.ticks.last()?);
        Some(format!("{} ({} to {})", series.name, first.label, last.label))
    });
    ends.unwrap_or_else(|| series.name.clone())
}

/// Draws the titles of the axes, the vertical one above the drawing and the other below; returns
/// the remaining area.
fn titles(canvas: &mut Canvas, mut area: Rect, chart: &Chart) -> Rect {
    let horizontal = chart.mark.is_horizontal();
    let (across, side) = if horizontal { (&chart.y, &chart.x) } else { (&chart.x, &chart.y) };
    if side.has_title && area.height > 8 {
        let span = canvas.span(StyleRole::Dim, canvas.fit(&side.title, usize::from(area.width)));
        canvas.line(area, span);
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    if across.has_title && area.height > 8 {
        let columns = width(&across.title, usize::from(area.width));
        let text = canvas.fit(&across.title, columns);
        let left = (usize::from(area.width) - columns) / 2;
        let span = canvas.span(StyleRole::Dim, format!("{}{text}", " ".repeat(left)));
        canvas.line(Rect { y: area.bottom() - 1, height: 1, ..area }, span);
        area.height -= 1;
    }
    area
}

fn column(plot: Rect, axis: &Axis, value: f64) -> u16 {
    let right = axis.fraction(value) * f64::from(plot.width.saturating_sub(1));
    // Within the plot.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let right = right.round() as u16;
    plot.x + right
}

fn row(plot: Rect, axis: &Axis, value: f64) -> u16 {
    let up = axis.fraction(value) * f64::from(plot.height.saturating_sub(1));
    // Within the plot.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let up = up.round() as u16;
    plot.bottom().saturating_sub(1 + up)
}

/// Draws the labels of the axes; returns the area of the plot.
fn axes(canvas: &mut Canvas, area: Rect, chart: &Chart) -> Rect {
    let labels = chart.y.ticks.iter().map(|tick| width(&tick.label, 12)).max().unwrap_or_default();
    let margin = u16::try_from(labels + 1).unwrap_or_default().min(area.width / 3);
    let plot =
        Rect { x: area.x + margin, width: area.width - margin, height: area.height - 1, ..area };
    let mut lowest = u16::MAX;
    for tick in &chart.y.ticks {
        let y = row(plot, &chart.y, tick.at);
        // A line has room for only one label.
        if lowest <= y {
            continue;
        }
        lowest = y;
        let text = canvas.fit_right(&tick.label, usize::from(margin) - 1);
        let span = canvas.span(StyleRole::Dim, text);
        canvas.line(Rect { y, height: 1, width: margin, ..area }, span);
        let rule =
            canvas.span(StyleRole::Frame, canvas.theme.middle().repeat(usize::from(plot.width)));
        canvas.line(Rect { y, height: 1, ..plot }, rule);
    }
    let below = Rect { y: plot.bottom(), height: 1, ..plot };
    let places: Vec<(f64, &str)> = match &chart.x.scale {
        Scale::Category { names } => {
            names.iter().enumerate().map(|(index, name)| (index as f64, name.as_str())).collect()
        }
        _ => chart.x.ticks.iter().map(|tick| (tick.at, tick.label.as_str())).collect(),
    };
    let mut end = below.x;
    for (at, label) in places {
        let middle = chart.x.fraction(at) * f64::from(plot.width.saturating_sub(1));
        // Within the plot.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let middle = plot.x + middle.round() as u16;
        let columns = u16::try_from(width(label, 20)).unwrap_or_default();
        let x = middle
            .saturating_sub(columns / 2)
            .max(below.x)
            .min(below.right().saturating_sub(columns));
        // A label that would overlap the previous one is omitted.
        if x >= end {
            let span = canvas.span(StyleRole::Dim, label);
            canvas.line(
                Rect { x, width: columns.min(below.right().saturating_sub(x)), ..below },
                span,
            );
            end = x + columns + 1;
        }
    }
    plot
}

/// Draws lines or dots.
fn points(canvas: &mut Canvas, plot: Rect, chart: &Chart, is_drawn: fn(&Series) -> bool) {
    let of = chart.series.len();
    for (index, series) in chart.series.iter().enumerate().filter(|(_, one)| is_drawn(one)) {
        let axis = chart.right.as_ref().filter(|_| series.right).unwrap_or(&chart.y);
        let place = |point: &Point| Some((chart.x.fraction(point.x), axis.fraction(point.y?)));
        let color = series_style(canvas, series).fg.unwrap_or(Color::Reset);
        let marker = match series_sign(canvas.theme, index, of).and_then(|sign| sign.chars().next())
        {
            Some('#') if !canvas.theme.ascii => Marker::Braille,
            Some('#') => Marker::Custom('*'),
            Some(letter) => Marker::Custom(letter),
            None => Marker::Braille,
        };
        let known: Vec<(f64, f64)> = series.points.iter().filter_map(place).collect();
        let pieces = || series.pieces().filter(|_| chart.mark != Mark::Scatter);
        let joined: Vec<canvas::Line> = pieces()
            .flat_map(|piece| piece.windows(2))
            .filter_map(|pair| {
                let ((x1, y1), (x2, y2)) = (place(&pair[0])?, place(&pair[1])?);
                Some(canvas::Line { x1, y1, x2, y2, color })
            })
            .collect();
        // A single Braille dot is hardly visible.
        let alone: Vec<(f64, f64)> = pieces()
            .filter_map(|piece| if let [only] = piece { place(only) } else { None })
            .filter(|_| marker == Marker::Braille)
            .collect();
        let drawing = canvas::Canvas::default()
            .marker(marker)
            .x_bounds([0.0, 1.0])
            .y_bounds([0.0, 1.0])
            .paint(|context| {
                context.draw(&Points { coords: &known, color });
                for line in &joined {
                    context.draw(line);
                }
                for (x, y) in &alone {
                    let dot = Span::styled("●", Style::new().fg(color));
                    context.print(*x, *y, dot);
                }
            });
        canvas.draw(plot, drawing);
    }
}

/// Returns a figure's history as a line of bars, newest at the right, with gaps where values are
/// missing.
pub(super) fn spark(canvas: &Canvas, history: &[Option<f64>], columns: usize) -> Span<'static> {
    let shown = &history[history.len().saturating_sub(columns)..];
    let known = || shown.iter().flatten().copied();
    let (low, high) =
        (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let bar = |value: &Option<f64>| match value {
        None => " ",
        Some(_) if high <= low => canvas.theme.spark(0.5),
        Some(value) => canvas.theme.spark((value - low) / (high - low)),
    };
    canvas.span(StyleRole::Series(0), shown.iter().map(bar).collect::<String>())
}

pub(super) fn heatmap(canvas: &mut Canvas, area: Rect, map: &Heatmap) {
    let names = map
        .rows
        .iter()
        .map(|row| width(&row.name, 20))
        .max()
        .unwrap_or_default()
        .min(usize::from(area.width) / 3);
    let space = usize::from(area.width).saturating_sub(names + 1);
    let cell = (space / map.columns.len().max(1)).clamp(1, 6);
    let mut lines = area.rows();
    let Some(head) = lines.next() else { return };
    let mut end = 0;
    for (index, name) in map.columns.iter().enumerate() {
        let at = index * cell;
        if at >= end && at + width(name, 20) <= space {
            let span = canvas.span(StyleRole::Dim, name.clone());
            let x = head.x + u16::try_from(names + 1 + at).unwrap_or_default();
            canvas.line(Rect { x, width: head.right().saturating_sub(x), ..head }, span);
            end = at + width(name, 20) + 1;
        }
    }
    let range = map.max.at - map.min.at;
    for (line, row) in
        area.rows().skip(1).take(usize::from(area.height).saturating_sub(2)).zip(&map.rows)
    {
        let mut spans =
            vec![canvas.span(StyleRole::Text, format!("{} ", canvas.fit_right(&row.name, names)))];
        for value in row.cells.iter().take(space / cell.max(1)) {
            let Some(value) = value else {
                spans.push(canvas.span(StyleRole::Dim, canvas.fit(canvas.theme.middle(), cell)));
                continue;
            };
            let share = if range > 0.0 { (value.at - map.min.at) / range } else { 0.5 };
            spans.push(shade(canvas, share, cell));
        }
        canvas.line(line, Line::from(spans));
    }
    let below = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let mut spans =
        vec![canvas.span(StyleRole::Dim, format!("{} {} ", " ".repeat(names), map.min.label))];
    spans.extend((0..10_u8).map(|step| shade(canvas, f64::from(step) / 9.0, 1)));
    spans.push(canvas.span(StyleRole::Dim, format!(" {}", map.max.label)));
    canvas.line(below, Line::from(spans));
}

/// Returns a cell whose darkness is `share`: a color, or a sign without colors.
pub(super) fn shade(canvas: &Canvas, share: f64, columns: usize) -> Span<'static> {
    const SHADES: [&str; 5] = [".", ":", "+", "#", "@"];
    if canvas.theme.depth == ColorDepth::None || canvas.theme.ascii {
        return Span::styled(
            SHADES[crate::theme::rank(share, SHADES.len())].repeat(columns),
            canvas.theme.heat(share),
        );
    }
    Span::styled(canvas.theme.bar().repeat(columns), canvas.theme.heat(share))
}
