//! Key handling without drawing.

use std::{collections::BTreeMap, sync::Arc};

use jiff::ToSpan as _;
use materia::{dashboard::DashboardData, reader, settings::Keys, store::AttemptOutcome};
use ratatui::layout::Size;

use super::{
    drawing::{THEME, buffer, text},
    fixture::{
        config, facts, generation_info, id, now, page, press, ready, ready_with, refusal, respond,
        started, status, write, write_numbered_log,
    },
};
use crate::{
    app::{App, GLOBAL_KEYS, ScreenId},
    grid::FilterPredicate,
    keys::key_event,
    layout,
    message::{
        Channel, ClickTarget, Config, Effect, Message, PastQuery, Request, Response, SaveEvent,
    },
    overlays::Overlay,
    screens::{Screen as _, tables::TableSort},
};

#[test]
fn nothing_is_started_unless_actions_are_allowed_and_the_dialog_is_response() {
    let mut state = ready(80, 24);
    for keys in ["E", "3 j R", "P"] {
        let effects = press(&mut state, keys);
        assert!(
            !effects.iter().any(|effect| matches!(effect, Effect::Start(_)))
                && state.context.overlay.is_none(),
            "{keys}"
        );
        assert!(state.context.toast.as_ref().unwrap().text.contains("actions are off"));
    }
    press(&mut state, "!");
    assert_eq!(press(&mut state, "R"), []);
    let effects = press(&mut state, "esc");
    assert!(effects.is_empty() && state.context.overlay.is_none());
    let effects = press(&mut state, "R enter");
    assert_eq!(
        effects,
        [Effect::Start(vec!["rollback".to_owned(), "20261120T140000000Z".to_owned()])]
    );
}

#[test]
fn the_shown_command_is_the_one_that_is_run() {
    let mut state = ready(80, 24);
    let mut config = config();
    config.options = vec!["--config".to_owned(), "etc/materia.toml".to_owned()];
    state.update(Message::Settings(Ok(config.into())));
    press(&mut state, "! E");
    let Some(Overlay::Confirm(confirm)) = &state.context.overlay else { panic!("no dialog") };
    assert_eq!(confirm.command.as_deref(), Some("materia export --config etc/materia.toml"));
    assert_eq!(
        press(&mut state, "y"),
        [Effect::Start(["export", "--config", "etc/materia.toml"].map(str::to_owned).to_vec())]
    );
    assert_eq!(press(&mut state, "E"), [], "one at a time");
}

#[test]
fn old_rows_stay_until_the_latest_response_and_others_are_ignored() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter");
    let rows = |state: &App| state.tables.open.as_ref().unwrap().grid.rows.clone();
    let before = rows(&state);
    let request = |state: &mut App, key: &str| match &state.update(Message::Key(key_event(key)))[..]
    {
        [Effect::Request { request_id, request: Request::Page(page), .. }] => {
            (*request_id, page.clone())
        }
        other => panic!("{other:?}"),
    };
    let (first, first_page) = request(&mut state, "s");
    let (second, second_page) = request(&mut state, "s");
    assert!(second > first && second_page.sort[0].descending);
    assert_eq!(rows(&state), before);
    assert!(state.is_waiting());
    state.update(Message::Response {
        channel: Channel::Rows,
        request_id: first,
        response: Ok(Response::Page(page(&first_page))),
    });
    assert!(state.is_waiting(), "a response that is not the latest is ignored");
    let mut response = page(&second_page);
    response.rows.reverse();
    state.update(Message::Response {
        channel: Channel::Rows,
        request_id: second,
        response: Ok(Response::Page(response.clone())),
    });
    assert!(!state.is_waiting());
    assert_eq!(rows(&state), response.rows);
    state.update(Message::Response {
        channel: Channel::Rows,
        request_id: first,
        response: Err("late".to_owned()),
    });
    assert_eq!(state.tables.open.as_ref().unwrap().grid.error, None);
}

