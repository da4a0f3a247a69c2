//! Checks the running services: the engine, the site and its mail, the webhook, the units; and
//! everything that `materia status` reports.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use materia::{
    alert::{self, AlertInputs, AlertState},
    extensions::{ExtensionDir, ExtensionState},
    pipeline::RunStore,
    reader::{Reader, ReaderConfig},
    settings::Secret,
    status::{Status, StatusSource},
};

use super::{Checks, Failure, State};
use crate::context::Context;

/// Returns the output of a program, if it is installed and succeeds.
pub(super) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

pub(super) fn engine(context: &Context, checks: &mut Checks) {
    let connection = duckdb::Connection::open_in_memory();
    let version = connection.and_then(|connection| {
        connection.query_row("SELECT version()", [], |row| row.get::<_, String>(0))
    });
    match version {
        Ok(version) => checks.ok("engine", format!("DuckDB {version}")),
        Err(error) => checks.error("engine", error.to_string(), "install materia again"),
    }
    let Some(lake) = &context.settings.lake else { return };
    let folder = ExtensionDir::new(&context.settings.extensions);
    let shown = folder.folder().display().to_string();
    let remedy = "materia extensions install, on a DuckDB that has them (infra/libduckdb.sh --for lake): docs/scaling.md";
    let listed = match folder.list() {
        Ok(listed) => listed,
        Err(error) => return checks.error("extensions", error.to_string(), remedy),
    };
    for extension in lake.extensions() {
        let known = listed.iter().find(|info| info.name == extension.name());
        let name = extension.name();
        match known.map(|info| &info.state) {
            Some(ExtensionState::Present { extension_version }) => {
                checks.ok("extensions", format!("{name} {extension_version} in {shown}"));
            }
            Some(ExtensionState::Unusable { why }) => {
                checks.error(
                    "extensions",
                    format!("{name} in {shown} does not load: {why}"),
                    remedy,
                );
            }
            _ => checks.error(
                "extensions",
                format!(
                    "{name}, which is needed for {}, is not in {shown}",
                    extension.needed_for()
                ),
                remedy,
            ),
        }
    }
}

pub(super) fn check(context: &Context, checks: &mut Checks) -> Result<(), Failure> {
    conditions(context, checks)?;
    site(context, checks)?;
    let alerts = &context.settings.alerts;
    receiver("webhook", "ALERT_WEBHOOK_URL", alerts.webhook.as_ref(), checks);
    receiver("heartbeat", "HEARTBEAT_URL", alerts.heartbeat.as_ref(), checks);
    units(checks);
    Ok(())
}

/// Reports everything that status and alerts report.
fn conditions(context: &Context, checks: &mut Checks) -> Result<(), Failure> {
    let settings = &context.settings;
    let target = context.target()?;
    let reader = Reader::open(&target, settings.export.served_schema(), ReaderConfig::one_shot())?;
    let place = StatusSource {
        target: target.clone(),
        lakehouse: settings.lakehouse.clone(),
        max_age: settings.status.max_age,
    };
    let status = Status::collect(&place, reader.state())?;
    let alerts = AlertState::load(&target).unwrap_or_default();
    let logs = RunStore::new(settings, &target);
    let mut inputs = AlertInputs::collect(status, settings, &logs, &alerts)?;
    inputs.request_services(settings);
    let findings = inputs.findings(&settings.alerts, Timestamp::now());
    if findings.is_empty() {
        checks.ok("status", "all is well");
    }
    for finding in findings {
        let key = finding.condition.key();
        let name = key.split(':').next().unwrap_or_default();
        checks.error("status", finding.text.clone(), format!("docs/operations.md#{name}"));
    }
    Ok(())
}

/// Returns whether a site is configured here.
fn has_site(context: &Context) -> bool {
    let settings = &context.settings;
    let database = settings.accounts.database_url.reveal();
    let file = database.strip_prefix("sqlite://").map(Path::new);
    settings.web.base_url.is_some() || file.is_none_or(Path::exists)
}

fn site(context: &Context, checks: &mut Checks) -> Result<(), Failure> {
    if !has_site(context) {
        checks.ok("site", "none is set up here: there is neither BASE_URL nor a store of accounts");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report =
        runtime.block_on(materia_web::check(&context.settings, materia_web::CheckScope::All));
    for (subject, outcome, detail) in report.findings() {
        // Shown with the other conditions.
        if subject == "data" {
            continue;
        }
        let state = match outcome {
            materia_web::CheckOutcome::Ok => State::Ok,
            materia_web::CheckOutcome::Warning => State::Warning,
            materia_web::CheckOutcome::Error => State::Error,
        };
        let remedy = (state != State::Ok).then(|| remedy(subject).to_owned());
        checks.add("site", state, format!("{subject}: {detail}"), remedy);
    }
    Ok(())
}

fn remedy(subject: &str) -> &'static str {
    match subject {
        "mail" => "docs/operations.md#mail-is-not-sent",
        "accounts" => "docs/operations.md#the-accounts-cannot-be-read-or-written",
        "dashboards" => "materia dashboards check",
        "port" | "metrics port" => "stop the process that uses it, or choose another address",
        _ => "correct the setting that is named",
    }
}

/// Checks that a receiver accepts connections, without sending anything.
fn receiver(subject: &'static str, variable: &str, address: Option<&Secret>, checks: &mut Checks) {
    let Some(address) = address else {
        let detail = format!("{variable} is not set: no alerts are sent");
        checks.warn(subject, detail, format!("set {variable}; docs/operations.md#looking"));
        return;
    };
    match alert::check_receiver(address) {
        // Only the host is not secret.
        Ok(host) => checks.ok(
            subject,
            format!("{host} accepts connections; materia alert --test sends a message"),
        ),
        Err(why) => checks.error(
            subject,
            format!("{variable}: {why}"),
            "docs/operations.md#webhook_failing",
        ),
    }
}

/// Checks the installed units, if systemd is running.
fn units(checks: &mut Checks) {
    let pattern = ["list-unit-files", "--no-legend", "--plain", "materia-*"];
    let Some(listed) = output("systemctl", &pattern) else { return };
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in &names {
        let properties = ["show", "--property=ActiveState,UnitFileState,Result", name];
        let Some(shown) = output("systemctl", &properties) else { continue };
        let value = |key: &str| {
            shown
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_default()
                .to_owned()
        };
        let (active, enabled, result) =
            (value("ActiveState"), value("UnitFileState"), value("Result"));
        let detail = format!("{name} is {active}, {enabled}, {result}");
        if active == "failed" || !matches!(result.as_str(), "success" | "") {
            checks.error("units", detail, format!("journalctl -u {name} -n 50"));
        } else if enabled == "disabled" && active != "active" {
            checks.warn("units", detail, format!("systemctl enable --now {name}, if it is wanted"));
        } else {
            checks.ok("units", detail);
        }
    }
    if names.is_empty() {
        checks.ok("units", "none of materia is installed here");
    }
}
