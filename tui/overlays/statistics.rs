//! A window with the statistics of one column: its most frequent values, and a histogram.

use materia::humanize;
use ratatui::{
    crossterm::event::KeyEvent,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::Overlay;
use crate::{
    app::App,
    context::Context,
    grid::{PageRequest, actions},
    keys, layout,
    list_cursor::ListCursor,
    message::{Channel, ClickTarget, ColumnStatistics, Effect, Request, Response},
    screens::Screen,
    text::wrap,
    theme::{self, StyleRole},
    views::Canvas,
};

/// Number of lines by which page keys scroll.
const PAGE: isize = 10;
const MAX_WIDTH: u16 = 116;
/// Lines above the lists, and of the headings of the lists.
const LINES_ABOVE: u16 = 4;

#[derive(Debug, Clone)]
pub(crate) struct StatisticsView {
    column: String,
    data_type: String,
    request_id: u64,
    /// `None` until the response.
    pub(crate) result: Option<Result<Box<ColumnStatistics>, String>>,
    /// The selected one of the most frequent values.
    pub(super) cursor: ListCursor,
}

impl StatisticsView {
    pub(super) fn move_cursor(&mut self, by: isize) {
        if let Some(Ok(statistics)) = &self.result {
            let len = statistics.top.len();
            self.cursor.at = self.cursor.at.saturating_add_signed(by).min(len.saturating_sub(1));
        }
    }

    fn selected(&self) -> Option<&Option<String>> {
        let Some(Ok(statistics)) = &self.result else { return None };
        statistics.top.get(self.cursor.at).map(|(value, _)| value)
    }
}

/// Opens the window, and requests statistics of the column with this index over all rows of the
/// view.
pub(crate) fn open(screen: &mut dyn Screen, column: usize, context: &mut Context) -> Vec<Effect> {
    let request_id = context.next_request_id();
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let Some(column) = grid.columns.get(column).cloned() else { return Vec::new() };
    let page = PageRequest { sort: Vec::new(), ..grid.first_page() };
    context.overlay = Some(Overlay::Statistics(Box::new(StatisticsView {
        column: column.name.clone(),
        data_type: column.data_type.clone(),
        request_id,
        result: None,
        cursor: ListCursor::default(),
    })));
    let request = Request::Statistics { page, column };
    vec![Effect::Request { channel: Channel::Statistics, request_id, request }]
}

/// Shows the response in the window that requested it.
pub(crate) fn receive(context: &mut Context, request_id: u64, response: Result<Response, String>) {
    let Some(Overlay::Statistics(view)) = &mut context.overlay else { return };
    if view.request_id == request_id {
        view.result = Some(response.and_then(|response| match response {
            Response::Statistics(statistics) => Ok(statistics),
            _ => Err("the response does not match the request".to_owned()),
        }));
    }
}

pub(super) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Statistics(view)) = &mut app.context.overlay else { return Vec::new() };
    match keys::key_name(key).as_str() {
        "j" | "down" => view.move_cursor(1),
        "k" | "up" => view.move_cursor(-1),
        "pgdn" | "ctrl-d" | "space" => view.move_cursor(PAGE),
        "pgup" | "ctrl-u" => view.move_cursor(-PAGE),
        "y" => {
            let Some(value) = view.selected().cloned() else { return Vec::new() };
            app.context.show_toast(true, "copied the value");
            return vec![Effect::Copy(value.unwrap_or_default())];
        }
        "enter" => {
            let Some(value) = view.selected().cloned() else { return Vec::new() };
            let column = view.column.clone();
            app.context.overlay = None;
            let (screen, context) = app.visible_mut();
            return actions::filter_by(screen, &column, value, context);
        }
        _ => {
            app.context.overlay = None;
            return vec![Effect::Cancel(Channel::Statistics)];
        }
    }
    Vec::new()
}

pub(super) fn draw(canvas: &mut Canvas, area: Rect, view: &StatisticsView) {
    let width = area.width.saturating_sub(4).min(MAX_WIDTH);
    let lists = match &view.result {
        Some(Ok(statistics)) => statistics.top.len().max(statistics.histogram.len()),
        _ => 0,
    };
    let height = u16::try_from(lists).unwrap_or(u16::MAX).saturating_add(LINES_ABOVE + 2);
    let window = layout::centered(area, width, height.min(area.height.saturating_sub(2)));
    let inside = canvas.window(window, &format!("{} {}", view.column, view.data_type));
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    match &view.result {
        None => {
            let line = Line::from(vec![
                canvas.spinner(),
                canvas.span(StyleRole::Dim, " counting the values of every row; esc stops it"),
            ]);
            canvas.line(inside, line);
        }
        Some(Err(error)) => {
            let rows = wrap(error, usize::from(inside.width));
            let lines: Vec<_> =
                rows.into_iter().map(|row| Line::from(canvas.span(StyleRole::Bad, row))).collect();
            canvas.lines(inside, lines);
        }
        Some(Ok(statistics)) => draw_statistics(canvas, inside, view, statistics),
    }
    let below = Rect {
        y: window.bottom() - 1,
        x: window.x + 2,
        width: window.width.saturating_sub(4),
        height: 1,
    };
    let help = canvas.span(StyleRole::Dim, " enter only these rows, y copy, esc closes ");
    canvas.line(below, Line::from(help).right_aligned());
}