#[test]
fn a_long_table_is_loaded_in_windows_around_the_rows_in_view() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter G");
    let grid = |state: &App| state.tables.open.as_ref().unwrap().grid.clone();
    assert_eq!(grid(&state).cursor.at, 1_499_999);
    assert!(grid(&state).row(1_499_999).is_some());
    assert!(grid(&state).rows.len() <= 200, "a window, not the table");
    press(&mut state, "#");
    write(&mut state, "750,000");
    press(&mut state, "enter");
    assert_eq!(grid(&state).cursor.at, 749_999);
    assert_eq!(grid(&state).cell().unwrap(), Some("750000"));
    // Every row is loaded when it scrolls into view.
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
    let Some(Effect::Request { request: Request::Page(page), .. }) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!(page.filters[0].column, "value");
    assert_eq!(
        page.filters[0].predicate,
        FilterPredicate::Equals(None),
        "the third row's value is null"
    );
    assert_eq!((page.total, page.first), (None, 0));
    assert_eq!(state.tables.open.as_ref().unwrap().grid.len(), 7);
    press(&mut state, "x");
    assert_eq!(state.tables.open.as_ref().unwrap().grid.len(), 1_500_000);
}

#[test]
fn a_new_generation_asks_again_and_keeps_the_place() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter j j j l");
    let served = materia::reader::ReaderState {
        generation: Some(std::sync::Arc::new(materia::reader::GenerationInfo {
            sequence: 2,
            snapshot: None,
            ..(*generation_info()).clone()
        })),
        problem: None,
        storage: None,
    };
    let effects = state.update(Message::Served(Box::new(served)));
    assert!(matches!(effects[0], Effect::Request { channel: Channel::Catalog, .. }));
    let before = state.tables.open.as_ref().unwrap().grid.rows.len();
    assert!(before > 0);
    respond(&mut state, effects);
    let open = state.tables.open.as_ref().unwrap();
    assert_eq!((open.grid.cursor.at, open.grid.column), (3, 1));
    assert!(!state.is_waiting());
}

#[test]
fn typing_in_the_prompt_is_text_whatever_the_keys_mean_elsewhere() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1, '?:q!' -- 2 3 gg G");
    assert_eq!(state.context.screen, ScreenId::Sql);
    assert_eq!(state.sql.text(), "SELECT 1, '?:q!' -- 2 3 gg G");
    press(&mut state, "enter");
    state.update(Message::Paste("FROM orders\r\nWHERE id = 1;".to_owned()));
    assert_eq!(state.sql.text().lines().count(), 3);
    let effects = press(&mut state, "enter");
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Request { channel: Channel::Sql, .. })),
        "enter after a semicolon runs it"
    );
}

#[test]
fn esc_cancels_a_query_first_and_leaves_the_prompt_then() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1");
    state.update(Message::Key(key_event("f5")));
    assert!(state.is_waiting());
    assert_eq!(state.update(Message::Key(key_event("esc"))), [Effect::Cancel(Channel::Sql)]);
    assert!(!state.is_waiting() && state.sql.typing);
    press(&mut state, "esc");
    assert!(!state.sql.typing);
    press(&mut state, "1");
    assert_eq!(state.context.screen, ScreenId::Overview);
}

#[test]
fn a_name_is_completed_from_the_catalog() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT * FROM ord");
    press(&mut state, "tab");
    // `orders`, and the word ORDER.
    assert_eq!(state.sql.completion.as_ref().unwrap().suggestions, ["orders", "ORDER"]);
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
    assert_eq!(state.context.screen, ScreenId::History);
}

