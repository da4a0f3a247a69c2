//! Alerts: rules about figures, evaluated once per generation, and the messages to webhooks.
//!
//! A rule remembers what it saw, so it fires when a figure crosses its threshold and not again
//! while it stays there. What was seen, the email and the message to the webhook are stored in one
//! transaction that one server wins, so no message is sent twice.

mod assess;
mod figures;
mod webhook;

use std::time::Duration;

use materia::humanize;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use url::form_urlencoded;

pub(crate) use self::figures::{
    FigureChoice, Figures, choices, read as read_figures, tables as read_tables,
};
use self::{assess::assess, figures::NoFigures};
use crate::{
    accounts::{
        ACCOUNTS_TIMEOUT, Alert, AlertCondition, AlertNews, Evaluation, MailSubscription,
        OwnedAlert, StoreError, UnsubscribeKey,
    },
    app::AppState,
    components, digests,
    log::without_values,
    viewer::Role,
};

/// How often rules that could not be evaluated, and messages that did not arrive, are tried again.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);
/// Rows that an email or a message names.
const MAX_ROWS: usize = 20;

/// Evaluates the rules for each generation and sends messages and digests, until the site stops.
pub(crate) async fn run(app: AppState, mut stopping: watch::Receiver<bool>) {
    let mut generations = app.reader.generations();
    loop {
        drop(generations.borrow_and_update());
        if let Err(error) = evaluate_due(&app).await {
            tracing::warn!(%error, "alerts could not be evaluated");
        }
        if let Err(error) = deliver_due(&app).await {
            tracing::warn!(%error, "messages to webhooks could not be sent");
        }
        if let Err(error) = digests::send_due(&app).await {
            tracing::warn!(%error, "digests could not be sent");
        }
        tokio::select! {
            changed = generations.changed() => if changed.is_err() { return },
            () = sleep(RETRY_INTERVAL) => {}
            // Ends when the sender is dropped, too.
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Evaluates the rules that have not seen the served generation.
pub(crate) async fn evaluate_due(app: &AppState) -> Result<(), StoreError> {
    let Ok(pin) = app.reader.pin() else { return Ok(()) };
    let generation = components::generation_name(pin.generation());
    let due = app.accounts.due_alerts(&generation).await?;
    if due.is_empty() {
        return Ok(());
    }
    let key = app.accounts.unsubscribe_key().await?;
    for owned in due {
        if let Some(evaluation) = evaluate(app, &owned, &key).await {
            app.accounts.record_evaluation(&owned, evaluation).await?;
        }
    }
    Ok(())
}

/// Evaluates one rule; `None` if it has to be tried again.
async fn evaluate(app: &AppState, owned: &OwnedAlert, key: &UnsubscribeKey) -> Option<Evaluation> {
    let alert = &owned.alert;
    // A pin of its own: a transient error of one rule is not the next one's.
    let pin = app.reader.pin().ok()?;
    let generation = components::generation_name(pin.generation());
    let unchanged = |problem: String| Evaluation {
        generation: generation.clone(),
        seen: alert.seen.clone(),
        news: None,
        problem,
    };
    if let Some(reason) = owned.suspension() {
        return Some(unchanged(reason.to_owned()));
    }
    let set = app.dashboards.current().dashboards;
    let list =
        if owned.role == Role::Admin { set.all(&pin).await } else { set.published(&pin).await };
    let list = list.ok()?;
    let dashboard = list.iter().find(|dashboard| dashboard.slug == alert.rule.dashboard);
    let panel = dashboard.and_then(|dashboard| {
        if alert.rule.condition == AlertCondition::Updated {
            return Some((dashboard, 0));
        }
        let at = dashboard.panel_names().iter().position(|name| *name == alert.rule.panel)?;
        Some((dashboard, at))
    });
    let Some((dashboard, at)) = panel else {
        return Some(unchanged("The panel no longer exists.".to_owned()));
    };
    let params: Vec<_> = form_urlencoded::parse(alert.rule.query.as_bytes()).into_owned().collect();
    let plan = owned.effective_plan();
    let read = if alert.rule.condition == AlertCondition::Updated {
        figures::tables(app, dashboard, &pin).await
    } else {
        figures::read(dashboard, (at, &alert.rule.field), &pin, &params, plan).await
    };
    match read {
        Ok(figures) => {
            let (fired, seen) = assess(alert, &figures.values());
            let unsubscribe = key.address(MailSubscription::Alert, &alert.id);
            let unsubscribe = app.accounts.settings().link(&unsubscribe);
            let news = (!fired.is_empty()).then(|| {
                let found = Found { figures: &figures, fired: &fired, generation: &generation };
                news(app, alert, &found, unsubscribe)
            });
            Some(Evaluation { generation, seen, news, problem: String::new() })
        }
        Err(NoFigures::Locked) => Some(unchanged(
            "Paused: the plan no longer includes this panel. Choose a larger plan to resume it."
                .to_owned(),
        )),
        Err(NoFigures::Gone(reason)) => Some(unchanged(reason)),
        Err(NoFigures::Failed(_)) if pin.transient_error().is_some() => None,
        Err(NoFigures::Failed(reason)) => {
            tracing::warn!(
                alert = alert.id,
                reason = without_values(&reason),
                "an alert could not be evaluated"
            );
            Some(unchanged("The figure could not be read. It has been logged.".to_owned()))
        }
    }
}

/// What made a rule fire.
struct Found<'f> {
    figures: &'f Figures,
    /// The names of the rows.
    fired: &'f [String],
    generation: &'f str,
}

/// Writes the email and the message of a rule that fired.
fn news(app: &AppState, alert: &Alert, found: &Found<'_>, unsubscribe: String) -> AlertNews {
    let Found { figures, fired, generation } = *found;
    let settings = app.accounts.settings();
    let link = settings.link(&alert.rule.address());
    let (title, threshold) = (&alert.rule.title, &alert.rule.threshold);
    let what = match alert.rule.condition {
        AlertCondition::Above => format!("{title} is above {threshold}"),
        AlertCondition::Below => format!("{title} is below {threshold}"),
        AlertCondition::Changes => format!("{title} has changed by {threshold} or more"),
        AlertCondition::NewRows => {
            format!("{title} has {}", humanize::plural(fired.len(), "new row"))
        }
        AlertCondition::Updated => format!("{title} has new data"),
    };
    let lines = fired.iter().take(MAX_ROWS).map(|row| line(alert, figures, row));
    let mut lines: Vec<String> = lines.collect();
    if fired.len() > MAX_ROWS {
        lines.push(format!("and {} more", humanize::count((fired.len() - MAX_ROWS) as u64)));
    }
    let filters = if alert.rule.summary.is_empty() {
        String::new()
    } else {
        format!("{}\n", alert.rule.summary)
    };
    let indented: Vec<_> = lines.iter().map(|line| format!("  {line}\n")).collect();
    let text = format!(
        "{what}:\n\n{}\n{filters}See it: {link}\n\nYou created this alert at {}. Pause or delete it: {}\nUnsubscribe: {unsubscribe}\n",
        indented.concat(),
        settings.brand,
        settings.link("/home#alerts"),
    );
    let is_figure = alert.rule.condition != AlertCondition::Updated;
    let rows = fired.iter().take(MAX_ROWS).map(|row| {
        let figure = figures.rows.get(row);
        json!({
            "row": row,
            "value": figure.and_then(|figure| figure.value).filter(|_| is_figure),
            "shown": figure.map(|figure| figure.shown.as_str()),
            "before": alert.seen.get(row).copied().flatten().filter(|_| is_figure),
        })
    });
    let body = json!({
        "type": if is_figure { "alert.fired" } else { "data.updated" },
        "timestamp": app.clock.now().to_string(),
        "data": {
            "alert": alert.id,
            "rule": alert.rule.in_words(),
            "dashboard": alert.rule.dashboard,
            "panel": alert.rule.panel,
            "column": alert.rule.field,
            "condition": alert.rule.condition,
            "threshold": alert.rule.threshold,
            "filters": alert.rule.summary,
            "unit": figures.unit,
            "generation": generation,
            "url": link,
            "count": fired.len(),
            "rows": rows.collect::<Vec<_>>(),
        },
    });
    AlertNews { subject: what, text, body: body.to_string(), unsubscribe }
}

/// Formats the figure of one row, and what it was before.
fn line(alert: &Alert, figures: &Figures, row: &str) -> String {
    let Some(figure) = figures.rows.get(row) else { return row.to_owned() };
    let unit = figures.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let name = if row.is_empty() { String::new() } else { format!("{row}: ") };
    if matches!(alert.rule.condition, AlertCondition::NewRows | AlertCondition::Updated) {
        return row.to_owned();
    }
    let before = alert.seen.get(row).copied().flatten();
    let before = before.map(|before| format!(" (before: {}{unit})", figures.print(before)));
    format!("{name}{}{unit}{}", figure.shown, before.unwrap_or_default())
}

/// Sends the messages to webhooks that are due.
pub(crate) async fn deliver_due(app: &AppState) -> Result<(), StoreError> {
    while let Some(delivery) = app.accounts.claim_delivery().await? {
        let client = webhook::WebhookSender::new(app.accounts.settings().debug);
        let (message, now) = (delivery.clone(), app.clock.now());
        let sent = tokio::task::spawn_blocking(move || client.send(&message, now));
        let outcome = sent.await.unwrap_or_else(|_| Err("it could not be sent".to_owned()));
        if let Err(reason) = &outcome {
            tracing::warn!(alert = delivery.alert, reason, "a webhook was not reached");
        }
        let recorded = timeout(ACCOUNTS_TIMEOUT, app.accounts.record_delivery(&delivery, &outcome));
        recorded.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}
