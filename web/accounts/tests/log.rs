//! The store itself: its migrations and its audit log.

use super::Rig;
use crate::accounts::{Actor, Pagination, Store};

on_both_stores! {
    the_audit_log_can_only_grow,
    every_change_by_an_operator_is_recorded_with_who_what_and_whom,
    processes_that_start_at_once_on_a_new_store_take_turns,
}

async fn the_audit_log_can_only_grow() {
    let rig = Rig::new().await;
    let seeded = rig.accounts.seed().await.unwrap();
    rig.accounts.sign_out_everywhere(&Actor::command_line(), &seeded[0].id).await.unwrap();
    let (before, total) = rig.accounts.audit_log(Pagination::number(None)).await.unwrap();
    assert_eq!(total, 1);
    let on_sqlite = [
        "INSERT OR REPLACE INTO audit_log SELECT seq, 0, '', 'eve', '', '', '', '', '' FROM audit_log",
        "INSERT INTO audit_log SELECT seq, 0, '', 'eve', '', '', '', '', '' FROM audit_log WHERE true ON CONFLICT (seq) DO UPDATE SET actor = 'eve'",
        "UPDATE audit_log SET seq = seq + 1000",
    ];
    let on_postgres = [
        "TRUNCATE audit_log",
        "WITH gone AS (DELETE FROM audit_log RETURNING seq) SELECT count(*) FROM gone",
        "INSERT INTO audit_log OVERRIDING SYSTEM VALUE SELECT seq, 0, '', 'eve', '', '', '', '', '' FROM audit_log ON CONFLICT (seq) DO UPDATE SET actor = 'eve'",
    ];
    let own = if super::ON_POSTGRES.get() { on_postgres } else { on_sqlite };
    for statement in
        ["DELETE FROM audit_log", "UPDATE audit_log SET actor = 'nobody'"].into_iter().chain(own)
    {
        let error = sqlx::query(statement).execute(rig.accounts.store.pool()).await.unwrap_err();
        assert!(error.to_string().contains("the audit log is append-only"), "{statement}: {error}");
    }
    assert_eq!(rig.accounts.audit_log(Pagination::number(None)).await.unwrap(), (before, 1));
}

async fn every_change_by_an_operator_is_recorded_with_who_what_and_whom() {
    use materia::plan::Plan;
    let rig = Rig::new().await;
    let free = rig.accounts.seed().await.unwrap().remove(1);
    let actor = Actor {
        id: "1".to_owned(),
        name: "ada@example.com".to_owned(),
        network: "203.0.113.9".to_owned(),
    };
    rig.accounts.set_plan(&actor, &free.id, Plan::Pro, "").await.unwrap();
    rig.accounts.suspend(&actor, &free.id, true, "").await.unwrap();
    rig.accounts.suspend(&actor, &free.id, false, "").await.unwrap();
    rig.accounts.sign_out_everywhere(&actor, &free.id).await.unwrap();
    let (rows, _) = rig.accounts.audit_log(Pagination::number(None)).await.unwrap();
    let shown: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| format!("{} {} {} {}", row.actor, row.action, row.subject, row.detail))
        .collect();
    assert_eq!(
        shown,
        [
            "ada@example.com plan changed free@example.test free to pro",
            "ada@example.com suspended free@example.test ",
            "ada@example.com suspension lifted free@example.test ",
            "ada@example.com signed out everywhere free@example.test 0 sessions",
        ]
    );
    assert!(rows.iter().all(|row| row.network == "203.0.113.9"));
}

async fn processes_that_start_at_once_on_a_new_store_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let url = super::new_store(&folder);
    let opened: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { Store::open(&url).await }
            })
        })
        .collect();
    for store in opened {
        assert!(store.await.unwrap().unwrap().ping().await);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_says_which_and_why() {
    let error_of = async |url: &str| Store::open(url).await.unwrap_err().to_string();
    assert_eq!(
        error_of("mysql://user:hunter2@host/db").await,
        "DATABASE_URL: it begins neither with sqlite: nor with postgres:; write for example sqlite://accounts.db or \
         postgres://user:password@host/database"
    );
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shown = error_of(&format!("postgres://user:hunter2@{closed_port}/db")).await;
    assert!(
        shown.starts_with(&format!(
            "cannot open the accounts in PostgreSQL at {closed_port}, database db: "
        )),
        "{shown}"
    );
    assert!(shown.contains("Connection refused") && !shown.contains("hunter2"), "{shown}");
    let folder = tempfile::tempdir().unwrap();
    let shown =
        error_of(&format!("sqlite://{}", folder.path().join("missing/accounts.db").display()))
            .await;
    assert!(
        shown.contains("missing/accounts.db")
            && shown.ends_with("its folder must exist and be writable"),
        "{shown}"
    );
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "this is no database, however long it may be".repeat(100)).unwrap();
    assert!(error_of(&format!("sqlite://{}", broken.display())).await.contains("broken.db"));
}
