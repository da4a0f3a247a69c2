//! How the site is used, by day: accounts and sessions, sign-ups, changes of plans, and which dashboards are opened.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row;

use super::{
    Accounts,
    store::{StoreError, StoredRow, Transaction},
};

const DAY_SECONDS: i64 = 86_400;
/// How long views are stored, in days.
const MAX_AGE_DAYS: i64 = 400;

/// Counts by day: a list with one number for each of the last days, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// The days, as the first moment of each.
    pub(crate) days: Vec<Timestamp>,
    /// Accounts with at least one request.
    pub(crate) accounts: Vec<u64>,
    /// Sessions with at least one request; an account may have several.
    pub(crate) sessions: Vec<u64>,
    pub(crate) sign_ups: Vec<u64>,
    pub(crate) plan_changes: Vec<u64>,
    /// The views of each dashboard, the most viewed first.
    pub(crate) views: Vec<(String, Vec<u64>)>,
}

/// Returns the day of a moment, in days since 1970.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS)
}

/// Counts a session on its first use of a day, and its account if no other session of it was used
/// on that day.
pub(super) async fn count_session(
    tx: &mut Transaction,
    account: &str,
    id_hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let day = day_of(now);
    let others = sqlx::query_scalar(
        "SELECT count(*) FROM sessions WHERE account = $1 AND id_hash <> $2 AND seen_at >= $3",
    );
    let others: i64 =
        others.bind(account).bind(id_hash).bind(day * DAY_SECONDS).fetch_one(&mut **tx).await?;
    let insert = sqlx::query(
        "INSERT INTO activity (day, sessions, accounts) VALUES ($1, 1, $2)
         ON CONFLICT (day) DO UPDATE SET sessions = activity.sessions + 1, accounts = activity.accounts + $2",
    );
    insert.bind(day).bind(i64::from(others == 0)).execute(&mut **tx).await?;
    Ok(())
}

impl Accounts {
    /// Adds views of dashboards to those of today, and removes those of more than a year ago.
    pub(crate) async fn add_dashboard_views(
        &self,
        views: &BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        if views.is_empty() {
            return Ok(());
        }
        let today = day_of(self.now());
        let mut tx = self.store.begin_write().await?;
        for (dashboard, count) in views {
            let insert = sqlx::query(
                "INSERT INTO dashboard_views (day, dashboard, views) VALUES ($1, $2, $3)
                 ON CONFLICT (day, dashboard) DO UPDATE SET views = dashboard_views.views + $3",
            );
            let insert = insert.bind(today).bind(dashboard);
            insert.bind(i64::try_from(*count).unwrap_or(i64::MAX)).execute(&mut *tx).await?;
        }
        let delete = sqlx::query("DELETE FROM dashboard_views WHERE day < $1");
        delete.bind(today - MAX_AGE_DAYS).execute(&mut *tx).await?;
        let delete = sqlx::query("DELETE FROM activity WHERE day < $1");
        delete.bind(today - MAX_AGE_DAYS).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Returns the counts of the last days, today included.
    pub(crate) async fn usage(&self, days: u16) -> Result<Usage, StoreError> {
        let today = day_of(self.now());
        let first = today - i64::from(days) + 1;
        let since = first * DAY_SECONDS;
        let by_day = |rows: Vec<StoredRow>| {
            let mut counts = vec![0_u64; usize::from(days)];
            for row in rows {
                let (day, count): (i64, i64) = (row.try_get("day")?, row.try_get("number")?);
                let place = usize::try_from(day - first).ok();
                if let Some(slot) = place.and_then(|place| counts.get_mut(place)) {
                    *slot += count.unsigned_abs();
                }
            }
            Ok::<_, StoreError>(counts)
        };
        let sign_ups = sqlx::query(
            "SELECT created_at / 86400 AS day, count(*) AS number FROM accounts WHERE created_at >= $1 GROUP BY created_at / 86400",
        );
        let changes = sqlx::query(
            "SELECT at / 86400 AS day, count(*) AS number FROM audit_log WHERE action = 'plan changed' AND at >= $1 GROUP BY at / 86400",
        );
        let accounts = sqlx::query("SELECT day, accounts AS number FROM activity WHERE day >= $1");
        let sessions = sqlx::query("SELECT day, sessions AS number FROM activity WHERE day >= $1");
        let views = sqlx::query(
            "SELECT dashboard, day, views AS number FROM dashboard_views WHERE day >= $1 ORDER BY dashboard, day",
        );
        let pool = self.store.pool();
        let mut of_dashboard = BTreeMap::<String, Vec<StoredRow>>::new();
        for row in views.bind(first).fetch_all(pool).await? {
            of_dashboard.entry(row.try_get("dashboard")?).or_default().push(row);
        }
        let views = of_dashboard.into_iter().map(|(slug, rows)| Ok((slug, by_day(rows)?)));
        let mut views = views.collect::<Result<Vec<_>, StoreError>>()?;
        views.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
        Ok(Usage {
            days: (first..=today).map(|day| super::time(day * DAY_SECONDS)).collect(),
            accounts: by_day(accounts.bind(first).fetch_all(pool).await?)?,
            sessions: by_day(sessions.bind(first).fetch_all(pool).await?)?,
            sign_ups: by_day(sign_ups.bind(since).fetch_all(pool).await?)?,
            plan_changes: by_day(changes.bind(since).fetch_all(pool).await?)?,
            views,
        })
    }

    /// Returns the reason that an operator gave for suspending an account, if any.
    pub(crate) async fn suspension_reason(
        &self,
        account: &str,
    ) -> Result<Option<String>, StoreError> {
        let rows = self.audit_log_of(account).await?;
        let last = rows.iter().find(|row| row.action == "suspended");
        Ok(last.and_then(|row| row.detail.strip_prefix("reason: ").map(str::to_owned)))
    }
}
