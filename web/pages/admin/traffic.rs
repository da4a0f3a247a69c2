//! `/admin/traffic`: what is asked of the server now.

use std::time::Duration;

use axum::extract::State;
use materia::words;
use maud::{Markup, html};

use super::{
    frame::{
        self,
        Head::{Numbers, Words},
        Section,
    },
    overview::figures,
};
use crate::web::{
    accounts::Figures,
    app::App,
    error::WebError,
    page::{Page, View},
    traffic::Minute,
};

pub(super) struct Traffic {
    /// How long the process has been serving.
    pub(super) uptime: Duration,
    /// Requests being answered right now, this one included.
    pub(super) in_flight: u64,
    /// Pages that wait for the next generation.
    pub(super) listeners: usize,
    /// The last hour, the newest minute first.
    pub(super) minutes: Vec<Minute>,
    pub(super) figures: Figures,
}

/// `GET /admin/traffic`
pub(crate) async fn traffic(app: State<App>) -> Result<Page, WebError> {
    let mut minutes = app.traffic.lately();
    minutes.reverse();
    let view = Traffic {
        uptime: app.traffic.uptime(),
        in_flight: app.traffic.in_flight(),
        listeners: app.events.listeners(),
        minutes,
        figures: app.accounts.figures().await?,
    };
    Ok(frame::page(Section::Traffic, "Traffic", &view))
}

impl View for Traffic {
    fn body(&self) -> Markup {
        let now = self.uptime.as_secs() / 60;
        let rows = html! {
            @for minute in &self.minutes {
                tr {
                    th scope="row" { (minutes_ago(now.saturating_sub(minute.number))) }
                    td.right { (words::count(minute.requests)) }
                    td.right { (words::count(minute.failures)) }
                    td.right { (milliseconds(minute.took / u32::try_from(minute.requests.max(1)).unwrap_or(u32::MAX))) }
                    td.right { (milliseconds(minute.slowest)) }
                }
            }
        };
        html! {
            dl.facts {
                div { dt { "Serving for" } dd { (words::duration(self.uptime)) } }
                div { dt { "Being answered now" } dd { (words::count(self.in_flight)) } }
                div { dt { "Open pages that update" } dd { (self.listeners) } }
            }
            section.sheet aria-labelledby="minutes" {
                h2 #minutes { "The last hour" }
                @if self.minutes.is_empty() { p { "Nothing was asked." } } @else {
                    (frame::table("Requests by minute", &[Words("When"), Numbers("Requests"), Numbers("Failures"), Numbers("Mean"), Numbers("Slowest")], &rows))
                }
            }
            section.sheet aria-labelledby="customers" { h2 #customers { "Customers" } (figures(&self.figures)) }
        }
    }
}

fn minutes_ago(minutes: u64) -> String {
    if minutes == 0 { "this minute".to_owned() } else { format!("{minutes} min ago") }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}
