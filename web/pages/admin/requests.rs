//! `/admin/requests`: plans that customers asked for.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::Redirect,
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    actor,
    layout::{self, Heading::Text, Section},
};
use crate::{
    accounts::{ClientInfo, MAX_REASON, PlanRequest},
    app::AppState,
    components::{notice, plan_title, since},
    error::WebError,
    page::{DoneQuery, Page, View},
    viewer::SignedIn,
};

struct RequestsPage {
    rows: Vec<PlanRequest>,
    done: Option<&'static str>,
    now: Timestamp,
}

/// `GET /admin/requests`
pub(crate) async fn requests(
    app: State<AppState>,
    query: Query<DoneQuery>,
) -> Result<Page, WebError> {
    let done = match query.done.as_deref() {
        Some("granted") => Some("The plan was granted, and its owner got an email."),
        Some("declined") => Some("The request was declined, and its owner got an email."),
        _ => None,
    };
    let view =
        RequestsPage { rows: app.accounts.plan_requests().await?, done, now: app.clock.now() };
    Ok(layout::page(Section::Requests, "Plan requests", &view))
}

/// `POST /admin/requests/{id}/grant`
pub(crate) async fn grant(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
) -> Result<Redirect, WebError> {
    app.accounts.grant_request(&actor(&user, client), &id).await?;
    Ok(Redirect::to("/admin/requests?done=granted"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    reason: String,
}

/// `POST /admin/requests/{id}/decline`
pub(crate) async fn decline(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
    form: Form<Refusal>,
) -> Result<Redirect, WebError> {
    app.accounts.decline_request(&actor(&user, client), &id, &form.reason).await?;
    Ok(Redirect::to("/admin/requests?done=declined"))
}

impl View for RequestsPage {
    fn render(&self) -> Markup {
        let rows = html! {
            @for row in &self.rows {
                @let path = format!("/admin/requests/{}", row.account);
                @let reason = format!("reason-{}", row.account);
                tr {
                    th scope="row" { a href={ "/admin/accounts/" (row.account) } { (row.email) } }
                    td { (plan_title(row.current)) }
                    td { (plan_title(row.plan)) ", " (if row.is_yearly { "yearly" } else { "monthly" }) }
                    td { (since(row.at, self.now)) }
                    td { form method="post" action={ (path) "/grant" } data-once {
                        button.button type="submit" data-kind="primary" aria-label={ "Grant " (plan_title(row.plan)) " to " (row.email) } { "Grant" }
                    } }
                    td { form.inline method="post" action={ (path) "/decline" } data-once {
                        label.unseen for=(reason) { "Reason for " (row.email) }
                        input id=(reason) name="reason" maxlength=(MAX_REASON) placeholder="reason, optional";
                        button.button type="submit" data-kind="plain" aria-label={ "Decline the request of " (row.email) } { "Decline" }
                    } }
                }
            }
        };
        html! {
            @if let Some(done) = self.done { (notice("good", done)) }
            p.hint { "Where a plan has no checkout, customers ask for it here. Granting changes the plan at once; how it is paid is between you and them." }
            @if self.rows.is_empty() { p { "No open requests." } } @else {
                div.sheet {
                    (layout::table("Plan requests", &[Text("Account"), Text("Has"), Text("Asks for"), Text("Since"), Text("Grant"), Text("Decline")], &rows))
                }
            }
        }
    }
}
