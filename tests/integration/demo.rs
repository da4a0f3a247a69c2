//! The guarantees of `materia demo`, tested through the library, without the command or Python.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use materia::{
    demo::{Demo, DemoError, DemoReport},
    settings::BrandSettings,
};
use tempfile::TempDir;

/// Serving relation, its rows in the official files, and its key.
const SERVING: [(&str, u64, &str); 6] = [
    ("commodity_metrics", 4103, "country_code, market_year"),
    ("global_balance", 64, "market_year"),
    ("cot_positioning", 1046, "report_date"),
    ("coffee_prices", 784, "month"),
    ("us_imports", 2948, "origin, month"),
    // Of one model: the file has another one until 2016.
    ("rainfall", 2592, "origin, region, month"),
];

/// Returns the official files, or the lakehouse that SQLMesh built from them, if this machine has
/// them.
fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("REPOSITORY"), "/../shared")).join(part);
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
    connection
        .execute_batch(&format!("ATTACH '{}' AS {name} (READ_ONLY)", lakehouse.display()))
        .unwrap();
}

fn one<T: duckdb::types::FromSql>(connection: &Connection, query: &str) -> T {
    connection
        .query_row(query, [], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn rows(made: &DemoReport) -> BTreeMap<&str, u64> {
    made.tables
        .iter()
        .map(|table| (table.name.trim_start_matches("serving."), table.rows))
        .collect()
}

/// Every serving row of a lakehouse as text, in the order it is stored.
fn contents(made: &DemoReport) -> Vec<String> {
    let connection = open(&made.lakehouse);
    let read = |(table, ..): &(&str, u64, &str)| {
        one::<String>(
            &connection,
            &format!(
                "SELECT string_agg(row_text, '\n') FROM (SELECT t::VARCHAR AS row_text FROM lakehouse.serving.{table} AS t)"
            ),
        )
    };
    SERVING.iter().map(read).collect()
}

/// The columns of a table that SQLMesh's lakehouse has, as they are there by what these models define.
///
/// Seasons are labelled by the year in which they begin, the index of positions is empty until its
/// window is full, and rain is of one model: SQLMesh's lakehouse was built before that.
fn as_before(table: &str, columns: &str) -> String {
    match table {
        "commodity_metrics" | "global_balance" => {
            format!(
                "SELECT * REPLACE ((market_year - 1)::INT AS market_year) FROM (SELECT {columns} FROM memory.main.{table})"
            )
        }
        "cot_positioning" => format!(
            "SELECT * REPLACE (CASE WHEN row_number() OVER (ORDER BY report_date) >= 156 THEN cot_index_3y END AS cot_index_3y) FROM memory.main.{table}"
        ),
        "rainfall" => {
            format!("SELECT {columns} FROM memory.main.{table} WHERE month >= DATE '2017-01-01'")
        }
        _ => format!("SELECT {columns} FROM memory.main.{table}"),
    }
}

#[test]
fn official_files_give_what_sqlmesh_made_of_them() {
    let (Some(landing), Some(fixture)) = (shared("data"), shared("fixtures/lakehouse.duckdb"))
    else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let made = Demo { landing: Some(landing), ..demo(&dir.path().join("made")) }.create().unwrap();
    assert!(!made.sample);
    let copy = dir.path().join("lakehouse.duckdb");
    fs::copy(fixture, &copy).unwrap();

    // The lakehouses of the two programs require the same catalog name, so one of them is renamed
    // first.
    let connection = open(&copy);
    for (table, count, _) in SERVING {
        connection
            .execute_batch(&format!(
                "CREATE TABLE memory.main.{table} AS FROM lakehouse.serving.{table}"
            ))
            .unwrap();
        assert_eq!(rows(&made)[table], count, "{table}");
    }
    connection.execute_batch("DETACH lakehouse").unwrap();
    attach(&connection, &made.lakehouse, "lakehouse");
    for (table, ..) in SERVING {
        let columns: String = one(
            &connection,
            &format!("SELECT string_agg(column_name, ', ') FROM (DESCRIBE memory.main.{table})"),
        );
        let ours = format!("SELECT {columns} FROM lakehouse.serving.{table}");
        let theirs = as_before(table, &columns);
        for (a, b) in [(&ours, &theirs), (&theirs, &ours)] {
            assert_eq!(
                one::<u64>(&connection, &format!("SELECT COUNT(*) FROM ({a} EXCEPT ALL {b})")),
                0,
                "{a} without {b}"
            );
        }
    }
}

#[test]
fn sample_tables_have_the_columns_and_types_of_sqlmeshs_and_more() {
    let Some(fixture) = shared("fixtures/lakehouse.duckdb") else { return };
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("lakehouse.duckdb");
    fs::copy(fixture, &copy).unwrap();
    let made = demo(&dir.path().join("made")).create().unwrap();
    let shape = |lakehouse: &Path| {
        let query = "SELECT string_agg(table_name || '.' || column_name || ' ' || data_type, ', ' ORDER BY table_name, column_index)
                     FROM duckdb_columns() WHERE database_name = 'lakehouse' AND schema_name = 'serving'";
        one::<String>(&open(lakehouse), query)
    };
    let ours = shape(&made.lakehouse);
    let ours: Vec<&str> = ours.split(", ").collect();
    for column in shape(&copy).split(", ") {
        assert!(ours.contains(&column), "{column} is missing in {ours:?}");
    }
}

#[test]
fn the_same_demo_twice_gives_the_same_tables_row_for_row() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [first, second] = [&a, &b].map(|dir| {
        demo(dir.path()).create().unwrap();
        refresh(dir.path()).create().unwrap()
    });
    assert_eq!(contents(&first), contents(&second));
}

#[test]
fn a_refresh_changes_only_what_it_says() {
    // Reads a lakehouse under a different catalog name.
    if !crate::support::is_on_duckdb_2(
        "looks a view's tables up in the catalog that its text names",
    ) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let before = demo(dir.path()).create().unwrap();
    let kept = dir.path().join("before.duckdb");
    fs::copy(&before.lakehouse, &kept).unwrap();
    let after = refresh(dir.path()).create().unwrap();

    assert_eq!(after.run, 1);
    let rebuilt: Vec<&str> = after
        .tables
        .iter()
        .filter(|table| table.rebuilt)
        .map(|table| table.name.as_str())
        .collect();
    let promised = [
        "serving.commodity_metrics",
        "serving.global_balance",
        "serving.cot_positioning",
        "serving.coffee_prices",
        "serving.supply_revisions",
        "serving.data_status",
    ];
    assert_eq!(rebuilt, promised);

    let views = "SELECT string_agg(sql, '\n' ORDER BY view_name) FROM duckdb_views()
                 WHERE schema_name = 'serving' AND view_name IN ('us_imports', 'rainfall')";
    assert_eq!(
        one::<String>(&open(&kept), views),
        one::<String>(&open(&after.lakehouse), views),
        "untouched views name the same tables"
    );

    let connection = open(&after.lakehouse);
    attach(&connection, &kept, "before");
    let added = |table: &str, columns: &str| {
        let [after, before] = ["lakehouse", "before"]
            .map(|name| format!("SELECT {columns} FROM {name}.serving.{table}"));
        let gone: u64 =
            one(&connection, &format!("SELECT COUNT(*) FROM ({before} EXCEPT ALL {after})"));
        let new: u64 =
            one(&connection, &format!("SELECT COUNT(*) FROM ({after} EXCEPT ALL {before})"));
        (gone, new)
    };
    assert_eq!(added("cot_positioning", "*"), (0, 1), "one more week");
    assert_eq!(added("coffee_prices", "*"), (0, 1), "one more month");
    assert_eq!(added("commodity_metrics", "*"), (3, 3), "three countries revised");
    assert_eq!(added("global_balance", "*"), (1, 1), "the newest market year");
    assert_eq!(added("supply_revisions", "*"), (4, 4), "the countries, and the world");
    assert_eq!(added("us_imports", "*"), (0, 0));
    assert_eq!(added("rainfall", "*"), (0, 0));
}

#[test]
fn a_refresh_leaves_no_table_behind() {
    let dir = TempDir::new().unwrap();
    demo(dir.path()).create().unwrap();
    let made = refresh(dir.path()).create().unwrap();
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
    // Sample files without their mark take the place of official ones.
    let landing = demo(&dir.path().join("files")).create().unwrap().landing;
    fs::remove_file(landing.join("SAMPLE.md")).unwrap();
    let lakehouse = dir.path().join("made");
    let made = Demo { landing: Some(landing.clone()), ..demo(&lakehouse) }.create().unwrap();
    assert!(!made.sample);
    assert!(
        !made.lakehouse.with_file_name("landing").exists(),
        "no sample files beside official ones"
    );

    let unchanged = refresh(&lakehouse).create().unwrap();
    assert!(unchanged.tables.iter().all(|table| !table.rebuilt), "{:?}", unchanged.tables);

    let rain = landing.join("era5_monthly_precip_coffee_regions_models=era5_sample.csv");
    let text = fs::read_to_string(&rain).unwrap();
    fs::write(
        landing.join("era5_monthly_precip_coffee_regions_models=era5_sample_2.csv"),
        text + "brazil,Mogiana,2026-10,120.5\n",
    )
    .unwrap();
    let changed = refresh(&lakehouse).create().unwrap();
    let rebuilt: Vec<&str> = changed
        .tables
        .iter()
        .filter(|table| table.rebuilt)
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(rebuilt, ["serving.rainfall", "serving.data_status"]);
    assert_eq!(
        rows(&changed)["rainfall"],
        rows(&made)["rainfall"] + 1,
        "the newest file by name is read, and only that"
    );
}

#[test]
fn scale_multiplies_rows_and_keys_stay_unique() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let plain = demo(a.path()).create().unwrap();
    let scaled = Demo { scale: Some(7), ..demo(b.path()) }.create().unwrap();
    let connection = open(&scaled.lakehouse);
    for (table, _, key) in SERVING {
        let times = if table == "global_balance" { 1 } else { 7 };
        assert_eq!(rows(&scaled)[table], times * rows(&plain)[table], "{table}");
        let keys: u64 = one(
            &connection,
            &format!("SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM lakehouse.serving.{table})"),
        );
        assert_eq!(keys, rows(&scaled)[table], "{table} is unique by {key}");
    }
    let weeks = "SELECT COUNT(DISTINCT dayofweek(report_date)) = 1 AND MAX(cot_index_3y) = 100 FROM lakehouse.serving.cot_positioning";
    assert!(one::<bool>(&connection, weeks), "copies of a weekly series stay on its weekday");
    attach(&connection, &plain.lakehouse, "plain");
    for (table, ..) in
        SERVING.iter().filter(|(table, ..)| !["global_balance", "cot_positioning"].contains(table))
    {
        let columns = if *table == "coffee_prices" { "* EXCLUDE arabica_change_12m" } else { "*" };
        let query = format!(
            "SELECT COUNT(*) FROM (SELECT {columns} FROM plain.serving.{table} EXCEPT SELECT {columns} FROM lakehouse.serving.{table})"
        );
        assert_eq!(one::<u64>(&connection, &query), 0, "{table}: the first copy is the landed one");
    }
    let sizes = "SELECT COUNT(DISTINCT production) FROM lakehouse.serving.commodity_metrics WHERE country_name LIKE 'Brazil%' AND market_year = 2026";
    assert_eq!(one::<u64>(&connection, sizes), 7, "copies differ in size");
    let refreshed = refresh(b.path()).create().unwrap();
    assert_eq!(
        rows(&refreshed)["cot_positioning"],
        7 * (rows(&plain)["cot_positioning"] + 1),
        "a refresh keeps the scale"
    );
    let other = Demo { scale: Some(8), ..refresh(b.path()) }.create().unwrap_err();
    assert!(matches!(other, DemoError::ScaleKept { scale: 7, .. }), "{other}");
}

