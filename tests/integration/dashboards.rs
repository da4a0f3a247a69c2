//! Dashboards as files: answered, checked before a publish, and told apart from their authors' mistakes.

use std::{fmt::Write as _, fs, path::Path};

use materia::{
    dashboard::{self, Axis, Content, DashboardData, Dashboards, PanelData, Series},
    plan::Plan,
    reader::{Reader, ReaderLimits, wait},
};

use crate::support::{Site, reading};

const SLUGS: [&str; 5] = ["pulse", "supply", "origins", "positioning", "trade"];

/// A place where the sample figures are served, with BeanFlows' dashboards.
fn beanflows() -> Site {
    let site = Site::empty();
    site.ok(&["demo", "."]);
    site.ok(&["export", "--quiet"]);
    site
}

fn answered(site: &Site, slug: &str, asked: &[(&str, &str)], plan: Plan) -> DashboardData {
    let reader = Reader::open(&site.served(), "serving", ReaderLimits::default()).unwrap();
    let pin = reader.pin().unwrap();
    let dashboards = Dashboards::built_in("beanflows").unwrap();
    let all = wait(dashboards.all(&pin)).unwrap();
    let dashboard = all.iter().find(|dashboard| dashboard.slug == slug).unwrap();
    let asked: Vec<_> = asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    wait(dashboard::answer(dashboard, &pin, &asked, plan))
}

/// What a panel's data says, short enough to be reviewed and with the numbers that tell a wrong query.
fn said(panel: &PanelData) -> String {
    let unit = panel.unit.as_ref().map(|unit| format!(" [{unit}]")).unwrap_or_default();
    let mut out = format!("{} ({}/12){unit}\n", panel.title, panel.width);
    let ticks = |axis: &Axis| {
        let labels: Vec<_> = axis.ticks.iter().map(|tick| tick.label.as_str()).collect();
        let ends = if labels.len() > 10 {
            format!("{} … {}", labels[..4].join(", "), labels[labels.len() - 2..].join(", "))
        } else {
            labels.join(", ")
        };
        format!("{}: {ends}", axis.title)
    };
    let series = |series: &Series| {
        let point =
            |index: usize| series.points.get(index).map(|point| format!("{} = {}", point.x_shown, point.y_shown)).unwrap_or_default();
        let count = series.points.len();
        let middle = if count > 2 { format!(" … {} …", point(count / 2)) } else { String::new() };
        format!("{}: {count} points, {}{middle} {}", series.name, point(0), point(count - 1))
    };
    match &panel.content {
        Content::Stat(stat) => {
            let change = stat.change.as_ref().map(|change| format!(", {} against {}", change.shown, change.against)).unwrap_or_default();
            let at = stat.at.as_deref().unwrap_or_default();
            let _ = writeln!(out, "  stat {} {at}{change}, history of {}", stat.shown, stat.history.len());
        }
        Content::Chart(chart) => {
            let _ = writeln!(out, "  {:?}\n  x {}\n  y {}", chart.mark, ticks(&chart.x), ticks(&chart.y));
            for guide in &chart.guides {
                let _ = writeln!(out, "  guide {} at {}", guide.label, guide.at);
            }
            for one in &chart.series {
                let _ = writeln!(out, "  {}", series(one));
            }
        }
        Content::Heatmap(map) => {
            let _ = writeln!(out, "  heatmap {} by {}, {} to {}", map.y_title, map.x_title, map.min.label, map.max.label);
            for row in map.rows.iter().take(1).chain(map.rows.last()) {
                let cells: Vec<_> = row.cells.iter().map(|cell| cell.as_ref().map_or("-", |cell| cell.label.as_str())).collect();
                let _ = writeln!(out, "  {}: {}", row.name, cells.join(" "));
            }
        }
        Content::Table(table) => {
            let title = |column: &dashboard::TableColumn| {
                format!("{}{}", column.title, column.unit.as_ref().map(|unit| format!(" [{unit}]")).unwrap_or_default())
            };
            let _ = writeln!(out, "  table {}", table.columns.iter().map(title).collect::<Vec<_>>().join(" | "));
            for row in table.rows.iter().take(3) {
                let _ = writeln!(out, "  {}", row.join(" | "));
            }
            let _ = writeln!(out, "  {} rows, {} more", table.rows.len(), table.left_out);
        }
        other => {
            let _ = writeln!(out, "  {}", serde_json::to_string(other).unwrap());
        }
    }
    out
}

