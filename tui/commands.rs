//! Commands of `materia` that the dashboard starts, each after a confirmation.

use jiff::Timestamp;
use materia::{endpoint::EndpointState, store::RetainedGeneration};

use super::{
    app::App,
    context::Context,
    message::{Effect, JobEvent},
    overlays::{
        Confirm, Overlay,
        palette::{Palette, RUN_PIPELINE, STOP_STATEMENT},
    },
};

/// Lines of a command's output that are retained.
const MAX_OUTPUT_LINES: usize = 50;

/// A command that was started from the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) command: String,
    pub(crate) started_at: Timestamp,
    pub(crate) status: String,
    pub(crate) output: Vec<String>,
    /// Whether it succeeded, and its last message; `None` while it runs.
    pub(crate) ended: Option<(bool, String)>,
}

impl Job {
    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }
}

/// Returns whether actions are allowed; otherwise explains how to allow them.
fn check_allowed(context: &mut Context) -> bool {
    if !context.actions_allowed {
        context
            .show_toast(false, "actions are off; press ! to allow them (or use --allow-actions)");
    }
    context.actions_allowed
}

/// Returns whether a command may be started: actions are allowed, and no other command is running.
fn check_may_start(context: &mut Context) -> bool {
    if !check_allowed(context) {
        return false;
    }
    let running = context
        .job
        .as_ref()
        .filter(|job| job.is_running())
        .map(|job| format!("{} is still running", job.command));
    let may_start = running.is_none();
    if let Some(text) = running {
        context.show_toast(false, text);
    }
    may_start
}

/// Opens the confirmation of a command.
fn confirm(context: &mut Context, title: &str, text: String, arguments: &[&str]) -> Vec<Effect> {
    let options =
        context.reader.config.as_ref().map(|config| config.options.clone()).unwrap_or_default();
    let all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).chain(options).collect();
    context.open_confirm(Confirm {
        title: title.to_owned(),
        text,
        command: Some(format!("materia {}", all.join(" "))),
        effect: Effect::Start(all),
    })
}

/// Runs the effect of a confirmed dialog.
pub(crate) fn run_confirmed(context: &mut Context, effect: Effect) -> Vec<Effect> {
    match &effect {
        Effect::Start(arguments) => {
            context.job = Some(Job {
                command: format!("materia {}", arguments.join(" ")),
                started_at: context.now,
                status: "starting".to_owned(),
                output: Vec::new(),
                ended: None,
            });
        }
        Effect::Save(_) => context.saving = Some(0),
        _ => {}
    }
    context.toast = None;
    context.overlay = None;
    vec![effect]
}

pub(crate) fn export(app: &mut App) -> Vec<Effect> {
    let context = &mut app.context;
    if !check_may_start(context) {
        return Vec::new();
    }
    let text = "Copies the serving schema out of the lakehouse, audits the copy, and serves it. If an audit fails, nothing changes.";
    confirm(context, "Run an export now?", text.to_owned(), &["export"])
}

/// Opens the palette with the pipelines.
pub(crate) fn choose_pipeline(app: &mut App) -> Vec<Effect> {
    if check_may_start(&mut app.context) {
        let palette = Palette::with_text(app, RUN_PIPELINE);
        app.context.overlay = Some(Overlay::Palette(Box::new(palette)));
    }
    Vec::new()
}

pub(crate) fn run_pipeline(app: &mut App, name: &str) -> Vec<Effect> {
    let context = &mut app.context;
    if !check_may_start(context) {
        return Vec::new();
    }
    let text = "Runs it as materia.toml says. Its output is written to its log.";
    confirm(context, "Run this pipeline now?", text.to_owned(), &["pipeline", "run", name])
}

/// Opens the palette with the statements that clients of the PostgreSQL endpoint run.
pub(crate) fn choose_statement(app: &mut App) -> Vec<Effect> {
    let running = app.context.status_view.endpoint.as_ref().and_then(EndpointState::running);
    let reason = match running {
        _ if app.context.status_view.endpoint.is_none() => {
            Some("set [postgres] socket to see and stop what its clients run")
        }
        None => Some("who is connected is not known; see Now"),
        Some(0) => Some("no client runs a statement"),
        Some(_) => None,
    };
    if let Some(reason) = reason {
        app.context.show_toast(false, reason);
    } else if check_may_start(&mut app.context) {
        let palette = Palette::with_text(app, STOP_STATEMENT);
        app.context.overlay = Some(Overlay::Palette(Box::new(palette)));
    }
    Vec::new()
}

