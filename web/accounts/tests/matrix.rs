//! Access to every route of accounts, tables and the API for every kind of visitor, against a
//! written table.

use std::fmt::Write as _;

use axum::http::StatusCode;

use super::browser::{Browser, Site};
use crate::{accounts::Actor, router};

on_both_stores! {
    every_visitor_gets_what_the_table_says,
    the_table_names_every_route_of_accounts_tables_and_the_api,
}

/// The kinds of visitor, in the order of the table's columns.
const VISITORS: [&str; 6] = ["anonymous", "free", "starter", "pro", "admin", "suspended"];

/// `S`: redirected to sign-in (303). `F`: redirected elsewhere (303). Otherwise the status. Forms
/// are submitted with missing or invalid values, so that nothing changes.
const TABLE: &str = "
GET  /auth/login                         200 F   F   F   F   F
GET  /auth/signup                        200 F   F   F   F   F
GET  /auth/verify                        410 410 410 410 410 410
GET  /auth/email                         410 410 410 410 410 410
GET  /auth/dev-login                     400 400 400 400 400 400
GET  /auth/deleted                       200 200 200 200 200 200
GET  /auth/logout                        405 405 405 405 405 405
GET  /dev/mailbox                        200 200 200 200 200 200
GET  /settings                           S   200 200 200 200 403
GET  /settings/data.json                 S   200 200 200 200 403
GET  /settings/delete                    S   200 200 200 200 403
GET  /home                               S   200 200 200 200 403
GET  /home/save                          S   400 400 400 400 403
GET  /tables                             S   503 503 503 503 403
GET  /tables/nothing                     S   503 503 503 503 403
GET  /tables/nothing/columns             S   503 503 503 503 403
GET  /tables/nothing/row                 S   503 503 503 503 403
GET  /tables/nothing/columns/nothing     S   503 503 503 503 403
GET  /tables/nothing/change              S   400 400 400 400 403
GET  /tables/nothing/download            S   503 503 503 503 403
GET  /docs/api                           200 200 200 200 200 200
GET  /api/v1/openapi.json                200 200 200 200 200 200
GET  /api/v1/tables                      401 401 401 401 401 401
GET  /api/v1/tables/nothing              401 401 401 401 401 401
GET  /api/v1/tables/nothing/rows         401 401 401 401 401 401
GET  /api/v1/tables/nothing/download     401 401 401 401 401 401
GET  /api/v1/dashboards                  401 401 401 401 401 401
GET  /api/v1/dashboards/nothing          401 401 401 401 401 401
GET  /api/v1/generation                  401 401 401 401 401 401
GET  /admin/                             S   403 403 403 200 403
GET  /admin/accounts                     S   403 403 403 200 403
GET  /admin/accounts/nobody              S   403 403 403 404 403
GET  /admin/exports                      S   403 403 403 200 403
GET  /admin/exports/nothing              S   403 403 403 404 403
GET  /admin/exports/nothing/rollback     S   403 403 403 404 403
GET  /admin/traffic                      S   403 403 403 200 403
GET  /admin/requests                     S   403 403 403 200 403
GET  /admin/usage                        S   403 403 403 200 403
GET  /admin/alerts                       S   403 403 403 200 403
GET  /admin/mail                         S   403 403 403 200 403
GET  /admin/audit                        S   403 403 403 200 403
GET  /admin/login                        404 404 404 404 404 404
GET  /admin/dev-login                    404 404 404 404 404 404
GET  /unsubscribe/digest/nobody          404 404 404 404 404 404
GET  /unsubscribe/page/nobody            404 404 404 404 404 404
POST /unsubscribe/digest/nobody          404 404 404 404 404 404
POST /auth/login                         422 422 422 422 422 422
POST /auth/signup                        422 422 422 422 422 422
POST /admin/accounts/invite              S   403 403 403 400 403
POST /home/views                         S   400 400 400 400 403
POST /home/views/nobody/default          S   400 400 400 400 403
POST /home/views/nobody/delete           S   404 404 404 404 403
POST /home/alerts                        S   400 400 400 400 403
POST /home/alerts/nobody/pause           S   400 400 400 400 403
POST /home/alerts/nobody/delete          S   404 404 404 404 403
POST /home/digests                       S   400 400 400 400 403
POST /home/digests/nobody/delete         S   404 404 404 404 403
POST /home/favorites/nothing             S   400 400 400 400 403
POST /settings/email                     S   422 422 422 422 403
POST /settings/appearance                S   400 400 400 400 403
POST /settings/sessions/nothing/end      S   404 404 404 404 403
POST /settings/keys                      S   400 400 400 400 403
POST /settings/keys/nothing/revoke       S   404 404 404 404 403
POST /settings/delete                    S   422 422 422 422 403
POST /admin/accounts/nobody/plan         S   403 403 403 400 403
POST /admin/accounts/nobody/role         S   403 403 403 400 403
POST /admin/accounts/nobody/suspend      S   403 403 403 400 403
POST /admin/accounts/nobody/sign-out     S   403 403 403 404 403
POST /admin/requests/nobody/grant        S   403 403 403 404 403
POST /admin/requests/nobody/decline      S   403 403 403 404 403
POST /admin/exports/nothing/rollback     S   403 403 403 404 403
";

