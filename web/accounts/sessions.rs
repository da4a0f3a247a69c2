//! Sessions, stored under the hash of a random id that only the browser has.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use sqlx::{FromRow, Row};
use tokio::time::timeout;

use super::{
    Accounts, Actor,
    account::{self, Account},
    audit::{self, AuditEntry},
    magic_links::ClientInfo,
    store::{StoreError, StoredRow, Transaction},
    token::{self, Token, TokenHash},
    usage,
};
use crate::viewer::{Role, Viewer};

/// A session ends after this time without a request.
const IDLE_TIMEOUT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The same, for admins.
const ADMIN_IDLE_TIMEOUT: SignedDuration = SignedDuration::from_hours(12);
/// A session ends after this time in any case.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(60 * 24);
/// `seen_at` is written at most this often, so that not every request writes.
const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(5);
/// How long requests in flight may use a session's former id.
const ROTATION_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// How long a resolved session is cached. Changes by another process (`materia users suspend`) take
/// effect after this time.
const CACHE_TTL: SignedDuration = SignedDuration::from_secs(1);

/// A store that takes longer is considered unavailable.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Resolved sessions by the hash of their id.
pub(super) type SessionCache = Cache<TokenHash, CachedSession>;

#[derive(Clone)]
pub(super) struct CachedSession {
    signed_in: Arc<ActiveSession>,
    until: Timestamp,
    /// The epoch before the store was queried.
    epoch: u64,
}

/// A signed-in viewer and the session used.
#[derive(Debug, Clone)]
pub(crate) struct ActiveSession {
    pub(crate) viewer: Viewer,
    /// The handle that names the session to its owner.
    pub(crate) session: String,
}

/// The outcome of resolving a session cookie.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedSession {
    pub(crate) signed_in: Arc<ActiveSession>,
    /// The session's new id if it was rotated; the response must set it as the cookie.
    pub(crate) renewed: Option<Token>,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SessionInfo {
    pub(crate) handle: String,
    pub(crate) created_at: Timestamp,
    pub(crate) seen_at: Timestamp,
    pub(crate) user_agent: String,
    pub(crate) network: String,
}

impl FromRow<'_, StoredRow> for SessionInfo {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            handle: row.try_get("handle")?,
            created_at: super::time(row.try_get("created_at")?),
            seen_at: super::time(row.try_get("seen_at")?),
            user_agent: row.try_get("user_agent")?,
            network: row.try_get("network")?,
        })
    }
}

/// A session joined with its account.
struct SessionRow {
    id_hash: String,
    handle: String,
    role: Role,
    seen_at: Timestamp,
    expires_at: Timestamp,
    account: Account,
}

impl FromRow<'_, StoredRow> for SessionRow {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            id_hash: row.try_get("id_hash")?,
            handle: row.try_get("handle")?,
            role: account::word(row, "session_role")?,
            seen_at: super::time(row.try_get("seen_at")?),
            expires_at: super::time(row.try_get("expires_at")?),
            account: Account::from_row(row)?,
        })
    }
}

