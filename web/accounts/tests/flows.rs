//! Customers' use of the site, through the router.

use axum::http::StatusCode;

use super::{
    browser::{Answer, Browser, Site},
    token_in,
};

on_both_stores! {
    a_new_customer_signs_up_and_lands_on_the_requested_dashboard,
    opening_a_link_changes_nothing_however_often_and_its_button_works_once,
    an_address_is_changed_by_the_link_sent_there,
    sessions_are_listed_and_ended_one_by_one_or_all_others,
    my_data_is_mine_alone_and_deleting_takes_my_address,
    an_admin_goes_straight_to_the_operators_pages_and_changes_accounts,
}

/// Returns the URL in the newest email to an address, without the host.
fn newest_link(site: &Site, to: &str) -> String {
    let mail = site
        .rig
        .accounts
        .mailbox()
        .into_iter()
        .find(|mail| mail.to.as_str() == to && mail.text.contains("token="))
        .unwrap();
    mail.text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("http://site.localhost"))
        .unwrap()
        .to_owned()
}

/// Opens a link and presses its button.
async fn press(browser: &mut Browser, link: &str) -> Answer {
    let (path, _) = link.split_once('?').unwrap();
    let page = browser.get(link).await;
    assert!(page.body.contains(token_in(link).reveal()), "{}", page.body);
    browser.post(path, &[("token", token_in(link).reveal())]).await
}

async fn a_new_customer_signs_up_and_lands_on_the_requested_dashboard() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let refused = browser.get("/settings?done=profile").await;
    assert_eq!(
        (refused.status, refused.location()),
        (StatusCode::SEE_OTHER, "/auth/login?next=/settings%3Fdone%3Dprofile")
    );
    let form = browser.get("/auth/signup?next=/settings").await;
    assert!(form.body.contains("name=\"next\" value=\"/settings\""));
    let sent = browser
        .post("/auth/signup", &[("email", "Bo@Example.com"), ("name", "Bo"), ("next", "/settings")])
        .await;
    assert_eq!(sent.status, StatusCode::OK);
    assert!(browser.cookie.is_none(), "nobody is signed in by asking");
    let entered = press(&mut browser, &newest_link(&site, "bo@example.com")).await;
    assert_eq!((entered.status, entered.location()), (StatusCode::SEE_OTHER, "/settings"));
    let settings = browser.get("/settings").await;
    assert!(
        settings.body.contains("bo@example.com") && settings.body.contains("value=\"Bo\""),
        "{}",
        settings.body
    );
    let out = browser.post("/auth/logout", &[]).await;
    assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/"));
    assert_eq!(browser.get("/settings").await.status, StatusCode::SEE_OTHER);
}

async fn opening_a_link_changes_nothing_however_often_and_its_button_works_once() {
    let site = Site::new().await;
    let mut browser = site.browser();
    browser.post("/auth/login", &[("email", "bo@example.com")]).await;
    let link = newest_link(&site, "bo@example.com");
    for _ in 0..3 {
        assert_eq!(site.browser().get(&link).await.status, StatusCode::OK);
    }
    assert_eq!(press(&mut browser, &link).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.browser().get(&link).await.status, StatusCode::GONE);
    // Opened again in the browser that it signed in, the link redirects; elsewhere its page offers
    // a new one.
    let again = browser.get(&link).await;
    assert_eq!((again.status, again.location()), (StatusCode::SEE_OTHER, "/dashboard/"));
    let spent = site.browser().get(&link).await;
    assert!(spent.body.contains("Send a new link to bo@example.com"), "{}", spent.body);
    let token = token_in(&link);
    let mut thief = site.browser();
    assert_eq!(
        thief.post("/auth/verify", &[("token", token.reveal())]).await.status,
        StatusCode::GONE
    );
    assert!(thief.cookie.is_none());
}

async fn an_address_is_changed_by_the_link_sent_there() {
    let site = Site::new().await;
    let mut browser = site.signed_in("bo@example.com").await;
    let mut elsewhere = site.signed_in("bo@example.com").await;
    let page = browser.post("/settings/email", &[("email", "bo@new.example")]).await;
    assert_eq!(page.location(), "/settings?done=email-asked");
    assert!(
        browser.get("/settings").await.body.contains("bo@example.com"),
        "not before the link is opened"
    );
    let before = browser.session().unwrap();
    let changed = press(&mut browser, &newest_link(&site, "bo@new.example")).await;
    assert_eq!(changed.location(), "/settings?done=email");
    assert_ne!(browser.session().unwrap(), before, "the session has another id");
    assert!(browser.get("/settings").await.body.contains("bo@new.example"));
    assert_eq!(elsewhere.get("/settings").await.status, StatusCode::SEE_OTHER);
}

