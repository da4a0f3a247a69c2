//! The terminal dashboard in a terminal.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use portable_pty::PtySize;

use crate::{
    support::{Site, at_best_within},
    terminal::{Screen, size},
};

const CTRL_C: &str = "\u{3}";
const CTRL_R: &str = "\u{12}";
const F5: &str = "\u{1b}[15~";
const ALT_2: &str = "\u{1b}2";
const ALT_E: &str = "\u{1b}e";

fn served() -> Site {
    let site = Site::small();
    site.ok(&["export"]);
    site
}

#[test]
fn an_operator_looks_around_and_leaves_the_terminal_as_it_was() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("all clear");
    screen.shows("2 tables, 1,003 rows");
    screen.press("2", "numbers");
    screen.press("/num", "1 table, 1,000 rows");
    screen.press("\r\r", "row 1 of 1,000");
    screen.press("G", "row 1,000 of 1,000");
    screen.shows("1498.5");
    screen.press("5SELECT count(*) AS many FROM names;\r", "row 1 of 1 ");
    screen.press("\u{1b}", "filter value");
    screen.press("3", "published");
    screen.press("4", "dashboard 1/1");
    screen.press("?", "Everywhere");
    screen.press("x6", "No log is configured");
    assert_eq!(screen.quit("q"), 0);
    // Queries are kept in the history for the next session.
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("5", "SELECT ...");
    screen.press("\u{10}", "SELECT count(*) AS many FROM names");
    assert_eq!(screen.quit("\u{3}"), 0);
}

#[test]
fn a_new_generation_of_another_process_is_on_screen_within_a_second() {
    let site = served();
    let screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    let mut rows = 1_003;
    at_best_within(Duration::from_secs(1), || {
        site.change("INSERT INTO serving.numbers VALUES (-1, 0)");
        site.ok(&["export"]);
        rows += 1;
        screen.shows(&format!("2 tables, 1,{:03} rows", rows - 1_000))
    });
}

