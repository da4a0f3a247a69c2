//! Drawing of rows, their headings and the summary line.

use materia::humanize;
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::{Grid, MAX_SQL_ROWS, RowSource};
use crate::{layout, message::ClickTarget, text::wrap, theme::StyleRole, views::Canvas};

/// Draws the rows; `active` marks the selected cell.
pub(crate) fn draw(canvas: &mut Canvas, area: Rect, grid: &Grid, active: bool) {
    let [headings, body, below] = layout::list(area);
    let body = match &grid.error {
        Some(error) if grid.pending.is_none() => draw_error(canvas, headings.union(body), error),
        _ => {
            draw_rows(canvas, headings, body, grid, active);
            Rect::ZERO
        }
    };
    // The rows of the previous query remain below its error.
    if body.height > 1 && !grid.rows.is_empty() {
        let headings = Rect { height: 1, ..body };
        let rows = Rect { y: body.y + 1, height: body.height - 1, ..body };
        draw_rows(canvas, headings, rows, grid, false);
    }
    let spans = summary(canvas, grid);
    canvas.line(below, Line::from(spans));
}

fn draw_rows(canvas: &mut Canvas, headings: Rect, body: Rect, grid: &Grid, active: bool) {
    let gutter = layout::gutter(grid.len());
    let shown = grid.visible_columns(usize::from(body.width).saturating_sub(gutter));
    draw_heading(canvas, headings, grid, gutter, &shown);
    let view = grid.cursor.visible_range(grid.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let line = line(canvas, grid, index, gutter, &shown, active);
        canvas.line(row, line);
        if grid.is_outdated() {
            canvas.dim(row);
        }
        canvas.add_click_area(row, ClickTarget::Cell(index, grid.column));
        let mut x = row.x + u16::try_from(gutter).unwrap_or_default();
        for (column, columns) in &shown {
            let columns = u16::try_from(columns + 2).unwrap_or_default();
            let cell = Rect { x, width: columns, ..row };
            canvas.add_click_area(cell, ClickTarget::Cell(index, *column));
            x += columns;
        }
    }
}

/// Draws an error; returns the area below it. The query line quoted by DuckDB is not wrapped, so
/// that the caret stays under the position that it marks.
fn draw_error(canvas: &mut Canvas, area: Rect, error: &str) -> Rect {
    let columns = usize::from(area.width).saturating_sub(2);
    let texts: Vec<&str> = error.lines().collect();
    let mut lines = Vec::new();
    let mut at = 0;
    while at < texts.len() {
        let caret = texts.get(at + 1).filter(|next| {
            let marks = next.trim();
            !marks.is_empty() && marks.bytes().all(|byte| byte == b'^')
        });
        if let Some(position) = caret.and_then(|caret| caret.find('^')) {
            // Scrolled only as far as necessary to show the caret.
            let skip = (position + 1).saturating_sub(columns.saturating_sub(columns / 4));
            let cut =
                |text: &str| canvas.fit(&text.chars().skip(skip).collect::<String>(), columns);
            lines.push((StyleRole::Text, cut(texts[at])));
            lines.push((StyleRole::Bad, cut(texts[at + 1])));
            at += 2;
        } else {
            lines.extend(wrap(texts[at], columns).into_iter().map(|row| (StyleRole::Bad, row)));
            at += 1;
        }
    }
    lines.truncate(usize::from(area.height));
    let height = u16::try_from(lines.len()).unwrap_or(area.height);
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(role, text)| Line::from(canvas.span(role, format!(" {text}"))))
        .collect();
    canvas.lines(area, lines);
    let used = (height + 1).min(area.height);
    Rect { y: area.y + used, height: area.height - used, ..area }
}

fn draw_heading(
    canvas: &mut Canvas,
    area: Rect,
    grid: &Grid,
    gutter: usize,
    shown: &[(usize, usize)],
) {
    let mut x = area.x + u16::try_from(gutter).unwrap_or_default();
    for (index, columns) in shown {
        let column = &grid.columns[*index];
        let title = format!("{}{}", column.name, sort_mark(canvas, grid, &column.name));
        let title = if column.numeric {
            canvas.fit_right(&title, *columns)
        } else {
            canvas.fit(&title, *columns)
        };
        let spot = Rect { x, width: u16::try_from(*columns).unwrap_or_default(), ..area };
        let span = canvas.span(StyleRole::Heading, title);
        canvas.line(spot, span);
        canvas.add_click_area(spot, ClickTarget::Heading(*index));
        x += spot.width + 2;
    }
}

