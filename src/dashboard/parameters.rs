//! Finds the `$names` in a query, outside of texts, quoted names and comments, and expands the
//! conditions on filters that are written as functions.
//!
//! `list_contains($many, column)` and `selected($filter, column)` are true for every row while
//! nothing is selected, including rows whose column is null. They become conditions on three
//! values: `$filter`, `$filter__all` (nothing is selected) and `$filter__none` (null is selected).

use super::model::{Filter, FilterKind};
use crate::{reader::Param, sql};

/// The functions that are conditions on a filter.
const CONDITIONS: [&str; 2] = ["list_contains", "selected"];

/// A part of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SqlPiece<'a> {
    /// A text, a quoted name or a comment.
    Opaque(&'a str),
    /// `$name`.
    Parameter(&'a str),
    /// Everything else, one character or word at a time.
    Code(&'a str),
}

impl<'a> SqlPiece<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Opaque(text) | Self::Parameter(text) | Self::Code(text) => text,
        }
    }

    fn is_space(self) -> bool {
        match self {
            Self::Code(text) => text.trim().is_empty(),
            Self::Opaque(text) => text.starts_with("--") || text.starts_with("/*"),
            Self::Parameter(_) => false,
        }
    }
}

fn pieces<'s>(sql: &'s str) -> Vec<SqlPiece<'s>> {
    let mut all = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (length, piece): (usize, fn(&'s str) -> SqlPiece<'s>) = match rest.as_bytes() {
            [b'\'', ..] => (quoted(rest, '\''), SqlPiece::Opaque),
            [b'"', ..] => (quoted(rest, '"'), SqlPiece::Opaque),
            [b'-', b'-', ..] => (rest.find('\n').unwrap_or(rest.len()), SqlPiece::Opaque),
            [b'/', b'*', ..] => {
                (rest.find("*/").map_or(rest.len(), |end| end + 2), SqlPiece::Opaque)
            }
            [b'$', ..] => match name(&rest[1..]) {
                // A dollar-quoted text: $$ … $$ or $tag$ … $tag$.
                Some(tag) if rest[1 + tag.len()..].starts_with('$') => {
                    (dollars(rest, tag.len() + 2), SqlPiece::Opaque)
                }
                Some(name) if !name.is_empty() => (1 + name.len(), SqlPiece::Parameter),
                _ => (1, SqlPiece::Code),
            },
            _ if is_word(first) => {
                // A dollar within a word is part of it.
                let end = rest.find(|letter| !is_word(letter) && letter != '$');
                (end.unwrap_or(rest.len()), SqlPiece::Code)
            }
            _ => (first.len_utf8(), SqlPiece::Code),
        };
        let (here, next) = rest.split_at(length);
        all.push(piece(here));
        rest = next;
    }
    all
}

/// Returns each `$name` once, in the order of first use.
pub(super) fn used(sql: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for piece in pieces(sql) {
        if let SqlPiece::Parameter(text) = piece
            && !names.contains(&&text[1..])
        {
            names.push(&text[1..]);
        }
    }
    names
}

/// Returns every word of a query outside of texts, quoted names and comments.
pub(super) fn words(sql: &str) -> Vec<&str> {
    let word =
        |piece: SqlPiece<'_>| matches!(piece, SqlPiece::Code(text) if text.starts_with(is_word));
    pieces(sql).into_iter().filter(|piece| word(*piece)).map(SqlPiece::text).collect()
}

/// Splits a query after its initial `WITH` or `WITH RECURSIVE`, if it has one.
pub(super) fn after_with(sql: &str) -> Option<(&'static str, &str)> {
    let mut at = 0;
    let mut next = || {
        let piece = pieces(&sql[at..]).into_iter().find(|piece| {
            let space = piece.is_space();
            at += piece.text().len();
            !space
        });
        (piece, at)
    };
    let is = |piece: Option<SqlPiece<'_>>, word: &str| {
        piece.is_some_and(|piece| piece.text().eq_ignore_ascii_case(word))
    };
    let (first, after_first) = next();
    if !is(first, "with") {
        return None;
    }
    let (second, after_second) = next();
    Some(if is(second, "recursive") {
        ("WITH RECURSIVE", &sql[after_second..])
    } else {
        ("WITH", &sql[after_first..])
    })
}

