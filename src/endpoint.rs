//! The PostgreSQL endpoint as its operators see it: whether it responds, who is connected, and what
//! runs. They reach it over its Unix socket, as the owner of its process.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{humanize, settings::PostgresSettings};

/// The user as whom the owner of the process connects without a key.
pub const LOCAL_USER: &str = "operator";
/// The account of such a connection.
pub const LOCAL_ACCOUNT: &str = "local";
/// The statement whose rows are the connections.
const LIST: &str = "SHOW materia.connections";
/// How long the endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the endpoint did not answer a statement of its operator.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No socket is configured.
    #[error(
        "operators reach the endpoint over its Unix socket: set [postgres] socket to a folder, and restart it"
    )]
    NoSocket,
    /// Nothing answers at the socket.
    #[error("{}: {source}; is materia postgres running?", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    /// The endpoint answers, but not this user or statement.
    #[error("{}: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
}

/// A connection to the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection {
    pub pid: i32,
    /// The account's id.
    pub account: String,
    pub email: String,
    /// The plan, or `operator`.
    pub plan: String,
    /// What the client calls itself.
    pub application: String,
    pub address: String,
    pub connected_at: Option<Timestamp>,
    /// `active` while a statement runs, or `idle`.
    pub state: String,
    /// The hash of the statement that runs, as in the log.
    pub statement: Option<String>,
    pub running_since: Option<Timestamp>,
    /// Statements since it was opened.
    pub statements: u64,
    /// The statement that runs.
    pub query: Option<String>,
}

impl Connection {
    /// The columns of the endpoint's list, in this order.
    pub const COLUMNS: [&str; 12] = [
        "pid",
        "account",
        "email",
        "plan",
        "application",
        "address",
        "connected_at",
        "state",
        "statement",
        "running_since",
        "statements",
        "query",
    ];

    /// Returns its values in the order of [`Self::COLUMNS`].
    #[must_use]
    pub fn to_row(&self) -> Vec<String> {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("{at:.0}"));
        vec![
            self.pid.to_string(),
            self.account.clone(),
            self.email.clone(),
            self.plan.clone(),
            self.application.clone(),
            self.address.clone(),
            time(self.connected_at),
            self.state.clone(),
            self.statement.clone().unwrap_or_default(),
            time(self.running_since),
            self.statements.to_string(),
            self.query.clone().unwrap_or_default(),
        ]
    }

    fn from_row(row: &[String]) -> Option<Self> {
        let text = |name: &str| {
            let at = Self::COLUMNS.iter().position(|column| *column == name)?;
            row.get(at).cloned()
        };
        let optional = |name: &str| text(name).filter(|text| !text.is_empty());
        let time = |name: &str| text(name).and_then(|text| text.parse().ok());
        Some(Self {
            pid: text("pid")?.parse().ok()?,
            account: text("account")?,
            email: text("email")?,
            plan: text("plan")?,
            application: text("application")?,
            address: text("address")?,
            connected_at: time("connected_at"),
            state: text("state")?,
            statement: optional("statement"),
            running_since: time("running_since"),
            statements: text("statements")?.parse().ok()?,
            query: optional("query"),
        })
    }

    /// Returns whether it is not an operator's who asks who is connected.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.account != LOCAL_ACCOUNT
    }
}

/// Returns the connections, the oldest first.
///
/// # Errors
/// The endpoint does not answer, or not this user.
pub fn connections(settings: &PostgresSettings) -> Result<Vec<Connection>, EndpointError> {
    let rows = query(settings, LIST)?;
    Ok(rows.iter().filter_map(|row| Connection::from_row(row)).collect())
}

/// Stops the statement of a connection, or ends the connection. Returns false if there is none with
/// this number.
///
/// # Errors
/// The endpoint does not answer, or not this user.
pub fn stop(
    settings: &PostgresSettings,
    pid: i32,
    disconnect: bool,
) -> Result<bool, EndpointError> {
    let function = if disconnect { "pg_terminate_backend" } else { "pg_cancel_backend" };
    let rows = query(settings, &format!("SELECT {function}({pid})"))?;
    Ok(rows.first().and_then(|row| row.first()).is_some_and(|done| done == "t"))
}

