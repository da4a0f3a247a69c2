//! API keys on the settings page: created, shown once, revoked.

use axum::{
    Extension, Form,
    extract::{Path, State},
    http::StatusCode,
    response::Redirect,
};
use jiff::Timestamp;
use materia::tables::access;
use maud::{Markup, html};

use super::load_account;
use crate::{
    accounts::{
        Actor, ApiKeyInfo, ClientInfo, KeyError, MAX_KEY_NAME, NewKey, Session, entitlements,
    },
    app::AppState,
    components::{self, Field, button, field, moment, since},
    error::WebError,
    page::{NavItem, Page, View},
    viewer::SignedIn,
};

/// Lifetimes of a key, in days; the last one never expires.
const KEY_LIFETIMES: [(&str, &str); 4] =
    [("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "never")];

/// The section of the settings page.
pub(super) struct KeysSection {
    /// Whether the plan includes the API.
    pub(super) included: bool,
    pub(super) keys: Vec<ApiKeyInfo>,
    /// The tables that a key can be restricted to.
    pub(super) tables: Vec<String>,
    pub(super) now: Timestamp,
}

/// A key that was just created: the only page that shows it.
struct NewKeyNotice {
    name: String,
    secret: String,
}

/// Loads what the section shows.
pub(super) async fn section(app: &AppState, user: &SignedIn) -> Result<KeysSection, WebError> {
    let tables = match app.reader.pin() {
        Ok(pin) => {
            let tables = access::visible_catalog(&pin, &app.settings.tables).await?;
            tables.into_iter().map(|table| table.name).collect()
        }
        Err(_) => Vec::new(),
    };
    let included = entitlements(user.0.effective_plan()).api_requests_a_day > 0;
    Ok(KeysSection {
        included,
        keys: app.accounts.keys(&user.0.id).await?,
        tables,
        now: app.accounts.now(),
    })
}

/// `POST /settings/keys`. The field `table` is repeated for each selected table.
pub(crate) async fn create_key(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    Extension(_): Extension<Session>,
    form: Form<Vec<(String, String)>>,
) -> Result<Page, WebError> {
    let field_value = |wanted: &str| {
        form.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let name: String = field_value("key-name")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_KEY_NAME)
        .collect();
    let bad_request = |what: &str| WebError::BadRequest(what.to_owned());
    if name.is_empty() {
        return Err(bad_request("Give the key a name you will recognize. Go back and try again."));
    }
    let lifetime = KEY_LIFETIMES
        .iter()
        .find(|(days, _)| *days == field_value("days"))
        .ok_or_else(|| bad_request("Choose when the key expires. Go back and try again."))?;
    let known = section(&app, &user).await?.tables;
    let chosen: Vec<String> =
        form.iter().filter(|(name, _)| name == "table").map(|(_, table)| table.clone()).collect();
    if chosen.iter().any(|table| !known.contains(table)) {
        return Err(bad_request("This table does not exist. Go back and try again."));
    }
    let account = load_account(&app, &user).await?;
    let actor =
        Actor { id: account.id.clone(), name: account.email.clone(), network: client.network };
    let new = NewKey {
        name: name.clone(),
        tables: (!chosen.is_empty()).then_some(chosen),
        sql: field_value("sql") == "yes",
        days: lifetime.0.parse().ok(),
    };
    match app.accounts.create_key(&account, &actor, new).await {
        Ok((_, secret)) => {
            Ok(Page::new("Your new key", NavItem::Settings, &NewKeyNotice { name, secret })
                .with_status(StatusCode::CREATED))
        }
        Err(KeyError::NoApi) => Err(WebError::Forbidden),
        Err(error @ KeyError::TooMany) => {
            Err(WebError::BadRequest(format!("{error}; revoke one first.")))
        }
        Err(error) => Err(WebError::internal(error)),
    }
}

/// `POST /settings/keys/{id}/revoke`
pub(crate) async fn revoke_key(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
) -> Result<Redirect, WebError> {
    let account = load_account(&app, &user).await?;
    let actor =
        Actor { id: account.id.clone(), name: account.email.clone(), network: client.network };
    if app.accounts.revoke_key(&account, &actor, &id).await? {
        Ok(Redirect::to("/settings?done=key"))
    } else {
        Err(WebError::NotFound)
    }
}

impl View for NewKeyNotice {
    fn render(&self) -> Markup {
        html! {
            div.narrow {
                h1 { "Your new key" }
                p.lead { "Copy " strong { (self.name) } " now. It is not stored and cannot be shown again." }
                pre.secret tabindex="0" { code #key { (self.secret) } }
                p { button.button.live-only type="button" data-kind="plain" data-copy-text="key" data-copied="Copied" { "Copy key" } }
                p { "Send it in the header " code { "Authorization: Bearer ..." } "; see " a href="/docs/api" { "the API" } "." }
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
                p { "For programs that read your tables. " a href="/docs/api" { "How it works" } }
                @if !self.keys.is_empty() { (self.list()) }
                @if self.included { (self.form()) } @else { p { "API access is included from Starter." } }
            }
        }
    }

    fn list(&self) -> Markup {
        html! {
            (components::scroll("API keys", &html! {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Key" } th scope="col" { "Access" } th scope="col" { "Last used" } th scope="col" { "Expires" } th scope="col" { "Revoke" } } }
                    tbody { @for key in &self.keys { tr {
                        th scope="row" { (key.name) }
                        td { code { "materia_" (key.prefix) "…" } }
                        td { @match &key.tables { None => "All tables", Some(tables) => (tables.join(", ")) } @if key.sql { ", SQL" } }
                        td { @match key.used_at { Some(at) => (since(at, self.now)), None => "never" } }
                        td { (self.ends(key)) }
                        td { @if key.is_active(self.now) {
                            form method="post" action={ "/settings/keys/" (key.id) "/revoke" } {
                                button.button type="submit" data-kind="plain" aria-label={ "Revoke " (key.name) } { "Revoke" }
                            }
                        } }
                    } } }
                }
            }))
        }
    }

    fn ends(&self, key: &ApiKeyInfo) -> Markup {
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
            hint: Some("For example the program or the machine that uses it."),
            problem: None,
            required: true,
        };
        html! {
            form.stack method="post" action="/settings/keys" {
                (field(&name))
                div.field {
                    label for="days" { "Expires in" }
                    select #days name="days" { @for (days, words) in KEY_LIFETIMES { option value=(days) selected[days == "365"] { (words) } } }
                }
                label.option { input type="checkbox" name="sql" value="yes"; " Also for SQL: the key is the password of a PostgreSQL client" }
                @if !self.tables.is_empty() {
                    details {
                        summary { "Only for some tables" }
                        fieldset {
                            legend { "Tables (all tables and dashboards if none is selected)" }
                            @for table in &self.tables { label.option { input type="checkbox" name="table" value=(table); " " (table) } }
                        }
                    }
                }
                (button("Create key", "plain"))
            }
        }
    }
}
