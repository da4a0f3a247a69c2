//! Signing in and out, and what attackers try.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use super::{ADMIN, Rig, visit};
use crate::web::{
    accounts::{Email, LinkError, Token},
    viewer::{Account, Role},
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
    the_role_is_taken_away_mid_session_and_the_session_gets_another_id,
    a_known_and_an_unknown_address_are_answered_by_the_same_work,
    one_address_and_one_network_get_only_so_many_links,
    guessing_links_is_stopped_and_hurts_nobody_elsewhere,
    an_address_changes_when_the_link_sent_there_is_opened_and_the_old_one_is_told,
    an_address_that_belongs_to_somebody_cannot_be_taken_over,
    an_admin_who_moves_to_an_unlisted_address_is_none_any_more,
}

async fn role_of(rig: &Rig, email: &str) -> Role {
    rig.accounts.account_of(&email.parse::<Email>().unwrap()).await.unwrap().unwrap().role
}

async fn whose(rig: &Rig, session: &Token) -> Option<Arc<Account>> {
    rig.accounts.resolve(session).await.unwrap().and_then(|resolved| resolved.signed_in.viewer.signed_in().cloned())
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
    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    assert!(rig.accounts.look_at_link(&token).await.is_ok());
    rig.redeem(&token).await.unwrap();
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Dead)));
    assert!(matches!(rig.accounts.look_at_link(&token).await, Err(LinkError::Dead)));

    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    rig.later(15 * 60 - 1);
    assert!(rig.accounts.look_at_link(&token).await.is_ok());
    rig.later(1);
    assert!(matches!(rig.accounts.look_at_link(&token).await, Err(LinkError::Dead)));
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Dead)));
}

async fn of_many_who_present_one_link_at_once_one_gets_in() {
    let rig = Rig::new().await;
    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    let tries = (0..8).map(|_| {
        let (accounts, token) = (rig.accounts.clone(), token.clone());
        tokio::spawn(async move { accounts.redeem(Some(&token), None, &visit()).await.is_ok() })
    });
    let mut entered = 0;
    for attempt in tries.collect::<Vec<_>>() {
        entered += u32::from(attempt.await.unwrap());
    }
    assert_eq!(entered, 1);
}

async fn signing_in_makes_older_links_to_the_same_address_useless() {
    let rig = Rig::new().await;
    rig.ask("bo@example.com").await.unwrap();
    let older = rig.newest_token("bo@example.com");
    rig.sign_in("bo@example.com").await;
    assert!(matches!(rig.redeem(&older).await, Err(LinkError::Dead)));
}

async fn nothing_that_signs_in_is_readable_in_the_store() {
    let rig = Rig::new().await;
    let redeemed = rig.sign_in("bo@example.com").await;
    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    if let Ok(file) = std::fs::metadata(rig.folder.path().join("accounts.db")) {
        let mode = file.permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read the accounts: {mode:o}");
    }
    let text = rig.kept().await;
    assert!(text.contains("bo@example.com") && !text.contains(redeemed.session.reveal()) && !text.contains(token.reveal()));
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
    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    let redeemed = rig.accounts.redeem(Some(&token), Some(&planted), &visit()).await.unwrap();
    assert_ne!(redeemed.session, planted);
    assert!(!rig.is_signed_in(&planted).await);
    // A made-up id does not become a session either.
    let made_up = Token::presented(&"a".repeat(64)).unwrap();
    rig.ask("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    rig.accounts.redeem(Some(&token), Some(&made_up), &visit()).await.unwrap();
    assert!(!rig.is_signed_in(&made_up).await);
}

async fn the_role_comes_from_the_list_at_sign_in() {
    let rig = Rig::new().await;
    rig.ask("Ada@Example.COM").await.unwrap();
    assert_eq!(rig.redeem(&rig.newest_token(ADMIN)).await.unwrap().account.role, Role::Admin);
    for near in ["ada@example.com.evil.example", "xada@example.com", "ada+x@example.com"] {
        assert_eq!(rig.sign_in(near).await.account.role, Role::Customer, "{near}");
    }
}

async fn the_role_is_taken_away_mid_session_and_the_session_gets_another_id() {
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
    // Requests under way go on for a moment, without the role.
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
        rig.ask(email).await.unwrap();
    }
    let letters = rig.accounts.mailbox();
    let text = |to: &str| {
        let letter = letters.iter().find(|letter| letter.to.as_str() == to).unwrap();
        letter.text.replace(rig.newest_token(to).reveal(), "")
    };
    assert_eq!(text("bo@example.com"), text("nobody@example.com"));
}

