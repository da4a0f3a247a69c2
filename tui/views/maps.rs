//! Maps: outlines and dots in Braille, countries with values as colored cells.

use materia::dashboard::{
    Map, Series,
    world::{Country, Position, countries, crossings, find_country, position_within},
};
use ratatui::{
    layout::Rect,
    style::Color,
    symbols::Marker,
    text::Line,
    widgets::canvas::{self, Points},
};

use super::{
    Canvas,
    charts::{legend, series_sign, shade},
    series_colors::series_style,
};
use crate::theme::{ColorDepth, StyleRole};

/// A terminal's cell is about twice as high as wide.
const CELL: f64 = 2.0;

pub(super) fn draw(canvas: &mut Canvas, area: Rect, map: &Map) {
    let area = legend(canvas, area, &map.dots);
    let area = limits(canvas, area, map);
    if area.height < 3 || area.width < 12 {
        return;
    }
    let plot = fitted(area, map.frame.aspect());
    outlines(canvas, plot, map);
    for country in &map.countries {
        let share = intensity(map, map.shade(country.value.at));
        if let Some(found) = find_country(country.code) {
            fill(canvas, plot, map, found, share);
        }
    }
    let of = map.dots.series.len();
    for (index, series) in map.dots.series.iter().enumerate() {
        dots(canvas, plot, map, series, series_sign(canvas.theme, index, of));
    }
}

/// Returns the position of a color on the scale, from 0 to 1, of which the first half is for
/// negative values if there are any.
fn intensity(map: &Map, shade: f64) -> f64 {
    let has_negative = map.limits.first().is_some_and(|limit| limit.at < 0.0);
    if has_negative { f64::midpoint(shade, 1.0) } else { shade }
}

/// Draws the limits between the colors below the map; returns the remaining area.
fn limits(canvas: &mut Canvas, area: Rect, map: &Map) -> Rect {
    if map.limits.len() < 2 || map.dots.series.len() > 1 || area.height < 6 {
        return area;
    }
    let below = Rect { y: area.bottom() - 1, height: 1, ..area };
    let mut spans = Vec::new();
    for (span, limit) in map.limits.iter().enumerate() {
        spans.push(canvas.span(StyleRole::Dim, format!(" {} ", limit.label)));
        if span + 1 < map.limits.len() {
            spans.push(shade(canvas, intensity(map, map.shade_of(span)), 2));
        }
    }
    canvas.line(below, Line::from(spans));
    Rect { height: area.height - 1, ..area }
}

/// Returns the largest area with the ratio of the map, in the middle.
fn fitted(area: Rect, aspect: f64) -> Rect {
    // Fewer than the cells of the area.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cells = |length: f64| length.round().max(1.0) as u16;
    let columns = cells(f64::from(area.height) * CELL * aspect).min(area.width);
    let rows = cells(f64::from(columns) / aspect / CELL).min(area.height);
    Rect { x: area.x + (area.width - columns) / 2, width: columns, height: rows, ..area }
}

/// Returns the marker for the dots of a drawing.
fn marker(canvas: &Canvas, sign: Option<&str>) -> Marker {
    match sign.and_then(|sign| sign.chars().next()) {
        Some(letter) if letter != '#' => Marker::Custom(letter),
        _ if canvas.theme.ascii => Marker::Custom('o'),
        _ => Marker::Braille,
    }
}

/// Draws the borders of all countries.
fn outlines(canvas: &mut Canvas, plot: Rect, map: &Map) {
    let color = canvas.style(StyleRole::Frame).fg.unwrap_or(Color::Reset);
    let upward = |position: Position| {
        let (x, y) = map.frame.project(position);
        (x, 1.0 - y)
    };
    let rings = countries().iter().flat_map(|country| &country.rings);
    let visible = rings.filter(|ring| map.frame.overlaps(ring));
    let mut lines = Vec::new();
    for ring in visible {
        for pair in ring.windows(2) {
            let ((x1, y1), (x2, y2)) = (upward(pair[0]), upward(pair[1]));
            lines.push(canvas::Line { x1, y1, x2, y2, color });
        }
    }
    let marker = if canvas.theme.ascii { Marker::Custom('.') } else { Marker::Braille };
    let drawing =
        canvas::Canvas::default().marker(marker).x_bounds([0.0, 1.0]).y_bounds([0.0, 1.0]).paint(
            |context| {
                for line in &lines {
                    context.draw(line);
                }
            },
        );
    canvas.draw(plot, drawing);
}

