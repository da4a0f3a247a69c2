//! Pages that all viewers of one plan share are rendered once and revalidated without a query.
//!
//! A page's key contains everything from which it is rendered: generation, plan, appearance,
//! address, encoding, and the text of the data's age. Its `ETag` is a digest of the key, so that a
//! browser that still has the page gets 304 before anything is queried or rendered. Which routes
//! are shared is declared in `router.rs`. How often each page is requested is counted, so that the
//! site can render the popular ones of a new generation before it shows it (`site_reader.rs`).

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use materia::{digest::DigestBuilder, plan::Plan};
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    app::AppState,
    components::Freshness,
    error::WebError,
    routes::{CachePolicy, Route},
    site_reader::SiteReader,
    viewer::{Appearance, Viewer},
};

/// Memory for rendered pages, in bytes.
const CAPACITY_BYTES: u64 = 64 << 20;
/// How long a request waits for another one that renders the same page. After that it renders the
/// page itself: if rendering fails, many requests would otherwise wait one after the other.
const COALESCE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pages that a new generation begins with at most.
const POPULAR: usize = 64;
/// Pages whose requests are remembered.
const REMEMBERED: usize = 256;
/// A page that was requested once is remembered for a few editions.
const WEIGHT: u32 = 8;
/// Pages with longer addresses are not cached: filters do not produce them.
const MAX_TARGET_LEN: usize = 2_048;

pub(crate) struct PageCache {
    cached: Cache<CacheKey, Arc<CachedPage>, ByteWeight>,
    current: Mutex<Current>,
    /// Differs between builds and between settings.
    salt: String,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Current {
    /// The edition of the newest page; pages of another one are not requested any more.
    edition: Edition,
    /// How often pages were requested in former editions, half as much with each later one.
    popular: HashMap<PageId, u32>,
}

/// The part of a key that is the same for all pages at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Edition {
    generation: String,
    /// The digest of the dashboard files.
    dashboards: String,
    age: String,
    /// The current day, in UTC: what is late, and where filters relative to it end.
    day: String,
}

/// Counts for the metrics.
pub(crate) struct CacheStats {
    pub(crate) cached: usize,
    /// Memory used by cached pages, in bytes.
    pub(crate) bytes: u64,
    /// Requests served without rendering.
    pub(crate) hits: u64,
    /// Requests that rendered a page.
    pub(crate) misses: u64,
}

/// Everything on which a shared page depends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CacheKey {
    edition: Edition,
    page: PageId,
}

/// A page as viewers of one kind see it, in any edition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageId {
    viewer: Option<(Plan, bool, Appearance)>,
    target: String,
    encoding: Option<&'static str>,
}

struct CachedPage {
    headers: HeaderMap,
    body: Bytes,
    /// How often the page was requested.
    requests: AtomicU32,
}

impl PageId {
    /// Returns a request for the page, by nobody in particular.
    pub(crate) fn request(&self) -> Request {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = self.target.parse().unwrap_or_default();
        if let Some(encoding) = self.encoding {
            let encoding = HeaderValue::from_static(encoding);
            request.headers_mut().insert(header::ACCEPT_ENCODING, encoding);
        }
        if let Some((plan, is_admin, appearance)) = self.viewer {
            request.extensions_mut().insert(Viewer::nobody(plan, is_admin, appearance));
        }
        request
    }
}

#[derive(Clone)]
struct ByteWeight;

impl Weighter<CacheKey, Arc<CachedPage>> for ByteWeight {
    fn weight(&self, key: &CacheKey, page: &Arc<CachedPage>) -> u64 {
        const OVERHEAD: usize = 1_024;
        (page.body.len() + key.page.target.len() + OVERHEAD) as u64
    }
}

