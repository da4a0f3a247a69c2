//! Links sent by e-mail: whoever opens one has the address it was sent to. Each works once, and for a quarter of an hour.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::{FromRow, Row};

use super::{
    Accounts, Actor, Cookies, Email, ReturnPath,
    account::{self, Account},
    audit::{self, Deed},
    browsers, limits,
    mail::{self, Letter},
    secret::{Token, TokenHash},
    sessions,
    store::{StoreError, StoredRow, Transaction},
};
use crate::web::viewer::Role;

/// How long a link works.
pub(super) const LINK_TTL: SignedDuration = SignedDuration::from_mins(15);
/// For how long the browser that redeemed a link may present it again: a double click sends it twice, and the browser keeps only the second answer.
const REPEAT_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// Where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Visit {
    /// An IPv4 address, or the 64 bits that one IPv6 customer gets.
    pub(crate) network: String,
    /// What the browser calls itself.
    pub(crate) user_agent: String,
}

/// A wish for a link that signs in.
#[derive(Debug, Clone)]
pub(crate) struct LinkRequest<'a> {
    pub(crate) email: &'a Email,
    /// How somebody is named whose account does not exist yet.
    pub(crate) name: &'a str,
    pub(crate) next: &'a ReturnPath,
    pub(crate) visit: &'a Visit,
    pub(crate) cookies: &'a Cookies,
}

/// Why a link was not made or does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Too many were asked for or presented.
    #[error("too often; wait up to {} minutes", .0.as_secs() / 60)]
    TooOften(Duration),
    /// Too many were sent to one address.
    #[error(
        "too many links were requested for this address; use the newest one we sent, or try again in {}", materia::words::duration(*.0)
    )]
    TooManyForAddress(Duration),
    /// It never was one, was used, or is too old: nobody is told which.
    #[error("this link does not work any more")]
    Dead,
    /// The account may not be used.
    #[error("this account is suspended")]
    Suspended,
    /// The rule for sign-up keeps the address out.
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

/// What is known about a link that signs in before it is redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// Who it signs in.
    pub(crate) email: String,
    /// Whether there is an account for it.
    pub(crate) has_account: bool,
    /// Whether it can still be redeemed.
    pub(crate) is_valid: bool,
    /// Where it leads.
    pub(crate) next: ReturnPath,
}

/// What came of redeeming a link.
#[derive(Debug)]
pub(crate) struct Redeemed {
    /// The session's id, for the cookie.
    pub(crate) session: Token,
    pub(crate) account: Account,
    pub(crate) next: ReturnPath,
}

/// A link that was redeemed.
pub(super) struct ConsumedLink {
    pub(super) email: String,
    name: String,
    pub(super) account: Option<String>,
    return_to: String,
    /// The session that the same browser began with it a moment ago.
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

/// What a link is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    SignIn,
    EmailChange,
}

impl Purpose {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::EmailChange => "email_change",
        }
    }
}

impl Accounts {
    /// Sends a link that signs in, or signs up. Whether the address has an account makes no difference to anything that happens here, so that
    /// neither the answer nor the time it takes can tell.
    ///
    /// # Errors
    /// [`LinkError::TooOften`] and [`LinkError::TooManyForAddress`] where a limit is reached, and what the store says.
    pub(crate) async fn request_link(&self, request: LinkRequest<'_>) -> Result<(), LinkError> {
        let now = self.now();
        let LinkRequest { email, name, next, visit, cookies } = request;
        let mut turn = self.store.write().await?;
        if limits::LINKS_FROM_NETWORK.reached(&mut turn, now, &visit.network).await? {
            return Err(LinkError::TooOften(limits::LINKS_FROM_NETWORK.wait()));
        }
        limits::LINKS_FROM_NETWORK.count(&mut turn, now, &visit.network).await?;
        if let Err(refused) = self.check_send_limit(&mut turn, email, visit, cookies).await {
            // The request counts although nothing is sent.
            turn.commit().await?;
            return Err(refused);
        }
        let link = Link { purpose: Purpose::SignIn, email, name, account: None, next: next.as_str(), ttl: LINK_TTL };
        let address = self.address(&link.make(&mut turn, now).await?);
        let admitted = self.is_admitted(&mut turn, email).await?;
        let text = format!(
            "Open this link to sign in to {brand}:\n\n{address}\n\nIt can be used once, within 15 minutes. If you did not request it, ignore this \
             email: nobody can sign in without the link.\n",
            brand = self.settings.brand
        );
        // The link of whoever may not have an account is made as well, and goes nowhere: the work is the same.
        let text = if admitted { text } else { self.rejection() };
        let letter = mail::log(&mut turn, now, email.clone(), format!("Sign in to {}", self.settings.brand), text).await?;
        turn.commit().await?;
        self.send([letter]).await;
        Ok(())
    }

