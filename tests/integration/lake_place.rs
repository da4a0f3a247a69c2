//! A target of each kind with a lakehouse to fill it from: a file, a DuckLake in SQLite and a folder, a DuckLake in PostgreSQL and S3. What is promised of
//! targets is promised of all of them, and each test is run on each.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, Weak},
};

use duckdb::Connection;
use materia::{
    extensions::{Extension, Extensions},
    reader::{Reader, ReaderLimits},
    settings::Settings,
    target::Target,
};
use serde_json::Value;

use crate::{
    lake::extensions,
    postgres::{PASSWORD, Postgres},
    s3::{BUCKET, KEY_ID, S3, SECRET},
    support::{Ran, Site},
};

/// What kinds of target there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Sqlite,
    PostgresS3,
}

/// Runs a promise on a new target of each kind; where what that needs is missing, the test is skipped with a printed reason.
macro_rules! on_every_target {
    ($($promise:ident),+ $(,)?) => {$(
        mod $promise {
            use crate::lake_place::{Kind, Place};

            #[test]
            fn on_a_file() {
                if let Some(mut place) = Place::new(Kind::File) { super::$promise(&mut place) }
            }

            #[test]
            fn on_a_ducklake_in_sqlite_and_a_folder() {
                if let Some(mut place) = Place::new(Kind::Sqlite) { super::$promise(&mut place) }
            }

            #[test]
            fn on_a_ducklake_in_postgres_and_s3() {
                if let Some(mut place) = Place::new(Kind::PostgresS3) { super::$promise(&mut place) }
            }
        }
    )+};
}
pub(crate) use on_every_target;

/// As [`on_every_target`], for what is only said of lakes.
macro_rules! on_every_lake {
    ($($promise:ident),+ $(,)?) => {$(
        mod $promise {
            use crate::lake_place::{Kind, Place};

            #[test]
            fn in_sqlite_and_a_folder() {
                if let Some(mut place) = Place::new(Kind::Sqlite) { super::$promise(&mut place) }
            }

            #[test]
            fn in_postgres_and_s3() {
                if let Some(mut place) = Place::new(Kind::PostgresS3) { super::$promise(&mut place) }
            }
        }
    )+};
}
pub(crate) use on_every_lake;

/// Servers that tests share while any of them runs.
struct Servers {
    postgres: Postgres,
    s3: S3,
}

static SERVERS: Mutex<Weak<Servers>> = Mutex::new(Weak::new());

impl Servers {
    fn shared() -> Option<Arc<Self>> {
        let mut shared = SERVERS.lock().unwrap();
        if let Some(servers) = shared.upgrade() {
            return Some(servers);
        }
        let servers = Arc::new(Self { s3: S3::start()?, postgres: Postgres::start()? });
        *shared = Arc::downgrade(&servers);
        Some(servers)
    }
}

/// A target, and a host from which it is filled.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) site: Site,
    /// What the command is told on every host.
    pub(crate) variables: Vec<(String, String)>,
    servers: Option<Arc<Servers>>,
    /// In PostgreSQL, and the prefix of the data.
    database: String,
    /// Kept, since loading extensions takes long.
    engine: Mutex<Option<Connection>>,
}

