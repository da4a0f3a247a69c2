//! Every key does what the help says it does.

use std::collections::HashSet;

use super::update;
use crate::tui::{
    fixture::{id, press, ready_with, refusal, status, write},
    keys::{self, Action, Binding, KEYS, Scope},
    message::{Effect, Lane, LogEvent, Message},
    state::{Overlay, Screen, State, history::Open, tables::TableSort},
};

/// Where every key of a scope has something to do.
fn place(scope: Scope) -> State {
    let mut status = status();
    status.history.push(refusal());
    let mut state = ready_with(80, 24, status);
    state.actions = true;
    let keys = match scope {
        Scope::Now | Scope::Global => "1",
        Scope::Tables => "2 j",
        Scope::Columns => "2 enter tab j",
        Scope::Grid => "2 enter j j j l f",
        Scope::History => "3 j j j",
        Scope::Attempt => "3 j j enter",
        Scope::Dashboards => "4",
        Scope::Editor => "5",
        Scope::Logs => "6",
    };
    press(&mut state, keys);
    match scope {
        Scope::Tables => {
            press(&mut state, "/");
            write(&mut state, "o");
            press(&mut state, "enter j");
        }
        Scope::Editor => {
            state.sql.remember("SELECT 1");
            state.sql.remember("SELECT 2");
            press(&mut state, "ctrl-p ctrl-p");
            write(&mut state, " FROM or");
        }
        Scope::Logs => {
            let lines = (0..200).map(|line| format!("line {line}")).collect();
            update(&mut state, Message::Log(0, LogEvent::Lines(lines)));
            state.logs.search = "line".to_owned();
            state.logs.left = 16;
            press(&mut state, "n");
        }
        Scope::Global => {
            // A list to go through, with room above and below.
            press(&mut state, "6");
            let lines = (0..200).map(|line| format!("line {line}")).collect();
            update(&mut state, Message::Log(0, LogEvent::Lines(lines)));
            update(&mut state, Message::Scroll(-100));
        }
        _ => {}
    }
    state.toast = None;
    state
}

