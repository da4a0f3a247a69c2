//! `materia man`.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::CommandFactory;

use super::{Cli, Failure, print};

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: materia man ~/.local/share/man/man1 && man materia-export")]
pub(super) struct Args {
    /// The folder; it is made where it does not exist
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let refused = |error| Failure::from(anyhow::anyhow!("the manual pages cannot be written into {}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(refused)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &args.dir).map_err(refused)?;
    print(&format!("manual pages are in {}\n", args.dir.display())).map(|()| ExitCode::SUCCESS)
}
