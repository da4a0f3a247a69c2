//! Every route of the site: who may come here is decided by which side of the lines it stands on.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use super::{
    accounts,
    app::App,
    assets,
    error::WebError,
    page,
    pages::{landing, status},
    security, viewer,
};

/// More than any form of ours sends.
const LARGEST_BODY: usize = 64 << 10;
/// Longer than any question may take and wait.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// The whole site, with everything that stands before and behind every route.
pub(crate) fn site(app: &App) -> Router {
    let routes = public().merge(private()).merge(admin()).fallback(not_found);
    let routes = routes.layer(CatchPanicLayer::custom(caught));
    let routes = routes.layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONGEST_ANSWER));
    let routes = routes.layer(RequestBodyLimitLayer::new(LARGEST_BODY));
    let routes = routes.layer(from_fn_with_state(app.clone(), security::same_site));
    // What is further down here comes first.
    routes
        .layer(from_fn_with_state(app.clone(), page::layout))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(app.clone(), accounts::identify))
        .layer(from_fn_with_state(app.clone(), security::headers))
        .with_state(app.clone())
}

fn public() -> Router<App> {
    Router::new()
        .route("/", get(landing::page))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/assets/{file}", get(assets::serve))
}

// ---------------------------------------------------------------- below this line: signed in, not suspended ----------------------------

fn private() -> Router<App> {
    Router::new().route("/dashboard/", get(landing::page)).route_layer(from_fn(viewer::require_account))
}

// ---------------------------------------------------------------- below this line: role `admin` only ------------------------------------

fn admin() -> Router<App> {
    Router::new().route("/admin/", get(landing::page)).route_layer(from_fn(viewer::require_admin))
}

async fn not_found() -> WebError {
    WebError::NotFound
}

/// A panic is logged with what it said, and answered like every other mistake of ours.
fn caught(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    WebError::internal(format!("a handler panicked: {}", said.unwrap_or("it said nothing"))).into_response()
}
