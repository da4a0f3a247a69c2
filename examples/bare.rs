//! A server that sends a body of a given size: the baseline with which `infra/load.sh` compares the
//! site.

use axum::{Router, body::Bytes, http::header, routing::get};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(size)) = (args.next(), args.next()) else {
        return Err("bare ADDRESS BYTES".into());
    };
    let body = Bytes::from(vec![b'x'; size.parse()?]);
    let send = move || {
        let body = body.clone();
        async move { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body) }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&address).await?;
        axum::serve(listener, Router::new().route("/", get(send))).await?;
        Ok(())
    })
}
