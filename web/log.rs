//! Logs to standard error, one line per event, as text or JSON. No logged value can start a new
//! line or control a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, stderr},
};

use materia::settings::LogFormat;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::{MakeWriter, format::debug_fn},
};

/// Starts logging: as text on a terminal and as JSON elsewhere, unless `format` is given.
/// `RUST_LOG` selects the events; the default is `info` and above. With `to_journal` each line
/// begins with its level, as systemd's journal reads it (`<4>`).
pub fn init_tracing(format: Option<LogFormat>, to_journal: bool) {
    let format =
        format.unwrap_or(if stderr().is_terminal() { LogFormat::Plain } else { LogFormat::Json });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal());
    let plain = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(Escaped(writer), "{value:?}"),
        name => {
            write!(writer, "{name}=")?;
            write!(Escaped(writer), "{value:?}")
        }
    });
    // Tests may have installed a subscriber already, which is retained.
    let _ = match format {
        LogFormat::Plain => log
            .with_target(false)
            .fmt_fields(plain.delimited(" "))
            .with_writer(LineWriter { to_journal, is_json: false })
            .try_init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(LineWriter { to_journal, is_json: true })
            .try_init(),
    };
}

/// Creates writers of single lines.
#[derive(Debug, Clone, Copy)]
struct LineWriter {
    to_journal: bool,
    is_json: bool,
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Line<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { out: stderr(), is_json: self.is_json, prefix: "" }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let prefix = if self.to_journal { syslog_prefix(*metadata.level()) } else { "" };
        Line { out: stderr(), is_json: self.is_json, prefix }
    }
}

/// Returns the prefix from which systemd reads the priority of a line.
fn syslog_prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Writes one line with its prefix, JSON with unsafe characters escaped.
struct Line<W> {
    out: W,
    is_json: bool,
    prefix: &'static str,
}

impl<W: io::Write> io::Write for Line<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // Writes the line with a single call, so that lines of other threads cannot interleave.
        let mut line = std::mem::take(&mut self.prefix).as_bytes().to_vec();
        if self.is_json {
            EscapedJson(&mut line).write_all(text)?;
        } else {
            line.extend_from_slice(text);
        }
        self.out.write_all(&line)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns whether a character starts a line, controls a terminal, or changes the direction of
/// text.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a value with unsafe characters escaped.
struct Escaped<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| {
            if is_unsafe(char) {
                write!(self.0, "{}", char.escape_default())
            } else {
                self.0.write_char(char)
            }
        })
    }
}

/// Writes lines of JSON, in which characters below the space are escaped already.
struct EscapedJson<W>(W);

impl<W: io::Write> io::Write for EscapedJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut escaped = String::with_capacity(text.len());
        for char in text.chars() {
            // All of them are in the basic plane and take four digits.
            let _ = if is_unsafe(char) && char != '\n' {
                write!(escaped, "\\u{:04x}", u32::from(char))
            } else {
                escaped.write_char(char)
            };
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns an engine's message without quoted text, which may be a value from a request: values are
/// not logged.
pub(crate) fn without_values(reason: &str) -> String {
    let quotes = |char: char| matches!(char, '\'' | '"');
    // A value may contain quotes itself, so that everything between the first and the last is
    // removed.
    match (reason.find(quotes), reason.rfind(quotes)) {
        (Some(first), Some(last)) if first < last => {
            format!("{}…{}", &reason[..=first], &reason[last..])
        }
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const FORGED: &str = "x\r\n2026-11-29 INFO all is well \u{1b}[2J\u{9b}31m\u{2028}\u{202e}";

    #[test]
    fn a_value_cannot_write_a_line_of_its_own_or_act_on_a_terminal() {
        let mut plain = String::new();
        assert!(write!(Escaped(&mut plain), "{FORGED}").is_ok());
        assert_eq!(
            plain,
            "x\\r\\n2026-11-29 INFO all is well \\u{1b}[2J\\u{9b}31m\\u{2028}\\u{202e}"
        );
        let mut json = Vec::new();
        let line = serde_json::json!({ "reason": FORGED }).to_string() + "\n";
        assert!(EscapedJson(&mut json).write_all(line.as_bytes()).is_ok());
        let json = String::from_utf8_lossy(&json);
        assert_eq!(json.lines().count(), 1);
        assert!(json.trim_end().chars().all(|char| !is_unsafe(char)), "{json}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap_or_default()["reason"],
            FORGED
        );
    }

    #[test]
    fn a_line_begins_with_its_level_once_for_the_journal() {
        let mut out = Vec::new();
        let mut line = Line { out: &mut out, is_json: true, prefix: syslog_prefix(Level::WARN) };
        assert!(line.write_all(b"{\"a\":1}").and_then(|()| line.write_all(b"\n")).is_ok());
        assert_eq!(out, b"<4>{\"a\":1}\n");
    }

    #[test]
    fn a_reason_is_told_without_the_value_that_caused_it() {
        assert_eq!(
            without_values(
                "Conversion Error: Could not convert string 'ada's \"secret\"' to INT32"
            ),
            "Conversion Error: Could not convert string '…' to INT32"
        );
        assert_eq!(
            without_values("Out of Memory Error: could not allocate block of size 256 KiB"),
            "Out of Memory Error: could not allocate block of size 256 KiB"
        );
    }
}