#[test]
fn dates_never_reach_before_the_year_1_however_large_the_scale() {
    let dir = TempDir::new().unwrap();
    let made = Demo { scale: Some(150), ..demo(dir.path()) }.create().unwrap();
    let connection = open(&made.lakehouse);
    for (table, date) in [("cot_positioning", "report_date"), ("coffee_prices", "month")] {
        let query = format!(
            "SELECT MIN({date}) BETWEEN DATE '0001-01-01' AND DATE '0067-01-01' FROM lakehouse.serving.{table}"
        );
        assert!(one::<bool>(&connection, &query), "{table}");
    }
}

#[test]
fn a_lakehouse_the_demo_did_not_make_is_never_touched() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("lakehouse.duckdb");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE precious AS SELECT 1 AS a")
        .unwrap();
    let before = fs::read(&path).unwrap();
    for attempt in [demo(dir.path()), refresh(dir.path())] {
        let error = attempt.create().unwrap_err();
        assert!(matches!(error, DemoError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert!(fs::read(&path).unwrap() == before, "not one byte changed");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was put beside it");
}

#[test]
fn a_second_run_refuses_and_points_to_refresh() {
    let dir = TempDir::new().unwrap();
    let error = refresh(dir.path()).create().unwrap_err();
    assert!(matches!(error, DemoError::NothingToRefresh { .. }), "{error}");
    demo(dir.path()).create().unwrap();
    let error = demo(dir.path()).create().unwrap_err();
    assert!(matches!(error, DemoError::AlreadyMade { .. }), "{error}");
    assert!(error.to_string().contains("--refresh"), "{error}");
}

#[test]
fn the_demos_settings_are_those_of_the_real_service_except_its_pipelines_and_a_notice() {
    let dir = TempDir::new().unwrap();
    let config = demo(dir.path()).create().unwrap().config.unwrap();
    let load =
        |text: &str| materia::settings::Settings::load(Some((&config, text)), &|_| None).unwrap();
    let (own, real) = (
        load(&fs::read_to_string(&config).unwrap()),
        load(include_str!("../../infra/beanflows/materia.toml")),
    );
    // Sample figures end on a fixed day, and would be late.
    let mut export = real.export.clone();
    export.audits.retain(|audit| !audit.name.ends_with(" late"));
    assert!(export.audits.len() + 5 == real.export.audits.len(), "{:?}", real.export.audits);
    let brand = BrandSettings { notice: own.brand.notice.clone(), ..real.brand.clone() };
    assert!(own.brand.notice.as_ref().is_some_and(|notice| notice.contains("samples")));
    assert_eq!(
        (&own.dashboards, &own.tables, &own.brand, &own.export),
        (&real.dashboards, &real.tables, &brand, &export)
    );
    assert!(!own.tables.is_empty() && own.pipelines.names().len() < real.pipelines.names().len());
}

#[test]
fn files_in_the_way_stay_as_they_are() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("landing")).unwrap();
    fs::write(dir.path().join("landing/official.csv"), "a\n1\n").unwrap();
    let error = demo(dir.path()).create().unwrap_err();
    assert!(matches!(error, DemoError::LandingTaken { .. }), "{error}");

    fs::remove_dir_all(dir.path().join("landing")).unwrap();
    fs::write(dir.path().join("materia.toml"), "# mine\n").unwrap();
    assert_eq!(demo(dir.path()).create().unwrap().config, None);
    assert_eq!(fs::read_to_string(dir.path().join("materia.toml")).unwrap(), "# mine\n");

    let log = TempDir::new().unwrap();
    fs::write(log.path().join("lakehouse.duckdb.wal"), "of a lakehouse that is gone").unwrap();
    let error = demo(log.path()).create().unwrap_err();
    assert!(
        matches!(error, DemoError::NotOurs { .. }),
        "a stale log would be replayed into the new lakehouse: {error}"
    );
}

