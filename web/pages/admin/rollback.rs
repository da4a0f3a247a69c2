//! Bringing an older generation back: asked twice, done once, recorded whatever came of it.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    export::{self, Cancel, Generation, RollbackRequest, Unwatched},
    words,
};
use maud::{Markup, html};

use super::{
    actor,
    exports::kept,
    frame::{self, Section},
};
use crate::web::{
    accounts::{Actor, Visit},
    app::App,
    error::WebError,
    page::{Page, View},
    parts::{button, moment, notice},
    viewer::SignedIn,
};

/// How long to wait for an export that is at work: shorter than a request may take.
const WAIT: Duration = Duration::from_secs(10);

pub(super) struct RollbackPage {
    pub(super) generation: Generation,
    /// Why it was not done.
    pub(super) refused: Option<String>,
}

/// `GET /admin/exports/{generation}/rollback`
pub(crate) async fn confirm_rollback(app: State<App>, id: Path<String>) -> Result<Page, WebError> {
    Ok(page(kept(&app, id.0).await?, None))
}

fn page(generation: Generation, refused: Option<String>) -> Page {
    let heading = format!("Roll back to {}", generation.id);
    frame::page(Section::Exports, &heading, &RollbackPage { generation, refused })
}

/// `POST /admin/exports/{generation}/rollback`
pub(crate) async fn roll_back(app: State<App>, who: SignedIn, visit: Visit, id: Path<String>) -> Result<Response, WebError> {
    let generation = kept(&app, id.0).await?;
    // In a task of its own: it is recorded although nobody waits for the answer any more.
    let task = tokio::spawn(roll_back_and_record(app.0, actor(&who, visit), generation.id.as_str().to_owned()));
    match task.await.map_err(WebError::internal)?? {
        None => Ok(Redirect::to("/admin/exports").into_response()),
        Some(problem) => Ok(page(generation, Some(problem)).with_status(StatusCode::CONFLICT).into_response()),
    }
}

/// Why it was not done, where it was not.
async fn roll_back_and_record(app: App, actor: Actor, id: String) -> Result<Option<String>, WebError> {
    let target = app.settings.target().map_err(WebError::internal)?;
    let asked = id.clone();
    let request = RollbackRequest { generation: Some(asked), hold: false, by: format!("the operators' pages, {}", actor.name) };
    let work = move || export::roll_back(&target, &request, WAIT, &Cancel::default(), &mut Unwatched);
    let finished = tokio::task::spawn_blocking(work).await.map_err(WebError::internal)?;
    let problem = finished.error.map(|error| error.to_string());
    let (action, detail) = match &problem {
        None => ("rolled back", finished.record.previous.map(|previous| format!("from {previous}")).unwrap_or_default()),
        Some(problem) => ("rollback failed", problem.clone()),
    };
    app.accounts.record(&actor, action, &id, &detail).await?;
    Ok(problem)
}

impl View for RollbackPage {
    fn body(&self) -> Markup {
        let generation = &self.generation;
        html! {
            @if let Some(refused) = &self.refused { (notice("bad", refused)) }
            @if generation.served { (notice("info", "This generation is served already.")) } @else {
                p.lead { "Every customer sees this generation as soon as you confirm, and until the lakehouse holds something else than what is served now." }
                @if let Some(manifest) = &generation.manifest {
                    p { "Exported " (moment(manifest.exported_at)) ", " (words::plural(manifest.tables.len(), "table")) ", " (words::rows(manifest.rows())) "." }
                }
                form method="post" action={ "/admin/exports/" (generation.id) "/rollback" } { (button("Roll back for everybody", "danger")) }
            }
            p { a href="/admin/exports" { "Back to the exports" } }
        }
    }
}
