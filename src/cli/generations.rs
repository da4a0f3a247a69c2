//! `materia rollback`, `materia release`, `materia pin`, `materia unpin`.

use std::{process::ExitCode, time::Duration};

use clap::builder::NonEmptyStringValueParser;
use materia::{
    export::{self, Cancel, ExportError, RollbackRequest, RollbackState},
    target::{GenerationId, Target},
    words,
};

use super::{
    Context, Failure,
    export::{conclude, measure, target},
    print, progress, signals,
};

/// Serve an older generation again
///
/// By the same atomic step as an export; the history records it. "materia status" lists what is kept. What was rolled away from is not published again: while the lakehouse holds it, exports end as "held", with exit code 0. As soon as the lakehouse holds something else, that is published. "materia release" lets exports publish at once.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The generation's id or its beginning [default: the newest one older than the served one]
    #[arg(value_name = "GENERATION", value_parser = NonEmptyStringValueParser::new())]
    generation: Option<String>,
    /// Keep that generation until "materia release", whatever the lakehouse holds
    #[arg(long)]
    hold: bool,
    /// How long to wait for an export that is at work [env: MATERIA_WAIT] [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    wait: Option<Duration>,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

/// Let exports publish again after a rollback
///
/// Forgets what was rolled away from and ends "materia rollback --hold": the next export publishes what the lakehouse holds. The history records it.
#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// How long to wait for an export that is at work [env: MATERIA_WAIT] [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    wait: Option<Duration>,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

/// A generation is named by its id or by a beginning that only one kept id has.
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    /// The generation's id or its beginning
    #[arg(value_name = "GENERATION", value_parser = NonEmptyStringValueParser::new())]
    generation: String,
}

pub(super) fn rollback(context: &Context, args: &RollbackArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    if let Some(asked) = &args.generation {
        find(&target, asked)?;
    }
    let cancel = Cancel::default();
    let stopped = signals::watch(&cancel)?;
    let wait = args.wait.unwrap_or(context.settings.export.wait);
    let mut watch = progress::watcher(args.json, false);
    let request = RollbackRequest { generation: args.generation.clone(), hold: args.hold, by: by(args) };
    let finished = export::roll_back(&target, &request, wait, &cancel, watch.as_mut());
    drop(watch);
    measure(context.settings.export.metrics_file.as_deref(), &target, &finished);
    conclude(&finished, &stopped, args.json, false, |finished| {
        let record = &finished.record;
        let generation = record.generation.as_ref().map(ToString::to_string).unwrap_or_default();
        let next =
            if args.hold { "until `materia release`" } else { "until the lakehouse holds something else than what was rolled away from" };
        format!("rolled back: generation {generation} is served, {}; exports are held {next}\n", words::rows(record.rows()))
    })
}

/// Finds a kept generation by the beginning of its id; a name that fits none, or several, is wrong usage and no attempt.
fn find(target: &Target, asked: &str) -> Result<GenerationId, Failure> {
    export::find(target, asked).map_err(|error| match error {
        ExportError::NoGeneration { .. } => Failure::usage(error),
        other => other.into(),
    })
}

/// The command, and who gave it, where the environment says.
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
    let cancel = Cancel::default();
    let stopped = signals::watch(&cancel)?;
    let wait = args.wait.unwrap_or(context.settings.export.wait);
    let mut watch = progress::watcher(args.json, false);
    let finished = export::release(&target, wait, &cancel, watch.as_mut());
    drop(watch);
    measure(context.settings.export.metrics_file.as_deref(), &target, &finished);
    conclude(&finished, &stopped, args.json, false, |_| "released: the next export publishes what the lakehouse holds\n".to_owned())
}

pub(super) fn pin(context: &Context, args: &PinArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let id = find(&target, &args.generation)?;
    export::pin(&target, &id)?;
    print(&format!("{id} is pinned: it is kept until `materia unpin {id}`\n")).map(|()| ExitCode::SUCCESS)
}

pub(super) fn unpin(context: &Context, args: &PinArgs) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let id = find(&target, &args.generation)?;
    export::unpin(&target, &id)?;
    print(&format!("{id} is not pinned: exports may remove it\n")).map(|()| ExitCode::SUCCESS)
}