#[test]
fn a_confirmed_export_runs_and_its_end_is_shown() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    site.change("UPDATE serving.numbers SET value = value + 1");
    screen.press("E", "actions are off");
    screen.press("!E", "$ materia export");
    assert_eq!(site.history().len(), 1, "nothing before the answer");
    screen.press("\r", "published 2");
    crate::support::eventually("the history of a second attempt", || site.history().len() == 2);
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn a_pipeline_runs_after_one_dialog_and_its_end_is_shown() {
    let site = served();
    site.settings(
        "[pipelines.greet]\ncommand = ['sh', '-c', 'echo well met > greeting; echo greeted']\n[pipelines.sulk]\ncommand = ['false']",
    );
    let mut screen = Screen::start(&site, &["--allow-actions"]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("pgreet\r", "materia pipeline run greet");
    screen.press("y", "greet: succeeded");
    assert_eq!(fs::read_to_string(site.path("greeting")).unwrap(), "well met\n");
    screen.press("psulk\r", "materia pipeline run sulk");
    screen.press("y", "sulk: failed");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn an_older_generation_is_served_again_after_one_dialog() {
    let site = served();
    let first = site.kept().pop().unwrap();
    site.change("CREATE TABLE serving.more AS SELECT 1 AS one");
    site.ok(&["export"]);
    let mut screen = Screen::start(&site, &["--allow-actions"]);
    screen.shows("3 tables, 1,004 rows");
    screen.press("3", "2 attempts");
    screen.press("jR", &format!("$ materia rollback {first}"));
    screen.press("\r1", "2 tables, 1,003 rows");
    assert_eq!(screen.quit("q"), 0);
    assert_eq!(site.number("SELECT count(*) FROM duckdb_tables()"), 2);
}

#[test]
fn missing_or_broken_files_are_reported_and_recovery_needs_no_restart() {
    let site = Site::small();
    site.settings("serving = 'analytics.duckdb'\nkep = 3\n");
    let screen = Screen::start(&site, &[]);
    screen.shows("materia.toml:2: unknown key \"kep\"");
    site.settings("");
    screen.shows("nothing is served");
    site.ok(&["export"]);
    screen.shows("2 tables, 1,003 rows");
    screen.shows("all clear");
    let generation = site.kept().pop().unwrap();
    fs::remove_file(site.served()).unwrap();
    fs::write(site.served(), b"not a database").unwrap();
    screen.shows("Needs attention");
    fs::remove_file(site.served()).unwrap();
    fs::hard_link(site.generation(&generation), site.served()).unwrap();
    screen.shows("all clear");
    let history = fs::read_to_string(site.path("analytics.history.jsonl")).unwrap();
    fs::write(site.path("analytics.history.jsonl"), format!("{history}nonsense\n")).unwrap();
    screen.shows("1 line of the history cannot be read");
}

#[test]
fn a_signal_ends_it_and_restores_the_terminal() {
    for signal in ["TERM", "HUP", "INT"] {
        let site = served();
        let screen = Screen::start(&site, &[]);
        screen.shows("2 tables, 1,003 rows");
        let pid = screen.child.process_id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(screen.ends(), 0, "{signal}");
    }
}

#[test]
fn suspended_it_gives_the_terminal_back_and_returns_where_it_was() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("2", "numbers");
    let pid = screen.child.process_id().unwrap().to_string();
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    screen.press_until("\u{1a}", "it is stopped", |_| is_stopped());
    let is_entered =
        |screen: &Screen| screen.shown.lock().unwrap().parser.screen().alternate_screen();
    crate::support::eventually("the terminal is given back", || !is_entered(&screen));
    assert!(!screen.text().contains("numbers"));
    assert!(
        std::process::Command::new("kill").args(["-s", "CONT", &pid]).status().unwrap().success()
    );
    crate::support::eventually("it draws again", || is_entered(&screen));
    screen.shows("numbers");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn nothing_is_sent_while_nothing_changes_and_little_when_little_does() {
    let site = served();
    // An hour old: the age is shown in minutes.
    let manifest = site.generation(&site.kept().pop().unwrap()).with_extension("json");
    let mut text: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let at: jiff::Timestamp = text["exported_at"].as_str().unwrap().parse().unwrap();
    text["exported_at"] = (at - jiff::SignedDuration::from_secs(3_600 + 5)).to_string().into();
    fs::write(&manifest, text.to_string()).unwrap();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("all clear");
    screen.shows("1 h old");
    screen.press("2", "Cols");
    screen.shows("kB");
    // Waits until it is idle: no output for a while.
    let mut bytes = (screen.bytes(), Instant::now());
    crate::support::eventually("it is at rest", || {
        if screen.bytes() != bytes.0 {
            bytes = (screen.bytes(), Instant::now());
        }
        bytes.1.elapsed() > Duration::from_millis(600)
    });
    let before = screen.bytes();
    screen.press_until("j", "the second line is selected", |screen| {
        let written = screen.shown.lock().unwrap();
        written.parser.screen().cell(3, 5).unwrap().bgcolor() != vt100::Color::Default
    });
    let sent = screen.bytes() - before;
    assert!(sent < 1_000, "{sent} bytes for one line down");
}

#[test]
fn without_colours_none_are_sent() {
    let site = served();
    let mut screen = Screen::start_with(&site, &[], &[("NO_COLOR", "1")]);
    screen.shows("all clear");
    screen.press("2", "numbers");
    let shown = screen.shown.clone();
    assert_eq!(screen.quit("q"), 0);
    let raw = String::from_utf8_lossy(&shown.lock().unwrap().raw).into_owned();
    assert!(!raw.contains("38;5;") && !raw.contains("38;2;") && !raw.contains("48;"), "{raw:?}");
}

#[test]
fn a_column_is_counted_by_values_and_ranges() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.sales AS SELECT i AS id, (i % 16) * 2.5 AS price, CASE WHEN i % 4 = 0 THEN NULL WHEN i % 8 = 1 THEN 'tea' ELSE 'coffee' END AS kind, DATE '2026-01-01' + (i % 160)::INT AS day FROM range(1600) t(i);",
    );
    site.ok(&["export"]);
    let mut screen = Screen::start(&site, &[]);
    screen.shows("1 table, 1,600 rows");
    screen.press("2", "sales");
    screen.press("\r", "row 1 of 1,600");
    screen.press("lt", "1,600 rows, 0 missing, 16 distinct");
    screen.shows("mean 18.75, median ~");
    screen.shows("37.5");
    screen.press_until("q", "it is closed", |screen| !screen.text().contains("distinct"));
    screen.press("lt", "1,600 rows, 400 missing, 2 distinct");
    screen.shows("1,000");
    screen.press("j\r", "row 1 of 400");
    screen.press("x", "row 1 of 1,600");
    screen.press("lt", "160 distinct");
    screen.shows("2026-05-30");
    assert_eq!(screen.quit(CTRL_C), 0);
}

