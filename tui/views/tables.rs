//! Every served table, and one of them from the inside.

use std::time::Duration;

use materia::words;
use ratatui::{layout::Rect, text::Line};

use super::{Paint, grid};
use crate::tui::{
    layout,
    look::Role,
    message::{Profile, Target},
    state::{
        State,
        tables::{Change, ColumnRow, Opened, TableRow, TableSort},
    },
    text::width,
};

pub(super) fn draw(paint: &mut Paint, area: Rect, state: &State) {
    let tables = &state.tables;
    let [headings, body, below] = layout::list(area);
    let name = tables.rows.iter().map(|row| width(&row.name, 48)).max().unwrap_or(6).clamp(6, usize::from(area.width) * 2 / 5);
    let columns = columns(usize::from(area.width), name);
    let mut x = headings.x + 1;
    for (sort, columns) in &columns {
        let mark = match (*sort == tables.sort, tables.descending) {
            (false, _) => "",
            (true, false) => paint.look.up(),
            (true, true) => paint.look.down(),
        };
        let spot = Rect { x, width: u16::try_from(*columns).unwrap_or_default(), ..headings };
        let title = format!("{}{mark}", sort.title());
        let title = if is_number(*sort) { paint.fit_right(&title, *columns) } else { paint.fit(&title, *columns) };
        let span = paint.span(Role::Heading, title);
        paint.line(spot, span);
        paint.hit(spot, Target::Heading(TableSort::ALL.iter().position(|known| known == sort).unwrap_or_default()));
        x += spot.width + 2;
    }
    if tables.rows.is_empty() {
        return empty(paint, body, state);
    }
    let view = tables.cursor.view(tables.shown.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let table = &tables.rows[tables.shown[index]];
        let line = table_line(paint, table, &columns);
        paint.line(row, line);
        if index == tables.cursor.at {
            paint.select(row);
        }
        paint.hit(row, Target::Line(index));
    }
    let rows = tables.shown.iter().map(|index| tables.rows[*index].rows).sum();
    let mut spans = vec![paint.span(Role::Dim, format!(" {}, {}", words::plural(tables.shown.len(), "table"), words::rows(rows)))];
    if !tables.filter.is_empty() {
        spans.push(paint.span(Role::Accent, format!("  with {:?} of {}", tables.filter, words::count(tables.rows.len() as u64))));
    }
    if tables.measuring.is_some() {
        spans.push(paint.span(Role::Dim, "  measuring"));
    }
    if let Some(problem) = &state.served.problem {
        spans.push(paint.span(Role::Bad, format!("  {problem}")));
    }
    paint.line(below, Line::from(spans));
}

fn is_number(sort: TableSort) -> bool {
    !matches!(sort, TableSort::Name | TableSort::Comment)
}

/// Which columns there is room for, and how wide they are.
fn columns(space: usize, name: usize) -> Vec<(TableSort, usize)> {
    let wanted =
        [(TableSort::Rows, 13), (TableSort::Change, 11), (TableSort::Bytes, 9), (TableSort::Columns, 5), (TableSort::ExportTime, 8)];
    let mut columns = vec![(TableSort::Name, name)];
    let mut used = name + 3;
    for (sort, width) in wanted {
        if used + width + 2 <= space {
            columns.push((sort, width));
            used += width + 2;
        }
    }
    if used + 12 <= space {
        columns.push((TableSort::Comment, space - used - 1));
    }
    columns
}

fn table_line(paint: &Paint, table: &TableRow, columns: &[(TableSort, usize)]) -> Line<'static> {
    let mut spans = vec![paint.span(Role::Text, " ")];
    for (sort, columns) in columns {
        let unknown = || (Role::Dim, paint.look.middle().to_owned());
        let (role, text) = match sort {
            TableSort::Name => (Role::Strong, table.name.clone()),
            TableSort::Rows => (if table.rows == 0 { Role::Warn } else { Role::Text }, words::count(table.rows)),
            TableSort::Change => change(table.change).unwrap_or_else(unknown),
            TableSort::Bytes => table.bytes.map_or_else(unknown, |bytes| (Role::Text, words::bytes(bytes))),
            TableSort::Columns => (Role::Text, table.columns.to_string()),
            TableSort::ExportTime => table.export_ms.map_or_else(unknown, |ms| (Role::Text, words::duration(Duration::from_millis(ms)))),
            TableSort::Comment => (Role::Dim, table.comment.clone()),
        };
        let text = if is_number(*sort) { paint.fit_right(&text, *columns) } else { paint.fit(&text, *columns) };
        spans.push(paint.span(role, text));
        spans.push(paint.span(Role::Text, "  "));
    }
    Line::from(spans)
}

