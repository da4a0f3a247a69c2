//! The pages behind links in letters. Opening one changes nothing, since mail scanners open links; its button does.

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    brought, enter, refused,
    views::{ConfirmPage, DeadPage},
};
use crate::web::{
    accounts::{self, LinkError, Session, Token, Visit},
    app::App,
    error::WebError,
    page::{Page, Place},
};

#[derive(Debug, Deserialize)]
pub(crate) struct Presented {
    #[serde(default)]
    token: String,
}

/// `GET /auth/verify`
pub(crate) async fn verify(app: State<App>, query: Query<Presented>) -> Result<Page, WebError> {
    let Some(token) = Token::presented(&query.token) else { return Ok(dead(&LinkError::Dead)) };
    match app.accounts.look_at_link(&token).await {
        Ok(asked) => {
            let verb = if asked.known { "Sign in" } else { "Create the account and sign in" };
            let view = ConfirmPage {
                heading: format!("Sign in to {}", app.settings.brand.name),
                sentence: format!("You are about to sign in as {}.", asked.email),
                action: "/auth/verify",
                token,
                verb,
            };
            Ok(Page::new("Sign in", Place::SignIn, &view))
        }
        Err(error) => told(error),
    }
}

/// `POST /auth/verify`
pub(crate) async fn redeem(app: State<App>, visit: Visit, headers: HeaderMap, form: Form<Presented>) -> Result<Response, WebError> {
    let token = Token::presented(&form.token);
    match app.accounts.redeem(token.as_ref(), brought(&app, &headers).as_ref(), &visit).await {
        Ok(redeemed) => Ok(enter(&app, &redeemed)),
        Err(error) => told(error).map(IntoResponse::into_response),
    }
}

/// `GET /auth/email`
pub(crate) async fn look_at_email_change(app: State<App>, query: Query<Presented>) -> Result<Page, WebError> {
    let Some(token) = Token::presented(&query.token) else { return Ok(dead(&LinkError::Dead)) };
    match app.accounts.look_at_email_change(&token).await {
        Ok(email) => {
            let view = ConfirmPage {
                heading: "Confirm your address".to_owned(),
                sentence: format!("{email} becomes the address of your account."),
                action: "/auth/email",
                token,
                verb: "Change the address",
            };
            Ok(Page::new("Confirm your address", Place::Settings, &view))
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
    match app.accounts.change_email(token.as_ref(), session.as_deref(), &visit).await {
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
        LinkError::Dead | LinkError::Taken => Ok(dead(&error)),
        _ => Err(refused(error)),
    }
}

fn dead(error: &LinkError) -> Page {
    let taken = matches!(error, LinkError::Taken);
    let status = if taken { StatusCode::CONFLICT } else { StatusCode::GONE };
    Page::new("This does not work", Place::SignIn, &DeadPage { taken }).with_status(status)
}