#[test]
fn the_palette_finds_what_is_done_on_another_screen() {
    let mut state = ready(80, 24);
    state.context.actions_allowed = true;
    press(&mut state, "2 enter :");
    write(&mut state, "history roll back");
    press(&mut state, "enter");
    assert_eq!(state.context.screen, ScreenId::History);
    assert!(
        state.context.toast.as_ref().unwrap().text.contains("is served already"),
        "the newest attempt is what is served"
    );
    press(&mut state, ":");
    write(&mut state, "tables whose name");
    press(&mut state, "enter");
    assert!(state.tables.open.is_none(), "the list is filtered, not the table that was open");
    assert!(
        matches!(&state.context.overlay, Some(Overlay::Prompt(prompt)) if prompt.label == "tables with: ")
    );
    press(&mut state, "esc :");
    write(&mut state, "dashboard supply");
    press(&mut state, "enter");
    assert_eq!(
        (state.context.screen, state.dashboards.wanted.as_deref()),
        (ScreenId::Dashboards, Some("supply"))
    );
}

#[test]
fn a_pipeline_is_run_by_its_name_where_actions_are_allowed() {
    let mut state = ready(80, 24);
    press(&mut state, "p");
    assert!(
        state.context.overlay.is_none()
            && state.context.toast.as_ref().unwrap().text.contains("actions are off")
    );
    state.context.actions_allowed = true;
    press(&mut state, "p");
    write(&mut state, "trans");
    press(&mut state, "enter");
    let effects = press(&mut state, "y");
    assert_eq!(
        effects,
        [Effect::Start(["pipeline", "run", "transform"].map(str::to_owned).to_vec())]
    );
    press(&mut state, "p");
    assert!(
        state.context.overlay.is_none()
            && state.context.toast.as_ref().unwrap().text.contains("is still running")
    );
}

#[test]
fn every_action_is_in_the_palette_of_every_screen() {
    for screen in ["1", "2", "3", "4", "6"] {
        let mut state = ready(80, 24);
        press(&mut state, screen);
        press(&mut state, ":");
        let Some(Overlay::Palette(palette)) = &state.context.overlay else { panic!("no palette") };
        let homes = ScreenId::ALL.map(|id| state.screen(id).home_keys());
        let bindings = homes.into_iter().chain([&GLOBAL_KEYS]).flat_map(|group| group.bindings);
        for binding in
            bindings.filter(|binding| binding.name != "palette" && !binding.is_navigation)
        {
            assert!(
                palette.entries.iter().any(|entry| entry.text.contains(binding.about)),
                "{screen}: {}",
                binding.about
            );
        }
    }
}

#[test]
fn a_text_cannot_be_scrolled_further_than_its_end() {
    let mut state = ready(80, 24);
    press(&mut state, "3 enter G");
    state.update(Message::Rendered { first_line: Some(4) });
    press(&mut state, "k");
    assert_eq!(state.history.scroll, 3);
    press(&mut state, "1 j j j");
    state.update(Message::Rendered { first_line: Some(0) });
    press(&mut state, "j");
    assert_eq!(state.overview.scroll, 1);
}

#[test]
fn another_schema_of_the_same_file_is_another_catalog() {
    let mut state = ready(80, 24);
    press(&mut state, "2 enter");
    let mut other_schema = config();
    other_schema.settings.export.schema = vec!["other".to_owned()];
    state.update(Message::Settings(Ok(Arc::new(other_schema))));
    assert!(state.context.reader.catalog.is_none() && state.tables.open.is_none());
    let served =
        reader::ReaderState { generation: Some(generation_info()), problem: None, storage: None };
    let effects = state.update(Message::Served(Box::new(served)));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Request { channel: Channel::Catalog, .. })),
        "{effects:?}"
    );
    // Another log file does not change the served data.
    let mut state = ready(80, 24);
    state.update(Message::Settings(Ok(Arc::new(Config { logs: Vec::new(), ..config() }))));
    assert!(state.context.reader.catalog.is_some());
}

