//! Settings of the accounts. Secrets are not printed.

use std::collections::BTreeSet;

use materia::settings::{Secret, Settings, SignUp, WebSettings};
use url::{Host, Url};

use super::{billing::SigningSecrets, email::Email};

/// Settings of accounts and email; all other settings are the site's.
#[derive(Debug, Clone)]
pub(crate) struct AccountSettings {
    /// The address of the database.
    pub(crate) database: Secret,
    /// The addresses that get the role `admin` at sign-in.
    pub(crate) admins: BTreeSet<Email>,
    /// The address of the mail server.
    pub(crate) smtp: Option<Secret>,
    /// The sender of email.
    pub(crate) mail_from: Email,
    /// The public address of the site, without a slash at the end.
    pub(crate) base_url: String,
    /// Enables sign-in without email, `/dev/mailbox`, and cookies without TLS.
    pub(crate) debug: bool,
    /// Who may create an account.
    pub(crate) sign_up: SignUp,
    /// The email domains that may sign up under the rule `domains`, in Punycode.
    pub(crate) domains: Vec<String>,
    /// The name of the site in email.
    pub(crate) brand: String,
    /// What webhooks of the payment provider are signed with.
    pub(crate) billing: SigningSecrets,
}

/// An unusable setting. The message never contains the value of a setting that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct SettingError {
    pub(super) variable: &'static str,
    pub(super) problem: String,
}

impl AccountSettings {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingError> {
        let wrong = |variable, problem: String| SettingError { variable, problem };
        let accounts = &settings.accounts;
        let admins =
            accounts.admin_emails.split(',').map(str::trim).filter(|text| !text.is_empty());
        let admins = admins.map(|text| {
            text.parse::<Email>()
                .map_err(|error| wrong("ADMIN_EMAILS", format!("{text:?}: {error}")))
        });
        let admins = admins.collect::<Result<_, _>>()?;
        if let Some(url) = &accounts.smtp_url {
            super::mailer::check_smtp(url.reveal())
                .map_err(|problem| wrong("SMTP_URL", problem))?;
        }
        let billing = SigningSecrets {
            standard: accounts.billing_secret.clone(),
            stripe: accounts.stripe_secret.clone(),
        };
        billing.check().map_err(|problem| wrong("BILLING_WEBHOOK_SECRET", problem))?;
        let base_url = settings.web.base_url();
        let from = accounts.mail_from.clone().unwrap_or_else(|| sender(&base_url));
        let mail_from =
            from.parse().map_err(|error| wrong("MAIL_FROM", format!("{from:?}: {error}")))?;
        let domain = |text: &String| {
            let email = format!("name@{}", text.trim_start_matches('@')).parse::<Email>();
            let problem =
                || format!("{text:?} in domains is not a domain; write it like example.com");
            email.map(|email| email.domain().to_owned()).map_err(|_| wrong("[accounts]", problem()))
        };
        let domains = accounts.domains.iter().map(domain).collect::<Result<Vec<_>, _>>()?;
        if (accounts.sign_up == SignUp::Domains) == domains.is_empty() {
            let problem = if domains.is_empty() {
                "sign_up = \"domains\" needs domains = [\"example.com\"]"
            } else {
                "domains is used only with sign_up = \"domains\""
            };
            return Err(wrong("[accounts]", problem.to_owned()));
        }
        let (database, smtp) = (accounts.database_url.clone(), accounts.smtp_url.clone());
        Ok(Self {
            database,
            admins,
            smtp,
            mail_from,
            base_url,
            debug: settings.web.debug,
            sign_up: accounts.sign_up,
            domains,
            brand: settings.brand.name.clone(),
            billing,
        })
    }

    /// Returns a full address of this site, for email.
    pub(crate) fn link(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base_url)
    }

    /// Returns whether cookies require TLS, as they do outside debug mode.
    pub(crate) fn secure_cookies(&self) -> bool {
        !self.debug
    }
}

