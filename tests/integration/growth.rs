//! Growing data never makes a dashboard refuse an export: panels draw as much as is legible,
//! indicate that the rest is missing, and the audit warns.

use std::fs;

use materia::{
    dashboard::{self, Content, DashboardData, Dashboards, FilterValue},
    plan::Plan,
    reader::{Reader, ReaderConfig, block_on},
};

use crate::support::{Site, shared};

/// Creates a site with one dashboard, `d`, over the tables that the statements create.
fn site(sql: &str, board: &str) -> Site {
    let site = Site::with(&format!("CREATE SCHEMA serving; {sql}"));
    site.settings("[dashboards]\ndir = 'boards'");
    write(&site, board);
    site
}

fn write(site: &Site, board: &str) {
    fs::create_dir_all(site.path("boards")).unwrap();
    fs::write(site.path("boards/d.toml"), format!("title = 'd'\n{board}\n")).unwrap();
}

fn seen(site: &Site, requested: &[(&str, &str)]) -> DashboardData {
    let reader = Reader::open_file(&site.served(), "serving", ReaderConfig::default()).unwrap();
    let pin = reader.pin().unwrap();
    let dashboards = Dashboards::load_dir(&site.path("boards")).unwrap();
    assert_eq!(dashboards.problems(), []);
    let all = block_on(dashboards.all(&pin)).unwrap();
    let requested: Vec<_> =
        requested.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    block_on(dashboard::evaluate(&all[0], &pin, &requested, Plan::Pro))
}

fn chart(data: &DashboardData) -> &dashboard::Chart {
    let Content::Chart(chart) = &data.panels[0].content else { panic!("{data:?}") };
    chart
}

/// One growing table, from `below` to `above` a limit.
struct Case {
    what: &'static str,
    panel: &'static str,
    below: &'static str,
    above: &'static str,
    says: &'static str,
}

