//! The command line: one file for each verb. The only part that reads the environment, prints, and picks exit codes.

#![allow(clippy::doc_markdown, reason = "doc comments here are help texts")]

mod alert;
mod completions;
mod context;
mod dashboards;
mod demo;
mod export;
mod extensions;
mod generations;
mod history;
mod man;
mod migrate;
mod pipeline;
mod progress;
mod signals;
mod status;
mod tui;
mod users;
mod web;

use std::{ffi::OsString, fmt::Write as _, io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use materia::words;

use self::context::{Context, Files};

/// Publishes a DuckDB lakehouse's serving layer in one atomic step.
///
/// A pipeline (SQLMesh, dbt) that writes lakehouse.duckdb locks its own dashboards out of it, and they lock it out. "materia export"
/// copies the serving schema into a fresh file, audits it, and renames it over analytics.duckdb: readers see the old file or
/// the new one, whole, and never wait.
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
        help = "What is served, a file or a lake (ducklake:...) [env: SERVING_DUCKDB_PATH] [default: analytics.duckdb beside the lakehouse]"
    )]
    to: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

/// The heading of the options that every verb has: they would otherwise stand between a verb's own.
const FILES: &str = "Files";

const AFTER_HELP: &str = "\
Settings: flags win over the environment, the environment over materia.toml, materia.toml over the defaults. A .env file beside materia.toml is read as if it were part of the environment.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 refused by audits, 4 lakehouse busy, 130 or 143 interrupted.";

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Export(Box<export::Args>),
    Status(status::Args),
    Tui(tui::Args),
    History(history::Args),
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
    Users(users::Args),
    Extensions(extensions::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Why a verb ended without doing what was asked; the message has been formatted for people.
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

/// Runs the command that `args` spell, and returns its exit code.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, for standard output and with success.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Failure::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Further lines stand below the first one's beginning.
                let _ = writeln!(std::io::stderr(), "materia: {}", words::printable_lines(&failure.message).replace('\n', "\n         "));
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    // These work without settings, even where the settings are wrong.
    match &cli.verb {
        Verb::Completions(args) => return completions::run(args),
        Verb::Man(args) => return man::run(args),
        Verb::Demo(args) => return demo::run(args),
        _ => {}
    }
    let files = Files { config: cli.config, lakehouse: cli.lakehouse, to: cli.to };
    if let Verb::Tui(args) = cli.verb {
        // It tells by itself when the settings are wrong, and when they are right again.
        return tui::run(files, args);
    }
    if let Verb::Migrate(args) = &cli.verb {
        // What --to names is not what is served yet.
        return migrate::run(&files, args);
    }
    let context = Context::load(files.clone()).map_err(|error| Failure::usage(format!("{error:#}")))?;
    match cli.verb {
        Verb::Export(args) => export::run(context, *args),
        Verb::Status(args) => status::run(&context, &args),
        Verb::History(args) => history::run(&context, &args),
        Verb::Rollback(args) => generations::rollback(&context, &args),
        Verb::Release(args) => generations::release(&context, &args),
        Verb::Pin(args) => generations::pin(&context, &args),
        Verb::Unpin(args) => generations::unpin(&context, &args),
        Verb::Alert(args) => alert::run(&context, &args),
        Verb::Pipeline(args) => pipeline::run(&context, &files, &args),
        Verb::Dashboards(args) => dashboards::run(&context, &args),
        Verb::Web(args) => web::run(context, &args),
        Verb::Users(args) => users::run(&context, &args),
        Verb::Extensions(args) => extensions::run(&context, &args),
        Verb::Completions(_) | Verb::Man(_) | Verb::Demo(_) | Verb::Tui(_) | Verb::Migrate(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Prints to standard output; a reader that has gone away (`| head`) is no failure.
///
/// Names and values come from the lakehouse: nothing in them may act on the terminal.
fn print(text: &str) -> Result<(), Failure> {
    print_raw(&words::printable_lines(text))
}

/// Prints what is no text for people as it is.
fn print_raw(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print_raw(&(json_line(value)? + "\n"))
}

/// A value as one line of JSON, in which no character acts on a terminal.
fn json_line(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if words::is_unprintable(char) {
            let _ = write!(line, "\\u{:04x}", u32::from(char));
        } else {
            line.push(char);
        }
    }
    Ok(line)
}

/// A count of rows as a column of a list: figures and units stand below one another.
fn rows_cell(rows: u64) -> String {
    format!("{:>15} {:<4}", materia::words::count(rows), if rows == 1 { "row" } else { "rows" })
}

/// Clap's reading of a length of time.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    materia::words::parse_duration(text)
}
