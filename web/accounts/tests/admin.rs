//! Changes to accounts by operators.

use materia::plan::Plan;

use super::{ADMIN, Rig, client};
use crate::{
    accounts::{AccountFilter, Actor, ChangeError, Cookies, LinkError, Pagination, Sort},
    viewer::Role,
};

on_both_stores! {
    invited_people_get_an_account_and_a_link_and_others_only_a_mail,
    addresses_at_the_owners_domains_sign_up_by_themselves_and_no_others,
    an_operator_gets_a_link_to_hand_over_only_for_whoever_may_sign_in,
    the_owner_gets_a_message_about_what_an_operator_changed_and_why,
    seeding_twice_gives_the_same_four_rows,
    a_suspended_customer_is_out_at_once_and_cannot_come_back,
    what_another_process_changes_counts_within_a_second,
    a_plan_counts_at_once,
    nobody_becomes_an_admin_who_is_not_in_the_list,
    accounts_are_found_by_part_of_their_address_or_name_and_sorted,
    a_deleted_account_leaves_nothing_that_names_its_owner,
}

async fn seeding_twice_gives_the_same_four_rows() {
    let rig = Rig::new().await;
    let first = rig.accounts.seed().await.unwrap();
    rig.later(60);
    rig.accounts.set_plan(&Actor::command_line(), &first[1].id, Plan::Pro, "").await.unwrap();
    rig.accounts.suspend(&Actor::command_line(), &first[2].id, true, "").await.unwrap();
    assert_eq!(rig.accounts.seed().await.unwrap(), first);
    assert_eq!(rig.accounts.all().await.unwrap().len(), 4);
    assert_eq!(
        first.iter().map(|account| (account.plan, account.role)).collect::<Vec<_>>(),
        [
            (Plan::Pro, Role::Admin),
            (Plan::Free, Role::Customer),
            (Plan::Starter, Role::Customer),
            (Plan::Pro, Role::Customer),
        ]
    );
}

async fn a_suspended_customer_is_out_at_once_and_cannot_come_back() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await;
    let is_suspended = async |session| {
        rig.accounts
            .resolve(session)
            .await
            .unwrap()
            .unwrap()
            .signed_in
            .viewer
            .signed_in()
            .unwrap()
            .suspended
    };
    assert!(!is_suspended(&bo.session).await);
    rig.request_link("bo@example.com").await.unwrap();
    let token = rig.newest_token("bo@example.com");
    rig.accounts.suspend(&Actor::command_line(), &bo.account.id, true, "").await.unwrap();
    assert!(is_suspended(&bo.session).await, "told why, and shown nothing");
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Suspended)));
    assert!(rig.accounts.dev_sign_in(&"bo@example.com".parse().unwrap(), &client()).await.is_err());
    assert_eq!(rig.rows("SELECT count(*) FROM sessions").await, 1);
    rig.accounts.suspend(&Actor::command_line(), &bo.account.id, false, "").await.unwrap();
    rig.sign_in("bo@example.com").await;
}

async fn what_another_process_changes_counts_within_a_second() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await;
    assert!(rig.is_signed_in(&bo.session).await);
    sqlx::query("UPDATE accounts SET suspended_at = 1")
        .execute(rig.accounts.store.pool())
        .await
        .unwrap();
    rig.later(1);
    assert!(
        rig.accounts
            .resolve(&bo.session)
            .await
            .unwrap()
            .unwrap()
            .signed_in
            .viewer
            .signed_in()
            .unwrap()
            .suspended
    );
}

async fn a_plan_counts_at_once() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await;
    let plan = async || {
        rig.accounts
            .resolve(&bo.session)
            .await
            .unwrap()
            .unwrap()
            .signed_in
            .viewer
            .signed_in()
            .unwrap()
            .plan
    };
    assert_eq!(plan().await, Plan::Free);
    rig.accounts.set_plan(&Actor::command_line(), &bo.account.id, Plan::Pro, "").await.unwrap();
    assert_eq!(plan().await, Plan::Pro);
}

