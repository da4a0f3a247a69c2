//! Pages are drawn once, told apart where they differ, and revalidated without a question.

use axum::http::{Method, StatusCode, header};

use super::{Site, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_has_the_page_is_told_so_until_another_generation_is_served() {
    let site = Site::serving().await;
    let cookie = site.sign_in("free@example.test").await;
    let first = site.get("/dashboard/pulse", Some(&cookie)).await;
    assert_eq!((first.status, first.header("cache-control")), (StatusCode::OK, "private, no-cache"));
    let etag = first.header("etag").to_owned();
    assert!(!etag.is_empty());
    let again = async |path: &str, cookie: &str| {
        let mut asked = request(&Method::GET, path, Some(cookie), "");
        asked.headers_mut().insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        site.send(asked).await
    };
    let known = again("/dashboard/pulse", &cookie).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again("/dashboard/pulse?years_from=2024", &cookie).await.status, StatusCode::OK, "another question");
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
    for dashboard in site.app.boards.now().dashboards.written().unwrap() {
        for encoding in ["zstd", "br", "gzip"] {
            let mut asked = request(&Method::GET, &format!("/dashboard/{}", dashboard.slug), Some(&cookie), "");
            asked.headers_mut().insert(header::ACCEPT_ENCODING, encoding.parse().unwrap());
            let response = tower::ServiceExt::oneshot(site.router.clone(), asked).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_ENCODING], encoding);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(body.len() < 60_000, "{} weighs {} bytes as {encoding}", dashboard.slug, body.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_customer_is_never_another_ones() {
    let site = Site::serving().await;
    let (free, pro) = (site.sign_in("free@example.test").await, site.sign_in("pro@example.test").await);
    // Kept first for the larger plan.
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
    assert_eq!(site.get("/assets/style.000000000000.css", None).await.status, StatusCode::NOT_FOUND);
}
