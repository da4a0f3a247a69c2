//! How often something may be tried: counted in the store, so that a restart forgives nothing.

use std::time::Duration;

use jiff::Timestamp;

use super::store::{StoreError, Transaction};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// What is counted, how often it may be done, and within which time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    kind: &'static str,
    most: u32,
    within: Duration,
}

/// Links requested for one address from one network.
pub(super) const LINKS_FOR_ADDRESS: Limit = Limit { kind: "link for address", most: 4, within: MINUTE.saturating_mul(15) };
/// The same, for a day.
pub(super) const LINKS_FOR_ADDRESS_A_DAY: Limit = Limit { kind: "link for address", most: 20, within: DAY };
/// Links requested for one address by browsers that never signed in to it, from all networks together: an inbox is not flooded.
pub(super) const LINKS_FROM_STRANGERS_A_DAY: Limit = Limit { kind: "link from strangers", most: 40, within: DAY };
/// Links requested for an address by one browser that has signed in to it: strangers cannot use these up.
pub(super) const LINKS_FOR_KNOWN_BROWSER: Limit = Limit { kind: "link for known browser", most: 6, within: MINUTE.saturating_mul(15) };
/// Links asked for, from one network.
pub(super) const LINKS_FROM_NETWORK: Limit = Limit { kind: "link from network", most: 30, within: MINUTE.saturating_mul(15) };
/// Links presented that do not work, from one network.
pub(super) const GUESSES_FROM_NETWORK: Limit = Limit { kind: "guess from network", most: 20, within: MINUTE.saturating_mul(15) };
/// Changes of address asked for, by one account.
pub(super) const EMAIL_CHANGES: Limit = Limit { kind: "e-mail change", most: 5, within: MINUTE.saturating_mul(60) };

impl Limit {
    /// How long to wait at most until it may be tried again.
    pub(super) fn wait(self) -> Duration {
        self.within
    }

    /// Whether it may not be tried any more. Counts nothing.
    pub(super) async fn reached(self, turn: &mut Transaction, now: Timestamp, subject: &str) -> Result<bool, StoreError> {
        let since = now.as_second().saturating_sub(i64::try_from(self.within.as_secs()).unwrap_or(i64::MAX));
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM attempts WHERE kind = $1 AND subject = $2 AND at > $3")
            .bind(self.kind)
            .bind(subject)
            .bind(since)
            .fetch_one(&mut **turn)
            .await?;
        Ok(count >= i64::from(self.most))
    }

    /// How long until it may be tried again: until the oldest of the attempts that count is too old to.
    pub(super) async fn remaining(self, turn: &mut Transaction, now: Timestamp, subject: &str) -> Result<Duration, StoreError> {
        let since = now.as_second().saturating_sub(i64::try_from(self.within.as_secs()).unwrap_or(i64::MAX));
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT min(at) FROM (SELECT at FROM attempts WHERE kind = $1 AND subject = $2 AND at > $3 ORDER BY at DESC LIMIT $4) AS recent",
        )
        .bind(self.kind)
        .bind(subject)
        .bind(since)
        .bind(i64::from(self.most))
        .fetch_one(&mut **turn)
        .await?;
        Ok(Duration::from_secs(oldest.map_or(0, |oldest| (oldest - since).max(1)).unsigned_abs()))
    }

    /// Counts one attempt.
    pub(super) async fn count(self, turn: &mut Transaction, now: Timestamp, subject: &str) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT INTO attempts (kind, subject, at) VALUES ($1, $2, $3)");
        insert.bind(self.kind).bind(subject).bind(now.as_second()).execute(&mut **turn).await?;
        Ok(())
    }
}
