//! Browsers recognized by a random cookie, of which only the hash is stored.
//!
//! The cookie proves no identity and signs nobody in. It gives a browser that has signed in before
//! a separate budget for links to an address, which others cannot exhaust, and it lets the second
//! click of a double click succeed.

use jiff::{SignedDuration, Timestamp};

use super::{
    email::Email,
    store::{StoreError, Transaction},
    token::{Token, TokenHash},
};

/// How long a browser is recognized after its last sign-in.
pub(super) const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The tokens in a browser's cookies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cookies {
    /// The session id.
    pub(crate) session: Option<Token>,
    /// The token that identifies the browser.
    pub(crate) browser: Option<Token>,
}

impl Cookies {
    /// Returns the hash under which the browser is stored.
    pub(super) fn browser_hash(&self) -> Option<TokenHash> {
        self.browser.as_ref().map(Token::hash)
    }
}

/// Records that a browser has signed in to an account.
pub(super) async fn remember(
    tx: &mut Transaction,
    now: Timestamp,
    browser: &TokenHash,
    account: &str,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO known_browsers (browser, account, seen_at) VALUES ($1, $2, $3)
                  ON CONFLICT (browser, account) DO UPDATE SET seen_at = $3";
    sqlx::query(insert)
        .bind(browser.as_str())
        .bind(account)
        .bind(now.as_second())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns whether a browser has signed in to the account of an address before.
pub(super) async fn is_known(
    tx: &mut Transaction,
    now: Timestamp,
    browser: &TokenHash,
    email: &Email,
) -> Result<bool, StoreError> {
    let select =
        "SELECT 1 FROM known_browsers JOIN accounts ON accounts.id = known_browsers.account
                  WHERE browser = $1 AND accounts.email = $2 AND seen_at > $3";
    let since = now.checked_sub(KNOWN_FOR).unwrap_or(Timestamp::MIN);
    let found =
        sqlx::query(select).bind(browser.as_str()).bind(email.as_str()).bind(since.as_second());
    Ok(found.fetch_optional(&mut **tx).await?.is_some())
}

/// Forgets every browser of an account, since the person who used it may no longer be the owner.
pub(super) async fn forget(tx: &mut Transaction, account: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM known_browsers WHERE account = $1")
        .bind(account)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
