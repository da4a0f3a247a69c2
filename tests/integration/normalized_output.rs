//! Normalizes the output of the command: each value that varies between runs is checked before it
//! is masked.

use std::path::PathBuf;

use jiff::Timestamp;
use materia::store::GenerationId;
use serde_json::Value;

use crate::support::{Ran, Site};

/// Snapshots with plain names, in `snapshots/cli`.
pub(crate) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots/cli");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// Facts about a run with which its output is checked.
pub(crate) struct Screen {
    folder: PathBuf,
    pid: Option<u32>,
    /// Every generation and attempt of the site, oldest first: ids are shown as their position in
    /// it.
    ids: Vec<GenerationId>,
}

impl Screen {
    pub(crate) fn of(site: &Site) -> Self {
        let of_history =
            site.history().into_iter().map(|record| record["id"].as_str().unwrap().to_owned());
        let of_files = site
            .listing()
            .into_iter()
            .filter_map(|name| Some(name.rsplit_once('/')?.1.get(..19)?.to_owned()));
        let mut ids: Vec<_> =
            of_history.chain(of_files).filter_map(|id| GenerationId::parse(&id)).collect();
        ids.sort();
        ids.dedup();
        Self { folder: site.folder().to_path_buf(), pid: None, ids }
    }

    /// The process whose id may appear.
    pub(crate) fn with_pid(self, pid: u32) -> Self {
        Self { pid: Some(pid), ..self }
    }

    /// Formats the command line, its exit code, and both outputs.
    pub(crate) fn show(&self, args: &[&str], ran: &Ran) -> String {
        let mut text = format!("$ materia {}\n", args.join(" ")).replace(" \n", "\n");
        text += &ran
            .stderr
            .lines()
            .map(|line| format!("! {line}\n").replace("! \n", "!\n"))
            .collect::<String>();
        text += &ran.stdout;
        self.veil(&format!("{text}[exit code {}]\n", ran.code))
    }

    /// Checks and masks the varying parts of a text.
    fn veil(&self, text: &str) -> String {
        let text = veil_minutes(&text.replace(&self.folder.display().to_string(), "<folder>"));
        let text = self.veil_pid(&self.veil_ids(&text));
        veil_durations(&veil_space(&veil_binary(&text)))
    }

    /// `20261121T021038123Z`: must be an id of the site, and from the last minutes; shown as its
    /// number in the same width.
    fn veil_ids(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            match rest.get(..19).and_then(GenerationId::parse) {
                Some(id) => {
                    let age = Timestamp::now().duration_since(id.time().unwrap()).as_secs();
                    assert!((0..600).contains(&age), "{id} is {age} s old");
                    let number = self.ids.iter().position(|known| *known == id);
                    let number =
                        number.unwrap_or_else(|| panic!("nothing is known of {id}: {text}")) + 1;
                    shown += &format!("<--- attempt {number} --->");
                    rest = &rest[19..];
                }
                None => {
                    shown.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        shown
    }

    fn veil_pid(&self, text: &str) -> String {
        match self.pid {
            Some(pid) => text.replace(&format!("(pid {pid}"), "(pid <pid>"),
            None => text.to_owned(),
        }
    }

    /// Checks and masks the varying values in JSON, by the name of the key.
    pub(crate) fn veiled(&self, value: Value) -> Value {
        self.veiled_at("", value)
    }

    fn veiled_at(&self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(object) => object
                .into_iter()
                .map(|(key, value)| (key.clone(), self.veiled_at(&key, value)))
                .collect(),
            Value::Array(values) => {
                values.into_iter().map(|value| self.veiled_at(key, value)).collect()
            }
            Value::Number(number) if key == "limit_ms" => number.into(),
            Value::Number(number) if key == "ms" || key.ends_with("_ms") || key == "age_s" => {
                assert!(number.as_u64().is_some_and(|number| number < 600_000), "{key}: {number}");
                format!("<{key}>").into()
            }
            Value::Number(number) if key == "pid" => {
                assert_eq!(number.as_u64(), self.pid.map(u64::from), "another process is named");
                "<pid>".into()
            }
            Value::Number(number) if key == "space_left" => {
                assert!(number.as_u64().is_some_and(|number| number > 0));
                "<space left>".into()
            }
            Value::String(text) if key.ends_with("_at") => {
                let time: Timestamp = text.parse().unwrap();
                assert!(
                    (0..600).contains(&Timestamp::now().duration_since(time).as_secs()),
                    "{key}: {time}"
                );
                format!("<{key}>").into()
            }
            Value::String(text) => self.veil(&text).into(),
            other => other,
        }
    }
}

/// `integration-30413b31adbc8584`: this test's own binary, as a holder's command. `since 2026-11-21
/// 02:10 UTC`: within a minute of now.
fn veil_minutes(text: &str) -> String {
    let mut parts = text.split(" UTC");
    let mut veiled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match veiled.rfind("since ") {
            Some(at) if veiled.len() - at == "since 2026-11-21 02:10".len() => {
                veiled.replace_range(at.., "since <minute>");
            }
            _ => veiled.push_str(" UTC"),
        }
        veiled.push_str(part);
    }
    veiled
}

fn veil_binary(text: &str) -> String {
    let own = std::env::current_exe().unwrap();
    text.replace(own.file_name().unwrap().to_str().unwrap(), "integration")
}

fn veil_space(text: &str) -> String {
    let veiled = |line: &str| match line
        .strip_prefix("free space next to ")
        .and_then(|rest| rest.split_once(": "))
    {
        Some((folder, left)) => {
            let (number, unit) = left.trim_end().split_once(' ').unwrap();
            assert!(number.parse::<f64>().unwrap() > 0.0 && unit.ends_with('B'), "{line}");
            format!("free space next to {folder}: <size>\n")
        }
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(veiled).collect()
}

/// `0.12 s`, `3 ms`: shorter than ten minutes; columns keep their width. Durations from the command
/// line (`up to 1 s`) stay.
fn veil_durations(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let digits =
            from.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(digits);
        let unit = [" ms", " s"].into_iter().find(|unit| {
            after.starts_with(unit) && !after[unit.len()..].starts_with(char::is_alphanumeric)
        });
        shown += before;
        match unit {
            Some(unit)
                if !before.ends_with("up to ")
                    && !before.ends_with("--wait ")
                    && !before.ends_with("at most ") =>
            {
                let seconds =
                    number.parse::<f64>().unwrap() * if unit == " ms" { 0.001 } else { 1.0 };
                assert!(seconds < 600.0, "{text}");
                let spaces = shown.len() - shown.trim_end_matches(' ').len();
                let width = if spaces > 1 { spaces + number.len() + unit.len() } else { 0 };
                if spaces > 1 {
                    shown.truncate(shown.len() - spaces);
                }
                shown += &format!("{:>width$}", "<time>");
                rest = &after[unit.len()..];
            }
            _ => {
                shown += number;
                rest = after;
            }
        }
    }
    (shown + rest).replace("<time> ago", "<lately>").replace("just now", "<lately>")
}
