//! What accounts promise, without a browser.

mod admin;
mod api_keys;
mod attacks;
pub(crate) mod browser;
mod flows;
mod log;
mod matrix;
mod pages;
mod sign_in;

use jiff::{SignedDuration, Timestamp};
use materia::settings::Settings;
use tempfile::TempDir;

use super::{Accounts, Email, LinkError, LinkRequest, Redeemed, ReturnPath, Token, Visit};
use crate::web::app::Clock;

/// Accounts in a folder of their own, with a clock that stands until it is moved.
pub(crate) struct Rig {
    pub(crate) accounts: Accounts,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) folder: TempDir,
}

/// When every test begins: 2026-03-01, 12:00 UTC.
pub(crate) const BEGINNING: i64 = 1_772_366_400;

/// Who may be an admin in tests, besides the seeded one.
pub(crate) const ADMIN: &str = "ada@example.com";

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(&[("ADMIN_EMAILS", "ada@example.com,admin@example.test"), ("DEBUG", "true")]).await
    }

    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let clock = Clock::fixed(Timestamp::from_second(BEGINNING).unwrap());
        Self::at(tempfile::tempdir().unwrap(), clock, variables).await
    }

    /// The same store with other settings, as after a restart.
    pub(crate) async fn restarted(self, variables: &[(&str, &str)]) -> Self {
        self.accounts.close().await;
        Self::at(self.folder, self.clock, variables).await
    }

    async fn at(folder: TempDir, clock: Clock, variables: &[(&str, &str)]) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = |name: &str| match name {
            "DATABASE_URL" => Some(format!("sqlite://{}", path("accounts.db"))),
            "DUCKDB_PATH" => Some(path("lakehouse.duckdb")),
            "BASE_URL" => Some("http://site.localhost".to_owned()),
            _ => variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned()),
        };
        let mut settings = Settings::load(None, &env).unwrap();
        settings.brand.name = "Beans".to_owned();
        let accounts = Accounts::open(&settings, &clock).await.unwrap();
        Self { accounts, clock, settings, folder }
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.clock.set(self.clock.now() + SignedDuration::from_secs(seconds));
    }

    pub(crate) async fn ask(&self, email: &str) -> Result<(), LinkError> {
        self.ask_from(email, "203.0.113.9").await
    }

    pub(crate) async fn ask_from(&self, email: &str, network: &str) -> Result<(), LinkError> {
        let (email, next) = (email.parse::<Email>().unwrap(), ReturnPath::home());
        let visit = Visit { network: network.to_owned(), user_agent: "Test".to_owned() };
        self.accounts.request_link(LinkRequest { email: &email, name: "", next: &next, visit: &visit }).await
    }

    /// The token in the newest letter to somebody.
    pub(crate) fn newest_token(&self, to: &str) -> Token {
        let letter = self.accounts.mailbox().into_iter().find(|letter| letter.to.as_str() == to && letter.text.contains("token=")).unwrap();
        token_in(&letter.text)
    }

    pub(crate) async fn redeem(&self, token: &Token) -> Result<Redeemed, LinkError> {
        self.accounts.redeem(Some(token), None, &visit()).await
    }

    /// Signs somebody in the way customers do.
    pub(crate) async fn sign_in(&self, email: &str) -> Redeemed {
        self.ask(email).await.unwrap();
        self.redeem(&self.newest_token(email)).await.unwrap()
    }

    /// Whether a session id still stands for somebody.
    pub(crate) async fn is_signed_in(&self, session: &Token) -> bool {
        self.accounts.resolve(session).await.unwrap().is_some()
    }

    pub(crate) async fn rows(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.accounts.store.pool()).await.unwrap()
    }
}

pub(crate) fn visit() -> Visit {
    Visit { network: "203.0.113.9".to_owned(), user_agent: "Test".to_owned() }
}

/// The token in a letter.
pub(crate) fn token_in(text: &str) -> Token {
    let (_, rest) = text.split_once("token=").unwrap();
    Token::presented(rest.split_whitespace().next().unwrap()).unwrap()
}
