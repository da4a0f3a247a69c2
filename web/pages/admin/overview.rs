//! `/admin/`: what there is to know at a glance.

use axum::extract::State;
use maud::{Markup, html};

use super::frame::{self, Section};
use crate::web::{
    accounts::Figures,
    app::App,
    error::WebError,
    page::{Page, View},
    parts::{Freshness, plan_title},
};

pub(super) struct Overview {
    pub(super) figures: Figures,
    pub(super) freshness: Option<Freshness>,
    /// Why what stands at the served path cannot be opened.
    pub(super) problem: Option<String>,
}

/// `GET /admin/`
pub(crate) async fn overview(app: State<App>) -> Result<Page, WebError> {
    let state = app.reader.state();
    let view = Overview {
        figures: app.accounts.figures().await?,
        freshness: state.generation.map(|info| Freshness::of(&info, app.clock.now())),
        problem: state.problem.map(|problem| problem.reason),
    };
    Ok(frame::page(Section::Overview, "Overview", &view))
}

impl View for Overview {
    fn body(&self) -> Markup {
        html! {
            section aria-labelledby="data" {
                h2 #data { "Data" }
                @match &self.freshness {
                    Some(fresh) => { p { "Generation " (fresh.generation) ", exported " (fresh.ago) } },
                    None => { p { "Nothing is served yet." } },
                }
                @if let Some(problem) = &self.problem { p.notice data-kind="bad" role="alert" { (problem) } }
            }
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                (figures(&self.figures))
            }
        }
    }
}

/// Counts of accounts, sessions and letters.
pub(super) fn figures(figures: &Figures) -> Markup {
    let count = |number: u64| materia::words::count(number);
    html! {
        dl.figures {
            div { dt { "Accounts" } dd { (count(figures.accounts)) } }
            @for (plan, number) in &figures.plans { div { dt { (plan_title(*plan)) } dd { (count(*number)) } } }
            div { dt { "Suspended" } dd { (count(figures.suspended)) } }
            div { dt { "Signed in now" } dd { (count(figures.sessions)) } }
            div { dt { "Signed in within a day" } dd { (count(figures.signed_in_today)) } }
            div { dt { "Letters within a day" } dd { (count(figures.letters_today)) } }
            div { dt { "Not delivered" } dd { (count(figures.letters_failed_today)) } }
        }
    }
}
