//! Sign-in, sign-up and sign-out with magic links.

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

use self::views::{DeletedPage, LinkRequestPage, LinkSentPage};
pub(crate) use self::{
    confirm::{change_email, confirm_email_change, redeem, verify},
    dev::{dev_sign_in, mailbox},
};
use crate::{
    accounts::{
        self, ClientInfo, Delivery, Email, LinkError, LinkRequest, ReturnPath, Session, StoreError,
    },
    app::AppState,
    error::WebError,
    page::{NavItem, Page},
    viewer::Viewer,
};

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.is_transient() => {
                tracing::error!(%error, "the accounts are unavailable");
                Self::AccountsUnavailable
            }
            error if error.is_invalid_text() => {
                Self::BadRequest("It contains characters that are not allowed in text.".to_owned())
            }
            error => Self::internal(error),
        }
    }
}

/// The page that a link was requested on. Both send the same link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthFlow {
    SignIn,
    SignUp,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AuthForm {
    email: String,
    #[serde(default)]
    name: String,
    next: Option<String>,
}

/// `/auth/login`
pub(crate) async fn sign_in_page(
    app: State<AppState>,
    viewer: Viewer,
    query: Query<Next>,
) -> Response {
    link_request_page(&app, &viewer, &query, AuthFlow::SignIn)
}

/// `/auth/signup`
pub(crate) async fn sign_up_page(
    app: State<AppState>,
    viewer: Viewer,
    query: Query<Next>,
) -> Response {
    link_request_page(&app, &viewer, &query, AuthFlow::SignUp)
}

fn link_request_page(app: &AppState, viewer: &Viewer, query: &Next, flow: AuthFlow) -> Response {
    let next = ReturnPath::checked_or_home(query.next.as_deref());
    if viewer.signed_in().is_some() {
        return Redirect::to(next.as_str()).into_response();
    }
    let (sends_mail, settings) = (app.accounts.sends_mail(), app.accounts.settings());
    LinkRequestPage {
        flow,
        email: String::new(),
        name: String::new(),
        next,
        problem: None,
        sends_mail,
        settings,
        plans: &app.settings.brand.plans,
    }
    .page()
    .into_response()
}

/// `POST /auth/login`
pub(crate) async fn request_sign_in(
    app: State<AppState>,
    client: ClientInfo,
    headers: HeaderMap,
    form: Form<AuthForm>,
) -> Result<Response, WebError> {
    send_link(&app, &client, &headers, form.0, AuthFlow::SignIn).await
}

/// `POST /auth/signup`
pub(crate) async fn request_sign_up(
    app: State<AppState>,
    client: ClientInfo,
    headers: HeaderMap,
    form: Form<AuthForm>,
) -> Result<Response, WebError> {
    send_link(&app, &client, &headers, form.0, AuthFlow::SignUp).await
}

async fn send_link(
    app: &AppState,
    client: &ClientInfo,
    headers: &HeaderMap,
    form: AuthForm,
    flow: AuthFlow,
) -> Result<Response, WebError> {
    let next = ReturnPath::checked_or_home(form.next.as_deref());
    let (sends_mail, settings) = (app.accounts.sends_mail(), app.accounts.settings());
    let email = match form.email.parse::<Email>() {
        Ok(email) if sends_mail => email,
        wrong => {
            let status = if sends_mail {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let problem = wrong.err().map(|error| format!("{}.", capitalize(&error.to_string())));
            let page = LinkRequestPage {
                flow,
                email: form.email,
                name: form.name,
                next,
                problem,
                sends_mail,
                settings,
                plans: &app.settings.brand.plans,
            }
            .page();
            return Ok(page.with_status(status).into_response());
        }
    };
    let cookies = accounts::cookies(headers, settings);
    let request =
        LinkRequest { email: &email, name: &form.name, next: &next, client, cookies: &cookies };
    let delivery = match app.accounts.request_link(request).await {
        Ok(delivery) => delivery,
        Err(LinkError::TooManyForAddress(wait)) => {
            let problem =
                Some(format!("{}.", capitalize(&LinkError::TooManyForAddress(wait).to_string())));
            let page = LinkRequestPage {
                flow,
                email: form.email,
                name: form.name,
                next,
                problem,
                sends_mail,
                settings,
                plans: &app.settings.brand.plans,
            }
            .page();
            let retry = [(header::RETRY_AFTER, wait.as_secs().to_string())];
            return Ok((retry, page.with_status(StatusCode::TOO_MANY_REQUESTS)).into_response());
        }
        Err(error) => return Err(to_web_error(error)),
    };
    let view = LinkSentPage { email: email.to_display(), mailbox: settings.debug, delivery };
    let page = Page::new(view.title(), NavItem::SignIn, &view);
    let is_failed = delivery == Delivery::Failed;
    Ok(if is_failed { page.with_status(StatusCode::BAD_GATEWAY) } else { page }.into_response())
}

/// `POST /auth/logout`
pub(crate) async fn sign_out(
    app: State<AppState>,
    viewer: Viewer,
    session: Option<axum::Extension<Session>>,
) -> Result<Response, WebError> {
    if viewer.is_unresolved() {
        return Err(WebError::AccountsUnavailable);
    }
    if let (Some(account), Some(session)) = (viewer.signed_in(), session) {
        app.accounts.end_session(&account.id, &session.0.0).await?;
    }
    let cookie = accounts::removal_cookie(app.accounts.settings());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// `GET /auth/deleted`: shown after an account was deleted.
pub(crate) async fn deleted() -> Page {
    Page::new("Account deleted", NavItem::None, &DeletedPage)
}

/// Sets the session cookie and redirects to the requested page.
fn start_session(app: &AppState, redeemed: &accounts::Redeemed) -> Response {
    tracing::info!(account = redeemed.account.id, role = redeemed.account.role.name(), "signed in");
    let cookie = accounts::session_cookie(&redeemed.session, app.accounts.settings());
    ([(header::SET_COOKIE, cookie)], Redirect::to(redeemed.next.as_str())).into_response()
}

/// Converts an error for pages without a message of their own.
pub(super) fn to_web_error(error: LinkError) -> WebError {
    match error {
        LinkError::TooOften(retry_after) | LinkError::TooManyForAddress(retry_after) => {
            WebError::RateLimited { retry_after }
        }
        LinkError::Suspended => WebError::Suspended,
        LinkError::Store(error) => error.into(),
        LinkError::Invalid | LinkError::Taken | LinkError::OutsideDomains(_) => {
            WebError::BadRequest(format!("{}.", capitalize(&error.to_string())))
        }
    }
}

/// Capitalizes the first letter of a sentence.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
