//! What accounts promise, without a browser, on each kind of store.

/// Makes each of these promises a test on SQLite and one on PostgreSQL.
macro_rules! on_both_stores {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise().await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if crate::web::accounts::tests::on_postgres() {
                    super::$promise().await;
                }
            })+
        }
    };
}

mod admin;
mod api_keys;
mod attacks;
pub(crate) mod browser;
mod copies;
mod flows;
mod log;
mod matrix;
mod pages;
#[path = "../../../tests/integration/postgres.rs"]
#[allow(dead_code, reason = "some of it is for the tests that stop it")]
mod server;
mod sign_in;
mod stores;

use std::{cell::Cell, sync::OnceLock};

use jiff::{SignedDuration, Timestamp};
use materia::settings::Settings;
use tempfile::TempDir;

use super::{Accounts, Cookies, Email, LinkError, LinkRequest, Redeemed, ReturnPath, Token, Visit};
use crate::web::app::Clock;

/// Accounts in a folder of their own, with a clock that stands until it is moved.
pub(crate) struct Rig {
    pub(crate) accounts: Accounts,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) folder: TempDir,
    url: String,
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
        Self::with_file("", variables).await
    }

    /// With this `materia.toml`.
    pub(crate) async fn with_file(file: &str, variables: &[(&str, &str)]) -> Self {
        let clock = Clock::fixed(Timestamp::from_second(BEGINNING).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let url = new_store(&folder);
        Self::at(folder, url, clock, file, variables).await
    }

    /// The same store with other settings, as after a restart.
    pub(crate) async fn restarted(self, variables: &[(&str, &str)]) -> Self {
        self.restarted_with("", variables).await
    }

    /// The same with this `materia.toml`.
    pub(crate) async fn restarted_with(self, file: &str, variables: &[(&str, &str)]) -> Self {
        self.accounts.close().await;
        Self::at(self.folder, self.url, self.clock, file, variables).await
    }

    /// The same store and clock at another server.
    pub(crate) async fn beside(&self) -> Self {
        let variables = [("ADMIN_EMAILS", "ada@example.com,admin@example.test"), ("DEBUG", "true")];
        Self::at(tempfile::tempdir().unwrap(), self.url.clone(), self.clock.clone(), "", &variables).await
    }

    /// Everything that the store keeps; nobody can use it afterwards.
    pub(crate) async fn kept(self) -> String {
        self.accounts.close().await;
        if let Some(database) = self.url.strip_prefix("postgres:").and_then(|url| url.rsplit('/').next()) {
            return server().unwrap().dump(database);
        }
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned()).collect()
    }

    async fn at(folder: TempDir, url: String, clock: Clock, file: &str, variables: &[(&str, &str)]) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = |name: &str| match name {
            "DATABASE_URL" => Some(url.clone()),
            "DUCKDB_PATH" => Some(path("lakehouse.duckdb")),
            "BASE_URL" => Some("http://site.localhost".to_owned()),
            _ => variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned()),
        };
        let mut settings = Settings::load(Some((std::path::Path::new("materia.toml"), file)), &env).unwrap();
        settings.brand.name = "Beans".to_owned();
        let accounts = Accounts::open(&settings, &clock).await.unwrap();
        Self { accounts, clock, settings, folder, url }
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
        self.accounts.request_link(LinkRequest { email: &email, name: "", next: &next, visit: &visit, cookies: &Cookies::default() }).await
    }

    /// The token in the newest letter to somebody.
    pub(crate) fn newest_token(&self, to: &str) -> Token {
        let letter = self.accounts.mailbox().into_iter().find(|letter| letter.to.as_str() == to && letter.text.contains("token=")).unwrap();
        token_in(&letter.text)
    }

    pub(crate) async fn redeem(&self, token: &Token) -> Result<Redeemed, LinkError> {
        self.accounts.redeem(Some(token), &Cookies::default(), &visit()).await
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

thread_local! {
    /// Whether the test on this thread wants PostgreSQL.
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// The server that the tests of this process share.
fn server() -> Option<&'static server::Postgres> {
    static SERVER: OnceLock<Option<server::Postgres>> = OnceLock::new();
    SERVER.get_or_init(server::Postgres::start).as_ref()
}

/// From now on this test's stores are on PostgreSQL. Where there is none, it says so.
pub(crate) fn on_postgres() -> bool {
    ON_POSTGRES.set(true);
    if server().is_none() {
        println!("skipped: there is no PostgreSQL");
    }
    server().is_some()
}

/// The address of a new store, of the kind that the test wants.
fn new_store(folder: &TempDir) -> String {
    if ON_POSTGRES.get() {
        let server = server().unwrap();
        server.url(&server.database())
    } else {
        format!("sqlite://{}", folder.path().join("accounts.db").display())
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