const CASES: [Case; 13] = [
    Case {
        what: "series",
        panel: "kind = 'line'\nx = 'd'\ny = 'v'\nseries = 's'\nsql = 'SELECT d, s, v FROM t ORDER BY ALL'",
        below: "SELECT d, 's' || i AS s, i::DOUBLE AS v FROM range(20) a(i), range(3) b(d)",
        above: "SELECT d, 's' || i AS s, i::DOUBLE AS v FROM range(37) a(i), range(3) b(d)",
        says: "Showing the 20 largest by latest value of 37 series; 17 are left out.",
    },
    Case {
        what: "stacked series",
        panel: "kind = 'bar'\nlayout = 'stacked'\nx = 'd'\ny = 'v'\nseries = 's'\nsql = 'SELECT d, s, v FROM t ORDER BY ALL'",
        below: "SELECT 'd' || d AS d, 's' || i AS s, i::DOUBLE AS v FROM range(20) a(i), range(3) b(d)",
        above: "SELECT 'd' || d AS d, 's' || i AS s, i::DOUBLE AS v FROM range(37) a(i), range(3) b(d)",
        says: "Showing the 20 largest of 37 series; the others are summed as \"Other\".",
    },
    Case {
        what: "areas",
        panel: "kind = 'area'\nx = 'd'\ny = 'v'\nseries = 's'\nsql = 'SELECT d, s, v FROM t ORDER BY ALL'",
        below: "SELECT DATE '2026-01-01' + d::INT AS d, 's' || i AS s, i AS v FROM range(20) a(i), range(3) b(d)",
        above: "SELECT DATE '2026-01-01' + d::INT AS d, 's' || i AS s, i AS v FROM range(21) a(i), range(3) b(d)",
        says: "Showing the 20 largest of 21 series; the other one is shown as \"Other\".",
    },
    Case {
        what: "daily bars",
        panel: "kind = 'bar'\nx = 'd'\ny = 'v'\nsql = 'SELECT d, v FROM t ORDER BY d'",
        below: "SELECT DATE '2026-01-01' + i::INT AS d, i::DOUBLE AS v FROM range(100) a(i)",
        above: "SELECT DATE '2026-01-01' + i::INT AS d, i::DOUBLE AS v FROM range(101) a(i)",
        says: "Showing the 100 latest of 101 bars; 1 is left out.",
    },
    Case {
        what: "named bars",
        panel: "kind = 'bar'\nhorizontal = true\nx = 'n'\ny = 'v'\nsql = 'SELECT n, v FROM t ORDER BY v DESC'",
        below: "SELECT 'n' || i AS n, i AS v FROM range(100) a(i)",
        above: "SELECT 'n' || i AS n, i AS v FROM range(130) a(i)",
        says: "Showing the 100 largest of 130 bars; 30 are left out.",
    },
    Case {
        what: "heatmap cells",
        panel: "kind = 'heatmap'\nx = 'd'\ny = 'n'\nvalue = 'v'\nsql = 'SELECT d, n, v FROM t ORDER BY ALL'",
        below: "SELECT DATE '2026-01-01' + i::INT AS d, n, i AS v FROM range(120) a(i), (VALUES ('a'), ('b')) b(n)",
        above: "SELECT DATE '2026-01-01' + i::INT AS d, n, i AS v FROM range(122) a(i), (VALUES ('a'), ('b')) b(n)",
        says: "Showing the latest 120 of 122 columns; 2 are left out.",
    },
    Case {
        what: "table rows",
        panel: "kind = 'table'\nsql = 'SELECT * FROM t ORDER BY ALL'",
        below: "SELECT i FROM range(50) a(i)",
        above: "SELECT i FROM range(51) a(i)",
        says: "Showing the first 50 of 51 rows.",
    },
    Case {
        what: "rows that a page does not read",
        panel: "kind = 'table'\nsql = 'SELECT * FROM t ORDER BY ALL;'\nrows = 10",
        below: "SELECT i FROM range(10) a(i)",
        above: "SELECT i FROM range(150_000) a(i)",
        says: "The query returns 150,000 rows; only the first 100,000 are read.",
    },
    Case {
        what: "an empty panel",
        panel: "kind = 'line'\nx = 'i'\ny = 'i'\nsql = 'SELECT * FROM t WHERE i < 10'",
        below: "SELECT i FROM range(50) a(i)",
        above: "SELECT i FROM range(10, 60) a(i)",
        says: "shows nothing before anything is selected",
    },
    Case {
        what: "a figure without a row",
        panel: "kind = 'stat'\ny = 'i'\nsql = 'SELECT * FROM t WHERE i < 10'",
        below: "SELECT i FROM range(50) a(i)",
        above: "SELECT i FROM range(10, 60) a(i)",
        says: "shows nothing before anything is selected",
    },
    Case {
        what: "dots",
        panel: "kind = 'scatter'\nx = 'i'\ny = 'i'\nsql = 'SELECT * FROM t ORDER BY ALL'",
        below: "SELECT i FROM range(1000) a(i)",
        above: "SELECT i FROM range(1200) a(i)",
        says: "Showing the first 1,000 of 1,200 dots; 200 are left out.",
    },
    Case {
        what: "a long line",
        panel: "kind = 'line'\nx = 'i'\ny = 'v'\nsql = 'SELECT i, v FROM t ORDER BY ALL'",
        below: "SELECT i, i % 7 AS v FROM range(1000) a(i)",
        above: "SELECT i, CASE i WHEN 4321 THEN 1000 ELSE i % 7 END AS v FROM range(20_000) a(i)",
        says: "of 20,000 points, chosen so that the line keeps its shape.",
    },
    Case {
        what: "two rows for one point",
        panel: "kind = 'line'\nx = 'm'\ny = 'v'\nsql = 'SELECT m, v FROM t ORDER BY ALL'",
        below: "SELECT i AS m, i AS v FROM range(12) a(i)",
        above: "SELECT i % 12 AS m, i AS v FROM range(13) a(i)",
        says: "has two rows for 0: aggregate them in SQL",
    },
];

#[test]
fn growing_beyond_any_limit_is_published_and_is_a_warning_in_export_check_and_history() {
    for Case { what, panel, below, above, says } in CASES {
        let site = site(
            &format!("CREATE TABLE serving.t AS {below}"),
            &format!("[[panel]]\ntitle = 'P'\n{panel}"),
        );
        let first = site.ok(&["export"]);
        assert!(!first.stdout.contains("warning"), "{what}: {first:#?}");
        // The table may be replaced by a different one: limits on shrinking and growing are not
        // tested here.
        site.change(&format!("CREATE OR REPLACE TABLE serving.t AS {above}"));
        let second = site.ok(&["export"]);
        assert!(second.stdout.contains("published"), "{what}: {second:#?}");
        let warning = second
            .stdout
            .lines()
            .find(|line| line.starts_with("warning: dashboard d, panel \"P\": "));
        assert!(warning.is_some_and(|line| line.contains(says)), "{what}: {second:#?}");
        let checked = site.ok(&["dashboards", "check"]);
        assert!(
            checked.stdout.contains("warning: panel \"P\"") && checked.stdout.contains(says),
            "{what}: {checked:#?}"
        );
        let shown = site.ok(&["dashboards", "show", "d"]);
        let drawn = match what {
            "an empty panel" | "a figure without a row" => "There is no data yet",
            "table rows" => "and 11 rows more",
            _ => says,
        };
        assert!(shown.stdout.contains(drawn), "{what}: {shown:#?}");
        let last = site.history().pop().unwrap();
        let kept = &last["audits_failed"][0];
        assert_eq!(
            (last["outcome"].as_str(), kept["severity"].as_str()),
            (Some("published"), Some("warn")),
            "{what}: {last:#}"
        );
        assert!(kept["found"].as_str().unwrap().contains(says), "{what}: {last:#}");
        assert_eq!(
            last["audits_failed"].as_array().unwrap().len(),
            1,
            "{what}: one entry for a panel"
        );
        let listed = site.ok(&["history", "-n", "1"]).stdout;
        assert!(
            listed.contains("\n    warning: dashboard d, panel \"P\": ") && listed.contains(says),
            "{what}: {listed}"
        );
    }
}

