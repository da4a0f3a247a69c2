//! Accounts: who somebody is, how they prove it, what they may see.
//!
//! Sessions are our own. The libraries for them do not fit together today: axum-login 0.18 builds on tower-sessions 0.14 while the current one is
//! 0.15, and its sqlx store on sqlx 0.8 while the current one is 0.9. They would also store session ids of 128 bits as they stand, know either
//! an idle or an absolute end but not both, and keep what is known of a session in a blob, so that a customer's sessions could not be listed.

mod account;
mod admin;
mod api_keys;
mod audit;
mod backup;
mod browsers;
mod copy;
mod email;
mod email_change;
mod identify;
mod invitations;
mod limits;
mod links;
mod mail;
mod own;
mod patience;
mod plans;
mod return_path;
mod secret;
mod seed;
mod sessions;
mod settings;
mod store;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, or skips and prints why"
)]
pub(crate) mod tests;
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

pub(crate) use self::{
    account::{Account, LONGEST_NAME},
    admin::{AccountFilter, ChangeError, Figures, MAX_REASON, Sort},
    api_keys::{Caller, KeyError, KeyLine, LONGEST_KEY_NAME, NewKey, Quota},
    audit::{Actor, AuditRow},
    backup::backup,
    browsers::Cookies,
    copy::{Copied, copy},
    email::{Email, display_address},
    identify::{ANSWERS_WITHIN, Session, browser_cookie, cookies, forget_cookie, identify, in_time, session_cookie},
    links::{LinkError, LinkInfo, LinkRequest, Redeemed, Visit},
    mail::{Letter, MailRow},
    plans::entitlements,
    return_path::ReturnPath,
    secret::Token,
    sessions::SessionLine,
    settings::{AccountSettings, SettingError, check_debug},
    store::{Store, StoreError},
};
use super::app::Clock;

/// How long a server that starts waits for the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// The accounts of the site.
#[derive(Clone)]
pub(crate) struct Accounts {
    store: Store,
    settings: Arc<AccountSettings>,
    clock: Clock,
    post: mail::Post,
    seen: Arc<sessions::Seen>,
    /// Whether sessions are worth waiting for.
    patience: Arc<patience::Patience>,
    /// Counts the changes that make what is remembered of sessions wrong.
    changes: Arc<AtomicU64>,
    /// What this server has of the day's requests to the API, by account.
    usage: Arc<Mutex<HashMap<String, usage::Usage>>>,
}

/// Why the accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Opens the store, brings it up to date and starts the task that sends mail.
    pub(crate) async fn open(settings: &Settings, clock: &Clock) -> Result<Self, AccountsError> {
        let settings = AccountSettings::new(settings)?;
        let store = Store::open(settings.database.reveal()).await?;
        let post = mail::Post::new(&settings, &store)?;
        Ok(Self {
            store,
            settings: Arc::new(settings),
            clock: clock.clone(),
            post,
            seen: Arc::new(sessions::Seen::new(10_000)),
            patience: Arc::default(),
            changes: Arc::default(),
            usage: Arc::default(),
        })
    }

    /// The same, where the store may be about to start as well: waits for it a while.
    pub(crate) async fn open_patiently(settings: &Settings, clock: &Clock) -> Result<Self, AccountsError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::open(settings, clock).await {
                Err(AccountsError::Store(error)) if error.may_pass() && Instant::now() < deadline => {
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

    /// Whether the store answers.
    pub(crate) async fn reachable(&self) -> bool {
        self.store.answers().await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether mail reaches anybody: without it nobody can sign in.
    pub(crate) fn sends_mail(&self) -> bool {
        self.post.works()
    }

    /// What the dev mailbox holds, newest first.
    pub(crate) fn mailbox(&self) -> Vec<Letter> {
        self.post.kept()
    }

    /// Sends the mail that waits and closes the store.
    pub(crate) async fn close(self) {
        if let Err(error) = self.hand_back(true).await {
            tracing::warn!(%error, "what was taken of the day's requests to the API could not be handed back");
        }
        self.post.finish().await;
        self.store.close().await;
    }

    /// Makes everything that is remembered of sessions be read again.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Seconds as they are stored.
fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

/// One page of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageOf {
    /// From 1.
    number: u32,
}

impl PageOf {
    /// Rows on one page.
    pub(crate) const SIZE: u32 = 50;

    /// Page 1 where the number is none or 0.
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
