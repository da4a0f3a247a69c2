//! Bars, vertical and horizontal, and filled areas, with a resolution of an eighth of a cell.

use materia::dashboard::{Chart, Mark, Scale, Series};
use ratatui::{layout::Rect, text::Span};

use super::{Canvas, charts::series_sign, series_colors::series_style};
use crate::{
    text::width,
    theme::{ColorDepth, StyleRole, rank},
};

/// Fills cells in one column of a plot from one height to another; heights are shares of the
/// plot's.
fn fill(
    canvas: &mut Canvas,
    plot: Rect,
    x: u16,
    [from, to]: [f64; 2],
    series: usize,
    chart: &Chart,
) {
    const LOWER: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let total = usize::from(plot.height) * 8;
    let (low, high) = (rank(from.min(to), total + 1), rank(from.max(to), total + 1));
    let style = chart.series.get(series).map(|one| series_style(canvas, one)).unwrap_or_default();
    let letter = series_sign(canvas.theme, series, chart.series.len());
    for line in 0..usize::from(plot.height) {
        let cell = line * 8..line * 8 + 8;
        let (begin, end) = (low.max(cell.start), high.min(cell.end));
        if begin >= end {
            continue;
        }
        let y = plot.bottom() - 1 - u16::try_from(line).unwrap_or_default();
        let Some(spot) = canvas.frame.buffer_mut().cell_mut((x, y)) else { continue };
        match letter {
            Some(letter) if end - begin >= 4 => {
                spot.set_symbol(letter).set_style(style);
            }
            Some(_) => {}
            None if begin == cell.start => {
                spot.set_symbol(LOWER[end - begin]).set_style(style);
            }
            // It begins above another one, which keeps the lower part of the cell.
            None if spot.symbol() != " " && spot.symbol() != "█" => {
                spot.set_bg(style.fg.unwrap_or_default());
            }
            None => {
                spot.set_symbol(LOWER[8]).set_style(style);
            }
        }
    }
}

/// Makes the cells of a forecast's bar in one column lighter.
fn shade(canvas: &mut Canvas, plot: Rect, x: u16, [from, to]: [f64; 2]) {
    let lines = usize::from(plot.height);
    let (low, high) = (rank(from.min(to), lines + 1), rank(from.max(to), lines + 1));
    for line in low..high {
        let y = plot.bottom().saturating_sub(1 + u16::try_from(line).unwrap_or_default());
        let Some(spot) = canvas.frame.buffer_mut().cell_mut((x, y)) else { continue };
        if spot.symbol() == "█" {
            spot.set_symbol("▒");
        }
    }
}

/// Returns half the width of a bar along x, in the axis' own units.
fn half_width(chart: &Chart) -> f64 {
    if let Scale::Category { .. } = chart.x.scale {
        return 0.4;
    }
    let mut places: Vec<f64> =
        chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.x)).collect();
    places.sort_by(f64::total_cmp);
    let gap = places
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|gap| *gap > 0.0)
        .fold(f64::INFINITY, f64::min);
    if gap.is_finite() { gap * 0.4 } else { (chart.x.max - chart.x.min) * 0.05 }
}

