//! The types that DuckLake stores without loss. Measured with DuckLake 1.0 on DuckDB 1.5.5: it
//! silently converts HUGEINT to DOUBLE, drops microseconds from INTERVAL and drops the offset from
//! TIME WITH TIME ZONE. The other types that are not listed here are rejected or abort the process.

use std::collections::BTreeMap;

use crate::{
    export::{ExportError, TablePlan},
    settings::LakeCast,
    sql,
    store::{ColumnManifest, Manifest},
};

const LOSSLESS_TYPES: [&str; 23] = [
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

/// Converts the columns of a plan whose types a lake would alter, as far as `casts` allows it.
/// Returns a notice for each converted column.
///
/// # Errors
/// [`ExportError::UnsupportedTypes`] for the others.
pub(in crate::export) fn adapt_plan(
    tables: &mut [TablePlan],
    catalog: &str,
    casts: &[LakeCast],
) -> Result<Vec<String>, ExportError> {
    let relations = tables.iter_mut().map(|table| (table.name.as_str(), &mut table.columns));
    let converted = adapt(relations, casts)?;
    let mut notices = Vec::new();
    for table in tables {
        let Some(columns) = converted.get(&table.name) else { continue };
        table.query = Some(cast_query(&table.source(catalog), columns));
        for Converted { column, from, to } in columns {
            notices.push(format!("{}.{column} ({from}) is stored as {to}", table.name));
        }
    }
    Ok(notices)
}

/// Converts the columns of a generation that is copied from a file; see [`adapt_plan`]. Returns the
/// converted columns by table.
pub(super) fn adapt_manifest(
    manifest: &mut Manifest,
    casts: &[LakeCast],
) -> Result<BTreeMap<String, Vec<Converted>>, ExportError> {
    let tables = manifest.tables.iter_mut();
    adapt(tables.map(|table| (table.name.as_str(), &mut table.columns)), casts)
}

/// A column with another type in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    pub(super) column: String,
    pub(super) from: String,
    pub(super) to: String,
}

fn adapt<'a>(
    tables: impl Iterator<Item = (&'a str, &'a mut Vec<ColumnManifest>)>,
    casts: &[LakeCast],
) -> Result<BTreeMap<String, Vec<Converted>>, ExportError> {
    let (mut unsupported, mut converted) = (Vec::new(), BTreeMap::new());
    for (table, columns) in tables {
        let mut of_table = Vec::new();
        for column in columns {
            let from = column.data_type.clone();
            match lake_type(&from, casts) {
                None => unsupported.push(format!("{table}.{} ({from})", column.name)),
                Some(to) if to != from.trim() => {
                    column.data_type.clone_from(&to);
                    of_table.push(Converted { column: column.name.clone(), from, to });
                }
                Some(_) => {}
            }
        }
        if !of_table.is_empty() {
            converted.insert(table.to_owned(), of_table);
        }
    }
    if unsupported.is_empty() {
        Ok(converted)
    } else {
        Err(ExportError::UnsupportedTypes { columns: unsupported })
    }
}

/// Returns the query of a relation with its columns converted.
pub(super) fn cast_query(from: &str, columns: &[Converted]) -> String {
    let cast = |Converted { column, to, .. }: &Converted| {
        let column = sql::ident(column);
        format!("CAST({column} AS {to}) AS {column}")
    };
    let casts: Vec<_> = columns.iter().map(cast).collect();
    format!("SELECT * REPLACE ({}) FROM {from}", casts.join(", "))
}

/// Returns the type in which a lake holds the values of a type in DuckDB's notation: itself if that
/// is lossless, otherwise one that `casts` allows.
fn lake_type(text: &str, casts: &[LakeCast]) -> Option<String> {
    let text = text.trim();
    let parts = |kind: &str| {
        text.strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.strip_suffix(')'))
    };
    if let Some(of) = text.strip_suffix("[]") {
        return lake_type(of, casts).map(|of| of + "[]");
    }
    if let Some(fields) = parts("STRUCT") {
        let field = |field: &str| {
            let kind = after_name(field);
            let name = field[..field.len() - kind.len()].trim();
            Some(format!("{name} {}", lake_type(kind, casts)?))
        };
        let fields: Option<Vec<_>> = split(fields).into_iter().map(field).collect();
        return fields.map(|fields| format!("STRUCT({})", fields.join(", ")));
    }
    if let Some(both) = parts("MAP") {
        let both: Option<Vec<_>> =
            split(both).into_iter().map(|one| lake_type(one, casts)).collect();
        return both.map(|both| format!("MAP({})", both.join(", ")));
    }
    let is_exact = LOSSLESS_TYPES.contains(&text) || parts("DECIMAL").is_some();
    let (cast, to) = match text {
        _ if is_exact => return Some(text.to_owned()),
        "HUGEINT" | "UHUGEINT" => (LakeCast::Lossless, "DECIMAL(38,0)"),
        "INTERVAL" => (LakeCast::Interval, "VARCHAR"),
        _ if parts("ENUM").is_some() => (LakeCast::Enum, "VARCHAR"),
        _ => return None,
    };
    casts.contains(&cast).then(|| to.to_owned())
}

/// Returns the type after a field's name, which may be quoted and contain any character.
fn after_name(field: &str) -> &str {
    let field = field.trim_start();
    let mut quoted = false;
    let end = field.find(|char: char| {
        quoted ^= char == '"';
        char == ' ' && !quoted
    });
    end.map_or("", |end| &field[end..])
}

/// Splits at commas outside of parentheses and quotes.
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
            assert_eq!(lake_type(exact, &[]).as_deref(), Some(exact));
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
            assert_eq!(lake_type(lossy, &[]), None, "{lossy}");
        }
    }

    #[test]
    fn types_are_converted_only_by_the_casts_that_were_allowed() {
        use LakeCast::{Enum, Interval, Lossless};
        for (from, casts, to) in [
            ("HUGEINT", &[Lossless][..], Some("DECIMAL(38,0)")),
            ("UHUGEINT[]", &[Lossless], Some("DECIMAL(38,0)[]")),
            (
                "STRUCT(a HUGEINT, \"b c\" ENUM('x', 'y)'))",
                &[Lossless, Enum],
                Some("STRUCT(a DECIMAL(38,0), \"b c\" VARCHAR)"),
            ),
            ("MAP(VARCHAR, INTERVAL)", &[Interval], Some("MAP(VARCHAR, VARCHAR)")),
            ("HUGEINT", &[Enum, Interval], None),
            ("INTERVAL", &[Lossless], None),
            ("ENUM('x')", &[Lossless], None),
            ("STRUCT(a HUGEINT, b BIT)", &[Lossless], None),
        ] {
            assert_eq!(lake_type(from, casts).as_deref(), to, "{from} {casts:?}");
        }
    }
}
