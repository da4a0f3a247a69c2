//! Copying everything about accounts from one kind of store to the other.

use super::{ADMIN, Rig, new_store};
use crate::accounts::{
    Actor,
    api_keys::NewKey,
    transfer::{TransferError, transfer},
};

impl Rig {
    /// Moves the same site to another store.
    async fn moved(self, to: String) -> Self {
        self.accounts.close().await;
        transfer(&self.url, &to).await.unwrap();
        Self::at(self.folder, to, self.clock, "", &[("ADMIN_EMAILS", ADMIN)]).await
    }
}

#[tokio::test]
async fn sessions_links_keys_and_the_audit_log_are_good_where_everything_was_copied_to_and_back_again()
 {
    let mut rig = Rig::new().await;
    let signed_in = rig.sign_in(ADMIN).await;
    let key = NewKey {
        name: "a program, \"quoted\"; DROP".to_owned(),
        tables: None,
        sql: true,
        days: None,
    };
    let (_, key) = rig.accounts.create_key(&signed_in.account, &Actor::site(), key).await.unwrap();
    rig.accounts.authenticate(&key).await.unwrap();
    rig.accounts.set_name(&signed_in.account.id, "Ada Łoś ☕").await.unwrap();
    rig.request_link("bo@example.com").await.unwrap();
    let link = rig.newest_token("bo@example.com");
    // More rows than one statement can insert.
    for number in 0..1_500 {
        rig.accounts.record(&Actor::site(), "tried", "", &number.to_string()).await.unwrap();
    }
    let written = rig.rows("SELECT count(*) FROM audit_log").await;
    assert!(written > 1_500);
    if !super::on_postgres() {
        return;
    }
    let there = new_store(&rig.folder);
    rig = rig.moved(there).await;
    assert!(rig.is_signed_in(&signed_in.session).await);
    rig.accounts.authenticate(&key).await.unwrap();
    assert_eq!(
        rig.accounts.account(&signed_in.account.id).await.unwrap().unwrap().name,
        "Ada Łoś ☕"
    );
    rig.redeem(&link).await.unwrap();
    rig.accounts.record(&Actor::site(), "moved", "", "").await.unwrap();
    // Generated numbers continue.
    assert_eq!(rig.rows("SELECT max(seq) - count(*) FROM audit_log").await, 0);
    let grown = rig.rows("SELECT count(*) FROM audit_log").await;
    assert!(grown > written, "{grown}");

    let back = format!("sqlite://{}", rig.folder.path().join("back.db").display());
    rig = rig.moved(back).await;
    assert!(rig.is_signed_in(&signed_in.session).await);
    assert_eq!(rig.rows("SELECT count(*) FROM audit_log").await, grown);
    rig.accounts.record(&Actor::site(), "back", "", "").await.unwrap();
    assert_eq!(rig.rows("SELECT max(seq) - count(*) FROM audit_log").await, 0);
}

#[tokio::test]
async fn a_database_that_somebody_uses_is_not_copied_into() {
    let (rig, other) = (Rig::new().await, Rig::new().await);
    rig.sign_in(ADMIN).await;
    other.sign_in("bo@example.com").await;
    let refused = transfer(&rig.url, &other.url).await.unwrap_err();
    assert!(matches!(refused, TransferError::InUse { table: "accounts", rows: 1 }), "{refused}");
    assert_eq!(other.rows("SELECT count(*) FROM accounts WHERE email = 'bo@example.com'").await, 1);
    assert!(matches!(transfer(&rig.url, &rig.url).await, Err(TransferError::InUse { .. })));
}

#[tokio::test]
async fn a_missing_source_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}/{name}", folder.path().display());
    assert!(matches!(
        transfer(&url("none.db"), &url("new.db")).await,
        Err(TransferError::Missing(_))
    ));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
