//! Connections: listening, encryption, authentication, limits.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use materia::{
    endpoint::{Connection, LOCAL_ACCOUNT, LOCAL_USER},
    plan::Plan,
    reader::Reader,
    settings::{PostgresLimits, Settings},
};
use pgwire::messages::{
    PgWireBackendMessage as Message, PgWireFrontendMessage, SslNegotiationMetaMessage,
    response::{ErrorResponse, GssEncResponse, ReadyForQuery, SslResponse, TransactionStatus},
    startup::{
        Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
        Startup,
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sd_notify::NotifyState;
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Notify, Semaphore, watch},
    time::{interval, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::{
    AuthError, Authenticator, Identity, StartError,
    activity::Activity,
    audience::Audiences,
    crash_record::{CrashHistory, CrashRecord, RecordedLine, RunningStatement},
    engines::Engines,
    error::{
        ADMIN_SHUTDOWN, CANNOT_CONNECT_NOW, CRASH_SHUTDOWN, INVALID_AUTHORIZATION,
        INVALID_PASSWORD, PROGRAM_LIMIT_EXCEEDED, PROTOCOL_VIOLATION, SqlError,
        TOO_MANY_CONNECTIONS,
    },
    memory::ConnectionMemory,
    metrics::Metrics,
    session::Session,
    session_settings::SessionSettings,
    wire::{Stream, Wire, WireError},
};

/// Time from the connection to the end of authentication.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the keys of open connections are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(400);
/// Wrong passwords from one network within [`GUESS_WINDOW`].
const MAX_GUESSES: u32 = 20;
const GUESS_WINDOW: Duration = Duration::from_mins(15);
/// Networks whose wrong passwords are remembered.
const MAX_NETWORKS: usize = 10_000;

/// Connections of one network that have not authenticated yet; a further one ends the oldest.
const MAX_STARTING_OF_NETWORK: usize = 64;
/// Connections of all networks that have not authenticated yet.
const MAX_STARTING: usize = 1_000;
/// Connections beyond the limit that only operators use.
const RESERVED_CONNECTIONS: usize = 3;
/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// `None` over a Unix socket.
    address: Option<SocketAddr>,
    /// Whether it is a process of the user who owns this one, or of root.
    is_owner: bool,
}

/// How others reach one connection.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) pid: i32,
    pub(crate) activity: Activity,
    secret: i32,
    cancel: Notify,
    /// Why the connection is to end.
    killed: watch::Sender<Option<SqlError>>,
    identity: Mutex<Option<Identity>>,
    peer: Peer,
    since: Timestamp,
}

impl Control {
    /// Completes when the client, or an operator, cancels its statement.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    /// A cancellation concerns the statement that runs when it arrives, and no later one.
    pub(crate) fn forget_cancellation(&self) {
        let _ = self.cancel.notified().now_or_never();
    }

    async fn killed(&self) -> SqlError {
        let mut killed = self.killed.subscribe();
        let error = killed.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        error.unwrap_or_else(|| SqlError::fatal(ADMIN_SHUTDOWN, "the connection was ended"))
    }

    /// Stops the statement that is running.
    pub(crate) fn cancel(&self) {
        self.cancel.notify_one();
    }

    pub(crate) fn kill(&self, error: SqlError) {
        self.killed.send_if_modified(|killed| {
            let first = killed.is_none();
            if first {
                *killed = Some(error);
            }
            first
        });
    }
}

/// What is known of crashes of the engine.
pub(crate) struct Crashes {
    record: Option<Arc<CrashRecord>>,
    /// Until when statements are refused, by their hash.
    refused: HashMap<String, SystemTime>,
}

impl Crashes {
    fn new(record: Option<Arc<CrashRecord>>, history: CrashHistory) -> Self {
        let refused = history.refused.into_iter().map(|refused| (refused.hash, refused.until));
        Self { record, refused: refused.collect() }
    }