#[test]
fn a_demo_that_fails_leaves_no_lakehouse_and_says_which_table_and_folder() {
    let (dir, empty) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let error =
        Demo { landing: Some(empty.path().to_owned()), ..demo(dir.path()) }.create().unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("raw.psd")
            && message.contains(&fs::canonicalize(empty.path()).unwrap().display().to_string()),
        "{message}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_landing_folder_says_what_is_taken_what_is_left_and_what_it_lacks() {
    let dir = TempDir::new().unwrap();
    let landing = demo(&dir.path().join("files")).create().unwrap().landing;
    fs::remove_file(landing.join("SAMPLE.md")).unwrap();
    fs::copy(
        landing.join("cot_coffee_disaggregated_sample.csv"),
        landing.join("cot_coffee_disaggregated_2020.csv"),
    )
    .unwrap();
    fs::write(landing.join("usda_psd_coffee_2020-06.parquet"), "").unwrap();
    fs::write(landing.join("notes.txt"), "").unwrap();
    let build =
        |name: &str| Demo { landing: Some(landing.clone()), ..demo(&dir.path().join(name)) };
    let made = build("made").create().unwrap();
    let left: Vec<String> = made
        .files
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.name, file.left.as_ref()?)))
        .collect();
    assert_eq!(
        left,
        [
            "cot_coffee_disaggregated_2020.csv: cot_coffee_disaggregated_sample.csv comes after it",
            "notes.txt: no model reads it",
            "usda_psd_coffee_2020-06.parquet: raw.psd reads CSV; to convert it: duckdb -c \"COPY (FROM 'usda_psd_coffee_2020-06.parquet') TO 'usda_psd_coffee_2020-06.csv'\"",
        ]
    );
    let taken = made.files.iter().filter(|file| file.model == Some("raw.psd")).count();
    let vintages: Vec<_> =
        made.vintages.iter().map(|one| (one.vintage.as_str(), one.is_newest)).collect();
    assert_eq!(taken, 3, "every vintage is kept");
    assert_eq!(vintages, [("2025-06", false), ("2025-12", false), ("2026-06", true)]);

    fs::remove_file(landing.join("worldbank_pinksheet_coffee_monthly_sample.csv")).unwrap();
    let error = build("lacking").create().unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(error, DemoError::LandingLacks { .. })
            && message.contains("worldbank_pinksheet_coffee_monthly*.csv for raw.prices")
            && !message.contains("raw.cot"),
        "{message}"
    );
    assert!(!dir.path().join("lacking/lakehouse.duckdb").exists());
}

