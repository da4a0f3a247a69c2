//! `/admin/mail` and `/admin/audit`: what was sent, and what was done.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{
    self,
    Head::{Numbers, Words},
    Pager, Section,
};
use crate::web::{
    accounts::{AuditRow, MailRow, PageOf},
    app::App,
    error::WebError,
    page::{Page, View},
    parts::moment,
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
pub(crate) async fn mail(app: State<App>, query: Query<Paged>) -> Result<Page, WebError> {
    let page = PageOf::number(query.page);
    let (rows, total) = app.accounts.mail_log(page).await?;
    let pager = Pager { page, total, address: "/admin/mail?".to_owned(), one: "letter" };
    Ok(frame::page(Section::Mail, "Mail log", &MailLog { rows, pager }))
}

/// `GET /admin/audit`
pub(crate) async fn audit(app: State<App>, query: Query<Paged>) -> Result<Page, WebError> {
    let page = PageOf::number(query.page);
    let (rows, total) = app.accounts.audit_log(page).await?;
    let pager = Pager { page, total, address: "/admin/audit?".to_owned(), one: "row" };
    Ok(frame::page(Section::Audit, "Audit log", &AuditLog { rows, pager }))
}

impl View for MailLog {
    fn body(&self) -> Markup {
        let rows = html! {
            @for row in &self.rows {
                tr { td { (moment(row.at)) } td { (row.recipient) } td { (row.subject) } td { span.badge data-state=(row.state) { (row.state) } } td { (row.problem) } }
            }
        };
        html! {
            p { "What was sent in the last 90 days. The text is not kept, since it holds links that sign somebody in." }
            div.sheet { (frame::table("Letters", &[Words("When"), Words("To"), Words("Subject"), Words("State"), Words("Remark")], &rows)) }
            (self.pager.body())
        }
    }
}

impl View for AuditLog {
    fn body(&self) -> Markup {
        html! {
            p { "Rows are only ever added: the store refuses to change or to remove one." }
            div.sheet { (audit_table(&self.rows)) }
            (self.pager.body())
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
    frame::table("Audit log", &[Numbers("No."), Words("When"), Words("Who"), Words("Did what"), Words("To whom"), Words("Detail")], &rows)
}
