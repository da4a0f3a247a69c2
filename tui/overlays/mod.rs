//! Overlays, which are drawn over a screen and receive all keys: help, palette, dialogs, prompts.

pub(crate) mod palette;
mod prompt;
pub(crate) mod statistics;
mod text_view;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent},
    layout::Rect,
    text::Line,
};

pub(crate) use self::prompt::{Prompt, draw as draw_prompt, draw_input, edit_line, line_input};
pub(crate) use self::text_view::TextView;
use self::{palette::Palette, statistics::StatisticsView};
use super::{
    app::{App, GLOBAL_KEYS, TYPING_KEYS},
    commands, keys, layout,
    message::{ClickTarget, Effect},
    screens::dashboards::filters::{self, FilterPicker},
    text::{width, wrap},
    theme::StyleRole,
    views::Canvas,
};

/// Number of lines by which page keys scroll the help.
const HELP_PAGE: usize = 10;

/// Something over the screen.
#[derive(Debug, Clone)]
pub(crate) enum Overlay {
    Help { scroll: usize },
    Palette(Box<Palette>),
    Confirm(Box<Confirm>),
    Prompt(Box<Prompt>),
    Filters(Box<FilterPicker>),
    Text(Box<TextView>),
    Statistics(Box<StatisticsView>),
}

/// A dialog that runs an effect when confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Confirm {
    pub(crate) title: String,
    /// The effect, in words.
    pub(crate) text: String,
    pub(crate) command: Option<String>,
    pub(crate) effect: Effect,
}

impl Overlay {
    /// Limits scrolling to the drawn lines.
    pub(crate) fn clamp_scroll(&mut self, first_line: usize) {
        match self {
            Self::Help { scroll } => *scroll = first_line,
            Self::Text(view) => view.scroll = first_line,
            Self::Palette(_)
            | Self::Confirm(_)
            | Self::Prompt(_)
            | Self::Filters(_)
            | Self::Statistics(_) => {}
        }
    }

    /// Scrolls by lines; negative is up.
    pub(crate) fn scroll(&mut self, by: isize) {
        match self {
            Self::Help { scroll } => *scroll = scroll.saturating_add_signed(by),
            Self::Palette(palette) => palette.move_cursor(by),
            Self::Filters(picker) => picker.move_cursor(by),
            Self::Text(view) => view.scroll_by(by),
            Self::Statistics(view) => view.move_cursor(by),
            Self::Confirm(_) | Self::Prompt(_) => {}
        }
    }
}

/// Handles a key while an overlay is open.
pub(crate) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    match &mut app.context.overlay {
        Some(Overlay::Help { scroll }) => {
            match keys::key_name(key).as_str() {
                "j" | "down" => *scroll += 1,
                "k" | "up" => *scroll = scroll.saturating_sub(1),
                "pgdn" | "ctrl-d" | "space" => *scroll += HELP_PAGE,
                "pgup" | "ctrl-u" => *scroll = scroll.saturating_sub(HELP_PAGE),
                _ => app.context.overlay = None,
            }
            Vec::new()
        }
        Some(Overlay::Palette(_)) => palette::press(app, key),
        Some(Overlay::Confirm(confirm)) => match key.code {
            KeyCode::Enter | KeyCode::Char('y') => {
                let effect = confirm.effect.clone();
                commands::run_confirmed(&mut app.context, effect)
            }
            KeyCode::Esc | KeyCode::Char('n' | 'q') => {
                app.context.overlay = None;
                Vec::new()
            }
            _ => Vec::new(),
        },
        Some(Overlay::Prompt(_)) => prompt::press(app, key),
        Some(Overlay::Filters(_)) => filters::press(app, key),
        Some(Overlay::Text(_)) => text_view::press(app, key),
        Some(Overlay::Statistics(_)) => statistics::press(app, key),
        None => Vec::new(),
    }
}

