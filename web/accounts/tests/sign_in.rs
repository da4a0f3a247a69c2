//! Signing in and out, and attacks on it.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use materia::plan::Plan;

use super::{ADMIN, Rig, client};
use crate::{
    accounts::{Actor, Cookies, Email, LinkError, LinkRequest, NewKey, ReturnPath, Token},
    viewer::{AccountSummary, Role},
};

on_both_stores! {
    a_link_signs_in_once_and_whoever_is_new_gets_an_account,
    a_link_that_was_used_or_is_a_quarter_of_an_hour_old_is_dead,
    of_many_who_present_one_link_at_once_one_gets_in,
    signing_in_makes_older_links_to_the_same_address_useless,
    nothing_that_signs_in_is_readable_in_the_store,
    a_session_ends_when_nobody_comes_and_at_last_whatever_happens,
    a_session_that_somebody_else_put_into_the_browser_is_worth_nothing_after_signing_in,
    the_role_comes_from_the_list_at_sign_in,
    a_role_removed_during_a_session_gives_it_another_id,
    a_known_and_an_unknown_address_are_answered_by_the_same_work,
    links_are_limited_by_address_and_network_and_the_page_says_so,
    strangers_who_use_up_an_addresss_links_lock_out_neither_its_browser_nor_anybody_in_silence,
    a_double_click_on_a_links_button_signs_in_once,
    api_keys_are_revoked_with_a_change_of_address_where_that_is_chosen,
    guessing_links_is_stopped_and_hurts_nobody_elsewhere,
    an_address_changes_once_the_link_sent_there_is_opened_and_the_old_one_gets_a_message,
    an_address_that_belongs_to_somebody_cannot_be_taken_over,
    an_admin_who_moves_to_an_unlisted_address_is_none_any_more,
}

async fn role_of(rig: &Rig, email: &str) -> Role {
    rig.accounts.account_of(&email.parse::<Email>().unwrap()).await.unwrap().unwrap().role
}

async fn is_valid(rig: &Rig, token: &Token) -> bool {
    rig.accounts.link_info(token).await.unwrap().is_some_and(|info| info.is_valid)
}

async fn whose(rig: &Rig, session: &Token) -> Option<Arc<AccountSummary>> {
    rig.accounts
        .resolve(session)
        .await
        .unwrap()
        .and_then(|resolved| resolved.signed_in.viewer.signed_in().cloned())
}

async fn a_link_signs_in_once_and_whoever_is_new_gets_an_account() {
    let rig = Rig::new().await;
    let redeemed = rig.sign_in("bo@example.com").await;
    assert_eq!(redeemed.account.email, "bo@example.com");
    assert_eq!(whose(&rig, &redeemed.session).await.unwrap().id, redeemed.account.id);
    rig.later(60);
    let again = rig.sign_in("bo@example.com").await;
    assert_eq!(again.account.id, redeemed.account.id);
    assert_ne!(again.session, redeemed.session);
    assert_eq!(rig.rows("SELECT count(*) FROM accounts").await, 1);
}

async fn a_link_that_was_used_or_is_a_quarter_of_an_hour_old_is_dead() {
    let rig = Rig::new().await;
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    assert!(is_valid(&rig, &token).await);
    rig.redeem(&token).await.unwrap();
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Invalid)));
    assert!(!is_valid(&rig, &token).await);

    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    rig.later(15 * 60 - 1);
    assert!(is_valid(&rig, &token).await);
    rig.later(1);
    assert!(!is_valid(&rig, &token).await);
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Invalid)));
}

async fn of_many_who_present_one_link_at_once_one_gets_in() {
    let rig = Rig::new().await;
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    let tries = (0..8).map(|_| {
        let (accounts, token) = (rig.accounts.clone(), token.clone());
        tokio::spawn(async move {
            accounts.redeem(Some(&token), &Cookies::default(), &client()).await.is_ok()
        })
    });
    let mut entered = 0;
    for attempt in tries.collect::<Vec<_>>() {
        entered += u32::from(attempt.await.unwrap());
    }
    assert_eq!(entered, 1);
}

async fn signing_in_makes_older_links_to_the_same_address_useless() {
    let rig = Rig::new().await;
    rig.request_link("bo@example.com").await.unwrap();
    let older = rig.newest_token("bo@example.com");
    rig.sign_in("bo@example.com").await;
    assert!(matches!(rig.redeem(&older).await, Err(LinkError::Invalid)));
}

