//! `/dashboard/` and `/dashboard/{slug}`: a dashboard evaluated for the viewer's plan. The URL
//! contains its state.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    dashboard::{self, Content, Dashboard, DashboardData, Dashboards, Tab},
    plan::Plan,
    reader::{Pin, ReaderError},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tokio::time::timeout;
use url::form_urlencoded;

use super::panel;
use crate::{
    accounts::ACCOUNTS_TIMEOUT,
    app::AppState,
    components::{self, FilteredPage, PanelLinks},
    dashboards::picture,
    error::WebError,
    log::without_values,
    page::{NavItem, Page, View},
    printer::PrintError,
    viewer::{Viewer, VisiblePlan},
};

/// A dashboard with the list of all dashboards.
pub(crate) struct DashboardPage {
    /// Whether the viewer can change what is wrong, and is told why a panel failed.
    pub(crate) is_operator: bool,
    /// Whether an author previews it, who has no account to save it in.
    pub(crate) is_preview: bool,
    /// Diagnostics of dashboard files, for their authors in debug mode.
    pub(crate) diagnostics: Vec<String>,
    pub(crate) others: Vec<DashboardLink>,
    pub(crate) data: DashboardData,
    /// The downloads of each panel.
    pub(crate) links: Vec<Option<PanelLinks>>,
    /// The page's address with its filters.
    pub(crate) address: String,
    /// The chosen tab in the page's address, if any.
    pub(crate) tab: Option<String>,
    /// The address of the page as PDF, if the site prints.
    pub(crate) pdf: Option<String>,
    /// The text above the title of a printed page: the brand's name and the page's URL.
    pub(crate) printed: (String, String),
}

/// A dashboard in the list.
pub(crate) struct DashboardLink {
    pub(crate) slug: String,
    pub(crate) title: String,
    /// The heading under which it is listed.
    pub(crate) group: Option<String>,
    /// The plan that includes it, if the viewer's does not.
    pub(crate) locked: Option<Plan>,
    /// Whether only operators see it.
    pub(crate) draft: bool,
}

/// `/dashboard/`: redirects to the view that the customer wants to open first, or to the first
/// dashboard.
pub(crate) async fn first(
    State(app): State<AppState>,
    viewer: Viewer,
) -> Result<Response, WebError> {
    let list =
        visible_dashboards(&app.dashboards.current().dashboards, &app.reader.pin()?, &viewer)
            .await?;
    // Without the accounts, any dashboard is better than none.
    let default = match viewer.signed_in() {
        Some(account) => {
            timeout(ACCOUNTS_TIMEOUT, app.accounts.default_view(&account.id)).await.ok()
        }
        None => None,
    };
    if let Some(Ok(Some(view))) = default
        && list.iter().any(|dashboard| dashboard.slug == view.dashboard)
    {
        return Ok(Redirect::to(&view.address()).into_response());
    }
    let first = list.first().ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&format!("/dashboard/{}", first.slug)).into_response())
}

/// Returns the dashboards that a viewer may see: drafts are for operators, and visitors without an
/// account see those that are public.
pub(super) async fn visible_dashboards(
    dashboards: &Dashboards,
    pin: &Pin,
    viewer: &Viewer,
) -> Result<Arc<[Arc<Dashboard>]>, ReaderError> {
    if viewer.is_admin() {
        return dashboards.all(pin).await;
    }
    let published = dashboards.published(pin).await?;
    if viewer.signed_in().is_some() {
        return Ok(published);
    }
    Ok(published.iter().filter(|dashboard| dashboard.public).cloned().collect())
}

type Params = Vec<(String, String)>;

/// `/dashboard/{slug}`.
pub(crate) async fn page(
    State(app): State<AppState>,
    viewer: Viewer,
    VisiblePlan(plan): VisiblePlan,
    Path(slug): Path<String>,
    Query(params): Query<Params>,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let (dashboard, view) = evaluated(&app, &pin, (&viewer, plan), &slug, &params).await?;
    let page = Page::new(view.data.title.clone(), NavItem::Dashboards, &view)
        .with_picture(picture(&dashboard));
    let page = match view.data.description.clone() {
        Some(description) => page.with_description(description),
        None => page,
    };
    Ok(page.cacheable(&pin))
}

/// `/dashboard/{slug}/report.pdf`: the page as it is printed.
pub(crate) async fn report(
    State(app): State<AppState>,
    viewer: Viewer,
    VisiblePlan(plan): VisiblePlan,
    Path(slug): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, WebError> {
    let printer = app.printer.as_ref().ok_or(WebError::NotFound)?;
    let pin = app.reader.pin()?;
    let (_, view) = evaluated(&app, &pin, (&viewer, plan), &slug, &params).await?;
    let document = html! {
        (DOCTYPE)
        html lang="en" data-appearance="light" {
            head {
                meta charset="utf-8";
                // Chromium prints nothing where scripts are off, so the page forbids them.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { (view.data.title) " · " (app.settings.brand.name) }
                meta name="color-scheme" content="light";
                style { (PreEscaped(app.assets.style_text())) }
            }
            body {
                @if let Some(notice) = &app.settings.brand.notice { aside.site-notice aria-label="Notice" { (notice) } }
                main #main { (view.render()) }
            }
        }
    };
    let pdf = printer.print(document.into_string()).await.map_err(|error| match error {
        PrintError::Busy => WebError::RateLimited { retry_after: Duration::from_secs(10) },
        PrintError::Failed(reason) => WebError::internal(reason),
    })?;
    let day = pin.generation().as_of().unwrap_or(pin.generation().opened_at).strftime("%Y-%m-%d");
    let name = format!("attachment; filename=\"{slug}-{day}.pdf\"");
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, pdf).into_response())
}