#[test]
fn the_terminals_reply_about_its_background_is_not_taken_for_input() {
    let site = served();
    let mut screen = Screen::start_themed(&site, &[], &[]);
    screen.shows("all clear");
    assert!(screen.has_written("\u{1b}]11;?\u{1b}\\"));
    // The colors of dim text on a dark and on a light background.
    assert!(screen.has_written("38;5;245"));
    screen.press_until("\u{1b}]11;rgb:fafa/fafa/f0f0\u{1b}\\", "it is light", |screen| {
        screen.has_written("38;5;242")
    });
    // Each character of the response means something as a key.
    assert!(screen.text().contains("all clear"), "{}", screen.text());
    screen.press("2", "numbers");
    assert_eq!(screen.quit("q"), 0);
    // Where the background is known, nothing is asked.
    for (arguments, variables) in [
        (&["--theme", "light"][..], &[][..]),
        (&[], &[("COLORFGBG", "0;15")]),
        (&[], &[("TERM", "linux")]),
    ] {
        let screen = Screen::start_themed(&site, arguments, variables);
        screen.shows("all clear");
        assert!(!screen.has_written("\u{1b}]11"), "{arguments:?} {variables:?}");
        assert_eq!(screen.quit("q"), 0);
    }
}

#[test]
fn colors_and_keys_of_the_settings_are_used() {
    let site = served();
    let printed = site.ok(&["tui", "--print-theme", "--theme", "light"]).stdout;
    let (before, after) = printed.split_once("good = \"#2e7d32\"").unwrap();
    fs::write(site.path("mine.toml"), format!("{before}good = 201{after}")).unwrap();
    site.settings(
        "[tui]\ntheme = 'mine.toml'\n[tui.keys]\n'global.tables' = ['2', 'T']\n'global.quit' = 'Q'",
    );
    let mut screen = Screen::start_themed(&site, &[], &[]);
    screen.shows("all clear");
    assert!(screen.has_written("38;5;201") && screen.has_written("38;5;242"));
    screen.press("T", "numbers");
    screen.press("?", "Everywhere");
    assert_eq!(screen.quit("xQ"), 0);
    assert!(site.ok(&["tui", "--print-keys"]).stdout.contains("| `2` `T` | global.tables |"));
    site.settings("[tui]\ntheme = 'none.toml'");
    let ran = site.run(&["tui"]);
    assert!(ran.code == 2 && ran.stderr.contains("theme none.toml: No such file"), "{ran:?}");
    site.settings("[tui.keys]\n'global.tabels' = 'T'");
    let ran = site.run(&["tui", "--print-keys"]);
    assert!(ran.stderr.contains("did you mean \"global.tables\"?"), "{ran:?}");
}

