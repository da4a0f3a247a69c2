//! `materia dashboards`.

mod draw;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Subcommand;
use materia::{
    dashboard::{self, Dashboard, Dashboards, PanelFailure},
    humanize,
    plan::Plan,
    reader::{Pin, Reader, ReaderConfig, block_on},
    settings::{DashboardSettings, Severity},
    toml_file::FileError,
};

use materia_web::PreviewNews;

use super::{
    Context, Failure, context, print, print_json,
    style::{Tone, paint},
};

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
    /// List the dashboards
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Evaluate every dashboard on the served file, and list errors and warnings
    ///
    /// Errors refuse an export: a missing table or column, a type that cannot be drawn, SQL that
    /// fails, fewer rows than min_rows. Warnings do not: panels that are empty or show only part of
    /// their rows, and tables of a paid panel that a lower plan can read.
    #[command(
        after_help = "Exit codes: 0 no errors, warnings or not; 1 errors; 2 wrong usage or settings."
    )]
    Check {
        /// Folder of dashboard files [default: what [dashboards] in materia.toml says]
        dir: Option<PathBuf>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a first dashboard file for a table, with comments, to be edited
    ///
    /// Writes TABLE.toml into the folder of [dashboards] in materia.toml, or prints it if none is
    /// set. An existing file is not overwritten.
    New {
        /// A served table [default: the largest]
        table: Option<String>,
    },
    /// Serve a folder of dashboards on this machine, and renew the open page at every save
    ///
    /// For authors: with the served data, without accounts and sign-in, and with drafts, the reasons
    /// of failures and the mistakes in the files on the page. Only this machine can open it. Ends at
    /// Ctrl-C.
    Preview {
        /// Folder of dashboard files [default: what [dashboards] in materia.toml says]
        dir: Option<PathBuf>,
        /// Where to listen; only addresses of this machine
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
        listen: SocketAddr,
    },
    /// Print one dashboard as text
    Show {
        /// Its address, for example supply
        slug: String,
        /// A filter's value, for example years_from=2015 or country=BR; repeat it for several
        /// values
        #[arg(long, value_name = "NAME=VALUE", value_parser = chosen)]
        filter: Vec<(String, String)>,
        /// The viewer's plan: free, starter or pro
        #[arg(long, default_value = "pro")]
        plan: Plan,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

fn chosen(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE, as in country=BR"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One dashboard in the list.
#[derive(serde::Serialize)]
struct Line<'a> {
    slug: &'a str,
    title: &'a str,
    plan: Plan,
    panels: usize,
    description: Option<&'a str>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    materia::locale::set(context.settings.brand.locale);
    match &args.verb {
        Verb::List { json } => list(context, *json),
        Verb::Check { dir, json } => check(context, dir.as_ref(), *json),
        Verb::New { table } => new(context, table.as_deref()),
        Verb::Preview { dir, listen } => preview(context, dir.clone(), *listen),
        Verb::Show { slug, filter, plan, json } => show(context, slug, filter, *plan, *json),
    }
}

fn pin(context: &Context) -> Result<Pin, Failure> {
    let target = super::export::target(context)?;
    let reader =
        Reader::open(&target, context.settings.export.served_schema(), ReaderConfig::default())?;
    Ok(reader.pin()?)
}

/// The dashboards of one generation.
type DashboardList = Arc<[Arc<Dashboard>]>;

fn all(context: &Context) -> Result<(Pin, DashboardList), Failure> {
    let dashboards = context::dashboards(&context.settings)?;
    let pin = pin(context)?;
    let all = block_on(dashboards.all(&pin))?;
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
            humanize::plural(dashboard.panels.len(), "panel"),
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

fn new(context: &Context, table: Option<&str>) -> Result<ExitCode, Failure> {
    let pin = pin(context)?;
    let tables = block_on(pin.catalog())?.tables;
    let found = match table {
        Some(name) => tables.iter().find(|table| table.name == name),
        None => tables.iter().max_by_key(|table| table.rows),
    };
    let table = found.ok_or_else(|| {
        let names = tables.iter().map(|table| table.name.as_str());
        Failure::usage(humanize::unknown_name_message("table", table.unwrap_or_default(), names))
    })?;
    let text = dashboard::scaffold(table);
    let Some(dir) = &context.settings.dashboards.dir else {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    };
    let name = table.name.to_lowercase();
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let path = dir.join(format!("{}.toml", letters.collect::<String>()));
    let failed =
        |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", path.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut file = std::fs::File::create_new(&path).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    print(&format!(
        "wrote {}; `materia dashboards check` lists what is wrong with it\n",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn preview(
    context: &Context,
    dir: Option<PathBuf>,
    listen: SocketAddr,
) -> Result<ExitCode, Failure> {
    if !listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "--listen {listen}: others could open it without signing in; use 127.0.0.1:PORT, or `materia web` to serve others"
        )));
    }
    let mut settings = context.settings.clone();
    if dir.is_some() {
        settings.dashboards = DashboardSettings { dir, ..DashboardSettings::default() };
    }
    let Some(dir) = settings.dashboards.dir.clone() else {
        return Err(Failure::usage(
            "which dashboards? Name a folder, as in `materia dashboards preview dashboards`, or set [dashboards] dir in materia.toml",
        ));
    };
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", dir.display())));
    }
    let report = move |news: PreviewNews<'_>| {
        let text = match news {
            PreviewNews::Listening(address) => {
                format!("previewing {} on http://{address}/\n", dir.display())
            }
            PreviewNews::Loaded([]) => "no mistakes in the files\n".to_owned(),
            PreviewNews::Loaded(mistakes) => {
                let lines = mistakes.iter().map(ToString::to_string);
                lines.collect::<Vec<_>>().join("\n") + "\n"
            }
        };
        // Without a terminal, the page still has it.
        let _ = print(&text);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(materia_web::preview(settings, listen, report))?;
    Ok(ExitCode::SUCCESS)
}

