//! `materia alert`.

use std::{fmt::Write as _, process::ExitCode};

use jiff::Timestamp;
use materia::{
    alert::{Facts, Kind, Message, Receiver, State},
    pipeline::Logs,
    reader::{Reader, ReaderLimits},
    settings::Secret,
    status::{Place, Status},
    target::Target,
    words,
};

use super::{Context, Failure, export::target, print};

/// Look whether anything is wrong, and tell what is news
///
/// Something that begins is told once, and once more when it is over; what comes and goes is not told again within the cool-down. What cannot be sent is
/// kept and sent the next time. Made for a timer, and for the supervisor.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ALERT_WEBHOOK_URL is where news are sent, as JSON with a \"text\" as Slack takes it; HEARTBEAT_URL is asked for whenever all is well. Both from the environment or .env. [alerts] in materia.toml has cool_down [default: 1h] and lakehouse_held [default: 2h].

What is looked at: nothing served, stale (status.max_age), export failed or refused, lakehouse held too long, disk nearly full, a pipeline that failed. \"materia status\" tells the same.

Exit codes: 0 looked, and told what there was to tell, whether or not anything is wrong; 1 something could not be sent or looked at; 4 another one is at it.")]
pub(super) struct Args {
    /// Send a test message instead, to see whether it arrives
    #[arg(long)]
    test: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let settings = &context.settings;
    let target = target(context)?;
    let receiver = Receiver::new(&settings.brand.name, &target.name().display().to_string());
    if args.test {
        return test(settings.alerts.webhook.as_ref(), &receiver);
    }
    let Some(_turn) = State::turn(&target)? else {
        return Err(Failure { message: "another materia alert is at work".to_owned(), code: Failure::BUSY });
    };
    let (mut state, now) = (State::load(&target)?, Timestamp::now());
    let reader = Reader::follow(&target, settings.export.served_schema(), ReaderLimits::small())?;
    let place = Place { target: target.clone(), lakehouse: settings.lakehouse.clone(), max_age: settings.status.max_age };
    let status = Status::look(&place, reader.state())?;
    state.see_holder(status.lakehouse_held_by.as_ref(), now);
    let facts = Facts::look(status, settings, &Logs::new(settings, &target), state.held.clone())?;
    let findings = facts.findings(&settings.alerts, now);
    let told = [findings.as_slice(), &facts.status.notices(), &facts.warnings()].concat();
    let news = state.decide(&told, now, settings.alerts.cool_down);
    let mut said = news.iter().fold(String::new(), |said, message| said + &format!("{}: {message}\n", word(message)));
    let quiet = told.len().saturating_sub(news.iter().filter(|message| message.kind == Kind::Alert).count());
    let _ = match (told.len(), quiet) {
        (0, _) => writeln!(said, "all is well"),
        (_, 0) => Ok(()),
        (_, known) => writeln!(said, "{} known already", words::plural(known, "problem")),
    };
    print(&said)?;
    let mut trouble = deliver(&mut state, news, settings.alerts.webhook.as_ref(), &receiver, &target)?;
    if let Some(heartbeat) = settings.alerts.heartbeat.as_ref().filter(|_| findings.is_empty())
        && let Err(error) = receiver.beat(heartbeat)
    {
        trouble.push(format!("HEARTBEAT_URL cannot be reached: {error}"));
    }
    if trouble.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure { message: trouble.join("\n"), code: Failure::FAILED }) }
}

/// Sends what is new and what could not be sent before; returns what went wrong. Whatever happens on the way, nothing that was decided is lost.
fn deliver(
    state: &mut State,
    news: Vec<Message>,
    webhook: Option<&Secret>,
    receiver: &Receiver,
    target: &Target,
) -> Result<Vec<String>, Failure> {
    // Without an address, telling it here is all there is to do.
    state.outbox.extend(news.into_iter().filter(|_| webhook.is_some()));
    state.save(target)?;
    let Some(webhook) = webhook else { return Ok(Vec::new()) };
    while let Some(message) = state.outbox.first() {
        if let Err(error) = receiver.send(webhook, message) {
            let waiting = words::plural(state.outbox.len(), "message");
            return Ok(vec![format!("ALERT_WEBHOOK_URL: {error}; {waiting} kept for the next time")]);
        }
        state.outbox.remove(0);
        state.save(target)?;
    }
    Ok(Vec::new())
}

fn test(webhook: Option<&Secret>, receiver: &Receiver) -> Result<ExitCode, Failure> {
    let Some(webhook) = webhook else { return Err(Failure::usage("ALERT_WEBHOOK_URL is not set: there is nobody to tell")) };
    let now = Timestamp::now();
    let message = Message::new(Kind::Test, "test", "alerts arrive here", now, now);
    receiver.send(webhook, &message).map_err(|error| anyhow::anyhow!("ALERT_WEBHOOK_URL: {error}"))?;
    print("sent\n").map(|()| ExitCode::SUCCESS)
}

fn word(message: &Message) -> &'static str {
    match message.kind {
        Kind::Alert => "new",
        Kind::Recovery => "recovered",
        Kind::Test => "test",
    }
}