fn assert_data(name: &str, data: &DashboardData) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/dashboards");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut head = vec![data.title.clone()];
    head.extend(data.filters.iter().map(|filter| serde_json::to_string(filter).unwrap()));
    let shown = format!("{}\n\n{}", head.join("\n"), data.panels.iter().map(said).collect::<Vec<_>>().join("\n"));
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

#[test]
fn every_panel_shows_the_figures_it_promises() {
    let site = beanflows();
    assert_data("pulse", &answered(&site, "pulse", &[], Plan::Pro));
    assert_data("supply", &answered(&site, "supply", &[], Plan::Pro));
    assert_data("supply_free", &answered(&site, "supply", &[("years_from", "1990")], Plan::Free));
    assert_data("origins", &answered(&site, "origins", &[], Plan::Pro));
    assert_data("positioning", &answered(&site, "positioning", &[], Plan::Starter));
    assert_data("trade", &answered(&site, "trade", &[], Plan::Pro));
    assert_data("trade_locked", &answered(&site, "trade", &[], Plan::Free));
}

#[test]
fn the_five_dashboards_answer_on_sample_figures_before_and_after_a_refresh_and_on_official_ones() {
    let site = beanflows();
    let checked = "5 dashboards, ";
    assert!(site.ok(&["dashboards", "check"]).stdout.starts_with(checked));
    site.ok(&["demo", ".", "--refresh"]);
    site.ok(&["export", "--quiet"]);
    assert!(site.ok(&["dashboards", "check"]).stdout.starts_with(checked));
    let pulse = site.ok(&["dashboards", "show", "pulse"]).stdout;
    assert!(pulse.contains("+1  ") && pulse.contains("Since 20"), "what changed is not told:\n{pulse}");
    let Some(site) = Site::sqlmesh() else { return };
    site.settings("[dashboards]\nuse = 'beanflows'");
    site.ok(&["export", "--quiet"]);
    assert!(site.ok(&["dashboards", "check"]).stdout.starts_with(checked));
}

#[test]
fn world_totals_agree_with_a_sum_over_the_landed_file() {
    let site = beanflows();
    let landed = format!("{}/usda_psd_coffee_*.csv*", site.path("landing").display());
    let connection = duckdb::Connection::open_in_memory().unwrap();
    let total = |attribute: &str| -> (i64, f64) {
        let query = format!(
            "SELECT Market_Year::INT, sum(Value::DOUBLE) / 1000 FROM read_csv('{landed}', all_varchar = true)
             WHERE Attribute_ID = '{attribute}' GROUP BY ALL ORDER BY 1 DESC LIMIT 1"
        );
        connection.query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let data = answered(&site, "supply", &[], Plan::Pro);
    for (title, attribute) in [("Production", "028"), ("Consumption", "125"), ("Ending stocks", "176")] {
        let panel = data.panels.iter().find(|panel| panel.title == title).unwrap();
        let Content::Stat(stat) = &panel.content else { panic!("{panel:?}") };
        let (year, wanted) = total(attribute);
        assert_eq!(stat.at, Some(year.to_string()));
        assert!((stat.value - wanted).abs() < 1e-6, "{title}: {} and not {wanted}", stat.value);
    }
}

#[test]
fn a_free_viewer_gets_the_last_years_only_whatever_is_asked_for() {
    let site = beanflows();
    let data = answered(&site, "supply", &[("years_from", "1960"), ("years_to", "1970")], Plan::Free);
    let newest = reading(&site.served()).query_row("SELECT max(market_year) FROM serving.global_balance", [], |row| row.get::<_, i64>(0));
    let first = newest.unwrap() - 4;
    let mut charts = 0;
    for panel in &data.panels {
        assert!(!matches!(panel.content, Content::Failed { .. }), "{panel:?}");
        let Content::Chart(chart) = &panel.content else { continue };
        charts += 1;
        for point in chart.series.iter().flat_map(|series| &series.points) {
            let year: i64 = point.x_shown.parse().unwrap();
            assert!(year >= first, "{}: {year} is before {first}", panel.title);
        }
    }
    assert!(charts > 0);
    let years = data.filters.iter().find(|filter| filter.name == "years").unwrap();
    assert_eq!(years.limited.as_deref(), Some("The free plan shows the last 5 years"));
}

#[test]
fn a_publish_that_would_break_a_dashboard_is_refused_and_names_dashboard_panel_and_column() {
    let site = beanflows();
    site.settings("[dashboards]\nuse = 'beanflows'\n[export.tables.commodity_metrics]\nallow_column_changes = true");
    site.change(
        "CREATE TABLE main.kept AS FROM serving.commodity_metrics;
         DROP VIEW serving.commodity_metrics;
         CREATE VIEW serving.commodity_metrics AS SELECT * EXCLUDE (robusta_production) FROM lakehouse.main.kept;",
    );
    let ran = site.fails(&["export"], 3);
    let lines: Vec<_> = ran.stderr.lines().filter(|line| line.contains("dashboard supply, panel \"")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("\"robusta_production\"")), "{ran:#?}");
    let would = site.run(&["export", "--dry-run"]);
    assert!(would.stdout.contains("; dashboards"), "{would:#?}");
    let forced = site.ok(&["export", "--force"]);
    assert!(forced.stdout.contains("forced: dashboard supply, panel "), "{forced:#?}");
}