async fn nobody_becomes_an_admin_who_is_not_in_the_list() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await.account;
    let refused = rig.accounts.set_role(&Actor::command_line(), &bo.id, Role::Admin, "").await;
    assert!(matches!(refused, Err(ChangeError::NotListed(email)) if email == "bo@example.com"));
    let admin = rig.sign_in(ADMIN).await;
    let is_own = Actor { id: admin.account.id.clone(), ..Actor::command_line() };
    assert!(matches!(
        rig.accounts.set_role(&is_own, &admin.account.id, Role::Customer, "").await,
        Err(ChangeError::OwnAccount)
    ));
    assert!(matches!(
        rig.accounts.suspend(&is_own, &admin.account.id, true, "").await,
        Err(ChangeError::OwnAccount)
    ));
    rig.accounts
        .set_role(&Actor::command_line(), &admin.account.id, Role::Customer, "")
        .await
        .unwrap();
    assert!(!rig.is_signed_in(&admin.session).await);
}

async fn accounts_are_found_by_part_of_their_address_or_name_and_sorted() {
    let rig = Rig::new().await;
    rig.accounts.seed().await.unwrap();
    let list = async |search: &str, sort| {
        let filter = AccountFilter { search: search.to_owned(), sort };
        let (rows, total) = rig.accounts.list(&filter, Pagination::number(None)).await.unwrap();
        assert_eq!(rows.len() as u64, total);
        rows.into_iter()
            .map(|account| account.email.split('@').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("", Sort::Email).await, ["admin", "free", "pro", "starter"]);
    assert_eq!(list("", Sort::Plan).await, ["admin", "pro", "starter", "free"]);
    assert_eq!(list("PAULA", Sort::Email).await, ["pro"]);
    assert_eq!(list("free@", Sort::Email).await, ["free"]);
    // Wildcards are matched literally.
    for nothing in ["%", "_", "\\", "' OR 1=1 --"] {
        assert!(list(nothing, Sort::Email).await.is_empty(), "{nothing}");
    }
}

async fn a_deleted_account_leaves_nothing_that_names_its_owner() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await;
    rig.request_link("bo@example.com").await.unwrap();
    let actor =
        Actor { id: bo.account.id.clone(), name: bo.account.email.clone(), network: String::new() };
    rig.accounts.delete(&bo.account, &actor).await.unwrap();
    assert!(!rig.is_signed_in(&bo.session).await);
    for table in [
        "SELECT count(*) FROM accounts WHERE email LIKE '%bo@%'",
        "SELECT count(*) FROM links WHERE email LIKE '%bo@%'",
        "SELECT count(*) FROM mails WHERE recipient LIKE '%bo@%'",
        "SELECT count(*) FROM attempts WHERE subject LIKE '%bo@%'",
        "SELECT count(*) FROM audit_log WHERE actor LIKE '%bo@%' OR subject LIKE '%bo@%' OR detail LIKE '%bo@%'",
    ] {
        assert_eq!(rig.rows(table).await, 0, "{table}");
    }
    assert_ne!(rig.sign_in("bo@example.com").await.account.id, bo.account.id);
}

async fn the_owner_gets_a_message_about_what_an_operator_changed_and_why() {
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await.account;
    let operator = Actor::command_line();
    let newest = || {
        rig.accounts
            .mailbox()
            .into_iter()
            .find(|mail| mail.to.as_str() == "bo@example.com")
            .unwrap()
    };
    rig.accounts.set_plan(&operator, &bo.id, Plan::Pro, "a year was\r\npaid").await.unwrap();
    let mail = newest();
    assert!(
        mail.text.contains("from free to pro")
            && mail.text.contains("\n\nReason: a year was paid\n"),
        "{}",
        mail.text
    );
    rig.accounts.suspend(&operator, &bo.id, true, "").await.unwrap();
    let mail = newest();
    assert!(mail.subject.contains("suspended") && !mail.text.contains("Reason"), "{}", mail.text);
    rig.accounts.suspend(&operator, &bo.id, false, "sorry").await.unwrap();
    assert!(newest().text.contains("Reason: sorry"));
    // Nothing changes, so no email is sent.
    let mails = rig.accounts.mailbox().len();
    rig.accounts.set_plan(&operator, &bo.id, Plan::Pro, "again").await.unwrap();
    assert_eq!(rig.accounts.mailbox().len(), mails);
    let log = rig.accounts.audit_log_of(&bo.id).await.unwrap();
    assert!(log.iter().any(|row| row.detail == "free to pro; reason: a year was paid"), "{log:?}");
}

