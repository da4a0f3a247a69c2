//! Sessions: who is signed in where. Kept in the store, named by a random id that only the browser has.

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
    audit::{self, Deed},
    links::Visit,
    secret::{self, Token, TokenHash},
    store::{StoreError, StoredRow, Transaction},
};
use crate::web::viewer::{Role, Viewer};

/// A session ends after this much time without a request.
const IDLE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// An admin's ends earlier.
const IDLE_ADMIN: SignedDuration = SignedDuration::from_hours(12);
/// A session ends after this much time whatever happens.
const ABSOLUTE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// How exactly it is known when somebody was last here: not every request writes.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// How long a request under way may still name a session by the id it had before.
const FORMER: SignedDuration = SignedDuration::from_secs(30);
/// How long an answer of the store is believed: what another process changes (`materia users suspend`) counts after this.
const BELIEVED: SignedDuration = SignedDuration::from_secs(1);

/// A store that takes longer to tell whose session it is, is away.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Answers of the store by the id's hash.
pub(super) type Seen = Cache<TokenHash, Believed>;

#[derive(Clone)]
pub(super) struct Believed {
    signed_in: Arc<SignedIn>,
    until: Timestamp,
    /// The number of changes before the store was asked.
    changes: u64,
}

/// Who is signed in, and by which session.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    pub(crate) viewer: Viewer,
    /// Names the session to its owner.
    pub(crate) session: String,
}

/// What a cookie stands for.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) signed_in: Arc<SignedIn>,
    /// The session's new id, where it was changed: the answer must carry it to the browser.
    pub(crate) renewed: Option<Token>,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SessionLine {
    pub(crate) handle: String,
    pub(crate) created_at: Timestamp,
    pub(crate) seen_at: Timestamp,
    pub(crate) user_agent: String,
    pub(crate) network: String,
}

impl FromRow<'_, StoredRow> for SessionLine {
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

/// A session's own columns, and its account's.
struct Stored {
    id_hash: String,
    handle: String,
    role: Role,
    seen_at: Timestamp,
    expires_at: Timestamp,
    account: Account,
}

impl FromRow<'_, StoredRow> for Stored {
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

