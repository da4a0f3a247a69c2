//! The recipes in `docs/recipes`, run as they are printed, with the tool that each is for. dlt and
//! Dagster are installed for every run of the suite; `./dev_run.sh recipes` installs the others,
//! too. The recipes for SQLMesh, Streamlit and Quart are run by `real_pipelines` and
//! `python_module`.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    s3::{self, S3},
    support::{Ran, Site, names},
};

/// Returns the text of a recipe's first block in this language.
fn block(recipe: &str, language: &str) -> String {
    let path = format!("{}/docs/recipes/{recipe}.md", env!("REPOSITORY"));
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

/// A folder with a lakehouse, the tool's own folder for its state, and a `dbt` that only leaves a
/// file `built`.
struct Recipe {
    site: Site,
    tool: PathBuf,
}

impl Recipe {
    /// Returns `None` and prints a reason unless the variable names a Python with the tool.
    fn create(variable: &str, site: Site) -> Option<Self> {
        let Some(python) = env::var_os(variable).map(PathBuf::from) else {
            println!("skipped: {variable} does not name a Python (./dev_run.sh recipes)");
            return None;
        };
        let bin = site.path("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(site.path("home")).unwrap();
        fs::write(bin.join("dbt"), "#!/bin/sh\n[ \"$*\" = build ] && touch built\n").unwrap();
        fs::set_permissions(bin.join("dbt"), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self { site, tool: python })
    }

    /// Writes a recipe's first Python block, with the test's folder for the example's.
    fn write(&self, recipe: &str, file: &str) {
        let folder = self.site.folder().to_str().unwrap();
        let text = block(recipe, "python").replace("/srv/shop", folder);
        let path = self.site.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns a command of the tool with the built `materia` on its path. No tool reports its use
    /// to anyone.
    fn command(&self, program: &str) -> Command {
        let mut command = with_materia(&self.site, &self.tool.with_file_name(program));
        command
            .env("HOME", self.site.path("home"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DO_NOT_TRACK", "1")
            .env("DAGSTER_DISABLE_TELEMETRY", "yes")
            .env("RUNTIME__DLTHUB_TELEMETRY", "false")
            .env("DLT_DATA_DIR", self.site.path("dlt"))
            .env("PREFECT_HOME", self.site.path("prefect"))
            .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
            .env("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
            .env("AIRFLOW_HOME", self.site.path("airflow"))
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
            .env("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", "False");
        command
    }

    fn python(&self, script: &str) -> Ran {
        Ran::of(&self.command("python").args(["-c", script]).output().unwrap())
    }

    /// Empties a table, so that the next export is refused.
    fn lose_rows(&self) {
        self.site.change("DELETE FROM lakehouse.serving.numbers");
    }
}

/// Returns a command in the site's folder, without settings from the environment, that finds the
/// site's `bin` and the built `materia` first.
fn with_materia(site: &Site, program: &Path) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap().to_path_buf();
    let inherited = env::var_os("PATH").unwrap();
    let path =
        env::join_paths([site.path("bin"), built].into_iter().chain(env::split_paths(&inherited)))
            .unwrap();
    let mut command = Command::new(program);
    for (name, value) in site.command(&[]).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(site.folder()).env("PATH", path);
    command
}

/// Runs a line of a shell block, with these replacements.
fn run_line(site: &Site, line: &str, replacements: &[(&str, &str)]) -> Command {
    let mut line = line.to_owned();
    for (from, to) in replacements {
        assert!(line.contains(from), "{line}: {from}");
        line = line.replace(from, to);
    }
    let mut command = with_materia(site, Path::new("bash"));
    command.args(["-euo", "pipefail", "-c", &line]);
    command
}

#[track_caller]
fn succeeds(command: &mut Command) -> Ran {
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}: {ran:#?}");
    ran
}

#[test]
fn the_dlt_recipe_publishes_what_dlt_has_loaded() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_DLT_PYTHON", Site::empty()) else { return };
    recipe.write("dlt", "load.py");
    recipe.site.settings(&block("dlt", "toml"));
    succeeds(recipe.command("python").arg("load.py"));
    let sum = "SELECT CAST(sum(amount) * 10 AS BIGINT) FROM analytics.shop.orders";
    assert_eq!(recipe.site.number(sum), 215);
    let tables = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'analytics'";
    assert_eq!(recipe.site.number(tables), 1, "dlt's own tables are excluded");
    succeeds(recipe.command("python").arg("load.py"));
    assert_eq!(recipe.site.number(sum), 430);
}

#[test]
fn the_dagster_asset_publishes_and_fails_if_the_export_is_refused() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_DAGSTER_PYTHON", Site::small()) else {
        return;
    };
    recipe.write("dagster", "assets.py");
    let materialize = "import assets, dagster
result = dagster.materialize([assets.serving], raise_on_error=False)
if result.success:
    print(result.asset_materializations_for_node('serving')[0].metadata['outcome'].value)
";
    for outcome in ["published", "unchanged"] {
        let ran = recipe.python(materialize);
        assert_eq!((ran.code, ran.stdout.trim()), (0, outcome), "{ran:#?}");
    }
    recipe.lose_rows();
    let ran = recipe.python(materialize);
    assert_eq!((ran.code, ran.stdout.trim()), (0, ""), "{ran:#?}");
    assert!(ran.stderr.contains("materia export ended with 3"), "{ran:#?}");
    assert_eq!(recipe.site.number("SELECT count(*) FROM analytics.serving.numbers"), 1000);
}

#[test]
fn the_prefect_flow_builds_then_publishes_and_fails_if_the_export_is_refused() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_PREFECT_PYTHON", Site::small()) else {
        return;
    };
    recipe.write("prefect", "flows.py");
    let flow = "import flows\nprint('outcome', flows.shop())\n";
    let ran = recipe.python(flow);
    assert!(ran.code == 0 && ran.stdout.contains("outcome published"), "{ran:#?}");
    assert!(recipe.site.path("built").exists());
    recipe.lose_rows();
    let ran = recipe.python(flow);
    assert!(ran.code == 1 && ran.stderr.contains("materia export ended with 3"), "{ran:#?}");
}

