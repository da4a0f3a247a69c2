//! The guarantees of API keys.

use materia::plan::Plan;

use super::{ADMIN, Rig};
use crate::accounts::{
    Account, Actor, Email,
    api_keys::{KeyError, NewKey},
};

on_both_stores! {
    a_key_ends_when_it_was_said_to,
    the_secret_is_stored_nowhere_and_does_not_leave_with_ones_own_data,
    the_last_use_is_written_at_most_once_a_minute,
    a_days_requests_are_counted_for_the_account_across_keys_and_restarts,
    nobody_has_endless_keys_and_revoked_ones_make_room,
    a_key_goes_with_its_account_and_an_admins_opens_everything_only_while_the_role_is_due,
    every_key_takes_the_same_way_whatever_is_right_about_it,
}

const DAY: i64 = 86_400;

fn new(days: Option<u16>) -> NewKey {
    NewKey { name: "a program".to_owned(), tables: None, sql: false, days }
}

/// Returns a rig with seeded accounts, and one of them.
async fn with(email: &str) -> (Rig, Account) {
    let rig = Rig::new().await;
    rig.accounts.seed().await.unwrap();
    let account = rig.accounts.account_of(&email.parse::<Email>().unwrap()).await.unwrap().unwrap();
    (rig, account)
}

async fn a_key_ends_when_it_was_said_to() {
    let (rig, account) = with("pro@example.test").await;
    let (line, key) =
        rig.accounts.create_key(&account, &Actor::site(), new(Some(30))).await.unwrap();
    let (_, forever) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    assert!(rig.accounts.authenticate(&key).await.is_ok());
    rig.later(30 * DAY - 1);
    assert!(rig.accounts.authenticate(&key).await.is_ok());
    rig.later(1);
    assert!(matches!(rig.accounts.authenticate(&key).await, Err(KeyError::Expired)));
    assert!(rig.accounts.authenticate(&forever).await.is_ok());
    assert!(
        rig.accounts.keys(&account.id).await.unwrap().iter().any(|key| key.id == line.id),
        "its owner sees that it has expired"
    );
    rig.later(31 * DAY);
    assert!(rig.accounts.keys(&account.id).await.unwrap().iter().all(|key| key.id != line.id));
}

async fn the_secret_is_stored_nowhere_and_does_not_leave_with_ones_own_data() {
    let (rig, account) = with("pro@example.test").await;
    let (line, key) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    let secret = key.strip_prefix("materia_").unwrap();
    assert!(secret.starts_with(&line.prefix) && line.prefix.len() == 8);
    let own =
        serde_json::to_string(&rig.accounts.export_account_data(&account).await.unwrap()).unwrap();
    assert!(own.contains(&line.prefix) && !own.contains(secret));
    let dump = rig.dump().await;
    assert!(dump.contains(&line.prefix) && !dump.contains(secret), "the secret is on the disk");
}

async fn the_last_use_is_written_at_most_once_a_minute() {
    let (rig, account) = with("pro@example.test").await;
    let (line, key) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    let used = async || {
        rig.accounts
            .keys(&account.id)
            .await
            .unwrap()
            .into_iter()
            .find(|key| key.id == line.id)
            .unwrap()
            .used_at
    };
    assert_eq!(used().await, None);
    rig.accounts.authenticate(&key).await.unwrap();
    let first = used().await.unwrap();
    rig.later(59);
    rig.accounts.authenticate(&key).await.unwrap();
    assert_eq!(used().await, Some(first));
    rig.later(1);
    rig.accounts.authenticate(&key).await.unwrap();
    assert_eq!(used().await.unwrap().as_second(), first.as_second() + 60);
}

async fn a_days_requests_are_counted_for_the_account_across_keys_and_restarts() {
    let (rig, account) = with("starter@example.test").await;
    let (_, one) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    let (_, other) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    for call in 1..=600 {
        assert_eq!(rig.accounts.authenticate(&one).await.unwrap().quota.remaining, 1_000 - call);
    }
    let rig = rig.restarted(&[]).await;
    for call in 601..=1_000 {
        assert_eq!(rig.accounts.authenticate(&other).await.unwrap().quota.remaining, 1_000 - call);
    }
    for key in [&one, &other] {
        assert!(
            matches!(rig.accounts.authenticate(key).await, Err(KeyError::QuotaExceeded(quota)) if quota.remaining == 0 && quota.reset == 12 * 3_600)
        );
    }
    rig.later(12 * 3_600);
    assert_eq!(rig.accounts.authenticate(&one).await.unwrap().quota.remaining, 999);
}

async fn nobody_has_endless_keys_and_revoked_ones_make_room() {
    let (rig, account) = with("pro@example.test").await;
    let mut last = None;
    for _ in 0..20 {
        last = Some(rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap());
    }
    assert!(matches!(
        rig.accounts.create_key(&account, &Actor::site(), new(None)).await,
        Err(KeyError::TooMany)
    ));
    let (line, key) = last.unwrap();
    assert!(rig.accounts.revoke_key(&account, &Actor::site(), &line.id).await.unwrap());
    assert!(!rig.accounts.revoke_key(&account, &Actor::site(), &line.id).await.unwrap());
    assert!(matches!(rig.accounts.authenticate(&key).await, Err(KeyError::Revoked)));
    assert!(rig.accounts.create_key(&account, &Actor::site(), new(None)).await.is_ok());
}

async fn a_key_goes_with_its_account_and_an_admins_opens_everything_only_while_the_role_is_due() {
    let (rig, account) = with("pro@example.test").await;
    let (_, key) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    rig.accounts.authenticate(&key).await.unwrap();
    rig.accounts.delete(&account, &Actor::site()).await.unwrap();
    assert!(matches!(rig.accounts.authenticate(&key).await, Err(KeyError::Unknown)));
    assert_eq!(
        rig.rows("SELECT count(*) FROM api_keys").await
            + rig.rows("SELECT count(*) FROM api_usage").await,
        0
    );

    rig.sign_in(ADMIN).await;
    let admin = rig.accounts.account_of(&ADMIN.parse().unwrap()).await.unwrap().unwrap();
    let (_, key) = rig.accounts.create_key(&admin, &Actor::site(), new(None)).await.unwrap();
    assert_eq!(rig.accounts.authenticate(&key).await.unwrap().entitlements.visible_plan, Plan::Pro);
    let rig = rig.restarted(&[]).await;
    assert!(
        matches!(rig.accounts.authenticate(&key).await, Err(KeyError::NoApi)),
        "the address is not an admin's any more, and its plan is free"
    );
}

async fn every_key_takes_the_same_way_whatever_is_right_about_it() {
    // Keys are looked up by a hash of everything presented: two keys that differ in their last
    // digit have unrelated hashes.
    let (rig, account) = with("pro@example.test").await;
    let (_, key) = rig.accounts.create_key(&account, &Actor::site(), new(None)).await.unwrap();
    let hash = crate::accounts::token::TokenHash::hash_presented;
    let near = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    let (right, wrong) = (hash(&key), hash(&near));
    assert_ne!(right.as_str()[..8], wrong.as_str()[..8]);
    for guess in [near.as_str(), "", "materia_", "x", &"materia_".repeat(1_000)] {
        assert!(
            matches!(rig.accounts.authenticate(guess).await, Err(KeyError::Unknown)),
            "{guess}"
        );
    }
}
