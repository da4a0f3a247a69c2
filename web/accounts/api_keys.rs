//! Keys to the API: made, shown once, told by their first digits, limited and revoked.

use jiff::{SignedDuration, Timestamp};
use sqlx::{FromRow, Row};

use super::{
    Accounts, Actor,
    account::Account,
    audit::{self, Deed},
    plans::{Entitlements, entitlements},
    secret::{self, Token, TokenHash},
    store::{StoreError, StoredRow, Transaction},
};
use crate::web::viewer::{self, Role};

/// What every key begins with, so that it is known for what it is where it turns up.
const MARK: &str = "materia_";
/// Digits of the secret that are shown.
const SHOWN: usize = 8;
/// Keys of one account that are good.
const MOST_KEYS: usize = 20;
/// The longest name, in characters.
pub(crate) const LONGEST_KEY_NAME: usize = 60;
/// How exactly it is known when a key was last used.
const WRITTEN_EVERY: i64 = 60;
/// Revoked and expired keys are listed for this long.
const LISTED: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: i64 = 86_400;

/// A key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct KeyLine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) prefix: String,
    /// The tables it opens; nothing: all that the plan does.
    pub(crate) tables: Option<Vec<String>>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) used_at: Option<Timestamp>,
}

impl FromRow<'_, StoredRow> for KeyLine {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|second| second.map(super::time));
        let tables: Option<String> = row.try_get("tables")?;
        let tables = tables.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Self {
            id: row.try_get("key_id")?,
            name: row.try_get("key_name")?,
            prefix: row.try_get("prefix")?,
            tables: tables.map_err(|error| sqlx::Error::ColumnDecode { index: "tables".to_owned(), source: error.into() })?,
            created_at: super::time(row.try_get("key_created_at")?),
            expires_at: time("expires_at")?,
            revoked_at: time("revoked_at")?,
            used_at: time("used_at")?,
        })
    }
}

impl KeyLine {
    /// Whether it opens anything now.
    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) tables: Option<Vec<String>>,
    /// After how many days it ends.
    pub(crate) days: Option<u16>,
}

/// Who calls the API.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) account: viewer::Account,
    pub(crate) key: KeyLine,
    pub(crate) entitled: Entitlements,
    pub(crate) quota: Quota,
}

/// What is left of a day's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) most: u32,
    pub(crate) left: u32,
    /// Seconds until the count begins again.
    pub(crate) reset: u32,
}

/// Why a key opens nothing.
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
    UsedUp(Quota),
    #[error("an account has at most {MOST_KEYS} keys")]
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
                       revoked_at, used_at";

impl Accounts {
    /// Makes a key; the secret is in the answer and nowhere else.
    pub(crate) async fn make_key(&self, account: &Account, actor: &Actor, new: NewKey) -> Result<(KeyLine, String), KeyError> {
        if entitlements(self.plan_of(account)).api_requests_a_day == 0 {
            return Err(KeyError::NoApi);
        }
        let now = self.now();
        let (token, id) = (Token::random()?, secret::random_id()?);
        let prefix: String = token.reveal().chars().take(SHOWN).collect();
        let tables = new.tables.map(|tables| serde_json::Value::from(tables).to_string());
        let expires_at = new.days.map(|days| now.as_second() + i64::from(days) * DAY);
        let mut turn = self.store.write().await?;
        let good: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM api_keys WHERE account = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(&account.id)
        .bind(now.as_second())
        .fetch_one(&mut *turn)
        .await?;
        if usize::try_from(good).is_ok_and(|good| good >= MOST_KEYS) {
            return Err(KeyError::TooMany);
        }
        sqlx::query(
            "INSERT INTO api_keys (id, account, name, prefix, hash, tables, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&id)
        .bind(&account.id)
        .bind(&new.name)
        .bind(&prefix)
        .bind(token.hash().as_str())
        .bind(tables)
        .bind(now.as_second())
        .bind(expires_at)
        .execute(&mut *turn)
        .await?;
        let deed = Deed { action: "API key made", subject_id: &account.id, subject: &account.email, detail: &format!("{MARK}{prefix}") };
        audit::record(&mut turn, now, actor, deed).await?;
        let line = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1")));
        let line = line.bind(&id).fetch_one(&mut *turn).await?;
        turn.commit().await?;
        Ok((line, format!("{MARK}{}", token.reveal())))
    }

    /// The keys of an account, the newest first; those that are over for a while are left out.
    pub(crate) async fn keys(&self, account: &str) -> Result<Vec<KeyLine>, StoreError> {
        let since = self.now().checked_sub(LISTED).unwrap_or(Timestamp::MIN);
        let select = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE account = $1 AND coalesce(revoked_at, expires_at, $2) >= $2
             ORDER BY key_created_at DESC, key_id"
        );
        let select = sqlx::query_as(sqlx::AssertSqlSafe(select));
        Ok(select.bind(account).bind(since.as_second()).fetch_all(self.store.pool()).await?)
    }

