//! Magic links, which prove control of the address they were sent to. Each can be used once, within
//! 15 minutes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::{FromRow, Row};

use super::{
    Accounts, Actor, Cookies, Email, ReturnPath,
    account::{self, Account},
    audit::{self, AuditEntry},
    auth_rate_limits, known_browsers,
    mailer::{Delivery, NewMail, OutgoingMail},
    sessions,
    store::{StoreError, StoredRow, Transaction},
    token::{Token, TokenHash},
};
use crate::viewer::Role;

/// How long a link is valid.
pub(super) const LINK_TTL: SignedDuration = SignedDuration::from_mins(15);
/// How long the browser that used a link may present it again: a double click submits the form
/// twice, and the browser keeps only the second response.
const REPEAT_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// The origin of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientInfo {
    /// An IPv4 address, or the /64 that one IPv6 customer is assigned.
    pub(crate) network: String,
    /// The `User-Agent` header.
    pub(crate) user_agent: String,
}

/// A request for a sign-in link.
#[derive(Debug, Clone)]
pub(crate) struct LinkRequest<'a> {
    pub(crate) email: &'a Email,
    /// The display name for an account that does not exist yet.
    pub(crate) name: &'a str,
    pub(crate) next: &'a ReturnPath,
    pub(crate) client: &'a ClientInfo,
    pub(crate) cookies: &'a Cookies,
}

/// Why a link was not created or does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Too many links were requested or presented.
    #[error("too many attempts; try again within {} minutes", .0.as_secs() / 60)]
    TooOften(Duration),
    /// Too many links were sent to one address.
    #[error(
        "too many links were requested for this address; use the newest one we sent, or try again in {}", materia::humanize::duration(*.0)
    )]
    TooManyForAddress(Duration),
    /// The link never existed, was used, or has expired; the reason is not revealed.
    #[error("this link has expired; request a new one")]
    Invalid,
    /// The account is suspended.
    #[error("this account is suspended")]
    Suspended,
    /// The sign-up rule excludes the address.
    #[error("only addresses at {0} can be used here")]
    OutsideDomains(String),
    /// The address belongs to another account.
    #[error("this address belongs to another account")]
    Taken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LinkError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The properties of a sign-in link before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// The address it signs in.
    pub(crate) email: String,
    /// Whether the address has an account.
    pub(crate) has_account: bool,
    /// Whether the link can still be used.
    pub(crate) is_valid: bool,
    /// The page to which it leads.
    pub(crate) next: ReturnPath,
}

/// The outcome of using a link.
#[derive(Debug)]
pub(crate) struct Redeemed {
    /// The session id for the cookie.
    pub(crate) session: Token,
    pub(crate) account: Account,
    pub(crate) next: ReturnPath,
}

/// A link that was just used.
pub(super) struct ConsumedLink {
    pub(super) email: String,
    name: String,
    pub(super) account: Option<String>,
    return_to: String,
    /// The session that the same browser began with the link a moment ago.
    session: Option<String>,
}

impl FromRow<'_, StoredRow> for ConsumedLink {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            account: row.try_get("account")?,
            return_to: row.try_get("return_to")?,
            session: row.try_get("session")?,
        })
    }
}

/// The effect of a link.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    SignIn,
    EmailChange,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::EmailChange => "email_change",
        }
    }
}

