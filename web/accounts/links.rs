//! Links sent by e-mail: whoever opens one has the address it was sent to. Each works once, and for a quarter of an hour.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::{FromRow, Row};

use super::{
    Accounts, Actor, Email, ReturnPath,
    account::{self, Account},
    audit::{self, Deed},
    limits,
    mail::{self, Letter},
    secret::{Token, TokenHash},
    sessions,
    store::{StoreError, StoredRow, Transaction},
};
use crate::web::viewer::Role;

/// How long a link works.
pub(crate) const LASTS: SignedDuration = SignedDuration::from_mins(15);

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
}

/// Why a link was not made or does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Too many were asked for or presented.
    #[error("too often; wait up to {} minutes", .0.as_secs() / 60)]
    TooOften(Duration),
    /// It never was one, was used, or is too old: nobody is told which.
    #[error("this link does not work any more")]
    Dead,
    /// The account may not be used.
    #[error("this account is suspended")]
    Suspended,
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

/// What a living link is for, before it is redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) email: String,
    /// Whether there is an account for it.
    pub(crate) known: bool,
}

/// What came of redeeming a link.
#[derive(Debug)]
pub(crate) struct Redeemed {
    /// The session's id, for the cookie.
    pub(crate) session: Token,
    pub(crate) account: Account,
    pub(crate) next: ReturnPath,
}

/// A link that was taken.
struct Taken {
    email: String,
    name: String,
    account: Option<String>,
    return_to: String,
}

impl FromRow<'_, StoredRow> for Taken {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            account: row.try_get("account")?,
            return_to: row.try_get("return_to")?,
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    SignIn,
    EmailChange,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::EmailChange => "email_change",
        }
    }
}

impl Accounts {
    /// Sends a link that signs in, or signs up. Whether the address has an account makes no difference to anything that happens here, so that
    /// neither the answer nor the time it takes can tell. An address that was sent too many gets no more for a while, in silence.
    pub(crate) async fn request_link(&self, request: LinkRequest<'_>) -> Result<(), LinkError> {
        let now = self.now();
        let LinkRequest { email, name, next, visit } = request;
        let mut turn = self.store.write().await?;
        if limits::LINKS_FROM_NETWORK.reached(&mut turn, now, &visit.network).await? {
            return Err(LinkError::TooOften(limits::LINKS_FROM_NETWORK.wait()));
        }
        limits::LINKS_FROM_NETWORK.count(&mut turn, now, &visit.network).await?;
        let letter = if self.may_be_sent(&mut turn, email).await? {
            let link = Link { purpose: Purpose::SignIn, email, name, account: None, next: next.as_str() };
            let token = link.make(&mut turn, now).await?;
            let address = self.settings.link(&format!("/auth/verify?token={}", token.reveal()));
            let text = format!(
                "Open this link to sign in to {brand}:\n\n{address}\n\nIt works once, and for 15 minutes. If you did not ask for it, ignore this letter: \
                 nobody gets in without the link.\n",
                brand = self.settings.brand
            );
            Some(mail::log(&mut turn, now, email.clone(), format!("Sign in to {}", self.settings.brand), text).await?)
        } else {
            None
        };
        turn.commit().await?;
        self.send(letter).await;
        Ok(())
    }

    /// What a link that signs in is for, so that somebody sees as whom they would. Redeems nothing: mail scanners open links.
    pub(crate) async fn look_at_link(&self, token: &Token) -> Result<Asked, LinkError> {
        let row = sqlx::query(
            "SELECT links.email AS email, accounts.id AS id FROM links LEFT JOIN accounts ON accounts.email = links.email
             WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
        );
        let row = row.bind(token.hash().as_str().to_owned()).bind(Purpose::SignIn.word()).bind(self.now().as_second());
        let row = row.fetch_optional(self.store.pool()).await?.ok_or(LinkError::Dead)?;
        Ok(Asked { email: row.try_get("email")?, known: row.try_get::<Option<String>, _>("id")?.is_some() })
    }

    /// Signs in who presents a living link. The session that the browser brought ends.
    pub(crate) async fn redeem(&self, token: Option<&Token>, brought: Option<&Token>, visit: &Visit) -> Result<Redeemed, LinkError> {
        let mut turn = self.store.write().await?;
        let outcome = self.redeem_in(&mut turn, token, brought, visit).await;
        // Also where nothing came of it: the guess is counted, and a suspended account's link is used up.
        turn.commit().await?;
        self.changed();
        outcome
    }

