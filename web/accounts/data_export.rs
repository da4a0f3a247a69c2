//! The export of everything stored about an account, for its owner.

use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::Row;

use super::{
    Accounts, account::Account, alerts::Alert, api_keys::ApiKeyInfo, digests::DigestSubscription,
    saved_views::SavedView, sessions::SessionInfo, store::StoreError,
};

/// Everything stored about an account.
#[derive(Debug, serde::Serialize)]
pub(crate) struct AccountExport {
    account: ExportedAccount,
    sessions: Vec<SessionInfo>,
    /// Without their secrets.
    api_keys: Vec<ApiKeyInfo>,
    /// What is known of its subscriptions; cards and amounts are the payment provider's.
    subscriptions: Vec<ExportedSubscription>,
    /// The plan it asked for and did not get yet.
    requested_plan: Option<Plan>,
    saved_views: Vec<SavedView>,
    /// Dashboards, by slug.
    favorites: Vec<String>,
    alerts: Vec<Alert>,
    digests: Vec<DigestSubscription>,
    /// Emails of the last 90 days.
    mails: Vec<ExportedMail>,
    /// The audit log entries about the account.
    changes: Vec<ExportedChange>,
}

#[derive(Debug, serde::Serialize)]
struct ExportedAccount {
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
struct ExportedSubscription {
    provider: String,
    subscription: String,
    customer: String,
    plan: Option<Plan>,
    state: &'static str,
    period_ends_at: Option<Timestamp>,
    is_cancelled: bool,
}

#[derive(Debug, serde::Serialize)]
struct ExportedMail {
    at: Timestamp,
    subject: String,
    state: String,
}

#[derive(Debug, serde::Serialize)]
struct ExportedChange {
    at: Timestamp,
    action: String,
    detail: String,
}

impl Accounts {
    /// Collects everything stored about an account. The identity of operators who changed it is not
    /// the owner's data and omitted.
    pub(crate) async fn export_account_data(
        &self,
        account: &Account,
    ) -> Result<AccountExport, StoreError> {
        let mails = sqlx::query(
            "SELECT at, subject, state FROM mails WHERE recipient = $1 ORDER BY at DESC",
        );
        let mails = mails.bind(&account.email).fetch_all(self.store.pool()).await?;
        let mails = mails.iter().map(|row| {
            Ok(ExportedMail {
                at: super::time(row.try_get("at")?),
                subject: row.try_get("subject")?,
                state: row.try_get("state")?,
            })
        });
        let subscriptions = self.subscriptions(&account.id).await?.into_iter();
        let subscriptions = subscriptions.map(|one| ExportedSubscription {
            provider: one.provider,
            subscription: one.subscription,
            customer: one.customer,
            plan: one.plan,
            state: one.state.name(),
            period_ends_at: one.period_ends_at,
            is_cancelled: one.is_cancelled,
        });
        let requested = self.plan_request_of(&account.id).await?;
        let alerts = self.alerts(&account.id).await?.into_iter().map(|owned| owned.alert);
        let changes = self.audit_log_of(&account.id).await?.into_iter();
        Ok(AccountExport {
            account: ExportedAccount {
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
            subscriptions: subscriptions.collect(),
            requested_plan: requested.map(|request| request.plan),
            saved_views: self.saved_views(&account.id).await?,
            favorites: self.favorites(&account.id).await?,
            alerts: alerts.collect(),
            digests: self.digests(&account.id).await?,
            mails: mails.collect::<sqlx::Result<_>>()?,
            changes: changes
                .map(|row| ExportedChange { at: row.at, action: row.action, detail: row.detail })
                .collect(),
        })
    }
}
