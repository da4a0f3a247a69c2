//! Pages: a title and a finished body. The layout around them is applied here and nowhere else.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use materia::reader::{GenerationInfo, Pin};
use maud::Markup;

use super::{api, app::App, cache::DrawnFrom, error::WebError, parts, viewer::Viewer};

/// Draws finished values. Pure: no clock, no store, no question.
pub(crate) trait View {
    /// What stands inside `<main>`, its `<h1>` included.
    fn body(&self) -> Markup;
}

/// A page that waits for its layout.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// For the browser's title, before the brand's name.
    pub(crate) title: String,
    /// Which entry of the navigation it belongs to.
    pub(crate) place: Place,
    /// What stands inside `<main>`.
    pub(crate) body: Markup,
    /// Its status.
    pub(crate) status: StatusCode,
    /// The generation it was made from, for pages that everybody of one plan sees alike; they are kept and revalidated.
    pub(crate) shared: Option<Arc<GenerationInfo>>,
}

/// Where in the site a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// Nowhere in the navigation.
    #[default]
    None,
    /// The landing page.
    Home,
    /// The dashboards.
    Dashboards,
    /// The tables.
    Tables,
    /// Sources and definitions.
    Methodology,
    /// Sign-in and sign-up.
    SignIn,
    /// The account's settings.
    Settings,
    /// The operators' pages.
    Admin,
}

impl Page {
    /// A page that is made for whoever looks, each time.
    pub(crate) fn new(title: impl Into<String>, place: Place, view: &impl View) -> Self {
        Self { title: title.into(), place, body: view.body(), status: StatusCode::OK, shared: None }
    }

    /// The same page with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Says that everybody of one plan sees this page alike, as long as this generation is served; not where something on it is only missing for now.
    pub(crate) fn shared(self, pin: &Pin) -> Self {
        Self { shared: pin.trouble().is_none().then(|| pin.generation().clone()), ..self }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Draws the pages and errors that the routes answer with.
pub(crate) async fn layout(State(app): State<App>, viewer: Viewer, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let page = match response.extensions_mut().remove::<Arc<Page>>() {
        Some(page) => page,
        None => match error_of(&mut response) {
            Some(error) => {
                if let WebError::Internal(reason) = &error {
                    tracing::error!(%method, path, reason, "cannot answer");
                }
                if path.starts_with(api::PATH) {
                    return api::Problem::from(&error).into_response();
                }
                Arc::new(parts::error_page(&error, viewer.signed_in().is_some(), &app.settings.brand))
            }
            None => return response,
        },
    };
    let drawn = parts::document(&app, &viewer, &page).into_string();
    let (mut head, _) = response.into_parts();
    head.status = page.status;
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    head.headers.remove(header::CONTENT_LENGTH);
    let keep = if page.shared.is_some() { "private, no-cache" } else { "no-store" };
    head.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(keep));
    if let Some(info) = &page.shared {
        head.extensions.insert(DrawnFrom(parts::generation_name(info)));
    }
    Response::from_parts(head, drawn.into())
}

/// The error a response stands for: ours, or that of a library which answered in plain text.
fn error_of(response: &mut Response) -> Option<WebError> {
    if let Some(error) = response.extensions_mut().remove::<WebError>() {
        return Some(error);
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let bare = kind.is_none_or(|kind| kind.starts_with("text/plain"));
    let error = response.status().is_client_error() || response.status().is_server_error();
    if bare && error { WebError::of_status(response.status()) } else { None }
}
