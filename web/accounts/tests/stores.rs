//! Several servers on one store, and both kinds of store.

use std::{collections::BTreeSet, time::Duration};

use materia::plan::Plan;
use tokio::task::JoinSet;

use super::{ADMIN, Rig, client};
use crate::accounts::{
    Actor, ClientInfo, Cookies, Delivery, Email, LinkError, LinkRequest, Pagination, ReturnPath,
    api_keys::{KeyError, NewKey},
};

on_both_stores! {
    a_session_of_one_server_is_good_at_the_others_and_its_end_is_seen_within_a_second,
    of_servers_that_are_presented_one_link_at_once_one_lets_in,
    an_address_gets_only_so_many_letters_from_all_servers_together,
    a_days_requests_are_never_exceeded_by_all_servers_together,
    what_a_server_took_of_a_day_and_did_not_use_goes_back,
    nobody_has_endless_keys_by_asking_all_servers_at_once,
    a_removed_role_is_recorded_once_by_all_servers_and_the_session_continues,
    characters_that_no_text_has_are_refused_or_found_nowhere,
}

const SERVERS: usize = 3;

/// Three servers on one store.
async fn servers() -> [Rig; SERVERS] {
    let first = Rig::new().await;
    let others = [first.on_another_server().await, first.on_another_server().await];
    let [second, third] = others;
    [first, second, third]
}

fn new_key() -> NewKey {
    NewKey { name: "a program".to_owned(), tables: None, sql: false, days: None }
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
    let (line, key) = one.accounts.create_key(&seeded[3], &Actor::site(), new_key()).await.unwrap();
    assert!(two.accounts.authenticate(&key).await.is_ok());
    assert!(three.accounts.revoke_key(&seeded[3], &Actor::site(), &line.id).await.unwrap());
    assert!(
        matches!(two.accounts.authenticate(&key).await, Err(KeyError::Revoked)),
        "keys are not remembered at all"
    );
}

async fn of_servers_that_are_presented_one_link_at_once_one_lets_in() {
    let servers = servers().await;
    for round in 0..10 {
        let email = format!("bo{round}@example.com");
        servers[0].request_link_from(&email, &format!("192.0.2.{round}")).await.unwrap();
        let token = servers[0].newest_token(&email);
        let mut tries = JoinSet::new();
        for number in 0..9 {
            let (accounts, token) = (servers[number % SERVERS].accounts.clone(), token.clone());
            tries.spawn(async move {
                accounts.redeem(Some(&token), &Cookies::default(), &client()).await
            });
        }
        let outcomes = tries.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        let fair = |outcome: &Result<_, LinkError>| {
            matches!(outcome, Ok(_) | Err(LinkError::Invalid | LinkError::TooOften(_)))
        };
        assert!(outcomes.iter().all(fair), "{outcomes:?}");
        servers[0].later(16 * 60);
    }
    assert_eq!(servers[0].rows("SELECT count(*) FROM accounts").await, 10);
    assert_eq!(servers[0].rows("SELECT count(*) FROM sessions").await, 10);
}

async fn an_address_gets_only_so_many_letters_from_all_servers_together() {
    let servers = servers().await;
    let mut requests = JoinSet::new();
    for number in 0..12 {
        let accounts = servers[number % SERVERS].accounts.clone();
        requests.spawn(async move {
            let (email, next) = ("bo@example.com".parse::<Email>().unwrap(), ReturnPath::home());
            let client = ClientInfo { network: "192.0.2.1".to_owned(), ..ClientInfo::default() };
            accounts
                .request_link(LinkRequest {
                    email: &email,
                    name: "",
                    next: &next,
                    client: &client,
                    cookies: &Cookies::default(),
                })
                .await
        });
    }
    let refused = |answer: &Result<Delivery, LinkError>| {
        matches!(answer, Err(LinkError::TooManyForAddress(_)))
    };
    assert_eq!(
        requests.join_all().await.iter().filter(|answer| refused(answer)).count(),
        8,
        "whoever is refused is told"
    );
    assert_eq!(servers[0].rows("SELECT count(*) FROM mails").await, 4);
    // One network is limited over all servers.
    for number in 0..30 {
        servers[number % SERVERS]
            .request_link_from(&format!("bo{number}@example.com"), "198.51.100.1")
            .await
            .unwrap();
    }
    for server in &servers {
        assert!(matches!(
            server.request_link_from("eve@example.com", "198.51.100.1").await,
            Err(LinkError::TooOften(_))
        ));
    }
}

