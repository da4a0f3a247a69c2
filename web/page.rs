//! Pages: a title and a rendered body. The surrounding layout is applied only here.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use materia::reader::{GenerationInfo, Pin};
use maud::Markup;
use tokio::time::timeout;

use super::{
    accounts::ACCOUNTS_TIMEOUT, api, app::AppState, components, error::WebError,
    page_cache::RenderedFrom, viewer::Viewer,
};

/// Renders finished values. Pure: no clock, no store, no query.
pub(crate) trait View {
    /// Renders the content of `<main>`, including its `<h1>`.
    fn render(&self) -> Markup;
}

/// A page without its layout.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The first part of the document's title.
    pub(crate) title: String,
    /// What the page is about, for search engines and previews of links; the brand's text if
    /// absent.
    pub(crate) description: Option<String>,
    /// The address of a picture for previews of links; the site's if absent.
    pub(crate) picture: Option<String>,
    /// Whether search engines may list it.
    pub(crate) listed: bool,
    /// Structured data about the page (JSON-LD), for search engines.
    pub(crate) structured: Option<String>,
    /// The current entry of the navigation.
    pub(crate) place: NavItem,
    /// The content of `<main>`.
    pub(crate) body: Markup,
    pub(crate) status: StatusCode,
    /// The generation it was rendered from, for pages that all viewers of one plan share; they are
    /// cached and revalidated.
    pub(crate) shared: Option<Arc<GenerationInfo>>,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NavItem {
    #[default]
    None,
    Home,
    Start,
    Dashboards,
    Tables,
    Pricing,
    Docs,
    Methodology,
    SignIn,
    Settings,
    Admin,
}

impl Page {
    /// Returns a page that is rendered for one viewer.
    pub(crate) fn new(title: impl Into<String>, place: NavItem, view: &impl View) -> Self {
        Self {
            title: title.into(),
            description: None,
            picture: None,
            listed: true,
            structured: None,
            place,
            body: view.render(),
            status: StatusCode::OK,
            shared: None,
        }
    }

    pub(crate) fn with_description(self, description: impl Into<String>) -> Self {
        Self { description: Some(description.into()), ..self }
    }

    pub(crate) fn with_picture(self, picture: Option<String>) -> Self {
        Self { picture, ..self }
    }

    /// Asks search engines not to list the page: another address has the same content.
    pub(crate) fn unlisted(self) -> Self {
        Self { listed: false, ..self }
    }

    pub(crate) fn with_structured(self, structured: &serde_json::Value) -> Self {
        // Within a script element nothing but its end means anything.
        Self { structured: Some(structured.to_string().replace('<', "\\u003c")), ..self }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Marks the page as shared by all viewers of one plan while this generation is served, unless
    /// something on it failed temporarily.
    pub(crate) fn cacheable(self, pin: &Pin) -> Self {
        Self { shared: pin.transient_error().is_none().then(|| pin.generation().clone()), ..self }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Renders the pages and errors that handlers return.
pub(crate) async fn layout(
    State(app): State<AppState>,
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let page = match response.extensions_mut().remove::<Arc<Page>>() {
        Some(page) => page,
        None => match error_from_response(&mut response) {
            Some(error) => {
                if let WebError::Internal(reason) = &error {
                    tracing::error!(%method, path, reason, "cannot answer");
                }
                if path.starts_with(api::PATH) {
                    return api::Problem::from(&error).into_response();
                }
                let reason = match (&error, viewer.signed_in()) {
                    (WebError::Suspended, Some(account)) => {
                        let read = app.accounts.suspension_reason(&account.id);
                        timeout(ACCOUNTS_TIMEOUT, read).await.ok().and_then(Result::ok).flatten()
                    }
                    _ => None,
                };
                Arc::new(components::error_page(
                    &error,
                    viewer.signed_in().is_some(),
                    &app.settings.brand,
                    reason.as_deref(),
                ))
            }
            None => return response,
        },
    };
    let drawn = components::document(&app, &viewer, &page, &path).into_string();
    let (mut head, _) = response.into_parts();
    head.status = page.status;
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    head.headers.remove(header::CONTENT_LENGTH);
    let cache_control = if page.shared.is_some() { "private, no-cache" } else { "no-store" };
    head.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(cache_control));
    if let Some(info) = &page.shared {
        head.extensions.insert(RenderedFrom(components::generation_name(info)));
    }
    Response::from_parts(head, drawn.into())
}

/// Returns the error of a response: the site's own, or that of a library that responded in plain
/// text.
fn error_from_response(response: &mut Response) -> Option<WebError> {
    if let Some(error) = response.extensions_mut().remove::<WebError>() {
        return Some(error);
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let bare = kind.is_none_or(|kind| kind.starts_with("text/plain"));
    let error = response.status().is_client_error() || response.status().is_server_error();
    if bare && error { WebError::from_status(response.status()) } else { None }
}

/// What a page confirms after the redirect that follows a change, by name: `?done=NAME`.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct DoneQuery {
    pub(crate) done: Option<String>,
}