impl Place {
    /// A new one, with the lakehouse of [`Site::small`].
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        let site = Site::small();
        let mut place = Self { kind, site, variables: Vec::new(), servers: None, database: String::new(), engine: Mutex::default() };
        if kind == Kind::File {
            return Some(place);
        }
        place.tell("MATERIA_EXTENSIONS", extensions()?.to_str().unwrap());
        if kind == Kind::Sqlite {
            place.tell("SERVING_DUCKDB_PATH", &format!("ducklake:sqlite:{}", place.site.path("lake.sqlite").display()));
            place.tell("MATERIA_LAKE_DATA", place.site.path("data").to_str().unwrap());
            return Some(place);
        }
        let servers = Servers::shared()?;
        place.database = servers.postgres.database();
        place.tell("SERVING_DUCKDB_PATH", &format!("ducklake:postgres:{} password={PASSWORD}", place.keywords(&servers)));
        place.tell("MATERIA_LAKE_DATA", &format!("s3://{BUCKET}/{}", place.database));
        place.tell("AWS_ACCESS_KEY_ID", KEY_ID);
        place.tell("AWS_SECRET_ACCESS_KEY", SECRET);
        place.tell("AWS_REGION", "us-east-1");
        place.tell("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", servers.s3.port()));
        place.servers = Some(servers);
        Some(place)
    }

    fn keywords(&self, servers: &Servers) -> String {
        format!("host=127.0.0.1 port={} dbname={} user=materia", servers.postgres.port(), self.database)
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

    /// Another host that fills the same target from a lakehouse of its own.
    pub(crate) fn other_host(&self) -> Self {
        assert!(self.is_lake(), "a file has one host");
        let (variables, servers, database) = (self.variables.clone(), self.servers.clone(), self.database.clone());
        Self { kind: self.kind, site: Site::small(), variables, servers, database, engine: Mutex::default() }
    }

    /// The command on this host.
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

    /// Runs the command, and expects it to end so, to leave what is served as it is, and to be told in the history.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> Ran {
        let look = || (self.generations(), self.snapshots(), self.dump());
        let (before, attempts) = (look(), self.history().len());
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{:?}: materia {args:?}: {ran:#?}", self.kind);
        assert_eq!(look(), before, "what is served was touched: {ran:#?}");
        let history = self.history();
        assert_eq!(history.len(), attempts + 1, "{ran:#?}");
        let record = history.last().unwrap();
        assert_eq!(record["outcome"], if code == 3 { "refused" } else { "failed" });
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(ran.stderr.split_once("materia: ").unwrap().1), words(record["error"].as_str().unwrap()), "{ran:#?}");
        ran
    }

    /// The one pipeline run that everything served comes from, where the lakehouse is that of [`Site::runs`]. Panics where something is incomplete or another run's.
    pub(crate) fn whole_run(&self) -> i64 {
        let connection = self.outsider();
        let query = "SELECT CASE WHEN (o.n, c.n, t.n, o.least, c.least, t.least, o.least, c.least, t.least) = (5000, 700, 1, o.most, o.most, o.most, o.most, c.most, t.most) THEN o.most END
            FROM (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.orders) o, (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.customers) c,
                 (SELECT count(*) AS n, min(run) AS least, max(run) AS most FROM served.serving.totals) t";
        let run: Option<i64> = connection.query_row(query, [], |row| row.get(0)).unwrap();
        run.unwrap_or_else(|| panic!("mixed: {:?}", self.dump()))
    }

    /// What is told in JSON, line by line; whatever the exit code says.
    pub(crate) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let ran = self.run(args);
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
        ran.stdout.lines().map(read).collect()
    }

    /// Every attempt, oldest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        let mut lines = self.lines(&["history", "--json", "-n", "1000"]);
        lines.reverse();
        lines
    }

    /// The outcomes of every attempt, oldest first.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        self.history().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// What the newest attempt did with a table: why, and whether it was taken over.
    pub(crate) fn treatment(&self, table: &str) -> (bool, String) {
        let record = self.history().pop().unwrap();
        let line = record["tables"].as_array().unwrap().iter().find(|line| line["name"] == table).cloned();
        let line = line.unwrap_or_else(|| panic!("{table}: {record:#}"));
        (line["reused"] == true, line["why"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn status(&self) -> Value {
        self.lines(&["status", "--json"]).remove(0)
    }

    /// The ids of the kept generations, newest first, and whether each is served and pinned.
    pub(crate) fn generations(&self) -> Vec<(String, bool, bool)> {
        let kept = materia::export::generations(&self.target()).unwrap();
        kept.into_iter().map(|generation| (generation.id.to_string(), generation.served, generation.pinned)).collect()
    }

    /// The ids of the kept generations, newest first.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.generations().into_iter().map(|(id, ..)| id).collect()
    }

    /// The one that is served.
    pub(crate) fn served(&self) -> String {
        self.generations().into_iter().find(|(_, served, _)| *served).unwrap().0
    }

    /// What the library makes of what the command is told.
    pub(crate) fn target(&self) -> Target {
        self.settings().target().unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        let lakehouse = self.site.lakehouse().to_str().unwrap().to_owned();
        let lookup = |name: &str| if name == "DUCKDB_PATH" { Some(lakehouse.clone()) } else { self.variable(name) };
        Settings::load(None, &lookup).unwrap()
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader_within(ReaderLimits::default())
    }

    pub(crate) fn reader_within(&self, limits: ReaderLimits) -> Reader {
        Reader::follow(&self.target(), "serving", limits).unwrap()
    }

    /// A DuckDB that knows nothing of materia, with what is served as its catalog `served`. It may write where that is a lake.
    pub(crate) fn outsider(&self) -> Connection {
        if self.kind == Kind::File {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(&format!("ATTACH '{}' AS served (READ_ONLY)", self.site.served().display())).unwrap();
            return connection;
        }
        let connection = self.engine();
        connection.execute_batch(&format!("ATTACH IF NOT EXISTS '{}' AS served", self.address())).unwrap();
        connection
    }

    /// A connection to a DuckDB that can do what this lake needs.
    fn engine(&self) -> Connection {
        let mut engine = self.engine.lock().unwrap();
        let made = || {
            let connection = Connection::open_in_memory().unwrap();
            let needed: &[_] = match self.kind {
                Kind::PostgresS3 => &[Extension::DuckLake, Extension::Postgres, Extension::Httpfs],
                Kind::File | Kind::Sqlite => &[Extension::DuckLake, Extension::Sqlite],
            };
            Extensions::new(extensions().unwrap()).load(&connection, needed).unwrap();
            connection.execute_batch(&self.secrets()).unwrap();
            connection
        };
        engine.get_or_insert_with(made).try_clone().unwrap()
    }

    /// What another program needs to be told to be let in to the data.
    pub(crate) fn secrets(&self) -> String {
        self.servers.as_ref().map(|servers| format!("{};", S3::secret(servers.s3.port()))).unwrap_or_default()
    }

    /// What another program attaches.
    pub(crate) fn address(&self) -> String {
        self.variable("SERVING_DUCKDB_PATH").unwrap_or_else(|| self.site.served().to_str().unwrap().to_owned())
    }

    /// The catalog's own database, without DuckLake.
    pub(crate) fn catalog(&self) -> Connection {
        let connection = self.engine();
        let (place, kind) = match &self.servers {
            Some(servers) => (format!("{} password={PASSWORD}", self.keywords(servers)), "postgres"),
            None => (self.site.path("lake.sqlite").display().to_string(), "sqlite"),
        };
        // What such a catalog holds may have been remembered.
        connection.execute_batch(&format!("DETACH DATABASE IF EXISTS raw; ATTACH '{place}' AS raw (TYPE {kind}); USE raw")).unwrap();
        connection
    }

    /// Changes the lake as somebody with plain DuckDB does.
    pub(crate) fn meddle(&self, sql: &str) {
        self.outsider().execute_batch(&format!("USE served; {sql}")).unwrap();
    }

    /// Asks what is served a question whose answer is one number, as somebody would who knows nothing of materia.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let connection = self.outsider();
        connection.execute_batch("USE served").unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Every value that is served, table by table; nothing where nothing is.
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
            let rows = format!("SELECT count(*) || ' ' || coalesce(sum(hash(every)::HUGEINT), 0) FROM (FROM {name}) every");
            format!("{table} {}", texts(&connection, &rows)[0])
        };
        tables.iter().map(rows).collect()
    }

    /// The numbers of every snapshot that the lake has; of a file, the names of its kept generations.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        if self.kind == Kind::File {
            return self.site.kept();
        }
        texts(&self.catalog(), "SELECT snapshot_id::VARCHAR FROM ducklake_snapshot ORDER BY snapshot_id")
    }

    /// The files that tables of the lake are made of now, each with its table's name.
    pub(crate) fn data_files(&self, table: &str) -> Vec<String> {
        let files = format!("SELECT data_file FROM ducklake_list_files('served', '{table}', schema => 'serving') ORDER BY ALL");
        texts(&self.outsider(), &files)
    }

    /// Every file that is stored where the lake's data is.
    pub(crate) fn stored(&self) -> BTreeSet<String> {
        match &self.servers {
            Some(servers) => {
                let prefix = format!("{}/", self.database);
                servers.s3.objects().iter().filter_map(|object| object.strip_prefix(&prefix)).map(str::to_owned).collect()
            }
            None => files_below(&self.site.path("data")),
        }
    }

    /// Every file that some snapshot of the lake needs, as its catalog says.
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

/// The first column of every row.
pub(crate) fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn files_below(folder: &Path) -> BTreeSet<String> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![folder.to_path_buf()]);
    while let Some(inner) = folders.pop() {
        let Ok(entries) = fs::read_dir(&inner) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() { folders.push(path) } else { files.extend([name(&path)]) }
        }
    }
    files
}