#[test]
fn the_airflow_dag_builds_then_publishes_and_fails_if_the_export_is_refused() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_AIRFLOW_PYTHON", Site::small()) else {
        return;
    };
    recipe.write("airflow", "airflow/dags/shop.py");
    succeeds(recipe.command("airflow").args(["db", "migrate"]));
    let dag =
        || Ran::of(&recipe.command("airflow").args(["dags", "test", "shop"]).output().unwrap());
    let ran = dag();
    assert!(ran.code == 0 && recipe.site.path("built").exists(), "{ran:#?}");
    assert_eq!(recipe.site.number("SELECT count(*) FROM analytics.serving.numbers"), 1000);
    recipe.lose_rows();
    let ran = dag();
    let message = format!("{}{}", ran.stdout, ran.stderr);
    assert!(message.contains("Bash command failed") && message.contains("exit code 3"), "{ran:#?}");
    assert!(message.contains("state=failed"), "{ran:#?}");
}

#[test]
fn the_dbt_recipe_builds_with_its_profile_and_publishes_the_marts() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_DBT_PYTHON", Site::empty()) else { return };
    let site = &recipe.site;
    // The real one, in the tool's folder, takes the place of the substitute.
    fs::remove_file(site.path("bin/dbt")).unwrap();
    std::os::unix::fs::symlink(recipe.tool.with_file_name("dbt"), site.path("bin/dbt")).unwrap();
    let project = "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  shop:\n    +schema: marts\n    +materialized: table\n";
    fs::write(site.path("dbt_project.yml"), project).unwrap();
    fs::write(site.path("profiles.yml"), block("dbt", "yaml")).unwrap();
    fs::create_dir(site.path("models")).unwrap();
    fs::write(site.path("models/orders.sql"), "SELECT i AS id FROM range(12) AS r(i)\n").unwrap();
    site.settings(&block("dbt", "toml"));
    let line = block("dbt", "sh example: wants dbt");
    succeeds(
        run_line(site, &line, &[])
            .env("DBT_PROFILES_DIR", site.folder())
            .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false"),
    );
    let rows = "SELECT count(*) FROM analytics.main_marts.orders";
    assert_eq!(site.number(rows), 12);
    // `init` finds the same settings.
    let written = fs::read_to_string(site.path("materia.toml")).unwrap();
    fs::remove_file(site.path("materia.toml")).unwrap();
    site.ok(&["init", "--yes"]);
    let found = fs::read_to_string(site.path("materia.toml")).unwrap();
    for setting in ["lakehouse = \"warehouse.duckdb\"", "schema = \"main_marts\""] {
        assert!(written.contains(setting) && found.contains(setting), "{setting}: {found}");
    }
}

