//! `materia tui`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ValueEnum, builder::PossibleValue};
use materia::status::StatusSource;

use super::{Context, Failure, PathArgs, print};
use materia_tui::{
    self as tui, ColorDepth, ColorScheme, Config, ConfigSource, Options, TerminalScreen, Theme,
    ThemeFile,
};

/// Watch what is served in the terminal
///
/// The age of the data, the last exports, the data itself, and what needs attention. Press ? for the
/// keys. Nothing is changed from here unless actions are allowed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a terminal, use \"materia status\". The site's health is shown where [web] metrics in materia.toml, or MATERIA_METRICS, is the address \
of its metrics. NO_COLOR and TERM=dumb are respected. The background is that of COLORFGBG, or else the one that the terminal reports. Alt-E opens $VISUAL or $EDITOR.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate flag")]
pub(super) struct Args {
    /// Allow exports, pipelines, rollbacks and pins from the start; ! allows and forbids them at
    /// any time
    #[arg(long)]
    allow_actions: bool,
    /// Colors for a dark or a light background, or a theme file: auto, dark, light, or its path
    #[arg(long, value_name = "THEME")]
    theme: Option<String>,
    /// Number of colors to use
    #[arg(long, value_name = "COLORS", default_value = "auto")]
    color: ColorFlag,
    /// Draw with ASCII only; the default where the locale is not UTF-8
    #[arg(long)]
    ascii: bool,
    /// Do not capture the mouse
    #[arg(long)]
    no_mouse: bool,
    /// Ring the bell when another problem appears
    #[arg(long)]
    bell: bool,
    /// Print every action and its keys as Markdown, and exit; [tui.keys] in materia.toml sets keys
    #[arg(long)]
    print_keys: bool,
    /// Print the colors as a theme file, and exit
    #[arg(long)]
    print_theme: bool,
    /// A file to show under Logs, or unit:NAME for the journal; may be given several times
    #[arg(long, value_name = "FILE")]
    log: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum ColorFlag {
    Auto,
    Never,
    Sixteen,
    Ansi256,
    TrueColor,
}

impl ValueEnum for ColorFlag {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Never, Self::Sixteen, Self::Ansi256, Self::TrueColor]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Sixteen => "16",
            Self::Ansi256 => "256",
            Self::TrueColor => "true",
        }))
    }
}

pub(super) fn run(files: PathArgs, args: Args) -> Result<ExitCode, Failure> {
    // Invalid settings are shown in the dashboard, which reads them again when they change.
    let settings = Context::load(files.clone()).map(|context| {
        materia::locale::set(context.settings.brand.locale);
        context.settings.tui
    });
    if args.print_keys {
        let keys = tui::print_keys(&settings?.keys).map_err(|error| anyhow::anyhow!(error))?;
        print(&keys)?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = args.theme.clone().or_else(|| settings.ok()?.theme);
    let file = theme_file(chosen.as_deref().unwrap_or("auto"))?;
    let theme = Theme {
        scheme: file.scheme.or_else(environment_scheme).unwrap_or(ColorScheme::Dark),
        depth: color_depth(args.color),
        ascii: args.ascii || !is_utf8(),
        // Read once per process.
        colors: Some(Box::leak(Box::new(file.colors))),
    };
    if args.print_theme {
        print(&theme.to_file())?;
        return Ok(ExitCode::SUCCESS);
    }
    if !TerminalScreen::is_available() {
        return Err(Failure::usage(
            "this is not a terminal; use `materia status` (or `materia status --json`) instead",
        ));
    }
    let editor =
        variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let options = Options {
        theme,
        allow_actions: args.allow_actions,
        mouse: !args.no_mouse,
        title: understands_osc(),
        query_background: file.scheme.is_none()
            && environment_scheme().is_none()
            && theme.depth != ColorDepth::None
            && understands_osc(),
        bell: args.bell,
        editor,
    };
    let settings = files.settings_path();
    let source = ConfigSource {
        files: vec![settings.with_file_name(".env"), settings],
        load: Box::new(move || load_config(&files, &args.log)),
        queries: query_history_path(),
    };
    tui::run(&options, source)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the settings.
fn load_config(files: &PathArgs, logs: &[String]) -> Result<Config, String> {
    let settings = Context::load(files.clone()).map_err(|error| format!("{error:#}"))?.settings;
    let target = settings
        .target()
        .map_err(|error| format!("cannot follow {}: {error}", settings.serving.display()))?;
    let mut shown: Vec<String> = settings.tui.logs.clone();
    shown.extend(logs.iter().cloned());
    Ok(Config {
        place: StatusSource {
            target,
            lakehouse: settings.lakehouse.clone(),
            max_age: settings.status.max_age,
        },
        logs: shown,
        options: files.options(),
        settings,
    })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads the theme: a color scheme, or a file.
fn theme_file(theme: &str) -> Result<ThemeFile, Failure> {
    let scheme = match theme {
        "auto" => None,
        "dark" => Some(ColorScheme::Dark),
        "light" => Some(ColorScheme::Light),
        path => {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!(
                    "theme {path}: {error}; a theme is auto, dark, light, or a file as --print-theme prints it"
                ))
            })?;
            return ThemeFile::parse(Path::new(path), &text)
                .map_err(|error| Failure::usage(error.to_string()));
        }
    };
    Ok(ThemeFile { scheme, ..ThemeFile::default() })
}

/// Returns the scheme for the background color in the last field of `COLORFGBG`, as in `15;0` or
/// `0;default;15`.
fn environment_scheme() -> Option<ColorScheme> {
    let background = variable("COLORFGBG")?.rsplit(';').next()?.parse::<u8>().ok()?;
    Some(if background == 7 || background == 15 { ColorScheme::Light } else { ColorScheme::Dark })
}

fn color_depth(flag: ColorFlag) -> ColorDepth {
    match flag {
        ColorFlag::Never => ColorDepth::None,
        ColorFlag::Sixteen => ColorDepth::Sixteen,
        ColorFlag::Ansi256 => ColorDepth::Ansi256,
        ColorFlag::TrueColor => ColorDepth::TrueColor,
        ColorFlag::Auto => {
            let terminal = variable("TERM").unwrap_or_default();
            let colors = variable("COLORTERM").unwrap_or_default();
            match (colors.as_str(), terminal.as_str()) {
                _ if variable("NO_COLOR").is_some() => ColorDepth::None,
                (_, "dumb" | "vt100" | "vt220") => ColorDepth::None,
                ("truecolor" | "24bit", _) => ColorDepth::TrueColor,
                (_, terminal) if terminal.ends_with("-direct") => ColorDepth::TrueColor,
                (_, terminal) if terminal.contains("256color") => ColorDepth::Ansi256,
                _ => ColorDepth::Sixteen,
            }
        }
    }
}

/// Returns whether the terminal understands the sequences that set its title and query its colors;
/// others could draw them as text.
fn understands_osc() -> bool {
    let terminal = variable("TERM").unwrap_or_default();
    !matches!(terminal.as_str(), "" | "dumb" | "linux" | "vt100" | "vt220")
}

/// Returns whether the locale is UTF-8, which is assumed without a locale.
fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(variable)
        .unwrap_or_else(|| "C.UTF-8".to_owned())
        .to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Returns the folder with the queries of earlier sessions.
fn query_history_path() -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&variable("HOME")?).join(".local/state")))?;
    Some(state.join("materia"))
}