/// Whether the state after is what the help promises, with the effects that were wished for.
fn does_what_it_says(action: Action, scope: Scope, before: &State, after: &State, effects: &[Effect]) -> bool {
    let asked = |lane: Lane| effects.iter().any(|effect| matches!(effect, Effect::Ask { lane: known, .. } if *known == lane));
    let confirms = |word: &str| match &after.overlay {
        Some(Overlay::Confirm(confirm)) => confirm.command.as_ref().is_some_and(|command| command.starts_with(&format!("materia {word}"))),
        _ => false,
    };
    let grid = |state: &State| state.tables.open.as_ref().unwrap().grid.clone();
    let log = |state: &State| state.logs.logs[0].clone();
    let top = |state: &State| log(state).top;
    let prompts = matches!(&after.overlay, Some(Overlay::Prompt(_)));
    match action {
        Action::Quit => effects == [Effect::Quit],
        Action::Suspend => effects == [Effect::Suspend],
        Action::Redraw => effects == [Effect::Redraw],
        Action::Help => matches!(after.overlay, Some(Overlay::Help { .. })),
        Action::Palette => matches!(after.overlay, Some(Overlay::Palette(_))),
        Action::Show(screen) => after.screen == screen,
        Action::NextScreen => after.screen == Screen::Now && before.screen == Screen::Logs,
        Action::PreviousScreen => after.screen == Screen::Sql && before.screen == Screen::Logs,
        Action::AllowActions => after.actions != before.actions,
        Action::Export => confirms("export"),
        Action::Pipeline => {
            let Some(Overlay::Palette(palette)) = &after.overlay else { return false };
            palette.fitting.len() == 3 && palette.chosen().is_some_and(|choice| choice.text == "run pipeline: extract")
        }
        // Nothing was started here: it says so.
        Action::StopExport => after.toast.as_ref().is_some_and(|toast| toast.text.contains("no command")),
        Action::Rollback if scope == Scope::History => confirms("rollback 20261120T140000000Z") || after.toast.is_some(),
        Action::Rollback => confirms("rollback 20261120T140000000Z"),
        Action::Pin => confirms("unpin 20261120T140000000Z") || after.toast.is_some(),
        Action::Up | Action::Down if scope == Scope::Now => after.overview.scroll == usize::from(action == Action::Down),
        Action::Up => top(after) + 1 == top(before),
        Action::Down => top(after) == top(before) + 1,
        Action::HalfUp => top(before) - top(after) == 10,
        Action::HalfDown => top(after) - top(before) == 10,
        Action::PageUp => top(before) - top(after) == 20,
        Action::PageDown => top(after) - top(before) == 20,
        Action::Top => top(after) == 0,
        Action::Bottom => log(after).follow,
        Action::Left if scope == Scope::Logs => after.logs.left == 8,
        Action::Right if scope == Scope::Logs => after.logs.left == 24,
        Action::Left | Action::FirstColumn => grid(after).column == 0,
        Action::Right | Action::LastColumn => grid(after).column == 2,
        Action::Open => after.tables.open.is_some() || after.history.open.is_some(),
        Action::Back => after.tables.open.is_none() && after.history.open.is_none(),
        Action::Other => after.tables.open.as_ref().unwrap().on_rows != before.tables.open.as_ref().unwrap().on_rows,
        Action::ClearFilters => match scope {
            Scope::Tables => after.tables.filter.is_empty() && after.tables.shown.len() == 3,
            Scope::Logs => after.logs.search.is_empty(),
            _ => grid(after).filters.is_empty() && asked(Lane::Rows),
        },
        Action::SortNext if scope == Scope::Tables => after.tables.sort == TableSort::Rows,
        Action::SortNext => grid(after).sort.is_some_and(|sort| sort.column == "value") && asked(Lane::Rows),
        Action::SortReverse => after.tables.descending,
        Action::FilterByCell => grid(after).filters.len() == 1 && asked(Lane::Rows),
        Action::CopyCell | Action::CopyRow => matches!(effects, [Effect::Copy(_)]),
        Action::Filter | Action::GoToRow | Action::Save => prompts,
        Action::Mark => after.history.marked == Some(id(0)),
        Action::Compare => matches!(after.history.open, Some(Open::Compared(..))) || after.toast.is_some(),
        Action::NextMatch => log(after).found == log(before).found.map(|found| found + 1),
        Action::PreviousMatch => log(after).found == log(before).found.map(|found| found.checked_sub(1).unwrap_or(199)),
        Action::Follow => log(after).follow != log(before).follow,
        Action::NextSource if scope == Scope::Logs => after.logs.current == 1,
        Action::NextSource | Action::PreviousSource => asked(Lane::Dashboard) && after.dashboards.wanted.as_deref() == Some("supply"),
        Action::Edit => after.screen == Screen::Sql && after.sql.typing,
        Action::Run => asked(Lane::Sql) && effects.iter().any(|effect| matches!(effect, Effect::Remember(_))),
        Action::Cancel => !after.sql.typing,
        Action::Earlier => after.sql.text() == "SELECT 1",
        Action::Later => after.sql.text() == "SELECT 2",
        Action::Complete => after.sql.text() == "SELECT 1 FROM orders" || after.sql.completion.is_some(),
        Action::MoreTime => after.sql.time == 1,
        Action::PickFilter => matches!(after.overlay, Some(Overlay::Picker(_))),
    }
}

#[test]
fn every_key_in_the_help_does_what_it_says() {
    for Binding { scope, action, about, .. } in KEYS {
        let binding = KEYS.iter().find(|known| known.scope == *scope && known.action == *action).unwrap();
        for name in binding.names() {
            let before = place(*scope);
            let mut after = before.clone();
            // A pair is the same letter twice.
            let presses =
                if name.len() == 2 && name.as_bytes()[0] == name.as_bytes()[1] { format!("{0} {0}", &name[..1]) } else { name.to_owned() };
            let effects = press(&mut after, &presses);
            let toast = after.toast.as_ref().map(|toast| &toast.text);
            assert!(
                does_what_it_says(*action, *scope, &before, &after, &effects),
                "{scope:?} {name}: {about}; toast {toast:?}, effects {effects:?}"
            );
        }
    }
}

#[test]
fn no_key_has_two_meanings_in_one_place() {
    let mut seen = HashSet::new();
    for binding in KEYS {
        assert!(binding.about.len() <= 52 && binding.keys.len() <= 20, "cut in a narrow help: {}", binding.about);
        for name in binding.names() {
            assert!(seen.insert((format!("{:?}", binding.scope), name)), "{:?} {name}", binding.scope);
            if name.len() > 2 || name.as_bytes()[0] != *name.as_bytes().last().unwrap() {
                assert_eq!(keys::name(keys::event(name)), name, "a key is written as it is read");
            }
        }
    }
}