fn draw_statistics(
    canvas: &mut Canvas,
    area: Rect,
    view: &StatisticsView,
    statistics: &ColumnStatistics,
) {
    let (above, lists) = (
        Rect { height: LINES_ABOVE.min(area.height), ..area },
        Rect {
            y: area.y + LINES_ABOVE.min(area.height),
            height: area.height.saturating_sub(LINES_ABOVE),
            ..area
        },
    );
    let columns = usize::from(area.width);
    let counts = format!(
        "{}, {} missing, {} distinct",
        humanize::rows(statistics.rows),
        humanize::count(statistics.nulls),
        humanize::count(statistics.distinct)
    );
    let range = statistics
        .range
        .as_ref()
        .map(|(low, high)| format!("{low} {} {high}", canvas.theme.arrow()))
        .unwrap_or_default();
    let averages = statistics
        .averages
        .as_ref()
        .map(|(mean, median)| format!("   mean {mean}, median ~{median}"))
        .unwrap_or_default();
    let texts = [counts, format!("{range}{averages}")];
    let mut lines: Vec<Line<'static>> = texts
        .into_iter()
        .map(|text| Line::from(canvas.span(StyleRole::Text, canvas.fit(&text, columns))))
        .collect();
    lines.push(Line::default());
    canvas.lines(above, lines);
    let heading = Rect { y: above.bottom().saturating_sub(1), height: 1, ..area };
    let halves =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(2), Constraint::Fill(1)]);
    let has_histogram = !statistics.histogram.is_empty();
    let split = |area: Rect| -> [Rect; 2] {
        if !has_histogram {
            return [area, Rect::ZERO];
        }
        let [left, _, right] = halves.areas(area);
        [left, right]
    };
    let [top_heading, histogram_heading] = split(heading);
    let [top, histogram] = split(lists);
    let title = canvas.span(StyleRole::Heading, "Most frequent");
    canvas.line(top_heading, title);
    draw_top(canvas, top, view, statistics);
    if has_histogram {
        let title = canvas.span(StyleRole::Heading, "Rows from each value to the next");
        canvas.line(histogram_heading, title);
        let largest = statistics.histogram.iter().map(|(_, rows)| *rows).max().unwrap_or_default();
        let lines: Vec<_> = statistics
            .histogram
            .iter()
            .map(|(label, rows)| {
                let width = usize::from(histogram.width);
                bar_line(canvas, canvas.fit_right(label, 16), (*rows, largest), width)
            })
            .collect();
        canvas.lines(histogram, lines);
    }
}

fn draw_top(canvas: &mut Canvas, area: Rect, view: &StatisticsView, statistics: &ColumnStatistics) {
    let largest = statistics.top.first().map(|(_, rows)| *rows).unwrap_or_default();
    let width = usize::from(area.width);
    let value_width = (width / 2).clamp(8, 40);
    let len = statistics.top.len();
    let height = usize::from(area.height);
    let first = view.cursor.at.saturating_sub(height.saturating_sub(1));
    for (row, index) in area.rows().zip(first..len) {
        let (value, rows) = &statistics.top[index];
        let value = canvas.fit(value.as_deref().unwrap_or("NULL"), value_width);
        let line = bar_line(canvas, value, (*rows, largest), width);
        canvas.line(row, line);
        if index == view.cursor.at {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
}

/// Formats a label, a number of rows, and a bar for its share of the largest one.
fn bar_line(
    canvas: &Canvas,
    label: String,
    (rows, largest): (u64, u64),
    width: usize,
) -> Line<'static> {
    let count = format!("  {:>11}  ", humanize::count(rows));
    let label = canvas.span(StyleRole::Text, label);
    let space = width.saturating_sub(label.width() + count.len());
    let share = rows as f64 / largest.max(1) as f64;
    let cells = theme::rank(share, space + 1);
    let bar: Span<'static> = canvas.span(StyleRole::Series(0), canvas.theme.bar().repeat(cells));
    Line::from(vec![label, canvas.span(StyleRole::Dim, count), bar])
}