fn check(context: &Context, dir: Option<&PathBuf>, json: bool) -> Result<ExitCode, Failure> {
    let dashboards = match dir {
        Some(dir) => Dashboards::load_dir(dir).map_err(Failure::usage)?,
        None => context::dashboards(&context.settings)?,
    };
    let pin = pin(context)?;
    let mut failures = block_on(dashboard::check(&dashboards, &pin))?;
    let all = block_on(dashboards.all(&pin))?;
    failures.extend(dashboard::exposed(&all, &context.settings.tables));
    let problems = dashboards.problems();
    if json {
        let file = |error: &FileError| serde_json::json!({ "file": error.path, "line": error.line, "problem": error.message, "severity": Severity::Error });
        let part = |failure: &PanelFailure| {
            serde_json::json!({
                "file": failure.error.path, "line": failure.error.line, "dashboard": failure.dashboard, "part": failure.part,
                "problem": failure.error.message, "severity": failure.severity,
            })
        };
        let found: Vec<_> = problems.iter().map(file).chain(failures.iter().map(part)).collect();
        print_json(&serde_json::json!({ "dashboards": all.len(), "problems": found }))?;
    } else {
        for problem in problems {
            print(&format!("{problem}\n"))?;
        }
        for PanelFailure { part, error, severity, .. } in &failures {
            let warning = if *severity == Severity::Warn { "warning: " } else { "" };
            let error = FileError {
                message: format!("{warning}{part}: {}", error.message),
                ..error.clone()
            };
            print(&format!("{error}\n"))?;
        }
    }
    let warnings = failures.iter().filter(|failure| failure.severity == Severity::Warn).count();
    let wrong = problems.len() + failures.len() - warnings;
    if wrong > 0 {
        return Err(Failure {
            message: format!("{} in the dashboards", humanize::plural(wrong, "mistake")),
            code: Failure::FAILED,
        });
    }
    if !json {
        let panels = all.iter().map(|dashboard| dashboard.panels.len()).sum();
        let found = if warnings > 0 {
            format!("no errors, {}", humanize::plural(warnings, "warning"))
        } else {
            "all of them evaluated".to_owned()
        };
        print(&format!(
            "{}, {}: {found}\n",
            humanize::plural(all.len(), "dashboard"),
            humanize::plural(panels, "panel")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    context: &Context,
    slug: &str,
    filter: &[(String, String)],
    plan: Plan,
    json: bool,
) -> Result<ExitCode, Failure> {
    let (pin, all) = all(context)?;
    let dashboard = all.iter().find(|dashboard| dashboard.slug == slug);
    let dashboard =
        dashboard.ok_or_else(|| Failure::usage(Dashboards::unknown_slug_message(&all, slug)))?;
    let known: Vec<String> =
        dashboard.filters.iter().flat_map(dashboard::Filter::parameters).collect();
    if let Some((unknown, _)) = filter.iter().find(|(name, _)| !known.contains(name)) {
        return Err(Failure::usage(format!(
            "--filter: {}",
            humanize::unknown_name_message("filter", unknown, known.iter().map(String::as_str))
        )));
    }
    let data = block_on(dashboard::evaluate(dashboard, &pin, filter, plan));
    if json {
        print_json(&data)?;
    } else {
        let drawn = draw::dashboard(&data);
        let (title, rest) = drawn.split_once('\n').unwrap_or((&drawn, ""));
        print(&format!("{}\n{rest}", paint(Tone::Title, title)))?;
    }
    Ok(ExitCode::SUCCESS)
}