    /// What a link that signs in is for, used or not, so that a page can say as whom one would sign in. Redeems nothing: mail scanners open links.
    pub(crate) async fn link_info(&self, token: &Token) -> Result<Option<LinkInfo>, LinkError> {
        let row = sqlx::query(
            "SELECT links.email AS email, accounts.id AS id, return_to,
                    CASE WHEN used_at IS NULL AND expires_at > $3 THEN 1 ELSE 0 END AS valid
             FROM links LEFT JOIN accounts ON accounts.email = links.email
             WHERE token_hash = $1 AND purpose = $2",
        );
        let row = row.bind(token.hash().as_str().to_owned()).bind(Purpose::SignIn.word()).bind(self.now().as_second());
        let Some(row) = row.fetch_optional(self.store.pool()).await? else { return Ok(None) };
        Ok(Some(LinkInfo {
            email: row.try_get("email")?,
            has_account: row.try_get::<Option<String>, _>("id")?.is_some(),
            is_valid: row.try_get::<i32, _>("valid")? == 1,
            next: ReturnPath::checked_or_home(Some(row.try_get::<&str, _>("return_to")?)),
        }))
    }

    /// Signs in whoever presents a valid link, or presents it again from the same browser within [`REPEAT_WINDOW`]. The session that the browser
    /// brought ends.
    pub(crate) async fn redeem(&self, token: Option<&Token>, cookies: &Cookies, visit: &Visit) -> Result<Redeemed, LinkError> {
        let mut turn = self.store.write().await?;
        let outcome = self.redeem_in(&mut turn, token, cookies, visit).await;
        // Also where nothing came of it: the guess is counted, and a suspended account's link is used up.
        turn.commit().await?;
        self.changed();
        outcome
    }

    async fn redeem_in(
        &self,
        turn: &mut Transaction,
        token: Option<&Token>,
        cookies: &Cookies,
        visit: &Visit,
    ) -> Result<Redeemed, LinkError> {
        let now = self.now();
        let link = consume(turn, now, Purpose::SignIn, token, visit, cookies).await?;
        let email: Email = link.email.parse().map_err(|_| LinkError::Dead)?;
        if !self.is_admitted(turn, &email).await? {
            return Err(LinkError::Dead);
        }
        let account = account::by_email_or_new(turn, now, &email, &link.name).await?;
        delete_expired(turn, now).await?;
        let (session, account) = self.sign_in(turn, account, cookies, visit).await?;
        if let Some(former) = &link.session {
            // Its cookie was in the answer that the browser did not wait for.
            sqlx::query("DELETE FROM sessions WHERE id_hash = $1").bind(former).execute(&mut **turn).await?;
        }
        sqlx::query("UPDATE links SET session = $1 WHERE token_hash = $2")
            .bind(session.hash().as_str())
            .bind(token.map(Token::hash).as_ref().map(TokenHash::as_str))
            .execute(&mut **turn)
            .await?;
        Ok(Redeemed { session, account, next: ReturnPath::checked_or_home(Some(&link.return_to)) })
    }

    /// Begins a session of an account, with the role that is due to it now.
    pub(super) async fn sign_in(
        &self,
        turn: &mut Transaction,
        mut account: Account,
        cookies: &Cookies,
        visit: &Visit,
    ) -> Result<(Token, Account), LinkError> {
        if account.suspended_at.is_some() {
            return Err(LinkError::Suspended);
        }
        let now = self.now();
        let due = if self.is_admin_address(&account.email) { Role::Admin } else { Role::Customer };
        if account.role != due {
            account::write_role(turn, &account.id, due).await?;
            let detail = format!("{} to {}, by ADMIN_EMAILS at sign-in", account.role.name(), due.name());
            let deed = Deed { action: "role changed", subject_id: &account.id, subject: &account.email, detail: &detail };
            audit::record(turn, now, &Actor::site(), deed).await?;
            account.role = due;
        }
        let update = sqlx::query("UPDATE accounts SET signed_in_at = $1 WHERE id = $2");
        update.bind(now.as_second()).bind(&account.id).execute(&mut **turn).await?;
        // What else was sent to the address and not used is of no more use to anybody.
        sqlx::query("DELETE FROM links WHERE email = $1 AND purpose = $2 AND used_at IS NULL")
            .bind(&account.email)
            .bind(Purpose::SignIn.word())
            .execute(&mut **turn)
            .await?;
        sessions::end_presented(turn, cookies.session.as_ref()).await?;
        if let Some(browser) = cookies.browser_hash() {
            browsers::remember(turn, now, &browser, &account.id).await?;
        }
        let session = sessions::begin(turn, now, &account, visit).await?;
        Ok((session, account))
    }

