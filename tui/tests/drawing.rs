//! Every screen in every state, as text and as styles, with a fixed clock and fixed data.

use materia::{
    status::Status,
    store::ServedState,
    store::{AttemptOutcome, ExportStep},
};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Modifier};

use super::fixture::{
    attempt, holder, now, press, ready, ready_with, refusal, running, started, status, write,
    write_log,
};
use crate::{
    app::{App, ScreenId},
    keys::key_event,
    message::{Channel, JobEvent, LogEvent, Message},
    theme::{ColorDepth, ColorScheme, Theme},
    views::draw,
};

pub(super) const THEME: Theme =
    Theme { scheme: ColorScheme::Dark, depth: ColorDepth::TrueColor, ascii: false, colors: None };
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];

pub(super) fn buffer(state: &App, theme: Theme) -> Buffer {
    let mut terminal =
        Terminal::new(TestBackend::new(state.context.size.width, state.context.size.height))
            .unwrap();
    terminal.draw(|frame| drop(draw(frame, state, theme))).unwrap();
    terminal.backend().buffer().clone()
}

pub(super) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| {
        let mut line = String::new();
        let mut x = 0;
        while x < area.width {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        line.trim_end().to_owned() + "\n"
    };
    (0..area.height).map(line).collect::<String>().trim_end().to_owned() + "\n"
}

/// Returns each run of cells with the same style: its text, then its style.
pub(super) fn styles(buffer: &Buffer) -> String {
    let mut shown = String::new();
    for y in 0..buffer.area.height {
        let mut runs: Vec<(String, String)> = Vec::new();
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let mut style = format!("{}", cell.fg);
            if cell.bg != ratatui::style::Color::Reset {
                style += &format!(" on {}", cell.bg);
            }
            if cell.modifier != Modifier::empty() {
                style += &format!(" {:?}", cell.modifier);
            }
            match runs.last_mut() {
                Some((text, known)) if *known == style => *text += cell.symbol(),
                _ => runs.push((cell.symbol().to_owned(), style)),
            }
        }
        let runs = runs
            .iter()
            .filter(|(text, style)| !text.trim().is_empty() || style.contains("on"))
            .map(|(text, style)| format!("{:?} {style}", text.trim_end()));
        let line = runs.collect::<Vec<_>>().join(" | ");
        if !line.is_empty() {
            shown += &format!("{y:>2}: {line}\n");
        }
    }
    shown
}

/// Returns the settings with the folder of snapshots.
pub(super) fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/tui");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn assert_snapshot(name: &str, shown: &str) {
    snapshots().bind(|| insta::assert_snapshot!(name, shown));
}

/// Draws a screen at every size.
pub(super) fn at_every_size(make: impl Fn(u16, u16) -> App) -> String {
    let shown = |(width, height): (u16, u16)| {
        let drawn = text(&buffer(&make(width, height), THEME));
        format!(
            "{}\n{drawn}",
            format!("-- {width} x {height} ")
                .chars()
                .chain(std::iter::repeat('-'))
                .take(usize::from(width))
                .collect::<String>()
        )
    };
    SIZES.map(shown).concat()
}

/// Compares a snapshot of the screen at every size.
fn assert_screen(name: &str, make: impl Fn(u16, u16) -> App) {
    assert_snapshot(name, &at_every_size(make));
}

fn on(screen: &'static str) -> impl Fn(u16, u16) -> App {
    move |width, height| {
        let mut state = ready(width, height);
        press(&mut state, screen);
        state
    }
}

fn with(change: impl Fn(&mut Status)) -> impl Fn(u16, u16) -> App {
    move |width, height| {
        let mut status = status();
        change(&mut status);
        ready_with(width, height, status)
    }
}

#[test]
fn the_overview_shows_what_is_served_and_what_is_wrong() {
    assert_screen("now_opening", started);
    assert_screen("now_fresh", ready);
    assert_screen(
        "now_stale",
        with(|status| status.max_age = Some(std::time::Duration::from_mins(10))),
    );
    assert_screen("now_refused", with(|status| status.history.push(refusal())));
    assert_screen("now_held", with(|status| status.lakehouse_held_by = Some(holder())));
    assert_screen("now_staging", with(|status| status.running = Some(running(ExportStep::Stage))));
    assert_screen("now_waiting", with(|status| status.running = Some(running(ExportStep::Wait))));
    assert_screen("now_auditing", with(|status| status.running = Some(running(ExportStep::Audit))));
    assert_screen(
        "now_nothing_served",
        with(|status| {
            (status.what, status.generation, status.exported_at, status.bytes) =
                (ServedState::Missing, None, None, None);
            (status.history, status.generations) = (Vec::new(), Vec::new());
        }),
    );
    assert_screen(
        "now_unreadable",
        with(|status| {
            status.unreadable = Some("not a DuckDB file".to_owned());
            (status.generation, status.exported_at) = (None, None);
        }),
    );
    assert_screen("now_bad_settings", |width, height| {
        let mut state = started(width, height);
        state.update(Message::Settings(Err(
            "materia.toml:3: unknown key \"serv\"; did you mean \"serving\"?".to_owned(),
        )));
        state
    });
    assert_screen("now_unreadable_history", |width, height| {
        let mut state = ready(width, height);
        state.update(Message::Status(Err(
            "what is around analytics.duckdb cannot be read: Permission denied (os error 13)"
                .to_owned(),
        )));
        state
    });
    assert_screen("now_own_export", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "! E enter");
        state.update(Message::Job(JobEvent::Output("coffee_prices: 802 rows in 23 ms".to_owned())));
        state.update(Message::Job(JobEvent::Status("staging orders 43 %".to_owned())));
        state
    });
}