impl Accounts {
    /// Sends a link that signs in or signs up. The same work is done whether the address has an
    /// account or not, so that neither the response nor its timing reveals it.
    ///
    /// # Errors
    /// [`LinkError::TooOften`] and [`LinkError::TooManyForAddress`] if a limit is reached.
    pub(crate) async fn request_link(
        &self,
        request: LinkRequest<'_>,
    ) -> Result<Delivery, LinkError> {
        let now = self.now();
        let LinkRequest { email, name, next, client, cookies } = request;
        let mut tx = self.store.begin_write().await?;
        if auth_rate_limits::LINKS_FROM_NETWORK.is_exceeded(&mut tx, now, &client.network).await? {
            return Err(LinkError::TooOften(auth_rate_limits::LINKS_FROM_NETWORK.wait()));
        }
        auth_rate_limits::LINKS_FROM_NETWORK.record(&mut tx, now, &client.network).await?;
        if let Err(refused) = self.check_send_limit(&mut tx, email, client, cookies).await {
            // The attempt counts even though nothing is sent.
            tx.commit().await?;
            return Err(refused);
        }
        let link = Link {
            purpose: Purpose::SignIn,
            email,
            name,
            account: None,
            next: next.as_str(),
            ttl: LINK_TTL,
        };
        let token = link.create(&mut tx, now).await?;
        let address = self.address(&token);
        let admitted = self.is_admitted(&mut tx, email).await?;
        let text = format!(
            "Open this link to sign in to {brand}:\n\n{address}\n\nIt can be used once, within 15 minutes. If you did not request it, ignore this \
             email: nobody can sign in without the link.\n",
            brand = self.settings.brand
        );
        // A link is created for rejected addresses too, but not sent: the work is the same.
        let text = if admitted { text } else { self.rejection() };
        let mail = NewMail {
            to: email.clone(),
            subject: format!("Sign in to {}", self.settings.brand),
            text,
            token: Some(&token),
        };
        let mail = self.mailer.enqueue(&mut tx, now, mail).await?;
        tx.commit().await?;
        Ok(self.mailer.send_and_wait(&self.store, mail).await)
    }

    /// Returns the effect of a sign-in link, whether used or not, for the confirmation page. Does
    /// not use the link: mail scanners open links.
    pub(crate) async fn link_info(&self, token: &Token) -> Result<Option<LinkInfo>, LinkError> {
        let row = sqlx::query(
            "SELECT links.email AS email, accounts.id AS id, return_to,
                    CASE WHEN used_at IS NULL AND expires_at > $3 THEN 1 ELSE 0 END AS valid
             FROM links LEFT JOIN accounts ON accounts.email = links.email
             WHERE token_hash = $1 AND purpose = $2",
        );
        let row = row
            .bind(token.hash().as_str().to_owned())
            .bind(Purpose::SignIn.as_str())
            .bind(self.now().as_second());
        let Some(row) = row.fetch_optional(self.store.pool()).await? else { return Ok(None) };
        Ok(Some(LinkInfo {
            email: row.try_get("email")?,
            has_account: row.try_get::<Option<String>, _>("id")?.is_some(),
            is_valid: row.try_get::<i32, _>("valid")? == 1,
            next: ReturnPath::checked_or_home(Some(row.try_get::<&str, _>("return_to")?)),
        }))
    }

    /// Signs in with a valid link, or with one that the same browser used within [`REPEAT_WINDOW`].
    /// The session in the browser's cookie ends.
    pub(crate) async fn redeem(
        &self,
        token: Option<&Token>,
        cookies: &Cookies,
        client: &ClientInfo,
    ) -> Result<Redeemed, LinkError> {
        let mut tx = self.store.begin_write().await?;
        let outcome = self.redeem_in(&mut tx, token, cookies, client).await;
        // Committed after errors too: a wrong guess is counted, and a suspended account's link is
        // used up.
        tx.commit().await?;
        self.invalidate_sessions();
        outcome
    }

