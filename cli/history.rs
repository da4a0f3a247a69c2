//! `materia history`.

use std::{
    fmt::Write as _,
    io::{Write as _, stderr},
    process::ExitCode,
    time::Duration,
};

use materia::{
    humanize,
    settings::Severity,
    store::{AttemptOutcome, AttemptRecord},
};

use super::{
    Context, Failure,
    export::target,
    print, print_json,
    style::{self, Tone, paint},
};

/// Maximum number of warnings listed per attempt; the others are only counted.
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
    let history = match target.history() {
        // With the catalog of a lake away, this machine still knows its own attempts.
        Err(error) if target.is_lake() => {
            let own = target.local_history()?;
            if own.is_empty() {
                return Err(error.into());
            }
            let _ = writeln!(
                stderr(),
                "materia: {}; these are the attempts of this machine",
                humanize::printable_lines(&error.to_string())
            );
            own
        }
        history => history?,
    };
    let newest = history.iter().rev().take(args.n);
    if args.json {
        for record in newest {
            print_json(record)?;
        }
    } else if history.is_empty() {
        print(&format!(
            "no attempts are recorded in {}\n",
            target.local().history_path().display()
        ))?;
    } else {
        print(&newest.map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How an outcome is shown.
pub(super) fn tone(outcome: AttemptOutcome) -> Tone {
    match outcome {
        AttemptOutcome::Published | AttemptOutcome::Migrated => Tone::Good,
        AttemptOutcome::Refused | AttemptOutcome::Failed | AttemptOutcome::Interrupted => Tone::Bad,
        AttemptOutcome::RolledBack | AttemptOutcome::Held => Tone::Warning,
        _ => Tone::Dim,
    }
}

fn line(record: &AttemptRecord) -> String {
    let mut text = format!(
        "{}{}  {} {:>9}",
        record.id,
        style::moment(&record.id),
        paint(tone(record.outcome), &format!("{:<11}", record.outcome.label())),
        humanize::duration(Duration::from_millis(record.total_ms))
    );
    if !record.tables.is_empty() {
        let _ = write!(
            text,
            "  {}, {}, {}",
            super::export::tables(record),
            humanize::rows(record.rows()),
            humanize::bytes(record.bytes)
        );
    }
    if let Some(schema) = &record.schema {
        let _ = write!(text, "  schema {schema}");
    }
    if let Some(generation) =
        record.generation.as_ref().filter(|generation| **generation != record.id)
    {
        let _ = write!(text, "  serving {generation}");
    }
    if record.forced {
        text.push_str("  forced");
    }
    if let Some(former) = &record.took_over {
        let _ = write!(text, "  took the lake over from {former}");
    }
    if let Some(holder) = &record.held_by {
        let _ = write!(text, "  what was committed while {holder} held the lakehouse");
    }
    if record.outcome == AttemptOutcome::Refused {
        for audit in record.audits_failed.iter().filter(|audit| audit.severity == Severity::Error) {
            let _ = write!(text, "\n    {}", paint(Tone::Bad, &audit.to_string()));
        }
    } else if let Some(error) = &record.error {
        let _ = write!(text, "\n    {}", error.replace('\n', "\n    "));
    }
    let warnings: Vec<_> =
        record.audits_failed.iter().filter(|audit| audit.severity == Severity::Warn).collect();
    for audit in warnings.iter().take(MAX_WARNINGS) {
        let _ = write!(text, "\n    {}", paint(Tone::Warning, &format!("warning: {audit}")));
    }
    if warnings.len() > MAX_WARNINGS {
        let _ = write!(
            text,
            "\n    and {}: see --json",
            humanize::plural(warnings.len() - MAX_WARNINGS, "more warning")
        );
    }
    // Tables named in warnings or in a refusal.
    let is_named = |table: &str| {
        record
            .audits_failed
            .iter()
            .any(|audit| audit.is_revision() && audit.table.as_deref() == Some(table))
    };
    let revised = record
        .revisions
        .iter()
        .filter(|revision| revision.has_revised() && !is_named(&revision.table));
    for revision in revised.filter(|_| record.outcome != AttemptOutcome::Refused) {
        let _ = write!(text, "\n    {}: {}", revision.table, revision.summary());
    }
    text + "\n"
}
