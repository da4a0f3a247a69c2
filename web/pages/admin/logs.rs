//! `/admin/mail` and `/admin/audit`: the mail log and the audit log.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{
    self,
    Heading::{Number, Text},
    Pager, Section,
};
use crate::{
    accounts::{AuditRow, MailRow, Pagination},
    app::AppState,
    components::moment,
    error::WebError,
    page::{Page, View},
};

#[derive(Debug, Deserialize)]
pub(crate) struct Paged {
    page: Option<u32>,
}

pub(super) struct MailLog {
    pub(super) rows: Vec<MailRow>,
    pub(super) pager: Pager,
}

pub(super) struct AuditLog {
    pub(super) rows: Vec<AuditRow>,
    pub(super) pager: Pager,
}

/// `GET /admin/mail`
pub(crate) async fn mail(app: State<AppState>, query: Query<Paged>) -> Result<Page, WebError> {
    let page = Pagination::number(query.page);
    let (rows, total) = app.accounts.mail_log(page).await?;
    let pager = Pager { page, total, address: "/admin/mail?".to_owned(), one: "email" };
    Ok(layout::page(Section::Mail, "Mail log", &MailLog { rows, pager }))
}

/// `GET /admin/audit`
pub(crate) async fn audit(app: State<AppState>, query: Query<Paged>) -> Result<Page, WebError> {
    let page = Pagination::number(query.page);
    let (rows, total) = app.accounts.audit_log(page).await?;
    let pager = Pager { page, total, address: "/admin/audit?".to_owned(), one: "entry" };
    Ok(layout::page(Section::Audit, "Audit log", &AuditLog { rows, pager }))
}

impl View for MailLog {
    fn render(&self) -> Markup {
        let rows = html! {
            @for row in &self.rows {
                tr { td { (moment(row.at)) } td { (row.recipient) } td { (row.subject) } td { span.badge data-state=(row.state) { (row.state) } } td { (row.problem) } }
            }
        };
        html! {
            p { "Emails of the last 90 days. Their text is not stored, because it contains sign-in links." }
            div.sheet { (layout::table("Emails", &[Text("When"), Text("To"), Text("Subject"), Text("State"), Text("Detail")], &rows)) }
            (self.pager.render())
        }
    }
}

impl View for AuditLog {
    fn render(&self) -> Markup {
        html! {
            p { "Entries are only ever added: the store refuses to change or delete them." }
            div.sheet { (audit_table(&self.rows)) }
            (self.pager.render())
        }
    }
}

pub(super) fn audit_table(rows: &[AuditRow]) -> Markup {
    let rows = html! {
        @for row in rows {
            tr {
                td.right { (row.seq) }
                td { (moment(row.at)) }
                td { (row.actor) @if !row.network.is_empty() { " from " (row.network) } }
                td { (row.action) }
                td { @if row.subject.is_empty() { (row.subject_id) } @else { (row.subject) } }
                td { (row.detail) }
            }
        }
    };
    layout::table(
        "Audit log",
        &[
            Number("No."),
            Text("When"),
            Text("Actor"),
            Text("Action"),
            Text("Target"),
            Text("Detail"),
        ],
        &rows,
    )
}
