//! `/admin/exports`: the served generation, attempts, and generations that can be restored.

use axum::extract::{Path, State};
use materia::{
    humanize,
    settings::Severity,
    store::{
        AttemptRecord, Audit, Manifest, OlderServed, RetainedGeneration, Revision, RunningExport,
    },
};
use maud::{Markup, html};

use super::{
    layout::{
        self,
        Heading::{Number, Text},
        Section,
    },
    run_blocking,
};
use crate::{
    app::AppState,
    components::{moment, notice},
    error::WebError,
    page::{Page, View},
};

/// Revised columns shown for a table.
const COLUMNS: usize = 10;
/// Attempts shown.
const ATTEMPTS: usize = 50;

pub(super) struct ExportsPage {
    pub(super) served: String,
    /// Why the file at the served path cannot be opened.
    pub(super) problem: Option<String>,
    /// Set while an older generation than the newest is served.
    pub(super) older: Option<OlderServed>,
    pub(super) running: Option<RunningExport>,
    /// Newest first.
    pub(super) generations: Vec<RetainedGeneration>,
    /// Newest first.
    pub(super) attempts: Vec<AttemptRecord>,
    /// Why this site cannot roll back, if so.
    pub(super) read_only: Option<String>,
}

/// `GET /admin/exports`
pub(crate) async fn exports(app: State<AppState>) -> Result<Page, WebError> {
    let (target, problem) = (
        app.settings.target().map_err(WebError::internal)?,
        app.reader.state().problem.map(|problem| problem.reason),
    );
    let view = run_blocking(move || {
        let mut attempts = target.history()?;
        attempts.reverse();
        attempts.truncate(ATTEMPTS);
        let generations = target.generations()?;
        let older = target.older_served()?;
        let served = target.display_name().display().to_string();
        Ok(ExportsPage {
            served,
            problem,
            older,
            running: target.running()?,
            generations,
            attempts,
            read_only: target.write_problem(),
        })
    });
    Ok(layout::page(Section::Exports, "Exports", &view.await?))
}

/// `GET /admin/exports/{generation}`
pub(crate) async fn generation(app: State<AppState>, id: Path<String>) -> Result<Page, WebError> {
    let generation = find_generation(&app, id.0).await?;
    let view = GenerationPage { generation, read_only: read_only(&app).await? };
    let heading = format!("Generation {}", view.generation.id);
    Ok(layout::page(Section::Exports, &heading, &view))
}

/// Returns why this site cannot roll back, if so.
pub(super) async fn read_only(app: &AppState) -> Result<Option<String>, WebError> {
    let target = app.settings.target().map_err(WebError::internal)?;
    run_blocking(move || Ok(target.write_problem())).await
}

/// Returns the retained generation with this id.
pub(super) async fn find_generation(
    app: &AppState,
    id: String,
) -> Result<RetainedGeneration, WebError> {
    let target = app.settings.target().map_err(WebError::internal)?;
    let find_generation = run_blocking(move || target.generations()).await?;
    find_generation
        .into_iter()
        .find(|generation| generation.id.as_str() == id)
        .ok_or(WebError::NotFound)
}

impl View for ExportsPage {
    fn render(&self) -> Markup {
        html! {
            p { "Served: " code { (self.served) } }
            @if let Some(problem) = &self.problem { (notice("bad", problem)) }
            @if let Some(older) = &self.older { (notice("info", &format!("{older}."))) }
            @if let Some(running) = &self.running { (notice("info", &running_notice(running))) }
            section.sheet aria-labelledby="generations" {
                h2 #generations { "Retained generations" }
                @if self.generations.is_empty() { p { "None yet: nothing has been published." } } @else { (self.generations()) }
                @if let Some(why) = &self.read_only { (cannot_roll_back(why)) }
            }
            section.sheet aria-labelledby="attempts" {
                h2 #attempts { "Attempts" }
                @if self.attempts.is_empty() { p { "None yet." } } @else { (self.attempts()) }
            }
        }
    }
}

