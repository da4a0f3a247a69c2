//! What an attempt came to, as a file for Prometheus' node exporter (its textfile collector).

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::atomic::AtomicU64};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Manifest, Outcome, Record, generations, history, rollbacks};
use crate::{
    files,
    target::{Served, Target},
};

type Number = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTable {
    table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGeneration {
    generation: String,
}

/// Writes the file, whole or not at all, readable to everybody: `last` is the attempt that has just ended.
///
/// # Errors
/// The history or the generations cannot be read, or the file cannot be written.
pub fn write_metrics(path: &Path, target: &Target, last: &Record) -> io::Result<()> {
    let text = render(target, last)?;
    files::write_whole(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

fn render(target: &Target, last: &Record) -> io::Result<String> {
    let attempts = history::read(target)?;
    let mut registry = Registry::with_prefix("materia_export");
    attempt(&mut registry, last);
    past(&mut registry, &attempts);
    let kept = generations::list(target)?.len();
    number(&mut registry, "generations", "Generations that are kept", kept as f64);
    if let Ok(older) = rollbacks::older_served(target) {
        let older = f64::from(u8::from(older.is_some()));
        number(&mut registry, "older_served", "1 while an older generation than the newest is served, or one is held", older);
    }
    if let Ok(left) = files::space_left(target.folder()) {
        number(&mut registry, "space_left_bytes", "Bytes left where exports are written", left as f64);
    }
    if let Served::Generation(id) = generations::what(target)? {
        let generation = Family::<OfGeneration, Number>::default();
        generation.get_or_create(&OfGeneration { generation: id.to_string() }).set(1.0);
        registry.register("served_info", "The generation that is served", generation);
        if let Some(manifest) = generations::manifest(target, &id) {
            served(&mut registry, &manifest, &attempts);
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(io::Error::other)?;
    Ok(text)
}

fn number(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Number::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1_000.0
}

/// The attempt that has just ended.
fn attempt(registry: &mut Registry, last: &Record) {
    number(registry, "last_attempt_timestamp_seconds", "When the last attempt ended", seconds(last.ended_at));
    let outcome = Family::<OfOutcome, Number>::default();
    for one in Outcome::ALL {
        outcome.get_or_create(&OfOutcome { outcome: one.key() }).set(f64::from(u8::from(one == last.outcome)));
    }
    registry.register("last_attempt_outcome", "How the last attempt ended: 1 for its outcome", outcome);
    let took = Family::<OfStep, Number>::default();
    let steps = [
        ("wait", last.wait_ms),
        ("blocked", last.blocked_ms),
        ("stage", last.stage_ms),
        ("audit", last.audit_ms),
        ("publish", last.publish_ms),
        ("total", last.total_ms),
    ];
    for (step, ms) in steps {
        took.get_or_create(&OfStep { step }).set(ms as f64 / 1_000.0);
    }
    let help = "What each step of the last attempt took; blocked is for how long the pipeline could not write";
    registry.register("last_attempt_duration_seconds", help, took);
    number(registry, "last_attempt_audits_passed", "Audits of the last attempt that passed", last.audits_passed as f64);
    number(registry, "last_attempt_audits_failed", "Audits of the last attempt that did not pass", last.audits_failed.len() as f64);
}

/// All attempts there have been.
fn past(registry: &mut Registry, attempts: &[Record]) {
    // A gauge: node exporters read the older text format, in which OpenMetrics' counters have neither help nor type.
    let counted = Family::<OfOutcome, Number>::default();
    for outcome in Outcome::ALL {
        let times = attempts.iter().filter(|record| record.outcome == outcome).count();
        counted.get_or_create(&OfOutcome { outcome: outcome.key() }).set(times as f64);
    }
    registry.register("history_attempts", "Attempts in the history", counted);
    let success = |record: &&Record| matches!(record.outcome, Outcome::Published | Outcome::Unchanged);
    if let Some(last) = attempts.iter().rev().find(success) {
        number(
            registry,
            "last_success_timestamp_seconds",
            "When the last attempt that published, or found nothing to, ended",
            seconds(last.ended_at),
        );
    }
}

/// What is served now, whatever the last attempt came to.
fn served(registry: &mut Registry, manifest: &Manifest, attempts: &[Record]) {
    let confirmed = history::confirmation(attempts, &manifest.id);
    let as_of = seconds(confirmed.map_or(manifest.exported_at, |confirmed| confirmed.max(manifest.exported_at)));
    let help = "When the served data was read from the lakehouse, or last found unchanged there";
    number(registry, "served_data_timestamp_seconds", help, as_of);
    number(registry, "served_bytes", "Size of the served file", manifest.bytes as f64);
    let rows = Family::<OfTable, Number>::default();
    for table in &manifest.tables {
        rows.get_or_create(&OfTable { table: table.name.clone() }).set(table.rows as f64);
    }
    registry.register("table_rows", "Rows of each served table", rows);
    let Some(record) = attempts.iter().rev().find(|record| record.id == manifest.id) else { return };
    let took = Family::<OfTable, Number>::default();
    for table in &record.tables {
        took.get_or_create(&OfTable { table: table.name.clone() }).set(table.ms as f64 / 1_000.0);
    }
    registry.register("table_duration_seconds", "What copying each served table took", took);
}