#[test]
fn the_lines_of_the_crontab_run() {
    let site = Site::small();
    site.settings("[pipelines.build]\ncommand = [\"touch\", \"built\"]\n");
    let folder = site.folder().to_str().unwrap();
    let crontab = block("cron-and-systemd", "text");
    let lines: Vec<&str> = crontab.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 2, "{crontab}");
    for line in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (when, command) = fields.split_at(5);
        assert!(when.iter().all(|field| field.chars().all(|c| "*/0123456789".contains(c))));
        succeeds(&mut run_line(&site, &command.join(" "), &[("/srv/shop", folder)]));
    }
    assert!(site.served().exists() && site.path("built").exists());
}

#[test]
fn rsync_copies_what_is_served_with_and_without_its_generations() {
    if Command::new("rsync").arg("--version").output().is_err() {
        println!("skipped: rsync is not there");
        return;
    }
    let site = Site::small();
    for _ in 0..2 {
        site.ok(&["export", "-q"]);
        site.change("INSERT INTO lakehouse.serving.names VALUES (4, 'd')");
    }
    let from = format!("{}/", site.folder().display());
    let (one, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = |folder: &tempfile::TempDir| format!("{}/", folder.path().display());
    let count = "SELECT count(*) FROM analytics.serving.names";
    let line = block("rsync-and-s3", "sh example: to another server");
    succeeds(&mut run_line(&site, &line, &[("web2:/data/materia/", &to(&one))]));
    assert_eq!(names(one.path()), ["analytics.duckdb"]);
    assert_eq!(crate::support::number(&one.path().join("analytics.duckdb"), count), 4);

    let line = block("rsync-and-s3", "sh example: with its generations");
    let to_whole = to(&whole);
    succeeds(&mut run_line(
        &site,
        &line,
        &[("web2:/data/materia/", &to_whole), ("/data/materia/", &from)],
    ));
    // The copy supports a rollback of its own.
    let served = whole.path().join("analytics.duckdb");
    site.ok(&["rollback", "--to", served.to_str().unwrap()]);
    assert_eq!(crate::support::number(&served, count), 3);
    assert_eq!(site.number(count), 4);
}

#[test]
fn the_s3_recipe_uploads_the_generation_and_names_it() {
    let Some(recipe) = Recipe::create("MATERIA_TEST_AWS_PYTHON", Site::small()) else { return };
    let Some(server) = S3::start() else { return };
    recipe.site.ok(&["export", "-q"]);
    let aws = recipe.tool.with_file_name("aws");
    std::os::unix::fs::symlink(aws, recipe.site.path("bin/aws")).unwrap();
    let script = block("rsync-and-s3", "sh example: to S3");
    succeeds(
        run_line(&recipe.site, &script, &[("s3://bucket/", &format!("s3://{}/", s3::BUCKET))])
            .env("HOME", recipe.site.path("home"))
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", server.port()))
            .env("AWS_ACCESS_KEY_ID", s3::KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", s3::SECRET)
            .env("AWS_DEFAULT_REGION", "us-east-1"),
    );
    let [id]: [String; 1] = recipe.site.kept().try_into().unwrap();
    let stored = |name: &str| fs::read(server.bucket().join("serving").join(name)).unwrap();
    assert_eq!(stored("current"), id.as_bytes());
    assert_eq!(stored(&format!("{id}.duckdb")), fs::read(recipe.site.served()).unwrap());
}
