//! Connections: accepted, kept within limits, and brought to an end when the server stops.

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

/// More open connections than this wait to be accepted.
const MOST_CONNECTIONS: usize = 8_192;
/// A request's head must be whole by then.
const SLOWEST_HEAD: Duration = Duration::from_secs(15);
/// Longer heads are refused with 431.
const LONGEST_HEAD: usize = 32 << 10;
const MOST_HEADERS: usize = 64;
/// What is in flight when the server stops has this long.
const LONGEST_GOODBYE: Duration = Duration::from_secs(30);

/// Answers connections until `stop` ends, and then those requests that are in flight.
pub(crate) async fn serve(listener: TcpListener, site: Router, stop: impl Future<Output = ()>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SLOWEST_HEAD).max_buf_size(LONGEST_HEAD).max_headers(MOST_HEADERS);
    tokio::pin!(stop);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let connection = graceful.watch(http.serve_connection(TokioIo::new(without_delay(stream)), service(site.clone(), peer)));
        tokio::spawn(async move {
            // A browser that goes away in between is no news.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(LONGEST_GOODBYE, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped without answering everybody");
    }
    Ok(())
}

fn service(
    site: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible, Future: Send> + Send {
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        site.clone().oneshot(request)
    })
}

fn without_delay(stream: TcpStream) -> TcpStream {
    // Where the system does not know it, answers are only a little later.
    let _ = stream.set_nodelay(true);
    stream
}

/// A connection that broke while it was accepted concerns nobody else; no more descriptors is a reason to wait.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "cannot accept connections");
        sleep(Duration::from_secs(1)).await;
    }
}
