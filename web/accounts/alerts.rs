//! Rules about figures: what customers want to know, what was seen last, and the messages that
//! are on their way. They are evaluated in `crate::alerts`.

use std::{collections::BTreeMap, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::{FromRow, Row};

use super::{
    Accounts, Pagination,
    account::{Account, word},
    entitlements,
    mailer::{NewMail, RichBody},
    store::{StoreError, StoredRow},
    token,
};
use crate::viewer::Role;

/// The delay before each further attempt to reach a webhook, in seconds.
const RETRY_DELAYS: [i64; 5] = [60, 600, 3_600, 6 * 3_600, 24 * 3_600];
/// How long a message belongs to the server that sends it, in seconds.
const LEASE_SECONDS: i64 = 60;
/// The longest webhook URL, in bytes.
const MAX_WEBHOOK: usize = 500;

/// When a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertCondition {
    /// A figure rises above the threshold.
    Above,
    /// A figure falls below the threshold.
    Below,
    /// A figure differs by at least the threshold from when the rule last fired.
    Changes,
    /// A table has rows that it did not have.
    NewRows,
    /// A table that the dashboard reads has changed.
    Updated,
}

impl AlertCondition {
    pub(crate) const ALL: [Self; 5] =
        [Self::Above, Self::Below, Self::Changes, Self::NewRows, Self::Updated];

    /// Returns its name in forms and in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::Changes => "changes",
            Self::NewRows => "new_rows",
            Self::Updated => "updated",
        }
    }

    /// Returns it in words, before a threshold.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Above => "is above",
            Self::Below => "is below",
            Self::Changes => "changes by",
            Self::NewRows => "has new rows",
            Self::Updated => "is updated",
        }
    }
}

impl FromStr for AlertCondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|condition| condition.name() == text);
        found.ok_or_else(|| {
            format!("{text:?} is not a condition; use above, below, changes, new_rows or updated")
        })
    }
}

/// A number to compare with, or a share of the compared figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) value: f64,
    pub(crate) is_percent: bool,
}

impl FromStr for Threshold {
    type Err = ();

    /// Parses `1,250.5`, `-3` or `5%`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim().replace([',', '\u{a0}', ' '], "").replace('\u{2212}', "-");
        let (number, is_percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text.as_str(), false),
        };
        let value: f64 = number.parse().map_err(drop)?;
        if value.is_finite() { Ok(Self { value, is_percent }) } else { Err(()) }
    }
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct AlertRule {
    pub(crate) dashboard: String,
    /// The panel's name in addresses; empty for the whole dashboard.
    pub(crate) panel: String,
    /// The column of a table's panel; empty for a stat.
    pub(crate) field: String,
    /// What it is about, in words.
    pub(crate) title: String,
    /// The filters in words.
    pub(crate) summary: String,
    pub(crate) query: String,
    pub(crate) condition: AlertCondition,
    /// As it was typed; empty for new rows and updates.
    pub(crate) threshold: String,
}

/// A rule about a figure, and what is known of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Alert {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) account: String,
    #[serde(flatten)]
    pub(crate) rule: AlertRule,
    pub(crate) by_mail: bool,
    pub(crate) webhook: String,
    #[serde(skip)]
    pub(crate) secret: String,
    pub(crate) is_paused: bool,
    pub(crate) created_at: Timestamp,
    /// The generation for which it was evaluated last.
    #[serde(skip)]
    pub(crate) evaluated: String,
    /// What was seen last.
    #[serde(skip)]
    pub(crate) seen: Seen,
    pub(crate) fired_at: Option<Timestamp>,
    /// Why it cannot be evaluated or delivered.
    pub(crate) problem: String,
}

/// The figures that a rule saw, by row; those of a stat under an empty name.
pub(crate) type Seen = BTreeMap<String, Option<f64>>;