#[test]
fn an_existing_file_is_not_overwritten_without_a_dialog() {
    let mut state = ready(80, 24);
    press(&mut state, "2 enter w");
    press(&mut state, "backspace backspace backspace backspace");
    write(&mut state, ".txt");
    assert_eq!(press(&mut state, "enter"), []);
    let Some(Overlay::Prompt(prompt)) = &state.context.overlay else { panic!("no prompt") };
    assert!(prompt.error.as_ref().unwrap().contains(".csv or .parquet"));
    press(&mut state, "backspace backspace backspace");
    write(&mut state, "csv");
    let effects = press(&mut state, "enter");
    let [Effect::Save(job)] = &effects[..] else { panic!("{effects:?}") };
    assert!(!job.overwrite);
    state.update(Message::Save(SaveEvent::Exists(job.clone())));
    let effects = press(&mut state, "enter");
    assert!(matches!(&effects[..], [Effect::Save(job)] if job.overwrite), "{effects:?}");
}

#[test]
fn the_mouse_does_what_the_keys_do() {
    let mut state = ready(80, 24);
    state.update(Message::Click(ClickTarget::Tab(ScreenId::Tables)));
    assert_eq!(state.context.screen, ScreenId::Tables);
    state.update(Message::Click(ClickTarget::Heading(1)));
    assert_eq!((state.tables.sort, state.tables.descending), (TableSort::Rows, true));
    state.update(Message::Click(ClickTarget::Line(1)));
    assert!(state.tables.open.is_none(), "the first click goes there");
    let effects = state.update(Message::Click(ClickTarget::Line(1)));
    respond(&mut state, effects);
    assert_eq!(state.tables.open.as_ref().unwrap().name, "coffee_prices", "the second opens it");
    state.update(Message::Click(ClickTarget::Cell(4, 2)));
    let grid = &state.tables.open.as_ref().unwrap().grid;
    assert_eq!((grid.cursor.at, grid.column), (4, 2));
    state.update(Message::Scroll(3));
    assert_eq!(state.tables.open.as_ref().unwrap().grid.cursor.at, 7);
}

#[test]
fn the_selected_line_stays_in_view_when_the_terminal_shrinks() {
    let mut state = ready(200, 50);
    press(&mut state, "2 j enter G");
    state.update(Message::Resize(Size { width: 60, height: 15 }));
    let grid = &state.tables.open.as_ref().unwrap().grid;
    assert!(
        grid.cursor
            .visible_range(
                grid.len(),
                usize::from(layout::list(state.tables.grid_area(&state.context))[1].height)
            )
            .contains(&grid.cursor.at)
    );
}

#[test]
fn chosen_filters_are_requested_with_the_dashboard() {
    let mut state = ready(80, 24);
    press(&mut state, "4 f down enter");
    let effects = press(&mut state, "f tab space tab");
    assert_eq!(effects, []);
    press(&mut state, "backspace backspace backspace backspace");
    write(&mut state, "2010");
    let effects = press(&mut state, "enter");
    let Some(Effect::Request { request: Request::Dashboard { filters, slug, .. }, .. }) =
        effects.first()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(slug.as_deref(), Some("pulse"));
    let filters: Vec<_> = filters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The fixture always responds with Brazil.
    assert_eq!(filters, ["country=BR", "kind=a", "year_from=2000", "year_to=2010"]);
}

#[test]
fn the_screen_is_drawn_again_when_what_it_says_changes_and_not_before() {
    let mut state = ready(80, 24);
    let minute = state.next_change().unwrap();
    assert_eq!((minute - now()).get_seconds(), 60, "half an hour is shown in minutes");
    state.update(Message::Tick(now() + 90.minutes()));
    assert!(state.context.status().unwrap().is_stale(state.context.now + 1.minute()));
    let opening = started(80, 24);
    assert!(
        (opening.next_change().unwrap() - now()).get_milliseconds() < 200,
        "the spinner moves while it opens"
    );
}

