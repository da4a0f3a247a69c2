//! Where things are, from the size alone: views draw there, and `update` knows how many lines are in view.

use materia::dashboard::{Content, PanelData, Scale};
use ratatui::layout::{Constraint, Layout, Rect, Size};

use super::{
    state::{Screen, State},
    text::wrap,
};

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

/// A panel in its row: which one, where it begins and how wide it is, in columns.
pub(crate) struct PanelSpot {
    pub(crate) index: usize,
    pub(crate) x: u16,
    pub(crate) width: u16,
}

/// A row of panels.
pub(crate) struct PanelRow {
    pub(crate) height: u16,
    pub(crate) panels: Vec<PanelSpot>,
}

/// The panels of the dashboard that is shown, in rows.
pub(crate) fn panel_rows(state: &State) -> Vec<PanelRow> {
    let panels = state.dashboards.data.as_ref().map(|data| &data.panels[..]).unwrap_or_default();
    arrange(panels, body(state.size).width)
}

/// The row of panels from which on all others fit: there is nothing to see further down.
pub(crate) fn last_panel_row(state: &State) -> usize {
    let space = list(body(state.size))[1].height;
    let rows = panel_rows(state);
    let mut used = 0;
    let fitting = rows.iter().rev().take_while(|row| {
        used += row.height;
        used <= space
    });
    let fitting = fitting.count();
    // One that is taller than the screen is shown as far as it goes.
    rows.len().saturating_sub(fitting.max(1))
}

/// Panels in rows as wide as the screen: as wide as their files say where that is enough to read them, wider where it is not.
pub(crate) fn arrange(panels: &[PanelData], width: u16) -> Vec<PanelRow> {
    let mut rows: Vec<Vec<(usize, u16)>> = Vec::new();
    let mut used = 12;
    for (index, panel) in panels.iter().enumerate() {
        let least = (least_width(&panel.content) * 12).div_ceil(width.max(1)).min(12);
        // Of twelve, such that several of them fill a row.
        let least = [2, 3, 4, 6, 12].into_iter().find(|span| *span >= least).unwrap_or(12);
        let span = u16::from(panel.width).clamp(least, 12);
        if used + span > 12 {
            rows.push(Vec::new());
            used = 0;
        }
        used += span;
        if let Some(row) = rows.last_mut() {
            row.push((index, span));
        }
    }
    rows.into_iter().map(|row| spread(&row, panels, width)).collect()
}

/// Gives a row's panels all of the width.
fn spread(row: &[(usize, u16)], panels: &[PanelData], width: u16) -> PanelRow {
    let spans: u16 = row.iter().map(|(_, span)| span).sum();
    let mut before = 0;
    let mut spots = Vec::new();
    for (index, span) in row {
        let edge = |span: u16| u16::try_from(u32::from(width) * u32::from(span) / u32::from(spans.max(1))).unwrap_or(width);
        let x = edge(before);
        before += span;
        spots.push(PanelSpot { index: *index, x, width: edge(before) - x });
    }
    let tall = |spot: &PanelSpot| panel_height(&panels[spot.index], spot.width);
    PanelRow { height: spots.iter().map(tall).max().unwrap_or_default(), panels: spots }
}

fn least_width(content: &Content) -> u16 {
    match content {
        Content::Stat(_) => 22,
        Content::Chart(_) => 48,
        Content::Heatmap(heatmap) => u16::try_from(heatmap.columns.len() * 2 + 16).unwrap_or(u16::MAX).clamp(40, 100),
        Content::Table(table) => u16::try_from(table.columns.len() * 9).unwrap_or(u16::MAX).clamp(36, 100),
        Content::Markdown { .. } | Content::Empty { .. } | Content::Locked { .. } | Content::Failed { .. } => 30,
    }
}

/// What a panel says about what it does not show, in at most two lines.
pub(crate) fn note_lines(panel: &PanelData, width: u16) -> Vec<String> {
    if panel.notes.is_empty() {
        return Vec::new();
    }
    let mut lines = wrap(&panel.notes.join(" "), usize::from(width.max(1)));
    lines.truncate(2);
    lines
}

/// Lines that a panel takes, with its frame and its notes.
fn panel_height(panel: &PanelData, width: u16) -> u16 {
    drawing_height(panel, width) + u16::try_from(note_lines(panel, width.saturating_sub(4)).len()).unwrap_or_default()
}

fn drawing_height(panel: &PanelData, width: u16) -> u16 {
    let lines = |lines: usize, most: u16| u16::try_from(lines).unwrap_or(u16::MAX).min(most);
    match &panel.content {
        Content::Stat(_) => 6,
        Content::Chart(chart) if chart.mark.is_horizontal() => {
            let bars = match &chart.x.scale {
                Scale::Category { names } if chart.mark.is_stacked() => names.len(),
                Scale::Category { names } => names.len() * chart.series.len(),
                _ => 8,
            };
            lines(bars + 5, 24).max(8)
        }
        Content::Chart(_) => 16,
        Content::Heatmap(heatmap) => lines(heatmap.rows.len() + 5, 30),
        Content::Table(table) => lines(table.rows.len() + 4, 16),
        Content::Markdown { text } => lines(wrap(text, usize::from(width.saturating_sub(4))).len() + 2, 20),
        Content::Empty { .. } | Content::Locked { .. } | Content::Failed { .. } => 5,
    }
}
