//! Every route of the site. Access is determined by the section in which a route is declared, and
//! caching by the [`CachePolicy`] next to its path.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    http::{Extensions, HeaderMap, StatusCode, Version, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing,
};
use tower_http::{
    CompressionLevel, catch_panic::CatchPanicLayer, compression::CompressionLayer,
    limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
};

use super::{
    accounts, api,
    app::AppState,
    assets, client_ip,
    error::WebError,
    events,
    log::without_values,
    metrics, page,
    page_cache::{self, SharedRoutes},
    pages::{
        admin, auth, billing, dashboard, docs, feed, health, home, landing, legal, methodology,
        panel, pricing, search, search_engines, settings, tables, unsubscribe,
    },
    preview, rate_limit, request_body, request_metrics,
    routes::{
        CachePolicy::{ByHandler, NoStore, Shared},
        Routes,
    },
    security,
    shared_service::SharedLayer,
    viewer,
};

/// The largest request body, in bytes: more than any form of the site sends.
pub(crate) const MAX_BODY: usize = 64 << 10;
/// The timeout of a response, longer than any query may wait and run.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const COMPRESSION: CompressionLevel = CompressionLevel::Precise(6);

/// Builds the whole site, with the layers around every route.
pub(crate) fn site(app: &AppState) -> Router {
    layered(app, routes(app), |router| {
        router.layer((from_fn_with_state(app.clone(), accounts::resolve_session), SharedLayer))
    })
}

/// Builds the preview of dashboards, whose only viewer is their author.
pub(crate) fn preview_site(app: &AppState) -> Router {
    let site = layered(app, preview_routes(), |router| {
        router.layer((from_fn(preview::admit), SharedLayer))
    });
    // Outermost, since errors of the layers below become pages with other states.
    site.layer(from_fn(preview::require_local_host))
}

/// Builds the site for requests of its own, whose viewer is among their extensions.
pub(crate) fn own_site(app: &AppState) -> Router {
    cached(app, routes(app)).with_state(app.clone())
}

/// Adds the layers that render and cache pages.
fn cached(app: &AppState, routes: Routes) -> Router<AppState> {
    let (routes, declared) = routes.into_parts();
    let shared = SharedRoutes::from_declared(&declared);
    let routes = routes.fallback(not_found);
    let routes = routes.layer(CatchPanicLayer::custom(panic_response));
    let routes =
        routes.layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT));
    let routes = routes.layer(from_fn(request_body::buffer_body));
    let routes = routes.layer(RequestBodyLimitLayer::new(MAX_BODY));
    let routes = routes.layer(from_fn_with_state(app.clone(), security::csrf_guard));
    // Pages are compressed once and served many times, so better than by default.
    let compression = CompressionLayer::new().quality(COMPRESSION);
    // A request passes through the last layer first.
    routes
        .layer(from_fn_with_state(app.clone(), page::layout))
        .layer(compression.compress_when(worth_compressing))
        .layer((from_fn_with_state((app.clone(), shared), page_cache::serve_cached), SharedLayer))
}

/// Adds the layers around every route, of which `identify` determines the viewer.
fn layered(
    app: &AppState,
    routes: Routes,
    identify: impl FnOnce(Router<AppState>) -> Router<AppState>,
) -> Router {
    // From the outermost one to the innermost.
    let around = (
        from_fn_with_state(app.clone(), request_metrics::track),
        SharedLayer,
        from_fn_with_state(app.clone(), security::set_headers),
        SharedLayer,
        // Errors of the layers below are rendered too, for a viewer who is not signed in.
        from_fn_with_state(app.clone(), page::layout),
        SharedLayer,
        from_fn_with_state(app.clone(), client_ip::resolve_client_ip),
        SharedLayer,
        from_fn_with_state(app.clone(), rate_limit::enforce_rate_limit),
        SharedLayer,
    );
    identify(cached(app, routes)).layer(around).with_state(app.clone())
}

/// Builds the router of the operators' separate address.
pub(crate) fn metrics_router(app: &AppState) -> Router {
    Router::new().route("/metrics", routing::get(metrics::metrics)).with_state(app.clone())
}

/// Declares every route of the site.
pub(crate) fn routes(app: &AppState) -> Routes {
    public_routes()
        .merge(data_routes(app))
        .merge(account_routes())
        .merge(admin_routes())
        .merge(api_routes(app))
}

