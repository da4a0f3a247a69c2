//! Listening, and stopping without dropping anybody.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use materia::{
    dashboard::{Dashboards, LoadError},
    reader::{Reader, ReaderLimits},
    settings::Settings,
};
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, interval, timeout},
};

use super::{
    accounts::{self, Accounts, AccountsError},
    app::{App, Clock, Parts},
    pages::legal,
    router, serve,
};

const HOUSEKEEPING: Duration = Duration::from_mins(1);

/// Why the site cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The dashboards.
    #[error(transparent)]
    Dashboards(#[from] LoadError),
    /// The legal texts.
    #[error("cannot read the texts in {}: {source}", folder.display())]
    Legal {
        /// Their folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The accounts' store.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Threads, signals, sockets.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Serves the site until a signal asks to stop.
pub(crate) async fn run(settings: Settings) -> Result<(), StartError> {
    let address = settings.web.listen;
    accounts::check_debug(&settings.web).map_err(AccountsError::from)?;
    let reader = Reader::follow(&settings.target()?, settings.export.served_schema(), ReaderLimits::default())?;
    let clock = Clock::System;
    let accounts = Accounts::open_patiently(&settings, &clock).await?;
    let dashboards = Dashboards::load(&settings.dashboards)?;
    let legal = match &settings.web.legal {
        Some(folder) => legal::read(folder).map_err(|source| StartError::Legal { folder: folder.clone(), source })?,
        None => legal::built_in(&settings.brand),
    };
    let app = App::new(Parts { settings, reader, dashboards, legal, clock }, accounts);
    let listener = listen(address).await?;
    tracing::info!(address = %listener.local_addr()?, served = %app.settings.target()?.name().display(), "serving");
    if let Some(address) = app.settings.web.metrics {
        let operators = serve::serve(listen(address).await?, router::operators(&app), std::future::pending());
        tokio::spawn(operators);
        tracing::info!(%address, "metrics");
    }
    tokio::spawn(keep_house(app.clone()));
    tokio::spawn(read_again_when_told(app.clone(), signal(SignalKind::hangup())?));
    tell_system(&[NotifyState::Ready]);
    let asked = asked_to_stop()?;
    let stop = async {
        asked.await;
        tracing::info!("stopping: answering what is in flight");
        tell_system(&[NotifyState::Stopping]);
        app.events.stop();
    };
    serve::serve(listener, router::site(&app), stop).await?;
    app.accounts.clone().close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// Tells systemd, where it started us, how we are.
fn tell_system(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot reach systemd");
    }
}

/// What has to be done now and then: systemd's watchdog hears from us while the runtime turns, and quiet clients are forgotten.
async fn keep_house(app: App) {
    let watchdog = sd_notify::watchdog_enabled();
    let mut beat = interval(watchdog.map_or(HOUSEKEEPING, |limit| limit / 3).min(HOUSEKEEPING));
    let mut cleaned = Instant::now();
    loop {
        beat.tick().await;
        if watchdog.is_some() {
            tell_system(&[NotifyState::Watchdog]);
        }
        if cleaned.elapsed() >= HOUSEKEEPING {
            cleaned = Instant::now();
            app.rate_limit.forget_quiet();
            // The accounts may stand still; the watchdog must not.
            tokio::spawn(hand_back(app.accounts.clone()));
        }
    }
}

/// SIGHUP asks for the dashboards as their files are now.
async fn read_again_when_told(app: App, mut told: Signal) {
    while told.recv().await.is_some() {
        app.boards.read_again();
    }
}

async fn hand_back(accounts: Accounts) {
    if !matches!(timeout(accounts::ANSWERS_WITHIN, accounts.hand_back(false)).await, Ok(Ok(()))) {
        tracing::warn!("what was taken of the day's requests to the API could not be handed back");
    }
}

/// Ends when Ctrl-C or SIGTERM arrives.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
