//! Where things are, from the size alone: views draw there, and `update` knows how many lines are in view.

use ratatui::layout::{Constraint, Layout, Rect, Size};

use super::state::{Screen, State};

/// The smallest terminal that everything fits into.
pub(crate) const LEAST: Size = Size { width: 60, height: 15 };

/// Tabs, the screen, and what one can press.
pub(crate) fn frame(size: Size) -> [Rect; 3] {
    let area = Rect::new(0, 0, size.width, size.height);
    Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(area)
}

/// The screen without tabs and keys.
pub(crate) fn body(size: Size) -> Rect {
    let [_, body, _] = frame(size);
    body
}

/// A list with headings: headings, lines, and a line below.
pub(crate) fn list(area: Rect) -> [Rect; 3] {
    Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(area)
}

/// An opened table: its name, its columns, its rows.
pub(crate) fn opened(area: Rect, columns: usize, on_rows: bool) -> [Rect; 3] {
    let most = if on_rows { area.height / 3 } else { area.height * 3 / 5 };
    let wanted = u16::try_from(columns + 1).unwrap_or(u16::MAX);
    Layout::vertical([Constraint::Length(1), Constraint::Length(wanted.min(most.max(3))), Constraint::Fill(1)]).areas(area)
}

/// The prompt and the answer.
pub(crate) fn sql(area: Rect, lines: usize, typing: bool) -> [Rect; 2] {
    let most = if typing { area.height / 2 } else { area.height / 3 };
    let wanted = u16::try_from(lines + 2).unwrap_or(u16::MAX).clamp(if typing { 6 } else { 3 }, most.max(3));
    Layout::vertical([Constraint::Length(wanted), Constraint::Fill(1)]).areas(area)
}

/// A window in the middle of the screen.
pub(crate) fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height)
}

/// Where the rows are that the screen shows, if it shows any.
pub(crate) fn rows(state: &State) -> Rect {
    let body = body(state.size);
    match (state.screen, &state.tables.open) {
        (Screen::Tables, Some(open)) => opened(body, open.columns.len(), open.on_rows)[2],
        (Screen::Sql, _) => sql(body, state.sql.editor.lines().len(), state.sql.typing)[1],
        _ => body,
    }
}

/// Lines in view of whatever the keys move through on the screen.
pub(crate) fn height(state: &State) -> usize {
    let body = body(state.size);
    let area = match (state.screen, &state.tables.open) {
        (Screen::Tables, Some(open)) if !open.on_rows => {
            let columns = opened(body, open.columns.len(), false)[1];
            return usize::from(columns.height.saturating_sub(1));
        }
        (Screen::Tables, Some(_)) | (Screen::Sql, _) => rows(state),
        (Screen::Now | Screen::Dashboards, _) => return usize::from(body.height),
        _ => body,
    };
    usize::from(list(area)[1].height)
}

/// Lines in view of rows, whether or not keys move through them.
pub(crate) fn rows_height(state: &State) -> usize {
    usize::from(list(rows(state))[1].height)
}

/// Where the row numbers end and the values begin.
pub(crate) fn gutter(rows: usize) -> usize {
    rows.max(1).to_string().len() + 2
}
