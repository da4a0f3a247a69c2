//! Limits that protect clients from each other, through the site's own router.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use materia::tables::MAX_ORDER_KEYS;
use tower::ServiceExt;

use super::{Site, data::KEY};

const ROWS: &str = "/api/v1/tables/coffee_prices/rows?order=month";

/// Replaces one part of a cursor.
fn forged(cursor: &str, part: &str, value: &serde_json::Value) -> String {
    let mut parts: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).unwrap()).unwrap();
    parts[part] = value.clone();
    URL_SAFE_NO_PAD.encode(parts.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cursor_is_refused_by_the_page_and_the_api_alike() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let cookie = site.sign_in("pro@example.test").await;
    let cursor =
        site.call(&key, &format!("{ROWS}&limit=2")).await.header("x-materia-cursor").to_owned();
    let page = |cursor: &str, what: &str| {
        format!("/tables/coffee_prices{what}?order=month&cursor={cursor}")
    };
    for what in ["", "/columns"] {
        assert_eq!(
            site.get(&page(&cursor, what), Some(&cookie)).await.status,
            StatusCode::OK,
            "{what:?}"
        );
    }
    let cases = [
        (forged(&cursor, "k", &serde_json::json!(["no month\nof any year"])), 400, 400),
        (forged(&cursor, "q", &serde_json::json!("another question")), 400, 400),
        (forged(&cursor, "k", &serde_json::json!([])), 400, 400),
        ("nonsense".to_owned(), 400, 400),
        (forged(&cursor, "g", &serde_json::json!("20200101T000000.000Z")), 410, 410),
    ];
    for (cursor, by_page, by_api) in cases {
        let answered = site.get(&page(&cursor, ""), Some(&cookie)).await;
        assert_eq!(answered.status.as_u16(), by_page, "{cursor}: {}", answered.body);
        assert!(!answered.body.contains("<tbody>"), "rows are shown for {cursor}");
        let status = site.get(&page(&cursor, "/columns"), Some(&cookie)).await.status;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{cursor}");
        assert_eq!(
            site.call(&key, &format!("{ROWS}&cursor={cursor}")).await.status.as_u16(),
            by_api,
            "{cursor}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_ordered_by_a_handful_of_columns_at_most() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let table: serde_json::Value =
        serde_json::from_str(&site.call(&key, "/api/v1/tables/commodity_metrics").await.body)
            .unwrap();
    let columns: Vec<_> = table["columns"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    assert!(columns.len() > MAX_ORDER_KEYS, "{columns:?}");
    let order = |keys: usize| {
        format!("/api/v1/tables/commodity_metrics/rows?order={}", columns[..keys].join(","))
    };
    assert_eq!(site.call(&key, &order(MAX_ORDER_KEYS)).await.status, StatusCode::OK);
    let refused = site.call(&key, &order(MAX_ORDER_KEYS + 1)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("at most 8 columns"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_description_needs_no_data() {
    let site = Site::preparing().await;
    let described = site.get("/api/v1/openapi.json", None).await;
    assert_eq!(described.status, StatusCode::OK, "{}", described.body);
    assert_eq!(
        described.header("cache-control"),
        "no-store",
        "it is another one as soon as something is published"
    );
    let document: serde_json::Value = serde_json::from_str(&described.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/tables"].is_object(), "{document}");
    let page = site.get("/docs/api", None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    site.export();
    let described = site.get("/api/v1/openapi.json", None).await;
    assert!(described.body.contains("/api/v1/tables/coffee_prices/rows"), "{}", described.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_not_take_the_places_of_all_others_who_wait_for_news() {
    let site = Site::preparing().await;
    let listen = async |client: [u8; 4]| {
        let mut request =
            Request::builder().method(Method::GET).uri("/events").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((client, 4_711))));
        site.router.clone().oneshot(request).await.unwrap()
    };
    let mut open = Vec::new();
    let refused = loop {
        let response = listen([192, 0, 2, 1]).await;
        if response.status() != StatusCode::OK {
            break response;
        }
        open.push(response);
        assert!(open.len() < 200, "one client has {} places", open.len());
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(listen([192, 0, 2, 2]).await.status(), StatusCode::OK);
    open.pop();
    assert_eq!(
        listen([192, 0, 2, 1]).await.status(),
        StatusCode::OK,
        "a page that is closed gives its place back"
    );
}
