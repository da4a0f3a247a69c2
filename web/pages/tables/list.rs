//! `/tables`: the list of tables.

use axum::extract::State;
use materia::{
    humanize,
    settings::is_public,
    tables::access::{self, AccessibleTable},
};
use maud::{Markup, html};

use super::{access_note, path, table_title};
use crate::{
    app::AppState,
    components,
    error::WebError,
    page::{NavItem, Page, View},
    viewer::{Viewer, VisiblePlan},
};

/// Every table as the viewer's plan sees it.
pub(crate) struct TablesPage {
    pub(crate) tables: Vec<AccessibleTable>,
    pub(crate) plan: materia::plan::Plan,
    /// Whether the viewer has no account, and sees public tables only.
    pub(crate) is_visitor: bool,
}

pub(crate) async fn list(
    State(app): State<AppState>,
    viewer: Viewer,
    VisiblePlan(plan): VisiblePlan,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let rules = &app.settings.tables;
    let mut tables = access::tables(&pin, rules, plan).await?;
    let is_visitor = viewer.signed_in().is_none();
    if is_visitor {
        tables.retain(|seen| is_public(rules, &seen.table.name));
    }
    let page = Page::new("Tables", NavItem::Tables, &TablesPage { tables, plan, is_visitor });
    let description =
        format!("Tables of {}: rows, columns and their meaning.", app.settings.brand.name);
    Ok(page.with_description(description).cacheable(&pin))
}

impl View for TablesPage {
    fn render(&self) -> Markup {
        html! {
            div.title-row {
                h1 { "Tables" }
                @if self.is_visitor {
                    p.lead { "Tables that everybody can read. " a href="/auth/signup" { "Sign up" } " to see all tables, download them as files, or read them from a program." }
                } @else {
                    p.lead { "Every figure behind the dashboards: browse, filter and sort the rows, download them as files, or read them from a program." }
                }
            }
            @if self.tables.is_empty() { p.empty { "There are no tables yet." } }
            ul.tables {
                @for seen in &self.tables {
                    @let AccessibleTable { table, access, .. } = seen;
                    li.sheet {
                        h2 {
                            a href=(path(table)) { (table_title(seen)) }
                            @if let access::Access::Locked(plan) = access { span.badge { (components::plan_title(*plan)) } }
                        }
                        p.note { code { (table.name) } " · " (humanize::rows(table.rows)) " · " (humanize::plural(table.columns.len(), "column")) }
                        @if let Some(comment) = &table.comment { p { (comment) "." } }
                        @if let Some(access_note) = access_note(*access, self.plan) { p.note { (access_note) "." } }
                    }
                }
            }
            p.sources { "For programs: " a href="/docs/api" { "the API" } "." }
        }
    }
}
