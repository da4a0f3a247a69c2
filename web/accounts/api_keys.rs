//! API keys: created, shown once, identified by a short prefix, limited and revoked.

use jiff::{SignedDuration, Timestamp};
use sqlx::{FromRow, Row};

use super::{
    Accounts, Actor,
    account::Account,
    audit::{self, AuditEntry},
    entitlements::{Entitlements, entitlements},
    store::{StoreError, StoredRow, Transaction},
    token::{self, Token, TokenHash},
};
use crate::viewer::{self, Role};

/// The prefix of every key, so that leaked keys are recognizable.
const KEY_PREFIX: &str = "materia_";
/// Digits of the secret that are shown to identify a key.
const PREFIX_LEN: usize = 8;
/// Active keys that one account may have.
const MAX_KEYS: usize = 20;
/// Longest name of a key, in characters.
pub(crate) const MAX_KEY_NAME: usize = 60;
/// `used_at` is written at most this often, in seconds.
const USED_AT_INTERVAL_SECONDS: i64 = 60;
/// How long revoked and expired keys stay in the list.
const LIST_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: i64 = 86_400;

/// A key without its secret, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ApiKeyInfo {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) prefix: String,
    /// The tables in its scope; `None` for all that the plan includes.
    pub(crate) tables: Option<Vec<String>>,
    /// Whether the scope `sql` is in it: the key is a password of `materia postgres`.
    pub(crate) sql: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) used_at: Option<Timestamp>,
}

impl FromRow<'_, StoredRow> for ApiKeyInfo {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        let time = |column: &str| {
            row.try_get::<Option<i64>, _>(column).map(|second| second.map(super::time))
        };
        let tables: Option<String> = row.try_get("tables")?;
        let tables = tables.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Self {
            id: row.try_get("key_id")?,
            name: row.try_get("key_name")?,
            prefix: row.try_get("prefix")?,
            tables: tables.map_err(|error| sqlx::Error::ColumnDecode {
                index: "tables".to_owned(),
                source: error.into(),
            })?,
            sql: row.try_get::<i64, _>("may_query")? != 0,
            created_at: super::time(row.try_get("key_created_at")?),
            expires_at: time("expires_at")?,
            revoked_at: time("revoked_at")?,
            used_at: time("used_at")?,
        })
    }
}

impl ApiKeyInfo {
    /// Returns whether the key is neither revoked nor expired.
    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// The properties of a key to be created.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) tables: Option<Vec<String>>,
    /// Whether the scope `sql` is in it.
    pub(crate) sql: bool,
    /// The lifetime in days; `None` for a key that never expires.
    pub(crate) days: Option<u16>,
}

/// An authenticated client of the API.
#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    pub(crate) account: viewer::AccountSummary,
    pub(crate) key: ApiKeyInfo,
    pub(crate) entitlements: Entitlements,
    pub(crate) quota: Quota,
}

/// The remaining requests of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Seconds until the quota is renewed.
    pub(crate) reset: u32,
}

/// Why a key was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("there is no such key")]
    Unknown,
    #[error("the key was revoked")]
    Revoked,
    #[error("the key has expired")]
    Expired,
    #[error("the account is suspended")]
    Suspended,
    #[error("the plan has no API")]
    NoApi,
    #[error("the day's requests are used up")]
    QuotaExceeded(Quota),
    #[error("the key does not have the scope sql")]
    NoSql,
    #[error("an account has at most {MAX_KEYS} keys")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

const COLUMNS: &str = "api_keys.id AS key_id, api_keys.name AS key_name, prefix, tables, api_keys.created_at AS key_created_at, expires_at, \
                       revoked_at, used_at, may_query";

