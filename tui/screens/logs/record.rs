//! Lines of JSON: their time, level and message as columns, followed by other fields.

use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value};

use super::Level;

const TIME_KEYS: [&str; 6] = ["timestamp", "time", "ts", "@timestamp", "t", "at"];
const LEVEL_KEYS: [&str; 4] = ["level", "severity", "lvl", "levelname"];
const MESSAGE_KEYS: [&str; 4] = ["message", "msg", "event", "text"];
/// Length of a timestamp without fraction and zone.
const TIME_LENGTH: usize = 19;

/// The fields of a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogRecord {
    time: String,
    level: String,
    message: String,
    /// Other fields as `key=value`.
    rest: String,
}

impl LogRecord {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = parse_object(line)?;
        // `tracing` nests the message and its fields.
        if let Some(Value::Object(nested)) = fields.remove("fields") {
            fields.extend(nested);
        }
        let mut take = |keys: &[&str]| {
            keys.iter().find_map(|key| fields.remove(*key)).map(|value| plain(&value))
        };
        let (time, level, message) = (take(&TIME_KEYS), take(&LEVEL_KEYS), take(&MESSAGE_KEYS));
        if message.is_none() && level.is_none() {
            return None;
        }
        let rest: Vec<_> =
            fields.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
        Some(Self {
            time: time
                .unwrap_or_default()
                .replacen('T', " ", 1)
                .chars()
                .take(TIME_LENGTH)
                .collect(),
            level: level.unwrap_or_default().to_uppercase(),
            message: message.unwrap_or_default(),
            rest: rest.join(" "),
        })
    }

    pub(super) fn level(&self) -> Level {
        Level::from_word(&self.level.to_lowercase())
    }

    /// Formats a line of JSON with one line per field; `None` if it is not JSON.
    pub(super) fn pretty(line: &str) -> Option<String> {
        serde_json::to_string_pretty(&Value::Object(parse_object(line)?)).ok()
    }
}

fn parse_object(line: &str) -> Option<Map<String, Value>> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    serde_json::from_str(line).ok()
}

/// Returns a string without quotes, and any other value as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Display for LogRecord {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.time.is_empty() {
            write!(f, "{:<TIME_LENGTH$} ", self.time)?;
        }
        write!(f, "{:<5} {}", self.level, self.message)?;
        if self.rest.is_empty() { Ok(()) } else { write!(f, "  {}", self.rest) }
    }
}
