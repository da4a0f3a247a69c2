//! `materia extensions`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use materia::extensions::{Extensions, Listed, State};

use super::{Context, Failure, print, print_json};

/// Install DuckDB's extensions for a DuckLake
///
/// A DuckLake as the target needs extensions of DuckDB: ducklake, postgres_scanner or sqlite_scanner for its catalog, httpfs for data on S3. They are kept in
/// one folder, in a folder for each version of DuckDB, and nothing but "materia extensions install" ever puts one there. A served file needs none.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The folder is extensions in materia.toml or MATERIA_EXTENSIONS; unless told, it is extensions beside materia.toml."
)]
pub(super) struct Args {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// Install every extension for the DuckDB that materia runs on
    ///
    /// From DuckDB's own repository, or from a folder where that is out of reach. Each is loaded before it gets its place; if one does not load, what
    /// was installed before stays.
    Install(InstallArgs),
    /// List every extension: whether it is there and loads, and what it is for
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    /// A folder that holds the files, itself or in its folders: *.duckdb_extension [default: download them]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every extension loads, 1 one is missing or does not, 2 wrong usage or settings.")]
struct ListArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let extensions = Extensions::new(&context.settings.extensions);
    let (listed, json) = match &args.deed {
        Deed::Install(args) => (extensions.install(args.from.as_deref())?, args.json),
        Deed::List(args) => (extensions.list()?, args.json),
    };
    if json {
        listed.iter().try_for_each(print_json)?;
    } else {
        print(&table(&listed))?;
    }
    let usable = listed.iter().all(|listed| matches!(listed.state, State::Present { .. }));
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

fn table(listed: &[Listed]) -> String {
    let folder = listed.first().and_then(|listed| listed.path.parent()).unwrap_or(Path::new("."));
    let mut text = format!("{}\n", folder.display());
    for Listed { name, needed_for, state, .. } in listed {
        let (state, why) = match state {
            State::Present { extension_version } => (extension_version.as_str(), None),
            State::Missing => ("missing", None),
            State::Unusable { why } => ("does not load", Some(why)),
        };
        let _ = writeln!(text, "  {name:<16}  {state:<13}  for {needed_for}");
        if let Some(why) = why {
            let _ = writeln!(text, "    {why}");
        }
    }
    if listed.iter().any(|listed| !matches!(listed.state, State::Present { .. })) {
        text.push_str("install what is missing or does not load with: materia extensions install\n");
    }
    text
}
