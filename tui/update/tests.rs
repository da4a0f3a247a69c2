//! Keys in, state out, without drawing; and that every key does what the help says.

use std::collections::HashSet;

use jiff::ToSpan as _;
use ratatui::layout::Size;

use super::update;
use crate::tui::{
    fixture::{answer, id, now, page, press, ready, ready_with, refusal, setup, started, status, write},
    keys::{self, Action, Binding, KEYS, Scope},
    message::{Answer, Effect, Lane, LogEvent, Message, Question, SaveEvent, Target},
    state::{Overlay, Screen, State, grid::Wanted, history::Open, tables::TableSort},
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

#[test]
fn nothing_is_started_unless_actions_are_allowed_and_the_dialog_is_answered() {
    let mut state = ready(80, 24);
    for keys in ["E", "3 j R", "P"] {
        let effects = press(&mut state, keys);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Start(_))) && state.overlay.is_none(), "{keys}");
        assert!(state.toast.as_ref().unwrap().text.contains("actions are off"));
    }
    press(&mut state, "!");
    assert_eq!(press(&mut state, "R"), []);
    let effects = press(&mut state, "esc");
    assert!(effects.is_empty() && state.overlay.is_none());
    let effects = press(&mut state, "R enter");
    assert_eq!(effects, [Effect::Start(vec!["rollback".to_owned(), "20261120T140000000Z".to_owned()])]);
}

#[test]
fn the_shown_command_is_the_one_that_is_run() {
    let mut state = ready(80, 24);
    let mut setup = setup();
    setup.options = vec!["--config".to_owned(), "etc/materia.toml".to_owned()];
    update(&mut state, Message::Settings(Ok(setup.into())));
    press(&mut state, "! E");
    let Some(Overlay::Confirm(confirm)) = &state.overlay else { panic!("no dialog") };
    assert_eq!(confirm.command.as_deref(), Some("materia export --config etc/materia.toml"));
    assert_eq!(press(&mut state, "y"), [Effect::Start(["export", "--config", "etc/materia.toml"].map(str::to_owned).to_vec())]);
    assert_eq!(press(&mut state, "E"), [], "one at a time");
}

#[test]
fn old_content_stays_until_the_latest_answer_comes_and_others_are_ignored() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter");
    let rows = |state: &State| state.tables.open.as_ref().unwrap().grid.rows.clone();
    let before = rows(&state);
    let ask = |state: &mut State, key: &str| match &update(state, Message::Key(keys::event(key)))[..] {
        [Effect::Ask { request, question: Question::Page(ask), .. }] => (*request, ask.clone()),
        other => panic!("{other:?}"),
    };
    let (first, first_ask) = ask(&mut state, "s");
    let (second, second_ask) = ask(&mut state, "s");
    assert!(second > first && second_ask.sort.as_ref().unwrap().descending);
    assert_eq!(rows(&state), before);
    assert!(state.is_waiting());
    update(&mut state, Message::Answer { lane: Lane::Rows, request: first, answer: Ok(Answer::Page(page(&first_ask))) });
    assert!(state.is_waiting(), "an answer that is not the latest ends nothing");
    let mut answered = page(&second_ask);
    answered.rows.reverse();
    update(&mut state, Message::Answer { lane: Lane::Rows, request: second, answer: Ok(Answer::Page(answered.clone())) });
    assert!(!state.is_waiting());
    assert_eq!(rows(&state), answered.rows);
    update(&mut state, Message::Answer { lane: Lane::Rows, request: first, answer: Err("late".to_owned()) });
    assert_eq!(state.tables.open.as_ref().unwrap().grid.problem, None);
}

#[test]
fn a_long_table_is_loaded_in_windows_around_the_rows_in_view() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter G");
    let grid = |state: &State| state.tables.open.as_ref().unwrap().grid.clone();
    assert_eq!(grid(&state).cursor.at, 1_499_999);
    assert!(grid(&state).row(1_499_999).is_some());
    assert!(grid(&state).rows.len() <= 200, "a window, not the table");
    press(&mut state, "#");
    write(&mut state, "750,000");
    press(&mut state, "enter");
    assert_eq!(grid(&state).cursor.at, 749_999);
    assert_eq!(grid(&state).cell().unwrap(), Some("750000"));
    // Every row passed on the way down is loaded when it comes into view.
    for _ in 0..500 {
        press(&mut state, "j");
        assert!(grid(&state).cell().is_some());
    }
    assert_eq!(grid(&state).cell().unwrap(), Some("750500"));
}