async fn invited_people_get_an_account_and_a_link_and_others_only_a_mail() {
    let rig = Rig::with_file(
        "[accounts]\nsign_up = 'invited'",
        &[("ADMIN_EMAILS", super::ADMIN), ("DEBUG", "true")],
    )
    .await;
    // The page is the same, only the email differs.
    rig.request_link("eve@example.com").await.unwrap();
    let mail = rig.accounts.mailbox().remove(0);
    assert!(
        mail.to.as_str() == "eve@example.com"
            && mail.text.contains("by invitation only")
            && !mail.text.contains("token=")
    );
    assert_eq!(rig.rows("SELECT count(*) FROM accounts").await, 0);
    // Operators need no invitation.
    rig.sign_in(super::ADMIN).await;
    let invited = rig
        .accounts
        .invite(&Actor::command_line(), &"bo@example.com".parse().unwrap(), Some(Plan::Pro))
        .await
        .unwrap();
    assert!(invited.is_new && invited.account.plan == Plan::Pro);
    let token = rig.newest_token("bo@example.com");
    assert_eq!(super::token_in(&invited.link), token);
    rig.later(7 * 86_400 - 1);
    assert_eq!(rig.redeem(&token).await.unwrap().account.id, invited.account.id);
    // Signs in like all other users from now on.
    rig.sign_in("bo@example.com").await;
    // Inviting again changes nothing.
    let again = rig
        .accounts
        .invite(&Actor::command_line(), &"bo@example.com".parse().unwrap(), None)
        .await
        .unwrap();
    assert!(
        !again.is_new && again.account.plan == Plan::Pro && again.account.id == invited.account.id
    );
    // A link that was sent while sign-up was open does not create an account afterwards.
    let open = rig.restarted(&[("DEBUG", "true")]).await;
    open.request_link("late@example.com").await.unwrap();
    let token = open.newest_token("late@example.com");
    let rig = open.restarted_with("[accounts]\nsign_up = 'invited'", &[("DEBUG", "true")]).await;
    assert!(matches!(rig.redeem(&token).await, Err(LinkError::Invalid)));
}

async fn addresses_at_the_owners_domains_sign_up_by_themselves_and_no_others() {
    let file =
        "[accounts]\nsign_up = 'domains'\ndomains = ['Beans.example', 'm\u{fc}ller.example']";
    let rig = Rig::with_file(file, &[("DEBUG", "true")]).await;
    for email in ["bo@beans.example", "bo@xn--mller-kva.example"] {
        rig.sign_in(email).await;
    }
    for email in ["bo@evil.example", "bo@sub.beans.example", "bo@beans.example.evil.example"] {
        rig.request_link(email).await.unwrap();
        let mail = rig.accounts.mailbox().remove(0);
        assert!(
            mail.text.contains("only addresses at beans.example") && !mail.text.contains("token="),
            "{email}: {}",
            mail.text
        );
    }
    let account =
        rig.accounts.account_of(&"bo@beans.example".parse().unwrap()).await.unwrap().unwrap();
    let moved = rig
        .accounts
        .request_email_change(
            &account,
            &"bo@evil.example".parse().unwrap(),
            &client(),
            &Cookies::default(),
        )
        .await;
    assert!(matches!(moved, Err(LinkError::OutsideDomains(_))));
}

async fn an_operator_gets_a_link_to_hand_over_only_for_whoever_may_sign_in() {
    let rig = Rig::new().await;
    let operator = Actor::command_line();
    let link =
        async |email: &str| rig.accounts.create_link(&operator, &email.parse().unwrap()).await;
    assert!(matches!(link("nobody@example.com").await, Err(ChangeError::Unknown(_))));
    // Receives no email and has never signed in.
    let token = super::token_in(&link(super::ADMIN).await.unwrap());
    assert_eq!(rig.redeem(&token).await.unwrap().account.role, Role::Admin);
    let bo = rig.sign_in("bo@example.com").await.account;
    rig.accounts.suspend(&operator, &bo.id, true, "").await.unwrap();
    assert!(matches!(link("bo@example.com").await, Err(ChangeError::Suspended(_))));
    assert_eq!(
        rig.rows("SELECT count(*) FROM audit_log WHERE action = 'sign-in link printed'").await,
        1
    );
}
