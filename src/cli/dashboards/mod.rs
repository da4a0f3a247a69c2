//! `materia dashboards`.

mod draw;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Subcommand;
use materia::{
    dashboard::{self, Broken, Dashboard, Dashboards},
    plan::Plan,
    reader::{Pin, Reader, ReaderLimits, wait},
    settings::Severity,
    toml_file::FileError,
    words,
};

use super::{Context, Failure, context, print, print_json};

/// List, check and print dashboards
///
/// Dashboards are TOML files: see [dashboards] in materia.toml.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the dashboards there are
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Evaluate every dashboard on the served file, and list errors and warnings
    ///
    /// Errors are what would refuse an export: a missing table or column, a type that cannot be drawn, SQL that fails, fewer rows than
    /// min_rows. Warnings are what the amount of data causes: panels that are empty or that show only a part.
    #[command(after_help = "Exit codes: 0 no errors, warnings or not; 1 errors; 2 wrong usage or settings.")]
    Check {
        /// Folder of dashboard files [default: what [dashboards] in materia.toml says]
        dir: Option<PathBuf>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one dashboard as text
    Show {
        /// Its address, for example supply
        slug: String,
        /// What to choose, for example years_from=2015 or country=BR; several times for several values
        #[arg(long, value_name = "NAME=VALUE", value_parser = chosen)]
        filter: Vec<(String, String)>,
        /// Whose plan to see it with: free, starter or pro
        #[arg(long, default_value = "pro")]
        plan: Plan,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

fn chosen(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE, as in country=BR"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What stands in the list.
#[derive(serde::Serialize)]
struct Line<'a> {
    slug: &'a str,
    title: &'a str,
    plan: Plan,
    panels: usize,
    description: Option<&'a str>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.verb {
        Verb::List { json } => list(context, *json),
        Verb::Check { dir, json } => check(context, dir.as_ref(), *json),
        Verb::Show { slug, filter, plan, json } => show(context, slug, filter, *plan, *json),
    }
}

fn pin(context: &Context) -> Result<Pin, Failure> {
    let target = super::export::target(context)?;
    let reader = Reader::follow(&target, context.settings.export.served_schema(), ReaderLimits::default())?;
    Ok(reader.pin()?)
}

/// The dashboards of one generation.
type Family = Arc<[Arc<Dashboard>]>;

fn all(context: &Context) -> Result<(Pin, Family), Failure> {
    let dashboards = context::dashboards(&context.settings)?;
    let pin = pin(context)?;
    let all = wait(dashboards.all(&pin))?;
    Ok((pin, all))
}

fn list(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let (_, all) = all(context)?;
    let line = |dashboard: &'_ Arc<Dashboard>| -> String {
        let about = dashboard.description.as_deref().unwrap_or_default();
        format!(
            "{:<16} {:<8} {:>10}  {}  {about}",
            dashboard.slug,
            dashboard.plan,
            words::plural(dashboard.panels.len(), "panel"),
            dashboard.title
        )
        .trim_end()
        .to_owned()
            + "\n"
    };
    if json {
        let lines: Vec<_> = all
            .iter()
            .map(|dashboard| Line {
                slug: &dashboard.slug,
                title: &dashboard.title,
                plan: dashboard.plan,
                panels: dashboard.panels.len(),
                description: dashboard.description.as_deref(),
            })
            .collect();
        print_json(&lines)?;
    } else {
        print(&all.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(context: &Context, dir: Option<&PathBuf>, json: bool) -> Result<ExitCode, Failure> {
    let dashboards = match dir {
        Some(dir) => Dashboards::folder(dir).map_err(Failure::usage)?,
        None => context::dashboards(&context.settings)?,
    };
    let pin = pin(context)?;
    let broken = wait(dashboard::check(&dashboards, &pin))?;
    let all = wait(dashboards.all(&pin))?;
    let problems = dashboards.problems();
    if json {
        let file = |error: &FileError| serde_json::json!({ "file": error.path, "line": error.line, "problem": error.message, "severity": Severity::Error });
        let part = |broken: &Broken| {
            serde_json::json!({
                "file": broken.error.path, "line": broken.error.line, "dashboard": broken.dashboard, "part": broken.part,
                "problem": broken.error.message, "severity": broken.severity,
            })
        };
        let found: Vec<_> = problems.iter().map(file).chain(broken.iter().map(part)).collect();
        print_json(&serde_json::json!({ "dashboards": all.len(), "problems": found }))?;
    } else {
        for problem in problems {
            print(&format!("{problem}\n"))?;
        }
        for Broken { part, error, severity, .. } in &broken {
            let warning = if *severity == Severity::Warn { "warning: " } else { "" };
            let error = FileError { message: format!("{warning}{part}: {}", error.message), ..error.clone() };
            print(&format!("{error}\n"))?;
        }
    }
    let warnings = broken.iter().filter(|broken| broken.severity == Severity::Warn).count();
    let wrong = problems.len() + broken.len() - warnings;
    if wrong > 0 {
        return Err(Failure { message: format!("{} in the dashboards", words::plural(wrong, "mistake")), code: Failure::FAILED });
    }
    if !json {
        let panels = all.iter().map(|dashboard| dashboard.panels.len()).sum();
        let found =
            if warnings > 0 { format!("no errors, {}", words::plural(warnings, "warning")) } else { "all of them answered".to_owned() };
        print(&format!("{}, {}: {found}\n", words::plural(all.len(), "dashboard"), words::plural(panels, "panel")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, slug: &str, filter: &[(String, String)], plan: Plan, json: bool) -> Result<ExitCode, Failure> {
    let (pin, all) = all(context)?;
    let dashboard = all.iter().find(|dashboard| dashboard.slug == slug);
    let dashboard = dashboard.ok_or_else(|| Failure::usage(Dashboards::unknown(&all, slug)))?;
    let known: Vec<String> = dashboard.filters.iter().flat_map(dashboard::Filter::parameters).collect();
    if let Some((unknown, _)) = filter.iter().find(|(name, _)| !known.contains(name)) {
        return Err(Failure::usage(format!("--filter: {}", words::unknown("filter", unknown, known.iter().map(String::as_str)))));
    }
    let data = wait(dashboard::answer(dashboard, &pin, filter, plan));
    if json {
        print_json(&data)?;
    } else {
        print(&draw::dashboard(&data))?;
    }
    Ok(ExitCode::SUCCESS)
}