async fn nothing_that_signs_in_is_readable_in_the_store() {
    let rig = Rig::new().await;
    let redeemed = rig.sign_in("bo@example.com").await;
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    if let Ok(file) = std::fs::metadata(rig.folder.path().join("accounts.db")) {
        let mode = file.permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read the accounts: {mode:o}");
    }
    let text = rig.dump().await;
    assert!(
        text.contains("bo@example.com")
            && !text.contains(redeemed.session.reveal())
            && !text.contains(token.reveal())
    );
}

async fn a_session_ends_when_nobody_comes_and_at_last_whatever_happens() {
    const DAY: i64 = 86_400;
    let rig = Rig::new().await;
    let idle = rig.sign_in("bo@example.com").await.session;
    rig.later(14 * DAY - 1);
    assert!(rig.is_signed_in(&idle).await, "seen within two weeks");
    rig.later(14 * DAY);
    assert!(!rig.is_signed_in(&idle).await);
    assert_eq!(rig.rows("SELECT count(*) FROM sessions").await, 0);

    let busy = rig.sign_in("bo@example.com").await.session;
    for _ in 0..59 {
        rig.later(DAY);
        assert!(rig.is_signed_in(&busy).await);
    }
    rig.later(DAY);
    assert!(!rig.is_signed_in(&busy).await);

    let admin = rig.sign_in(ADMIN).await.session;
    rig.later(DAY / 2);
    assert!(!rig.is_signed_in(&admin).await);
}

async fn a_session_that_somebody_else_put_into_the_browser_is_worth_nothing_after_signing_in() {
    let rig = Rig::new().await;
    let planted = rig.sign_in("eve@example.com").await.session;
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    let redeemed = rig
        .accounts
        .redeem(Some(&token), &Cookies { session: Some(planted.clone()), browser: None }, &client())
        .await
        .unwrap();
    assert_ne!(redeemed.session, planted);
    assert!(!rig.is_signed_in(&planted).await);
    // An invented id does not become a session either.
    let made_up = Token::parse(&"a".repeat(64)).unwrap();
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    rig.accounts
        .redeem(Some(&token), &Cookies { session: Some(made_up.clone()), browser: None }, &client())
        .await
        .unwrap();
    assert!(!rig.is_signed_in(&made_up).await);
}

async fn the_role_comes_from_the_list_at_sign_in() {
    let rig = Rig::new().await;
    rig.request_link("Ada@Example.COM").await.unwrap();
    assert_eq!(rig.redeem(&rig.newest_token(ADMIN)).await.unwrap().account.role, Role::Admin);
    for near in ["ada@example.com.evil.example", "xada@example.com", "ada+x@example.com"] {
        assert_eq!(rig.sign_in(near).await.account.role, Role::Customer, "{near}");
    }
}

async fn a_role_removed_during_a_session_gives_it_another_id() {
    let rig = Rig::new().await;
    let session = rig.sign_in(ADMIN).await.session;
    assert_eq!(whose(&rig, &session).await.unwrap().role, Role::Admin);
    let rig = rig.restarted(&[("DEBUG", "true")]).await;
    let resolved = rig.accounts.resolve(&session).await.unwrap().unwrap();
    assert_eq!(resolved.signed_in.viewer.signed_in().unwrap().role, Role::Customer);
    assert_eq!(role_of(&rig, ADMIN).await, Role::Customer);
    let renewed = resolved.renewed.unwrap();
    assert_ne!(renewed, session);
    assert!(rig.is_signed_in(&renewed).await);
    // Requests in flight continue for a moment, without the role.
    assert_eq!(whose(&rig, &session).await.unwrap().role, Role::Customer);
    rig.later(31);
    assert!(!rig.is_signed_in(&session).await);
    assert!(rig.is_signed_in(&renewed).await);
}

async fn a_known_and_an_unknown_address_are_answered_by_the_same_work() {
    let rig = Rig::new().await;
    rig.sign_in("bo@example.com").await;
    rig.later(3600);
    for email in ["bo@example.com", "nobody@example.com"] {
        rig.request_link(email).await.unwrap();
    }
    let mails = rig.accounts.mailbox();
    let text = |to: &str| {
        let mail = mails.iter().find(|mail| mail.to.as_str() == to).unwrap();
        mail.text.replace(rig.newest_token(to).reveal(), "")
    };
    assert_eq!(text("bo@example.com"), text("nobody@example.com"));
}

