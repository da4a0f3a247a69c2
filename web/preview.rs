//! The preview of a folder of dashboards for their author: on this machine only, without accounts,
//! and renewed at every save.

use std::{net::SocketAddr, time::Duration};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    dashboard::Dashboards,
    plan::Plan,
    reader::{Reader, ReaderConfig},
    settings::{Secret, Settings},
    toml_file::FileError,
};
use maud::{Markup, html};
use tokio::{net::TcpListener, time::interval};

use super::{
    accept_loop,
    accounts::Accounts,
    app::{AppConfig, AppState, Clock},
    components,
    error::WebError,
    page::{NavItem, Page, View},
    router,
    server::{StartError, shutdown_signal},
    viewer::{AccountSummary, Appearance, Role, Viewer},
};

/// How often the files are checked for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What a preview reports to the terminal.
#[derive(Debug)]
pub enum PreviewNews<'a> {
    /// It can be opened.
    Listening(SocketAddr),
    /// The files were loaded, with these mistakes.
    Loaded(&'a [FileError]),
}

/// Serves the dashboards that the settings name until a signal stops it.
///
/// # Errors
/// The served data cannot be read, or the address is in use. Mistakes in the files are shown on
/// the page.
pub async fn preview(
    mut settings: Settings,
    address: SocketAddr,
    report: impl Fn(PreviewNews<'_>) + Send + Sync + 'static,
) -> Result<(), StartError> {
    materia::locale::set(settings.brand.locale);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let reader = Reader::open(
        &settings.target()?,
        settings.export.served_schema(),
        ReaderConfig::default(),
    )?;
    // Nobody signs in, so there is nothing to keep.
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("accounts.db");
    settings.accounts.database_url = Secret::new(format!("sqlite://{}", database.display()));
    settings.accounts.smtp_url = None;
    settings.web.debug = true;
    settings.web.listen = address;
    settings.web.base_url = Some(format!("http://{address}"));
    settings.web.requests_per_minute = 0;
    let clock = Clock::System;
    let accounts = Accounts::open(&settings, &clock).await?;
    let dashboards = Dashboards::load_or_report(&settings.dashboards);
    report(PreviewNews::Loaded(dashboards.problems()));
    let config =
        AppConfig { settings, reader, dashboards, legal: Vec::new(), clock, is_preview: true };
    let app = AppState::new(config, accounts);
    report(PreviewNews::Listening(address));
    let signal_received = shutdown_signal()?;
    let watched = tokio::spawn(watch(app.clone(), report));
    let stop = async {
        signal_received.await;
        app.events.stop();
    };
    accept_loop::serve(listener, router::preview_site(&app), stop, Duration::ZERO).await?;
    watched.abort();
    app.accounts.clone().close().await;
    Ok(())
}

/// Loads the files again when they change, which open pages are told.
async fn watch(app: AppState, report: impl Fn(PreviewNews<'_>)) {
    let mut changes = app.dashboards.changes();
    let mut poll = interval(POLL_INTERVAL);
    loop {
        poll.tick().await;
        let set = app.dashboards.current();
        if changes.has_changed().unwrap_or_default() {
            changes.mark_unchanged();
            report(PreviewNews::Loaded(set.dashboards.problems()));
        }
    }
}

/// Refuses requests to other hosts than this machine. Another site could otherwise resolve its name
/// to this machine's address and read the data.
pub(crate) async fn require_local_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    if !matches!(name, Some("localhost" | "127.0.0.1" | "[::1]")) {
        return (StatusCode::MISDIRECTED_REQUEST, "This preview is for this machine only.\n")
            .into_response();
    }
    next.run(request).await
}

/// Admits every request as an operator's.
pub(crate) async fn admit(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Viewer::account(AccountSummary {
        id: "preview".to_owned(),
        email: String::new(),
        name: None,
        plan: Plan::Pro,
        role: Role::Admin,
        suspended: false,
        appearance: Appearance::System,
    }));
    next.run(request).await
}

/// The mistakes in a folder without any dashboard that can be shown.
struct Mistakes(Vec<String>);

impl View for Mistakes {
    fn render(&self) -> Markup {
        html! {
            h1 { "No dashboard yet" }
            @for mistake in &self.0 { (components::notice("bad", mistake)) }
            p { "This page shows the first dashboard as soon as its file is saved." }
        }
    }
}

/// `/`: the first dashboard, or what keeps it from being shown.
pub(crate) async fn first(State(app): State<AppState>) -> Result<Response, WebError> {
    let set = app.dashboards.current();
    let all = set.dashboards.all(&app.reader.pin()?).await?;
    if let Some(first) = all.first() {
        return Ok(Redirect::to(&format!("/dashboard/{}", first.slug)).into_response());
    }
    let mistakes = set.dashboards.problems().iter().map(ToString::to_string).collect();
    Ok(Page::new("Preview", NavItem::Dashboards, &Mistakes(mistakes)).into_response())
}
