//! Rewrites the statement of a view at the positions that DuckDB's parser reports.

use super::fingerprint::lineage::query_of;
use crate::sql;

/// A replacement in a statement.
pub(super) struct Edit {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) text: String,
}

/// Formats a list of text literals.
pub(super) fn list(paths: &[String]) -> String {
    paths.iter().map(|path| sql::literal(path)).collect::<Vec<_>>().join(", ")
}

/// Returns the function with which DuckDB reads a file of this name.
pub(super) fn function_for(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let ending = name.rsplit('.').next().unwrap_or_default();
    match ending {
        "parquet" => Some("read_parquet"),
        "csv" | "tsv" | "txt" => Some("read_csv_auto"),
        "json" | "jsonl" | "ndjson" => Some("read_json_auto"),
        _ => None,
    }
}

/// Returns the column list of `CREATE VIEW name (columns) AS`, including parentheses.
pub(super) fn aliases(text: &str) -> &str {
    let head = &text[..text.len() - query_of(text).len()];
    let mut quoted = false;
    let open = head.char_indices().find(|(_, letter)| {
        quoted ^= *letter == '"';
        !quoted && *letter == '('
    });
    open.and_then(|(open, _)| head[open..].rfind(')').map(|close| &head[open..=open + close]))
        .unwrap_or_default()
}

/// Returns the end of the quoted text that begins at `at`.
pub(super) fn literal_ends(query: &str, at: usize, value: &str) -> Option<usize> {
    let rest = query.get(at..)?;
    [sql::literal(value), sql::ident(value)]
        .into_iter()
        .find(|written| rest.starts_with(written.as_str()))
        .map(|written| at + written.len())
}

/// Returns the end of the qualified name that begins at `at`.
pub(super) fn name_ends(query: &str, at: usize, parts: &[&String]) -> Option<usize> {
    let mut end = at;
    for (index, part) in parts.iter().filter(|part| !part.is_empty()).enumerate() {
        if index > 0 {
            end += query.get(end..)?.starts_with('.').then_some(1)?;
        }
        let rest = query.get(end..)?;
        let quoted = sql::ident(part);
        let is = |written: &str| {
            rest.get(..written.len()).is_some_and(|found| found.eq_ignore_ascii_case(written))
        };
        end += if is(&quoted) { quoted.len() } else { is(part).then_some(part.len())? };
    }
    Some(end)
}
