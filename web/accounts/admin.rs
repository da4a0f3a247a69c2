//! Changes to accounts by operators; each is recorded in the audit log.

use materia::plan::Plan;
use sqlx::AssertSqlSafe;

use super::{
    Accounts, Actor, MailRow, Pagination,
    account::{self, Account},
    audit::{self, AuditEntry},
    mailer::NewMail,
    sessions,
    store::{StoreError, Transaction},
};
use crate::viewer::Role;

/// Selects and orders a list of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccountFilter {
    /// Part of an address or a name; empty for all accounts.
    pub(crate) search: String,
    pub(crate) sort: Sort,
}

/// The order of a list of accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Newest,
    Oldest,
    Email,
    Plan,
    SignedIn,
}

impl Sort {
    pub(crate) const ALL: [Self; 5] =
        [Self::Newest, Self::Oldest, Self::Email, Self::Plan, Self::SignedIn];

    /// Returns the name used in query parameters.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Email => "email",
            Self::Plan => "plan",
            Self::SignedIn => "signed-in",
        }
    }

    /// Returns the label shown in forms.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Oldest => "oldest first",
            Self::Email => "by address",
            Self::Plan => "by plan, paying first",
            Self::SignedIn => "latest sign-in first",
        }
    }

    /// Returns the order with this name, or the default.
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|sort| sort.as_str() == name).unwrap_or_default()
    }

    fn order(self) -> &'static str {
        match self {
            Self::Newest => "created_at DESC, id",
            Self::Oldest => "created_at, id",
            Self::Email => "email",
            Self::Plan => "CASE plan WHEN 'pro' THEN 0 WHEN 'starter' THEN 1 ELSE 2 END, email",
            Self::SignedIn => "coalesce(signed_in_at, 0) DESC, email",
        }
    }
}

