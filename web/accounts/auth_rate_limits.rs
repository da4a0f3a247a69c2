//! Rate limits of sign-in and email, counted in the store, so that a restart does not reset them.

use std::time::Duration;

use jiff::Timestamp;

use super::store::{StoreError, Transaction};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// A maximum number of attempts of one kind within a sliding window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    kind: &'static str,
    max: u32,
    window: Duration,
}

/// Links requested for one address from one network.
pub(super) const LINKS_FOR_ADDRESS: Limit =
    Limit { kind: "link for address", max: 4, window: MINUTE.saturating_mul(15) };
/// Links requested for one address from one network in a day.
pub(super) const LINKS_FOR_ADDRESS_A_DAY: Limit =
    Limit { kind: "link for address", max: 20, window: DAY };
/// Links requested for one address by browsers that never signed in to it, from all networks
/// together. Prevents flooding an inbox.
pub(super) const LINKS_FROM_STRANGERS_A_DAY: Limit =
    Limit { kind: "link from strangers", max: 40, window: DAY };
/// Links requested for an address by one browser that has signed in to it before: a separate
/// budget, which others cannot exhaust.
pub(super) const LINKS_FOR_KNOWN_BROWSER: Limit =
    Limit { kind: "link for known browser", max: 6, window: MINUTE.saturating_mul(15) };
/// Links requested from one network.
pub(super) const LINKS_FROM_NETWORK: Limit =
    Limit { kind: "link from network", max: 30, window: MINUTE.saturating_mul(15) };
/// Invalid links presented from one network.
pub(super) const GUESSES_FROM_NETWORK: Limit =
    Limit { kind: "guess from network", max: 20, window: MINUTE.saturating_mul(15) };
/// Changes of email address requested by one account.
pub(super) const EMAIL_CHANGES: Limit =
    Limit { kind: "e-mail change", max: 5, window: MINUTE.saturating_mul(60) };

impl Limit {
    /// Returns the longest time until another attempt is allowed.
    pub(super) fn wait(self) -> Duration {
        self.window
    }

    /// Returns whether the limit is reached, without counting an attempt.
    pub(super) async fn is_exceeded(
        self,
        tx: &mut Transaction,
        now: Timestamp,
        subject: &str,
    ) -> Result<bool, StoreError> {
        let since = now
            .as_second()
            .saturating_sub(i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX));
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM attempts WHERE kind = $1 AND subject = $2 AND at > $3",
        )
        .bind(self.kind)
        .bind(subject)
        .bind(since)
        .fetch_one(&mut **tx)
        .await?;
        Ok(count >= i64::from(self.max))
    }

    /// Returns the time until another attempt is allowed, that is until the oldest counted attempt
    /// leaves the window.
    pub(super) async fn remaining(
        self,
        tx: &mut Transaction,
        now: Timestamp,
        subject: &str,
    ) -> Result<Duration, StoreError> {
        let since = now
            .as_second()
            .saturating_sub(i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX));
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT min(at) FROM (SELECT at FROM attempts WHERE kind = $1 AND subject = $2 AND at > $3 ORDER BY at DESC LIMIT $4) AS recent",
        )
        .bind(self.kind)
        .bind(subject)
        .bind(since)
        .bind(i64::from(self.max))
        .fetch_one(&mut **tx)
        .await?;
        Ok(Duration::from_secs(oldest.map_or(0, |oldest| (oldest - since).max(1)).unsigned_abs()))
    }

    pub(super) async fn record(
        self,
        tx: &mut Transaction,
        now: Timestamp,
        subject: &str,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT INTO attempts (kind, subject, at) VALUES ($1, $2, $3)");
        insert.bind(self.kind).bind(subject).bind(now.as_second()).execute(&mut **tx).await?;
        Ok(())
    }
}
