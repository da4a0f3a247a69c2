//! `/admin/exports`: what is served, what was tried, and what can be brought back.

use axum::extract::{Path, State};
use materia::{
    export::{self, Audit, Generation, Manifest, OlderServed, Record, Revision, Running},
    settings::Severity,
    words,
};
use maud::{Markup, html};

use super::{
    frame::{
        self,
        Head::{Numbers, Words},
        Section,
    },
    on_files,
};
use crate::web::{
    app::App,
    error::WebError,
    page::{Page, View},
    parts::{moment, notice},
};

/// Revised columns of a table that are shown.
const COLUMNS: usize = 10;
/// Attempts that are shown.
const ATTEMPTS: usize = 50;

pub(super) struct ExportsPage {
    pub(super) served: String,
    /// Why what stands at the served path cannot be opened.
    pub(super) problem: Option<String>,
    /// Set where an older generation than the newest is served.
    pub(super) older: Option<OlderServed>,
    pub(super) running: Option<Running>,
    /// Newest first.
    pub(super) generations: Vec<Generation>,
    /// Newest first.
    pub(super) attempts: Vec<Record>,
}

/// `GET /admin/exports`
pub(crate) async fn exports(app: State<App>) -> Result<Page, WebError> {
    let (target, problem) = (app.settings.target().map_err(WebError::internal)?, app.reader.state().problem.map(|problem| problem.reason));
    let view = on_files(move || {
        let mut attempts = export::history(&target)?;
        attempts.reverse();
        attempts.truncate(ATTEMPTS);
        let generations = export::generations(&target)?;
        let older = export::older_served(&target)?;
        let served = target.name().display().to_string();
        Ok(ExportsPage { served, problem, older, running: export::running(&target)?, generations, attempts })
    });
    Ok(frame::page(Section::Exports, "Exports", &view.await?))
}

/// `GET /admin/exports/{generation}`
pub(crate) async fn generation(app: State<App>, id: Path<String>) -> Result<Page, WebError> {
    let view = GenerationPage { generation: kept(&app, id.0).await? };
    let heading = format!("Generation {}", view.generation.id);
    Ok(frame::page(Section::Exports, &heading, &view))
}

/// A kept generation by its whole id.
pub(super) async fn kept(app: &App, id: String) -> Result<Generation, WebError> {
    let target = app.settings.target().map_err(WebError::internal)?;
    let kept = on_files(move || export::generations(&target)).await?;
    kept.into_iter().find(|generation| generation.id.as_str() == id).ok_or(WebError::NotFound)
}

impl View for ExportsPage {
    fn body(&self) -> Markup {
        html! {
            p { "Served: " code { (self.served) } }
            @if let Some(problem) = &self.problem { (notice("bad", problem)) }
            @if let Some(older) = &self.older { (notice("info", &format!("{older}."))) }
            @if let Some(running) = &self.running { (notice("info", &now(running))) }
            section.sheet aria-labelledby="generations" {
                h2 #generations { "Kept generations" }
                @if self.generations.is_empty() { p { "None yet: nothing was published." } } @else { (self.generations()) }
            }
            section.sheet aria-labelledby="attempts" {
                h2 #attempts { "Attempts" }
                @if self.attempts.is_empty() { p { "None yet." } } @else { (self.attempts()) }
            }
        }
    }
}

fn now(running: &Running) -> String {
    let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
    format!("An export is at work (process {}): {}{table}.", running.pid, running.step.word())
}

impl ExportsPage {
    fn generations(&self) -> Markup {
        let rows = html! {
            @for generation in &self.generations {
                @let manifest = generation.manifest.as_ref();
                tr {
                    th scope="row" {
                        a href={ "/admin/exports/" (generation.id) } { (generation.id) }
                        @if generation.served { " " span.badge data-state="sent" { "served" } }
                        @if generation.pinned { " " span.badge { "pinned" } }
                    }
                    td { @if let Some(manifest) = manifest { (moment(manifest.exported_at)) } @else { "manifest missing" } }
                    td.right { @if let Some(manifest) = manifest { (words::rows(manifest.rows())) } }
                    td.right { @if let Some(manifest) = manifest { (words::bytes(manifest.bytes)) } }
                    td { @if !generation.served {
                        a href={ "/admin/exports/" (generation.id) "/rollback" } aria-label={ "Roll back to " (generation.id) } { "Roll back" }
                    } }
                }
            }
        };
        frame::table(
            "Kept generations",
            &[Words("Generation"), Words("Exported"), Numbers("Rows"), Numbers("Size"), Words("Bring back")],
            &rows,
        )
    }

