//! Every key does what the help says it does.

use std::collections::HashSet;

use super::fixture::{id, now, press, ready_with, refusal, status, write, write_numbered_log};
use crate::{
    app::{App, GLOBAL_KEYS, ScreenId, TYPING_KEYS},
    grid::{Database, actions::GRID_KEYS},
    keys::{KeyGroup, Keymap, is_pair, key_event, key_name},
    message::{Channel, Effect, Message},
    overlays::Overlay,
    screens::{history::OpenAttempt, tables::TableSort},
};

/// Returns every group of keys, with a state in which each of its keys has an effect.
fn groups() -> Vec<(&'static KeyGroup, App)> {
    let places =
        ["1", "2 j", "2 enter tab j", "2 enter j j j l f", "3 j j j", "3 j j enter", "4", "5", "6"];
    let mut groups: Vec<_> = places
        .into_iter()
        .map(|keys| {
            let mut status = status();
            status.history.push(refusal());
            let mut state = ready_with(80, 24, status);
            state.context.actions_allowed = true;
            press(&mut state, keys);
            prepare(&mut state);
            state.context.toast = None;
            (state.visible().keys(), state)
        })
        .collect();
    // A list with lines above and below.
    let mut scrolled = groups.last().unwrap().1.clone();
    press(&mut scrolled, "esc");
    scrolled.update(Message::Scroll(-100));
    groups.push((&GLOBAL_KEYS, scrolled));
    let mut typing = ready_with(80, 24, status());
    press(&mut typing, "5");
    groups.push((&TYPING_KEYS, typing));
    groups
}

/// Prepares data for the keys to act on.
fn prepare(state: &mut App) {
    match state.visible().keys().id {
        "tables" => {
            press(state, "/");
            write(state, "o");
            press(state, "enter j");
        }
        "sql" => {
            state.sql.remember("SELECT 1", now());
            state.sql.remember("SELECT 2", now());
            press(state, "ctrl-p ctrl-p");
            write(state, " FROM or");
        }
        "logs" => {
            write_numbered_log(state, 200);
            press(state, "/");
            write(state, "line");
            press(state, "enter");
            state.logs.left = 16;
            press(state, "n");
        }
        _ => {}
    }
}

