//! `materia man`.

use std::{fs, io, path::Path, process::ExitCode};

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use materia::settings::VARIABLES;

use super::{Cli, Failure, print};

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: materia man ~/.local/share/man/man1 && man materia-export")]
pub(super) struct Args {
    /// The folder; it is created if it does not exist
    dir: std::path::PathBuf,
}

const EXIT_STATUS: [(&str, &str); 7] = [
    ("0", "Success."),
    ("1", "Failure."),
    ("2", "Incorrect usage or settings."),
    ("3", "Audits refused the export."),
    ("4", "The lakehouse, or another process of materia, was busy for too long."),
    ("130", "Interrupted by Ctrl-C."),
    ("143", "Stopped by SIGTERM."),
];

const FILES: [(&str, &str); 6] = [
    ("materia.toml", "The settings, in the current folder or as --config names them."),
    (".env", "Variables, next to materia.toml."),
    (
        "/etc/materia/env",
        "Variables of the units; status, doctor, history and diff read them where nothing else names a place.",
    ),
    ("lakehouse.duckdb", "The pipeline's file."),
    (
        "analytics.duckdb",
        "The served file; next to it are analytics.generations, analytics.history.jsonl, analytics.logs and analytics.alerts.json.",
    ),
    ("accounts.db", "The accounts of the site."),
];

/// An example for each command without one in its help.
const EXAMPLES: [(&str, &str); 24] = [
    ("materia", "materia export && materia status"),
    ("materia-init", "materia init --yes"),
    ("materia-demo", "materia demo try && cd try && materia export"),
    ("materia-export", "materia export --dry-run"),
    ("materia-status", "materia status --max-age 2h"),
    ("materia-doctor", "runuser -u materia -- materia doctor"),
    ("materia-tui", "materia tui"),
    ("materia-history", "materia history -n 3"),
    ("materia-diff", "materia diff --markdown > changes.md"),
    ("materia-rollback", "materia rollback --hold"),
    ("materia-release", "materia release"),
    ("materia-pin", "materia pin 20261129T0217"),
    ("materia-unpin", "materia unpin 20261129T0217"),
    ("materia-migrate", "materia migrate --to ducklake:sqlite:lake.sqlite"),
    ("materia-pipeline", "materia pipeline run --all"),
    ("materia-alert", "materia alert --test"),
    ("materia-dashboards", "materia dashboards check"),
    ("materia-web", "materia web --check"),
    ("materia-users", "materia users list"),
    ("materia-users-backup", "materia users backup accounts-20261129.db"),
    ("materia-users-restore", "materia users restore accounts-20261129.db"),
    ("materia-extensions", "materia extensions install"),
    ("materia-lake", "materia lake check --deep"),
    ("materia-completions", "materia completions fish > ~/.config/fish/completions/materia.fish"),
];

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let refused = |error| {
        Failure::from(anyhow::anyhow!(
            "the manual pages cannot be written into {}: {error}",
            args.dir.display()
        ))
    };
    fs::create_dir_all(&args.dir).map_err(refused)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &args.dir).map_err(refused)?;
    print(&format!("manual pages are in {}\n", args.dir.display())).map(|()| ExitCode::SUCCESS)
}

fn write_pages(command: &Command, dir: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, dir)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let (mut extra, mut exit_status, mut examples) = (Vec::new(), Vec::new(), Vec::new());
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in help.split("\n\n") {
        match (paragraph.strip_prefix("Exit codes: "), paragraph.strip_prefix("Example: ")) {
            (Some(text), _) => exit_status.push(text.to_owned()),
            (_, Some(text)) => examples.push(text.to_owned()),
            _ if paragraph.is_empty() => {}
            _ => extra.push(paragraph.to_owned()),
        }
    }
    let man = Man::new(command.clone().after_help("").after_long_help(""));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    paragraphs(&mut roff, "NOTES", &extra);
    environment(&mut roff, command);
    roff.control("SH", ["EXIT STATUS"]);
    if exit_status.is_empty() {
        list(&mut roff, &EXIT_STATUS);
    } else {
        for text in exit_status {
            roff.text([roman(text)]).control("PP", []);
        }
    }
    roff.control("SH", ["FILES"]);
    list(&mut roff, &FILES);
    examples.extend(
        EXAMPLES.iter().filter(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()),
    );
    if examples.is_empty() {
        examples.push(format!("{} --help", name.replacen('-', " ", name.matches('-').count())));
    }
    paragraphs(&mut roff, "EXAMPLES", &examples);
    roff.to_writer(&mut page)?;
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    fs::write(dir.join(format!("{name}.1")), page)
}

fn paragraphs(roff: &mut Roff, title: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    roff.control("SH", [title]);
    for text in texts {
        for line in text.lines() {
            roff.text([roman(line)]);
        }
        roff.control("PP", []);
    }
}

fn list(roff: &mut Roff, items: &[(&str, &str)]) {
    for (name, text) in items {
        roff.control("TP", []).text([bold(*name)]).text([roman(*text)]);
    }
}

/// The variables: all of them on the first page, those that set an option on that of a
/// command.
fn environment(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["ENVIRONMENT"]);
    let helps: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_help())
        .map(ToString::to_string)
        .collect();
    let is_first = command.get_name() == "materia";
    for (variable, key) in VARIABLES {
        if is_first || helps.iter().any(|help| help.contains(&format!("[env: {variable}]"))) {
            let text = key.map_or_else(
                || "See web/.env.example.".to_owned(),
                |key| format!("The same as {key} in materia.toml."),
            );
            roff.control("TP", []).text([bold(variable)]).text([roman(text)]);
        }
    }
    roff.control("TP", [])
        .text([bold("NO_COLOR")])
        .text([roman("Nothing is colored where it is set and not empty.")]);
    if !is_first {
        roff.control("PP", []).text([roman("All variables are in materia(1).")]);
    }
}