async fn links_are_limited_by_address_and_network_and_the_page_says_so() {
    let rig = Rig::new().await;
    for _ in 0..4 {
        rig.request_link("bo@example.com").await.unwrap();
    }
    for _ in 0..6 {
        let Err(LinkError::TooManyForAddress(wait)) = rig.request_link("bo@example.com").await
        else {
            panic!("the address is flooded in silence")
        };
        assert!(wait.as_secs() > 0 && wait.as_secs() <= 15 * 60, "{wait:?}");
    }
    assert_eq!(rig.accounts.mailbox().len(), 4);
    for number in 0..20 {
        rig.request_link(&format!("x{number}@example.com")).await.unwrap();
    }
    assert!(matches!(rig.request_link("y@example.com").await, Err(LinkError::TooOften(_))));
    rig.request_link_from("y@example.com", "198.51.100.7").await.unwrap();
    // A restart does not reset a limit; time does.
    let rig = rig.restarted(&[("DEBUG", "true")]).await;
    assert!(matches!(rig.request_link("y@example.com").await, Err(LinkError::TooOften(_))));
    rig.later(15 * 60);
    rig.request_link("bo@example.com").await.unwrap();
    assert_eq!(rig.accounts.mailbox().len(), 1);
}

async fn strangers_who_use_up_an_addresss_links_lock_out_neither_its_browser_nor_anybody_in_silence()
 {
    let rig = Rig::new().await;
    let browser = Cookies { session: None, browser: Some(Token::random().unwrap()) };
    rig.request_link(ADMIN).await.unwrap();
    rig.accounts.redeem(Some(&rig.newest_token(ADMIN)), &browser, &client()).await.unwrap();
    // An attacker from many networks, for hours.
    for network in 0..60 {
        let _ = rig.request_link_from(ADMIN, &format!("198.51.100.{network}")).await;
        rig.later(60);
    }
    // Another network is refused, and the error contains the remaining time.
    let Err(LinkError::TooManyForAddress(wait)) = rig.request_link_from(ADMIN, "192.0.2.1").await
    else {
        panic!("not refused, or in silence")
    };
    assert!(wait.as_secs() <= 24 * 3600, "{wait:?}");
    // The browser that signed in before still gets a link; an unknown one does not.
    let send = async |cookies: &Cookies| {
        let (email, next) = (ADMIN.parse::<Email>().unwrap(), ReturnPath::home());
        rig.accounts
            .request_link(LinkRequest {
                email: &email,
                name: "",
                next: &next,
                client: &client(),
                cookies,
            })
            .await
    };
    send(&browser).await.unwrap();
    let stranger = Cookies { session: None, browser: Some(Token::random().unwrap()) };
    assert!(matches!(send(&stranger).await, Err(LinkError::TooManyForAddress(_))));
    // Its budget is separate and limited as well.
    for _ in 0..5 {
        send(&browser).await.unwrap();
    }
    assert!(matches!(send(&browser).await, Err(LinkError::TooManyForAddress(_))));
}

async fn a_double_click_on_a_links_button_signs_in_once() {
    let rig = Rig::new().await;
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    let browser = Cookies { session: None, browser: Some(Token::random().unwrap()) };
    let first = rig.accounts.redeem(Some(&token), &browser, &client()).await.unwrap();
    // The browser discarded the first response.
    let second = rig.accounts.redeem(Some(&token), &browser, &client()).await.unwrap();
    assert_eq!(second.account.id, first.account.id);
    assert!(rig.is_signed_in(&second.session).await);
    assert!(!rig.is_signed_in(&first.session).await, "one session is left, not two");
    // Neither another browser nor the same one at a later time can use it.
    let other = Cookies { session: None, browser: Some(Token::random().unwrap()) };
    assert!(matches!(
        rig.accounts.redeem(Some(&token), &other, &client()).await,
        Err(LinkError::Invalid)
    ));
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Invalid)));
    rig.later(16);
    assert!(matches!(
        rig.accounts.redeem(Some(&token), &browser, &client()).await,
        Err(LinkError::Invalid)
    ));
}

async fn guessing_links_is_stopped_and_hurts_nobody_elsewhere() {
    let rig = Rig::new().await;
    rig.request_link("bo@example.com").await.unwrap();
    let right = rig.newest_token("bo@example.com");
    for _ in 0..20 {
        assert!(matches!(rig.redeem(&Token::random().unwrap()).await, Err(LinkError::Invalid)));
    }
    assert!(matches!(rig.redeem(&right).await, Err(LinkError::TooOften(_))));
    let elsewhere = crate::accounts::ClientInfo { network: "198.51.100.7".to_owned(), ..client() };
    assert!(rig.accounts.redeem(Some(&right), &Cookies::default(), &elsewhere).await.is_ok());
}