#[test]
fn nobody_elses_lakehouse_is_refused_for_a_dashboard_and_it_gets_an_overview() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.\"Odd Name\" AS SELECT TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR AS \"When\", i * 2.5 AS \"how much\" FROM range(5000) t(i);
         CREATE TABLE serving.yearly AS SELECT 2000 + i AS year, i AS customer_id, i * i AS orders FROM range(20) t(i);
         CREATE TABLE serving.words AS SELECT 'a' AS word;
         CREATE TABLE serving.nothing (day DATE, value DOUBLE);
         CREATE TABLE serving.lists AS SELECT DATE '2026-01-01' + i::INTEGER AS day, [i * 1.5] AS shares, i::BIGNUM * 2 AS grains FROM range(9) t(i);",
    );
    site.ok(&["export"]);
    assert_eq!(site.ok(&["dashboards", "list"]).stdout.lines().count(), 1);
    site.ok(&["dashboards", "check"]);
    let shown = site.ok(&["dashboards", "show", "overview"]).stdout;
    for wanted in [
        "Odd Name",
        "2026-07-28",
        "Average of how much for each When",
        "Yearly",
        "Average of orders for each year",
        "Average of grains for each day",
    ] {
        assert!(shown.contains(wanted), "{wanted:?} is missing:\n{shown}");
    }
    assert!(!shown.contains("Cannot be shown"), "{shown}");
}

#[test]
fn one_broken_panel_never_takes_the_others_down() {
    let site = Site::small();
    site.settings("[dashboards]\ndir = 'boards'");
    board(
        &site,
        "a",
        "[[panel]]\ntitle='Broken'\nkind='table'\nsql='SELECT nope FROM numbers'\n[[panel]]\ntitle='Fine'\nkind='stat'\nsql='SELECT count(*) AS n FROM numbers'\ny='n'",
    );
    site.ok(&["export", "--force"]);
    let shown = site.ok(&["dashboards", "show", "a"]).stdout;
    assert!(shown.contains("Cannot be shown: Binder Error: Referenced column \"nope\" not found"), "{shown}");
    assert!(shown.contains("Fine\n  1,000"), "{shown}");
}

fn board(site: &Site, slug: &str, text: &str) {
    fs::create_dir_all(site.path("boards")).unwrap();
    fs::write(site.path("boards").join(format!("{slug}.toml")), format!("title = '{slug}'\n{text}\n")).unwrap();
}

