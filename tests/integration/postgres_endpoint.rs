//! `materia postgres` with other people's clients: psql, the Python drivers in
//! `tests/postgres/*.py`, node's `pg`. A test without its client says that it is skipped.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread::scope,
    time::{Duration, Instant},
};

use crate::{
    servers::Server,
    support::{Ran, Site, at_best_within, eventually, shared},
    web::free_address,
};

/// Tables of every type, with comments; `psd` is limited by year, `secret` is for Pro only.
const LAKEHOUSE: &str = "
    CREATE SCHEMA serving;
    CREATE TABLE serving.psd AS SELECT (2000 + i % 20)::INTEGER AS year, 'country ' || i % 7 AS country, i * 1.5 AS value FROM range(1000) t(i);
    COMMENT ON TABLE serving.psd IS 'Production, supply and distribution';
    COMMENT ON COLUMN serving.psd.year IS 'the year of harvest';
    CREATE TABLE serving.secret AS SELECT 42 AS answer;
    CREATE TYPE serving.mood AS ENUM ('sad', 'happy');
    CREATE TABLE serving.types AS SELECT * FROM (VALUES
        (1, true, 1::TINYINT, 2::SMALLINT, 3::BIGINT, 170141183460469231731687303715884105727::HUGEINT, 18446744073709551615::UBIGINT, 1.5::FLOAT,
         -0.1::DOUBLE, 12345.67::DECIMAL(10, 2), DATE '2024-02-29', TIME '10:00:00.5', TIMESTAMP '2024-02-29 10:00:00.123456',
         TIMESTAMPTZ '2024-02-29 10:00:00+02', INTERVAL '1 year 2 months 3 days 04:05:06', 'ä''b\\c'::VARCHAR, '\\xDE\\xAD'::BLOB,
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID, [1, NULL, 3], ['a', 'b,c', NULL], {'a': 1, 'b': 'x'}, MAP {'k': 1}, '{\"j\": [1]}'::JSON, 'happy'::serving.mood),
        (2, false, -1::TINYINT, -2::SMALLINT, -3::BIGINT, -170141183460469231731687303715884105727::HUGEINT, 0::UBIGINT, 'inf'::FLOAT, 'nan'::DOUBLE,
         -0.01::DECIMAL(10, 2), 'infinity'::DATE, TIME '23:59:59.999999', '-infinity'::TIMESTAMP, 'infinity'::TIMESTAMPTZ, INTERVAL '-1 day',
         '', ''::BLOB, '00000000-0000-0000-0000-000000000000'::UUID, []::INTEGER[], []::VARCHAR[], {'a': NULL, 'b': NULL}, MAP {}, 'null'::JSON, 'sad'::serving.mood),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    ) t(id, boolean, tiny, small, big, huge, ubig, float, double, decimal, date, time, timestamp, timestamptz, interval, text, blob, uuid, ints, texts, struct, map, json, mood);";

/// The types that [`LAKEHOUSE`] has not, and values at their ends.
const MORE_TYPES: &str = "
    CREATE TABLE serving.more AS SELECT * FROM (VALUES
        (1, 255::UTINYINT, 65535::USMALLINT, 4294967295::UINTEGER, 340282366920938463463374607431768211455::UHUGEINT, TIMETZ '10:00:00+02',
         TIMESTAMP_S '2024-02-29 10:00:00', TIMESTAMP_MS '2024-02-29 10:00:00.123', TIMESTAMP_NS '2024-02-29 10:00:00.123456', '0101'::BIT,
         [1.50::DECIMAL(10, 2), NULL], [true, false, NULL], [DATE '2024-02-29', 'infinity'], [TIMESTAMP '0001-01-01 00:00:00', NULL],
         [TIMESTAMPTZ '2024-02-29 10:00:00+02'], ['\\xDE'::BLOB], [INTERVAL '-1 month 2 hours'], [[1, 2], []], [{'a': 1.5::DOUBLE}], [1, 2, 3]::INTEGER[3],
         ['\"', '\\', 'NULL', '', '{', ' '], ['inf'::DOUBLE, -0.0, 1e300, 1e-7], {'d': DATE '2024-02-29', 'n': 1::HUGEINT, 't': TIMESTAMP '2024-02-29 10:00:00', 'b': '\\xDE'::BLOB},
         union_value(k := 1), MAP {1: [NULL, 'x']}, '-infinity'::DATE, 1e300::DOUBLE, 1.17549435e-38::FLOAT, 0::DECIMAL(38, 38), [uuid '00000000-0000-0000-0000-000000000001']),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    ) t(id, utiny, usmall, uint, uhuge, timetz, ts_s, ts_ms, ts_ns, bits, decimals, booleans, dates, timestamps, instants, blobs, intervals, nested, structs, fixed,
        odd, doubles, document, either, lists, before, large, least, fraction, uuids);";

const SETTINGS: &str = "
[tables.psd]
year = 'year'
last = { starter = 5 }
[tables.secret]
plan = 'pro'
[postgres]
listen = '127.0.0.1:0'
";

