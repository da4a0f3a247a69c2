//! `/settings`: what customers decide about their own account.

mod agent;
mod keys;
mod views;

use axum::{
    Extension, Form,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

pub(crate) use self::keys::{make_key, revoke_key};
use self::views::{DeletePage, Problem, SessionView, SettingsPage};
use super::auth;
use crate::web::{
    accounts::{self, Account, Actor, Email, LinkError, Session, Visit, display_address, entitlements},
    app::App,
    error::WebError,
    page::{Page, Place},
    viewer::SignedIn,
};

#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// What was just done, in one word.
    done: Option<String>,
}

/// What every handler here needs: the account as it is stored, and the session that asks.
async fn own(app: &App, signed_in: &SignedIn) -> Result<Account, WebError> {
    // Removed a moment ago, elsewhere.
    app.accounts.account(&signed_in.0.id).await?.ok_or(WebError::NotFound)
}

async fn show(
    app: &App,
    who: &SignedIn,
    account: Account,
    session: &Session,
    done: Option<&str>,
    problem: Option<Problem>,
) -> Result<Page, WebError> {
    let now = app.accounts.now();
    let sessions = app.accounts.sessions(&account.id).await?.into_iter();
    let sessions =
        sessions.map(|line| SessionView { current: *line.handle == *session.0, browser: agent::describe(&line.user_agent), line });
    let refused = problem.is_some();
    let offer = app.settings.brand.plans.iter().find(|offer| offer.plan == account.plan);
    let includes = offer.map(|offer| offer.includes.clone()).filter(|includes| !includes.is_empty());
    let view = SettingsPage {
        includes: includes.unwrap_or_else(|| entitlements(account.plan).lines()),
        price: offer.map(|offer| offer.price.clone()),
        contact: app.settings.brand.contact.clone(),
        sessions: sessions.collect(),
        keys: keys::section(app, who).await?,
        done: done.and_then(views::done_words),
        account,
        problem,
        now,
    };
    let page = Page::new("Settings", Place::Settings, &view);
    Ok(if refused { page.with_status(StatusCode::UNPROCESSABLE_ENTITY) } else { page })
}

/// `GET /settings`
pub(crate) async fn page(app: State<App>, who: SignedIn, session: Extension<Session>, query: Query<Told>) -> Result<Page, WebError> {
    let account = own(&app, &who).await?;
    show(&app, &who, account, &session, query.done.as_deref(), None).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct Profile {
    name: String,
}

/// `POST /settings/profile`
pub(crate) async fn set_profile(app: State<App>, who: SignedIn, form: Form<Profile>) -> Result<Redirect, WebError> {
    app.accounts.set_name(&who.0.id, &form.name).await?;
    Ok(Redirect::to("/settings?done=profile"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewEmail {
    email: String,
}

/// `POST /settings/email`
pub(crate) async fn ask_to_change_email(
    app: State<App>,
    who: SignedIn,
    session: Extension<Session>,
    visit: Visit,
    headers: HeaderMap,
    form: Form<NewEmail>,
) -> Result<Response, WebError> {
    let account = own(&app, &who).await?;
    let problem = match form.email.parse::<Email>() {
        Ok(email) if email.as_str() == account.email => "This is your address already.".to_owned(),
        Ok(email) => {
            match app.accounts.request_email_change(&account, &email, &visit, &accounts::cookies(&headers, app.accounts.settings())).await {
                Ok(()) => return Ok(Redirect::to("/settings?done=email-asked").into_response()),
                Err(LinkError::TooOften(retry_after)) => return Err(WebError::TooMany { retry_after }),
                Err(error) => return Err(auth::refused(error)),
            }
        }
        Err(error) => format!("{}.", auth::capital(&error.to_string())),
    };
    let problem = Problem { given: form.0.email, sentence: problem };
    show(&app, &who, account, &session, None, Some(problem)).await.map(IntoResponse::into_response)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Look {
    appearance: String,
}

/// `POST /settings/appearance`
pub(crate) async fn set_appearance(app: State<App>, who: SignedIn, form: Form<Look>) -> Result<Redirect, WebError> {
    let appearance = form.appearance.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    app.accounts.set_appearance(&who.0.id, appearance).await?;
    Ok(Redirect::to("/settings?done=appearance"))
}

/// `POST /settings/sessions/{handle}/end`
pub(crate) async fn end_session(
    app: State<App>,
    who: SignedIn,
    session: Extension<Session>,
    handle: Path<String>,
) -> Result<Response, WebError> {
    if !app.accounts.end_session(&who.0.id, &handle).await? {
        return Err(WebError::NotFound);
    }
    if *handle.0 == *session.0.0 {
        return Ok(left(&app, "/"));
    }
    Ok(Redirect::to("/settings?done=session").into_response())
}

/// `POST /settings/sessions/end-others`
pub(crate) async fn end_other_sessions(app: State<App>, who: SignedIn, session: Extension<Session>) -> Result<Redirect, WebError> {
    app.accounts.end_other_sessions(&who.0.id, &session.0.0).await?;
    Ok(Redirect::to("/settings?done=sessions"))
}

/// `GET /settings/data.json`
pub(crate) async fn download(app: State<App>, who: SignedIn) -> Result<Response, WebError> {
    let account = own(&app, &who).await?;
    let data = app.accounts.own_data(&account).await?;
    let text = serde_json::to_string_pretty(&data).map_err(WebError::internal)? + "\n";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"my-data.json\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}

/// `GET /settings/delete`
pub(crate) async fn confirm_deletion(who: SignedIn) -> Page {
    deletion_page(&who, None)
}

fn deletion_page(who: &SignedIn, given: Option<String>) -> Page {
    Page::new("Delete the account", Place::Settings, &DeletePage { email: display_address(&who.0.email), given })
}

#[derive(Debug, Deserialize)]
pub(crate) struct Deletion {
    email: String,
}

/// `POST /settings/delete`
pub(crate) async fn delete(app: State<App>, who: SignedIn, visit: Visit, form: Form<Deletion>) -> Result<Response, WebError> {
    if form.email.parse::<Email>().map_or(true, |typed| typed.as_str() != who.0.email) {
        return Ok(deletion_page(&who, Some(form.0.email)).with_status(StatusCode::UNPROCESSABLE_ENTITY).into_response());
    }
    let account = own(&app, &who).await?;
    let actor = Actor { id: account.id.clone(), name: account.email.clone(), network: visit.network };
    app.accounts.delete(&account, &actor).await?;
    Ok(left(&app, "/auth/deleted"))
}

/// Sends somebody on who is not signed in any more.
fn left(app: &App, to: &str) -> Response {
    ([(header::SET_COOKIE, accounts::forget_cookie(app.accounts.settings()))], Redirect::to(to)).into_response()
}
