//! `/admin/traffic`: the current load of the server.

use std::time::Duration;

use axum::extract::State;
use materia::humanize;
use maud::{Markup, html};

use super::{
    layout::{
        self,
        Heading::{Number, Text},
        Section,
    },
    overview::figures,
};
use crate::{
    accounts::AccountStats,
    app::AppState,
    error::WebError,
    page::{Page, View},
    request_metrics::Minute,
};

pub(super) struct TrafficPage {
    /// How long the process has been serving.
    pub(super) uptime: Duration,
    /// Requests in progress, including this one.
    pub(super) in_flight: u64,
    /// Open pages that wait for the next generation.
    pub(super) listeners: usize,
    /// The last hour, newest minute first.
    pub(super) minutes: Vec<Minute>,
    pub(super) figures: AccountStats,
}

/// `GET /admin/traffic`
pub(crate) async fn traffic(app: State<AppState>) -> Result<Page, WebError> {
    let mut minutes = app.request_metrics.last_hour();
    minutes.reverse();
    let view = TrafficPage {
        uptime: app.request_metrics.uptime(),
        in_flight: app.request_metrics.in_flight(),
        listeners: app.events.listeners(),
        minutes,
        figures: app.accounts.account_stats().await?,
    };
    Ok(layout::page(Section::Traffic, "Traffic", &view))
}

impl View for TrafficPage {
    fn render(&self) -> Markup {
        let now = self.uptime.as_secs() / 60;
        let rows = html! {
            @for minute in &self.minutes {
                tr {
                    th scope="row" { (minutes_ago(now.saturating_sub(minute.number))) }
                    td.right { (humanize::count(minute.requests)) }
                    td.right { (humanize::count(minute.failures)) }
                    td.right { (milliseconds(minute.took / u32::try_from(minute.requests.max(1)).unwrap_or(u32::MAX))) }
                    td.right { (milliseconds(minute.slowest)) }
                }
            }
        };
        html! {
            dl.facts {
                div { dt { "Uptime" } dd { (humanize::duration(self.uptime)) } }
                div { dt { "Requests in progress" } dd { (humanize::count(self.in_flight)) } }
                div { dt { "Open pages with live updates" } dd { (self.listeners) } }
            }
            section.sheet aria-labelledby="minutes" {
                h2 #minutes { "The last hour" }
                @if self.minutes.is_empty() { p { "No requests." } } @else {
                    (self.chart("Requests", |minute| minute.requests))
                    (self.chart("Failures", |minute| minute.failures))
                    (layout::table("Requests by minute", &[Text("When"), Number("Requests"), Number("Failures"), Number("Mean"), Number("Slowest")], &rows))
                }
            }
            section.sheet aria-labelledby="customers" { h2 #customers { "Customers" } (figures(&self.figures)) }
        }
    }
}

impl TrafficPage {
    /// Renders a count of each minute of the last hour; nothing if all are zero.
    fn chart(&self, title: &str, count: impl Fn(&Minute) -> u64) -> Markup {
        let now = self.uptime.as_secs() / 60;
        // The whole hour, however long the site runs, so that bars do not become narrower.
        let (names, counts): (Vec<String>, Vec<u64>) = (0..60)
            .rev()
            .map(|ago| {
                let is_it = |minute: &&Minute| minute.number + ago == now;
                (minutes_ago(ago), self.minutes.iter().find(is_it).map_or(0, &count))
            })
            .unzip();
        html! {
            @if counts.iter().any(|count| *count > 0) { h3 { (title) } (layout::bars(title, &names, &counts)) }
        }
    }
}

fn minutes_ago(minutes: u64) -> String {
    if minutes == 0 { "this minute".to_owned() } else { format!("{minutes} min ago") }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}