pub(super) fn change(change: Change) -> Option<(Role, String)> {
    match change {
        Change::Unknown => None,
        Change::New => Some((Role::Accent, "new".to_owned())),
        Change::Rows(0) => Some((Role::Dim, "=".to_owned())),
        Change::Rows(more) if more > 0 => Some((Role::Good, format!("+{}", words::count(more.unsigned_abs())))),
        Change::Rows(fewer) => Some((Role::Warn, format!("-{}", words::count(fewer.unsigned_abs())))),
    }
}

fn empty(paint: &mut Paint, area: Rect, state: &State) {
    let problem = state.served.problem.clone().or_else(|| state.served.bad_settings.clone());
    let line = match problem {
        Some(problem) => Line::from(paint.span(Role::Bad, format!(" {problem}"))),
        None if state.served.catalog.is_some() => Line::from(paint.span(Role::Dim, " nothing is served: the schema has no tables")),
        None => Line::from(vec![paint.span(Role::Dim, " "), paint.spinner(), paint.span(Role::Dim, " looking at what is served")]),
    };
    paint.line(area, line);
}

pub(super) fn draw_open(paint: &mut Paint, area: Rect, open: &Opened) {
    let [title, columns, rows] = layout::opened(area, open.columns.len(), open.on_rows);
    let mut spans = vec![
        paint.span(Role::Strong, format!(" {}", open.name)),
        paint.span(Role::Dim, format!("  {}, {}  ", words::rows(open.rows), words::plural(open.columns.len(), "column"))),
    ];
    if open.profiling.is_some() {
        spans.push(paint.spinner());
    }
    // Among the columns, what is said of the one that one is on.
    let column = open.columns.get(open.cursor.at).filter(|_| !open.on_rows).and_then(|column| column.info.comment.as_ref());
    let about = column.unwrap_or(&open.comment);
    let used: usize = spans.iter().map(ratatui::text::Span::width).sum();
    spans.push(paint.span(Role::Dim, paint.fit(&format!(" {about}"), usize::from(title.width).saturating_sub(used))));
    paint.line(title, Line::from(spans));
    draw_columns(paint, columns, open);
    grid::draw(paint, rows, &open.grid, open.on_rows);
}

fn draw_columns(paint: &mut Paint, area: Rect, open: &Opened) {
    let space = usize::from(area.width);
    let name = open.columns.iter().map(|column| width(&column.info.name, 32)).max().unwrap_or(6).clamp(6, space / 4);
    let kind = open.columns.iter().map(|column| width(&column.info.data_type, 24)).max().unwrap_or(4).clamp(4, 16);
    // Where there is little room, the smallest and the largest value are worth more than how the others spread.
    let (spread, counts) = if space >= 100 { (16, 9) } else { (8, 8) };
    let left = space.saturating_sub(name + kind + spread + 2 * counts + 11);
    let commented = left >= 64 && open.columns.iter().any(|column| column.info.comment.is_some());
    let range = if commented { 44 } else { left };
    let widths = [name, kind, counts, counts, spread, range, if commented { left - range - 2 } else { 0 }];
    let titles = ["Column", "Type", "Nulls", "Distinct", "Spread", "Smallest to largest", if commented { "Comment" } else { "" }];
    let mut line = " ".to_owned();
    for (index, (title, columns)) in titles.into_iter().zip(widths).enumerate() {
        let right = index == 2 || index == 3;
        line += &if right { paint.fit_right(title, columns) } else { paint.fit(title, columns) };
        line += "  ";
    }
    let heading = paint.span(Role::Heading, paint.fit(line.trim_end(), space));
    paint.line(area, heading);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let view = open.cursor.view(open.columns.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let line = column_line(paint, &open.columns[index], open.rows, widths);
        paint.line(row, line);
        if index == open.cursor.at && !open.on_rows {
            paint.select(row);
        }
        paint.hit(row, Target::Line(index));
    }
}

