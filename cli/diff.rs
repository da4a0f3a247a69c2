//! `materia diff`.

use std::process::ExitCode;

use materia::{
    cancel::CancellationToken,
    export::{self, ResourceLimits},
    store::{GenerationId, ServedState, Store},
};

use super::{Context, Failure, export::target, generations::find, print, print_json, signals};

/// Show what changed between two generations, by table and value
///
/// Without generations, the served one is compared with the one before it; with one, that one with
/// the served one. Rows are matched by key: the one that materia.toml names for a table, or one
/// that is found. Tables that are known to be equal are not read, and of large ones only the parts
/// that differ.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 compared, whether or not anything differs; 1 failed; 2 wrong usage or settings.")]
pub(super) struct Args {
    /// The older generation, as in materia status; enough of its beginning to be unambiguous
    before: Option<String>,
    /// The newer generation
    now: Option<String>,
    /// Print as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print as Markdown, for a mail or a pull request
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let (before, now) = generations(&target, args)?;
    let cancel = CancellationToken::default();
    signals::watch(&cancel)?;
    let settings = &context.settings.export;
    let limits =
        ResourceLimits { memory: settings.memory_limit.clone(), threads: settings.threads };
    let diff = export::diff(&target, (&before, &now), &settings.tables, &limits, &cancel)?;
    if args.json {
        print_json(&diff)?;
    } else {
        print(&if args.markdown { diff.to_markdown() } else { diff.to_text() })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn generations(target: &Store, args: &Args) -> Result<(GenerationId, GenerationId), Failure> {
    let served = match target.served()? {
        ServedState::Generation(id) => Some(id),
        _ => None,
    };
    let now = match (&args.now, served) {
        (Some(now), _) => find(target, now)?,
        (None, Some(served)) => served,
        (None, None) => {
            return Err(Failure::from(anyhow::anyhow!(
                "no generation is served at {}; name both generations, or run materia export",
                target.display_name().display()
            )));
        }
    };
    let before = match &args.before {
        Some(before) => find(target, before)?,
        None => {
            target.generation_ids()?.into_iter().filter(|id| *id < now).max().ok_or_else(|| {
                Failure::from(anyhow::anyhow!(
                    "no generation is kept that is older than {now}; compare after the next export"
                ))
            })?
        }
    };
    Ok((before, now))
}
