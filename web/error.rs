//! Why a request is not answered as asked. The layout draws each as a page in the site's look; what is internal goes to the log only.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use materia::reader::ReaderError;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebError {
    /// Nobody is signed in; the browser is sent to the sign-in and comes back to `next`.
    #[error("not signed in")]
    SignIn {
        /// The local address that was asked for.
        next: String,
    },
    /// The request makes no sense; the text says what to do instead.
    #[error("{0}")]
    BadRequest(String),
    /// Signed in, but not allowed.
    #[error("not allowed")]
    Forbidden,
    /// The account is locked out.
    #[error("the account is suspended")]
    Suspended,
    /// The request came from another site, or does not say from where.
    #[error("refused as cross-site")]
    CrossSite,
    /// There is no such page.
    #[error("no such page")]
    NotFound,
    /// The page is there, but not for this method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// More was sent than is taken.
    #[error("too large")]
    TooLarge,
    /// Too many requests.
    #[error("too many requests")]
    TooMany {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// No generation is served yet.
    #[error("no data is being served")]
    Preparing,
    /// The server cannot answer now.
    #[error("busy")]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The accounts cannot be reached: nobody can be told who they are.
    #[error("the accounts cannot be reached")]
    AccountsAway,
    /// The data's storage cannot be reached.
    #[error("the data cannot be reached")]
    DataAway,
    /// The answer took too long.
    #[error("timed out")]
    TimedOut,
    /// Something is wrong here; the reason is for the log.
    #[error("{0}")]
    Internal(String),
}

impl WebError {
    /// Sends to the sign-in, and back to `uri` afterwards.
    pub(crate) fn sign_in(uri: &Uri) -> Self {
        Self::SignIn { next: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string) }
    }

    /// Something that should not have happened.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        Self::Internal(reason.to_string())
    }

    /// The error that a bare status stands for, where a library made the response.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::TimedOut,
            StatusCode::FORBIDDEN => Self::Forbidden,
            status if status.is_client_error() => {
                Self::BadRequest("The form or address was not understood. Go back and try again.".to_owned())
            }
            status if status.is_server_error() => Self::Internal(format!("answered with {status}")),
            _ => return None,
        })
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::Suspended | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Preparing | Self::Busy { .. } | Self::AccountsAway | Self::DataAway | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// When it is worth trying again, where that is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after } | Self::Busy { retry_after } => Some(*retry_after),
            Self::AccountsAway | Self::DataAway => Some(Duration::from_secs(5)),
            Self::Preparing => Some(Duration::from_secs(10)),
            Self::TimedOut => Some(Duration::from_secs(30)),
            _ => None,
        }
    }

    /// What is the matter, and what to do: a heading and a sentence.
    pub(crate) fn words(&self) -> (&'static str, String) {
        let seconds = |wait: &Duration| wait.as_secs().max(1);
        match self {
            Self::SignIn { .. } => ("Please sign in", "This page is for customers. Sign in and you come back to it.".to_owned()),
            Self::BadRequest(problem) => ("That did not make sense", problem.clone()),
            Self::Forbidden => {
                ("Not for this account", "Your account may not open this page. If it should, ask whoever runs the service.".to_owned())
            }
            Self::Suspended => ("This account is suspended", "Write to us and we will sort it out.".to_owned()),
            Self::CrossSite => {
                ("Refused for your safety", "The form was not sent from this site. Open the page here, and send the form again.".to_owned())
            }
            Self::NotFound => ("There is no such page", "The address may be mistyped, or the page has moved.".to_owned()),
            Self::MethodNotAllowed => ("That cannot be done here", "Open the page by its link instead.".to_owned()),
            Self::TooLarge => ("That is too large", "Less was expected. Send less, or write to us.".to_owned()),
            Self::TooMany { retry_after } => {
                ("Too many requests", format!("We let only so many through at once. Try again in {} s.", seconds(retry_after)))
            }
            Self::Preparing => {
                ("The data is being prepared", "The first figures are on their way. This page tries again by itself.".to_owned())
            }
            Self::Busy { retry_after } => {
                ("Much is being asked right now", format!("Your question had to wait too long. Try again in {} s.", seconds(retry_after)))
            }
            Self::AccountsAway => (
                "Accounts cannot be reached right now",
                "Your account is safe, and what is open to everybody still works. Try again in a few seconds.".to_owned(),
            ),
            Self::DataAway => (
                "The data cannot be reached right now",
                "The storage that it is kept on does not answer. Nothing is lost, and what was opened before may still be shown. Try again in a few seconds."
                    .to_owned(),
            ),
            Self::TimedOut => ("That took too long", "Ask for less, or try again in half a minute.".to_owned()),
            Self::Internal(_) => {
                ("Something went wrong here", "It is not your fault, and it has been written down. Try again in a moment.".to_owned())
            }
        }
    }
}

impl From<ReaderError> for WebError {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Unavailable { .. } => Self::Preparing,
            ReaderError::Away { .. } => {
                tracing::warn!(%error, "data is out of reach");
                Self::DataAway
            }
            ReaderError::Busy { retry_after } => Self::Busy { retry_after },
            ReaderError::TimedOut { .. } => Self::TimedOut,
            ReaderError::TooLarge { .. } | ReaderError::Refused { .. } | ReaderError::Engine { .. } => Self::internal(error),
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
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        // The layout draws it.
        response.extensions_mut().insert(self);
        response
    }
}

/// `?next=...` for a local address; nothing for the front page.
fn next_query(next: &str) -> String {
    if next == "/" {
        return String::new();
    }
    let escaped: String = next
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("?next={escaped}")
}
