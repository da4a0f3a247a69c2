//! A target of each kind with a lakehouse from which it is filled: a file, a DuckLake in SQLite and
//! a folder, a DuckLake in PostgreSQL and S3. All guarantees apply to every kind.
//!
//! A test of lakes takes seconds, so each runs on one of the two kinds of lakes, half of them on
//! either. `MATERIA_TEST_LAKES=all` runs every test on every kind.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use duckdb::Connection;
use materia::{
    extensions::{Extension, ExtensionDir},
    reader::{Reader, ReaderConfig},
    settings::Settings,
    store::Store,
};
use serde_json::Value;

use crate::{
    lake::extensions,
    postgres_server::{PASSWORD, Postgres},
    s3::{BUCKET, KEY_ID, S3, SECRET},
    support::{Ran, Site},
};

/// The kinds of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Sqlite,
    PostgresS3,
}

/// Runs a test on a new file and on a new lake, see [`Place::chosen`]; kinds with missing
/// dependencies are skipped with a printed reason.
macro_rules! on_every_target {
    ($($promise:ident),+ $(,)?) => {$(
        mod $promise {
            use crate::lake_targets::{Kind, Place};

            #[test]
            fn on_a_file() {
                if let Some(mut place) = Place::new(Kind::File) { super::$promise(&mut place) }
            }

            #[test]
            fn on_a_ducklake_in_sqlite_and_a_folder() {
                if let Some(mut place) = Place::chosen(Kind::Sqlite, stringify!($promise)) { super::$promise(&mut place) }
            }

            #[test]
            fn on_a_ducklake_in_postgres_and_s3() {
                if let Some(mut place) = Place::chosen(Kind::PostgresS3, stringify!($promise)) { super::$promise(&mut place) }
            }
        }
    )+};
}
pub(crate) use on_every_target;

/// Like [`on_every_target`], for guarantees that concern only lakes.
macro_rules! on_every_lake {
    ($($promise:ident),+ $(,)?) => {$(
        mod $promise {
            use crate::lake_targets::{Kind, Place};

            #[test]
            fn in_sqlite_and_a_folder() {
                if let Some(mut place) = Place::chosen(Kind::Sqlite, stringify!($promise)) { super::$promise(&mut place) }
            }

            #[test]
            fn in_postgres_and_s3() {
                if let Some(mut place) = Place::chosen(Kind::PostgresS3, stringify!($promise)) { super::$promise(&mut place) }
            }
        }
    )+};
}
pub(crate) use on_every_lake;

/// Servers shared by all tests. They end with the process: starting them takes longer than many a
/// test.
struct Servers {
    postgres: Postgres,
    s3: S3,
}

static SERVERS: Mutex<Option<Arc<Servers>>> = Mutex::new(None);

impl Servers {
    fn shared() -> Option<Arc<Self>> {
        let mut shared = SERVERS.lock().unwrap();
        if shared.is_none() {
            *shared = Some(Arc::new(Self { s3: S3::start()?, postgres: Postgres::start()? }));
        }
        shared.clone()
    }
}

/// A target, and a host from which it is filled.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) site: Site,
    /// The environment variables of the command on every host.
    pub(crate) variables: Vec<(String, String)>,
    servers: Option<Arc<Servers>>,
    /// The database in PostgreSQL, and the prefix of the data.
    database: String,
    /// Cached, since loading extensions takes long.
    engine: Mutex<Option<Connection>>,
}

impl Place {
    /// Creates a new lake for a test, unless the test runs on the other kind.
    pub(crate) fn chosen(kind: Kind, test: &str) -> Option<Self> {
        extensions()?;
        let all = std::env::var("MATERIA_TEST_LAKES").is_ok_and(|lakes| lakes == "all");
        let is_odd = test.bytes().map(u32::from).sum::<u32>() % 2 == 1;
        let is_on_postgres = is_odd && Servers::shared().is_some();
        if all || is_on_postgres == (kind == Kind::PostgresS3) {
            return Self::new(kind);
        }
        println!("skipped: MATERIA_TEST_LAKES=all runs every test on every kind of lake");
        None
    }