#[test]
fn vintages_with_other_labels_are_the_same_seasons() {
    let dir = TempDir::new().unwrap();
    let landing = demo(&dir.path().join("files")).create().unwrap().landing;
    fs::remove_file(landing.join("SAMPLE.md")).unwrap();
    let line = |season: i32, revised: &str, value: i32| {
        format!(
            "0711100,\"Coffee, Green\",BR,Brazil,{season},{revised},028,Production,02,(1000 60 KG BAGS),{value}\n"
        )
    };
    let head = "Commodity_Code,Commodity_Description,Country_Code,Country_Name,Market_Year,Calendar_Year,Month,Attribute_ID,Attribute_Description,Unit_ID,Unit_Description,Value\n";
    for old in fs::read_dir(&landing).unwrap().map(|file| file.unwrap().path()) {
        if old.file_name().unwrap().to_string_lossy().starts_with("usda") {
            fs::remove_file(old).unwrap();
        }
    }
    // In December 2022, 2022/23 was called 2023; a year later, 2023/24 was.
    let before = format!("{head}{}{}", line(2022, "2022,06", 58100), line(2023, "2022,12", 62600));
    let after = format!("{head}{}{}", line(2022, "2023,06", 62500), line(2023, "2023,12", 66300));
    fs::write(landing.join("usda_psd_coffee_a.csv"), before).unwrap();
    fs::write(landing.join("usda_psd_coffee_b.csv"), after).unwrap();
    // A file without months of revision is judged by its name.
    let bare =
        "Country_Name,Market_Year,Attribute_Description,Value\nBrazil,2021,Production,58000\n";
    fs::write(landing.join("usda_psd_coffee_2021-06.csv"), bare).unwrap();
    let made = Demo { landing: Some(landing), ..demo(&dir.path().join("made")) }.create().unwrap();
    let seasons: String = one(
        &open(&made.lakehouse),
        "SELECT string_agg(vintage || ' ' || season || ' ' || production::INT, ', ' ORDER BY vintage, season)
         FROM lakehouse.serving.supply_revisions WHERE country_name = 'Brazil'",
    );
    assert_eq!(
        seasons,
        "2021-06 2020/21 58000, 2022-12 2021/22 58100, 2022-12 2022/23 62600, 2023-12 2022/23 62500, 2023-12 2023/24 66300"
    );
    let code: String = one(
        &open(&made.lakehouse),
        "SELECT string_agg(DISTINCT country_code, ',') FROM lakehouse.staging.psd",
    );
    assert_eq!(code, "BR");
}

