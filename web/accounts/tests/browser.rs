//! A browser for tests: it stores cookies, sends `Origin` and `Sec-Fetch-Site`, and does not follow
//! redirects.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use materia::{
    dashboard::Dashboards,
    reader::{Reader, ReaderConfig},
};
use tower::ServiceExt;

use super::Rig;
use crate::{
    accounts::Token,
    app::{AppConfig, AppState},
    router,
};

/// The site with the accounts of a [`Rig`].
pub(crate) struct Site {
    pub(crate) rig: Rig,
    pub(crate) app: AppState,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::over(Rig::new().await)
    }

    pub(crate) fn over(rig: Rig) -> Self {
        let mut settings = rig.settings.clone();
        // The rate limit is tested elsewhere.
        settings.web.requests_per_minute = 0;
        let reader = Reader::open_file(
            &settings.serving,
            settings.export.served_schema(),
            ReaderConfig::small(),
        )
        .unwrap();
        let dashboards = Dashboards::load(&settings.dashboards).unwrap();
        let clock = rig.clock.clone();
        let app = AppState::new(
            AppConfig { settings, reader, dashboards, legal: Vec::new(), clock, is_preview: false },
            rig.accounts.clone(),
        );
        Self { rig, app }
    }

    /// Returns a browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser { app: self.app.clone(), cookie: None, recognized_by: None, headers: Vec::new() }
    }

    /// Returns a browser that is signed in.
    pub(crate) async fn signed_in(&self, email: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.get(&format!("/auth/dev-login?email={email}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        browser
    }
}

pub(crate) struct Browser {
    app: AppState,
    pub(crate) cookie: Option<String>,
    /// The cookie that identifies the browser.
    pub(crate) recognized_by: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the content of `<main>`.
    pub(crate) fn main(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("<main id=\"main\" tabindex=\"-1\">")
            .unwrap_or_else(|| panic!("no main in {self:?}"));
        rest.split_once("</main>").unwrap().0.to_owned()
    }
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::builder().method(Method::GET).uri(path).body(Body::empty()).unwrap())
            .await
    }

    /// Submits a form as the site's own pages do.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(
            path,
            fields,
            &[("sec-fetch-site", "same-origin"), ("origin", "http://site.localhost")],
        )
        .await
    }

    /// Submits a form with the headers that a page of another site would cause.
    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        from: &[(&str, &str)],
    ) -> Answer {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in from {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form)).unwrap()).await
    }

    async fn send(&mut self, mut request: Request<Body>) -> Answer {
        let cookies: Vec<_> = self.cookie.iter().chain(&self.recognized_by).cloned().collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = router::site(&self.app).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        for cookie in head.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let slot =
                if text.contains("browser=") { &mut self.recognized_by } else { &mut self.cookie };
            *slot = if text.contains("Max-Age=0") {
                None
            } else {
                text.split(';').next().map(str::to_owned)
            };
        }
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Returns the session id in the cookie.
    pub(crate) fn session(&self) -> Option<Token> {
        Token::parse(self.cookie.as_ref()?.split_once('=')?.1)
    }
}

/// Stores snapshots with plain names in `snapshots/web`, with random values masked.
pub(crate) fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots/web");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter("[0-9a-f]{64}", "<token>");
    settings.add_filter(r"[0-9a-f]{24}\.[0-9a-f]{32}", "<id>.<signature>");
    settings.add_filter("[0-9a-f]{24}", "<id>");
    settings.add_filter(r"/[^ <]*/\.tmp[A-Za-z0-9]+/", "<folder>/");
    settings
}