    /// Creates a new one, with the lakehouse of [`Site::small`].
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        let site = Site::small();
        let mut place = Self {
            kind,
            site,
            variables: Vec::new(),
            servers: None,
            database: String::new(),
            engine: Mutex::default(),
        };
        if kind == Kind::File {
            return Some(place);
        }
        place.tell("MATERIA_EXTENSIONS", extensions()?.to_str().unwrap());
        if kind == Kind::Sqlite {
            place.tell(
                "SERVING_DUCKDB_PATH",
                &format!("ducklake:sqlite:{}", place.site.path("lake.sqlite").display()),
            );
            place.tell("MATERIA_LAKE_DATA", place.site.path("data").to_str().unwrap());
            return Some(place);
        }
        let servers = Servers::shared()?;
        place.database = servers.postgres.database();
        place.tell(
            "SERVING_DUCKDB_PATH",
            &format!("ducklake:postgres:{} password={PASSWORD}", place.keywords(&servers)),
        );
        place.tell("MATERIA_LAKE_DATA", &format!("s3://{BUCKET}/{}", place.database));
        place.tell("AWS_ACCESS_KEY_ID", KEY_ID);
        place.tell("AWS_SECRET_ACCESS_KEY", SECRET);
        place.tell("AWS_REGION", "us-east-1");
        place.tell("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", servers.s3.port()));
        place.servers = Some(servers);
        Some(place)
    }

    fn keywords(&self, servers: &Servers) -> String {
        format!(
            "host=127.0.0.1 port={} dbname={} user=materia",
            servers.postgres.port(),
            self.database
        )
    }

    /// Sets a variable from now on.
    pub(crate) fn tell(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn is_lake(&self) -> bool {
        self.kind != Kind::File
    }

    /// Returns another host that fills the same target from a separate lakehouse.
    pub(crate) fn other_host(&self) -> Self {
        assert!(self.is_lake(), "a file has one host");
        let (variables, servers, database) =
            (self.variables.clone(), self.servers.clone(), self.database.clone());
        Self {
            kind: self.kind,
            site: Site::small(),
            variables,
            servers,
            database,
            engine: Mutex::default(),
        }
    }

    /// Returns the command on this host.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.site.command(args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs the command and expects success.
    pub(crate) fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{:?}: materia {args:?}: {ran:#?}", self.kind);
        ran
    }

    /// Runs the command, and expects this outcome, an unchanged served generation, and a record in
    /// the history.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> Ran {
        let look = || (self.generations(), self.snapshots(), self.dump());
        let (before, attempts) = (look(), self.history().len());
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{:?}: materia {args:?}: {ran:#?}", self.kind);
        assert_eq!(look(), before, "what is served was touched: {ran:#?}");
        ran.assert_recorded(&self.history(), attempts);
        ran
    }

    /// Returns the run of all served relations, where the lakehouse is that of [`Site::runs`].
    /// Panics if one is incomplete or from another run.
    pub(crate) fn whole_run(&self) -> i64 {
        let connection = self.outsider();
        let query = "SELECT CASE WHEN (o.n, c.n, t.n, o.least, c.least, t.least, o.least, c.least, t.least) = (5000, 700, 1, o.most, o.most, o.most, o.most, c.most, t.most) THEN o.most END
            FROM (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.orders) o, (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.customers) c,
                 (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.totals) t";
        let run: Option<i64> = connection.query_row(query, [], |row| row.get(0)).unwrap();
        run.unwrap_or_else(|| panic!("mixed: {:?}", self.dump()))
    }

    /// Returns the JSON output, line by line, whatever the exit code.
    pub(crate) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let ran = self.run(args);
        let read = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
        };
        ran.stdout.lines().map(read).collect()
    }

    /// Returns every attempt, oldest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        let mut lines = self.lines(&["history", "--json", "-n", "1000"]);
        lines.reverse();
        lines
    }

    /// Returns the outcomes of every attempt, oldest first.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        self.history().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the newest attempt's action for a table: the reason, and whether the table was
    /// reused.
    pub(crate) fn treatment(&self, table: &str) -> (bool, String) {
        let record = self.history().pop().unwrap();
        let line =
            record["tables"].as_array().unwrap().iter().find(|line| line["name"] == table).cloned();
        let line = line.unwrap_or_else(|| panic!("{table}: {record:#}"));
        (line["reused"] == true, line["why"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn status(&self) -> Value {
        self.lines(&["status", "--json"]).remove(0)
    }

    /// Returns the ids of the retained generations, newest first, and whether each is served and
    /// pinned.
    pub(crate) fn generations(&self) -> Vec<(String, bool, bool)> {
        let kept = self.target().generations().unwrap();
        kept.into_iter()
            .map(|generation| (generation.id.to_string(), generation.served, generation.pinned))
            .collect()
    }

    /// Returns the ids of the retained generations, newest first.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.generations().into_iter().map(|(id, ..)| id).collect()
    }

    /// Returns the id of the served generation.
    pub(crate) fn served(&self) -> String {
        self.generations().into_iter().find(|(_, served, _)| *served).unwrap().0
    }

    /// Returns the library's target for the command's settings.
    pub(crate) fn target(&self) -> Store {
        self.settings().target().unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        let lakehouse = self.site.lakehouse().to_str().unwrap().to_owned();
        let lookup = |name: &str| {
            if name == "DUCKDB_PATH" { Some(lakehouse.clone()) } else { self.variable(name) }
        };
        Settings::load(None, &lookup).unwrap()
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader_within(ReaderConfig::default())
    }

    pub(crate) fn reader_within(&self, limits: ReaderConfig) -> Reader {
        Reader::open(&self.target(), "serving", limits).unwrap()
    }

    /// Returns a DuckDB without materia, with the served data attached as `served`, writable if it
    /// is a lake.
    pub(crate) fn outsider(&self) -> Connection {
        if self.kind == Kind::File {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch(&format!(
                    "ATTACH '{}' AS served (READ_ONLY)",
                    self.site.served().display()
                ))
                .unwrap();
            return connection;
        }
        let connection = self.engine();
        connection
            .execute_batch(&format!("ATTACH IF NOT EXISTS '{}' AS served", self.address()))
            .unwrap();
        connection
    }

    /// Returns a connection to a DuckDB with the extensions of this lake.
    fn engine(&self) -> Connection {
        let mut engine = self.engine.lock().unwrap();
        let made = || {
            let connection = Connection::open_in_memory().unwrap();
            let needed: &[_] = match self.kind {
                Kind::PostgresS3 => &[Extension::DuckLake, Extension::Postgres, Extension::Httpfs],
                Kind::File | Kind::Sqlite => &[Extension::DuckLake, Extension::Sqlite],
            };
            ExtensionDir::new(extensions().unwrap()).load(&connection, needed).unwrap();
            connection.execute_batch(&self.secrets()).unwrap();
            connection
        };
        engine.get_or_insert_with(made).try_clone().unwrap()
    }

    /// Returns the statements that give another program access to the data.
    pub(crate) fn secrets(&self) -> String {
        self.servers
            .as_ref()
            .map(|servers| format!("{};", S3::secret(servers.s3.port())))
            .unwrap_or_default()
    }

    /// Returns the address that another program attaches.
    pub(crate) fn address(&self) -> String {
        self.variable("SERVING_DUCKDB_PATH")
            .unwrap_or_else(|| self.site.served().to_str().unwrap().to_owned())
    }

    /// Opens the catalog's own database, without DuckLake.
    pub(crate) fn catalog(&self) -> Connection {
        let connection = self.engine();
        let (place, kind) = match &self.servers {
            Some(servers) => {
                (format!("{} password={PASSWORD}", self.keywords(servers)), "postgres")
            }
            None => {
                let address = self.address();
                (address.trim_start_matches("ducklake:sqlite:").to_owned(), "sqlite")
            }
        };
        // The content of such a catalog may be cached.
        connection
            .execute_batch(&format!(
                "DETACH DATABASE IF EXISTS raw; ATTACH '{place}' AS raw (TYPE {kind}); USE raw"
            ))
            .unwrap();
        connection
    }

    /// Changes the lake with plain DuckDB.
    pub(crate) fn meddle(&self, sql: &str) {
        self.outsider().execute_batch(&format!("USE served; {sql}")).unwrap();
    }

    /// Runs a query with one number as its result, as a client without materia would.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let connection = self.outsider();
        connection.execute_batch("USE served").unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Returns every served value, table by table; nothing if nothing is served.
    pub(crate) fn dump(&self) -> Vec<String> {
        if self.kind == Kind::File && !self.site.served().exists() {
            return Vec::new();
        }
        let connection = self.outsider();
        let tables = texts(
            &connection,
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'served' AND schema_name = 'serving'
             UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = 'served' AND schema_name = 'serving' ORDER BY ALL",
        );
        let rows = |table: &String| {
            let name = format!("served.serving.\"{}\"", table.replace('"', "\"\""));
            let rows = format!(
                "SELECT count(*) || ' ' || coalesce(sum(hash(every)::HUGEINT), 0) FROM (FROM {name}) every"
            );
            format!("{table} {}", texts(&connection, &rows)[0])
        };
        tables.iter().map(rows).collect()
    }

    /// Returns the numbers of every snapshot of the lake; for a file, the names of its retained
    /// generations.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        if self.kind == Kind::File {
            return self.site.kept();
        }
        texts(
            &self.catalog(),
            "SELECT snapshot_id::VARCHAR FROM ducklake_snapshot ORDER BY snapshot_id",
        )
    }

    /// Returns the current data files of the lake's tables, each with its table's name.
    pub(crate) fn data_files(&self, table: &str) -> Vec<String> {
        let files = format!(
            "SELECT data_file FROM ducklake_list_files('served', '{table}', schema => 'serving') ORDER BY ALL"
        );
        texts(&self.outsider(), &files)
    }

    /// Returns the local folder of the lake's data, whatever the storage.
    pub(crate) fn data_folder(&self) -> PathBuf {
        match &self.servers {
            Some(servers) => servers.s3.bucket().join(&self.database),
            None => self.site.path("data"),
        }
    }

    /// Runs statements as the owner of the catalog's database.
    pub(crate) fn postgres(&self, sql: &str) -> String {
        self.servers.as_ref().unwrap().postgres.sql(&self.database, sql)
    }

    /// Closes the connection of [`Place::outsider`].
    pub(crate) fn forget_engine(&self) {
        *self.engine.lock().unwrap() = None;
    }

    /// Moves the catalog to another file, or to another database.
    pub(crate) fn move_catalog(&mut self) {
        let backup = self.back_up_catalog();
        let address = self.address();
        let moved = match &self.servers {
            Some(servers) => {
                let database = servers.postgres.database();
                servers.postgres.restore(&database, &backup);
                servers.postgres.sql("postgres", &format!("DROP DATABASE {}", self.database));
                let name = |database: &str| format!(" dbname={database} ");
                address.replace(&name(&self.database), &name(&database))
            }
            None => {
                let moved = self.site.path("moved.sqlite");
                fs::rename(self.site.path("lake.sqlite"), &moved).unwrap();
                format!("ducklake:sqlite:{}", moved.display())
            }
        };
        self.tell("SERVING_DUCKDB_PATH", &moved);
    }

    /// Copies the catalog and returns the copy.
    pub(crate) fn back_up_catalog(&self) -> PathBuf {
        self.forget_engine();
        let backup = self.site.path("catalog.backup");
        match &self.servers {
            Some(servers) => servers.postgres.back_up(&self.database, &backup),
            None => {
                fs::copy(self.site.path("lake.sqlite"), &backup).unwrap();
            }
        }
        backup
    }

    /// Puts a copy of the catalog in its place.
    pub(crate) fn restore_catalog(&self, backup: &Path) {
        self.forget_engine();
        match &self.servers {
            Some(servers) => servers.postgres.restore(&self.database, backup),
            None => {
                for log in ["lake.sqlite-wal", "lake.sqlite-shm"] {
                    let _ = fs::remove_file(self.site.path(log));
                }
                fs::copy(backup, self.site.path("lake.sqlite")).unwrap();
            }
        }
    }

    /// Returns every file in the lake's storage.
    pub(crate) fn stored(&self) -> BTreeSet<String> {
        match &self.servers {
            Some(servers) => {
                let prefix = format!("{}/", self.database);
                servers
                    .s3
                    .objects()
                    .iter()
                    .filter_map(|object| object.strip_prefix(&prefix))
                    .map(str::to_owned)
                    .collect()
            }
            None => files_below(&self.site.path("data")),
        }
    }

    /// Returns the local paths of the files with a table's data, whatever the storage.
    pub(crate) fn paths(&self, table: &str) -> Vec<PathBuf> {
        let folder = self.data_folder();
        let of_table = format!("/{table}/");
        self.stored()
            .iter()
            .filter(|name| name.contains(&of_table) && name.ends_with(".parquet"))
            .map(|name| folder.join(name))
            .collect()
    }

    /// Returns the newest file with a table's data.
    pub(crate) fn newest_path(&self, table: &str) -> PathBuf {
        // Their names are in chronological order.
        self.paths(table).pop().unwrap_or_else(|| panic!("{table} has no file"))
    }

    /// Returns every file that some snapshot of the lake needs, according to its catalog.
    pub(crate) fn needed(&self) -> BTreeSet<String> {
        let of = |files: &str| {
            format!(
                "SELECT s.path || t.path || f.path FROM {files} f JOIN (SELECT DISTINCT table_id, schema_id, path FROM ducklake_table) t USING (table_id)
                 JOIN (SELECT DISTINCT schema_id, path FROM ducklake_schema) s USING (schema_id)"
            )
        };
        let query = format!("{} UNION {}", of("ducklake_data_file"), of("ducklake_delete_file"));
        texts(&self.catalog(), &query).into_iter().collect()
    }
}

/// Returns the first column of every row.
pub(crate) fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn files_below(folder: &Path) -> BTreeSet<String> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![folder.to_path_buf()]);
    while let Some(inner) = folders.pop() {
        let Ok(entries) = fs::read_dir(&inner) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name =
                |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() { folders.push(path) } else { files.extend([name(&path)]) }
        }
    }
    files
}
