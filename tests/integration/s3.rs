//! An S3 server of the test's own: s3s-fs, which keeps objects as files in a folder, on a free port of this machine, gone with the process that began it.
//! `MATERIA_TEST_S3` names the program; `dev_run.sh test` sets it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// What the tests look for where it must not be.
pub(crate) const SECRET: &str = "hunter2-of-the-storage";
/// Whose secret it is.
pub(crate) const KEY_ID: &str = "materia";
/// The bucket that there is.
pub(crate) const BUCKET: &str = "lake";

/// Tells the server's id, and ends the server when nobody holds its input any more.
const KEEPER: &str = r#"trap "" INT; "$@" >/dev/null 2>&1 </dev/null & echo $!; cat >/dev/null; kill -KILL $!; wait $!"#;

/// A server.
pub(crate) struct S3 {
    program: OsString,
    folder: TempDir,
    port: u16,
    running: Option<(Child, String)>,
}

impl S3 {
    /// Starts a new one with an empty bucket; nothing, with the reason printed, where there is no program.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = env::var_os("MATERIA_TEST_S3") else {
            println!("skipped: MATERIA_TEST_S3 does not name an S3 server (cargo install s3s-fs --features binary)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { program, folder, port, running: None };
        server.begin();
        Some(server)
    }

    /// Lets it run again, with what it had stored.
    pub(crate) fn begin(&mut self) {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.program).args([
            "--host",
            "127.0.0.1",
            "--access-key",
            KEY_ID,
            "--secret-key",
            SECRET,
        ]);
        keeper.arg("--port").arg(self.port.to_string()).arg(self.folder.path());
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut id = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut id).unwrap();
        self.running = Some((keeper, id.trim().to_owned()));
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "{} does not start", self.program.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once: it refuses.
    pub(crate) fn end(&mut self) {
        if let Some((mut keeper, _)) = self.running.take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }

    /// Makes it stand still (`STOP`): it takes connections and never answers; or go on (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        let (_, id) = self.running.as_ref().unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), id]).status().unwrap().success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The secret that lets a DuckDB in, at this port of this machine: the server's own, or that of a wire to it.
    pub(crate) fn secret(port: u16) -> String {
        format!(
            "CREATE SECRET storage (TYPE s3, KEY_ID '{KEY_ID}', SECRET '{SECRET}', ENDPOINT '127.0.0.1:{port}', REGION 'us-east-1', \
             URL_STYLE 'path', USE_SSL false)"
        )
    }

    /// The names of everything in the bucket, sorted.
    pub(crate) fn objects(&self) -> Vec<String> {
        let bucket = self.folder.path().join(BUCKET);
        let (mut objects, mut folders) = (Vec::new(), vec![bucket.clone()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = |path: &PathBuf| path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned();
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
    }
}