#[test]
fn rain_of_a_spliced_file_is_of_one_model() {
    let dir = TempDir::new().unwrap();
    let landing = demo(&dir.path().join("files")).create().unwrap().landing;
    let whole = "era5_monthly_precip_coffee_regions_models=era5_sample.csv";
    let first = |name: &str, landing: &Path| {
        let made = Demo { landing: Some(landing.to_owned()), ..demo(&dir.path().join(name)) };
        let connection = open(&made.create().unwrap().lakehouse);
        let query = "SELECT min(month) || ' ' || min(normal_years) FROM lakehouse.serving.rainfall";
        one::<String>(&connection, query)
    };
    assert_eq!(first("whole", &landing), "1995-01-01 1991-2020");
    let spliced = "era5_monthly_precip_coffee_regions_sample.csv";
    fs::rename(landing.join(whole), landing.join(spliced)).unwrap();
    assert_eq!(first("spliced", &landing), "2017-01-01 2017-2025");
}

#[test]
fn headline_figures_are_those_that_pandas_computes_from_the_landed_files() {
    let Some(python) = std::env::var_os("MATERIA_TEST_APPS_PYTHON") else {
        #[expect(clippy::print_stderr, reason = "a skipped test should say so")]
        {
            eprintln!("skipped: MATERIA_TEST_APPS_PYTHON does not name a Python with pandas");
        }
        return;
    };
    let dir = TempDir::new().unwrap();
    let mut made = vec![demo(&dir.path().join("sample")).create().unwrap()];
    if let Some(landing) = shared("data") {
        let official = Demo { landing: Some(landing), ..demo(&dir.path().join("official")) };
        made.push(official.create().unwrap());
    }
    for made in made {
        let script = concat!(env!("REPOSITORY"), "/tests/python/beanflows_figures.py");
        let ran = std::process::Command::new(&python)
            .arg(script)
            .args([&made.landing, &made.lakehouse])
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .unwrap();
        let (printed, errors) =
            (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && printed.lines().count() > 25, "{printed}{errors}");
    }
}

