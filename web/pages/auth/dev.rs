//! Signing in without mail, to develop: not there at all unless `DEBUG=true`.

use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{enter, refused, views::MailboxPage};
use crate::web::{
    accounts::{Email, Visit},
    app::App,
    error::WebError,
    page::{Page, Place},
};

#[derive(Debug, Deserialize)]
pub(crate) struct As {
    #[serde(default)]
    email: String,
}

/// `/auth/dev-login?email=`
pub(crate) async fn dev_sign_in(app: State<App>, visit: Visit, query: Query<As>) -> Result<Response, WebError> {
    if !app.accounts.settings().debug {
        return Err(WebError::NotFound);
    }
    let email: Email = query.email.parse().map_err(|error| WebError::BadRequest(format!("?email={}: {error}.", query.email)))?;
    let redeemed = app.accounts.dev_sign_in(&email, &visit).await.map_err(refused)?;
    Ok(enter(&app, &redeemed))
}

/// `/dev/mailbox`
pub(crate) async fn mailbox(app: State<App>) -> Result<Page, WebError> {
    if !app.accounts.settings().debug {
        return Err(WebError::NotFound);
    }
    Ok(Page::new("Dev mailbox", Place::None, &MailboxPage { letters: app.accounts.mailbox() }))
}
