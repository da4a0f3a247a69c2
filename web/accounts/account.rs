//! An account: who somebody is, what they subscribe to, what they may do.

use std::str::FromStr;

use jiff::Timestamp;
use materia::plan::Plan;
use sqlx::{FromRow, Row};

use super::{
    Accounts,
    email::Email,
    secret,
    store::{StoreError, StoredRow, Transaction},
};
use crate::web::viewer::{self, Appearance, Role};

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| format!("{text:?} is not a role; use customer or admin"))
    }
}

impl FromStr for Appearance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|appearance| appearance.name() == text);
        found.ok_or_else(|| format!("{text:?} is not an appearance; use system, light or dark"))
    }
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) role: Role,
    pub(crate) appearance: Appearance,
    pub(crate) created_at: Timestamp,
    pub(crate) signed_in_at: Option<Timestamp>,
    pub(crate) suspended_at: Option<Timestamp>,
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
    /// What pages may know of it.
    pub(super) fn seen(&self) -> viewer::Account {
        viewer::Account {
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

/// A value that is stored as a word.
pub(super) fn word<T: FromStr>(row: &StoredRow, column: &str) -> sqlx::Result<T>
where
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// The longest name that is kept, in characters.
pub(crate) const LONGEST_NAME: usize = 80;

/// A name as it is kept: one line, without control characters, not too long.
pub(crate) fn clean_name(text: &str) -> String {
    clean_text(text, LONGEST_NAME)
}

/// A text on one line, without control characters, of at most `max` characters.
pub(super) fn clean_text(text: &str, max: usize) -> String {
    let plain: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(max).collect()
}

pub(super) async fn by_email(turn: &mut Transaction, email: &Email) -> Result<Option<Account>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM accounts WHERE email = $1").bind(email.as_str()).fetch_optional(&mut **turn).await?)
}

/// The account of an address, made where there is none.
pub(super) async fn by_email_or_new(turn: &mut Transaction, now: Timestamp, email: &Email, name: &str) -> Result<Account, StoreError> {
    sqlx::query("INSERT INTO accounts (id, email, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (email) DO NOTHING")
        .bind(secret::random_id()?)
        .bind(email.as_str())
        .bind(clean_name(name))
        .bind(now.as_second())
        .execute(&mut **turn)
        .await?;
    Ok(sqlx::query_as("SELECT * FROM accounts WHERE email = $1").bind(email.as_str()).fetch_one(&mut **turn).await?)
}

pub(super) async fn write_role(turn: &mut Transaction, account: &str, role: Role) -> Result<(), StoreError> {
    let update = sqlx::query("UPDATE accounts SET role = $1 WHERE id = $2");
    update.bind(role.name()).bind(account).execute(&mut **turn).await?;
    Ok(())
}

impl Accounts {
    /// The account with this id.
    pub(crate) async fn account(&self, id: &str) -> Result<Option<Account>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM accounts WHERE id = $1").bind(id).fetch_optional(self.store.pool()).await?)
    }

    /// The account with this address.
    pub(crate) async fn account_of(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        let select = sqlx::query_as("SELECT * FROM accounts WHERE email = $1");
        Ok(select.bind(email.as_str()).fetch_optional(self.store.pool()).await?)
    }

    /// How somebody is named.
    pub(crate) async fn set_name(&self, account: &str, name: &str) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE accounts SET name = $1 WHERE id = $2");
        update.bind(clean_name(name)).bind(account).execute(self.store.pool()).await?;
        self.changed();
        Ok(())
    }

    /// In what colours the site is shown to somebody.
    pub(crate) async fn set_appearance(&self, account: &str, appearance: Appearance) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE accounts SET appearance = $1 WHERE id = $2");
        update.bind(appearance.name()).bind(account).execute(self.store.pool()).await?;
        self.changed();
        Ok(())
    }

    /// Removes an account and everything that is kept of it, but the lines of the audit log, which name it by its id.
    pub(crate) async fn delete(&self, account: &Account, actor: &super::Actor) -> Result<(), StoreError> {
        let mut turn = self.store.write().await?;
        for statement in [
            "DELETE FROM links WHERE email = $1",
            "DELETE FROM mails WHERE recipient = $1",
            // Also those that name a network or a browser behind the address.
            "DELETE FROM attempts WHERE subject = $1 OR substr(subject, 1, length($1) + 1) = $1 || ' '",
            // Its sessions go with it.
            "DELETE FROM accounts WHERE email = $1",
        ] {
            sqlx::query(statement).bind(&account.email).execute(&mut *turn).await?;
        }
        let nobody = super::Actor { name: String::new(), ..actor.clone() };
        let deed = super::audit::Deed { action: "account deleted", subject_id: &account.id, subject: "", detail: "by its owner" };
        super::audit::record(&mut turn, self.now(), &nobody, deed).await?;
        turn.commit().await?;
        self.changed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_a_bearable_length() {
        assert_eq!(clean_name("  Ana\r\nBcc: x\t Ruiz\u{7} "), "Ana Bcc: x Ruiz");
        assert_eq!(clean_name(&"ä".repeat(500)).chars().count(), LONGEST_NAME);
    }
}
