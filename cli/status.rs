//! `materia status`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use jiff::Timestamp;
use materia::{
    alert::{AlertInputs, AlertState, BackupState},
    endpoint::EndpointState,
    export::{self},
    humanize,
    idle_tables::{self, IdleTable},
    lock::LockHolder,
    pipeline::RunStore,
    reader::Observation,
    settings::SettingOrigin,
    status::{Status, StatusSource},
    store::{
        AttemptOutcome, AttemptRecord, Manifest, OlderServed, Publisher, RetainedGeneration,
        Revision, RunningExport,
    },
    store::{GenerationId, Store},
};

use super::{
    Context, Failure,
    export::target,
    history::tone,
    print, print_json, rows_cell,
    style::{self, Tone, paint},
};

/// Show what is served, how old it is, and how the last attempt went
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 healthy; 1 when nothing is served, when it is older than --max-age, or when the last attempt did not succeed: fit for a monitoring probe.")]
pub(super) struct Args {
    /// Older than this is stale, for example 2h [env: MATERIA_MAX_AGE] [default: never stale]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    max_age: Option<Duration>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The JSON output of `materia status`.
#[derive(serde::Serialize)]
struct Report {
    healthy: bool,
    problems: Vec<String>,
    /// Set if an older generation than the newest is served, or if one is held.
    older_served: Option<OlderServed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    idle_tables: Vec<IdleTable>,
    served: PathBuf,
    generation: Option<GenerationId>,
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<i64>,
    /// The exporter of the served generation of a lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher>,
    exported_at: Option<Timestamp>,
    age_s: Option<u64>,
    tables: Vec<TableLine>,
    rows: u64,
    bytes: Option<u64>,
    /// Differences of the served values to the previously served ones.
    revisions: Vec<Revision>,
    generations: Vec<GenerationLine>,
    last_attempt: Option<AttemptRecord>,
    running: Option<RunningExport>,
    lakehouse: PathBuf,
    lakehouse_held_by: Option<LockHolder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lakehouse_problem: Option<String>,
    /// The accounts' backups, one per known folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backups: Vec<BackupLine>,
    /// The PostgreSQL endpoint, if the settings tell where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<EndpointLine>,
    /// The origins of the important locations.
    settings: Vec<SettingOrigin>,
}

#[derive(serde::Serialize)]
struct BackupLine {
    /// A folder, or the address of one in a bucket.
    folder: String,
    newest_at: Option<Timestamp>,
    age_s: Option<u64>,
}

#[derive(serde::Serialize)]
struct EndpointLine {
    responds: bool,
    /// Open connections of clients; `None` if another user owns the endpoint.
    connections: Option<usize>,
    /// How many of them have a statement that runs.
    running: Option<usize>,
    #[serde(skip)]
    summary: String,
}

impl EndpointLine {
    fn of(state: &EndpointState) -> Self {
        Self {
            responds: matches!(state, EndpointState::Answers(_)),
            connections: state.connections(),
            running: state.running(),
            summary: state.summary(),
        }
    }
}

#[derive(serde::Serialize)]
struct TableLine {
    name: String,
    rows: u64,
}

#[derive(serde::Serialize)]
struct GenerationLine {
    id: GenerationId,
    served: bool,
    pinned: bool,
    rows: Option<u64>,
    bytes: Option<u64>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let max_age = args.max_age.or(context.settings.status.max_age);
    let status = run_status(context, &target, max_age)?;
    if args.json {
        print_json(&status)?;
    } else {
        print(&text(&status))?;
    }
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

fn run_status(
    context: &Context,
    target: &Store,
    max_age: Option<Duration>,
) -> Result<Report, Failure> {
    let observed = Observation::of(target, context.settings.export.served_schema())?;
    let place = target.clone();
    let snapshot = observed.state.generation.as_ref().and_then(|info| info.snapshot);
    let status = Status::collect(
        &StatusSource { target: place, lakehouse: context.settings.lakehouse.clone(), max_age },
        observed.state,
    )?;
    let now = Timestamp::now();
    // The same problems that trigger alerts.
    let logs = RunStore::new(&context.settings, target);
    let mut facts =
        AlertInputs::collect(status, &context.settings, &logs, &AlertState::load(target)?)?;
    facts.request_services(&context.settings);
    let problems: Vec<_> = facts
        .findings(&context.settings.alerts, now)
        .into_iter()
        .map(|finding| finding.text)
        .collect();
    let backups = facts.services.backups.iter().map(|state| backup_line(state, now)).collect();
    let postgres = facts.services.endpoint.as_ref().map(EndpointLine::of);
    let status = facts.status;
    let tables = Some(observed.tables).filter(|_| status.unreadable.is_none()).unwrap_or_default();
    let tables: Vec<_> = tables.into_iter().map(|(name, rows)| TableLine { name, rows }).collect();
    Ok(Report {
        healthy: problems.is_empty(),
        problems,
        older_served: status.older.clone(),
        idle_tables: idle_tables::find(&status.history),
        age_s: status.age(now).map(|age| age.as_secs()),
        last_attempt: status.last_attempt().cloned(),
        schema: served_schema(&status.generations),
        publisher: served_manifest(&status.generations)
            .and_then(|manifest| manifest.publisher.clone()),
        served: status.served,
        generation: status.generation,
        snapshot,
        exported_at: status.exported_at,
        rows: tables.iter().map(|table| table.rows).sum(),
        bytes: status.bytes,
        tables,
        revisions: revisions(&status.generations),
        generations: status.generations.into_iter().map(generation_line).collect(),
        running: status.running,
        lakehouse_held_by: status.lakehouse_held_by,
        // Opening and closing the served file here would release the locks of the reader in this
        // process.
        lakehouse_problem: if std::fs::canonicalize(&status.lakehouse).ok()
            == std::fs::canonicalize(target.local().served_path()).ok()
        {
            None
        } else {
            export::lakehouse_problem(&status.lakehouse)
        },
        lakehouse: status.lakehouse,
        backups,
        postgres,
        settings: context.origins.clone(),
    })
}

fn backup_line(state: &BackupState, now: Timestamp) -> BackupLine {
    let age = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    BackupLine {
        folder: state.place.clone(),
        newest_at: state.newest_at,
        age_s: state.newest_at.map(|at| age(at).as_secs()),
    }
}

fn served_manifest(generations: &[RetainedGeneration]) -> Option<&Manifest> {
    generations.iter().find(|generation| generation.served)?.manifest.as_ref()
}

/// Returns the schema of the served file, with its source schema if that differs.
fn served_schema(generations: &[RetainedGeneration]) -> Option<String> {
    let manifest = served_manifest(generations)?;
    let is_same = manifest.sources.is_empty() || manifest.sources == [manifest.schema.clone()];
    Some(if is_same {
        manifest.schema.clone()
    } else {
        format!("{} from {}", manifest.schema, manifest.sources.join(", "))
    })
}

/// Returns the revisions in the manifest of the served generation.
fn revisions(generations: &[RetainedGeneration]) -> Vec<Revision> {
    served_manifest(generations).map(|manifest| manifest.revisions.clone()).unwrap_or_default()
}

fn generation_line(generation: RetainedGeneration) -> GenerationLine {
    GenerationLine {
        id: generation.id,
        served: generation.served,
        pinned: generation.pinned,
        rows: generation.manifest.as_ref().map(materia::store::Manifest::rows),
        bytes: generation.manifest.as_ref().map(|manifest| manifest.bytes),
    }
}

fn text(status: &Report) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", paint(Tone::Title, &status.served.display().to_string()));
    if let Some(generation) = &status.generation {
        let age = status
            .age_s
            .map(|age| format!(", exported {}", humanize::ago(Duration::from_secs(age))))
            .unwrap_or_default();
        let snapshot =
            status.snapshot.map(|number| format!(" (snapshot {number})")).unwrap_or_default();
        let schema =
            status.schema.as_ref().map(|schema| format!(", schema {schema}")).unwrap_or_default();
        let _ = write!(text, "  generation {generation}{snapshot}{age}{schema}");
    }
    let _ = writeln!(text);
    for table in &status.tables {
        let _ = writeln!(
            text,
            "{}",
            format!("  {:<32} {}", humanize::printable(&table.name), rows_cell(table.rows))
                .trim_end()
        );
    }
    if !status.tables.is_empty() {
        let size = status.bytes.map(humanize::bytes).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:<32} {}  {size}",
            humanize::plural(status.tables.len(), "table"),
            rows_cell(status.rows)
        );
    }
    let revised: Vec<_> =
        status.revisions.iter().filter(|revision| revision.has_revised()).collect();
    if !revised.is_empty() {
        let _ = writeln!(text, "\n{}", paint(Tone::Title, "revised against the generation before"));
    }
    for revision in revised {
        let _ = writeln!(text, "  {:<32} {}", revision.table, revision.summary());
    }
    if !status.generations.is_empty() {
        let _ = writeln!(text, "\n{}", paint(Tone::Title, "kept generations"));
    }
    for generation in &status.generations {
        let marks = match (generation.served, generation.pinned) {
            (true, true) => "served, pinned",
            (true, false) => "served",
            (false, true) => "pinned",
            (false, false) => "",
        };
        let rows = generation.rows.map_or_else(|| format!("{:>20}", "manifest missing"), rows_cell);
        let size = generation.bytes.map(humanize::bytes).unwrap_or_default();
        let _ = writeln!(
            text,
            "{}",
            format!(
                "  {}{}  {rows}  {size:>9}  {marks}",
                generation.id,
                style::moment(&generation.id)
            )
            .trim_end()
        );
    }
    if let Some(last) = &status.last_attempt {
        let took = humanize::duration(Duration::from_millis(last.total_ms));
        let _ = writeln!(
            text,
            "\nlast attempt  {}{} {} in {took}",
            last.id,
            style::moment(&last.id),
            paint(tone(last.outcome), last.outcome.label())
        );
        if let Some(why) = last.error.as_ref().filter(|_| last.outcome == AttemptOutcome::Held) {
            let _ = writeln!(text, "              {why}");
        }
    }
    if let Some(holder) = status.last_attempt.as_ref().and_then(|last| last.held_by.as_ref()) {
        let _ =
            writeln!(text, "              what was committed while {holder} held the lakehouse");
    }
    if let Some(running) = &status.running {
        let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
        let percent = running.percent.map(|percent| format!(" {percent:.0} %")).unwrap_or_default();
        let _ = writeln!(
            text,
            "running now   pid {} is {}{table}{percent}",
            running.pid,
            running.step.label()
        );
    }
    if let Some(publisher) = &status.publisher {
        let _ = writeln!(text, "published by  {publisher}");
    }
    let lakehouse = status.lakehouse.display();
    let _ = match &status.lakehouse_held_by {
        Some(holder) => writeln!(text, "lakehouse     {lakehouse} is held by {holder}"),
        None if status.lakehouse.exists() => match status.lakehouse_problem.as_deref() {
            Some(problem) => writeln!(text, "lakehouse     {lakehouse} {problem}"),
            None => writeln!(text, "lakehouse     {lakehouse} is free"),
        },
        None => writeln!(text, "lakehouse     {lakehouse} does not exist"),
    };
    for BackupLine { folder, age_s, .. } in &status.backups {
        let newest = age_s.map_or_else(
            || "there is none".to_owned(),
            |age| format!("the newest is {} old", humanize::duration(Duration::from_secs(age))),
        );
        let _ = writeln!(text, "backups       {newest}, in {folder}");
    }
    if let Some(EndpointLine { summary, .. }) = &status.postgres {
        let _ = writeln!(text, "postgres      {summary}");
    }
    let origins: Vec<_> = status
        .settings
        .iter()
        .map(|origin| match origin.from.as_str() {
            "default" => format!("{} by default", origin.setting),
            from => format!("{} from {from}", origin.setting),
        })
        .collect();
    if status.settings.iter().any(|origin| origin.from != "default") {
        let _ = writeln!(text, "settings      {}", origins.join(", "));
    }
    for warning in status.settings.iter().filter_map(SettingOrigin::warning) {
        let _ = writeln!(text, "{}          {warning}", paint(Tone::Warning, "note"));
    }
    if let Some(older) = &status.older_served {
        let _ = writeln!(text, "rolled back   {older}");
    }
    for table in &status.idle_tables {
        let _ = writeln!(
            text,
            "{}          {} has not changed in {} that changed others; if nothing writes it any more, drop it in the pipeline",
            paint(Tone::Warning, "note"),
            humanize::printable(&table.name),
            humanize::plural(table.exports, "export")
        );
    }
    for problem in &status.problems {
        let _ = writeln!(text, "{}     {problem}", paint(Tone::Bad, "attention"));
    }
    text
}
