//! What the tests share: a place of their own with a lakehouse in it, and the real command.

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

/// What the command printed and returned.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A lakehouse with what `sql` makes, in the storage version that SQLMesh's DuckDB writes.
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

    /// A copy of the lakehouse that SQLMesh wrote, or `None`, with the reason printed, where the shared files are absent.
    pub(crate) fn sqlmesh() -> Option<Self> {
        let original = shared("fixtures/lakehouse.duckdb")?;
        let site = Self::empty();
        fs::write(site.lakehouse(), fs::read(original).unwrap()).unwrap();
        Some(site)
    }

    /// Three relations, a view among them, in which every row carries the number of the pipeline run that wrote it: where two runs
    /// were mixed, [`whole_run`] finds it.
    pub(crate) fn runs() -> Self {
        let site = Self::empty();
        site.begin_run(1);
        site
    }

    /// Replaces the lakehouse of [`Site::runs`] by what another pipeline run writes.
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

    /// The ids of the kept generations, oldest first.
    pub(crate) fn kept(&self) -> Vec<String> {
        let names = names(&self.path("analytics.generations"));
        names.iter().filter_map(|name| name.strip_suffix(".duckdb")).map(str::to_owned).collect()
    }

    /// Keeps a copy of the newest generation under another id, as if it had been published then.
    pub(crate) fn plant_generation(&self, id: &str) {
        let newest = self.kept().pop().unwrap();
        fs::copy(self.generation(&newest), self.generation(id)).unwrap();
        let manifest = |id: &str| self.generation(id).with_extension("json");
        let text = fs::read_to_string(manifest(&newest)).unwrap().replace(&newest, id);
        fs::write(manifest(id), text).unwrap();
    }

    /// Makes a database file of storage version v1.0.0, or adds to one.
    pub(crate) fn make(path: &Path, sql: &str) {
        let connection = Connection::open_in_memory().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let attach = format!("ATTACH '{}' AS \"{name}\" (STORAGE_VERSION 'v1.0.0'); USE \"{name}\".main;", path.display());
        connection.execute_batch(&attach).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.execute_batch(&format!("CHECKPOINT \"{name}\"; USE memory; DETACH \"{name}\";")).unwrap();
    }

    /// Changes the lakehouse, as a pipeline run does.
    pub(crate) fn change(&self, sql: &str) {
        Self::make(&self.lakehouse(), sql);
    }

    /// The command in this folder, with no setting from outside.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_materia"));
        command.args(args).current_dir(self.folder()).env("COLUMNS", "100");
        let settings = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("MATERIA_"));
        let ours = ["DUCKDB_PATH", "SERVING_DUCKDB_PATH", "DATABASE_URL", "ADMIN_EMAILS", "DEBUG", "BASE_URL", "SMTP_URL", "MAIL_FROM"];
        for variable in ours.into_iter().chain(["USER", "ALERT_WEBHOOK_URL", "HEARTBEAT_URL", "LANDING"]).map(Into::into).chain(settings) {
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

    /// Runs the command and expects it to fail with `code`, the served file the same, one line of history more, and nothing left over.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> Ran {
        let look = || (fs::read(self.served()).unwrap(), fs::metadata(self.served()).unwrap().ino(), self.listing());
        let (before, attempts) = (look(), self.history().len());
        let ran = self.run(args);
        assert_eq!(ran.code, code, "materia {args:?}: {ran:#?}");
        let after = look();
        assert!(before.0 == after.0 && before.1 == after.1, "the served file was touched: {ran:#?}");
        assert_eq!(before.2, after.2, "left over: {ran:#?}");
        let history = self.history();
        assert_eq!(history.len(), attempts + 1, "{ran:#?}");
        let record = history.last().unwrap();
        assert_eq!(record["outcome"], if code == 3 { "refused" } else { "failed" });
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(ran.stderr.split_once("materia: ").unwrap().1), words(record["error"].as_str().unwrap()), "{ran:#?}");
        ran
    }

    /// Makes a new lakehouse in the place of the old one.
    pub(crate) fn replace(&self, sql: &str) {
        let _ = fs::remove_file(self.lakehouse());
        Self::make(&self.lakehouse(), sql);
    }

    /// Writes `materia.toml`.
    pub(crate) fn settings(&self, text: &str) {
        fs::write(self.path("materia.toml"), text).unwrap();
    }

    /// Asks the served file a question whose answer is one number, as an unrelated reader would.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        number(&self.served(), sql)
    }

    /// The names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// Everything in the folder and below, sorted.
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

    /// The history, oldest first.
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
}

/// Opens a database read-only in an instance of its own and asks for one number.
pub(crate) fn number(path: &Path, sql: &str) -> i64 {
    reading(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A read-only connection to a database file.
pub(crate) fn reading(path: &Path) -> Connection {
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    Connection::open_with_flags(path, config).unwrap()
}

/// The one run that all relations of [`Site::runs`] come from. Panics where one is incomplete or from another run.
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

/// The names in a folder, sorted; none where it does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A file of the shared test data, or `None`, with the reason printed.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Waits until a condition holds, and fails with what was waited for when it does not within half a minute.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The DuckDB that runs: the linked one, or another that `LD_LIBRARY_PATH` names.
pub(crate) fn duckdb_version() -> String {
    Connection::open_in_memory().unwrap().query_row("SELECT version()", [], |row| row.get(0)).unwrap()
}

/// Whether a DuckDB runs that can do what a test asks; otherwise the reason is printed.
pub(crate) fn is_on_duckdb_2(what: &str) -> bool {
    let version = duckdb_version();
    let is_older = version.starts_with("v1.");
    if is_older {
        println!("skipped: DuckDB {version} {what}");
    }
    !is_older
}

/// Of these storage versions those that the DuckDB that runs can write.
pub(crate) fn writable(mut versions: Vec<&'static str>) -> Vec<&'static str> {
    let is_older = duckdb_version().starts_with("v1.");
    versions.retain(|version| !(is_older && version.starts_with("v2.")));
    versions
}