#[test]
fn the_rows_that_failed_an_audit_are_read_from_the_refused_file() {
    let site = served();
    site.settings(
        "[export]\nkeep_refused = true\n[[export.audits]]\nname = 'no negative values'\nsql = 'SELECT id, value FROM numbers WHERE value < 0'",
    );
    site.change("UPDATE serving.numbers SET value = -7 WHERE id = 7");
    assert_eq!(site.run(&["export"]).code, 3);
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("3", "2 attempts");
    screen.press("\r", "Local time");
    screen.press("f", "a query of the refused file");
    screen.press("\r", "SQL of the refused file");
    screen.press(F5, "-7.0");
    // The same query of what is served.
    screen.press(&format!("\u{f}{F5}"), "no rows");
    assert_eq!(screen.quit(CTRL_C), 0);
}

#[test]
fn two_generations_are_compared_by_values() {
    let site = served();
    site.change("UPDATE serving.numbers SET value = -1 WHERE id = 7");
    site.ok(&["export"]);
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("3", "2 attempts");
    screen.press("c", "Change");
    screen.press("v", "1 table unchanged");
    screen.shows("10.5 -> -1");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn rows_are_saved_whole_and_never_over_another_file() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("2", "numbers");
    screen.press("j\r", "row 1 of 1,000");
    screen.press("w\u{15}all.csv\r", "saved 1,000 rows to all.csv");
    let saved = fs::read_to_string(site.path("all.csv")).unwrap();
    assert_eq!(saved.lines().count(), 1_001);
    assert_eq!(saved.lines().take(2).collect::<Vec<_>>(), ["id,value", "0,0.0"]);
    fs::write(site.path("mine.parquet"), "mine").unwrap();
    screen.press("w\u{15}mine.parquet\r", "mine.parquet exists already");
    assert_eq!(fs::read_to_string(site.path("mine.parquet")).unwrap(), "mine");
    screen.press("\r", "saved 1,000 rows to mine.parquet");
    let counted = crate::support::number(
        &site.lakehouse(),
        &format!("SELECT count(*) FROM '{}'", site.path("mine.parquet").display()),
    );
    assert_eq!(counted, 1_000);
    screen.press("w\u{15}nowhere/x.csv\r", "cannot write next to nowhere/x.csv");
    assert!(site.names().iter().all(|name| !name.contains(".part")), "{:?}", site.names());
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn without_a_terminal_it_points_to_status() {
    let site = served();
    let ran = site.run(&["tui"]);
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.stderr,
        "materia: this is not a terminal; use `materia status` (or `materia status --json`) instead\n"
    );
}

#[test]
fn the_configured_site_shows_its_state_until_it_stops() {
    let site = served();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, metrics) = (free(), free());
    site.settings(&format!("[web]\nmetrics = '{metrics}'"));
    let screen = Screen::start(&site, &[]);
    screen.shows("nothing listens there");
    let mut web = site.command(&["web"]);
    web.env("MATERIA_LISTEN", address.to_string())
        .env("DATABASE_URL", "sqlite://accounts.db")
        .env("DEBUG", "true");
    let mut web = web.stderr(std::process::Stdio::null()).spawn().unwrap();
    screen.shows("0 signed in");
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/health").starts_with("HTTP/1.0 200"), "{}", ask("/health"));
    screen.shows("requests/s, p99 ");
    screen.shows("no errors, 0 signed in");
    web.kill().unwrap();
    web.wait().unwrap();
    screen.shows("nothing listens there");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn a_resized_terminal_is_drawn_at_its_new_size() {
    let site = served();
    let screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    let resize = |screen: &Screen, rows: u16, cols: u16| {
        screen.shown.lock().unwrap().parser.screen_mut().set_size(size(rows), size(cols));
        screen.pty.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    };
    resize(&screen, 10, 40);
    screen.shows("materia needs 60 x 15");
    resize(&screen, 50, 200);
    screen.shows("4 Dashboards");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn the_mouse_chooses_tabs_and_rows_and_pastes_are_text() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    let click =
        |column: u16, row: u16| format!("\u{1b}[<0;{column};{row}M\u{1b}[<0;{column};{row}m");
    screen.press(&click(10, 1), "numbers");
    // Headings, then names, then numbers.
    screen.press(&click(5, 4).repeat(2), "row 1 of 1,000");
    screen.press(&click(45, 1), "SELECT ...");
    // Most terminals send a carriage return for a line end.
    screen.press(
        "\u{1b}[200~SELECT 'q?:1' AS pasted -- all of them\rFROM names\u{1b}[201~",
        "FROM names",
    );
    screen.press(F5, "row 1 of 3");
    assert_eq!(screen.quit("\u{3}"), 0);
}

