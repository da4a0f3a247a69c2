//! An S3 server for a test: s3s-fs, which stores objects as files in a folder, on a free local
//! port, ended together with the process that started it. `MATERIA_TEST_S3` names the program;
//! `dev_run.sh test` sets it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Tests search for it where it must not appear.
pub(crate) const SECRET: &str = "hunter2-of-the-storage";
/// The key id of the secret.
pub(crate) const KEY_ID: &str = "materia";
/// The name of the bucket.
pub(crate) const BUCKET: &str = "lake";

/// Prints the server's process id, ends the server when its input is closed, and removes the folder
/// unless the input was `stay`.
const KEEPER: &str = r#"trap "" INT; folder=$1; shift; "$@" >/dev/null 2>&1 </dev/null & echo $!; told=$(cat); kill -KILL $!; wait $!
[ "$told" = stay ] || rm -rf "$folder""#;

/// A server.
pub(crate) struct S3 {
    program: OsString,
    folder: PathBuf,
    port: u16,
    running: Option<(Child, String)>,
}

impl S3 {
    /// Starts a new server with an empty bucket; prints a reason and returns `None` without the
    /// program.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = env::var_os("MATERIA_TEST_S3") else {
            println!(
                "skipped: MATERIA_TEST_S3 does not name an S3 server (cargo install s3s-fs --features binary)"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        fs::create_dir(folder.join(BUCKET)).unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { program, folder, port, running: None };
        server.begin();
        Some(server)
    }

    /// Restarts it with the stored objects.
    pub(crate) fn begin(&mut self) {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.folder).arg(&self.program).args([
            "--host",
            "127.0.0.1",
            "--access-key",
            KEY_ID,
            "--secret-key",
            SECRET,
        ]);
        keeper.arg("--port").arg(self.port.to_string()).arg(&self.folder);
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut id = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut id).unwrap();
        self.running = Some((keeper, id.trim().to_owned()));
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "{} does not start", self.program.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, so that connections are refused.
    pub(crate) fn end(&mut self) {
        if let Some((mut keeper, _)) = self.running.take() {
            keeper.stdin.take().unwrap().write_all(b"stay").unwrap();
            keeper.wait().unwrap();
        }
    }

    /// Suspends it (`STOP`), so that it accepts connections and never responds, or resumes it
    /// (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        let (_, id) = self.running.as_ref().unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), id]).status().unwrap().success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the statement that gives a DuckDB access at this local port: the server's own, or
    /// that of a proxy.
    pub(crate) fn secret(port: u16) -> String {
        format!(
            "CREATE SECRET storage (TYPE s3, KEY_ID '{KEY_ID}', SECRET '{SECRET}', ENDPOINT '127.0.0.1:{port}', REGION 'us-east-1', \
             URL_STYLE 'path', USE_SSL false)"
        )
    }

    /// Returns the folder of the bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }

    /// Returns the names of all objects in the bucket, sorted.
    pub(crate) fn objects(&self) -> Vec<String> {
        let bucket = self.bucket();
        let (mut objects, mut folders) = (Vec::new(), vec![bucket.clone()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = |path: &PathBuf| {
                    path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned()
                };
                if path.is_dir() { folders.push(path) } else { objects.push(name(&path)) }
            }
        }
        objects.sort();
        objects
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
