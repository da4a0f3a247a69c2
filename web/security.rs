//! Security headers, and the protection against cross-site requests.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};

use tower_http::cors::CorsLayer;

use super::{
    app::AppState,
    error::WebError,
    pages::{billing, unsubscribe},
};

/// Allows nothing from other sites and nothing inline: styles and scripts are files of the site,
/// forms are sent to it, and no page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
                      manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Allows pages of these origins to show a response in a frame or as a picture.
pub(crate) fn allow_embedding(headers: &mut HeaderMap, by: &[String]) {
    let ancestors = if by.is_empty() { "'none'".to_owned() } else { by.join(" ") };
    let policy = CONTENT_SECURITY_POLICY
        .replace("frame-ancestors 'none'", &format!("frame-ancestors {ancestors}"));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // This older header does not support origins.
    if by.is_empty() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    let name = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(name, HeaderValue::from_static("cross-origin"));
}

const SECURITY_HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Sets the security headers, and HSTS outside of debug mode.
pub(crate) async fn set_headers(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let has_own_policy = headers.contains_key(header::CONTENT_SECURITY_POLICY);
    for (name, value) in SECURITY_HEADERS {
        // If a policy lists the allowed framing pages, this header would forbid all of them.
        if has_own_policy && name == "x-frame-options" {
            continue;
        }
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    if !app.settings.web.debug {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000; includeSubDomains"),
        );
    }
    response
}

/// Lets pages of these origins read the API, and no others. Keys are sent in a header that such
/// pages set themselves; cookies are never included.
pub(crate) fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let exposed = [
        "etag",
        "link",
        "ratelimit",
        "ratelimit-policy",
        "x-materia-generation",
        "x-materia-rows",
        "x-materia-cursor",
    ];
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([
            header::AUTHORIZATION,
            header::ACCEPT,
            header::IF_NONE_MATCH,
            header::RANGE,
            header::IF_RANGE,
        ])
        .expose_headers(exposed.map(HeaderName::from_static))
}

/// Refuses requests that change state unless they come from this site's own pages.
pub(crate) async fn csrf_guard(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, WebError> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // Its own signature says who sent it.
    let signed = request.uri().path() == billing::PATH;
    // Mail programs send it from anywhere (RFC 8058); the signed address is all that counts.
    let by_mail = request.uri().path().starts_with(unsubscribe::PREFIX);
    if safe || signed || by_mail || is_same_origin(request.headers(), &app.settings.web.base_url())
    {
        return Ok(next.run(request).await);
    }
    Err(WebError::CrossSite)
}

/// Returns whether a request comes from this site: by `Sec-Fetch-Site`, or by `Origin` in older
/// browsers. A request with neither is refused.
fn is_same_origin(headers: &HeaderMap, base_url: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == origin_of(base_url),
        (None, None) => false,
    }
}

/// Returns the scheme, host and port of an address.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn comes_from_ourselves(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        is_same_origin(&headers, "https://example.com/beans")
    }

    #[test]
    fn a_form_on_another_site_changes_nothing_here() {
        assert!(comes_from_ourselves(&[("sec-fetch-site", "same-origin")]));
        assert!(comes_from_ourselves(&[("origin", "https://example.com")]));
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://example.com")],
            &[("origin", "https://example.com.evil.org")],
            &[("origin", "http://example.com")],
            &[("origin", "null")],
            &[],
        ] {
            assert!(!comes_from_ourselves(foreign), "{foreign:?}");
        }
    }
}
