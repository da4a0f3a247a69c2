//! Changing the email address of an account: confirmed by a link that is sent to the new one.

use materia::settings::SignUp;
use sqlx::Row;

use super::{
    Accounts, Actor, Cookies, Email,
    account::{self, Account},
    audit::{self, Deed},
    browsers, display_address, limits,
    links::{LINK_TTL, Link, LinkError, Purpose, Visit, consume},
    mail::{self, Letter},
    secret::Token,
    sessions,
    store::Transaction,
};
use crate::web::viewer::Role;

/// What a link for changing an address would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailChange {
    /// The account's address now.
    pub(crate) old: String,
    /// Its address afterwards.
    pub(crate) new: String,
    /// API keys of the account that work now.
    pub(crate) active_keys: u64,
}

impl Accounts {
    /// Sends a link to a new address, which becomes the account's when it is redeemed, and tells the old one. Whether the new one belongs to
    /// somebody else is told only to who has it.
    pub(crate) async fn request_email_change(
        &self,
        account: &Account,
        email: &Email,
        visit: &Visit,
        cookies: &Cookies,
    ) -> Result<(), LinkError> {
        let now = self.now();
        let mut turn = self.store.write().await?;
        if limits::EMAIL_CHANGES.reached(&mut turn, now, &account.id).await? {
            return Err(LinkError::TooOften(limits::EMAIL_CHANGES.wait()));
        }
        limits::EMAIL_CHANGES.count(&mut turn, now, &account.id).await?;
        let brand = &self.settings.brand;
        let settings = &self.settings;
        if settings.sign_up == SignUp::Domains && !settings.domains.iter().any(|domain| domain == email.domain()) {
            return Err(LinkError::OutsideDomains(settings.domains.join(", ")));
        }
        if let Err(refused) = self.check_send_limit(&mut turn, email, visit, cookies).await {
            turn.commit().await?;
            return Err(refused);
        }
        let link = Link { purpose: Purpose::EmailChange, email, name: "", account: Some(&account.id), next: "/settings", ttl: LINK_TTL };
        let token = link.make(&mut turn, now).await?;
        let address = self.settings.link(&format!("/auth/email?token={}", token.reveal()));
        let (new, old) = (email.to_display(), display_address(&account.email));
        let text = format!(
            "Open this link to change the email address of your account at {brand} from {old} to {new}:\n\n{address}\n\nIt can be used once, within \
             15 minutes. If you did not request it, ignore this email.\n"
        );
        let mut letters = vec![mail::log(&mut turn, now, email.clone(), format!("Confirm your new email address at {brand}"), text).await?];
        if let Ok(old) = account.email.parse() {
            let text = format!(
                "A request was made to change the email address of your account at {brand} to {new}. It changes when the link that was sent there is \
                 opened.\n\nIf this was not you, sign in, end all other sessions and revoke your API keys:\n\n{}\n",
                self.settings.link("/settings")
            );
            letters.push(mail::log(&mut turn, now, old, format!("Your email address at {brand} is about to change"), text).await?);
        }
        turn.commit().await?;
        self.send(letters).await;
        Ok(())
    }

    /// What a valid link would change.
    ///
    /// # Errors
    /// [`LinkError::Dead`] if it was used, is too old, or never was one.
    pub(crate) async fn email_change_info(&self, token: &Token) -> Result<EmailChange, LinkError> {
        let now = self.now().as_second();
        let row = sqlx::query(
            "SELECT links.email AS new, accounts.email AS old,
                    (SELECT count(*) FROM api_keys
                     WHERE api_keys.account = accounts.id AND revoked_at IS NULL AND (api_keys.expires_at IS NULL OR api_keys.expires_at > $3)) AS keys
             FROM links JOIN accounts ON accounts.id = links.account
             WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND links.expires_at > $3",
        );
        let row = row.bind(token.hash().as_str().to_owned()).bind(Purpose::EmailChange.word()).bind(now);
        let row = row.fetch_optional(self.store.pool()).await?.ok_or(LinkError::Dead)?;
        Ok(EmailChange { old: row.try_get("old")?, new: row.try_get("new")?, active_keys: row.try_get::<i64, _>("keys")?.unsigned_abs() })
    }

    /// Makes the address of a valid link the account's. Every session ends but the one named, which gets another id; API keys are revoked where
    /// `revoke_keys` says so. Returns the session's new id, where it is one of this account's.
    pub(crate) async fn change_email(
        &self,
        token: Option<&Token>,
        session: Option<&str>,
        revoke_keys: bool,
        visit: &Visit,
    ) -> Result<Option<Token>, LinkError> {
        let mut turn = self.store.write().await?;
        let outcome = self.change_email_in(&mut turn, token, session, revoke_keys, visit).await;
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
        revoke_keys: bool,
        visit: &Visit,
    ) -> Result<(Option<Token>, Option<Letter>), LinkError> {
        let now = self.now();
        let link = consume(turn, now, Purpose::EmailChange, token, visit, &Cookies::default()).await?;
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
        browsers::forget(turn, &account.id).await?;
        let revoked = if revoke_keys { self.revoke_all_keys(turn, &account, &actor).await? } else { 0 };
        let renewed = match session {
            Some(handle) => sessions::renew(turn, now, handle, &Account { role, ..account.clone() }).await?,
            None => None,
        };
        let letter = match account.email.parse() {
            Ok(old) => {
                let keys = match revoked {
                    0 => String::new(),
                    count => format!(" {} revoked.", materia::words::plural(usize::try_from(count).unwrap_or(usize::MAX), "API key")),
                };
                let text = format!(
                    "The email address of your account at {} was changed from {} to {}. All other sessions were ended.{keys}\n\nIf this was not you, \
                     reply to this email immediately.\n",
                    self.settings.brand,
                    display_address(&account.email),
                    email.to_display()
                );
                Some(mail::log(turn, now, old, format!("Your email address at {} was changed", self.settings.brand), text).await?)
            }
            Err(_) => None,
        };
        Ok((renewed, letter))
    }
}
