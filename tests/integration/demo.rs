//! What `materia demo` promises, asked of the library: no command, no Python.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use materia::demo::{Demo, DemoError, Made};
use tempfile::TempDir;

/// Serving relation, its rows in the official files, and its key.
const SERVING: [(&str, u64, &str); 6] = [
    ("commodity_metrics", 4103, "country_code, market_year"),
    ("global_balance", 64, "market_year"),
    ("cot_positioning", 1046, "report_date"),
    ("coffee_prices", 784, "month"),
    ("us_imports", 2948, "origin, month"),
    ("rainfall", 9720, "origin, region, month"),
];

/// Official files and a lakehouse that SQLMesh made of them, where this machine has them.
fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).join(part);
    if path.exists() {
        return Some(path);
    }
    #[expect(clippy::print_stderr, reason = "a skipped test should say so")]
    {
        eprintln!("skipped: there is no {}", path.display());
    }
    None
}

fn demo(dir: &Path) -> Demo {
    Demo { dir: dir.to_owned(), ..Demo::default() }
}

fn refresh(dir: &Path) -> Demo {
    Demo { refresh: true, ..demo(dir) }
}

/// Opens a lakehouse as a reader would, under the name its views use.
fn open(lakehouse: &Path) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    attach(&connection, lakehouse, "lakehouse");
    connection
}

fn attach(connection: &Connection, lakehouse: &Path, name: &str) {
    connection.execute_batch(&format!("ATTACH '{}' AS {name} (READ_ONLY)", lakehouse.display())).unwrap();
}

