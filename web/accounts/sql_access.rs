//! Keys for SQL: what `materia postgres` and `materia users key` need of the accounts.

use materia::plan::Plan;

use super::{
    Account, Accounts, Actor,
    api_keys::{KeyError, NewKey},
    store::StoreError,
};

/// Who a key for SQL belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlClient {
    pub account: String,
    pub email: String,
    pub key: String,
    /// The plan that applies.
    pub plan: Plan,
    /// Whether the account operates the service.
    pub operator: bool,
    /// The tables in the key's scope; `None` for all that the plan includes.
    pub tables: Option<Vec<String>>,
}

/// Why a key is not accepted, or cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SqlKeyError {
    /// The reason, for its owner.
    #[error("{0}")]
    Refused(String),
    /// The store does not answer.
    #[error("the accounts cannot be read: {0}")]
    Unavailable(StoreError),
}

impl From<KeyError> for SqlKeyError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => Self::Unavailable(error),
            KeyError::QuotaExceeded(_) => {
                Self::Refused("the day's requests are used up".to_owned())
            }
            other => Self::Refused(other.to_string()),
        }
    }
}

impl Accounts {
    /// Authenticates the password of a connection, and counts its use.
    ///
    /// # Errors
    /// The key is not accepted, or the store does not answer.
    pub async fn authenticate_for_sql(&self, password: &str) -> Result<SqlClient, SqlKeyError> {
        let client = self.authenticate_sql(password).await?;
        self.check_sql_key(&client.key.id).await
    }

    /// Returns who a key belongs to, if it is still valid. Counts nothing.
    ///
    /// # Errors
    /// The key is not accepted any more, or the store does not answer.
    pub async fn check_sql_key(&self, id: &str) -> Result<SqlClient, SqlKeyError> {
        let (key, account) = self.sql_key(id).await?;
        Ok(SqlClient {
            plan: self.plan_of(&account),
            operator: self.is_operator(&account),
            account: account.id,
            email: account.email,
            key: key.id,
            tables: key.tables,
        })
    }

    /// Records that a key is in use now: what its owner sees as its last use.
    pub async fn note_sql_use(&self, id: &str) {
        let Ok((key, _)) = self.sql_key(id).await else { return };
        self.note_use(&key, self.now()).await;
    }

    /// Creates a key for an account. The returned secret is stored nowhere.
    ///
    /// # Errors
    /// The plan has no API, the account has too many keys, or the store does not answer.
    pub async fn create_api_key(
        &self,
        account: &Account,
        name: &str,
        scope: (bool, Option<Vec<String>>),
        days: Option<u16>,
    ) -> Result<String, SqlKeyError> {
        let (sql, tables) = scope;
        let new = NewKey { name: name.to_owned(), tables, sql, days };
        Ok(self.create_key(account, &Actor::command_line(), new).await?.1)
    }
}