    /// Revokes every key of an account that works; returns how many there were.
    pub(super) async fn revoke_all_keys(&self, turn: &mut Transaction, account: &Account, actor: &Actor) -> Result<u64, StoreError> {
        let now = self.now();
        let update = sqlx::query(
            "UPDATE api_keys SET revoked_at = $1 WHERE account = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
        );
        let revoked = update.bind(now.as_second()).bind(&account.id).execute(&mut **turn).await?.rows_affected();
        if revoked > 0 {
            let detail = materia::words::plural(usize::try_from(revoked).unwrap_or(usize::MAX), "key");
            let deed = Deed { action: "API keys revoked", subject_id: &account.id, subject: &account.email, detail: &detail };
            audit::record(turn, now, actor, deed).await?;
        }
        Ok(revoked)
    }

    /// Revokes a key of an account, at once and for good; somebody else's is not touched. Whether there was one.
    pub(crate) async fn revoke_key(&self, account: &Account, actor: &Actor, id: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let mut turn = self.store.write().await?;
        let update = sqlx::query_scalar(
            "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND account = $3 AND revoked_at IS NULL RETURNING prefix",
        );
        let prefix: Option<String> = update.bind(now.as_second()).bind(id).bind(&account.id).fetch_optional(&mut *turn).await?;
        let Some(prefix) = prefix else { return Ok(false) };
        let deed = Deed { action: "API key revoked", subject_id: &account.id, subject: &account.email, detail: &format!("{MARK}{prefix}") };
        audit::record(&mut turn, now, actor, deed).await?;
        turn.commit().await?;
        Ok(true)
    }

    /// Who presents this key, counted as one request.
    ///
    /// Whatever is presented is hashed and looked up by its hash, alike for keys of every state and for what is none: neither the way nor the
    /// time tells how much of a guess was right.
    pub(crate) async fn call(&self, presented: &str) -> Result<Caller, KeyError> {
        let now = self.now();
        let hash = TokenHash::of_presented(presented.strip_prefix(MARK).unwrap_or(presented));
        let select = format!("SELECT {COLUMNS}, accounts.* FROM api_keys JOIN accounts ON accounts.id = api_keys.account WHERE hash = $1");
        let found = sqlx::query(sqlx::AssertSqlSafe(select)).bind(hash.as_str()).fetch_optional(self.store.pool()).await?;
        let found = found.filter(|_| presented.starts_with(MARK)).ok_or(KeyError::Unknown)?;
        let (key, account) = (KeyLine::from_row(&found)?, Account::from_row(&found)?);
        if key.revoked_at.is_some() {
            return Err(KeyError::Revoked);
        }
        if !key.is_good(now) {
            return Err(KeyError::Expired);
        }
        if account.suspended_at.is_some() {
            return Err(KeyError::Suspended);
        }
        let entitled = entitlements(self.plan_of(&account));
        if entitled.api_requests_a_day == 0 {
            return Err(KeyError::NoApi);
        }
        let quota = self.count(&account.id, entitled.api_requests_a_day, now).await?;
        if key.used_at.is_none_or(|at| now.as_second() - at.as_second() >= WRITTEN_EVERY) {
            let update = sqlx::query("UPDATE api_keys SET used_at = $1 WHERE id = $2");
            update.bind(now.as_second()).bind(&key.id).execute(self.store.pool()).await?;
        }
        Ok(Caller { account: account.seen(), key, entitled, quota })
    }

    /// Admins see everything, as long as the role is due to their address.
    fn plan_of(&self, account: &Account) -> materia::plan::Plan {
        let admin = account.role == Role::Admin && self.is_admin_address(&account.email);
        if admin { materia::plan::Plan::Pro } else { account.plan }
    }
}
