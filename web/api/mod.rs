//! `/api/v1`: tables and dashboards for programs. It is read-only; a client is identified only by
//! the key in its `Authorization` header.

mod format;
mod handlers;
mod openapi;
mod problem;
mod request;
mod schema;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

pub(crate) use self::{
    handlers::{dashboard, dashboards, download, generation, rows, table, tables},
    openapi::serve as openapi,
    problem::{KINDS, Problem, ProblemDetails},
};
use crate::{
    accounts::{self, ApiClient},
    app::AppState,
};

/// The prefix of the API's paths.
pub(crate) const PATH: &str = "/api/";

/// Authenticates a call, counts it against the daily quota, and reports the remaining quota in the
/// response.
pub(crate) async fn require_key(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let authorization =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = authorization
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some(key) = key.map(|(_, key)| key.trim().to_owned()) else {
        return Problem::no_key().into_response();
    };
    let client = match timeout(accounts::ACCOUNTS_TIMEOUT, app.accounts.authenticate(&key)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Problem::from(error).into_response(),
        Err(_) => return Problem::accounts_unavailable().into_response(),
    };
    let quota = client.quota;
    request.extensions_mut().insert(client);
    let mut response = next.run(request).await;
    problem::set_quota_headers(&mut response, quota);
    response
}

impl ApiClient {
    /// Returns whether a table is in the key's scope.
    fn may_read(&self, table: &str) -> bool {
        self.key.tables.as_ref().is_none_or(|tables| tables.iter().any(|known| known == table))
    }
}
