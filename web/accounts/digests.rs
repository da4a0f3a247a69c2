//! Dashboards that are sent by email every week or month. They are written in `crate::digests`.

use std::str::FromStr;

use jiff::{Timestamp, ToSpan as _, Unit, Zoned, ZonedRound, civil::Weekday, tz::TimeZone};
use materia::plan::Plan;
use sqlx::{FromRow, Row};

use super::{
    Accounts,
    account::{Account, word},
    entitlements,
    mailer::{NewMail, RichBody},
    store::{StoreError, StoredRow},
    token,
};
use crate::viewer::Role;

/// The hour of the day at which digests are sent, UTC.
const HOUR: i8 = 6;

/// How often a dashboard is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cadence {
    /// On Mondays.
    Weekly,
    /// On the first day of the month.
    Monthly,
}

impl Cadence {
    pub(crate) const ALL: [Self; 2] = [Self::Weekly, Self::Monthly];

    /// Returns its name in forms and in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Weekly => "Every Monday",
            Self::Monthly => "On the first of each month",
        }
    }

    /// Returns when the next digest after `now` is due.
    pub(crate) fn next(self, now: Timestamp) -> Timestamp {
        let now = now.to_zoned(TimeZone::UTC);
        let next = match self {
            Self::Weekly => now.nth_weekday(1, Weekday::Monday),
            Self::Monthly => now.first_of_month().and_then(|first| first.checked_add(1.month())),
        };
        let at = |day: Zoned| {
            day.round(ZonedRound::new().smallest(Unit::Day).mode(jiff::RoundMode::Trunc))?
                .checked_add(i64::from(HOUR).hours())
        };
        next.and_then(at).map_or_else(|_| now.timestamp() + 7.hours() * 24, |at| at.timestamp())
    }
}

impl FromStr for Cadence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|cadence| cadence.name() == text);
        found.ok_or_else(|| format!("{text:?} is not a cadence; use weekly or monthly"))
    }
}

/// A dashboard that is sent regularly.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct DigestSubscription {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) account: String,
    pub(crate) dashboard: String,
    pub(crate) title: String,
    pub(crate) query: String,
    /// The filters in words.
    pub(crate) summary: String,
    pub(crate) cadence: Cadence,
    pub(crate) due_at: Timestamp,
    pub(crate) sent_at: Option<Timestamp>,
    /// Why the last one was not sent.
    pub(crate) problem: String,
}

impl FromRow<'_, StoredRow> for DigestSubscription {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            dashboard: row.try_get("dashboard")?,
            title: row.try_get("title")?,
            query: row.try_get("query")?,
            summary: row.try_get("summary")?,
            cadence: word(row, "cadence")?,
            due_at: super::time(row.try_get("due_at")?),
            sent_at: row.try_get::<Option<i64>, _>("sent_at")?.map(super::time),
            problem: row.try_get("problem")?,
        })
    }
}

/// A subscription that is due, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DueDigest {
    pub(crate) digest: DigestSubscription,
    pub(crate) email: String,
    pub(crate) role: Role,
    /// The plan that applies.
    pub(crate) plan: Plan,
    pub(crate) is_suspended: bool,
}

impl FromRow<'_, StoredRow> for DueDigest {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        let role = word(row, "role")?;
        Ok(Self {
            digest: DigestSubscription::from_row(row)?,
            email: row.try_get("email")?,
            role,
            plan: if role == Role::Admin { Plan::Pro } else { word(row, "plan")? },
            is_suspended: row.try_get::<Option<i64>, _>("suspended_at")?.is_some(),
        })
    }
}

/// A digest that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DigestMail {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) rich: RichBody,
}

