//! Choosing a dashboard and what it shows.

use ratatui::crossterm::event::KeyEvent;

use super::moves;
use crate::tui::{
    keys,
    message::{Answer, Effect, Lane, Question},
    state::{
        Overlay, Screen, State,
        dashboards::{HEIGHT, Picker},
        edit_line,
    },
};

/// Asks for the dashboard that is wanted.
pub(super) fn ask(state: &mut State) -> Vec<Effect> {
    let Some(setup) = state.served.setup.clone().filter(|_| state.served.sequence > 0) else { return Vec::new() };
    let request = state.request();
    let screen = &mut state.dashboards;
    screen.asked = Some(request);
    let slug = screen.wanted.clone();
    let shown = slug.as_ref().or_else(|| screen.data.as_ref().map(|data| &data.slug));
    let asked = shown.and_then(|slug| screen.chosen.get(slug)).cloned().unwrap_or_default();
    vec![Effect::Ask { lane: Lane::Dashboard, request, question: Question::Dashboard { settings: setup.dashboards.clone(), slug, asked } }]
}

/// Asks which dashboards there are, where that is neither known nor about to be.
pub(super) fn ask_for_all(state: &mut State) -> Vec<Effect> {
    let unknown = state.dashboards.list.is_empty() && state.dashboards.asked.is_none() && state.served.sequence > 0;
    let Some(setup) = state.served.setup.clone().filter(|_| unknown) else { return Vec::new() };
    let request = state.request();
    vec![Effect::Ask { lane: Lane::Dashboard, request, question: Question::Dashboards(setup.dashboards.clone()) }]
}

/// Asks where the screen is looked at, and nothing has been asked for it.
pub(super) fn look(state: &mut State) -> Vec<Effect> {
    let idle = state.dashboards.data.is_none() && state.dashboards.asked.is_none();
    if idle && state.screen == Screen::Dashboards { ask(state) } else { Vec::new() }
}

/// Asks again for what is shown: in another generation, or after its file has changed.
pub(super) fn refresh(state: &mut State) -> Vec<Effect> {
    // Asked when it is looked at next, where it is not being looked at.
    if state.screen == Screen::Dashboards {
        return ask(state);
    }
    state.dashboards.data = None;
    state.dashboards.asked = None;
    Vec::new()
}

pub(super) fn answered(state: &mut State, request: u64, answer: Result<Answer, String>) {
    if let Ok(Answer::Dashboards(list)) = answer {
        state.dashboards.list = list;
        if let Some(Overlay::Palette(mut palette)) = state.overlay.take_if(|overlay| matches!(overlay, Overlay::Palette(_))) {
            palette.renew(state);
            state.overlay = Some(Overlay::Palette(palette));
        }
        return;
    }
    let screen = &mut state.dashboards;
    if screen.asked != Some(request) {
        return;
    }
    screen.asked = None;
    match answer {
        Ok(Answer::Dashboard { list, data, mistakes }) => {
            let other = screen.data.as_ref().is_none_or(|before| before.slug != data.slug);
            if other {
                screen.scroll = 0;
            }
            screen.wanted = Some(data.slug.clone());
            (screen.list, screen.data, screen.mistakes, screen.problem) = (list, Some(data), mistakes, None);
        }
        Ok(_) => {}
        Err(problem) => screen.problem = Some(problem),
    }
    // It may have fewer panels now.
    if state.screen == Screen::Dashboards {
        moves::step(state, 0);
    }
}

pub(super) fn beside(state: &mut State, forward: bool) -> Vec<Effect> {
    let Some(slug) = state.dashboards.beside(forward) else { return Vec::new() };
    open(state, slug)
}

pub(super) fn open(state: &mut State, slug: String) -> Vec<Effect> {
    state.screen = Screen::Dashboards;
    state.dashboards.wanted = Some(slug);
    ask(state)
}

/// Opens the filters, at the n-th.
pub(super) fn pick(state: &mut State, filter: usize) -> Vec<Effect> {
    let picker = state.dashboards.data.as_ref().and_then(|data| Picker::new(data));
    match picker {
        Some(mut picker) => {
            picker.to(filter);
            state.overlay = Some(Overlay::Picker(Box::new(picker)));
        }
        None => state.say(false, "this dashboard has nothing to choose"),
    }
    Vec::new()
}

pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Picker(picker)) = &mut state.overlay else { return Vec::new() };
    let fitting = picker.fitting().len();
    match keys::name(key).as_str() {
        "esc" => state.overlay = None,
        "enter" => return take(state),
        "tab" | "right" => {
            if picker.take_text() {
                picker.to(picker.at + 1);
            }
        }
        "backtab" | "left" => {
            if picker.take_text() {
                picker.to(picker.at + picker.filters.len() - 1);
            }
        }
        "down" | "ctrl-n" => picker.cursor.step(1, fitting, HEIGHT),
        "up" | "ctrl-p" => picker.cursor.step(-1, fitting, HEIGHT),
        "pgdn" => picker.cursor.step(HEIGHT.cast_signed(), fitting, HEIGHT),
        "pgup" => picker.cursor.step(-HEIGHT.cast_signed(), fitting, HEIGHT),
        "space" if fitting > 0 => picker.choose(),
        _ => {
            picker.problem = None;
            if edit_line(&mut picker.input, key) {
                picker.cursor = super::super::state::list::Cursor::default();
            }
        }
    }
    Vec::new()
}

/// Takes what is chosen, and asks for it.
fn take(state: &mut State) -> Vec<Effect> {
    let Some(Overlay::Picker(picker)) = &mut state.overlay else { return Vec::new() };
    // Of one among several, the one that is pointed at is meant.
    if matches!(picker.filters[picker.at].choice, materia::dashboard::Choice::One { .. }) {
        picker.choose();
    }
    if !picker.take_text() {
        return Vec::new();
    }
    let (slug, asked) = (picker.slug.clone(), picker.asked());
    state.overlay = None;
    state.dashboards.chosen.insert(slug, asked);
    ask(state)
}