async fn an_address_changes_once_the_link_sent_there_is_opened_and_the_old_one_gets_a_message() {
    let rig = Rig::new().await;
    let here = rig.sign_in("bo@example.com").await;
    let elsewhere = rig.sign_in("bo@example.com").await.session;
    let signed_in = rig.accounts.resolve(&here.session).await.unwrap().unwrap().signed_in;
    rig.accounts
        .request_email_change(
            &here.account,
            &"bo@new.example".parse().unwrap(),
            &client(),
            &Cookies::default(),
        )
        .await
        .unwrap();
    assert!(
        rig.accounts.mailbox().iter().any(
            |mail| mail.to.as_str() == "bo@example.com" && mail.text.contains("bo@new.example")
        )
    );
    let token = rig.newest_token("bo@new.example");
    assert!(
        matches!(rig.redeem(&token).await, Err(LinkError::Invalid)),
        "a link for one purpose serves no other"
    );
    assert_eq!(rig.accounts.email_change_info(&token).await.unwrap().new, "bo@new.example");
    let renewed = rig
        .accounts
        .change_email(Some(&token), Some(&signed_in.session), false, &client())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(whose(&rig, &renewed).await.unwrap().email, "bo@new.example");
    assert!(!rig.is_signed_in(&elsewhere).await);
    assert!(matches!(
        rig.accounts.change_email(Some(&token), None, false, &client()).await,
        Err(LinkError::Invalid)
    ));
    // The old address belongs to another account from now on.
    assert_ne!(rig.sign_in("bo@example.com").await.account.id, here.account.id);
}

async fn an_address_that_belongs_to_somebody_cannot_be_taken_over() {
    let rig = Rig::new().await;
    rig.sign_in(ADMIN).await;
    let eve = rig.sign_in("eve@example.com").await.account;
    rig.accounts
        .request_email_change(&eve, &ADMIN.parse().unwrap(), &client(), &Cookies::default())
        .await
        .unwrap();
    let token = rig.newest_token(ADMIN);
    assert!(matches!(
        rig.accounts.change_email(Some(&token), None, false, &client()).await,
        Err(LinkError::Taken)
    ));
    assert_eq!(rig.accounts.account(&eve.id).await.unwrap().unwrap().email, "eve@example.com");
}

async fn an_admin_who_moves_to_an_unlisted_address_is_none_any_more() {
    let rig = Rig::new().await;
    let admin = rig.sign_in(ADMIN).await;
    let signed_in = rig.accounts.resolve(&admin.session).await.unwrap().unwrap().signed_in;
    rig.accounts
        .request_email_change(
            &admin.account,
            &"ada@home.example".parse().unwrap(),
            &client(),
            &Cookies::default(),
        )
        .await
        .unwrap();
    let token = rig.newest_token("ada@home.example");
    let renewed = rig
        .accounts
        .change_email(Some(&token), Some(&signed_in.session), false, &client())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(whose(&rig, &renewed).await.unwrap().role, Role::Customer);
}

async fn api_keys_are_revoked_with_a_change_of_address_where_that_is_chosen() {
    let rig = Rig::new().await;
    let redeemed = rig.sign_in("bo@example.com").await;
    let account = rig
        .accounts
        .set_plan(&Actor::command_line(), &redeemed.account.id, Plan::Pro, "")
        .await
        .unwrap();
    let new = || NewKey { name: "x".to_owned(), tables: None, sql: false, days: None };
    let key = async || rig.accounts.create_key(&account, &Actor::site(), new()).await.unwrap().1;
    let works = async |key: &str| rig.accounts.authenticate(key).await.is_ok();
    let change = async |email: &str, revoke: bool| {
        let now = rig.accounts.account(&account.id).await.unwrap().unwrap();
        rig.accounts
            .request_email_change(&now, &email.parse().unwrap(), &client(), &Cookies::default())
            .await
            .unwrap();
        let token = rig.newest_token(email);
        let mail =
            rig.accounts.mailbox().into_iter().find(|mail| mail.to.as_str() == email).unwrap();
        assert!(mail.text.contains(&format!("from {} to {email}", now.email)), "{}", mail.text);
        assert_eq!(rig.accounts.email_change_info(&token).await.unwrap().old, now.email);
        rig.accounts.change_email(Some(&token), None, revoke, &client()).await.unwrap();
    };
    let key_of_before = key().await;
    change("bo@new.example", false).await;
    assert!(works(&key_of_before).await);
    change("bo@other.example", true).await;
    assert!(!works(&key_of_before).await);
    assert!(works(&key().await).await);
}