/// Why a change to an account was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no account {0}; `materia users list` shows all")]
    Unknown(String),
    #[error(
        "the role admin is for addresses in ADMIN_EMAILS, and {0} is not; add it there and let its owner sign in"
    )]
    NotListed(String),
    #[error("the account {0} is suspended; lift the suspension first")]
    Suspended(String),
    #[error("you cannot change your own account this way; ask another admin")]
    OwnAccount,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Accounts {
    /// Returns a page of accounts, and the number of accounts on all pages.
    pub(crate) async fn list(
        &self,
        filter: &AccountFilter,
        page: Pagination,
    ) -> Result<(Vec<Account>, u64), StoreError> {
        const MATCHES: &str = r"FROM accounts WHERE lower(email) LIKE $1 ESCAPE '\' OR lower(name) LIKE $1 ESCAPE '\'";
        let plain = filter
            .search
            .trim()
            .to_lowercase()
            .replace('\\', r"\\")
            .replace('%', r"\%")
            .replace('_', r"\_");
        let like = format!("%{plain}%");
        // Built from constants only.
        let select = AssertSqlSafe(format!(
            "SELECT * {MATCHES} ORDER BY {} LIMIT $2 OFFSET $3",
            filter.sort.order()
        ));
        let rows = sqlx::query_as(select)
            .bind(&like)
            .bind(Pagination::size())
            .bind(page.offset())
            .fetch_all(self.store.pool())
            .await?;
        let count = AssertSqlSafe(format!("SELECT count(*) {MATCHES}"));
        let total: i64 = sqlx::query_scalar(count).bind(&like).fetch_one(self.store.pool()).await?;
        Ok((rows, total.unsigned_abs()))
    }

    /// Returns every account, ordered by address.
    pub async fn all(&self) -> Result<Vec<Account>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM accounts ORDER BY email")
            .fetch_all(self.store.pool())
            .await?)
    }

    /// Changes an account's plan and emails its owner, with the operator's reason if there is one.
    pub async fn set_plan(
        &self,
        actor: &Actor,
        id: &str,
        plan: Plan,
        reason: &str,
    ) -> Result<Account, ChangeError> {
        let mut tx = self.store.begin_write().await?;
        let before = find_account(&mut tx, id).await?;
        let update = sqlx::query("UPDATE accounts SET plan = $1 WHERE id = $2");
        update.bind(plan.name()).bind(id).execute(&mut *tx).await?;
        let detail = format!("{} to {plan}", before.plan);
        let brand = &self.settings.brand;
        let notice = (before.plan != plan).then(|| Notice {
            subject: format!("Your plan at {brand} has changed"),
            text: format!("Your plan at {brand} was changed from {} to {plan}.", before.plan),
        });
        self.commit_change(
            tx,
            actor,
            Change { action: "plan changed", before: &before, detail: &detail, reason, notice },
        )
        .await
    }

    /// Changes an account's role and ends its sessions. `admin` is only for addresses in
    /// `ADMIN_EMAILS`; an account that loses it regains it at its next sign-in while its address is
    /// listed.
    pub async fn set_role(
        &self,
        actor: &Actor,
        id: &str,
        role: Role,
        reason: &str,
    ) -> Result<Account, ChangeError> {
        let mut tx = self.store.begin_write().await?;
        let before = find_account(&mut tx, id).await?;
        if actor.id == id {
            return Err(ChangeError::OwnAccount);
        }
        if role == Role::Admin && !self.is_admin_address(&before.email) {
            return Err(ChangeError::NotListed(before.email));
        }
        account::write_role(&mut tx, id, role).await?;
        if before.role != role {
            sessions::end_others(&mut tx, id, None).await?;
        }
        let detail = format!("{} to {}", before.role.name(), role.name());
        let brand = &self.settings.brand;
        let notice = (before.role != role).then(|| Notice {
            subject: format!("Your role at {brand} has changed"),
            text: format!(
                "Your role at {brand} was changed from {} to {}. You are signed out everywhere.",
                before.role.name(),
                role.name()
            ),
        });
        self.commit_change(
            tx,
            actor,
            Change { action: "role changed", before: &before, detail: &detail, reason, notice },
        )
        .await
    }

    /// Suspends an account immediately, or restores it. Its sessions are retained, so that its
    /// owner can be shown why access is refused.
    pub async fn suspend(
        &self,
        actor: &Actor,
        id: &str,
        suspended: bool,
        reason: &str,
    ) -> Result<Account, ChangeError> {
        let mut tx = self.store.begin_write().await?;
        let before = find_account(&mut tx, id).await?;
        if actor.id == id {
            return Err(ChangeError::OwnAccount);
        }
        let since = suspended.then(|| before.suspended_at.unwrap_or(self.now()).as_second());
        sqlx::query("UPDATE accounts SET suspended_at = $1 WHERE id = $2")
            .bind(since)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let action = if suspended { "suspended" } else { "suspension lifted" };
        let brand = &self.settings.brand;
        let notice = (before.suspended_at.is_some() != suspended).then(|| {
            let (subject, text) = if suspended {
                let text = "was suspended. You cannot use it until it is restored, and your API keys do not work.".to_owned();
                ("is suspended", text)
            } else {
                ("is active again", format!("is active again. You can sign in: {}", self.settings.link("/auth/login")))
            };
            Notice { subject: format!("Your account at {brand} {subject}"), text: format!("Your account at {brand} {text}") }
        });
        self.commit_change(
            tx,
            actor,
            Change { action, before: &before, detail: "", reason, notice },
        )
        .await
    }

    /// Ends every session of an account.
    pub(crate) async fn sign_out_everywhere(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Account, ChangeError> {
        let mut tx = self.store.begin_write().await?;
        let before = find_account(&mut tx, id).await?;
        let ended = sessions::end_others(&mut tx, id, None).await?;
        let detail =
            materia::humanize::plural(usize::try_from(ended).unwrap_or(usize::MAX), "session");
        let change = Change {
            action: "signed out everywhere",
            before: &before,
            detail: &detail,
            reason: "",
            notice: None,
        };
        self.commit_change(tx, actor, change).await
    }

    /// Records a change, commits it and emails the owner. Returns the account after the change.
    pub(super) async fn commit_change(
        &self,
        mut tx: Transaction,
        actor: &Actor,
        change: Change<'_>,
    ) -> Result<Account, ChangeError> {
        let Change { action, before, detail, reason, notice } = change;
        let reason = account::clean_text(reason, MAX_REASON);
        let detail = match (detail, reason.as_str()) {
            (detail, "") => detail.to_owned(),
            ("", reason) => format!("reason: {reason}"),
            (detail, reason) => format!("{detail}; reason: {reason}"),
        };
        let entry =
            AuditEntry { action, subject_id: &before.id, subject: &before.email, detail: &detail };
        audit::record(&mut tx, self.now(), actor, entry).await?;
        let mut mail = None;
        // Without a mail server the attempt would only fill the mail log with failures.
        if let Some(notice) = notice.filter(|_| self.sends_mail())
            && let Ok(to) = before.email.parse()
        {
            let why =
                if reason.is_empty() { String::new() } else { format!("\n\nReason: {reason}") };
            let text = format!("{}{why}\n\nQuestions? Reply to this email.\n", notice.text);
            let new = NewMail { to, subject: notice.subject, text, token: None };
            mail = Some(self.mailer.enqueue(&mut tx, self.now(), new).await?);
        }
        let after = find_account(&mut tx, &before.id).await?;
        tx.commit().await?;
        self.invalidate_sessions();
        self.send(mail).await;
        Ok(after)
    }

    /// Returns a page of the mail log, newest first, and the number of emails in it.
    pub(crate) async fn mail_log(
        &self,
        page: Pagination,
    ) -> Result<(Vec<MailRow>, u64), StoreError> {
        let rows = sqlx::query_as("SELECT * FROM mails ORDER BY at DESC, id LIMIT $1 OFFSET $2")
            .bind(Pagination::size())
            .bind(page.offset())
            .fetch_all(self.store.pool())
            .await?;
        let total: i64 =
            sqlx::query_scalar("SELECT count(*) FROM mails").fetch_one(self.store.pool()).await?;
        Ok((rows, total.unsigned_abs()))
    }
}