    async fn redeem_in(
        &self,
        tx: &mut Transaction,
        token: Option<&Token>,
        cookies: &Cookies,
        client: &ClientInfo,
    ) -> Result<Redeemed, LinkError> {
        let now = self.now();
        let link = consume(tx, now, Purpose::SignIn, token, client, cookies).await?;
        let email: Email = link.email.parse().map_err(|_| LinkError::Invalid)?;
        if !self.is_admitted(tx, &email).await? {
            return Err(LinkError::Invalid);
        }
        let account = account::by_email_or_new(tx, now, &email, &link.name).await?;
        delete_expired(tx, now).await?;
        let (session, account) = self.sign_in(tx, account, cookies, client).await?;
        if let Some(former) = &link.session {
            // The browser discarded the response with this session's cookie.
            sqlx::query("DELETE FROM sessions WHERE id_hash = $1")
                .bind(former)
                .execute(&mut **tx)
                .await?;
        }
        sqlx::query("UPDATE links SET session = $1 WHERE token_hash = $2")
            .bind(session.hash().as_str())
            .bind(token.map(Token::hash).as_ref().map(TokenHash::as_str))
            .execute(&mut **tx)
            .await?;
        Ok(Redeemed { session, account, next: ReturnPath::checked_or_home(Some(&link.return_to)) })
    }

    /// Begins a session of an account, with the role that `ADMIN_EMAILS` gives it now.
    pub(super) async fn sign_in(
        &self,
        tx: &mut Transaction,
        mut account: Account,
        cookies: &Cookies,
        client: &ClientInfo,
    ) -> Result<(Token, Account), LinkError> {
        if account.suspended_at.is_some() {
            return Err(LinkError::Suspended);
        }
        let now = self.now();
        let due = if self.is_admin_address(&account.email) { Role::Admin } else { Role::Customer };
        if account.role != due {
            account::write_role(tx, &account.id, due).await?;
            let detail =
                format!("{} to {}, by ADMIN_EMAILS at sign-in", account.role.name(), due.name());
            let entry = AuditEntry {
                action: "role changed",
                subject_id: &account.id,
                subject: &account.email,
                detail: &detail,
            };
            audit::record(tx, now, &Actor::site(), entry).await?;
            account.role = due;
        }
        let update = sqlx::query("UPDATE accounts SET signed_in_at = $1 WHERE id = $2");
        update.bind(now.as_second()).bind(&account.id).execute(&mut **tx).await?;
        // Unused links to the same address are no longer needed.
        sqlx::query("DELETE FROM links WHERE email = $1 AND purpose = $2 AND used_at IS NULL")
            .bind(&account.email)
            .bind(Purpose::SignIn.as_str())
            .execute(&mut **tx)
            .await?;
        sessions::end_by_token(tx, cookies.session.as_ref()).await?;
        if let Some(browser) = cookies.browser_hash() {
            known_browsers::remember(tx, now, &browser, &account.id).await?;
        }
        let session = sessions::begin(tx, now, &account, client).await?;
        Ok((session, account))
    }

    /// Refuses another email to an address that has received many recently, and counts it
    /// otherwise. A browser that has signed in to the address before has a separate budget, which
    /// others cannot exhaust.
    pub(super) async fn check_send_limit(
        &self,
        tx: &mut Transaction,
        email: &Email,
        client: &ClientInfo,
        cookies: &Cookies,
    ) -> Result<(), LinkError> {
        let now = self.now();
        let here = format!("{email} {}", client.network);
        if let Some(browser) = cookies.browser_hash()
            && known_browsers::is_known(tx, now, &browser, email).await?
        {
            let own = format!("{email} {}", browser.as_str());
            let limit = auth_rate_limits::LINKS_FOR_KNOWN_BROWSER;
            if !limit.is_exceeded(tx, now, &own).await? {
                return Ok(limit.record(tx, now, &own).await?);
            }
        }
        for (limit, subject) in [
            (auth_rate_limits::LINKS_FOR_ADDRESS, here.as_str()),
            (auth_rate_limits::LINKS_FOR_ADDRESS_A_DAY, here.as_str()),
            (auth_rate_limits::LINKS_FROM_STRANGERS_A_DAY, email.as_str()),
        ] {
            if limit.is_exceeded(tx, now, subject).await? {
                return Err(LinkError::TooManyForAddress(limit.remaining(tx, now, subject).await?));
            }
        }
        auth_rate_limits::LINKS_FOR_ADDRESS.record(tx, now, &here).await?;
        auth_rate_limits::LINKS_FROM_STRANGERS_A_DAY.record(tx, now, email.as_str()).await?;
        Ok(())
    }

