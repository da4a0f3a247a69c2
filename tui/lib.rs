//! The terminal dashboard for operators.
//!
//! Keys, signals, time and results of workers arrive as messages over one channel.
//! [`app::App::update`] changes the state and returns effects, [`workers`] run them off this
//! thread, and screens draw the state. A screen is one module in [`screens`] with its state, keys,
//! handling of messages and drawing.

mod app;
mod commands;
mod context;
mod grid;
mod keys;
mod layout;
mod list_cursor;
mod message;
mod osc_response;
mod overlays;
mod screens;
mod terminal;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on says so by panicking"
)]
mod tests;
mod text;
mod theme;
mod theme_file;
mod views;
mod workers;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use materia::settings::Keys;
use ratatui::{
    crossterm::{
        event::{MouseButton, MouseEvent, MouseEventKind},
        terminal::size,
    },
    layout::Size,
};

use self::{
    app::App,
    keys::Keymap,
    message::{Effect, Message},
    terminal::EventReader,
    views::ClickMap,
    workers::Workers,
};
pub use self::{
    message::Config,
    terminal::TerminalScreen,
    theme::{ColorDepth, ColorScheme, Theme},
    theme_file::{ThemeColors, ThemeFile},
    workers::ConfigSource,
};

/// Command line options of the dashboard.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    /// Colors and characters for drawing.
    pub theme: Theme,
    /// Whether actions other than reading are allowed from the start.
    pub allow_actions: bool,
    /// Whether clicks and the wheel are captured.
    pub mouse: bool,
    /// Whether the window's title shows the state.
    pub title: bool,
    /// Whether the terminal is asked for its background, and the scheme follows the response.
    pub query_background: bool,
    /// Whether the bell rings when another problem appears.
    pub bell: bool,
    /// The command that opens the editor; the file is appended to it.
    pub editor: String,
}

/// Lists every action and its keys as Markdown.
///
/// # Errors
/// The settings name an unknown action or key.
pub fn print_keys(keys: &BTreeMap<String, Keys>) -> Result<String, String> {
    let app = App::new(Timestamp::UNIX_EPOCH, Size::default(), false);
    let groups = app.all_key_groups();
    let keymap = Keymap::parse(keys, &groups)?;
    let mut text = String::new();
    for group in groups {
        let _ = writeln!(text, "## {}\n\n| keys | action | |\n| --- | --- | --- |", group.title);
        for binding in group.bindings {
            let keys: Vec<_> = keymap.keys(group, binding).map(|key| format!("`{key}`")).collect();
            let action = format!("{}.{}", group.id, binding.name);
            let _ = writeln!(text, "| {} | {action} | {} |", keys.join(" "), binding.about);
        }
        text.push('\n');
    }
    Ok(text)
}

/// Maximum number of messages handled before the next frame, so that a flood of messages cannot
/// block drawing.
const MAX_MESSAGES_PER_FRAME: usize = 1_000;
/// Number of lines per step of the wheel.
const WHEEL_LINES: isize = 3;

/// Shows the dashboard until the operator quits.
///
/// # Errors
/// The terminal cannot be used.
pub fn run(options: &Options, source: ConfigSource) -> io::Result<()> {
    let (send, receive) = mpsc::channel();
    terminal::restore_on_panic(&send);
    let mut screen = TerminalScreen::enter(options.mouse)?;
    let mut app = App::new(Timestamp::now(), size().map(Size::from)?, options.allow_actions);
    app.context.zone = TimeZone::system();
    // The first frame is drawn before any file is opened.
    let mut theme = options.theme;
    let mut click_map = draw(&mut screen, &app, theme)?;
    terminal::read_signals(&send)?;
    if options.query_background {
        TerminalScreen::query_background()?;
    }
    let events = EventReader::start(&send, options.query_background);
    let mut workers = Workers::start(source, send);
    let (mut title, mut problems) = (String::new(), None);
    loop {
        let messages = next_messages(&receive, app.next_change());
        app.update(Message::Tick(Timestamp::now()));
        for message in messages {
            if let Message::Background(scheme) = message {
                theme.scheme = scheme;
            }
            let Some(message) = resolve_mouse(message, &click_map) else { continue };
            for effect in app.update(message) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Suspend => {
                        // The previous title is restored with the terminal.
                        title.clear();
                        let size = screen.suspend()?;
                        app.update(Message::Resize(size));
                    }
                    Effect::EditQuery(text) => {
                        title.clear();
                        let edited = screen.edit(&options.editor, &text, &events);
                        app.update(Message::Edited(edited));
                    }
                    Effect::Redraw => screen.redraw()?,
                    Effect::Copy(text) => TerminalScreen::copy(&text)?,
                    effect => workers.run_effect(effect),
                }
            }
        }
        click_map = draw(&mut screen, &app, theme)?;
        let current = app.context.title();
        if options.title && current != title {
            TerminalScreen::set_title(&current)?;
            title = current;
        }
        let count = app.context.problem_count();
        if options.bell && problems.zip(count).is_some_and(|(before, now)| now > before) {
            TerminalScreen::ring_bell()?;
        }
        problems = count;
        // Scrolling beyond the end of a text must not have to be undone key by key.
        app.update(Message::Rendered { first_line: click_map.first_line });
    }
}

fn draw(screen: &mut TerminalScreen, app: &App, theme: Theme) -> io::Result<ClickMap> {
    let mut click_map = ClickMap::default();
    screen.draw(|frame| click_map = views::draw(frame, app, theme))?;
    Ok(click_map)
}

/// Waits for messages, at most until the display changes without one.
fn next_messages(receive: &Receiver<Message>, change: Option<Timestamp>) -> Vec<Message> {
    let first = match change {
        None => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(at) => {
            let pause = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            receive.recv_timeout(pause)
        }
    };
    match first {
        Ok(first) => {
            std::iter::once(first).chain(receive.try_iter()).take(MAX_MESSAGES_PER_FRAME).collect()
        }
        Err(RecvTimeoutError::Timeout) => Vec::new(),
        // All senders were dropped.
        Err(RecvTimeoutError::Disconnected) => vec![Message::Quit],
    }
}

/// Resolves a mouse event to its target; `None` if there is none.
fn resolve_mouse(message: Message, click_map: &ClickMap) -> Option<Message> {
    let Message::Mouse(MouseEvent { kind, column, row, .. }) = message else {
        return Some(message);
    };
    match kind {
        MouseEventKind::Down(MouseButton::Left) => click_map.at(column, row).map(Message::Click),
        MouseEventKind::ScrollDown => Some(Message::Scroll(WHEEL_LINES)),
        MouseEventKind::ScrollUp => Some(Message::Scroll(-WHEEL_LINES)),
        _ => None,
    }
}
