//! `/admin/accounts`: finding and changing accounts.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::Redirect,
};
use serde::Deserialize;

use super::{
    actor,
    layout::{self, Pager, Section},
    views::{AccountPage, AccountsPage},
};
use crate::{
    accounts::{AccountFilter, ClientInfo, Email, Pagination, Sort},
    app::AppState,
    error::WebError,
    page::{DoneQuery, Page},
    viewer::SignedIn,
};

#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    page: Option<u32>,
}

/// `GET /admin/accounts`
pub(crate) async fn accounts(app: State<AppState>, query: Query<Search>) -> Result<Page, WebError> {
    let filter = AccountFilter { search: query.q.clone(), sort: Sort::named(&query.sort) };
    let page = Pagination::number(query.page);
    let (rows, total) = app.accounts.list(&filter, page).await?;
    let address = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("q", &filter.search)
        .append_pair("sort", filter.sort.as_str())
        .finish();
    let pager =
        Pager { page, total, address: format!("/admin/accounts?{address}&"), one: "account" };
    Ok(layout::page(
        Section::Accounts,
        "Accounts",
        &AccountsPage { filter, rows, pager, now: app.clock.now() },
    ))
}

/// `GET /admin/accounts/{id}`
pub(crate) async fn account(
    app: State<AppState>,
    user: SignedIn,
    id: Path<String>,
    query: Query<DoneQuery>,
) -> Result<Page, WebError> {
    let account = app.accounts.account(&id).await?.ok_or(WebError::NotFound)?;
    let heading = account.email.clone();
    let view = AccountPage {
        is_own: account.id == user.0.id,
        listed: app.accounts.is_admin_address(&account.email),
        sessions: app.accounts.sessions(&account.id).await?.len(),
        subscriptions: app.accounts.subscriptions(&account.id).await?,
        log: app.accounts.audit_log_of(&account.id).await?,
        done: query.done.as_deref().and_then(super::views::confirmation_text),
        account,
    };
    Ok(layout::page(Section::Accounts, &heading, &view))
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewInvitation {
    email: String,
    plan: String,
}

/// `POST /admin/accounts/invite`
pub(crate) async fn invite(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    form: Form<NewInvitation>,
) -> Result<Redirect, WebError> {
    let email: Email = form
        .email
        .parse()
        .map_err(|error| WebError::BadRequest(format!("{}: {error}.", form.email)))?;
    let plan = form.plan.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    let invitation = app.accounts.invite(&actor(&user, client), &email, Some(plan)).await?;
    Ok(back(&invitation.account.id, "invited"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewPlan {
    plan: String,
    #[serde(default)]
    reason: String,
}

/// `POST /admin/accounts/{id}/plan`
pub(crate) async fn set_plan(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
    form: Form<NewPlan>,
) -> Result<Redirect, WebError> {
    let plan = form.plan.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    app.accounts.set_plan(&actor(&user, client), &id, plan, &form.reason).await?;
    Ok(back(&id, "plan"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewRole {
    role: String,
    #[serde(default)]
    reason: String,
}

/// `POST /admin/accounts/{id}/role`
pub(crate) async fn set_role(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
    form: Form<NewRole>,
) -> Result<Redirect, WebError> {
    let role = form.role.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    app.accounts.set_role(&actor(&user, client), &id, role, &form.reason).await?;
    Ok(back(&id, "role"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Suspension {
    suspended: bool,
    #[serde(default)]
    reason: String,
}

/// `POST /admin/accounts/{id}/suspend`
pub(crate) async fn suspend(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
    form: Form<Suspension>,
) -> Result<Redirect, WebError> {
    app.accounts.suspend(&actor(&user, client), &id, form.suspended, &form.reason).await?;
    Ok(back(&id, if form.suspended { "suspended" } else { "lifted" }))
}

/// `POST /admin/accounts/{id}/sign-out`
pub(crate) async fn sign_out(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
) -> Result<Redirect, WebError> {
    app.accounts.sign_out_everywhere(&actor(&user, client), &id).await?;
    Ok(back(&id, "signed-out"))
}

/// Redirects to the account. Its id was just found in the store and needs no escaping.
fn back(id: &str, done: &str) -> Redirect {
    Redirect::to(&format!("/admin/accounts/{id}?done={done}"))
}
