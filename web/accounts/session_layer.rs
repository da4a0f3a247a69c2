//! The session layer: resolves the session cookie of each request to a [`Viewer`].

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;

use super::{AccountSettings, Cookies, StoreError, Token};
use crate::{app::AppState, error::WebError, viewer::Viewer};

/// The handle of the request's session, in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Session(pub(crate) Arc<str>);

/// Browsers accept a cookie with this prefix only over TLS, from this host and for every path, so
/// that no other site can plant one.
const SECURE_SESSION_COOKIE: &str = "__Host-session";
/// Used in debug mode, without TLS.
const PLAIN_SESSION_COOKIE: &str = "session";
/// The cookie that identifies a browser.
const SECURE_BROWSER_COOKIE: &str = "__Host-browser";
const PLAIN_BROWSER_COOKIE: &str = "browser";
/// Requests whose session is not resolved within this time are served without one.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// The timeout of everything that needs the accounts, including waiting for writers.
pub(crate) const ACCOUNTS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long browsers retain the cookie; the store determines how long the session is valid.
const SESSION_COOKIE_SECONDS: u32 = 60 * 86_400;

fn name(settings: &AccountSettings) -> &'static str {
    if settings.secure_cookies() { SECURE_SESSION_COOKIE } else { PLAIN_SESSION_COOKIE }
}

/// Returns the tokens in a request's cookies.
pub(crate) fn cookies(headers: &HeaderMap, settings: &AccountSettings) -> Cookies {
    let browser =
        if settings.secure_cookies() { SECURE_BROWSER_COOKIE } else { PLAIN_BROWSER_COOKIE };
    Cookies {
        session: token_named(headers, name(settings)),
        browser: token_named(headers, browser),
    }
}

/// Returns the session id in a request's cookies.
fn session_from_cookie(headers: &HeaderMap, settings: &AccountSettings) -> Option<Token> {
    token_named(headers, name(settings))
}

fn token_named(headers: &HeaderMap, name: &str) -> Option<Token> {
    let cookies = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'));
    let mut named =
        cookies.filter_map(|cookie| cookie.trim().split_once('=')).filter(|(key, _)| *key == name);
    named.find_map(|(_, value)| Token::parse(value))
}

/// Returns the header value that sets the session cookie.
pub(crate) fn session_cookie(id: &Token, settings: &AccountSettings) -> HeaderValue {
    cookie(name(settings), id.reveal(), SESSION_COOKIE_SECONDS, settings)
}

/// Returns the header value that sets the browser cookie.
pub(crate) fn browser_cookie(id: &Token, settings: &AccountSettings) -> HeaderValue {
    const YEAR: u32 = 365 * 86_400;
    let name = if settings.secure_cookies() { SECURE_BROWSER_COOKIE } else { PLAIN_BROWSER_COOKIE };
    cookie(name, id.reveal(), YEAR, settings)
}

/// Returns the header value that removes the session cookie.
pub(crate) fn removal_cookie(settings: &AccountSettings) -> HeaderValue {
    cookie(name(settings), "", 0, settings)
}

fn cookie(name: &str, value: &str, seconds: u32, settings: &AccountSettings) -> HeaderValue {
    let secure = if settings.secure_cookies() { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Consists of hexadecimal digits and constants.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Resolves the session of a request and passes it on as a [`Viewer`] in the request's extensions.
pub(crate) async fn resolve_session(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let settings = app.accounts.settings();
    let token = session_from_cookie(request.headers(), settings)
        .filter(|_| !request.uri().path().starts_with("/assets/"));
    let mut renewed = None;
    let viewer = match token {
        None => Viewer::default(),
        Some(id) => match timeout(LOOKUP_TIMEOUT, app.accounts.resolve(&id)).await {
            Ok(Ok(None)) => Viewer::default(),
            Ok(Ok(Some(resolved))) => {
                renewed = resolved.renewed;
                request
                    .extensions_mut()
                    .insert(Session(resolved.signed_in.session.as_str().into()));
                resolved.signed_in.viewer.clone()
            }
            // Logged by the request that probed the store.
            Ok(Err(StoreError::CircuitOpen)) => Viewer::unresolved(),
            Ok(Err(error)) => {
                tracing::error!(%error, "a session could not be looked up");
                Viewer::unresolved()
            }
            Err(_) => {
                tracing::error!("a session could not be looked up: the accounts do not respond");
                Viewer::unresolved()
            }
        },
    };
    request.extensions_mut().insert(viewer);
    let mut response = next.run(request).await;
    // Signing in or out has already set another cookie.
    if let Some(id) = renewed.filter(|_| !response.headers().contains_key(header::SET_COOKIE)) {
        response.headers_mut().append(header::SET_COOKIE, session_cookie(&id, settings));
    }
    response
}

/// Limits the time of pages that need the accounts: a database may hang without closing its
/// connections.
pub(crate) async fn account_timeout(request: Request, next: Next) -> Result<Response, WebError> {
    timeout(ACCOUNTS_TIMEOUT, next.run(request)).await.map_err(|_| {
        tracing::error!("a page that needs the accounts timed out");
        WebError::AccountsUnavailable
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use materia::settings::Settings;

    use super::*;

    fn settings(debug: bool) -> AccountSettings {
        let settings =
            Settings::load(None, &|name| (name == "DEBUG").then(|| debug.to_string())).unwrap();
        AccountSettings::new(&settings).unwrap()
    }

    fn token(cookie: &'static str) -> Option<Token> {
        session_from_cookie(
            &HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))]),
            &settings(false),
        )
    }

    #[test]
    fn a_session_travels_over_tls_to_this_host_only_and_no_script_reads_it() {
        let id = Token::parse(&"ab".repeat(32)).unwrap();
        let header = |debug| {
            session_cookie(&id, &settings(debug)).to_str().unwrap().replace(id.reveal(), "ID")
        };
        assert_eq!(
            header(false),
            "__Host-session=ID; Path=/; Max-Age=5184000; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(header(true), "session=ID; Path=/; Max-Age=5184000; HttpOnly; SameSite=Lax");
        assert_eq!(
            removal_cookie(&settings(true)),
            "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn only_a_cookie_of_the_right_name_and_form_is_a_session() {
        let right = concat!(
            "theme=dark; __Host-session=",
            "abababababababababababababababababababababababababababababababab"
        );
        assert!(token(right).is_some());
        assert!(
            token("session=abababababababababababababababababababababababababababababababab")
                .is_none()
        );
        assert!(token("__Host-session=short").is_none());
        assert!(token("__Host-session=' OR 1=1; __Host-session=").is_none());
    }
}