    /// Refuses one more letter to an address that got many lately; counts it otherwise. A browser that signed in to the address before has a share of
    /// its own, so that nobody else can use it up.
    pub(super) async fn check_send_limit(
        &self,
        turn: &mut Transaction,
        email: &Email,
        visit: &Visit,
        cookies: &Cookies,
    ) -> Result<(), LinkError> {
        let now = self.now();
        let here = format!("{email} {}", visit.network);
        if let Some(browser) = cookies.browser_hash()
            && browsers::is_known(turn, now, &browser, email).await?
        {
            let own = format!("{email} {}", browser.as_str());
            let limit = limits::LINKS_FOR_KNOWN_BROWSER;
            if !limit.reached(turn, now, &own).await? {
                return Ok(limit.count(turn, now, &own).await?);
            }
        }
        for (limit, subject) in [
            (limits::LINKS_FOR_ADDRESS, here.as_str()),
            (limits::LINKS_FOR_ADDRESS_A_DAY, here.as_str()),
            (limits::LINKS_FROM_STRANGERS_A_DAY, email.as_str()),
        ] {
            if limit.reached(turn, now, subject).await? {
                return Err(LinkError::TooManyForAddress(limit.remaining(turn, now, subject).await?));
            }
        }
        limits::LINKS_FOR_ADDRESS.count(turn, now, &here).await?;
        limits::LINKS_FROM_STRANGERS_A_DAY.count(turn, now, email.as_str()).await?;
        Ok(())
    }

    pub(super) async fn send(&self, letters: impl IntoIterator<Item = Letter>) {
        for letter in letters {
            self.post.send(&self.store, letter).await;
        }
    }
}

/// A link to be made.
pub(super) struct Link<'a> {
    pub(super) purpose: Purpose,
    pub(super) email: &'a Email,
    pub(super) name: &'a str,
    pub(super) account: Option<&'a str>,
    pub(super) next: &'a str,
    /// How long it works.
    pub(super) ttl: SignedDuration,
}

impl Link<'_> {
    pub(super) async fn make(&self, turn: &mut Transaction, now: Timestamp) -> Result<Token, StoreError> {
        let token = Token::random()?;
        sqlx::query(
            "INSERT INTO links (token_hash, purpose, email, name, account, return_to, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(token.hash().as_str())
        .bind(self.purpose.word())
        .bind(self.email.as_str())
        .bind(account::clean_name(self.name))
        .bind(self.account)
        .bind(self.next)
        .bind(now.as_second())
        .bind(now.as_second() + self.ttl.as_secs())
        .execute(&mut **turn)
        .await?;
        Ok(token)
    }
}

/// Uses a link up, in one statement: of two who present it at once, one gets it. The browser that used it may present it again for a moment. What
/// does not work is counted as a guess.
pub(super) async fn consume(
    turn: &mut Transaction,
    now: Timestamp,
    purpose: Purpose,
    token: Option<&Token>,
    visit: &Visit,
    cookies: &Cookies,
) -> Result<ConsumedLink, LinkError> {
    let guesses = limits::GUESSES_FROM_NETWORK;
    if guesses.reached(turn, now, &visit.network).await? {
        return Err(LinkError::TooOften(guesses.wait()));
    }
    let (hash, browser) = (token.map(Token::hash), cookies.browser_hash());
    let (hash, browser) = (hash.as_ref().map(TokenHash::as_str), browser.as_ref().map(TokenHash::as_str));
    let found = sqlx::query_as(
        "UPDATE links SET used_at = $1, browser = $4 WHERE token_hash = $2 AND purpose = $3 AND used_at IS NULL AND expires_at > $1
         RETURNING email, name, account, return_to, session",
    );
    let mut found = found.bind(now.as_second()).bind(hash).bind(purpose.word()).bind(browser).fetch_optional(&mut **turn).await?;
    if found.is_none() && browser.is_some() {
        let repeated = sqlx::query_as(
            "SELECT email, name, account, return_to, session FROM links
             WHERE token_hash = $1 AND purpose = $2 AND browser = $3 AND used_at >= $4 AND session IS NOT NULL",
        );
        let since = now.checked_sub(REPEAT_WINDOW).unwrap_or(Timestamp::MIN).as_second();
        found = repeated.bind(hash).bind(purpose.word()).bind(browser).bind(since).fetch_optional(&mut **turn).await?;
    }
    if found.is_none() {
        guesses.count(turn, now, &visit.network).await?;
    }
    found.ok_or(LinkError::Dead)
}

/// Removes what is of no more use.
async fn delete_expired(turn: &mut Transaction, now: Timestamp) -> Result<(), StoreError> {
    let day = SignedDuration::from_hours(24);
    for (statement, age) in [
        ("DELETE FROM links WHERE expires_at < $1", day),
        ("DELETE FROM attempts WHERE at < $1", day),
        ("DELETE FROM sessions WHERE expires_at < $1", SignedDuration::ZERO),
        ("DELETE FROM mails WHERE at < $1", day * 90),
        ("DELETE FROM known_browsers WHERE seen_at < $1", browsers::KNOWN_FOR),
    ] {
        let before = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        sqlx::query(statement).bind(before.as_second()).execute(&mut **turn).await?;
    }
    Ok(())
}
