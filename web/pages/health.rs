//! `/health` and `/ready`, for monitoring.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{app::AppState, conditions::Conditions};

/// `/health`: the process responds.
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
    /// Why data of a lake cannot be read.
    storage: Option<String>,
    store: bool,
    /// Why email cannot be sent.
    mail: Option<String>,
    /// The names of all current conditions.
    conditions: Vec<String>,
}

/// `/ready`: a generation is served and the store responds; 503 otherwise.
pub(crate) async fn ready(State(app): State<AppState>) -> Response {
    let state = app.reader.state();
    let now = app.clock.now();
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0);
    let store = app.accounts.is_healthy().await;
    let mail = app.accounts.mail_problem(app.settings.alerts.mail_delayed).await;
    let conditions = Conditions::current(&app).await;
    let info = state.generation;
    let readiness = Readiness {
        ready: info.is_some() && store,
        generation: info.as_ref().and_then(|info| info.id.as_ref()).map(ToString::to_string),
        exported_at: info.as_ref().and_then(|info| info.exported_at),
        exported_age_s: info.as_ref().and_then(|info| info.as_of()).map(age),
        opened_age_s: info.as_ref().map(|info| age(info.opened_at)),
        problem: state.problem.map(|problem| problem.reason),
        storage: state.storage.map(|problem| problem.reason),
        store,
        mail,
        conditions: conditions.iter().map(|finding| finding.condition.key()).collect(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default() + "\n";
    (
        status,
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
        body,
    )
        .into_response()
}
