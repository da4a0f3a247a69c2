//! Listening, and stopping without dropping anybody.

use std::{io, net::SocketAddr, path::PathBuf};

use materia::{
    dashboard::{Dashboards, LoadError},
    reader::{Reader, ReaderLimits},
    settings::Settings,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    accounts::{self, Accounts, AccountsError},
    app::{App, Clock, Parts},
    pages::legal,
    router,
};

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
    let reader = Reader::open(&settings.serving, &settings.export.schema, ReaderLimits::default())?;
    let clock = Clock::System;
    let accounts = Accounts::open(&settings, &clock).await?;
    let dashboards = Dashboards::load(&settings.dashboards)?;
    for problem in dashboards.problems() {
        tracing::warn!(%problem, "a dashboard is not as its author meant it");
    }
    let legal = match &settings.web.legal {
        Some(folder) => legal::read(folder).map_err(|source| StartError::Legal { folder: folder.clone(), source })?,
        None => Vec::new(),
    };
    let app = App::new(Parts { settings, reader, dashboards, legal, clock }, accounts);
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    let site = router::site(&app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, site).with_graceful_shutdown(asked_to_stop()?).await?;
    app.accounts.clone().close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Ends when Ctrl-C or SIGTERM arrives.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: answering what is in flight");
    })
}