#[test]
fn an_hour_of_events_takes_no_more_memory_than_a_minute() {
    let mut state = ready(80, 24);
    press(&mut state, "6 2 j enter 5");
    let weigh = |state: &App| format!("{state:?}").len();
    let minute = |state: &mut App, minute: i64| {
        for second in 0..60 {
            state.update(Message::Tick(now() + (minute * 60 + second).seconds()));
            let lines = usize::try_from((minute * 60 + second + 1) * 200).unwrap();
            write_numbered_log(state, lines);
            state.update(Message::Status(Ok(std::sync::Arc::new(facts(status())))));
            press(state, "esc 2 j k ctrl-d ctrl-u 5");
            state.sql.remember(&format!("SELECT {:>8}", minute * 60 + second), now());
        }
    };
    (0..10).for_each(|at| minute(&mut state, at));
    let before = weigh(&state);
    (10..60).for_each(|at| minute(&mut state, at));
    let after = weigh(&state);
    assert!(
        after < before + before / 50,
        "{before} bytes after ten minutes, {after} after an hour"
    );
}

#[test]
fn pasted_line_ends_are_line_ends_whatever_the_terminal_sends() {
    let text = "SELECT id,\n\tt -- comment; drop table x\nFROM aa_wide\nWHERE id < 5;\n\nSELECT 2;";
    for line_end in ["\n", "\r\n", "\r"] {
        let mut state = ready(80, 24);
        press(&mut state, "5");
        state.update(Message::Paste(text.replace('\n', line_end)));
        assert_eq!(state.sql.text(), text, "{line_end:?}");
        // Other inputs have a single line.
        press(&mut state, "alt-2 /");
        state.update(Message::Paste(format!("orders{line_end}DROP TABLE orders")));
        assert_eq!(state.tables.filter, "orders", "{line_end:?}");
    }
}

#[test]
fn ctrl_c_cancels_a_query_and_then_asks_before_it_quits() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1");
    state.update(Message::Key(key_event("f5")));
    assert_eq!(press(&mut state, "ctrl-c"), [Effect::Cancel(Channel::Sql)]);
    assert_eq!(press(&mut state, "ctrl-c"), []);
    assert!(matches!(&state.context.overlay, Some(Overlay::Confirm(_))));
    assert_eq!(press(&mut state, "esc j ctrl-c"), [Effect::Quit], "nothing runs any more");
    state.context.saving = Some(10);
    assert_eq!(press(&mut state, "ctrl-c"), [], "a file would be incomplete");
    assert_eq!(press(&mut state, "ctrl-c"), [Effect::Quit]);
}

#[test]
fn esc_returns_to_the_previous_screen() {
    let mut state = ready(80, 24);
    press(&mut state, "4 2 1 enter");
    assert!(state.history.open.is_some());
    let screens = [
        (ScreenId::History, "the list of attempts"),
        (ScreenId::Overview, "where the attempt was opened from"),
        (ScreenId::Tables, "before that"),
        (ScreenId::Dashboards, "and before that"),
        (ScreenId::Overview, "the first screen"),
        (ScreenId::Overview, "nothing is further back"),
    ];
    for (screen, place) in screens {
        press(&mut state, "esc");
        assert_eq!(state.context.screen, screen, "{place}");
    }
    press(&mut state, "5");
    press(&mut state, "esc esc");
    assert_eq!(state.context.screen, ScreenId::Overview, "out of the prompt, then back");
}

#[test]
fn screens_and_help_can_be_reached_while_typing() {
    let mut state = ready(80, 24);
    press(&mut state, "5");
    write(&mut state, "SELECT 1");
    press(&mut state, "f1");
    assert!(matches!(state.context.overlay, Some(Overlay::Help { .. })));
    press(&mut state, "esc alt-3");
    assert_eq!(state.context.screen, ScreenId::History);
    press(&mut state, "alt-2 / alt-5");
    assert!(state.context.screen == ScreenId::Sql && state.context.overlay.is_none());
    assert_eq!(state.sql.text(), "SELECT 1", "the query is still there");
}