#[test]
fn tables_show_what_there_is() {
    assert_screen("tables", on("2"));
    assert_screen("tables_opening", |width, height| {
        let mut state = started(width, height);
        press(&mut state, "2");
        state
    });
    assert_screen("tables_filtered", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 s /");
        write(&mut state, "or");
        state
    });
    assert_screen("table_rows", on("2 enter j j l"));
    assert_screen("table_columns", on("2 enter tab j"));
    assert_screen("table_filtered", on("2 enter l l f"));
    assert_screen("table_frozen", on("2 enter F l s l S >"));
    assert_screen("column_statistics", on("2 j enter l t j"));
    assert_screen("column_statistics_of_text", on("2 j enter l l t"));
    assert_screen("table_loading", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "2 j enter");
        // Without a response.
        state.update(Message::Key(key_event("s")));
        state
    });
}

#[test]
fn history_shows_every_attempt() {
    let refused = |keys: &'static str| {
        move |width, height| {
            let mut status = status();
            status.history.push(refusal());
            let mut state = ready_with(width, height, status);
            press(&mut state, keys);
            state
        }
    };
    assert_screen("history", refused("3"));
    assert_screen("history_refusal", refused("3 enter"));
    assert_screen("history_attempt", refused("3 j enter"));
    assert_screen("history_compared", refused("3 j space j c"));
    assert_screen("history_empty", |width, height| {
        let mut state = ready_with(width, height, Status { history: Vec::new(), ..status() });
        press(&mut state, "3");
        state
    });
}

#[test]
fn dashboards_are_readable_small_and_rich_large() {
    assert_screen("dashboard", on("4"));
    assert_screen("dashboard_charts", on("4 j"));
    assert_screen("dashboard_bars", on("4 j j"));
    assert_screen("dashboard_end", on("4 G"));
    assert_screen("dashboard_filters", on("4 f tab"));
    assert_screen("dashboard_asking", |width, height| {
        let mut state = ready(width, height);
        state.update(Message::Key(key_event("4")));
        state
    });
}

#[test]
fn a_panel_says_what_it_does_not_show() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut state = ready(width, height);
        press(&mut state, "4");
        if let Some(data) = &mut state.dashboards.data {
            for panel in &mut std::sync::Arc::make_mut(data).panels {
                panel.notes =
                    vec!["Showing the 20 largest of 37 series; 17 are left out.".to_owned()];
            }
        }
        let shown = text(&buffer(&state, THEME));
        assert!(shown.contains("Showing the 20") && shown.contains("left out."), "{shown}");
    }
}

#[test]
fn sql_shows_prompt_and_rows() {
    let query = |text: &'static str, keys: &'static str| {
        move |width, height| {
            let mut state = ready(width, height);
            press(&mut state, "5");
            write(&mut state, text);
            if !keys.is_empty() {
                press(&mut state, keys);
            }
            state
        }
    };
    assert_screen("sql_empty", query("", ""));
    assert_screen("sql_completion", query("SELECT month FROM coffee_prices WHERE a", "tab"));
    assert_screen("sql_answer", query("FROM orders", "f5"));
    assert_screen("sql_mistake", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "5");
        write(&mut state, "FROM ordres");
        state.update(Message::Key(key_event("f5")));
        let (channel, request_id) = (Channel::Sql, state.context.last_request_id);
        let response =
            Err("Catalog Error: Table with name ordres does not exist!\nDid you mean \"orders\"?"
                .to_owned());
        state.update(Message::Response { channel, request_id, response });
        state
    });
}

#[test]
fn logs_show_what_is_written_or_how_to_configure_them() {
    assert_screen("logs", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "6");
        let lines = [
            "INFO listening on 127.0.0.1:8080",
            "WARN slow answer: 1.2 s",
            "ERROR cannot read supply.toml",
            "{\"timestamp\":\"2026-11-21T02:29:00.123Z\",\"level\":\"DEBUG\",\"message\":\"pin\",\"lane\":2}",
            "plain",
        ];
        write_log(&mut state, &lines);
        press(&mut state, "/");
        write(&mut state, "an");
        press(&mut state, "enter");
        state
    });
    assert_screen("logs_missing", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, "6");
        state.update(Message::Log(
            0,
            LogEvent::Note(
                "web.log: it does not exist yet; it is read as soon as it does".to_owned(),
            ),
        ));
        state
    });
    assert_screen("logs_none", |width, height| {
        let mut state = started(width, height);
        press(&mut state, "6");
        state
    });
}

