//! Keys in, state out, without drawing.

use std::sync::Arc;

use jiff::ToSpan as _;
use materia::reader;
use ratatui::layout::Size;

use super::update;
use crate::tui::{
    fixture::{answer, generation_info, now, page, press, ready, setup, started, status, write},
    keys::{self, Action, KEYS, Scope},
    message::{Answer, Effect, Lane, LogEvent, Message, Question, SaveEvent, Setup, Target},
    state::{Overlay, PromptKind, Screen, State, grid::Wanted, tables::TableSort},
};

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
            snapshot: None,
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
fn the_palette_finds_what_is_done_on_another_screen() {
    let mut state = ready(80, 24);
    state.actions = true;
    press(&mut state, "2 enter :");
    write(&mut state, "history roll back");
    press(&mut state, "enter");
    assert_eq!(state.screen, Screen::History);
    assert!(state.toast.as_ref().unwrap().text.contains("is being served already"), "the newest attempt is what is served");
    press(&mut state, ":");
    write(&mut state, "tables whose name");
    press(&mut state, "enter");
    assert!(state.tables.open.is_none(), "the list is filtered, not the table that was open");
    assert!(matches!(&state.overlay, Some(Overlay::Prompt(prompt)) if prompt.kind == PromptKind::FilterTables));
    press(&mut state, "esc :");
    write(&mut state, "dashboard supply");
    press(&mut state, "enter");
    assert_eq!((state.screen, state.dashboards.wanted.as_deref()), (Screen::Dashboards, Some("supply")));
}

#[test]
fn a_pipeline_is_run_by_its_name_where_actions_are_allowed() {
    let mut state = ready(80, 24);
    press(&mut state, "p");
    assert!(state.overlay.is_none() && state.toast.as_ref().unwrap().text.contains("actions are off"));
    state.actions = true;
    press(&mut state, "p");
    write(&mut state, "trans");
    press(&mut state, "enter");
    let effects = press(&mut state, "y");
    assert_eq!(effects, [Effect::Start(["pipeline", "run", "transform"].map(str::to_owned).to_vec())]);
    press(&mut state, "p");
    assert!(state.overlay.is_none() && state.toast.as_ref().unwrap().text.contains("is still at work"));
}

#[test]
fn every_action_is_in_the_palette_wherever_one_is() {
    for screen in ["1", "2", "3", "4", "6"] {
        let mut state = ready(80, 24);
        press(&mut state, screen);
        press(&mut state, ":");
        let Some(Overlay::Palette(palette)) = &state.overlay else { panic!("no palette") };
        for binding in KEYS.iter().filter(|binding| binding.action != Action::Palette && !binding.action.is_move()) {
            // What is done with rows, or in one attempt, is done where they are open.
            let elsewhere = matches!(binding.scope, Scope::Grid | Scope::Columns | Scope::Attempt);
            assert!(elsewhere || palette.choices.iter().any(|choice| choice.text.contains(binding.about)), "{screen}: {}", binding.about);
        }
    }
}

#[test]
fn a_text_cannot_be_scrolled_further_than_its_end() {
    let mut state = ready(80, 24);
    press(&mut state, "3 enter G");
    update(&mut state, Message::Drawn { first_line: Some(4) });
    press(&mut state, "k");
    assert_eq!(state.history.scroll, 3);
    press(&mut state, "1 j j j");
    update(&mut state, Message::Drawn { first_line: Some(0) });
    press(&mut state, "j");
    assert_eq!(state.overview.scroll, 1);
}

#[test]
fn another_schema_of_the_same_file_is_another_catalog() {
    let mut state = ready(80, 24);
    press(&mut state, "2 enter");
    update(&mut state, Message::Settings(Ok(Arc::new(Setup { schema: "other".to_owned(), ..setup() }))));
    assert!(state.served.catalog.is_none() && state.tables.open.is_none());
    let served = reader::State { generation: Some(generation_info()), problem: None };
    let effects = update(&mut state, Message::Served(Box::new(served)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ask { lane: Lane::Catalog, .. })), "{effects:?}");
    // A log more is no reason to ask anything again.
    let mut state = ready(80, 24);
    update(&mut state, Message::Settings(Ok(Arc::new(Setup { logs: Vec::new(), ..setup() }))));
    assert!(state.served.catalog.is_some());
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
