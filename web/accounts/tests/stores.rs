//! What holds between several servers on one store, and between the two kinds of store.

use std::{collections::BTreeSet, time::Duration};

use materia::plan::Plan;
use tokio::task::JoinSet;

use super::{ADMIN, Rig, visit};
use crate::web::accounts::{
    Actor, Cookies, Email, LinkError, LinkRequest, PageOf, ReturnPath, Visit,
    api_keys::{KeyError, NewKey},
};

on_both_stores! {
    a_session_of_one_server_is_good_at_the_others_and_its_end_is_seen_within_a_second,
    of_servers_that_are_presented_one_link_at_once_one_lets_in,
    an_address_gets_only_so_many_letters_from_all_servers_together,
    a_days_requests_are_never_exceeded_by_all_servers_together,
    what_a_server_took_of_a_day_and_did_not_use_goes_back,
    nobody_has_endless_keys_by_asking_all_servers_at_once,
    servers_that_find_a_role_gone_record_it_once_and_the_browser_keeps_its_session,
    characters_that_no_text_has_are_refused_or_found_nowhere,
}

const SERVERS: usize = 3;

/// Three servers on one store.
async fn servers() -> [Rig; SERVERS] {
    let first = Rig::new().await;
    let others = [first.beside().await, first.beside().await];
    let [second, third] = others;
    [first, second, third]
}

fn new_key() -> NewKey {
    NewKey { name: "a program".to_owned(), tables: None, days: None }
}

async fn a_session_of_one_server_is_good_at_the_others_and_its_end_is_seen_within_a_second() {
    let [one, two, three] = servers().await;
    let bo = one.sign_in("bo@example.com").await;
    assert!(two.is_signed_in(&bo.session).await && three.is_signed_in(&bo.session).await);
    let handle = two.accounts.sessions(&bo.account.id).await.unwrap().remove(0).handle;
    assert!(three.accounts.end_session(&bo.account.id, &handle).await.unwrap());
    assert!(!three.is_signed_in(&bo.session).await);
    one.later(1);
    assert!(!one.is_signed_in(&bo.session).await && !two.is_signed_in(&bo.session).await);
    let seeded = one.accounts.seed().await.unwrap();
    let (line, key) = one.accounts.make_key(&seeded[3], &Actor::site(), new_key()).await.unwrap();
    assert!(two.accounts.call(&key).await.is_ok());
    assert!(three.accounts.revoke_key(&seeded[3], &Actor::site(), &line.id).await.unwrap());
    assert!(matches!(two.accounts.call(&key).await, Err(KeyError::Revoked)), "keys are not remembered at all");
}

async fn of_servers_that_are_presented_one_link_at_once_one_lets_in() {
    let servers = servers().await;
    for round in 0..10 {
        let email = format!("bo{round}@example.com");
        servers[0].ask_from(&email, &format!("192.0.2.{round}")).await.unwrap();
        let token = servers[0].newest_token(&email);
        let mut tries = JoinSet::new();
        for number in 0..9 {
            let (accounts, token) = (servers[number % SERVERS].accounts.clone(), token.clone());
            tries.spawn(async move { accounts.redeem(Some(&token), &Cookies::default(), &visit()).await });
        }
        let outcomes = tries.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        let fair = |outcome: &Result<_, LinkError>| matches!(outcome, Ok(_) | Err(LinkError::Dead | LinkError::TooOften(_)));
        assert!(outcomes.iter().all(fair), "{outcomes:?}");
        servers[0].later(16 * 60);
    }
    assert_eq!(servers[0].rows("SELECT count(*) FROM accounts").await, 10);
    assert_eq!(servers[0].rows("SELECT count(*) FROM sessions").await, 10);
}

async fn an_address_gets_only_so_many_letters_from_all_servers_together() {
    let servers = servers().await;
    let mut asked = JoinSet::new();
    for number in 0..12 {
        let accounts = servers[number % SERVERS].accounts.clone();
        asked.spawn(async move {
            let (email, next) = ("bo@example.com".parse::<Email>().unwrap(), ReturnPath::home());
            let visit = Visit { network: "192.0.2.1".to_owned(), ..Visit::default() };
            accounts.request_link(LinkRequest { email: &email, name: "", next: &next, visit: &visit, cookies: &Cookies::default() }).await
        });
    }
    let refused = |answer: &Result<(), LinkError>| matches!(answer, Err(LinkError::TooManyForAddress(_)));
    assert_eq!(asked.join_all().await.iter().filter(|answer| refused(answer)).count(), 8, "whoever is refused is told");
    assert_eq!(servers[0].rows("SELECT count(*) FROM mails").await, 4);
    // And one network so many tries, wherever they go.
    for number in 0..30 {
        servers[number % SERVERS].ask_from(&format!("bo{number}@example.com"), "198.51.100.1").await.unwrap();
    }
    for server in &servers {
        assert!(matches!(server.ask_from("eve@example.com", "198.51.100.1").await, Err(LinkError::TooOften(_))));
    }
}

