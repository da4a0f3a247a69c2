//! Drawing of the list of tables, and of an open table.

use std::time::Duration;

use materia::humanize;
use ratatui::{layout::Rect, text::Line};

use super::{ColumnRow, OpenTable, RowChange, TableRow, TableSort, TablesScreen, open_table_areas};
use crate::{
    context::Context,
    grid, layout,
    message::{ClickTarget, Profile},
    text::width,
    theme::StyleRole,
    views::Canvas,
};

pub(super) fn draw_list(tables: &TablesScreen, canvas: &mut Canvas, area: Rect, context: &Context) {
    let [headings, body, below] = layout::list(area);
    let name = tables
        .rows
        .iter()
        .map(|row| width(&row.name, 48))
        .max()
        .unwrap_or(6)
        .clamp(6, usize::from(area.width) * 2 / 5);
    let columns = columns(usize::from(area.width), name);
    let mut x = headings.x + 1;
    for (sort, columns) in &columns {
        let mark = match (*sort == tables.sort, tables.descending) {
            (false, _) => "",
            (true, false) => canvas.theme.up(),
            (true, true) => canvas.theme.down(),
        };
        let spot = Rect { x, width: u16::try_from(*columns).unwrap_or_default(), ..headings };
        let title = format!("{}{mark}", sort.title());
        let title = if is_number(*sort) {
            canvas.fit_right(&title, *columns)
        } else {
            canvas.fit(&title, *columns)
        };
        let span = canvas.span(StyleRole::Heading, title);
        canvas.line(spot, span);
        canvas.add_click_area(
            spot,
            ClickTarget::Heading(
                TableSort::ALL.iter().position(|known| known == sort).unwrap_or_default(),
            ),
        );
        x += spot.width + 2;
    }
    if tables.rows.is_empty() {
        return draw_empty(canvas, body, context);
    }
    let view = tables.cursor.visible_range(tables.shown.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let table = &tables.rows[tables.shown[index]];
        let line = table_line(canvas, table, &columns);
        canvas.line(row, line);
        if index == tables.cursor.at {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
    let rows = tables.shown.iter().map(|index| tables.rows[*index].rows).sum();
    let mut spans = vec![canvas.span(
        StyleRole::Dim,
        format!(" {}, {}", humanize::plural(tables.shown.len(), "table"), humanize::rows(rows)),
    )];
    if !tables.filter.is_empty() {
        spans.push(canvas.span(
            StyleRole::Accent,
            format!("  with {:?} of {}", tables.filter, humanize::count(tables.rows.len() as u64)),
        ));
    }
    if tables.pending_sizes.is_some() {
        spans.push(canvas.span(StyleRole::Dim, "  measuring"));
    }
    if let Some(error) = &context.reader.error {
        spans.push(canvas.span(StyleRole::Bad, format!("  {error}")));
    }
    canvas.line(below, Line::from(spans));
}

fn is_number(sort: TableSort) -> bool {
    !matches!(sort, TableSort::Name | TableSort::Comment)
}

/// Returns the columns that fit, with their widths.
fn columns(space: usize, name: usize) -> Vec<(TableSort, usize)> {
    let wanted = [
        (TableSort::Rows, 13),
        (TableSort::Change, 11),
        (TableSort::Bytes, 9),
        (TableSort::Columns, 5),
        (TableSort::ExportTime, 8),
    ];
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

fn table_line(canvas: &Canvas, table: &TableRow, columns: &[(TableSort, usize)]) -> Line<'static> {
    let mut spans = vec![canvas.span(StyleRole::Text, " ")];
    for (sort, columns) in columns {
        let unknown = || (StyleRole::Dim, canvas.theme.middle().to_owned());
        let (role, text) = match sort {
            TableSort::Name => (StyleRole::Strong, table.name.clone()),
            TableSort::Rows => (
                if table.rows == 0 { StyleRole::Warn } else { StyleRole::Text },
                humanize::count(table.rows),
            ),
            TableSort::Change => format_change(table.change).unwrap_or_else(unknown),
            TableSort::Bytes => {
                table.bytes.map_or_else(unknown, |bytes| (StyleRole::Text, humanize::bytes(bytes)))
            }
            TableSort::Columns => (StyleRole::Text, table.columns.to_string()),
            TableSort::ExportTime => table.export_ms.map_or_else(unknown, |ms| {
                (StyleRole::Text, humanize::duration(Duration::from_millis(ms)))
            }),
            TableSort::Comment => (StyleRole::Dim, table.comment.clone()),
        };
        let text = if is_number(*sort) {
            canvas.fit_right(&text, *columns)
        } else {
            canvas.fit(&text, *columns)
        };
        spans.push(canvas.span(role, text));
        spans.push(canvas.span(StyleRole::Text, "  "));
    }
    Line::from(spans)
}

/// Formats a change of rows; `None` where it is unknown.
pub(crate) fn format_change(change: RowChange) -> Option<(StyleRole, String)> {
    match change {
        RowChange::Unknown => None,
        RowChange::New => Some((StyleRole::Accent, "new".to_owned())),
        RowChange::Rows(0) => Some((StyleRole::Dim, "=".to_owned())),
        RowChange::Values => Some((StyleRole::Accent, "values".to_owned())),
        RowChange::SameRows => Some((StyleRole::Dim, "= rows".to_owned())),
        RowChange::Rows(more) if more > 0 => {
            Some((StyleRole::Good, format!("+{}", humanize::count(more.unsigned_abs()))))
        }
        RowChange::Rows(fewer) => {
            Some((StyleRole::Warn, format!("-{}", humanize::count(fewer.unsigned_abs()))))
        }
    }
}

fn draw_empty(canvas: &mut Canvas, area: Rect, context: &Context) {
    let error = context.reader.error.clone().or_else(|| context.reader.config_error.clone());
    let line = match error {
        Some(error) => Line::from(canvas.span(StyleRole::Bad, format!(" {error}"))),
        None if context.reader.catalog.is_some() => {
            Line::from(canvas.span(StyleRole::Dim, " nothing is served: the schema has no tables"))
        }
        None => Line::from(vec![
            canvas.span(StyleRole::Dim, " "),
            canvas.spinner(),
            canvas.span(StyleRole::Dim, " reading the catalog"),
        ]),
    };
    canvas.line(area, line);
}

pub(super) fn draw_open(canvas: &mut Canvas, area: Rect, open: &OpenTable) {
    let [title, columns, rows] = open_table_areas(area, open);
    let mut spans = vec![
        canvas.span(StyleRole::Strong, format!(" {}", open.name)),
        canvas.span(
            StyleRole::Dim,
            format!(
                "  {}, {}  ",
                humanize::rows(open.rows),
                humanize::plural(open.columns.len(), "column")
            ),
        ),
    ];
    if open.pending_profile.is_some() {
        spans.push(canvas.spinner());
    }
    // The selected column has a comment.
    let column = open
        .columns
        .get(open.cursor.at)
        .filter(|_| !open.on_rows)
        .and_then(|column| column.info.comment.as_ref());
    let comment = column.unwrap_or(&open.comment);
    let used: usize = spans.iter().map(ratatui::text::Span::width).sum();
    spans.push(canvas.span(
        StyleRole::Dim,
        canvas.fit(&format!(" {comment}"), usize::from(title.width).saturating_sub(used)),
    ));
    canvas.line(title, Line::from(spans));
    draw_columns(canvas, columns, open);
    grid::draw(canvas, rows, &open.grid, open.on_rows);
}

fn draw_columns(canvas: &mut Canvas, area: Rect, open: &OpenTable) {
    let space = usize::from(area.width);
    let name = open
        .columns
        .iter()
        .map(|column| width(&column.info.name, 32))
        .max()
        .unwrap_or(6)
        .clamp(6, space / 4);
    let kind = open
        .columns
        .iter()
        .map(|column| width(&column.info.data_type, 24))
        .max()
        .unwrap_or(4)
        .clamp(4, 16);
    // In a narrow terminal, the smallest and the largest value are more useful than the
    // distribution.
    let (spread, counts) = if space >= 100 { (16, 9) } else { (8, 8) };
    let left = space.saturating_sub(name + kind + spread + 2 * counts + 11);
    let commented = left >= 64 && open.columns.iter().any(|column| column.info.comment.is_some());
    let range = if commented { 44 } else { left };
    let widths =
        [name, kind, counts, counts, spread, range, if commented { left - range - 2 } else { 0 }];
    let titles = [
        "Column",
        "Type",
        "Nulls",
        "Distinct",
        "Spread",
        "Smallest to largest",
        if commented { "Comment" } else { "" },
    ];
    let mut line = " ".to_owned();
    for (index, (title, columns)) in titles.into_iter().zip(widths).enumerate() {
        let right = index == 2 || index == 3;
        line += &if right { canvas.fit_right(title, columns) } else { canvas.fit(title, columns) };
        line += "  ";
    }
    let heading = canvas.span(StyleRole::Heading, canvas.fit(line.trim_end(), space));
    canvas.line(area, heading);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let view = open.cursor.visible_range(open.columns.len(), usize::from(body.height));
    for (row, index) in body.rows().zip(view) {
        let line = column_line(canvas, &open.columns[index], open.rows, widths);
        canvas.line(row, line);
        if index == open.cursor.at && !open.on_rows {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
}

/// Merges counts of equal ranges into at most `to` wider ones.
fn merge_ranges(counts: &[u64], to: usize) -> Vec<u64> {
    counts.chunks(counts.len().div_ceil(to.max(1)).max(1)).map(|chunk| chunk.iter().sum()).collect()
}

/// Formats the smallest and the largest value in `space` cells: decimals are dropped first, then
/// the longer value is truncated.
fn format_range(canvas: &Canvas, min: &str, max: &str, space: usize) -> String {
    if min == max {
        return canvas.fit(min, space);
    }
    let wide = |text: &str| width(text, 400);
    let arrow = canvas.theme.arrow();
    let fits = |min: &str, max: &str, arrow: &str| wide(min) + wide(max) + wide(arrow) <= space;
    let spaced = format!(" {arrow} ");
    let (min, max) = if fits(min, max, &spaced) {
        (min.to_owned(), max.to_owned())
    } else {
        (round_fraction(min), round_fraction(max))
    };
    let arrow = if fits(&min, &max, &spaced) { &spaced } else { arrow };
    let values = space.saturating_sub(wide(arrow));
    let (low, high) = (wide(&min), wide(&max));
    let low = if low + high <= values {
        low
    } else {
        low.min(values.saturating_sub(high).max(values / 2))
    };
    let high = high.min(values.saturating_sub(low));
    canvas.fit(&format!("{}{arrow}{}", canvas.fit(&min, low), canvas.fit(&max, high)), space)
}

/// Rounds a number to four decimal places; returns anything else unchanged.
fn round_fraction(text: &str) -> String {
    let has_fraction = text.split_once('.').is_some_and(|(_, digits)| {
        digits.len() > 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    match text.parse::<f64>() {
        Ok(number) if has_fraction && number.abs() >= 0.001 => {
            format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}

fn column_line(
    canvas: &Canvas,
    column: &ColumnRow,
    rows: u64,
    widths: [usize; 7],
) -> Line<'static> {
    let [name, kind, nulls, distinct, spread, range, comment] = widths;
    let mut spans = vec![
        canvas.span(StyleRole::Strong, format!(" {}  ", canvas.fit(&column.info.name, name))),
        canvas.span(StyleRole::Dim, format!("{}  ", canvas.fit(&column.info.data_type, kind))),
    ];
    match &column.profile {
        None => spans.push(canvas.span(StyleRole::Dim, canvas.theme.middle())),
        Some(Err(error)) => spans.push(
            canvas.span(StyleRole::Bad, canvas.fit(error, nulls + distinct + spread + range + 6)),
        ),
        Some(Ok(Profile { summary, spread: counts })) => {
            let (role, text) = match summary.nulls {
                0 => (StyleRole::Dim, "0".to_owned()),
                nulls if nulls == rows => (StyleRole::Warn, "all".to_owned()),
                nulls => (StyleRole::Text, humanize::count(nulls)),
            };
            spans.push(canvas.span(role, format!("{}  ", canvas.fit_right(&text, nulls))));
            // It is an estimate, which can exceed the number of rows.
            let values = match summary.approx_distinct.min(rows) {
                0 => "0".to_owned(),
                values => format!("~{}", humanize::count(values)),
            };
            spans.push(
                canvas.span(StyleRole::Text, format!("{}  ", canvas.fit_right(&values, distinct))),
            );
            let counts = merge_ranges(counts, spread);
            let max = counts.iter().copied().max().unwrap_or_default().max(1);
            let bars: String =
                counts
                    .iter()
                    .map(|count| {
                        if *count == 0 {
                            " "
                        } else {
                            canvas.theme.spark(*count as f64 / max as f64)
                        }
                    })
                    .collect();
            spans.push(
                canvas.span(StyleRole::Series(0), format!("{}  ", canvas.fit(&bars, spread))),
            );
            let ends = match (&summary.min, &summary.max) {
                (Some(min), Some(max)) => format_range(canvas, min, max, range),
                _ => " ".repeat(range),
            };
            spans.push(canvas.span(StyleRole::Text, ends));
        }
    }
    if comment > 0 {
        let filled: usize = spans.iter().map(ratatui::text::Span::width).sum();
        let before = name + kind + nulls + distinct + spread + range + 11;
        let text = column.info.comment.as_deref().unwrap_or_default();
        spans.push(canvas.span(
            StyleRole::Dim,
            format!("{}  {}", " ".repeat(before.saturating_sub(filled)), canvas.fit(text, comment)),
        ));
    }
    Line::from(spans)
}