fn one<T: duckdb::types::FromSql>(connection: &Connection, query: &str) -> T {
    connection.query_row(query, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn rows(made: &Made) -> BTreeMap<&str, u64> {
    made.tables.iter().map(|table| (table.name.trim_start_matches("serving."), table.rows)).collect()
}

/// Every serving row of a lakehouse as text, in the order it is stored.
fn contents(made: &Made) -> Vec<String> {
    let connection = open(&made.lakehouse);
    let read = |(table, ..): &(&str, u64, &str)| {
        one::<String>(
            &connection,
            &format!("SELECT string_agg(row_text, '\n') FROM (SELECT t::VARCHAR AS row_text FROM lakehouse.serving.{table} AS t)"),
        )
    };
    SERVING.iter().map(read).collect()
}

#[test]
fn official_files_give_what_sqlmesh_made_of_them() {
    let (Some(landing), Some(fixture)) = (shared("data"), shared("fixtures/lakehouse.duckdb")) else { return };
    let dir = TempDir::new().unwrap();
    let made = Demo { landing: Some(landing), ..demo(&dir.path().join("made")) }.make().unwrap();
    assert!(!made.sample);
    let copy = dir.path().join("lakehouse.duckdb");
    fs::copy(fixture, &copy).unwrap();

    // Two programs' lakehouses want the same name, so one of them is first put aside.
    let connection = open(&copy);
    for (table, count, _) in SERVING {
        connection.execute_batch(&format!("CREATE TABLE memory.main.{table} AS FROM lakehouse.serving.{table}")).unwrap();
        assert_eq!(rows(&made)[table], count, "{table}");
    }
    connection.execute_batch("DETACH lakehouse").unwrap();
    attach(&connection, &made.lakehouse, "lakehouse");
    for (table, ..) in SERVING {
        let [ours, theirs] = [format!("lakehouse.serving.{table}"), format!("memory.main.{table}")];
        for (a, b) in [(&ours, &theirs), (&theirs, &ours)] {
            assert_eq!(one::<u64>(&connection, &format!("SELECT COUNT(*) FROM (FROM {a} EXCEPT ALL FROM {b})")), 0, "{a} without {b}");
        }
        let shape = |name: &str| {
            one::<String>(&connection, &format!("SELECT string_agg(column_name || ' ' || column_type, ', ') FROM (DESCRIBE {name})"))
        };
        assert_eq!(shape(&ours), shape(&theirs), "{table}");
    }
}

#[test]
fn sample_tables_have_the_columns_and_types_of_sqlmeshs() {
    let Some(fixture) = shared("fixtures/lakehouse.duckdb") else { return };
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("lakehouse.duckdb");
    fs::copy(fixture, &copy).unwrap();
    let made = demo(&dir.path().join("made")).make().unwrap();
    let shape = |lakehouse: &Path| {
        let query = "SELECT string_agg(table_name || '.' || column_name || ' ' || data_type, ', ' ORDER BY table_name, column_index)
                     FROM duckdb_columns() WHERE database_name = 'lakehouse' AND schema_name = 'serving'";
        one::<String>(&open(lakehouse), query)
    };
    assert_eq!(shape(&made.lakehouse), shape(&copy));
}

#[test]
fn the_same_demo_twice_gives_the_same_tables_row_for_row() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [first, second] = [&a, &b].map(|dir| {
        demo(dir.path()).make().unwrap();
        refresh(dir.path()).make().unwrap()
    });
    assert_eq!(contents(&first), contents(&second));
}

#[test]
fn a_refresh_changes_only_what_it_says() {
    // It reads a lakehouse under another name than its own.
    if !crate::support::is_on_duckdb_2("looks a view's tables up in the catalog that its text names") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let before = demo(dir.path()).make().unwrap();
    let kept = dir.path().join("before.duckdb");
    fs::copy(&before.lakehouse, &kept).unwrap();
    let after = refresh(dir.path()).make().unwrap();

    assert_eq!(after.run, 1);
    let rebuilt: Vec<&str> = after.tables.iter().filter(|table| table.rebuilt).map(|table| table.name.as_str()).collect();
    let promised = ["serving.commodity_metrics", "serving.global_balance", "serving.cot_positioning", "serving.coffee_prices"];
    assert_eq!(rebuilt, promised);

    let views = "SELECT string_agg(sql, '\n' ORDER BY view_name) FROM duckdb_views()
                 WHERE schema_name = 'serving' AND view_name IN ('us_imports', 'rainfall')";
    assert_eq!(one::<String>(&open(&kept), views), one::<String>(&open(&after.lakehouse), views), "untouched views name the same tables");

    let connection = open(&after.lakehouse);
    attach(&connection, &kept, "before");
    let added = |table: &str, columns: &str| {
        let [after, before] = ["lakehouse", "before"].map(|name| format!("SELECT {columns} FROM {name}.serving.{table}"));
        let gone: u64 = one(&connection, &format!("SELECT COUNT(*) FROM ({before} EXCEPT ALL {after})"));
        let new: u64 = one(&connection, &format!("SELECT COUNT(*) FROM ({after} EXCEPT ALL {before})"));
        (gone, new)
    };
    assert_eq!(added("cot_positioning", "*"), (0, 1), "one more week");
    assert_eq!(added("coffee_prices", "*"), (0, 1), "one more month");
    assert_eq!(added("commodity_metrics", "*"), (3, 3), "three countries revised");
    assert_eq!(added("global_balance", "*"), (1, 1), "the newest market year");
    assert_eq!(added("us_imports", "*"), (0, 0));
    assert_eq!(added("rainfall", "*"), (0, 0));
}

#[test]
fn a_refresh_leaves_no_table_behind() {
    let dir = TempDir::new().unwrap();
    demo(dir.path()).make().unwrap();
    let made = refresh(dir.path()).make().unwrap();
    let connection = open(&made.lakehouse);
    let numbered: u64 = one(
        &connection,
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_catalog = 'lakehouse' AND table_schema LIKE 'sqlmesh\\_\\_%' ESCAPE '\\'",
    );
    let views: u64 = one(
        &connection,
        "SELECT COUNT(*) FROM duckdb_views() WHERE database_name = 'lakehouse' AND schema_name IN ('raw', 'staging', 'serving')",
    );
    assert_eq!(numbered, views);
}

#[test]
fn a_refresh_from_official_files_rebuilds_what_depends_on_a_changed_file() {
    let dir = TempDir::new().unwrap();
    // Sample files without their mark stand for official ones.
    let landing = demo(&dir.path().join("files")).make().unwrap().landing;
    fs::remove_file(landing.join("SAMPLE.md")).unwrap();
    let lakehouse = dir.path().join("made");
    let made = Demo { landing: Some(landing.clone()), ..demo(&lakehouse) }.make().unwrap();
    assert!(!made.sample);
    assert!(!made.lakehouse.with_file_name("landing").exists(), "no sample files beside official ones");

    let unchanged = refresh(&lakehouse).make().unwrap();
    assert!(unchanged.tables.iter().all(|table| !table.rebuilt), "{:?}", unchanged.tables);

    let rain = landing.join("era5_monthly_precip_coffee_regions_sample.csv");
    let text = fs::read_to_string(&rain).unwrap();
    fs::write(landing.join("era5_monthly_precip_coffee_regions_sample_2.csv"), text + "brazil,Mogiana,2026-10,120.5\n").unwrap();
    let changed = refresh(&lakehouse).make().unwrap();
    let rebuilt: Vec<&str> = changed.tables.iter().filter(|table| table.rebuilt).map(|table| table.name.as_str()).collect();
    assert_eq!(rebuilt, ["serving.rainfall"]);
    assert_eq!(rows(&changed)["rainfall"], rows(&made)["rainfall"] + 1, "the newest file by name is read, and only that");
}

#[test]
fn scale_multiplies_rows_and_keys_stay_unique() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let plain = demo(a.path()).make().unwrap();
    let scaled = Demo { scale: Some(7), ..demo(b.path()) }.make().unwrap();
    let connection = open(&scaled.lakehouse);
    for (table, _, key) in SERVING {
        let times = if table == "global_balance" { 1 } else { 7 };
        assert_eq!(rows(&scaled)[table], times * rows(&plain)[table], "{table}");
        let keys: u64 = one(&connection, &format!("SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM lakehouse.serving.{table})"));
        assert_eq!(keys, rows(&scaled)[table], "{table} is unique by {key}");
    }
    let weeks = "SELECT COUNT(DISTINCT dayofweek(report_date)) = 1 AND MAX(cot_index_3y) = 100 FROM lakehouse.serving.cot_positioning";
    assert!(one::<bool>(&connection, weeks), "copies of a weekly series stay on its weekday");
    attach(&connection, &plain.lakehouse, "plain");
    for (table, ..) in SERVING.iter().filter(|(table, ..)| !["global_balance", "cot_positioning"].contains(table)) {
        let columns = if *table == "coffee_prices" { "* EXCLUDE arabica_change_12m" } else { "*" };
        let query = format!(
            "SELECT COUNT(*) FROM (SELECT {columns} FROM plain.serving.{table} EXCEPT SELECT {columns} FROM lakehouse.serving.{table})"
        );
        assert_eq!(one::<u64>(&connection, &query), 0, "{table}: the first copy is the landed one");
    }
    let sizes = "SELECT COUNT(DISTINCT production) FROM lakehouse.serving.commodity_metrics WHERE country_name LIKE 'Brazil%' AND market_year = 2026";
    assert_eq!(one::<u64>(&connection, sizes), 7, "copies differ in size");
    let refreshed = refresh(b.path()).make().unwrap();
    assert_eq!(rows(&refreshed)["cot_positioning"], 7 * (rows(&plain)["cot_positioning"] + 1), "a refresh keeps the scale");
    let other = Demo { scale: Some(8), ..refresh(b.path()) }.make().unwrap_err();
    assert!(matches!(other, DemoError::ScaleKept { made: 7, .. }), "{other}");
}