/// A running endpoint.
pub(crate) struct Endpoint {
    /// The supervisor.
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Endpoint {
    pub(crate) fn start(site: &Site) -> Self {
        Self::start_with(site, &[])
    }

    fn start_with(site: &Site, variables: &[(&str, &str)]) -> Self {
        let path = site.path("postgres.log");
        let log = File::create(&path).unwrap();
        let mut command = site.command(&["postgres"]);
        command.env("ADMIN_EMAILS", "admin@example.test").envs(variables.iter().copied());
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut address = None;
        eventually("the endpoint listens", || {
            let text = fs::read_to_string(&path).unwrap();
            address = text.lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                line["address"].as_str()?.split(',').next()?.parse().ok()
            });
            assert!(!text.contains("materia: "), "{text}");
            address.is_some()
        });
        Self { process, address: address.unwrap(), log: path }
    }

    /// Returns the process that serves.
    pub(crate) fn serving(&self) -> Option<u32> {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().map(|child| child.parse().unwrap())
    }

    /// Returns the memory of the process that serves, in kB.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.serving().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the lines of the log with this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let lines = text.lines().filter(|line| line.contains(message));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn url(&self, key: &str) -> String {
        format!("postgresql://anybody:{key}@127.0.0.1:{}/analytics", self.address.port())
    }

    fn psql(&self, key: &str, commands: &[&str]) -> Ran {
        let mut command = Command::new("psql");
        command.args([
            "--no-psqlrc",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
            "--pset=pager=off",
        ]);
        command.args(commands.iter().flat_map(|sql| ["-c", sql]));
        command.arg(self.url(key)).env("PGSSLMODE", "prefer");
        Ran::of(&command.output().unwrap())
    }

    /// Runs statements and returns the values only.
    fn values(&self, key: &str, commands: &[&str]) -> String {
        let ran = self.psql(key, commands);
        assert_eq!(ran.code, 0, "{commands:?}: {ran:#?}");
        ran.stdout.trim_end().to_owned()
    }

    /// Runs a statement that fails, and returns the message.
    fn error(&self, key: &str, sql: &str) -> String {
        let ran = self.psql(key, &["\\set VERBOSITY verbose", sql]);
        assert_ne!(ran.code, 0, "{sql}: {ran:#?}");
        ran.stderr
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A process that a test has suspended does not notice that its parent is gone.
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status();
        }
    }
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A site that is served, with accounts.
pub(crate) fn site() -> Site {
    let site = Site::with(LAKEHOUSE);
    site.settings(SETTINGS);
    site.ok(&["export"]);
    site.ok(&["users", "seed"]);
    site
}

pub(crate) fn key(site: &Site, plan: &str, options: &[&str]) -> String {
    let email = format!("{plan}@example.test");
    let args: Vec<_> =
        ["users", "key", &email].into_iter().chain(options.iter().copied()).collect();
    let made =
        Ran::of(&site.command(&args).env("ADMIN_EMAILS", "admin@example.test").output().unwrap());
    assert_eq!(made.code, 0, "{made:#?}");
    made.stdout.trim().to_owned()
}

#[test]
fn psql_lists_describes_and_reads_what_is_served() {
    if !has("psql") {
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    assert_eq!(endpoint.values(&pro, &["SELECT count(*), min(year) FROM psd"]), "1000|2000");
    let tables = endpoint.values(&pro, &["\\dt+"]);
    assert!(
        tables.contains("serving|psd|table|materia")
            && tables.contains("Production, supply and distribution")
            && tables.contains("secret"),
        "{tables}"
    );
    let described = endpoint.values(&pro, &["\\d+ psd"]);
    assert!(
        described.contains("year|integer|") && described.contains("the year of harvest"),
        "{described}"
    );
    let types = endpoint.values(&pro, &["\\d types"]);
    for column in [
        "huge|numeric|",
        "decimal|numeric(10,2)|",
        "ints|integer[]|",
        "struct|jsonb|",
        "mood|text|",
        "timestamptz|timestamp with time zone|",
    ] {
        assert!(types.contains(column), "{column}: {types}");
    }
    for command in [
        "\\d",
        "\\dn+",
        "\\df",
        "\\di",
        "\\dv",
        "\\l",
        "\\du",
        "\\dT",
        "\\dx",
        "\\ds",
        "\\dp",
        "\\db",
        "\\dD",
        "\\conninfo",
    ] {
        endpoint.values(&pro, &[command]);
    }
    let missing = endpoint.psql(&pro, &["\\d nothing"]);
    assert!(missing.stderr.contains("Did not find any relation named \"nothing\""), "{missing:#?}");
}

/// Runs a script of `tests/postgres` with the Python that a variable names. It prints a line for
/// each promise and fails when one is broken.
fn script(variable: &str, name: &str, endpoint: &Endpoint, key: &str, more: &[&str]) {
    let Some(python) = std::env::var_os(variable) else {
        println!("skipped: {variable} is not set");
        return;
    };
    let folder = Path::new(env!("REPOSITORY")).join("tests/postgres");
    let port = endpoint.address.port().to_string();
    let ran = Command::new(python)
        .args([name, &port, key])
        .args(more)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let ran = Ran::of(&ran);
    println!("{}", ran.stdout);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn psycopg_asyncpg_sqlalchemy_and_pandas_read_what_is_served() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    script("MATERIA_TEST_POSTGRES_PYTHON", "clients.py", &endpoint, &pro, &[]);
}

#[test]
fn the_documented_catalog_queries_of_metabase_and_grafana_are_answered() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    script("MATERIA_TEST_POSTGRES_PYTHON", "catalogs.py", &endpoint, &pro, &[]);
}

/// `materia web` next to the endpoint, with the same accounts.
fn web(site: &Site) -> Server {
    let mut command = site.command(&["web"]);
    command.env("DEBUG", "true").env("ADMIN_EMAILS", "admin@example.test");
    let server = Server::of(command, free_address(), &site.path("web.log"));
    server.answers();
    server
}

