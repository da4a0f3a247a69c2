//! A window with text that can be scrolled and copied.

use ratatui::{crossterm::event::KeyEvent, layout::Rect, text::Line};

use super::Overlay;
use crate::{app::App, keys, layout, message::Effect, text::wrap, theme::StyleRole, views::Canvas};

/// Number of lines by which page keys scroll.
const PAGE: usize = 10;
const MAX_WIDTH: u16 = 120;

#[derive(Debug, Clone)]
pub(crate) struct TextView {
    title: String,
    pub(crate) text: String,
    /// Keys that copy, with the name and the content of the copied text.
    copies: Vec<(&'static str, &'static str, String)>,
    /// The first line in view.
    pub(super) scroll: usize,
}

impl TextView {
    /// Returns a view whose original text `y` copies.
    pub(crate) fn new(title: impl Into<String>, text: String, original: String) -> Self {
        Self::with_copies(title, text, vec![("y", "copy", original)])
    }

    pub(crate) fn with_copies(
        title: impl Into<String>,
        text: String,
        copies: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        Self { title: title.into(), text, copies, scroll: 0 }
    }

    pub(super) fn scroll_by(&mut self, by: isize) {
        self.scroll = self.scroll.saturating_add_signed(by);
    }
}

pub(super) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Text(view)) = &mut app.context.overlay else { return Vec::new() };
    let name = keys::key_name(key);
    if let Some((_, label, text)) = view.copies.iter().find(|(key, ..)| *key == name) {
        let (label, text) = (*label, text.clone());
        let what = if label == "copy" { "copied".to_owned() } else { format!("copied as {label}") };
        app.context.show_toast(true, what);
        return vec![Effect::Copy(text)];
    }
    match name.as_str() {
        "j" | "down" => view.scroll_by(1),
        "k" | "up" => view.scroll_by(-1),
        "pgdn" | "ctrl-d" | "space" => view.scroll_by(PAGE.cast_signed()),
        "pgup" | "ctrl-u" => view.scroll_by(-PAGE.cast_signed()),
        _ => app.context.overlay = None,
    }
    Vec::new()
}

/// Wraps a line with its indentation, so that columns stay aligned.
fn wrap_indented(line: &str, columns: usize) -> Vec<String> {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    if indent == 0 || indent * 2 > columns {
        return wrap(line, columns);
    }
    let rows = wrap(text, columns - indent);
    rows.into_iter().map(|row| format!("{}{row}", " ".repeat(indent))).collect()
}

pub(super) fn draw(canvas: &mut Canvas, area: Rect, view: &TextView) {
    let width = area.width.saturating_sub(4).min(MAX_WIDTH);
    let columns = usize::from(width.saturating_sub(4));
    let lines: Vec<_> = view
        .text
        .lines()
        .flat_map(|line| wrap_indented(line, columns))
        .map(|row| Line::from(canvas.span(StyleRole::Text, format!(" {row}"))))
        .collect();
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let window = layout::centered(area, width, height.min(area.height.saturating_sub(2)));
    let inside = canvas.window(window, &view.title);
    canvas.scrolled(inside, lines, view.scroll);
    let below = Rect {
        y: window.bottom() - 1,
        x: window.x + 2,
        width: window.width.saturating_sub(4),
        height: 1,
    };
    let keys: Vec<_> = view.copies.iter().map(|(key, label, _)| format!("{key} {label}")).collect();
    let help = format!(" {}, j k scroll, esc closes ", keys.join(", "));
    let help = canvas.span(StyleRole::Dim, help);
    canvas.line(below, Line::from(help).right_aligned());
}
