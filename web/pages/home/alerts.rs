//! Alerts on the start page and on the page that saves.

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Refused, Selected, Switch, SwitchForm, save_page};
use crate::{
    accounts::{AlertCondition, AlertError, AlertRule, NewAlert, OwnedAlert, Seen},
    alerts::{self, FigureChoice},
    app::AppState,
    components::{self, Field, button, field, since},
    error::WebError,
    pages::auth::capitalize,
    viewer::{SignedIn, Viewer},
};

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AlertForm {
    page: String,
    /// A [`FigureChoice`].
    figure: String,
    condition: String,
    #[serde(default)]
    threshold: String,
    /// Present if it is sent by email.
    mail: Option<String>,
    #[serde(default)]
    webhook: String,
}

/// The form for a new alert.
pub(super) struct NewAlertForm {
    /// The figures of the dashboard that the plan includes.
    pub(super) choices: Vec<FigureChoice>,
    /// Alerts that the plan includes.
    pub(super) included: u32,
    pub(super) has_mail: bool,
    /// The refused form, and why it was refused.
    pub(super) refused: Option<(AlertForm, String)>,
}

/// `POST /home/alerts`
pub(crate) async fn create(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    Form(form): Form<AlertForm>,
) -> Result<Response, WebError> {
    let selected = Selected::find(&app, &viewer, &form.page).await?;
    let plan = account.effective_plan();
    let created = match parse(&app, &selected, plan, &form).await? {
        Ok(new) => {
            let owner = app.accounts.account(&account.id).await?.ok_or(WebError::NotFound)?;
            match app.accounts.create_alert(&owner, new).await {
                Ok(()) => return Ok(Redirect::to("/home?done=alert").into_response()),
                Err(AlertError::Store(error)) => return Err(error.into()),
                Err(error) => format!("{}.", capitalize(&error.to_string())),
            }
        }
        Err(problem) => problem,
    };
    let refused = Refused { view: None, alert: Some((form, created)) };
    let page = save_page(&app, &account, &selected, refused).await?;
    Ok(page.with_status(StatusCode::UNPROCESSABLE_ENTITY).into_response())
}

const UNREADABLE: &str = "The figure cannot be read right now. Try again in a moment.";

/// Resolves a form to a rule with the current figures, or returns what is wrong with it.
async fn parse(
    app: &AppState,
    selected: &Selected,
    plan: materia::plan::Plan,
    form: &AlertForm,
) -> Result<Result<NewAlert, String>, WebError> {
    let pin = app.reader.pin()?;
    let (dashboard, params) = (&selected.dashboard, &selected.params);
    let condition: AlertCondition = match form.condition.parse() {
        Ok(condition) => condition,
        Err(error) => return Ok(Err(format!("{}.", capitalize(&error)))),
    };
    let summary = selected.in_words(app, plan).await?.join("; ");
    let new = |choice: FigureChoice, title: String, threshold: &str, seen: Seen| NewAlert {
        rule: AlertRule {
            dashboard: dashboard.slug.clone(),
            panel: choice.panel,
            field: choice.field,
            title,
            summary: summary.clone(),
            query: selected.query(),
            condition,
            threshold: threshold.to_owned(),
        },
        by_mail: form.mail.is_some(),
        webhook: form.webhook.trim().to_owned(),
        evaluated: components::generation_name(pin.generation()),
        seen,
    };
    if condition == AlertCondition::Updated {
        let Ok(tables) = alerts::read_tables(app, dashboard, &pin).await else {
            return Ok(Err(UNREADABLE.to_owned()));
        };
        let title = dashboard.title.clone();
        return Ok(Ok(new(FigureChoice::dashboard(), title, "", tables.values())));
    }
    if form.figure == FigureChoice::dashboard().value() {
        return Ok(Err(
            "Choose a figure for this condition; a dashboard as a whole can only be updated."
                .to_owned(),
        ));
    }
    let choices = alerts::choices(dashboard, &pin, params, plan).await;
    let Some(choice) = choices.into_iter().find(|choice| choice.value() == form.figure) else {
        return Ok(Err("Choose a figure of this dashboard.".to_owned()));
    };
    if condition == AlertCondition::NewRows && !choice.is_table() {
        return Ok(Err(
            "A single figure has no rows. Choose another condition or a table.".to_owned()
        ));
    }
    let at = dashboard.panel_names().iter().position(|name| *name == choice.panel);
    let read = (at.unwrap_or_default(), choice.field.as_str());
    let Ok(figures) = alerts::read_figures(dashboard, read, &pin, params, plan).await else {
        return Ok(Err(UNREADABLE.to_owned()));
    };
    let threshold = form.threshold.trim();
    let is_level = matches!(condition, AlertCondition::Above | AlertCondition::Below);
    let threshold = match threshold.strip_suffix('%') {
        Some(number) if is_level && figures.are_percentages() => number.trim_end(),
        _ => threshold,
    };
    let title = if choice.is_table() && condition != AlertCondition::NewRows {
        format!("{}: {}", choice.panel_title, choice.label)
    } else {
        choice.panel_title.clone()
    };
    Ok(Ok(new(choice, title, threshold, figures.values())))
}

/// `POST /home/alerts/{id}/pause`
pub(crate) async fn pause(
    State(app): State<AppState>,
    SignedIn(account): SignedIn,
    Path(id): Path<String>,
    Form(form): Form<SwitchForm>,
) -> Result<Redirect, WebError> {
    let on = form.on == Switch::Yes;
    if !app.accounts.pause_alert(&account.id, &id, on).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to(if on { "/home?done=alert-paused" } else { "/home?done=alert-resumed" }))
}