/// Draws vertical bars, grouped or stacked.
pub(super) fn vertical_bars(canvas: &mut Canvas, plot: Rect, chart: &Chart) {
    let half = half_width(chart);
    let bars = || chart.series.iter().enumerate().filter(|(_, series)| !series.line);
    let of = bars().count().max(1);
    let zero = chart.y.fraction(0.0);
    let column = |x: f64| f64::from(plot.width) * chart.x.fraction(x);
    let mut stacks = std::collections::HashMap::<u64, f64>::new();
    for (index, series) in bars() {
        for point in &series.points {
            let Some(y) = point.y else { continue };
            let (mut left, mut right) = (column(point.x - half), column(point.x + half));
            let mut from = 0.0;
            if chart.mark == Mark::Bar {
                let each = (right - left) / of as f64;
                (left, right) = (left + each * index as f64, left + each * (index + 1) as f64);
            } else if chart.mark == Mark::Waterfall {
                from = point.from.unwrap_or_default();
            } else {
                let stack = stacks.entry(point.x.to_bits() ^ u64::from(y < 0.0)).or_default();
                from = *stack;
                *stack += y;
            }
            let heights = if chart.mark == Mark::Bar {
                [zero, chart.y.fraction(y)]
            } else {
                [chart.y.fraction(from), chart.y.fraction(from + y)]
            };
            let (left, right) = (cells(left), cells(right).max(cells(left) + 1));
            for x in left..right.min(plot.width) {
                fill(canvas, plot, plot.x + x, heights, index, chart);
                if point.forecast {
                    shade(canvas, plot, plot.x + x, heights);
                }
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

/// Draws stacked areas, each column of cells at its position along x.
pub(super) fn areas(canvas: &mut Canvas, plot: Rect, chart: &Chart) {
    for column in 0..plot.width {
        let x = chart.x.min
            + (chart.x.max - chart.x.min) * (f64::from(column) + 0.5)
                / f64::from(plot.width.max(1));
        let mut from = 0.0;
        let cell = (chart.x.max - chart.x.min) / f64::from(plot.width.max(1));
        for (index, series) in chart.series.iter().enumerate() {
            // A single value fills its column.
            let alone = || {
                let near = |piece: &&[materia::dashboard::Point]| {
                    piece.len() == 1 && (piece[0].x - x).abs() <= cell / 2.0
                };
                series.pieces().find(near).and_then(|piece| piece[0].y)
            };
            let Some(y) = at(series, x).or_else(alone) else { continue };
            fill(
                canvas,
                plot,
                plot.x + column,
                [chart.y.fraction(from), chart.y.fraction(from + y)],
                index,
                chart,
            );
            from += y;
        }
    }
}

/// Interpolates a series' value between its points; `None` before the first, after the last, and
/// next to missing ones.
fn at(series: &materia::dashboard::Series, x: f64) -> Option<f64> {
    let after = series.points.iter().position(|point| point.x >= x)?;
    let (one, two) = (&series.points[after.checked_sub(1).unwrap_or(after)], &series.points[after]);
    if two.x <= one.x {
        return if (two.x - x).abs() < f64::EPSILON { two.y } else { None };
    }
    let part = (x - one.x) / (two.x - one.x);
    if two.after_gap {
        return None;
    }
    Some(one.y? + (two.y? - one.y?) * part)
}

/// Returns the width of the names, and for each name its line with the remaining area.
fn named_lines(area: Rect, names: &[String]) -> (usize, Vec<(Rect, Rect)>) {
    let longest = names.iter().map(|name| width(name, 24)).max().unwrap_or_default();
    let longest = longest.min(usize::from(area.width) / 3);
    let label = u16::try_from(longest).unwrap_or_default();
    let split = |row: Rect| {
        let right =
            Rect { x: row.x + label + 1, width: row.width.saturating_sub(label + 1), ..row };
        (Rect { width: label, ..row }, right)
    };
    (longest, area.rows().map(split).collect())
}

/// Draws two dots on each line and the distance between them.
pub(super) fn dumbbells(canvas: &mut Canvas, area: Rect, chart: &Chart) {
    let (Scale::Category { names }, [one, other]) = (&chart.x.scale, chart.series.as_slice())
    else {
        return;
    };
    let (longest, lines) = named_lines(area, names);
    for (place, (name, (left, right))) in names.iter().zip(lines).enumerate() {
        let span = canvas.span(StyleRole::Text, canvas.fit_right(name, longest));
        canvas.line(left, span);
        let column = |series: &Series| {
            let y = series.points.get(place)?.y?;
            Some(cells(chart.y.fraction(y) * f64::from(right.width.saturating_sub(1))))
        };
        let (from, to) = (column(one), column(other));
        if let (Some(from), Some(to)) = (from, to) {
            let (begin, end) = (from.min(to), from.max(to));
            let line = canvas.theme.line().repeat(usize::from(end - begin));
            let span = canvas.span(StyleRole::Frame, line);
            canvas.line(Rect { x: right.x + begin, width: end - begin, ..right }, span);
        }
        for (index, (series, at)) in [(one, from), (other, to)].into_iter().enumerate() {
            let Some(at) = at else { continue };
            let sign = series_sign(canvas.theme, index, 2).unwrap_or("●");
            let span = Span::styled(sign, series_style(canvas, series));
            canvas.line(Rect { x: right.x + at, width: 1, ..right }, span);
        }
    }
}

/// Draws the sectors of a ring as bars of their shares.
pub(super) fn sectors(canvas: &mut Canvas, area: Rect, chart: &Chart) {
    let names: Vec<String> = chart.series.iter().map(|series| series.name.clone()).collect();
    let of = chart.series.len();
    let (longest, lines) = named_lines(area, &names);
    let shown = |series: &Series| series.points.first().map(|point| point.y_shown.clone());
    let values = chart.series.iter().filter_map(shown).map(|text| width(&text, 30)).max();
    let values = u16::try_from(values.unwrap_or_default() + 1).unwrap_or_default();
    for (index, (series, (left, right))) in chart.series.iter().zip(lines).enumerate() {
        let span = canvas.span(StyleRole::Text, canvas.fit_right(&series.name, longest));
        canvas.line(left, span);
        let Some(point) = series.points.first() else { continue };
        let share = chart.y.fraction(point.y.unwrap_or_default());
        let bar = cells(share * f64::from(right.width.saturating_sub(values)));
        let sign = series_sign(canvas.theme, index, of).unwrap_or(canvas.theme.bar());
        let span = Span::styled(sign.repeat(usize::from(bar)), series_style(canvas, series));
        canvas.line(Rect { width: bar, ..right }, span);
        let value = canvas.span(StyleRole::Dim, format!(" {}", point.y_shown));
        let room = right.width.saturating_sub(bar);
        canvas.line(Rect { x: right.x + bar, width: room, ..right }, value);
    }
}

/// Draws a box from the lower to the upper quartile, with whiskers to the minimum and the maximum.
pub(super) fn boxes(canvas: &mut Canvas, plot: Rect, chart: &Chart) {
    let [lowest, lower, median, upper, highest] = chart.series.as_slice() else { return };
    let value = |series: &Series, at: usize| series.points.get(at).and_then(|point| point.y);
    let half = half_width(chart) / 2.0;
    for (at, point) in median.points.iter().enumerate() {
        let all = [lowest, lower, median, upper, highest].map(|series| value(series, at));
        if all.iter().any(Option::is_none) {
            continue;
        }
        let shares = all.map(|y| chart.y.fraction(y.unwrap_or_default()));
        let row = |share: f64| {
            let up = cells(share * f64::from(plot.height.saturating_sub(1)));
            plot.bottom().saturating_sub(1 + up)
        };
        let [low, box_end, middle, box_begin, high] = shares.map(row);
        let column = |x: f64| plot.x + cells(chart.x.fraction(x) * f64::from(plot.width));
        let (left, right) =
            (column(point.x - half), column(point.x + half).max(column(point.x - half) + 1));
        let ascii = canvas.theme.ascii;
        let mut put = |x: u16, y: u16, sign: &'static str, role: StyleRole| {
            let span = canvas.span(role, sign);
            canvas.line(Rect { x, y, width: 1, height: 1 }, span);
        };
        for y in high..=low {
            put(left + (right - left) / 2, y, if ascii { "|" } else { "│" }, StyleRole::Series(0));
        }
        for x in left..right.min(plot.right()) {
            for y in box_begin..=box_end {
                put(x, y, if ascii { "#" } else { "▒" }, StyleRole::Series(0));
            }
            put(x, middle, if ascii { "=" } else { "━" }, StyleRole::Strong);
        }
    }
}

/// Draws horizontal bars, each on a separate line with its value after it.
pub(super) fn horizontal_bars(canvas: &mut Canvas, area: Rect, chart: &Chart) {
    let Scale::Category { names } = &chart.x.scale else { return };
    let of = chart.series.len();
    let longest = names
        .iter()
        .map(|name| width(name, 24))
        .max()
        .unwrap_or_default()
        .min(usize::from(area.width) / 3);
    let label = u16::try_from(longest).unwrap_or_default();
    let widest = |series: &materia::dashboard::Series| {
        series.points.iter().map(|point| width(&point.y_shown, 16)).max().unwrap_or_default()
    };
    let values = u16::try_from(chart.series.iter().map(widest).max().unwrap_or_default() + 1)
        .unwrap_or_default();
    let bars = area.width.saturating_sub(label + 1 + values);
    let each = if chart.mark.is_stacked() { 1 } else { of };
    let mut lines = area.rows();
    for (place, name) in names.iter().enumerate() {
        for line in 0..each {
            let Some(row) = lines.next() else { return };
            let text = if line == 0 { canvas.fit_right(name, longest) } else { String::new() };
            let span = canvas.span(StyleRole::Text, text);
            canvas.line(Rect { width: label, ..row }, span);
            let mut from = 0.0;
            let mut written = String::new();
            for (index, series) in chart
                .series
                .iter()
                .enumerate()
                .filter(|(index, _)| chart.mark.is_stacked() || *index == line)
            {
                let there = series.points.iter().find(|point| (point.x - place as f64).abs() < 0.5);
                let Some((found, y)) = there.and_then(|found| Some((found, found.y?))) else {
                    continue;
                };
                let ends = [chart.y.fraction(from), chart.y.fraction(from + y)]
                    .map(|share| cells(share * f64::from(bars)));
                let (left, right) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
                let sign = series_sign(canvas.theme, index, of).unwrap_or(
                    if canvas.theme.depth == ColorDepth::None { "#" } else { canvas.theme.bar() },
                );
                let bar = Span::styled(
                    sign.repeat(usize::from(right - left)),
                    series_style(canvas, series),
                );
                let spot = Rect { x: row.x + label + 1 + left, width: right - left, ..row };
                canvas.line(spot, bar);
                from += y;
                written.clone_from(&found.y_shown);
            }
            if !chart.mark.is_stacked() {
                let end = cells(chart.y.fraction(from.max(0.0)) * f64::from(bars));
                let x = row.x + label + 1 + end;
                let span = canvas.span(StyleRole::Dim, format!(" {written}"));
                canvas.line(Rect { x, width: row.right().saturating_sub(x), ..row }, span);
            }
        }
    }
}