async fn one_address_and_one_network_get_only_so_many_links() {
    let rig = Rig::new().await;
    for _ in 0..10 {
        rig.ask("bo@example.com").await.unwrap();
    }
    assert_eq!(rig.accounts.mailbox().len(), 4, "the address is not flooded, and nothing tells");
    for number in 0..20 {
        rig.ask(&format!("x{number}@example.com")).await.unwrap();
    }
    assert!(matches!(rig.ask("y@example.com").await, Err(LinkError::TooOften(_))));
    rig.ask_from("y@example.com", "198.51.100.7").await.unwrap();
    // A restart forgives nothing, time does.
    let rig = rig.restarted(&[("DEBUG", "true")]).await;
    assert!(matches!(rig.ask("y@example.com").await, Err(LinkError::TooOften(_))));
    rig.later(15 * 60);
    rig.ask("bo@example.com").await.unwrap();
    assert_eq!(rig.accounts.mailbox().len(), 1);
}

async fn guessing_links_is_stopped_and_hurts_nobody_elsewhere() {
    let rig = Rig::new().await;
    rig.ask("bo@example.com").await.unwrap();
    let right = rig.newest_token("bo@example.com");
    for _ in 0..20 {
        assert!(matches!(rig.redeem(&Token::random().unwrap()).await, Err(LinkError::Dead)));
    }
    assert!(matches!(rig.redeem(&right).await, Err(LinkError::TooOften(_))));
    let elsewhere = crate::web::accounts::Visit { network: "198.51.100.7".to_owned(), ..visit() };
    assert!(rig.accounts.redeem(Some(&right), None, &elsewhere).await.is_ok());
}

async fn an_address_changes_when_the_link_sent_there_is_opened_and_the_old_one_is_told() {
    let rig = Rig::new().await;
    let here = rig.sign_in("bo@example.com").await;
    let elsewhere = rig.sign_in("bo@example.com").await.session;
    let signed_in = rig.accounts.resolve(&here.session).await.unwrap().unwrap().signed_in;
    rig.accounts.request_email_change(&here.account, &"bo@new.example".parse().unwrap()).await.unwrap();
    assert!(rig.accounts.mailbox().iter().any(|letter| letter.to.as_str() == "bo@example.com" && letter.text.contains("bo@new.example")));
    let token = rig.newest_token("bo@new.example");
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Dead)), "a link for one purpose serves no other");
    assert_eq!(rig.accounts.look_at_email_change(&token).await.unwrap(), "bo@new.example");
    let renewed = rig.accounts.change_email(Some(&token), Some(&signed_in.session), &visit()).await.unwrap().unwrap();
    assert_eq!(whose(&rig, &renewed).await.unwrap().email, "bo@new.example");
    assert!(!rig.is_signed_in(&elsewhere).await);
    assert!(matches!(rig.accounts.change_email(Some(&token), None, &visit()).await, Err(LinkError::Dead)));
    // The old address is another account from now on.
    assert_ne!(rig.sign_in("bo@example.com").await.account.id, here.account.id);
}

async fn an_address_that_belongs_to_somebody_cannot_be_taken_over() {
    let rig = Rig::new().await;
    rig.sign_in(ADMIN).await;
    let eve = rig.sign_in("eve@example.com").await.account;
    rig.accounts.request_email_change(&eve, &ADMIN.parse().unwrap()).await.unwrap();
    let token = rig.newest_token(ADMIN);
    assert!(matches!(rig.accounts.change_email(Some(&token), None, &visit()).await, Err(LinkError::Taken)));
    assert_eq!(rig.accounts.account(&eve.id).await.unwrap().unwrap().email, "eve@example.com");
}

async fn an_admin_who_moves_to_an_unlisted_address_is_none_any_more() {
    let rig = Rig::new().await;
    let admin = rig.sign_in(ADMIN).await;
    let signed_in = rig.accounts.resolve(&admin.session).await.unwrap().unwrap().signed_in;
    rig.accounts.request_email_change(&admin.account, &"ada@home.example".parse().unwrap()).await.unwrap();
    let token = rig.newest_token("ada@home.example");
    let renewed = rig.accounts.change_email(Some(&token), Some(&signed_in.session), &visit()).await.unwrap().unwrap();
    assert_eq!(whose(&rig, &renewed).await.unwrap().role, Role::Customer);
}
