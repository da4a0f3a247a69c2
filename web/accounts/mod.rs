//! Accounts: who customers are, and how they prove it.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use materia::settings::Settings;

use super::{
    app::{App, Clock},
    viewer::Viewer,
};

/// The accounts' store and everything that is decided by it.
pub(crate) struct Accounts;

/// Why the accounts cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the accounts cannot be used: {0}")]
pub(crate) struct AccountsError(String);

impl Accounts {
    /// Opens the store and brings it up to date.
    pub(crate) async fn open(_settings: &Settings, _clock: &Clock) -> Result<Self, AccountsError> {
        Ok(Self)
    }

    /// Whether the store answers.
    pub(crate) async fn reachable(&self) -> bool {
        true
    }
}

/// Finds out who is looking, and tells everything behind it by a [`Viewer`] in the request's extensions.
pub(crate) async fn identify(State(_app): State<App>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Viewer::default());
    next.run(request).await
}
