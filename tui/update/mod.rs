//! The only place where state changes.

mod act;
mod arrive;
mod dashboards;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on says so by panicking"
)]
mod help_tests;
mod moves;
mod overlays;
mod rows;
mod screens;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on says so by panicking"
)]
mod tests;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    keys::{self, Action, Scope},
    layout,
    message::{Effect, Message, Target},
    state::{Overlay, Prompt, PromptKind, Screen, State},
};

/// Takes in what happened, and returns what is wished for.
pub(crate) fn update(state: &mut State, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => press(state, key),
        Message::Paste(text) => paste(state, &text),
        Message::Click(target) => click(state, target),
        Message::Scroll(by) => scroll(state, by),
        Message::Resize(size) => {
            state.size = size;
            moves::step(state, 0)
        }
        Message::Tick(now) => {
            state.now = now;
            state.turn = state.turn.wrapping_add(1);
            if state.toast.as_ref().is_some_and(|toast| toast.until <= now) {
                state.toast = None;
            }
            Vec::new()
        }
        Message::Drawn { first_line } => {
            moves::settle(state, first_line);
            Vec::new()
        }
        Message::Do(action) => act::act(state, action),
        Message::Broken(why) => {
            state.say(false, why);
            Vec::new()
        }
        // It becomes a click or a scroll where it is known what is drawn.
        Message::Mouse(_) => Vec::new(),
        Message::End => vec![Effect::Quit],
        arrived => arrive::arrive(state, arrived),
    }
}

fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    // The way out is the same from everywhere.
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return vec![Effect::Quit];
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('z') {
        return vec![Effect::Suspend];
    }
    if state.overlay.is_some() {
        return overlays::press(state, key);
    }
    let scopes = state.scopes();
    let name = keys::name(key);
    if scopes.contains(&Scope::Editor) {
        return match keys::find(&scopes, &name) {
            Some(binding) => act::act(state, binding.action),
            None => screens::type_sql(state, key),
        };
    }
    let pressed = std::mem::take(&mut state.pressed) + &name;
    if keys::is_beginning(&scopes, &pressed) {
        state.pressed = pressed;
        return Vec::new();
    }
    match keys::find(&scopes, &pressed).or_else(|| keys::find(&scopes, &name)) {
        Some(binding) => act::act(state, binding.action),
        None => Vec::new(),
    }
}

fn paste(state: &mut State, text: &str) -> Vec<Effect> {
    let first = text.lines().next().unwrap_or_default();
    match &mut state.overlay {
        Some(Overlay::Prompt(prompt)) => {
            prompt.input.insert_str(first);
            overlays::typed(state)
        }
        Some(Overlay::Palette(palette)) => {
            palette.input.insert_str(first);
            palette.find();
            Vec::new()
        }
        None if state.screen == Screen::Sql && state.sql.typing => {
            state.sql.completion = None;
            state.sql.editor.insert_str(text.replace('\r', ""));
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn click(state: &mut State, target: Target) -> Vec<Effect> {
    if state.overlay.is_some() {
        return overlays::click(state, target);
    }
    match target {
        Target::Tab(screen) => act::act(state, Action::Show(screen)),
        Target::Line(line) => screens::click_line(state, line),
        Target::Heading(column) => screens::click_heading(state, column),
        Target::Cell(row, column) => rows::click(state, row, column),
        Target::Editor => act::act(state, Action::Edit),
        Target::Filter(filter) => dashboards::pick(state, filter),
    }
}

fn scroll(state: &mut State, by: isize) -> Vec<Effect> {
    match &mut state.overlay {
        None => moves::step(state, by),
        Some(Overlay::Help { scroll }) => {
            *scroll = scroll.saturating_add_signed(by);
            Vec::new()
        }
        Some(Overlay::Palette(palette)) => {
            palette.cursor.step(by, palette.fitting.len(), super::state::palette::HEIGHT);
            Vec::new()
        }
        Some(Overlay::Picker(picker)) => {
            let fitting = picker.fitting().len();
            picker.cursor.step(by, fitting, super::state::dashboards::HEIGHT);
            Vec::new()
        }
        Some(_) => Vec::new(),
    }
}

/// Opens a line to type in.
fn prompt(state: &mut State, kind: PromptKind, text: &str) -> Vec<Effect> {
    state.overlay = Some(Overlay::Prompt(Box::new(Prompt::new(kind, text))));
    Vec::new()
}

/// Shows a screen, and asks for what it needs.
pub(crate) fn show(state: &mut State, screen: Screen) -> Vec<Effect> {
    state.screen = screen;
    match screen {
        Screen::Tables => screens::measure(state),
        Screen::Logs => screens::start_logs(state),
        Screen::Dashboards => dashboards::look(state),
        _ => Vec::new(),
    }
}

/// Lines in view.
fn height(state: &State) -> usize {
    layout::height(state).max(1)
}
