//! `materia doctor`.

mod places;
mod services;
mod sources;

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

pub(crate) use self::sources::Sources;
use super::{
    Context, Failure, print, print_json,
    style::{Tone, paint},
};

/// Check the deployment, and say what to do about everything that is wrong
///
/// Settings and where each comes from, files, owners and modes, locks, the file system and what
/// "--snapshot auto" will do there, the engine and its extensions, the clock, the disk, mail, the
/// webhook, the units, and everything that "materia status" reports. Changes nothing. All runbooks
/// begin with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Run it as the user that runs materia, where materia.toml is: runuser -u materia -- materia doctor.

Exit codes: 0 nothing is wrong, although there may be warnings; 1 something is; 2 wrong usage or settings.")]
pub(super) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Nothing fails because of it at present.
    Warning,
    Error,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    state: State,
    detail: String,
    /// The next action.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The output of `materia doctor --json`.
#[derive(Serialize)]
struct Report {
    /// Whether nothing is an error.
    healthy: bool,
    checks: Vec<Check>,
}

/// Collects checks.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.add(subject, State::Ok, detail.into(), None);
    }

    fn warn(
        &mut self,
        subject: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(subject, State::Warning, detail.into(), Some(remedy.into()));
    }

    fn error(
        &mut self,
        subject: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(subject, State::Error, detail.into(), Some(remedy.into()));
    }

    fn add(&mut self, subject: &'static str, state: State, detail: String, remedy: Option<String>) {
        self.0.push(Check { subject, state, detail, remedy });
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let mut checks = Checks::default();
    sources::check(context, &mut checks);
    services::engine(context, &mut checks);
    places::check(context, &mut checks);
    services::check(context, &mut checks)?;
    let healthy = checks.0.iter().all(|check| check.state != State::Error);
    let report = Report { healthy, checks: checks.0 };
    if args.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for Check { subject, state, detail, remedy } in &self.checks {
            let (word, tone) = match state {
                State::Ok => ("ok", Tone::Good),
                State::Warning => ("warning", Tone::Warning),
                State::Error => ("error", Tone::Bad),
            };
            let word = paint(tone, &format!("{word:<8}"));
            let _ = writeln!(text, "{word} {subject:<11} {detail}");
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "{:20} do: {remedy}", "");
            }
        }
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        let plural = materia::humanize::plural;
        let _ = writeln!(
            text,
            "\n{}, {}",
            plural(count(State::Error), "error"),
            plural(count(State::Warning), "warning")
        );
        text
    }
}