    /// Records that a statement runs, unless it is one that crashed the engine.
    pub(crate) fn begin(
        &self,
        hash: &str,
        account: &str,
    ) -> Result<Option<RecordedLine>, SqlError> {
        if let Some(until) = self.refused.get(hash)
            && let Ok(left) = until.duration_since(SystemTime::now())
        {
            let left = materia::humanize::duration(left);
            return Err(SqlError::new(
                CRASH_SHUTDOWN,
                format!("the engine crashed while this statement ran; it is refused for {left}"),
            )
            .hint(format!("Write it differently, or report the statement {hash}.")));
        }
        let statement = RunningStatement { hash: hash.to_owned(), account: account.to_owned() };
        Ok(self.record.as_ref().map(|record| record.begin(&statement)))
    }
}

/// What all connections share.
pub(crate) struct Server {
    pub(crate) engines: Engines,
    pub(crate) audiences: Audiences,
    /// Where running statements are recorded, and which are refused.
    pub(crate) crashes: Crashes,
    /// The name of the database.
    pub(crate) database: String,
    pub(crate) metrics: Metrics,
    settings: materia::settings::PostgresSettings,
    schema: String,
    authenticator: Arc<dyn Authenticator>,
    connections: Mutex<HashMap<i32, Arc<Control>>>,
    guesses: Mutex<HashMap<IpAddr, (u32, Instant)>>,
    next_pid: AtomicI32,
    tls: Option<TlsAcceptor>,
}

