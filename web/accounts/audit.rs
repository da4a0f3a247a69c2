//! The audit log: who did what to whom, appended and never changed.

use jiff::Timestamp;
use sqlx::{FromRow, Row};

use super::{
    Accounts, PageOf,
    store::{StoreError, StoredRow, Transaction},
};

/// Who does something that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The account's id; empty for the command line and the site itself.
    pub(crate) id: String,
    /// The address, or what else acts.
    pub(crate) name: String,
    /// Where the request came from; empty where there was none.
    pub(crate) network: String,
}

impl Actor {
    /// The operator at the command line.
    pub(crate) fn command_line() -> Self {
        Self { id: String::new(), name: "command line".to_owned(), network: String::new() }
    }

    /// The site by itself.
    pub(crate) fn site() -> Self {
        Self { id: String::new(), name: "site".to_owned(), network: String::new() }
    }
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject_id: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
    pub(crate) network: String,
}

impl FromRow<'_, StoredRow> for AuditRow {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get("seq")?,
            at: super::time(row.try_get("at")?),
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            subject_id: row.try_get("subject_id")?,
            subject: row.try_get("subject")?,
            detail: row.try_get("detail")?,
            network: row.try_get("network")?,
        })
    }
}

/// What was done, in the words of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    pub(super) action: &'static str,
    /// What it was done to: an account's id, a generation.
    pub(super) subject_id: &'a str,
    /// The same as people name it.
    pub(super) subject: &'a str,
    pub(super) detail: &'a str,
}

/// Appends a row in the transaction of what it records: both are kept or neither.
pub(super) async fn record(turn: &mut Transaction, now: Timestamp, actor: &Actor, deed: Deed<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (at, actor_id, actor, action, subject_id, subject, detail, network) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(now.as_second())
    .bind(&actor.id)
    .bind(&actor.name)
    .bind(deed.action)
    .bind(deed.subject_id)
    .bind(deed.subject)
    .bind(deed.detail)
    .bind(&actor.network)
    .execute(&mut **turn)
    .await?;
    Ok(())
}

impl Accounts {
    /// Records what was done to something other than an account, such as a rollback.
    pub(crate) async fn record(&self, actor: &Actor, action: &'static str, subject: &str, detail: &str) -> Result<(), StoreError> {
        let mut turn = self.store.write().await?;
        record(&mut turn, self.now(), actor, Deed { action, subject_id: "", subject, detail }).await?;
        turn.commit().await
    }

    /// A page of the log, newest first, and how many rows there are.
    pub(crate) async fn audit_log(&self, page: PageOf) -> Result<(Vec<AuditRow>, u64), StoreError> {
        let rows = sqlx::query_as("SELECT * FROM audit_log ORDER BY seq DESC LIMIT $1 OFFSET $2")
            .bind(PageOf::size())
            .bind(page.offset())
            .fetch_all(self.store.pool())
            .await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_log").fetch_one(self.store.pool()).await?;
        Ok((rows, total.unsigned_abs()))
    }

    /// What was done to one account, newest first.
    pub(crate) async fn audit_log_of(&self, account: &str) -> Result<Vec<AuditRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM audit_log WHERE subject_id = $1 ORDER BY seq DESC LIMIT 100")
            .bind(account)
            .fetch_all(self.store.pool())
            .await?)
    }
}