#[test]
fn a_value_is_found_by_pressing_one_key_on_it() {
    let mut state = ready(80, 24);
    let effects = press(&mut state, "2 j enter j j l f");
    let Some(Effect::Ask { question: Question::Page(ask), .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(ask.filters[0].column, "value");
    assert_eq!(ask.filters[0].wanted, Wanted::Value(None), "the third row's value is null");
    assert_eq!((ask.total, ask.first), (None, 0));
    assert_eq!(state.tables.open.as_ref().unwrap().grid.len(), 7);
    press(&mut state, "x");
    assert_eq!(state.tables.open.as_ref().unwrap().grid.len(), 1_500_000);
}

#[test]
fn a_new_generation_asks_again_and_keeps_the_place() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter j j j l");
    let served = materia::reader::State {
        generation: Some(std::sync::Arc::new(materia::reader::GenerationInfo {
            sequence: 2,
            ..(*crate::tui::fixture::generation_info()).clone()
        })),
        problem: None,
    };
    let effects = update(&mut state, Message::Served(Box::new(served)));
    assert!(matches!(effects[0], Effect::Ask { lane: Lane::Catalog, .. }));
    let before = state.tables.open.as_ref().unwrap().grid.rows.len();
    assert!(before > 0);
    answer(&mut state, effects);
    let open = state.tables.open.as_ref().unwrap();
    assert_eq!((open.grid.cursor.at, open.grid.column), (3, 1));
    assert!(!state.is_waiting());
}

#[test]
fn typing_in_the_prompt_is_text_whatever_the_keys_mean_elsewhere() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1, '?:q!' -- 2 3 gg G");
    assert_eq!(state.screen, Screen::Sql);
    assert_eq!(state.sql.text(), "SELECT 1, '?:q!' -- 2 3 gg G");
    press(&mut state, "enter");
    update(&mut state, Message::Paste("FROM orders\r\nWHERE id = 1;".to_owned()));
    assert_eq!(state.sql.text().lines().count(), 3);
    let effects = press(&mut state, "enter");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ask { lane: Lane::Sql, .. })), "enter after a semicolon runs it");
}

#[test]
fn esc_stops_a_query_first_and_leaves_the_prompt_then() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1");
    update(&mut state, Message::Key(keys::event("ctrl-r")));
    assert!(state.is_waiting());
    assert_eq!(update(&mut state, Message::Key(keys::event("esc"))), [Effect::Stop(Lane::Sql)]);
    assert!(!state.is_waiting() && state.sql.typing);
    press(&mut state, "esc");
    assert!(!state.sql.typing);
    press(&mut state, "1");
    assert_eq!(state.screen, Screen::Now);
}

#[test]
fn a_name_is_completed_from_the_catalog() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT * FROM ord");
    press(&mut state, "tab");
    // `orders`, and the word ORDER.
    assert_eq!(state.sql.completion.as_ref().unwrap().choices, ["orders", "ORDER"]);
    press(&mut state, "enter");
    assert_eq!(state.sql.text(), "SELECT * FROM orders");
    write(&mut state, " WHERE val");
    press(&mut state, "tab");
    assert_eq!(state.sql.text(), "SELECT * FROM orders WHERE value");
}

#[test]
fn the_palette_finds_a_table_by_a_few_letters() {
    let mut state = ready(80, 24);
    press(&mut state, ":");
    write(&mut state, "opn cofpr");
    press(&mut state, "enter");
    assert_eq!(state.tables.open.as_ref().unwrap().name, "coffee_prices");
    press(&mut state, ":");
    write(&mut state, "history");
    press(&mut state, "enter");
    assert_eq!(state.screen, Screen::History);
}

#[test]
fn a_file_that_is_there_is_not_overwritten_without_a_question() {
    let mut state = ready(80, 24);
    press(&mut state, "2 enter w");
    press(&mut state, "backspace backspace backspace backspace");
    write(&mut state, ".txt");
    assert_eq!(press(&mut state, "enter"), []);
    let Some(Overlay::Prompt(prompt)) = &state.overlay else { panic!("no prompt") };
    assert!(prompt.problem.as_ref().unwrap().contains(".csv or .parquet"));
    press(&mut state, "backspace backspace backspace");
    write(&mut state, "csv");
    let effects = press(&mut state, "enter");
    let [Effect::Save(job)] = &effects[..] else { panic!("{effects:?}") };
    assert!(!job.overwrite);
    update(&mut state, Message::Save(SaveEvent::Exists(job.clone())));
    let effects = press(&mut state, "enter");
    assert!(matches!(&effects[..], [Effect::Save(job)] if job.overwrite), "{effects:?}");
}

