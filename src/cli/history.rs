//! `materia history`.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use materia::{
    export::{self, Outcome, Record},
    settings::Severity,
    words,
};

use super::{Context, Failure, export::target, print, print_json};

/// Warnings of one attempt that are listed; the rest is counted.
const MAX_WARNINGS: usize = 3;

/// List past attempts, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many attempts to list
    #[arg(short, value_name = "N", default_value_t = 20)]
    n: usize,
    /// Print whole records as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let target = target(context)?;
    let history = export::history(&target)?;
    let newest = history.iter().rev().take(args.n);
    if args.json {
        for record in newest {
            print_json(record)?;
        }
    } else if history.is_empty() {
        print(&format!("no attempts are recorded in {}\n", target.history().display()))?;
    } else {
        print(&newest.map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(record: &Record) -> String {
    let mut text = format!("{}  {:<11} {:>9}", record.id, record.outcome.word(), words::duration(Duration::from_millis(record.total_ms)));
    if !record.tables.is_empty() {
        let _ = write!(text, "  {}, {}, {}", super::export::tables(record), words::rows(record.rows()), words::bytes(record.bytes));
    }
    if let Some(schema) = &record.schema {
        let _ = write!(text, "  schema {schema}");
    }
    if let Some(generation) = record.generation.as_ref().filter(|generation| **generation != record.id) {
        let _ = write!(text, "  serving {generation}");
    }
    if record.forced {
        text.push_str("  forced");
    }
    if let Some(holder) = &record.held_by {
        let _ = write!(text, "  what was committed while {holder} held the lakehouse");
    }
    if record.outcome == Outcome::Refused {
        for audit in record.audits_failed.iter().filter(|audit| audit.severity == Severity::Error) {
            let _ = write!(text, "\n    {audit}");
        }
    } else if let Some(error) = &record.error {
        let _ = write!(text, "\n    {}", error.replace('\n', "\n    "));
    }
    let warnings: Vec<_> = record.audits_failed.iter().filter(|audit| audit.severity == Severity::Warn).collect();
    for audit in warnings.iter().take(MAX_WARNINGS) {
        let _ = write!(text, "\n    warning: {audit}");
    }
    if warnings.len() > MAX_WARNINGS {
        let _ = write!(text, "\n    and {}: see --json", words::plural(warnings.len() - MAX_WARNINGS, "more warning"));
    }
    // Warnings have named theirs, and so has a refusal.
    let is_named = |table: &str| record.audits_failed.iter().any(|audit| audit.is_revision() && audit.table.as_deref() == Some(table));
    let revised = record.revisions.iter().filter(|revision| revision.has_revised() && !is_named(&revision.table));
    for revision in revised.filter(|_| record.outcome != Outcome::Refused) {
        let _ = write!(text, "\n    {}: {}", revision.table, revision.summary());
    }
    text + "\n"
}
