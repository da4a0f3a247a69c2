//! Plans that customers ask for where there is no checkout: operators grant or decline them.

use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::{FromRow, Row};

use crate::accounts::{
    Accounts, Actor, ChangeError,
    account::{Account, word},
    audit::{self, AuditEntry},
    mailer::NewMail,
    store::{StoreError, StoredRow},
};

/// A plan that somebody asked for and nobody has answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanRequest {
    /// The account's id: an account has one request at a time.
    pub(crate) account: String,
    pub(crate) email: String,
    /// The plan that it has.
    pub(crate) current: Plan,
    pub(crate) plan: Plan,
    pub(crate) is_yearly: bool,
    pub(crate) at: Timestamp,
}

impl FromRow<'_, StoredRow> for PlanRequest {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            account: row.try_get("account")?,
            email: row.try_get("email")?,
            current: word(row, "current")?,
            plan: word(row, "plan")?,
            is_yearly: row.try_get::<i64, _>("is_yearly")? != 0,
            at: crate::accounts::time(row.try_get("at")?),
        })
    }
}

/// Why a request was not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("your account has this plan already")]
    HasPlan,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

const OPEN: &str = "SELECT plan_requests.account AS account, accounts.email AS email, accounts.plan AS current, plan_requests.plan AS plan,
    is_yearly, at FROM plan_requests JOIN accounts ON accounts.id = plan_requests.account";

impl Accounts {
    /// Records that an account wants a plan, and writes to every operator. Asking again for the
    /// same changes nothing and writes to nobody.
    pub(crate) async fn request_plan(
        &self,
        account: &Account,
        plan: Plan,
        is_yearly: bool,
    ) -> Result<(), RequestError> {
        if account.plan >= plan {
            return Err(RequestError::HasPlan);
        }
        let now = self.now();
        let mut tx = self.store.begin_write().await?;
        let insert = sqlx::query(
            "INSERT INTO plan_requests (account, plan, is_yearly, at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account) DO UPDATE SET plan = $2, is_yearly = $3, at = $4
             WHERE plan_requests.plan <> $2 OR plan_requests.is_yearly <> $3",
        );
        let inserted = insert
            .bind(&account.id)
            .bind(plan.name())
            .bind(i64::from(is_yearly))
            .bind(now.as_second())
            .execute(&mut *tx)
            .await?;
        if inserted.rows_affected() == 0 {
            return Ok(());
        }
        let title = crate::components::plan_title(plan);
        let period = if is_yearly { "yearly" } else { "monthly" };
        let detail = format!("{plan}, {period}");
        let actor =
            Actor { id: account.id.clone(), name: account.email.clone(), network: String::new() };
        let entry = AuditEntry {
            action: "plan requested",
            subject_id: &account.id,
            subject: &account.email,
            detail: &detail,
        };
        audit::record(&mut tx, now, &actor, entry).await?;
        let mut mails = Vec::new();
        if self.sends_mail() {
            for admin in &self.settings.admins {
                let text = format!(
                    "{} asks for the {title} plan, {period}. The account has the {} plan now.\n\nGrant or decline the request: {}\n",
                    account.email,
                    crate::components::plan_title(account.plan),
                    self.settings.link("/admin/requests")
                );
                let subject = format!("{} asks for {title}", account.email);
                let mail = NewMail { to: admin.clone(), subject, text, token: None };
                mails.push(self.mailer.enqueue(&mut tx, now, mail).await?);
            }
        }
        tx.commit().await?;
        for mail in mails {
            self.send(Some(mail)).await;
        }
        Ok(())
    }

    /// Returns the requests that are not answered yet, the oldest first.
    pub(crate) async fn plan_requests(&self) -> Result<Vec<PlanRequest>, StoreError> {
        let select = sqlx::AssertSqlSafe(format!("{OPEN} ORDER BY at, account"));
        Ok(sqlx::query_as(select).fetch_all(self.store.pool()).await?)
    }

    /// Returns what an account asked for.
    pub(crate) async fn plan_request_of(
        &self,
        account: &str,
    ) -> Result<Option<PlanRequest>, StoreError> {
        let select = sqlx::AssertSqlSafe(format!("{OPEN} WHERE plan_requests.account = $1"));
        Ok(sqlx::query_as(select).bind(account).fetch_optional(self.store.pool()).await?)
    }

    /// Grants the plan that an account asked for. Its owner gets an email, as after every change
    /// of a plan.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] if there is no request, for example because another operator
    /// answered it.
    pub(crate) async fn grant_request(
        &self,
        actor: &Actor,
        account: &str,
    ) -> Result<Account, ChangeError> {
        let request = self.plan_request_of(account).await?;
        let request = request.ok_or_else(|| ChangeError::Unknown(account.to_owned()))?;
        let changed = self.set_plan(actor, account, request.plan, "").await?;
        self.forget_request(account).await?;
        Ok(changed)
    }

    /// Declines what an account asked for, and writes to its owner.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] if there is no request.
    pub(crate) async fn decline_request(
        &self,
        actor: &Actor,
        account: &str,
        reason: &str,
    ) -> Result<Account, ChangeError> {
        let request = self.plan_request_of(account).await?;
        let request = request.ok_or_else(|| ChangeError::Unknown(account.to_owned()))?;
        let before = self.account(account).await?;
        let before = before.ok_or_else(|| ChangeError::Unknown(account.to_owned()))?;
        let mut tx = self.store.begin_write().await?;
        sqlx::query("DELETE FROM plan_requests WHERE account = $1")
            .bind(account)
            .execute(&mut *tx)
            .await?;
        let brand = &self.settings.brand;
        let title = crate::components::plan_title(request.plan);
        let notice = super::Notice {
            subject: format!("Your request for {title} at {brand}"),
            text: format!(
                "You asked for the {title} plan at {brand}. We could not grant it; your plan has not changed."
            ),
        };
        let detail = request.plan.to_string();
        let change = super::Change {
            action: "plan request declined",
            before: &before,
            detail: &detail,
            reason,
            notice: Some(notice),
        };
        self.commit_change(tx, actor, change).await
    }

    async fn forget_request(&self, account: &str) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM plan_requests WHERE account = $1");
        delete.bind(account).execute(self.store.pool()).await?;
        Ok(())
    }
}
