//! With the real pipeline: SQLMesh, in a virtual environment of its own, on the shared project.
//!
//! Opt-in, because it installs SQLMesh from the Python package index: `MATERIA_TEST_SQLMESH=1`.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Ran, Site, shared};

#[test]
fn a_sqlmesh_plan_that_starts_during_an_export_from_a_copy_is_not_refused() {
    let Some(project) = Project::make() else { return };
    project.plan(&[]);
    let site = &project.site;
    let (lakehouse, served) = (project.folder.join("lakehouse.duckdb"), site.served());
    let (lakehouse, served) = (lakehouse.to_str().unwrap(), served.to_str().unwrap());
    site.ok(&["export", "--lakehouse", lakehouse, "--to", served, "--snapshot", "copy"]);
    let rows = |table: &str| site.number(&format!("SELECT count(*) FROM serving.{table}"));
    let tables = ["commodity_metrics", "global_balance", "cot_positioning", "coffee_prices", "us_imports", "rainfall"];
    assert_eq!(tables.map(rows), [4103, 64, 1046, 784, 2948, 9720]);

    // A view that takes a while keeps the export at work while the plan begins and ends.
    let slow =
        "CREATE VIEW serving.zz_slow AS SELECT count(*) AS n FROM range(40000) a, range(40000) b WHERE hash(a.range, b.range) % 7 = 0";
    duckdb::Connection::open(lakehouse).unwrap().execute_batch(slow).unwrap();
    let mut export = site
        .command(&["export", "--lakehouse", lakehouse, "--to", served, "--snapshot", "copy", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(export.stdout.take().unwrap()).lines();
    assert!(events.any(|line| line.unwrap().contains(r#""table":"zz_slow""#)), "the export never came to the slow view");
    project.plan(&["--restate-model", "serving.coffee_prices"]);
    assert!(export.try_wait().unwrap().is_none(), "the export was over before the plan: nothing was tried");
    export.kill().unwrap();
    export.wait().unwrap();
}

struct Project {
    site: Site,
    folder: PathBuf,
    sqlmesh: PathBuf,
}

impl Project {
    fn make() -> Option<Self> {
        if env::var_os("MATERIA_TEST_SQLMESH").is_none() {
            println!("skipped: set MATERIA_TEST_SQLMESH=1 to install SQLMesh and run this");
            return None;
        }
        let (models, data) = (shared("sqlmesh_beanflows")?, shared("data")?);
        let site = Site::empty();
        let folder = site.path("sqlmesh_beanflows");
        copy(&models, &folder);
        copy(&data, &site.path("data"));
        let venv = site.path("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args(["--quiet", "--disable-pip-version-check", "install", "sqlmesh"]));
        Some(Self { site, folder, sqlmesh: venv.join("bin/sqlmesh") })
    }

    fn plan(&self, more: &[&str]) {
        let mut command = Command::new(&self.sqlmesh);
        command.args(["plan", "--no-prompts", "--auto-apply"]).args(more).current_dir(&self.folder);
        run(command.env("SQLMESH__DISABLE_ANONYMIZED_ANALYTICS", "true"));
    }
}

fn run(command: &mut Command) {
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}: {ran:#?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            // Content only: the originals are read-only.
            fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