/// Declares the routes of a preview: dashboards and what their panels link to.
fn preview_routes() -> Routes {
    Routes::new()
        .get("/", NoStore, preview::first)
        .get("/dashboard/", NoStore, preview::first)
        .get("/embed/{slug}/{panel}", Shared, panel::embed)
        .get("/methodology", Shared, methodology::page)
        .get("/tables/{name}/download", ByHandler, tables::download)
        .get("/search", Shared, search::page)
        .get("/events", NoStore, events::stream)
        .get("/favicon.ico", ByHandler, search_engines::favicon)
        .get("/assets/{file}", ByHandler, assets::serve)
        .merge(browsing_routes())
}

/// Declares the pages of dashboards and tables, which the site and a preview have in common.
fn browsing_routes() -> Routes {
    Routes::new()
        .get("/dashboard/{slug}", Shared, dashboard::page)
        .get("/dashboard/{slug}/panel/{file}", Shared, panel::file)
        .get("/tables", Shared, tables::list)
        .get("/tables/{name}", Shared, tables::rows)
        .get("/tables/{name}/row", Shared, tables::row)
        .get("/tables/{name}/columns", Shared, tables::columns)
        .get("/tables/{name}/columns/{column}", Shared, tables::column)
        .get("/tables/{name}/change", NoStore, tables::apply_form)
}

fn public_routes() -> Routes {
    Routes::new()
        .get("/", Shared, landing::page)
        .get("/methodology", Shared, methodology::page)
        .get("/legal/{name}", NoStore, legal::page)
        .get("/docs/api", Shared, docs::page)
        .get("/embed/{slug}/{panel}", Shared, panel::embed)
        .get("/pricing", NoStore, pricing::page)
        .get("/feed.atom", Shared, feed::feed)
        .get("/robots.txt", ByHandler, search_engines::robots)
        .get("/sitemap.xml", ByHandler, search_engines::sitemap)
        .get("/favicon.ico", ByHandler, search_engines::favicon)
        .get("/apple-touch-icon.png", ByHandler, search_engines::touch_icon)
        .post(billing::PATH, billing::webhook)
        .get("/health", NoStore, health::health)
        .get("/ready", NoStore, health::ready)
        .get("/events", NoStore, events::stream)
        .get("/assets/{file}", ByHandler, assets::serve)
        .merge(auth_routes())
}

fn auth_routes() -> Routes {
    Routes::new()
        .get("/auth/login", NoStore, auth::sign_in_page)
        .post("/auth/login", auth::request_sign_in)
        .get("/auth/signup", NoStore, auth::sign_up_page)
        .post("/auth/signup", auth::request_sign_up)
        .get("/auth/verify", NoStore, auth::verify)
        .post("/auth/verify", auth::redeem)
        .get("/auth/email", NoStore, auth::confirm_email_change)
        .post("/auth/email", auth::change_email)
        .get("/auth/deleted", NoStore, auth::deleted)
        .post("/auth/logout", auth::sign_out)
        .get("/unsubscribe/{kind}/{token}", NoStore, unsubscribe::confirm)
        .post("/unsubscribe/{kind}/{token}", unsubscribe::end)
        .get("/auth/dev-login", NoStore, auth::dev_sign_in)
        .get("/dev/mailbox", NoStore, auth::mailbox)
        .with_layers(|router| router.route_layer(from_fn(accounts::account_timeout)))
}

// ---- Below this line: everybody, if it is `public`; else signed in and not suspended ----

fn data_routes(app: &AppState) -> Routes {
    Routes::new()
        .get("/dashboard/", NoStore, dashboard::first)
        .merge(browsing_routes())
        .with_layers(|router| {
            router
                .route_layer(from_fn_with_state(app.clone(), viewer::require_account_unless_public))
        })
}

// ---- Below this line: signed in and not suspended ----

fn account_routes() -> Routes {
    Routes::new()
        .get("/dashboard/{slug}/report.pdf", ByHandler, dashboard::report)
        .get("/tables/{name}/download", ByHandler, tables::download)
        .get("/search", Shared, search::page)
        .get("/plans/{plan}", NoStore, pricing::plan)
        .post("/plans/{plan}/request", pricing::request)
        .merge(home_routes())
        .merge(settings_routes())
        .with_layers(|router| router.route_layer(from_fn(viewer::require_account)))
}

fn home_routes() -> Routes {
    Routes::new()
        .get("/home", NoStore, home::page)
        .get("/home/save", NoStore, home::save)
        .post("/home/views", home::save_view)
        .post("/home/views/{id}/default", home::set_default_view)
        .post("/home/views/{id}/delete", home::delete_view)
        .post("/home/alerts", home::create_alert)
        .post("/home/alerts/{id}/pause", home::pause_alert)
        .post("/home/alerts/{id}/delete", home::delete_alert)
        .post("/home/digests", home::subscribe)
        .post("/home/digests/{id}/delete", home::unsubscribe)
        .post("/home/favorites/{slug}", home::set_favorite)
        .with_layers(|router| router.route_layer(from_fn(accounts::account_timeout)))
}

