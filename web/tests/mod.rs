//! The site's pages and access rules, through its own router.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod dashboards;
mod data;
mod explorer;
mod feed;
mod figures;
mod home;
pub(super) mod html;
mod limits;
mod page_cache;
mod pages;
mod panels;
mod public;
mod search_engines;
mod site_reader;
mod tables;
mod visitors;

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use jiff::Timestamp;
use materia::{
    dashboard::Dashboards,
    demo::Demo,
    export::{self, ExportJob, NoProgress},
    reader::{Reader, ReaderConfig},
    settings::Settings,
};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{
    accounts::Accounts,
    app::{AppConfig, AppState, Clock},
    pages::legal,
    router,
};

/// A site with sample data, published or not yet, and accounts.
pub(super) struct Site {
    pub(super) app: AppState,
    pub(super) router: Router,
    folder: TempDir,
}

/// A response of the site.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Site {
    /// Creates a site that serves sample data.
    pub(super) async fn serving() -> Self {
        let site = Self::preparing().await;
        site.export();
        site
    }

    /// Creates a site before its first export.
    pub(super) async fn preparing() -> Self {
        Self::with_variables(&[]).await
    }

    /// Creates a site with additional environment variables.
    pub(super) async fn with_variables(variables: &[(&str, &str)]) -> Self {
        Self::with_file("", variables).await
    }

    /// Creates a site with further settings in its `materia.toml`.
    pub(super) async fn with_file(further: &str, variables: &[(&str, &str)]) -> Self {
        Self::with_clock(further, variables, Clock::System).await
    }

    /// Creates a site at another time.
    pub(super) async fn with_clock(
        further: &str,
        variables: &[(&str, &str)],
        clock: Clock,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{}\n{further}", include_str!("../../infra/beanflows/materia.toml"));
        let path = folder.path().join("materia.toml");
        let database = format!("sqlite://{}", folder.path().join("accounts.db").display());
        let env = |name: &str| match name {
            "DEBUG" => Some("true".to_owned()),
            "DATABASE_URL" => Some(database.clone()),
            "ADMIN_EMAILS" => Some("admin@example.test".to_owned()),
            "MATERIA_REQUESTS_PER_MINUTE" => Some("0".to_owned()),
            _ => variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned()),
        };
        let settings = Settings::load(Some((&path, &text)), &env).unwrap();
        let accounts = Accounts::open(&settings, &clock).await.unwrap();
        accounts.seed().await.unwrap();
        let reader = Reader::open_file(
            &settings.serving,
            settings.export.served_schema(),
            ReaderConfig::small(),
        )
        .unwrap();
        let dashboards = Dashboards::load(&settings.dashboards).unwrap();
        let legal = legal::built_in(&settings.brand);
        let app = AppState::new(
            AppConfig { settings, reader, dashboards, legal, clock, is_preview: false },
            accounts,
        );
        Self { router: router::site(&app), app, folder }
    }

    /// Generates and publishes sample data, and waits for the reader to follow.
    pub(super) fn export(&self) {
        let refresh = self.folder.path().join("lakehouse.duckdb").exists();
        Demo { dir: self.folder.path().to_path_buf(), refresh, ..Demo::default() }
            .create()
            .unwrap();
        let before = self.app.reader.state().generation.map_or(0, |info| info.sequence);
        let finished =
            export::export(&ExportJob::new(&self.app.settings).unwrap(), &mut NoProgress);
        assert!(finished.error.is_none(), "{:?}", finished.error);
        self.until("the reader follows", || {
            self.app.reader.state().generation.is_some_and(|info| info.sequence > before)
        });
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "in vain: {what}");
            let _ = self.app.reader.pin();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answered {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(super) async fn get(&self, path: &str, cookie: Option<&str>) -> Answered {
        self.send(request(&Method::GET, path, cookie, "")).await
    }

    /// Submits a form from the site's own page.
    pub(super) async fn post(&self, path: &str, cookie: Option<&str>, form: &str) -> Answered {
        self.send(request(&Method::POST, path, cookie, form)).await
    }

    /// Signs in to a seeded account and returns the cookie.
    pub(super) async fn sign_in(&self, email: &str) -> String {
        let answered = self.get(&format!("/auth/dev-login?email={email}"), None).await;
        let cookie = answered
            .headers
            .get(header::SET_COOKIE)
            .unwrap_or_else(|| panic!("no cookie: {answered:?}"));
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

pub(super) fn request(
    method: &Method,
    path: &str,
    cookie: Option<&str>,
    form: &str,
) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header(header::ACCEPT, "text/html");
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    if *method == Method::POST {
        request = request
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(Body::from(form.to_owned())).unwrap()
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Compares with `snapshots/web/<name>.snap`, one tag per line.
pub(crate) fn assert_page(name: &str, html: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/web");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, html.replace("><", ">\n<")));
}

/// The time at which pages for snapshots are rendered.
pub(super) fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}