#[test]
fn a_past_query_is_found_by_its_letters_and_a_saved_one_by_its_name() {
    let mut state = ready(80, 24);
    state.update(Message::QueryHistory(vec![
        PastQuery { query: "FROM totals".to_owned(), name: Some("runs".to_owned()), at: None },
        PastQuery { query: "FROM orders".to_owned(), name: None, at: Some(now() - 2.hours()) },
    ]));
    press(&mut state, "5 ctrl-r");
    let Some(Overlay::Palette(palette)) = &state.context.overlay else { panic!("no palette") };
    let shown: Vec<_> =
        palette.entries.iter().map(|entry| (entry.text.as_str(), entry.key.as_str())).collect();
    assert_eq!(shown, [("runs: FROM totals", "saved"), ("FROM orders", "2 h ago")]);
    write(&mut state, "ord");
    press(&mut state, "enter");
    assert_eq!(state.sql.text(), "FROM orders");
    press(&mut state, "ctrl-s");
    write(&mut state, "mine");
    let effects = press(&mut state, "enter");
    assert!(
        matches!(&effects[..], [Effect::Remember(query)] if query.name.as_deref() == Some("mine")),
        "{effects:?}"
    );
    press(&mut state, "ctrl-r");
    write(&mut state, "mine");
    press(&mut state, "enter");
    assert_eq!(state.sql.text(), "FROM orders");
    state.update(Message::Edited(Ok("SELECT 3\nFROM totals\n".to_owned())));
    assert_eq!(state.sql.text(), "SELECT 3\nFROM totals", "as the editor saved it");
}

#[test]
fn a_row_is_shown_in_full_and_copied_as_json_insert_and_csv() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter j j enter");
    let Some(Overlay::Text(view)) = &state.context.overlay else { panic!("no record") };
    assert!(view.text.contains("value  DOUBLE   NULL\n"), "{}", view.text);
    let copied = |state: &mut App, key: &str| match &press(state, key)[..] {
        [Effect::Copy(text)] => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(copied(&mut state, "y"), r#"{"id":3,"name":"Brazil","value":null}"#);
    assert_eq!(
        copied(&mut state, "i"),
        r#"INSERT INTO "orders" ("id", "value", "name") VALUES (3, NULL, 'Brazil');"#
    );
    assert_eq!(copied(&mut state, "c"), "id,value,name\n3,,Brazil\n");
    press(&mut state, "esc k enter");
    assert!(copied(&mut state, "i").contains("'Côte d''Ivoire\nand more'"));
}

#[test]
fn a_column_is_reached_by_a_part_of_its_name() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter c");
    write(&mut state, "NAM");
    press(&mut state, "enter");
    assert_eq!(state.tables.open.as_ref().unwrap().grid.column, 2);
    press(&mut state, "c");
    write(&mut state, "nothing");
    press(&mut state, "enter");
    let Some(Overlay::Prompt(prompt)) = &state.context.overlay else { panic!("no prompt") };
    assert_eq!(prompt.error.as_deref(), Some("no match"));
}