impl Server {
    pub(crate) fn limits_of(&self, identity: &Identity) -> PostgresLimits {
        self.settings.limits_of(identity.plan, identity.operator)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<i32, Arc<Control>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guesses(&self) -> MutexGuard<'_, HashMap<IpAddr, (u32, Instant)>> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection that has yet to authenticate. Silent ones of the same network make room
    /// for it, the oldest first.
    fn register(self: &Arc<Self>, peer: Peer) -> Result<Registration, getrandom::Error> {
        let mut secret = [0; 4];
        getrandom::fill(&mut secret)?;
        let control = Arc::new(Control {
            pid: self.next_pid.fetch_add(1, Ordering::Relaxed) & i32::MAX,
            activity: Activity::default(),
            secret: i32::from_be_bytes(secret),
            cancel: Notify::new(),
            killed: watch::Sender::new(None),
            identity: Mutex::default(),
            peer,
            since: Timestamp::now(),
        });
        let mut connections = self.connections();
        let from = peer.address.map(|address| network(address.ip()));
        let starting: Vec<_> = connections
            .values()
            .filter(|other| other.identity().is_none())
            .map(|other| (other.pid, other.peer.address.map(|address| network(address.ip()))))
            .collect();
        let of_network = starting.iter().filter(|(_, network)| *network == from).count();
        if of_network >= MAX_STARTING_OF_NETWORK || starting.len() >= MAX_STARTING {
            let is_full = starting.len() >= MAX_STARTING;
            let candidates = starting.iter().filter(|(_, network)| is_full || *network == from);
            if let Some(oldest) = candidates.map(|(pid, _)| *pid).min()
                && let Some(oldest) = connections.remove(&oldest)
            {
                oldest.kill(SqlError::fatal(TOO_MANY_CONNECTIONS, "too many connections"));
            }
        }
        connections.insert(control.pid, control.clone());
        self.metrics.connections.set(connections.len().try_into().unwrap_or(i64::MAX));
        self.metrics.accepted.inc();
        drop(connections);
        Ok(Registration { server: self.clone(), control })
    }

    /// Returns who is connected, as rows for operators; to others, their account's connections.
    pub(crate) fn list(&self, who: &Identity) -> Vec<Vec<String>> {
        let connections = self.connections();
        let mut listed: Vec<_> = connections
            .values()
            .filter_map(|control| Some((control.clone(), control.identity().clone()?)))
            .filter(|(_, other)| who.operator || who.account == other.account)
            .collect();
        drop(connections);
        listed.sort_by_key(|(control, _)| (control.since, control.pid));
        let described = listed.iter().map(|(control, identity)| describe(control, identity));
        described.map(|connection| connection.to_row()).collect()
    }

    /// Stops the statement of a connection, or ends it; only an operator reaches other accounts'.
    /// Returns false if there is no such connection.
    pub(crate) fn signal(&self, who: &Identity, pid: i32, terminates: bool) -> bool {
        let found = self.connections().get(&pid).cloned();
        let Some(control) = found else { return false };
        let is_allowed = control
            .identity()
            .as_ref()
            .is_some_and(|other| who.operator || who.account == other.account);
        if !is_allowed {
            return false;
        }
        if terminates {
            control.kill(SqlError::fatal(
                ADMIN_SHUTDOWN,
                "terminating connection due to administrator command",
            ));
        } else {
            control.cancel();
        }
        tracing::info!(by = who.account, connection = pid, terminates, "stopped");
        true
    }

    /// Returns the number of statements that run.
    pub(crate) fn running(&self) -> usize {
        self.connections().values().map(|control| control.activity.running()).sum()
    }

    fn cancel(&self, pid: i32, secret: &SecretKey) {
        let found = self.connections().get(&pid).cloned();
        if let Some(control) = found
            && *secret == SecretKey::I32(control.secret)
        {
            control.cancel();
        }
    }

    /// Gives a connection to an account, within its plan's number.
    fn assign(&self, control: &Control, identity: &Identity) -> Result<(), SqlError> {
        let connections = self.connections();
        let (mut all, mut same) = (0, 0);
        for other in connections.values() {
            if let Some(other) = other.identity().as_ref() {
                all += 1;
                same += usize::from(other.account == identity.account);
            }
        }
        let reserved = if identity.operator { RESERVED_CONNECTIONS } else { 0 };
        if all >= self.settings.connections + reserved {
            return Err(SqlError::fatal(TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        let most = self.limits_of(identity).connections;
        if same >= most {
            return Err(SqlError::fatal(
                TOO_MANY_CONNECTIONS,
                format!("too many connections: the plan {} allows {most} at once", identity.plan),
            )
            .hint("Close connections that are not needed, or use a pool."));
        }
        *control.identity() = Some(identity.clone());
        Ok(())
    }

    /// Returns how long a network must wait after too many wrong passwords.
    fn guess_delay(&self, peer: Option<IpAddr>) -> Option<Duration> {
        let guesses = self.guesses();
        let (count, since) = guesses.get(&network(peer?))?;
        let left = GUESS_WINDOW.checked_sub(since.elapsed())?;
        (*count >= MAX_GUESSES).then_some(left)
    }

    fn count_guess(&self, peer: Option<IpAddr>) {
        self.metrics.refused.inc();
        let Some(peer) = peer else { return };
        let mut guesses = self.guesses();
        if guesses.len() >= MAX_NETWORKS {
            guesses.retain(|_, (_, since)| since.elapsed() < GUESS_WINDOW);
        }
        if guesses.len() >= MAX_NETWORKS {
            guesses.clear();
        }
        let entry = guesses.entry(network(peer)).or_insert((0, Instant::now()));
        if entry.1.elapsed() >= GUESS_WINDOW {
            *entry = (0, Instant::now());
        }
        entry.0 += 1;
    }
}

impl Control {
    fn identity(&self) -> MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the network that an address is counted as: an IPv6 customer has 2^64 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

fn describe(control: &Control, identity: &Identity) -> Connection {
    let seen = control.activity.snapshot();
    let (statement, query, running_since) = match seen.running {
        Some((hash, text, since)) => (Some(hash), Some(text), Some(since)),
        None => Default::default(),
    };
    let address = control.peer.address;
    Connection {
        pid: control.pid,
        account: identity.account.clone(),
        email: identity.email.clone(),
        plan: if identity.operator { "operator".to_owned() } else { identity.plan.to_string() },
        application: seen.application,
        address: address.map_or_else(|| LOCAL_ACCOUNT.to_owned(), |peer| peer.to_string()),
        connected_at: Some(control.since),
        state: if query.is_some() { "active" } else { "idle" }.to_owned(),
        statement,
        running_since,
        statements: seen.statements,
        query,
    }
}

/// A connection's place among the others, while this value lives.
struct Registration {
    server: Arc<Server>,
    control: Arc<Control>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut connections = self.server.connections();
        connections.remove(&self.control.pid);
        self.server.metrics.connections.set(connections.len().try_into().unwrap_or(i64::MAX));
    }
}

/// Serves until `stop` completes.
///
/// Running statements are written to `record`, if the process has a supervisor.
///
/// # Errors
/// The server cannot start.
pub async fn run(
    settings: &Settings,
    authenticator: Arc<dyn Authenticator>,
    record: Option<CrashRecord>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let postgres = settings.postgres.clone();
    let tls = acceptor(postgres.cert.as_deref(), postgres.key.as_deref())?;
    if tls.is_none() && !postgres.listen.ip().is_loopback() {
        return Err(StartError::NoEncryption { address: postgres.listen });
    }
    let target = settings.target()?;
    let schema = settings.export.served_schema().to_owned();
    let record = record.map(Arc::new);
    let history = record.as_ref().map(|record| record.history()).unwrap_or_default();
    let database = target
        .display_name()
        .file_stem()
        .map_or_else(|| "materia".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let server = Arc::new(Server {
        engines: Engines::new(target.clone(), schema.clone(), postgres.clone()),
        crashes: Crashes::new(record.clone(), history.clone()),
        audiences: Audiences::new(settings.tables.clone(), &database),
        database,
        metrics: Metrics::new(history.crashes),
        schema,
        authenticator,
        connections: Mutex::default(),
        guesses: Mutex::default(),
        next_pid: AtomicI32::new(1),
        tls,
        settings: postgres.clone(),
    });
    let listener = TcpListener::bind(postgres.listen)
        .await
        .map_err(|source| StartError::Listen { address: postgres.listen.to_string(), source })?;
    let address = listener.local_addr()?;
    if let Some(record) = &record {
        record.set_address(address)?;
    }
    let mut names = vec![address.to_string()];
    let socket = match &postgres.socket {
        Some(folder) => {
            let (listener, path) = bind_socket(folder, address.port())?;
            names.push(path.display().to_string());
            Some((listener, SocketFile(path)))
        }
        None => None,
    };
    if let Some(address) = postgres.metrics {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.to_string(), source })?;
        tokio::spawn(crate::metrics::serve(listener, server.clone()));
    }
    let checks = tokio::spawn(check_keys(server.clone()));
    tracing::info!(
        address = names.join(", "),
        served = %target.display_name().display(),
        "serving"
    );
    notify_systemd(NotifyState::Ready);
    let accepting = accept(&server, &listener, socket.as_ref().map(|(listener, _)| listener));
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    tracing::info!("stopping");
    notify_systemd(NotifyState::Stopping);
    checks.abort();
    drop((listener, socket));
    end_connections(&server).await;
    Ok(())
}

/// Reports the state to systemd, if it started the process.
fn notify_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot reach systemd");
    }
}

/// Tells every client that the server stops, and waits for them for a moment.
async fn end_connections(server: &Server) {
    const GRACE: Duration = Duration::from_secs(2);
    let error = SqlError::fatal(ADMIN_SHUTDOWN, "terminating connection: the server is stopping");
    for control in server.connections().values() {
        control.kill(error.clone());
    }
    let gone = async {
        while !server.connections().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(GRACE, gone).await;
}

/// Removes the socket's file when the server stops.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bind_socket(folder: &Path, port: u16) -> Result<(UnixListener, PathBuf), StartError> {
    let path = folder.join(format!(".s.PGSQL.{port}"));
    let failed = |source| StartError::Listen { address: path.display().to_string(), source };
    // A killed server leaves its file behind; one that runs holds the port.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    Ok((listener, path))
}

fn acceptor(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<TlsAcceptor>, StartError> {
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let wrong = |path: &Path, problem: String| StartError::Certificate {
        path: path.to_path_buf(),
        problem,
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(cert, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(cert, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(cert, error.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

async fn accept(server: &Arc<Server>, listener: &TcpListener, socket: Option<&UnixListener>) {
    // Accepting fails when no file descriptors are left.
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        let from_socket = async {
            match socket {
                Some(socket) => socket.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    spawn(server, Box::new(stream), Peer { address: Some(peer), is_owner: false });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            },
            accepted = from_socket => match accepted {
                Ok((stream, _)) => {
                    let peer = Peer { address: None, is_owner: is_owner(&stream) };
                    spawn(server, Box::new(stream), peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Returns whether a process of the user who owns this one, or of root, is at the other end.
fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|other| other.uid() == own || other.uid() == 0)
}

fn spawn(server: &Arc<Server>, stream: Box<dyn Stream>, peer: Peer) {
    let server = server.clone();
    tokio::spawn(async move {
        match serve(&server, stream, peer).await {
            Ok(()) | Err(WireError::Closed) => {}
            Err(error) => tracing::debug!(%error, "a connection ended"),
        }
    });
}

async fn serve(server: &Arc<Server>, stream: Box<dyn Stream>, peer: Peer) -> Result<(), WireError> {
    let registration = server.register(peer).map_err(std::io::Error::other)?;
    let control = registration.control.clone();
    let started = tokio::select! {
        started = timeout(STARTUP_TIMEOUT, start(server, stream, registration)) => started,
        _ = control.killed() => return Ok(()),
    };
    let Ok(Some((mut session, _registration))) = started.map_err(|_| WireError::Stuck)? else {
        return Ok(());
    };
    let ended = tokio::select! {
        ended = session.run() => ended,
        error = control.killed() => {
            session.terminate(&error).await;
            Ok(())
        }
    };
    match &ended {
        Err(WireError::Malformed(problem)) => {
            session.terminate(&SqlError::fatal(PROTOCOL_VIOLATION, problem.as_str())).await;
        }
        Err(error @ WireError::TooLong { .. }) => {
            let error = SqlError::fatal(PROGRAM_LIMIT_EXCEEDED, error.to_string()).hint(
                "Send fewer parameters at once; [postgres] connection_memory sets the limit.",
            );
            session.terminate(&error).await;
        }
        _ => {}
    }
    let statements = control.activity.snapshot().statements;
    tracing::info!(account = session.account(), key = session.key(), statements, "disconnected");
    ended
}

/// Negotiates encryption, authenticates, and greets. Returns nothing where the connection ends.
async fn start(
    server: &Arc<Server>,
    stream: Box<dyn Stream>,
    registration: Registration,
) -> Result<Option<(Session, Registration)>, WireError> {
    let mut wire = Wire::new(stream);
    let is_local = registration.control.peer.address.is_none();
    let startup = loop {
        match wire.next().await? {
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresSsl(_)) => {
                let tls = server.tls.as_ref().filter(|_| !wire.is_encrypted && !is_local);
                if let Some(tls) = tls {
                    wire.put(&Message::SslResponse(SslResponse::Accept))?;
                    wire.flush().await?;
                    let stream = tls.accept(wire.into_stream()?).await?;
                    wire = Wire::encrypted(Box::new(stream));
                } else {
                    wire.put(&Message::SslResponse(SslResponse::Refuse))?;
                    wire.flush().await?;
                }
            }
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresGss(_)) => {
                wire.put(&Message::GssEncResponse(GssEncResponse::Refuse))?;
                wire.flush().await?;
            }
            PgWireFrontendMessage::CancelRequest(request) => {
                server.cancel(request.pid, &request.secret_key);
                return Ok(None);
            }
            PgWireFrontendMessage::Startup(startup) => break startup,
            _ => return Err(WireError::Malformed("a message before the start".to_owned())),
        }
    };
    wire.begin_messages();
    match greet(server, &mut wire, &startup, &registration.control).await {
        Ok((client, settings)) => {
            let control = registration.control.clone();
            wire.max_message = client.memory.max_message();
            let session = Session::new(wire, server.clone(), control, client, settings);
            Ok(Some((session, registration)))
        }
        Err(StartFailure::Wire(error)) => Err(error),
        Err(StartFailure::Refused(error)) => {
            wire.put(&Message::ErrorResponse(ErrorResponse::new(error.fields())))?;
            wire.flush().await?;
            Ok(None)
        }
    }
}

/// A client that is authenticated, with its share of the engine.
pub(crate) struct Client {
    pub(crate) identity: Identity,
    pub(crate) reader: Reader,
    /// The places in which the account's statements run.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) memory: ConnectionMemory,
}

enum StartFailure {
    Refused(SqlError),
    Wire(WireError),
}

impl From<SqlError> for StartFailure {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl From<WireError> for StartFailure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

async fn greet(
    server: &Arc<Server>,
    wire: &mut Wire,
    startup: &Startup,
    control: &Arc<Control>,
) -> Result<(Client, SessionSettings), StartFailure> {
    let address = control.peer.address.map(|peer| peer.ip());
    if server.tls.is_some() && !wire.is_encrypted && address.is_some_and(needs_encryption) {
        return Err(SqlError::fatal(INVALID_AUTHORIZATION, "connections must be encrypted")
            .hint("Connect with sslmode=require or better.")
            .into());
    }
    if startup.protocol_number_minor > 0
        || startup.parameters.keys().any(|name| name.starts_with("_pq_."))
    {
        let unknown =
            startup.parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
        wire.put(&Message::NegotiateProtocolVersion(NegotiateProtocolVersion::new(0, unknown)))?;
    }
    if startup.parameters.contains_key("replication") {
        return Err(SqlError::fatal("0A000", "there is no replication here").into());
    }
    let mut settings = SessionSettings::new(&server.schema);
    for (name, value) in startup_settings(startup) {
        // What a driver prefers is no reason to refuse it.
        let _ = settings.set(&name, Some(value));
    }
    let is_operator = control.peer.is_owner
        && startup.parameters.get("user").is_some_and(|user| user == LOCAL_USER);
    let identity = if is_operator {
        Identity {
            account: LOCAL_ACCOUNT.to_owned(),
            email: String::new(),
            key: LOCAL_ACCOUNT.to_owned(),
            plan: Plan::Pro,
            operator: true,
            tables: None,
        }
    } else {
        authenticate(server, wire, address).await?
    };
    server.assign(control, &identity)?;
    let reader = server.engines.reader_of(&identity).await.map_err(|error| {
        tracing::error!(%error, "an engine cannot be opened");
        SqlError::fatal(CANNOT_CONNECT_NOW, "the engine cannot be opened; try again later")
    })?;
    wire.put(&Message::Authentication(Authentication::Ok))?;
    let application = settings.values().get("application_name").cloned().unwrap_or_default();
    for (name, value) in [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("application_name", application.as_str()),
        ("is_superuser", "off"),
        ("session_authorization", "materia"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("default_transaction_read_only", "on"),
        ("in_hot_standby", "on"),
    ] {
        wire.put(&Message::ParameterStatus(ParameterStatus::new(
            name.to_owned(),
            value.to_owned(),
        )))?;
    }
    control.activity.set_application(&application);
    wire.put(&Message::BackendKeyData(BackendKeyData::new(
        control.pid,
        SecretKey::I32(control.secret),
    )))?;
    wire.put(&Message::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle)))?;
    wire.flush().await?;
    tracing::info!(account = identity.account, key = identity.key, application, "connected");
    let places = server.engines.places_of(&identity);
    let memory = ConnectionMemory::new(server.settings.connection_memory);
    Ok((Client { identity, reader, places, memory }, settings))
}

/// Returns whether what a client sends would pass over a network.
fn needs_encryption(address: IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

/// Returns the settings of a startup message: those with a name, and `options=-c name=value`.
fn startup_settings(startup: &Startup) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => {
                let words: Vec<_> = value.split_whitespace().collect();
                let pairs = words.iter().enumerate().filter_map(|(at, word)| {
                    let pair = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
                        Some("") => words.get(at + 1).copied()?,
                        Some(pair) => pair,
                        None => return None,
                    };
                    pair.split_once('=')
                });
                found.extend(pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())));
            }
            name => found.push((name.to_lowercase(), value.clone())),
        }
    }
    found
}

async fn authenticate(
    server: &Server,
    wire: &mut Wire,
    peer: Option<IpAddr>,
) -> Result<Identity, StartFailure> {
    if let Some(wait) = server.guess_delay(peer) {
        return Err(SqlError::fatal(
            INVALID_AUTHORIZATION,
            format!("too many wrong keys; try again in {}", materia::humanize::duration(wait)),
        )
        .into());
    }
    wire.put(&Message::Authentication(Authentication::CleartextPassword))?;
    wire.flush().await?;
    let PgWireFrontendMessage::PasswordMessageFamily(message) = wire.next().await? else {
        return Err(SqlError::fatal(PROTOCOL_VIOLATION, "expected a password").into());
    };
    let password = message
        .into_password()
        .map_err(|_| SqlError::fatal(PROTOCOL_VIOLATION, "the password cannot be read"))?;
    match server.authenticator.authenticate(password.password).await {
        Ok(identity) => Ok(identity),
        Err(AuthError::Refused(reason)) => {
            server.count_guess(peer);
            Err(SqlError::fatal(INVALID_PASSWORD, format!("password authentication failed: {reason}"))
                .hint("The password is an API key that may use SQL: make one in the site's settings, or with `materia users key`.")
                .into())
        }
        Err(AuthError::Unavailable) => Err(SqlError::fatal(
            CANNOT_CONNECT_NOW,
            "accounts cannot be read at the moment; try again later",
        )
        .into()),
    }
}

/// Ends the connections of keys that were revoked, and of accounts that changed.
async fn check_keys(server: Arc<Server>) {
    let mut beat = interval(CHECK_INTERVAL);
    loop {
        beat.tick().await;
        let mut by_key: HashMap<String, Vec<(Arc<Control>, Identity)>> = HashMap::new();
        for control in server.connections().values() {
            let identity = control.identity().clone();
            if let Some(identity) = identity.filter(|identity| identity.key != LOCAL_ACCOUNT) {
                by_key.entry(identity.key.clone()).or_default().push((control.clone(), identity));
            }
        }
        for (key, connections) in by_key {
            let uses: u64 =
                connections.iter().map(|(control, _)| control.activity.take_uses()).sum();
            if uses > 0 {
                server.authenticator.note_use(key.clone()).await;
            }
            let error = match server.authenticator.check(key).await {
                Ok(now) => {
                    for (control, identity) in connections {
                        if identity != now {
                            control.kill(SqlError::fatal(
                                ADMIN_SHUTDOWN,
                                "terminating connection: the account has changed; connect again",
                            ));
                        }
                    }
                    continue;
                }
                Err(AuthError::Refused(reason)) => {
                    SqlError::fatal(ADMIN_SHUTDOWN, format!("terminating connection: {reason}"))
                }
                // What was allowed stays allowed until it is known to have changed.
                Err(AuthError::Unavailable) => {
                    tracing::warn!("the keys of open connections could not be checked");
                    continue;
                }
            };
            for (control, _) in connections {
                control.kill(error.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_connect_in_clear_text_where_there_is_a_certificate() {
        for (address, needs) in [
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("fe80::1", true),
            ("203.0.113.9", true),
        ] {
            assert_eq!(address.parse().map(needs_encryption), Ok(needs), "{address}");
        }
    }

    #[test]
    fn the_settings_of_a_startup_message_are_found_in_its_options_too() {
        let mut startup = Startup::new();
        for (name, value) in [
            ("user", "x"),
            ("DateStyle", "ISO"),
            ("options", "-c statement_timeout=5s --jit=off -cwork_mem=1MB"),
        ] {
            startup.parameters.insert(name.to_owned(), value.to_owned());
        }
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            startup_settings(&startup),
            [
                pair("datestyle", "ISO"),
                pair("statement_timeout", "5s"),
                pair("jit", "off"),
                pair("work_mem", "1MB")
            ]
        );
    }
}