impl FromRow<'_, StoredRow> for Alert {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        let flag = |column: &str| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)? != 0);
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            rule: AlertRule {
                dashboard: row.try_get("dashboard")?,
                panel: row.try_get("panel")?,
                field: row.try_get("field")?,
                title: row.try_get("title")?,
                summary: row.try_get("summary")?,
                query: row.try_get("query")?,
                condition: word(row, "condition")?,
                threshold: row.try_get("threshold")?,
            },
            by_mail: flag("by_mail")?,
            webhook: row.try_get("webhook")?,
            secret: row.try_get("secret")?,
            is_paused: flag("is_paused")?,
            created_at: super::time(row.try_get("created_at")?),
            evaluated: row.try_get("evaluated")?,
            seen: serde_json::from_str(&state).unwrap_or_default(),
            fired_at: row.try_get::<Option<i64>, _>("fired_at")?.map(super::time),
            problem: row.try_get("problem")?,
        })
    }
}

impl AlertRule {
    /// Returns the rule in words.
    pub(crate) fn in_words(&self) -> String {
        let text = format!("{} {} {}", self.title, self.condition.label(), self.threshold);
        text.trim_end().to_owned()
    }

    /// Returns the address of the panel that it is about.
    pub(crate) fn address(&self) -> String {
        let page = super::dashboard_address(&self.dashboard, &self.query);
        if self.panel.is_empty() { page } else { format!("{page}#panel-{}", self.panel) }
    }
}

/// A rule to be created.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewAlert {
    pub(crate) rule: AlertRule,
    pub(crate) by_mail: bool,
    pub(crate) webhook: String,
    /// The generation and the figures when it is created.
    pub(crate) evaluated: String,
    pub(crate) seen: Seen,
}

/// Why a rule was not created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    #[error("alerts are not included in your plan")]
    NotIncluded,
    #[error(
        "your plan includes {0} alerts, and you have all of them; delete one you no longer need"
    )]
    TooMany(u32),
    #[error("write the threshold as a number, such as 1,250 or 2.5")]
    NoThreshold,
    #[error("a threshold in percent is for \u{201c}changes by\u{201d}; write a number")]
    Percent,
    #[error("a change is larger than 0")]
    NoChange,
    #[error("choose email, a webhook, or both")]
    Nowhere,
    #[error("the webhook must be an https:// URL of at most {MAX_WEBHOOK} characters")]
    Webhook,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for AlertError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A rule and the account that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnedAlert {
    pub(crate) alert: Alert,
    pub(crate) email: String,
    pub(crate) plan: Plan,
    pub(crate) role: Role,
    pub(crate) is_suspended: bool,
    /// Its number among the rules of the account, from 0, the oldest first.
    pub(crate) number: u32,
}

impl FromRow<'_, StoredRow> for OwnedAlert {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            alert: Alert::from_row(row)?,
            email: row.try_get("email")?,
            plan: word(row, "plan")?,
            role: word(row, "role")?,
            is_suspended: row.try_get::<Option<i64>, _>("suspended_at")?.is_some(),
            number: u32::try_from(row.try_get::<i64, _>("number")?).unwrap_or(u32::MAX),
        })
    }
}

impl OwnedAlert {
    /// Returns the plan that applies: admins see everything.
    pub(crate) fn effective_plan(&self) -> Plan {
        if self.role == Role::Admin { Plan::Pro } else { self.plan }
    }

    /// Returns why the rule is not evaluated, unless its owner paused it.
    pub(crate) fn suspension(&self) -> Option<&'static str> {
        let included = entitlements(self.effective_plan()).alerts;
        if self.is_suspended {
            Some("Paused: the account is suspended.")
        } else if self.number >= included {
            Some("Paused: the plan no longer includes it. Choose a larger plan to resume it.")
        } else {
            None
        }
    }
}