#[test]
fn a_query_is_edited_found_again_and_stopped_without_leaving() {
    let site = served();
    let editor = [("VISUAL", ""), ("EDITOR", "sed -i s/names/numbers/")];
    let mut screen = Screen::start_with(&site, &[], &editor);
    screen.shows("2 tables, 1,003 rows");
    screen.press("5SELECT count(*) AS many FROM names", "FROM names");
    screen.press(ALT_E, "FROM numbers");
    screen.press(F5, "1   1000");
    screen.press(&format!(" WHERE nothing = 1{F5}"), "Referenced column");
    screen.shows("^");
    screen.press(CTRL_R, "Queries");
    screen.shows("just now");
    // Also over the list of queries.
    screen.press(ALT_2, "Cols");
    screen.press("5", "esc stop / leave");
    // Esc returns to the tables, after leaving the prompt.
    screen.press("\u{1b}", "filter value");
    screen.press("\u{1b}", "Cols");
    // The rows of the query have the focus, as they had before.
    screen.press("5", "filter value");
    screen.press("i", "esc stop / leave");
    // Too many rows to count within ten seconds.
    let query =
        "\u{15}FROM numbers a, numbers b, numbers c, numbers d SELECT sum(a.value * d.value)";
    screen.press(&format!("{query}{F5}"), "running for");
    screen.press(CTRL_C, "Ctrl-C again quits");
    screen.press(CTRL_C, "Quit?");
    assert_eq!(screen.quit(CTRL_C), 0);
}

#[test]
fn a_large_log_is_searched_to_its_start_and_pipelines_logs_appear_by_themselves() {
    let site = served();
    let lines = (0..60_000).map(|line| {
        let level = if line == 17 { "ERROR" } else { "INFO" };
        format!("{{\"timestamp\":\"2026-11-29T15:00:00Z\",\"level\":\"{level}\",\"message\":\"request {line}\"}}\n")
    });
    fs::write(site.path("web.log"), lines.collect::<String>()).unwrap();
    site.settings("[pipelines.greet]\ncommand = ['sh', '-c', 'echo well met']");
    let mut screen = Screen::start(&site, &["--log", "web.log"]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("6", "60,000 lines");
    screen.shows("INFO  request 59999");
    screen.press("/request 17\r", "of 1,111");
    screen.press("ggv", " 1 line ");
    screen.shows("ERROR request 17");
    let record = "\"message\": \"request 17\"";
    screen.press("\r", record);
    screen.press_until("q", "the record is closed", |screen| !screen.text().contains(record));
    site.ok(&["pipeline", "run", "greet"]);
    screen.shows("greet");
    screen.press("\t", "well met");
    assert_eq!(screen.quit("q"), 0);
}

#[test]
fn what_materia_status_finds_wrong_needs_attention_in_the_terminal_too() {
    let site = served();
    site.settings("[pipelines.sulk]\ncommand = ['false']");
    let screen = Screen::start(&site, &[]);
    screen.shows("all clear");
    site.run(&["pipeline", "run", "sulk"]);
    let status = site.run(&["status"]);
    assert!(status.stdout.contains("pipeline sulk failed"), "{}", status.stdout);
    screen.shows("pipeline sulk failed");
}
