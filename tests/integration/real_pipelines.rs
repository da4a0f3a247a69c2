//! Exports concurrent with real pipelines, SQLMesh and dbt, each in a separate Python environment:
//! no run is refused, their state survives, and every export is correct.
//!
//! Each loop lasts `MATERIA_TEST_PIPELINE_SECONDS`, 10 by default. `MATERIA_TEST_SQLMESH_PYTHON`
//! and `MATERIA_TEST_DBT_PYTHON` name the Pythons; `./dev_run.sh test` creates them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use duckdb::Connection;

use crate::support::{Ran, Site, reading, shared};

/// How often each side ran in a loop, and the failures.
struct Loop {
    pipeline_runs: u32,
    exports: u32,
    /// Exports that ended with exit code 4, because the pipeline left no time for a copy.
    waited_out: u32,
}

/// Runs a pipeline in a loop, concurrently with a loop of `export --full` with default settings.
///
/// A pipeline run that fails ends the test with its output; so does an export that ends otherwise
/// than published or waited out. `check` inspects the served data after each export.
fn with_concurrent_exports(
    name: &str,
    site: &Site,
    lakehouse: &Path,
    export: &[&str],
    run: impl Fn(u32) -> Ran + Sync,
    check: impl Fn(&Connection),
) {
    let seconds = env::var("MATERIA_TEST_PIPELINE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (done, mut counts) =
        (AtomicBool::new(false), Loop { pipeline_runs: 0, exports: 0, waited_out: 0 });
    let served = site.served();
    let (lakehouse, target) = (lakehouse.to_str().unwrap(), served.to_str().unwrap());
    thread::scope(|scope| {
        let pipeline = scope.spawn(|| {
            let mut runs = 0;
            while Instant::now() < end || runs < 2 {
                let ran = run(runs + 1);
                if ran.code != 0 {
                    done.store(true, Ordering::Relaxed);
                    panic!("run {} of {name} failed: {ran:#?}", runs + 1);
                }
                runs += 1;
            }
            done.store(true, Ordering::Relaxed);
            runs
        });
        while !done.load(Ordering::Relaxed) {
            let ran = site.run(
                &[
                    &["export", "--full", "--quiet", "--lakehouse", lakehouse, "--to", target],
                    export,
                ]
                .concat(),
            );
            match ran.code {
                0 => counts.exports += 1,
                4 => counts.waited_out += 1,
                _ => panic!("an export beside {name} failed: {ran:#?}"),
            }
            check(&reading(&served));
        }
        counts.pipeline_runs = pipeline.join().unwrap();
    });
    println!(
        "{name}: {} runs, 0 failed; {} exports beside them, all right; {} found no time for a copy",
        counts.pipeline_runs, counts.exports, counts.waited_out
    );
    assert!(counts.exports > 0, "no export came through beside {name}");
}

#[test]
fn no_sqlmesh_run_fails_during_exports_and_its_state_stays_intact() {
    let Some(project) = SqlMesh::create() else { return };
    project.plan(&[]);
    let state = project.state();
    assert!(state.iter().any(|(table, rows)| table == "_snapshots" && *rows > 0), "{state:?}");
    let lakehouse = project.folder.join("lakehouse.duckdb");
    project.site.ok(&[
        "export",
        "--quiet",
        "--lakehouse",
        lakehouse.to_str().unwrap(),
        "--to",
        project.site.served().to_str().unwrap(),
    ]);
    let restate = |_| project.try_plan(&["--restate-model", "serving.*"]);
    with_concurrent_exports("SQLMesh", &project.site, &lakehouse, &[], restate, |served| {
        let tables = [
            "commodity_metrics",
            "global_balance",
            "cot_positioning",
            "coffee_prices",
            "us_imports",
            "rainfall",
        ];
        let rows =
            tables.map(|table| number(served, &format!("SELECT count(*) FROM serving.{table}")));
        assert_eq!(rows, [4103, 64, 1046, 784, 2948, 9720], "half a run was published");
    });
    assert_eq!(project.state(), state, "SQLMesh's state is another one");
    let after = project.try_plan(&[]);
    assert!(
        after.code == 0 && after.stdout.contains("No changes to plan"),
        "SQLMesh has forgotten what it built: {after:#?}"
    );
}

#[test]
fn no_dbt_build_fails_during_exports_and_every_export_is_of_one_build() {
    let Some(project) = Dbt::create() else { return };
    let first = project.build(1);
    assert_eq!(first.code, 0, "{first:#?}");
    let lakehouse = project.folder.join("lakehouse.duckdb");
    let served = project.site.served();
    let export = ["--schema", "marts"];
    project.site.ok(&[
        "export",
        "--quiet",
        "--schema",
        "marts",
        "--lakehouse",
        lakehouse.to_str().unwrap(),
        "--to",
        served.to_str().unwrap(),
    ]);
    with_concurrent_exports(
        "dbt",
        &project.site,
        &lakehouse,
        &export,
        |run| project.build(run + 1),
        |served| {
            let runs = number(
                served,
                "SELECT count(DISTINCT run) FROM (SELECT run FROM marts.customers UNION ALL SELECT run FROM marts.orders UNION ALL SELECT run FROM marts.daily)",
            );
            assert_eq!(runs, 1, "half a build was published");
            assert_eq!(number(served, "SELECT count(*) FROM marts.orders"), 500);
        },
    );
}

fn number(connection: &Connection, query: &str) -> i64 {
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Returns the Python that a variable names, or prints a reason and returns `None`.
fn python_of(variable: &str) -> Option<PathBuf> {
    let python = env::var_os(variable).map(PathBuf::from);
    if python.is_none() {
        println!("skipped: {variable} does not name a Python");
    }
    python
}

/// The shared SQLMesh project, in a separate folder.
struct SqlMesh {
    site: Site,
    folder: PathBuf,
    command: PathBuf,
}

impl SqlMesh {
    fn create() -> Option<Self> {
        let python = python_of("MATERIA_TEST_SQLMESH_PYTHON")?;
        let (models, data) = (shared("sqlmesh_beanflows")?, shared("data")?);
        let site = Site::empty();
        let folder = site.path("sqlmesh_beanflows");
        copy(&models, &folder);
        copy(&data, &site.path("data"));
        Some(Self { site, folder, command: python.with_file_name("sqlmesh") })
    }

    fn try_plan(&self, more: &[&str]) -> Ran {
        let mut command = Command::new(&self.command);
        command.args(["plan", "--no-prompts", "--auto-apply"]).args(more).current_dir(&self.folder);
        Ran::of(&command.env("SQLMESH__DISABLE_ANONYMIZED_ANALYTICS", "true").output().unwrap())
    }

    fn plan(&self, more: &[&str]) {
        let ran = self.try_plan(more);
        assert_eq!(ran.code, 0, "{ran:#?}");
    }

    /// Returns the tables of SQLMesh's state that a run of known models does not change, with their
    /// numbers of rows.
    fn state(&self) -> Vec<(String, i64)> {
        let connection = reading(&self.folder.join("lakehouse.duckdb"));
        ["_snapshots", "_environments", "_versions"]
            .map(|table| {
                (
                    table.to_owned(),
                    number(&connection, &format!("SELECT count(*) FROM sqlmesh.{table}")),
                )
            })
            .to_vec()
    }
}

/// A shop with customers, orders and days, whose tables all contain the number of the build that
/// created them.
struct Dbt {
    site: Site,
    folder: PathBuf,
    command: PathBuf,
}

impl Dbt {
    const FILES: [(&str, &str); 8] = [
        (
            "dbt_project.yml",
            "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  shop:\n    +materialized: table\n    staging:\n      +materialized: view\n      +schema: staging\n    marts:\n      +schema: marts\n",
        ),
        (
            "profiles.yml",
            "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: lakehouse.duckdb\n      threads: 2\n",
        ),
        // dbt would prefix the target's schema to the name.
        (
            "macros/schema.sql",
            "{% macro generate_schema_name(name, node) %}{{ name or target.schema }}{% endmacro %}\n",
        ),
        (
            "models/staging/stg_orders.sql",
            "SELECT i AS order_id, i % 100 AS customer_id, DATE '2026-01-01' + (i % 90)::INTEGER AS ordered_on, (i * 7 % 50) + 1.5 AS amount FROM range(500) t(i)\n",
        ),
        (
            "models/marts/orders.sql",
            "SELECT *, {{ var('run') }} AS run FROM {{ ref('stg_orders') }}\n",
        ),
        (
            "models/marts/customers.sql",
            "SELECT customer_id, count(*) AS orders, sum(amount) AS spent, {{ var('run') }} AS run FROM {{ ref('stg_orders') }} GROUP BY customer_id\n",
        ),
        (
            "models/marts/daily.sql",
            "SELECT ordered_on, sum(amount) AS amount, max(run) AS run FROM {{ ref('orders') }} GROUP BY ordered_on\n",
        ),
        (
            "models/marts/tests.yml",
            "version: 2\nmodels:\n  - name: orders\n    columns:\n      - name: order_id\n        data_tests: [unique, not_null]\n",
        ),
    ];

    fn create() -> Option<Self> {
        let python = python_of("MATERIA_TEST_DBT_PYTHON")?;
        let site = Site::empty();
        let folder = site.path("shop");
        for (name, text) in Self::FILES {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Some(Self { site, folder, command: python.with_file_name("dbt") })
    }

    fn build(&self, run: u32) -> Ran {
        let mut command = Command::new(&self.command);
        command.args([
            "build",
            "--no-use-colors",
            "--no-send-anonymous-usage-stats",
            "--vars",
            &format!("{{run: {run}}}"),
        ]);
        Ran::of(
            &command
                .current_dir(&self.folder)
                .env("DBT_PROFILES_DIR", &self.folder)
                .output()
                .unwrap(),
        )
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            // Copies only the content, since the originals are read-only.
            fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
