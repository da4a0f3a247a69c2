//! Errors of requests. The layout renders them as pages; internal details go to the log only.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use materia::{humanize, reader::ReaderError};

use super::log::without_values;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebError {
    /// Not signed in; the browser is redirected to sign-in and returns to `next`.
    #[error("not signed in")]
    SignIn {
        /// The requested local address.
        next: String,
    },
    /// The request is invalid; the text explains how to correct it.
    #[error("{0}")]
    BadRequest(String),
    /// Signed in, but not authorized.
    #[error("not allowed")]
    Forbidden,
    /// The account is suspended.
    #[error("the account is suspended")]
    Suspended,
    /// The request came from another site, or its origin is unknown.
    #[error("refused as cross-site")]
    CrossSite,
    /// The page does not exist.
    #[error("no such page")]
    NotFound,
    /// The page does not support this method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The request's body is too large.
    #[error("too large")]
    TooLarge,
    /// The request's body did not arrive in time.
    #[error("the body arrived too slowly")]
    SlowBody,
    /// The client exceeded a rate limit.
    #[error("too many requests")]
    RateLimited {
        /// The time after which to retry.
        retry_after: Duration,
    },
    /// No generation is served yet.
    #[error("no data is being served")]
    NoDataYet,
    /// The server is overloaded.
    #[error("busy")]
    Busy {
        /// The time after which to retry.
        retry_after: Duration,
    },
    /// The accounts are unavailable, so that sessions cannot be resolved.
    #[error("the accounts are unavailable")]
    AccountsUnavailable,
    /// The storage of the data is unavailable.
    #[error("the data is unavailable")]
    StorageUnavailable,
    /// The response took too long.
    #[error("timed out")]
    TimedOut,
    /// An internal error; the reason is for the log.
    #[error("{0}")]
    Internal(String),
}

impl WebError {
    /// Returns the redirect to sign-in that leads back to `uri`.
    pub(crate) fn sign_in(uri: &Uri) -> Self {
        Self::SignIn {
            next: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        }
    }

    /// Returns an internal error with its reason.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        Self::Internal(reason.to_string())
    }

    /// Returns the error for a plain response created by a library.
    pub(crate) fn from_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Self::SlowBody,
            StatusCode::GATEWAY_TIMEOUT => Self::TimedOut,
            StatusCode::FORBIDDEN => Self::Forbidden,
            status if status.is_client_error() => Self::BadRequest(
                "The form or address is invalid. Go back and try again.".to_owned(),
            ),
            status if status.is_server_error() => {
                Self::Internal(format!("responded with {status}"))
            }
            _ => return None,
        })
    }

    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::Suspended | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoDataYet
            | Self::Busy { .. }
            | Self::AccountsUnavailable
            | Self::StorageUnavailable
            | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the time after which to retry, if known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Busy { retry_after } => Some(*retry_after),
            Self::AccountsUnavailable | Self::StorageUnavailable => Some(Duration::from_secs(5)),
            Self::NoDataYet => Some(Duration::from_secs(10)),
            Self::TimedOut => Some(Duration::from_secs(30)),
            _ => None,
        }
    }

    /// Returns a heading and a sentence with the explanation and the next action.
    pub(crate) fn title_and_message(&self) -> (&'static str, String) {
        let seconds = |wait: &Duration| {
            humanize::plural(usize::try_from(wait.as_secs().max(1)).unwrap_or(usize::MAX), "second")
        };
        match self {
            Self::SignIn { .. } => (
                "Please sign in",
                "This page is for customers. Sign in and we'll bring you back here.".to_owned(),
            ),
            Self::BadRequest(problem) => ("We couldn't process that request", problem.clone()),
            Self::Forbidden => (
                "You don't have access to this page",
                "If you think you should, ask the operator of this site for access.".to_owned(),
            ),
            Self::Suspended => {
                ("This account is suspended", "Contact us to have it restored.".to_owned())
            }
            Self::CrossSite => (
                "This form was not accepted",
                "It was not sent from this site. Open the page here and submit the form again."
                    .to_owned(),
            ),
            Self::NotFound => {
                ("Page not found", "The address may be mistyped, or the page has moved.".to_owned())
            }
            Self::MethodNotAllowed => {
                ("This page cannot be used that way", "Open it by its link instead.".to_owned())
            }
            Self::TooLarge => {
                ("The request is too large", "Send less data or contact us.".to_owned())
            }
            Self::SlowBody => (
                "The request arrived too slowly",
                "Check your connection and send it again.".to_owned(),
            ),
            Self::RateLimited { retry_after } => {
                ("Too many requests", format!("Try again in {}.", seconds(retry_after)))
            }
            Self::NoDataYet => (
                "The data is being prepared",
                "The first figures are on their way. This page reloads automatically.".to_owned(),
            ),
            Self::Busy { retry_after } => (
                "The service is busy right now",
                format!("Your request waited too long. Try again in {}.", seconds(retry_after)),
            ),
            Self::AccountsUnavailable => (
                "Accounts are unavailable right now",
                "Your account is safe, and public pages still work. Try again in a few seconds."
                    .to_owned(),
            ),
            Self::StorageUnavailable => (
                "The data is unavailable right now",
                "Its storage does not respond. Nothing is lost. Try again in a few seconds."
                    .to_owned(),
            ),
            Self::TimedOut => (
                "The request took too long",
                "Select less data, or try again in half a minute.".to_owned(),
            ),
            Self::Internal(_) => (
                "Something went wrong",
                "This is our fault, and it has been logged. Try again in a moment.".to_owned(),
            ),
        }
    }
}

impl From<ReaderError> for WebError {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Unavailable { .. } => Self::NoDataYet,
            ReaderError::StorageUnavailable { .. } => {
                tracing::warn!(%error, "the data is unavailable");
                Self::StorageUnavailable
            }
            ReaderError::Busy { retry_after } => Self::Busy { retry_after },
            ReaderError::TimedOut { .. } | ReaderError::OverBudget { .. } => Self::TimedOut,
            ReaderError::TooLarge { .. }
            | ReaderError::BuffersFull { .. }
            | ReaderError::Refused { .. }
            | ReaderError::Engine { .. } => Self::internal(without_values(&error.to_string())),
        }
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut response = match &self {
            Self::SignIn { next } => {
                let query = next_query(next);
                return Redirect::to(&format!("/auth/login{query}")).into_response();
            }
            _ => self.status().into_response(),
        };
        if let Some(wait) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        // Rendered by the layout.
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns `?next=...` for a local address, and nothing for the homepage.
fn next_query(next: &str) -> String {
    if next == "/" {
        return String::new();
    }
    let escaped: String = next
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("?next={escaped}")
}
