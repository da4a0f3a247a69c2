//! Accounts: identity, plan and role.

use std::str::FromStr;

use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::{FromRow, Row};

use super::{
    Accounts,
    email::Email,
    store::{StoreError, StoredRow, Transaction},
    token,
};
use crate::viewer::{self, Appearance, Role};

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("{text:?} is not a role; use customer or admin"))
    }
}

impl FromStr for Appearance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|appearance| appearance.name() == text);
        found.ok_or_else(|| format!("{text:?} is not an appearance; use system, light or dark"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// A random identifier that never changes.
    pub id: String,
    /// The address in its stored form: lower case, the domain in Punycode.
    pub email: String,
    /// The owner's display name; may be empty.
    pub name: String,
    /// The plan that sets the account's limits and features.
    pub plan: Plan,
    /// Customer or administrator.
    pub role: Role,
    /// The colors of the pages, or those of the reader's system.
    pub appearance: Appearance,
    /// The time of the account's creation.
    pub created_at: Timestamp,
    /// The time of the owner's last sign-in.
    pub signed_in_at: Option<Timestamp>,
    /// Set while the account is suspended.
    pub suspended_at: Option<Timestamp>,
}

impl FromRow<'_, StoredRow> for Account {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            plan: word(row, "plan")?,
            role: word(row, "role")?,
            appearance: word(row, "appearance")?,
            created_at: super::time(row.try_get("created_at")?),
            signed_in_at: row.try_get::<Option<i64>, _>("signed_in_at")?.map(super::time),
            suspended_at: row.try_get::<Option<i64>, _>("suspended_at")?.map(super::time),
        })
    }
}

impl Account {
    /// Returns what pages may show of the account.
    pub(super) fn summary(&self) -> viewer::AccountSummary {
        viewer::AccountSummary {
            id: self.id.clone(),
            email: self.email.clone(),
            name: (!self.name.is_empty()).then(|| self.name.clone()),
            plan: self.plan,
            role: self.role,
            suspended: self.suspended_at.is_some(),
            appearance: self.appearance,
        }
    }
}

/// Parses a column that stores an enum by name.
pub(super) fn word<T: FromStr>(row: &StoredRow, column: &str) -> sqlx::Result<T>
where
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    })
}

/// Longest display name, in characters.
pub(crate) const MAX_NAME: usize = 80;

/// Normalizes a display name: one line without control characters, at most [`MAX_NAME`] long.
pub(crate) fn clean_name(text: &str) -> String {
    clean_text(text, MAX_NAME)
}

/// Puts a text on one line, without control characters, cut to `max` characters.
pub(super) fn clean_text(text: &str, max: usize) -> String {
    let plain: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(max).collect()
}

pub(super) async fn by_email(
    tx: &mut Transaction,
    email: &Email,
) -> Result<Option<Account>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM accounts WHERE email = $1")
        .bind(email.as_str())
        .fetch_optional(&mut **tx)
        .await?)
}

/// Returns the account with an address, and creates it if there is none.
pub(super) async fn by_email_or_new(
    tx: &mut Transaction,
    now: Timestamp,
    email: &Email,
    name: &str,
) -> Result<Account, StoreError> {
    sqlx::query("INSERT INTO accounts (id, email, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (email) DO NOTHING")
        .bind(token::random_id()?)
        .bind(email.as_str())
        .bind(clean_name(name))
        .bind(now.as_second())
        .execute(&mut **tx)
        .await?;
    Ok(sqlx::query_as("SELECT * FROM accounts WHERE email = $1")
        .bind(email.as_str())
        .fetch_one(&mut **tx)
        .await?)
}

pub(super) async fn write_role(
    tx: &mut Transaction,
    account: &str,
    role: Role,
) -> Result<(), StoreError> {
    let update = sqlx::query("UPDATE accounts SET role = $1 WHERE id = $2");
    update.bind(role.name()).bind(account).execute(&mut **tx).await?;
    Ok(())
}

impl Accounts {
    /// Returns the account with this id.
    pub(crate) async fn account(&self, id: &str) -> Result<Option<Account>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM accounts WHERE id = $1")
            .bind(id)
            .fetch_optional(self.store.pool())
            .await?)
    }

    /// Returns the account with this address.
    pub async fn account_of(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        let select = sqlx::query_as("SELECT * FROM accounts WHERE email = $1");
        Ok(select.bind(email.as_str()).fetch_optional(self.store.pool()).await?)
    }

    /// Changes an account's display name.
    pub(crate) async fn set_name(&self, account: &str, name: &str) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE accounts SET name = $1 WHERE id = $2");
        update.bind(clean_name(name)).bind(account).execute(self.store.pool()).await?;
        self.invalidate_sessions();
        Ok(())
    }

    /// Sets the color scheme in which an account sees the site.
    pub(crate) async fn set_appearance(
        &self,
        account: &str,
        appearance: Appearance,
    ) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE accounts SET appearance = $1 WHERE id = $2");
        update.bind(appearance.name()).bind(account).execute(self.store.pool()).await?;
        self.invalidate_sessions();
        Ok(())
    }

    /// Deletes an account and everything stored about it, except for audit log entries, which
    /// identify it by its id.
    pub(crate) async fn delete(
        &self,
        account: &Account,
        actor: &super::Actor,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write().await?;
        for statement in [
            "DELETE FROM links WHERE email = $1",
            "DELETE FROM mails WHERE recipient = $1",
            // Subjects of rate limits also consist of an address followed by a network or a
            // browser.
            "DELETE FROM attempts WHERE subject = $1 OR substr(subject, 1, length($1) + 1) = $1 || ' '",
            // Deletes the sessions too (ON DELETE CASCADE).
            "DELETE FROM accounts WHERE email = $1",
        ] {
            sqlx::query(statement).bind(&account.email).execute(&mut *tx).await?;
        }
        let anonymous = super::Actor { name: String::new(), ..actor.clone() };
        let entry = super::audit::AuditEntry {
            action: "account deleted",
            subject_id: &account.id,
            subject: "",
            detail: "by its owner",
        };
        super::audit::record(&mut tx, self.now(), &anonymous, entry).await?;
        tx.commit().await?;
        self.invalidate_sessions();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_a_bearable_length() {
        assert_eq!(clean_name("  Ana\r\nBcc: x\t Ruiz\u{7} "), "Ana Bcc: x Ruiz");
        assert_eq!(clean_name(&"ä".repeat(500)).chars().count(), MAX_NAME);
    }
}
