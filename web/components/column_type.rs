//! Column types without the data they may contain.

/// Returns a type in DuckDB's notation without the values of enums, which are data.
pub(crate) fn type_without_values(data_type: &str) -> String {
    let mut shown = String::with_capacity(data_type.len());
    let mut rest = data_type;
    while let Some(at) = rest.find("ENUM(") {
        shown.push_str(&rest[..at + "ENUM".len()]);
        let mut quoted = false;
        let end = rest[at..].find(|char| {
            quoted ^= char == '\'';
            char == ')' && !quoted
        });
        rest = end.map_or("", |end| &rest[at + end + 1..]);
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_everybody_sees_names_no_value() {
        assert_eq!(
            type_without_values("STRUCT(a ENUM('x)', 'it''s'), b INTEGER)[]"),
            "STRUCT(a ENUM, b INTEGER)[]"
        );
        assert_eq!(type_without_values("DECIMAL(10,2)"), "DECIMAL(10,2)");
        assert_eq!(type_without_values("ENUM('a'"), "ENUM");
    }
}
