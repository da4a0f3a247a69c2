//! Rows and columns: of a table, or of an answer.

use materia::words;
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::Paint;
use crate::tui::{
    layout,
    look::Role,
    message::Target,
    state::grid::{From, Grid},
    text::wrap,
};

pub(super) fn draw(paint: &mut Paint, area: Rect, grid: &Grid, active: bool) {
    let [headings, body, below] = layout::list(area);
    let gutter = layout::gutter(grid.len());
    let shown = visible(grid, usize::from(area.width).saturating_sub(gutter));
    heading(paint, headings, grid, gutter, &shown);
    let view = grid.cursor.view(grid.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let line = line(paint, grid, index, gutter, &shown, active);
        paint.line(row, line);
        paint.hit(row, Target::Cell(index, grid.column));
        let mut x = row.x + u16::try_from(gutter).unwrap_or_default();
        for (column, columns) in &shown {
            let columns = u16::try_from(columns + 2).unwrap_or_default();
            paint.hit(Rect { x, width: columns, ..row }, Target::Cell(index, *column));
            x += columns;
        }
    }
    if let (true, Some(problem)) = (grid.rows.is_empty(), &grid.problem) {
        let rows = wrap(problem, usize::from(body.width).saturating_sub(2));
        // What was wrong with the question before the one being answered is no news.
        let role = if grid.asked.is_some() { Role::Dim } else { Role::Bad };
        let lines: Vec<_> = rows.into_iter().map(|row| Line::from(paint.span(role, format!(" {row}")))).collect();
        paint.lines(body, lines);
    }
    let spans = summary(paint, grid, usize::from(below.width));
    paint.line(below, Line::from(spans));
}

/// The columns in view and their widths; the last one may be cut.
fn visible(grid: &Grid, space: usize) -> Vec<(usize, usize)> {
    let mut used = 0;
    let mut shown = Vec::new();
    for (index, column) in grid.columns.iter().enumerate().skip(grid.left) {
        if used >= space {
            break;
        }
        let columns = column.width.min(space - used);
        shown.push((index, columns));
        used += columns + 2;
    }
    shown
}

fn heading(paint: &mut Paint, area: Rect, grid: &Grid, gutter: usize, shown: &[(usize, usize)]) {
    let mut x = area.x + u16::try_from(gutter).unwrap_or_default();
    for (index, columns) in shown {
        let column = &grid.columns[*index];
        let mark = match &grid.sort {
            Some(sort) if sort.column == column.name && sort.descending => paint.look.down(),
            Some(sort) if sort.column == column.name => paint.look.up(),
            _ => "",
        };
        let title = format!("{}{mark}", column.name);
        let title = if column.numeric { paint.fit_right(&title, *columns) } else { paint.fit(&title, *columns) };
        let spot = Rect { x, width: u16::try_from(*columns).unwrap_or_default(), ..area };
        let span = paint.span(Role::Heading, title);
        paint.line(spot, span);
        paint.hit(spot, Target::Heading(*index));
        x += spot.width + 2;
    }
}

fn line(paint: &Paint, grid: &Grid, index: usize, gutter: usize, shown: &[(usize, usize)], active: bool) -> Line<'static> {
    let here = index == grid.cursor.at;
    let number = format!("{:>width$}  ", index + 1, width = gutter - 2);
    let mut spans = vec![paint.span(if here && active { Role::Accent } else { Role::Dim }, number)];
    let row = grid.row(index);
    for (column, columns) in shown {
        let (role, text) = match row.and_then(|row| row.get(*column)) {
            None => (Role::Dim, paint.fit(paint.look.more(), *columns)),
            Some(None) => {
                (Role::Dim, if grid.columns[*column].numeric { paint.fit_right("NULL", *columns) } else { paint.fit("NULL", *columns) })
            }
            Some(Some(value)) if grid.columns[*column].numeric => (Role::Text, paint.fit_right(value, *columns)),
            Some(Some(value)) => (Role::Text, paint.fit(value, *columns)),
        };
        let role = match (here, active && *column == grid.column) {
            (true, true) => Role::Selected,
            (true, false) => Role::Marked,
            _ => role,
        };
        spans.push(paint.span(role, text));
        spans.push(if here { paint.span(Role::Marked, "  ") } else { Span::raw("  ") });
    }
    Line::from(spans)
}

/// Where one is, how the rows are filtered and sorted, and what is wrong.
fn summary(paint: &Paint, grid: &Grid, space: usize) -> Vec<Span<'static>> {
    let mut spans = vec![Span::raw(" ")];
    if grid.asked.is_some() {
        spans.push(paint.spinner());
        spans.push(Span::raw(" "));
    }
    let place = match grid.len() {
        0 if grid.asked.is_some() => String::new(),
        0 => "no rows".to_owned(),
        len => format!("row {} of {}", words::count(grid.cursor.at as u64 + 1), words::count(len as u64)),
    };
    spans.push(paint.span(Role::Dim, place));
    if grid.cut {
        spans.push(paint.span(Role::Warn, "  only the first rows; ask for less"));
    }
    for filter in &grid.filters {
        spans.push(paint.span(Role::Accent, format!("  {}", paint.fit(&filter.words(), 40).trim_end())));
    }
    if let Some(column) = grid.columns.get(grid.column) {
        spans.push(paint.span(Role::Dim, format!("  {} {}", column.name, column.data_type)));
    }
    if let (From::Sql(_), Some(took)) = (&grid.from, grid.took) {
        spans.push(paint.span(Role::Dim, format!("  {}", words::duration(took))));
    }
    if let Some(problem) = grid.problem.as_ref().filter(|_| !grid.rows.is_empty()) {
        let line = problem.replace('\n', " ");
        spans.push(paint.span(Role::Bad, format!("  {}", paint.fit(&line, space).trim_end())));
    }
    spans
}
