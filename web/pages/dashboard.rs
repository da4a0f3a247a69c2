//! `/dashboard/` and `/dashboard/{slug}`: a dashboard file, answered for the viewer's plan. The address is the state.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    dashboard::{self, Content, Dashboard, DashboardData},
    plan::Plan,
    reader::ReaderError,
};
use maud::{Markup, html};

use crate::web::{
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts,
    viewer::SignedIn,
};

/// A dashboard as it is shown: the others beside it, and what it says.
pub(crate) struct DashboardPage {
    /// What is wrong in dashboards' files: for their authors, in debug mode.
    pub(crate) mistakes: Vec<String>,
    pub(crate) others: Vec<Link>,
    pub(crate) data: DashboardData,
}

/// A dashboard in the list.
pub(crate) struct Link {
    pub(crate) slug: String,
    pub(crate) title: String,
    /// The plan it asks for, where the viewer's does not include it.
    pub(crate) locked: Option<Plan>,
}

/// `/dashboard/`: the first one.
pub(crate) async fn first(State(app): State<App>) -> Result<Response, WebError> {
    let list = app.boards.now().dashboards.all(&app.reader.pin()?).await?;
    let first = list.first().ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&format!("/dashboard/{}", first.slug)).into_response())
}

/// `/dashboard/{slug}`.
pub(crate) async fn page(
    State(app): State<App>,
    SignedIn(account): SignedIn,
    Path(slug): Path<String>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let edition = app.boards.now();
    let list = edition.dashboards.all(&pin).await?;
    let dashboard = list.iter().find(|dashboard| dashboard.slug == slug).ok_or(WebError::NotFound)?;
    let plan = account.entitled();
    let data = dashboard::answer(dashboard, &pin, &asked, plan).await;
    for panel in &data.panels {
        if let Content::Failed { reason } = &panel.content {
            tracing::warn!(dashboard = slug, panel = panel.title, reason, "a panel failed");
        }
    }
    if let Some(error @ ReaderError::Away { .. }) = pin.trouble() {
        return Err(error.clone().into());
    }
    let title = data.title.clone();
    let mistakes =
        if app.settings.web.debug { edition.dashboards.problems().iter().map(ToString::to_string).collect() } else { Vec::new() };
    let view = DashboardPage { mistakes, others: list.iter().map(|other| Link::of(other, plan)).collect(), data };
    Ok(Page::new(title, Place::Dashboards, &view).shared(&pin))
}

impl Link {
    fn of(dashboard: &Arc<Dashboard>, plan: Plan) -> Self {
        let locked = (!plan.includes(dashboard.plan)).then_some(dashboard.plan);
        Self { slug: dashboard.slug.clone(), title: dashboard.title.clone(), locked }
    }
}

impl View for DashboardPage {
    fn body(&self) -> Markup {
        let data = &self.data;
        let address = format!("/dashboard/{}", data.slug);
        html! {
            @for mistake in &self.mistakes { (parts::notice("bad", mistake)) }
            @if self.others.len() > 1 {
                nav.tabs aria-label="Dashboards" {
                    @for other in &self.others {
                        a href={ "/dashboard/" (other.slug) } aria-current=[(other.slug == data.slug).then_some("page")] {
                            (other.title)
                            @if let Some(plan) = other.locked { span.badge { (parts::plan_title(plan)) } }
                        }
                    }
                }
            }
            div.title-row {
                h1 { (data.title) }
                @if let Some(about) = &data.description { p.lead { (about) } }
            }
            (parts::filters(&address, &data.filters))
            div.panels #panels data-live="" {
                @for (at, panel) in data.panels.iter().enumerate() { (parts::panel(&format!("panel-{}", at + 1), panel, "/settings#plan")) }
            }
            @if !data.sources.is_empty() {
                p.sources {
                    "Sources: "
                    @for (at, source) in data.sources.iter().enumerate() {
                        @if at > 0 { "; " }
                        @match &source.url { Some(url) => a href=(url) rel="noreferrer" { (source.name) }, None => (source.name) }
                        @if let Some(licence) = &source.licence { " (" (licence) ")" }
                    }
                    ". " a href="/methodology" { "Definitions" }
                }
            }
        }
    }
}