#[test]
fn dates_never_reach_before_the_year_1_however_large_the_scale() {
    let dir = TempDir::new().unwrap();
    let made = Demo { scale: Some(150), ..demo(dir.path()) }.make().unwrap();
    let connection = open(&made.lakehouse);
    for (table, date) in [("cot_positioning", "report_date"), ("coffee_prices", "month")] {
        let query = format!("SELECT MIN({date}) BETWEEN DATE '0001-01-01' AND DATE '0067-01-01' FROM lakehouse.serving.{table}");
        assert!(one::<bool>(&connection, &query), "{table}");
    }
}

#[test]
fn a_lakehouse_the_demo_did_not_make_is_never_touched() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("lakehouse.duckdb");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE precious AS SELECT 1 AS a").unwrap();
    let before = fs::read(&path).unwrap();
    for attempt in [demo(dir.path()), refresh(dir.path())] {
        let error = attempt.make().unwrap_err();
        assert!(matches!(error, DemoError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert!(fs::read(&path).unwrap() == before, "not one byte changed");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was put beside it");
}

#[test]
fn a_second_run_refuses_and_points_to_refresh() {
    let dir = TempDir::new().unwrap();
    let error = refresh(dir.path()).make().unwrap_err();
    assert!(matches!(error, DemoError::NothingToRefresh { .. }), "{error}");
    demo(dir.path()).make().unwrap();
    let error = demo(dir.path()).make().unwrap_err();
    assert!(matches!(error, DemoError::AlreadyMade { .. }), "{error}");
    assert!(error.to_string().contains("--refresh"), "{error}");
}

#[test]
fn the_settings_beside_it_are_those_of_the_real_service_but_for_its_pipelines() {
    let dir = TempDir::new().unwrap();
    let config = demo(dir.path()).make().unwrap().config.unwrap();
    let load = |text: &str| materia::settings::Settings::load(Some((&config, text)), &|_| None).unwrap();
    let (own, real) = (load(&fs::read_to_string(&config).unwrap()), load(include_str!("../../infra/beanflows/materia.toml")));
    assert_eq!((&own.dashboards, &own.tables, &own.brand, &own.export), (&real.dashboards, &real.tables, &real.brand, &real.export));
    assert!(!own.tables.is_empty() && own.pipelines.names().len() < real.pipelines.names().len());
}

#[test]
fn files_in_the_way_stay_as_they_are() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("landing")).unwrap();
    fs::write(dir.path().join("landing/official.csv"), "a\n1\n").unwrap();
    let error = demo(dir.path()).make().unwrap_err();
    assert!(matches!(error, DemoError::LandingTaken { .. }), "{error}");

    fs::remove_dir_all(dir.path().join("landing")).unwrap();
    fs::write(dir.path().join("materia.toml"), "# mine\n").unwrap();
    assert_eq!(demo(dir.path()).make().unwrap().config, None);
    assert_eq!(fs::read_to_string(dir.path().join("materia.toml")).unwrap(), "# mine\n");

    let log = TempDir::new().unwrap();
    fs::write(log.path().join("lakehouse.duckdb.wal"), "of a lakehouse that is gone").unwrap();
    let error = demo(log.path()).make().unwrap_err();
    assert!(matches!(error, DemoError::NotOurs { .. }), "a stale log would be replayed into the new lakehouse: {error}");
}

