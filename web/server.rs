//! Listening, and stopping without dropping anybody.

use std::{io, net::SocketAddr};

use materia::{
    reader::{Reader, ReaderLimits},
    settings::Settings,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    accounts::{Accounts, AccountsError},
    app::{App, Clock},
    router,
};

/// Why the site cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Debug mode where others could use it.
    #[error(
        "DEBUG=true lets everybody sign in as anybody, and {0} can be reached by others; listen on 127.0.0.1, or say DEBUG_ANYWHERE=true as well"
    )]
    DebugInPublic(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
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
    if settings.web.debug && !settings.web.debug_anywhere && !address.ip().to_canonical().is_loopback() {
        return Err(StartError::DebugInPublic(address));
    }
    let reader = Reader::open(&settings.serving, &settings.export.schema, ReaderLimits::default())?;
    let clock = Clock::System;
    let accounts = Accounts::open(&settings, &clock).await?;
    let app = App::new(settings, reader, clock, accounts);
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    let site = router::site(&app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, site).with_graceful_shutdown(asked_to_stop()?).await?;
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