/// Returns whether the state changed or effects were requested, as the help claims.
fn does_what_it_says(
    (group, name): (&str, &str),
    before: &App,
    after: &App,
    effects: &[Effect],
) -> bool {
    let requests = |channel: Channel| {
        effects.iter().any(
            |effect| matches!(effect, Effect::Request { channel: known, .. } if *known == channel),
        )
    };
    let confirms = |word: &str| match &after.context.overlay {
        Some(Overlay::Confirm(confirm)) => confirm
            .command
            .as_ref()
            .is_some_and(|command| command.starts_with(&format!("materia {word}"))),
        _ => false,
    };
    let toasts =
        |text: &str| after.context.toast.as_ref().is_some_and(|toast| toast.text.contains(text));
    let grid = |state: &App| state.tables.open.as_ref().unwrap().grid.clone();
    let log = |state: &App| state.logs.logs[0].clone();
    let at = |state: &App| log(state).cursor.at;
    let prompts = matches!(&after.context.overlay, Some(Overlay::Prompt(_)));
    let copies = matches!(effects, [Effect::Copy(_)]);
    match (group, name) {
        ("typing", "help") => matches!(after.context.overlay, Some(Overlay::Help { .. })),
        ("typing", screen) => format!("{:?}", after.context.screen).to_lowercase() == screen,
        ("global", "quit") => effects == [Effect::Quit],
        ("global", "suspend") => effects == [Effect::Suspend],
        ("global", "redraw") => effects == [Effect::Redraw],
        ("global", "help") => matches!(after.context.overlay, Some(Overlay::Help { .. })),
        ("global", "palette") => matches!(after.context.overlay, Some(Overlay::Palette(_))),
        ("global", "overview") => after.context.screen == ScreenId::Overview,
        ("global", "tables") => after.context.screen == ScreenId::Tables,
        ("global", "history") => after.context.screen == ScreenId::History,
        ("global", "dashboards") => after.context.screen == ScreenId::Dashboards,
        ("global", "sql") => after.context.screen == ScreenId::Sql,
        ("global", "logs") => after.context.screen == ScreenId::Logs,
        ("global", "next-screen") => after.context.screen == ScreenId::Overview,
        ("global", "previous-screen") => after.context.screen == ScreenId::Sql,
        ("global", "toggle-actions") => {
            after.context.actions_allowed != before.context.actions_allowed
        }
        ("global", "up") => at(after) + 1 == at(before),
        ("global", "down") => at(after) == at(before) + 1,
        ("global", "half-page-up") => at(before) - at(after) == 10,
        ("global", "half-page-down") => at(after) - at(before) == 10,
        ("global", "page-up") => at(before) - at(after) == 20,
        ("global", "page-down") => at(after) - at(before) == 20,
        ("global", "back") => after.context.screen == ScreenId::Overview,
        ("global", "top") => at(after) == 0,
        ("global", "bottom") => log(after).follow,
        ("overview", "export") => confirms("export"),
        ("overview", "pipeline") => {
            let Some(Overlay::Palette(palette)) = &after.context.overlay else { return false };
            palette.matches.len() == 3
                && palette.selected().is_some_and(|entry| entry.text == "run pipeline: extract")
        }
        // No command was started, which the notice explains.
        ("overview", "stop") => toasts("no command"),
        ("overview", "kill") => toasts("[postgres] socket"),
        ("overview", "up" | "down") => after.overview.scroll == usize::from(name == "down"),
        ("overview", "open") => after.history.open.is_some(),
        ("history", "rollback") => {
            confirms("rollback 20261120T140000000Z") || after.context.toast.is_some()
        }
        ("attempt", "rollback") => confirms("rollback 20261120T140000000Z"),
        ("history" | "attempt", "pin") => {
            confirms("unpin 20261120T140000000Z") || after.context.toast.is_some()
        }
        ("tables" | "history", "open") => {
            after.tables.open.is_some() || after.history.open.is_some()
        }
        ("columns" | "rows" | "attempt", "back") => {
            after.tables.open.is_none() && after.history.open.is_none()
        }
        ("columns" | "rows", "switch-focus") => {
            after.tables.open.as_ref().unwrap().on_rows
                != before.tables.open.as_ref().unwrap().on_rows
        }
        ("tables", "clear-filter") => {
            after.tables.filter.is_empty() && after.tables.shown.len() == 3
        }
        ("tables", "sort") => after.tables.sort == TableSort::Rows,
        ("tables", "reverse") => after.tables.descending,
        ("rows", "go-to-column") => prompts,
        ("rows", "hide-column") => grid(after).view.hidden == ["value"] && grid(after).column == 2,
        ("rows", "show-columns") => grid(after).view.hidden.is_empty(),
        ("rows", "freeze") => grid(after).view.frozen == 2,
        ("rows", "widen" | "narrow") => {
            (grid(after).view.widths["value"] > grid(before).columns[1].width) == (name == "widen")
        }
        ("rows" | "columns", "statistics") => {
            matches!(after.context.overlay, Some(Overlay::Statistics(_)))
                && requests(Channel::Statistics)
        }
        ("history", "filter") => after.history.filter != before.history.filter,
        ("rows", "column-left" | "first-column") => grid(after).column == 0,
        ("rows", "column-right" | "last-column") => grid(after).column == 2,
        ("rows", "clear-filters") => grid(after).filters.is_empty() && requests(Channel::Rows),
        ("rows", "sort" | "sort-also") => {
            grid(after).sort.iter().any(|sort| sort.column == "value") && requests(Channel::Rows)
        }
        ("rows", "filter-value") => grid(after).filters.len() == 1 && requests(Channel::Rows),
        ("rows", "edit") => after.context.screen == ScreenId::Sql && after.sql.typing,
        ("tables" | "columns" | "history", "copy") | ("rows", "copy" | "copy-row") => copies,
        ("tables", "filter") | ("rows", "filter" | "go-to-row" | "save") | ("logs", "search") => {
            prompts
        }
        ("attempt", "failing-rows") => toasts("the last refused export"),
        ("sql", "refused-file") => after.sql.database == Database::Refused,
        ("attempt", "values") => {
            matches!(effects, [Effect::Compare(_)]) || toasts("both generations are kept")
        }
        ("history", "mark") => after.history.marked == Some(id(0)),
        ("history", "compare") => {
            matches!(after.history.open, Some(OpenAttempt::Compared(..)))
                || after.context.toast.is_some()
        }
        ("logs", "end-search") => after.logs.filter.search.is_empty(),
        ("logs" | "rows", "record") => {
            matches!(after.context.overlay, Some(Overlay::Text(_)))
        }
        ("logs", "level") => {
            after.logs.filter.min_level.is_some() && effects.len() == after.logs.logs.len()
        }
        ("logs", "wrap") => after.logs.wrap != before.logs.wrap,
        ("logs", "copy") => copies,
        ("logs", "scroll-left") => after.logs.left == 8,
        ("logs", "scroll-right") => after.logs.left == 24,
        ("logs", "next-match") => at(after) == at(before) + 1,
        ("logs", "previous-match") => at(after) + 1 == at(before),
        ("logs", "follow") => log(after).follow != log(before).follow,
        ("logs", "next-log") => after.logs.current == 1,
        ("dashboards", "next" | "previous") => {
            requests(Channel::Dashboard) && after.dashboards.wanted.as_deref() == Some("supply")
        }
        ("dashboards", "query") => {
            let Some(Overlay::Palette(palette)) = &after.context.overlay else { return false };
            palette.selected().is_some_and(|entry| {
                entry.text == after.dashboards.data.as_ref().unwrap().panels[0].title
            })
        }
        // The first panel's title leads to another dashboard.
        ("dashboards", "link") => matches!(
            &after.context.overlay,
            Some(Overlay::Palette(palette)) if palette.selected().is_some_and(|entry| entry.key == "supply")
        ),
        ("dashboards", "filters") => matches!(after.context.overlay, Some(Overlay::Filters(_))),
        ("sql", "run") => {
            let remembers = effects.iter().any(|effect| matches!(effect, Effect::Remember(_)));
            requests(Channel::Sql) && remembers
        }
        ("sql", "cancel") => !after.sql.typing,
        ("sql", "history") => {
            let Some(Overlay::Palette(palette)) = &after.context.overlay else { return false };
            palette.entries.iter().map(|entry| &entry.text).eq(["SELECT 2", "SELECT 1"])
        }
        ("sql", "save-query") => prompts,
        ("sql" | "rows", "editor") => matches!(effects, [Effect::EditQuery(_)]),
        ("sql", "earlier") => after.sql.text() == "SELECT 1",
        ("sql", "later") => after.sql.text() == "SELECT 2",
        ("sql", "complete") => {
            after.sql.text() == "SELECT 1 FROM orders" || after.sql.completion.is_some()
        }
        ("sql", "time-limit") => after.sql.timeout == 1,
        _ => false,
    }
}

