//! `materia demo`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use materia::{
    demo::{Demo, DemoReport},
    humanize,
};

use super::{Failure, print, print_json};

/// Create a realistic sample lakehouse to try materia with
///
/// Writes DIR/lakehouse.duckdb, laid out as SQLMesh does, from generated landing files or from
/// official ones, and a materia.toml next to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The generated figures are samples and say so. With --landing the same models run on the official files (USDA PSD, CFTC, World Bank, USITC, ERA5).")]
pub(super) struct Args {
    /// The folder to create it in
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Build from the official files in this folder
    #[arg(long, value_name = "DIR")]
    landing: Option<PathBuf>,
    /// Multiply the rows, for load tests [default: 1; with --refresh, the previous factor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    scale: Option<u32>,
    /// Change a few tables of an existing demo, as a pipeline run would
    #[arg(long)]
    refresh: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let demo = Demo {
        dir: args.dir.clone(),
        landing: args.landing.clone(),
        scale: args.scale,
        refresh: args.refresh,
    };
    let made = demo.create()?;
    if args.json { print_json(&made) } else { print(&text(&made, args)) }
        .map(|()| ExitCode::SUCCESS)
}

fn text(made: &DemoReport, args: &Args) -> String {
    let mut text = String::new();
    for table in &made.tables {
        let mark = if args.refresh && table.rebuilt { "  changed" } else { "" };
        let _ =
            writeln!(text, "  {:<32} {:>15} rows{mark}", table.name, humanize::count(table.rows));
    }
    for file in made.files.iter().filter(|_| args.landing.is_some()) {
        let _ = match (&file.model, &file.left) {
            (Some(model), _) => writeln!(text, "  took {}: {model}", file.name),
            (None, Some(reason)) => writeln!(text, "  left {}: {reason}", file.name),
            (None, None) => Ok(()),
        };
    }
    for vintage in &made.vintages {
        let newest =
            if vintage.is_newest { ", the newest: all tables" } else { ": revisions only" };
        let _ = writeln!(
            text,
            "  USDA vintage {}, seasons {} to {}{newest}",
            vintage.vintage, vintage.first, vintage.last
        );
    }
    let figures = if made.sample { "sample figures" } else { "official figures" };
    let verb = if args.refresh { "refreshed" } else { "made" };
    let _ = writeln!(
        text,
        "{verb} {} from {} ({figures})",
        made.lakehouse.display(),
        made.landing.display()
    );
    if !args.refresh {
        let _ = writeln!(text, "next: cd {} && materia export", args.dir.display());
    }
    text
}