/// Evaluates a dashboard for a viewer and a plan.
async fn evaluated(
    app: &AppState,
    pin: &Pin,
    (viewer, plan): (&Viewer, Plan),
    slug: &str,
    params: &Params,
) -> Result<(Arc<Dashboard>, DashboardPage), WebError> {
    let set = app.dashboards.current();
    let list = visible_dashboards(&set.dashboards, pin, viewer).await?;
    let dashboard =
        list.iter().find(|dashboard| dashboard.slug == slug).ok_or(WebError::NotFound)?;
    let data = dashboard::evaluate(dashboard, pin, params, plan).await;
    for panel in &data.panels {
        if let Content::Failed { reason } = &panel.content {
            tracing::warn!(
                dashboard = slug,
                panel = panel.title,
                reason = without_values(reason),
                "a panel failed"
            );
        }
    }
    if let Some(error @ ReaderError::StorageUnavailable { .. }) = pin.transient_error() {
        return Err(error.clone().into());
    }
    let diagnostics = if app.settings.web.debug {
        set.dashboards.problems().iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    let links = panel::links(app, dashboard, &data, set.tables(slug), params);
    let printed = (
        app.settings.brand.name.clone(),
        format!("{}/dashboard/{slug}", app.settings.web.base_url()),
    );
    let view = DashboardPage {
        is_operator: viewer.is_admin(),
        is_preview: app.is_preview,
        links,
        printed,
        tab: params.iter().find(|(name, _)| name == dashboard::TAB).map(|(_, tab)| tab.clone()),
        pdf: (app.printer.is_some() && viewer.signed_in().is_some() && !app.is_preview).then(
            || {
                panel::page_address(dashboard, params).replacen(
                    slug,
                    &format!("{slug}/report.pdf"),
                    1,
                )
            },
        ),
        address: panel::page_address(dashboard, params),
        diagnostics,
        others: list.iter().map(|other| DashboardLink::of(other, plan)).collect(),
        data,
    };
    Ok((dashboard.clone(), view))
}

impl DashboardLink {
    pub(super) fn of(dashboard: &Arc<Dashboard>, plan: Plan) -> Self {
        let locked = (!plan.includes(dashboard.plan)).then_some(dashboard.plan);
        Self {
            slug: dashboard.slug.clone(),
            title: dashboard.title.clone(),
            group: dashboard.group.clone(),
            locked,
            draft: dashboard.draft,
        }
    }
}

/// More dashboards than this are not found in a row of tabs.
const MAX_TABS: usize = 8;

/// Returns dashboards by their headings, in the order of their first dashboards.
pub(super) fn grouped(all: &[DashboardLink]) -> Vec<(Option<&str>, Vec<&DashboardLink>)> {
    let mut groups = Vec::<(Option<&str>, Vec<&DashboardLink>)>::new();
    for one in all {
        let group = one.group.as_deref();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, found)) => found.push(one),
            None => groups.push((group, vec![one])),
        }
    }
    groups
}

impl DashboardLink {
    /// Renders a link to it, with what distinguishes it.
    pub(super) fn link(&self, is_current: bool) -> Markup {
        html! {
            a href={ "/dashboard/" (self.slug) } aria-current=[is_current.then_some("page")] {
                (self.title)
                @if let Some(plan) = self.locked { span.badge { (components::plan_title(plan)) } }
                @if self.draft { span.badge { "Draft" } }
            }
        }
    }
}

impl DashboardPage {
    /// Returns the chosen tab: the first one if the address names none, or one that is not there.
    fn chosen_tab(&self) -> Option<(usize, Tab)> {
        let mut tabs = self.data.tabs().into_iter().enumerate();
        let first = tabs.next()?;
        let is_first = |tab: &String| *tab == first.1.name;
        let wanted = self.tab.as_ref().filter(|tab| !is_first(tab));
        Some(wanted.and_then(|name| tabs.find(|(_, tab)| tab.name == *name)).unwrap_or(first))
    }

    /// Returns whether a panel is in the chosen tab, or in all of them.
    fn is_shown(&self, panel: usize) -> bool {
        let Some((_, chosen)) = self.chosen_tab() else { return true };
        let begin = self.data.panels.iter().position(|panel| panel.tab.is_some());
        chosen.panels.contains(&panel) || begin.is_some_and(|begin| panel < begin)
    }

