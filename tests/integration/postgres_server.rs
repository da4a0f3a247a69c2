//! A PostgreSQL server for a test: in a temporary folder, on a free local port, ended together with
//! the process that started it, however that ends. Without the programs, tests are skipped with a
//! printed reason.

use std::{
    fs,
    io::{ErrorKind, Write},
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// Tests search for it where it must not appear.
pub(crate) const PASSWORD: &str = "hunter2-of-the-accounts";

/// Keeps the server running until every writer has closed its input, ends it by its id, and removes
/// the folder unless the input was `stay`.
const KEEPER: &str = r#"trap "" INT; postgres=$1 folder=$2 port=$3; shift 3
"$@" "$postgres" -D "$folder/data" -c port="$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
    -c max_connections=300 >>"$folder/log" 2>&1 </dev/null &
told=$(cat); kill -INT $!; wait $!; [ "$told" = stay ] || rm -rf "$folder""#;

/// A server.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a new server; prints a reason and returns `None` if PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server =
            Self { programs, folder, port, keeper: None, databases: AtomicU32::new(0) };
        fs::write(server.folder.join("password"), PASSWORD).unwrap();
        if is_root() {
            let owned = Command::new("chown")
                .args(["-R", "postgres"])
                .arg(&server.folder)
                .status()
                .unwrap();
            assert!(owned.success());
        }
        let mut made = server.as_owner("initdb");
        made.args([
            "--no-sync",
            "--no-instructions",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            "--username=materia",
        ]);
        let made = made
            .arg("--pwfile")
            .arg(server.folder.join("password"))
            .arg("-D")
            .arg(server.folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.begin();
        Some(server)
    }

    /// Restarts it.
    pub(crate) fn begin(&mut self) {
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(self.programs.join("postgres"))
            .arg(&self.folder)
            .arg(self.port.to_string());
        keeper.args(owner()).current_dir(&self.folder);
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.psql("postgres", "SELECT 1").output().unwrap().status.success() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Stops it: clients are disconnected, and new connections are refused.
    pub(crate) fn end(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.stdin.take().unwrap().write_all(b"stay").unwrap();
            keeper.wait().unwrap();
        }
    }

    /// Suspends all its processes (`STOP`), or resumes them (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        let listed = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let main = listed.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        let all = children.split_whitespace().chain([main.as_str()]);
        assert!(
            Command::new("kill").arg(format!("-{signal}")).args(all).status().unwrap().success()
        );
    }

    /// Creates a new, empty database and returns its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("accounts_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Returns the URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://materia:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the result of a statement, row by row.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let ran = self.psql(database, sql).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Returns the entire contents of a database.
    pub(crate) fn dump(&self, database: &str) -> String {
        let ran = Command::new(self.program("pg_dump")).arg(self.url(database)).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Writes a backup of a database.
    pub(crate) fn back_up(&self, database: &str, to: &Path) {
        let mut command = Command::new(self.program("pg_dump"));
        let ran = command.args(["--format=custom", "--file"]).arg(to).arg(self.url(database));
        let ran = ran.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Restores a backup into a database, in place of what is there.
    pub(crate) fn restore(&self, database: &str, from: &Path) {
        let mut command = Command::new(self.program("pg_restore"));
        command.args(["--clean", "--if-exists", "--exit-on-error", "--dbname"]);
        let ran = command.arg(self.url(database)).arg(from).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Returns the path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]);
        command.arg(self.url(database)).arg("--command").arg(sql);
        command
    }

    fn as_owner(&self, program: &str) -> Command {
        let words: Vec<_> =
            owner().into_iter().map(PathBuf::from).chain([self.programs.join(program)]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the user of the server, since PostgreSQL refuses to run as root.
fn owner() -> Vec<&'static str> {
    if is_root() {
        vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    } else {
        Vec::new()
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Returns the folder of the programs: on the path, or Debian's newest version.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = match fs::read_dir("/usr/lib/postgresql") {
        Ok(entries) => entries.map(|entry| entry.unwrap().path().join("bin")).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let mut versions: Vec<PathBuf> = versions;
    versions.sort_by_key(|bin| {
        bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok())
    });
    let all = |bin: &PathBuf| {
        ["postgres", "initdb", "psql", "pg_dump", "pg_restore"]
            .iter()
            .all(|name| bin.join(name).exists())
    };
    std::env::split_paths(&path).chain(versions.into_iter().rev()).find(all)
}