#[test]
fn what_the_pipeline_broke_still_refuses() {
    let panels = [
        ("kind = 'table'\nsql = 'SELECT gone FROM t'", "gone"),
        ("kind = 'table'\nsql = 'SELECT * FROM gone'", "gone"),
        ("kind = 'bar'\nx = 'i'\ny = 'w'\nsql = 'SELECT i, w FROM t'", "must hold numbers"),
        ("kind = 'stat'\ny = 'i'\nsql = \"SELECT error('broken') AS i FROM t\"", "broken"),
    ];
    for (panel, says) in panels {
        let site = site(
            "CREATE TABLE serving.t AS SELECT i, 'w' AS w FROM range(9) a(i)",
            &format!("[[panel]]\ntitle = 'P'\n{panel}"),
        );
        let ran = site.run(&["export"]);
        assert!(ran.code == 3 && ran.stderr.contains(says), "{ran:#?}");
        assert!(!site.served().exists(), "{ran:#?}");
    }
}

#[test]
fn the_largest_series_are_drawn_and_the_rest_is_summed_only_where_that_is_true() {
    let make = "CREATE TABLE serving.t AS SELECT d, 's' || i AS s, i::DOUBLE AS v FROM range(30) a(i), range(3) b(d)";
    let panel = "[[panel]]\ntitle = 'P'\nkind = 'line'\nx = 'd'\ny = 'v'\nseries = 's'\nmax_series = 5\nsql = 'SELECT d, s, v FROM t ORDER BY ALL'\n";
    let site = site(make, panel);
    site.ok(&["export"]);
    let data = seen(&site, &[]);
    let mut names: Vec<_> = chart(&data).series.iter().map(|series| series.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["s25", "s26", "s27", "s28", "s29"]);
    assert_eq!(
        data.panels[0].notes,
        ["Showing the 5 largest by latest value of 30 series; 25 are left out."]
    );

    write(&site, &format!("{panel}others = 'sum'"));
    let data = seen(&site, &[]);
    let other = chart(&data).series.last().unwrap();
    assert!(other.other && other.name == "Other", "{other:?}");
    let sums: Vec<_> = other
        .points
        .iter()
        .map(|point| (point.x_shown.as_str(), point.y, point.y_shown.as_str()))
        .collect();
    assert_eq!(
        sums,
        [("0", Some(300.0), "300.00"), ("1", Some(300.0), "300.00"), ("2", Some(300.0), "300.00")]
    );
}

#[test]
fn daily_bars_keep_the_latest_days_and_a_ranking_keeps_its_largest() {
    let days = "CREATE TABLE serving.t AS SELECT DATE '2026-01-01' + i::INT AS d, 'n' || i AS n, (i * 37) % 101 AS v FROM range(101) a(i)";
    let site = site(
        days,
        "[[panel]]\ntitle = 'P'\nkind = 'bar'\nx = 'd'\ny = 'v'\nothers = 'sum'\nsql = 'SELECT d, v FROM t ORDER BY d'",
    );
    site.ok(&["export"]);
    let names = |data: &DashboardData| {
        let dashboard::Scale::Category { names } = &chart(data).x.scale else { panic!("{data:?}") };
        names.clone()
    };
    let days = names(&seen(&site, &[]));
    assert_eq!(
        (days.len(), days[0].as_str(), days[99].as_str()),
        (100, "2026-01-02", "2026-04-11"),
        "no day is an \"Other\""
    );
    write(
        &site,
        "[[panel]]\ntitle = 'P'\nkind = 'bar'\nx = 'n'\ny = 'v'\nmax_bars = 3\nothers = 'sum'\nsql = 'SELECT n, v FROM t ORDER BY v DESC'",
    );
    let data = seen(&site, &[]);
    assert_eq!(names(&data).last().map(String::as_str), Some("Other"));
    let drawn: f64 = chart(&data).series[0].points.iter().filter_map(|point| point.y).sum();
    assert!((drawn - 5_050.0).abs() < 1e-9, "what is drawn adds up to everything: {drawn}");
}