async fn a_days_requests_are_never_exceeded_by_all_servers_together() {
    let servers = servers().await;
    let starter = servers[0].accounts.seed().await.unwrap().remove(2);
    let (_, key) =
        servers[0].accounts.create_key(&starter, &Actor::site(), new_key()).await.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let (accounts, key) = (servers[number % SERVERS].accounts.clone(), key.clone());
        calls.spawn(async move {
            let mut answered = 0;
            while answered < 1_001 {
                match accounts.authenticate(&key).await {
                    Ok(_) => answered += 1,
                    Err(KeyError::QuotaExceeded(_)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            answered
        });
    }
    let answered: u32 = calls.join_all().await.into_iter().sum();
    // Every server grants all requests that it leased, and the last ones are leased one by one.
    assert_eq!(answered, 1_000);
    assert_eq!(servers[0].rows("SELECT requests FROM api_usage").await, 1_000);
}

async fn what_a_server_took_of_a_day_and_did_not_use_goes_back() {
    let [one, two, three] = servers().await;
    let starter = one.accounts.seed().await.unwrap().remove(2);
    let (_, key) = one.accounts.create_key(&starter, &Actor::site(), new_key()).await.unwrap();
    for server in [&one, &two, &three] {
        server.accounts.authenticate(&key).await.unwrap();
    }
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 30, "a hundredth each");
    one.later(61);
    one.accounts.release_unused(false).await.unwrap();
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 21);
    two.accounts.close().await;
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 12);
    // A smaller plan applies immediately, and the quota leased under the larger one is returned.
    one.accounts.set_plan(&Actor::site(), &starter.id, Plan::Pro, "").await.unwrap();
    assert_eq!(three.accounts.authenticate(&key).await.unwrap().quota.remaining, 19_996);
    one.accounts.set_plan(&Actor::site(), &starter.id, Plan::Starter, "").await.unwrap();
    assert_eq!(three.accounts.authenticate(&key).await.unwrap().quota.remaining, 995);
    three.accounts.release_unused(true).await.unwrap();
    assert_eq!(one.rows("SELECT requests FROM api_usage").await, 5);
}

async fn nobody_has_endless_keys_by_asking_all_servers_at_once() {
    let servers = servers().await;
    let pro = servers[0].accounts.seed().await.unwrap().remove(3);
    let mut created = JoinSet::new();
    for number in 0..30 {
        let (accounts, pro) = (servers[number % SERVERS].accounts.clone(), pro.clone());
        created.spawn(async move { accounts.create_key(&pro, &Actor::site(), new_key()).await });
    }
    let created = created.join_all().await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 20);
    assert!(
        created.iter().all(|created| matches!(created, Ok(_) | Err(KeyError::TooMany))),
        "{created:?}"
    );
    assert_eq!(servers[0].rows("SELECT count(*) FROM api_keys").await, 20);
}

async fn a_removed_role_is_recorded_once_by_all_servers_and_the_session_continues() {
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
    let renewed: Vec<_> =
        resolved.into_iter().filter_map(|(_, resolved)| resolved?.renewed).collect();
    assert_eq!(renewed.len(), 1, "the browser keeps the last it is given: there must be one");
    rig.later(60);
    assert!(rig.is_signed_in(&renewed[0]).await && !rig.is_signed_in(&admin.session).await);
    let (log, _) = rig.accounts.audit_log(Pagination::number(None)).await.unwrap();
    assert_eq!(log.iter().filter(|row| row.action == "role taken away").count(), 1);
}

async fn characters_that_no_text_has_are_refused_or_found_nowhere() {
    let site = super::browser::Site::over(Rig::new().await);
    site.rig.accounts.seed().await.unwrap();
    let mut admin = site.signed_in("admin@example.test").await;
    for path in [
        "/admin/accounts/%00",
        "/admin/accounts?search=%00",
        "/auth/verify?token=%00",
        "/settings?x=%00",
    ] {
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
    async fn shown(rig: &Rig, sql: &'static str) -> BTreeSet<String> {
        let rows: Vec<String> =
            sqlx::query_scalar(sql).fetch_all(rig.accounts.store.pool()).await.unwrap();
        rows.into_iter()
            .filter(|row| !row.starts_with("sqlite_") && !row.starts_with("_sqlx"))
            .collect()
    }
    let sqlite = shown(&Rig::new().await, SQLITE).await;
    assert!(
        sqlite.contains("sessions.seen_at BIGINT NOT NULL") && sqlite.contains("mails (at)"),
        "{sqlite:#?}"
    );
    if super::on_postgres() {
        assert_eq!(shown(&Rig::new().await, POSTGRES).await, sqlite);
    }
}

#[tokio::test]
async fn a_server_that_stalls_while_writing_loses_the_write_lock() {
    if !super::on_postgres() {
        return;
    }
    let [one, two, _] = servers().await;
    assert!(!format!("{:?}", one.accounts.store).contains(super::server::PASSWORD));
    let mut held = one.accounts.store.begin_write().await.unwrap();
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
        // Visible to others immediately, not only when a forgotten transaction ends.
        one.accounts.set_name(&bo.id, &format!("Bo {number}")).await.unwrap();
        assert_eq!(
            two.accounts.account(&bo.id).await.unwrap().unwrap().name,
            format!("Bo {number}")
        );
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
    sqlx::query("ALTER TABLE accounts ADD COLUMN newer TEXT")
        .execute(rig.accounts.store.pool())
        .await
        .unwrap();
    // A connection with a cached outdated table structure is not the request's fault, and is used
    // for a minute at most.
    if let Err(error) = rig.accounts.account(&bo.id).await {
        assert!(error.is_transient(), "{error}");
    }
}
