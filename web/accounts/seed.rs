//! Accounts for development.

use materia::plan::Plan;

use super::{
    Accounts, ClientInfo, Cookies, Email, LinkError, Redeemed, ReturnPath,
    account::{self, Account},
    store::StoreError,
};
use crate::viewer::Role;

/// The accounts that `materia users seed` creates: address, name, plan, role. Their domain never
/// receives mail.
const SEEDS: [(&str, &str, Plan, Role); 4] = [
    ("admin@example.test", "Ada Admin", Plan::Pro, Role::Admin),
    ("free@example.test", "Fred Free", Plan::Free, Role::Customer),
    ("starter@example.test", "Stella Starter", Plan::Starter, Role::Customer),
    ("pro@example.test", "Paula Pro", Plan::Pro, Role::Customer),
];

impl Accounts {
    /// Creates the four seed accounts, or resets them: running it twice leaves the same four rows.
    pub async fn seed(&self) -> Result<Vec<Account>, StoreError> {
        let now = self.now();
        let mut tx = self.store.begin_write().await?;
        let mut seeded = Vec::new();
        for (number, (email, name, plan, role)) in (1..).zip(SEEDS) {
            let account = sqlx::query_as(
                "INSERT INTO accounts (id, email, name, plan, role, created_at) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (email) DO UPDATE SET name = $3, plan = $4, role = $5, suspended_at = NULL
                 RETURNING *",
            )
            .bind(format!("{number:024}"))
            .bind(email)
            .bind(name)
            .bind(plan.name())
            .bind(role.name())
            .bind(now.as_second())
            .fetch_one(&mut *tx)
            .await?;
            seeded.push(account);
        }
        tx.commit().await?;
        self.invalidate_sessions();
        Ok(seeded)
    }

    /// Signs in to any account without email. Refused outside debug mode.
    pub(crate) async fn dev_sign_in(
        &self,
        email: &Email,
        client: &ClientInfo,
    ) -> Result<Redeemed, LinkError> {
        if !self.settings.debug {
            return Err(LinkError::Invalid);
        }
        let mut tx = self.store.begin_write().await?;
        let account = account::by_email_or_new(&mut tx, self.now(), email, "").await?;
        let (session, account) =
            self.sign_in(&mut tx, account, &Cookies::default(), client).await?;
        tx.commit().await?;
        self.invalidate_sessions();
        let next = if account.role == Role::Admin { ReturnPath::checked("/admin/") } else { None };
        Ok(Redeemed { session, account, next: next.unwrap_or_else(ReturnPath::home) })
    }
}
