//! `/home`: what a customer comes back to: favorites, saved views and all dashboards; and
//! `/home/save`, which adds to it.

mod alerts;
mod digests;
mod views;

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    dashboard::{self, Dashboard},
    plan::Plan,
};
use serde::Deserialize;
use url::form_urlencoded;

pub(crate) use self::alerts::{
    create as create_alert, delete as delete_alert, pause as pause_alert,
};
pub(crate) use self::digests::{subscribe, unsubscribe};
use self::{
    alerts::{AlertForm, NewAlertForm},
    views::{FavoriteView, HomePage, SavePage, ViewLine},
};
use super::dashboard::{DashboardLink, visible_dashboards};
use crate::{
    accounts::{NewView, SaveError, SubscriptionState, dashboard_address, entitlements},
    app::AppState,
    components,
    error::WebError,
    page::{DoneQuery, NavItem, Page},
    viewer::{AccountSummary, SignedIn, Viewer},
};

/// Returns the dashboards that a viewer may see; none before the first export.
async fn dashboards(app: &AppState, viewer: &Viewer) -> Result<Arc<[Arc<Dashboard>]>, WebError> {
    let Ok(pin) = app.reader.pin() else { return Ok(Arc::new([])) };
    Ok(visible_dashboards(&app.dashboards.current().dashboards, &pin, viewer).await?)
}

/// `GET /home`
pub(crate) async fn page(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    query: Query<DoneQuery>,
) -> Result<Page, WebError> {
    let list = dashboards(&app, &viewer).await?;
    let title_of = |slug: &str| {
        list.iter().find(|dashboard| dashboard.slug == slug).map(|found| found.title.clone())
    };
    let plan = account.effective_plan();
    let favorites = app.accounts.favorites(&account.id).await?.into_iter();
    let favorites = favorites
        .map(|slug| FavoriteView {
            title: title_of(&slug),
            about: list
                .iter()
                .find(|dashboard| dashboard.slug == slug)
                .and_then(|dashboard| dashboard.description.clone()),
            slug,
        })
        .collect();
    let saved = app.accounts.saved_views(&account.id).await?.into_iter();
    let saved = saved.map(|view| ViewLine { title: title_of(&view.dashboard), view }).collect();
    let ended = app.accounts.subscriptions(&account.id).await?.into_iter().find(|one| {
        one.state == SubscriptionState::Ended && one.plan.is_some_and(|plan| plan > account.plan)
    });
    let view = HomePage {
        ended: ended.and_then(|one| Some((one.plan?, one.period_ends_at))),
        name: account.name.clone(),
        done: query.done.as_deref().and_then(views::confirmation_text),
        favorites,
        saved,
        alerts: app.accounts.alerts(&account.id).await?,
        digests: app.accounts.digests(&account.id).await?,
        now: app.clock.now(),
        all: list.iter().map(|one| DashboardLink::of(one, plan)).collect(),
    };
    Ok(Page::new("Home", NavItem::Start, &view))
}

#[derive(Debug, Deserialize)]
pub(crate) struct SaveQuery {
    /// The local address of a dashboard with its filters.
    page: String,
}

/// A dashboard with a selection, as named by a local address.
pub(super) struct Selected {
    pub(super) dashboard: Arc<Dashboard>,
    /// The parameters that are the dashboard's filters.
    pub(super) params: Vec<(String, String)>,
}

impl Selected {
    /// Resolves `/dashboard/supply?years_from=2007`.
    async fn find(app: &AppState, viewer: &Viewer, address: &str) -> Result<Self, WebError> {
        let invalid = || {
            WebError::BadRequest(
                "The link does not name a dashboard. Open the dashboard and follow \u{201c}Save or follow\u{201d} there."
                    .to_owned(),
            )
        };
        let rest = address.strip_prefix("/dashboard/").ok_or_else(invalid)?;
        let (slug, query) = rest.split_once('?').unwrap_or((rest, ""));
        let list = dashboards(app, viewer).await?;
        let dashboard = list.iter().find(|one| one.slug == slug).cloned();
        let dashboard = dashboard.ok_or(WebError::NotFound)?;
        let params: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { params: dashboard.selection(&params), dashboard })
    }

    fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish()
    }

    fn address(&self) -> String {
        dashboard_address(&self.dashboard.slug, &self.query())
    }

    /// Returns the selection in words, without evaluating all panels.
    async fn in_words(&self, app: &AppState, plan: Plan) -> Result<Vec<String>, WebError> {
        let pin = app.reader.pin()?;
        // Without a panel that the plan includes, there is nothing to select.
        let panels = self.dashboard.panels.iter().find(|panel| plan.includes(panel.plan));
        let panels = panels.cloned().into_iter().collect();
        let bare = Dashboard { panels, ..Dashboard::clone(&self.dashboard) };
        let data = dashboard::evaluate(&bare, &pin, &self.params, plan).await;
        Ok(components::filters_in_words(&data.filters))
    }
}

