//! `materia migrate`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use materia::{
    export::{self, Finished, Job},
    target::Target,
    words,
};

use super::{Context, Failure, context::Files, export::conclude, progress, rows_cell, signals};

/// Move what is served into a DuckLake, or out of one into a file
///
/// Publishes what is served now to --to, and compares every table there with what is served, value for value. Nothing is switched: readers and exports go on
/// with what their settings name, until somebody names the new place there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A deployment that runs is moved in four steps: materia migrate --to ADDRESS; SERVING_DUCKDB_PATH=ADDRESS (or serving in materia.toml) for the exporter and every site; restart the sites; after the next export, what came in between is there too. The way back is the same with the file's path.")]
pub(super) struct Args {
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(files: &Files, args: &Args) -> Result<ExitCode, Failure> {
    let usage = |problem: &str| Failure::usage(format!("migrate: {problem}"));
    let Some(to) = &files.to else { return Err(usage("name where to, with --to ducklake:postgres:... or --to analytics.duckdb")) };
    let context = Context::load(Files { to: None, ..files.clone() }).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let from = super::export::target(&context)?;
    let mut settings = context.settings;
    settings.serve_at(to, Path::new("")).map_err(|problem| usage(&problem))?;
    let job = Job::new(&settings).map_err(|error| usage(&format!("cannot follow {}: {error}", to.display())))?;
    let stopped = signals::watch(&job.cancel)?;
    let mut watch = progress::watcher(args.json, false);
    let finished = export::migrate(&from, &job, watch.as_mut());
    drop(watch);
    conclude(&finished, &stopped, args.json, false, |finished| moved(finished, &from, &job.target))
}

fn moved(finished: &Finished, from: &Target, to: &Target) -> String {
    let record = &finished.record;
    let mut text = String::new();
    for table in &record.tables {
        let _ = writeln!(text, "  {:<32} {} equal", words::printable(&table.name), rows_cell(table.rows));
    }
    let (from, to) = (from.name(), to.name());
    let _ = writeln!(
        text,
        "{} holds what {} serves: {}, {}, compared value for value\n\
         To switch, set SERVING_DUCKDB_PATH (or serving in materia.toml) to {} for the exporter and every site, and restart the sites. Until then nothing \
         changes, and {} stays as it is.",
        to.display(),
        from.display(),
        words::plural(record.tables.len(), "table"),
        words::rows(record.rows()),
        to.display(),
        from.display()
    );
    text
}