/// Returns whether a query handles an empty selection of a filter: by a condition on it, or by
/// `$name IS NULL`.
pub(super) fn handles_all(sql: &str, filter: &str) -> bool {
    let pieces: Vec<_> = pieces(sql).into_iter().filter(|piece| !piece.is_space()).collect();
    let is_filter =
        |piece: &SqlPiece<'_>| matches!(piece, SqlPiece::Parameter(text) if text[1..] == *filter);
    let is = |piece: Option<&SqlPiece<'_>>, word: &str| {
        piece.is_some_and(|piece| piece.text().eq_ignore_ascii_case(word))
    };
    pieces.iter().enumerate().any(|(at, piece)| {
        let compared = is(pieces.get(at + 1), "is") && is(pieces.get(at + 2), "null");
        let condition = at >= 2
            && is(pieces.get(at - 1), "(")
            && CONDITIONS.iter().any(|name| is(pieces.get(at - 2), name));
        is_filter(piece) && (compared || condition)
    })
}

/// Expands conditions on filters to SQL.
pub(super) fn expand(sql: &str, filters: &[Filter]) -> String {
    let pieces = pieces(sql);
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    while at < pieces.len() {
        if let Some((condition, length)) = condition(&pieces[at..], filters) {
            out.push_str(&condition);
            at += length;
        } else if let Some(day) = day_parameter(pieces[at], filters) {
            out.push_str(&day);
            at += 1;
        } else {
            out.push_str(pieces[at].text());
            at += 1;
        }
    }
    out
}

/// Replaces parameters by their values as literals.
pub(super) fn write_out(sql: &str, values: &[(String, Param)]) -> String {
    let written = |piece: SqlPiece<'_>| match piece {
        SqlPiece::Parameter(parameter) => values
            .iter()
            .find(|(name, _)| *name == parameter[1..])
            .map_or_else(|| parameter.to_owned(), |(_, value)| literal(value)),
        SqlPiece::Opaque(text) | SqlPiece::Code(text) => text.to_owned(),
    };
    pieces(sql).into_iter().map(written).collect()
}

