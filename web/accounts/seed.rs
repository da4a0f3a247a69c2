//! Accounts to develop with.

use materia::plan::Plan;

use super::{
    Accounts, Cookies, Email, LinkError, Redeemed, ReturnPath, Visit,
    account::{self, Account},
    store::StoreError,
};
use crate::web::viewer::Role;

/// The accounts that `materia users seed` makes: address, name, plan, role. The domain is one that never receives mail.
const SEEDS: [(&str, &str, Plan, Role); 4] = [
    ("admin@example.test", "Ada Admin", Plan::Pro, Role::Admin),
    ("free@example.test", "Fred Free", Plan::Free, Role::Customer),
    ("starter@example.test", "Stella Starter", Plan::Starter, Role::Customer),
    ("pro@example.test", "Paula Pro", Plan::Pro, Role::Customer),
];

impl Accounts {
    /// Makes the four fixed accounts, or makes them again what they were: twice gives the same four rows.
    pub(crate) async fn seed(&self) -> Result<Vec<Account>, StoreError> {
        let now = self.now();
        let mut turn = self.store.write().await?;
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
            .fetch_one(&mut *turn)
            .await?;
            seeded.push(account);
        }
        turn.commit().await?;
        self.changed();
        Ok(seeded)
    }

    /// Signs in as anybody, without a letter: for debug, and refused outside of it.
    pub(crate) async fn dev_sign_in(&self, email: &Email, visit: &Visit) -> Result<Redeemed, LinkError> {
        if !self.settings.debug {
            return Err(LinkError::Dead);
        }
        let mut turn = self.store.write().await?;
        let account = account::by_email_or_new(&mut turn, self.now(), email, "").await?;
        let (session, account) = self.sign_in(&mut turn, account, &Cookies::default(), visit).await?;
        turn.commit().await?;
        self.changed();
        let next = if account.role == Role::Admin { ReturnPath::checked("/admin/") } else { None };
        Ok(Redeemed { session, account, next: next.unwrap_or_else(ReturnPath::home) })
    }
}