/// A form that was refused, as it was filled in, with the reason.
#[derive(Default)]
struct Refused {
    view: Option<(String, String)>,
    alert: Option<(AlertForm, String)>,
}

async fn save_page(
    app: &AppState,
    account: &AccountSummary,
    selected: &Selected,
    Refused { view: problem, alert: refused_alert }: Refused,
) -> Result<Page, WebError> {
    let slug = &selected.dashboard.slug;
    let favorites = app.accounts.favorites(&account.id).await?;
    let existing = app.accounts.saved_views(&account.id).await?.into_iter();
    let refused = problem.is_some();
    let plan = account.effective_plan();
    let included = entitlements(plan).alerts;
    let choices = if included > 0 {
        let pin = app.reader.pin()?;
        crate::alerts::choices(&selected.dashboard, &pin, &selected.params, plan).await
    } else {
        Vec::new()
    };
    let has_mail = app.accounts.sends_mail();
    let view = SavePage {
        alert: NewAlertForm { choices, included, has_mail, refused: refused_alert },
        title: selected.dashboard.title.clone(),
        slug: slug.clone(),
        address: selected.address(),
        filters: selected.in_words(app, plan).await?,
        is_favorite: favorites.contains(slug),
        existing: existing.filter(|view| view.dashboard == *slug).collect(),
        problem,
    };
    let title = format!("Save or follow {}", selected.dashboard.title);
    let page = Page::new(title, NavItem::Start, &view);
    Ok(if refused { page.with_status(StatusCode::UNPROCESSABLE_ENTITY) } else { page })
}

/// `GET /home/save?page=/dashboard/supply?years_from=2007`
pub(crate) async fn save(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    query: Query<SaveQuery>,
) -> Result<Page, WebError> {
    let selected = Selected::find(&app, &viewer, &query.page).await?;
    save_page(&app, &account, &selected, Refused::default()).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct ViewForm {
    page: String,
    name: String,
    /// Present if the view is to open first.
    default: Option<String>,
}

/// `POST /home/views`
pub(crate) async fn save_view(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    Form(form): Form<ViewForm>,
) -> Result<Response, WebError> {
    let selected = Selected::find(&app, &viewer, &form.page).await?;
    let new = NewView {
        dashboard: selected.dashboard.slug.clone(),
        name: form.name.clone(),
        query: selected.query(),
        summary: selected.in_words(&app, account.effective_plan()).await?.join("; "),
        is_default: form.default.is_some(),
    };
    match app.accounts.save_view(&account.id, new).await {
        Ok(()) => Ok(Redirect::to("/home?done=view").into_response()),
        Err(SaveError::Store(error)) => Err(error.into()),
        Err(error) => {
            let sentence = format!("{}.", super::auth::capitalize(&error.to_string()));
            let refused = Refused { view: Some((form.name, sentence)), alert: None };
            let page = save_page(&app, &account, &selected, refused).await?;
            Ok(page.into_response())
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct SwitchForm {
    /// `yes` or `no`.
    on: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    Yes,
    No,
}

/// `POST /home/views/{id}/default`
pub(crate) async fn set_default_view(
    State(app): State<AppState>,
    SignedIn(account): SignedIn,
    Path(id): Path<String>,
    Form(form): Form<SwitchForm>,
) -> Result<Redirect, WebError> {
    let on = form.on == Switch::Yes;
    if !app.accounts.set_default_view(&account.id, &id, on).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to(if on { "/home?done=default" } else { "/home?done=no-default" }))
}

/// `POST /home/views/{id}/delete`
pub(crate) async fn delete_view(
    State(app): State<AppState>,
    SignedIn(account): SignedIn,
    Path(id): Path<String>,
) -> Result<Redirect, WebError> {
    if !app.accounts.delete_view(&account.id, &id).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to("/home?done=view-deleted"))
}

/// `POST /home/favorites/{slug}`
pub(crate) async fn set_favorite(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    Path(slug): Path<String>,
    Form(form): Form<SwitchForm>,
) -> Result<Redirect, WebError> {
    let on = form.on == Switch::Yes;
    // One that is gone can still be removed.
    if on && !dashboards(&app, &viewer).await?.iter().any(|dashboard| dashboard.slug == slug) {
        return Err(WebError::NotFound);
    }
    app.accounts.set_favorite(&account.id, &slug, on).await?;
    Ok(Redirect::to(if on { "/home?done=favorite" } else { "/home?done=no-favorite" }))
}
