//! The query history and the saved queries: one line of JSON each, in files that only their owner
//! can read.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{message::PastQuery, screens::sql::HISTORY_LIMIT};

fn history_path(folder: &Path) -> PathBuf {
    folder.join("queries.jsonl")
}

fn saved_path(folder: &Path) -> PathBuf {
    folder.join("saved-queries.jsonl")
}

/// Returns the saved queries followed by the history, oldest first; empty without files.
pub(super) fn read(folder: &Path) -> Vec<PastQuery> {
    let history = read_file(&history_path(folder));
    if history.len() > HISTORY_LIMIT * 2 {
        let retained: String =
            history[history.len() - HISTORY_LIMIT..].iter().filter_map(to_line).collect();
        let _ = materia::files::write_atomic(&history_path(folder), retained.as_bytes());
    }
    let mut queries = read_file(&saved_path(folder));
    queries.retain(|query| query.name.is_some());
    queries.extend(history[history.len().saturating_sub(HISTORY_LIMIT)..].iter().cloned());
    queries
}

fn read_file(path: &Path) -> Vec<PastQuery> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(parse_line).collect()
}

/// Earlier versions wrote only the text.
fn parse_line(line: &str) -> Option<PastQuery> {
    match serde_json::from_str(line).ok()? {
        Value::String(query) => Some(PastQuery { query, name: None, at: None }),
        value => serde_json::from_value(value).ok(),
    }
}

fn to_line(query: &PastQuery) -> Option<String> {
    Some(serde_json::to_string(query).ok()? + "\n")
}

/// Appends a query to the history, or to the saved ones if it has a name. Errors are ignored: a
/// failure to record a query must not make it fail.
pub(super) fn append(folder: &Path, query: &PastQuery) {
    let Some(line) = to_line(query) else { return };
    let _ = fs::create_dir_all(folder);
    let path = if query.name.is_some() { saved_path(folder) } else { history_path(folder) };
    if let Ok(mut file) = fs::File::options().append(true).create(true).mode(0o600).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn queries_of_earlier_versions_are_read_and_saved_ones_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(history_path(folder.path()), "\"SELECT 1\"\nnonsense\n").unwrap();
        let at = Some("2026-11-21T02:30:00Z".parse().unwrap());
        let query = PastQuery { query: "SELECT 2\n".to_owned(), name: None, at };
        append(folder.path(), &query);
        let saved = PastQuery { query: "SELECT 3".to_owned(), name: Some("three".to_owned()), at };
        append(folder.path(), &saved);
        let first = PastQuery { query: "SELECT 1".to_owned(), name: None, at: None };
        assert_eq!(read(folder.path()), [saved, first, query]);
    }
}