/// The paths of the routes declared as [`CachePolicy::Shared`].
#[derive(Debug, Clone)]
pub(crate) struct SharedRoutes(Arc<HashSet<&'static str>>);

impl SharedRoutes {
    pub(crate) fn from_declared(routes: &[Route]) -> Self {
        let shared = routes
            .iter()
            .filter(|route| route.method == Method::GET && route.cache == CachePolicy::Shared);
        Self(Arc::new(shared.map(|route| route.path).collect()))
    }

    fn contains(&self, request: &Request) -> bool {
        let matched = request.extensions().get::<MatchedPath>();
        matched.is_some_and(|path| self.0.contains(path.as_str()))
    }
}

/// In the extensions of a response that may be cached: the generation the page was rendered from.
#[derive(Debug, Clone)]
pub(crate) struct RenderedFrom(pub(crate) String);

impl PageCache {
    /// Creates an empty cache. `salt` represents everything on which pages depend besides their
    /// key.
    pub(crate) fn new(salt: &str) -> Self {
        Self {
            cached: Cache::with_weighter(1_000, CAPACITY_BYTES, ByteWeight),
            current: Mutex::default(),
            salt: format!("{:x}", Sha256::digest(salt)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let [hits, misses] = [&self.hits, &self.misses].map(|count| count.load(Ordering::Relaxed));
        CacheStats { cached: self.cached.len(), bytes: self.cached.weight(), hits, misses }
    }

    /// Drops the pages of former editions, which would otherwise fill the cache: every generation
    /// and every change of the text of its age begins another one.
    fn begin_edition(&self, edition: &Edition) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.edition != *edition {
            let counts = self.count(&current, 1);
            current.popular = most_requested(counts, REMEMBERED).into_iter().collect();
            current.edition.clone_from(edition);
            self.cached.retain(|key, _| key.edition == *edition);
        }
    }

    /// Adds the requests of the current edition to those of former ones, whose numbers are shifted
    /// to the right by `fade`.
    fn count(&self, current: &Current, fade: u32) -> HashMap<PageId, u32> {
        let former = current.popular.iter().map(|(page, requests)| (page, requests >> fade));
        let mut counts: HashMap<PageId, u32> = former
            .filter(|(_, requests)| *requests > 0)
            .map(|(page, requests)| (page.clone(), requests))
            .collect();
        for (key, page) in self.cached.iter().filter(|(key, _)| key.edition == current.edition) {
            let requests = page.requests.load(Ordering::Relaxed).saturating_mul(WEIGHT);
            if requests > 0 {
                let count = counts.entry(key.page).or_default();
                *count = count.saturating_add(requests);
            }
        }
        counts
    }

    /// Returns the pages that were requested most in the last editions, those first that were
    /// requested more often.
    pub(crate) fn popular(&self) -> Vec<PageId> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.count(&current, 0);
        most_requested(counts, POPULAR).into_iter().map(|(page, _)| page).collect()
    }

    fn etag(&self, key: &CacheKey) -> HeaderValue {
        let CacheKey { edition, page: PageId { viewer, target, encoding } } = key;
        let Edition { generation, dashboards, age, day } = edition;
        let mut text = DigestBuilder::new();
        text.add(&self.salt)
            .add(generation)
            .add(dashboards)
            .add(age)
            .add(day)
            .add_json(viewer)
            .add(target)
            .add_json(encoding);
        let hash = text.digest();
        HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Returns the pages with the largest counts, those first.
fn most_requested(counts: HashMap<PageId, u32>, most: usize) -> Vec<(PageId, u32)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, requests)| Reverse(*requests));
    counts.truncate(most);
    counts
}

/// Serves a cached page, or renders and caches it. Concurrent requests for one page wait for the
/// first of them, up to [`COALESCE_TIMEOUT`].
pub(crate) async fn serve_cached(
    State((app, shared)): State<(AppState, SharedRoutes)>,
    viewer: Viewer,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(key) = cache_key(&app, &shared, &viewer, &request) else {
        return next.run(request).await;
    };
    let is_ahead = SiteReader::is_ahead();
    if !is_ahead {
        app.page_cache.begin_edition(&key.edition);
    }
    if request.headers().contains_key(header::IF_NONE_MATCH) {
        let etag = app.page_cache.etag(&key);
        if is_not_modified(request.headers(), &etag) {
            app.page_cache.hits.fetch_add(1, Ordering::Relaxed);
            if let Some(cached) = app.page_cache.cached.get(&key) {
                cached.requests.fetch_add(1, Ordering::Relaxed);
            }
            return not_modified(etag);
        }
    }
    let guard =
        match timeout(COALESCE_TIMEOUT, app.page_cache.cached.get_value_or_guard_async(&key)).await
        {
            Ok(Ok(cached)) => {
                app.page_cache.hits.fetch_add(1, Ordering::Relaxed);
                cached.requests.fetch_add(1, Ordering::Relaxed);
                return respond(&cached);
            }
            Ok(Err(guard)) => Some(guard),
            Err(_) => None,
        };
    if !is_ahead {
        app.page_cache.misses.fetch_add(1, Ordering::Relaxed);
    }
    // The page is compressed with the encoding of its key.
    request.headers_mut().insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static(key.page.encoding.unwrap_or("identity")),
    );
    let mut response = next.run(request).await;
    let rendered_from = response.extensions_mut().remove::<RenderedFrom>();
    // A page of a generation that was published in the meantime is served but not cached.
    if response.status() != StatusCode::OK
        || rendered_from.is_none_or(|rendered| rendered.0 != key.edition.generation)
    {
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return WebError::internal("a page could not be compressed").into_response();
    };
    let mut headers = head.headers;
    headers.insert(header::ETAG, app.page_cache.etag(&key));
    headers.insert(header::VARY, HeaderValue::from_static("cookie, accept-encoding"));
    headers.remove(header::TRANSFER_ENCODING);
    let requests = AtomicU32::new(u32::from(!is_ahead));
    let cached = Arc::new(CachedPage { headers, body, requests });
    // Inserting fails only if the key was removed in the meantime.
    let _ = guard.map(|guard| guard.insert(cached.clone()));
    respond(&cached)
}

