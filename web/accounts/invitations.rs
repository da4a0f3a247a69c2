//! Who may have an account: the owner's rule for sign-up, invitations, and links that operators hand over themselves.

use jiff::SignedDuration;
use materia::{plan::Plan, settings::SignUp};

use super::{
    Accounts, Actor, ChangeError, Email, ReturnPath, Token,
    account::{self, Account},
    audit::{self, Deed},
    links::{LINK_TTL, Link, Purpose},
    mail,
    store::{StoreError, Transaction},
};

/// How long an invitation's link works.
const INVITATION_TTL: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What came of an invitation.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) account: Account,
    /// Whether the account was created by it.
    pub(crate) is_new: bool,
    /// The link that signs in, for where no email was sent.
    pub(crate) link: String,
}

impl Accounts {
    /// Whether an address may have an account: it has one, it is an operator's, or the rule for sign-up lets it in.
    pub(super) async fn is_admitted(&self, turn: &mut Transaction, email: &Email) -> Result<bool, StoreError> {
        let by_rule = match self.settings.sign_up {
            SignUp::Open => true,
            SignUp::Invited => false,
            SignUp::Domains => self.settings.domains.iter().any(|domain| domain == email.domain()),
        };
        Ok(by_rule || self.is_admin_address(email.as_str()) || account::by_email(turn, email).await?.is_some())
    }

    /// What to write to somebody who requested a link and may not have an account. Sent by email, so that the page is the same for everybody.
    pub(super) fn rejection(&self) -> String {
        let brand = &self.settings.brand;
        let rule = match self.settings.sign_up {
            SignUp::Domains => format!("only addresses at {} can create one", self.settings.domains.join(", ")),
            SignUp::Open | SignUp::Invited => "new accounts are created by invitation only".to_owned(),
        };
        format!(
            "You requested a sign-in link for {brand}. There is no account for this email address, and {rule}.\n\nTo get access, reply to this email. \
             If you did not request a link, ignore this email.\n"
        )
    }

    /// Creates an account, where there is none, and emails its owner a link that signs in.
    ///
    /// # Errors
    /// The store's. A suspended account is refused by name.
    pub(crate) async fn invite(&self, actor: &Actor, email: &Email, plan: Option<Plan>) -> Result<Invitation, ChangeError> {
        let (now, home) = (self.now(), ReturnPath::home());
        let mut turn = self.store.write().await?;
        let is_new = account::by_email(&mut turn, email).await?.is_none();
        let mut account = account::by_email_or_new(&mut turn, now, email, "").await?;
        if account.suspended_at.is_some() {
            return Err(ChangeError::Suspended(account.email));
        }
        if let Some(plan) = plan {
            sqlx::query("UPDATE accounts SET plan = $1 WHERE id = $2").bind(plan.name()).bind(&account.id).execute(&mut *turn).await?;
            account.plan = plan;
        }
        let link = Link { purpose: Purpose::SignIn, email, name: "", account: None, next: home.as_str(), ttl: INVITATION_TTL };
        let address = self.address(&link.make(&mut turn, now).await?);
        let detail = format!("plan {}", account.plan);
        let deed = Deed { action: "invited", subject_id: &account.id, subject: &account.email, detail: &detail };
        audit::record(&mut turn, now, actor, deed).await?;
        let mut letter = None;
        if self.sends_mail() {
            let brand = &self.settings.brand;
            let text = format!(
                "You have been invited to {brand}. Open this link to sign in:\n\n{address}\n\nIt can be used once, within 7 days. Afterwards, request a new \
                 link at {}.\n",
                self.settings.link("/auth/login")
            );
            letter = Some(mail::log(&mut turn, now, email.clone(), format!("You are invited to {brand}"), text).await?);
        }
        turn.commit().await?;
        self.changed();
        self.send(letter).await;
        Ok(Invitation { account, is_new, link: address })
    }

    /// Creates a sign-in link for an operator to hand over, for example to one who gets no email.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] where the address has no account and is not in `ADMIN_EMAILS`.
    pub(crate) async fn create_link(&self, actor: &Actor, email: &Email) -> Result<String, ChangeError> {
        let (now, home) = (self.now(), ReturnPath::home());
        let mut turn = self.store.write().await?;
        let account = account::by_email(&mut turn, email).await?;
        if account.is_none() && !self.is_admin_address(email.as_str()) {
            return Err(ChangeError::Unknown(email.to_string()));
        }
        if let Some(account) = account.as_ref().filter(|account| account.suspended_at.is_some()) {
            return Err(ChangeError::Suspended(account.email.clone()));
        }
        let link = Link { purpose: Purpose::SignIn, email, name: "", account: None, next: home.as_str(), ttl: LINK_TTL };
        let token = link.make(&mut turn, now).await?;
        let subject_id = account.map(|account| account.id).unwrap_or_default();
        let deed = Deed { action: "sign-in link printed", subject_id: &subject_id, subject: email.as_str(), detail: "" };
        audit::record(&mut turn, now, actor, deed).await?;
        turn.commit().await?;
        Ok(self.address(&token))
    }

    /// The address of a link that signs in.
    pub(super) fn address(&self, token: &Token) -> String {
        self.settings.link(&format!("/auth/verify?token={}", token.reveal()))
    }
}
