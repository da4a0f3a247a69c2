//! `materia pipeline`.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{Write as _, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use jiff::Timestamp;
use materia::cancel::CancellationToken;
use materia::{
    humanize,
    pipeline::{self, PipelineEvent, PipelineStep, Run, RunOutcome, RunStore},
    settings::{EXPORT, PipelineSettings},
};

use super::{Context, Failure, PathArgs, export::target, print, signals};

/// List and run the pipelines of materia.toml
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pipeline is a [pipelines.NAME] in materia.toml: command, cwd, env, timeout, after, retries, retry_wait, grace. export_serving is built in and equals \"materia export\".")]
pub(super) struct Args {
    #[command(subcommand)]
    deed: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List every pipeline in the order in which they run, and what came of each last run
    List(ListArgs),
    /// Run pipelines, each after those it comes after
    ///
    /// What they print is shown and kept, one log for each run. Ctrl-C and SIGTERM are passed on to
    /// everything a pipeline has started; what does not stop within its grace is killed, and so is
    /// everything at a second Ctrl-C.
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all succeeded, otherwise that of the first pipeline that did not: its own, 124 if it timed out, 127 if it could not be started, 4 if it is already running, 128 plus the signal number if a signal ended it; 2 wrong usage or settings.")]
struct RunArgs {
    /// Pipelines to run
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// Run every pipeline there is
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Keep what they print in their logs only
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(context: &Context, files: &PathArgs, args: &Args) -> Result<ExitCode, Failure> {
    let logs = RunStore::new(&context.settings, &target(context)?);
    match &args.deed {
        Verb::List(args) => list(context, &logs, args),
        Verb::Run(args) => perform(context, files, &logs, args),
    }
}

fn perform(
    context: &Context,
    files: &PathArgs,
    logs: &RunStore,
    args: &RunArgs,
) -> Result<ExitCode, Failure> {
    let pipelines = &context.settings.pipelines;
    let all = || pipelines.names().into_iter().map(str::to_owned).collect();
    let wanted = if args.all { all() } else { args.names.clone() };
    let mut export = vec![OsString::from(std::env::current_exe()?)];
    export.extend(files.options().into_iter().chain(["export".to_owned()]).map(OsString::from));
    let mut steps =
        PipelineStep::select_steps(pipelines, &wanted, &export).map_err(Failure::usage)?;
    // Pipelines write the file that materia exports, wherever that is configured.
    let lakehouse = std::path::absolute(&context.settings.lakehouse)?;
    for step in steps.iter_mut().filter(|step| step.name != EXPORT) {
        let variable = "DUCKDB_PATH".to_owned();
        step.env.entry(variable).or_insert_with(|| lakehouse.to_string_lossy().into_owned());
    }
    let stop = CancellationToken::default();
    signals::watch_pipelines(&stop)?;
    let target = target(context)?;
    let locked_by = || {
        let running = target.running().ok().flatten().filter(|running| running.in_place);
        running.map(|running| format!("materia export (pid {})", running.pid))
    };
    let runs = pipeline::run(&steps, logs, &stop, &locked_by, &mut |event| show(event, args.quiet));
    // The first failure is the cause; the pipelines after it were skipped.
    let failed = runs.iter().find(|run| run.outcome != RunOutcome::Succeeded);
    let code = stop
        .signal()
        .map(|signal| 128 + signal)
        .or(failed.map(|run| run.exit_code.unwrap_or(Failure::FAILED)));
    if let Some(log) = failed.and_then(|run| run.log.as_ref()) {
        let _ = writeln!(stderr(), "materia: its output is in {}", log.display());
    }
    Ok(ExitCode::from(code.unwrap_or(0)))
}

/// Forwards the output of pipelines to standard output unchanged, and prints materia's own messages
/// to standard error. A closed pipe does not stop the run.
fn show(event: &PipelineEvent, quiet: bool) {
    match event {
        PipelineEvent::Output(bytes) if !quiet => {
            let mut out = stdout();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        PipelineEvent::Output(_) => {}
        _ => {
            if let Some(line) = event.line() {
                let _ = writeln!(stderr(), "== {}", humanize::printable(&line));
            }
        }
    }
}

/// The JSON form of a pipeline.
#[derive(serde::Serialize)]
struct PipelineRow<'a> {
    name: &'a str,
    command: Vec<&'a str>,
    after: &'a [String],
    last_run: Option<&'a Run>,
}

fn list(context: &Context, logs: &RunStore, args: &ListArgs) -> Result<ExitCode, Failure> {
    let runs = logs.runs()?;
    let (mut text, now) = (String::new(), Timestamp::now());
    let pipelines = &context.settings.pipelines;
    for name in pipelines.names() {
        let Some(pipeline) = pipelines.get(name) else { continue };
        let line = PipelineRow {
            name,
            command: command(name, pipeline),
            after: &pipeline.after,
            last_run: runs.iter().rev().find(|run| run.pipeline == name),
        };
        let _ = if args.json {
            writeln!(text, "{}", super::json_line(&line)?)
        } else {
            write!(text, "{}", row(&line, now))
        };
    }
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn command<'a>(name: &str, pipeline: &'a PipelineSettings) -> Vec<&'a str> {
    if name == EXPORT {
        vec!["materia", "export"]
    } else {
        pipeline.command.iter().map(String::as_str).collect()
    }
}

fn row(line: &PipelineRow, now: Timestamp) -> String {
    let after = if line.after.is_empty() {
        String::new()
    } else {
        format!("  after {}", line.after.join(", "))
    };
    let last = line.last_run.map_or_else(
        || "never run".to_owned(),
        |run| {
            let ago =
                Duration::try_from(now.duration_since(run.ended_at.unwrap_or(run.started_at)))
                    .unwrap_or_default();
            let why = run.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} {}{why}", run.outcome.label(), humanize::ago(ago))
        },
    );
    format!("{}\n  {}{after}\n  {last}\n", line.name, line.command.join(" "))
}
