//! `materia rollback`, `materia pin`, `materia unpin`.

use std::{process::ExitCode, time::Duration};

use clap::builder::NonEmptyStringValueParser;
use materia::{
    export::{self, Cancel, ExportError},
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
/// By the same atomic step as an export; the history records it. "materia status" lists what is kept.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The generation's id or its beginning [default: the newest one older than the served one]
    #[arg(value_name = "GENERATION", value_parser = NonEmptyStringValueParser::new())]
    generation: Option<String>,
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
    let finished = export::rollback(&target, args.generation.as_deref(), wait, &cancel, watch.as_mut());
    drop(watch);
    measure(context.settings.export.metrics_file.as_deref(), &target, &finished);
    conclude(&finished, &stopped, args.json, false, |finished| {
        let record = &finished.record;
        let generation = record.generation.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("rolled back: generation {generation} is served, {}\n", words::rows(record.rows()))
    })
}

/// Finds a kept generation by the beginning of its id; a name that fits none, or several, is wrong usage and no attempt.
fn find(target: &Target, asked: &str) -> Result<GenerationId, Failure> {
    export::find(target, asked).map_err(|error| match error {
        ExportError::NoGeneration { .. } => Failure::usage(error),
        other => other.into(),
    })
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