async fn visitors(site: &Site) -> Vec<Browser> {
    let seeded = site.rig.accounts.seed().await.unwrap();
    let mut browsers = vec![site.browser()];
    for name in &VISITORS[1..5] {
        browsers.push(site.signed_in(&format!("{name}@example.test")).await);
    }
    let suspended = site.signed_in("suspended@example.test").await;
    let account = site
        .rig
        .accounts
        .account_of(&"suspended@example.test".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(seeded.iter().all(|one| one.id != account.id));
    site.rig.accounts.suspend(&Actor::command_line(), &account.id, true, "").await.unwrap();
    browsers.push(suspended);
    browsers
}

async fn every_visitor_gets_what_the_table_says() {
    let site = Site::new().await;
    let mut browsers = visitors(&site).await;
    let mut wrong = String::new();
    for line in TABLE.trim().lines() {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        for ((expected, name), browser) in words.zip(VISITORS).zip(&mut browsers) {
            let answer = if method == "GET" {
                browser.get(path).await
            } else {
                browser.post(path, &[("email", "nobody")]).await
            };
            let got = match answer.status {
                StatusCode::SEE_OTHER if answer.location().starts_with("/auth/login?next=/") => {
                    "S".to_owned()
                }
                StatusCode::SEE_OTHER => "F".to_owned(),
                status => status.as_u16().to_string(),
            };
            if got != expected {
                let _ = writeln!(wrong, "{method} {path} as {name}: {got}, not {expected}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

async fn the_table_names_every_route_of_accounts_tables_and_the_api() {
    let site = Site::new().await;
    let (_, routes) = router::routes(&site.app).into_parts();
    let routes = routes.iter().map(|route| route.path);
    let ours = routes.filter(|path| {
        [
            "/auth/",
            "/dev/",
            "/home",
            "/settings",
            "/admin/",
            "/tables",
            "/docs/",
            "/api/",
            "/unsubscribe/",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix))
    });
    // Sign-out and forms that accept any value are tested elsewhere.
    let elsewhere = ["/auth/logout", "/settings/profile", "/settings/sessions/end-others"];
    let mut named = 0;
    for path in ours.filter(|path| !elsewhere.contains(path)) {
        named += 1;
        let path = path
            .replace("/keys/{id}", "/keys/nothing")
            .replace("{kind}", "digest")
            .replace("{token}", "nobody")
            .replace("{column}", "nothing")
            .replace("{id}", "nobody")
            .replace("{generation}", "nothing")
            .replace("{handle}", "nothing");
        let path = ["{name}", "{table}", "{slug}"]
            .iter()
            .fold(path, |path, name| path.replace(name, "nothing"));
        assert!(
            TABLE.lines().any(|line| line.split_whitespace().nth(1) == Some(&path)),
            "{path} is not in the table"
        );
    }
    assert!(named > 20, "{named}");
}