    async fn redeem_in(
        &self,
        turn: &mut Transaction,
        token: Option<&Token>,
        brought: Option<&Token>,
        visit: &Visit,
    ) -> Result<Redeemed, LinkError> {
        let now = self.now();
        let link = take(turn, now, Purpose::SignIn, token, visit).await?;
        let email: Email = link.email.parse().map_err(|_| LinkError::Dead)?;
        let account = account::by_email_or_new(turn, now, &email, &link.name).await?;
        tidy(turn, now).await?;
        let (session, account) = self.sign_in(turn, account, brought, visit).await?;
        Ok(Redeemed { session, account, next: ReturnPath::checked_or_home(Some(&link.return_to)) })
    }

    /// Begins a session of an account, with the role that is due to it now.
    pub(super) async fn sign_in(
        &self,
        turn: &mut Transaction,
        mut account: Account,
        brought: Option<&Token>,
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
        sessions::end_presented(turn, brought).await?;
        let session = sessions::begin(turn, now, &account, visit).await?;
        Ok((session, account))
    }

    /// Sends a link to a new address, which becomes the account's when it is redeemed, and tells the old one. Whether the new one belongs to
    /// somebody else is told only to who has it.
    pub(crate) async fn request_email_change(&self, account: &Account, email: &Email) -> Result<(), LinkError> {
        let now = self.now();
        let mut turn = self.store.write().await?;
        if limits::EMAIL_CHANGES.reached(&mut turn, now, &account.id).await? {
            return Err(LinkError::TooOften(limits::EMAIL_CHANGES.wait()));
        }
        limits::EMAIL_CHANGES.count(&mut turn, now, &account.id).await?;
        let brand = &self.settings.brand;
        let mut letters = Vec::new();
        if self.may_be_sent(&mut turn, email).await? {
            let link = Link { purpose: Purpose::EmailChange, email, name: "", account: Some(&account.id), next: "/settings" };
            let token = link.make(&mut turn, now).await?;
            let address = self.settings.link(&format!("/auth/email?token={}", token.reveal()));
            let text = format!(
                "Open this link to make this the address of your account at {brand}:\n\n{address}\n\nIt works once, and for 15 minutes. If you did not \
                 ask for it, ignore this letter.\n"
            );
            letters.push(mail::log(&mut turn, now, email.clone(), format!("Confirm your address at {brand}"), text).await?);
        }
        if let Ok(old) = account.email.parse() {
            let text = format!(
                "Somebody who is signed in to your account at {brand} asked to change its address to {email}. It changes when the link that was sent \
                 there is opened.\n\nIf it was not you, sign in and sign out every other session:\n\n{}\n",
                self.settings.link("/settings")
            );
            letters.push(mail::log(&mut turn, now, old, format!("Your address at {brand} is about to change"), text).await?);
        }
        turn.commit().await?;
        self.send(letters).await;
        Ok(())
    }

    /// The address that a link for changing it would make an account's.
    pub(crate) async fn look_at_email_change(&self, token: &Token) -> Result<String, LinkError> {
        let row =
            sqlx::query_scalar("SELECT email FROM links WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3");
        let row = row.bind(token.hash().as_str().to_owned()).bind(Purpose::EmailChange.word()).bind(self.now().as_second());
        row.fetch_optional(self.store.pool()).await?.ok_or(LinkError::Dead)
    }

    /// Makes the address of a living link the account's. Every session ends, but the one named, which gets another id. The session's new id,
    /// where it is one of this account's.
    pub(crate) async fn change_email(
        &self,
        token: Option<&Token>,
        session: Option<&str>,
        visit: &Visit,
    ) -> Result<Option<Token>, LinkError> {
        let mut turn = self.store.write().await?;
        let outcome = self.change_email_in(&mut turn, token, session, visit).await;
        turn.commit().await?;
        self.changed();
        let (renewed, letter) = outcome?;
        self.send(letter).await;
        Ok(renewed)
    }

