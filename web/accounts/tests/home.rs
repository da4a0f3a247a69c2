//! What customers come back to: saved views, favorites, and the view that opens first.

use std::collections::BTreeMap;

use super::{Rig, browser::Site};
use crate::accounts::{Actor, NewView, SaveError};

on_both_stores! {
    views_and_favorites_belong_to_one_account_and_are_deleted_with_it,
    at_most_one_view_opens_first,
    the_start_page_works_before_the_first_export,
    a_suspended_customer_sees_why,
    operators_see_how_often_dashboards_are_opened_and_not_by_whom,
}

fn view(name: &str, query: &str, is_default: bool) -> NewView {
    NewView {
        dashboard: "supply".to_owned(),
        name: name.to_owned(),
        query: query.to_owned(),
        summary: "Country: Brazil".to_owned(),
        is_default,
    }
}

async fn views_and_favorites_belong_to_one_account_and_are_deleted_with_it() {
    let rig = Rig::new().await;
    let (ana, bo) =
        (rig.sign_in("ana@example.com").await.account, rig.sign_in("bo@example.com").await.account);
    let accounts = &rig.accounts;
    accounts.save_view(&ana.id, view(" Brazil\n ", "country=BR", false)).await.unwrap();
    // The same name for the same dashboard replaces the selection.
    accounts.save_view(&ana.id, view("Brazil", "country=BR&years_from=2015", false)).await.unwrap();
    let saved = accounts.saved_views(&ana.id).await.unwrap();
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert_eq!(saved[0].address(), "/dashboard/supply?country=BR&years_from=2015");
    assert_eq!(saved[0].name, "Brazil");
    for (wrong, name) in
        [(view(" \t ", "", false), "name"), (view("Long", &"x".repeat(2_001), false), "long")]
    {
        let refused = accounts.save_view(&ana.id, wrong).await.unwrap_err();
        assert!(matches!(refused, SaveError::NoName | SaveError::TooLong), "{name}: {refused}");
    }
    accounts.set_favorite(&ana.id, "supply", true).await.unwrap();
    accounts.set_favorite(&ana.id, "supply", true).await.unwrap();
    assert_eq!(accounts.favorites(&ana.id).await.unwrap(), ["supply"]);
    assert!(accounts.saved_views(&bo.id).await.unwrap().is_empty());
    assert!(accounts.favorites(&bo.id).await.unwrap().is_empty());
    assert!(!accounts.delete_view(&bo.id, &saved[0].id).await.unwrap(), "it is not Bo's");
    assert!(!accounts.set_default_view(&bo.id, &saved[0].id, true).await.unwrap());
    let export = accounts.export_account_data(&ana).await.unwrap();
    let export = serde_json::to_string(&export).unwrap();
    assert!(
        export.contains("country=BR&years_from=2015")
            && export.contains("\"favorites\":[\"supply\"]"),
        "{export}"
    );
    accounts.delete(&ana, &Actor::site()).await.unwrap();
    assert_eq!(
        rig.rows("SELECT (SELECT count(*) FROM saved_views) + (SELECT count(*) FROM favorites)")
            .await,
        0
    );
}

async fn at_most_one_view_opens_first() {
    let rig = Rig::new().await;
    let ana = rig.sign_in("ana@example.com").await.account;
    let accounts = &rig.accounts;
    for name in ["One", "Two"] {
        accounts.save_view(&ana.id, view(name, "", true)).await.unwrap();
    }
    let first = accounts.default_view(&ana.id).await.unwrap().unwrap();
    assert_eq!(first.name, "Two");
    assert!(!accounts.set_default_view(&ana.id, "nothing", true).await.unwrap());
    assert_eq!(
        accounts.default_view(&ana.id).await.unwrap().unwrap().name,
        "Two",
        "an unknown view changes nothing"
    );
    let one = accounts.saved_views(&ana.id).await.unwrap().remove(0);
    assert!(accounts.set_default_view(&ana.id, &one.id, true).await.unwrap());
    assert_eq!(accounts.default_view(&ana.id).await.unwrap().unwrap().name, "One");
    assert_eq!(rig.rows("SELECT count(*) FROM saved_views WHERE is_default = 1").await, 1);
    assert!(accounts.set_default_view(&ana.id, &one.id, false).await.unwrap());
    assert!(accounts.default_view(&ana.id).await.unwrap().is_none());
}

