//! What visitors see and may do, by the site's own router.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod boards;
mod cache;
mod data;
mod figures;
pub(super) mod html;
mod pages;
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
    export::{self, Job, Unwatched},
    reader::{Reader, ReaderLimits},
    settings::Settings,
};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{
    accounts::Accounts,
    app::{App, Clock, Parts},
    pages::legal,
    router,
};

/// A site of its own: sample data, served or not yet, and accounts.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) router: Router,
    folder: TempDir,
}

/// What the site answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Site {
    /// With sample figures being served.
    pub(super) async fn serving() -> Self {
        let site = Self::preparing().await;
        site.export();
        site
    }

    /// Before anything is served.
    pub(super) async fn preparing() -> Self {
        Self::told(&[]).await
    }

    /// The same with further variables in the environment.
    pub(super) async fn told(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("../../infra/beanflows/materia.toml");
        let path = folder.path().join("materia.toml");
        let database = format!("sqlite://{}", folder.path().join("accounts.db").display());
        let env = |name: &str| match name {
            "DEBUG" => Some("true".to_owned()),
            "DATABASE_URL" => Some(database.clone()),
            "ADMIN_EMAILS" => Some("admin@example.test".to_owned()),
            "MATERIA_REQUESTS_PER_MINUTE" => Some("0".to_owned()),
            _ => variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned()),
        };
        let settings = Settings::load(Some((&path, text)), &env).unwrap();
        let clock = Clock::System;
        let accounts = Accounts::open(&settings, &clock).await.unwrap();
        accounts.seed().await.unwrap();
        let reader = Reader::open(&settings.serving, settings.export.served_schema(), ReaderLimits::small()).unwrap();
        let dashboards = Dashboards::load(&settings.dashboards).unwrap();
        let legal = legal::built_in(&settings.brand);
        let app = App::new(Parts { settings, reader, dashboards, legal, clock }, accounts);
        Self { router: router::site(&app), app, folder }
    }

    /// Makes sample figures and publishes them; the reader follows.
    pub(super) fn export(&self) {
        let refresh = self.folder.path().join("lakehouse.duckdb").exists();
        Demo { dir: self.folder.path().to_path_buf(), refresh, ..Demo::default() }.make().unwrap();
        let before = self.app.reader.state().generation.map_or(0, |info| info.sequence);
        let finished = export::export(&Job::new(&self.app.settings).unwrap(), &mut Unwatched);
        assert!(finished.error.is_none(), "{:?}", finished.error);
        self.until("the reader follows", || self.app.reader.state().generation.is_some_and(|info| info.sequence > before));
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
        Answered { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    pub(super) async fn get(&self, path: &str, cookie: Option<&str>) -> Answered {
        self.send(request(&Method::GET, path, cookie, "")).await
    }

    /// A form that a browser sends from the site's own page.
    pub(super) async fn post(&self, path: &str, cookie: Option<&str>, form: &str) -> Answered {
        self.send(request(&Method::POST, path, cookie, form)).await
    }

    /// Signs one of the seeded accounts in; the cookie it then has.
    pub(super) async fn sign_in(&self, email: &str) -> String {
        let answered = self.get(&format!("/auth/dev-login?email={email}"), None).await;
        let cookie = answered.headers.get(header::SET_COOKIE).unwrap_or_else(|| panic!("no cookie: {answered:?}"));
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

pub(super) fn request(method: &Method, path: &str, cookie: Option<&str>, form: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "text/html");
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    if *method == Method::POST {
        request = request.header("sec-fetch-site", "same-origin").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(Body::from(form.to_owned())).unwrap()
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Compares with `snapshots/web/<name>.snap`; tags stand on lines of their own.
pub(crate) fn assert_page(name: &str, html: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/web");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, html.replace("><", ">\n<")));
}

/// When the pages of snapshots are looked at.
pub(super) fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}
