//! `materia status`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use jiff::Timestamp;
use materia::{
    export::{self, Generation, Outcome, Record, Running},
    lock::{self, Holder},
    reader::{Reader, ReaderLimits, State, wait},
    target::{GenerationId, Served, Target},
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
struct Status {
    healthy: bool,
    problems: Vec<String>,
    served: PathBuf,
    generation: Option<GenerationId>,
    exported_at: Option<Timestamp>,
    age_s: Option<u64>,
    tables: Vec<TableLine>,
    rows: u64,
    bytes: Option<u64>,
    generations: Vec<GenerationLine>,
    last_attempt: Option<Record>,
    running: Option<Running>,
    lakehouse: PathBuf,
    lakehouse_held_by: Option<Holder>,
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

fn look(context: &Context, target: &Target, max_age: Option<Duration>) -> Result<Status, Failure> {
    let kept = export::generations(target)?;
    let mut history = export::history(target)?;
    // A rollback that could not be made, say for a mistyped name, left everything as it was.
    let judged = history.iter().rev().find(|record| record.lakehouse.is_some() || record.outcome != Outcome::Failed).cloned();
    let last_attempt = history.pop();
    let reader = Reader::open(target.served_path(), &context.settings.export.schema, ReaderLimits::small())?;
    let catalog = reader.pin().and_then(|pin| wait(pin.catalog()));
    let State { generation, problem } = reader.state();
    // A reader falls back to a kept generation; what is told here is what stands at the served path.
    let info = generation.filter(|_| problem.is_none());
    let exported_at = info.as_ref().and_then(|info| info.exported_at);
    let age = exported_at.map(|at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default());
    let tables = catalog.ok().filter(|_| info.is_some()).map(|catalog| catalog.tables).unwrap_or_default();
    let tables: Vec<_> = tables.into_iter().map(|table| TableLine { name: table.name, rows: table.rows }).collect();
    let unreadable = problem.map(|problem| problem.reason);
    let lakehouse = context.settings.lakehouse.clone();
    let mut status = Status {
        healthy: true,
        problems: problems(&target.served()?, target, unreadable, age, max_age, judged.as_ref()),
        served: target.served_path().to_path_buf(),
        generation: info.and_then(|info| info.id.clone()),
        exported_at,
        age_s: age.map(|age| age.as_secs()),
        rows: tables.iter().map(|table| table.rows).sum(),
        bytes: std::fs::metadata(target.served_path()).ok().map(|metadata| metadata.len()),
        tables,
        generations: kept.into_iter().map(generation_line).collect(),
        last_attempt,
        running: export::running(target)?,
        lakehouse_held_by: lock::writer_of(&lakehouse).ok().flatten(),
        lakehouse,
    };
    status.healthy = status.problems.is_empty();
    Ok(status)
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

fn problems(
    served: &Served,
    target: &Target,
    unreadable: Option<String>,
    age: Option<Duration>,
    max_age: Option<Duration>,
    last: Option<&Record>,
) -> Vec<String> {
    let mut problems = Vec::new();
    match served {
        Served::Foreign | Served::Generation(_) if unreadable.is_some() => {
            let why = unreadable.unwrap_or_default();
            problems.push(format!("{} cannot be read; run `materia export` or `materia rollback`: {why}", target.served_path().display()));
        }
        Served::Missing => {
            problems.push(format!("nothing is served: {} does not exist; run `materia export`", target.served_path().display()));
        }
        Served::Foreign => problems
            .push(format!("{} was not published by materia, or was changed since; run `materia export`", target.served_path().display())),
        Served::Generation(_) => {}
    }
    if let (Some(age), Some(max_age)) = (age, max_age)
        && age > max_age
    {
        problems.push(format!("stale: exported {}, at most {} is allowed", words::ago(age), words::duration(max_age)));
    }
    if let Some(last) = last.filter(|last| !last.outcome.is_success()) {
        problems.push(format!("the last attempt {} {}", last.id, how_it_failed(last)));
    }
    problems
}

fn how_it_failed(last: &Record) -> String {
    let why = last.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    let word = last.outcome.word();
    // Some reasons begin with the same word.
    let why = why.strip_prefix(word).map_or(why, |why| why.trim_start_matches([':', ';', ' ']));
    let more = last.audits_failed.iter().filter(|audit| audit.severity == materia::settings::Severity::Error).count().saturating_sub(1);
    let more = if last.outcome == Outcome::Refused && more > 0 { format!(", and {more} more") } else { String::new() };
    let was = if last.outcome == Outcome::Failed { "" } else { "was " };
    format!("{was}{word}: {why}{more}")
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", status.served.display());
    if let Some(generation) = &status.generation {
        let age = status.age_s.map(|age| format!(", exported {}", words::ago(Duration::from_secs(age)))).unwrap_or_default();
        let _ = write!(text, "  generation {generation}{age}");
    }
    let _ = writeln!(text);
    for table in &status.tables {
        let _ = writeln!(text, "{}", format!("  {:<32} {}", table.name, rows_cell(table.rows)).trim_end());
    }
    if !status.tables.is_empty() {
        let size = status.bytes.map(words::bytes).unwrap_or_default();
        let _ = writeln!(text, "  {:<32} {}  {size}", words::plural(status.tables.len(), "table"), rows_cell(status.rows));
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
    }
    if let Some(running) = &status.running {
        let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
        let percent = running.percent.map(|percent| format!(" {percent:.0} %")).unwrap_or_default();
        let _ = writeln!(text, "running now   pid {} is {}{table}{percent}", running.pid, running.step.word());
    }
    let lakehouse = status.lakehouse.display();
    let _ = match &status.lakehouse_held_by {
        Some(holder) => writeln!(text, "lakehouse     {lakehouse} is held by {holder}"),
        None if status.lakehouse.exists() => writeln!(text, "lakehouse     {lakehouse} is free"),
        None => writeln!(text, "lakehouse     {lakehouse} does not exist"),
    };
    for problem in &status.problems {
        let _ = writeln!(text, "attention     {problem}");
    }
    text
}
