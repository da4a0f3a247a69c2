//! Parsing of TOML files written by people: every error names file, line, key and the nearest known
//! name.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::humanize;

/// An error in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct FileError {
    pub path: PathBuf,
    /// The line, counted from 1, if known.
    pub line: Option<usize>,
    /// The error, with a suggestion where one name is close.
    pub message: String,
}

/// Parses `text`, the content of the file at `path`, into `T`, whose types should deny unknown
/// fields.
///
/// # Errors
/// The first error in the file.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        FileError { path: path.to_path_buf(), line, message: explain(error.message()) }
    })
}

/// Replaces serde's list of expected keys by the nearest one, if one is close.
fn explain(message: &str) -> String {
    for what in ["field", "variant"] {
        let Some(rest) = message.strip_prefix(&format!("unknown {what} `")) else { continue };
        let Some((given, rest)) = rest.split_once('`') else { continue };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let kind = if what == "field" { "key" } else { "value" };
        let help = match humanize::nearest(given, known.iter().copied()) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return format!("unknown {kind} {given:?}; {help}");
    }
    match message.rsplit_once("expected ") {
        Some((before, wanted)) => format!("{before}expected {}", in_words(wanted)),
        None => message.to_owned(),
    }
}

/// Returns the TOML term for a Rust type.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" | "u16" | "i64" => "a whole number",
        "f64" => "a number",
        "a string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct TestDocument {
        series: Option<String>,
        title: Option<u32>,
    }

    fn complaint(text: &str) -> String {
        parse::<TestDocument>(Path::new("supply.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_mistyped_key_is_named_with_its_line_and_the_key_that_was_meant() {
        assert_eq!(
            complaint("\n\nseris = 'a'\n"),
            "supply.toml:3: unknown key \"seris\"; did you mean \"series\"?"
        );
        assert_eq!(
            complaint("zzz = 1"),
            "supply.toml:1: unknown key \"zzz\"; known here: series, title"
        );
    }

    #[test]
    fn a_wrong_type_and_broken_syntax_are_told_with_their_line() {
        assert_eq!(
            complaint("title = 'x'"),
            "supply.toml:1: invalid type: string \"x\", expected a whole number"
        );
        assert!(complaint("series = 'a'\ntitle = = 2").starts_with("supply.toml:2: "));
    }
}
