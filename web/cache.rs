//! Pages that everybody of one plan sees alike are drawn once, and revalidated without a question.
//!
//! What a page is drawn from is its key: generation, plan, look, address, encoding, and the words that tell the data's age. Its `ETag` is
//! made of the key alone, so that a browser which still has the page is told so before anything is asked or drawn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use materia::plan::Plan;
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    app::App,
    error::WebError,
    parts::Freshness,
    viewer::{Appearance, Viewer},
};

/// Memory for drawn pages, in bytes.
const MEMORY: u64 = 64 << 20;
/// Who waits longer for a page that somebody else lets be drawn draws it too: where nothing comes of it, many would wait one after the other.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Longer addresses are not kept: nobody gets them by choosing from filters.
const LONGEST_TARGET: usize = 2_048;

/// The drawn pages.
pub(crate) struct Pages {
    kept: Cache<Key, Arc<Kept>, ByBytes>,
    /// Differs between two builds and two sets of settings.
    salt: String,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the drawn pages come to.
pub(crate) struct PagesFigures {
    /// How many are kept.
    pub(crate) kept: usize,
    /// The memory that they take.
    pub(crate) bytes: u64,
    /// Requests that needed no drawing.
    pub(crate) hits: u64,
    /// Requests that did.
    pub(crate) misses: u64,
}

/// Everything a shared page depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    generation: String,
    /// Of the dashboards.
    edition: String,
    age: String,
    viewer: Option<(Plan, bool, Appearance)>,
    target: String,
    encoding: Option<&'static str>,
}

struct Kept {
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Kept>> for ByBytes {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        const OVERHEAD: usize = 1_024;
        (kept.body.len() + key.target.len() + OVERHEAD) as u64
    }
}

/// The layout puts it into a response that may be kept: the generation the page was drawn from.
#[derive(Debug, Clone)]
pub(crate) struct DrawnFrom(pub(crate) String);

impl Pages {
    /// None yet. `salt` is everything else that pages are made of.
    pub(crate) fn new(salt: &str) -> Self {
        Self {
            kept: Cache::with_weighter(1_000, MEMORY, ByBytes),
            salt: format!("{:x}", Sha256::digest(salt)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn figures(&self) -> PagesFigures {
        let [hits, misses] = [&self.hits, &self.misses].map(|count| count.load(Ordering::Relaxed));
        PagesFigures { kept: self.kept.len(), bytes: self.kept.weight(), hits, misses }
    }

    fn etag(&self, key: &Key) -> HeaderValue {
        let mut hash = format!("{:x}", Sha256::digest(format!("{} {key:?}", self.salt)));
        hash.truncate(24);
        HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Answers from the drawn pages, or lets one be drawn: once, however many wait for it, unless it takes long.
pub(crate) async fn pages(State(app): State<App>, viewer: Viewer, mut request: Request, next: Next) -> Response {
    let Some(key) = key(&app, &viewer, &request) else { return next.run(request).await };
    let etag = app.pages.etag(&key);
    if revalidates(request.headers(), &etag) {
        app.pages.hits.fetch_add(1, Ordering::Relaxed);
        return not_modified(etag);
    }
    let guard = match timeout(LONGEST_WAIT, app.pages.kept.get_value_or_guard_async(&key)).await {
        Ok(Ok(kept)) => {
            app.pages.hits.fetch_add(1, Ordering::Relaxed);
            return answer(&kept);
        }
        Ok(Err(guard)) => Some(guard),
        Err(_) => None,
    };
    app.pages.misses.fetch_add(1, Ordering::Relaxed);
    // One encoding, the one that the page is kept under.
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(key.encoding.unwrap_or("identity")));
    let mut response = next.run(request).await;
    let drawn_from = response.extensions_mut().remove::<DrawnFrom>();
    // Drawn from a generation that came in between: right to show, wrong to keep.
    if response.status() != StatusCode::OK || drawn_from.is_none_or(|drawn| drawn.0 != key.generation) {
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return axum::response::IntoResponse::into_response(WebError::internal("a page could not be compressed"));
    };
    let mut headers = head.headers;
    headers.insert(header::ETAG, etag);
    headers.insert(header::VARY, HeaderValue::from_static("cookie, accept-encoding"));
    headers.remove(header::TRANSFER_ENCODING);
    let kept = Arc::new(Kept { headers, body });
    // It fails only where the key was removed meanwhile.
    let _ = guard.map(|guard| guard.insert(kept.clone()));
    answer(&kept)
}

/// The key of a page that may be shared; nothing for every other request.
fn key(app: &App, viewer: &Viewer, request: &Request) -> Option<Key> {
    let path = request.uri().path();
    let table =
        path.strip_prefix("/tables/").is_some_and(|rest| !rest.is_empty() && !rest.contains("/download") && !rest.contains("/change"));
    let shared = table
        || matches!(path, "/" | "/methodology" | "/tables" | "/docs/api")
        || path.strip_prefix("/dashboard/").is_some_and(|slug| !slug.is_empty());
    let target = request.uri().path_and_query().map(ToString::to_string).filter(|target| target.len() <= LONGEST_TARGET)?;
    let locked_out = viewer.signed_in().is_some_and(|account| account.suspended);
    if !shared || locked_out || *request.method() != Method::GET {
        return None;
    }
    let pin = app.reader.pin().ok()?;
    let fresh = Freshness::of(pin.generation(), app.clock.now());
    let edition = app.boards.now().name;
    let viewer = viewer.signed_in().map(|account| (account.entitled(), viewer.is_admin(), account.appearance));
    Some(Key { generation: fresh.generation, edition, age: fresh.ago, viewer, target, encoding: encoding(request.headers()) })
}

/// The encoding that is sent: the best of those the browser takes.
fn encoding(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |wanted: &str| {
        offered.split(',').any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            name.trim().eq_ignore_ascii_case(wanted) && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    };
    ["zstd", "br", "gzip"].into_iter().find(|name| takes(name))
}

/// Whether the client has what is named by `etag` already.
pub(crate) fn revalidates(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let etag = etag.to_str().unwrap_or_default().trim_start_matches("W/");
    known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

fn not_modified(etag: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("cookie, accept-encoding"));
    response
}

fn answer(kept: &Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body.clone()));
    *response.headers_mut() = kept.headers.clone();
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn taking(value: &'static str) -> HeaderMap {
        [(header::ACCEPT_ENCODING, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn the_best_encoding_that_a_browser_takes_is_sent() {
        assert_eq!(encoding(&taking("gzip, deflate, br, zstd")), Some("zstd"));
        assert_eq!(encoding(&taking("gzip, br;q=0.5, zstd;q=0")), Some("br"));
        assert_eq!(encoding(&taking("identity")), None);
        assert_eq!(encoding(&HeaderMap::new()), None);
    }
}
