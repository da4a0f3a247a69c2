//! `materia status`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use jiff::Timestamp;
use materia::{
    alert::{Facts, State},
    export::{self, Generation, OlderServed, Outcome, Record, Revision, Running},
    idle_tables::{self, IdleTable},
    lock::Holder,
    pipeline::Logs,
    reader::{Reader, ReaderLimits, wait},
    status::{Place, Status},
    target::{GenerationId, Target},
    words,
};

use super::{Context, Failure, export::target, print, print_json, rows_cell};

/// Tell what is served, how old it is, and how the last attempt went
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

/// Everything `materia status` tells.
#[derive(serde::Serialize)]
struct Report {
    healthy: bool,
    problems: Vec<String>,
    /// Set where an older generation than the newest is served, or where one is held.
    older_served: Option<OlderServed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    idle_tables: Vec<IdleTable>,
    served: PathBuf,
    generation: Option<GenerationId>,
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<i64>,
    exported_at: Option<Timestamp>,
    age_s: Option<u64>,
    tables: Vec<TableLine>,
    rows: u64,
    bytes: Option<u64>,
    /// How the served values differ from those served before.
    revisions: Vec<Revision>,
    generations: Vec<GenerationLine>,
    last_attempt: Option<Record>,
    running: Option<Running>,
    lakehouse: PathBuf,
    lakehouse_held_by: Option<Holder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lakehouse_problem: Option<String>,
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
    let status = look(context, &target, max_age)?;
    if args.json {
        print_json(&status)?;
    } else {
        print(&text(&status))?;
    }
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

fn look(context: &Context, target: &Target, max_age: Option<Duration>) -> Result<Report, Failure> {
    let reader = Reader::follow(target, context.settings.export.served_schema(), ReaderLimits::small())?;
    let catalog = reader.pin().and_then(|pin| wait(pin.catalog()));
    let place = target.clone();
    let snapshot = reader.state().generation.and_then(|info| info.snapshot);
    let status = Status::look(&Place { target: place, lakehouse: context.settings.lakehouse.clone(), max_age }, reader.state())?;
    let now = Timestamp::now();
    // The same that is alerted.
    let logs = Logs::new(&context.settings, target);
    let facts = Facts::look(status, &context.settings, &logs, State::load(target)?.held)?;
    let problems: Vec<_> = facts.findings(&context.settings.alerts, now).into_iter().map(|finding| finding.text).collect();
    let status = facts.status;
    let tables = catalog.ok().filter(|_| status.unreadable.is_none()).map(|catalog| catalog.tables).unwrap_or_default();
    let tables: Vec<_> = tables.into_iter().map(|table| TableLine { name: table.name, rows: table.rows }).collect();
    Ok(Report {
        healthy: problems.is_empty(),
        problems,
        older_served: status.older.clone(),
        idle_tables: idle_tables::find(&status.history),
        age_s: status.age(now).map(|age| age.as_secs()),
        last_attempt: status.last_attempt().cloned(),
        schema: served_schema(&status.generations),
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
        // Opening and closing the served file itself would drop the locks of the reader in this process.
        lakehouse_problem: if std::fs::canonicalize(&status.lakehouse).ok() == std::fs::canonicalize(target.served_path()).ok() {
            None
        } else {
            export::lakehouse_problem(&status.lakehouse)
        },
        lakehouse: status.lakehouse,
    })
}

/// The schema of the served file, with where it came from where that is another.
fn served_schema(generations: &[Generation]) -> Option<String> {
    let manifest = generations.iter().find(|generation| generation.served)?.manifest.as_ref()?;
    let is_same = manifest.sources.is_empty() || manifest.sources == [manifest.schema.clone()];
    Some(if is_same { manifest.schema.clone() } else { format!("{} from {}", manifest.schema, manifest.sources.join(", ")) })
}

/// What the manifest of the served generation tells.
fn revisions(generations: &[Generation]) -> Vec<Revision> {
    let served = generations.iter().find(|generation| generation.served).and_then(|generation| generation.manifest.as_ref());
    served.map(|manifest| manifest.revisions.clone()).unwrap_or_default()
}

fn generation_line(generation: Generation) -> GenerationLine {
    GenerationLine {
        id: generation.id,
        served: generation.served,
        pinned: generation.pinned,
        rows: generation.manifest.as_ref().map(export::Manifest::rows),
        bytes: generation.manifest.as_ref().map(|manifest| manifest.bytes),
    }
}

fn text(status: &Report) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", status.served.display());
    if let Some(generation) = &status.generation {
        let age = status.age_s.map(|age| format!(", exported {}", words::ago(Duration::from_secs(age)))).unwrap_or_default();
        let snapshot = status.snapshot.map(|number| format!(" (snapshot {number})")).unwrap_or_default();
        let schema = status.schema.as_ref().map(|schema| format!(", schema {schema}")).unwrap_or_default();
        let _ = write!(text, "  generation {generation}{snapshot}{age}{schema}");
    }
    let _ = writeln!(text);
    for table in &status.tables {
        let _ = writeln!(text, "{}", format!("  {:<32} {}", words::printable(&table.name), rows_cell(table.rows)).trim_end());
    }
    if !status.tables.is_empty() {
        let size = status.bytes.map(words::bytes).unwrap_or_default();
        let _ = writeln!(text, "  {:<32} {}  {size}", words::plural(status.tables.len(), "table"), rows_cell(status.rows));
    }
    let revised: Vec<_> = status.revisions.iter().filter(|revision| revision.has_revised()).collect();
    if !revised.is_empty() {
        text.push_str("\nrevised against the generation before\n");
    }
    for revision in revised {
        let _ = writeln!(text, "  {:<32} {}", revision.table, revision.summary());
    }
    if !status.generations.is_empty() {
        text.push_str("\nkept generations\n");
    }
    for generation in &status.generations {
        let marks = match (generation.served, generation.pinned) {
            (true, true) => "served, pinned",
            (true, false) => "served",
            (false, true) => "pinned",
            (false, false) => "",
        };
        let rows = generation.rows.map_or_else(|| format!("{:>20}", "manifest missing"), rows_cell);
        let size = generation.bytes.map(words::bytes).unwrap_or_default();
        let _ = writeln!(text, "{}", format!("  {}  {rows}  {size:>9}  {marks}", generation.id).trim_end());
    }
    if let Some(last) = &status.last_attempt {
        let took = words::duration(Duration::from_millis(last.total_ms));
        let _ = writeln!(text, "\nlast attempt  {} {} in {took}", last.id, last.outcome.word());
        if let Some(why) = last.error.as_ref().filter(|_| last.outcome == Outcome::Held) {
            let _ = writeln!(text, "              {why}");
        }
    }
    if let Some(running) = &status.running {
        let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
        let percent = running.percent.map(|percent| format!(" {percent:.0} %")).unwrap_or_default();
        let _ = writeln!(text, "running now   pid {} is {}{table}{percent}", running.pid, running.step.word());
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
    if let Some(older) = &status.older_served {
        let _ = writeln!(text, "rolled back   {older}");
    }
    for table in &status.idle_tables {
        let _ = writeln!(
            text,
            "note          {} has not changed in {} that changed others; if nothing writes it any more, drop it in the pipeline",
            words::printable(&table.name),
            words::plural(table.exports, "export")
        );
    }
    for problem in &status.problems {
        let _ = writeln!(text, "attention     {problem}");
    }
    text
}
