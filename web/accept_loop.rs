//! The accept loop: takes connections within limits and drains them when the server stops.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::connection::Connection;

/// Open connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 8_192;
/// How long a client may take to send a request's head.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest request head, request line included; a longer one is refused with 431.
const MAX_HEADER_SIZE: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

/// Serves connections until `stop` completes, and then waits for the requests in flight, for
/// `drain` at most.
pub(crate) async fn serve(
    listener: TcpListener,
    site: Router,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> io::Result<()> {
    let connection_slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).max_headers(MAX_HEADERS);
    // The buffer size alone is not a limit, since one read may exceed it.
    http.max_buf_size(MAX_HEADER_SIZE).max_header_size(MAX_HEADER_SIZE);
    tokio::pin!(stop);
    loop {
        let Ok(slot) = connection_slots.clone().acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    backoff_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let connection = graceful.watch(http.serve_connection(
            TokioIo::new(Connection::new(set_nodelay(stream))),
            service(site.clone(), peer),
        ));
        tokio::spawn(async move {
            // A client that disconnects early is normal.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped before all requests had finished");
    }
    Ok(())
}

fn service(
    site: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> + Send {
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        site.clone().oneshot(request)
    })
}

fn set_nodelay(stream: TcpStream) -> TcpStream {
    // Where the system does not support it, responses are only slightly delayed.
    let _ = stream.set_nodelay(true);
    stream
}

/// Waits after an error that affects other connections as well, such as a lack of descriptors. A
/// connection that was reset while it was accepted affects no other.
async fn backoff_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "cannot accept connections");
        sleep(Duration::from_secs(1)).await;
    }
}