#[test]
fn every_table_of_keys_is_printed() {
    let printed = crate::print_keys(&BTreeMap::new()).unwrap();
    for part in
        ["## Rows", "`f5` `alt-enter` | sql.run", "## Everywhere", "| `esc` | global.back |"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}

#[test]
fn keys_of_the_settings_replace_those_of_an_action_everywhere_they_are_shown() {
    let mut state = ready(80, 24);
    let keys = |text: &str| {
        let keys: BTreeMap<String, Keys> =
            materia::toml_file::parse("keys".as_ref(), text).unwrap();
        keys
    };
    let configure = |state: &mut App, chosen: BTreeMap<String, Keys>| {
        let mut config = config();
        config.settings.tui.keys = chosen;
        state.update(Message::Settings(Ok(Arc::new(config))));
    };
    let chosen = keys("'tables.sort' = ['z', 'Z']\n'global.quit' = 'ctrl-q'\n'tables.copy' = []");
    configure(&mut state, chosen.clone());
    press(&mut state, "2");
    press(&mut state, "s");
    assert_eq!(state.tables.sort, TableSort::Name, "the default key has no meaning any more");
    press(&mut state, "Z");
    assert_eq!(state.tables.sort, TableSort::Rows);
    assert_eq!(press(&mut state, "q"), []);
    assert_eq!(press(&mut state, "y"), []);
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("ctrl-q quit") && shown.contains("z sort"), "{shown}");
    press(&mut state, "?");
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("z Z"), "{shown}");
    assert!(crate::print_keys(&chosen).unwrap().contains("| `z` `Z` | tables.sort |"));
    assert_eq!(press(&mut state, "esc ctrl-q"), [Effect::Quit]);
    for (wrong, problem) in [
        ("'tables.srt' = 'z'", "unknown action \"tables.srt\"; did you mean \"tables.sort\"?"),
        ("'tables.sort' = 'meta-z'", "tables.sort: unknown key \"meta-z\""),
        ("'tables.sort' = 'y'", "\"y\" is both tables.sort and tables.copy"),
    ] {
        configure(&mut state, keys(wrong));
        let error = state.context.reader.config_error.clone().unwrap_or_default();
        assert!(error.contains(problem), "{wrong}: {error}");
    }
}

#[test]
fn the_query_of_a_panel_is_opened_in_the_prompt() {
    let mut state = ready(80, 24);
    press(&mut state, "4 o enter");
    assert_eq!(state.context.screen, ScreenId::Sql);
    let title = state.dashboards.data.as_ref().unwrap().panels[0].title.clone();
    assert_eq!(state.sql.text(), format!("SELECT {title:?} AS title"));
}

#[test]
fn values_of_two_kept_generations_are_compared_until_the_comparison_is_closed() {
    let mut state = ready(80, 24);
    // The newest attempt with the one before it.
    let effects = press(&mut state, "3 c v");
    let [Effect::Compare(comparison)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((&comparison.before, &comparison.now), (&id(1), &id(2)));
    assert!(state.is_waiting());
    let request_id = comparison.request_id;
    assert_eq!(press(&mut state, "esc"), [Effect::CancelComparison]);
    let effects = press(&mut state, "c v");
    let [Effect::Compare(comparison)] = &effects[..] else { panic!("{effects:?}") };
    let late = Message::Compared(request_id, Ok("late".to_owned()));
    state.update(late);
    assert!(state.is_waiting());
    state.update(Message::Compared(comparison.request_id, Ok("orders  3 revised".to_owned())));
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("orders  3 revised") && !state.is_waiting(), "{shown}");
    // The first generation is not kept.
    press(&mut state, "esc j c v");
    let toast = &state.context.toast.as_ref().unwrap().text;
    assert!(toast.contains("both generations are kept"), "{toast}");
}

#[test]
fn hidden_columns_are_skipped_until_they_are_shown_again() {
    let mut state = ready(80, 24);
    let column = |state: &App| state.tables.open.as_ref().unwrap().grid.column;
    press(&mut state, "2 j enter l -");
    assert_eq!(column(&state), 2, "the next one is selected");
    press(&mut state, "h");
    assert_eq!(column(&state), 0, "past the hidden one");
    press(&mut state, "l - -");
    assert_eq!(column(&state), 0);
    assert_eq!(
        state.tables.open.as_ref().unwrap().grid.view.hidden,
        ["value", "name"],
        "one stays"
    );
    press(&mut state, "+ l");
    assert_eq!(column(&state), 1);
}