    /// Links to the tabs, each with the current selection.
    fn tab_links(&self) -> Markup {
        let Some((chosen, _)) = self.chosen_tab() else { return html! {} };
        let (path, query) = self.address.split_once('?').unwrap_or((&self.address, ""));
        let others = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name != dashboard::TAB)
            .collect::<Vec<_>>();
        let address = |at: usize, tab: &Tab| {
            let own = (at > 0).then(|| (dashboard::TAB.into(), tab.name.as_str().into()));
            let mut query = form_urlencoded::Serializer::new(String::new());
            let query = query.extend_pairs(others.iter().cloned().chain(own)).finish();
            if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
        };
        html! {
            nav.tabs #tabs aria-label={ "Parts of " (self.data.title) } {
                @for (at, tab) in self.data.tabs().iter().enumerate() {
                    a href=(address(at, tab)) aria-current=[(at == chosen).then_some("page")] { (tab.title) }
                }
            }
        }
    }

    /// Renders the way to the other dashboards: tabs if they are few, else a list by groups with
    /// tabs for the dashboards of this one's group.
    fn navigation(&self) -> Markup {
        let is_current = |other: &DashboardLink| other.slug == self.data.slug;
        let groups = grouped(&self.others);
        let has_groups = groups.len() > 1;
        let own = groups.iter().find(|(_, all)| all.iter().any(|other| is_current(other)));
        let near: Vec<&DashboardLink> = match own {
            Some((_, all)) if has_groups => all.clone(),
            _ => self.others.iter().collect(),
        };
        html! {
            @if has_groups || self.others.len() > MAX_TABS {
                details.choice.all-dashboards {
                    summary { "All dashboards" @if let Some((Some(group), _)) = own { span.note { (group) } } }
                    nav aria-label="All dashboards" {
                        @for (group, all) in &groups {
                            div {
                                @if has_groups { h2 { (group.unwrap_or("Other")) } }
                                @for other in all { (other.link(is_current(other))) }
                            }
                        }
                    }
                }
            }
            @if near.len() > 1 && near.len() <= MAX_TABS {
                nav.tabs aria-label="Dashboards" { @for other in near { (other.link(is_current(other))) } }
            }
        }
    }

    /// Links to the sections of a dashboard that has several.
    fn sections(&self) -> Markup {
        let sections: Vec<(usize, &String)> = (1..)
            .zip(&self.data.panels)
            .filter(|(at, _)| self.is_shown(at - 1))
            .filter_map(|(at, panel)| Some((at, panel.section.as_ref()?)))
            .collect();
        html! {
            @if sections.len() > 1 {
                nav.sections #sections aria-label="Sections" {
                    @for (at, section) in sections { a href={ "#section-" (at) } { (section) } }
                }
            }
        }
    }

    /// Renders details that a printed page must contain and the screen shows elsewhere: filters and
    /// the date of the data.
    fn print_facts(&self) -> Markup {
        let info = &self.data.generation;
        let at = info.as_of().unwrap_or(info.opened_at);
        html! {
            ul.print-only.print-facts #print-facts {
                li { "Data updated " (components::moment(at)) }
                @for filter in components::filters_in_words(&self.data.filters) { li { (filter) } }
            }
        }
    }
}

impl View for DashboardPage {
    fn render(&self) -> Markup {
        let data = &self.data;
        let address = format!("/dashboard/{}", data.slug);
        html! {
            @for mistake in &self.diagnostics { (components::notice("bad", mistake)) }
            @if self.others.len() > 1 { (self.navigation()) }
            p.print-only.print-brand { strong { (self.printed.0) } " · " (self.printed.1) }
            div.title-row {
                h1 { (data.title) }
                @if let Some(about) = &data.description { p.lead { (about) } }
                @let page: String = form_urlencoded::byte_serialize(self.address.as_bytes()).collect();
                p.page-tools #page-tools {
                    @if !self.is_preview { a.button data-kind="plain" href={ "/home/save?page=" (page) } { "Save or follow" } }
                    @match &self.pdf {
                        Some(pdf) => a.button data-kind="plain" href=(pdf) download { "Download PDF" },
                        None => button.button.live-only type="button" data-kind="plain" data-print="" { "Print" },
                    }
                }
            }
            (self.print_facts())
            @let tab = self.chosen_tab().filter(|(at, _)| *at > 0).map(|(_, tab)| tab.name);
            (components::filters(&FilteredPage { address: &address, tab: tab.as_deref(), panels: &data.panels }, &data.filters))
            (components::locked_banner(&data.panels))
            (self.tab_links())
            (self.sections())
            div.panels #panels data-live="" {
                @let shown = || data.panels.iter().enumerate().filter(|(at, _)| self.is_shown(*at));
                @let widest = components::widest_chart_in_row(shown().map(|(_, panel)| panel));
                @for ((at, panel), widest) in shown().zip(widest) {
                    @if let Some(section) = &panel.section { h2.section id={ "section-" (at + 1) } { (section) } }
                    @let links = self.links.get(at).and_then(Option::as_ref);
                    @let id = links.map_or_else(|| format!("panel-{}", at + 1), |links| format!("panel-{}", links.name));
                    (components::panel_in_row(&id, (panel, widest), links, self.is_operator))
                }
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
