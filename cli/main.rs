//! The command line: one file per subcommand. Only this package reads the environment, prints, and
//! chooses exit codes.

#![allow(clippy::doc_markdown, reason = "doc comments here are help texts")]

mod alert;
mod complete;
mod completions;
mod context;
mod dashboards;
mod demo;
mod diff;
mod doctor;
mod engine;
mod export;
mod extensions;
mod generations;
mod history;
mod init;
mod lake;
mod man;
mod migrate;
mod pipeline;
mod postgres;
mod progress;
mod signals;
mod status;
mod style;
mod tui;
mod users;
mod version;
mod web;

use std::{fmt::Write as _, io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use materia::humanize;

use self::context::{Context, PathArgs};

/// Publishes a DuckDB lakehouse's serving layer in one atomic step.
///
/// A pipeline (SQLMesh, dbt) that writes lakehouse.duckdb locks its own dashboards out of it, and
/// they lock it out. "materia export" copies the serving schema into a fresh file, audits it, and
/// renames it over analytics.duckdb: readers see the old file or the new one, whole, and never
/// wait.
#[derive(Debug, Parser)]
#[command(name = "materia", version, max_term_width = 120, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    /// Settings file
    #[arg(long, global = true, value_name = "FILE", help_heading = FILES, help = "Settings file [env: MATERIA_CONFIG] [default: materia.toml, if it exists]")]
    config: Option<PathBuf>,
    /// The pipeline's file
    #[arg(long, global = true, value_name = "FILE", help_heading = FILES, help = "The pipeline's file [env: DUCKDB_PATH] [default: lakehouse.duckdb]")]
    lakehouse: Option<PathBuf>,
    /// What is served
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = FILES,
        help = "What is served, a file or a lake (ducklake:...) [env: SERVING_DUCKDB_PATH] [default: analytics.duckdb next to the lakehouse]"
    )]
    to: Option<PathBuf>,
    #[command(subcommand)]
    verb: Command,
}

/// The heading of the global options, which would otherwise be mixed with a subcommand's own.
const FILES: &str = "Files";

const AFTER_HELP: &str = "\
Settings: flags win over the environment, the environment over materia.toml, materia.toml over the defaults. A .env file next to materia.toml is read as part of the environment.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 refused by audits, 4 lakehouse busy, 130 or 143 interrupted.

materia --version --verbose names the engine, the features and the build as well.";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Demo(demo::Args),
    Export(Box<export::Args>),
    Status(status::Args),
    Doctor(doctor::Args),
    Tui(tui::Args),
    History(history::Args),
    Diff(diff::Args),
    Rollback(generations::RollbackArgs),
    Release(generations::ReleaseArgs),
    /// Keep a generation from being pruned
    Pin(generations::PinArgs),
    /// Let a pinned generation be pruned again
    Unpin(generations::PinArgs),
    Migrate(migrate::Args),
    Pipeline(pipeline::Args),
    Alert(alert::Args),
    Dashboards(dashboards::Args),
    Web(web::Args),
    Postgres(postgres::Args),
    Users(users::Args),
    Extensions(extensions::Args),
    Lake(lake::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Complete(complete::Args),
    Man(man::Args),
}

/// Why a subcommand failed; the message has been formatted for people.
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    const FAILED: u8 = 1;
    const USAGE: u8 = 2;
    const REFUSED: u8 = 3;
    const BUSY: u8 = 4;

    fn usage(problem: impl std::fmt::Display) -> Self {
        Self { message: problem.to_string(), code: Self::USAGE }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: format!("{:#}", error.into()), code: Self::FAILED }
    }
}

