//! Displays the progress of an attempt: bars on a terminal, lines elsewhere, JSON for machines, or
//! nothing.

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use materia::{
    export::{ExportEvent, Progress},
    humanize,
    store::ExportStep,
    store::GenerationId,
};

/// Interval of repeated lines while waiting, on outputs where they cannot overwrite one another.
const REPEAT: Duration = Duration::from_secs(10);

/// Returns the observer for the flags and the kind of standard error.
pub(super) fn watcher(json: bool, quiet: bool) -> Box<dyn Progress> {
    match (json, quiet) {
        (true, _) => Box::new(JsonLines { id: None }),
        (false, true) => Box::new(materia::export::NoProgress),
        _ if stderr().is_terminal() => Box::new(Bars::new()),
        _ => Box::new(Lines { id: String::new(), last_line: None, uploading: false }),
    }
}

/// Prints one JSON object per event to standard output, each with the attempt's id.
struct JsonLines {
    id: Option<GenerationId>,
}

#[derive(serde::Serialize)]
struct AttemptLine<'a> {
    id: Option<&'a GenerationId>,
    #[serde(flatten)]
    event: &'a ExportEvent<'a>,
}

impl Progress for JsonLines {
    fn event(&mut self, event: &ExportEvent<'_>) {
        if let ExportEvent::Begins { id } = event {
            self.id = Some((*id).clone());
        } else {
            let _ = super::print_json(&AttemptLine { id: self.id.as_ref(), event });
        }
    }
}

/// Prints lines to standard error, for logs, each with the attempt's id.
struct Lines {
    id: String,
    last_line: Option<Instant>,
    /// Whether the copied tables are being written to a lake.
    uploading: bool,
}

impl Progress for Lines {
    fn event(&mut self, event: &ExportEvent<'_>) {
        let line = match event {
            ExportEvent::Waiting { .. }
                if self.last_line.is_some_and(|at| at.elapsed() < REPEAT) =>
            {
                return;
            }
            ExportEvent::Waiting { .. } => {
                self.last_line = Some(Instant::now());
                waiting(event)
            }
            ExportEvent::TableDone { table, rows, ms } => {
                done(table, *rows, *ms) + uploaded(self.uploading)
            }
            ExportEvent::Notice { message } => (*message).to_owned(),
            ExportEvent::Begins { id } => {
                self.id = format!("{id} ");
                return;
            }
            ExportEvent::Step { step } => {
                self.uploading = *step == ExportStep::Upload;
                return;
            }
            ExportEvent::TableBegins { .. }
            | ExportEvent::TableProgress { .. }
            | ExportEvent::InPlace { .. } => {
                return;
            }
        };
        let _ = writeln!(stderr(), "{}{}", self.id, humanize::printable(&line));
    }
}

/// A status line on the terminal, below the finished tables.
struct Bars {
    bar: ProgressBar,
    prefix: String,
    uploading: bool,
}

impl Bars {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, prefix: String::new(), uploading: false }
    }
}

impl Progress for Bars {
    fn event(&mut self, event: &ExportEvent<'_>) {
        match event {
            ExportEvent::Begins { .. } | ExportEvent::InPlace { .. } => {}
            ExportEvent::Step { step: ExportStep::Prune } => self.bar.set_message(String::new()),
            ExportEvent::Step { step } => {
                self.uploading = *step == ExportStep::Upload;
                self.bar.set_message(step.label());
            }
            ExportEvent::Waiting { what, holder, waited, limit } => {
                // The most useful part comes first, since the line is truncated at the terminal's
                // width.
                let who = holder.pid.map_or_else(
                    || holder.to_string(),
                    |pid| format!("pid {pid} ({})", holder.command.as_deref().unwrap_or("?")),
                );
                let waited = humanize::duration(Duration::from_secs(waited.as_secs()));
                self.bar.set_message(humanize::printable(&format!(
                    "waited {waited} of {} for {what}: {who}",
                    humanize::duration(*limit)
                )));
            }
            ExportEvent::TableBegins { table, index, of } => {
                let doing = if self.uploading { "uploading" } else { "staging" };
                self.prefix =
                    format!("{doing} {} ({} of {of})", humanize::printable(table), index + 1);
                self.bar.set_message(self.prefix.clone());
            }
            ExportEvent::TableProgress { percent, .. } => {
                self.bar.set_message(format!("{} {percent:.0} %", self.prefix));
            }
            ExportEvent::TableDone { table, rows, ms } => {
                self.bar.println(done(table, *rows, *ms) + uploaded(self.uploading));
            }
            ExportEvent::Notice { message } => self.bar.println(humanize::printable(message)),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn waiting(event: &ExportEvent<'_>) -> String {
    match event {
        ExportEvent::Waiting { what, holder, waited, limit } => format!(
            "{what} is held by {holder}; waited {}, waiting up to {} (--wait)",
            humanize::duration(Duration::from_secs(waited.as_secs())),
            humanize::duration(*limit)
        ),
        _ => String::new(),
    }
}

fn uploaded(uploading: bool) -> &'static str {
    if uploading { "  uploaded" } else { "" }
}

fn done(table: &str, rows: u64, ms: u64) -> String {
    format!(
        "{:<32} {}  {:>9}",
        humanize::printable(table),
        super::rows_cell(rows),
        humanize::duration(Duration::from_millis(ms))
    )
}