/// Stops the statement of a client of the PostgreSQL endpoint, or ends its connection.
pub(crate) fn stop_client(app: &mut App, pid: i32, disconnect: bool) -> Vec<Effect> {
    let context = &mut app.context;
    if !check_may_start(context) {
        return Vec::new();
    }
    let pid = pid.to_string();
    if disconnect {
        let text =
            "The connection ends with an error that says so. The client may reconnect.".to_owned();
        let command = ["postgres", "cancel", &pid, "--disconnect"];
        return confirm(context, "End this connection?", text, &command);
    }
    let text = "The client gets an error, and its connection goes on.".to_owned();
    confirm(context, "Stop this statement?", text, &["postgres", "cancel", &pid])
}

pub(crate) fn stop(app: &mut App) -> Vec<Effect> {
    let context = &mut app.context;
    let Some(job) = context.job.as_ref().filter(|job| job.is_running()) else {
        context.show_toast(false, "no command that was started here is running");
        return Vec::new();
    };
    let text = format!(
        "{} stops at its next step and removes its temporary files. What is served stays served.",
        job.command
    );
    context.open_confirm(Confirm {
        title: "Stop it?".to_owned(),
        text,
        command: None,
        effect: Effect::StopStarted,
    })
}

/// Returns the retained generation of the selected attempt; explains if there is none.
fn selected_generation(app: &mut App) -> Option<RetainedGeneration> {
    let facts = app.context.status_view.facts.clone()?;
    let status = &facts.status;
    let attempt = app.history.selected_attempt(status)?;
    let Some(id) = attempt.generation.clone() else {
        app.context.show_toast(false, format!("attempt {} published nothing", attempt.id));
        return None;
    };
    let retained = status.generations.iter().find(|generation| generation.id == id).cloned();
    if retained.is_none() {
        app.context.show_toast(false, format!("generation {id} is no longer retained"));
    }
    retained
}

pub(crate) fn roll_back(app: &mut App) -> Vec<Effect> {
    if !check_allowed(&mut app.context) {
        return Vec::new();
    }
    let Some(generation) = selected_generation(app) else { return Vec::new() };
    let id = generation.id;
    if generation.served {
        app.context.show_toast(false, format!("generation {id} is served already"));
        return Vec::new();
    }
    let text = format!(
        "Serves generation {id} again, by the same swap as an export. Newer generations are retained, and exports do not publish what is served now again until the lakehouse has changed."
    );
    confirm(&mut app.context, "Roll back?", text, &["rollback", id.as_str()])
}

/// Pins the selected generation, or unpins it.
pub(crate) fn toggle_pin(app: &mut App) -> Vec<Effect> {
    if !check_allowed(&mut app.context) {
        return Vec::new();
    }
    let Some(generation) = selected_generation(app) else { return Vec::new() };
    let id = generation.id;
    let (title, verb, text) = if generation.pinned {
        let text = format!("Generation {id} is removed once enough newer ones are retained.");
        ("Unpin?", "unpin", text)
    } else {
        ("Pin?", "pin", format!("Keeps generation {id} until it is unpinned."))
    };
    confirm(&mut app.context, title, text, &[verb, id.as_str()])
}

pub(crate) fn handle_job_event(context: &mut Context, event: JobEvent) {
    let Some(job) = &mut context.job else { return };
    match event {
        JobEvent::Status(step) => job.status = step,
        JobEvent::Output(line) => {
            job.output.push(line);
            let excess = job.output.len().saturating_sub(MAX_OUTPUT_LINES);
            job.output.drain(..excess);
        }
        JobEvent::Ended { succeeded, message } => {
            job.ended = Some((succeeded, message.clone()));
            context.show_toast(succeeded, message.lines().next().unwrap_or_default().to_owned());
        }
    }
}
