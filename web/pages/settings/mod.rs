//! `/settings`: a customer's own account.

mod keys;
mod user_agent;
mod views;

use axum::{
    Extension, Form,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

pub(crate) use self::keys::{create_key, revoke_key};
use self::views::{DeletePage, FormProblem, SessionView, SettingsPage};
use super::auth;
use crate::{
    accounts::{
        self, Account, Actor, ClientInfo, Delivery, Email, LinkError, Session, SubscriptionState,
        display_address, entitlements,
    },
    app::AppState,
    error::WebError,
    page::{DoneQuery, NavItem, Page},
    viewer::SignedIn,
};

/// Loads the account of the signed-in viewer.
async fn load_account(app: &AppState, signed_in: &SignedIn) -> Result<Account, WebError> {
    // The account may have been deleted a moment ago.
    app.accounts.account(&signed_in.0.id).await?.ok_or(WebError::NotFound)
}

async fn render(
    app: &AppState,
    user: &SignedIn,
    account: Account,
    session: &Session,
    done: Option<&str>,
    problem: Option<FormProblem>,
) -> Result<Page, WebError> {
    let now = app.accounts.now();
    let sessions = app.accounts.sessions(&account.id).await?.into_iter();
    let sessions = sessions.map(|line| SessionView {
        current: *line.handle == *session.0,
        browser: user_agent::describe(&line.user_agent),
        line,
    });
    let refused = problem.is_some();
    let mut subscriptions = app.accounts.subscriptions(&account.id).await?;
    subscriptions.retain(|one| one.state != SubscriptionState::Ended);
    let requested = app.accounts.plan_request_of(&account.id).await?;
    let offer = app.settings.brand.plans.iter().find(|offer| offer.plan == account.plan);
    let includes =
        offer.map(|offer| offer.includes.clone()).filter(|includes| !includes.is_empty());
    let view = SettingsPage {
        includes: includes.unwrap_or_else(|| entitlements(account.plan).feature_list()),
        price: offer.map(|offer| offer.price.clone()),
        subscriptions,
        requested: requested.map(|request| request.plan),
        has_pricing: !app.settings.brand.plans.is_empty(),
        contact: app.settings.brand.contact.clone(),
        sessions: sessions.collect(),
        keys: keys::section(app, user).await?,
        done: done.and_then(views::confirmation_text),
        account,
        problem,
        now,
    };
    let page = Page::new("Settings", NavItem::Settings, &view);
    Ok(if refused { page.with_status(StatusCode::UNPROCESSABLE_ENTITY) } else { page })
}

/// `GET /settings`
pub(crate) async fn page(
    app: State<AppState>,
    user: SignedIn,
    session: Extension<Session>,
    query: Query<DoneQuery>,
) -> Result<Page, WebError> {
    let account = load_account(&app, &user).await?;
    render(&app, &user, account, &session, query.done.as_deref(), None).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct Profile {
    name: String,
}

/// `POST /settings/profile`
pub(crate) async fn set_profile(
    app: State<AppState>,
    user: SignedIn,
    form: Form<Profile>,
) -> Result<Redirect, WebError> {
    app.accounts.set_name(&user.0.id, &form.name).await?;
    Ok(Redirect::to("/settings?done=profile"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewEmail {
    email: String,
}

/// `POST /settings/email`
pub(crate) async fn request_email_change_link(
    app: State<AppState>,
    user: SignedIn,
    session: Extension<Session>,
    client: ClientInfo,
    headers: HeaderMap,
    form: Form<NewEmail>,
) -> Result<Response, WebError> {
    let account = load_account(&app, &user).await?;
    let problem = match form.email.parse::<Email>() {
        Ok(email) if email.as_str() == account.email => "This is already your address.".to_owned(),
        Ok(email) => {
            match app
                .accounts
                .request_email_change(
                    &account,
                    &email,
                    &client,
                    &accounts::cookies(&headers, app.accounts.settings()),
                )
                .await
            {
                Ok(Delivery::Accepted) => {
                    return Ok(Redirect::to("/settings?done=email-asked").into_response());
                }
                Ok(Delivery::Delayed) => {
                    return Ok(Redirect::to("/settings?done=email-delayed").into_response());
                }
                Ok(Delivery::Failed) => "The email could not be sent to this address.".to_owned(),
                Err(LinkError::TooOften(retry_after)) => {
                    return Err(WebError::RateLimited { retry_after });
                }
                Err(error) => return Err(auth::to_web_error(error)),
            }
        }
        Err(error) => format!("{}.", auth::capitalize(&error.to_string())),
    };
    let problem = FormProblem { given: form.0.email, sentence: problem };
    render(&app, &user, account, &session, None, Some(problem))
        .await
        .map(IntoResponse::into_response)
}

#[derive(Debug, Deserialize)]
pub(crate) struct AppearanceForm {
    appearance: String,
}

/// `POST /settings/appearance`
pub(crate) async fn set_appearance(
    app: State<AppState>,
    user: SignedIn,
    form: Form<AppearanceForm>,
) -> Result<Redirect, WebError> {
    let appearance =
        form.appearance.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    app.accounts.set_appearance(&user.0.id, appearance).await?;
    Ok(Redirect::to("/settings?done=appearance"))
}

/// `POST /settings/sessions/{handle}/end`
pub(crate) async fn end_session(
    app: State<AppState>,
    user: SignedIn,
    session: Extension<Session>,
    handle: Path<String>,
) -> Result<Response, WebError> {
    if !app.accounts.end_session(&user.0.id, &handle).await? {
        return Err(WebError::NotFound);
    }
    if *handle.0 == *session.0.0 {
        return Ok(redirect_signed_out(&app, "/"));
    }
    Ok(Redirect::to("/settings?done=session").into_response())
}

/// `POST /settings/sessions/end-others`
pub(crate) async fn end_other_sessions(
    app: State<AppState>,
    user: SignedIn,
    session: Extension<Session>,
) -> Result<Redirect, WebError> {
    app.accounts.end_other_sessions(&user.0.id, &session.0.0).await?;
    Ok(Redirect::to("/settings?done=sessions"))
}

/// `GET /settings/data.json`
pub(crate) async fn download(app: State<AppState>, user: SignedIn) -> Result<Response, WebError> {
    let account = load_account(&app, &user).await?;
    let data = app.accounts.export_account_data(&account).await?;
    let text = serde_json::to_string_pretty(&data).map_err(WebError::internal)? + "\n";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"my-data.json\""),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}

/// `GET /settings/delete`
pub(crate) async fn confirm_deletion(user: SignedIn) -> Page {
    deletion_page(&user, None)
}

fn deletion_page(user: &SignedIn, given: Option<String>) -> Page {
    Page::new(
        "Delete the account",
        NavItem::Settings,
        &DeletePage { email: display_address(&user.0.email), given },
    )
}

#[derive(Debug, Deserialize)]
pub(crate) struct Deletion {
    email: String,
}

/// `POST /settings/delete`
pub(crate) async fn delete(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    form: Form<Deletion>,
) -> Result<Response, WebError> {
    if form.email.parse::<Email>().map_or(true, |typed| typed.as_str() != user.0.email) {
        return Ok(deletion_page(&user, Some(form.0.email))
            .with_status(StatusCode::UNPROCESSABLE_ENTITY)
            .into_response());
    }
    let account = load_account(&app, &user).await?;
    let actor =
        Actor { id: account.id.clone(), name: account.email.clone(), network: client.network };
    app.accounts.delete(&account, &actor).await?;
    Ok(redirect_signed_out(&app, "/auth/deleted"))
}

/// Removes the session cookie and redirects.
fn redirect_signed_out(app: &AppState, to: &str) -> Response {
    ([(header::SET_COOKIE, accounts::removal_cookie(app.accounts.settings()))], Redirect::to(to))
        .into_response()
}
