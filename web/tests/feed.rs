//! The feed of updates.

use axum::http::StatusCode;

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_has_an_entry_for_each_update_and_is_not_sent_twice() {
    let site = Site::serving().await;
    let first = site.get("/feed.atom", None).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("content-type"), "application/atom+xml; charset=utf-8");
    assert_eq!(first.body.matches("<entry>").count(), 1, "{}", first.body);
    site.export();
    let second = site.get("/feed.atom", None).await;
    assert_eq!(second.body.matches("<entry>").count(), 2, "{}", second.body);
    assert!(second.body.contains("<summary>Changed: "), "{}", second.body);
    let ids = second.body.matches("<id>").count();
    assert_eq!(ids, 3, "the feed's and each entry's: {}", second.body);
    let page = site.get("/", None).await;
    assert!(page.body.contains("href=\"/feed.atom\""), "{}", page.body);
    let mut again = super::request(&axum::http::Method::GET, "/feed.atom", None, "");
    let etag = second.headers["etag"].clone();
    again.headers_mut().insert("if-none-match", etag);
    assert_eq!(site.send(again).await.status, StatusCode::NOT_MODIFIED);
}