    async fn change_email_in(
        &self,
        turn: &mut Transaction,
        token: Option<&Token>,
        session: Option<&str>,
        visit: &Visit,
    ) -> Result<(Option<Token>, Option<Letter>), LinkError> {
        let now = self.now();
        let link = take(turn, now, Purpose::EmailChange, token, visit).await?;
        let email: Email = link.email.parse().map_err(|_| LinkError::Dead)?;
        let select = sqlx::query_as("SELECT * FROM accounts WHERE id = $1");
        let account: Option<Account> = select.bind(link.account.unwrap_or_default()).fetch_optional(&mut **turn).await?;
        let account = account.ok_or(LinkError::Dead)?;
        match account::by_email(turn, &email).await? {
            Some(other) if other.id != account.id => return Err(LinkError::Taken),
            _ => {}
        }
        // An address that is an admin's gives the role at the next sign-in; one that is not takes it away now.
        let role = if self.is_admin_address(email.as_str()) { account.role } else { Role::Customer };
        let update = sqlx::query("UPDATE accounts SET email = $1, role = $2 WHERE id = $3");
        update.bind(email.as_str()).bind(role.name()).bind(&account.id).execute(&mut **turn).await?;
        let detail = format!("to {email}");
        let deed = Deed { action: "address changed", subject_id: &account.id, subject: &account.email, detail: &detail };
        let actor = Actor { id: account.id.clone(), name: account.email.clone(), network: visit.network.clone() };
        audit::record(turn, now, &actor, deed).await?;
        // Links that were sent to the former address sign in nobody any more.
        sqlx::query("DELETE FROM links WHERE email = $1 OR account = $2")
            .bind(&account.email)
            .bind(&account.id)
            .execute(&mut **turn)
            .await?;
        sessions::end_others(turn, &account.id, session).await?;
        let renewed = match session {
            Some(handle) => sessions::renew(turn, now, handle, &Account { role, ..account.clone() }).await?,
            None => None,
        };
        let letter = match account.email.parse() {
            Ok(old) => {
                let text = format!(
                    "The address of your account at {} is {email} now.\n\nIf it was not you, answer this letter at once.\n",
                    self.settings.brand
                );
                Some(mail::log(turn, now, old, format!("Your address at {} was changed", self.settings.brand), text).await?)
            }
            Err(_) => None,
        };
        Ok((renewed, letter))
    }

    /// Whether an address may be sent one more letter; counts it.
    async fn may_be_sent(&self, turn: &mut Transaction, email: &Email) -> Result<bool, StoreError> {
        let now = self.now();
        for limit in [limits::LINKS_FOR_ADDRESS, limits::LINKS_FOR_ADDRESS_A_DAY] {
            if limit.reached(turn, now, email.as_str()).await? {
                return Ok(false);
            }
        }
        limits::LINKS_FOR_ADDRESS.count(turn, now, email.as_str()).await?;
        Ok(true)
    }

    async fn send(&self, letters: impl IntoIterator<Item = Letter>) {
        for letter in letters {
            self.post.send(&self.store, letter).await;
        }
    }
}

/// A link to be made.
struct Link<'a> {
    purpose: Purpose,
    email: &'a Email,
    name: &'a str,
    account: Option<&'a str>,
    next: &'a str,
}

impl Link<'_> {
    async fn make(&self, turn: &mut Transaction, now: Timestamp) -> Result<Token, StoreError> {
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
        .bind(now.as_second() + LASTS.as_secs())
        .execute(&mut **turn)
        .await?;
        Ok(token)
    }
}

/// Uses a link up, in one statement: of two who present it at once, one gets it. What does not work is counted as a guess.
async fn take(turn: &mut Transaction, now: Timestamp, purpose: Purpose, token: Option<&Token>, visit: &Visit) -> Result<Taken, LinkError> {
    let guesses = limits::GUESSES_FROM_NETWORK;
    if guesses.reached(turn, now, &visit.network).await? {
        return Err(LinkError::TooOften(guesses.wait()));
    }
    let hash = token.map(Token::hash);
    let found = sqlx::query_as(
        "UPDATE links SET used_at = $1 WHERE token_hash = $2 AND purpose = $3 AND used_at IS NULL AND expires_at > $1
         RETURNING email, name, account, return_to",
    )
    .bind(now.as_second())
    .bind(hash.as_ref().map(TokenHash::as_str))
    .bind(purpose.word())
    .fetch_optional(&mut **turn)
    .await?;
    if found.is_none() {
        guesses.count(turn, now, &visit.network).await?;
    }
    found.ok_or(LinkError::Dead)
}

/// Removes what is of no more use.
async fn tidy(turn: &mut Transaction, now: Timestamp) -> Result<(), StoreError> {
    let day = SignedDuration::from_hours(24);
    for (statement, age) in [
        ("DELETE FROM links WHERE expires_at < $1", day),
        ("DELETE FROM attempts WHERE at < $1", day),
        ("DELETE FROM sessions WHERE expires_at < $1", SignedDuration::ZERO),
        ("DELETE FROM mails WHERE at < $1", day * 90),
    ] {
        let before = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        sqlx::query(statement).bind(before.as_second()).execute(&mut **turn).await?;
    }
    Ok(())
}