async fn a_days_requests_are_never_exceeded_by_all_servers_together() {
    let servers = servers().await;
    let starter = servers[0].accounts.seed().await.unwrap().remove(2);
    let (_, key) = servers[0].accounts.make_key(&starter, &Actor::site(), new_key()).await.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let (accounts, key) = (servers[number % SERVERS].accounts.clone(), key.clone());
        calls.spawn(async move {
            let mut answered = 0;
            while answered < 1_001 {
                match accounts.call(&key).await {
                    Ok(_) => answered += 1,
                    Err(KeyError::UsedUp(_)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            answered
        });
    }
    let answered: u32 = calls.join_all().await.into_iter().sum();
    // Every server gives out all that it took, and the last ones are taken one by one.
    assert_eq!(answered, 1_000);
    assert_eq!(servers[0].rows("SELECT requests FROM api_usage").await, 1_000);
}

async fn what_a_server_took_of_a_day_and_did_not_use_goes_back() {
    let [one, two, three] = servers().await;
    let starter = one.accounts.seed().await.unwrap().remove(2);
    let (_, key) = one.accounts.make_key(&starter, &Actor::site(), new_key()).await.unwrap();
    for server in [&one, &two, &three] {
        server.accounts.call(&key).await.unwrap();
    }
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 30, "a hundredth each");
    one.later(61);
    one.accounts.hand_back(false).await.unwrap();
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 21);
    two.accounts.close().await;
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 12);
    // A lesser plan counts at once, and what was taken under the better one goes back.
    one.accounts.set_plan(&Actor::site(), &starter.id, Plan::Pro, "").await.unwrap();
    assert_eq!(three.accounts.call(&key).await.unwrap().quota.left, 19_996);
    one.accounts.set_plan(&Actor::site(), &starter.id, Plan::Starter, "").await.unwrap();
    assert_eq!(three.accounts.call(&key).await.unwrap().quota.left, 995);
    three.accounts.hand_back(true).await.unwrap();
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 5);
}

async fn nobody_has_endless_keys_by_asking_all_servers_at_once() {
    let servers = servers().await;
    let pro = servers[0].accounts.seed().await.unwrap().remove(3);
    let mut made = JoinSet::new();
    for number in 0..30 {
        let (accounts, pro) = (servers[number % SERVERS].accounts.clone(), pro.clone());
        made.spawn(async move { accounts.make_key(&pro, &Actor::site(), new_key()).await });
    }
    let made = made.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 20);
    assert!(made.iter().all(|made| matches!(made, Ok(_) | Err(KeyError::TooMany))), "{made:?}");
    assert_eq!(servers[0].rows("SELECT count(*) FROM api_keys").await, 20);
}

async fn servers_that_find_a_role_gone_record_it_once_and_the_browser_keeps_its_session() {
    let rig = Rig::new().await;
    let admin = rig.sign_in(ADMIN).await;
    let rig = rig.restarted(&[("DEBUG", "true")]).await;
    let mut requests = JoinSet::new();
    for number in 0..8 {
        let (accounts, session) = (rig.accounts.clone(), admin.session.clone());
        requests.spawn(async move { (number, accounts.resolve(&session).await.unwrap()) });
    }
    let resolved = requests.join_all().await;
    assert!(resolved.iter().all(|(_, resolved)| resolved.is_some()), "nobody is signed out");
    let renewed: Vec<_> = resolved.into_iter().filter_map(|(_, resolved)| resolved?.renewed).collect();
    assert_eq!(renewed.len(), 1, "the browser keeps the last it is given: there must be one");
    rig.later(60);
    assert!(rig.is_signed_in(&renewed[0]).await && !rig.is_signed_in(&admin.session).await);
    let (log, _) = rig.accounts.audit_log(PageOf::number(None)).await.unwrap();
    assert_eq!(log.iter().filter(|row| row.action == "role taken away").count(), 1);
}

