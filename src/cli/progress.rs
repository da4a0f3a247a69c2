//! What an attempt shows while it runs: bars on a terminal, lines elsewhere, JSON for machines, or nothing.

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use materia::{
    export::{Event, Step, Watch},
    target::GenerationId,
    words,
};

/// Lines that repeat while waiting are said this often where they cannot overwrite one another.
const REPEAT: Duration = Duration::from_secs(10);

/// The watcher that suits the flags and the place standard error goes to.
pub(super) fn watcher(json: bool, quiet: bool) -> Box<dyn Watch> {
    match (json, quiet) {
        (true, _) => Box::new(JsonLines { id: None }),
        (false, true) => Box::new(materia::export::Unwatched),
        _ if stderr().is_terminal() => Box::new(Bars::new()),
        _ => Box::new(Lines { id: String::new(), said: None, uploading: false }),
    }
}

/// One JSON object for each event, on standard output, each with the attempt's id.
struct JsonLines {
    id: Option<GenerationId>,
}

#[derive(serde::Serialize)]
struct OfAttempt<'a> {
    id: Option<&'a GenerationId>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Watch for JsonLines {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Begins { id } = event {
            self.id = Some((*id).clone());
        } else {
            let _ = super::print_json(&OfAttempt { id: self.id.as_ref(), event });
        }
    }
}

/// Lines on standard error, for logs, each with the attempt's id.
struct Lines {
    id: String,
    said: Option<Instant>,
    /// What was copied goes into a lake now.
    uploading: bool,
}

impl Watch for Lines {
    fn event(&mut self, event: &Event<'_>) {
        let line = match event {
            Event::Waiting { .. } if self.said.is_some_and(|said| said.elapsed() < REPEAT) => return,
            Event::Waiting { .. } => {
                self.said = Some(Instant::now());
                waiting(event)
            }
            Event::TableDone { table, rows, ms } => done(table, *rows, *ms) + uploaded(self.uploading),
            Event::Notice { message } => (*message).to_owned(),
            Event::Begins { id } => {
                self.id = format!("{id} ");
                return;
            }
            Event::Step { step } => {
                self.uploading = *step == Step::Upload;
                return;
            }
            Event::TableBegins { .. } | Event::TableProgress { .. } | Event::InPlace { .. } => return,
        };
        let _ = writeln!(stderr(), "{}{}", self.id, words::printable(&line));
    }
}

/// A live line on the terminal, with finished tables above it.
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

impl Watch for Bars {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Begins { .. } | Event::InPlace { .. } => {}
            Event::Step { step: Step::Prune } => self.bar.set_message(String::new()),
            Event::Step { step } => {
                self.uploading = *step == Step::Upload;
                self.bar.set_message(step.word());
            }
            Event::Waiting { what, holder, waited, limit } => {
                // The most useful part first: the line is cut where the terminal ends.
                let who = holder
                    .pid
                    .map_or_else(|| holder.to_string(), |pid| format!("pid {pid} ({})", holder.command.as_deref().unwrap_or("?")));
                let waited = words::duration(Duration::from_secs(waited.as_secs()));
                self.bar.set_message(words::printable(&format!("waited {waited} of {} for {what}: {who}", words::duration(*limit))));
            }
            Event::TableBegins { table, index, of } => {
                let doing = if self.uploading { "uploading" } else { "staging" };
                self.prefix = format!("{doing} {} ({} of {of})", words::printable(table), index + 1);
                self.bar.set_message(self.prefix.clone());
            }
            Event::TableProgress { percent, .. } => self.bar.set_message(format!("{} {percent:.0} %", self.prefix)),
            Event::TableDone { table, rows, ms } => self.bar.println(done(table, *rows, *ms) + uploaded(self.uploading)),
            Event::Notice { message } => self.bar.println(words::printable(message)),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn waiting(event: &Event<'_>) -> String {
    match event {
        Event::Waiting { what, holder, waited, limit } => format!(
            "{what} is held by {holder}; waited {}, waiting up to {} (--wait)",
            words::duration(Duration::from_secs(waited.as_secs())),
            words::duration(*limit)
        ),
        _ => String::new(),
    }
}

fn uploaded(uploading: bool) -> &'static str {
    if uploading { "  uploaded" } else { "" }
}

fn done(table: &str, rows: u64, ms: u64) -> String {
    format!("{:<32} {}  {:>9}", words::printable(table), super::rows_cell(rows), words::duration(Duration::from_millis(ms)))
}