impl Accounts {
    /// Creates a key. The returned secret is stored nowhere.
    pub(crate) async fn create_key(
        &self,
        account: &Account,
        actor: &Actor,
        new: NewKey,
    ) -> Result<(ApiKeyInfo, String), KeyError> {
        if entitlements(self.plan_of(account)).api_requests_a_day == 0 {
            return Err(KeyError::NoApi);
        }
        let now = self.now();
        let (token, id) = (Token::random()?, token::random_id()?);
        let prefix: String = token.reveal().chars().take(PREFIX_LEN).collect();
        let tables = new.tables.map(|tables| serde_json::Value::from(tables).to_string());
        let expires_at = new.days.map(|days| now.as_second() + i64::from(days) * DAY);
        let mut tx = self.store.begin_write().await?;
        let good: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM api_keys WHERE account = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(&account.id)
        .bind(now.as_second())
        .fetch_one(&mut *tx)
        .await?;
        if usize::try_from(good).is_ok_and(|good| good >= MAX_KEYS) {
            return Err(KeyError::TooMany);
        }
        sqlx::query(
            "INSERT INTO api_keys (id, account, name, prefix, hash, tables, created_at, expires_at, may_query) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&id)
        .bind(&account.id)
        .bind(&new.name)
        .bind(&prefix)
        .bind(token.hash().as_str())
        .bind(tables)
        .bind(now.as_second())
        .bind(expires_at)
        .bind(i64::from(new.sql))
        .execute(&mut *tx)
        .await?;
        let entry = AuditEntry {
            action: "API key made",
            subject_id: &account.id,
            subject: &account.email,
            detail: &format!(
                "{KEY_PREFIX}{prefix}{}",
                if new.sql { " with the scope sql" } else { "" }
            ),
        };
        audit::record(&mut tx, now, actor, entry).await?;
        let line = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM api_keys WHERE id = $1"
        )));
        let line = line.bind(&id).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok((line, format!("{KEY_PREFIX}{}", token.reveal())))
    }

    /// Returns the keys of an account, newest first, without those that ended more than
    /// [`LIST_RETENTION`] ago.
    pub(crate) async fn keys(&self, account: &str) -> Result<Vec<ApiKeyInfo>, StoreError> {
        let since = self.now().checked_sub(LIST_RETENTION).unwrap_or(Timestamp::MIN);
        let select = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE account = $1 AND coalesce(revoked_at, expires_at, $2) >= $2
             ORDER BY key_created_at DESC, key_id"
        );
        let select = sqlx::query_as(sqlx::AssertSqlSafe(select));
        Ok(select.bind(account).bind(since.as_second()).fetch_all(self.store.pool()).await?)
    }

    /// Revokes every active key of an account and returns their number.
    pub(super) async fn revoke_all_keys(
        &self,
        tx: &mut Transaction,
        account: &Account,
        actor: &Actor,
    ) -> Result<u64, StoreError> {
        let now = self.now();
        let update = sqlx::query(
            "UPDATE api_keys SET revoked_at = $1 WHERE account = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
        );
        let revoked = update
            .bind(now.as_second())
            .bind(&account.id)
            .execute(&mut **tx)
            .await?
            .rows_affected();
        if revoked > 0 {
            let detail =
                materia::humanize::plural(usize::try_from(revoked).unwrap_or(usize::MAX), "key");
            let entry = AuditEntry {
                action: "API keys revoked",
                subject_id: &account.id,
                subject: &account.email,
                detail: &detail,
            };
            audit::record(tx, now, actor, entry).await?;
        }
        Ok(revoked)
    }

    /// Revokes a key of an account permanently. Returns false if the account has no such key.
    pub(crate) async fn revoke_key(
        &self,
        account: &Account,
        actor: &Actor,
        id: &str,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.store.begin_write().await?;
        let update = sqlx::query_scalar(
            "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND account = $3 AND revoked_at IS NULL RETURNING prefix",
        );
        let prefix: Option<String> = update
            .bind(now.as_second())
            .bind(id)
            .bind(&account.id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(prefix) = prefix else { return Ok(false) };
        let entry = AuditEntry {
            action: "API key revoked",
            subject_id: &account.id,
            subject: &account.email,
            detail: &format!("{KEY_PREFIX}{prefix}"),
        };
        audit::record(&mut tx, now, actor, entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Authenticates a key and counts one request against its account's quota.
    ///
    /// Every presented text is hashed and looked up by that hash, whatever the state of the key and
    /// even if the text is not a key: neither the result nor its timing reveals how much of a guess
    /// was correct.
    pub(crate) async fn authenticate(&self, presented: &str) -> Result<ApiClient, KeyError> {
        let (key, account) = self.find_presented(presented).await?;
        self.admit(key, account).await
    }

    /// Authenticates a key as the password of a connection for SQL, and counts one request.
    pub(crate) async fn authenticate_sql(&self, presented: &str) -> Result<ApiClient, KeyError> {
        let (key, account) = self.find_presented(presented).await?;
        if !key.sql {
            return Err(KeyError::NoSql);
        }
        self.admit(key, account).await
    }

    /// Returns a key with the scope `sql` and its account, if it is still valid.
    pub(crate) async fn sql_key(&self, id: &str) -> Result<(ApiKeyInfo, Account), KeyError> {
        let (key, account) = self.find_key("api_keys.id", id).await?.ok_or(KeyError::Unknown)?;
        self.require_valid(&key, &account)?;
        if key.sql { Ok((key, account)) } else { Err(KeyError::NoSql) }
    }

    async fn find_presented(&self, presented: &str) -> Result<(ApiKeyInfo, Account), KeyError> {
        let hash =
            TokenHash::hash_presented(presented.strip_prefix(KEY_PREFIX).unwrap_or(presented));
        let found = self.find_key("hash", hash.as_str()).await?;
        found.filter(|_| presented.starts_with(KEY_PREFIX)).ok_or(KeyError::Unknown)
    }

    async fn find_key(
        &self,
        column: &'static str,
        value: &str,
    ) -> Result<Option<(ApiKeyInfo, Account)>, KeyError> {
        let select = format!(
            "SELECT {COLUMNS}, accounts.* FROM api_keys JOIN accounts ON accounts.id = api_keys.account WHERE {column} = $1"
        );
        let found = sqlx::query(sqlx::AssertSqlSafe(select))
            .bind(value)
            .fetch_optional(self.store.pool())
            .await?;
        let read = |row: StoredRow| -> sqlx::Result<_> {
            Ok((ApiKeyInfo::from_row(&row)?, Account::from_row(&row)?))
        };
        Ok(found.map(read).transpose()?)
    }

    fn require_valid(&self, key: &ApiKeyInfo, account: &Account) -> Result<(), KeyError> {
        if key.revoked_at.is_some() {
            return Err(KeyError::Revoked);
        }
        if !key.is_active(self.now()) {
            return Err(KeyError::Expired);
        }
        if account.suspended_at.is_some() {
            return Err(KeyError::Suspended);
        }
        if entitlements(self.plan_of(account)).api_requests_a_day == 0 {
            return Err(KeyError::NoApi);
        }
        Ok(())
    }

    async fn admit(&self, key: ApiKeyInfo, account: Account) -> Result<ApiClient, KeyError> {
        self.require_valid(&key, &account)?;
        let now = self.now();
        let entitlements = entitlements(self.plan_of(&account));
        let quota = self.consume(&account.id, entitlements.api_requests_a_day, now).await?;
        self.note_use(&key, now).await;
        Ok(ApiClient { account: account.summary(), key, entitlements, quota })
    }

    /// Records a key's use, unless one was recorded a moment ago.
    pub(super) async fn note_use(&self, key: &ApiKeyInfo, now: Timestamp) {
        let is_known = key
            .used_at
            .is_some_and(|at| now.as_second() - at.as_second() < USED_AT_INTERVAL_SECONDS);
        if is_known {
            return;
        }
        let update = sqlx::query("UPDATE api_keys SET used_at = $1 WHERE id = $2");
        let updated = update.bind(now.as_second()).bind(&key.id).execute(self.store.pool()).await;
        if let Err(error) = updated {
            tracing::warn!(%error, "the use of an API key could not be recorded");
        }
    }

    /// Returns the plan that applies to an account: admins have the largest one while their address
    /// is in `ADMIN_EMAILS`.
    pub(super) fn plan_of(&self, account: &Account) -> materia::plan::Plan {
        if self.is_operator(account) { materia::plan::Plan::Pro } else { account.plan }
    }

    /// Returns whether an account operates the service: the role counts while its address is in
    /// `ADMIN_EMAILS`.
    pub(super) fn is_operator(&self, account: &Account) -> bool {
        account.role == Role::Admin && self.is_admin_address(&account.email)
    }
}
