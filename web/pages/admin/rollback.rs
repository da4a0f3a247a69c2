//! Restoring an older generation: confirmed first, and recorded whatever the outcome.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    cancel::CancellationToken,
    export::{self, NoProgress},
    humanize,
    store::{RetainedGeneration, RollbackRequest},
};
use maud::{Markup, html};

use super::{
    actor,
    exports::{find_generation, read_only},
    layout::{self, Section},
};
use crate::{
    accounts::{Actor, ClientInfo},
    app::AppState,
    components::{button, moment, notice},
    error::WebError,
    page::{Page, View},
    viewer::SignedIn,
};

/// How long to wait for a running export, shorter than a request may take.
const WAIT: Duration = Duration::from_secs(10);

pub(super) struct RollbackPage {
    pub(super) generation: RetainedGeneration,
    /// Why it was refused.
    pub(super) refused: Option<String>,
    /// Whether this site can roll back at all; if not, `refused` has the reason.
    pub(super) read_only: bool,
}

/// `GET /admin/exports/{generation}/rollback`
pub(crate) async fn confirm_rollback(
    app: State<AppState>,
    id: Path<String>,
) -> Result<Page, WebError> {
    let (generation, why) = (find_generation(&app, id.0).await?, read_only(&app).await?);
    Ok(page(generation, why.is_some(), why))
}

fn page(generation: RetainedGeneration, read_only: bool, refused: Option<String>) -> Page {
    let heading = format!("Roll back to {}", generation.id);
    layout::page(Section::Exports, &heading, &RollbackPage { generation, refused, read_only })
}

/// `POST /admin/exports/{generation}/rollback`
pub(crate) async fn roll_back(
    app: State<AppState>,
    user: SignedIn,
    client: ClientInfo,
    id: Path<String>,
) -> Result<Response, WebError> {
    let generation = find_generation(&app, id.0).await?;
    if let Some(why) = read_only(&app).await? {
        let refused = page(generation, true, Some(why));
        return Ok(refused.with_status(StatusCode::CONFLICT).into_response());
    }
    // In a separate task, so that it is recorded even if the client disconnects.
    let task = tokio::spawn(roll_back_and_record(
        app.0,
        actor(&user, client),
        generation.id.as_str().to_owned(),
    ));
    match task.await.map_err(WebError::internal)?? {
        None => Ok(Redirect::to("/admin/exports").into_response()),
        Some(problem) => {
            let refused = page(generation, false, Some(problem));
            Ok(refused.with_status(StatusCode::CONFLICT).into_response())
        }
    }
}

/// Restores the generation and records it. Returns why it was refused, if it was.
async fn roll_back_and_record(
    app: AppState,
    actor: Actor,
    id: String,
) -> Result<Option<String>, WebError> {
    let target = app.settings.target().map_err(WebError::internal)?;
    let generation = id.clone();
    let request = RollbackRequest {
        generation: Some(generation),
        hold: false,
        by: format!("the operators' pages, {}", actor.name),
    };
    let work = move || {
        export::run_rollback(
            &target,
            &request,
            WAIT,
            &CancellationToken::default(),
            &mut NoProgress,
        )
    };
    let finished = tokio::task::spawn_blocking(work).await.map_err(WebError::internal)?;
    let problem = finished.error.map(|error| error.to_string());
    let (action, detail) = match &problem {
        None => (
            "rolled back",
            finished.record.previous.map(|previous| format!("from {previous}")).unwrap_or_default(),
        ),
        Some(problem) => ("rollback failed", problem.clone()),
    };
    app.accounts.record(&actor, action, &id, &detail).await?;
    Ok(problem)
}

impl View for RollbackPage {
    fn render(&self) -> Markup {
        let generation = &self.generation;
        html! {
            @if let Some(refused) = &self.refused { (notice("bad", refused)) }
            @if generation.served { (notice("info", "This generation is already being served.")) } @else if !self.read_only {
                p.lead { "All customers see this generation as soon as you confirm, until the lakehouse has other data than what is served now." }
                @if let Some(manifest) = &generation.manifest {
                    p { "Exported " (moment(manifest.exported_at)) ", " (humanize::plural(manifest.tables.len(), "table")) ", " (humanize::rows(manifest.rows())) "." }
                }
                form method="post" action={ "/admin/exports/" (generation.id) "/rollback" } { (button("Roll back for everybody", "danger")) }
            }
            p { a href="/admin/exports" { "Back to exports" } }
        }
    }
}
