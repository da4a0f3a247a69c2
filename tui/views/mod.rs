//! Drawing: the canvas, the header and footer, charts and panels. Drawing depends only on the
//! state, and never changes it.

mod bars;
mod charts;
mod header_footer;
mod maps;
pub(crate) mod panels;
mod series_colors;

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Widget},
};

pub(crate) use self::header_footer::freshness;
use super::{
    app::App,
    layout::{self, MIN_SIZE},
    message::ClickTarget,
    overlays,
    text::fit,
    theme::{ColorDepth, StyleRole, Theme},
};

/// The areas that react to clicks.
#[derive(Debug, Default)]
pub(crate) struct ClickMap {
    areas: Vec<(Rect, ClickTarget)>,
    /// The first visible line of a scrolled text, limited so that its end is visible.
    pub(crate) first_line: Option<usize>,
}

impl ClickMap {
    /// Returns the target at a position; areas that were added later take precedence.
    pub(crate) fn at(&self, column: u16, row: u16) -> Option<ClickTarget> {
        self.areas
            .iter()
            .rev()
            .find(|(area, _)| area.contains(Position::new(column, row)))
            .map(|(_, target)| *target)
    }
}

/// A frame being drawn, and its theme.
pub(crate) struct Canvas<'a, 'b> {
    pub(crate) frame: &'a mut Frame<'b>,
    pub(crate) theme: Theme,
    pub(crate) now: Timestamp,
    pub(crate) spinner_frame: usize,
    pub(crate) click_map: ClickMap,
}

impl Canvas<'_, '_> {
    pub(crate) fn style(&self, role: StyleRole) -> Style {
        self.theme.style(role)
    }

    pub(crate) fn span(&self, role: StyleRole, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(role))
    }

    /// Draws a line of text at the top of an area.
    pub(crate) fn line(&mut self, area: Rect, line: impl Into<Line<'static>>) {
        if area.height > 0 {
            self.frame.render_widget(line.into(), Rect { height: 1, ..area });
        }
    }

    /// Draws lines below one another, as many as fit.
    pub(crate) fn lines(&mut self, area: Rect, lines: impl IntoIterator<Item = Line<'static>>) {
        for (row, line) in area.rows().zip(lines) {
            self.frame.render_widget(line, row);
        }
    }

    /// Draws a text from line `first`, or from an earlier one so that it fills the area.
    pub(crate) fn scrolled(&mut self, area: Rect, lines: Vec<Line<'static>>, first: usize) {
        let first = first.min(lines.len().saturating_sub(usize::from(area.height)));
        self.click_map.first_line = Some(first);
        self.lines(area, lines.into_iter().skip(first));
    }

    pub(crate) fn draw(&mut self, area: Rect, widget: impl Widget) {
        self.frame.render_widget(widget, area);
    }

    /// Draws a frame with a title; returns the area inside.
    pub(crate) fn block(&mut self, area: Rect, title: &str, role: StyleRole) -> Rect {
        let style = self.style(role);
        let title = if title.is_empty() {
            Line::default()
        } else {
            Line::styled(format!(" {title} "), style)
        };
        let mut block = Block::bordered().border_style(self.style(StyleRole::Frame)).title(title);
        block = if self.theme.ascii {
            block.border_set(ASCII_BORDER)
        } else {
            block.border_type(BorderType::Rounded)
        };
        let inside = block.inner(area);
        self.draw(area, block);
        inside
    }

    /// Clears a window over the existing content; returns the area inside.
    pub(crate) fn window(&mut self, area: Rect, title: &str) -> Rect {
        self.draw(area, Clear);
        self.block(area, title, StyleRole::Strong)
    }

    /// Marks a row as selected; colored text keeps its color if it is legible on the background.
    pub(crate) fn select(&mut self, row: Rect) {
        let (selected, dim) = (self.style(StyleRole::Selected), self.style(StyleRole::Dim).fg);
        let keeps_colors = matches!(self.theme.depth, ColorDepth::Ansi256 | ColorDepth::TrueColor);
        let buffer = self.frame.buffer_mut();
        for position in row.positions() {
            let cell = &mut buffer[position];
            let has_own_color = keeps_colors && cell.fg != Color::Reset && Some(cell.fg) != dim;
            let color = cell.fg;
            cell.set_style(selected);
            if has_own_color {
                cell.fg = color;
            }
        }
    }

    /// Draws a row's text dimmed.
    pub(crate) fn dim(&mut self, row: Rect) {
        let style = self.style(StyleRole::Dim);
        self.frame.buffer_mut().set_style(row, style);
    }

    pub(crate) fn fit(&self, text: &str, columns: usize) -> String {
        fit(text, columns, false, self.theme.more())
    }

    pub(crate) fn fit_right(&self, text: &str, columns: usize) -> String {
        fit(text, columns, true, self.theme.more())
    }

    pub(crate) fn spinner(&self) -> Span<'static> {
        self.span(StyleRole::Accent, self.theme.spinner(self.spinner_frame))
    }

    pub(crate) fn add_click_area(&mut self, area: Rect, target: ClickTarget) {
        self.click_map.areas.push((area, target));
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

/// Draws the whole frame, and returns the areas that react to clicks.
pub(crate) fn draw(frame: &mut Frame, app: &App, theme: Theme) -> ClickMap {
    let area = frame.area();
    let mut canvas = Canvas {
        frame,
        theme,
        now: app.context.now,
        spinner_frame: app.context.spinner_frame,
        click_map: ClickMap::default(),
    };
    if area.width < MIN_SIZE.width || area.height < MIN_SIZE.height {
        draw_too_small(&mut canvas, area);
        return canvas.click_map;
    }
    let [top, body, bottom] = layout::frame(area.as_size());
    header_footer::draw_header(&mut canvas, top, &app.context);
    app.visible().draw(&mut canvas, body, &app.context);
    header_footer::draw_footer(&mut canvas, bottom, app);
    if let Some(overlay) = &app.context.overlay {
        overlays::draw(&mut canvas, area, overlay, app);
    }
    canvas.click_map
}

fn draw_too_small(canvas: &mut Canvas, area: Rect) {
    let needed = format!("materia needs {} x {}", MIN_SIZE.width, MIN_SIZE.height);
    let given = format!("this is {} x {}", area.width, area.height);
    let lines = [needed, given].map(|text| Line::raw(text).centered());
    let middle = layout::centered(area, area.width, 2);
    canvas.lines(middle, lines);
}
