//! Problem documents (RFC 9457): what is wrong with a call, for the program that made it and for whoever wrote it.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use materia::{
    plan::Plan,
    reader::ReaderError,
    tables::{AskError, Mistake},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::{
    accounts::{KeyError, Quota},
    data::Refused,
    error::WebError,
    parts::plan_title,
};

/// Why a call is not answered.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Document>);

/// What is wrong with a call.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// Names the kind of problem, and is where it is explained.
    #[serde(rename = "type")]
    #[schema(example = "/docs/api#problem-parameter")]
    kind: String,
    /// The kind in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time, and what to do.
    detail: String,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// Its value; the beginning of a long one.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What may be given instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    quota: Option<Quota>,
}

/// Every kind of problem, for the documentation: its name, its status, its title.
pub(crate) const KINDS: [(&str, u16, &str); 12] = [
    ("parameter", 400, "A parameter cannot be used"),
    ("key", 401, "No good key"),
    ("plan", 403, "The plan does not include it"),
    ("scope", 403, "The key does not open it"),
    ("suspended", 403, "The account is suspended"),
    ("not-found", 404, "There is no such thing"),
    ("method", 405, "Only GET and HEAD are answered"),
    ("format", 406, "No format that is asked for can be given"),
    ("expired-cursor", 410, "The cursor belongs to data that has been renewed"),
    ("too-many", 429, "Too many requests"),
    ("unavailable", 503, "Not now"),
    ("internal", 500, "Something went wrong here"),
];

impl Document {
    fn new(kind: &str, detail: impl Into<String>) -> Self {
        let known = KINDS.iter().find(|(name, ..)| *name == kind).unwrap_or(&KINDS[KINDS.len() - 1]);
        Self { kind: format!("/docs/api#problem-{}", known.0), title: known.2, status: known.1, detail: detail.into(), ..Self::default() }
    }
}

impl Problem {
    fn new(kind: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document::new(kind, detail)))
    }

    fn with(mut self, change: impl FnOnce(&mut Document)) -> Self {
        change(&mut self.0);
        self
    }

    /// Names the parameter that is wrong, its value, and what may be given instead.
    fn about(self, mistake: Mistake) -> Self {
        self.with(|document| {
            document.parameter = Some(mistake.parameter);
            document.value = Some(mistake.value);
            document.allowed = mistake.allowed;
        })
    }

    pub(crate) fn no_key() -> Self {
        Self::new(
            "key",
            "Send a key: Authorization: Bearer materia_... Keys are made on the settings page, and never taken from the address.",
        )
    }

    pub(crate) fn locked(table: &str, plan: Plan) -> Self {
        Self::new("plan", format!("The table {table} is part of the plan {}.", plan_title(plan)))
    }

    pub(crate) fn no_downloads() -> Self {
        Self::new("plan", "The plan of this account has no downloads.")
    }

    pub(crate) fn scope(what: &str) -> Self {
        Self::new("scope", format!("This key was made for some tables only, and {what} is not among them."))
    }

    pub(crate) fn no_table(name: &str, tables: impl IntoIterator<Item = String>) -> Self {
        let mistake = Mistake::new("table", name, "there is no such table").allowed(tables);
        Self::new("not-found", "There is no such table.").about(mistake)
    }

    pub(crate) fn no_dashboard(slug: &str, known: impl IntoIterator<Item = String>) -> Self {
        let mistake = Mistake::new("slug", slug, "there is no such dashboard").allowed(known);
        Self::new("not-found", "There is no such dashboard.").about(mistake)
    }

    pub(crate) fn format(asked: &str, allowed: impl IntoIterator<Item = String>) -> Self {
        Self::new("format", "None of the formats in Accept can be given.").about(Mistake::new("Accept", asked, "").allowed(allowed))
    }

    pub(crate) fn expired_cursor(cursor: &str, detail: String) -> Self {
        let mistake = Mistake::new("cursor", cursor, "");
        Self::new("expired-cursor", detail).about(mistake)
    }

    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "the API cannot answer");
        Self::new("internal", "It is not your fault, and it has been written down. Try again in a moment.")
    }

    /// Nobody can be told who they are.
    pub(crate) fn accounts_away() -> Self {
        Self::new("unavailable", "Accounts cannot be reached right now.").later(Duration::from_secs(5))
    }

    fn later(self, retry_after: Duration) -> Self {
        self.with(|document| document.retry_after = Some(retry_after))
    }
}

