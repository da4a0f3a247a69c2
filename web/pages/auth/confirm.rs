//! The pages behind links in letters. Opening one changes nothing, since mail scanners open links; its button does.

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    enter, refused,
    views::{ConfirmPage, DeadPage},
};
use crate::web::{
    accounts::{self, LinkError, LinkInfo, Session, Token, Visit, display_address},
    app::App,
    error::WebError,
    page::{Page, Place},
    viewer::Viewer,
};

#[derive(Debug, Deserialize)]
pub(crate) struct Presented {
    #[serde(default)]
    token: String,
    /// Whether to revoke the account's API keys as well; only where an address changes.
    #[serde(default)]
    revoke_keys: bool,
}

/// `GET /auth/verify`
pub(crate) async fn verify(app: State<App>, viewer: Viewer, headers: HeaderMap, query: Query<Presented>) -> Result<Response, WebError> {
    let Some(token) = Token::presented(&query.token) else { return Ok(dead(&LinkError::Dead, None).into_response()) };
    let info = app.accounts.link_info(&token).await.map_err(refused)?;
    let signed_in = viewer.signed_in().map(|account| account.email.as_str());
    match info {
        // Whoever it would sign in is signed in here: opened once more, or "back" after signing in.
        Some(info) if signed_in == Some(info.email.as_str()) => Ok(Redirect::to(info.next.as_str()).into_response()),
        Some(info) if info.is_valid => {
            let other = signed_in.map(|email| format!(" You are signed in as {} now; that session ends.", display_address(email)));
            let view = ConfirmPage {
                heading: format!("Sign in to {}", app.settings.brand.name),
                sentence: format!("You are about to sign in as {}.{}", display_address(&info.email), other.unwrap_or_default()),
                action: "/auth/verify",
                token,
                verb: if info.has_account { "Sign in" } else { "Create the account and sign in" },
                active_keys: 0,
            };
            let page = Page::new("Sign in", Place::SignIn, &view);
            // A double click is recognized by it.
            if accounts::cookies(&headers, app.accounts.settings()).browser.is_some() {
                return Ok(page.into_response());
            }
            let browser = Token::random()?;
            Ok(([(header::SET_COOKIE, accounts::browser_cookie(&browser, app.accounts.settings()))], page).into_response())
        }
        info => Ok(dead(&LinkError::Dead, info).into_response()),
    }
}

/// `POST /auth/verify`
pub(crate) async fn redeem(app: State<App>, visit: Visit, headers: HeaderMap, form: Form<Presented>) -> Result<Response, WebError> {
    let token = Token::presented(&form.token);
    let cookies = accounts::cookies(&headers, app.accounts.settings());
    match app.accounts.redeem(token.as_ref(), &cookies, &visit).await {
        Ok(redeemed) => Ok(enter(&app, &redeemed)),
        Err(LinkError::Dead) => {
            let info = match &token {
                Some(token) => app.accounts.link_info(token).await.map_err(refused)?,
                None => None,
            };
            Ok(dead(&LinkError::Dead, info).into_response())
        }
        Err(error) => told(error).map(IntoResponse::into_response),
    }
}

/// `GET /auth/email`
pub(crate) async fn look_at_email_change(app: State<App>, query: Query<Presented>) -> Result<Page, WebError> {
    let Some(token) = Token::presented(&query.token) else { return Ok(dead(&LinkError::Dead, None)) };
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
            Ok(Page::new("Confirm your new email address", Place::Settings, &view))
        }
        Err(error) => told(error),
    }
}

/// `POST /auth/email`
pub(crate) async fn change_email(
    app: State<App>,
    visit: Visit,
    session: Option<axum::Extension<Session>>,
    form: Form<Presented>,
) -> Result<Response, WebError> {
    let token = Token::presented(&form.token);
    let session = session.map(|session| session.0.0);
    match app.accounts.change_email(token.as_ref(), session.as_deref(), form.revoke_keys, &visit).await {
        Ok(Some(renewed)) => {
            let cookie = accounts::session_cookie(&renewed, app.accounts.settings());
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/settings?done=email")).into_response())
        }
        // Opened in another browser than the one that is signed in.
        Ok(None) => Ok(Redirect::to("/auth/login?next=/settings").into_response()),
        Err(error) => told(error).map(IntoResponse::into_response),
    }
}

/// A link that does not work is a page of its own; everything else an error as elsewhere.
fn told(error: LinkError) -> Result<Page, WebError> {
    match error {
        LinkError::Dead | LinkError::Taken => Ok(dead(&error, None)),
        _ => Err(refused(error)),
    }
}

/// The page of a link that does nothing any more; `spent` is what it was for, so that a new one can be requested with one click.
fn dead(error: &LinkError, spent: Option<LinkInfo>) -> Page {
    let taken = matches!(error, LinkError::Taken);
    let (title, status) = if taken { ("Address in use", StatusCode::CONFLICT) } else { ("Link expired", StatusCode::GONE) };
    Page::new(title, Place::SignIn, &DeadPage { taken, spent }).with_status(status)
}
