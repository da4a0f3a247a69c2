//! Accounts: identity, authentication and entitlements.
//!
//! Sessions are implemented here. The available libraries are currently incompatible: axum-login
//! 0.18 builds on tower-sessions 0.14 while the current version is 0.15, and its sqlx store on sqlx
//! 0.8 while the current version is 0.9. They would also store 128-bit session ids unhashed,
//! support either an idle or an absolute timeout but not both, and keep session data in a blob, so
//! that a customer's sessions could not be listed.

mod account;
mod admin;
mod alerts;
mod api_keys;
mod api_quota;
mod audit;
mod auth_rate_limits;
mod backup;
mod billing;
mod circuit_breaker;
mod data_export;
mod digests;
mod email;
mod email_change;
mod entitlements;
mod invitations;
mod known_browsers;
mod magic_links;
mod mailer;
mod return_path;
mod saved_views;
mod seed;
mod session_layer;
mod sessions;
mod settings;
mod sql_access;
mod store;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, or skips and prints why"
)]
pub(crate) mod tests;
mod token;
mod transfer;
mod unsubscribe;
mod usage;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use materia::settings::Settings;
use tokio::time::{Instant, sleep};

pub use self::{
    account::Account,
    audit::Actor,
    backup::{backup, copy_backup, restore},
    email::Email,
    sql_access::{SqlClient, SqlKeyError},
    transfer::{TransferReport, transfer},
};
pub(crate) use self::{
    account::MAX_NAME,
    admin::{AccountFilter, AccountStats, ChangeError, MAX_REASON, Sort},
    alerts::{
        Alert, AlertCondition, AlertError, AlertNews, AlertRule, Evaluation, NewAlert, OwnedAlert,
        Seen, Threshold, WebhookMessage,
    },
    api_keys::{ApiClient, ApiKeyInfo, KeyError, MAX_KEY_NAME, NewKey, Quota},
    audit::AuditRow,
    billing::{
        Parsed, PlanRequest, RequestError, Scheme, Subscription, SubscriptionState, WebhookOutcome,
        parse_standard, parse_stripe, sign, standard_key,
    },
    digests::{Cadence, DigestError, DigestMail, DigestSubscription, DueDigest},
    email::display_address,
    entitlements::entitlements,
    known_browsers::Cookies,
    magic_links::{ClientInfo, LinkError, LinkInfo, LinkRequest, Redeemed},
    mailer::{Delivery, MailRow, OutgoingMail, RichBody, check_mail_server},
    return_path::ReturnPath,
    saved_views::{NewView, SaveError, SavedView, dashboard_address},
    session_layer::{
        ACCOUNTS_TIMEOUT, Session, account_timeout, browser_cookie, cookies, removal_cookie,
        resolve_session, session_cookie,
    },
    sessions::SessionInfo,
    settings::{AccountSettings, SettingError, check_debug},
    store::{Store, StoreError},
    token::Token,
    unsubscribe::{MailSubscription, UnsubscribeKey},
    usage::Usage,
};
use super::app::Clock;

/// How long a starting server waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// The accounts of the site: store, mailer and caches. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    settings: Arc<AccountSettings>,
    clock: Clock,
    mailer: mailer::Mailer,
    session_cache: Arc<sessions::SessionCache>,
    /// Skips session lookups while the store does not respond.
    circuit_breaker: Arc<circuit_breaker::CircuitBreaker>,
    /// Incremented by every change that invalidates cached sessions.
    cache_epoch: Arc<AtomicU64>,
    /// API requests leased from the daily quotas, by account.
    quota_leases: Arc<Mutex<HashMap<String, api_quota::QuotaLease>>>,
}

/// Why the accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Opens the store, applies migrations and starts the mailer.
    pub async fn open(settings: &Settings, clock: &Clock) -> Result<Self, AccountsError> {
        let settings = AccountSettings::new(settings)?;
        let store = Store::open(settings.database.reveal()).await?;
        let mailer = mailer::Mailer::new(&settings, &store, clock)?;
        Ok(Self {
            store,
            settings: Arc::new(settings),
            clock: clock.clone(),
            mailer,
            session_cache: Arc::new(sessions::SessionCache::new(10_000)),
            circuit_breaker: Arc::default(),
            cache_epoch: Arc::default(),
            quota_leases: Arc::default(),
        })
    }

    /// Opens the accounts like [`Self::open`], and retries for a while if the store is not
    /// available yet.
    pub(crate) async fn open_with_retry(
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, AccountsError> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        loop {
            match Self::open(settings, clock).await {
                Err(AccountsError::Store(error))
                    if error.is_transient() && Instant::now() < deadline =>
                {
                    tracing::warn!(%error, "waiting for the accounts");
                    sleep(Duration::from_secs(1)).await;
                }
                opened => return opened,
            }
        }
    }

    pub(crate) fn settings(&self) -> &AccountSettings {
        &self.settings
    }

    /// Returns whether the store can be read and written.
    pub(crate) async fn is_healthy(&self) -> bool {
        self.store.can_write().await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns whether email is delivered: without it nobody can sign in.
    #[must_use]
    pub fn sends_mail(&self) -> bool {
        self.mailer.is_configured()
    }

    /// Returns the emails in the dev mailbox, newest first.
    #[must_use]
    pub fn mailbox(&self) -> Vec<OutgoingMail> {
        self.mailer.dev_mailbox()
    }

    /// Sends waiting email, returns leased quota and closes the store.
    pub async fn close(self) {
        if let Err(error) = self.release_unused(true).await {
            tracing::warn!(%error, "leased API quota could not be returned");
        }
        self.mailer.flush().await;
        self.store.close().await;
    }

    /// Invalidates every cached session.
    fn invalidate_sessions(&self) {
        self.cache_epoch.fetch_add(1, Ordering::SeqCst);
    }
}

/// Converts a stored timestamp, in seconds.
fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

/// A position in a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pagination {
    /// Counted from 1.
    number: u32,
}

impl Pagination {
    /// Rows on one page.
    pub(crate) const SIZE: u32 = 50;

    /// Returns the page with this number, and page 1 for none or 0.
    pub(crate) fn number(number: Option<u32>) -> Self {
        Self { number: number.unwrap_or(1).clamp(1, 1_000_000) }
    }

    pub(crate) fn get(self) -> u32 {
        self.number
    }

    fn size() -> i64 {
        i64::from(Self::SIZE)
    }

    fn offset(self) -> i64 {
        i64::from(self.number - 1) * Self::size()
    }
}