/// `POST /home/alerts/{id}/delete`
pub(crate) async fn delete(
    State(app): State<AppState>,
    SignedIn(account): SignedIn,
    Path(id): Path<String>,
) -> Result<Redirect, WebError> {
    if !app.accounts.delete_alert(&account.id, &id).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to("/home?done=alert-deleted"))
}

/// Renders the rules of the start page.
pub(super) fn list(alerts: &[OwnedAlert], now: jiff::Timestamp) -> Markup {
    html! {
        section.sheet aria-labelledby="alerts" {
            h2 #alerts { "Alerts" }
            @if alerts.is_empty() {
                p.hint { "An alert tells you when a figure crosses a threshold, by email or webhook. Choose \u{201c}Save or follow\u{201d} on a dashboard to create one." }
            } @else {
                ul.lines {
                    @for owned in alerts {
                        @let alert = &owned.alert;
                        @let suspension = owned.suspension();
                        li {
                            div {
                                a.line-name href=(alert.rule.address()) { (alert.rule.in_words()) }
                                @if alert.is_paused || suspension.is_some() { " " span.badge { "Paused" } }
                                p.hint {
                                    @if !alert.rule.summary.is_empty() { (alert.rule.summary) " \u{b7} " }
                                    (match (alert.by_mail, alert.webhook.is_empty()) { (true, true) => "by email", (true, false) => "by email and webhook", _ => "by webhook" })
                                    " \u{b7} " @match alert.fired_at { Some(at) => { "last sent " (since(at, now)) }, None => "not sent yet" }
                                }
                                @if let Some(reason) = suspension { p.problem { (reason) } }
                                @else if !alert.problem.is_empty() { p.problem { (alert.problem) } }
                                @if !alert.webhook.is_empty() {
                                    details.hint { summary { "Webhook" } p { code { (alert.webhook) } } p { "Signing secret (Standard Webhooks): " code { (alert.secret) } } }
                                }
                            }
                            div.line-actions {
                                @let rule = alert.rule.in_words();
                                @let address = format!("/home/alerts/{}", alert.id);
                                (super::views::switch(&format!("{address}/pause"), !alert.is_paused, if alert.is_paused { "Resume" } else { "Pause" }, &format!("{} {rule}", if alert.is_paused { "Resume" } else { "Pause" })))
                                form method="post" action={ (address) "/delete" } { button.button type="submit" data-kind="plain" aria-label={ "Delete " (rule) } { "Delete" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl NewAlertForm {
    /// Renders the form of a page with this address.
    pub(super) fn render(&self, address: &str) -> Markup {
        html! {
            section.sheet aria-labelledby="alert" {
                h2 #alert { "Alert on a figure" }
                @if self.included == 0 {
                    p { "Get an email or a webhook call when a figure crosses a threshold. Alerts are included from " (components::plan_title(materia::plan::Plan::Starter)) "." }
                    p.actions { a.button data-kind="plain" href="/pricing" { "See plans" } }
                } @else { (self.fields(address)) }
            }
        }
    }

    fn fields(&self, address: &str) -> Markup {
        let none = AlertForm { mail: Some(String::new()), ..AlertForm::default() };
        let (form, problem) = match &self.refused {
            Some((form, problem)) => (form, Some(problem.as_str())),
            None => (&none, None),
        };
        let threshold = Field {
            name: "threshold",
            label: "Threshold",
            kind: "text",
            value: &form.threshold,
            autocomplete: "off",
            hint: Some(
                "A number, such as 1,250; for \u{201c}changes by\u{201d} also a share, such as 5%. Not needed for new rows and updates.",
            ),
            problem,
            required: false,
        };
        let webhook = Field {
            name: "webhook",
            label: "Webhook (optional)",
            kind: "url",
            value: &form.webhook,
            autocomplete: "off",
            hint: Some("An https:// URL that receives a signed JSON message."),
            problem: None,
            required: false,
        };
        let (stats, tables): (Vec<_>, Vec<_>) =
            self.choices.iter().partition(|choice| !choice.is_table());
        let whole = FigureChoice::dashboard();
        let option = |choice: &FigureChoice| {
            html! {
                option value=(choice.value()) selected[choice.value() == form.figure] { @if choice.is_table() { (choice.panel_title) ": " } (choice.label) }
            }
        };
        html! {
            p { "Checked once for each update of the data, with the filters above." }
            form.stack method="post" action="/home/alerts" {
                input type="hidden" name="page" value=(address);
                div.field {
                    label for="figure" { "Figure" }
                    select #figure name="figure" {
                        (option(&whole))
                        @if !stats.is_empty() { optgroup label="Figures" { @for choice in &stats { (option(choice)) } } }
                        @if !tables.is_empty() { optgroup label="Columns of tables" { @for choice in &tables { (option(choice)) } } }
                    }
                }
                div.field {
                    label for="condition" { "Condition" }
                    select #condition name="condition" {
                        @for condition in AlertCondition::ALL { option value=(condition.name()) selected[condition.name() == form.condition] { (condition.label()) } }
                    }
                }
                (field(&threshold))
                @if self.has_mail { label.option { input type="checkbox" name="mail" value="yes" checked[form.mail.is_some()]; " Email me" } }
                (field(&webhook))
                (button("Create alert", "primary"))
            }
        }
    }
}