fn cannot_roll_back(why: &str) -> Markup {
    notice(
        "info",
        &format!(
            "This site cannot roll back: {why}. Run `materia rollback` on the exporter's machine."
        ),
    )
}

fn running_notice(running: &RunningExport) -> String {
    let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
    format!("An export is running (process {}): {}{table}.", running.pid, running.step.label())
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
                    td.right { @if let Some(manifest) = manifest { (humanize::rows(manifest.rows())) } }
                    td.right { @if let Some(manifest) = manifest { (humanize::bytes(manifest.bytes)) } }
                    td { @if !generation.served && self.read_only.is_none() {
                        a href={ "/admin/exports/" (generation.id) "/rollback" } aria-label={ "Roll back to " (generation.id) } { "Roll back" }
                    } }
                }
            }
        };
        layout::table(
            "Retained generations",
            &[
                Text("Generation"),
                Text("Exported"),
                Number("Rows"),
                Number("Size"),
                Text("Restore"),
            ],
            &rows,
        )
    }

    fn attempts(&self) -> Markup {
        let rows = html! {
            @for attempt in &self.attempts {
                tr {
                    td { (moment(attempt.started_at)) }
                    td { span.badge data-state=(if attempt.outcome.is_success() { "sent" } else { "failed" }) { (attempt.outcome.label()) } }
                    td.right { (humanize::duration(std::time::Duration::from_millis(attempt.total_ms))) }
                    td { (audit_summary(attempt)) }
                    td {
                        (attempt.error.as_deref().unwrap_or_default())
                        @if attempt.error.is_none() { @for revision in attempt.revisions.iter().filter(|revision| revision.has_revised()) { div { (revision.table) ": " (revision.summary()) } } }
                    }
                }
            }
        };
        layout::table(
            "Attempts",
            &[Text("When"), Text("Outcome"), Number("Took"), Text("Audits"), Text("Reason")],
            &rows,
        )
    }
}

fn audit_summary(attempt: &AttemptRecord) -> String {
    let failed =
        attempt.audits_failed.iter().filter(|audit| audit.severity == Severity::Error).count();
    let warned = attempt.audits_failed.len() - failed;
    let passed = Some(attempt.audits_passed)
        .filter(|passed| *passed > 0 || failed + warned > 0)
        .map(|passed| format!("{passed} passed"));
    let failed = (failed > 0).then(|| format!("{failed} failed"));
    let warned = (warned > 0).then(|| humanize::plural(warned, "warning"));
    passed.into_iter().chain(failed).chain(warned).collect::<Vec<_>>().join(", ")
}

pub(super) struct GenerationPage {
    pub(super) generation: RetainedGeneration,
    /// Why this site cannot roll back, if so.
    pub(super) read_only: Option<String>,
}

impl View for GenerationPage {
    fn render(&self) -> Markup {
        let generation = &self.generation;
        html! {
            @if generation.served { (notice("good", "This generation is being served.")) } @else if let Some(why) = &self.read_only { (cannot_roll_back(why)) } @else {
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
            tr { th scope="row" { (table.name) } td.right { (humanize::rows(table.rows)) } td.right { (table.columns.len()) } td { (table.comment.as_deref().unwrap_or_default()) } }
        }
    };
    html! {
        section.sheet aria-labelledby="tables" {
            h2 #tables { "Tables" }
            p {
                "Exported " (moment(manifest.exported_at)) ", " (humanize::bytes(manifest.bytes)) ", by materia " (manifest.materia)
                @if manifest.forced { ", forced although audits failed" } "."
            }
            (layout::table("Tables", &[Text("Table"), Number("Rows"), Number("Columns"), Text("About")], &rows))
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
                p { "Compared with the previous generation by each table's key." }
                (layout::table("Revised values", &[Text("Table"), Text("Rows"), Text("Columns"), Text("Largest revisions")], &rows))
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
            @if audits.is_empty() { p { "None were recorded." } } @else { (layout::table("Audits", &[Text("Audit"), Text("Table"), Text("Result"), Text("Found")], &rows)) }
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
