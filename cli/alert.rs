//! `materia alert`.

use std::{fmt::Write as _, fs::File, process::ExitCode};

use jiff::Timestamp;
use materia::{
    alert::{AlertInputs, AlertState, Message, MessageKind, WebhookClient},
    humanize,
    pipeline::RunStore,
    reader::Observation,
    settings::Secret,
    status::{Finding, Status, StatusSource},
    store::Store,
};
use serde::Serialize;

use super::{Context, Failure, export::target, print, print_json};

/// Check for problems and send new alerts
///
/// An incident is reported once when it begins and once when it is over. What comes and goes is
/// reported again when the cool-down is over. What cannot be sent is kept and sent the next time.
/// Made for a timer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ALERT_WEBHOOK_URL receives alerts, as JSON with a \"text\" as Slack takes it; HEARTBEAT_URL is requested whenever all is well. Both come from the environment or .env. [alerts] in materia.toml has cool_down [default: 1h] and the other limits: docs/settings.md.

Checked: nothing served, data of a lake missing, stale data (status.max_age), an export that failed or was refused, a lakehouse that is held too long, a disk that is nearly full, a pipeline that failed or hangs, and, where they are named, the supervisor, the backups and the site with its accounts and its mail. \"materia status\" shows the same.

Exit codes: 0 checked, and sent what there was to send, whether or not anything is wrong; 1 something could not be checked, saved or sent; 4 another alert run is active.")]
pub(super) struct Args {
    /// Send a test message instead, to see whether it arrives
    #[arg(long)]
    test: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `materia alert --json`.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    /// Every problem and notice.
    findings: Vec<FindingRow<'a>>,
    /// The new messages since the last check.
    news: &'a [Message],
    /// The number of messages waiting for their receiver.
    waiting: usize,
    /// What could not be checked, saved or sent.
    failures: &'a [String],
}

#[derive(Serialize)]
struct FindingRow<'a> {
    condition: String,
    text: &'a str,
}

/// A check and its outcome.
struct Check {
    findings: Vec<Finding>,
    news: Vec<Message>,
    is_healthy: bool,
    failures: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let settings = &context.settings;
    let target = target(context)?;
    let client =
        WebhookClient::new(&settings.brand.name, &target.display_name().display().to_string());
    if args.test {
        return test(settings.alerts.webhook.as_ref(), &client);
    }
    let mut failures = Vec::new();
    let _lock = lock(&target, &mut failures)?;
    let now = Timestamp::now();
    let mut state = AlertState::load(&target).unwrap_or_else(|error| {
        failures.push(format!("{error}; all that is wrong is reported again"));
        AlertState::default()
    });
    let (findings, is_healthy) = findings(context, &target, &mut state, now)?;
    let news = state.transitions(&findings, now, settings.alerts.cool_down);
    let mut check = Check { findings, news, is_healthy, failures };
    if !args.json {
        print(&check.text())?;
    }
    deliver(&mut state, &mut check, settings.alerts.webhook.as_ref(), &client, &target);
    if let Some(heartbeat) = settings.alerts.heartbeat.as_ref().filter(|_| is_healthy)
        && let Err(error) = client.send_heartbeat(heartbeat)
    {
        check.failures.push(format!("HEARTBEAT_URL cannot be reached: {error}"));
    }
    if args.json {
        print_json(&check.report(&state))?;
    }
    if check.failures.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure { message: check.failures.join("\n"), code: Failure::FAILED })
    }
}

/// Excludes other alert runs. On a full disk there may be no lock, and alerts take precedence.
fn lock(target: &Store, failures: &mut Vec<String>) -> Result<Option<File>, Failure> {
    match AlertState::try_lock(target) {
        Ok(Some(file)) => Ok(Some(file)),
        Ok(None) => Err(Failure {
            message: "another `materia alert` is running; wait until it is done".to_owned(),
            code: Failure::BUSY,
        }),
        Err(error) => {
            failures.push(format!("the state of alerts cannot be locked: {error}"));
            Ok(None)
        }
    }
}

