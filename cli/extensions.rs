//! `materia extensions`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use materia::extensions::{ExtensionDir, ExtensionInfo, ExtensionState};

use super::{Context, Failure, engine, print, print_json};

/// Install DuckDB's extensions for a DuckLake
///
/// Serving a DuckLake needs extensions of DuckDB: ducklake, postgres_scanner or sqlite_scanner for
/// its catalog, httpfs for data on S3. They are stored in one folder, with a subfolder for each
/// version of DuckDB, and only "materia extensions install" writes there. A served file needs none.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The folder is extensions in materia.toml or MATERIA_EXTENSIONS [default: extensions next to materia.toml]."
)]
pub(super) struct Args {
    #[command(subcommand)]
    deed: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Install every extension for the DuckDB that materia runs on
    ///
    /// From the package of the engine (materia-lake), from DuckDB's repository if that has none, or
    /// from a folder. Each extension is loaded
    /// before it is installed; if one does not load, the installed ones are not changed.
    Install(InstallArgs),
    /// List every extension: whether it is installed and loads, and its purpose
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    /// A folder with the files, also in subfolders: *.duckdb_extension
    /// [default: those of the engine's package, else download them]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every extension loads, 1 one is missing or does not, 2 wrong usage or settings."
)]
struct ListArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let extensions = ExtensionDir::new(&context.settings.extensions);
    let (listed, json) = match &args.deed {
        Verb::Install(args) => {
            let from = match &args.from {
                Some(from) => Some(from.clone()),
                None => engine::packaged_extensions()?,
            };
            (extensions.install(from.as_deref())?, args.json)
        }
        Verb::List(args) => (extensions.list()?, args.json),
    };
    if json {
        listed.iter().try_for_each(print_json)?;
    } else {
        print(&table(&listed))?;
    }
    let usable = listed.iter().all(|listed| matches!(listed.state, ExtensionState::Present { .. }));
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

fn table(listed: &[ExtensionInfo]) -> String {
    let folder = listed.first().and_then(|listed| listed.path.parent()).unwrap_or(Path::new("."));
    let mut text = format!("{}\n", folder.display());
    for ExtensionInfo { name, needed_for, state, .. } in listed {
        let (state, why) = match state {
            ExtensionState::Present { extension_version } => (extension_version.as_str(), None),
            ExtensionState::Missing => ("missing", None),
            ExtensionState::Unusable { why } => ("does not load", Some(why)),
        };
        let _ = writeln!(text, "  {name:<16}  {state:<13}  for {needed_for}");
        if let Some(why) = why {
            let _ = writeln!(text, "    {why}");
        }
    }
    if listed.iter().any(|listed| !matches!(listed.state, ExtensionState::Present { .. })) {
        text.push_str(
            "install what is missing or does not load with: materia extensions install\n",
        );
    }
    text
}
