//! `materia export`.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _, stderr},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{ValueEnum, builder::PossibleValue};
use materia::{
    cancel::CancellationToken,
    dashboard::DashboardsCheck,
    export::{self, AttemptResult, DryRun, ExportError, ExportJob},
    humanize,
    settings::{HeldMode, Severity, SnapshotMode},
    store::Store,
    store::{AttemptOutcome, AttemptRecord, Check, SnapshotMethod},
};

use super::{Context, Failure, context, print, print_json, progress, signals};

/// Publish the lakehouse's serving schema as a new generation
///
/// Copies every table and view of the serving schema that has changed into a new file, takes the
/// others over from the served one, audits it, and swaps it in. Where nothing has changed, nothing
/// is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Limits of single tables, and audits written in SQL, are in materia.toml under [export.tables.NAME] and [[export.audits]].

Exit codes: 0 published, unchanged, or held because of a rollback, 1 failed, 2 wrong usage or settings, 3 refused by audits, 4 lakehouse busy (or another export is running) for longer than --wait, 130 or 143 interrupted. Whatever it is, readers have a whole file throughout.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate flag")]
pub(super) struct Args {
    /// Schema to publish; several separated by commas, or the flag repeated [env: MATERIA_SCHEMA]
    /// [default: serving]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    schema: Vec<String>,
    /// Publish only relations that match, for example 'marts.dim_*' or '*_daily'
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    include: Vec<String>,
    /// Leave out relations that match
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Name of the schema in the served file [default: the first --schema]
    #[arg(long = "as", value_name = "NAME")]
    served_as: Option<String>,
    /// Publish other schemas than those of the served generation
    #[arg(long)]
    allow_schema_change: bool,
    /// Time zone in which views are evaluated [env: MATERIA_TIME_ZONE] [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How long to wait for the lakehouse, for example 90s, 5m or 2h [env: MATERIA_WAIT]
    /// [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    wait: Option<Duration>,
    /// How to read the lakehouse while its pipeline wants to go on [env: MATERIA_SNAPSHOT]
    /// [default: auto]
    #[arg(long, value_name = "HOW")]
    snapshot: Option<Snapshot>,
    /// What to do about a lakehouse that a process keeps open for writing [env: MATERIA_HELD]
    /// [default: wait]
    #[arg(long, value_name = "WHAT")]
    held: Option<Held>,
    /// Generations to keep for rollback, the served one included [env: MATERIA_KEEP] [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    /// DuckDB's memory limit, for example 2GB [env: MATERIA_MEMORY_LIMIT]
    /// [default: 80 % of the machine's]
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// Threads to use [env: MATERIA_THREADS] [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Oldest DuckDB that must be able to read the export, for example v1.0.0
    /// [env: MATERIA_STORAGE_VERSION] [default: the lakehouse's]
    #[arg(long, value_name = "VERSION")]
    storage_version: Option<String>,
    /// Publish although audits fail; the history says so. What was rolled back stays held: see
    /// "materia release"
    #[arg(long)]
    force: bool,
    /// Let this table be missing this time although it is served; repeat it for several
    #[arg(long, value_name = "TABLE", allow_hyphen_values = true)]
    allow_lost: Vec<String>,
    /// Let this table lose columns or change their types this time; repeat it for several
    #[arg(long, value_name = "TABLE", allow_hyphen_values = true)]
    allow_change: Vec<String>,
    /// Let the values of this table be of another scale this time; repeat it for several
    #[arg(long, value_name = "TABLE", allow_hyphen_values = true)]
    allow_revision: Vec<String>,
    /// Let this table lose that share of its rows this time, 0 to 1, for example orders=0.9; with 1
    /// it may be empty. Repeat it for several
    #[arg(long, value_name = "TABLE=SHARE", value_parser = table_share, allow_hyphen_values = true)]
    max_drop: Vec<(String, f64)>,
    /// Copy every table; without it, those that have not changed are taken over from the served
    /// file
    #[arg(long)]
    full: bool,
    /// Publish to a lake that another machine or lakehouse fills, and own it from now on
    #[arg(long)]
    take_over: bool,
    /// Keep the staged file of a refused export, as analytics.refused.duckdb
    #[arg(long)]
    keep_refused: bool,
    /// Show what would be exported and audited, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// [`SnapshotMode`] as a flag's value.
#[derive(Debug, Clone, Copy)]
struct Snapshot(SnapshotMode);

impl ValueEnum for Snapshot {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(SnapshotMode::Auto),
            Self(SnapshotMode::Reflink),
            Self(SnapshotMode::Copy),
            Self(SnapshotMode::None),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            SnapshotMode::Auto => {
                ("auto", "reflink where the filesystem can, else copy where it fits, else none")
            }
            SnapshotMode::Reflink => (
                "reflink",
                "a copy that shares its blocks (XFS, btrfs): milliseconds, whatever the size",
            ),
            SnapshotMode::Copy => (
                "copy",
                "a full private copy; like a reflink it takes no lock and blocks no pipeline",
            ),
            SnapshotMode::None => {
                ("none", "in place, under a lock: a pipeline that writes meanwhile fails")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// [`HeldMode`] as a flag's value.
#[derive(Debug, Clone, Copy)]
struct Held(HeldMode);

impl ValueEnum for Held {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(HeldMode::Wait), Self(HeldMode::Copy)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            HeldMode::Wait => ("wait", "wait until it is closed"),
            HeldMode::Copy => (
                "copy",
                "once nothing was written for a while (held_idle, 30s), export what is committed",
            ),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

pub(super) fn run(context: Context, args: Args) -> Result<ExitCode, Failure> {
    let (json, quiet, dry_run) = (args.json, args.quiet, args.dry_run);
    let metrics = context.settings.export.metrics_file.clone();
    let job = job(context, args)?;
    signals::watch(&job.cancel)?;
    let mut watch = progress::watcher(json, quiet);
    if dry_run {
        let rehearsal = export::dry_run(&job, watch.as_mut());
        drop(watch);
        let rehearsal = rehearsal.map_err(|error| failure(&error, &job.cancel))?;
        return if json { print_json(&rehearsal) } else { print(&rehearsed(&rehearsal, &job)) }
            .map(|()| ExitCode::SUCCESS);
    }
    let finished = export::export(&job, watch.as_mut());
    drop(watch);
    measure(metrics.as_deref(), &job.target, &finished);
    conclude(&finished, &job.cancel, json, quiet, |finished| published(finished, &job))
}

/// Writes the metrics file, if one is configured. A failure does not affect the outcome of the
/// export.
pub(super) fn measure(file: Option<&Path>, target: &Store, finished: &AttemptResult) {
    if let Some(file) = file
        && let Err(error) = export::write_metrics(file, target, &finished.record)
    {
        let _ = writeln!(
            stderr(),
            "materia: the metrics file {} cannot be written: {error}",
            file.display()
        );
    }
}

/// Prints the outcome of an attempt.
pub(super) fn conclude(
    finished: &AttemptResult,
    cancel: &CancellationToken,
    json: bool,
    quiet: bool,
    say: impl Fn(&AttemptResult) -> String,
) -> Result<ExitCode, Failure> {
    if json {
        print_json(&serde_json::json!({ "event": "finished", "record": finished.record }))?;
    }
    let mut trouble = String::new();
    // If its folder is missing, there is no history either, which the error itself reports.
    if let Some(error) =
        finished.unrecorded.as_ref().filter(|error| error.kind() != std::io::ErrorKind::NotFound)
    {
        let _ = write!(
            trouble,
            "the attempt could not be recorded in the history: {error}{}",
            materia::files::advice(error)
        );
    }
    if let Some(error) = &finished.error {
        // In a log, problems follow the attempt to which they belong.
        if !json && !quiet && finished.unrecorded.is_none() && !stderr().is_terminal() {
            let _ =
                writeln!(stderr(), "{} {}", finished.record.id, finished.record.outcome.label());
        }
        let failure = failure(error, cancel);
        Err(Failure {
            message: format!("{}\n{trouble}", failure.message).trim_end().to_owned(),
            ..failure
        })
    } else {
        if !json && !quiet {
            print(&say(finished))?;
        }
        if trouble.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure { message: trouble, code: Failure::FAILED })
        }
    }
}

fn failure(error: &ExportError, cancel: &CancellationToken) -> Failure {
    let code = match error {
        ExportError::Refused { .. } => Failure::REFUSED,
        ExportError::LakehouseBusy { .. }
        | ExportError::LakehouseNeverIdle { .. }
        | ExportError::ExportInProgress { .. }
        | ExportError::Conflict { .. } => Failure::BUSY,
        ExportError::Interrupted => signals::exit_code(cancel).unwrap_or(Failure::FAILED),
        _ => Failure::FAILED,
    };
    Failure { message: error.to_string(), code }
}

fn job(context: Context, args: Args) -> Result<ExportJob, Failure> {
    let mut settings = context.settings;
    let export = &mut settings.export;
    let overlay = |value: &mut usize, flag: Option<u16>| *value = flag.map_or(*value, usize::from);
    for (setting, flag) in [
        (&mut export.schema, args.schema),
        (&mut export.include, args.include),
        (&mut export.exclude, args.exclude),
    ] {
        if !flag.is_empty() {
            *setting = flag;
        }
    }
    export.served_as = args.served_as.or_else(|| export.served_as.clone());
    export.time_zone = args.time_zone.unwrap_or_else(|| export.time_zone.clone());
    export.wait = args.wait.unwrap_or(export.wait);
    export.snapshot = args.snapshot.map_or(export.snapshot, |snapshot| snapshot.0);
    export.held = args.held.map_or(export.held, |held| held.0);
    if export.held == HeldMode::Copy && export.snapshot == SnapshotMode::None {
        let why = "a lakehouse that is held open for writing cannot be read in place; leave out --snapshot none, or --held copy";
        return Err(Failure::usage(why));
    }
    overlay(&mut export.keep, args.keep);
    export.memory_limit = args.memory_limit.or_else(|| export.memory_limit.clone());
    export.threads = args.threads.map(usize::from).or(export.threads);
    export.storage_version = args.storage_version.or_else(|| export.storage_version.clone());
    export.keep_refused |= args.keep_refused;
    let mut job = ExportJob::new(&settings).map_err(|error| {
        Failure::usage(format!("cannot follow {}: {error}", settings.serving.display()))
    })?;
    let dashboards = DashboardsCheck::new(context::dashboards(&settings)?, settings.tables.clone());
    job.checks.extend(dashboards.map(|check| Arc::new(check) as Arc<dyn Check>));
    job.sources.allow_schema_change = args.allow_schema_change;
    export::check_limits(&job.limits, job.storage_version.as_deref()).map_err(Failure::usage)?;
    check_folder(&job)?;
    for table in args.allow_lost {
        job.tables.entry(table).or_default().allow_lost = true;
    }
    for table in args.allow_change {
        job.tables.entry(table).or_default().allow_column_changes = true;
    }
    for table in args.allow_revision {
        job.tables.entry(table).or_default().allow_revision = true;
    }
    for (table, share) in args.max_drop {
        let table = job.tables.entry(table).or_default();
        table.max_drop = Some(share);
        table.allow_empty |= share >= 1.0;
    }
    job.force = args.force;
    job.full = args.full;
    job.lake.take_over = args.take_over;
    Ok(job)
}

/// Parses `orders=0.9`; the name may contain an equals sign.
fn table_share(text: &str) -> Result<(String, f64), String> {
    let wrong =
        || format!("{text:?} is not a table and a share from 0 to 1; write for example orders=0.9");
    let (table, share) =
        text.rsplit_once('=').filter(|(table, _)| !table.is_empty()).ok_or_else(wrong)?;
    let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)?;
    Ok((table.to_owned(), share))
}

/// If there is no lakehouse and nothing was served or attempted, the folder or a flag is wrong, so
/// no file is created in the folder.
fn check_folder(job: &ExportJob) -> Result<(), Failure> {
    let target = &job.target;
    let is_used = job.lakehouse.exists()
        || target.is_lake()
        || target.local().served_path().exists()
        || target.local().history_path().exists();
    if is_used {
        return Ok(());
    }
    let missing = ExportError::Lakehouse {
        path: job.lakehouse.clone(),
        why: export::LakehouseError::Missing,
    };
    Err(Failure::usage(missing))
}

fn published(finished: &AttemptResult, job: &ExportJob) -> String {
    let record = &finished.record;
    let mut text = String::new();
    for audit in &record.audits_failed {
        let _ = writeln!(
            text,
            "{}: {audit}",
            if record.forced && audit.severity == Severity::Error { "forced" } else { "warning" }
        );
    }
    let took =
        humanize::duration(Duration::from_millis(record.total_ms.saturating_sub(record.wait_ms)));
    let blocked = blocked(record);
    let served = job.target.display_name();
    let served = served.display();
    if record.outcome == AttemptOutcome::Held {
        let why = record.error.as_deref().unwrap_or_default();
        let _ = writeln!(text, "held: {served} is unchanged; {why}");
        return text;
    }
    if record.outcome == AttemptOutcome::Unchanged {
        let generation = record.generation.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(
            text,
            "unchanged: {served} already serves what the lakehouse contains, generation {generation}; checked in {took}{blocked}"
        );
        return text;
    }
    let _ = writeln!(
        text,
        "{} {} to {served}: schema {}, {}, {}, {} in {took}{blocked}",
        record.outcome.label(),
        record.id,
        record.schema.as_deref().unwrap_or(&job.schema),
        tables(record),
        humanize::rows(record.rows()),
        humanize::bytes(record.bytes),
    );
    text
}

/// Formats how long writers of the lakehouse were blocked, if it was read in place.
fn blocked(record: &AttemptRecord) -> String {
    match record.snapshot {
        Some(SnapshotMethod::None) => {
            let blocked = humanize::duration(Duration::from_millis(record.blocked_ms));
            format!("; read in place: the pipeline could not write for {blocked}")
        }
        _ => String::new(),
    }
}

/// Formats the number of tables and how many were not copied.
pub(super) fn tables(record: &AttemptRecord) -> String {
    let reused = record.tables.iter().filter(|table| table.reused).count();
    let tables = humanize::plural(record.tables.len(), "table");
    if reused == 0 {
        tables
    } else {
        format!("{tables} ({} copied, {reused} unchanged)", record.tables.len() - reused)
    }
}

fn rehearsed(rehearsal: &DryRun, job: &ExportJob) -> String {
    let plan = &rehearsal.plan;
    let mut text = format!(
        "would export {} of schema {} from {} ({}, {}) to {}{}\n\n",
        humanize::plural(plan.tables.len(), "table"),
        plan.sources.join(", "),
        job.lakehouse.display(),
        humanize::bytes(rehearsal.lakehouse.bytes),
        plan.lakehouse_version,
        job.target.display_name().display(),
        if plan.sources == [plan.schema.clone()] {
            String::new()
        } else {
            format!(", as schema {}", plan.schema)
        },
    );
    for (table, treatment) in plan.tables.iter().zip(&rehearsal.table_actions) {
        let done = if treatment.reused { "kept" } else { "copied" };
        let rows = table.estimated_rows.map_or_else(
            || "view".to_owned(),
            |rows| format!("about {} rows", humanize::count(rows)),
        );
        let _ = writeln!(
            text,
            "  {:<32} {:>3} columns  {rows:<22} {done}: {}",
            humanize::printable(&table.name),
            table.columns.len(),
            humanize::printable(&treatment.why)
        );
    }
    let _ = writeln!(text, "\naudits: {}", rehearsal.audits.join("; "));
    if let Some(left) = rehearsal.space_left {
        let _ = writeln!(
            text,
            "free space next to {}: {}",
            job.target.local().served_path().display(),
            humanize::bytes(left)
        );
    }
    match &rehearsal.previous {
        Some(id) => drop(writeln!(text, "served now: generation {id}")),
        None => text.push_str("served now: nothing that materia published\n"),
    }
    if let Some(why) = &rehearsal.held {
        let _ = writeln!(text, "held: nothing would be published; {why}");
    }
    text + "nothing was written\n"
}

/// If the target cannot be resolved, the reason is in the given path.
pub(super) fn target(context: &context::Context) -> Result<materia::store::Store, Failure> {
    context.target().map_err(|error| Failure::usage(format!("{error:#}")))
}
