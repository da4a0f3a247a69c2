//! A line for text input in place of the footer.

use ratatui::{
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
    style::Style,
    text::Line,
};
use ratatui_textarea::{CursorMove, TextArea};

use super::Overlay;
use crate::{app::App, message::Effect, text::width, theme::StyleRole, views::Canvas};

/// Maximum width of a label or an error.
const MAX_LABEL_WIDTH: usize = 60;

#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) label: String,
    pub(crate) input: TextArea<'static>,
    /// Why the text is invalid.
    pub(crate) error: Option<String>,
    /// Runs after every change of the text.
    on_change: Option<fn(&mut App, &str) -> Vec<Effect>>,
    /// Runs with the text; the prompt stays open if it returns an error.
    on_submit: fn(&mut App, &str) -> Result<Vec<Effect>, String>,
}

impl Prompt {
    pub(crate) fn new(
        label: impl Into<String>,
        text: &str,
        on_submit: fn(&mut App, &str) -> Result<Vec<Effect>, String>,
    ) -> Self {
        Self {
            label: label.into(),
            input: line_input(text),
            error: None,
            on_change: None,
            on_submit,
        }
    }

    /// Applies the text while it is typed; clears it when the prompt is canceled.
    pub(crate) fn live(self, on_change: fn(&mut App, &str) -> Vec<Effect>) -> Self {
        Self { on_change: Some(on_change), ..self }
    }

    pub(crate) fn text(&self) -> String {
        self.input.lines().concat()
    }
}

/// Handles a key while a prompt is open.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut app.context.overlay else { return Vec::new() };
    match key.code {
        KeyCode::Esc => {
            let on_change = prompt.on_change;
            app.context.overlay = None;
            on_change.map(|on_change| on_change(app, "")).unwrap_or_default()
        }
        KeyCode::Enter => {
            let (on_submit, text) = (prompt.on_submit, prompt.text());
            let prompt = app.context.overlay.take();
            match on_submit(app, &text) {
                Ok(effects) => effects,
                Err(error) => {
                    app.context.overlay = prompt;
                    if let Some(Overlay::Prompt(prompt)) = &mut app.context.overlay {
                        prompt.error = Some(error);
                    }
                    Vec::new()
                }
            }
        }
        _ => {
            prompt.error = None;
            if edit_line(&mut prompt.input, key) { changed(app) } else { Vec::new() }
        }
    }
}

pub(super) fn paste(app: &mut App, text: &str) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut app.context.overlay else { return Vec::new() };
    prompt.input.insert_str(text);
    changed(app)
}

fn changed(app: &mut App) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &app.context.overlay else { return Vec::new() };
    let (on_change, text) = (prompt.on_change, prompt.text());
    on_change.map(|on_change| on_change(app, &text)).unwrap_or_default()
}

pub(crate) fn draw(canvas: &mut Canvas, area: Rect, prompt: &Prompt) {
    let columns = u16::try_from(width(&prompt.label, MAX_LABEL_WIDTH)).unwrap_or_default();
    let label = canvas.span(StyleRole::Accent, prompt.label.clone());
    canvas.line(area, label);
    let error_width = prompt
        .error
        .as_ref()
        .map_or(0, |error| u16::try_from(width(error, MAX_LABEL_WIDTH)).unwrap_or_default() + 2);
    let field = Rect {
        x: area.x + columns,
        width: area.width.saturating_sub(columns + error_width),
        ..area
    };
    draw_input(canvas, field, &prompt.input);
    if let Some(error) = &prompt.error {
        let line = Line::from(canvas.span(StyleRole::Bad, error.clone())).right_aligned();
        let area = Rect { x: area.right() - error_width, width: error_width, ..area };
        canvas.line(area, line);
    }
}

/// Draws a single-line input, without a special style for that line.
pub(crate) fn draw_input(canvas: &mut Canvas, area: Rect, input: &TextArea<'static>) {
    let mut input = input.clone();
    input.set_cursor_line_style(Style::new());
    canvas.draw(area, &input);
}

/// Returns an input of one line with its cursor at the end.
pub(crate) fn line_input(text: &str) -> TextArea<'static> {
    let mut input = TextArea::new(vec![text.to_owned()]);
    input.move_cursor(CursorMove::End);
    input
}

/// Applies a key to an input; returns whether the text changed. `ctrl-u` removes the text before
/// the cursor, as in a shell.
pub(crate) fn edit_line(input: &mut TextArea<'static>, key: KeyEvent) -> bool {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('u') {
        return input.delete_line_by_head();
    }
    input.input(Event::Key(key))
}
