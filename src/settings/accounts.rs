//! The `[accounts]` section: who may sign up. Where accounts are stored and how mail is sent comes
//! from the environment only, since much of it is secret.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Lookup, SettingsError};
use crate::{bucket::BucketFolder, secret::Secret};

/// Where backups are copied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum BackupTarget {
    Folder(PathBuf),
    Bucket(BucketFolder),
}

impl TryFrom<String> for BackupTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if BucketFolder::matches(&text) {
            return BucketFolder::try_from(text).map(Self::Bucket);
        }
        // Otherwise this would be a folder of that name.
        match text.split_once("://") {
            Some((scheme, _)) => Err(format!(
                "backups cannot be copied to {scheme}://; write a folder, or for example s3://bucket/backups"
            )),
            None => Ok(Self::Folder(text.into())),
        }
    }
}

impl fmt::Display for BackupTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(formatter, "{}", folder.display()),
            Self::Bucket(folder) => write!(formatter, "{folder}"),
        }
    }
}

/// Who may create an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Anyone with an email address.
    #[default]
    Open,
    Invited,
    /// Anyone with an address at one of `domains`, and anyone who is invited.
    Domains,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountsSection {
    /// Who may create an account. `sign_up`; default `open`.
    pub(super) sign_up: SignUp,
    /// The allowed email domains where `sign_up = "domains"`.
    pub(super) domains: Vec<String>,
    /// Where backups are copied.
    pub(super) backup_to: Option<BackupTarget>,
}

/// Settings of accounts and mail as configured; the site validates them at startup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsSettings {
    /// The account database; may hold a password. `DATABASE_URL`; default `accounts.db` in the
    /// folder of `materia.toml`, or in `MATERIA_DATA_DIR`.
    pub database_url: Secret,
    /// Addresses, separated by commas, that get the role `admin` when they sign in. `ADMIN_EMAILS`;
    /// default: none.
    pub admin_emails: String,
    /// The mail server: `smtps://user:password@host`. `SMTP_URL`; default: none, and signing in
    /// requires `DEBUG=true`.
    pub smtp_url: Option<Secret>,
    /// What the payment provider signs webhooks with. `BILLING_WEBHOOK_SECRET`; default: none.
    pub billing_secret: Option<Secret>,
    /// What Stripe signs webhooks with. `STRIPE_WEBHOOK_SECRET`; default: none.
    pub stripe_secret: Option<Secret>,
    /// The sender of mail. `MAIL_FROM`; default: `no-reply@` and the host of `BASE_URL`.
    pub mail_from: Option<String>,
    /// Who may create an account. `sign_up` in `[accounts]`; default: anyone.
    pub sign_up: SignUp,
    /// The allowed email domains. `domains` in `[accounts]`.
    pub domains: Vec<String>,
    /// A folder of another disk or machine, or in a bucket, into which backups are copied.
    /// `backup_to` in `[accounts]` / `MATERIA_BACKUP_TO`; default: none.
    pub backup_to: Option<BackupTarget>,
}

impl AccountsSettings {
    /// Combines the file's section with the environment; `folder` is that of `materia.toml`, `data`
    /// the default one of the accounts.
    pub(super) fn load(
        file: AccountsSection,
        (folder, data): (&Path, &Path),
        env: Lookup,
    ) -> Result<Self, SettingsError> {
        let given = |variable: &str| {
            env(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let default_url = || format!("sqlite://{}", data.join("accounts.db").display());
        let backup_to = match given("MATERIA_BACKUP_TO") {
            Some(text) => Some(BackupTarget::try_from(text).map_err(|problem| {
                SettingsError::Variable { variable: "MATERIA_BACKUP_TO", problem }
            })?),
            None => file.backup_to.map(|target| match target {
                BackupTarget::Folder(path) => BackupTarget::Folder(folder.join(path)),
                bucket @ BackupTarget::Bucket(_) => bucket,
            }),
        };
        Ok(Self {
            database_url: Secret::new(given("DATABASE_URL").unwrap_or_else(default_url)),
            admin_emails: given("ADMIN_EMAILS").unwrap_or_default(),
            smtp_url: given("SMTP_URL").map(Secret::new),
            billing_secret: given("BILLING_WEBHOOK_SECRET").map(Secret::new),
            stripe_secret: given("STRIPE_WEBHOOK_SECRET").map(Secret::new),
            mail_from: given("MAIL_FROM"),
            sign_up: file.sign_up,
            domains: file.domains,
            backup_to,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_never_prints() {
        let settings = AccountsSettings::load(
            AccountsSection::default(),
            (Path::new("etc"), Path::new("etc")),
            &|name| match name {
                "DATABASE_URL" | "SMTP_URL" => Some("smtps://user:hunter2@mail.example".to_owned()),
                _ => None,
            },
        )
        .unwrap();
        assert!(settings.smtp_url.is_some() && !format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn accounts_are_kept_beside_the_settings_unless_told_otherwise() {
        let settings = AccountsSettings::load(
            AccountsSection::default(),
            (Path::new("etc"), Path::new("etc")),
            &|_| Some(String::new()),
        )
        .unwrap();
        assert_eq!(settings.database_url.reveal(), "sqlite://etc/accounts.db");
    }

    #[test]
    fn backups_go_to_a_folder_or_a_bucket_and_nowhere_else() {
        let load = |text: &str| {
            let section = AccountsSection {
                backup_to: Some(BackupTarget::try_from(text.to_owned())?),
                ..AccountsSection::default()
            };
            let folder = Path::new("etc");
            let settings = AccountsSettings::load(section, (folder, folder), &|_| None).unwrap();
            Ok::<_, String>(settings.backup_to.unwrap().to_string())
        };
        assert_eq!(load("copies").unwrap(), "etc/copies");
        assert_eq!(load("/mnt/copies").unwrap(), "/mnt/copies");
        assert_eq!(load("s3://bucket/copies/").unwrap(), "s3://bucket/copies");
        for wrong in ["s3://", "https://example.com/copies", "gs://bucket"] {
            assert!(load(wrong).unwrap_err().contains("s3://bucket/backups"), "{wrong}");
        }
    }
}
