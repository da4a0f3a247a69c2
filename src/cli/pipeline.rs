//! `materia pipeline`.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{Write as _, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use jiff::Timestamp;
use materia::{
    pipeline::{self, Event, Logs, Outcome, Run, Step},
    settings::{EXPORT, PipelineSettings},
    words,
};

use super::{Context, Failure, Files, export::target, print, signals};

/// List and run the pipelines of materia.toml
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pipeline is a [pipelines.NAME] in materia.toml: command, cwd, env, timeout, after, retries, retry_wait, grace. export_serving is built in and equals \"materia export\".")]
pub(super) struct Args {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// List every pipeline in the order in which they run, and what came of each last run
    List(ListArgs),
    /// Run pipelines, each after those it comes after
    ///
    /// What they print is shown and kept, one log for each run. Ctrl-C and SIGTERM are passed on to everything a pipeline has started; what does not stop
    /// within its grace is killed, and so is everything at a second Ctrl-C.
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
Exit codes: 0 all succeeded, otherwise that of the first pipeline that did not: its own, 124 when it took too long, 127 when it cannot be started, 4 when it is being run already, 128 and the signal when one ended it; 2 wrong usage or settings.")]
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

pub(super) fn run(context: &Context, files: &Files, args: &Args) -> Result<ExitCode, Failure> {
    let logs = Logs::new(&context.settings, &target(context)?);
    match &args.deed {
        Deed::List(args) => list(context, &logs, args),
        Deed::Run(args) => perform(context, files, &logs, args),
    }
}

fn perform(context: &Context, files: &Files, logs: &Logs, args: &RunArgs) -> Result<ExitCode, Failure> {
    let pipelines = &context.settings.pipelines;
    let all = || pipelines.names().into_iter().map(str::to_owned).collect();
    let wanted = if args.all { all() } else { args.names.clone() };
    let mut export = vec![OsString::from(std::env::current_exe()?)];
    export.extend(files.options().into_iter().chain(["export".to_owned()]).map(OsString::from));
    let steps = Step::choose(pipelines, &wanted, &export).map_err(Failure::usage)?;
    let stop = pipeline::Stop::default();
    signals::watch_pipelines(&stop)?;
    let target = target(context)?;
    let locked_by = || {
        let running = materia::export::running(&target).ok().flatten().filter(|running| running.in_place);
        running.map(|running| format!("materia export (pid {})", running.pid))
    };
    let runs = pipeline::run(&steps, logs, &stop, &locked_by, &mut |event| show(event, args.quiet));
    // What stands first is what went wrong first; those after it were skipped.
    let failed = runs.iter().find(|run| run.outcome != Outcome::Succeeded);
    let code = stop.signal().map(|signal| 128 + signal).or(failed.map(|run| run.exit_code.unwrap_or(Failure::FAILED)));
    if let Some(log) = failed.and_then(|run| run.log.as_ref()) {
        let _ = writeln!(stderr(), "materia: what it printed is kept in {}", log.display());
    }
    Ok(ExitCode::from(code.unwrap_or(0)))
}

/// What pipelines print goes to standard output as it is, what materia has to say to standard error. A reader that has gone away stops nobody.
fn show(event: &Event, quiet: bool) {
    match event {
        Event::Output(bytes) if !quiet => {
            let mut out = stdout();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        Event::Output(_) => {}
        _ => {
            if let Some(line) = event.line() {
                let _ = writeln!(stderr(), "== {}", words::printable(&line));
            }
        }
    }
}

/// One pipeline as machines read it.
#[derive(serde::Serialize)]
struct Line<'a> {
    name: &'a str,
    command: Vec<&'a str>,
    after: &'a [String],
    last_run: Option<&'a Run>,
}

fn list(context: &Context, logs: &Logs, args: &ListArgs) -> Result<ExitCode, Failure> {
    let runs = logs.runs()?;
    let (mut text, now) = (String::new(), Timestamp::now());
    let pipelines = &context.settings.pipelines;
    for name in pipelines.names() {
        let Some(pipeline) = pipelines.get(name) else { continue };
        let line = Line {
            name,
            command: command(name, pipeline),
            after: &pipeline.after,
            last_run: runs.iter().rev().find(|run| run.pipeline == name),
        };
        let _ = if args.json { writeln!(text, "{}", super::json_line(&line)?) } else { write!(text, "{}", row(&line, now)) };
    }
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn command<'a>(name: &str, pipeline: &'a PipelineSettings) -> Vec<&'a str> {
    if name == EXPORT { vec!["materia", "export"] } else { pipeline.command.iter().map(String::as_str).collect() }
}

fn row(line: &Line, now: Timestamp) -> String {
    let after = if line.after.is_empty() { String::new() } else { format!("  after {}", line.after.join(", ")) };
    let last = line.last_run.map_or_else(
        || "never run".to_owned(),
        |run| {
            let ago = Duration::try_from(now.duration_since(run.ended_at.unwrap_or(run.started_at))).unwrap_or_default();
            let why = run.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} {}{why}", run.outcome.word(), words::ago(ago))
        },
    );
    format!("{}\n  {}{after}\n  {last}\n", line.name, line.command.join(" "))
}