/// Counts of equal ranges as fewer, wider ones.
fn narrowed(counts: &[u64], to: usize) -> Vec<u64> {
    counts.chunks(counts.len().div_ceil(to.max(1)).max(1)).map(|chunk| chunk.iter().sum()).collect()
}

/// From the smallest to the largest value in `space` columns: fractions lose digits first, then the longer value is cut.
fn ends(paint: &Paint, min: &str, max: &str, space: usize) -> String {
    if min == max {
        return paint.fit(min, space);
    }
    let wide = |text: &str| width(text, 400);
    let arrow = paint.look.arrow();
    let fits = |min: &str, max: &str, arrow: &str| wide(min) + wide(max) + wide(arrow) <= space;
    let spaced = format!(" {arrow} ");
    let (min, max) = if fits(min, max, &spaced) { (min.to_owned(), max.to_owned()) } else { (rounded(min), rounded(max)) };
    let arrow = if fits(&min, &max, &spaced) { &spaced } else { arrow };
    let values = space.saturating_sub(wide(arrow));
    let (low, high) = (wide(&min), wide(&max));
    let low = if low + high <= values { low } else { low.min(values.saturating_sub(high).max(values / 2)) };
    let high = high.min(values.saturating_sub(low));
    paint.fit(&format!("{}{arrow}{}", paint.fit(&min, low), paint.fit(&max, high)), space)
}

/// A number with four digits behind the point at most; anything else as it is.
fn rounded(text: &str) -> String {
    let has_fraction = text.split_once('.').is_some_and(|(_, digits)| digits.len() > 4 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    match text.parse::<f64>() {
        Ok(number) if has_fraction && number.abs() >= 0.001 => {
            format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}

fn column_line(paint: &Paint, column: &ColumnRow, rows: u64, widths: [usize; 7]) -> Line<'static> {
    let [name, kind, nulls, distinct, spread, range, comment] = widths;
    let mut spans = vec![
        paint.span(Role::Strong, format!(" {}  ", paint.fit(&column.info.name, name))),
        paint.span(Role::Dim, format!("{}  ", paint.fit(&column.info.data_type, kind))),
    ];
    match &column.profile {
        None => spans.push(paint.span(Role::Dim, paint.look.middle())),
        Some(Err(problem)) => spans.push(paint.span(Role::Bad, paint.fit(problem, nulls + distinct + spread + range + 6))),
        Some(Ok(Profile { summary, spread: counts })) => {
            let (role, text) = match summary.nulls {
                0 => (Role::Dim, "0".to_owned()),
                nulls if nulls == rows => (Role::Warn, "all".to_owned()),
                nulls => (Role::Text, words::count(nulls)),
            };
            spans.push(paint.span(role, format!("{}  ", paint.fit_right(&text, nulls))));
            // It is an estimate, and must not say more values than there are rows.
            let values = words::count(summary.approx_distinct.min(rows));
            spans.push(paint.span(Role::Text, format!("{}  ", paint.fit_right(&values, distinct))));
            let counts = narrowed(counts, spread);
            let most = counts.iter().copied().max().unwrap_or_default().max(1);
            let bars: String =
                counts.iter().map(|count| if *count == 0 { " " } else { paint.look.spark(*count as f64 / most as f64) }).collect();
            spans.push(paint.span(Role::Series(0), format!("{}  ", paint.fit(&bars, spread))));
            let ends = match (&summary.min, &summary.max) {
                (Some(min), Some(max)) => ends(paint, min, max, range),
                _ => " ".repeat(range),
            };
            spans.push(paint.span(Role::Text, ends));
        }
    }
    if comment > 0 {
        let filled: usize = spans.iter().map(ratatui::text::Span::width).sum();
        let before = name + kind + nulls + distinct + spread + range + 11;
        let text = column.info.comment.as_deref().unwrap_or_default();
        spans.push(paint.span(Role::Dim, format!("{}  {}", " ".repeat(before.saturating_sub(filled)), paint.fit(text, comment))));
    }
    Line::from(spans)
}
