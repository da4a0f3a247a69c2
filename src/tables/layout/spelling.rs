//! Tokenizes DuckDB's notation of a type: finds the names of types, but not those of fields or ENUM
//! members.

/// A piece of a type's notation.
enum TypePiece<'a> {
    /// The name of a type: `DOUBLE`, `TIMESTAMP WITH TIME ZONE`, `DECIMAL` with its arguments,
    /// `STRUCT`.
    Type(&'a str),
    Other(&'a str),
}

const ZONED: &str = " WITH TIME ZONE";

/// Returns the names of types, in order. A STRUCT counts only if it has no fields; arguments are
/// omitted.
pub(super) fn type_names(data_type: &str) -> impl Iterator<Item = &str> {
    pieces(data_type).into_iter().filter_map(|piece| match piece {
        TypePiece::Type(name) => Some(bare(name)),
        TypePiece::Other(_) => None,
    })
}

/// Returns the notation with some types replaced.
pub(super) fn rewrite(data_type: &str, replace: impl Fn(&str) -> Option<&'static str>) -> String {
    let piece = |piece| match piece {
        TypePiece::Type(name) => replace(bare(name)).unwrap_or(name),
        TypePiece::Other(text) => text,
    };
    pieces(data_type).into_iter().map(piece).collect()
}

fn bare(name: &str) -> &str {
    name.split('(').next().unwrap_or(name)
}

fn pieces(data_type: &str) -> Vec<TypePiece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = data_type;
    while let Some(first) = rest.chars().next() {
        let (length, is_type) = match first {
            '\'' | '"' => (quoted(rest, first), false),
            _ if is_word(first) => word(rest),
            _ => (first.len_utf8(), false),
        };
        let (piece, after) = rest.split_at(length);
        pieces.push(if is_type { TypePiece::Type(piece) } else { TypePiece::Other(piece) });
        rest = after;
    }
    pieces
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Returns the length of the word at the start of a text, and whether it names a type.
fn word(text: &str) -> (usize, bool) {
    let end = text.find(|char| !is_word(char)).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    match word {
        _ if after.starts_with(ZONED) => (end + ZONED.len(), true),
        // The name of a field, followed by its type.
        _ if after.starts_with(' ') || word.starts_with(|char: char| char.is_ascii_digit()) => {
            (end, false)
        }
        "DECIMAL" => (end + after.find(')').map_or(0, |end| end + 1), true),
        "STRUCT" | "MAP" | "ENUM" if after.starts_with('(') => (end, false),
        _ => (end, true),
    }
}

/// Returns the length of a quoted text. A doubled quote is read as the end of one piece and the
/// start of the next, which adds up to the same text.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}