#[test]
fn values_of_all_types_equal_those_of_the_sites_api() {
    let site = Site::with(&format!("{LAKEHOUSE}{MORE_TYPES}"));
    site.settings(SETTINGS);
    site.ok(&["export"]);
    site.ok(&["users", "seed"]);
    let (endpoint, web) = (Endpoint::start(&site), web(&site));
    let pro = key(&site, "pro", &["--sql"]);
    let address = format!("http://{}", web.address);
    let more = [address.as_str(), "types", "more"];
    script("MATERIA_TEST_POSTGRES_PYTHON", "values.py", &endpoint, &pro, &more);
}

#[test]
fn duckdbs_own_extension_attaches_what_is_served() {
    let Some(folder) = std::env::var_os("MATERIA_TEST_EXTENSIONS") else {
        println!("skipped: MATERIA_TEST_EXTENSIONS does not name a folder of DuckDB's extensions");
        return;
    };
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let folder = folder.to_str().unwrap();
    script("MATERIA_TEST_LAKE_PYTHON", "attach.py", &endpoint, &pro, &[folder]);
}

#[test]
fn jdbc_reads_what_is_served() {
    let driver = std::env::var_os("MATERIA_TEST_JDBC")
        .unwrap_or_else(|| "/usr/share/java/postgresql.jar".into());
    if !Path::new(&driver).is_file() {
        println!("skipped: no JDBC driver (Debian: apt-get install libpostgresql-jdbc-java)");
        return;
    }
    // A runtime alone does not compile the program.
    if !has("javac") {
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let ran = Command::new("java")
        .args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(driver)
        .arg(Path::new(env!("REPOSITORY")).join("tests/postgres/Client.java"))
        .args([endpoint.address.port().to_string(), key(&site, "pro", &["--sql"])])
        .output()
        .unwrap();
    let ran = Ran::of(&ran);
    println!("{}", ran.stdout);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn a_hidden_column_does_not_exist_at_this_door() {
    if !has("psql") {
        return;
    }
    let site = Site::with(LAKEHOUSE);
    site.settings(&SETTINGS.replace("[tables.psd]", "[tables.psd]\nhidden = ['Country']"));
    site.ok(&["export"]);
    site.ok(&["users", "seed"]);
    let endpoint = Endpoint::start(&site);
    let starter = key(&site, "starter", &["--sql"]);
    assert_eq!(
        endpoint.values(&starter, &["SELECT * FROM psd ORDER BY value LIMIT 1"]).split('|').count(),
        2
    );
    for around in [
        "SELECT country FROM psd",
        "SELECT count(*) FROM psd WHERE country = 'country 1'",
        "SELECT psd.country FROM psd",
        "SELECT value FROM psd ORDER BY country",
        "SELECT value FROM analytics.serving.psd WHERE \"COUNTRY\" IS NULL",
    ] {
        assert!(endpoint.error(&starter, around).to_lowercase().contains("country"), "{around}");
    }
    for names in [
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'psd'",
        "SELECT attname FROM pg_attribute",
        "SELECT row_to_json(t) FROM psd t LIMIT 1",
        "SELECT COLUMNS('c.*') FROM psd LIMIT 1",
        "SELECT * FROM (DESCRIBE psd)",
        "SUMMARIZE psd",
        "SELECT column_name FROM duckdb_columns()",
        "SELECT sql FROM duckdb_tables()",
        "SELECT * FROM pragma_table_info('psd')",
        // Suggestions in errors, too.
        "SELECT countr FROM psd",
        "SELECT psd.countri FROM psd",
        "SELECT value FROM psd GROUP BY ALL HAVING min(contry) > ''",
    ] {
        let ran = endpoint.psql(&starter, &[names]);
        let shown = format!("{}{}", ran.stdout, ran.stderr).to_lowercase();
        assert!(!shown.contains("country"), "{names}: {ran:#?}");
    }
}

#[test]
fn a_plan_sees_its_tables_and_years_and_no_name_gets_around_it() {
    if !has("psql") {
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let starter = key(&site, "starter", &["--sql"]);
    assert_eq!(endpoint.values(&starter, &["SELECT count(*), min(year) FROM psd"]), "250|2015");
    for name in ["serving.psd", "analytics.serving.psd", "\"serving\".\"psd\"", "\"PSD\""] {
        assert_eq!(
            endpoint.values(&starter, &[&format!("SELECT min(year) FROM {name}")]),
            "2015",
            "{name}"
        );
    }
    for around in [
        "secret",
        "serving.secret",
        "analytics.serving.secret",
        "\"analytics\".\"secret\"",
        "analytics.secret",
        "main.psd",
        "memory.psd",
        "system.information_schema.tables",
        "duckdb_tables()",
        "duckdb_columns",
        "pragma_storage_info('analytics.serving.secret')",
        "query_table('secret')",
        "query('SELECT * FROM secret')",
        "_pg._tables",
        "(WITH x AS (SELECT * FROM secret) SELECT * FROM x) y",
        "pg_catalog.pg_prepared_statements",
        "'/etc/passwd'",
    ] {
        let error = endpoint.error(&starter, &format!("SELECT * FROM {around}"));
        assert!(!error.contains("answer") && !error.contains("42\n"), "{around}: {error}");
    }
    let listed = endpoint.values(
        &starter,
        &[
            "\\dt+",
            "SELECT * FROM information_schema.columns",
            "SELECT relname, reltuples FROM pg_class",
            "SELECT * FROM pg_attribute",
        ],
    );
    assert!(
        !listed.contains("secret") && !listed.contains("answer") && listed.contains("psd|-1"),
        "{listed}"
    );
    let error = endpoint.error(&starter, "SELECT * FROM secre");
    assert!(
        error.contains("42P01") && !error.contains("secret"),
        "a suggestion names nothing else: {error}"
    );
    // An operator sees everything; a key for some tables no other.
    let admin = key(&site, "admin", &["--sql"]);
    assert_eq!(
        endpoint
            .values(&admin, &["SELECT (SELECT answer FROM secret), (SELECT min(year) FROM psd)"]),
        "42|2000"
    );
    let scoped = key(&site, "pro", &["--sql", "--table", "psd"]);
    assert!(endpoint.error(&scoped, "SELECT * FROM types").contains("does not exist"));
    assert_eq!(endpoint.values(&scoped, &["SELECT min(year) FROM psd"]), "2000");
}

/// A client of the protocol that does only what it is told.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Connects, and says who it is.
    pub(crate) fn open(endpoint: &Endpoint, user: &str) -> Self {
        let mut raw = Self(TcpStream::connect(endpoint.address).unwrap());
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        startup.extend(format!("user\0{user}\0database\0y\0\0").as_bytes());
        raw.send(None, &startup);
        raw
    }

    pub(crate) fn connect(endpoint: &Endpoint, key: &str) -> Self {
        Self::try_connect(endpoint, key).unwrap()
    }

    /// Connects, or returns the error.
    pub(crate) fn try_connect(endpoint: &Endpoint, key: &str) -> Result<Self, String> {
        let mut raw = Self::open(endpoint, "x");
        assert_eq!(raw.message(), (b'R', 3_u32.to_be_bytes().to_vec()));
        raw.send(Some(b'p'), format!("{key}\0").as_bytes());
        loop {
            match raw.message() {
                (b'Z', _) => return Ok(raw),
                (b'E', body) => return Err(String::from_utf8_lossy(&body).into_owned()),
                _ => {}
            }
        }
    }

    /// Runs statements and returns the values of the last row, or the error.
    pub(crate) fn run(&mut self, sql: &str) -> Result<Vec<String>, String> {
        self.send(Some(b'Q'), format!("{sql}\0").as_bytes());
        let mut outcome = Ok(Vec::new());
        loop {
            match self.message() {
                (b'D', body) => outcome = Ok(row(&body)),
                (b'E', body) => outcome = Err(String::from_utf8_lossy(&body).into_owned()),
                (b'Z', _) => return outcome,
                _ => {}
            }
        }
    }

    pub(crate) fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let mut bytes: Vec<u8> = kind.into_iter().collect();
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
        self.0.write_all(&bytes).unwrap();
    }

    /// The next message that does not describe columns, which are known before there are rows.
    pub(crate) fn after_columns(&mut self) -> (u8, Vec<u8>) {
        loop {
            let message = self.message();
            if message.0 != b'T' {
                return message;
            }
        }
    }

    pub(crate) fn message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.0.read_exact(&mut body).unwrap();
        (head[0], body)
    }
}

