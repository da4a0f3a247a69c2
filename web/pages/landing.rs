//! `/`: the homepage with live figures and a chart from the served generation, plans and prices.

use axum::extract::State;
use materia::{
    dashboard::{self, Content, Dashboard, DashboardData, Panel, PanelData},
    plan::Plan,
    reader::{Pin, ReaderError},
    settings::{BillingPeriod, BrandSettings, PlanOffer},
};
use maud::{Markup, html};

use super::pricing::choose_address;
use crate::{
    app::AppState,
    components,
    page::{NavItem, Page, View},
    viewer::Viewer,
};

/// Figures shown next to each other.
const MAX_FIGURES: usize = 4;

/// The homepage.
pub(crate) struct Landing {
    pub(crate) headline: String,
    pub(crate) about: String,
    pub(crate) points: Vec<(String, String)>,
    pub(crate) figures: Vec<PanelData>,
    pub(crate) chart: Option<PanelData>,
    pub(crate) plans: Vec<PlanOffer>,
    pub(crate) signed_in: bool,
}

pub(crate) async fn page(State(app): State<AppState>, viewer: Viewer) -> Page {
    let brand = &app.settings.brand;
    let pin = app.reader.pin().ok();
    let (figures, chart) = match &pin {
        // A homepage without figures is better than none.
        Some(pin) => load_figures(&app, pin).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "no live figures for the front page");
            (Vec::new(), None)
        }),
        None => (Vec::new(), None),
    };
    let view = Landing::new(brand, figures, chart, viewer.signed_in().is_some());
    let page = Page::new(brand.headline.clone(), NavItem::Home, &view);
    match pin {
        Some(pin) => page.cacheable(&pin),
        None => page,
    }
}

/// Evaluates the public panels of the configured dashboard, or of the first that has any. Panels
/// that are not public are not even queried.
async fn load_figures(
    app: &AppState,
    pin: &Pin,
) -> Result<(Vec<PanelData>, Option<PanelData>), ReaderError> {
    let wanted = &app.settings.brand.landing;
    let list = app.dashboards.current().dashboards.published(pin).await?;
    let chosen =
        wanted.dashboard.as_ref().map(|slug| list.iter().find(|dashboard| dashboard.slug == *slug));
    let chosen = chosen.unwrap_or_else(|| {
        list.iter().find(|dashboard| dashboard.panels.iter().any(|panel| panel.public))
    });
    let Some(dashboard) = chosen else { return Ok((Vec::new(), None)) };
    let shown = |panel: &&Panel| {
        panel.public && (wanted.panels.is_empty() || wanted.panels.contains(&panel.title))
    };
    let panels: Vec<Panel> = dashboard.panels.iter().filter(shown).cloned().collect();
    if panels.is_empty() {
        return Ok((Vec::new(), None));
    }
    let public = Dashboard { panels, ..Dashboard::clone(dashboard) };
    Ok(arrange(dashboard::evaluate(&public, pin, &[], Plan::Free).await))
}

fn arrange(data: DashboardData) -> (Vec<PanelData>, Option<PanelData>) {
    let (stats, others): (Vec<_>, Vec<_>) =
        data.panels.into_iter().partition(|panel| matches!(panel.content, Content::Stat(_)));
    let chart = others.into_iter().find(|panel| matches!(panel.content, Content::Chart(_)));
    let columns = stats.len().clamp(3, MAX_FIGURES);
    let figures = stats.into_iter().take(MAX_FIGURES).map(|figure| PanelData {
        width: u8::try_from(12 / columns).unwrap_or(3),
        note: None,
        ..figure
    });
    (figures.collect(), chart.map(|chart| PanelData { width: 12, ..chart }))
}

impl Landing {
    pub(crate) fn new(
        brand: &BrandSettings,
        figures: Vec<PanelData>,
        chart: Option<PanelData>,
        signed_in: bool,
    ) -> Self {
        let points =
            brand.points.iter().map(|point| (point.title.clone(), point.text.clone())).collect();
        Self {
            headline: brand.headline.clone(),
            about: brand.about.clone(),
            points,
            figures,
            chart,
            plans: brand.plans.clone(),
            signed_in,
        }
    }
}

impl View for Landing {
    fn render(&self) -> Markup {
        let start = if self.signed_in {
            ("/dashboard/", "Open the dashboards")
        } else {
            ("/auth/signup", "Start free")
        };
        html! {
            section.hero {
                h1 { (self.headline) }
                p.lead { (self.about) }
                p.actions {
                    a.button data-kind="primary" href=(start.0) { (start.1) }
                    a.button data-kind="plain" href="/methodology" { "How the figures are made" }
                }
            }
            @if !self.figures.is_empty() || self.chart.is_some() {
                section.live aria-labelledby="live-name" {
                    h2.unseen #live-name { "The latest figures" }
                    div.panels #panels data-live="" {
                        @for (at, panel) in self.figures.iter().enumerate() { (components::panel(&format!("figure-{}", at + 1), panel)) }
                        @if let Some(chart) = &self.chart { (components::panel("chart", chart)) }
                    }
                }
            }
            @if !self.points.is_empty() {
                section.points {
                    @for (title, text) in &self.points { div { h2 { (title) } p { (text) } } }
                }
            }
            @if !self.plans.is_empty() {
                section.offer #plans {
                    h2 { "Plans" }
                    (components::plans(&self.plans, BillingPeriod::Month, |offer| html! {
                        a.button data-kind=(if offer.plan == Plan::Starter { "primary" } else { "plain" }) href=(choose_address(offer.plan, BillingPeriod::Month, self.signed_in)) {
                            (if offer.plan == Plan::Free { "Start free".to_owned() } else { format!("Choose {}", components::plan_title(offer.plan)) })
                        }
                    }))
                    @if self.plans.iter().any(|offer| offer.yearly.is_some()) { p.pricing-note { a href="/pricing?period=year" { "Yearly prices" } } }
                }
            }
        }
    }
}