    fn attempts(&self) -> Markup {
        let rows = html! {
            @for attempt in &self.attempts {
                tr {
                    td { (moment(attempt.started_at)) }
                    td { span.badge data-state=(if attempt.outcome.is_success() { "sent" } else { "failed" }) { (attempt.outcome.word()) } }
                    td.right { (words::duration(std::time::Duration::from_millis(attempt.total_ms))) }
                    td { (audits_in_short(attempt)) }
                    td {
                        (attempt.error.as_deref().unwrap_or_default())
                        @if attempt.error.is_none() { @for revision in attempt.revisions.iter().filter(|revision| revision.has_revised()) { div { (revision.table) ": " (revision.summary()) } } }
                    }
                }
            }
        };
        frame::table("Attempts", &[Words("When"), Words("Outcome"), Numbers("Took"), Words("Audits"), Words("Why")], &rows)
    }
}

fn audits_in_short(attempt: &Record) -> String {
    let failed = attempt.audits_failed.iter().filter(|audit| audit.severity == Severity::Error).count();
    let warned = attempt.audits_failed.len() - failed;
    let passed = Some(attempt.audits_passed).filter(|passed| *passed > 0 || failed + warned > 0).map(|passed| format!("{passed} passed"));
    let failed = (failed > 0).then(|| format!("{failed} failed"));
    let warned = (warned > 0).then(|| words::plural(warned, "warning"));
    passed.into_iter().chain(failed).chain(warned).collect::<Vec<_>>().join(", ")
}

pub(super) struct GenerationPage {
    pub(super) generation: Generation,
}

impl View for GenerationPage {
    fn body(&self) -> Markup {
        let generation = &self.generation;
        html! {
            @if generation.served { (notice("good", "This generation is served.")) } @else {
                p.actions { a.button data-kind="plain" href={ "/admin/exports/" (generation.id) "/rollback" } { "Roll back to it" } }
            }
            @match &generation.manifest {
                Some(manifest) => { (tables(manifest)) (revisions(&manifest.revisions)) (audits(&manifest.audits.audits)) },
                None => { (notice("bad", "Its manifest is missing or cannot be read.")) },
            }
            p { a href="/admin/exports" { "All exports" } }
        }
    }
}

fn tables(manifest: &Manifest) -> Markup {
    let rows = html! {
        @for table in &manifest.tables {
            tr { th scope="row" { (table.name) } td.right { (words::rows(table.rows)) } td.right { (table.columns.len()) } td { (table.comment.as_deref().unwrap_or_default()) } }
        }
    };
    html! {
        section.sheet aria-labelledby="tables" {
            h2 #tables { "Tables" }
            p {
                "Exported " (moment(manifest.exported_at)) ", " (words::bytes(manifest.bytes)) ", by materia " (manifest.materia)
                @if manifest.forced { ", by force although audits failed" } "."
            }
            (frame::table("Tables", &[Words("Table"), Numbers("Rows"), Numbers("Columns"), Words("About")], &rows))
        }
    }
}

fn revisions(revisions: &[Revision]) -> Markup {
    let rows = html! {
        @for revision in revisions {
            tr {
                th scope="row" { (revision.table) }
                td { (revision.counts()) @if let Some(shift) = &revision.shift { "; " (shift) } }
                td { @for column in revision.columns.iter().take(COLUMNS) { div { (column) } } }
                td { @for cell in &revision.largest { div { (cell) } } }
            }
        }
    };
    html! {
        @if !revisions.is_empty() {
            section.sheet aria-labelledby="revisions" {
                h2 #revisions { "Revised values" }
                p { "Compared with the generation that was served before, by each table's key." }
                (frame::table("Revised values", &[Words("Table"), Words("Rows"), Words("Columns"), Words("Largest revisions")], &rows))
            }
        }
    }
}

fn audits(audits: &[Audit]) -> Markup {
    let rows = html! {
        @for audit in audits {
            tr {
                th scope="row" { (audit.name) }
                td { (audit.table.as_deref().unwrap_or_default()) }
                td { (result(audit)) }
                td { (audit.found) }
            }
        }
    };
    html! {
        section.sheet aria-labelledby="audits" {
            h2 #audits { "Audits" }
            @if audits.is_empty() { p { "None are recorded." } } @else { (frame::table("Audits", &[Words("Audit"), Words("Table"), Words("Result"), Words("Found")], &rows)) }
        }
    }
}

fn result(audit: &Audit) -> Markup {
    let (state, word) = match (audit.passed, audit.severity) {
        (true, _) => ("sent", "passed"),
        (false, Severity::Warn) => ("queued", "warned"),
        (false, Severity::Error) => ("failed", "failed"),
    };
    html! { span.badge data-state=(state) { (word) } }
}