#[test]
fn the_mouse_does_what_the_keys_do() {
    let mut state = ready(80, 24);
    update(&mut state, Message::Click(Target::Tab(Screen::Tables)));
    assert_eq!(state.screen, Screen::Tables);
    update(&mut state, Message::Click(Target::Heading(1)));
    assert_eq!((state.tables.sort, state.tables.descending), (TableSort::Rows, true));
    update(&mut state, Message::Click(Target::Line(1)));
    assert!(state.tables.open.is_none(), "the first click goes there");
    let effects = update(&mut state, Message::Click(Target::Line(1)));
    answer(&mut state, effects);
    assert_eq!(state.tables.open.as_ref().unwrap().name, "coffee_prices", "the second opens it");
    update(&mut state, Message::Click(Target::Cell(4, 2)));
    let grid = &state.tables.open.as_ref().unwrap().grid;
    assert_eq!((grid.cursor.at, grid.column), (4, 2));
    update(&mut state, Message::Scroll(3));
    assert_eq!(state.tables.open.as_ref().unwrap().grid.cursor.at, 7);
}

#[test]
fn the_line_one_is_on_stays_in_view_when_the_terminal_shrinks() {
    let mut state = ready(200, 50);
    press(&mut state, "2 j enter G");
    update(&mut state, Message::Resize(Size { width: 60, height: 15 }));
    let grid = &state.tables.open.as_ref().unwrap().grid;
    assert!(grid.cursor.view(grid.len(), crate::tui::layout::rows_height(&state)).contains(&grid.cursor.at));
}

#[test]
fn chosen_filters_are_asked_with_the_dashboard() {
    let mut state = ready(80, 24);
    press(&mut state, "4 f down enter");
    let effects = press(&mut state, "f tab space tab");
    assert_eq!(effects, []);
    press(&mut state, "backspace backspace backspace backspace");
    write(&mut state, "2010");
    let effects = press(&mut state, "enter");
    let Some(Effect::Ask { question: Question::Dashboard { asked, slug, .. }, .. }) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(slug.as_deref(), Some("pulse"));
    let asked: Vec<_> = asked.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The fixture always answers with Brazil.
    assert_eq!(asked, ["country=BR", "kind=a", "year_from=2000", "year_to=2010"]);
}

#[test]
fn the_screen_is_drawn_again_when_what_it_says_changes_and_not_before() {
    let mut state = ready(80, 24);
    let minute = state.next_change().unwrap();
    assert_eq!((minute - now()).get_seconds(), 60, "half an hour is told in minutes");
    update(&mut state, Message::Tick(now() + 90.minutes()));
    assert!(state.status().unwrap().is_stale(state.now + 1.minute()));
    let opening = started(80, 24);
    assert!((opening.next_change().unwrap() - now()).get_milliseconds() < 200, "something turns while it opens");
}

#[test]
fn an_hour_of_events_takes_no_more_memory_than_a_minute() {
    let mut state = ready(80, 24);
    press(&mut state, "6 2 j enter 5");
    let weigh = |state: &State| format!("{state:?}").len();
    let minute = |state: &mut State, minute: i64| {
        for second in 0..60 {
            update(state, Message::Tick(now() + (minute * 60 + second).seconds()));
            update(state, Message::Log(0, LogEvent::Lines((0..200).map(|line| format!("INFO request {line:>3} took 12 ms")).collect())));
            update(state, Message::Status(Ok(std::sync::Arc::new(status()))));
            press(state, "esc 2 j k ctrl-d ctrl-u 5");
            state.sql.remember(&format!("SELECT {:>8}", minute * 60 + second));
        }
    };
    (0..10).for_each(|at| minute(&mut state, at));
    let before = weigh(&state);
    (10..60).for_each(|at| minute(&mut state, at));
    let after = weigh(&state);
    assert!(after < before + before / 50, "{before} bytes after ten minutes, {after} after an hour");
}