async fn sessions_are_listed_and_ended_one_by_one_or_all_others() {
    let site = Site::new().await;
    let mut here = site.signed_in("bo@example.com").await;
    let mut phone = site.signed_in("bo@example.com").await;
    let mut work = site.signed_in("bo@example.com").await;
    let mut stranger = site.signed_in("eve@example.com").await;
    let account =
        site.rig.accounts.account_of(&"bo@example.com".parse().unwrap()).await.unwrap().unwrap();
    let handle_of = async |browser: &Browser| {
        site.rig
            .accounts
            .resolve(&browser.session().unwrap())
            .await
            .unwrap()
            .unwrap()
            .signed_in
            .session
            .clone()
    };
    let phones = handle_of(&phone).await;
    assert_eq!(
        stranger.post(&format!("/settings/sessions/{phones}/end"), &[]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(phone.get("/settings").await.status, StatusCode::OK);
    assert_eq!(
        here.post(&format!("/settings/sessions/{phones}/end"), &[]).await.location(),
        "/settings?done=session"
    );
    assert_eq!(phone.get("/settings").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        here.post("/settings/sessions/end-others", &[]).await.location(),
        "/settings?done=sessions"
    );
    assert_eq!(work.get("/settings").await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.rig.accounts.sessions(&account.id).await.unwrap().len(), 1);
    let own = handle_of(&here).await;
    assert_eq!(here.post(&format!("/settings/sessions/{own}/end"), &[]).await.location(), "/");
    assert!(here.cookie.is_none());
}

async fn my_data_is_mine_alone_and_deleting_takes_my_address() {
    let site = Site::new().await;
    site.signed_in("eve@example.com").await;
    let mut browser = site.signed_in("bo@example.com").await;
    let data = browser.get("/settings/data.json").await;
    let json: serde_json::Value = serde_json::from_str(&data.body).unwrap();
    assert_eq!(json["account"]["email"], "bo@example.com");
    assert_eq!(json["sessions"].as_array().unwrap().len(), 1);
    assert!(
        !data.body.contains("eve@")
            && data.headers["content-disposition"].to_str().unwrap().starts_with("attachment")
    );
    assert_eq!(
        browser.post("/settings/delete", &[("email", "yes")]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        browser.post("/settings/delete", &[("email", " Bo@example.com")]).await.location(),
        "/auth/deleted"
    );
    assert!(browser.cookie.is_none());
    assert!(browser.get("/auth/deleted").await.body.contains("Your account has been deleted"));
    assert_eq!(site.rig.rows("SELECT count(*) FROM accounts").await, 1);
}

async fn an_admin_goes_straight_to_the_operators_pages_and_changes_accounts() {
    let site = Site::new().await;
    let free = site.rig.accounts.seed().await.unwrap().remove(1);
    let mut admin = site.browser();
    assert_eq!(admin.get("/auth/dev-login?email=admin@example.test").await.location(), "/admin/");
    let address = format!("/admin/accounts/{}", free.id);
    assert_eq!(
        admin.post(&format!("{address}/plan"), &[("plan", "pro")]).await.location(),
        format!("{address}?done=plan")
    );
    assert_eq!(
        admin.post(&format!("{address}/role"), &[("role", "admin")]).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        admin.post(&format!("{address}/suspend"), &[("suspended", "true")]).await.location(),
        format!("{address}?done=suspended")
    );
    let mut customer = site.browser();
    assert_eq!(
        customer.get("/auth/dev-login?email=free@example.test").await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        admin.post(&format!("{address}/suspend"), &[("suspended", "false")]).await.status,
        StatusCode::SEE_OTHER
    );
    let mut customer = site.signed_in("free@example.test").await;
    assert_eq!(
        admin.post(&format!("{address}/sign-out"), &[]).await.location(),
        format!("{address}?done=signed-out")
    );
    assert_eq!(customer.get("/settings").await.status, StatusCode::SEE_OTHER);
    let log = admin.get("/admin/audit").await.body;
    for entry in ["plan changed", "suspended", "suspension lifted", "signed out everywhere"] {
        assert!(log.contains(entry), "{entry}");
    }
    assert_eq!(
        admin.post("/admin/accounts/nobody/plan", &[("plan", "pro")]).await.status,
        StatusCode::NOT_FOUND
    );
}
