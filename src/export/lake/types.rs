//! Which types a DuckLake holds exactly. Measured with DuckLake 1.0 on DuckDB 1.5.5: it makes HUGEINT a DOUBLE and takes microseconds from INTERVAL and
//! the offset from TIME WITH TIME ZONE without a word, and refuses or ends over the others that are not listed here.

use crate::export::{ExportError, Manifest};

/// Those without parts.
const EXACT: [&str; 23] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "VARCHAR",
    "BLOB",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMPTZ",
    "UUID",
    "JSON",
];

/// Refuses what would not come out as it went in.
pub(super) fn check(manifest: &Manifest) -> Result<(), ExportError> {
    let mut columns = Vec::new();
    for table in &manifest.tables {
        let lost = table.columns.iter().filter(|column| !is_exact(&column.data_type));
        columns.extend(lost.map(|column| format!("{}.{} ({})", table.name, column.name, column.data_type)));
    }
    if columns.is_empty() { Ok(()) } else { Err(ExportError::Unholdable { columns }) }
}

/// A type as DuckDB writes it.
fn is_exact(text: &str) -> bool {
    let text = text.trim();
    let parts = |kind: &str| text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.strip_suffix(')'));
    if let Some(of) = text.strip_suffix("[]") {
        return is_exact(of);
    }
    if let Some(fields) = parts("STRUCT") {
        return split(fields).into_iter().all(|field| is_exact(after_name(field)));
    }
    if let Some(both) = parts("MAP") {
        return split(both).into_iter().all(is_exact);
    }
    EXACT.contains(&text) || parts("DECIMAL").is_some()
}

/// What a field is called may be quoted, and hold anything.
fn after_name(field: &str) -> &str {
    let field = field.trim_start();
    let mut quoted = false;
    let end = field.find(|char: char| {
        quoted ^= char == '"';
        char == ' ' && !quoted
    });
    end.map_or("", |end| &field[end..])
}

/// At commas that are inside of no parentheses and no quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut from, mut parts) = (0_usize, false, 0, Vec::new());
    for (at, char) in text.char_indices() {
        match char {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_looked_into_however_deep_they_are() {
        for exact in [
            "DECIMAL(18,3)",
            "VARCHAR[]",
            "STRUCT(a INTEGER, \"b, (c\" VARCHAR[][])",
            "MAP(VARCHAR, STRUCT(x DOUBLE, y MAP(DATE, BLOB)))",
            "STRUCT(\"HUGEINT\" TIMESTAMP WITH TIME ZONE)",
        ] {
            assert!(is_exact(exact), "{exact}");
        }
        for lossy in [
            "HUGEINT",
            "INTERVAL",
            "TIME WITH TIME ZONE",
            "TIME_NS",
            "ENUM('a', 'INTEGER')",
            "INTEGER[3]",
            "STRUCT(a INTEGER, b HUGEINT)",
            "MAP(VARCHAR, BIT[])",
            "UNION(n INTEGER)",
            "STRUCT(a STRUCT(b INTERVAL)[])[]",
            "",
        ] {
            assert!(!is_exact(lossy), "{lossy}");
        }
    }
}