#[test]
fn rows_are_sorted_by_several_columns_in_the_order_in_which_they_were_chosen() {
    let mut state = ready(80, 24);
    let order = |state: &App| -> Vec<_> {
        let sort = &state.tables.open.as_ref().unwrap().grid.sort;
        sort.iter().map(|sort| (sort.column.clone(), sort.descending)).collect()
    };
    let column = |name: &str, descending| (name.to_owned(), descending);
    press(&mut state, "2 j enter l s h S S");
    assert_eq!(order(&state), [column("value", false), column("id", true)]);
    press(&mut state, "S");
    assert_eq!(order(&state), [column("value", false)], "not at all");
    press(&mut state, "S s");
    assert_eq!(order(&state), [column("id", false)], "by this column alone");
}

#[test]
fn frozen_columns_stay_in_view_while_others_scroll() {
    let mut state = ready(60, 24);
    let visible = |state: &App| -> Vec<_> {
        let grid = &state.tables.open.as_ref().unwrap().grid;
        grid.visible_columns(40).into_iter().map(|(column, _)| column).collect()
    };
    press(&mut state, "2 j enter F l > > > > l > > >");
    assert_eq!(visible(&state), [0, 2], "the wide column in between has scrolled away");
    press(&mut state, "0");
    press(&mut state, "F l");
    assert_eq!(visible(&state), [1], "none is frozen any more");
    press(&mut state, "F");
    let toast = &state.context.toast.as_ref().unwrap().text;
    assert!(toast.contains("too wide"), "{toast}");
}

#[test]
fn a_frequent_value_becomes_a_filter() {
    let mut state = ready(80, 24);
    press(&mut state, "2 j enter l l t j enter");
    assert!(state.context.overlay.is_none());
    let grid = &state.tables.open.as_ref().unwrap().grid;
    assert_eq!(grid.filters[0].to_string(), "name = コロンビア");
    // Closing the window stops what it requested.
    press(&mut state, "t");
    assert_eq!(press(&mut state, "esc"), [Effect::Cancel(Channel::Statistics)]);
}

#[test]
fn the_history_is_filtered_by_outcome_and_keys_act_on_what_is_listed() {
    let mut status = status();
    status.history.push(refusal());
    let mut state = ready_with(80, 24, status);
    press(&mut state, "3 o enter");
    let selected = |state: &App| {
        let status = state.context.status().unwrap();
        state.history.selected_attempt(status).unwrap().outcome
    };
    assert_eq!(selected(&state), AttemptOutcome::Refused);
    press(&mut state, "esc o G enter");
    assert_eq!(selected(&state), AttemptOutcome::Published);
    press(&mut state, "esc o j enter");
    assert_eq!(selected(&state), AttemptOutcome::Published, "all again, the second one");
}

#[test]
fn enter_on_a_dashboard_lists_where_its_panels_lead_and_opens_it_with_the_selection() {
    let mut state = ready(120, 40);
    press(&mut state, "4");
    let mut data = DashboardData::clone(state.dashboards.data.as_ref().unwrap());
    data.panels.iter_mut().for_each(|panel| panel.link = None);
    state.dashboards.data = Some(Arc::new(data.clone()));
    press(&mut state, "enter");
    assert!(state.context.overlay.is_none(), "nothing leads anywhere");
    data.panels[0].link = Some("/dashboard/supply?country=BR&year_from=2010".to_owned());
    data.panels[1].link = Some("https://example.com/".to_owned());
    data.panels[2].link = Some("/dashboard/gone".to_owned());
    let title = data.panels[0].title.clone();
    state.dashboards.data = Some(Arc::new(data));
    press(&mut state, "enter");
    let shown = text(&buffer(&state, THEME));
    assert!(shown.contains("Follow") && shown.contains(&title), "{shown}");
    let effects = press(&mut state, "enter");
    let Some(Effect::Request { request: Request::Dashboard { filters, slug, .. }, .. }) =
        effects.first()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(slug.as_deref(), Some("supply"));
    let filters: Vec<_> = filters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(filters, ["country=BR", "year_from=2010"]);
}
