//! Signing in, signing up, signing out: by a link that is sent by e-mail.

mod confirm;
mod dev;
mod views;

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use self::views::{AskPage, DeletedPage, SentPage};
pub(crate) use self::{
    confirm::{change_email, look_at_email_change, redeem, verify},
    dev::{dev_sign_in, mailbox},
};
use crate::web::{
    accounts::{self, Email, LinkError, LinkRequest, ReturnPath, Session, StoreError, Visit},
    app::App,
    error::WebError,
    page::{Page, Place},
    viewer::Viewer,
};

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.may_pass() => {
                tracing::error!(%error, "a page that needs the accounts cannot be answered");
                Self::AccountsAway
            }
            error if error.is_no_text() => Self::BadRequest("There are characters in it that no text has.".to_owned()),
            error => Self::internal(error),
        }
    }
}

/// Whether somebody comes to sign in or to sign up. Both are sent the same link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    SignIn,
    SignUp,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asking {
    email: String,
    #[serde(default)]
    name: String,
    next: Option<String>,
}

/// `/auth/login`
pub(crate) async fn sign_in_page(app: State<App>, viewer: Viewer, query: Query<Next>) -> Response {
    ask_page(&app, &viewer, &query, Wish::SignIn)
}

/// `/auth/signup`
pub(crate) async fn sign_up_page(app: State<App>, viewer: Viewer, query: Query<Next>) -> Response {
    ask_page(&app, &viewer, &query, Wish::SignUp)
}

fn ask_page(app: &App, viewer: &Viewer, query: &Next, wish: Wish) -> Response {
    let next = ReturnPath::checked_or_home(query.next.as_deref());
    if viewer.signed_in().is_some() {
        return Redirect::to(next.as_str()).into_response();
    }
    let (sends_mail, settings) = (app.accounts.sends_mail(), app.accounts.settings());
    AskPage { wish, email: String::new(), name: String::new(), next, problem: None, sends_mail, settings }.page().into_response()
}

/// `POST /auth/login`
pub(crate) async fn ask_to_sign_in(app: State<App>, visit: Visit, headers: HeaderMap, form: Form<Asking>) -> Result<Response, WebError> {
    send_link(&app, &visit, &headers, form.0, Wish::SignIn).await
}

/// `POST /auth/signup`
pub(crate) async fn ask_to_sign_up(app: State<App>, visit: Visit, headers: HeaderMap, form: Form<Asking>) -> Result<Response, WebError> {
    send_link(&app, &visit, &headers, form.0, Wish::SignUp).await
}

async fn send_link(app: &App, visit: &Visit, headers: &HeaderMap, form: Asking, wish: Wish) -> Result<Response, WebError> {
    let next = ReturnPath::checked_or_home(form.next.as_deref());
    let (sends_mail, settings) = (app.accounts.sends_mail(), app.accounts.settings());
    let email = match form.email.parse::<Email>() {
        Ok(email) if sends_mail => email,
        wrong => {
            let status = if sends_mail { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::SERVICE_UNAVAILABLE };
            let problem = wrong.err().map(|error| format!("{}.", capital(&error.to_string())));
            let page = AskPage { wish, email: form.email, name: form.name, next, problem, sends_mail, settings }.page();
            return Ok(page.with_status(status).into_response());
        }
    };
    let cookies = accounts::cookies(headers, settings);
    let request = LinkRequest { email: &email, name: &form.name, next: &next, visit, cookies: &cookies };
    match app.accounts.request_link(request).await {
        Ok(()) => {}
        Err(LinkError::TooManyForAddress(wait)) => {
            let problem = Some(format!("{}.", capital(&LinkError::TooManyForAddress(wait).to_string())));
            let page = AskPage { wish, email: form.email, name: form.name, next, problem, sends_mail, settings }.page();
            let retry = [(header::RETRY_AFTER, wait.as_secs().to_string())];
            return Ok((retry, page.with_status(StatusCode::TOO_MANY_REQUESTS)).into_response());
        }
        Err(error) => return Err(refused(error)),
    }
    let view = SentPage { email: email.to_display(), mailbox: settings.debug };
    Ok(Page::new("Check your email", Place::SignIn, &view).into_response())
}

/// `POST /auth/logout`
pub(crate) async fn sign_out(app: State<App>, viewer: Viewer, session: Option<axum::Extension<Session>>) -> Result<Response, WebError> {
    if viewer.is_unknown() {
        return Err(WebError::AccountsAway);
    }
    if let (Some(account), Some(session)) = (viewer.signed_in(), session) {
        app.accounts.end_session(&account.id, &session.0.0).await?;
    }
    let cookie = accounts::forget_cookie(app.accounts.settings());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// `GET /auth/deleted`: where deleting an account leads.
pub(crate) async fn deleted() -> Page {
    Page::new("Account deleted", Place::None, &DeletedPage)
}

/// Sends somebody who just signed in on, with the new session.
fn enter(app: &App, redeemed: &accounts::Redeemed) -> Response {
    tracing::info!(account = redeemed.account.id, role = redeemed.account.role.name(), "signed in");
    let cookie = accounts::session_cookie(&redeemed.session, app.accounts.settings());
    ([(header::SET_COOKIE, cookie)], Redirect::to(redeemed.next.as_str())).into_response()
}

/// What a refusal means for a page that has nothing of its own to say about it.
pub(super) fn refused(error: LinkError) -> WebError {
    match error {
        LinkError::TooOften(retry_after) | LinkError::TooManyForAddress(retry_after) => WebError::TooMany { retry_after },
        LinkError::Suspended => WebError::Suspended,
        LinkError::Store(error) => error.into(),
        LinkError::Dead | LinkError::Taken | LinkError::OutsideDomains(_) => {
            WebError::BadRequest(format!("{}.", capital(&error.to_string())))
        }
    }
}

/// A sentence begins with a capital.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