#[test]
fn every_key_in_the_help_does_what_it_says() {
    for (group, before) in groups() {
        for binding in group.bindings {
            for key in Keymap::default().keys(group, binding) {
                let mut after = before.clone();
                let presses =
                    if is_pair(key) { format!("{0} {0}", &key[..1]) } else { key.to_owned() };
                let effects = press(&mut after, &presses);
                let toast = after.context.toast.as_ref().map(|toast| &toast.text);
                assert!(
                    does_what_it_says((group.id, binding.name), &before, &after, &effects),
                    "{} {key}: {}; toast {toast:?}, effects {effects:?}",
                    group.id,
                    binding.about
                );
            }
        }
    }
}

#[test]
fn no_key_has_two_meanings_in_one_place() {
    let groups = groups();
    assert!(groups.iter().any(|(group, _)| group.id == GRID_KEYS.id));
    let keymap = Keymap::default();
    let mut ids = HashSet::new();
    for (group, _) in groups {
        assert!(ids.insert(group.id), "{} is there twice", group.id);
        let (mut names, mut keys) = (HashSet::new(), HashSet::new());
        for binding in group.bindings {
            assert!(
                binding.about.len() <= 52
                    && keymap.keys(group, binding).map(str::len).sum::<usize>() <= 19,
                "cut in a narrow help: {}",
                binding.about
            );
            assert!(names.insert(binding.name), "{} {} is there twice", group.id, binding.name);
            for key in keymap.keys(group, binding) {
                assert!(keys.insert(key), "{} {key}", group.id);
                if !is_pair(key) {
                    assert_eq!(key_name(key_event(key)), key, "a key is written as it is read");
                }
            }
        }
    }
}