/// The outcome of evaluating a rule for a generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evaluation {
    pub(crate) generation: String,
    pub(crate) seen: Seen,
    /// The message, if the rule fired.
    pub(crate) news: Option<AlertNews>,
    /// Why it could not be evaluated.
    pub(crate) problem: String,
}

/// The content of a message about a rule that fired.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AlertNews {
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The message to the webhook, as JSON.
    pub(crate) body: String,
    /// The address that ends the emails.
    pub(crate) unsubscribe: String,
}

/// A message to a webhook, leased by this server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WebhookMessage {
    pub(crate) id: String,
    pub(crate) alert: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) body: String,
    attempts: i64,
}

/// Alerts with their owners; `number` counts those of one account.
const OWNED: &str = "SELECT alerts.*, accounts.email AS email, accounts.plan AS plan, accounts.role AS role, accounts.suspended_at AS suspended_at,
    (SELECT count(*) FROM alerts AS older WHERE older.account = alerts.account
     AND (older.created_at < alerts.created_at OR (older.created_at = alerts.created_at AND older.id < alerts.id))) AS number
    FROM alerts JOIN accounts ON accounts.id = alerts.account";

impl Accounts {
    /// Checks a rule and stores it.
    pub(crate) async fn create_alert(
        &self,
        account: &Account,
        new: NewAlert,
    ) -> Result<(), AlertError> {
        let plan = if account.role == Role::Admin { Plan::Pro } else { account.plan };
        let included = entitlements(plan).alerts;
        if included == 0 {
            return Err(AlertError::NotIncluded);
        }
        let threshold = check(&new, self.settings.debug)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(StoreError::from)?;
        let secret = if new.webhook.is_empty() {
            String::new()
        } else {
            format!("whsec_{}", STANDARD.encode(key))
        };
        let mut tx = self.store.begin_write().await?;
        let count = sqlx::query_scalar("SELECT count(*) FROM alerts WHERE account = $1");
        let count: i64 = count.bind(&account.id).fetch_one(&mut *tx).await?;
        if count >= i64::from(included) {
            return Err(AlertError::TooMany(included));
        }
        sqlx::query(
            "INSERT INTO alerts (id, account, dashboard, panel, field, title, summary, query, condition, threshold, by_mail, webhook, secret, created_at, evaluated, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(token::random_id()?)
        .bind(&account.id)
        .bind(new.rule.dashboard)
        .bind(new.rule.panel)
        .bind(new.rule.field)
        .bind(new.rule.title)
        .bind(new.rule.summary)
        .bind(new.rule.query)
        .bind(new.rule.condition.name())
        .bind(threshold)
        .bind(i64::from(new.by_mail))
        .bind(new.webhook)
        .bind(secret)
        .bind(self.now().as_second())
        .bind(new.evaluated)
        .bind(state_text(&new.seen))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Returns the rules of an account, the oldest first.
    pub(crate) async fn alerts(&self, account: &str) -> Result<Vec<OwnedAlert>, StoreError> {
        let select = sqlx::AssertSqlSafe(format!(
            "{OWNED} WHERE alerts.account = $1 ORDER BY alerts.created_at, alerts.id"
        ));
        Ok(sqlx::query_as(select).bind(account).fetch_all(self.store.pool()).await?)
    }

    /// Returns a page of all rules, those that fired last first, and how many there are.
    pub(crate) async fn all_alerts(
        &self,
        page: Pagination,
    ) -> Result<(Vec<OwnedAlert>, u64), StoreError> {
        let select = sqlx::AssertSqlSafe(format!(
            "{OWNED} ORDER BY coalesce(alerts.fired_at, 0) DESC, accounts.email, alerts.created_at, alerts.id LIMIT $1 OFFSET $2"
        ));
        let rows = sqlx::query_as(select)
            .bind(Pagination::size())
            .bind(page.offset())
            .fetch_all(self.store.pool())
            .await?;
        let total: i64 =
            sqlx::query_scalar("SELECT count(*) FROM alerts").fetch_one(self.store.pool()).await?;
        Ok((rows, total.unsigned_abs()))
    }

    /// Returns the rules that have not been evaluated for a generation and are not paused.
    pub(crate) async fn due_alerts(&self, generation: &str) -> Result<Vec<OwnedAlert>, StoreError> {
        let select = sqlx::AssertSqlSafe(format!(
            "{OWNED} WHERE alerts.evaluated <> $1 AND alerts.is_paused = 0 ORDER BY alerts.created_at, alerts.id"
        ));
        Ok(sqlx::query_as(select).bind(generation).fetch_all(self.store.pool()).await?)
    }

    /// Pauses a rule or resumes it. Returns whether the account has it.
    pub(crate) async fn pause_alert(
        &self,
        account: &str,
        id: &str,
        is_paused: bool,
    ) -> Result<bool, StoreError> {
        let update = sqlx::query("UPDATE alerts SET is_paused = $1 WHERE account = $2 AND id = $3");
        let update = update.bind(i64::from(is_paused)).bind(account).bind(id);
        Ok(update.execute(self.store.pool()).await?.rows_affected() > 0)
    }

    /// Deletes a rule and the messages that are on their way. Returns whether the account had it.
    pub(crate) async fn delete_alert(&self, account: &str, id: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM alerts WHERE account = $1 AND id = $2");
        let delete = delete.bind(account).bind(id).execute(self.store.pool()).await?;
        Ok(delete.rows_affected() > 0)
    }

    /// Records the outcome of an evaluation, and sends its news. If another server was faster,
    /// nothing happens.
    pub(crate) async fn record_evaluation(
        &self,
        owned: &OwnedAlert,
        evaluation: Evaluation,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let alert = &owned.alert;
        let mut tx = self.store.begin_write().await?;
        let claimed = sqlx::query(
            "UPDATE alerts SET evaluated = $1, state = $2, problem = $3, fired_at = CASE WHEN $4 = 1 THEN $5 ELSE fired_at END
             WHERE id = $6 AND evaluated <> $1 AND is_paused = 0",
        );
        let claimed = claimed
            .bind(&evaluation.generation)
            .bind(state_text(&evaluation.seen))
            .bind(&evaluation.problem)
            .bind(i64::from(evaluation.news.is_some()))
            .bind(now.as_second())
            .bind(&alert.id)
            .execute(&mut *tx)
            .await?;
        if claimed.rows_affected() == 0 {
            return Ok(());
        }
        let mut mail = None;
        if let Some(news) = evaluation.news {
            if !alert.webhook.is_empty() {
                let insert = sqlx::query(
                    "INSERT INTO deliveries (id, alert, body, created_at, due_at) VALUES ($1, $2, $3, $4, $4)",
                );
                let insert = insert.bind(token::random_id()?).bind(&alert.id).bind(news.body);
                insert.bind(now.as_second()).execute(&mut *tx).await?;
            }
            if alert.by_mail
                && self.sends_mail()
                && let Ok(to) = owned.email.parse()
            {
                let new = NewMail { to, subject: news.subject, text: news.text, token: None };
                let unsubscribe = Some(news.unsubscribe);
                let rich = RichBody { unsubscribe, ..RichBody::default() };
                mail = Some(self.mailer.enqueue_rich(&mut tx, now, new, Some(rich)).await?);
            }
        }
        tx.commit().await?;
        self.send(mail).await;
        Ok(())
    }

    /// Leases the message to a webhook that has been due for longest.
    pub(crate) async fn claim_delivery(&self) -> Result<Option<WebhookMessage>, StoreError> {
        let now = self.now().as_second();
        let mut tx = self.store.begin_write().await?;
        let row = sqlx::query(
            "SELECT deliveries.id AS id, alert, body, attempts, webhook, secret FROM deliveries JOIN alerts ON alerts.id = deliveries.alert
             WHERE due_at <= $1 AND leased_until <= $1 ORDER BY due_at, deliveries.id LIMIT 1",
        );
        let Some(row) = row.bind(now).fetch_optional(&mut *tx).await? else { return Ok(None) };
        let delivery = WebhookMessage {
            id: row.try_get("id")?,
            alert: row.try_get("alert")?,
            url: row.try_get("webhook")?,
            secret: row.try_get("secret")?,
            body: row.try_get("body")?,
            attempts: row.try_get("attempts")?,
        };
        let lease = sqlx::query("UPDATE deliveries SET leased_until = $1 WHERE id = $2");
        lease.bind(now + LEASE_SECONDS).bind(&delivery.id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Some(delivery))
    }

    /// Records whether a message arrived. One that did not is sent again later, a few times; its
    /// rule says why.
    pub(crate) async fn record_delivery(
        &self,
        delivery: &WebhookMessage,
        outcome: &Result<(), String>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write().await?;
        let delay = usize::try_from(delivery.attempts).ok().and_then(|at| RETRY_DELAYS.get(at));
        let problem = match outcome {
            Ok(()) => String::new(),
            Err(reason) if delay.is_some() => {
                format!("The webhook was not reached and is tried again: {reason}.")
            }
            Err(reason) => {
                format!("The webhook was not reached, and the message was given up: {reason}.")
            }
        };
        if let (Err(_), Some(delay)) = (outcome, delay) {
            let update = sqlx::query(
                "UPDATE deliveries SET due_at = $1, leased_until = 0, attempts = attempts + 1 WHERE id = $2",
            );
            let due = self.now().as_second() + delay;
            update.bind(due).bind(&delivery.id).execute(&mut *tx).await?;
        } else {
            let delete = sqlx::query("DELETE FROM deliveries WHERE id = $1");
            delete.bind(&delivery.id).execute(&mut *tx).await?;
        }
        let update = sqlx::query("UPDATE alerts SET problem = $1 WHERE id = $2");
        update.bind(problem).bind(&delivery.alert).execute(&mut *tx).await?;
        tx.commit().await
    }
}

/// Checks what an owner chose, and returns the threshold to store.
fn check(new: &NewAlert, is_debug: bool) -> Result<String, AlertError> {
    if !new.by_mail && new.webhook.is_empty() {
        return Err(AlertError::Nowhere);
    }
    if !new.webhook.is_empty() {
        let url = url::Url::parse(&new.webhook).map_err(|_| AlertError::Webhook)?;
        let is_secure = url.scheme() == "https" || (is_debug && url.scheme() == "http");
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if !is_secure || !has_host || new.webhook.len() > MAX_WEBHOOK {
            return Err(AlertError::Webhook);
        }
    }
    if matches!(new.rule.condition, AlertCondition::NewRows | AlertCondition::Updated) {
        return Ok(String::new());
    }
    let threshold: Threshold = new.rule.threshold.parse().map_err(|()| AlertError::NoThreshold)?;
    match new.rule.condition {
        AlertCondition::Changes if threshold.value <= 0.0 => Err(AlertError::NoChange),
        AlertCondition::Above | AlertCondition::Below if threshold.is_percent => {
            Err(AlertError::Percent)
        }
        _ => Ok(new.rule.threshold.trim().to_owned()),
    }
}

fn state_text(seen: &Seen) -> String {
    serde_json::to_string(seen).unwrap_or_else(|_| "{}".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_as_people_write_numbers() {
        let read = |text: &str| text.parse::<Threshold>().map(|read| (read.value, read.is_percent));
        assert_eq!(read(" 1,250.5 "), Ok((1_250.5, false)));
        assert_eq!(read("\u{2212}3"), Ok((-3.0, false)));
        assert_eq!(read("5 %"), Ok((5.0, true)));
        for wrong in ["", "ten", "NaN", "inf", "1e999", "%"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