/// Why a subscription was not created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DigestError {
    #[error("digests are not included in your plan")]
    NotIncluded,
    #[error(
        "your plan includes {0} digests, and you have all of them; delete one you no longer need"
    )]
    TooMany(u32),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DigestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Accounts {
    /// Subscribes an account to a dashboard; the same subscription again changes nothing.
    pub(crate) async fn subscribe(
        &self,
        account: &Account,
        digest: DigestSubscription,
    ) -> Result<(), DigestError> {
        let plan = if account.role == Role::Admin { Plan::Pro } else { account.plan };
        let included = entitlements(plan).alerts;
        if included == 0 {
            return Err(DigestError::NotIncluded);
        }
        let mut tx = self.store.begin_write().await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM digests WHERE account = $1");
        let count: i64 = count.bind(&account.id).fetch_one(&mut *tx).await?;
        if count >= i64::from(included) {
            return Err(DigestError::TooMany(included));
        }
        let now = self.now();
        sqlx::query(
            "INSERT INTO digests (id, account, dashboard, title, query, summary, cadence, created_at, due_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (account, dashboard, query, cadence) DO NOTHING",
        )
        .bind(token::random_id()?)
        .bind(&account.id)
        .bind(digest.dashboard)
        .bind(digest.title)
        .bind(digest.query)
        .bind(digest.summary)
        .bind(digest.cadence.name())
        .bind(now.as_second())
        .bind(digest.cadence.next(now).as_second())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Returns the subscriptions of an account.
    pub(crate) async fn digests(
        &self,
        account: &str,
    ) -> Result<Vec<DigestSubscription>, StoreError> {
        let select =
            sqlx::query_as("SELECT * FROM digests WHERE account = $1 ORDER BY created_at, id");
        Ok(select.bind(account).fetch_all(self.store.pool()).await?)
    }

    /// Ends a subscription. Returns whether the account had it.
    pub(crate) async fn unsubscribe(&self, account: &str, id: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM digests WHERE account = $1 AND id = $2");
        let delete = delete.bind(account).bind(id).execute(self.store.pool()).await?;
        Ok(delete.rows_affected() > 0)
    }

    /// Returns the subscriptions that are due.
    pub(crate) async fn due_digests(&self) -> Result<Vec<DueDigest>, StoreError> {
        let select = sqlx::query_as(
            "SELECT digests.*, accounts.email AS email, accounts.role AS role, accounts.plan AS plan, accounts.suspended_at AS suspended_at
             FROM digests JOIN accounts ON accounts.id = digests.account WHERE due_at <= $1 ORDER BY due_at, digests.id",
        );
        Ok(select.bind(self.now().as_second()).fetch_all(self.store.pool()).await?)
    }

    /// Records that a digest was written or why it was not, and sends it. If another server was
    /// faster, nothing happens.
    pub(crate) async fn record_digest(
        &self,
        due: &DueDigest,
        written: Result<DigestMail, String>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut tx = self.store.begin_write().await?;
        let problem = written.as_ref().err().cloned().unwrap_or_default();
        let claimed = sqlx::query(
            "UPDATE digests SET due_at = $1, problem = $2, sent_at = CASE WHEN $3 = 1 THEN $4 ELSE sent_at END WHERE id = $5 AND due_at = $6",
        );
        let claimed = claimed
            .bind(due.digest.cadence.next(now).as_second())
            .bind(problem)
            .bind(i64::from(written.is_ok()))
            .bind(now.as_second())
            .bind(&due.digest.id)
            .bind(due.digest.due_at.as_second())
            .execute(&mut *tx)
            .await?;
        if claimed.rows_affected() == 0 {
            return Ok(());
        }
        let mut mail = None;
        if let Ok(written) = written
            && self.sends_mail()
            && let Ok(to) = due.email.parse()
        {
            let DigestMail { subject, text, rich } = written;
            let new = NewMail { to, subject, text, token: None };
            mail = Some(self.mailer.enqueue_rich(&mut tx, now, new, Some(rich)).await?);
        }
        tx.commit().await?;
        self.send(mail).await;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_due_on_monday_and_on_the_first() {
        let next = |cadence: Cadence, now: &str| cadence.next(now.parse().unwrap()).to_string();
        assert_eq!(next(Cadence::Weekly, "2026-03-01T12:00:00Z"), "2026-03-02T06:00:00Z");
        assert_eq!(next(Cadence::Weekly, "2026-03-02T05:59:59Z"), "2026-03-09T06:00:00Z");
        assert_eq!(next(Cadence::Weekly, "2026-03-02T06:00:00Z"), "2026-03-09T06:00:00Z");
        assert_eq!(next(Cadence::Monthly, "2026-12-31T23:00:00Z"), "2027-01-01T06:00:00Z");
        assert_eq!(next(Cadence::Monthly, "2026-01-31T00:00:00Z"), "2026-02-01T06:00:00Z");
    }
}