/// Whether the endpoint responds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// It responds; the connections are unknown if it belongs to another user.
    Answers(Option<Vec<Connection>>),
    /// Why it does not respond.
    Down(String),
}

impl EndpointState {
    /// Requests the state of the endpoint; `None` if the settings name neither a socket nor an
    /// address of its metrics, and so do not tell whether there is one.
    #[must_use]
    pub fn request(settings: &PostgresSettings) -> Option<Self> {
        if settings.socket.is_some() {
            return Some(match connections(settings) {
                Ok(connections) => Self::Answers(Some(connections)),
                Err(EndpointError::Refused { .. }) => Self::Answers(None),
                Err(EndpointError::Unreachable { path, source }) => {
                    Self::Down(format!("{}: {}", path.display(), describe(&source)))
                }
                Err(error @ EndpointError::NoSocket) => Self::Down(error.to_string()),
            });
        }
        let address = settings.metrics?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .user_agent("materia")
            .build()
            .new_agent();
        Some(match agent.get(format!("http://{address}/metrics")).call() {
            Ok(_) => Self::Answers(None),
            Err(ureq::Error::Timeout(_)) => Self::Down(timed_out()),
            Err(error) => Self::Down(format!("http://{address}/metrics: {error}")),
        })
    }

    /// Describes the load in a line: connections and statements that run.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Down(why) => format!("does not respond: {why}"),
            Self::Answers(None) => "responds".to_owned(),
            Self::Answers(Some(_)) => format!(
                "{}, {} running",
                humanize::plural(self.connections().unwrap_or_default(), "connection"),
                humanize::plural(self.running().unwrap_or_default(), "statement")
            ),
        }
    }

    /// Returns the number of connections of clients, if it is known.
    #[must_use]
    pub fn connections(&self) -> Option<usize> {
        self.clients().map(Iterator::count)
    }

    /// Returns the number of clients whose statement runs, if it is known.
    #[must_use]
    pub fn running(&self) -> Option<usize> {
        Some(self.clients()?.filter(|client| client.query.is_some()).count())
    }

    /// Returns the connections of clients, if they are known.
    #[must_use]
    pub fn clients(&self) -> Option<impl Iterator<Item = &Connection>> {
        match self {
            Self::Answers(Some(connections)) => {
                Some(connections.iter().filter(|connection| connection.is_client()))
            }
            Self::Answers(None) | Self::Down(_) => None,
        }
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => timed_out(),
        _ => error.to_string(),
    }
}

fn timed_out() -> String {
    format!("it did not answer within {}", humanize::duration(TIMEOUT))
}

/// Returns the path of the socket; if the port is chosen by the system, of the only one.
fn socket_in(folder: &Path, port: u16) -> PathBuf {
    let named = folder.join(format!(".s.PGSQL.{port}"));
    if port != 0 {
        return named;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut sockets =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".s.PGSQL."));
    sockets.next().map_or(named, |entry| entry.path())
}

/// Runs one statement, and returns its rows as text.
fn query(settings: &PostgresSettings, sql: &str) -> Result<Vec<Vec<String>>, EndpointError> {
    let folder = settings.socket.as_deref().ok_or(EndpointError::NoSocket)?;
    let path = socket_in(folder, settings.listen.port());
    ask(&path, sql).map_err(|error| match error {
        ExchangeError::Refused(reason) => EndpointError::Refused { path, reason },
        ExchangeError::Unreachable(source) => EndpointError::Unreachable { path, source },
    })
}

