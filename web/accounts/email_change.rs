//! Changing an account's email address, confirmed by a link sent to the new address.

use materia::settings::SignUp;
use sqlx::Row;

use super::{
    Accounts, Actor, Cookies, Email,
    account::{self, Account},
    audit::{self, AuditEntry},
    auth_rate_limits, display_address, known_browsers,
    magic_links::{ClientInfo, LINK_TTL, Link, LinkError, Purpose, consume},
    mailer::{Delivery, NewMail, OutgoingMail},
    sessions,
    store::Transaction,
    token::Token,
};
use crate::viewer::Role;

/// The effect of a link that changes an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmailChange {
    /// The account's current address.
    pub(crate) old: String,
    /// The account's address afterwards.
    pub(crate) new: String,
    /// The number of the account's active API keys.
    pub(crate) active_keys: u64,
}

impl Accounts {
    /// Sends a confirmation link to the new address and a notice to the current one. Whether the
    /// new address has an account is revealed only to its owner.
    pub(crate) async fn request_email_change(
        &self,
        account: &Account,
        email: &Email,
        client: &ClientInfo,
        cookies: &Cookies,
    ) -> Result<Delivery, LinkError> {
        let now = self.now();
        let mut tx = self.store.begin_write().await?;
        if auth_rate_limits::EMAIL_CHANGES.is_exceeded(&mut tx, now, &account.id).await? {
            return Err(LinkError::TooOften(auth_rate_limits::EMAIL_CHANGES.wait()));
        }
        auth_rate_limits::EMAIL_CHANGES.record(&mut tx, now, &account.id).await?;
        let brand = &self.settings.brand;
        let settings = &self.settings;
        if settings.sign_up == SignUp::Domains
            && !settings.domains.iter().any(|domain| domain == email.domain())
        {
            return Err(LinkError::OutsideDomains(settings.domains.join(", ")));
        }
        if let Err(refused) = self.check_send_limit(&mut tx, email, client, cookies).await {
            tx.commit().await?;
            return Err(refused);
        }
        let link = Link {
            purpose: Purpose::EmailChange,
            email,
            name: "",
            account: Some(&account.id),
            next: "/settings",
            ttl: LINK_TTL,
        };
        let token = link.create(&mut tx, now).await?;
        let address = self.settings.link(&format!("/auth/email?token={}", token.reveal()));
        let (new, old) = (email.to_display(), display_address(&account.email));
        let text = format!(
            "Open this link to change the email address of your account at {brand} from {old} to {new}:\n\n{address}\n\nIt can be used once, within \
             15 minutes. If you did not request it, ignore this email.\n"
        );
        let mail = NewMail {
            to: email.clone(),
            subject: format!("Confirm your new email address at {brand}"),
            text,
            token: Some(&token),
        };
        let confirmation = self.mailer.enqueue(&mut tx, now, mail).await?;
        let mut notice = None;
        if let Ok(old) = account.email.parse() {
            let text = format!(
                "A request was made to change the email address of your account at {brand} to {new}. It changes when the link that was sent there is \
                 opened.\n\nIf this was not you, sign in, end all other sessions and revoke your API keys:\n\n{}\n",
                self.settings.link("/settings")
            );
            let subject = format!("Your email address at {brand} is about to change");
            let mail = NewMail { to: old, subject, text, token: None };
            notice = Some(self.mailer.enqueue(&mut tx, now, mail).await?);
        }
        tx.commit().await?;
        self.send(notice).await;
        Ok(self.mailer.send_and_wait(&self.store, confirmation).await)
    }

    /// Returns the change that a valid link would make.
    ///
    /// # Errors
    /// [`LinkError::Invalid`] if the link was used, has expired, or never existed.
    pub(crate) async fn email_change_info(&self, token: &Token) -> Result<EmailChange, LinkError> {
        let now = self.now().as_second();
        let row = sqlx::query(
            "SELECT links.email AS new, accounts.email AS old,
                    (SELECT count(*) FROM api_keys
                     WHERE api_keys.account = accounts.id AND revoked_at IS NULL AND (api_keys.expires_at IS NULL OR api_keys.expires_at > $3)) AS keys
             FROM links JOIN accounts ON accounts.id = links.account
             WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND links.expires_at > $3",
        );
        let row = row
            .bind(token.hash().as_str().to_owned())
            .bind(Purpose::EmailChange.as_str())
            .bind(now);
        let row = row.fetch_optional(self.store.pool()).await?.ok_or(LinkError::Invalid)?;
        Ok(EmailChange {
            old: row.try_get("old")?,
            new: row.try_get("new")?,
            active_keys: row.try_get::<i64, _>("keys")?.unsigned_abs(),
        })
    }

