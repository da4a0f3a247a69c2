//! Checks of a statement's text before any parser runs.

/// Maximum length of a statement, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// Maximum nesting of brackets. DuckDB 2.0 overflows a stack of 2 MB between 500 and 1,000 nested
/// CTEs and aborts the process.
const MAX_NESTING: usize = 100;

/// Refuses statements that are too long or nested too deeply.
pub(super) fn check(sql: &str) -> Result<(), String> {
    if sql.len() > MAX_BYTES {
        return Err(format!("the statement is longer than {} kB", MAX_BYTES >> 10));
    }
    if nesting(sql) > MAX_NESTING {
        return Err(format!("brackets are nested more than {MAX_NESTING} deep"));
    }
    Ok(())
}

/// Returns the maximum nesting of brackets. Those in strings, quoted names and comments may count
/// as well, which only overestimates it.
fn nesting(sql: &str) -> usize {
    // A quote inside a comment or a dollar-quoted string hides the brackets that follow.
    let may_hide = ["--", "/*", "$", "\\"].iter().any(|sign| sql.contains(sign));
    let quoted = bracket_depth(sql, true);
    if may_hide { quoted.max(bracket_depth(sql, false)) } else { quoted }
}

/// Returns the maximum nesting of brackets outside of quotes, or ignoring quotes.
fn bracket_depth(sql: &str, quotes_count: bool) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut quote = None;
    for byte in sql.bytes() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (None, b'\'' | b'"') if quotes_count => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Returns the statement of an `EXPLAIN`, or the text itself.
pub(super) fn explained(sql: &str) -> &str {
    let rest = |text: &'_ str, word: &str| {
        let text = text.trim_start();
        let (start, rest) = text.split_at_checked(word.len())?;
        (start.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace))
            .then_some(text.len() - rest.len())
    };
    let Some(after) = rest(sql, "explain") else { return sql };
    let sql = &sql.trim_start()[after..];
    match rest(sql, "analyze") {
        Some(after) => &sql.trim_start()[after..],
        None => sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explain_is_judged_by_what_it_explains() {
        assert_eq!(explained("  EXPLAIN ANALYZE SELECT 1").trim(), "SELECT 1");
        assert_eq!(explained("explain drop table x").trim(), "drop table x");
        assert_eq!(explained("explainer").trim(), "explainer");
        assert_eq!(explained("ex"), "ex");
    }

    #[test]
    fn brackets_are_counted_where_they_nest() {
        assert_eq!(nesting("SELECT f(g([1]), (2))"), 3);
        assert_eq!(nesting("SELECT '(((((', \"((\""), 0);
        let deep = "(".repeat(5000);
        for hidden in [
            format!("SELECT -- it's\n{deep}"),
            format!("SELECT $a$'$a$ {deep}"),
            format!("SELECT /* ' */ {deep}"),
            format!("SELECT e'\\'' {deep}"),
        ] {
            assert!(check(&hidden).is_err(), "{}", &hidden[..20]);
        }
    }

    #[test]
    fn a_statement_of_ordinary_size_passes_and_an_enormous_one_does_not() {
        assert!(check(&format!("SELECT {}", vec!["1"; 10_000].join(" + "))).is_ok());
        assert!(check(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
