//! `materia init`.

mod databases;
mod dbt;
mod project;
mod settings_file;
mod sqlmesh;

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use materia::{files, humanize};

use self::{
    project::{Project, Tool},
    settings_file::Choices,
};
use super::{Failure, print};

/// Write a materia.toml for the project in this folder
///
/// Finds dbt (dbt_project.yml, profiles.yml), SQLMesh (config.yaml) and DuckDB files in the folder
/// and in the folders directly below it, shows what it found, and writes a commented settings file.
/// A file that exists is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is run and no lock is taken: a DuckDB file is read from a private copy.

Example: cd my-dbt-project && materia init --yes && materia export --dry-run")]
pub(super) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Ask nothing and write what was found
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: &Args, lakehouse: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let target = if args.dir == Path::new(".") {
        PathBuf::from("materia.toml")
    } else {
        args.dir.join("materia.toml")
    };
    if !args.dir.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a folder; name the one that holds the dbt or SQLMesh project",
            args.dir.display()
        )));
    }
    if target.symlink_metadata().is_ok() {
        return Err(exists(&target));
    }
    let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut project = Project::detect(&args.dir, &lookup)?;
    if let Some(lakehouse) = lakehouse {
        project.put_first(&args.dir, &lakehouse);
    }
    print(&describe(&project))?;
    let mut choices = Choices::of(&project);
    if !args.yes && !confirm(&project, &mut choices, &target)? {
        print("nothing was written\n")?;
        return Ok(ExitCode::FAILURE);
    }
    write_new(&target, &choices.render(&project))?;
    print(&next_steps(&target, &project, &args.dir))?;
    Ok(ExitCode::SUCCESS)
}

fn exists(target: &Path) -> Failure {
    Failure::from(anyhow::anyhow!(
        "{} exists and is not overwritten; move it, or edit it",
        target.display()
    ))
}

/// Writes the file atomically, and never replaces another one.
fn write_new(target: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            exists(target)
        } else {
            Failure::from(anyhow::anyhow!("cannot write {}: {source}", target.display()))
        }
    };
    let fresh = files::with_suffix(target, &format!(".new-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        // Unlike a rename, a link fails if another process has written the file meanwhile.
        .and_then(|()| std::fs::hard_link(&fresh, target));
    let _ = std::fs::remove_file(&fresh);
    written.map_err(failed)
}

fn describe(project: &Project) -> String {
    let mut text = String::from("found\n");
    for tool in &project.tools {
        let _ = writeln!(text, "  {:<10} {}", tool.kind.name(), tool.found_in.display());
        if let Some(database) = &tool.database {
            let _ = writeln!(text, "  {:<10} writes {}", "", database.display());
        }
        if !tool.schemas.is_empty() {
            let _ = writeln!(text, "  {:<10} schemas {}", "", tool.schemas.join(", "));
        }
        let _ = writeln!(text, "  {:<10} runs {}", "", tool.command.join(" "));
        for note in &tool.notes {
            let _ = writeln!(text, "  {:<10} {note}", "");
        }
    }
    for database in &project.databases {
        let size = database.bytes.map_or_else(|| "not there yet".to_owned(), humanize::bytes);
        let _ = writeln!(text, "  {:<10} {} ({size})", "DuckDB", database.path.display());
        match &database.schemas {
            Ok(schemas) if schemas.is_empty() => {}
            Ok(schemas) => {
                let counted: Vec<String> = schemas
                    .iter()
                    .map(|schema| format!("{} ({})", schema.name, schema.relations))
                    .collect();
                let _ = writeln!(text, "  {:<10} schemas {}", "", counted.join(", "));
            }
            Err(reason) => {
                let _ = writeln!(text, "  {:<10} schemas unknown: {reason}", "");
            }
        }
    }
    if let Some(folder) = &project.dashboards {
        let _ = writeln!(text, "  {:<10} {}", "dashboards", folder.display());
    }
    if project.is_empty() {
        text.push_str("  nothing: no dbt_project.yml, no SQLMesh config.yaml, no DuckDB file\n");
    }
    text
}

/// Asks the operator about uncertain choices; `false` if the operator declines or the input ends.
fn confirm(project: &Project, choices: &mut Choices, target: &Path) -> Result<bool, Failure> {
    if project.databases.len() > 1 {
        let listed: Vec<String> =
            project.databases.iter().map(|one| one.path.display().to_string()).collect();
        let default = choices.lakehouse.display().to_string();
        let Some(answer) = prompt(&format!("lakehouse ({}) [{default}]: ", listed.join(", ")))?
        else {
            return Ok(false);
        };
        if !answer.is_empty() {
            choices.set_lakehouse(project, Path::new(&answer));
        }
    }
    let prompt_text =
        format!("schema to publish, or several with commas [{}]: ", choices.schemas.join(","));
    let Some(answer) = prompt(&prompt_text)? else { return Ok(false) };
    let named: Vec<String> = answer
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if !named.is_empty() {
        choices.schemas = named;
    }
    let Some(answer) = prompt(&format!("write {}? [Y/n] ", target.display()))? else {
        return Ok(false);
    };
    Ok(matches!(answer.to_lowercase().as_str(), "" | "y" | "yes"))
}

/// Reads a line from standard input; `None` at its end.
fn prompt(message: &str) -> Result<Option<String>, Failure> {
    print(message)?;
    io::stdout().flush()?;
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        print("\n")?;
        return Ok(None);
    }
    Ok(Some(line.trim().to_owned()))
}

fn next_steps(target: &Path, project: &Project, dir: &Path) -> String {
    let enter =
        if dir == Path::new(".") { String::new() } else { format!("cd {} && ", dir.display()) };
    let run = match project.tools.first() {
        Some(Tool { pipeline, .. }) => format!("materia pipeline run {pipeline} && "),
        None => String::new(),
    };
    format!(
        "wrote {}\nnext: {enter}materia export --dry-run, then {run}materia export\n",
        target.display()
    )
}