/// Refuses `DEBUG` if users of other machines could reach the site, because it lets everyone sign
/// in as anyone. `DEBUG_ANYWHERE=true` overrides the check.
pub(crate) fn check_debug(web: &WebSettings) -> Result<(), SettingError> {
    let base_url = web.base_url();
    let public_url = Url::parse(&base_url)
        .is_ok_and(|url| url.scheme() == "https" || !is_loopback(url.host().as_ref()));
    let why = match () {
        () if !web.listen.ip().is_loopback() => format!("the server listens on {}", web.listen),
        () if public_url => format!("BASE_URL is {base_url}"),
        () => return Ok(()),
    };
    if !web.debug || web.debug_anywhere {
        return Ok(());
    }
    let problem = format!(
        "{why}, and DEBUG=true lets everybody who reaches it sign in as anybody; unset DEBUG, or set DEBUG_ANYWHERE=true as well where nobody \
         else can reach it"
    );
    Err(SettingError { variable: "DEBUG", problem })
}

/// Returns the default sender of email.
fn sender(base_url: &str) -> String {
    let host = Url::parse(base_url)
        .ok()
        .and_then(|url| url.domain().filter(|name| name.contains('.')).map(str::to_owned));
    format!("no-reply@{}", host.as_deref().unwrap_or("example.test"))
}

fn is_loopback(host: Option<&Host<&str>>) -> bool {
    match host {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => *name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<AccountSettings, String> {
        let env = |name: &str| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        };
        AccountSettings::new(&Settings::load(None, &env).unwrap())
            .map_err(|error| error.to_string())
    }

    fn debug_refused(change: impl Fn(&mut WebSettings)) -> bool {
        let mut web = WebSettings { debug: true, ..WebSettings::default() };
        change(&mut web);
        check_debug(&web).is_err()
    }

    #[test]
    fn what_is_secret_never_prints() {
        let variables = [
            ("DATABASE_URL", "sqlite://a.db?password=hunter2"),
            ("SMTP_URL", "smtps://user:hunter2@mail.example"),
        ];
        assert!(!format!("{:?}", load(&variables).unwrap()).contains("hunter2"));
        let error = load(&[("BILLING_WEBHOOK_SECRET", "hunter2")]).unwrap_err();
        assert!(error.starts_with("BILLING_WEBHOOK_SECRET: ") && !error.contains("hunter2"));
        for url in ["smtps://user:hunter2@", "http://user:hunter2@mail.example", "hunter2"] {
            let error = load(&[("SMTP_URL", url)]).unwrap_err();
            assert!(error.starts_with("SMTP_URL: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn admins_are_normalised_and_a_wrong_one_is_named() {
        let admins =
            load(&[("ADMIN_EMAILS", " Ana@Example.com , bo@example.com,")]).unwrap().admins;
        assert_eq!(
            admins.iter().map(Email::as_str).collect::<Vec<_>>(),
            ["ana@example.com", "bo@example.com"]
        );
        let error = load(&[("ADMIN_EMAILS", "ana@example.com,bo")]).unwrap_err();
        assert_eq!(
            error,
            "ADMIN_EMAILS: \"bo\": this is not an email address; write it like name@example.com"
        );
    }

    #[test]
    fn debug_mode_is_refused_on_a_reachable_site_unless_confirmed() {
        let at = |address: &str| address.parse().unwrap();
        assert!(!debug_refused(|_| {}));
        assert!(!debug_refused(|web| web.listen = at("[::1]:8000")));
        assert!(debug_refused(|web| web.listen = at("0.0.0.0:8000")));
        assert!(debug_refused(|web| web.base_url = Some("https://beanflows.example".to_owned())));
        assert!(debug_refused(|web| web.base_url = Some("http://192.168.1.4:8000".to_owned())));
        assert!(
            !debug_refused(|web| (web.listen, web.debug_anywhere) = (at("0.0.0.0:8000"), true))
        );
        assert!(!debug_refused(|web| (web.listen, web.debug) = (at("0.0.0.0:8000"), false)));
    }

    #[test]
    fn mail_comes_from_the_site() {
        let settings = load(&[("BASE_URL", "https://beanflows.example/")]).unwrap();
        assert_eq!(settings.mail_from.as_str(), "no-reply@beanflows.example");
        assert_eq!(settings.link("/auth/verify"), "https://beanflows.example/auth/verify");
        assert_eq!(load(&[]).unwrap().mail_from.as_str(), "no-reply@example.test");
    }
}
