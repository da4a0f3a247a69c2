//! What each action does.

use materia::{export::Generation, target::GenerationId};

use super::{dashboards, height, moves, overlays, prompt, rows, screens, show};
use crate::tui::{
    keys::Action,
    message::{Effect, TIMES},
    state::{
        Confirm, Job, Overlay, PromptKind, Screen, State,
        history::Open,
        palette::{Palette, RUN_PIPELINE},
    },
};

pub(super) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    let page = height(state).cast_signed();
    match action {
        Action::Quit => return vec![Effect::Quit],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Redraw => return vec![Effect::Redraw],
        Action::Help => state.overlay = Some(Overlay::Help { scroll: 0 }),
        Action::Palette => return palette(state),
        Action::Show(screen) => return show(state, screen),
        Action::NextScreen | Action::PreviousScreen => {
            let by = if action == Action::NextScreen { 1 } else { Screen::ALL.len() - 1 };
            let at = Screen::ALL.iter().position(|screen| *screen == state.screen).unwrap_or_default();
            return show(state, Screen::ALL[(at + by) % Screen::ALL.len()]);
        }
        Action::AllowActions => {
            state.actions = !state.actions;
            let word = if state.actions {
                "actions are allowed now: each asks before it is done"
            } else {
                "actions are off: nothing is changed from here"
            };
            state.say(true, word);
        }
        Action::Export | Action::Pipeline | Action::StopExport | Action::Rollback | Action::Pin => return command(state, action),
        Action::Up => return moves::step(state, -1),
        Action::Down => return moves::step(state, 1),
        Action::HalfUp => return moves::step(state, -(page / 2).max(1)),
        Action::HalfDown => return moves::step(state, (page / 2).max(1)),
        Action::PageUp => return moves::step(state, -page),
        Action::PageDown => return moves::step(state, page),
        Action::Top => return moves::end(state, false),
        Action::Bottom => return moves::end(state, true),
        Action::Left | Action::Right => {
            let by = if action == Action::Left { -1 } else { 1 };
            if state.screen == Screen::Logs {
                state.logs.left = state.logs.left.saturating_add_signed(by * 8);
                return Vec::new();
            }
            return rows::column(state, by);
        }
        Action::FirstColumn => return rows::column(state, isize::MIN / 2),
        Action::LastColumn => return rows::column(state, isize::MAX / 2),
        Action::Open => return screens::open(state),
        Action::Back => return screens::back(state),
        Action::Other => return screens::other(state),
        Action::Filter => return screens::filter(state),
        Action::ClearFilters => return screens::clear_filters(state),
        Action::SortNext => return screens::sort_next(state),
        Action::SortReverse => return screens::sort_reverse(state),
        Action::FilterByCell => return rows::filter_by_cell(state),
        Action::CopyCell => return screens::copy(state),
        Action::CopyRow => return rows::copy_row(state),
        Action::GoToRow => return prompt(state, PromptKind::GoToRow, ""),
        Action::Save => return rows::save(state),
        Action::Mark => {
            let id = state.status().and_then(|status| state.history.current(status)).map(|record| record.id.clone());
            state.history.marked = if state.history.marked == id { None } else { id };
        }
        Action::Compare => compare(state),
        Action::NextMatch | Action::PreviousMatch => {
            let height = height(state);
            if !state.logs.find(action == Action::NextMatch, height) {
                state.say(false, "nothing found");
            }
        }
        Action::Follow => {
            let height = height(state);
            if let Some(log) = state.logs.shown_mut() {
                log.follow = !log.follow;
                if log.follow {
                    log.top = log.lines.len().saturating_sub(height);
                }
            }
        }
        Action::NextSource if state.screen == Screen::Dashboards => return dashboards::beside(state, true),
        Action::PreviousSource => return dashboards::beside(state, false),
        Action::NextSource => {
            let of = state.logs.logs.len().max(1);
            state.logs.current = (state.logs.current + 1) % of;
        }
        Action::Edit => {
            state.screen = Screen::Sql;
            state.sql.typing = true;
        }
        Action::Run => return screens::run_sql(state),
        Action::Cancel => return screens::cancel_sql(state),
        Action::Earlier | Action::Later => {
            state.sql.completion = None;
            state.sql.recall(action == Action::Earlier);
        }
        Action::Complete => {
            let catalog = state.served.catalog.clone();
            state.sql.complete(catalog.as_deref());
        }
        Action::MoreTime => state.sql.time = (state.sql.time + 1) % TIMES.len(),
        Action::PickFilter => return dashboards::pick(state, 0),
    }
    Vec::new()
}

/// What is done by a command of its own.
fn command(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Pipeline => choose_pipeline(state),
        Action::StopExport => stop_export(state),
        Action::Rollback => roll_back(state),
        Action::Pin => pin(state),
        _ => export(state),
    }
}

/// Opens the palette.
fn palette(state: &mut State) -> Vec<Effect> {
    state.overlay = Some(Overlay::Palette(Box::new(Palette::of(state))));
    dashboards::ask_for_all(state)
}

/// Whether anything may be changed; says how to allow it where not.
fn allowed(state: &mut State) -> bool {
    if !state.actions {
        state.say(false, "actions are off; press ! to allow them (or start with --allow-actions)");
    }
    state.actions
}

