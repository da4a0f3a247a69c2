//! Starts the site, and stops it without dropping requests.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use materia::{
    dashboard::{Dashboards, LoadError},
    reader::{Reader, ReaderConfig},
    settings::Settings,
};
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, interval, sleep, timeout},
};

use super::{
    accept_loop,
    accounts::{self, Accounts, AccountsError},
    alerts,
    app::{AppConfig, AppState, Clock},
    pages::legal,
    router, site_reader,
};

/// How long a restarted site waits for addresses that the previous process has not closed yet.
const REBIND_TIMEOUT: Duration = Duration::from_secs(5);
const REBIND_INTERVAL: Duration = Duration::from_millis(20);
const MAINTENANCE_INTERVAL: Duration = Duration::from_mins(1);

/// Why the site cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use or does not belong to this machine.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    /// A dashboard cannot be loaded.
    #[error(transparent)]
    Dashboards(#[from] LoadError),
    /// The folder of legal texts cannot be read.
    #[error("cannot read the texts in {}: {source}", folder.display())]
    Legal { folder: PathBuf, source: io::Error },
    /// The accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The system refused a thread, signal or socket.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Resources passed to the serving process by the one that started it.
#[derive(Debug, Default)]
pub struct Activation {
    /// Listening sockets, for example of a systemd socket unit: connections wait in them while the
    /// site is restarted.
    pub sockets: Vec<std::net::TcpListener>,
    /// Whether the process is the child of one that systemd watches. When the parent ends, it
    /// drains without reporting to systemd, which its successor does.
    pub is_worker: bool,
}

impl Activation {
    /// Returns the socket of an address: a passed one, or a new one.
    async fn listen(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        let passed = |socket: &std::net::TcpListener| {
            socket.local_addr().is_ok_and(|known| {
                known == address || (known.port() == address.port() && known.ip().is_unspecified())
            })
        };
        if let Some(at) = self.sockets.iter().position(passed) {
            let socket = self.sockets.swap_remove(at);
            socket.set_nonblocking(true)?;
            return Ok(TcpListener::from_std(socket)?);
        }
        let deadline = Instant::now() + REBIND_TIMEOUT;
        loop {
            match TcpListener::bind(address).await {
                // The previous process is about to close it.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && self.is_worker
                        && Instant::now() < deadline =>
                {
                    sleep(REBIND_INTERVAL).await;
                }
                bound => {
                    return bound.map_err(|source| StartError::Listen { address, source });
                }
            }
        }
    }
}

/// Serves the site until a signal stops it.
pub async fn run(settings: Settings, mut activation: Activation) -> Result<(), StartError> {
    let (address, drain) = (settings.web.listen, settings.web.drain);
    materia::locale::set(settings.brand.locale);
    accounts::check_debug(&settings.web).map_err(AccountsError::from)?;
    let clock = Clock::System;
    // While the site starts, requests wait, so that nothing waits for anything else.
    let (reader, dashboards) = (open_reader(&settings)?, load_dashboards(&settings));
    let accounts = Accounts::open_with_retry(&settings, &clock).await?;
    let (reader, dashboards) = (joined(reader).await??, joined(dashboards).await??);
    let legal = match &settings.web.legal {
        Some(folder) => legal::read_folder(folder)
            .map_err(|source| StartError::Legal { folder: folder.clone(), source })?,
        None => legal::built_in(&settings.brand),
    };
    let stopping = watch::Sender::new(false);
    let app = AppState::new(
        AppConfig { settings, reader, dashboards, legal, clock, is_preview: false },
        accounts,
    );
    let listener = activation.listen(address).await?;
    tracing::info!(address = %listener.local_addr()?, served = %app.settings.target()?.display_name().display(), "serving");
    if let Some(address) = app.settings.web.metrics {
        let socket = activation.listen(address).await?;
        let mut stopping = stopping.subscribe();
        let stop = async move {
            // Ends when the sender is dropped, too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let metrics = router::metrics_router(&app);
        tokio::spawn(accept_loop::serve(socket, metrics, stop, Duration::ZERO));
        tracing::info!(%address, "metrics");
    }
    site_reader::start(&app, site_reader::MOST, stopping.subscribe());
    tokio::spawn(maintenance_loop(app.clone(), stopping.subscribe()));
    tokio::spawn(alerts::run(app.clone(), stopping.subscribe()));
    tokio::spawn(reload_on_sighup(app.clone(), signal(SignalKind::hangup())?));
    notify_systemd(&[NotifyState::Ready]);
    let signal_received = shutdown_signal()?;
    let stop = async {
        signal_received.await;
        tracing::info!("stopping: waiting for requests in flight");
        if !activation.is_worker {
            notify_systemd(&[NotifyState::Stopping]);
        }
        stopping.send_replace(true);
        app.events.stop();
    };
    accept_loop::serve(listener, router::site(&app), stop, drain).await?;
    store_views(app.clone()).await;
    app.accounts.clone().close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the reader on a separate thread.
fn open_reader(settings: &Settings) -> Result<JoinHandle<io::Result<Reader>>, StartError> {
    let (target, schema) = (settings.target()?, settings.export.served_schema().to_owned());
    Ok(spawn_blocking(move || Reader::open(&target, &schema, ReaderConfig::default())))
}

/// Loads the dashboards on a separate thread.
fn load_dashboards(settings: &Settings) -> JoinHandle<Result<Dashboards, LoadError>> {
    let settings = settings.dashboards.clone();
    spawn_blocking(move || Dashboards::load(&settings))
}

async fn joined<T>(work: JoinHandle<T>) -> Result<T, StartError> {
    work.await.map_err(|error| StartError::System(io::Error::other(error)))
}

/// Reports the state to systemd, if it started the process.
fn notify_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot reach systemd");
    }
}

/// Periodic work: feeds systemd's watchdog, drops idle rate-limit counters and returns idle quota.
async fn maintenance_loop(app: AppState, stopping: watch::Receiver<bool>) {
    let watchdog = sd_notify::watchdog_enabled();
    let mut beat = interval(
        watchdog.map_or(MAINTENANCE_INTERVAL, |limit| limit / 3).min(MAINTENANCE_INTERVAL),
    );
    let mut cleaned = Instant::now();
    loop {
        beat.tick().await;
        // A draining process must not feed the watchdog on behalf of its successor.
        if watchdog.is_some() && !*stopping.borrow() {
            notify_systemd(&[NotifyState::Watchdog]);
        }
        if cleaned.elapsed() >= MAINTENANCE_INTERVAL {
            cleaned = Instant::now();
            app.rate_limit.retain_recent();
            // The store may hang; the watchdog must not.
            tokio::spawn(release_unused(app.accounts.clone()));
            tokio::spawn(store_views(app.clone()));
            tokio::spawn(end_lapsed_subscriptions(app.accounts.clone()));
        }
    }
}

/// Reloads the dashboards on SIGHUP.
async fn reload_on_sighup(app: AppState, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        app.dashboards.reload();
    }
}

async fn release_unused(accounts: Accounts) {
    if !matches!(
        timeout(accounts::ACCOUNTS_TIMEOUT, accounts.release_unused(false)).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("leased API quota could not be returned");
    }
}

async fn store_views(app: AppState) {
    let views = app.view_counter.take();
    let stored =
        timeout(accounts::ACCOUNTS_TIMEOUT, app.accounts.add_dashboard_views(&views)).await;
    if !matches!(stored, Ok(Ok(()))) {
        tracing::warn!("views of dashboards could not be stored");
    }
}

async fn end_lapsed_subscriptions(accounts: Accounts) {
    match timeout(accounts::ACCOUNTS_TIMEOUT, accounts.end_lapsed_subscriptions()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(ended)) => tracing::info!(ended, "subscriptions without a payment have ended"),
        Ok(Err(error)) => tracing::warn!(%error, "lapsed subscriptions could not be ended"),
        Err(_) => tracing::warn!("lapsed subscriptions could not be ended in time"),
    }
}

/// Completes when Ctrl-C or SIGTERM arrives.
pub(crate) fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
