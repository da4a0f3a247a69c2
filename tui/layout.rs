//! The layout, computed from the terminal's size alone, so that key handlers know how many lines
//! are in view.

use materia::dashboard::{Content, Mark, PanelData, Scale};
use ratatui::layout::{Constraint, Layout, Rect, Size};

use super::text::{fit, wrap};

/// The smallest terminal that fits everything.
pub(crate) const MIN_SIZE: Size = Size { width: 60, height: 15 };

/// Splits the terminal into tabs, the screen, and the footer.
pub(crate) fn frame(size: Size) -> [Rect; 3] {
    let area = Rect::new(0, 0, size.width, size.height);
    Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
        .areas(area)
}

/// Returns the area of the screen, without tabs and footer.
pub(crate) fn body(size: Size) -> Rect {
    let [_, body, _] = frame(size);
    body
}

/// Splits an area into headings, the lines of a list, and a summary below.
pub(crate) fn list(area: Rect) -> [Rect; 3] {
    Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
        .areas(area)
}

/// Returns a centered window in an area, at most as large as the area.
pub(crate) fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height)
}

/// Returns the width of the column with row numbers.
pub(crate) fn gutter(rows: usize) -> usize {
    rows.max(1).to_string().len() + 2
}

/// The position of a panel in its row, in cells.
pub(crate) struct PanelSlot {
    pub(crate) index: usize,
    pub(crate) x: u16,
    pub(crate) width: u16,
}

/// A row of panels.
pub(crate) struct PanelRow {
    pub(crate) height: u16,
    pub(crate) panels: Vec<PanelSlot>,
}

/// Returns the first row of panels from which all others fit into the area: the limit of scrolling.
pub(crate) fn last_panel_row(panels: &[PanelData], area: Rect) -> usize {
    let space = area.height;
    let rows = arrange_panels(panels, area.width);
    let mut used = 0;
    let matches = rows.iter().rev().take_while(|row| {
        used += row.height;
        used <= space
    });
    let matches = matches.count();
    // A row that is taller than the screen is truncated.
    rows.len().saturating_sub(matches.max(1))
}

/// Arranges panels in rows: with the widths from their files if those are legible, otherwise wider.
pub(crate) fn arrange_panels(panels: &[PanelData], width: u16) -> Vec<PanelRow> {
    let mut rows: Vec<Vec<(usize, u16)>> = Vec::new();
    let mut used = 12;
    for (index, panel) in panels.iter().enumerate() {
        let least = (min_width(&panel.content) * 12).div_ceil(width.max(1)).min(12);
        // A divisor of twelve, so that several panels fill a row.
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
    rows.into_iter().map(|row| distribute(&row, panels, width)).collect()
}

/// Distributes the whole width among a row's panels.
fn distribute(row: &[(usize, u16)], panels: &[PanelData], width: u16) -> PanelRow {
    let spans: u16 = row.iter().map(|(_, span)| span).sum();
    let mut before = 0;
    let mut spots = Vec::new();
    for (index, span) in row {
        let edge = |span: u16| {
            u16::try_from(u32::from(width) * u32::from(span) / u32::from(spans.max(1)))
                .unwrap_or(width)
        };
        let x = edge(before);
        before += span;
        spots.push(PanelSlot { index: *index, x, width: edge(before) - x });
    }
    let tall = |spot: &PanelSlot| panel_height(&panels[spot.index], spot.width);
    PanelRow { height: spots.iter().map(tall).max().unwrap_or_default(), panels: spots }
}

fn min_width(content: &Content) -> u16 {
    match content {
        Content::Stat(_) => 22,
        Content::Chart(_) | Content::Facets { .. } | Content::Map(_) => 48,
        Content::Heatmap(heatmap) => {
            u16::try_from(heatmap.columns.len() * 2 + 16).unwrap_or(u16::MAX).clamp(40, 100)
        }
        Content::Table(table) => {
            u16::try_from(table.columns.len() * 9).unwrap_or(u16::MAX).clamp(36, 100)
        }
        Content::Markdown { .. }
        | Content::Empty { .. }
        | Content::Locked { .. }
        | Content::Failed { .. } => 30,
    }
}

/// Returns the notes on omissions from a panel, in at most two lines.
pub(crate) fn note_lines(panel: &PanelData, width: u16) -> Vec<String> {
    let width = usize::from(width.max(1));
    let mut lines = Vec::new();
    if !panel.notes.is_empty() {
        lines = two_lines(&panel.notes.join(" "), width);
    }
    // What is not late is on the page and in `dashboards show`; here, space is scarce.
    for source in panel.freshness.iter().filter(|source| source.is_late) {
        lines.extend(two_lines(&format!("late: {}", source.text), width));
    }
    lines
}

/// Wraps a text to at most two lines, and marks one that is longer.
fn two_lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = wrap(text, width);
    if lines.len() > 2 {
        lines.truncate(2);
        if let Some(last) = lines.last_mut() {
            // Every terminal has these dots.
            *last = fit(last, width.saturating_sub(3), false, "").trim_end().to_owned() + "...";
        }
    }
    lines
}

/// Returns the number of lines of a panel, with its frame and its notes.
fn panel_height(panel: &PanelData, width: u16) -> u16 {
    drawing_height(panel, width)
        + u16::try_from(note_lines(panel, width.saturating_sub(4)).len()).unwrap_or_default()
}

fn drawing_height(panel: &PanelData, width: u16) -> u16 {
    let lines = |lines: usize, max: u16| u16::try_from(lines).unwrap_or(u16::MAX).min(max);
    match &panel.content {
        Content::Stat(_) => 6,
        Content::Chart(chart) if chart.mark.is_horizontal() => {
            let bars = match &chart.x.scale {
                Scale::Category { names }
                    if chart.mark.is_stacked() || chart.mark == Mark::Dumbbell =>
                {
                    names.len()
                }
                Scale::Category { names } => names.len() * chart.series.len(),
                _ => 8,
            };
            lines(bars + 5, 24).max(8)
        }
        Content::Chart(chart) if chart.mark == Mark::Donut => lines(chart.series.len() + 4, 16),
        Content::Chart(_) => 16,
        // As wide as high, in cells that are twice as high as wide.
        Content::Map(map) => {
            let rows = f64::from(width.saturating_sub(4)) / map.frame.aspect() / 2.0;
            // At most the columns of the terminal.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rows = rows as usize;
            lines(rows + 4, 30).max(12)
        }
        Content::Facets { charts } => lines(charts.len() * 10 + 2, 80),
        Content::Heatmap(heatmap) => lines(heatmap.rows.len() + 5, 30),
        Content::Table(table) => {
            lines(table.rows.len() + 4 + usize::from(!table.groups().is_empty()), 16)
        }
        Content::Markdown { text } => {
            lines(wrap(text, usize::from(width.saturating_sub(4))).len() + 2, 20)
        }
        Content::Empty { .. } | Content::Locked { .. } | Content::Failed { .. } => 5,
    }
}