#[test]
fn overlays_lie_over_the_screen() {
    assert_screen("help", on("3 ?"));
    assert_screen("palette", |width, height| {
        let mut state = ready(width, height);
        press(&mut state, ":");
        write(&mut state, "opn ord");
        state
    });
    assert_screen("confirm", on("! 3 j R"));
    assert_screen("prompt", on("2 enter w"));
    assert_screen("actions_off", on("E"));
}

#[test]
fn a_terminal_without_colors_or_without_unicode_shows_as_much() {
    let shown = |theme| {
        let mut shown = String::new();
        for keys in ["1", "2", "2 enter", "3", "4 j", "4 j j", "4 G", "5", "6"] {
            let mut status = status();
            status.history.push(refusal());
            status.running = Some(running(ExportStep::Stage));
            let mut state = ready_with(80, 24, status);
            press(&mut state, keys);
            shown += &format!("-- {keys}\n{}", text(&buffer(&state, theme)));
        }
        shown
    };
    assert_snapshot("no_color", &shown(Theme { depth: ColorDepth::None, ..THEME }));
    let ascii = shown(Theme { depth: ColorDepth::None, ascii: true, ..THEME });
    // Text from the data is not replaced.
    let ours: String = ascii.chars().filter(|char| !char.is_alphanumeric()).collect();
    assert!(
        ours.is_ascii(),
        "{:?}",
        ours.chars().filter(|char| !char.is_ascii()).collect::<String>()
    );
    assert_snapshot("ascii", &ascii);
}

#[test]
fn a_terminal_that_is_too_small_shows_the_size_it_needs() {
    for (width, height) in [(59, 24), (80, 14), (20, 3), (5, 1), (1, 1)] {
        let shown = text(&buffer(&ready(width, height), THEME));
        assert!(
            width < 24 || shown.contains("materia needs 60 x 15"),
            "{width} x {height}: {shown}"
        );
    }
    assert_snapshot("too_small", &text(&buffer(&ready(40, 10), THEME)));
}

#[test]
fn health_is_shown_in_colors() {
    let mut shown = String::new();
    let mut show = |name: &str, theme: Theme, change: &dyn Fn(&mut Status), keys: &str| {
        let mut status = status();
        change(&mut status);
        let mut state = ready_with(80, 24, status);
        press(&mut state, keys);
        shown += &format!("-- {name}\n{}", styles(&buffer(&state, theme)));
    };
    let stale = |status: &mut Status| status.max_age = Some(std::time::Duration::from_mins(10));
    let failed = |status: &mut Status| status.history.push(attempt(3, AttemptOutcome::Failed));
    show("fresh", THEME, &|_| {}, "1");
    show("stale", THEME, &stale, "1");
    show("last attempt failed", THEME, &failed, "1");
    show("exporting", THEME, &|status| status.running = Some(running(ExportStep::Stage)), "1");
    show("history", THEME, &failed, "3");
    show("tables", THEME, &|_| {}, "2");
    show("rows", THEME, &|_| {}, "2 enter");
    show("stale, light", Theme { scheme: ColorScheme::Light, ..THEME }, &stale, "1");
    show("stale, 256 colours", Theme { depth: ColorDepth::Ansi256, ..THEME }, &stale, "1");
    show("stale, 16 colours", Theme { depth: ColorDepth::Sixteen, ..THEME }, &stale, "1");
    show("stale, no colours", Theme { depth: ColorDepth::None, ..THEME }, &stale, "1");
    assert_snapshot("styles", &shown);
}

#[test]
fn every_screen_can_be_drawn_at_every_size() {
    for (width, height) in [(60, 15), (61, 16), (79, 20), (97, 33), (300, 90)] {
        for keys in [
            "1",
            "2",
            "2 enter",
            "2 enter tab",
            "3",
            "3 enter",
            "3 c",
            "4",
            "4 f",
            "4 j j j",
            "5",
            "5 tab",
            "6",
            "?",
            ":",
            "! E",
        ] {
            let mut state = ready(width, height);
            press(&mut state, keys);
            buffer(&state, THEME);
        }
    }
}

#[test]
fn drawing_changes_nothing_and_reads_no_clock() {
    for screen in ScreenId::ALL {
        let mut state = ready(120, 40);
        press(
            &mut state,
            &(ScreenId::ALL.iter().position(|known| *known == screen).unwrap() + 1).to_string(),
        );
        let before = format!("{state:?}");
        assert_eq!(buffer(&state, THEME), buffer(&state, THEME));
        assert_eq!(format!("{state:?}"), before);
        assert_eq!(state.context.now, now());
    }
}