async fn characters_that_no_text_has_are_refused_or_found_nowhere() {
    let site = super::browser::Site::over(Rig::new().await);
    site.rig.accounts.seed().await.unwrap();
    let mut admin = site.signed_in("admin@example.test").await;
    for path in ["/admin/accounts/%00", "/admin/accounts?search=%00", "/auth/verify?token=%00", "/settings?x=%00"] {
        let answer = admin.get(path).await;
        assert!(answer.status.as_u16() < 500, "{path}: {}", answer.status);
    }
    assert!("bo\0@example.com".parse::<Email>().is_err());
}

#[tokio::test]
async fn both_stores_have_the_same_tables_columns_and_indexes() {
    const SQLITE: &str = "SELECT tables.name || '.' || columns.name || ' ' || CASE columns.type WHEN 'INTEGER' THEN 'BIGINT' ELSE columns.type END
                              || CASE WHEN columns.\"notnull\" OR columns.pk THEN ' NOT NULL' ELSE '' END
                              || coalesce(' DEFAULT ' || columns.dflt_value, '')
                          FROM sqlite_master tables JOIN pragma_table_info(tables.name) columns WHERE tables.type = 'table'
                          UNION ALL SELECT tbl_name || ' ' || substr(sql, instr(sql, '(')) FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    const POSTGRES: &str = "SELECT table_name || '.' || column_name || ' ' || upper(data_type)
                                || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END
                                || coalesce(' DEFAULT ' || split_part(column_default, '::', 1), '')
                            FROM information_schema.columns WHERE table_schema = 'public'
                            UNION ALL SELECT tablename || ' ' || substr(indexdef, strpos(indexdef, '(')) FROM pg_indexes
                            WHERE schemaname = 'public' AND NOT indexdef LIKE '%UNIQUE%'";
    async fn told(rig: &Rig, sql: &'static str) -> BTreeSet<String> {
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(rig.accounts.store.pool()).await.unwrap();
        rows.into_iter().filter(|row| !row.starts_with("sqlite_") && !row.starts_with("_sqlx")).collect()
    }
    let sqlite = told(&Rig::new().await, SQLITE).await;
    assert!(sqlite.contains("sessions.seen_at BIGINT NOT NULL") && sqlite.contains("mails (at)"), "{sqlite:#?}");
    if super::on_postgres() {
        assert_eq!(told(&Rig::new().await, POSTGRES).await, sqlite);
    }
}

#[tokio::test]
async fn a_server_that_stands_still_in_its_turn_to_write_loses_it() {
    if !super::on_postgres() {
        return;
    }
    let [one, two, _] = servers().await;
    assert!(!format!("{:?}", one.accounts.store).contains(super::server::PASSWORD));
    let mut held = one.accounts.store.write().await.unwrap();
    sqlx::query("UPDATE accounts SET name = 'half'").execute(&mut *held).await.unwrap();
    two.sign_in("bo@example.com").await;
    assert!(held.commit().await.is_err());
    one.sign_in("bo@example.com").await;
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_no_transaction_behind() {
    if !super::on_postgres() {
        return;
    }
    let [one, two, _] = servers().await;
    let bo = one.sign_in("bo@example.com").await.account;
    for number in 0..400 {
        let given_up = async { one.accounts.record(&Actor::site(), "tried", "", "").await };
        let _ = tokio::time::timeout(Duration::from_micros(number * 10), given_up).await;
        // Seen by others at once, and not when a forgotten transaction ends.
        one.accounts.set_name(&bo.id, &format!("Bo {number}")).await.unwrap();
        assert_eq!(two.accounts.account(&bo.id).await.unwrap().unwrap().name, format!("Bo {number}"));
    }
}

#[tokio::test]
async fn a_newer_materia_may_change_the_tables_while_an_older_one_serves() {
    if !super::on_postgres() {
        return;
    }
    let rig = Rig::new().await;
    let bo = rig.sign_in("bo@example.com").await.account;
    rig.accounts.account(&bo.id).await.unwrap();
    sqlx::query("ALTER TABLE accounts ADD COLUMN newer TEXT").execute(rig.accounts.store.pool()).await.unwrap();
    // A connection that knows the table as it was is no fault of the request, and lives for a minute.
    if let Err(error) = rig.accounts.account(&bo.id).await {
        assert!(error.may_pass(), "{error}");
    }
}