#[test]
fn a_demo_that_fails_leaves_no_lakehouse_and_says_which_table_and_folder() {
    let (dir, empty) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let error = Demo { landing: Some(empty.path().to_owned()), ..demo(dir.path()) }.make().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("raw.psd") && message.contains(&fs::canonicalize(empty.path()).unwrap().display().to_string()), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_landing_folder_may_have_any_name() {
    let dir = TempDir::new().unwrap();
    let odd = dir.path().join("it's [all]? *here*");
    fs::rename(demo(&dir.path().join("files")).make().unwrap().landing, &odd).unwrap();
    let made = Demo { landing: Some(odd), ..demo(&dir.path().join("made")) }.make().unwrap();
    assert!(made.sample, "the mark in the folder tells sample files, wherever they lie");
}

#[test]
fn sample_and_official_figures_are_never_mixed() {
    let dir = TempDir::new().unwrap();
    let made = demo(dir.path()).make().unwrap();
    let official = TempDir::new().unwrap();
    for file in fs::read_dir(&made.landing).unwrap().map(|file| file.unwrap().path()).filter(|path| path.extension().unwrap() == "csv") {
        fs::copy(&file, official.path().join(file.file_name().unwrap())).unwrap();
    }
    let error = Demo { landing: Some(official.path().to_owned()), ..refresh(dir.path()) }.make().unwrap_err();
    assert!(matches!(error, DemoError::Mixed { sample: true, .. }), "{error}");
}

#[test]
fn every_table_and_column_is_described_and_sample_tables_say_so() {
    let dir = TempDir::new().unwrap();
    let made = demo(&dir.path().join("sample")).make().unwrap();
    fs::remove_file(made.landing.join("SAMPLE.md")).unwrap();
    let official = Demo { landing: Some(made.landing.clone()), ..demo(&dir.path().join("official")) }.make().unwrap();
    for made in [&made, &official] {
        let connection = open(&made.lakehouse);
        let bare: Option<String> = one(
            &connection,
            "SELECT string_agg(schema_name || '.' || table_name || '.' || column_name, ', ') FROM duckdb_columns()
             WHERE database_name = 'lakehouse' AND schema_name <> 'demo' AND COALESCE(comment, '') = ''",
        );
        assert_eq!(bare, None, "columns without a description");
        let marked: (u64, u64) = connection
            .query_row(
                "SELECT COUNT(*), COUNT(*) FILTER (WHERE comment LIKE 'Sample figures%') FROM duckdb_views()
                 WHERE database_name = 'lakehouse' AND schema_name = 'serving' AND comment IS NOT NULL",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(marked, (6, if made.sample { 6 } else { 0 }));
    }
}

#[test]
fn what_countries_have_is_what_they_use_ship_and_keep_at_every_scale() {
    let dir = TempDir::new().unwrap();
    let made = Demo { scale: Some(3), ..demo(dir.path()) }.make().unwrap();
    let off: u64 = one(
        &open(&made.lakehouse),
        "SELECT COUNT(*) FROM (
            SELECT production + imports + LAG(ending_stocks) OVER (PARTITION BY country_code ORDER BY market_year) AS supply,
                   domestic_consumption + exports + ending_stocks AS use, arabica_production + robusta_production AS kinds, production
            FROM lakehouse.serving.commodity_metrics)
         WHERE supply <> use OR kinds <> production",
    );
    assert_eq!(off, 0);
}

#[test]
fn sample_figures_are_of_the_size_an_analyst_expects() {
    let dir = TempDir::new().unwrap();
    let connection = open(&demo(dir.path()).make().unwrap().lakehouse);
    for (what, low, high, query) in [
        (
            "Brazil's harvests",
            55e3,
            75e3,
            "SELECT AVG(production)::DOUBLE FROM lakehouse.serving.commodity_metrics WHERE country_code = 'BR' AND market_year > 2016",
        ),
        ("the world's harvests", 155e3, 195e3, "SELECT AVG(production) FROM lakehouse.serving.global_balance WHERE market_year > 2019"),
        ("world stocks to use", 0.1, 0.3, "SELECT AVG(stock_to_use) FROM lakehouse.serving.global_balance WHERE market_year > 2009"),
        ("open interest", 150e3, 350e3, "SELECT AVG(open_interest) FROM lakehouse.serving.cot_positioning"),
        ("arabica", 5.0, 10.0, "SELECT arabica FROM lakehouse.serving.coffee_prices ORDER BY month DESC LIMIT 1"),
        ("the cheapest robusta", 0.4, 1.0, "SELECT MIN(robusta) FROM lakehouse.serving.coffee_prices"),
        ("US imports of 2025", 1.2e6, 1.8e6, "SELECT SUM(metric_tons) FROM lakehouse.serving.us_imports WHERE year(month) = 2025"),
        (
            "the Cerrado's dry July",
            2.0,
            40.0,
            "SELECT AVG(precipitation_mm) FROM lakehouse.serving.rainfall WHERE region = 'Cerrado' AND month(month) = 7",
        ),
    ] {
        let figure: f64 = one(&connection, query);
        assert!((low..high).contains(&figure), "{what}: {figure}");
    }
}

#[test]
fn the_lakehouse_is_in_the_storage_version_that_duckdb_1_5_reads_after_a_refresh_too() {
    let dir = TempDir::new().unwrap();
    for made in [demo(dir.path()).make().unwrap(), refresh(dir.path()).make().unwrap()] {
        let version: String =
            one(&open(&made.lakehouse), "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'lakehouse'");
        assert!(version.starts_with("v1.0.0"), "{version}");
        assert!(!made.lakehouse.with_extension("duckdb.wal").exists());
    }
}
