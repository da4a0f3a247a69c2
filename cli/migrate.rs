//! `materia migrate`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use materia::{
    export::{self, AttemptResult, ExportJob, MigrationPlan},
    humanize,
    store::Store,
};

use super::{
    Context, Failure, context::PathArgs, export::conclude, print, print_json, progress, rows_cell,
    signals,
};

/// Move what is served into a DuckLake, or out of one into a file
///
/// Publishes what is served now to --to, and compares every table there with the served one, value
/// by value. Nothing is switched: readers and exports use what their settings name until you name
/// the new place there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A deployment that runs is moved in four steps: materia migrate --to ADDRESS; SERVING_DUCKDB_PATH=ADDRESS (or serving in materia.toml) for the exporter and every site; restart the sites; after the next export, what came in between is there too. The way back is the same with the file's path.")]
pub(super) struct Args {
    /// Migrate to a lake that another machine or lakehouse fills, and own it from now on
    #[arg(long)]
    take_over: bool,
    /// Show what would be copied, check types and access, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print events and the result as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(files: &PathArgs, args: &Args) -> Result<ExitCode, Failure> {
    let usage = |problem: &str| Failure::usage(format!("migrate: {problem}"));
    let Some(to) = &files.to else {
        return Err(usage(
            "name where to, with --to ducklake:postgres:... or --to analytics.duckdb",
        ));
    };
    let context = Context::load(PathArgs { to: None, ..files.clone() })
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let from = super::export::target(&context)?;
    let mut settings = context.settings;
    settings.with_target(to, Path::new("")).map_err(|problem| usage(&problem))?;
    let mut job = ExportJob::new(&settings)
        .map_err(|error| usage(&format!("cannot follow {}: {error}", to.display())))?;
    job.lake.take_over = args.take_over;
    if args.dry_run {
        let plan = export::dry_run_migrate(&from, &job)?;
        let printed = if args.json {
            print_json(&plan)
        } else {
            print(&rehearsed(&plan, &from, &job.target))
        };
        return printed.map(|()| ExitCode::SUCCESS);
    }
    signals::watch(&job.cancel)?;
    let mut watch = progress::watcher(args.json, false);
    let finished = export::migrate(&from, &job, watch.as_mut());
    drop(watch);
    conclude(&finished, &job.cancel, args.json, false, |finished| {
        moved(finished, &from, &job.target)
    })
}

fn rehearsed(plan: &MigrationPlan, from: &Store, to: &Store) -> String {
    let mut text = format!(
        "would migrate generation {} from {} to {}\n",
        plan.generation,
        from.display_name().display(),
        to.display_name().display()
    );
    for table in &plan.tables {
        let _ = writeln!(
            text,
            "  {:<32} {}",
            humanize::printable(&table.name),
            rows_cell(table.rows).trim_end()
        );
    }
    for column in &plan.converted {
        let _ = writeln!(text, "  {}", humanize::printable(column));
    }
    text + "nothing was written\n"
}

fn moved(finished: &AttemptResult, from: &Store, to: &Store) -> String {
    let record = &finished.record;
    let mut text = String::new();
    for table in &record.tables {
        let _ = writeln!(
            text,
            "  {:<32} {} equal",
            humanize::printable(&table.name),
            rows_cell(table.rows)
        );
    }
    let (from, to) = (from.display_name(), to.display_name());
    let _ = writeln!(
        text,
        "{} contains what {} serves: {}, {}, compared value by value\n\
         To switch, set SERVING_DUCKDB_PATH (or serving in materia.toml) to {} for the exporter and every site, and restart the sites. Until then nothing \
         changes, and {} is left unchanged.",
        to.display(),
        from.display(),
        humanize::plural(record.tables.len(), "table"),
        humanize::rows(record.rows()),
        to.display(),
        from.display()
    );
    text
}