#[test]
fn a_long_line_keeps_its_extremes_and_its_ends() {
    let make = "CREATE TABLE serving.t AS SELECT i, CASE i WHEN 43_210 THEN 1000 WHEN 77_777 THEN -500 ELSE i % 7 END AS v FROM range(90_000) a(i)";
    let site = site(
        make,
        "[[panel]]\ntitle = 'P'\nkind = 'line'\nx = 'i'\ny = 'v'\nsql = 'SELECT i, v FROM t ORDER BY i'",
    );
    site.ok(&["export"]);
    let data = seen(&site, &[]);
    let points = &chart(&data).series[0].points;
    assert!(points.len() <= 5_100, "{}", points.len());
    assert_eq!(
        (points[0].x_shown.as_str(), points.last().unwrap().x_shown.as_str()),
        ("0", "89,999")
    );
    for (x, y) in [(43_210.0, 1_000.0), (77_777.0, -500.0)] {
        assert!(points.iter().any(|point| (point.x, point.y) == (x, Some(y))), "{x} is missing");
    }
}

#[test]
fn an_untouched_filter_restricts_nothing_although_not_all_of_its_options_are_listed() {
    let make = |products: usize| {
        format!(
            "CREATE OR REPLACE TABLE serving.sales AS SELECT 'p' || lpad(i::VARCHAR, 5, '0') AS product, 1 AS amount FROM range({products}) a(i)"
        )
    };
    let board = "[[filter]]\nname = 'products'\nkind = 'many'\nsql = 'SELECT DISTINCT product FROM sales ORDER BY 1'\n\
         [[filter]]\nname = 'one'\nkind = 'choice'\nsql = 'SELECT DISTINCT product FROM sales ORDER BY 1'\n\
         [[panel]]\ntitle = 'P'\nkind = 'stat'\ny = 'n'\nsql = 'SELECT sum(amount) AS n FROM sales WHERE list_contains($products, product)'\n\
         [[panel]]\ntitle = 'Q'\nkind = 'table'\nsql = 'SELECT $one AS one'";
    let site = site(&make(1_000), board);
    let first = site.ok(&["export"]);
    assert!(!first.stdout.contains("warning"), "{first:#?}");
    site.change(&make(1_003));
    let second = site.ok(&["export"]);
    assert!(
        second.stdout.contains(
            "warning: dashboard d, filter \"products\": Listing the first 1,000 of 1,003 options."
        ),
        "{second:#?}"
    );
    let figure = |data: &DashboardData| match &data.panels[0].content {
        Content::Stat(stat) => stat.shown.clone(),
        other => panic!("{other:?}"),
    };
    let data = seen(&site, &[]);
    assert_eq!(figure(&data), "1,003");
    let FilterValue::Many { options } = &data.filters[0].value else { panic!("{data:?}") };
    assert_eq!((options.len(), data.filters[0].total), (1_000, 1_003));
    let data = seen(&site, &[("products", "p01002"), ("products", "p00001"), ("one", "p01001")]);
    assert_eq!((figure(&data).as_str(), &data.filters[0].problem), ("2", &None));
    let FilterValue::Many { options } = &data.filters[0].value else { panic!("{data:?}") };
    let chosen: Vec<_> =
        options.iter().filter(|option| option.chosen).map(|option| option.value.as_str()).collect();
    assert_eq!(chosen, ["p00001", "p01002"]);
    let Content::Table(table) = &data.panels[1].content else { panic!("{data:?}") };
    assert_eq!(table.rows, [["p01001"]]);
    let shown = site.ok(&["dashboards", "show", "d"]).stdout;
    assert!(
        shown.contains("Products: all 1,003  (changes 1 of 2 panels)  (Listing the first 1,000 of 1,003 options.)"),
        "{shown}"
    );
}

