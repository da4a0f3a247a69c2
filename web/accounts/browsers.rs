//! Browsers that are recognized when they come back: by a random cookie, of which only the hash is stored.
//!
//! It proves nothing about who is sitting there and signs nobody in. It gives a browser that signed in before a share of its own of the links
//! that are sent to an address, so that strangers cannot use them up, and lets the second click of a double click get in.

use jiff::{SignedDuration, Timestamp};

use super::{
    email::Email,
    secret::{Token, TokenHash},
    store::{StoreError, Transaction},
};

/// How long a browser is known after its last sign-in.
pub(super) const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// What a browser sends along: its session, and what it is recognized by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cookies {
    /// The session id.
    pub(crate) session: Option<Token>,
    /// What the browser is recognized by.
    pub(crate) browser: Option<Token>,
}

impl Cookies {
    /// The hash under which the browser is stored.
    pub(super) fn browser_hash(&self) -> Option<TokenHash> {
        self.browser.as_ref().map(Token::hash)
    }
}

/// Records that a browser has signed in to an account.
pub(super) async fn remember(turn: &mut Transaction, now: Timestamp, browser: &TokenHash, account: &str) -> Result<(), StoreError> {
    let insert = "INSERT INTO known_browsers (browser, account, seen_at) VALUES ($1, $2, $3)
                  ON CONFLICT (browser, account) DO UPDATE SET seen_at = $3";
    sqlx::query(insert).bind(browser.as_str()).bind(account).bind(now.as_second()).execute(&mut **turn).await?;
    Ok(())
}

/// Whether a browser has signed in to the account of an address before.
pub(super) async fn is_known(turn: &mut Transaction, now: Timestamp, browser: &TokenHash, email: &Email) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM known_browsers JOIN accounts ON accounts.id = known_browsers.account
                  WHERE browser = $1 AND accounts.email = $2 AND seen_at > $3";
    let since = now.checked_sub(KNOWN_FOR).unwrap_or(Timestamp::MIN);
    let found = sqlx::query(select).bind(browser.as_str()).bind(email.as_str()).bind(since.as_second());
    Ok(found.fetch_optional(&mut **turn).await?.is_some())
}

/// Forgets every browser of an account: what somebody else may have used is a stranger from now on.
pub(super) async fn forget(turn: &mut Transaction, account: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM known_browsers WHERE account = $1").bind(account).execute(&mut **turn).await?;
    Ok(())
}
