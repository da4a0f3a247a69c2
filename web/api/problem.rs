//! Problem documents (RFC 9457), for clients of the API and their authors.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use materia::{
    plan::Plan,
    reader::ReaderError,
    tables::{ParameterError, TableQueryError},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    accounts::{KeyError, Quota},
    components::plan_title,
    data::DownloadRejection,
    error::WebError,
    log::without_values,
};

/// An error of the API.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<ProblemDetails>);

/// What is wrong with a call.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDetails {
    /// Identifies the kind of problem and links to its description.
    #[serde(rename = "type")]
    #[schema(example = "/docs/api#problem-parameter")]
    kind: String,
    /// A short title of the kind.
    title: &'static str,
    status: u16,
    /// What is wrong with this call, and what to do.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// Its value, shortened if it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    quota: Option<Quota>,
}

/// Every kind of problem, with status and title, for the documentation.
pub(crate) const KINDS: [(&str, u16, &str); 12] = [
    ("parameter", 400, "Invalid parameter"),
    ("key", 401, "Missing or invalid API key"),
    ("plan", 403, "Not included in the plan"),
    ("scope", 403, "Outside the key's scope"),
    ("suspended", 403, "Account suspended"),
    ("not-found", 404, "Not found"),
    ("method", 405, "Only GET and HEAD are supported"),
    ("format", 406, "Unsupported format"),
    ("expired-cursor", 410, "Expired cursor"),
    ("too-many", 429, "Too many requests"),
    ("unavailable", 503, "Temporarily unavailable"),
    ("internal", 500, "Internal error"),
];

impl ProblemDetails {
    fn new(kind: &str, detail: impl Into<String>) -> Self {
        let known =
            KINDS.iter().find(|(name, ..)| *name == kind).unwrap_or(&KINDS[KINDS.len() - 1]);
        Self {
            kind: format!("/docs/api#problem-{}", known.0),
            title: known.2,
            status: known.1,
            detail: detail.into(),
            ..Self::default()
        }
    }
}

impl Problem {
    fn new(kind: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemDetails::new(kind, detail)))
    }

    fn with(mut self, change: impl FnOnce(&mut ProblemDetails)) -> Self {
        change(&mut self.0);
        self
    }

    /// Adds the invalid parameter, its value and the allowed values.
    fn about(self, mistake: ParameterError) -> Self {
        self.with(|document| {
            document.parameter = Some(mistake.parameter);
            document.value = Some(mistake.value);
            document.allowed = mistake.allowed;
        })
    }

    pub(crate) fn no_key() -> Self {
        Self::new(
            "key",
            "Send a key: Authorization: Bearer materia_... Keys are created on the settings page and never read from the URL.",
        )
    }

    pub(crate) fn locked(table: &str, plan: Plan) -> Self {
        Self::new("plan", format!("The table {table} is included from {}.", plan_title(plan)))
    }

    pub(crate) fn no_downloads() -> Self {
        Self::new("plan", "This account's plan does not include downloads.")
    }

    pub(crate) fn scope(what: &str) -> Self {
        Self::new(
            "scope",
            format!("This key is restricted to some tables, and {what} is not among them."),
        )
    }

    pub(crate) fn no_table(name: &str, tables: impl IntoIterator<Item = String>) -> Self {
        let mistake =
            ParameterError::new("table", name, "this table does not exist").allowed(tables);
        Self::new("not-found", "This table does not exist.").about(mistake)
    }

    pub(crate) fn no_dashboard(slug: &str, known: impl IntoIterator<Item = String>) -> Self {
        let mistake =
            ParameterError::new("slug", slug, "this dashboard does not exist").allowed(known);
        Self::new("not-found", "This dashboard does not exist.").about(mistake)
    }

    pub(crate) fn format(accept: &str, allowed: impl IntoIterator<Item = String>) -> Self {
        Self::new("format", "None of the formats in Accept is supported.")
            .about(ParameterError::new("Accept", accept, "").allowed(allowed))
    }

    pub(crate) fn expired_cursor(cursor: &str, detail: String) -> Self {
        let mistake = ParameterError::new("cursor", cursor, "");
        Self::new("expired-cursor", detail).about(mistake)
    }

    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(reason = without_values(&reason.to_string()), "an API call failed");
        Self::new("internal", "This is our fault, and it has been logged. Try again in a moment.")
    }

    /// The client cannot be authenticated, because the accounts are unavailable.
    pub(crate) fn accounts_unavailable() -> Self {
        Self::new("unavailable", "Accounts are unavailable right now.")
            .later(Duration::from_secs(5))
    }

    fn later(self, retry_after: Duration) -> Self {
        self.with(|document| document.retry_after = Some(retry_after))
    }
}