impl Stored {
    /// Whether it has ended by itself.
    fn is_over(&self, now: Timestamp) -> bool {
        let idle = if self.role == Role::Admin { IDLE_ADMIN } else { IDLE };
        self.expires_at <= now || later(self.seen_at, idle) <= now
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Begins a session of an account, and returns its id.
pub(super) async fn begin(turn: &mut Transaction, now: Timestamp, account: &Account, visit: &Visit) -> Result<Token, StoreError> {
    let id = Token::random()?;
    sqlx::query(
        "INSERT INTO sessions (id_hash, handle, account, role, created_at, seen_at, expires_at, user_agent, network)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
    )
    .bind(id.hash().as_str())
    .bind(secret::random_id()?)
    .bind(&account.id)
    .bind(account.role.name())
    .bind(now.as_second())
    .bind(later(now, ABSOLUTE).as_second())
    .bind(visit.user_agent.chars().take(300).collect::<String>())
    .bind(&visit.network)
    .execute(&mut **turn)
    .await?;
    Ok(id)
}

/// Ends the session that a browser brings to a sign-in: what somebody else may have put there is good for nothing afterwards.
pub(super) async fn end_presented(turn: &mut Transaction, presented: Option<&Token>) -> Result<(), StoreError> {
    if let Some(token) = presented {
        sqlx::query("DELETE FROM sessions WHERE id_hash = $1").bind(token.hash().as_str()).execute(&mut **turn).await?;
    }
    Ok(())
}

/// Ends every session of an account, but the one named.
pub(super) async fn end_others(turn: &mut Transaction, account: &str, but: Option<&str>) -> Result<u64, StoreError> {
    let delete = sqlx::query("DELETE FROM sessions WHERE account = $1 AND handle <> $2");
    Ok(delete.bind(account).bind(but.unwrap_or_default()).execute(&mut **turn).await?.rows_affected())
}

impl Accounts {
    /// Who presents this session id. Nobody, where the session has ended, was ended, or never began.
    pub(crate) async fn resolve(&self, presented: &Token) -> Result<Option<Resolved>, StoreError> {
        let (now, hash) = (self.now(), presented.hash());
        let changes = self.changes.load(Ordering::SeqCst);
        if let Some(believed) = self.seen.get(&hash)
            && believed.changes == changes
            && now < believed.until
        {
            return Ok(Some(Resolved { signed_in: believed.signed_in, renewed: None }));
        }
        let Some(stored) = self.stored_in_time(&hash, now).await? else { return Ok(None) };
        if stored.is_over(now) {
            let delete = sqlx::query("DELETE FROM sessions WHERE id_hash = $1");
            delete.bind(&stored.id_hash).execute(self.store.pool()).await?;
            return Ok(None);
        }
        let resolved = self.settle(stored, &hash, now).await?;
        if resolved.renewed.is_none() {
            let believed = Believed { signed_in: resolved.signed_in.clone(), until: later(now, BELIEVED), changes };
            self.seen.insert(hash, believed);
        }
        Ok(Some(resolved))
    }

    /// Asks the store, unless it keeps one waiting: while it does, few wait.
    async fn stored_in_time(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        if !self.patience.tries(Instant::now()) {
            return Err(StoreError::Resting);
        }
        let stored = timeout(ANSWERED_WITHIN, self.stored(hash, now)).await.unwrap_or(Err(StoreError::Silent));
        self.patience.learn(Instant::now(), !stored.as_ref().is_err_and(StoreError::may_pass));
        stored
    }

    async fn stored(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Stored>, StoreError> {
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

    /// Brings a session up to date: takes the role away from whom it is no longer due to, gives the session a new id where the role is another
    /// than when it got its id, and writes down that somebody is here.
    async fn settle(&self, stored: Stored, presented: &TokenHash, now: Timestamp) -> Result<Resolved, StoreError> {
        let Stored { id_hash, handle, role, seen_at, mut account, .. } = stored;
        let mut renewed = None;
        let lost = account.role == Role::Admin && !self.is_admin_address(&account.email);
        if lost {
            account.role = Role::Customer;
        }
        if lost || role != account.role {
            let mut turn = self.store.write().await?;
            // Another request, here or at another server, may have done either since the session was read.
            let select = sqlx::query_scalar("SELECT role FROM accounts WHERE id = $1");
            let before: Option<String> = select.bind(&account.id).fetch_optional(&mut *turn).await?;
            if lost && before.as_deref() == Some(Role::Admin.name()) {
                account::write_role(&mut turn, &account.id, Role::Customer).await?;
                let deed = Deed {
                    action: "role taken away",
                    subject_id: &account.id,
                    subject: &account.email,
                    detail: "admin to customer: the address is not in ADMIN_EMAILS",
                };
                audit::record(&mut turn, now, &Actor::site(), deed).await?;
            }
            let select = sqlx::query("SELECT 1 FROM sessions WHERE id_hash = $1 AND role <> $2");
            let same = select.bind(presented.as_str()).bind(account.role.name()).fetch_optional(&mut *turn).await?.is_some();
            if same {
                renewed = renew(&mut turn, now, &handle, &account).await?;
            }
            turn.commit().await?;
            self.changed();
        } else if later(seen_at, SEEN_EVERY) <= now {
            let update = sqlx::query("UPDATE sessions SET seen_at = $1 WHERE id_hash = $2");
            update.bind(now.as_second()).bind(&id_hash).execute(self.store.pool()).await?;
        }
        let viewer = Viewer::account(account.seen());
        Ok(Resolved { signed_in: Arc::new(SignedIn { viewer, session: handle }), renewed })
    }

    /// Whether the role `admin` is due to an address.
    pub(crate) fn is_admin_address(&self, email: &str) -> bool {
        self.settings.admins.iter().any(|admin| admin.as_str() == email)
    }

    /// The sessions of an account, the latest used first.
    pub(crate) async fn sessions(&self, account: &str) -> Result<Vec<SessionLine>, StoreError> {
        let now = self.now();
        let since = now.checked_sub(IDLE).unwrap_or(Timestamp::MIN);
        Ok(sqlx::query_as("SELECT * FROM sessions WHERE account = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY seen_at DESC, handle")
            .bind(account)
            .bind(now.as_second())
            .bind(since.as_second())
            .fetch_all(self.store.pool())
            .await?)
    }

    /// How many accounts have a session that has not ended.
    pub(crate) async fn signed_in_users(&self) -> Result<i64, StoreError> {
        let now = self.now();
        let since = |idle| now.checked_sub(idle).unwrap_or(Timestamp::MIN).as_second();
        let count =
            "SELECT count(DISTINCT account) FROM sessions WHERE expires_at > $1 AND seen_at > CASE role WHEN 'admin' THEN $2 ELSE $3 END";
        let counted = sqlx::query_scalar(count).bind(now.as_second()).bind(since(IDLE_ADMIN)).bind(since(IDLE));
        Ok(counted.fetch_one(self.store.pool()).await?)
    }

    /// Signs out one session of an account; somebody else's is not touched. Whether there was one.
    pub(crate) async fn end_session(&self, account: &str, handle: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM sessions WHERE account = $1 AND handle = $2");
        let ended = delete.bind(account).bind(handle).execute(self.store.pool()).await?.rows_affected();
        self.changed();
        Ok(ended > 0)
    }

    /// Signs out every session of an account but one; how many there were.
    pub(crate) async fn end_other_sessions(&self, account: &str, but: &str) -> Result<u64, StoreError> {
        let mut turn = self.store.write().await?;
        let ended = end_others(&mut turn, account, Some(but)).await?;
        turn.commit().await?;
        self.changed();
        Ok(ended)
    }
}

/// Gives a session another id. The former one is good for requests that are under way. Nothing, where it has ended meanwhile.
pub(super) async fn renew(turn: &mut Transaction, now: Timestamp, handle: &str, account: &Account) -> Result<Option<Token>, StoreError> {
    let id = Token::random()?;
    let changed = sqlx::query(
        "UPDATE sessions SET former_hash = id_hash, former_until = $1, id_hash = $2, role = $3 WHERE handle = $4 AND account = $5",
    )
    .bind(later(now, FORMER).as_second())
    .bind(id.hash().as_str())
    .bind(account.role.name())
    .bind(handle)
    .bind(&account.id)
    .execute(&mut **turn)
    .await?;
    Ok((changed.rows_affected() == 1).then_some(id))
}
