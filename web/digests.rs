//! Digests: a dashboard as an email, with HTML and pictures of its charts, and as plain text.

use std::fmt::Write as _;

use materia::dashboard::{self, Content, DashboardData, PanelData, Stat, Table};
use maud::{DOCTYPE, Markup, html};
use url::form_urlencoded;

use crate::{
    accounts::{
        DigestMail, DueDigest, MailSubscription, RichBody, StoreError, dashboard_address,
        entitlements,
    },
    app::AppState,
    components::{self, Caption},
    log::without_values,
    png,
    viewer::Role,
};

/// Pictures in one email.
const MAX_PICTURES: usize = 16;
/// Rows of a table in an email.
const MAX_ROWS: usize = 15;
/// Pixels per unit of a picture: twice the width at which it is shown.
const SCALE: f32 = 1.25;
const PLAIN_WIDTH: u16 = 600;

/// Writes and sends the digests that are due.
pub(crate) async fn send_due(app: &AppState) -> Result<(), StoreError> {
    let all = app.accounts.due_digests().await?;
    if all.is_empty() {
        return Ok(());
    }
    let key = app.accounts.unsubscribe_key().await?;
    for due in all {
        let unsubscribe = key.address(MailSubscription::Digest, &due.digest.id);
        let unsubscribe = app.accounts.settings().link(&unsubscribe);
        if let Some(written) = write(app, &due, unsubscribe).await {
            app.accounts.record_digest(&due, written).await?;
        }
    }
    Ok(())
}

/// Writes one digest, or returns why it is not sent; `None` if it has to be tried again.
async fn write(
    app: &AppState,
    due: &DueDigest,
    unsubscribe: String,
) -> Option<Result<DigestMail, String>> {
    if due.is_suspended {
        return Some(Err("Paused: the account is suspended.".to_owned()));
    }
    if entitlements(due.plan).alerts == 0 {
        return Some(Err("Paused: the plan no longer includes digests.".to_owned()));
    }
    let pin = app.reader.pin().ok()?;
    let set = app.dashboards.current().dashboards;
    let list =
        if due.role == Role::Admin { set.all(&pin).await } else { set.published(&pin).await };
    let list = list.ok()?;
    let digest = &due.digest;
    let Some(dashboard) = list.iter().find(|one| one.slug == digest.dashboard) else {
        return Some(Err("The dashboard no longer exists.".to_owned()));
    };
    let params: Vec<_> = form_urlencoded::parse(digest.query.as_bytes()).into_owned().collect();
    let data = dashboard::evaluate(dashboard, &pin, &params, due.plan).await;
    if pin.transient_error().is_some() {
        return None;
    }
    let address = dashboard_address(&digest.dashboard, &digest.query);
    let link = app.accounts.settings().link(&address);
    let pictures = pictures(app, &data).await;
    let subject = format!("{}, {}", data.title, as_of(&data));
    let letter =
        Letter { app, data: &data, link: &link, unsubscribe: &unsubscribe, pictures: &pictures };
    let (text, html) = (letter.text(), letter.html().into_string());
    let images = pictures.into_iter().flatten().collect();
    Some(Ok(DigestMail {
        subject,
        text,
        rich: RichBody { html: Some(html), images, unsubscribe: Some(unsubscribe) },
    }))
}

fn as_of(data: &DashboardData) -> String {
    let at = data.generation.as_of().unwrap_or(data.generation.opened_at);
    at.strftime("%B %-d, %Y").to_string()
}

/// Draws the charts, each under its name in the email.
async fn pictures(app: &AppState, data: &DashboardData) -> Vec<Option<(String, Vec<u8>)>> {
    let brand = &app.settings.brand;
    let at = as_of(data);
    let caption = Caption { brand: &brand.name, accent: &brand.colours.accent, origin: [&at, ""] };
    let mut left = MAX_PICTURES;
    let svgs: Vec<Option<String>> = data
        .panels
        .iter()
        .map(|panel| {
            let is_chart = matches!(panel.content, Content::Chart(_) | Content::Map(_)) && left > 0;
            let svg = is_chart.then(|| components::panel_image(panel, &caption)).flatten();
            left -= usize::from(svg.is_some());
            svg
        })
        .collect();
    let draw = move || {
        let numbered = (1..).zip(svgs);
        let drawn = numbered.map(|(number, svg): (usize, Option<String>)| {
            let png = svg.map(|svg| png::draw(&svg, SCALE))?;
            png.inspect_err(|reason| {
                tracing::warn!(reason = without_values(reason), "a chart could not be drawn");
            })
            .ok()
            .map(|png| (format!("panel-{number}"), png))
        });
        drawn.collect()
    };
    tokio::task::spawn_blocking(draw).await.unwrap_or_default()
}

/// A digest that is being written.
struct Letter<'a> {
    app: &'a AppState,
    data: &'a DashboardData,
    link: &'a str,
    /// The address that ends the digest without signing in.
    unsubscribe: &'a str,
    /// The pictures, one for each panel that has one.
    pictures: &'a [Option<(String, Vec<u8>)>],
}

