//! Every route of the site: who may come here is decided by which side of the lines it stands on.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    http::{Extensions, HeaderMap, StatusCode, Version, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use super::{
    accounts, api,
    app::App,
    assets, cache, client,
    error::WebError,
    events, metrics, page,
    pages::{admin, auth, dashboard, docs, landing, legal, methodology, settings, status, tables},
    security, traffic, viewer,
};

/// More than any form of ours sends.
const LARGEST_BODY: usize = 64 << 10;
/// Longer than any question may take and wait.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// The whole site, with everything that stands before and behind every route.
pub(crate) fn site(app: &App) -> Router {
    let routes = public().merge(private()).merge(admin()).merge(api(app)).fallback(not_found);
    let routes = routes.layer(CatchPanicLayer::custom(caught));
    let routes = routes.layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONGEST_ANSWER));
    let routes = routes.layer(RequestBodyLimitLayer::new(LARGEST_BODY));
    let routes = routes.layer(from_fn_with_state(app.clone(), security::same_site));
    // What is further down here comes first.
    routes
        .layer(from_fn_with_state(app.clone(), page::layout))
        .layer(CompressionLayer::new().compress_when(worth_compressing))
        .layer(from_fn_with_state(app.clone(), cache::pages))
        .layer(from_fn_with_state(app.clone(), accounts::identify))
        // Refusals from here on are drawn too, for nobody in particular.
        .layer(from_fn_with_state(app.clone(), client::limit))
        .layer(from_fn_with_state(app.clone(), page::layout))
        .layer(from_fn_with_state(app.clone(), security::headers))
        .layer(from_fn_with_state(app.clone(), traffic::watch))
        .with_state(app.clone())
}

/// What operators may ask on an address of their own.
pub(crate) fn operators(app: &App) -> Router {
    Router::new().route("/metrics", get(metrics::metrics)).with_state(app.clone())
}

fn public() -> Router<App> {
    Router::new()
        .route("/", get(landing::page))
        .route("/methodology", get(methodology::page))
        .route("/legal/{name}", get(legal::page))
        .route("/docs/api", get(docs::page))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/events", get(events::stream))
        .route("/assets/{file}", get(assets::serve))
        .merge(doors())
}

fn doors() -> Router<App> {
    Router::new()
        .route("/auth/login", get(auth::sign_in_page).post(auth::ask_to_sign_in))
        .route("/auth/signup", get(auth::sign_up_page).post(auth::ask_to_sign_up))
        .route("/auth/verify", get(auth::verify).post(auth::redeem))
        .route("/auth/email", get(auth::look_at_email_change).post(auth::change_email))
        .route("/auth/deleted", get(auth::deleted))
        .route("/auth/logout", post(auth::sign_out))
        .route("/auth/dev-login", get(auth::dev_sign_in))
        .route("/dev/mailbox", get(auth::mailbox))
        .route_layer(from_fn(accounts::in_time))
}

// ---------------------------------------------------------------- below this line: signed in, not suspended ----------------------------

fn private() -> Router<App> {
    Router::new()
        .route("/dashboard/", get(dashboard::first))
        .route("/dashboard/{slug}", get(dashboard::page))
        .route("/tables", get(tables::list))
        .route("/tables/{name}", get(tables::rows))
        .route("/tables/{name}/columns", get(tables::columns))
        .route("/tables/{name}/change", get(tables::change))
        .route("/tables/{name}/download", get(tables::download))
        .merge(own())
        .route_layer(from_fn(viewer::require_account))
}

fn own() -> Router<App> {
    Router::new()
        .route("/settings", get(settings::page))
        .route("/settings/profile", post(settings::set_profile))
        .route("/settings/email", post(settings::ask_to_change_email))
        .route("/settings/appearance", post(settings::set_appearance))
        .route("/settings/sessions/end-others", post(settings::end_other_sessions))
        .route("/settings/sessions/{handle}/end", post(settings::end_session))
        .route("/settings/keys", post(settings::make_key))
        .route("/settings/keys/{id}/revoke", post(settings::revoke_key))
        .route("/settings/data.json", get(settings::download))
        .route("/settings/delete", get(settings::confirm_deletion).post(settings::delete))
        .route_layer(from_fn(accounts::in_time))
}

// ---------------------------------------------------------------- below this line: role `admin` only ------------------------------------

fn admin() -> Router<App> {
    Router::new()
        .merge(of_accounts())
        .route("/admin/exports", get(admin::exports))
        .route("/admin/exports/{generation}", get(admin::generation))
        .route("/admin/exports/{generation}/rollback", get(admin::confirm_rollback).post(admin::roll_back))
        .route("/admin/traffic", get(admin::traffic))
        .route_layer(from_fn(viewer::require_admin))
}

fn of_accounts() -> Router<App> {
    Router::new()
        .route("/admin/", get(admin::overview))
        .route("/admin/accounts", get(admin::accounts))
        .route("/admin/accounts/invite", post(admin::invite))
        .route("/admin/accounts/{id}", get(admin::account))
        .route("/admin/accounts/{id}/plan", post(admin::set_plan))
        .route("/admin/accounts/{id}/role", post(admin::set_role))
        .route("/admin/accounts/{id}/suspend", post(admin::suspend))
        .route("/admin/accounts/{id}/sign-out", post(admin::sign_out))
        .route("/admin/mail", get(admin::mail))
        .route("/admin/audit", get(admin::audit))
        .route_layer(from_fn(accounts::in_time))
}

// ---------------------------------------------------------------- below this line: a good key, and no session ------------------------------

fn api(app: &App) -> Router<App> {
    let keyed = Router::new()
        .route("/api/v1/tables", get(api::tables))
        .route("/api/v1/tables/{table}", get(api::table))
        .route("/api/v1/tables/{table}/rows", get(api::rows))
        .route("/api/v1/tables/{table}/download", get(api::download))
        .route("/api/v1/dashboards", get(api::dashboards))
        .route("/api/v1/dashboards/{slug}", get(api::dashboard))
        .route("/api/v1/generation", get(api::generation))
        .route_layer(from_fn_with_state(app.clone(), api::require_key));
    // What the API is like, anybody may know.
    keyed.route("/api/v1/openapi.json", get(api::openapi)).layer(security::cors(&app.settings.web.cors))
}

/// In the extensions of a response that is to be sent byte for byte as it is, so that it can be continued where it was interrupted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsIs;

/// Small answers and files gain nothing.
fn worth_compressing(_: StatusCode, version: Version, headers: &HeaderMap, extensions: &Extensions) -> bool {
    let _ = version;
    let small =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).is_some_and(|length: u64| length < 256);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Events are sent one by one.
    let packed = kind.starts_with("text/event-stream") || kind.ends_with("parquet") || kind.ends_with("sheet");
    !small && !packed && extensions.get::<AsIs>().is_none()
}

async fn not_found() -> WebError {
    WebError::NotFound
}

/// A panic is logged with what it said, and answered like every other mistake of ours.
#[expect(clippy::needless_pass_by_value, reason = "as the layer calls it")]
fn caught(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    WebError::internal(format!("a handler panicked: {}", said.unwrap_or("it said nothing"))).into_response()
}