impl SessionRow {
    /// Returns whether the session has expired.
    fn is_over(&self, now: Timestamp) -> bool {
        let idle = if self.role == Role::Admin { ADMIN_IDLE_TIMEOUT } else { IDLE_TIMEOUT };
        self.expires_at <= now || later(self.seen_at, idle) <= now
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Begins a session of an account and returns its id.
pub(super) async fn begin(
    tx: &mut Transaction,
    now: Timestamp,
    account: &Account,
    client: &ClientInfo,
) -> Result<Token, StoreError> {
    let id = Token::random()?;
    sqlx::query(
        "INSERT INTO sessions (id_hash, handle, account, role, created_at, seen_at, expires_at, user_agent, network)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
    )
    .bind(id.hash().as_str())
    .bind(token::random_id()?)
    .bind(&account.id)
    .bind(account.role.name())
    .bind(now.as_second())
    .bind(later(now, MAX_LIFETIME).as_second())
    .bind(client.user_agent.chars().take(300).collect::<String>())
    .bind(&client.network)
    .execute(&mut **tx)
    .await?;
    usage::count_session(tx, &account.id, id.hash().as_str(), now).await?;
    Ok(id)
}

/// Ends the session in the cookie of a browser that signs in: it may have been planted.
pub(super) async fn end_by_token(
    tx: &mut Transaction,
    presented: Option<&Token>,
) -> Result<(), StoreError> {
    if let Some(token) = presented {
        sqlx::query("DELETE FROM sessions WHERE id_hash = $1")
            .bind(token.hash().as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Ends every session of an account except the given one.
pub(super) async fn end_others(
    tx: &mut Transaction,
    account: &str,
    but: Option<&str>,
) -> Result<u64, StoreError> {
    let delete = sqlx::query("DELETE FROM sessions WHERE account = $1 AND handle <> $2");
    Ok(delete.bind(account).bind(but.unwrap_or_default()).execute(&mut **tx).await?.rows_affected())
}

impl Accounts {
    /// Resolves a session id. Returns `None` if the session has expired, was ended or never
    /// existed.
    pub(crate) async fn resolve(
        &self,
        presented: &Token,
    ) -> Result<Option<ResolvedSession>, StoreError> {
        let (now, hash) = (self.now(), presented.hash());
        let epoch = self.cache_epoch.load(Ordering::SeqCst);
        if let Some(cached) = self.session_cache.get(&hash)
            && cached.epoch == epoch
            && now < cached.until
        {
            return Ok(Some(ResolvedSession { signed_in: cached.signed_in, renewed: None }));
        }
        let Some(stored) = self.load_with_timeout(&hash, now).await? else { return Ok(None) };
        if stored.is_over(now) {
            let delete = sqlx::query("DELETE FROM sessions WHERE id_hash = $1");
            let deleted = delete.bind(&stored.id_hash).execute(self.store.pool()).await;
            if let Err(error) = deleted {
                tracing::warn!(%error, "an expired session could not be deleted");
            }
            return Ok(None);
        }
        let resolved = self.refresh(stored, &hash, now).await?;
        if resolved.renewed.is_none() {
            let cached = CachedSession {
                signed_in: resolved.signed_in.clone(),
                until: later(now, CACHE_TTL),
                epoch,
            };
            self.session_cache.insert(hash, cached);
        }
        Ok(Some(resolved))
    }

    /// Queries the store with a timeout, and only if the circuit breaker allows it.
    async fn load_with_timeout(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        if !self.circuit_breaker.try_acquire(Instant::now()) {
            return Err(StoreError::CircuitOpen);
        }
        let stored =
            timeout(LOOKUP_TIMEOUT, self.load(hash, now)).await.unwrap_or(Err(StoreError::Timeout));
        self.circuit_breaker
            .record(Instant::now(), !stored.as_ref().is_err_and(StoreError::is_transient));
        stored
    }

    async fn load(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT sessions.id_hash, sessions.handle, sessions.role AS session_role, sessions.seen_at, sessions.expires_at, accounts.*
             FROM sessions JOIN accounts ON accounts.id = sessions.account
             WHERE sessions.id_hash = $1 OR (sessions.former_hash = $1 AND sessions.former_until > $2)",
        )
        .bind(hash.as_str())
        .bind(now.as_second())
        .fetch_optional(self.store.pool())
        .await?)
    }

    /// Brings a session up to date: removes a role that `ADMIN_EMAILS` no longer grants, rotates
    /// the id of a session whose role has changed, and records the visit.
    async fn refresh(
        &self,
        stored: SessionRow,
        presented: &TokenHash,
        now: Timestamp,
    ) -> Result<ResolvedSession, StoreError> {
        let SessionRow { id_hash, handle, role, seen_at, mut account, .. } = stored;
        let mut renewed = None;
        let lost = account.role == Role::Admin && !self.is_admin_address(&account.email);
        if lost {
            account.role = Role::Customer;
        }
        if lost || role != account.role {
            let mut tx = self.store.begin_write().await?;
            // A concurrent request, on this or another server, may have done either since the
            // session was read.
            let select = sqlx::query_scalar("SELECT role FROM accounts WHERE id = $1");
            let before: Option<String> = select.bind(&account.id).fetch_optional(&mut *tx).await?;
            if lost && before.as_deref() == Some(Role::Admin.name()) {
                account::write_role(&mut tx, &account.id, Role::Customer).await?;
                let entry = AuditEntry {
                    action: "role taken away",
                    subject_id: &account.id,
                    subject: &account.email,
                    detail: "admin to customer: the address is not in ADMIN_EMAILS",
                };
                audit::record(&mut tx, now, &Actor::site(), entry).await?;
            }
            let select = sqlx::query("SELECT 1 FROM sessions WHERE id_hash = $1 AND role <> $2");
            let same = select
                .bind(presented.as_str())
                .bind(account.role.name())
                .fetch_optional(&mut *tx)
                .await?
                .is_some();
            if same {
                renewed = renew(&mut tx, now, &handle, &account).await?;
            }
            tx.commit().await?;
            self.invalidate_sessions();
        } else if later(seen_at, TOUCH_INTERVAL) <= now {
            // A store that cannot be written still resolves sessions.
            if let Err(error) = self.record_visit(&id_hash, &account.id, seen_at, now).await {
                tracing::warn!(%error, "the use of a session could not be recorded");
            }
        }
        let viewer = Viewer::account(account.summary());
        Ok(ResolvedSession {
            signed_in: Arc::new(ActiveSession { viewer, session: handle }),
            renewed,
        })
    }

    /// Records when a session was last used, and counts it on its first use of a day.
    async fn record_visit(
        &self,
        id_hash: &str,
        account: &str,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write().await?;
        // Another request may have been faster.
        let update =
            sqlx::query("UPDATE sessions SET seen_at = $1 WHERE id_hash = $2 AND seen_at = $3");
        let update = update.bind(now.as_second()).bind(id_hash).bind(before.as_second());
        let is_first = update.execute(&mut *tx).await?.rows_affected() > 0;
        if is_first && usage::day_of(before) < usage::day_of(now) {
            usage::count_session(&mut tx, account, id_hash, now).await?;
        }
        tx.commit().await
    }

    /// Returns whether `ADMIN_EMAILS` grants an address the role `admin`.
    #[must_use]
    pub fn is_admin_address(&self, email: &str) -> bool {
        self.settings.admins.iter().any(|admin| admin.as_str() == email)
    }

    /// Returns the sessions of an account, most recently used first.
    pub(crate) async fn sessions(&self, account: &str) -> Result<Vec<SessionInfo>, StoreError> {
        let now = self.now();
        let since = now.checked_sub(IDLE_TIMEOUT).unwrap_or(Timestamp::MIN);
        Ok(sqlx::query_as("SELECT * FROM sessions WHERE account = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY seen_at DESC, handle")
            .bind(account)
            .bind(now.as_second())
            .bind(since.as_second())
            .fetch_all(self.store.pool())
            .await?)
    }

    /// Returns the number of accounts with an active session.
    pub(crate) async fn signed_in_users(&self) -> Result<i64, StoreError> {
        let now = self.now();
        let since = |idle| now.checked_sub(idle).unwrap_or(Timestamp::MIN).as_second();
        let count = "SELECT count(DISTINCT account) FROM sessions WHERE expires_at > $1 AND seen_at > CASE role WHEN 'admin' THEN $2 ELSE $3 END";
        let counted = sqlx::query_scalar(count)
            .bind(now.as_second())
            .bind(since(ADMIN_IDLE_TIMEOUT))
            .bind(since(IDLE_TIMEOUT));
        Ok(counted.fetch_one(self.store.pool()).await?)
    }

    /// Ends one session of an account. Returns false if the account has no such session.
    pub(crate) async fn end_session(
        &self,
        account: &str,
        handle: &str,
    ) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM sessions WHERE account = $1 AND handle = $2");
        let ended =
            delete.bind(account).bind(handle).execute(self.store.pool()).await?.rows_affected();
        self.invalidate_sessions();
        Ok(ended > 0)
    }

    /// Ends every session of an account except one, and returns how many ended.
    pub(crate) async fn end_other_sessions(
        &self,
        account: &str,
        but: &str,
    ) -> Result<u64, StoreError> {
        let mut tx = self.store.begin_write().await?;
        let ended = end_others(&mut tx, account, Some(but)).await?;
        tx.commit().await?;
        self.invalidate_sessions();
        Ok(ended)
    }
}

/// Rotates the id of a session. The former id stays valid for requests in flight. Returns `None` if
/// the session has ended.
pub(super) async fn renew(
    tx: &mut Transaction,
    now: Timestamp,
    handle: &str,
    account: &Account,
) -> Result<Option<Token>, StoreError> {
    let id = Token::random()?;
    let changed = sqlx::query(
        "UPDATE sessions SET former_hash = id_hash, former_until = $1, id_hash = $2, role = $3 WHERE handle = $4 AND account = $5",
    )
    .bind(later(now, ROTATION_GRACE).as_second())
    .bind(id.hash().as_str())
    .bind(account.role.name())
    .bind(handle)
    .bind(&account.id)
    .execute(&mut **tx)
    .await?;
    Ok((changed.rows_affected() == 1).then_some(id))
}