    /// Sets the account's address to that of a valid link. Ends every session except the given one,
    /// which gets a new id, and revokes API keys if `revoke_keys` is set. Returns the session's new
    /// id if it belongs to the account.
    pub(crate) async fn change_email(
        &self,
        token: Option<&Token>,
        session: Option<&str>,
        revoke_keys: bool,
        client: &ClientInfo,
    ) -> Result<Option<Token>, LinkError> {
        let mut tx = self.store.begin_write().await?;
        let outcome = self.change_email_in(&mut tx, token, session, revoke_keys, client).await;
        tx.commit().await?;
        self.invalidate_sessions();
        let (renewed, mail) = outcome?;
        self.send(mail).await;
        Ok(renewed)
    }

    async fn change_email_in(
        &self,
        tx: &mut Transaction,
        token: Option<&Token>,
        session: Option<&str>,
        revoke_keys: bool,
        client: &ClientInfo,
    ) -> Result<(Option<Token>, Option<OutgoingMail>), LinkError> {
        let now = self.now();
        let link =
            consume(tx, now, Purpose::EmailChange, token, client, &Cookies::default()).await?;
        let email: Email = link.email.parse().map_err(|_| LinkError::Invalid)?;
        let select = sqlx::query_as("SELECT * FROM accounts WHERE id = $1");
        let account: Option<Account> =
            select.bind(link.account.unwrap_or_default()).fetch_optional(&mut **tx).await?;
        let account = account.ok_or(LinkError::Invalid)?;
        match account::by_email(tx, &email).await? {
            Some(other) if other.id != account.id => return Err(LinkError::Taken),
            _ => {}
        }
        // An admin's address grants the role at the next sign-in; any other address revokes it now.
        let role =
            if self.is_admin_address(email.as_str()) { account.role } else { Role::Customer };
        let update = sqlx::query("UPDATE accounts SET email = $1, role = $2 WHERE id = $3");
        update.bind(email.as_str()).bind(role.name()).bind(&account.id).execute(&mut **tx).await?;
        let detail = format!("to {email}");
        let entry = AuditEntry {
            action: "address changed",
            subject_id: &account.id,
            subject: &account.email,
            detail: &detail,
        };
        let actor = Actor {
            id: account.id.clone(),
            name: account.email.clone(),
            network: client.network.clone(),
        };
        audit::record(tx, now, &actor, entry).await?;
        // Links sent to the previous address must no longer sign in.
        sqlx::query("DELETE FROM links WHERE email = $1 OR account = $2")
            .bind(&account.email)
            .bind(&account.id)
            .execute(&mut **tx)
            .await?;
        sessions::end_others(tx, &account.id, session).await?;
        known_browsers::forget(tx, &account.id).await?;
        let revoked =
            if revoke_keys { self.revoke_all_keys(tx, &account, &actor).await? } else { 0 };
        let renewed = match session {
            Some(handle) => {
                sessions::renew(tx, now, handle, &Account { role, ..account.clone() }).await?
            }
            None => None,
        };
        let mail = match account.email.parse() {
            Ok(old) => {
                let keys = match revoked {
                    0 => String::new(),
                    count => format!(
                        " {} revoked.",
                        materia::humanize::plural(
                            usize::try_from(count).unwrap_or(usize::MAX),
                            "API key"
                        )
                    ),
                };
                let text = format!(
                    "The email address of your account at {} was changed from {} to {}. All other sessions were ended.{keys}\n\nIf this was not you, \
                     reply to this email immediately.\n",
                    self.settings.brand,
                    display_address(&account.email),
                    email.to_display()
                );
                let subject = format!("Your email address at {} was changed", self.settings.brand);
                let mail = NewMail { to: old, subject, text, token: None };
                Some(self.mailer.enqueue(tx, now, mail).await?)
            }
            Err(_) => None,
        };
        Ok((renewed, mail))
    }
}
