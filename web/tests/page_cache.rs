//! Pages are rendered once, distinguished where they differ, and revalidated without a query.

use axum::http::{Method, StatusCode, header};

use super::{Site, request};
use crate::{accounts::MailSubscription, router, routes::CachePolicy};

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_has_the_page_is_told_so_until_another_generation_is_served() {
    let site = Site::serving().await;
    let cookie = site.sign_in("free@example.test").await;
    let first = site.get("/dashboard/pulse", Some(&cookie)).await;
    assert_eq!(
        (first.status, first.header("cache-control")),
        (StatusCode::OK, "private, no-cache")
    );
    let etag = first.header("etag").to_owned();
    assert!(!etag.is_empty());
    let again = async |path: &str, cookie: &str| {
        let mut conditional = request(&Method::GET, path, Some(cookie), "");
        conditional.headers_mut().insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        site.send(conditional).await
    };
    let known = again("/dashboard/pulse", &cookie).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(
        again("/dashboard/pulse?years_from=2024", &cookie).await.status,
        StatusCode::OK,
        "another question"
    );
    let pro = site.sign_in("pro@example.test").await;
    assert_eq!(again("/dashboard/pulse", &pro).await.status, StatusCode::OK, "another plan");
    site.export();
    let fresh = again("/dashboard/pulse", &cookie).await;
    assert_eq!(fresh.status, StatusCode::OK, "another generation");
    assert_ne!(fresh.header("etag"), etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_compressed_as_the_browser_takes_it_and_weighs_less_than_60_kb() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    for dashboard in site.app.dashboards.current().dashboards.user_defined().unwrap() {
        for encoding in ["zstd", "br", "gzip"] {
            let mut conditional =
                request(&Method::GET, &format!("/dashboard/{}", dashboard.slug), Some(&cookie), "");
            conditional.headers_mut().insert(header::ACCEPT_ENCODING, encoding.parse().unwrap());
            let response =
                tower::ServiceExt::oneshot(site.router.clone(), conditional).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_ENCODING], encoding);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(
                body.len() < 60_000,
                "{} weighs {} bytes as {encoding}",
                dashboard.slug,
                body.len()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_customer_is_never_another_ones() {
    let site = Site::serving().await;
    let (free, pro) =
        (site.sign_in("free@example.test").await, site.sign_in("pro@example.test").await);
    // Cached first for the larger plan.
    let all = site.get("/dashboard/positioning", Some(&pro)).await;
    let locked = site.get("/dashboard/positioning", Some(&free)).await;
    assert_ne!(all.body, locked.body);
    assert!(locked.body.contains("data-kind=\"locked\""));
    for page in [&all, &locked] {
        assert!(!page.body.contains("@example.test"), "a shared page names a customer");
    }
    assert_eq!(site.get("/dashboard/positioning", None).await.status, StatusCode::SEE_OTHER);
    let settings = site.get("/settings", Some(&free)).await;
    assert_eq!(settings.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_named_after_their_content_and_kept_for_ever() {
    let site = Site::preparing().await;
    for path in [site.app.assets.style(), site.app.assets.script(), site.app.assets.icon()] {
        let answered = site.get(&path, None).await;
        assert_eq!(answered.status, StatusCode::OK);
        assert!(answered.header("cache-control").contains("immutable"));
    }
    assert_eq!(
        site.get("/assets/style.000000000000.css", None).await.status,
        StatusCode::NOT_FOUND
    );
}

/// Returns an address of a route that exists in the demo.
async fn address(site: &Site, path: &str) -> String {
    let generation = site.app.reader.state().generation.unwrap().id.clone().unwrap();
    let account =
        site.app.accounts.account_of(&"free@example.test".parse().unwrap()).await.unwrap().unwrap();
    let key = site.app.accounts.unsubscribe_key().await.unwrap();
    let unsubscribe = key.address(MailSubscription::Digest, "none");
    path.replace("/unsubscribe/{kind}/{token}", &unsubscribe)
        .replace("/legal/{name}", "/legal/terms")
        .replace("/panel/{file}", "/panel/arabica.csv")
        .replace("{panel}", "arabica")
        .replace("{plan}", "starter")
        .replace("{file}", site.app.assets.style().trim_start_matches("/assets/"))
        .replace("{slug}", "pulse")
        .replace("{generation}", generation.as_str())
        .replace("{id}", &account.id)
        .replace("{name}", "coffee_prices")
        .replace("{table}", "coffee_prices")
        .replace("{column}", "arabica")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_caches_what_it_declares_and_nothing_else() {
    let site = Site::serving().await;
    let cookie = site.sign_in("admin@example.test").await;
    let (_, routes) = router::routes(&site.app).into_parts();
    let mut shared = 0;
    for route in routes.iter().filter(|route| route.method == Method::GET) {
        // A stream that never ends.
        if route.path == "/events" {
            continue;
        }
        let path = address(&site, route.path).await;
        let answered = site.get(&path, Some(&cookie)).await;
        let (cache, etag) = (answered.header("cache-control"), answered.header("etag"));
        match route.cache {
            CachePolicy::Shared => {
                shared += 1;
                assert_eq!(
                    (answered.status, cache),
                    (StatusCode::OK, "private, no-cache"),
                    "{path}"
                );
                assert!(!etag.is_empty(), "{path} is not revalidated");
                let mut again = request(&Method::GET, &path, Some(&cookie), "");
                again.headers_mut().insert(header::IF_NONE_MATCH, etag.parse().unwrap());
                assert_eq!(site.send(again).await.status, StatusCode::NOT_MODIFIED, "{path}");
            }
            CachePolicy::NoStore => {
                assert!(matches!(cache, "no-store" | "") && etag.is_empty(), "{path}: {cache}");
            }
            CachePolicy::ByHandler => assert!(!cache.is_empty(), "{path} says nothing"),
        }
    }
    assert!(shared >= 7, "{shared} shared routes");
}

/// `Routes::get` requires a `CachePolicy`; nothing in the router may bypass it.
#[test]
fn no_route_is_added_without_saying_what_may_be_cached() {
    let source = include_str!("../router.rs");
    let bare: Vec<_> = source.lines().filter(|line| line.contains("routing::")).collect();
    assert_eq!(bare.len(), 1, "only /metrics is outside of `Routes`: {bare:#?}");
    for way in [".route(", "route_service(", ".nest", ".any(", "Router::new()"] {
        let found = source.matches(way).count();
        let allowed = usize::from(matches!(way, ".route(" | "Router::new()"));
        assert_eq!(found, allowed, "{way} in router.rs adds routes that declare nothing");
    }
}