#[test]
fn every_mistake_in_a_dashboard_file_gets_the_message_its_author_needs() {
    if !crate::support::is_on_duckdb_2("marks a mistake in a statement by its first letter only") {
        return;
    }
    let site = Site::small();
    site.ok(&["export"]);
    let panel = |rest: &str| format!("[[panel]]\ntitle = 'P'\n{rest}");
    let table = "[[panel]]\ntitle = 'T'\nkind = 'table'\nsql = 'SELECT * FROM numbers'\n";
    let mistakes = [
        ("broken syntax", "title = = 2".to_owned()),
        ("no panel", String::new()),
        ("a mistyped key", panel("kind = 'line'\nsql = 'SELECT id, value FROM numbers'\nx = 'id'\ny = 'value'\nseris = 'id'")),
        ("a mistyped key at the top", format!("descripton = 'x'\n{table}")),
        ("an unknown kind", panel("kind = 'lines'")),
        ("an unknown plan", format!("plan = 'startr'\n{table}")),
        ("an unknown format", panel("kind = 'stat'\nsql = 'SELECT 1 AS n'\ny = 'n'\nformat = 'percents'")),
        ("an unknown unit", panel("kind = 'stat'\nsql = 'SELECT 1 AS n'\ny = 'n'\nunit = 'bagz'")),
        ("a key of another kind", panel("kind = 'line'\nsql = 'SELECT id, value FROM numbers'\nx = 'id'\ny = 'value'\nlayout = 'stacked'")),
        ("too wide", panel("kind = 'markdown'\ntext = 'x'\nwidth = 13")),
        ("too many rows", panel("kind = 'table'\nsql = 'SELECT * FROM numbers'\nrows = 5000")),
        ("no sql", panel("kind = 'table'")),
        ("no y", panel("kind = 'line'\nsql = 'SELECT id FROM numbers'\nx = 'id'")),
        (
            "an unknown filter",
            panel("kind = 'table'\nsql = \"\"\"\nSELECT *\nFROM numbers\nWHERE id > $yeers_from\"\"\"")
                + "\n[[filter]]\nname = 'years'\nkind = 'years'\noptions = [1, 9]",
        ),
        ("an unused filter", format!("{table}[[filter]]\nname = 'id'\nkind = 'choice'\noptions = [1, 2]")),
        ("a filter without options", format!("{table}[[filter]]\nname = 'id'\nkind = 'choice'")),
        (
            "a filter named twice",
            panel("kind = 'table'\nsql = 'SELECT $a'\n")
                + "[[filter]]\nname = 'a'\nkind = 'search'\n[[filter]]\nname = 'a'\nkind = 'search'",
        ),
        ("a filter with a bad name", format!("{table}[[filter]]\nname = 'My filter'\nkind = 'search'")),
        (
            "a filter that depends on another",
            panel("kind = 'table'\nsql = 'SELECT $a'\n") + "[[filter]]\nname = 'a'\nkind = 'choice'\nsql = 'SELECT $b'",
        ),
        (
            "years that are none",
            panel("kind = 'table'\nsql = 'SELECT $a_from'\n") + "[[filter]]\nname = 'a'\nkind = 'years'\noptions = ['x']\n",
        ),
        (
            "a default of years that is none",
            panel("kind = 'table'\nsql = 'SELECT $a_from'\n") + "[[filter]]\nname = 'a'\nkind = 'years'\noptions = [1, 9]\ndefault = 'all'",
        ),
        (
            "a default that is not there",
            panel("kind = 'table'\nsql = 'SELECT $a'\n")
                + "[[filter]]\nname = 'a'\nkind = 'choice'\nsql = 'SELECT name FROM names WHERE name IS NOT NULL'\ndefault = 'zzz'",
        ),
        ("a bad slug", format!("slug = 'My Board'\n{table}")),
        ("an unknown column", panel("kind = 'table'\nsql = 'SELECT idd FROM numbers'")),
        ("an unknown table", panel("kind = 'table'\nsql = 'SELECT * FROM number'")),
        ("a column the query does not have", panel("kind = 'line'\nsql = 'SELECT id, value FROM numbers'\nx = 'id'\ny = 'valeu'")),
        ("text where numbers are drawn", panel("kind = 'bar'\nsql = 'SELECT id, name FROM names'\nx = 'id'\ny = 'name'")),
        ("two rows for one point", panel("kind = 'line'\nsql = 'SELECT 1 AS x, value FROM numbers LIMIT 3'\nx = 'x'\ny = 'value'")),
        ("too many series", panel("kind = 'line'\nsql = 'SELECT id, value, id AS s FROM numbers'\nx = 'id'\ny = 'value'\nseries = 's'")),
        ("too many bars", panel("kind = 'bar'\nsql = 'SELECT id, value FROM numbers'\nx = 'id'\ny = 'value'")),
        (
            "several y and a series",
            panel("kind = 'line'\nsql = 'SELECT id, value FROM numbers'\nx = 'id'\ny = ['id', 'value']\nseries = 'id'"),
        ),
        ("nothing to show", panel("kind = 'table'\nsql = 'SELECT * FROM numbers WHERE id < 0'")),
        ("not a select", panel("kind = 'table'\nsql = 'DROP TABLE numbers'")),
        ("a label of no column", panel("kind = 'table'\nsql = 'SELECT id FROM numbers'\nlabels = { ident = 'x' }")),
    ];
    // What the amount of data causes is a warning.
    let warned = ["a default that is not there", "two rows for one point", "too many series", "too many bars", "nothing to show"];
    let mut all = String::new();
    for (what, text) in mistakes {
        let _ = fs::remove_dir_all(site.path("boards"));
        board(&site, "sample", &text);
        let ran = site.run(&["dashboards", "check", "boards"]);
        assert_eq!(ran.code, i32::from(!warned.contains(&what)), "{what}: {ran:#?}");
        let _ = write!(all, "# {what}\n{}\n", ran.stdout);
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/dashboards");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("mistakes", all));
}

#[test]
fn a_file_its_author_got_wrong_does_not_stop_fresh_data() {
    let site = Site::small();
    site.settings("[dashboards]\ndir = 'boards'");
    board(&site, "fine", "[[panel]]\ntitle='Fine'\nkind='stat'\nsql='SELECT count(*) AS n FROM numbers'\ny='n'");
    board(&site, "wrong", "[[panel]]\ntitel='Wrong'");
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.starts_with("warning: boards/wrong.toml:3: unknown key \"titel\""), "{ran:#?}");
}

