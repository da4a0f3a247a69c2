//! The site as a separate process, and the contents of its log.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Site, eventually};

/// `materia web` in a site's folder; killed on drop.
pub(crate) struct Web {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Web {
    /// Starts it in debug mode and waits until it responds.
    pub(crate) fn start(site: &Site, variables: &[(&str, &str)]) -> Self {
        let (address, log) = (free_address(), site.path("web.log"));
        let mut command: Command = site.command(&["web"]);
        command
            .env("MATERIA_LISTEN", address.to_string())
            .env("DATABASE_URL", "sqlite://accounts.db")
            .env("DEBUG", "true");
        command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").envs(variables.iter().copied());
        let process =
            command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let web = Self { process, address, log };
        eventually("the site answers", || web.get("/health", "").starts_with("HTTP/1.1 200"));
        web
    }

    /// Sends a GET request and returns the response, head and body; `None` without a listener.
    /// `head` has further header lines of the request.
    pub(crate) fn get(&self, path: &str, head: &str) -> String {
        self.send("GET", path, head, "")
    }

    /// Sends a request and returns the response.
    pub(crate) fn send(&self, method: &str, path: &str, head: &str, body: &str) -> String {
        let (address, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        ask(address, &request).unwrap_or_default()
    }

    /// Returns its output so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns an address without a listener.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends a request verbatim and reads until the other side closes; `None` without a listener.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
