//! Shared helpers of the tests: a temporary site with a lakehouse, and the real command.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use duckdb::Connection;
use tempfile::TempDir;

/// Rows of the relations of [`Site::runs`].
const ORDERS: i64 = 5000;
const CUSTOMERS: i64 = 700;

/// A folder with a lakehouse, where one test runs the command.
pub(crate) struct Site {
    folder: TempDir,
}

/// The output and exit code of the command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    /// Creates an empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Creates a lakehouse with these statements, in the storage version that SQLMesh's DuckDB
    /// writes.
    pub(crate) fn with(sql: &str) -> Self {
        let site = Self::empty();
        Self::make(&site.lakehouse(), sql);
        site
    }

    /// Two small tables in `serving`: `numbers` (1,000 rows) and `names` (3 rows).
    pub(crate) fn small() -> Self {
        Self::with(
            "CREATE SCHEMA serving;
             CREATE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(1000) t(i);
             CREATE TABLE serving.names AS SELECT * FROM (VALUES (1, 'ä'), (2, 'b'), (3, NULL)) t(id, name);",
        )
    }

    /// Returns a copy of the lakehouse that SQLMesh wrote, or prints a reason and returns `None` if
    /// the shared files are missing.
    pub(crate) fn sqlmesh() -> Option<Self> {
        let original = shared("fixtures/lakehouse.duckdb")?;
        let site = Self::empty();
        fs::write(site.lakehouse(), fs::read(original).unwrap()).unwrap();
        Some(site)
    }

    /// Three relations, including a view, in which every row contains the number of the pipeline
    /// run that wrote it, so that [`whole_run`] detects mixed runs.
    pub(crate) fn runs() -> Self {
        let site = Self::empty();
        site.begin_run(1);
        site
    }

    /// Replaces the lakehouse of [`Site::runs`] with the output of another pipeline run.
    pub(crate) fn begin_run(&self, run: i64) {
        let _ = fs::remove_file(self.lakehouse());
        Site::make(
            &self.lakehouse(),
            &format!(
                "CREATE SCHEMA serving;
                 CREATE TABLE serving.customers AS SELECT i AS id, 'customer ' || i AS name, {run} AS run FROM range({CUSTOMERS}) t(i);
                 CREATE TABLE serving.orders AS SELECT i AS id, i * 1.5 AS value, {run} AS run FROM range({ORDERS}) t(i);
                 CREATE VIEW serving.totals AS SELECT run, count(*) AS orders FROM lakehouse.serving.orders GROUP BY run;"
            ),
        );
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn lakehouse(&self) -> PathBuf {
        self.path("lakehouse.duckdb")
    }

    pub(crate) fn served(&self) -> PathBuf {
        self.path("analytics.duckdb")
    }

    pub(crate) fn generation(&self, id: &str) -> PathBuf {
        self.path("analytics.generations").join(format!("{id}.duckdb"))
    }

    /// Returns the ids of the retained generations, oldest first.
    pub(crate) fn kept(&self) -> Vec<String> {
        let names = names(&self.path("analytics.generations"));
        names.iter().filter_map(|name| name.strip_suffix(".duckdb")).map(str::to_owned).collect()
    }

    /// Retains a copy of the newest generation under another id, as if it had been published then.
    pub(crate) fn plant_generation(&self, id: &str) {
        let newest = self.kept().pop().unwrap();
        fs::copy(self.generation(&newest), self.generation(id)).unwrap();
        let manifest = |id: &str| self.generation(id).with_extension("json");
        let text = fs::read_to_string(manifest(&newest)).unwrap().replace(&newest, id);
        fs::write(manifest(id), text).unwrap();
    }

    /// Creates a database file of storage version v1.0.0, or adds to one.
    pub(crate) fn make(path: &Path, sql: &str) {
        let connection = Connection::open_in_memory().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let attach = format!(
            "ATTACH '{}' AS \"{name}\" (STORAGE_VERSION 'v1.0.0'); USE \"{name}\".main;",
            path.display()
        );
        connection.execute_batch(&attach).unwrap();
        connection.execute_batch(sql).unwrap();
        connection
            .execute_batch(&format!("CHECKPOINT \"{name}\"; USE memory; DETACH \"{name}\";"))
            .unwrap();
    }

    /// Changes the lakehouse, as a pipeline run does.
    pub(crate) fn change(&self, sql: &str) {
        Self::make(&self.lakehouse(), sql);
    }

    /// Returns the command in this folder, without settings from the environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_materia"));
        command.args(args).current_dir(self.folder()).env("COLUMNS", "100");
        let settings = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with("MATERIA_"));
        let ours = [
            "DUCKDB_PATH",
            "SERVING_DUCKDB_PATH",
            "DATABASE_URL",
            "ADMIN_EMAILS",
            "DEBUG",
            "BASE_URL",
            "SMTP_URL",
            "MAIL_FROM",
        ];
        for variable in ours
            .into_iter()
            .chain(["USER", "ALERT_WEBHOOK_URL", "HEARTBEAT_URL", "LANDING", "SUPERVISOR_LOCK"])
            .map(Into::into)
            .chain(settings)
        {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs the command and expects success.
    pub(crate) fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "materia {args:?}: {ran:#?}");
        ran
    }

    /// Runs the command and expects it to fail with `code`, with the served file unchanged, one
    /// more line in the history, and nothing left over.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> Ran {
        let look = || {
            (
                fs::read(self.served()).unwrap(),
                fs::metadata(self.served()).unwrap().ino(),
                self.listing(),
            )
        };
        let (before, attempts) = (look(), self.history().len());
        let ran = self.run(args);
        assert_eq!(ran.code, code, "materia {args:?}: {ran:#?}");
        let after = look();
        assert!(
            before.0 == after.0 && before.1 == after.1,
            "the served file was touched: {ran:#?}"
        );
        assert_eq!(before.2, after.2, "left over: {ran:#?}");
        ran.assert_recorded(&self.history(), attempts);
        ran
    }

    /// Replaces the lakehouse with a new one.
    pub(crate) fn replace(&self, sql: &str) {
        let _ = fs::remove_file(self.lakehouse());
        Self::make(&self.lakehouse(), sql);
    }

    /// Writes `materia.toml`.
    pub(crate) fn settings(&self, text: &str) {
        fs::write(self.path("materia.toml"), text).unwrap();
    }

    /// Runs a query with one number as its result on the served file, as an independent reader
    /// would.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        number(&self.served(), sql)
    }

    /// Returns the names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// Returns everything in the folder and below, sorted.
    pub(crate) fn listing(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                found.push(path.strip_prefix(self.folder()).unwrap().display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Returns the history, oldest first.
    pub(crate) fn history(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("analytics.history.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that this failed run added one attempt to the `attempts` of the history before it,
    /// with the error that the command printed.
    pub(crate) fn assert_recorded(&self, history: &[serde_json::Value], attempts: usize) {
        assert_eq!(history.len(), attempts + 1, "{self:#?}");
        let record = history.last().unwrap();
        assert_eq!(record["outcome"], if self.code == 3 { "refused" } else { "failed" });
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(self.stderr.split_once("materia: ").unwrap().1),
            words(record["error"].as_str().unwrap()),
            "{self:#?}"
        );
    }
}

/// Runs a query with one number as its result on a database, read-only in a separate instance.
pub(crate) fn number(path: &Path, sql: &str) -> i64 {
    reading(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Opens a read-only connection to a database file.
pub(crate) fn reading(path: &Path) -> Connection {
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    Connection::open_with_flags(path, config).unwrap()
}

/// Returns the run of all relations of [`Site::runs`]. Panics if one is incomplete or from another
/// run.
pub(crate) fn whole_run(path: &Path) -> i64 {
    let connection = reading(path);
    let read = |relation: &str| {
        let query = format!("SELECT count(*), min(run), max(run) FROM serving.{relation}");
        connection.query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let (orders, run, newest): (i64, i64, i64) = read("orders");
    assert_eq!((orders, newest), (ORDERS, run), "orders in {}", path.display());
    assert_eq!(read("customers"), (CUSTOMERS, run, run), "customers in {}", path.display());
    assert_eq!(read("totals"), (1, run, run), "totals in {}", path.display());
    run
}

/// Returns the names in a folder, sorted; none if it does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns a file of the shared test data, or prints a reason and returns `None`.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("REPOSITORY")).join("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Waits up to a minute until a condition holds; panics with its description otherwise.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asserts that something ends within a time at least once.
///
/// On a loaded machine any single attempt may be late; what is always too slow, late or blocked is
/// so every time.
pub(crate) fn at_best_within(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    for _ in 0..10 {
        let time = attempt();
        if time < limit {
            return;
        }
        times.push(time);
    }
    panic!("never within {limit:?}: {times:?}");
}

/// Returns the version of the loaded DuckDB: the linked one, or another one in `LD_LIBRARY_PATH`.
pub(crate) fn duckdb_version() -> String {
    Connection::open_in_memory()
        .unwrap()
        .query_row("SELECT version()", [], |row| row.get(0))
        .unwrap()
}

/// Returns whether the loaded DuckDB supports a feature; otherwise prints a reason.
pub(crate) fn is_on_duckdb_2(what: &str) -> bool {
    let version = duckdb_version();
    let is_older = version.starts_with("v1.");
    if is_older {
        println!("skipped: DuckDB {version} {what}");
    }
    !is_older
}

/// Returns the storage versions among these that the loaded DuckDB can write.
pub(crate) fn writable(mut versions: Vec<&'static str>) -> Vec<&'static str> {
    let is_older = duckdb_version().starts_with("v1.");
    versions.retain(|version| !(is_older && version.starts_with("v2.")));
    versions
}
