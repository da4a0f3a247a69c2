//! `materia demo`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use materia::{
    demo::{Demo, Made},
    words,
};

use super::{Failure, print, print_json};

/// Make a realistic lakehouse to try materia with
///
/// Writes DIR/lakehouse.duckdb, laid out as SQLMesh does, from generated landing files or from official ones, and a materia.toml beside it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The generated figures are samples and say so. With --landing the same models run on the official files (USDA PSD, CFTC, World Bank, USITC, ERA5).")]
pub(super) struct Args {
    /// The folder to make it in
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Build from the official files in this folder
    #[arg(long, value_name = "DIR")]
    landing: Option<PathBuf>,
    /// Multiply the rows, for load tests [default: 1, or as before with --refresh]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    scale: Option<u32>,
    /// Change a few tables of a lakehouse made before, as a pipeline run would
    #[arg(long)]
    refresh: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let demo = Demo { dir: args.dir.clone(), landing: args.landing.clone(), scale: args.scale, refresh: args.refresh };
    let made = demo.make()?;
    if args.json { print_json(&made) } else { print(&text(&made, args)) }.map(|()| ExitCode::SUCCESS)
}

fn text(made: &Made, args: &Args) -> String {
    let mut text = String::new();
    for table in &made.tables {
        let mark = if args.refresh && table.rebuilt { "  changed" } else { "" };
        let _ = writeln!(text, "  {:<32} {:>15} rows{mark}", table.name, words::count(table.rows));
    }
    let figures = if made.sample { "sample figures" } else { "official figures" };
    let verb = if args.refresh { "refreshed" } else { "made" };
    let _ = writeln!(text, "{verb} {} from {} ({figures})", made.lakehouse.display(), made.landing.display());
    if !args.refresh {
        let _ = writeln!(text, "next: cd {} && materia export", args.dir.display());
    }
    text
}