fn settings_routes() -> Routes {
    Routes::new()
        .get("/settings", NoStore, settings::page)
        .post("/settings/profile", settings::set_profile)
        .post("/settings/email", settings::request_email_change_link)
        .post("/settings/appearance", settings::set_appearance)
        .post("/settings/sessions/end-others", settings::end_other_sessions)
        .post("/settings/sessions/{handle}/end", settings::end_session)
        .post("/settings/keys", settings::create_key)
        .post("/settings/keys/{id}/revoke", settings::revoke_key)
        .get("/settings/data.json", NoStore, settings::download)
        .get("/settings/delete", NoStore, settings::confirm_deletion)
        .post("/settings/delete", settings::delete)
        .with_layers(|router| router.route_layer(from_fn(accounts::account_timeout)))
}

// ---- Below this line: role `admin` only ----

fn admin_routes() -> Routes {
    Routes::new()
        .merge(admin_account_routes())
        .get("/admin/exports", NoStore, admin::exports)
        .get("/admin/exports/{generation}", NoStore, admin::generation)
        .get("/admin/exports/{generation}/rollback", NoStore, admin::confirm_rollback)
        .post("/admin/exports/{generation}/rollback", admin::roll_back)
        .get("/admin/traffic", NoStore, admin::traffic)
        .with_layers(|router| router.route_layer(from_fn(viewer::require_admin)))
}

fn admin_account_routes() -> Routes {
    Routes::new()
        .get("/admin/", NoStore, admin::overview)
        .get("/admin/accounts", NoStore, admin::accounts)
        .post("/admin/accounts/invite", admin::invite)
        .get("/admin/accounts/{id}", NoStore, admin::account)
        .post("/admin/accounts/{id}/plan", admin::set_plan)
        .post("/admin/accounts/{id}/role", admin::set_role)
        .post("/admin/accounts/{id}/suspend", admin::suspend)
        .post("/admin/accounts/{id}/sign-out", admin::sign_out)
        .get("/admin/requests", NoStore, admin::requests)
        .post("/admin/requests/{id}/grant", admin::grant)
        .post("/admin/requests/{id}/decline", admin::decline)
        .get("/admin/usage", NoStore, admin::usage)
        .get("/admin/alerts", NoStore, admin::alerts)
        .get("/admin/mail", NoStore, admin::mail)
        .get("/admin/audit", NoStore, admin::audit)
        .with_layers(|router| router.route_layer(from_fn(accounts::account_timeout)))
}

// ---- Below this line: an active API key, and no session ----

fn api_routes(app: &AppState) -> Routes {
    Routes::new()
        .get("/api/v1/tables", ByHandler, api::tables)
        .get("/api/v1/tables/{table}", ByHandler, api::table)
        .get("/api/v1/tables/{table}/rows", ByHandler, api::rows)
        .get("/api/v1/tables/{table}/download", ByHandler, api::download)
        .get("/api/v1/dashboards", ByHandler, api::dashboards)
        .get("/api/v1/dashboards/{slug}", ByHandler, api::dashboard)
        .get("/api/v1/generation", ByHandler, api::generation)
        .with_layers(|router| router.route_layer(from_fn_with_state(app.clone(), api::require_key)))
        // The description of the API is public.
        .get("/api/v1/openapi.json", ByHandler, api::openapi)
        .with_layers(|router| router.layer(security::cors(&app.settings.web.cors)))
}

/// In the extensions of a response that must be sent byte for byte as it is, so that an
/// interrupted download can be resumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoTransform;

/// Returns whether compression makes a response smaller, which excludes small responses and
/// compressed files.
fn worth_compressing(
    _: StatusCode,
    version: Version,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> bool {
    let _ = version;
    let small = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .is_some_and(|length: u64| length < 256);
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Events are sent one by one; a compressor would delay them.
    let packed = kind.starts_with("text/event-stream")
        || kind.ends_with("parquet")
        || kind.ends_with("sheet");
    !small && !packed && extensions.get::<NoTransform>().is_none()
}

async fn not_found() -> WebError {
    WebError::NotFound
}

/// Logs a panic with its message and responds as to every other internal error.
#[expect(clippy::needless_pass_by_value, reason = "as the layer calls it")]
fn panic_response(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    WebError::internal(format!(
        "a handler panicked: {}",
        without_values(message.unwrap_or("without a message"))
    ))
    .into_response()
}
