//! Quoting of names and text in SQL. Values are bound wherever DuckDB takes a parameter; these
//! functions are for statements that take none.

/// Quotes an identifier: `Größe "x"` becomes `"Größe ""x"""`.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a name of several parts, for example catalog, schema and table.
#[must_use]
pub fn path(parts: &[&str]) -> String {
    parts.iter().map(|part| ident(part)).collect::<Vec<_>>().join(".")
}

/// Quotes text as a string literal, for statements that take no parameters (`ATTACH`, `COMMENT ON`,
/// `SET`).
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_a_name_cannot_end_the_name() {
        assert_eq!(ident(r#"a"; DROP TABLE x; --"#), r#""a""; DROP TABLE x; --""#);
        assert_eq!(path(&["a b", "c\"d"]), r#""a b"."c""d""#);
    }

    #[test]
    fn a_quote_inside_text_cannot_end_the_text() {
        assert_eq!(literal("it's"), "'it''s'");
    }
}
