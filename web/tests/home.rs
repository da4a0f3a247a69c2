//! Saving a dashboard with its filters, and coming back to it.

use axum::http::{Method, StatusCode};
use url::form_urlencoded;

use super::{Site, request};
use crate::accounts::MailSubscription;

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_view_comes_back_with_its_filters_and_opens_first_if_it_should() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    let address = "/dashboard/origins?years_from=2015";
    let page = site.get(&format!("{address}&unknown=1"), Some(&cookie)).await;
    let link = "/home/save?page=%2Fdashboard%2Forigins%3Fyears_from%3D2015\"";
    assert!(page.body.contains(link), "the link to save carries the filters, and nothing else");
    let form = site.get(link.trim_end_matches('"'), Some(&cookie)).await;
    assert_eq!(form.status, StatusCode::OK);
    assert!(
        form.body.contains("Seasons: 2015/16 to "),
        "the filters are said in words: {}",
        form.body
    );
    let fields = |name: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("page", address).append_pair("name", name).append_pair("default", "yes");
        form.finish()
    };
    let refused = site.post("/home/views", Some(&cookie), &fields("")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("Give the view a name"), "{}", refused.body);
    let saved = site.post("/home/views", Some(&cookie), &fields("Since <2015>")).await;
    assert_eq!(saved.header("location"), "/home?done=view");
    let home = site.get("/home?done=view", Some(&cookie)).await.body;
    assert!(home.contains("Since &lt;2015&gt;") && home.contains("Opens first"), "{home}");
    assert_eq!(site.get("/dashboard/", Some(&cookie)).await.header("location"), address);
    let other = site.sign_in("starter@example.test").await;
    let first = site.get("/dashboard/", Some(&other)).await;
    assert_ne!(first.header("location"), address, "the view is not everybody's");
    let added = site.post("/home/favorites/origins", Some(&cookie), "on=yes").await;
    assert_eq!(added.header("location"), "/home?done=favorite");
    let none = site.post("/home/favorites/none", Some(&cookie), "on=yes").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let home = site.get("/home", Some(&cookie)).await.body;
    assert!(
        home.contains("Remove Origins from favorites") || home.contains("from favorites"),
        "{home}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_the_viewer_may_open_and_marks_what_a_larger_plan_includes() {
    let site = Site::serving().await;
    let cookie = site.sign_in("free@example.test").await;
    let page = site.get("/search?q=Arabica", Some(&cookie)).await;
    assert_eq!(page.status, StatusCode::OK);
    for address in ["/dashboard/pulse#panel-arabica", "/tables/coffee_prices/columns/arabica"] {
        assert!(page.body.contains(&format!("href=\"{address}\"")), "{address}: {}", page.body);
    }
    let locked = site.get("/search?q=commodity+metrics", Some(&cookie)).await.body;
    assert!(locked.contains(">Starter</span>"), "{locked}");
    let none = site.get("/search?q=%3Cscript%3E+zzz", Some(&cookie)).await.body;
    assert!(
        none.contains("Nothing matches") && none.contains("value=\"&lt;script&gt; zzz\""),
        "{none}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_dashboard_is_counted_and_following_its_data_is_not() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    for (path, destination) in [
        ("/dashboard/pulse", "document"),
        ("/dashboard/pulse", "document"),
        ("/dashboard/pulse", "empty"),
        ("/dashboard/none", "document"),
        ("/tables", "document"),
    ] {
        let mut request = super::request(&axum::http::Method::GET, path, Some(&cookie), "");
        request.headers_mut().insert("sec-fetch-dest", destination.parse().unwrap());
        site.send(request).await;
    }
    let views: Vec<_> = site.app.view_counter.take().into_iter().collect();
    assert_eq!(views, [("pulse".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_program_ends_emails_from_anywhere_and_can_do_nothing_else() {
    let site = Site::preparing().await;
    let cookie = site.sign_in("pro@example.test").await;
    let by_mail = async |path: &str| {
        let mut sent = request(&Method::POST, path, Some(&cookie), "List-Unsubscribe=One-Click");
        sent.headers_mut().remove("sec-fetch-site");
        site.send(sent).await
    };
    let key = site.app.accounts.unsubscribe_key().await.unwrap();
    for kind in [MailSubscription::Digest, MailSubscription::Alert] {
        let answered = by_mail(&key.address(kind, "1f")).await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        assert!(answered.headers.get("location").is_none(), "RFC 8058 forbids to redirect");
        assert!(answered.headers.get("set-cookie").is_none(), "{answered:?}");
    }
    for (path, status) in [
        ("/unsubscribe/digest/1f", StatusCode::NOT_FOUND),
        ("/unsubscribe/digest/1f/delete", StatusCode::NOT_FOUND),
        ("/unsubscribe/../auth/logout", StatusCode::NOT_FOUND),
        ("/settings/sessions/end-others", StatusCode::FORBIDDEN),
        ("/home/digests/1f/delete", StatusCode::FORBIDDEN),
        ("/unsubscribe", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(by_mail(path).await.status, status, "{path}");
    }
}
