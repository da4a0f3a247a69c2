//! How often something may be tried: counted in the store, so that a restart forgives nothing.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;

use super::store::{StoreError, Transaction};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What is counted, how often it may be done, and within which time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    kind: &'static str,
    most: u32,
    within: Duration,
}

/// Links asked for, for one address.
pub(super) const LINKS_FOR_ADDRESS: Limit = Limit { kind: "link for address", most: 4, within: MINUTE.saturating_mul(15) };
/// The same, for a day.
pub(super) const LINKS_FOR_ADDRESS_A_DAY: Limit = Limit { kind: "link for address", most: 20, within: DAY };
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

    /// Counts one attempt.
    pub(super) async fn count(self, turn: &mut Transaction, now: Timestamp, subject: &str) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT INTO attempts (kind, subject, at) VALUES ($1, $2, $3)");
        insert.bind(self.kind).bind(subject).bind(now.as_second()).execute(&mut **turn).await?;
        Ok(())
    }
}

/// What counts as one network: an IPv4 address, or the 64 bits of IPv6 that one customer has to himself.
pub(crate) fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_address_or_one_household() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
