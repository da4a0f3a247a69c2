//! Snapshots of pages for each kind of visitor who may see them.

use materia::{
    demo::Demo,
    export::{self, ExportJob, NoProgress},
    store::AttemptOutcome,
};

use super::{
    Rig,
    browser::{Answer, Site, snapshots},
    token_in,
};
use crate::accounts::Actor;

on_both_stores! {
    sign_in_pages,
    settings_pages,
    operators_pages,
    an_older_generation_is_brought_back_by_an_admin_and_the_log_tells_who,
}

/// Compares the status and the content of `<main>` with `snapshots/web/<name>.snap`, one tag per
/// line.
fn assert_page(name: &str, answer: &Answer) {
    let shown = format!("{}\n{}\n", answer.status, answer.main().replace("><", ">\n<"));
    snapshots().bind(|| insta::assert_snapshot!(name, shown));
}

async fn sign_in_pages() {
    let site = Site::new().await;
    let mut browser = site.browser();
    assert_page("sign_in", &browser.get("/auth/login").await);
    assert_page("sign_up", &browser.get("/auth/signup?next=/settings").await);
    assert_page("sign_in_wrong_address", &browser.post("/auth/login", &[("email", "bo")]).await);
    assert_page(
        "sign_in_sent",
        &browser.post("/auth/signup", &[("email", "bo@example.com"), ("name", "Bo")]).await,
    );
    let text = site.rig.accounts.mailbox()[0].text.clone();
    let confirm = format!("/auth/verify?token={}", token_in(&text).reveal());
    assert_page("verify_new", &browser.get(&confirm).await);
    assert_page("mailbox", &browser.get("/dev/mailbox").await);
    site.signed_in("known@example.com").await;
    browser.post("/auth/login", &[("email", "known@example.com")]).await;
    let text = site.rig.accounts.mailbox()[0].text.clone();
    assert_page(
        "verify_known",
        &browser.get(&format!("/auth/verify?token={}", token_in(&text).reveal())).await,
    );
    assert_page("verify_dead", &browser.get("/auth/verify?token=0").await);
    let site = Site::over(Rig::with(&[]).await);
    assert_page("sign_in_without_mail", &site.browser().get("/auth/login").await);
}

async fn settings_pages() {
    let site = Site::new().await;
    site.rig.accounts.seed().await.unwrap();
    for (plan, name) in
        [("free", "settings_free"), ("starter", "settings_starter"), ("pro", "settings_pro")]
    {
        let mut browser = site.browser();
        browser.headers.push((
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned(),
        ));
        browser.get(&format!("/auth/dev-login?email={plan}@example.test")).await;
        assert_page(name, &browser.get("/settings?done=profile").await);
    }
    let mut browser = site.signed_in("pro@example.test").await;
    site.rig.later(3600);
    browser.post("/settings/appearance", &[("appearance", "dark")]).await;
    let settings = browser.get("/settings?done=%3Cscript%3E").await;
    assert!(settings.body.contains("data-appearance=\"dark\""));
    assert_page(
        "settings_two_sessions",
        &browser.post("/settings/email", &[("email", "nobody")]).await,
    );
    assert_page("settings_delete", &browser.get("/settings/delete").await);
    assert_page(
        "settings_delete_wrong",
        &browser.post("/settings/delete", &[("email", "free@example.test")]).await,
    );
    browser.post("/settings/email", &[("email", "new@example.com")]).await;
    let token = site.rig.newest_token("new@example.com");
    assert_page(
        "email_change",
        &browser.get(&format!("/auth/email?token={}", token.reveal())).await,
    );
    let mut taker = site.signed_in("new@example.com").await;
    assert_page(
        "email_change_taken",
        &taker.post("/auth/email", &[("token", token.reveal())]).await,
    );
}

async fn operators_pages() {
    let site = Site::new().await;
    let seeded = site.rig.accounts.seed().await.unwrap();
    let mut admin = site.signed_in("admin@example.test").await;
    site.rig.accounts.suspend(&Actor::command_line(), &seeded[2].id, true, "").await.unwrap();
    // The mail log is ordered by time, in seconds.
    site.rig.later(1);
    site.rig.request_link("free@example.test").await.unwrap();
    assert_page("admin_overview", &admin.get("/admin/").await);
    assert_page("admin_accounts", &admin.get("/admin/accounts?sort=email").await);
    assert_page("admin_accounts_found", &admin.get("/admin/accounts?q=paula").await);
    assert_page("admin_accounts_none", &admin.get("/admin/accounts?q=zoe").await);
    assert_page(
        "admin_account",
        &admin.get(&format!("/admin/accounts/{}?done=plan", seeded[1].id)).await,
    );
    assert_page(
        "admin_account_suspended",
        &admin.get(&format!("/admin/accounts/{}", seeded[2].id)).await,
    );
    assert_page(
        "admin_account_own",
        &admin.get(&format!("/admin/accounts/{}", seeded[0].id)).await,
    );
    assert_page("admin_mail", &admin.get("/admin/mail").await);
    assert_page("admin_audit", &admin.get("/admin/audit").await);
    assert_page("admin_exports_none", &admin.get("/admin/exports").await);
    for number in 0..60 {
        site.rig
            .accounts
            .record(&Actor::command_line(), "rolled back", &format!("{number}"), "")
            .await
            .unwrap();
    }
    let second = admin.get("/admin/audit?page=2").await.main();
    assert!(
        second.contains("page 2 of 2")
            && second.contains("rel=\"prev\"")
            && !second.contains("rel=\"next\""),
        "{second}"
    );
}

/// Publishes the sample lakehouse and returns the generation's id.
fn publish(rig: &Rig) -> String {
    let mut job = ExportJob::new(&rig.settings).unwrap();
    job.force = true;
    let finished = export::export(&job, &mut NoProgress);
    assert_eq!(finished.record.outcome, AttemptOutcome::Published, "{:?}", finished.error);
    finished.record.generation.unwrap().to_string()
}

async fn an_older_generation_is_brought_back_by_an_admin_and_the_log_tells_who() {
    let rig = Rig::new().await;
    let demo = Demo { dir: rig.folder.path().to_path_buf(), ..Demo::default() };
    demo.create().unwrap();
    let first = publish(&rig);
    Demo { refresh: true, ..demo }.create().unwrap();
    let second = publish(&rig);
    let site = Site::over(rig);
    let mut admin = site.signed_in("ada@example.com").await;
    let exports = admin.get("/admin/exports").await.main();
    assert!(
        exports.contains(&first) && exports.contains(&second) && exports.contains("published"),
        "{exports}"
    );
    let detail = admin.get(&format!("/admin/exports/{first}")).await.main();
    assert!(detail.contains("passed") && detail.contains("Tables"), "{detail}");
    let confirmation = admin.get(&format!("/admin/exports/{first}/rollback")).await.main();
    assert!(confirmation.contains("Roll back for everybody"), "{confirmation}");
    let address = format!("/admin/exports/{first}/rollback");
    assert_eq!(admin.post(&address, &[]).await.location(), "/admin/exports");
    let again = admin.post(&address, &[]).await;
    assert_eq!(again.status, axum::http::StatusCode::CONFLICT);
    assert!(again.main().contains("it is the one being served"), "{}", again.main());
    let log = admin.get("/admin/audit").await.main();
    assert!(
        log.contains("rolled back")
            && log.contains(&format!("from {second}"))
            && log.contains("rollback failed"),
        "{log}"
    );
    assert!(admin.get("/admin/exports").await.main().contains("rolled back"));
}