fn literal(value: &Param) -> String {
    match value {
        Param::Null => "NULL".to_owned(),
        Param::Bool(value) => value.to_string(),
        Param::Int(value) => value.to_string(),
        // In the notation that is a `DOUBLE` rather than a `DECIMAL`.
        Param::Float(value) => format!("{value:e}"),
        Param::Text(text) => sql::literal(text),
        Param::List(values) => {
            let values: Vec<_> = values.iter().map(literal).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// Returns the end of a range of days with its type, so that any column of dates can be compared
/// with it.
fn day_parameter(piece: SqlPiece<'_>, filters: &[Filter]) -> Option<String> {
    let SqlPiece::Parameter(parameter) = piece else { return None };
    let is_end = |filter: &&Filter| {
        let rest = parameter[1..].strip_prefix(filter.name.as_str());
        matches!(filter.kind, FilterKind::Range { .. }) && matches!(rest, Some("_from" | "_to"))
    };
    filters.iter().find(is_end).map(|_| format!("CAST({parameter} AS DATE)"))
}

/// Returns the SQL of a condition that begins here, and how many pieces it takes.
fn condition(pieces: &[SqlPiece<'_>], filters: &[Filter]) -> Option<(String, usize)> {
    let function = pieces.first()?.text().to_ascii_lowercase();
    if !CONDITIONS.contains(&function.as_str()) {
        return None;
    }
    let mut at = 1;
    let mut next = || {
        while pieces.get(at).is_some_and(|piece| piece.is_space()) {
            at += 1;
        }
        at += 1;
        pieces.get(at - 1).copied()
    };
    next().filter(|piece| piece.text() == "(")?;
    let SqlPiece::Parameter(parameter) = next()? else { return None };
    next().filter(|piece| piece.text() == ",")?;
    let filter = filters.iter().find(|filter| filter.name == parameter[1..])?;
    let (begin, mut depth) = (at, 0);
    let length = pieces[begin..].iter().position(|piece| {
        depth += match piece {
            SqlPiece::Code("(" | "[" | "{") => 1,
            SqlPiece::Code(")" | "]" | "}") => -1,
            _ => 0,
        };
        depth < 0
    })?;
    let inner: String = expand(
        &pieces[begin..begin + length].iter().map(|piece| piece.text()).collect::<String>(),
        filters,
    );
    let value = inner.trim();
    let condition = match filter.kind {
        FilterKind::Many { .. } => format!(
            "({parameter}__all OR list_contains({parameter}, {value}) OR ({parameter}__none AND ({value}) IS NULL))"
        ),
        FilterKind::Range { .. } if function == "selected" => format!(
            "({parameter}__all OR CAST({value} AS DATE) BETWEEN CAST({parameter}_from AS DATE) AND CAST({parameter}_to AS DATE))"
        ),
        FilterKind::Numbers { .. } if function == "selected" => {
            format!("({parameter}__all OR {value} BETWEEN {parameter}_from AND {parameter}_to)")
        }
        FilterKind::Choice { .. } if function == "selected" => {
            format!("({parameter}__all OR ({value}) IS NOT DISTINCT FROM {parameter})")
        }
        _ => return None,
    };
    Some((condition, begin + length + 1))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns the prefix of the text that is a valid name; empty if it begins with a digit.
fn name(text: &str) -> Option<&str> {
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let end = text.find(|letter: char| !is_word(letter)).unwrap_or(text.len());
    Some(&text[..end])
}

/// Returns the length of a quoted piece. A doubled quote is read as the end of one piece and the
/// start of the next, which adds up to the same text.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

fn dollars(text: &str, fence: usize) -> usize {
    text[fence..].find(&text[..fence]).map_or(text.len(), |end| end + 2 * fence)
}

#[cfg(test)]
mod tests {
    use super::{super::model::FilterOptions, *};

    fn filters() -> Vec<Filter> {
        let filter = |name: &str, kind| Filter {
            line: 1,
            name: name.to_owned(),
            label: name.to_owned(),
            kind,
            max_options: 10,
            hidden: false,
        };
        let options = || FilterOptions::Fixed(Vec::new());
        vec![
            filter("many", FilterKind::Many { options: options(), default: None }),
            filter("one", FilterKind::Choice { options: options(), default: None, all: true }),
        ]
    }

    #[test]
    fn names_are_found_where_they_are_names_and_nowhere_else() {
        let sql = "SELECT '$no', \"$no\", 'it''s $no', $$ $no $$, $tag$ $no $tag$, a$no, $1 -- $no\n/* $no */ FROM t WHERE x = $yes AND y<$also_1 AND z=$yes";
        assert_eq!(used(sql), ["yes", "also_1"]);
        assert_eq!(used("SELECT '"), Vec::<&str>::new());
        assert_eq!(used("SELECT $größe -- "), ["größe"]);
        assert_eq!(used("SELECT 1 - 2 / 3, $a"), ["a"]);
    }

    #[test]
    fn values_are_written_out_where_they_are_names_and_nowhere_else() {
        let values = [
            ("origin".to_owned(), Param::Text("Côte d'Ivoire".to_owned())),
            ("origins".to_owned(), Param::List(vec![Param::Int(1), Param::Null])),
            ("least".to_owned(), Param::Float(2.5)),
        ];
        let written = write_out(
            "SELECT '$origin' FROM x WHERE a = $origin AND b = ANY($origins) AND c > $least -- $least\nAND $other",
            &values,
        );
        assert_eq!(
            written,
            "SELECT '$origin' FROM x WHERE a = 'Côte d''Ivoire' AND b = ANY([1, NULL]) AND c > 2.5e0 -- $least\nAND $other"
        );
    }

    #[test]
    fn conditions_on_filters_hold_while_nothing_is_selected() {
        let all = |sql: &str| expand(sql, &filters());
        assert_eq!(
            all("WHERE list_contains( $many , lower(\"a,b)\")) AND x"),
            "WHERE ($many__all OR list_contains($many, lower(\"a,b)\")) OR ($many__none AND (lower(\"a,b)\")) IS NULL)) AND x"
        );
        assert_eq!(
            all("WHERE Selected($one, region)"),
            "WHERE ($one__all OR (region) IS NOT DISTINCT FROM $one)"
        );
        for other in [
            "SELECT 'list_contains($many, x)'",
            "WHERE list_contains([1], x) AND list_contains($other, x) AND list_contains($one, x)",
            "WHERE region = $one -- selected($one, x)",
            "WHERE list_contains($many, x",
        ] {
            assert_eq!(all(other), other);
        }
    }

    #[test]
    fn a_query_that_says_what_happens_while_nothing_is_selected_is_known() {
        for sql in [
            "WHERE list_contains($many, x)",
            "WHERE $many IS NULL OR x IN (SELECT unnest($many))",
            "WHERE ($many /* nothing */ is\nnull)",
            "WHERE selected($many, x)",
        ] {
            assert!(handles_all(sql, "many"), "{sql}");
        }
        for sql in ["WHERE x = ANY($many)", "WHERE $many IS NOT NULL", "WHERE '$many IS NULL'"] {
            assert!(!handles_all(sql, "many"), "{sql}");
        }
    }
}
