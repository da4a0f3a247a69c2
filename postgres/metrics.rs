//! `/metrics`: the state of the endpoint for Prometheus.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::server::Server;

pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) running: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) refused: Counter,
    pub(crate) statements: Counter,
    pub(crate) rows: Counter,
    pub(crate) errors: Counter,
    pub(crate) cancelled: Counter,
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new(crashes: u64) -> Self {
        let mut registry = Registry::with_prefix("materia_postgres");
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        let running = Gauge::default();
        registry.register("running", "Statements that run", running.clone());
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let accepted = counter("connections_accepted", "Connections since the start");
        let refused = counter("keys_refused", "Connections with a wrong key");
        let statements = counter("statements", "Statements run");
        let rows = counter("rows", "Rows sent");
        let errors = counter("errors", "Errors sent to clients");
        let cancelled = counter("cancelled", "Statements cancelled by their clients");
        counter("crashes", "Crashes of the engine since the start").inc_by(crashes);
        Self {
            connections,
            running,
            accepted,
            refused,
            statements,
            rows,
            errors,
            cancelled,
            registry,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Answers every request with the metrics: the address is private.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) {
    const LIMIT: Duration = Duration::from_secs(5);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let server = server.clone();
        tokio::spawn(async move { timeout(LIMIT, answer(stream, &server)).await });
    }
}

async fn answer(mut stream: TcpStream, server: &Server) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 8 << 10 {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let is_metrics = request.starts_with(b"GET /metrics ");
    let (status, body) = if is_metrics {
        server.metrics.running.set(server.running().try_into().unwrap_or(i64::MAX));
        ("200 OK", server.metrics.text())
    } else {
        ("404 Not Found", "metrics are at /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