/// Longest reason that is recorded and sent, in characters.
pub(crate) const MAX_REASON: usize = 300;

/// A change to an account that is about to be committed.
pub(super) struct Change<'a> {
    pub(super) action: &'static str,
    pub(super) before: &'a Account,
    pub(super) detail: &'a str,
    pub(super) reason: &'a str,
    pub(super) notice: Option<Notice>,
}

/// The email to the owner about a change.
pub(super) struct Notice {
    pub(super) subject: String,
    pub(super) text: String,
}

async fn find_account(tx: &mut Transaction, id: &str) -> Result<Account, ChangeError> {
    let account = sqlx::query_as("SELECT * FROM accounts WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    account.ok_or_else(|| ChangeError::Unknown(id.to_owned()))
}

/// Counts for the operators' pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccountStats {
    pub(crate) accounts: u64,
    /// The number of accounts with each plan.
    pub(crate) plans: Vec<(Plan, u64)>,
    pub(crate) suspended: u64,
    /// Sessions that have not expired.
    pub(crate) sessions: u64,
    pub(crate) signed_in_today: u64,
    pub(crate) mails_today: u64,
    pub(crate) mails_failed_today: u64,
}

impl Accounts {
    /// Counts accounts, sessions and emails.
    pub(crate) async fn account_stats(&self) -> Result<AccountStats, StoreError> {
        let now = self.now().as_second();
        let day = now - 86_400;
        let count = async |sql: &'static str, since: i64| {
            let count: i64 =
                sqlx::query_scalar(sql).bind(since).fetch_one(self.store.pool()).await?;
            Ok::<_, StoreError>(count.unsigned_abs())
        };
        let mut plans = Vec::new();
        for plan in Plan::ALL {
            let select = sqlx::query_scalar("SELECT count(*) FROM accounts WHERE plan = $1");
            let count: i64 = select.bind(plan.name()).fetch_one(self.store.pool()).await?;
            plans.push((plan, count.unsigned_abs()));
        }
        Ok(AccountStats {
            accounts: plans.iter().map(|(_, count)| count).sum(),
            plans,
            suspended: count("SELECT count(*) FROM accounts WHERE suspended_at > $1", 0).await?,
            sessions: count("SELECT count(*) FROM sessions WHERE expires_at > $1", now).await?,
            signed_in_today: count("SELECT count(*) FROM accounts WHERE signed_in_at > $1", day)
                .await?,
            mails_today: count("SELECT count(*) FROM mails WHERE at > $1", day).await?,
            mails_failed_today: count(
                "SELECT count(*) FROM mails WHERE state = 'failed' AND at > $1",
                day,
            )
            .await?,
        })
    }
}