/// Asks before starting a command.
fn confirm(state: &mut State, title: &str, text: String, arguments: &[&str]) -> Vec<Effect> {
    let options = state.served.setup.as_ref().map(|setup| setup.options.clone()).unwrap_or_default();
    let all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).chain(options).collect();
    let command = format!("materia {}", all.join(" "));
    state.overlay =
        Some(Overlay::Confirm(Box::new(Confirm { title: title.to_owned(), text, command: Some(command), yes: Effect::Start(all) })));
    Vec::new()
}

/// Whether a command may be started: allowed, and none is at work.
fn may_start(state: &mut State) -> bool {
    if !allowed(state) {
        return false;
    }
    let at_work = state.job.as_ref().filter(|job| job.is_running()).map(|job| format!("{} is still at work", job.command));
    let free = at_work.is_none();
    if let Some(text) = at_work {
        state.say(false, text);
    }
    free
}

fn choose_pipeline(state: &mut State) -> Vec<Effect> {
    if may_start(state) {
        state.overlay = Some(Overlay::Palette(Box::new(Palette::searching(state, RUN_PIPELINE))));
    }
    Vec::new()
}

pub(super) fn run_pipeline(state: &mut State, name: &str) -> Vec<Effect> {
    if !may_start(state) {
        return Vec::new();
    }
    let text = "Runs it as materia.toml says. What it prints is kept in its log.";
    confirm(state, "Run this pipeline now?", text.to_owned(), &["pipeline", "run", name])
}

fn export(state: &mut State) -> Vec<Effect> {
    if !may_start(state) {
        return Vec::new();
    }
    let text = "Copies the serving schema out of the lakehouse, audits the copy, and serves it. If an audit fails, nothing changes.";
    confirm(state, "Run an export now?", text.to_owned(), &["export"])
}

fn stop_export(state: &mut State) -> Vec<Effect> {
    let Some(job) = state.job.as_ref().filter(|job| job.is_running()) else {
        state.say(false, "no command that was started here is running");
        return Vec::new();
    };
    let text = format!("{} stops at its next step and clears up after itself. What is served stays served.", job.command);
    state.overlay =
        Some(Overlay::Confirm(Box::new(Confirm { title: "Stop it?".to_owned(), text, command: None, yes: Effect::StopStarted })));
    Vec::new()
}

/// The kept generation that the line one is on is about.
fn subject(state: &mut State) -> Option<Generation> {
    let status = state.overview.status.clone()?;
    let record = state.history.subject(&status)?;
    let Some(id) = record.generation.clone() else {
        state.say(false, format!("attempt {} published nothing", record.id));
        return None;
    };
    let kept = status.generations.iter().find(|generation| generation.id == id).cloned();
    if kept.is_none() {
        state.say(false, format!("generation {id} is not kept any more"));
    }
    kept
}

fn roll_back(state: &mut State) -> Vec<Effect> {
    if !allowed(state) {
        return Vec::new();
    }
    let Some(generation) = subject(state) else { return Vec::new() };
    let id = generation.id;
    if generation.served {
        state.say(false, format!("generation {id} is being served already"));
        return Vec::new();
    }
    let text = format!(
        "Serves generation {id} again, by the same swap as an export. The newer ones stay kept, and exports do not publish what is served now again until the lakehouse holds something else."
    );
    confirm(state, "Roll back?", text, &["rollback", id.as_str()])
}

fn pin(state: &mut State) -> Vec<Effect> {
    if !allowed(state) {
        return Vec::new();
    }
    let Some(generation) = subject(state) else { return Vec::new() };
    let id = generation.id;
    if generation.pinned {
        let text = format!("Lets generation {id} be removed when enough newer ones are kept.");
        return confirm(state, "Unpin?", text, &["unpin", id.as_str()]);
    }
    confirm(state, "Pin?", format!("Keeps generation {id} until it is unpinned."), &["pin", id.as_str()])
}

fn compare(state: &mut State) {
    let Some(status) = state.overview.status.clone() else { return };
    let Some(current) = state.history.current(&status) else { return };
    let other = match &state.history.marked {
        Some(id) => Some(id.clone()),
        // Without a mark: with what was served before it.
        None => current.previous.clone().or_else(|| before(&status.history, &current.id)),
    };
    match other.filter(|other| *other != current.id) {
        Some(other) => {
            let (one, two) = if other < current.id { (other, current.id.clone()) } else { (current.id.clone(), other) };
            state.history.open = Some(Open::Compared(one, two));
            state.history.scroll = 0;
        }
        None => state.say(false, "mark another attempt with space first"),
    }
}

/// The newest attempt before `id` that served something.
fn before(history: &[materia::export::Record], id: &GenerationId) -> Option<GenerationId> {
    history.iter().rev().find(|record| record.id < *id && record.generation.is_some()).map(|record| record.id.clone())
}

/// Does what a dialog has been answered with.
pub(super) fn confirmed(state: &mut State, effect: Effect) -> Vec<Effect> {
    match &effect {
        Effect::Start(arguments) => {
            state.job = Some(Job {
                command: format!("materia {}", arguments.join(" ")),
                started: state.now,
                doing: "starting".to_owned(),
                said: Vec::new(),
                ended: None,
            });
        }
        Effect::Save(_) => state.saving = Some(0),
        _ => {}
    }
    state.toast = None;
    overlays::close(state);
    vec![effect]
}
