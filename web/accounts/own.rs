//! What is kept of somebody, for them to take away.

use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::Row;

use super::{Accounts, account::Account, api_keys::KeyLine, sessions::SessionLine, store::StoreError};

/// Everything that is kept of an account.
#[derive(Debug, serde::Serialize)]
pub(crate) struct OwnData {
    account: OwnAccount,
    sessions: Vec<SessionLine>,
    /// Without their secrets.
    api_keys: Vec<KeyLine>,
    /// Letters of the last 90 days.
    mails: Vec<OwnMail>,
    /// What was done to the account.
    changes: Vec<OwnChange>,
}

#[derive(Debug, serde::Serialize)]
struct OwnAccount {
    id: String,
    email: String,
    name: String,
    plan: Plan,
    role: &'static str,
    appearance: &'static str,
    created_at: Timestamp,
    signed_in_at: Option<Timestamp>,
}

#[derive(Debug, serde::Serialize)]
struct OwnMail {
    at: Timestamp,
    subject: String,
    state: String,
}

#[derive(Debug, serde::Serialize)]
struct OwnChange {
    at: Timestamp,
    action: String,
    detail: String,
}

impl Accounts {
    /// Everything that is kept of an account. Who else's hand was at work is not its owner's to have.
    pub(crate) async fn own_data(&self, account: &Account) -> Result<OwnData, StoreError> {
        let mails = sqlx::query("SELECT at, subject, state FROM mails WHERE recipient = $1 ORDER BY at DESC");
        let mails = mails.bind(&account.email).fetch_all(self.store.pool()).await?;
        let mails = mails
            .iter()
            .map(|row| Ok(OwnMail { at: super::time(row.try_get("at")?), subject: row.try_get("subject")?, state: row.try_get("state")? }));
        let changes = self.audit_log_of(&account.id).await?.into_iter();
        Ok(OwnData {
            account: OwnAccount {
                id: account.id.clone(),
                email: account.email.clone(),
                name: account.name.clone(),
                plan: account.plan,
                role: account.role.name(),
                appearance: account.appearance.name(),
                created_at: account.created_at,
                signed_in_at: account.signed_in_at,
            },
            sessions: self.sessions(&account.id).await?,
            api_keys: self.keys(&account.id).await?,
            mails: mails.collect::<sqlx::Result<_>>()?,
            changes: changes.map(|row| OwnChange { at: row.at, action: row.action, detail: row.detail }).collect(),
        })
    }
}