#[test]
fn a_panel_says_what_its_failure_means_and_how_many_rows_it_needs() {
    let site = site("CREATE TABLE serving.t AS FROM range(5) a(i)", "");
    let panel = |rest: &str| format!("[[panel]]\ntitle = 'P'\nkind = 'table'\n{rest}");
    write(&site, &panel("sql = 'SELECT gone FROM t'\nseverity = 'warn'"));
    let ran = site.ok(&["export", "--full"]);
    assert!(
        ran.stdout.contains("warning: dashboard d, panel \"P\": ") && ran.stdout.contains("gone"),
        "{ran:#?}"
    );
    write(&site, &panel("sql = 'SELECT gone FROM t'\nseverity = 'off'"));
    let ran = site.ok(&["export", "--full"]);
    assert!(!ran.stdout.contains("warning"), "{ran:#?}");
    write(&site, &panel("sql = 'SELECT * FROM t'\nmin_rows = 6"));
    let ran = site.fails(&["export", "--full"], 3);
    assert!(ran.stderr.contains("panel \"P\": has 5 rows, at least 6 wanted"), "{ran:#?}");
    assert_eq!(site.run(&["dashboards", "check"]).code, 1);
    write(&site, &panel("sql = 'SELECT * FROM t'\nmin_rows = 6\nseverity = 'warn'"));
    assert!(
        site.ok(&["export", "--full"])
            .stdout
            .contains("warning: dashboard d, panel \"P\": has 5 rows, at least 6 wanted")
    );
    write(&site, &panel("sql = 'SELECT * FROM t'\nmin_rows = 5"));
    assert!(!site.ok(&["export", "--full"]).stdout.contains("warning"));
    write(&site, &panel("sql = 'SELECT * FROM t WHERE i > 9'\nmin_rows = 1"));
    site.fails(&["export", "--full"], 3);
}

#[test]
fn the_figure_of_a_result_too_large_to_read_is_still_its_last_row() {
    let site = site(
        "CREATE TABLE serving.t AS SELECT i AS x, i * 2 AS v FROM range(250_000) a(i)",
        "[[panel]]\ntitle = 'P'\nkind = 'stat'\nx = 'x'\ny = 'v'\nsql = 'SELECT x, v FROM t ORDER BY x'",
    );
    site.ok(&["export"]);
    let data = seen(&site, &[]);
    let Content::Stat(stat) = &data.panels[0].content else { panic!("{data:?}") };
    assert_eq!((stat.shown.as_str(), stat.at.as_deref()), ("499,998", Some("249,999")));
}

#[test]
fn a_demo_three_hundred_times_as_large_is_published_and_all_five_dashboards_are_drawn() {
    let site = Site::empty();
    site.ok(&["demo", ".", "--scale", "300"]);
    let ran = site.ok(&["export", "--quiet"]);
    let checked = site.ok(&["dashboards", "check"]).stdout;
    assert!(
        checked.contains("Showing the 20 largest by latest value of 900 series; 880 are left out."),
        "{checked}"
    );
    assert!(checked.contains("no errors, "), "{ran:#?}\n{checked}");
    for slug in ["pulse", "supply", "origins", "positioning", "trade"] {
        let shown = site.ok(&["dashboards", "show", slug]).stdout;
        assert!(!shown.contains("Cannot be shown"), "{slug}: {shown}");
    }
}

#[test]
fn the_shared_cases_of_growth_are_published() {
    let (Some(bar), Some(dashboards)) =
        (shared("cases/bar-101/dashboards/d.toml"), shared("cases/dashboards"))
    else {
        return;
    };
    let days = |count: usize| {
        format!(
            "CREATE OR REPLACE TABLE serving.daily AS SELECT (DATE '2026-01-01' + i::INT)::DATE d, i::DOUBLE v FROM range({count}) t(i)"
        )
    };
    let site = Site::with(&format!("CREATE SCHEMA serving; {}", days(100)));
    site.settings("[dashboards]\ndir = 'boards'");
    fs::create_dir_all(site.path("boards")).unwrap();
    fs::copy(bar, site.path("boards/d.toml")).unwrap();
    site.ok(&["export"]);
    site.change(&days(101));
    assert!(
        site.ok(&["export"]).stdout.contains("Showing the 100 latest of 101 bars; 1 is left out.")
    );

    let sales = |products: usize| {
        format!(
            "CREATE OR REPLACE TABLE serving.sales AS SELECT DATE '2026-01-01' + d::INT AS d, 'product ' || p AS product, p + d AS amount FROM range({products}) a(p), range(10) b(d)"
        )
    };
    site.change(&sales(5));
    fs::copy(dashboards.join("grow.toml"), site.path("boards/grow.toml")).unwrap();
    site.ok(&["export"]);
    for products in [21, 101, 1_001] {
        site.change(&sales(products));
        let ran = site.ok(&["export"]);
        assert!(
            ran.stdout.contains(&format!(
                "Showing the 20 largest by latest value of {} series",
                materia::humanize::count(products as u64)
            )),
            "{ran:#?}"
        );
        site.ok(&["dashboards", "show", "grow"]);
    }
}
