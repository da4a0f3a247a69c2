//! Who may have an account (`[accounts]`), and where accounts are kept and how their mail is sent: the environment only, since much of it is secret.

use std::{fmt, path::Path};

use serde::Deserialize;

use super::Lookup;

/// Who may create an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Anybody with an email address.
    #[default]
    Open,
    /// Nobody: operators invite.
    Invited,
    /// Whoever has an address at one of `domains`, and whoever is invited.
    Domains,
}

/// The `[accounts]` section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountsSection {
    /// Who may create an account. `sign_up`; default `open`.
    pub(super) sign_up: SignUp,
    /// The domains of addresses that may, where `sign_up = "domains"`.
    pub(super) domains: Vec<String>,
}

/// A text that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for whom it is meant, and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

/// Accounts and mail, as they were told; the site checks them when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsSettings {
    /// Where accounts are kept; may hold a password. `DATABASE_URL`; default `accounts.db` beside `materia.toml`.
    pub database_url: Secret,
    /// Addresses, separated by commas, that get the role `admin` when they sign in. `ADMIN_EMAILS`; default: none.
    pub admin_emails: String,
    /// The mail server: `smtps://user:password@host`. `SMTP_URL`; default: none, and nobody can sign in but with `DEBUG=true`.
    pub smtp_url: Option<Secret>,
    /// Who mail comes from. `MAIL_FROM`; default: `no-reply@` and the host of `BASE_URL`.
    pub mail_from: Option<String>,
    /// Who may create an account. `sign_up` in `[accounts]`; default: anybody.
    pub sign_up: SignUp,
    /// The domains of addresses that may. `domains` in `[accounts]`.
    pub domains: Vec<String>,
}

impl AccountsSettings {
    /// Reads the variables beside what the file says; `folder` is where `materia.toml` is.
    pub(super) fn load(file: AccountsSection, folder: &Path, env: Lookup) -> Self {
        let given = |variable: &str| env(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let beside = || format!("sqlite://{}", folder.join("accounts.db").display());
        Self {
            database_url: Secret(given("DATABASE_URL").unwrap_or_else(beside)),
            admin_emails: given("ADMIN_EMAILS").unwrap_or_default(),
            smtp_url: given("SMTP_URL").map(Secret),
            mail_from: given("MAIL_FROM"),
            sign_up: file.sign_up,
            domains: file.domains,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_never_prints() {
        let settings = AccountsSettings::load(AccountsSection::default(), Path::new("etc"), &|name| match name {
            "DATABASE_URL" | "SMTP_URL" => Some("smtps://user:hunter2@mail.example".to_owned()),
            _ => None,
        });
        assert!(settings.smtp_url.is_some() && !format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn accounts_are_kept_beside_the_settings_unless_told_otherwise() {
        let settings = AccountsSettings::load(AccountsSection::default(), Path::new("etc"), &|_| Some(String::new()));
        assert_eq!(settings.database_url.reveal(), "sqlite://etc/accounts.db");
    }
}
