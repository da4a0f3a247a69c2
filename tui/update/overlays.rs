//! What lies over the screen: help, palette, dialogs, lines to type in.

use std::path::PathBuf;

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{act, dashboards, height, rows, screens, show};
use crate::tui::{
    keys,
    message::{Effect, SaveJob, Target},
    state::{
        Overlay, PromptKind, Screen, State, edit_line,
        palette::{Does, HEIGHT, Palette},
    },
};

pub(super) fn close(state: &mut State) {
    state.overlay = None;
}

pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    match &mut state.overlay {
        Some(Overlay::Help { scroll }) => {
            match keys::name(key).as_str() {
                "j" | "down" => *scroll += 1,
                "k" | "up" => *scroll = scroll.saturating_sub(1),
                "pgdn" | "ctrl-d" | "space" => *scroll += 10,
                "pgup" | "ctrl-u" => *scroll = scroll.saturating_sub(10),
                _ => close(state),
            }
            Vec::new()
        }
        Some(Overlay::Palette(_)) => press_palette(state, key),
        Some(Overlay::Confirm(confirm)) => match key.code {
            KeyCode::Enter | KeyCode::Char('y') => {
                let effect = confirm.yes.clone();
                act::confirmed(state, effect)
            }
            KeyCode::Esc | KeyCode::Char('n' | 'q') => {
                close(state);
                Vec::new()
            }
            _ => Vec::new(),
        },
        Some(Overlay::Prompt(_)) => press_prompt(state, key),
        Some(Overlay::Picker(_)) => dashboards::press(state, key),
        None => Vec::new(),
    }
}

fn press_palette(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = &mut state.overlay else { return Vec::new() };
    let fitting = palette.fitting.len();
    match keys::name(key).as_str() {
        "esc" => close(state),
        "enter" => return choose(state),
        "down" | "ctrl-n" | "tab" => palette.cursor.step(1, fitting, HEIGHT),
        "up" | "ctrl-p" | "backtab" => palette.cursor.step(-1, fitting, HEIGHT),
        "pgdn" => palette.cursor.step(HEIGHT.cast_signed(), fitting, HEIGHT),
        "pgup" => palette.cursor.step(-HEIGHT.cast_signed(), fitting, HEIGHT),
        _ => {
            if edit_line(&mut palette.input, key) {
                palette.find();
            }
        }
    }
    Vec::new()
}

fn choose(state: &mut State) -> Vec<Effect> {
    let chosen = match &state.overlay {
        Some(Overlay::Palette(palette)) => Palette::chosen(palette).map(|choice| choice.does.clone()),
        _ => None,
    };
    close(state);
    match chosen {
        Some(Does::Action(action)) => act::act(state, action),
        Some(Does::ActionOn(screen, action)) => {
            // As its keys do where nothing is opened.
            match screen {
                Screen::Tables => state.tables.open = None,
                Screen::History => state.history.open = None,
                Screen::Sql => state.sql.typing = true,
                _ => {}
            }
            let mut effects = show(state, screen);
            effects.extend(act::act(state, action));
            effects
        }
        Some(Does::OpenTable(name)) => screens::open_table(state, &name),
        Some(Does::OpenDashboard(slug)) => dashboards::open(state, slug),
        Some(Does::RunPipeline(name)) => act::run_pipeline(state, &name),
        None => Vec::new(),
    }
}

fn press_prompt(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut state.overlay else { return Vec::new() };
    match key.code {
        KeyCode::Esc => {
            let kind = prompt.kind;
            close(state);
            // What was filtered while typing is let go with the prompt.
            if kind == PromptKind::FilterTables { screens::filter_tables(state, "") } else { Vec::new() }
        }
        KeyCode::Enter => entered(state),
        _ => {
            prompt.problem = None;
            if edit_line(&mut prompt.input, key) { typed(state) } else { Vec::new() }
        }
    }
}

/// What has been typed so far takes effect where it can.
pub(super) fn typed(state: &mut State) -> Vec<Effect> {
    match &state.overlay {
        Some(Overlay::Prompt(prompt)) if prompt.kind == PromptKind::FilterTables => {
            let text = prompt.text();
            screens::filter_tables(state, &text)
        }
        _ => Vec::new(),
    }
}

fn entered(state: &mut State) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut state.overlay else { return Vec::new() };
    let text = prompt.text();
    match prompt.kind {
        PromptKind::FilterTables => {
            close(state);
            Vec::new()
        }
        PromptKind::FilterRows => {
            close(state);
            if text.is_empty() { rows::clear_filters(state) } else { rows::filter_by_part(state, text) }
        }
        PromptKind::GoToRow => match text.replace([',', '_', ' '], "").parse::<usize>() {
            Ok(row) if row > 0 => {
                close(state);
                rows::go_to(state, row - 1)
            }
            _ => {
                prompt.problem = Some("a number from 1".to_owned());
                Vec::new()
            }
        },
        PromptKind::Save => save(state, &text),
        PromptKind::SearchLogs => {
            close(state);
            state.logs.search = text;
            let height = height(state);
            if !state.logs.search.is_empty() && !state.logs.find(true, height) {
                state.say(false, "nothing found");
            }
            Vec::new()
        }
    }
}

fn save(state: &mut State, text: &str) -> Vec<Effect> {
    let path = PathBuf::from(text.trim());
    let known = path.extension().is_some_and(|extension| extension == "csv" || extension == "parquet");
    if !known {
        if let Some(Overlay::Prompt(prompt)) = &mut state.overlay {
            prompt.problem = Some("end the name in .csv or .parquet".to_owned());
        }
        return Vec::new();
    }
    let Some((grid, _)) = rows::shown(state) else { return Vec::new() };
    let ask = grid.anew();
    close(state);
    if state.saving.is_some() {
        state.say(false, "a file is being saved already");
        return Vec::new();
    }
    state.saving = Some(0);
    vec![Effect::Save(SaveJob { ask, path, overwrite: false })]
}

pub(super) fn click(state: &mut State, target: Target) -> Vec<Effect> {
    match (&mut state.overlay, target) {
        (Some(Overlay::Palette(palette)), Target::Line(line)) => {
            palette.cursor.at = line;
            choose(state)
        }
        (Some(Overlay::Picker(picker)), Target::Line(line)) => {
            picker.cursor.at = line;
            picker.choose();
            Vec::new()
        }
        (Some(Overlay::Help { .. }), _) => {
            close(state);
            Vec::new()
        }
        _ => Vec::new(),
    }
}
