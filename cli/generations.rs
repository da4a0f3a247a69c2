//! `materia rollback`, `materia release`, `materia pin`, `materia unpin`.

use std::{process::ExitCode, time::Duration};

use clap::builder::NonEmptyStringValueParser;
use materia::store::StoreError;
use materia::{
    cancel::CancellationToken,
    export, humanize,
    store::{GenerationId, Store},
    store::{RollbackRequest, RollbackState},
};

use super::{
    Context, Failure,
    export::{conclude, measure, target},
    print, print_json, progress, signals,
};

/// Serve an older generation again
///
/// By the same atomic step as an export; the history records it. "materia status" lists the
/// retained generations. Content that was rolled back is not published again: while the lakehouse
/// contains it, exports end as "held", with exit code 0. Other content is published.
/// "materia release" lets exports publish immediately.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The generation's id or a unique prefix of it [default: the newest one older than the served one]
    #[arg(value_name = "GENERATION", value_parser = NonEmptyStringValueParser::new())]
    generation: Option<String>,
    /// Keep serving that generation until "materia release", whatever the lakehouse contains
    #[arg(long)]
    hold: bool,
    /// How long to wait for a running export [env: MATERIA_WAIT] [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    wait: Option<Duration>,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

/// Let exports publish again after a rollback
///
/// Forgets what was rolled back and ends "materia rollback --hold": the next export publishes the
/// lakehouse's content. The history records it.
#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// How long to wait for a running export [env: MATERIA_WAIT] [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    wait: Option<Duration>,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

/// A generation is named by its id or by a unique prefix of it.
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    /// The generation's id or a unique prefix of it
    #[arg(value_name = "GENERATION", value_parser = NonEmptyStringValueParser::new())]
    generation: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What `materia pin` and `unpin` print as JSON.
#[derive(serde::Serialize)]
struct PinLine<'a> {
    generation: &'a GenerationId,
    pinned: bool,
}

pub(super) fn rollback(context: &Context, args: &RollbackArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    if let Some(requested) = &args.generation {
        find(&target, requested)?;
    }
    let cancel = CancellationToken::default();
    signals::watch(&cancel)?;
    let wait = args.wait.unwrap_or(context.settings.export.wait);
    let mut watch = progress::watcher(args.json, false);
    let request =
        RollbackRequest { generation: args.generation.clone(), hold: args.hold, by: by(args) };
    let finished = export::run_rollback(&target, &request, wait, &cancel, watch.as_mut());
    drop(watch);
    measure(context.settings.export.metrics_file.as_deref(), &target, &finished);
    conclude(&finished, &cancel, args.json, false, |finished| {
        let record = &finished.record;
        let generation = record.generation.as_ref().map(ToString::to_string).unwrap_or_default();
        let next = if args.hold {
            "until `materia release`"
        } else {
            "until the lakehouse contains something other than what was rolled back"
        };
        format!(
            "rolled back: generation {generation} is served, {}; exports are held {next}\n",
            humanize::rows(record.rows())
        )
    })
}

/// Finds a retained generation by a prefix of its id. A prefix that matches none or several is
/// incorrect usage rather than an attempt.
pub(super) fn find(target: &Store, requested: &str) -> Result<GenerationId, Failure> {
    target.find(requested).map_err(not_found)
}

fn not_found(error: StoreError) -> Failure {
    match error {
        StoreError::NoGeneration { .. } => Failure::usage(error),
        other => other.into(),
    }
}

/// Returns the command and its user, if the environment names one.
fn by(args: &RollbackArgs) -> String {
    let command = if args.hold { "materia rollback --hold" } else { "materia rollback" };
    match std::env::var("USER").ok().filter(|user| !user.is_empty()) {
        Some(user) => format!("{command}, {user}"),
        None => command.to_owned(),
    }
}

pub(super) fn release(context: &Context, args: &ReleaseArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    if RollbackState::load(&target).is_ok_and(|state| state.is_empty()) {
        return print("nothing is held: exports publish as usual\n").map(|()| ExitCode::SUCCESS);
    }
    let cancel = CancellationToken::default();
    signals::watch(&cancel)?;
    let wait = args.wait.unwrap_or(context.settings.export.wait);
    let mut watch = progress::watcher(args.json, false);
    let finished = export::release(&target, wait, &cancel, watch.as_mut());
    drop(watch);
    measure(context.settings.export.metrics_file.as_deref(), &target, &finished);
    conclude(&finished, &cancel, args.json, false, |_| {
        "released: the next export publishes the lakehouse's content\n".to_owned()
    })
}

pub(super) fn pin(context: &Context, args: &PinArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let id = find(&target, &args.generation)?;
    target.pin(&id)?;
    if args.json {
        print_json(&PinLine { generation: &id, pinned: true })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{id} is pinned: it is kept until `materia unpin {id}`\n"))
        .map(|()| ExitCode::SUCCESS)
}

pub(super) fn unpin(context: &Context, args: &PinArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let id = target.find_pinned(&args.generation).map_err(not_found)?;
    target.unpin(&id)?;
    if args.json {
        print_json(&PinLine { generation: &id, pinned: false })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{id} is not pinned: exports may remove it\n")).map(|()| ExitCode::SUCCESS)
}