/// Colors the cells whose middle is within a country, and at least one.
fn fill(canvas: &mut Canvas, plot: Rect, map: &Map, country: &Country, share: f64) {
    let (columns, rows) = (f64::from(plot.width), f64::from(plot.height));
    let on_cells = |position: &Position| {
        let (x, y) = map.frame.project(*position);
        (x * columns, y * rows)
    };
    let rings: Vec<Vec<Position>> =
        country.rings.iter().map(|ring| ring.iter().map(on_cells).collect()).collect();
    let mut is_visible = false;
    for row in 0..plot.height {
        let y = f64::from(row) + 0.5;
        let mut edges: Vec<f64> = rings.iter().flat_map(|ring| crossings(ring, y)).collect();
        edges.sort_by(f64::total_cmp);
        for pair in edges.chunks_exact(2) {
            for column in 0..plot.width {
                let x = f64::from(column) + 0.5;
                if pair[0] <= x && x < pair[1] {
                    let span = shade(canvas, share, 1);
                    canvas.line(cell(plot, column, row), span);
                    is_visible = true;
                }
            }
        }
    }
    let mark = country.spot.or_else(|| country.mainland().and_then(position_within));
    if let (false, Some(mark)) = (is_visible, mark) {
        let (x, y) = on_cells(&mark);
        let within = (0.0..columns).contains(&x) && (0.0..rows).contains(&y);
        // Within the plot.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (column, row) = (x.max(0.0) as u16, y.max(0.0) as u16);
        if within {
            let span = shade(canvas, share, 1);
            canvas.line(cell(plot, column, row), span);
        }
    }
}

fn cell(plot: Rect, column: u16, row: u16) -> Rect {
    Rect { x: plot.x + column, y: plot.y + row, width: 1, height: 1 }
}

/// Draws the dots of a series: in Braille as small crosses, since a single point is hardly visible.
fn dots(canvas: &mut Canvas, plot: Rect, map: &Map, series: &Series, sign: Option<&str>) {
    let marker = marker(canvas, sign);
    let own = series_style(canvas, series).fg.unwrap_or(Color::Reset);
    let is_shaded = !map.limits.is_empty() && canvas.theme.depth != ColorDepth::None;
    let (right, up) = (0.5 / f64::from(plot.width), 0.25 / f64::from(plot.height));
    let mut drawn = Vec::new();
    for point in &series.points {
        let Some(latitude) = point.y else { continue };
        let (x, y) = map.frame.project((point.x, latitude));
        let y = 1.0 - y;
        let value = point.value.as_ref().filter(|_| is_shaded);
        let share = value.map(|value| intensity(map, map.shade(value.at)));
        let color = share.and_then(|share| canvas.theme.heat(share).fg).unwrap_or(own);
        let cross = [(0.0, 0.0), (right, 0.0), (-right, 0.0), (0.0, up), (0.0, -up)];
        let places = if marker == Marker::Braille { cross.as_slice() } else { &cross[..1] };
        let places: Vec<(f64, f64)> = places.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        drawn.push((places, color));
    }
    let drawing =
        canvas::Canvas::default().marker(marker).x_bounds([0.0, 1.0]).y_bounds([0.0, 1.0]).paint(
            |context| {
                for (coords, color) in &drawn {
                    context.draw(&Points { coords, color: *color });
                }
            },
        );
    canvas.draw(plot, drawing);
}
