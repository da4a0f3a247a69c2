//! `materia complete`, which completion scripts run: the values that an argument may have here.

use std::process::ExitCode;

use clap::ValueEnum;
use materia::{
    dashboard::Dashboards,
    plan::Plan,
    reader::block_on,
    reader::{Reader, ReaderConfig},
};

use super::{Context, Failure, context::PathArgs, print};

/// Print the values that complete an argument
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is completed
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Generations,
    Dashboards,
    Pipelines,
    Plans,
    Tables,
}

/// Prints nothing where something is wrong: an error would be printed into the middle of a command line.
pub(super) fn run(files: PathArgs, args: &Args) -> Result<ExitCode, Failure> {
    let values = values(files, args.kind).unwrap_or_default();
    let mut lines = values.join("\n");
    if !lines.is_empty() {
        lines.push('\n');
    }
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn values(files: PathArgs, kind: Kind) -> anyhow::Result<Vec<String>> {
    if matches!(kind, Kind::Plans) {
        return Ok(Plan::ALL.iter().map(ToString::to_string).collect());
    }
    let context = Context::load_to_read(files)?;
    let settings = &context.settings;
    Ok(match kind {
        Kind::Plans => Vec::new(),
        Kind::Generations => {
            let mut ids = context.target()?.generation_ids()?;
            ids.sort();
            ids.iter().rev().map(ToString::to_string).collect()
        }
        Kind::Pipelines => settings.pipelines.names().into_iter().map(str::to_owned).collect(),
        Kind::Dashboards => Dashboards::load(&settings.dashboards)?
            .user_defined()
            .unwrap_or_default()
            .iter()
            .map(|dashboard| dashboard.slug.clone())
            .collect(),
        Kind::Tables => {
            let target = context.target()?;
            let schema = settings.export.served_schema();
            let reader = Reader::open(&target, schema, ReaderConfig::one_shot())?;
            let catalog = block_on(reader.pin()?.catalog())?;
            catalog.tables.into_iter().map(|table| table.name).collect()
        }
    })
}