    pub(super) async fn send(&self, mails: impl IntoIterator<Item = OutgoingMail>) {
        for mail in mails {
            self.mailer.send(&self.store, mail).await;
        }
    }
}

/// A link to be created.
pub(super) struct Link<'a> {
    pub(super) purpose: Purpose,
    pub(super) email: &'a Email,
    pub(super) name: &'a str,
    pub(super) account: Option<&'a str>,
    pub(super) next: &'a str,
    pub(super) ttl: SignedDuration,
}

impl Link<'_> {
    pub(super) async fn create(
        &self,
        tx: &mut Transaction,
        now: Timestamp,
    ) -> Result<Token, StoreError> {
        let token = Token::random()?;
        sqlx::query(
            "INSERT INTO links (token_hash, purpose, email, name, account, return_to, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(token.hash().as_str())
        .bind(self.purpose.as_str())
        .bind(self.email.as_str())
        .bind(account::clean_name(self.name))
        .bind(self.account)
        .bind(self.next)
        .bind(now.as_second())
        .bind(now.as_second() + self.ttl.as_secs())
        .execute(&mut **tx)
        .await?;
        Ok(token)
    }
}

/// Marks a link as used, in one statement, so that of several concurrent requests one succeeds. The
/// browser that used it may present it again for a moment. An invalid link is counted as a guess.
pub(super) async fn consume(
    tx: &mut Transaction,
    now: Timestamp,
    purpose: Purpose,
    token: Option<&Token>,
    client: &ClientInfo,
    cookies: &Cookies,
) -> Result<ConsumedLink, LinkError> {
    let guesses = auth_rate_limits::GUESSES_FROM_NETWORK;
    if guesses.is_exceeded(tx, now, &client.network).await? {
        return Err(LinkError::TooOften(guesses.wait()));
    }
    let (hash, browser) = (token.map(Token::hash), cookies.browser_hash());
    let (hash, browser) =
        (hash.as_ref().map(TokenHash::as_str), browser.as_ref().map(TokenHash::as_str));
    let found = sqlx::query_as(
        "UPDATE links SET used_at = $1, browser = $4 WHERE token_hash = $2 AND purpose = $3 AND used_at IS NULL AND expires_at > $1
         RETURNING email, name, account, return_to, session",
    );
    let mut found = found
        .bind(now.as_second())
        .bind(hash)
        .bind(purpose.as_str())
        .bind(browser)
        .fetch_optional(&mut **tx)
        .await?;
    if found.is_none() && browser.is_some() {
        let repeated = sqlx::query_as(
            "SELECT email, name, account, return_to, session FROM links
             WHERE token_hash = $1 AND purpose = $2 AND browser = $3 AND used_at >= $4 AND session IS NOT NULL",
        );
        let since = now.checked_sub(REPEAT_WINDOW).unwrap_or(Timestamp::MIN).as_second();
        found = repeated
            .bind(hash)
            .bind(purpose.as_str())
            .bind(browser)
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?;
    }
    if found.is_none() {
        guesses.record(tx, now, &client.network).await?;
    }
    found.ok_or(LinkError::Invalid)
}

/// Deletes expired links, attempts, sessions, emails and browsers.
async fn delete_expired(tx: &mut Transaction, now: Timestamp) -> Result<(), StoreError> {
    let day = SignedDuration::from_hours(24);
    for (statement, age) in [
        ("DELETE FROM links WHERE expires_at < $1", day),
        ("DELETE FROM attempts WHERE at < $1", day),
        ("DELETE FROM sessions WHERE expires_at < $1", SignedDuration::ZERO),
        ("DELETE FROM mails WHERE at < $1", day * 90),
        ("DELETE FROM known_browsers WHERE seen_at < $1", known_browsers::KNOWN_FOR),
    ] {
        let before = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        sqlx::query(statement).bind(before.as_second()).execute(&mut **tx).await?;
    }
    Ok(())
}