impl From<ParameterError> for Problem {
    fn from(mistake: ParameterError) -> Self {
        Self::new("parameter", mistake.to_string()).about(mistake)
    }
}

impl From<TableQueryError> for Problem {
    fn from(error: TableQueryError) -> Self {
        match error {
            TableQueryError::Parameter(mistake) => mistake.into(),
            TableQueryError::Cursor(error) => {
                ParameterError::new("cursor", "", error.to_string()).into()
            }
            TableQueryError::Reader(error) => error.into(),
        }
    }
}

impl From<ReaderError> for Problem {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Unavailable { .. } => {
                Self::new("unavailable", "The data is being prepared.")
                    .later(Duration::from_secs(10))
            }
            ReaderError::StorageUnavailable { .. } => Self::from(&WebError::from(error)),
            ReaderError::Busy { retry_after } => {
                Self::new("unavailable", "Too many concurrent queries.").later(retry_after)
            }
            ReaderError::TimedOut { .. } | ReaderError::OverBudget { .. } => Self::new(
                "unavailable",
                "The query took too long. Request fewer rows, use a narrower filter, or leave out the order.",
            )
            .later(Duration::from_secs(30)),
            ReaderError::TooLarge { .. } => ParameterError::new(
                "limit",
                "",
                "too many rows for one response; request fewer, or download the table",
            )
            .into(),
            error @ (ReaderError::BuffersFull { .. }
            | ReaderError::Refused { .. }
            | ReaderError::Engine { .. }) => {
                Self::internal(error)
            }
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::new("key", "This key is not valid."),
            KeyError::Revoked => {
                Self::new("key", "This key was revoked. Create another one on the settings page.")
            }
            KeyError::Expired => {
                Self::new("key", "This key has expired. Create another one on the settings page.")
            }
            KeyError::Suspended => Self::new("suspended", "Contact us to have it restored."),
            KeyError::NoApi => Self::new("plan", "This account's plan does not include the API."),
            KeyError::QuotaExceeded(quota) => {
                let problem =
                    Self::new("too-many", format!("Today's {} requests are used up.", quota.limit));
                problem
                    .later(Duration::from_secs(quota.reset.into()))
                    .with(|document| document.quota = Some(quota))
            }
            KeyError::NoSql => Self::new("key", error.to_string()),
            KeyError::TooMany => Self::new("parameter", error.to_string()),
            KeyError::Store(error) if error.is_transient() => {
                tracing::error!(%error, "a key could not be looked up");
                Self::accounts_unavailable()
            }
            KeyError::Store(error) => Self::internal(error),
        }
    }
}

impl From<DownloadRejection> for Problem {
    fn from(refused: DownloadRejection) -> Self {
        match refused {
            DownloadRejection::TooManyAtOnce(max) => Self::new(
                "too-many",
                format!(
                    "This account already has {max} downloads in progress, the maximum of its plan."
                ),
            )
            .later(Duration::from_secs(10)),
            DownloadRejection::Reader(error) => error.into(),
        }
    }
}

/// Errors of the layers in front of the API.
impl From<&WebError> for Problem {
    fn from(error: &WebError) -> Self {
        let (_, message) = error.title_and_message();
        match error {
            WebError::NotFound => Self::new(
                "not-found",
                "This address does not exist; /api/v1/openapi.json lists all of them.",
            ),
            WebError::MethodNotAllowed | WebError::CrossSite => {
                Self::new("method", "The API is read-only: use GET or HEAD.")
            }
            WebError::RateLimited { retry_after } => {
                Self::new("too-many", message).later(*retry_after)
            }
            WebError::NoDataYet
            | WebError::Busy { .. }
            | WebError::AccountsUnavailable
            | WebError::StorageUnavailable
            | WebError::TimedOut => Self::new("unavailable", message)
                .later(error.retry_after().unwrap_or(Duration::from_secs(10))),
            WebError::SlowBody => Self::new("parameter", message)
                .with(|document| document.status = error.status().as_u16()),
            WebError::BadRequest(_) | WebError::TooLarge => {
                Self::new("parameter", "The request is invalid.")
            }
            WebError::SignIn { .. } => Self::no_key(),
            WebError::Suspended => Self::new("suspended", message),
            WebError::Forbidden => Self::new("plan", message),
            WebError::Internal(_) => Self::new("internal", message),
        }
    }
}

/// Sets the headers with the remaining daily quota.
pub(crate) fn set_quota_headers(response: &mut Response, quota: Quota) {
    let headers = [
        ("ratelimit-policy", format!("\"day\";q={};w=86400", quota.limit)),
        ("ratelimit", format!("\"day\";r={};t={}", quota.remaining, quota.reset)),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Serializing text, numbers and lists of text cannot fail.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(quota) = self.0.quota {
            set_quota_headers(&mut response, quota);
        }
        response
    }
}
