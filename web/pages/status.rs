//! `/health` and `/ready`, for whoever watches the server.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::web::app::App;

/// `/health`: the process answers.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    generation: Option<String>,
    exported_at: Option<Timestamp>,
    exported_age_s: Option<i64>,
    opened_age_s: Option<i64>,
    problem: Option<String>,
    store: bool,
}

/// `/ready`: a generation is served and the store can be reached; 503 otherwise.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let state = app.reader.state();
    let now = app.clock.now();
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0);
    let store = app.accounts.reachable().await;
    let info = state.generation;
    let readiness = Readiness {
        ready: info.is_some() && store,
        generation: info.as_ref().and_then(|info| info.id.as_ref()).map(ToString::to_string),
        exported_at: info.as_ref().and_then(|info| info.exported_at),
        exported_age_s: info.as_ref().and_then(|info| info.as_of()).map(age),
        opened_age_s: info.as_ref().map(|info| age(info.opened_at)),
        problem: state.problem.map(|problem| problem.reason),
        store,
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default() + "\n";
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
