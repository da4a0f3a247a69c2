//! The guarantees of accounts, without a browser, on each kind of store.

/// Generates a test on SQLite and one on PostgreSQL for each guarantee.
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
                if crate::accounts::tests::on_postgres() {
                    super::$promise().await;
                }
            })+
        }
    };
}

mod admin;
mod alerts;
mod api_keys;
mod attacks;
mod billing;
pub(crate) mod browser;
mod flows;
mod home;
mod log;
mod matrix;
mod pages;
#[allow(
    clippy::disallowed_methods,
    reason = "where PostgreSQL is installed is said in the environment"
)]
#[path = "../../../tests/integration/postgres_server.rs"]
#[allow(dead_code, reason = "some of it is for the tests that stop it")]
mod server;
mod sign_in;
mod stores;
mod transfer;

use std::{cell::Cell, sync::OnceLock};

use jiff::{SignedDuration, Timestamp};
use materia::settings::Settings;
use tempfile::TempDir;

use super::{
    Accounts, ClientInfo, Cookies, Delivery, Email, LinkError, LinkRequest, Redeemed, ReturnPath,
    Token,
};
use crate::app::Clock;

/// Accounts in a temporary folder, with a fixed clock.
pub(crate) struct Rig {
    pub(crate) accounts: Accounts,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) folder: TempDir,
    url: String,
}

/// The time at which every test begins: 2026-03-01, 12:00 UTC.
pub(crate) const BEGINNING: i64 = 1_772_366_400;

/// The address that may be an admin in tests, besides the seeded one.
pub(crate) const ADMIN: &str = "ada@example.com";

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(&[("ADMIN_EMAILS", "ada@example.com,admin@example.test"), ("DEBUG", "true")])
            .await
    }

    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        Self::with_file("", variables).await
    }

    /// Creates a rig with this `materia.toml`.
    pub(crate) async fn with_file(file: &str, variables: &[(&str, &str)]) -> Self {
        let clock = Clock::fixed(Timestamp::from_second(BEGINNING).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let url = new_store(&folder);
        Self::at(folder, url, clock, file, variables).await
    }

    /// Reopens the same store with other settings, as after a restart.
    pub(crate) async fn restarted(self, variables: &[(&str, &str)]) -> Self {
        self.restarted_with("", variables).await
    }

    /// Reopens the same store with this `materia.toml`.
    pub(crate) async fn restarted_with(self, file: &str, variables: &[(&str, &str)]) -> Self {
        self.accounts.close().await;
        Self::at(self.folder, self.url, self.clock, file, variables).await
    }

    /// Opens the same store and clock as another server would.
    pub(crate) async fn on_another_server(&self) -> Self {
        let variables = [("ADMIN_EMAILS", "ada@example.com,admin@example.test"), ("DEBUG", "true")];
        Self::at(tempfile::tempdir().unwrap(), self.url.clone(), self.clock.clone(), "", &variables)
            .await
    }

    /// Returns everything in the store, and closes it.
    pub(crate) async fn dump(self) -> String {
        self.accounts.close().await;
        if let Some(database) =
            self.url.strip_prefix("postgres:").and_then(|url| url.rsplit('/').next())
        {
            return server().unwrap().dump(database);
        }
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|file| {
                String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned()
            })
            .collect()
    }

    async fn at(
        folder: TempDir,
        url: String,
        clock: Clock,
        file: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = |name: &str| match name {
            "DATABASE_URL" => Some(url.clone()),
            "DUCKDB_PATH" => Some(path("lakehouse.duckdb")),
            "BASE_URL" => Some("http://site.localhost".to_owned()),
            _ => variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned()),
        };
        let mut settings =
            Settings::load(Some((std::path::Path::new("materia.toml"), file)), &env).unwrap();
        settings.brand.name = "Beans".to_owned();
        let accounts = Accounts::open(&settings, &clock).await.unwrap();
        Self { accounts, clock, settings, folder, url }
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.clock.set(self.clock.now() + SignedDuration::from_secs(seconds));
    }

    pub(crate) async fn request_link(&self, email: &str) -> Result<Delivery, LinkError> {
        self.request_link_from(email, "203.0.113.9").await
    }

    pub(crate) async fn request_link_from(
        &self,
        email: &str,
        network: &str,
    ) -> Result<Delivery, LinkError> {
        let (email, next) = (email.parse::<Email>().unwrap(), ReturnPath::home());
        let client = ClientInfo { network: network.to_owned(), user_agent: "Test".to_owned() };
        self.accounts
            .request_link(LinkRequest {
                email: &email,
                name: "",
                next: &next,
                client: &client,
                cookies: &Cookies::default(),
            })
            .await
    }

    /// Returns the token in the newest email to an address.
    pub(crate) fn newest_token(&self, to: &str) -> Token {
        let mail = self
            .accounts
            .mailbox()
            .into_iter()
            .find(|mail| mail.to.as_str() == to && mail.text.contains("token="))
            .unwrap();
        token_in(&mail.text)
    }

    pub(crate) async fn redeem(&self, token: &Token) -> Result<Redeemed, LinkError> {
        self.accounts.redeem(Some(token), &Cookies::default(), &client()).await
    }

    /// Signs in as customers do.
    pub(crate) async fn sign_in(&self, email: &str) -> Redeemed {
        self.request_link(email).await.unwrap();
        self.redeem(&self.newest_token(email)).await.unwrap()
    }

    /// Returns whether a session id is still valid.
    pub(crate) async fn is_signed_in(&self, session: &Token) -> bool {
        self.accounts.resolve(session).await.unwrap().is_some()
    }

    pub(crate) async fn rows(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.accounts.store.pool()).await.unwrap()
    }
}

thread_local! {
    /// Whether the test on this thread uses PostgreSQL.
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Returns the server shared by the tests of this process.
fn server() -> Option<&'static server::Postgres> {
    static SERVER: OnceLock<Option<server::Postgres>> = OnceLock::new();
    SERVER.get_or_init(server::Postgres::start).as_ref()
}

/// Puts this test's stores on PostgreSQL. Prints a reason for skipping if there is none.
pub(crate) fn on_postgres() -> bool {
    ON_POSTGRES.set(true);
    if server().is_none() {
        println!("skipped: there is no PostgreSQL");
    }
    server().is_some()
}

/// Returns the address of a new store of the kind that the test uses.
fn new_store(folder: &TempDir) -> String {
    if ON_POSTGRES.get() {
        let server = server().unwrap();
        server.url(&server.database())
    } else {
        format!("sqlite://{}", folder.path().join("accounts.db").display())
    }
}

pub(crate) fn client() -> ClientInfo {
    ClientInfo { network: "203.0.113.9".to_owned(), user_agent: "Test".to_owned() }
}

/// Returns the token in an email.
pub(crate) fn token_in(text: &str) -> Token {
    let (_, rest) = text.split_once("token=").unwrap();
    Token::parse(rest.split_whitespace().next().unwrap()).unwrap()
}
