//! `materia tui`.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ValueEnum, builder::PossibleValue};
use materia::status::Place;

use super::{Context, Failure, Files};
use crate::tui::{self, Depth, Look, Options, Setup, Source, TerminalScreen, Theme};

/// Watch what is served in the terminal
///
/// Is the data fresh, did the last export work, what is in it, what is wrong. Press ? for the keys. Nothing is changed from here unless actions are allowed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a terminal, use \"materia status\". The site's health is shown where [web] metrics in materia.toml, or MATERIA_METRICS, tells the address \
of its metrics. NO_COLOR and TERM=dumb are respected; COLORFGBG tells a light ground where the terminal sets it.")]
pub(super) struct Args {
    /// Allow exports, pipelines, rollbacks and pins from the start; ! allows and forbids them at any time
    #[arg(long)]
    allow_actions: bool,
    /// Colours for a dark or a light ground
    #[arg(long, value_name = "THEME", default_value = "auto")]
    theme: ThemeFlag,
    /// How many colours to use
    #[arg(long, value_name = "COLORS", default_value = "auto")]
    color: ColorFlag,
    /// Draw with ASCII only; the default where the locale is not UTF-8
    #[arg(long)]
    ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// A file to show under Logs, or unit:NAME for the journal; may be given several times
    #[arg(long, value_name = "FILE")]
    log: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum ThemeFlag {
    Auto,
    Dark,
    Light,
}

impl ValueEnum for ThemeFlag {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Dark, Self::Light]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        }))
    }
}

#[derive(Debug, Clone, Copy)]
enum ColorFlag {
    Auto,
    Never,
    Sixteen,
    Many,
    True,
}

impl ValueEnum for ColorFlag {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Never, Self::Sixteen, Self::Many, Self::True]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Sixteen => "16",
            Self::Many => "256",
            Self::True => "true",
        }))
    }
}

pub(super) fn run(files: Files, args: Args) -> Result<ExitCode, Failure> {
    if !TerminalScreen::is_there() {
        return Err(Failure::usage("this is not a terminal; use `materia status` (or `materia status --json`) instead"));
    }
    let look = Look { theme: theme(args.theme), depth: depth(args.color), ascii: args.ascii || !is_utf8() };
    let options = Options { look, allow_actions: args.allow_actions, mouse: !args.no_mouse };
    let settings = files.settings_path();
    let source = Source {
        files: vec![settings.with_file_name(".env"), settings],
        load: Box::new(move || setup(&files, &args.log)),
        queries: queries(),
    };
    tui::run(&options, source)?;
    Ok(ExitCode::SUCCESS)
}

/// What the settings say now.
fn setup(files: &Files, logs: &[String]) -> Result<Setup, String> {
    let settings = Context::load(files.clone()).map_err(|error| format!("{error:#}"))?.settings;
    let target = settings.target().map_err(|error| format!("cannot follow {}: {error}", settings.serving.display()))?;
    let mut shown: Vec<String> = settings.tui.logs.clone();
    shown.extend(logs.iter().cloned());
    Ok(Setup {
        place: Place { target, lakehouse: settings.lakehouse, max_age: settings.status.max_age },
        schema: settings.export.served_schema().to_owned(),
        dashboards: settings.dashboards,
        metrics: settings.web.metrics,
        logs: shown,
        pipelines: settings.pipelines.names().into_iter().map(str::to_owned).collect(),
        options: files.options(),
    })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `COLORFGBG` is `15;0` or `0;default;15`: the ground is the last one.
fn theme(flag: ThemeFlag) -> Theme {
    match flag {
        ThemeFlag::Dark => Theme::Dark,
        ThemeFlag::Light => Theme::Light,
        ThemeFlag::Auto => {
            let ground = variable("COLORFGBG").and_then(|colors| colors.rsplit(';').next()?.parse::<u8>().ok());
            if ground.is_some_and(|ground| ground == 7 || ground == 15) { Theme::Light } else { Theme::Dark }
        }
    }
}

fn depth(flag: ColorFlag) -> Depth {
    match flag {
        ColorFlag::Never => Depth::None,
        ColorFlag::Sixteen => Depth::Sixteen,
        ColorFlag::Many => Depth::Many,
        ColorFlag::True => Depth::True,
        ColorFlag::Auto => {
            let terminal = variable("TERM").unwrap_or_default();
            let colors = variable("COLORTERM").unwrap_or_default();
            match (colors.as_str(), terminal.as_str()) {
                _ if variable("NO_COLOR").is_some() => Depth::None,
                (_, "dumb" | "vt100" | "vt220") => Depth::None,
                ("truecolor" | "24bit", _) => Depth::True,
                (_, terminal) if terminal.ends_with("-direct") => Depth::True,
                (_, terminal) if terminal.contains("256color") => Depth::Many,
                _ => Depth::Sixteen,
            }
        }
    }
}

/// Whether the locale says that the terminal takes UTF-8; where nothing is said, it does.
fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_else(|| "C.UTF-8".to_owned()).to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Where queries are remembered between sessions.
fn queries() -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&variable("HOME")?).join(".local/state")))?;
    Some(state.join("materia").join("queries.jsonl"))
}
