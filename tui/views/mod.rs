//! What the state looks like. Views read the state they are given and draw; they ask nothing and change nothing.

mod bars;
mod charts;
mod chrome;
mod dashboards;
mod grid;
mod history;
mod logs;
mod now;
mod overlay;
mod sql;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::format_push_string, reason = "a test that cannot go on says so by panicking")]
mod state_tests;
mod tables;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on says so by panicking"
)]
mod tests;

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Widget},
};

use super::{
    layout::{self, LEAST},
    look::{Depth, Look, Role},
    message::Target,
    state::{Screen, State},
    text::fit,
};

/// What can be clicked, and where.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    areas: Vec<(Rect, Target)>,
    /// The first line in view of a text that is scrolled, at most so far that its end is in view.
    pub(crate) first_line: Option<usize>,
}

impl Hits {
    /// What is there; what was drawn later lies above.
    pub(crate) fn at(&self, column: u16, row: u16) -> Option<Target> {
        self.areas.iter().rev().find(|(area, _)| area.contains(Position::new(column, row))).map(|(_, target)| *target)
    }
}

/// What views draw with.
struct Paint<'a, 'b> {
    frame: &'a mut Frame<'b>,
    look: Look,
    now: Timestamp,
    /// Which picture of something turning it is the time for.
    turn: usize,
    hits: Hits,
}

impl Paint<'_, '_> {
    fn style(&self, role: Role) -> Style {
        self.look.style(role)
    }

    fn span(&self, role: Role, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(role))
    }

    /// Draws a line of text at the top of an area.
    fn line(&mut self, area: Rect, line: impl Into<Line<'static>>) {
        if area.height > 0 {
            self.frame.render_widget(line.into(), Rect { height: 1, ..area });
        }
    }

    /// Draws lines below one another, as many as fit.
    fn lines(&mut self, area: Rect, lines: impl IntoIterator<Item = Line<'static>>) {
        for (row, line) in area.rows().zip(lines) {
            self.frame.render_widget(line, row);
        }
    }

    /// Draws a text from one of its lines on, or from as far down as it fills the area.
    fn scrolled(&mut self, area: Rect, lines: Vec<Line<'static>>, first: usize) {
        let first = first.min(lines.len().saturating_sub(usize::from(area.height)));
        self.hits.first_line = Some(first);
        self.lines(area, lines.into_iter().skip(first));
    }

    fn draw(&mut self, area: Rect, widget: impl Widget) {
        self.frame.render_widget(widget, area);
    }

    /// A frame with a title; returns what is inside.
    fn block(&mut self, area: Rect, title: &str, role: Role) -> Rect {
        let style = self.style(role);
        let title = if title.is_empty() { Line::default() } else { Line::styled(format!(" {title} "), style) };
        let mut block = Block::bordered().border_style(self.style(Role::Frame)).title(title);
        block = if self.look.ascii { block.border_set(ASCII_BORDER) } else { block.border_type(BorderType::Rounded) };
        let inside = block.inner(area);
        self.draw(area, block);
        inside
    }

    /// An empty window over what is there.
    fn window(&mut self, area: Rect, title: &str) -> Rect {
        self.draw(area, Clear);
        self.block(area, title, Role::Strong)
    }

    /// Marks a row as the one that one is on; what has a colour of its own keeps it where the ground lets it be read.
    fn select(&mut self, row: Rect) {
        let (selected, dim) = (self.style(Role::Selected), self.style(Role::Dim).fg);
        let keeps = matches!(self.look.depth, Depth::Many | Depth::True);
        let buffer = self.frame.buffer_mut();
        for position in row.positions() {
            let cell = &mut buffer[position];
            let own = keeps && cell.fg != Color::Reset && Some(cell.fg) != dim;
            let color = cell.fg;
            cell.set_style(selected);
            if own {
                cell.fg = color;
            }
        }
    }

    fn fit(&self, text: &str, columns: usize) -> String {
        fit(text, columns, false, self.look.more())
    }

    fn fit_right(&self, text: &str, columns: usize) -> String {
        fit(text, columns, true, self.look.more())
    }

    fn spinner(&self) -> Span<'static> {
        self.span(Role::Accent, self.look.spinner(self.turn))
    }

    fn hit(&mut self, area: Rect, target: Target) {
        self.hits.areas.push((area, target));
    }
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws everything, and returns what can be clicked.
pub(crate) fn draw(frame: &mut Frame, state: &State, look: Look) -> Hits {
    let area = frame.area();
    let mut paint = Paint { frame, look, now: state.now, turn: state.turn, hits: Hits::default() };
    if area.width < LEAST.width || area.height < LEAST.height {
        too_small(&mut paint, area);
        return paint.hits;
    }
    let [top, body, bottom] = layout::frame(area.as_size());
    chrome::top(&mut paint, top, state);
    match state.screen {
        Screen::Now => now::draw(&mut paint, body, state),
        Screen::Tables => match &state.tables.open {
            None => tables::draw(&mut paint, body, state),
            Some(open) => tables::draw_open(&mut paint, body, open),
        },
        Screen::History => history::draw(&mut paint, body, state),
        Screen::Dashboards => dashboards::draw(&mut paint, body, state),
        Screen::Sql => sql::draw(&mut paint, body, &state.sql),
        Screen::Logs => logs::draw(&mut paint, body, &state.logs),
    }
    chrome::bottom(&mut paint, bottom, state);
    if let Some(overlay) = &state.overlay {
        overlay::draw(&mut paint, area, overlay, state);
    }
    paint.hits
}

fn too_small(paint: &mut Paint, area: Rect) {
    let needed = format!("materia needs {} x {}", LEAST.width, LEAST.height);
    let given = format!("this is {} x {}", area.width, area.height);
    let lines = [needed, given].map(|text| Line::raw(text).centered());
    let middle = layout::middle(area, area.width, 2);
    paint.lines(middle, lines);
}