/// Returns the direction in which a column is sorted, and its rank among several.
fn sort_mark(canvas: &Canvas, grid: &Grid, column: &str) -> String {
    let Some(at) = grid.sort.iter().position(|sort| sort.column == column) else {
        return String::new();
    };
    let direction = if grid.sort[at].descending { canvas.theme.down() } else { canvas.theme.up() };
    let rank = if grid.sort.len() > 1 { (at + 1).to_string() } else { String::new() };
    format!("{direction}{rank}")
}

fn line(
    canvas: &Canvas,
    grid: &Grid,
    index: usize,
    gutter: usize,
    shown: &[(usize, usize)],
    active: bool,
) -> Line<'static> {
    let here = index == grid.cursor.at;
    let number = format!("{:>width$}  ", index + 1, width = gutter - 2);
    let mut spans =
        vec![canvas.span(if here && active { StyleRole::Accent } else { StyleRole::Dim }, number)];
    let row = grid.row(index);
    for (column, columns) in shown {
        let (role, text) = match row.and_then(|row| row.get(*column)) {
            None => (StyleRole::Dim, canvas.fit(canvas.theme.more(), *columns)),
            Some(None) => (
                StyleRole::Dim,
                if grid.columns[*column].numeric {
                    canvas.fit_right("NULL", *columns)
                } else {
                    canvas.fit("NULL", *columns)
                },
            ),
            Some(Some(value)) if grid.columns[*column].numeric => {
                (StyleRole::Text, canvas.fit_right(value, *columns))
            }
            Some(Some(value)) => (StyleRole::Text, canvas.fit(value, *columns)),
        };
        let role = match (here, active && *column == grid.column) {
            (true, true) => StyleRole::Selected,
            (true, false) => StyleRole::Marked,
            _ => role,
        };
        spans.push(canvas.span(role, text));
        let is_last_frozen = *column + 1 == grid.view.frozen;
        let gap = if is_last_frozen { canvas.theme.column_line() } else { "  " };
        let role = match (here, is_last_frozen) {
            (true, _) => StyleRole::Marked,
            (false, true) => StyleRole::Frame,
            (false, false) => StyleRole::Text,
        };
        spans.push(canvas.span(role, gap));
    }
    Line::from(spans)
}

/// Returns the position, the filters, the selected column, and the error.
fn summary(canvas: &Canvas, grid: &Grid) -> Vec<Span<'static>> {
    let mut spans = vec![Span::raw(" ")];
    if grid.pending.is_some() {
        spans.push(canvas.spinner());
        spans.push(Span::raw(" "));
    }
    if let (RowSource::Sql(_), Some(pending)) = (&grid.source, &grid.pending) {
        let elapsed = canvas.now.duration_since(pending.started_at).unsigned_abs();
        let text = format!("running for {:.1} s, esc stops it  ", elapsed.as_secs_f64());
        spans.push(canvas.span(StyleRole::Accent, text));
    }
    let place = match grid.len() {
        0 if grid.pending.is_some() => String::new(),
        0 => "no rows".to_owned(),
        len => format!(
            "row {} of {}",
            humanize::count(grid.cursor.at as u64 + 1),
            humanize::count(len as u64)
        ),
    };
    spans.push(canvas.span(StyleRole::Dim, place));
    if grid.truncated {
        spans.push(canvas.span(
            StyleRole::Warn,
            format!("  first {} only", humanize::rows(MAX_SQL_ROWS as u64)),
        ));
    }
    for filter in &grid.filters {
        spans.push(canvas.span(
            StyleRole::Accent,
            format!("  {}", canvas.fit(&filter.to_string(), 40).trim_end()),
        ));
    }
    for (count, state) in [(grid.view.hidden.len(), "hidden"), (grid.view.frozen, "frozen")] {
        if count > 0 {
            let text = format!("  {} {state}", humanize::plural(count, "column"));
            spans.push(canvas.span(StyleRole::Accent, text));
        }
    }
    if let Some(column) = grid.columns.get(grid.column) {
        spans.push(canvas.span(StyleRole::Dim, format!("  {} {}", column.name, column.data_type)));
    }
    if let (RowSource::Sql(_), Some(elapsed), None) = (&grid.source, grid.elapsed, &grid.pending) {
        spans.push(canvas.span(StyleRole::Dim, format!("  {}", humanize::duration(elapsed))));
    }
    spans
}
