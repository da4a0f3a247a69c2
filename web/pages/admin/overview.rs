//! `/admin/`: the state of the site at a glance.

use axum::extract::State;
use maud::{Markup, html};

use super::layout::{self, Section};
use crate::{
    accounts::AccountStats,
    app::AppState,
    components::{Freshness, notice, plan_title},
    conditions::Conditions,
    error::WebError,
    page::{Page, View},
};

pub(super) struct Overview {
    pub(super) figures: AccountStats,
    pub(super) freshness: Option<Freshness>,
    /// The current problems, as in `materia status`.
    pub(super) problems: Vec<String>,
}

/// `GET /admin/`
pub(crate) async fn overview(app: State<AppState>) -> Result<Page, WebError> {
    let state = app.reader.state();
    let conditions = Conditions::current(&app).await;
    let view = Overview {
        figures: app.accounts.account_stats().await?,
        freshness: state.generation.map(|info| Freshness::of(&info, app.clock.now())),
        problems: conditions.iter().map(|finding| finding.text.clone()).collect(),
    };
    Ok(layout::page(Section::Overview, "Overview", &view))
}

impl View for Overview {
    fn render(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="data" {
                h2 #data { "Data" }
                @match &self.freshness {
                    Some(fresh) => { p { "Generation " (fresh.generation) ", exported " (fresh.ago) } },
                    None => { p { "Nothing is served yet." } },
                }
            }
            @if !self.problems.is_empty() {
                section.sheet aria-labelledby="attention" {
                    h2 #attention { "Needs attention" }
                    @for problem in &self.problems { (notice("bad", problem)) }
                }
            }
            section.sheet aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                (figures(&self.figures))
            }
        }
    }
}

/// Renders counts of accounts, sessions and emails.
pub(super) fn figures(figures: &AccountStats) -> Markup {
    let count = |number: u64| materia::humanize::count(number);
    html! {
        dl.facts {
            div { dt { "Accounts" } dd { (count(figures.accounts)) } }
            @for (plan, number) in &figures.plans { div { dt { (plan_title(*plan)) } dd { (count(*number)) } } }
            div { dt { "Suspended" } dd { (count(figures.suspended)) } }
            div { dt { "Active sessions" } dd { (count(figures.sessions)) } }
            div { dt { "Signed in (24 h)" } dd { (count(figures.signed_in_today)) } }
            div { dt { "Emails (24 h)" } dd { (count(figures.mails_today)) } }
            div { dt { "Not delivered (24 h)" } dd { (count(figures.mails_failed_today)) } }
        }
    }
}
