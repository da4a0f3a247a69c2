//! The remedies for a refusal: flags for a single export, and lines of `materia.toml` for all
//! exports.

use std::{collections::BTreeMap, fmt::Write as _};

use super::ExportJob;
use crate::humanize;
use crate::store::{AttemptRecord, Audit, Remedy};

/// A flag of `materia export` and the equivalent setting.
struct Exception {
    flag: String,
    setting: String,
}

impl Remedy {
    /// Collects the remedies for every failed check.
    pub(super) fn of(failed: &[Audit], record: &AttemptRecord, job: &ExportJob) -> Self {
        let mut way = Self::default();
        let mut flags = Vec::new();
        let mut settings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for audit in failed {
            match exception(audit, record) {
                Some((table, Exception { flag, setting })) => {
                    // A table that became empty only fails the check for empty tables.
                    flags.push(flag);
                    settings.entry(table).or_default().push(setting);
                }
                None => way.fix.push(fix(audit)),
            }
        }
        let all_have_flags = way.fix.is_empty();
        way.once = format!(
            "materia export {}",
            if all_have_flags { flags.join(" ") } else { "--force".to_owned() }
        );
        for (table, lines) in settings {
            let known = if job.tables.contains_key(table) {
                "  # this section is there already: add to it"
            } else {
                ""
            };
            way.always.push(format!("[export.tables.{}]{known}", toml_key(table)));
            way.always.extend(lines);
        }
        way
    }
}

fn exception<'a>(audit: &'a Audit, record: &AttemptRecord) -> Option<(&'a str, Exception)> {
    let table = audit.table.as_deref()?;
    let flag = |flag: &str, value: &str| format!("{flag} {}", shell_word(value));
    let (flag, setting) = match audit.name.as_str() {
        "not_empty" => (flag("--max-drop", &format!("{table}=1")), "allow_empty = true".to_owned()),
        "max_drop" => {
            let share = needed_share(table, record);
            (flag("--max-drop", &format!("{table}={share}")), format!("max_drop = {share:?}"))
        }
        "lost" => (flag("--allow-lost", table), "allow_lost = true".to_owned()),
        "revision" => (flag("--allow-revision", table), "allow_revision = true".to_owned()),
        "columns" => (flag("--allow-change", table), "allow_column_changes = true".to_owned()),
        _ => return None,
    };
    Some((table, Exception { flag, setting }))
}

/// Returns the share of its rows that a table has lost, rounded up to a hundredth so that it
/// suffices.
fn needed_share(table: &str, record: &AttemptRecord) -> f64 {
    let found = record.tables.iter().find(|line| line.name == table);
    let Some((rows, before)) =
        found.and_then(|line| Some((line.rows, line.previous_rows.filter(|before| *before > 0)?)))
    else {
        return 1.0;
    };
    let dropped = before.saturating_sub(rows) as f64 / before as f64;
    let hundredths = (dropped * 100.0).ceil() / 100.0;
    // Because of binary fractions, the hundredth may be slightly less than the share it was rounded
    // up from.
    if hundredths >= dropped { hundredths.min(1.0) } else { (hundredths + 0.01).min(1.0) }
}

fn fix(audit: &Audit) -> String {
    let section = audit
        .table
        .as_deref()
        .map(|table| format!("[export.tables.{}]", toml_key(table)))
        .unwrap_or_default();
    match (audit.name.as_str(), &audit.table) {
        ("dashboards", _) => {
            "the pipeline, or the dashboard; `materia dashboards check` names every panel"
                .to_owned()
        }
        ("configured", Some(_)) => {
            format!("correct the name in {section} of materia.toml, or remove the section")
        }
        (name @ ("not_null" | "unique" | "min_rows" | "fresh"), Some(table)) => {
            format!("{} in the pipeline, or {name} under {section} in materia.toml", shown(table))
        }
        (name, _) => {
            format!(
                "the data in the pipeline, or the audit {} in materia.toml (severity = \"warn\" only reports it)",
                shown(name)
            )
        }
    }
}

fn shown(name: &str) -> String {
    humanize::printable(name)
}

/// Formats a name as a TOML key: bare if possible, otherwise a basic string.
fn toml_key(name: &str) -> String {
    if !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        return name.to_owned();
    }
    let mut quoted = String::from("\"");
    for char in name.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if humanize::is_unprintable(char) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted + "\""
}

/// Quotes a value as one word for bash.
fn shell_word(value: &str) -> String {
    let plain = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '_' | '-' | '.' | '/' | '=' | ':' | ',' | '+' | '@')
    };
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    if !value.chars().any(humanize::is_unprintable) {
        return format!("'{}'", value.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for char in value.chars() {
        match char {
            '\'' | '\\' => quoted.extend(['\\', char]),
            char if humanize::is_unprintable(char) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted + "'"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "orders",
        "my orders",
        "it's",
        "a\"b\\c",
        "a.b",
        "größe",
        "esc\u{1b}[31mred\nnext",
        "\u{202e}evil",
    ];

    #[test]
    fn every_name_is_quoted_so_that_toml_reads_it_back() {
        for name in NAMES {
            let text = format!("[export.tables.{}]\nallow_lost = true", toml_key(name));
            let read: toml::Table = toml::from_str(&text).unwrap();
            assert!(read["export"]["tables"].as_table().unwrap().contains_key(name), "{text}");
            assert!(!text.replace('\n', "").chars().any(humanize::is_unprintable));
        }
    }

    #[test]
    fn every_name_is_quoted_so_that_bash_reads_it_back() {
        for name in NAMES {
            let word = shell_word(name);
            let output = std::process::Command::new("bash")
                .env("LC_ALL", "C.UTF-8")
                .args(["-c", &format!("printf %s {word}")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), name, "{word}");
            assert!(!word.chars().any(humanize::is_unprintable));
        }
    }
}
