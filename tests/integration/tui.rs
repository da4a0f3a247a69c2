//! The terminal dashboard in a terminal.

use std::{
    fs,
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

use portable_pty::PtySize;

use crate::{
    support::Site,
    terminal::{Screen, size},
};

fn served() -> Site {
    let site = Site::small();
    site.ok(&["export"]);
    site
}

#[test]
fn an_operator_looks_around_and_leaves_the_terminal_as_it_was() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("nothing needs any");
    screen.shows("2 tables, 1,003 rows");
    screen.press("2");
    screen.shows("numbers");
    screen.press("/");
    screen.press("num");
    screen.shows("1 table, 1,000 rows");
    screen.press("\r\r");
    screen.shows("row 1 of 1,000");
    screen.press("G");
    screen.shows("1498.5");
    screen.press("5SELECT count(*) AS many FROM names;\r");
    screen.shows("row 1 of 1 ");
    screen.press("\u{1b}");
    screen.shows("filter value");
    screen.press("3");
    screen.shows("published");
    screen.press("4");
    screen.shows("dashboard 1 of 1");
    screen.press("?");
    screen.shows("Everywhere");
    screen.press("x6");
    screen.shows("No log is configured");
    screen.press("q");
    assert_eq!(screen.ends(), 0);
    // Asked queries are remembered for the next session.
    let mut screen = Screen::start(&site, &[]);
    screen.press("5");
    screen.shows("SELECT ...");
    screen.press("\u{10}");
    screen.shows("SELECT count(*) AS many FROM names");
    screen.press("\u{3}");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn a_new_generation_of_another_process_is_on_screen_within_a_second() {
    let site = served();
    let screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    site.change("CREATE TABLE serving.more AS SELECT 1 AS one");
    site.ok(&["export"]);
    let took = screen.shows("3 tables, 1,004 rows");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn an_export_that_was_confirmed_is_run_and_told() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    site.change("UPDATE serving.numbers SET value = value + 1");
    screen.press("E");
    screen.shows("actions are off");
    screen.press("!E");
    screen.shows("$ materia export");
    assert_eq!(site.history().len(), 1, "nothing before the answer");
    screen.press("\r");
    screen.shows("published 2");
    crate::support::eventually("the history of a second attempt", || site.history().len() == 2);
    screen.press("q");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn a_pipeline_is_run_after_one_dialog_and_its_end_is_told() {
    let site = served();
    site.settings(
        "[pipelines.greet]\ncommand = ['sh', '-c', 'echo well met > greeting; echo greeted']\n[pipelines.sulk]\ncommand = ['false']",
    );
    let mut screen = Screen::start(&site, &["--allow-actions"]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("pgreet\r");
    screen.shows("materia pipeline run greet");
    screen.press("y");
    screen.shows("greet: succeeded");
    assert_eq!(fs::read_to_string(site.path("greeting")).unwrap(), "well met\n");
    screen.press("psulk\r");
    screen.shows("materia pipeline run sulk");
    screen.press("y");
    screen.shows("sulk: failed");
    screen.press("q");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn an_older_generation_is_served_again_after_one_dialog() {
    let site = served();
    let first = site.kept().pop().unwrap();
    site.change("CREATE TABLE serving.more AS SELECT 1 AS one");
    site.ok(&["export"]);
    let mut screen = Screen::start(&site, &["--allow-actions"]);
    screen.shows("3 tables, 1,004 rows");
    screen.press("3");
    screen.shows("2 attempts");
    screen.press("jR");
    screen.shows(&format!("$ materia rollback {first}"));
    screen.press("\r1");
    screen.shows("2 tables, 1,003 rows");
    screen.press("q");
    assert_eq!(screen.ends(), 0);
    assert_eq!(site.number("SELECT count(*) FROM duckdb_tables()"), 2);
}

#[test]
fn what_is_missing_or_broken_is_told_and_recovers_by_itself() {
    let site = Site::small();
    site.settings("serving = 'analytics.duckdb'\nkep = 3\n");
    let screen = Screen::start(&site, &[]);
    screen.shows("materia.toml:2: unknown key \"kep\"");
    site.settings("");
    screen.shows("nothing is served");
    site.ok(&["export"]);
    screen.shows("2 tables, 1,003 rows");
    screen.shows("nothing needs any");
    let generation = site.kept().pop().unwrap();
    fs::remove_file(site.served()).unwrap();
    fs::write(site.served(), b"not a database").unwrap();
    screen.shows("Needs attention");
    fs::remove_file(site.served()).unwrap();
    fs::hard_link(site.generation(&generation), site.served()).unwrap();
    screen.shows("nothing needs any");
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
        assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(screen.ends(), 0, "{signal}");
    }
}

#[test]
fn suspended_it_gives_the_terminal_back_and_returns_where_it_was() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    screen.press("2");
    screen.shows("2 tables,");
    let pid = screen.child.process_id().unwrap().to_string();
    screen.press("\u{1a}");
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    };
    crate::support::eventually("it is stopped", || state() == 'T');
    crate::support::eventually("the terminal is given back", || !screen.shown.lock().unwrap().parser.screen().alternate_screen());
    assert!(std::process::Command::new("kill").args(["-s", "CONT", &pid]).status().unwrap().success());
    crate::support::eventually("it draws again", || screen.shown.lock().unwrap().parser.screen().alternate_screen());
    screen.shows("numbers");
    screen.press("q");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn nothing_is_sent_while_nothing_changes_and_little_when_little_does() {
    let site = served();
    // An hour old: the age is told in minutes.
    let manifest = site.generation(&site.kept().pop().unwrap()).with_extension("json");
    let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let at: jiff::Timestamp = text["exported_at"].as_str().unwrap().parse().unwrap();
    text["exported_at"] = (at - jiff::SignedDuration::from_secs(3_600 + 5)).to_string().into();
    fs::write(&manifest, text.to_string()).unwrap();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("nothing needs any");
    screen.shows("1 h ago");
    screen.press("2");
    screen.shows("kB");
    // Until it is at rest: nothing for a while.
    let mut bytes = (screen.bytes(), Instant::now());
    crate::support::eventually("it is at rest", || {
        if screen.bytes() != bytes.0 {
            bytes = (screen.bytes(), Instant::now());
        }
        bytes.1.elapsed() > Duration::from_millis(600)
    });
    let before = screen.bytes();
    screen.press("j");
    crate::support::eventually("a line is chosen", || screen.bytes() > before);
    thread::sleep(Duration::from_millis(50));
    let sent = screen.bytes() - before;
    assert!(sent < 1_000, "{sent} bytes for one line down");
}

#[test]
fn without_colours_none_are_sent() {
    let site = served();
    let mut screen = Screen::start_with(&site, &[], &[("NO_COLOR", "1")]);
    screen.shows("nothing needs any");
    screen.press("2");
    screen.shows("numbers");
    screen.press("q");
    let raw = String::from_utf8_lossy(&screen.shown.lock().unwrap().raw).into_owned();
    assert!(!raw.contains("38;5;") && !raw.contains("38;2;") && !raw.contains("48;"), "{raw:?}");
    screen.ends();
}

#[test]
fn rows_are_saved_whole_and_never_over_another_file() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.press("2");
    screen.shows("numbers");
    screen.press("j\r");
    screen.shows("row 1 of 1,000");
    screen.press("w\u{15}all.csv\r");
    screen.shows("saved 1,000 rows to all.csv");
    let saved = fs::read_to_string(site.path("all.csv")).unwrap();
    assert_eq!(saved.lines().count(), 1_001);
    assert_eq!(saved.lines().take(2).collect::<Vec<_>>(), ["id,value", "0,0.0"]);
    fs::write(site.path("mine.parquet"), "mine").unwrap();
    screen.press("w\u{15}mine.parquet\r");
    screen.shows("mine.parquet is there already");
    assert_eq!(fs::read_to_string(site.path("mine.parquet")).unwrap(), "mine");
    screen.press("\r");
    screen.shows("saved 1,000 rows to mine.parquet");
    let counted = crate::support::number(&site.lakehouse(), &format!("SELECT count(*) FROM '{}'", site.path("mine.parquet").display()));
    assert_eq!(counted, 1_000);
    screen.press("w\u{15}nowhere/x.csv\r");
    screen.shows("cannot write beside nowhere/x.csv");
    assert!(site.names().iter().all(|name| !name.contains(".part")), "{:?}", site.names());
    screen.press("q");
    screen.ends();
}

#[test]
fn without_a_terminal_it_points_to_status() {
    let site = served();
    let ran = site.run(&["tui"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr, "materia: this is not a terminal; use `materia status` (or `materia status --json`) instead\n");
}

#[test]
fn the_site_that_the_settings_name_tells_how_it_does_until_it_is_gone() {
    let site = served();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, metrics) = (free(), free());
    site.settings(&format!("[web]\nmetrics = '{metrics}'"));
    let mut screen = Screen::start(&site, &[]);
    screen.shows("nothing listens there");
    let mut web = site.command(&["web"]);
    web.env("MATERIA_LISTEN", address.to_string()).env("DATABASE_URL", "sqlite://accounts.db").env("DEBUG", "true");
    let mut web = web.stderr(std::process::Stdio::null()).spawn().unwrap();
    screen.shows("0 signed in");
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
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
    screen.press("q");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn a_resized_terminal_is_drawn_at_its_new_size() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    let resize = |screen: &Screen, rows: u16, cols: u16| {
        screen.shown.lock().unwrap().parser.screen_mut().set_size(size(rows), size(cols));
        screen.pty.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    };
    resize(&screen, 10, 40);
    screen.shows("materia needs 60 x 15");
    resize(&screen, 50, 200);
    screen.shows("4 Dashboards");
    screen.press("q");
    screen.ends();
}

#[test]
fn the_mouse_chooses_tabs_and_rows_and_pastes_are_text() {
    let site = served();
    let mut screen = Screen::start(&site, &[]);
    screen.shows("2 tables, 1,003 rows");
    let click = |screen: &mut Screen, column: u16, row: u16| screen.press(&format!("\u{1b}[<0;{column};{row}M\u{1b}[<0;{column};{row}m"));
    click(&mut screen, 10, 1);
    screen.shows("numbers");
    // Headings, then names, then numbers.
    click(&mut screen, 5, 4);
    click(&mut screen, 5, 4);
    screen.shows("row 1 of 1,000");
    click(&mut screen, 35, 1);
    screen.shows("SELECT ...");
    screen.press("\u{1b}[200~SELECT 'q?:1' AS pasted\nFROM names\u{1b}[201~");
    screen.shows("FROM names");
    screen.press("\u{12}");
    screen.shows("row 1 of 3");
    screen.press("\u{3}");
    assert_eq!(screen.ends(), 0);
}
