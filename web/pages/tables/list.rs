//! `/tables`: what there is.

use axum::extract::State;
use materia::{
    dashboard::title_of,
    tables::access::{self, Seen},
    words,
};
use maud::{Markup, html};

use super::{limited, path};
use crate::web::{
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts,
    viewer::SignedIn,
};

/// Every table, as a plan sees it.
pub(crate) struct List {
    pub(crate) tables: Vec<Seen>,
    pub(crate) plan: materia::plan::Plan,
}

pub(crate) async fn list(State(app): State<App>, SignedIn(account): SignedIn) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let plan = account.entitled();
    let tables = access::tables(&pin, &app.settings.tables, plan).await?;
    Ok(Page::new("Tables", Place::Tables, &List { tables, plan }).shared(&pin))
}

impl View for List {
    fn body(&self) -> Markup {
        html! {
            div.title-row {
                h1 { "Tables" }
                p.lead { "Every figure behind the dashboards: look at the rows, filter and sort them, take them away as files, or read them with a program." }
            }
            @if self.tables.is_empty() { p.empty { "No table is served." } }
            ul.tables {
                @for Seen { table, access } in &self.tables {
                    li.sheet {
                        h2 {
                            a href=(path(table)) { (title_of(&table.name)) }
                            @if let access::Access::Locked(plan) = access { span.badge { (parts::plan_title(*plan)) } }
                        }
                        p.note { code { (table.name) } " · " (words::rows(table.rows)) " · " (words::plural(table.columns.len(), "column")) }
                        @if let Some(comment) = &table.comment { p { (comment) "." } }
                        @if let Some(limited) = limited(*access, self.plan) { p.note { (limited) "." } }
                    }
                }
            }
            p.sources { "The same for programs: " a href="/docs/api" { "the API" } "." }
        }
    }
}