/// Reads the values of a row; a missing one is empty.
fn row(body: &[u8]) -> Vec<String> {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while let Some((length, after)) = rest.split_at_checked(4) {
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let (value, after) = after.split_at(usize::try_from(length).unwrap_or(0));
        values.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    values
}

#[test]
fn statements_are_stopped_by_time_and_errors_have_a_code_a_place_and_a_hint() {
    if !has("psql") {
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let slow = "SELECT count(*) FROM range(1000000000000) a";
    let begun = Instant::now();
    let stopped =
        endpoint.psql(&pro, &["\\set VERBOSITY verbose", "SET statement_timeout = '200ms'", slow]);
    assert!(
        stopped.stderr.contains("57014") && begun.elapsed() < Duration::from_mins(1),
        "{stopped:#?}"
    );
    for (sql, wanted) in [
        ("SELECT\n  nothing FROM psd", "42703"),
        ("SELECT * FROM psdd", "42P01"),
        ("SELECT * FROM psdd", "Perhaps you meant the table \"psd\""),
        ("SELEC 1", "42601"),
        ("SELECT 'x'::int", "22P02"),
        ("SELECT nothing(1)", "42883"),
        ("DELETE FROM psd", "25006"),
        ("SELECT * FROM read_csv('/etc/passwd')", "42501"),
        ("SELECT year, count(*) FROM psd", "42803"),
        ("SET nothing = 1", "42704"),
        ("COPY psd TO '/tmp/x'", "42501"),
        ("DEALLOCATE nothing", "26000"),
        ("FETCH 1 FROM nothing", "34000"),
        ("DECLARE c CURSOR FOR SELECT 1", "25P01"),
    ] {
        let error = endpoint.error(&pro, sql);
        assert!(error.contains(wanted), "{sql}: {error}");
    }
    let placed = endpoint.error(&pro, "SELECT 1,\n  nothing FROM serving.psd");
    assert!(placed.contains("LINE 2:   nothing FROM serving.psd\n          ^"), "{placed}");
    let failed = endpoint.psql(&pro, &["BEGIN; SELECT 1/'x'::int; SELECT 1"]);
    assert!(
        failed.stderr.contains("invalid input") || failed.stderr.contains("convert"),
        "{failed:#?}"
    );
}

#[test]
fn a_cancel_request_stops_the_statement_it_is_for() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut raw = Raw(TcpStream::connect(endpoint.address).unwrap());
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(b"user\0x\0\0");
    raw.send(None, &startup);
    raw.message();
    raw.send(Some(b'p'), format!("{pro}\0").as_bytes());
    let mut secret = Vec::new();
    loop {
        match raw.message() {
            (b'K', body) => secret = body,
            (b'Z', _) => break,
            _ => {}
        }
    }
    let begun = Instant::now();
    raw.send(Some(b'Q'), b"SELECT count(*) FROM range(1000000000000) a\0");
    let cancel = |secret: &[u8]| {
        let mut other = Raw(TcpStream::connect(endpoint.address).unwrap());
        let mut request = 80_877_102_u32.to_be_bytes().to_vec();
        request.extend(secret);
        other.send(None, &request);
    };
    // With another's secret nothing happens.
    let mut wrong = secret.clone();
    *wrong.last_mut().unwrap() ^= 1;
    cancel(&wrong);
    raw.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(raw.0.peek(&mut [0]).is_err(), "it goes on");
    raw.0.set_read_timeout(None).unwrap();
    cancel(&secret);
    let (kind, body) = raw.after_columns();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57014"), "{kind} {body:?}");
    assert!(begun.elapsed() < Duration::from_mins(1));
    assert_eq!(raw.message().0, b'Z');
    raw.send(Some(b'Q'), b"SELECT 1\0");
    assert_eq!(raw.message().0, b'T', "the connection goes on");
}

#[test]
fn a_transaction_reads_one_generation_and_a_storm_of_swaps_fails_nothing_and_shows_nothing_stale() {
    const CLIENTS: i64 = 6;
    const SWAPS: i64 = 8;
    if !has("psql") {
        return;
    }
    let site = Site::runs();
    site.settings("[postgres]\nlisten = '127.0.0.1:0'\n");
    site.ok(&["export"]);
    site.ok(&["users", "seed"]);
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut pinned = Raw::connect(&endpoint, &pro);
    let run = |raw: &mut Raw, sql: &str| -> String {
        raw.send(Some(b'Q'), format!("{sql}\0").as_bytes());
        let mut value = String::new();
        loop {
            match raw.message() {
                (b'D', body) => value = String::from_utf8_lossy(&body[6..]).into_owned(),
                (b'E', body) => panic!("{sql}: {}", String::from_utf8_lossy(&body)),
                (b'Z', _) => return value,
                _ => {}
            }
        }
    };
    run(&mut pinned, "BEGIN");
    let generation = run(&mut pinned, "SHOW materia.generation");
    let published = AtomicI64::new(1);
    let over = AtomicBool::new(false);
    let answers = AtomicI64::new(0);
    // Each row carries its run: a mixture of two would show.
    let query = "SELECT min(o.run) || ' ' || max(c.run) FROM orders o, customers c";
    scope(|threads| {
        for _ in 0..CLIENTS {
            threads.spawn(|| {
                let mut raw = Raw::connect(&endpoint, &pro);
                let mut newest = 0;
                while !over.load(Ordering::SeqCst) {
                    let before = published.load(Ordering::SeqCst);
                    let found = run(&mut raw, query);
                    let (orders, customers) = found.split_once(' ').unwrap();
                    assert_eq!(orders, customers, "one generation");
                    let found: i64 = orders.parse().unwrap();
                    assert!(found >= newest, "never back: {found} after {newest}");
                    assert!(found >= before, "not stale: {found}, published {before}");
                    newest = found;
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for number in 2..=SWAPS {
            site.begin_run(number);
            site.ok(&["export"]);
            published.store(number, Ordering::SeqCst);
            let mut raw = Raw::connect(&endpoint, &pro);
            let found = run(&mut raw, "SELECT max(run) FROM orders");
            assert_eq!(found, number.to_string(), "what was published before is read at once");
        }
        over.store(true, Ordering::SeqCst);
    });
    println!("{} answers during {SWAPS} swaps", answers.load(Ordering::SeqCst));
    assert!(answers.load(Ordering::SeqCst) > 20);
    assert_eq!(run(&mut pinned, "SELECT max(run) FROM orders"), "1");
    assert_eq!(run(&mut pinned, "SHOW materia.generation"), generation);
    run(&mut pinned, "COMMIT");
    assert_eq!(run(&mut pinned, "SELECT max(run) FROM orders"), SWAPS.to_string());
}

#[test]
fn what_attacks_the_guard_is_refused_at_this_door_too() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut raw = Raw::connect(&endpoint, &pro);
    let mut tried = 0;
    for number in 1..=4 {
        let Some(file) = shared(&format!("cases/security/statements-{number}.txt")) else { return };
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix('"')) {
            let statement = line.trim_end_matches(',').trim_end_matches('"');
            let statement = statement.replace("\\\"", "\"").replace("\\n", "\n");
            raw.send(Some(b'Q'), format!("{statement}\0").as_bytes());
            loop {
                let (kind, body) = raw.message();
                let text = String::from_utf8_lossy(&body);
                // What it prints is neither a file, nor the environment, nor a name outside.
                for secret in
                    ["root:x:", "/root", "PATH=", "materia.toml", "analytics.duckdb\0", "libduckdb"]
                {
                    assert!(kind == b'E' || !text.contains(secret), "{statement}: {text}");
                }
                if kind == b'Z' {
                    break;
                }
            }
            tried += 1;
        }
    }
    let Some(panel) = shared("cases/security/panel_breaks_served_file.toml") else { return };
    let panel = fs::read_to_string(panel).unwrap();
    let sql = panel.lines().find_map(|line| line.strip_prefix("sql = \"")?.strip_suffix('"'));
    let sql = sql.unwrap().replace("/DATA", site.folder().to_str().unwrap());
    let refused = raw.run(&sql).unwrap_err();
    assert!(refused.contains("25006") || refused.contains("42501"), "{sql}: {refused}");
    assert!(!site.path("_export.duckdb").exists());
    assert!(tried > 100);
    // Parameters beyond any number, names and messages with a null character, what is not closed.
    raw.send(Some(b'P'), b"\0SELECT $4000000000\0\0\0");
    raw.send(Some(b'S'), b"");
    while raw.message().0 != b'Z' {}
    for sql in [
        "SELECT $4000000000",
        "PREPARE p AS SELECT $4000000000",
        "SET application_name = '\u{e4}",
        "PIVOT (SELECT chr(0) || 'x' AS name, 1 AS value) ON name USING sum(value)",
        "SELECT error(chr(0) || 'x')",
        "SELECT chr(0)",
    ] {
        let _ = raw.run(sql);
    }
    assert_eq!(raw.run("SELECT count(*) FROM psd").unwrap(), ["1000"], "it goes on");
    assert!(site.path("analytics.duckdb").exists());
}

/// Runs a script of `cases/security` that makes lakehouses in the current folder, with a few changes;
/// returns false, and prints why, if it cannot be run.
fn make_hostile(site: &Site, name: &str, changes: &[(&str, &str)]) -> bool {
    let (Some(python), Some(script)) =
        (std::env::var_os("MATERIA_TEST_PYTHON"), shared(&format!("cases/security/{name}")))
    else {
        println!("skipped: MATERIA_TEST_PYTHON is not set, or {name} is missing");
        return false;
    };
    let mut text = fs::read_to_string(script).unwrap();
    for (old, new) in changes {
        assert!(text.contains(old), "{name}: {old}");
        text = text.replace(old, new);
    }
    let ran = Command::new(python).args(["-c", &text]).current_dir(site.folder()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    true
}

#[test]
fn hostile_names_and_values_reach_clients_as_they_are_and_break_no_message() {
    if !has("psql") {
        return;
    }
    let site = site();
    fs::create_dir(site.path("wide")).unwrap();
    // Fewer and shorter rows prove the same.
    let changes =
        [("range(1500000)", "range(1500)"), ("repeat('Z',3000000)", "repeat('Z',300000)")];
    if !make_hostile(&site, "hostile_tables.py", &changes) {
        return;
    }
    fs::rename(site.path("wide/lakehouse.duckdb"), site.lakehouse()).unwrap();
    site.settings("[postgres]\nlisten = '127.0.0.1:0'\n");
    let ran = site.run(&["export", "--force"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut raw = Raw::connect(&endpoint, &pro);
    let count = |raw: &mut Raw, sql: &str| raw.run(sql).unwrap()[0].parse::<u64>().unwrap();
    let tables = count(&mut raw, "SELECT count(*) FROM information_schema.tables");
    assert!(tables >= 5, "{tables}");
    let same = "SELECT count(*) FROM pg_tables WHERE schemaname = 'serving'";
    assert_eq!(count(&mut raw, same), tables);
    assert_eq!(raw.run("SELECT * FROM w LIMIT 1").unwrap().len(), 300);
    assert_eq!(count(&mut raw, "SELECT max(length(x)) FROM hostile"), 300_000);
    assert_eq!(
        raw.run("SELECT \"<b>c</b>\" FROM \"<img src=x onerror=alert(1)>\"").unwrap(),
        ["1"]
    );
    let quoted = "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_name LIKE 'evil%'";
    let name = raw.run(quoted).unwrap().remove(0);
    assert_eq!(raw.run(&format!("SELECT a FROM {name}")).unwrap(), ["1"], "{name}");
    // psql lists them all, and every row comes.
    let listed = endpoint.values(&pro, &["\\d", "\\dt+", "SELECT * FROM hostile"]);
    assert!(listed.contains("evil'; drop table x; --"), "{listed}");
    assert_eq!(count(&mut raw, "SELECT count(*) FROM hostile"), 8);
}

#[test]
fn views_that_read_the_machine_show_nothing_of_it_at_this_door() {
    let site = site();
    fs::create_dir(site.path("hv")).unwrap();
    let folder = site.folder().to_str().unwrap().to_owned();
    if !make_hostile(&site, "view_reads_files.py", &[("/DATA", &folder)])
        || !make_hostile(
            &site,
            "view_http_autoinstall.py",
            &[("p=\"hv/http2/", "import os; os.makedirs('hv/http2'); p=\"hv/http2/")],
        )
    {
        return;
    }
    let endpoint = Endpoint::start(&site);
    let admin = key(&site, "admin", &["--sql"]);
    let mut raw = Raw::connect(&endpoint, &admin);
    let mut tried = 0;
    for entry in fs::read_dir(site.path("hv")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let lakehouse = entry.path().join("lakehouse.duckdb");
        // An endless view and 20 GB of text are about exports.
        if ["endless", "bigstr"].contains(&name.as_str()) || !lakehouse.exists() {
            continue;
        }
        fs::copy(lakehouse, site.lakehouse()).unwrap();
        let exported = site.run(&["export", "--force"]);
        let outcome = format!("{:?}", raw.run("SELECT * FROM v"));
        for secret in ["TOP-SECRET-LINE", "root", "secret", "/home", &folder] {
            assert!(!outcome.contains(secret), "{name}: {outcome} {exported:?}");
        }
        tried += 1;
    }
    assert!(tried >= 8, "{tried}");
    assert_eq!(raw.run("SELECT 1").unwrap(), ["1"]);
}

#[test]
fn noise_silence_and_wrong_keys_harm_nobody_else() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut good = Raw::connect(&endpoint, &pro);
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(seed >> 56).unwrap()
    };
    // Frames of every kind with bodies of noise, and no frames at all, before and after the key.
    for round in 0..200_usize {
        let noise: Vec<u8> = (0..random()).map(|_| random()).collect();
        if round % 2 == 0 {
            let mut stream = TcpStream::connect(endpoint.address).unwrap();
            let _ = stream.write_all(&noise);
        } else if round % 20 == 1 {
            let mut raw = Raw::connect(&endpoint, &pro);
            for kind in b"QPBDESHCXdcfp\0\xff" {
                let mut bytes = vec![*kind];
                bytes.extend(u32::try_from(noise.len() + 4).unwrap().to_be_bytes());
                bytes.extend(&noise);
                let _ = raw.0.write_all(&bytes);
            }
        }
    }
    // A client that never reads: its rows wait, in bounded memory.
    let mut silent = Raw::connect(&endpoint, &pro);
    silent.send(Some(b'Q'), b"SELECT i, repeat('x', 1000) FROM range(1000000000) t(i)\0");
    eventually("rows come", || silent.0.peek(&mut [0]).is_ok());
    let before = endpoint.memory();
    let begun = Instant::now();
    let mut answers = 0;
    while begun.elapsed() < Duration::from_secs(2) || answers <= 20 {
        assert!(begun.elapsed() < Duration::from_mins(1), "only {answers} answers");
        good.send(Some(b'Q'), b"SELECT count(*) FROM psd\0");
        loop {
            match good.message() {
                (b'E', body) => panic!("{}", String::from_utf8_lossy(&body)),
                (b'Z', _) => break,
                _ => {}
            }
        }
        answers += 1;
    }
    let grown = endpoint.memory().saturating_sub(before);
    println!("{answers} answers next to a silent client; {grown} kB grown");
    assert!(grown < 200_000, "{grown} kB");
    // Twenty wrong keys, and the network waits, with the right one too.
    let try_key = |key: &str| {
        let mut raw = Raw(TcpStream::connect(endpoint.address).unwrap());
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        startup.extend(b"user\0x\0\0");
        raw.send(None, &startup);
        let first = raw.message();
        if first.0 == b'E' {
            return String::from_utf8_lossy(&first.1).into_owned();
        }
        raw.send(Some(b'p'), format!("{key}\0").as_bytes());
        String::from_utf8_lossy(&raw.message().1).into_owned()
    };
    let without_scope = key(&site, "pro", &[]);
    assert!(try_key(&without_scope).contains("scope sql"));
    for guess in 0..19 {
        assert!(try_key(&format!("materia_{guess}")).contains("28P01"));
    }
    assert!(try_key(&pro).contains("too many wrong keys"));
    good.send(Some(b'Q'), b"SELECT 1\0");
    assert_eq!(good.message().0, b'T', "who is connected stays");
}

#[test]
fn a_suspended_account_is_disconnected_within_a_second_and_connections_are_counted() {
    let site = site();
    let endpoint = Endpoint::start(&site);
    let starter = key(&site, "starter", &["--sql"]);
    let mut connections: Vec<Raw> = (0..5).map(|_| Raw::connect(&endpoint, &starter)).collect();
    let mut sixth = Raw(TcpStream::connect(endpoint.address).unwrap());
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(b"user\0x\0\0");
    sixth.send(None, &startup);
    sixth.message();
    sixth.send(Some(b'p'), format!("{starter}\0").as_bytes());
    let (kind, body) = sixth.message();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("53300"), "{kind}");
    let mut is_suspended = false;
    at_best_within(Duration::from_secs(1), || {
        if is_suspended {
            site.ok(&["users", "suspend", "starter@example.test", "--lift"]);
            connections = (0..5).map(|_| Raw::connect(&endpoint, &starter)).collect();
        }
        // One of them is in the middle of a statement.
        connections[0].send(Some(b'Q'), b"SELECT count(*) FROM range(1000000000000) a\0");
        site.ok(&["users", "suspend", "starter@example.test"]);
        is_suspended = true;
        let begun = Instant::now();
        for raw in &mut connections {
            let (kind, body) = raw.after_columns();
            assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57P01"), "{kind}");
        }
        begun.elapsed()
    });
}

#[test]
fn a_revoked_key_is_disconnected_within_a_second_and_no_other_of_the_account() {
    let site = site();
    let (endpoint, web) = (Endpoint::start(&site), web(&site));
    let kept = key(&site, "pro", &["--sql", "--name", "kept"]);
    let mut other = Raw::connect(&endpoint, &kept);
    let cookie = web.sign_in("pro@example.test");
    let mut revoked = String::new();
    at_best_within(Duration::from_secs(1), || {
        revoked = key(&site, "pro", &["--sql", "--name", "lost"]);
        let mut connections = [(); 2].map(|()| Raw::connect(&endpoint, &revoked));
        // One of them is in the middle of a statement.
        connections[0].send(Some(b'Q'), b"SELECT count(*) FROM range(1000000000000) a\0");
        let page = web.get("/settings", &cookie).body;
        let row = page.split("<tr>").find(|row| row.contains("Revoke lost")).unwrap();
        let id = row.split("/settings/keys/").nth(1).unwrap().split('/').next().unwrap();
        let answer = web.post(&format!("/settings/keys/{id}/revoke"), &cookie, "");
        assert_eq!(answer.status, 303, "{answer:?}");
        let begun = Instant::now();
        for raw in &mut connections {
            let (kind, body) = raw.after_columns();
            assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57P01"), "{kind}");
        }
        begun.elapsed()
    });
    let mut again = Raw(TcpStream::connect(endpoint.address).unwrap());
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(b"user\0x\0\0");
    again.send(None, &startup);
    again.message();
    again.send(Some(b'p'), format!("{revoked}\0").as_bytes());
    let (kind, body) = again.message();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("28P01"), "{kind}");
    other.send(Some(b'Q'), b"SELECT 1\0");
    assert_eq!(other.message().0, b'T', "the other key stays");
}

#[test]
fn connections_are_encrypted_where_there_is_a_certificate_and_refused_to_listen_in_clear() {
    let site = site();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(site.folder())
        .output();
    site.settings("[postgres]\nlisten = '0.0.0.0:0'\n");
    let refused = site.run(&["postgres"]);
    assert!(refused.code == 1 && refused.stderr.contains("set cert and key"), "{refused:#?}");
    if !made.is_ok_and(|made| made.status.success()) || !has("psql") {
        println!("skipped: openssl is not installed");
        return;
    }
    site.settings("[postgres]\nlisten = '127.0.0.1:0'\ncert = 'cert.pem'\nkey = 'key.pem'\n");
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    assert_eq!(endpoint.values(&pro, &["SHOW ssl"]), "on");
    // What is sent before the handshake is not taken for encrypted.
    let mut raw = TcpStream::connect(endpoint.address).unwrap();
    let mut request = 8_u32.to_be_bytes().to_vec();
    request.extend(80_877_103_u32.to_be_bytes());
    request.extend(b"\0\0\0\x08injected");
    raw.write_all(&request).unwrap();
    raw.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = Vec::new();
    let _ = raw.read_to_end(&mut answer);
    assert_eq!(answer, b"S", "the connection ends without a handshake");
}

#[test]
fn a_unix_socket_serves_and_is_removed_with_the_server() {
    if !has("psql") {
        return;
    }
    let site = site();
    site.settings("[postgres]\nlisten = '127.0.0.1:0'\nsocket = '.'\n");
    let mut endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let port = endpoint.address.port();
    let ran = Command::new("psql")
        .args(["--no-psqlrc", "-At", "-c", "SELECT 1", "-h"])
        .arg(site.folder())
        .args(["-p", &port.to_string(), "-U", "x", "analytics"])
        .env("PGPASSWORD", &pro)
        .output()
        .unwrap();
    assert_eq!(Ran::of(&ran).stdout, "1\n", "{ran:?}");
    let socket = site.path(&format!(".s.PGSQL.{port}"));
    assert!(socket.exists());
    let _ = Command::new("kill").args(["-TERM", &endpoint.process.id().to_string()]).status();
    assert!(endpoint.process.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn node_reads_what_is_served() {
    // Where the browser tests' packages are installed, unless a variable names another folder.
    let modules = std::env::var_os("MATERIA_TEST_NODE_MODULES").map_or_else(
        || Path::new(env!("REPOSITORY")).join("tests/browser/node_modules"),
        PathBuf::from,
    );
    if !modules.join("pg").is_dir() {
        println!("skipped: node's pg is not installed (npm ci in tests/browser)");
        return;
    }
    if !has("node") {
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let script = Path::new(env!("REPOSITORY")).join("tests/postgres/client.cjs");
    let ran = Command::new("node")
        .arg(script)
        .arg(endpoint.url(&key(&site, "pro", &["--sql"])))
        .env("NODE_PATH", modules)
        .output()
        .unwrap();
    let ran = Ran::of(&ran);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn r_reads_what_is_served() {
    let found = Command::new("Rscript").args(["-e", "library(RPostgreSQL)"]).output();
    if !found.is_ok_and(|found| found.status.success()) {
        println!(
            "skipped: R or RPostgreSQL is missing (Debian: apt-get install r-cran-rpostgresql)"
        );
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let ran = Command::new("Rscript")
        .arg(Path::new(env!("REPOSITORY")).join("tests/postgres/client.R"))
        .args([endpoint.address.port().to_string(), key(&site, "pro", &["--sql"])])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let ran = Ran::of(&ran);
    println!("{}", ran.stdout);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn superset_adds_the_database_and_draws_a_chart() {
    // Opt-in: Superset and what it needs are a thousand megabytes.
    if std::env::var_os("MATERIA_TEST_SUPERSET_PYTHON").is_none() {
        println!("skipped: MATERIA_TEST_SUPERSET_PYTHON is not set");
        return;
    }
    let site = site();
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    script("MATERIA_TEST_SUPERSET_PYTHON", "draw.py", &endpoint, &pro, &[]);
}
