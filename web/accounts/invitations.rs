//! Who may have an account: the sign-up rule, invitations, and links that operators hand over
//! themselves.

use jiff::SignedDuration;
use materia::{plan::Plan, settings::SignUp};

use super::{
    Accounts, Actor, ChangeError, Email, ReturnPath, Token,
    account::{self, Account},
    audit::{self, AuditEntry},
    magic_links::{LINK_TTL, Link, Purpose},
    mailer::NewMail,
    store::{StoreError, Transaction},
};

/// How long an invitation's link is valid.
const INVITATION_TTL: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The outcome of an invitation.
#[derive(Debug)]
pub struct Invitation {
    pub account: Account,
    /// Whether the account was created by the invitation.
    pub is_new: bool,
    /// The sign-in link, to be handed over where no email is sent.
    pub link: String,
}

impl Accounts {
    /// Returns whether an address may have an account: it has one already, is an operator's, or is
    /// admitted by the sign-up rule.
    pub(super) async fn is_admitted(
        &self,
        tx: &mut Transaction,
        email: &Email,
    ) -> Result<bool, StoreError> {
        let by_rule = match self.settings.sign_up {
            SignUp::Open => true,
            SignUp::Invited => false,
            SignUp::Domains => self.settings.domains.iter().any(|domain| domain == email.domain()),
        };
        Ok(by_rule
            || self.is_admin_address(email.as_str())
            || account::by_email(tx, email).await?.is_some())
    }

    /// Returns the email for an address that may not have an account. The page shown is the same
    /// for all addresses, so that it reveals nothing.
    pub(super) fn rejection(&self) -> String {
        let brand = &self.settings.brand;
        let rule = match self.settings.sign_up {
            SignUp::Domains => {
                format!("only addresses at {} can create one", self.settings.domains.join(", "))
            }
            SignUp::Open | SignUp::Invited => {
                "new accounts are created by invitation only".to_owned()
            }
        };
        format!(
            "You requested a sign-in link for {brand}. There is no account for this email address, and {rule}.\n\nTo get access, reply to this email. \
             If you did not request a link, ignore this email.\n"
        )
    }

    /// Creates an account if there is none and emails its owner a sign-in link.
    ///
    /// # Errors
    /// [`ChangeError::Suspended`] if the account is suspended.
    pub async fn invite(
        &self,
        actor: &Actor,
        email: &Email,
        plan: Option<Plan>,
    ) -> Result<Invitation, ChangeError> {
        let (now, home) = (self.now(), ReturnPath::home());
        let mut tx = self.store.begin_write().await?;
        let is_new = account::by_email(&mut tx, email).await?.is_none();
        let mut account = account::by_email_or_new(&mut tx, now, email, "").await?;
        if account.suspended_at.is_some() {
            return Err(ChangeError::Suspended(account.email));
        }
        if let Some(plan) = plan {
            sqlx::query("UPDATE accounts SET plan = $1 WHERE id = $2")
                .bind(plan.name())
                .bind(&account.id)
                .execute(&mut *tx)
                .await?;
            account.plan = plan;
        }
        let link = Link {
            purpose: Purpose::SignIn,
            email,
            name: "",
            account: None,
            next: home.as_str(),
            ttl: INVITATION_TTL,
        };
        let token = link.create(&mut tx, now).await?;
        let address = self.address(&token);
        let detail = format!("plan {}", account.plan);
        let entry = AuditEntry {
            action: "invited",
            subject_id: &account.id,
            subject: &account.email,
            detail: &detail,
        };
        audit::record(&mut tx, now, actor, entry).await?;
        let mut mail = None;
        if self.sends_mail() {
            let brand = &self.settings.brand;
            let text = format!(
                "You have been invited to {brand}. Open this link to sign in:\n\n{address}\n\nIt can be used once, within 7 days. Afterwards, request a new \
                 link at {}.\n",
                self.settings.link("/auth/login")
            );
            let subject = format!("You are invited to {brand}");
            let new = NewMail { to: email.clone(), subject, text, token: Some(&token) };
            mail = Some(self.mailer.enqueue(&mut tx, now, new).await?);
        }
        tx.commit().await?;
        self.invalidate_sessions();
        self.send(mail).await;
        Ok(Invitation { account, is_new, link: address })
    }

    /// Creates a sign-in link for an operator to hand over, for example to an owner who receives no
    /// email.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] if the address has no account and is not in `ADMIN_EMAILS`.
    pub async fn create_link(&self, actor: &Actor, email: &Email) -> Result<String, ChangeError> {
        let (now, home) = (self.now(), ReturnPath::home());
        let mut tx = self.store.begin_write().await?;
        let account = account::by_email(&mut tx, email).await?;
        if account.is_none() && !self.is_admin_address(email.as_str()) {
            return Err(ChangeError::Unknown(email.to_string()));
        }
        if let Some(account) = account.as_ref().filter(|account| account.suspended_at.is_some()) {
            return Err(ChangeError::Suspended(account.email.clone()));
        }
        let link = Link {
            purpose: Purpose::SignIn,
            email,
            name: "",
            account: None,
            next: home.as_str(),
            ttl: LINK_TTL,
        };
        let token = link.create(&mut tx, now).await?;
        let subject_id = account.map(|account| account.id).unwrap_or_default();
        let entry = AuditEntry {
            action: "sign-in link printed",
            subject_id: &subject_id,
            subject: email.as_str(),
            detail: "",
        };
        audit::record(&mut tx, now, actor, entry).await?;
        tx.commit().await?;
        Ok(self.address(&token))
    }

    /// Returns the address of a sign-in link.
    pub(super) fn address(&self, token: &Token) -> String {
        self.settings.link(&format!("/auth/verify?token={}", token.reveal()))
    }
}
