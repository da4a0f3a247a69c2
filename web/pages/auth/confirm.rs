//! The pages that magic links open. Opening one changes nothing, because mail scanners open links;
//! its button does.

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    start_session, to_web_error,
    views::{ConfirmPage, InvalidLinkPage},
};
use crate::{
    accounts::{self, ClientInfo, LinkError, LinkInfo, Session, Token, display_address},
    app::AppState,
    error::WebError,
    page::{NavItem, Page},
    viewer::Viewer,
};

#[derive(Debug, Deserialize)]
pub(crate) struct TokenParam {
    #[serde(default)]
    token: String,
    /// Whether to revoke the account's API keys as well; only for changes of address.
    #[serde(default)]
    revoke_keys: bool,
}

/// `GET /auth/verify`
pub(crate) async fn verify(
    app: State<AppState>,
    viewer: Viewer,
    headers: HeaderMap,
    query: Query<TokenParam>,
) -> Result<Response, WebError> {
    let Some(token) = Token::parse(&query.token) else {
        return Ok(invalid_link_page(&LinkError::Invalid, None).into_response());
    };
    let info = app.accounts.link_info(&token).await.map_err(to_web_error)?;
    let signed_in = viewer.signed_in().map(|account| account.email.as_str());
    match info {
        // The account is signed in here already: the link was opened again, or by "back" after
        // signing in.
        Some(info) if signed_in == Some(info.email.as_str()) => {
            Ok(Redirect::to(info.next.as_str()).into_response())
        }
        Some(info) if info.is_valid => {
            let other = signed_in.map(|email| {
                format!(" You are signed in as {} now; that session ends.", display_address(email))
            });
            let view = ConfirmPage {
                heading: format!("Sign in to {}", app.settings.brand.name),
                sentence: format!(
                    "You are about to sign in as {}.{}",
                    display_address(&info.email),
                    other.unwrap_or_default()
                ),
                action: "/auth/verify",
                token,
                verb: if info.has_account { "Sign in" } else { "Create the account and sign in" },
                active_keys: 0,
            };
            let page = Page::new("Sign in", NavItem::SignIn, &view);
            // Identifies the browser, so that a double click is recognized.
            if accounts::cookies(&headers, app.accounts.settings()).browser.is_some() {
                return Ok(page.into_response());
            }
            let browser = Token::random()?;
            Ok((
                [(header::SET_COOKIE, accounts::browser_cookie(&browser, app.accounts.settings()))],
                page,
            )
                .into_response())
        }
        info => Ok(invalid_link_page(&LinkError::Invalid, info).into_response()),
    }
}

/// `POST /auth/verify`
pub(crate) async fn redeem(
    app: State<AppState>,
    client: ClientInfo,
    headers: HeaderMap,
    form: Form<TokenParam>,
) -> Result<Response, WebError> {
    let token = Token::parse(&form.token);
    let cookies = accounts::cookies(&headers, app.accounts.settings());
    match app.accounts.redeem(token.as_ref(), &cookies, &client).await {
        Ok(redeemed) => Ok(start_session(&app, &redeemed)),
        Err(LinkError::Invalid) => {
            let info = match &token {
                Some(token) => app.accounts.link_info(token).await.map_err(to_web_error)?,
                None => None,
            };
            Ok(invalid_link_page(&LinkError::Invalid, info).into_response())
        }
        Err(error) => invalid_link_or_error(error).map(IntoResponse::into_response),
    }
}

/// `GET /auth/email`
pub(crate) async fn confirm_email_change(
    app: State<AppState>,
    query: Query<TokenParam>,
) -> Result<Page, WebError> {
    let Some(token) = Token::parse(&query.token) else {
        return Ok(invalid_link_page(&LinkError::Invalid, None));
    };
    match app.accounts.email_change_info(&token).await {
        Ok(change) => {
            let view = ConfirmPage {
                heading: "Confirm your new email address".to_owned(),
                sentence: format!(
                    "{} replaces {} as the email address of your account. All your other sessions end.",
                    display_address(&change.new),
                    display_address(&change.old)
                ),
                action: "/auth/email",
                token,
                verb: "Change email",
                active_keys: change.active_keys,
            };
            Ok(Page::new("Confirm your new email address", NavItem::Settings, &view))
        }
        Err(error) => invalid_link_or_error(error),
    }
}

/// `POST /auth/email`
pub(crate) async fn change_email(
    app: State<AppState>,
    client: ClientInfo,
    session: Option<axum::Extension<Session>>,
    form: Form<TokenParam>,
) -> Result<Response, WebError> {
    let token = Token::parse(&form.token);
    let session = session.map(|session| session.0.0);
    match app
        .accounts
        .change_email(token.as_ref(), session.as_deref(), form.revoke_keys, &client)
        .await
    {
        Ok(Some(renewed)) => {
            let cookie = accounts::session_cookie(&renewed, app.accounts.settings());
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/settings?done=email"))
                .into_response())
        }
        // Opened in another browser than the one that is signed in.
        Ok(None) => Ok(Redirect::to("/auth/login?next=/settings").into_response()),
        Err(error) => invalid_link_or_error(error).map(IntoResponse::into_response),
    }
}

/// Returns a page for an invalid link, and other errors as such.
fn invalid_link_or_error(error: LinkError) -> Result<Page, WebError> {
    match error {
        LinkError::Invalid | LinkError::Taken => Ok(invalid_link_page(&error, None)),
        _ => Err(to_web_error(error)),
    }
}

/// Returns the page for a link that no longer works. With `spent`, the use of the former link, it
/// offers to send a new one.
fn invalid_link_page(error: &LinkError, spent: Option<LinkInfo>) -> Page {
    let taken = matches!(error, LinkError::Taken);
    let (title, status) = if taken {
        ("Address in use", StatusCode::CONFLICT)
    } else {
        ("Link expired", StatusCode::GONE)
    };
    Page::new(title, NavItem::SignIn, &InvalidLinkPage { taken, spent }).with_status(status)
}
