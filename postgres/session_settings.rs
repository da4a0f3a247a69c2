//! The settings of a session: what `SET` changes and `SHOW` shows. None changes a result.

use std::{collections::HashMap, time::Duration};

use crate::error::{
    INVALID_VALUE, OUT_OF_MEMORY, PROGRAM_LIMIT_EXCEEDED, SqlError, UNDEFINED_OBJECT,
};

/// Bytes of a setting and its name.
const MAX_SETTING: usize = 8 << 10;
/// Settings of a session, most of which are those of [`DEFAULTS`].
const MAX_SETTINGS: usize = 200;
/// Settings whose changes are reported to clients.
const REPORTED: [&str; 4] = ["application_name", "client_encoding", "DateStyle", "TimeZone"];
/// Settings that drivers and tools set, with the value that a session begins with.
const DEFAULTS: [(&str, &str); 40] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("geqo", "on"),
    ("gssencmode", "disable"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "on"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("row_security", "on"),
    ("search_path", ""),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("session_authorization", "materia"),
    ("ssl", "off"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronize_seqscans", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
    ("work_mem", "4MB"),
];

pub(crate) struct SessionSettings {
    values: HashMap<String, String>,
    defaults: HashMap<String, String>,
}

impl SessionSettings {
    pub(crate) fn new(schema: &str) -> Self {
        let mut values: HashMap<String, String> = DEFAULTS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        values.insert("search_path".to_owned(), schema.to_owned());
        Self { defaults: values.clone(), values }
    }

    pub(crate) fn values(&self) -> &HashMap<String, String> {
        &self.values
    }

    pub(crate) fn get(&self, name: &str) -> Result<String, SqlError> {
        self.values.get(name).cloned().ok_or_else(|| unknown(name))
    }

    /// Changes a setting; `None` is its default. Returns what to report to the client.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have this value here.
    pub(crate) fn set(
        &mut self,
        name: &str,
        value: Option<String>,
    ) -> Result<Option<(&'static str, String)>, SqlError> {
        let known = self.defaults.contains_key(name)
            || name.contains('.')
            || ["enable_", "max_parallel_", "lc_", "log_", "debug_", "transaction_"]
                .iter()
                .any(|start| name.starts_with(start));
        if !known {
            return Err(unknown(name));
        }
        let value = value.or_else(|| self.defaults.get(name).cloned()).unwrap_or_default();
        if name.len() + value.len() > MAX_SETTING {
            return Err(SqlError::new(
                PROGRAM_LIMIT_EXCEEDED,
                format!("a setting has at most {MAX_SETTING} bytes, with its name"),
            ));
        }
        if !self.values.contains_key(name) && self.values.len() >= MAX_SETTINGS {
            return Err(SqlError::new(
                OUT_OF_MEMORY,
                format!("out of memory: a session has at most {MAX_SETTINGS} settings"),
            )
            .hint("Use RESET ALL."));
        }
        match name {
            "client_encoding" if !is_utf8(&value) => {
                return Err(SqlError::new(
                    INVALID_VALUE,
                    format!("the encoding {value:?} is not supported"),
                )
                .hint("Use UTF8."));
            }
            "statement_timeout" => {
                parse_timeout(&value)?;
            }
            "default_transaction_read_only" | "transaction_read_only"
                if ["off", "false", "0", "no"].contains(&value.to_lowercase().as_str()) =>
            {
                return Err(SqlError::new(
                    crate::error::READ_ONLY,
                    "cannot set transaction read-write mode: the data is read-only",
                ));
            }
            "server_version" | "server_version_num" | "server_encoding" | "is_superuser"
            | "integer_datetimes" => {
                return Err(SqlError::new(
                    "55P02",
                    format!("parameter \"{name}\" cannot be changed"),
                ));
            }
            // Values are sent in UTC, and dates in ISO 8601, whatever a driver prefers.
            "timezone" | "datestyle" | "intervalstyle" | "bytea_output" => return Ok(None),
            _ => {}
        }
        let value = if name == "client_encoding" { "UTF8".to_owned() } else { value };
        self.values.insert(name.to_owned(), value.clone());
        let reported = REPORTED.iter().find(|known| known.eq_ignore_ascii_case(name));
        Ok(reported.map(|reported| (*reported, value)))
    }

    pub(crate) fn reset_all(&mut self) {
        let name = self.values.get("application_name").cloned();
        self.values = self.defaults.clone();
        self.values.extend(name.map(|name| ("application_name".to_owned(), name)));
    }

    /// Returns the time that a statement may take, within the plan's.
    pub(crate) fn statement_timeout(&self, plan: Duration) -> Duration {
        let own = self.values.get("statement_timeout").and_then(|text| parse_timeout(text).ok());
        match own {
            Some(Duration::ZERO) | None => plan,
            Some(own) => own.min(plan),
        }
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn is_utf8(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    ["utf8", "unicode"].contains(&plain.to_lowercase().as_str())
}

/// Reads `5s`, `100ms`, or milliseconds.
fn parse_timeout(text: &str) -> Result<Duration, SqlError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let number = text[..digits].parse::<u64>().ok().filter(|_| unit > 0);
    number.and_then(|number| number.checked_mul(unit)).map(Duration::from_millis).ok_or_else(|| {
        SqlError::new(
            INVALID_VALUE,
            format!("invalid value for parameter \"statement_timeout\": {text:?}"),
        )
        .hint("Valid units are \"ms\", \"s\", \"min\", \"h\" and \"d\".")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_few_and_short() {
        let mut settings = SessionSettings::new("main");
        let long = settings.set("my.setting", Some("x".repeat(MAX_SETTING))).unwrap_err();
        assert_eq!(long.code, "54000");
        let mut set = |number: usize| settings.set(&format!("my.s{number}"), Some("x".to_owned()));
        let refused = (0..).find_map(|number| set(number).err().map(|error| (number, error)));
        let (number, error) = refused.unwrap();
        assert_eq!((number, error.code), (MAX_SETTINGS - DEFAULTS.len(), "53200"));
        settings.set("my.s0", Some("another value".to_owned())).unwrap();
        settings.reset_all();
        settings.set("my.s1000", Some("x".to_owned())).unwrap();
    }

    #[test]
    fn a_timeout_is_bounded_by_the_plans() {
        let plan = Duration::from_secs(30);
        let mut settings = SessionSettings::new("main");
        assert_eq!(settings.statement_timeout(plan), plan);
        settings.set("statement_timeout", Some("250ms".to_owned())).unwrap();
        assert_eq!(settings.statement_timeout(plan), Duration::from_millis(250));
        settings.set("statement_timeout", Some("2h".to_owned())).unwrap();
        assert_eq!(settings.statement_timeout(plan), plan);
        assert!(settings.set("statement_timeout", Some("soon".to_owned())).is_err());
        assert!(settings.set("no_such_thing", Some("1".to_owned())).is_err());
        assert!(settings.set("transaction_read_only", Some("off".to_owned())).is_err());
    }
}
