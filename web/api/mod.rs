//! `/api/v1`: the tables and dashboards for programs. It only reads; who calls is told by a key in the `Authorization` header, and by nothing else.

mod answers;
mod handlers;
mod openapi;
mod problem;

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
    problem::{Document, KINDS, Problem},
};
use crate::web::{
    accounts::{self, Caller},
    app::App,
};

/// Where the API is.
pub(crate) const PATH: &str = "/api/";

/// Lets calls through that bring a good key, and tells what is left of the day's requests.
pub(crate) async fn require_key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let brought = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = brought.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some(key) = key.map(|(_, key)| key.trim().to_owned()) else { return Problem::no_key().into_response() };
    let caller = match timeout(accounts::ANSWERS_WITHIN, app.accounts.call(&key)).await {
        Ok(Ok(caller)) => caller,
        Ok(Err(error)) => return Problem::from(error).into_response(),
        Err(_) => return Problem::accounts_away().into_response(),
    };
    let quota = caller.quota;
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    problem::tell_quota(&mut response, quota);
    response
}

impl Caller {
    /// Whether the key opens a table.
    fn opens(&self, table: &str) -> bool {
        self.key.tables.as_ref().is_none_or(|tables| tables.iter().any(|known| known == table))
    }
}