impl From<Mistake> for Problem {
    fn from(mistake: Mistake) -> Self {
        Self::new("parameter", mistake.to_string()).about(mistake)
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Mistake(mistake) => mistake.into(),
            AskError::Reader(error) => error.into(),
        }
    }
}

impl From<ReaderError> for Problem {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Unavailable { .. } => Self::new("unavailable", "The data is being prepared.").later(Duration::from_secs(10)),
            ReaderError::Away { .. } => Self::from(&WebError::from(error)),
            ReaderError::Busy { retry_after } => Self::new("unavailable", "Too many questions at once.").later(retry_after),
            ReaderError::TimedOut { .. } => {
                Self::new("unavailable", "That took too long. Ask for less: fewer rows, a narrower filter, no order.")
                    .later(Duration::from_secs(30))
            }
            ReaderError::TooLarge { .. } => {
                Mistake::new("limit", "", "so many rows are more than one answer holds; ask for fewer, or download the table").into()
            }
            error @ (ReaderError::Refused { .. } | ReaderError::Engine { .. }) => Self::internal(error),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::new("key", "There is no such key."),
            KeyError::Revoked => Self::new("key", "This key was revoked. Make another one on the settings page."),
            KeyError::Expired => Self::new("key", "This key has expired. Make another one on the settings page."),
            KeyError::Suspended => Self::new("suspended", "Write to us and we will sort it out."),
            KeyError::NoApi => Self::new("plan", "The plan of this account has no API."),
            KeyError::UsedUp(quota) => {
                let problem = Self::new("too-many", format!("The {} requests of today are used up.", quota.most));
                problem.later(Duration::from_secs(quota.reset.into())).with(|document| document.quota = Some(quota))
            }
            KeyError::TooMany => Self::new("parameter", error.to_string()),
            KeyError::Store(error) if error.may_pass() => {
                tracing::error!(%error, "a key could not be looked up");
                Self::accounts_away()
            }
            KeyError::Store(error) => Self::internal(error),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooManyAtOnce(most) => {
                Self::new("too-many", format!("{most} downloads of this account are under way, as many as its plan allows at once."))
                    .later(Duration::from_secs(10))
            }
            Refused::Reader(error) => error.into(),
        }
    }
}

/// What the layers around every route refuse.
impl From<&WebError> for Problem {
    fn from(error: &WebError) -> Self {
        let (_, words) = error.words();
        match error {
            WebError::NotFound => Self::new("not-found", "There is no such address; /api/v1/openapi.json lists them all."),
            WebError::MethodNotAllowed | WebError::CrossSite => Self::new("method", "The API only reads: use GET or HEAD."),
            WebError::TooMany { retry_after } => Self::new("too-many", words).later(*retry_after),
            WebError::Preparing | WebError::Busy { .. } | WebError::AccountsAway | WebError::DataAway | WebError::TimedOut => {
                Self::new("unavailable", words).later(error.retry_after().unwrap_or(Duration::from_secs(10)))
            }
            WebError::BadRequest(_) | WebError::TooLarge => Self::new("parameter", "The request was not understood."),
            WebError::SignIn { .. } => Self::no_key(),
            WebError::Suspended => Self::new("suspended", words),
            WebError::Forbidden => Self::new("plan", words),
            WebError::Internal(_) => Self::new("internal", words),
        }
    }
}

/// Tells what is left of the day.
pub(crate) fn tell_quota(response: &mut Response, quota: Quota) {
    let told = [
        ("ratelimit-policy", format!("\"day\";q={};w=86400", quota.most)),
        ("ratelimit", format!("\"day\";r={};t={}", quota.left, quota.reset)),
    ];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Texts, numbers and lists of texts always become JSON.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(quota) = self.0.quota {
            tell_quota(&mut response, quota);
        }
        response
    }
}