impl Letter<'_> {
    fn filters(&self) -> Vec<String> {
        components::filters_in_words(&self.data.filters)
    }

    fn manage(&self) -> String {
        self.app.accounts.settings().link("/home#digests")
    }

    fn text(&self) -> String {
        let mut text = format!("{}\nData updated {}\n", self.data.title, as_of(self.data));
        for filter in self.filters() {
            let _ = writeln!(text, "{filter}");
        }
        for panel in &self.data.panels {
            let unit = panel.short_unit.as_ref().or(panel.unit.as_ref());
            let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
            match &panel.content {
                Content::Stat(stat) => {
                    let _ = write!(text, "\n{}: {}{unit}", panel.title, stat.shown);
                    let _ = writeln!(text, "{}", change(stat));
                }
                Content::Table(table) => {
                    let _ = writeln!(text, "\n{}", panel.title);
                    for row in table.rows.iter().take(MAX_ROWS) {
                        let _ = writeln!(text, "  {}", row.join(" | "));
                    }
                }
                Content::Chart(_)
                | Content::Facets { .. }
                | Content::Map(_)
                | Content::Heatmap(_) => {
                    let _ = writeln!(text, "\n{}: see the chart on the page", panel.title);
                }
                Content::Markdown { .. }
                | Content::Empty { .. }
                | Content::Locked { .. }
                | Content::Failed { .. } => {}
            }
        }
        let _ = write!(
            text,
            "\nOpen the dashboard: {}\n\nYou subscribed to this digest at {}. Your digests: {}\nUnsubscribe: {}\n",
            self.link,
            self.app.settings.brand.name,
            self.manage(),
            self.unsubscribe
        );
        text
    }

    /// Renders the HTML. Mail programs ignore style sheets, so styles are in the elements.
    fn html(&self) -> Markup {
        let accent = &self.app.settings.brand.colours.accent;
        html! {
            (DOCTYPE)
            html lang="en" {
                head { meta charset="utf-8"; meta name="viewport" content="width=device-width, initial-scale=1"; title { (self.data.title) } }
                body style="margin:0;padding:0;background:#f4f4f2;color:#1c1c1a;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5" {
                    div style={ "max-width:" (PLAIN_WIDTH) "px;margin:0 auto;padding:24px 16px" } {
                        p style="margin:0 0 4px;font-weight:600;color:#555" { (self.app.settings.brand.name) }
                        h1 style="margin:0 0 4px;font-size:24px;line-height:1.25" { (self.data.title) }
                        p style="margin:0 0 20px;color:#555" { "Data updated " (as_of(self.data)) @for filter in self.filters() { " · " (filter) } }
                        @for (at, panel) in self.data.panels.iter().enumerate() {
                            (self.panel(panel, self.pictures.get(at).and_then(Option::as_ref).map(|(name, _)| name.as_str())))
                        }
                        p style="margin:24px 0" { a href=(self.link) style={ "display:inline-block;padding:10px 18px;border-radius:8px;background:" (accent) ";color:#fff;text-decoration:none;font-weight:600" } { "Open the dashboard" } }
                        @if !self.data.sources.is_empty() {
                            p style="margin:0 0 8px;color:#555;font-size:13px" { "Sources: " (self.data.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join("; ")) }
                        }
                        p style="margin:0;color:#555;font-size:13px" { "You subscribed to this digest. " a href=(self.manage()) style="color:#555" { "Your digests" } " · " a href=(self.unsubscribe) style="color:#555" { "Unsubscribe" } }
                    }
                }
            }
        }
    }

    fn panel(&self, panel: &PanelData, picture: Option<&str>) -> Markup {
        let card =
            "margin:0 0 16px;padding:16px;border:1px solid #ddd;border-radius:8px;background:#fff";
        let name = html! { h2 style="margin:0 0 6px;font-size:16px" { (panel.title) } };
        html! {
            @match (&panel.content, picture) {
                (_, Some(picture)) => div style=(card) { img src={ "cid:" (picture) } alt=(panel.title) width={ (PLAIN_WIDTH - 68) } style="display:block;width:100%;height:auto"; },
                (Content::Stat(stat), None) => div style=(card) {
                    (name)
                    p style="margin:0;font-size:26px;font-weight:650" { (stat.shown) @if let Some(unit) = panel.short_unit.as_ref().or(panel.unit.as_ref()) { span style="font-size:15px;font-weight:400" { " " (unit) } } }
                    p style="margin:0;color:#555;font-size:13px" { (change(stat).trim()) }
                },
                (Content::Table(table), None) => div style=(card) { (name) (rows(table)) },
                (Content::Chart(_) | Content::Facets { .. } | Content::Map(_) | Content::Heatmap(_), None) => div style=(card) { (name) p style="margin:0" { a href=(self.link) { "See it on the page" } } },
                (Content::Markdown { .. } | Content::Empty { .. } | Content::Locked { .. } | Content::Failed { .. }, None) => {},
            }
        }
    }
}

/// Formats the change of a figure and its date, in parentheses.
fn change(stat: &Stat) -> String {
    let change = stat.change.as_ref();
    let change = change.map(|change| format!("{} vs {}", change.shown, change.against));
    let facts: Vec<String> = change.into_iter().chain(stat.at.clone()).collect();
    if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) }
}

fn rows(table: &Table) -> Markup {
    let cell = |right: bool| {
        let side = if right { "right" } else { "left" };
        format!(
            "padding:4px 8px 4px 0;border-bottom:1px solid #eee;text-align:{side};vertical-align:top"
        )
    };
    let is_right = |at: usize| table.columns.get(at).is_some_and(|column| column.right);
    let left_out = table.left_out + table.rows.len().saturating_sub(MAX_ROWS);
    html! {
        table cellspacing="0" style="width:100%;border-collapse:collapse;font-size:13px" {
            tr { @for column in &table.columns { th style=(cell(column.right)) { (column.title) @if let Some(unit) = &column.unit { " " (unit) } } } }
            @for row in table.rows.iter().take(MAX_ROWS) { tr { @for (at, text) in row.iter().enumerate() { td style=(cell(is_right(at))) { (text) } } } }
        }
        @if left_out > 0 { p style="margin:6px 0 0;color:#555;font-size:13px" { "and " (materia::humanize::rows(left_out as u64)) " more" } }
    }
}