/// Returns the key of a page that all viewers of one plan share; `None` for other requests.
fn cache_key(
    app: &AppState,
    shared: &SharedRoutes,
    viewer: &Viewer,
    request: &Request,
) -> Option<CacheKey> {
    let is_suspended = viewer.signed_in().is_some_and(|account| account.suspended);
    if !shared.contains(request) || is_suspended || *request.method() != Method::GET {
        return None;
    }
    let target = request
        .uri()
        .path_and_query()
        .map(ToString::to_string)
        .filter(|target| target.len() <= MAX_TARGET_LEN)?;
    let pin = app.reader.pin().ok()?;
    let now = app.clock.now();
    let freshness = Freshness::of(pin.generation(), now);
    let dashboards = app.dashboards.current().digest;
    let viewer = viewer
        .signed_in()
        .map(|account| (account.effective_plan(), viewer.is_admin(), account.appearance));
    Some(CacheKey {
        edition: Edition {
            generation: freshness.generation,
            dashboards,
            age: freshness.ago,
            day: now.strftime("%F").to_string(),
        },
        page: PageId { viewer, target, encoding: encoding(request.headers()) },
    })
}

/// Returns the best encoding that the browser accepts.
fn encoding(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |wanted: &str| {
        offered.split(',').any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            name.trim().eq_ignore_ascii_case(wanted)
                && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    };
    ["zstd", "br", "gzip"].into_iter().find(|name| takes(name))
}

/// Returns whether the client has the representation named by `etag` (`If-None-Match`).
pub(crate) fn is_not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let etag = etag.to_str().unwrap_or_default().trim_start_matches("W/");
    known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

fn not_modified(etag: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, etag);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("cookie, accept-encoding"));
    response
}

fn respond(cached: &CachedPage) -> Response {
    let mut response = Response::new(Body::from(cached.body.clone()));
    *response.headers_mut() = cached.headers.clone();
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> HeaderMap {
        [(header::ACCEPT_ENCODING, HeaderValue::from_static(value))].into_iter().collect()
    }

    fn key(generation: &str, target: &str) -> CacheKey {
        let edition = Edition { generation: generation.to_owned(), ..Edition::default() };
        CacheKey {
            edition,
            page: PageId { viewer: None, target: target.to_owned(), encoding: None },
        }
    }

    fn page(requests: u32) -> Arc<CachedPage> {
        let requests = AtomicU32::new(requests);
        Arc::new(CachedPage { headers: HeaderMap::new(), body: Bytes::new(), requests })
    }

    #[test]
    fn pages_of_a_former_generation_take_no_memory() {
        let cache = PageCache::new("");
        for number in 0..100 {
            let generation = format!("g{number}");
            for target in ["/", "/tables"] {
                let key = key(&generation, target);
                cache.begin_edition(&key.edition);
                cache.cached.insert(key, page(1));
            }
        }
        assert_eq!(cache.stats().cached, 2);
        assert!(cache.cached.get(&key("g99", "/")).is_some());
    }

    #[test]
    fn pages_that_nobody_requests_any_more_are_forgotten() {
        let cache = PageCache::new("");
        let begin = |generation: &str, pages: &[(&str, u32)]| {
            cache.begin_edition(&key(generation, "").edition);
            for (target, requests) in pages {
                cache.cached.insert(key(generation, target), page(*requests));
            }
            let popular = cache.popular();
            popular.iter().map(|page| page.target.clone()).collect::<Vec<_>>()
        };
        assert_eq!(begin("g1", &[("/once", 1), ("/often", 9), ("/ahead", 0)]), ["/often", "/once"]);
        assert_eq!(begin("g2", &[("/once", 0), ("/new", 2)]), ["/often", "/new", "/once"]);
        for number in 3..8 {
            begin(&format!("g{number}"), &[]);
        }
        assert_eq!(begin("g8", &[]), ["/often"]);
    }

    #[test]
    fn the_best_encoding_that_a_browser_takes_is_sent() {
        assert_eq!(encoding(&accepting("gzip, deflate, br, zstd")), Some("zstd"));
        assert_eq!(encoding(&accepting("gzip, br;q=0.5, zstd;q=0")), Some("br"));
        assert_eq!(encoding(&accepting("identity")), None);
        assert_eq!(encoding(&HeaderMap::new()), None);
    }
}