#[test]
fn a_landing_folder_may_have_any_name() {
    let dir = TempDir::new().unwrap();
    let odd = dir.path().join("it's [all]? *here*");
    fs::rename(demo(&dir.path().join("files")).create().unwrap().landing, &odd).unwrap();
    let made = Demo { landing: Some(odd), ..demo(&dir.path().join("made")) }.create().unwrap();
    assert!(made.sample, "the mark in the folder tells sample files, wherever they lie");
}

#[test]
fn sample_and_official_figures_are_never_mixed() {
    let dir = TempDir::new().unwrap();
    let made = demo(dir.path()).create().unwrap();
    let official = TempDir::new().unwrap();
    for file in fs::read_dir(&made.landing)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().unwrap() == "csv")
    {
        fs::copy(&file, official.path().join(file.file_name().unwrap())).unwrap();
    }
    let error = Demo { landing: Some(official.path().to_owned()), ..refresh(dir.path()) }
        .create()
        .unwrap_err();
    assert!(matches!(error, DemoError::Mixed { sample: true, .. }), "{error}");
}

#[test]
fn every_table_and_column_is_described_and_sample_tables_say_so() {
    let dir = TempDir::new().unwrap();
    let made = demo(&dir.path().join("sample")).create().unwrap();
    fs::remove_file(made.landing.join("SAMPLE.md")).unwrap();
    let official =
        Demo { landing: Some(made.landing.clone()), ..demo(&dir.path().join("official")) }
            .create()
            .unwrap();
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
        assert_eq!(marked, (8, if made.sample { 8 } else { 0 }));
    }
}

#[test]
fn what_countries_have_is_what_they_use_ship_and_keep_at_every_scale() {
    let dir = TempDir::new().unwrap();
    let made = Demo { scale: Some(3), ..demo(dir.path()) }.create().unwrap();
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
    let connection = open(&demo(dir.path()).create().unwrap().lakehouse);
    for (what, low, high, query) in [
        (
            "Brazil's harvests",
            55e3,
            75e3,
            "SELECT AVG(production)::DOUBLE FROM lakehouse.serving.commodity_metrics WHERE country_code = 'BR' AND market_year > 2016",
        ),
        (
            "the world's harvests",
            155e3,
            195e3,
            "SELECT AVG(production) FROM lakehouse.serving.global_balance WHERE market_year > 2019",
        ),
        (
            "world stocks to use",
            0.1,
            0.3,
            "SELECT AVG(stock_to_use) FROM lakehouse.serving.global_balance WHERE market_year > 2009",
        ),
        (
            "open interest",
            150e3,
            350e3,
            "SELECT AVG(open_interest) FROM lakehouse.serving.cot_positioning",
        ),
        (
            "arabica",
            5.0,
            10.0,
            "SELECT arabica FROM lakehouse.serving.coffee_prices ORDER BY month DESC LIMIT 1",
        ),
        (
            "the cheapest robusta",
            0.4,
            1.0,
            "SELECT MIN(robusta) FROM lakehouse.serving.coffee_prices",
        ),
        (
            "US imports of 2025",
            1.2e6,
            1.8e6,
            "SELECT SUM(metric_tons) FROM lakehouse.serving.us_imports WHERE year(month) = 2025",
        ),
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
    for made in [demo(dir.path()).create().unwrap(), refresh(dir.path()).create().unwrap()] {
        let version: String = one(
            &open(&made.lakehouse),
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'lakehouse'",
        );
        assert!(version.starts_with("v1.0.0"), "{version}");
        assert!(!made.lakehouse.with_extension("duckdb.wal").exists());
    }
}