/// Inserts the first line of a pasted text into a single-line input.
pub(crate) fn paste(app: &mut App, text: &str) -> Vec<Effect> {
    let first_line = text.lines().next().unwrap_or_default();
    match &mut app.context.overlay {
        Some(Overlay::Prompt(_)) => prompt::paste(app, first_line),
        Some(Overlay::Palette(palette)) => {
            palette.paste(first_line);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn click(app: &mut App, target: ClickTarget) -> Vec<Effect> {
    match (&mut app.context.overlay, target) {
        (Some(Overlay::Palette(palette)), ClickTarget::Line(line)) => {
            palette.cursor.at = line;
            palette::run_selected(app)
        }
        (Some(Overlay::Filters(picker)), ClickTarget::Line(line)) => {
            picker.cursor.at = line;
            picker.toggle_selected();
            Vec::new()
        }
        (Some(Overlay::Statistics(view)), ClickTarget::Line(line)) => {
            view.cursor.at = line;
            Vec::new()
        }
        (Some(Overlay::Help { .. }), _) => {
            app.context.overlay = None;
            Vec::new()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn draw(canvas: &mut Canvas, area: Rect, overlay: &Overlay, app: &App) {
    match overlay {
        Overlay::Help { scroll } => draw_help(canvas, area, *scroll, app),
        Overlay::Palette(palette) => palette::draw(canvas, area, palette),
        Overlay::Confirm(confirm) => draw_confirm(canvas, area, confirm),
        Overlay::Filters(picker) => filters::draw(canvas, area, picker),
        Overlay::Text(view) => text_view::draw(canvas, area, view),
        Overlay::Statistics(view) => statistics::draw(canvas, area, view),
        // It is drawn in place of the footer.
        Overlay::Prompt(_) => {}
    }
}

fn draw_help(canvas: &mut Canvas, area: Rect, scroll: usize, app: &App) {
    let mut lines = Vec::new();
    for group in [app.visible().keys(), &TYPING_KEYS, &GLOBAL_KEYS] {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::from(canvas.span(StyleRole::Heading, group.title)));
        for binding in group.bindings {
            let keys: Vec<_> = app.context.keyboard.keymap.keys(group, binding).collect();
            lines.push(Line::from(vec![
                canvas.span(StyleRole::Accent, format!("  {:<20} ", keys.join(" "))),
                canvas.span(StyleRole::Text, binding.about),
            ]));
        }
    }
    let height =
        u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(2));
    let window = layout::centered(area, 84.min(area.width.saturating_sub(2)), height);
    let inside = canvas.window(window, "Keys");
    let is_cut = lines.len() > usize::from(inside.height);
    canvas.scrolled(inside, lines, scroll);
    let text = if is_cut { " j k scroll, any other key closes " } else { " any key closes " };
    let below = Rect {
        y: window.bottom() - 1,
        x: window.x + 2,
        width: window.width.saturating_sub(4),
        height: 1,
    };
    let line = Line::from(canvas.span(StyleRole::Dim, text)).right_aligned();
    canvas.line(below, line);
}

fn draw_confirm(canvas: &mut Canvas, area: Rect, confirm: &Confirm) {
    let columns = area.width.saturating_sub(4).min(76);
    let space = usize::from(columns.saturating_sub(4));
    let mut lines: Vec<_> = wrap(&confirm.text, space)
        .into_iter()
        .map(|row| Line::from(canvas.span(StyleRole::Text, format!(" {row}"))))
        .collect();
    if let Some(command) = &confirm.command {
        lines.push(Line::default());
        let rows = wrap(&format!("$ {command}"), space);
        lines.extend(
            rows.into_iter()
                .map(|row| Line::from(canvas.span(StyleRole::Strong, format!(" {row}")))),
        );
    }
    lines.push(Line::default());
    lines.push(Line::from(vec![
        canvas.span(StyleRole::Accent, " enter "),
        canvas.span(StyleRole::Text, "yes   "),
        canvas.span(StyleRole::Accent, "esc "),
        canvas.span(StyleRole::Text, "no"),
    ]));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let title_width = u16::try_from(width(&confirm.title, 70) + 6).unwrap_or_default();
    let window = layout::centered(area, columns.max(title_width), height);
    let inside = canvas.window(window, &confirm.title);
    canvas.lines(inside, lines);
}