/// Returns every problem and notice, and whether there is no problem.
fn findings(
    context: &Context,
    target: &Store,
    state: &mut AlertState,
    now: Timestamp,
) -> Result<(Vec<Finding>, bool), Failure> {
    let settings = &context.settings;
    let observed = Observation::of(target, settings.export.served_schema())?;
    let place = StatusSource {
        target: target.clone(),
        lakehouse: settings.lakehouse.clone(),
        max_age: settings.status.max_age,
    };
    let status = Status::collect(&place, observed.state)?;
    state.track_holder(status.lakehouse_held_by.as_ref(), now);
    let logs = RunStore::new(settings, target);
    let mut inputs = AlertInputs::collect(status, settings, &logs, state)?;
    inputs.request_services(settings);
    let problems = inputs.findings(&settings.alerts, now);
    let is_healthy = problems.is_empty();
    let all = [problems, inputs.status.notices(), inputs.warnings()].concat();
    Ok((all, is_healthy))
}

impl Check {
    fn text(&self) -> String {
        let mut text = self
            .news
            .iter()
            .fold(String::new(), |text, message| text + &format!("{}: {message}\n", word(message)));
        let new = self.news.iter().filter(|message| message.kind == MessageKind::Alert).count();
        let _ = match (self.findings.len(), self.findings.len().saturating_sub(new)) {
            (0, _) => writeln!(text, "all is well"),
            (_, 0) => Ok(()),
            (_, known) => writeln!(text, "{} known already", humanize::plural(known, "problem")),
        };
        text
    }

    fn report<'a>(&'a self, state: &AlertState) -> Report<'a> {
        let row = |finding: &'a Finding| FindingRow {
            condition: finding.condition.key(),
            text: &finding.text,
        };
        Report {
            healthy: self.is_healthy,
            findings: self.findings.iter().map(row).collect(),
            news: &self.news,
            waiting: state.outbox.len(),
            failures: &self.failures,
        }
    }
}

/// Sends new messages and those that could not be sent before. No decided message is lost: what
/// cannot be saved is sent nevertheless, and then possibly more than once.
fn deliver(
    state: &mut AlertState,
    check: &mut Check,
    webhook: Option<&Secret>,
    client: &WebhookClient,
    target: &Store,
) {
    // Without an address, printing is sufficient.
    state.outbox.extend(check.news.iter().filter(|_| webhook.is_some()).cloned());
    if state.outbox.is_empty() {
        state.undelivered = None;
    }
    let mut unsaved = state.save(target).err();
    while let (Some(webhook), Some(message)) = (webhook, state.outbox.first()) {
        let sent = client.send(webhook, message);
        let failure = sent.err().map(|error| error.to_string());
        if failure.is_none() {
            state.outbox.remove(0);
        }
        state.track_delivery(failure.as_deref(), Timestamp::now());
        // Saved after each message, so that a killed run repeats at most the one that it was
        // sending.
        unsaved = state.save(target).err();
        if let Some(error) = failure {
            let waiting = humanize::plural(state.outbox.len(), "message");
            let kept =
                if unsaved.is_none() { " will be retried by the next run" } else { " not sent" };
            check.failures.push(format!("ALERT_WEBHOOK_URL: {error}; {waiting}{kept}"));
            break;
        }
    }
    check.failures.extend(unsaved.map(|error| unsaved_state(&error)));
}

fn unsaved_state(error: &std::io::Error) -> String {
    format!("the state of alerts cannot be saved: {error}; the same alerts may be sent again")
}

fn test(webhook: Option<&Secret>, client: &WebhookClient) -> Result<ExitCode, Failure> {
    let Some(webhook) = webhook else {
        return Err(Failure::usage("ALERT_WEBHOOK_URL is not set: no alert can be sent"));
    };
    let now = Timestamp::now();
    let message = Message::new(MessageKind::Test, "test", "alerts arrive here", now, now);
    client
        .send(webhook, &message)
        .map_err(|error| anyhow::anyhow!("ALERT_WEBHOOK_URL: {error}"))?;
    print("sent\n").map(|()| ExitCode::SUCCESS)
}

fn word(message: &Message) -> &'static str {
    match message.kind {
        MessageKind::Alert => "new",
        MessageKind::Recovery => "recovered",
        MessageKind::Test => "test",
    }
}
