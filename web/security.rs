//! What every response tells the browser to forbid, and where forms may come from.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};

use tower_http::cors::CorsLayer;

use super::{app::App, error::WebError};

/// Nothing from elsewhere, nothing inline: styles and scripts are files of ours, forms go to ourselves, nobody frames us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
                      manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const ALWAYS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Sets the headers that forbid. HTTPS is insisted on outside debug.
pub(crate) async fn headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    if !app.settings.web.debug {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains"));
    }
    response
}

/// Lets pages of these origins, and of no other, read the API. Keys travel in a header that such pages set themselves; cookies are never sent along.
pub(crate) fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let told = ["etag", "link", "ratelimit", "ratelimit-policy", "x-materia-generation", "x-materia-rows", "x-materia-cursor"];
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([header::AUTHORIZATION, header::ACCEPT, header::IF_NONE_MATCH, header::RANGE, header::IF_RANGE])
        .expose_headers(told.map(HeaderName::from_static))
}

/// Lets requests that change something through only from this site's own pages.
pub(crate) async fn same_site(State(app): State<App>, request: Request, next: Next) -> Result<Response, WebError> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || from_ourselves(request.headers(), &app.settings.web.base_url()) {
        return Ok(next.run(request).await);
    }
    Err(WebError::CrossSite)
}

/// Browsers say where a request comes from by `Sec-Fetch-Site`; older ones only by `Origin`. Who says neither is no form of ours.
fn from_ourselves(headers: &HeaderMap, base_url: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == origin_of(base_url),
        (None, None) => false,
    }
}

/// Scheme, host and port of an address.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn comes_from_ourselves(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        from_ourselves(&headers, "https://example.com/beans")
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
