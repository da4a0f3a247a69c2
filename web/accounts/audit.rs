//! The audit log: append-only records of who changed what.

use jiff::Timestamp;
use sqlx::{FromRow, Row};

use super::{
    Accounts, Pagination,
    store::{StoreError, StoredRow, Transaction},
};

/// The person or program that makes a recorded change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The account's id; empty for the command line and the site itself.
    pub(crate) id: String,
    /// The account's address, or the name of the program.
    pub(crate) name: String,
    /// The network of the request; empty if there was none.
    pub(crate) network: String,
}

impl Actor {
    /// Returns the operator at the command line.
    #[must_use]
    pub fn command_line() -> Self {
        Self { id: String::new(), name: "command line".to_owned(), network: String::new() }
    }

    /// Returns the site itself, for changes that no person made.
    pub(crate) fn site() -> Self {
        Self { id: String::new(), name: "site".to_owned(), network: String::new() }
    }
}

/// One row of the audit log.
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

/// The part of an audit log row that describes the change.
#[derive(Debug, Clone, Copy)]
pub(super) struct AuditEntry<'a> {
    pub(super) action: &'static str,
    /// The id of the changed object: an account or a generation.
    pub(super) subject_id: &'a str,
    /// The name of the changed object for people.
    pub(super) subject: &'a str,
    pub(super) detail: &'a str,
}

/// Appends a row in the transaction of the change that it records: both are committed or neither.
pub(super) async fn record(
    tx: &mut Transaction,
    now: Timestamp,
    actor: &Actor,
    entry: AuditEntry<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (at, actor_id, actor, action, subject_id, subject, detail, network) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(now.as_second())
    .bind(&actor.id)
    .bind(&actor.name)
    .bind(entry.action)
    .bind(entry.subject_id)
    .bind(entry.subject)
    .bind(entry.detail)
    .bind(&actor.network)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Accounts {
    /// Records a change to something other than an account, such as a rollback.
    pub(crate) async fn record(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write().await?;
        record(&mut tx, self.now(), actor, AuditEntry { action, subject_id: "", subject, detail })
            .await?;
        tx.commit().await
    }

    /// Returns a page of the audit log, newest first, and the number of its rows.
    pub(crate) async fn audit_log(
        &self,
        page: Pagination,
    ) -> Result<(Vec<AuditRow>, u64), StoreError> {
        let rows = sqlx::query_as("SELECT * FROM audit_log ORDER BY seq DESC LIMIT $1 OFFSET $2")
            .bind(Pagination::size())
            .bind(page.offset())
            .fetch_all(self.store.pool())
            .await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_log")
            .fetch_one(self.store.pool())
            .await?;
        Ok((rows, total.unsigned_abs()))
    }

    /// Returns the latest changes to one account, newest first.
    pub(crate) async fn audit_log_of(&self, account: &str) -> Result<Vec<AuditRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM audit_log WHERE subject_id = $1 ORDER BY seq DESC LIMIT 100",
        )
        .bind(account)
        .fetch_all(self.store.pool())
        .await?)
    }
}
