//! `/`: what it is, live figures and a chart from the served generation, plans and prices.

use axum::extract::State;
use materia::{
    dashboard::{self, Content, DashboardData, PanelData},
    plan::Plan,
    reader::{Pin, ReaderError},
    settings::{BrandSettings, LandingSettings, PlanOffer},
};
use maud::{Markup, html};

use crate::web::{
    app::App,
    page::{Page, Place, View},
    parts,
    viewer::Viewer,
};

/// How many figures stand beside one another.
const MOST_FIGURES: usize = 4;

/// The front page.
pub(crate) struct Landing {
    pub(crate) headline: String,
    pub(crate) about: String,
    pub(crate) points: Vec<(String, String)>,
    pub(crate) figures: Vec<PanelData>,
    pub(crate) chart: Option<PanelData>,
    pub(crate) plans: Vec<PlanOffer>,
    pub(crate) signed_in: bool,
}

pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Page {
    let brand = &app.settings.brand;
    let pin = app.reader.pin().ok();
    let (figures, chart) = match &pin {
        // A front page without figures is better than none.
        Some(pin) => live(&app, pin).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "no live figures for the front page");
            (Vec::new(), None)
        }),
        None => (Vec::new(), None),
    };
    let view = Landing::new(brand, figures, chart, viewer.signed_in().is_some());
    let page = Page::new(brand.headline.clone(), Place::Home, &view);
    match pin {
        Some(pin) => page.shared(&pin),
        None => page,
    }
}

/// What everybody may see of the chosen dashboard, or else of the first.
async fn live(app: &App, pin: &Pin) -> Result<(Vec<PanelData>, Option<PanelData>), ReaderError> {
    let wanted = &app.settings.brand.landing;
    let list = app.boards.now().dashboards.all(pin).await?;
    let chosen = wanted.dashboard.as_ref().and_then(|slug| list.iter().find(|dashboard| dashboard.slug == *slug));
    let Some(dashboard) = chosen.or(list.first()) else { return Ok((Vec::new(), None)) };
    let data = dashboard::answer(dashboard, pin, &[], Plan::Free).await;
    Ok(chosen_panels(data, wanted))
}

fn chosen_panels(data: DashboardData, wanted: &LandingSettings) -> (Vec<PanelData>, Option<PanelData>) {
    let chosen = |panel: &PanelData| wanted.panels.is_empty() || wanted.panels.contains(&panel.title);
    let (stats, others): (Vec<_>, Vec<_>) =
        data.panels.into_iter().filter(chosen).partition(|panel| matches!(panel.content, Content::Stat(_)));
    let chart = others.into_iter().find(|panel| matches!(panel.content, Content::Chart(_)));
    let beside = stats.len().clamp(3, MOST_FIGURES);
    let figures = stats.into_iter().take(MOST_FIGURES).map(|figure| PanelData {
        width: u8::try_from(12 / beside).unwrap_or(3),
        note: None,
        ..figure
    });
    (figures.collect(), chart.map(|chart| PanelData { width: 12, ..chart }))
}

impl Landing {
    pub(crate) fn new(brand: &BrandSettings, figures: Vec<PanelData>, chart: Option<PanelData>, signed_in: bool) -> Self {
        let points = brand.points.iter().map(|point| (point.title.clone(), point.text.clone())).collect();
        Self { headline: brand.headline.clone(), about: brand.about.clone(), points, figures, chart, plans: brand.plans.clone(), signed_in }
    }
}

impl View for Landing {
    fn body(&self) -> Markup {
        let start = if self.signed_in { ("/dashboard/", "Open the dashboards") } else { ("/auth/signup", "Start free") };
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
                        @for (at, panel) in self.figures.iter().enumerate() { (parts::panel(&format!("figure-{}", at + 1), panel, "#plans")) }
                        @if let Some(chart) = &self.chart { (parts::panel("chart", chart, "#plans")) }
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
                    (parts::plans(&self.plans, if self.signed_in { ("/settings#plan", "Choose") } else { ("/auth/signup", "Start") }))
                }
            }
        }
    }
}