async fn the_start_page_works_before_the_first_export() {
    let site = Site::new().await;
    let mut browser = site.signed_in("bo@example.com").await;
    let account =
        site.rig.accounts.account_of(&"bo@example.com".parse().unwrap()).await.unwrap().unwrap();
    site.rig.accounts.save_view(&account.id, view("Brazil", "country=BR", true)).await.unwrap();
    site.rig.accounts.set_favorite(&account.id, "supply", true).await.unwrap();
    let page = browser.get("/home?done=view").await.main();
    for text in
        ["The view was saved.", "Brazil", "Opens first", "being prepared", "no longer available"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    let removed = browser.post("/home/favorites/supply", &[("on", "no")]).await;
    assert_eq!(removed.location(), "/home?done=no-favorite", "one that is gone can be removed");
    assert!(site.rig.accounts.favorites(&account.id).await.unwrap().is_empty());
}

async fn a_suspended_customer_sees_why() {
    let site = Site::new().await;
    let mut browser = site.signed_in("bo@example.com").await;
    let id =
        site.rig.accounts.account_of(&"bo@example.com".parse().unwrap()).await.unwrap().unwrap().id;
    let actor = Actor::command_line();
    site.rig.accounts.suspend(&actor, &id, true, "the card <was> stolen.").await.unwrap();
    let page = browser.get("/home").await.main();
    assert!(page.contains("Reason: the card &lt;was&gt; stolen. Contact us"), "{page}");
    site.rig.accounts.suspend(&actor, &id, false, "").await.unwrap();
    site.rig.accounts.suspend(&actor, &id, true, "").await.unwrap();
    let page = browser.get("/home").await.main();
    assert!(!page.contains("Reason"), "the reason of another time: {page}");
}

async fn operators_see_how_often_dashboards_are_opened_and_not_by_whom() {
    let site = Site::new().await;
    site.rig.accounts.seed().await.unwrap();
    let opened = |count| BTreeMap::from([("supply".to_owned(), count), ("pulse".to_owned(), 1)]);
    site.rig.accounts.add_dashboard_views(&opened(3)).await.unwrap();
    site.rig.accounts.add_dashboard_views(&opened(4)).await.unwrap();
    site.rig.later(86_400);
    site.rig.accounts.add_dashboard_views(&opened(2)).await.unwrap();
    let usage = site.rig.accounts.usage(30).await.unwrap();
    assert_eq!(usage.views[0].0, "supply");
    assert_eq!(usage.views[0].1[28..], [7, 2]);
    assert_eq!(usage.views[1].1[28..], [2, 1]);
    assert_eq!(usage.sign_ups[28], 4, "the seeded accounts");
    let mut admin = site.signed_in("admin@example.test").await;
    site.signed_in("free@example.test").await;
    let mut again = site.signed_in("free@example.test").await;
    let usage = site.rig.accounts.usage(30).await.unwrap();
    assert_eq!((usage.accounts[29], usage.sessions[29]), (2, 3), "an account has several sessions");
    let page = admin.get("/admin/usage").await.main();
    assert!(page.contains("/dashboard/supply") && page.contains("12 in 30 days"), "{page}");
    assert!(page.contains("2 today, at most 2 on a day") && page.contains("3 today"), "{page}");
    site.rig.later(86_400);
    again.get("/home").await;
    site.rig.later(600);
    again.get("/home").await;
    let usage = site.rig.accounts.usage(30).await.unwrap();
    assert_eq!(usage.sessions[28..], [3, 1], "counted once a day");
    assert_eq!(usage.accounts[28..], [2, 1]);
    site.rig.later(500 * 86_400);
    site.rig.accounts.add_dashboard_views(&opened(1)).await.unwrap();
    assert_eq!(
        site.rig.rows("SELECT count(*) FROM dashboard_views").await,
        2,
        "old ones are removed"
    );
}
