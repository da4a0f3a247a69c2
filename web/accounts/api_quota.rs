//! The daily quota of API requests, counted for an account over all its keys and all servers.
//!
//! A server leases a hundredth of the remaining quota from the store and grants requests from its
//! lease: the quota is never exceeded, however many servers there are, and few requests write.
//! Leases shrink with the remaining quota; the last hundred requests are leased one by one. An idle
//! lease is returned within two minutes; a server that dies loses its lease.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{
    Accounts,
    api_keys::{KeyError, Quota},
    store::StoreError,
};

const DAY: i64 = 86_400;
/// The divisor of the remaining quota that determines the size of a lease.
const LEASE_FRACTION: u32 = 100;
/// A lease unused for this long is returned.
const LEASE_IDLE_SECONDS: i64 = 60;
/// How long an account is known to have used up its quota before the store is queried again.
const EXHAUSTED_TTL_SECONDS: i64 = 1;

/// The part of an account's daily quota that this server has leased.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct QuotaLease {
    day: i64,
    limit: u32,
    /// Requests leased but not yet granted.
    leased: u32,
    /// The quota that remained in the store after the lease.
    remaining: u32,
    used_at: i64,
    leased_at: i64,
}

impl QuotaLease {
    fn take_one(&mut self, second: i64) -> Option<u32> {
        self.leased = self.leased.checked_sub(1)?;
        self.used_at = second;
        Some(self.leased + self.remaining)
    }
}

impl Accounts {
    /// Counts a request of an account that may make `limit` requests a day.
    pub(super) async fn consume(
        &self,
        account: &str,
        limit: u32,
        now: Timestamp,
    ) -> Result<Quota, KeyError> {
        let (second, day) = (now.as_second(), now.as_second().div_euclid(DAY));
        let reset = u32::try_from((day + 1) * DAY - second).unwrap_or_default();
        let used_up = KeyError::QuotaExceeded(Quota { limit, remaining: 0, reset });
        let known = |lease: &&mut QuotaLease| lease.day == day && lease.limit == limit;
        if let Some(lease) = self.quota_leases().get_mut(account).filter(known) {
            if let Some(remaining) = lease.take_one(second) {
                return Ok(Quota { limit, remaining, reset });
            }
            if lease.remaining == 0
                && (lease.leased_at..lease.leased_at + EXHAUSTED_TTL_SECONDS).contains(&second)
            {
                return Err(used_up);
            }
        }
        let mut tx = self.store.begin_write().await?;
        // A request that waited for the write lock may find a lease acquired by the one before it.
        if let Some(remaining) = self
            .quota_leases()
            .get_mut(account)
            .filter(known)
            .and_then(|lease| lease.take_one(second))
        {
            return Ok(Quota { limit, remaining, reset });
        }
        let before = self.quota_leases().remove(account).filter(|lease| lease.day == day);
        let select =
            sqlx::query_scalar("SELECT requests FROM api_usage WHERE account = $1 AND day = $2");
        let counted: Option<i64> = select.bind(account).bind(day).fetch_optional(&mut *tx).await?;
        // If the plan has changed, requests leased under the previous one are returned.
        let back = i64::from(before.map_or(0, |lease| lease.leased));
        let remaining =
            u32::try_from((i64::from(limit) - counted.unwrap_or(0) + back).max(0)).unwrap_or(limit);
        let leased = remaining.div_ceil(LEASE_FRACTION);
        let upsert = "INSERT INTO api_usage (account, day, requests) SELECT id, $2, $3 FROM accounts WHERE id = $1
                      ON CONFLICT (account, day) DO UPDATE SET requests = api_usage.requests + $3";
        sqlx::query(upsert)
            .bind(account)
            .bind(day)
            .bind(i64::from(leased) - back)
            .execute(&mut *tx)
            .await?;
        let _permit = tx.commit_and_keep_permit().await?;
        let mut lease = QuotaLease {
            day,
            limit,
            leased,
            remaining: remaining - leased,
            used_at: second,
            leased_at: second,
        };
        let granted = lease.take_one(second);
        self.quota_leases().insert(account.to_owned(), lease);
        granted.map(|remaining| Quota { limit, remaining, reset }).ok_or(used_up)
    }

    /// Returns idle leases, or all of them, to the store.
    pub(crate) async fn release_unused(&self, everything: bool) -> Result<(), StoreError> {
        let now = self.now().as_second();
        let idle: Vec<_> = {
            let mut lease = self.quota_leases();
            lease
                .extract_if(|_, lease| everything || now - lease.used_at >= LEASE_IDLE_SECONDS)
                .filter(|(_, lease)| lease.leased > 0)
                .collect()
        };
        for (account, lease) in idle {
            let update = sqlx::query(
                "UPDATE api_usage SET requests = requests - $3 WHERE account = $1 AND day = $2",
            );
            update
                .bind(account)
                .bind(lease.day)
                .bind(i64::from(lease.leased))
                .execute(self.store.pool())
                .await?;
        }
        Ok(())
    }

    fn quota_leases(&self) -> MutexGuard<'_, HashMap<String, QuotaLease>> {
        self.quota_leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
