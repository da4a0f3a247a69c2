//! `/admin/alerts`: the alerts of all customers.

use axum::extract::{Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{self, Heading::Text, Pager, Section};
use crate::{
    accounts::{OwnedAlert, Pagination},
    app::AppState,
    components::since,
    error::WebError,
    page::{Page, View},
};

#[derive(Debug, Deserialize)]
pub(crate) struct PageQuery {
    page: Option<u32>,
}

struct AlertsPage {
    rows: Vec<OwnedAlert>,
    pager: Pager,
    now: Timestamp,
}

/// `GET /admin/alerts`
pub(crate) async fn alerts(
    app: State<AppState>,
    query: Query<PageQuery>,
) -> Result<Page, WebError> {
    let page = Pagination::number(query.page);
    let (rows, total) = app.accounts.all_alerts(page).await?;
    let pager = Pager { page, total, address: "/admin/alerts?".to_owned(), one: "alert" };
    let view = AlertsPage { rows, pager, now: app.clock.now() };
    Ok(layout::page(Section::Alerts, "Alerts", &view))
}

impl View for AlertsPage {
    fn render(&self) -> Markup {
        let rows = html! {
            @for owned in &self.rows {
                @let alert = &owned.alert;
                tr {
                    th scope="row" { a href={ "/admin/accounts/" (alert.account) } { (owned.email) } }
                    td { a href=(alert.rule.address()) { (alert.rule.in_words()) } @if !alert.rule.summary.is_empty() { " (" (alert.rule.summary) ")" } }
                    td { (match (alert.by_mail, alert.webhook.is_empty()) { (true, true) => "email", (true, false) => "email and webhook", _ => "webhook" }) }
                    td { @match alert.fired_at { Some(at) => (since(at, self.now)), None => "never" } }
                    td { @if let Some(reason) = owned.suspension() { (reason) } @else if alert.is_paused { "Paused by the owner." } @else if alert.problem.is_empty() { "active" } @else { (alert.problem) } }
                }
            }
        };
        html! {
            p.hint { "Rules of customers, those that were sent last first. A rule is checked once for each generation, and paused while its owner's plan does not include it." }
            @if self.rows.is_empty() { p { "No alerts." } } @else {
                div.sheet {
                    (layout::table("Alerts", &[Text("Account"), Text("Rule"), Text("By"), Text("Last sent"), Text("State")], &rows))
                    (self.pager.render())
                }
            }
        }
    }
}
