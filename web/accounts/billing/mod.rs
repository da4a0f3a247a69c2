//! Subscriptions that a payment provider reports, and plans that customers ask operators for. No
//! card and no amount is stored: the provider has them.

mod event;
mod requests;
mod signature;

use jiff::{SignedDuration, Timestamp};
use materia::plan::Plan;
use sqlx::{FromRow, Row};

#[cfg(test)]
pub(crate) use self::signature::tests as signing;
pub(crate) use self::{
    event::{BillingEvent, Parsed, SubscriptionState, parse_standard, parse_stripe},
    requests::{PlanRequest, RequestError},
    signature::{Scheme, SigningSecrets, sign, standard_key},
};
use super::{
    Accounts, Actor, ChangeError, Email,
    account::{self, Account, word},
    admin::{Change, Notice},
    store::{StoreError, StoredRow, Transaction},
};

/// How long a plan goes on after its period has ended without news of a payment.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WebhookOutcome {
    Applied,
    /// The same event was applied before.
    Repeated,
    /// Something later is known already.
    Outdated,
    /// Nothing says yet whose subscription it is; a later event does.
    Waiting,
    /// It names an account that does not exist.
    NoAccount(String),
}

/// A subscription as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct Subscription {
    pub(crate) provider: String,
    pub(crate) subscription: String,
    pub(crate) account: Option<String>,
    pub(crate) customer: String,
    pub(crate) plan: Option<Plan>,
    pub(crate) state: SubscriptionState,
    pub(crate) period_ends_at: Option<Timestamp>,
    pub(crate) is_cancelled: bool,
    pub(crate) invoice_url: String,
    /// When the last thing that is known happened.
    pub(crate) changed_at: Timestamp,
}

impl FromRow<'_, StoredRow> for Subscription {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        let plan: Option<String> = row.try_get("plan")?;
        Ok(Self {
            provider: row.try_get("provider")?,
            subscription: row.try_get("subscription")?,
            account: row.try_get("account")?,
            customer: row.try_get("customer")?,
            plan: plan.and_then(|plan| plan.parse().ok()),
            state: word(row, "state")?,
            period_ends_at: row.try_get::<Option<i64>, _>("period_ends_at")?.map(super::time),
            is_cancelled: row.try_get::<i64, _>("is_cancelled")? != 0,
            invoice_url: row.try_get("invoice_url")?,
            changed_at: super::time(row.try_get("changed_at")?),
        })
    }
}

