//! Writes metrics of an attempt for the textfile collector of Prometheus' node exporter.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::atomic::AtomicU64};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::store::{AttemptOutcome, AttemptRecord, Manifest, confirmation};
use crate::{
    files,
    store::{ServedState, Store},
};

type Number = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabel {
    generation: String,
}

/// Writes the world-readable file atomically; `last` is the attempt that has just ended.
///
/// # Errors
/// The history or the generations cannot be read, or the file cannot be written.
pub fn write_metrics(path: &Path, target: &Store, last: &AttemptRecord) -> io::Result<()> {
    let text = render(target, last)?;
    files::write_atomic(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

fn render(target: &Store, last: &AttemptRecord) -> io::Result<String> {
    let attempts = target.history()?;
    let mut registry = Registry::with_prefix("materia_export");
    attempt(&mut registry, last);
    past(&mut registry, &attempts);
    let kept = target.generations()?.len();
    number(&mut registry, "generations", "Retained generations", kept as f64);
    if let Ok(older) = target.older_served() {
        let older = f64::from(u8::from(older.is_some()));
        number(
            &mut registry,
            "older_served",
            "1 while an older generation than the newest is served, or one is held",
            older,
        );
    }
    if let Ok(left) = files::available_space(target.local().folder()) {
        number(
            &mut registry,
            "space_left_bytes",
            "Bytes left where exports are written",
            left as f64,
        );
    }
    if let ServedState::Generation(id) = target.served()? {
        let generation = Family::<GenerationLabel, Number>::default();
        generation.get_or_create(&GenerationLabel { generation: id.to_string() }).set(1.0);
        registry.register("served_info", "The generation that is served", generation);
        if let Some(manifest) = target.manifest(&id) {
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

/// Registers the metrics of the attempt that has just ended.
fn attempt(registry: &mut Registry, last: &AttemptRecord) {
    number(
        registry,
        "last_attempt_timestamp_seconds",
        "When the last attempt ended",
        seconds(last.ended_at),
    );
    let outcome = Family::<OutcomeLabel, Number>::default();
    for one in AttemptOutcome::ALL {
        outcome
            .get_or_create(&OutcomeLabel { outcome: one.key() })
            .set(f64::from(u8::from(one == last.outcome)));
    }
    registry.register(
        "last_attempt_outcome",
        "How the last attempt ended: 1 for its outcome",
        outcome,
    );
    let took = Family::<StepLabel, Number>::default();
    let steps = [
        ("wait", last.wait_ms),
        ("blocked", last.blocked_ms),
        ("stage", last.stage_ms),
        ("audit", last.audit_ms),
        ("publish", last.publish_ms),
        ("total", last.total_ms),
    ];
    for (step, ms) in steps {
        took.get_or_create(&StepLabel { step }).set(ms as f64 / 1_000.0);
    }
    let help = "What each step of the last attempt took; blocked is for how long the pipeline could not write";
    registry.register("last_attempt_duration_seconds", help, took);
    number(
        registry,
        "last_attempt_audits_passed",
        "Audits of the last attempt that passed",
        last.audits_passed as f64,
    );
    number(
        registry,
        "last_attempt_audits_failed",
        "Audits of the last attempt that did not pass",
        last.audits_failed.len() as f64,
    );
}

/// Registers the metrics of all attempts so far.
fn past(registry: &mut Registry, attempts: &[AttemptRecord]) {
    // A gauge: node exporters parse the older text format, which loses help and type of OpenMetrics
    // counters.
    let counted = Family::<OutcomeLabel, Number>::default();
    for outcome in AttemptOutcome::ALL {
        let times = attempts.iter().filter(|record| record.outcome == outcome).count();
        counted.get_or_create(&OutcomeLabel { outcome: outcome.key() }).set(times as f64);
    }
    registry.register("history_attempts", "Attempts in the history", counted);
    let success = |record: &&AttemptRecord| {
        record.outcome.has_published() || record.outcome == AttemptOutcome::Unchanged
    };
    if let Some(last) = attempts.iter().rev().find(success) {
        number(
            registry,
            "last_success_timestamp_seconds",
            "When the last attempt that published, or found nothing to, ended",
            seconds(last.ended_at),
        );
    }
}

/// Registers the metrics of the served generation, whatever the outcome of the last attempt.
fn served(registry: &mut Registry, manifest: &Manifest, attempts: &[AttemptRecord]) {
    let confirmed = confirmation(attempts, &manifest.id);
    let as_of = seconds(
        confirmed.map_or(manifest.exported_at, |confirmed| confirmed.max(manifest.exported_at)),
    );
    let help = "When the served data was read from the lakehouse, or last found unchanged there";
    number(registry, "served_data_timestamp_seconds", help, as_of);
    number(registry, "served_bytes", "Size of the served file", manifest.bytes as f64);
    let rows = Family::<TableLabel, Number>::default();
    for table in &manifest.tables {
        rows.get_or_create(&TableLabel { table: table.name.clone() }).set(table.rows as f64);
    }
    registry.register("table_rows", "Rows of each served table", rows);
    let Some(record) = attempts.iter().rev().find(|record| record.id == manifest.id) else {
        return;
    };
    let took = Family::<TableLabel, Number>::default();
    for table in &record.tables {
        took.get_or_create(&TableLabel { table: table.name.clone() })
            .set(table.ms as f64 / 1_000.0);
    }
    registry.register("table_duration_seconds", "What copying each served table took", took);
}
