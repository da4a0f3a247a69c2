//! Digests on the start page and on the page that saves.

use axum::{
    Form,
    extract::{Path, State},
    response::Redirect,
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::Selected;
use crate::{
    accounts::{Cadence, DigestError, DigestSubscription, dashboard_address},
    app::AppState,
    components::{button, date},
    error::WebError,
    pages::auth::capitalize,
    viewer::{SignedIn, Viewer},
};

#[derive(Debug, Deserialize)]
pub(crate) struct DigestForm {
    page: String,
    cadence: String,
}

/// `POST /home/digests`
pub(crate) async fn subscribe(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    Form(form): Form<DigestForm>,
) -> Result<Redirect, WebError> {
    let cadence =
        form.cadence.parse().map_err(|error| WebError::BadRequest(format!("{error}.")))?;
    let selected = Selected::find(&app, &viewer, &form.page).await?;
    let owner = app.accounts.account(&account.id).await?.ok_or(WebError::NotFound)?;
    let digest = DigestSubscription {
        id: String::new(),
        account: account.id.clone(),
        dashboard: selected.dashboard.slug.clone(),
        title: selected.dashboard.title.clone(),
        query: selected.query(),
        summary: selected.in_words(&app, account.effective_plan()).await?.join("; "),
        cadence,
        due_at: Timestamp::UNIX_EPOCH,
        sent_at: None,
        problem: String::new(),
    };
    match app.accounts.subscribe(&owner, digest).await {
        Ok(()) => Ok(Redirect::to("/home?done=digest#digests")),
        Err(DigestError::Store(error)) => Err(error.into()),
        Err(error) => Err(WebError::BadRequest(format!("{}.", capitalize(&error.to_string())))),
    }
}

/// `POST /home/digests/{id}/delete`
pub(crate) async fn unsubscribe(
    State(app): State<AppState>,
    SignedIn(account): SignedIn,
    Path(id): Path<String>,
) -> Result<Redirect, WebError> {
    if !app.accounts.unsubscribe(&account.id, &id).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to("/home?done=digest-deleted"))
}

/// Renders the subscriptions of the start page.
pub(super) fn list(digests: &[DigestSubscription]) -> Markup {
    html! {
        section.sheet aria-labelledby="digests" {
            h2 #digests { "Digests" }
            @if digests.is_empty() {
                p.hint { "A digest is a dashboard by email, every week or month. Choose \u{201c}Save or follow\u{201d} on a dashboard to subscribe." }
            } @else {
                ul.lines {
                    @for digest in digests {
                        li {
                            div {
                                a.line-name href=(dashboard_address(&digest.dashboard, &digest.query)) { (digest.title) }
                                p.hint {
                                    (digest.cadence.label()) " \u{b7} next on " (date(digest.due_at))
                                    @if !digest.summary.is_empty() { " \u{b7} " (digest.summary) }
                                    @if let Some(at) = digest.sent_at { " \u{b7} last sent on " (date(at)) }
                                }
                                @if !digest.problem.is_empty() { p.problem { (digest.problem) } }
                            }
                            form method="post" action={ "/home/digests/" (digest.id) "/delete" } { button.button type="submit" data-kind="plain" aria-label={ "End the digest of " (digest.title) } { "End" } }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the form that subscribes to a dashboard; nothing where no email can be sent.
pub(super) fn form(address: &str, is_possible: bool) -> Markup {
    if !is_possible {
        return html! {};
    }
    html! {
        section.sheet aria-labelledby="digest" {
            h2 #digest { "Digest by email" }
            p { "The figures, charts and tables of this dashboard with these filters." }
            form.stack method="post" action="/home/digests" {
                input type="hidden" name="page" value=(address);
                fieldset {
                    legend { "How often" }
                    @for cadence in Cadence::ALL { label.option { input type="radio" name="cadence" value=(cadence.name()) checked[cadence == Cadence::Weekly]; " " (cadence.label()) } }
                }
                (button("Subscribe", "plain"))
            }
        }
    }
}
