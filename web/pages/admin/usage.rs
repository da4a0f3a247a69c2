//! `/admin/usage`: sign-ups, changes of plans, and which dashboards are opened, by day.

use axum::extract::State;
use jiff::Timestamp;
use materia::humanize;
use maud::{Markup, html};

use super::layout::{
    self,
    Heading::{Number, Text},
    Section,
};
use crate::{
    accounts::Usage,
    app::AppState,
    components,
    error::WebError,
    page::{Page, View},
};

/// The shown days, today included.
const DAYS: u16 = 30;

struct UsagePage(Usage);

/// `GET /admin/usage`
pub(crate) async fn usage(app: State<AppState>) -> Result<Page, WebError> {
    // With the views of the last minute, which are not stored yet.
    app.accounts.add_dashboard_views(&app.view_counter.take()).await?;
    let view = UsagePage(app.accounts.usage(DAYS).await?);
    Ok(layout::page(Section::Usage, "Usage", &view))
}

impl View for UsagePage {
    fn render(&self) -> Markup {
        let Usage { days, accounts, sessions, sign_ups, plan_changes, views } = &self.0;
        let mut all = vec![0; days.len()];
        for (_, counts) in views {
            for (sum, count) in all.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        let last = |counts: &[u64], days: usize| {
            humanize::count(counts.iter().rev().take(days).sum::<u64>())
        };
        let rows = html! {
            @for (dashboard, counts) in views {
                tr {
                    th scope="row" { a href={ "/dashboard/" (dashboard) } { (dashboard) } }
                    td.right { (last(counts, 1)) } td.right { (last(counts, 7)) } td.right { (last(counts, usize::from(DAYS))) }
                    td { (components::chart::sparkline(&counts.iter().map(|count| Some(*count as f64)).collect::<Vec<_>>())) }
                }
            }
        };
        html! {
            (bars("Active accounts", days, accounts, Sum::OfDays))
            (bars("Active sessions", days, sessions, Sum::OfDays))
            p.note { "An account counts once a day, unless it signs out in between; each of its browsers is a session." }
            (bars("Dashboards opened", days, &all, Sum::Total))
            section.sheet aria-labelledby="dashboards" {
                h2 #dashboards { "Dashboards" }
                @if views.is_empty() { p { "No dashboard was opened in the last " (DAYS) " days." } } @else {
                    (layout::table("Dashboards by views", &[Text("Dashboard"), Number("Today"), Number("7 days"), Number("30 days"), Text("Trend")], &rows))
                }
                p.note { "Pages that people went to, without those that follow new data by themselves. Who opened them is not stored." }
            }
            (bars("Sign-ups", days, sign_ups, Sum::Total))
            (bars("Changes of plans", days, plan_changes, Sum::Total))
        }
    }
}

/// Whether the counts of several days may be added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    Total,
    /// Who comes on two days is the same.
    OfDays,
}

/// Renders counts by day as bars, and as a list.
fn bars(title: &str, days: &[Timestamp], counts: &[u64], sum: Sum) -> Markup {
    let id = title.to_lowercase().replace(' ', "-");
    let total: u64 = counts.iter().sum();
    let day = |at: &Timestamp| at.strftime("%b %-d").to_string();
    let names: Vec<String> = days.iter().map(day).collect();
    html! {
        section.sheet aria-labelledby=(id) {
            h2 #(id) { (title) }
            @match sum {
                Sum::Total => p { (humanize::count(total)) " in " (days.len()) " days" },
                Sum::OfDays => p { (humanize::count(counts.last().copied().unwrap_or_default())) " today, at most " (humanize::count(counts.iter().copied().max().unwrap_or_default())) " on a day of the last " (days.len()) },
            }
            @if total > 0 { (layout::bars(title, &names, counts)) }
        }
    }
}