/// Why a statement has no result.
enum ExchangeError {
    /// The endpoint's reason.
    Refused(String),
    Unreachable(io::Error),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Returns the rows of one statement.
fn ask(socket: &Path, sql: &str) -> Result<Vec<Vec<String>>, ExchangeError> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(format!("user\0{LOCAL_USER}\0application_name\0materia\0\0").as_bytes());
    send(&mut stream, None, &startup)?;
    let mut rows = Vec::new();
    let mut is_asked = false;
    loop {
        let (kind, body) = receive(&mut stream)?;
        match kind {
            b'E' => return Err(ExchangeError::Refused(message(&body))),
            b'R' if body != [0, 0, 0, 0] => {
                let reason = "it is run by another user; use that one, or root";
                return Err(ExchangeError::Refused(reason.to_owned()));
            }
            b'D' => rows.push(values(&body)),
            b'Z' if is_asked => {
                send(&mut stream, Some(b'X'), b"")?;
                return Ok(rows);
            }
            b'Z' => {
                send(&mut stream, Some(b'Q'), format!("{sql}\0").as_bytes())?;
                is_asked = true;
            }
            _ => {}
        }
    }
}

fn send(stream: &mut UnixStream, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    let message: Vec<u8> =
        kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect();
    stream.write_all(&message)
}

fn receive(stream: &mut UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body)?;
    Ok((kind, body))
}

/// Splits off the first `length` bytes, or what is left.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (first, left) = rest.split_at(length.min(rest.len()));
    *rest = left;
    first
}

fn number(rest: &mut &[u8], length: usize) -> i32 {
    take(rest, length).iter().fold(0, |number, byte| (number << 8) | i32::from(*byte))
}

fn values(body: &[u8]) -> Vec<String> {
    let mut rest = body;
    let count = number(&mut rest, 2);
    (0..count)
        .map(|_| {
            let length = usize::try_from(number(&mut rest, 4)).unwrap_or(0);
            String::from_utf8_lossy(take(&mut rest, length)).into_owned()
        })
        .collect()
}

fn message(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let texts: Vec<_> = fields
        .filter_map(|field| field.split_first())
        .filter(|(kind, _)| b"MH".contains(kind))
        .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
        .collect();
    texts.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn connection(query: Option<&str>) -> Connection {
        Connection {
            pid: 7,
            account: "a1".to_owned(),
            email: "ada@example.test".to_owned(),
            plan: "pro".to_owned(),
            application: "psql".to_owned(),
            address: "127.0.0.1:5".to_owned(),
            connected_at: "2026-11-28T10:00:00Z".parse().ok(),
            state: if query.is_some() { "active" } else { "idle" }.to_owned(),
            statement: query.map(|_| "hash".to_owned()),
            running_since: query.and_then(|_| "2026-11-28T10:00:05Z".parse().ok()),
            statements: 3,
            query: query.map(str::to_owned),
        }
    }

    #[test]
    fn a_connection_is_read_as_it_was_listed() {
        for query in [None, Some("SELECT 1")] {
            let connection = connection(query);
            assert_eq!(connection.to_row().len(), Connection::COLUMNS.len());
            assert_eq!(Connection::from_row(&connection.to_row()), Some(connection));
        }
        assert_eq!(Connection::from_row(&["x".to_owned()]), None);
    }

    #[test]
    fn operators_who_look_are_not_counted_as_load() {
        let looking = Connection { account: LOCAL_ACCOUNT.to_owned(), ..connection(Some(LIST)) };
        let all = vec![connection(None), connection(Some("SELECT 1")), looking];
        let state = EndpointState::Answers(Some(all));
        assert_eq!(state.summary(), "2 connections, 1 statement running");
    }

    #[test]
    fn without_a_socket_or_metrics_there_may_be_no_endpoint() {
        let mut settings = PostgresSettings::default();
        assert_eq!(EndpointState::request(&settings), None);
        let folder = tempfile::tempdir().unwrap();
        settings.socket = Some(folder.path().to_owned());
        let Some(EndpointState::Down(why)) = EndpointState::request(&settings) else {
            panic!("nothing runs")
        };
        assert!(why.ends_with(".s.PGSQL.5433: there is no socket"), "{why}");
        assert!(stop(&settings, 1, false).unwrap_err().to_string().contains("running?"));
    }
}
