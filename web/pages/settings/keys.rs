//! Keys to the API: made, shown once, revoked.

use axum::{
    Extension, Form,
    extract::{Path, State},
    http::StatusCode,
    response::Redirect,
};
use jiff::Timestamp;
use maud::{Markup, html};

use super::own;
use crate::web::{
    accounts::{Actor, KeyError, KeyLine, LONGEST_KEY_NAME, NewKey, Session, Visit, entitlements},
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts::{self, Field, button, field, moment, since},
    viewer::SignedIn,
};

/// For how long a key may be good, in days; the last one for ever.
const LIVES: [(&str, &str); 4] = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")];

/// The section of the settings.
pub(super) struct KeysSection {
    /// Whether the plan has the API at all.
    pub(super) included: bool,
    pub(super) keys: Vec<KeyLine>,
    /// The tables that a key can be made for.
    pub(super) tables: Vec<String>,
    pub(super) now: Timestamp,
}

/// A key that was just made: the only time that it is seen.
struct Made {
    name: String,
    secret: String,
}

/// What the section shows.
pub(super) async fn section(app: &App, who: &SignedIn) -> Result<KeysSection, WebError> {
    let tables = match app.reader.pin() {
        Ok(pin) => pin.catalog().await?.tables.into_iter().map(|table| table.name).collect(),
        Err(_) => Vec::new(),
    };
    let included = entitlements(who.0.entitled()).api_requests_a_day > 0;
    Ok(KeysSection { included, keys: app.accounts.keys(&who.0.id).await?, tables, now: app.accounts.now() })
}

/// `POST /settings/keys`. Its fields come as often as tables are chosen.
pub(crate) async fn make_key(
    app: State<App>,
    who: SignedIn,
    visit: Visit,
    Extension(_): Extension<Session>,
    form: Form<Vec<(String, String)>>,
) -> Result<Page, WebError> {
    let told = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).unwrap_or_default();
    let name: String = told("key-name")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|char| !char.is_control())
        .take(LONGEST_KEY_NAME)
        .collect();
    let wrong = |what: &str| WebError::BadRequest(what.to_owned());
    if name.is_empty() {
        return Err(wrong("Give the key a name, so that you know it again. Go back and try again."));
    }
    let life = LIVES.iter().find(|(days, _)| *days == told("days")).ok_or_else(|| wrong("Choose how long the key is good."))?;
    let known = section(&app, &who).await?.tables;
    let chosen: Vec<String> = form.iter().filter(|(name, _)| name == "table").map(|(_, table)| table.clone()).collect();
    if chosen.iter().any(|table| !known.contains(table)) {
        return Err(wrong("There is no such table. Go back and try again."));
    }
    let account = own(&app, &who).await?;
    let actor = Actor { id: account.id.clone(), name: account.email.clone(), network: visit.network };
    let new = NewKey { name: name.clone(), tables: (!chosen.is_empty()).then_some(chosen), days: life.0.parse().ok() };
    match app.accounts.make_key(&account, &actor, new).await {
        Ok((_, secret)) => Ok(Page::new("Your new key", Place::Settings, &Made { name, secret }).with_status(StatusCode::CREATED)),
        Err(KeyError::NoApi) => Err(WebError::Forbidden),
        Err(error @ KeyError::TooMany) => Err(WebError::BadRequest(format!("{error}; revoke one first."))),
        Err(error) => Err(WebError::internal(error)),
    }
}

/// `POST /settings/keys/{id}/revoke`
pub(crate) async fn revoke_key(app: State<App>, who: SignedIn, visit: Visit, id: Path<String>) -> Result<Redirect, WebError> {
    let account = own(&app, &who).await?;
    let actor = Actor { id: account.id.clone(), name: account.email.clone(), network: visit.network };
    if app.accounts.revoke_key(&account, &actor, &id).await? { Ok(Redirect::to("/settings?done=key")) } else { Err(WebError::NotFound) }
}

impl View for Made {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                h1 { "Your new key" }
                p.lead { "Copy " strong { (self.name) } " now. It is not kept, and cannot be shown again." }
                pre.secret tabindex="0" { code #key { (self.secret) } }
                p { "It goes into the header " code { "Authorization: Bearer ..." } "; see " a href="/docs/api" { "the API" } "." }
                p { a.button data-kind="primary" href="/settings#keys" { "I have copied it" } }
            }
        }
    }
}

impl KeysSection {
    pub(super) fn markup(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="keys" {
                h2 #keys { "API keys" }
                p { "For programs that read your tables: " a href="/docs/api" { "how it works" } "." }
                @if !self.keys.is_empty() { (self.list()) }
                @if self.included { (self.form()) } @else { p { "The API comes with the plan Starter." } }
            }
        }
    }

    fn list(&self) -> Markup {
        html! {
            (parts::scroll("API keys", &html! {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Key" } th scope="col" { "Opens" } th scope="col" { "Last used" } th scope="col" { "Ends" } th scope="col" { "Revoke" } } }
                    tbody { @for key in &self.keys { tr {
                        th scope="row" { (key.name) }
                        td { code { "materia_" (key.prefix) "…" } }
                        td { @match &key.tables { None => "Everything", Some(tables) => (tables.join(", ")) } }
                        td { @match key.used_at { Some(at) => (since(at, self.now)), None => "never" } }
                        td { (self.ends(key)) }
                        td { @if key.is_good(self.now) {
                            form method="post" action={ "/settings/keys/" (key.id) "/revoke" } {
                                button.button type="submit" data-kind="plain" aria-label={ "Revoke " (key.name) } { "Revoke" }
                            }
                        } }
                    } } }
                }
            }))
        }
    }

    fn ends(&self, key: &KeyLine) -> Markup {
        html! {
            @match (key.revoked_at, key.expires_at) {
                (Some(_), _) => span.badge { "revoked" },
                (None, Some(at)) if at <= self.now => span.badge { "expired" },
                (None, Some(at)) => (moment(at)),
                (None, None) => "when revoked",
            }
        }
    }

    fn form(&self) -> Markup {
        let name = Field {
            name: "key-name",
            label: "Name of a new key",
            kind: "text",
            value: "",
            autocomplete: "off",
            hint: Some("What it is for: the program or the machine."),
            problem: None,
            required: true,
        };
        html! {
            form.stack method="post" action="/settings/keys" {
                (field(&name))
                div.field {
                    label for="days" { "Good for" }
                    select #days name="days" { @for (days, words) in LIVES { option value=(days) selected[days == "365"] { (words) } } }
                }
                @if !self.tables.is_empty() {
                    details {
                        summary { "Only for some tables" }
                        fieldset {
                            legend { "Tables; none chosen is all of them, and dashboards" }
                            @for table in &self.tables { label.option { input type="checkbox" name="table" value=(table); " " (table) } }
                        }
                    }
                }
                (button("Make a key", "plain"))
            }
        }
    }
}
