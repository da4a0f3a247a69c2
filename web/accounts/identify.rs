//! Sessions on their way through the browser: the cookie, and who it stands for.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;

use super::{AccountSettings, Cookies, StoreError, Token};
use crate::web::{app::App, error::WebError, viewer::Viewer};

/// The handle of the session of a request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Session(pub(crate) Arc<str>);

/// Browsers take a cookie of this name only over TLS, from this host, for every path: nobody else can plant one.
const SECURE: &str = "__Host-session";
/// Without TLS, in debug.
const PLAIN: &str = "session";
/// The names of what a browser is recognized by.
const BROWSER_SECURE: &str = "__Host-browser";
const BROWSER_PLAIN: &str = "browser";
/// Who is looking is known by then, or is not waited for.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// What needs the accounts is done by then, waiting for others who write included.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long browsers keep it; the store decides how long it is good for.
const KEPT_FOR: u32 = 60 * 86_400;

fn name(settings: &AccountSettings) -> &'static str {
    if settings.secure_cookies() { SECURE } else { PLAIN }
}

/// What a browser sends along that says who it is.
pub(crate) fn cookies(headers: &HeaderMap, settings: &AccountSettings) -> Cookies {
    let browser = if settings.secure_cookies() { BROWSER_SECURE } else { BROWSER_PLAIN };
    Cookies { session: token_named(headers, name(settings)), browser: token_named(headers, browser) }
}

/// The session id that a browser brings.
fn presented(headers: &HeaderMap, settings: &AccountSettings) -> Option<Token> {
    token_named(headers, name(settings))
}

fn token_named(headers: &HeaderMap, name: &str) -> Option<Token> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut named = cookies.filter_map(|cookie| cookie.trim().split_once('=')).filter(|(key, _)| *key == name);
    named.find_map(|(_, value)| Token::presented(value))
}

/// What makes the browser keep a session id.
pub(crate) fn session_cookie(id: &Token, settings: &AccountSettings) -> HeaderValue {
    cookie(name(settings), id.reveal(), KEPT_FOR, settings)
}

/// What makes the browser recognizable.
pub(crate) fn browser_cookie(id: &Token, settings: &AccountSettings) -> HeaderValue {
    const YEAR: u32 = 365 * 86_400;
    let name = if settings.secure_cookies() { BROWSER_SECURE } else { BROWSER_PLAIN };
    cookie(name, id.reveal(), YEAR, settings)
}

/// What makes the browser forget it.
pub(crate) fn forget_cookie(settings: &AccountSettings) -> HeaderValue {
    cookie(name(settings), "", 0, settings)
}

fn cookie(name: &str, value: &str, seconds: u32, settings: &AccountSettings) -> HeaderValue {
    let secure = if settings.secure_cookies() { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Hexadecimal digits and words of ours.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Finds out who is looking, and tells everything behind it by a [`Viewer`] in the request's extensions.
pub(crate) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let settings = app.accounts.settings();
    let brought = presented(request.headers(), settings).filter(|_| !request.uri().path().starts_with("/assets/"));
    let mut renewed = None;
    let viewer = match brought {
        None => Viewer::default(),
        Some(id) => match timeout(KNOWN_WITHIN, app.accounts.resolve(&id)).await {
            Ok(Ok(None)) => Viewer::default(),
            Ok(Ok(Some(resolved))) => {
                renewed = resolved.renewed;
                request.extensions_mut().insert(Session(resolved.signed_in.session.as_str().into()));
                resolved.signed_in.viewer.clone()
            }
            // Told by the one that tried.
            Ok(Err(StoreError::Resting)) => Viewer::unknown(),
            Ok(Err(error)) => {
                tracing::error!(%error, "a session could not be looked up");
                Viewer::unknown()
            }
            Err(_) => {
                tracing::error!("a session could not be looked up: the accounts do not answer");
                Viewer::unknown()
            }
        },
    };
    request.extensions_mut().insert(viewer);
    let mut response = next.run(request).await;
    // Signing in or out has set another one.
    if let Some(id) = renewed.filter(|_| !response.headers().contains_key(header::SET_COOKIE)) {
        response.headers_mut().append(header::SET_COOKIE, session_cookie(&id, settings));
    }
    response
}

/// Gives up on pages that need the accounts where these do not answer: a database may stand still without closing its connections.
pub(crate) async fn in_time(request: Request, next: Next) -> Result<Response, WebError> {
    timeout(ANSWERS_WITHIN, next.run(request)).await.map_err(|_| {
        tracing::error!("a page that needs the accounts was given up: they do not answer");
        WebError::AccountsAway
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use materia::settings::Settings;

    use super::*;

    fn settings(debug: bool) -> AccountSettings {
        let settings = Settings::load(None, &|name| (name == "DEBUG").then(|| debug.to_string())).unwrap();
        AccountSettings::new(&settings).unwrap()
    }

    fn brought(cookie: &'static str) -> Option<Token> {
        presented(&HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))]), &settings(false))
    }

    #[test]
    fn a_session_travels_over_tls_to_this_host_only_and_no_script_reads_it() {
        let id = Token::presented(&"ab".repeat(32)).unwrap();
        let told = |debug| session_cookie(&id, &settings(debug)).to_str().unwrap().replace(id.reveal(), "ID");
        assert_eq!(told(false), "__Host-session=ID; Path=/; Max-Age=5184000; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(told(true), "session=ID; Path=/; Max-Age=5184000; HttpOnly; SameSite=Lax");
        assert_eq!(forget_cookie(&settings(true)), "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn only_a_cookie_of_the_right_name_and_form_is_a_session() {
        let right = concat!("theme=dark; __Host-session=", "abababababababababababababababababababababababababababababababab");
        assert!(brought(right).is_some());
        assert!(brought("session=abababababababababababababababababababababababababababababababab").is_none());
        assert!(brought("__Host-session=short").is_none());
        assert!(brought("__Host-session=' OR 1=1; __Host-session=").is_none());
    }
}