#[test]
fn settings_that_name_no_dashboards_say_what_there_is() {
    let site = Site::small();
    let complaint = |settings: &str| {
        site.settings(settings);
        let ran = site.run(&["export"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        ran.stderr
    };
    assert_eq!(
        complaint("[dashboards]\nuse = 'beanflow'"),
        "materia: [dashboards]: no dashboards of the name \"beanflow\" are built in; there are: beanflows\n"
    );
    assert!(complaint("[dashboards]\ndir = 'nowhere'").starts_with("materia: [dashboards]: cannot read the dashboards in nowhere: "));
    assert!(complaint("[dashboards]\ndir = '.'\nuse = 'beanflows'").contains("use and dir exclude one another"));
    assert!(!Path::new(&site.served()).exists());
}

#[test]
fn what_is_chosen_changes_what_is_shown_and_nonsense_is_told() {
    let site = beanflows();
    let shown = site.ok(&["dashboards", "show", "supply", "--filter", "years_from=2015", "--filter", "years_to=2018"]).stdout;
    assert!(shown.contains("Market years: 2015 to 2018"), "{shown}");
    let data = answered(&site, "origins", &[("countries", "Vietnam"), ("countries", "nowhere")], Plan::Pro);
    let countries = data.filters.iter().find(|filter| filter.name == "countries").unwrap();
    assert_eq!(countries.problem.as_deref(), Some("\"nowhere\" is not among Countries"));
    let ran = site.run(&["dashboards", "show", "suply"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, "materia: unknown dashboard \"suply\"; did you mean \"supply\"?\n"));
    let ran = site.run(&["dashboards", "show", "supply", "--filter", "year_from=2015"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, "materia: --filter: unknown filter \"year_from\"; did you mean \"years_from\"?\n"));
    for slug in SLUGS {
        let json = site.ok(&["dashboards", "show", slug, "--json"]).stdout;
        let data: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(data["slug"], slug);
        assert!(data["panels"].as_array().unwrap().iter().all(|panel| panel["content"]["kind"] != "failed"));
        assert!(!data["sources"].as_array().unwrap().is_empty(), "{slug} names no source");
    }
}
