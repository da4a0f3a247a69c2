//! Accounts: who somebody is, how they prove it, what they may see.
//!
//! Sessions are our own. The libraries for them do not fit together today: axum-login 0.18 builds on tower-sessions 0.14 while the current one is
//! 0.15, and its sqlx store on sqlx 0.8 while the current one is 0.9. They would also store session ids of 128 bits as they stand, know either
//! an idle or an absolute end but not both, and keep what is known of a session in a blob, so that a customer's sessions could not be listed.

mod account;
mod admin;
mod audit;
mod email;
mod limits;
mod links;
mod mail;
mod own;
mod plans;
mod return_path;
mod secret;
mod seed;
mod sessions;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;

pub(crate) use self::{
    account::{Account, Appearance, LONGEST_NAME, Role},
    admin::{AccountFilter, ChangeError, Sort},
    audit::{Actor, AuditRow},
    email::{Email, NotAnEmail},
    limits::network,
    links::{Asked, LinkError, LinkRequest, Redeemed, Visit},
    mail::{Letter, MailRow},
    plans::{Entitlements, entitlements},
    return_path::ReturnPath,
    secret::Token,
    seed::SEEDS,
    sessions::{Resolved, SessionLine, SignedIn},
    settings::{AccountSettings, Secret, SettingError},
    store::{Store, StoreError},
};

/// What time it is; tests have one that they move.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The accounts of the site.
#[derive(Clone)]
pub(crate) struct Accounts {
    store: Store,
    settings: Arc<AccountSettings>,
    clock: Clock,
    post: mail::Post,
    /// What the site is called, in mail.
    brand: Arc<str>,
    seen: Arc<sessions::Seen>,
    /// Counts the changes that make what is remembered of sessions wrong.
    changes: Arc<AtomicU64>,
}

/// Why accounts could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("SMTP_URL: {0}")]
    Smtp(String),
}

impl Accounts {
    /// Opens the store, brings it up to date and starts the task that sends mail.
    pub(crate) async fn open(settings: AccountSettings, brand: &str, clock: Clock) -> Result<Self, OpenError> {
        let store = Store::open(settings.database.reveal()).await?;
        let post = mail::Post::new(&settings, &store).map_err(OpenError::Smtp)?;
        Ok(Self {
            store,
            settings: Arc::new(settings),
            clock,
            post,
            brand: brand.into(),
            seen: Arc::new(sessions::Seen::new(10_000)),
            changes: Arc::default(),
        })
    }

    pub(crate) fn settings(&self) -> &AccountSettings {
        &self.settings
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
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

    fn size(self) -> i64 {
        i64::from(Self::SIZE)
    }

    fn offset(self) -> i64 {
        i64::from(self.number - 1) * self.size()
    }
}
