//! Sign-in without email for development; exists only with `DEBUG=true`.

use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{start_session, to_web_error, views::MailboxPage};
use crate::{
    accounts::{ClientInfo, Email},
    app::AppState,
    error::WebError,
    page::{NavItem, Page},
};

#[derive(Debug, Deserialize)]
pub(crate) struct DevUser {
    #[serde(default)]
    email: String,
}

/// `/auth/dev-login?email=`
pub(crate) async fn dev_sign_in(
    app: State<AppState>,
    client: ClientInfo,
    query: Query<DevUser>,
) -> Result<Response, WebError> {
    if !app.accounts.settings().debug {
        return Err(WebError::NotFound);
    }
    let email: Email = query
        .email
        .parse()
        .map_err(|error| WebError::BadRequest(format!("?email={}: {error}.", query.email)))?;
    let redeemed = app.accounts.dev_sign_in(&email, &client).await.map_err(to_web_error)?;
    Ok(start_session(&app, &redeemed))
}

/// `/dev/mailbox`
pub(crate) async fn mailbox(app: State<AppState>) -> Result<Page, WebError> {
    if !app.accounts.settings().debug {
        return Err(WebError::NotFound);
    }
    Ok(Page::new("Dev mailbox", NavItem::None, &MailboxPage { mails: app.accounts.mailbox() }))
}