fn main() -> ExitCode {
    if let Err(failure) = engine::select() {
        return finish(Err(failure));
    }
    if version::is_verbose(std::env::args_os().skip(1)) {
        return finish(version::run());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are also reported as errors, for standard output and with success.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(Failure::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    finish(dispatch(cli))
}

/// Prints the error, and returns the exit code.
fn finish(done: Result<ExitCode, Failure>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Further lines are aligned with the start of the first one.
                let _ = writeln!(
                    std::io::stderr(),
                    "materia: {}",
                    humanize::printable_lines(&failure.message).replace('\n', "\n         ")
                );
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    // These work without settings, even if the settings are invalid.
    match &cli.verb {
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        Command::Demo(args) => return demo::run(args),
        Command::Init(args) => return init::run(args, cli.lakehouse),
        _ => {}
    }
    let files = PathArgs { config: cli.config, lakehouse: cli.lakehouse, to: cli.to };
    if let Command::Tui(args) = cli.verb {
        // It reports invalid settings itself, and recovers when they are corrected.
        return tui::run(files, args);
    }
    if let Command::Complete(args) = &cli.verb {
        return complete::run(files, args);
    }
    if let Command::Migrate(args) = &cli.verb {
        // The target of --to is not served yet.
        return migrate::run(&files, args);
    }
    let is_reading = matches!(
        cli.verb,
        Command::Status(_) | Command::History(_) | Command::Doctor(_) | Command::Diff(_)
    );
    let loaded = if is_reading {
        Context::load_to_read(files.clone())
    } else {
        Context::load(files.clone())
    };
    let context = loaded.map_err(|error| Failure::usage(format!("{error:#}")))?;
    match cli.verb {
        Command::Export(args) => export::run(context, *args),
        Command::Status(args) => status::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::History(args) => history::run(&context, &args),
        Command::Diff(args) => diff::run(&context, &args),
        Command::Rollback(args) => generations::rollback(&context, &args),
        Command::Release(args) => generations::release(&context, &args),
        Command::Pin(args) => generations::pin(&context, &args),
        Command::Unpin(args) => generations::unpin(&context, &args),
        Command::Alert(args) => alert::run(&context, &args),
        Command::Pipeline(args) => pipeline::run(&context, &files, &args),
        Command::Dashboards(args) => dashboards::run(&context, &args),
        Command::Web(args) => web::run(context, &args),
        Command::Postgres(args) => postgres::run(context, &files, &args),
        Command::Users(args) => users::run(&context, &args),
        Command::Extensions(args) => extensions::run(&context, &args),
        Command::Lake(args) => lake::run(&context, &args),
        Command::Complete(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Demo(_)
        | Command::Init(_)
        | Command::Tui(_)
        | Command::Migrate(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Prints to standard output; a closed pipe (`| head`) is not a failure.
///
/// Names and values come from the lakehouse, so nothing in them may control the terminal.
fn print(text: &str) -> Result<(), Failure> {
    print_raw(&style::render(&humanize::printable_lines(text)))
}

/// Prints data that is not text for people, unchanged.
fn print_raw(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The version of what `--json` prints: it grows when a field is removed or means something else.
const JSON_VERSION: u32 = 1;

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print_raw(&(json_line(value)? + "\n"))
}

/// Formats a value as one line of JSON, without characters that control a terminal.
///
/// Every object begins with the version of its form, which docs/json.md describes.
fn json_line(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut line = String::with_capacity(text.len());
    let rest = match text.strip_prefix('{') {
        Some(rest) => {
            let comma = if rest == "}" { "" } else { "," };
            let _ = write!(line, "{{\"version\":{JSON_VERSION}{comma}");
            rest
        }
        None => text.as_str(),
    };
    for char in rest.chars() {
        if humanize::is_unprintable(char) {
            let _ = write!(line, "\\u{:04x}", u32::from(char));
        } else {
            line.push(char);
        }
    }
    Ok(line)
}

/// Formats a count of rows for a column of a list: figures and units are aligned.
fn rows_cell(rows: u64) -> String {
    format!("{:>15} {:<4}", materia::humanize::count(rows), if rows == 1 { "row" } else { "rows" })
}

/// Parses a duration for clap.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    materia::humanize::parse_duration(text)
}