impl Subscription {
    fn new(event: &BillingEvent) -> Self {
        Self {
            provider: event.provider.to_owned(),
            subscription: event.subscription.clone(),
            account: None,
            customer: String::new(),
            plan: None,
            // Until something is known of a payment it grants nothing.
            state: SubscriptionState::Ended,
            period_ends_at: None,
            is_cancelled: false,
            invoice_url: String::new(),
            changed_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Returns the plan that it pays for now.
    fn paid_plan(&self) -> Option<Plan> {
        self.plan.filter(|_| self.state != SubscriptionState::Ended)
    }

    async fn find(
        tx: &mut Transaction,
        provider: &str,
        subscription: &str,
    ) -> Result<Option<Self>, StoreError> {
        let select =
            sqlx::query_as("SELECT * FROM subscriptions WHERE provider = $1 AND subscription = $2");
        Ok(select.bind(provider).bind(subscription).fetch_optional(&mut **tx).await?)
    }

    async fn write(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO subscriptions (provider, subscription, account, customer, plan, state, period_ends_at, is_cancelled, invoice_url, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (provider, subscription) DO UPDATE SET account = $3, customer = $4, plan = $5, state = $6,
                 period_ends_at = $7, is_cancelled = $8, invoice_url = $9, changed_at = $10",
        )
        .bind(&self.provider)
        .bind(&self.subscription)
        .bind(self.account.as_deref())
        .bind(&self.customer)
        .bind(self.plan.map(Plan::name))
        .bind(self.state.name())
        .bind(self.period_ends_at.map(Timestamp::as_second))
        .bind(i64::from(self.is_cancelled))
        .bind(&self.invoice_url)
        .bind(self.changed_at.as_second())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

impl Accounts {
    /// Applies an event once, whatever the order in which events arrive.
    pub(crate) async fn apply_billing(
        &self,
        event: &BillingEvent,
    ) -> Result<WebhookOutcome, ChangeError> {
        let mut tx = self.store.begin_write().await?;
        let seen = sqlx::query(
            "INSERT INTO billing_events (provider, id, at) VALUES ($1, $2, $3) ON CONFLICT (provider, id) DO NOTHING",
        );
        let seen = seen
            .bind(event.provider)
            .bind(&event.id)
            .bind(self.now().as_second())
            .execute(&mut *tx)
            .await?;
        if seen.rows_affected() == 0 {
            return Ok(WebhookOutcome::Repeated);
        }
        let known = Subscription::find(&mut tx, event.provider, &event.subscription).await?;
        let before = known.unwrap_or_else(|| Subscription::new(event));
        let mut after = before.clone();
        // Whose it is does not change, and counts whenever it is said.
        if after.account.is_none()
            && let Some(account) = &event.change.account
        {
            match find_owner(&mut tx, account).await? {
                Some(found) => after.account = Some(found.id),
                // The message is not remembered: it can be sent again once the account exists.
                None => return Ok(WebhookOutcome::NoAccount(account.clone())),
            }
        }
        if let Some(customer) = &event.change.customer {
            after.customer.clone_from(customer);
        }
        let is_outdated = event.at < before.changed_at;
        if !is_outdated {
            let change = &event.change;
            after.plan = change.plan.or(after.plan);
            after.state = change.state.unwrap_or(after.state);
            after.period_ends_at = change.period_ends_at.or(after.period_ends_at);
            after.is_cancelled = change.is_cancelled.unwrap_or(after.is_cancelled);
            // What says nothing of the subscription itself is no reason to ignore what does.
            if change.state.is_some() {
                after.changed_at = event.at;
            }
        }
        if let Some(url) = &event.change.invoice_url
            && (!is_outdated || after.invoice_url.is_empty())
        {
            after.invoice_url.clone_from(url);
        }
        after.write(&mut tx).await?;
        let Some(owner) = after.account.clone() else {
            tx.commit().await?;
            return Ok(if is_outdated {
                WebhookOutcome::Outdated
            } else {
                WebhookOutcome::Waiting
            });
        };
        self.settle(tx, &owner, &before, &after).await?;
        Ok(if is_outdated { WebhookOutcome::Outdated } else { WebhookOutcome::Applied })
    }

    /// Brings an account's plan in line with its subscriptions, commits, and writes to its owner.
    async fn settle(
        &self,
        mut tx: Transaction,
        owner: &str,
        before: &Subscription,
        after: &Subscription,
    ) -> Result<(), ChangeError> {
        let account = sqlx::query_as::<_, Account>("SELECT * FROM accounts WHERE id = $1")
            .bind(owner)
            .fetch_optional(&mut *tx)
            .await?;
        let account = account.ok_or_else(|| ChangeError::Unknown(owner.to_owned()))?;
        let all: Vec<Subscription> =
            sqlx::query_as("SELECT * FROM subscriptions WHERE account = $1")
                .bind(owner)
                .fetch_all(&mut *tx)
                .await?;
        let paid = all.iter().filter_map(Subscription::paid_plan).max().unwrap_or(Plan::Free);
        // A plan that operators granted is above what is paid for, and is not taken away because a
        // smaller one ends.
        let was_paid = before.account.is_some() && before.paid_plan() == Some(account.plan);
        let plan = if paid > account.plan || was_paid { paid } else { account.plan };
        if plan != account.plan {
            let update = sqlx::query("UPDATE accounts SET plan = $1 WHERE id = $2");
            update.bind(plan.name()).bind(owner).execute(&mut *tx).await?;
        }
        let actor = Actor {
            id: String::new(),
            name: format!("billing ({})", after.provider),
            network: String::new(),
        };
        let what = describe(before, after);
        let has_news = plan != account.plan || before.account.is_none() || !what.is_empty();
        if !has_news {
            tx.commit().await?;
            return Ok(());
        }
        let notice = self.billing_notice(&account, plan, before, after);
        let detail = match (plan != account.plan, what.is_empty()) {
            (true, true) => format!("{} to {plan}", account.plan),
            (true, false) => format!("{} to {plan}; {what}", account.plan),
            (false, _) => what,
        };
        let action = if plan == account.plan { "subscription changed" } else { "plan changed" };
        let change = Change { action, before: &account, detail: &detail, reason: "", notice };
        self.commit_change(tx, &actor, change).await?;
        Ok(())
    }

    fn billing_notice(
        &self,
        account: &Account,
        plan: Plan,
        before: &Subscription,
        after: &Subscription,
    ) -> Option<Notice> {
        let brand = &self.settings.brand;
        let pricing = self.settings.link("/pricing");
        let day = |at: Timestamp| at.strftime("%B %-d, %Y").to_string();
        let name = |plan: Plan| crate::components::plan_title(plan);
        if plan > account.plan {
            let invoice = if after.invoice_url.is_empty() {
                String::new()
            } else {
                format!(" Your invoice: {}", after.invoice_url)
            };
            return Some(Notice {
                subject: format!("Your {} plan at {brand} is active", name(plan)),
                text: format!(
                    "Thank you! Your plan at {brand} is now {}.{invoice}\n\nOpen {}",
                    name(plan),
                    self.settings.link("/dashboard/")
                ),
            });
        }
        if plan < account.plan {
            return Some(Notice {
                subject: format!("Your {} plan at {brand} has ended", name(account.plan)),
                text: format!(
                    "Your {} plan at {brand} has ended, and your account now has the {} plan. Saved work is kept. You can subscribe again at any \
                     time: {pricing}",
                    name(account.plan),
                    name(plan)
                ),
            });
        }
        let began = |state: SubscriptionState| before.state != state && after.state == state;
        if began(SubscriptionState::PastDue) {
            let until = after.period_ends_at.unwrap_or(self.now()).max(self.now()) + GRACE;
            let invoice = if after.invoice_url.is_empty() {
                String::new()
            } else {
                format!(" You can pay the invoice here: {}", after.invoice_url)
            };
            return Some(Notice {
                subject: format!("A payment for {brand} failed"),
                text: format!(
                    "A payment for your {} plan at {brand} failed. Nothing changes for now: the plan stays active until {}.{invoice}",
                    name(account.plan),
                    day(until)
                ),
            });
        }
        if after.is_cancelled && !before.is_cancelled {
            let until = after.period_ends_at.map(|at| format!(" until {}", day(at)));
            return Some(Notice {
                subject: format!("Your {} plan at {brand} was cancelled", name(account.plan)),
                text: format!(
                    "Your {} plan at {brand} was cancelled. It stays active{} and is not renewed. You can subscribe again at any time: {pricing}",
                    name(account.plan),
                    until.unwrap_or_default()
                ),
            });
        }
        None
    }

    /// Ends subscriptions whose period ended long ago without news of a payment: the provider's
    /// message may have been lost. Returns how many.
    pub(crate) async fn end_lapsed_subscriptions(&self) -> Result<usize, ChangeError> {
        let limit = (self.now() - GRACE).as_second();
        let lapsed: Vec<Subscription> = sqlx::query_as(
            "SELECT * FROM subscriptions WHERE state <> 'ended' AND account IS NOT NULL AND period_ends_at < $1",
        )
        .bind(limit)
        .fetch_all(self.store.pool())
        .await?;
        let mut ended = 0;
        for one in lapsed {
            let mut tx = self.store.begin_write().await?;
            let found = Subscription::find(&mut tx, &one.provider, &one.subscription).await?;
            // Another server may have been faster, and a payment too.
            let Some(before) = found.filter(|found| *found == one) else { continue };
            let after = Subscription { state: SubscriptionState::Ended, ..before.clone() };
            after.write(&mut tx).await?;
            if let Some(owner) = after.account.clone() {
                self.settle(tx, &owner, &before, &after).await?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Returns the subscriptions of an account, the latest first.
    pub(crate) async fn subscriptions(
        &self,
        account: &str,
    ) -> Result<Vec<Subscription>, StoreError> {
        let select = sqlx::query_as(
            "SELECT * FROM subscriptions WHERE account = $1 ORDER BY changed_at DESC, subscription",
        );
        Ok(select.bind(account).fetch_all(self.store.pool()).await?)
    }
}

/// Finds an account by its id or its address.
async fn find_owner(tx: &mut Transaction, name: &str) -> Result<Option<Account>, StoreError> {
    if let Ok(email) = name.parse::<Email>() {
        return account::by_email(tx, &email).await;
    }
    let select = sqlx::query_as("SELECT * FROM accounts WHERE id = $1");
    Ok(select.bind(name).fetch_optional(&mut **tx).await?)
}

/// Returns what changed, for the audit log.
fn describe(before: &Subscription, after: &Subscription) -> String {
    let mut parts = Vec::new();
    if before.state != after.state || before.account.is_none() {
        parts.push(format!("subscription {} is {}", after.subscription, after.state.name()));
    }
    if before.is_cancelled != after.is_cancelled {
        parts.push(if after.is_cancelled { "cancelled" } else { "resumed" }.to_owned());
    }
    if before.period_ends_at != after.period_ends_at
        && let Some(at) = after.period_ends_at
    {
        parts.push(format!("paid until {}", at.strftime("%Y-%m-%d")));
    }
    parts.join(", ")
}
