//! Tokens of SQL, enough of them to split statements and to replace names.
//!
//! Nothing here decides what may run: the guard reads DuckDB's own parse of the final text.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted name or keyword.
    Word,
    /// A name in double quotes.
    Quoted,
    /// Text in any kind of quotes.
    Text,
    Number,
    /// `$1`.
    Parameter,
    /// `::`.
    Cast,
    /// A run of operator characters.
    Operator,
    /// A single character with a meaning of its own.
    Sign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
}

impl Token {
    pub(crate) fn text<'a>(&self, sql: &'a str) -> &'a str {
        sql.get(self.at.clone()).unwrap_or_default()
    }

    /// Returns whether the token is this keyword, in any case and without quotes.
    pub(crate) fn is(&self, sql: &str, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn is_sign(&self, sql: &str, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text(sql) == sign
    }

    /// Returns the name that the token is, folded to lower case unless it is quoted.
    pub(crate) fn name(&self, sql: &str) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text(sql).to_lowercase()),
            Kind::Quoted => {
                let text = self.text(sql);
                Some(text.get(1..text.len().saturating_sub(1))?.replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// Returns the text between single quotes; `None` for other kinds of quotes.
    pub(crate) fn literal(&self, sql: &str) -> Option<String> {
        let text = self.text(sql);
        let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
        (self.kind == Kind::Text).then(|| inner.replace("''", "'"))
    }

    /// Returns the number of a parameter, from 1.
    pub(crate) fn parameter(&self, sql: &str) -> Option<usize> {
        // There is an entry for each of them up to the largest.
        const MOST: usize = 32_767;
        let number = (self.kind == Kind::Parameter).then(|| self.text(sql)[1..].parse().ok());
        number.flatten().filter(|number| *number <= MOST)
    }
}

const OPERATORS: &[u8] = b"+-*/<>=~!@#%^&|`?";

/// Splits SQL into tokens. Comments and white space are left out; what is not closed reaches to the
/// end, and the engine's parser reports it.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let bytes = sql.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if rest.starts_with(b"--") {
            at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            at += comment(rest);
            continue;
        }
        let (kind, length) = token(rest);
        found.push(Token { kind, at: at..at + length });
        at += length;
    }
    found
}

/// Returns the length of a comment; comments nest.
fn comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn token(bytes: &[u8]) -> (Kind, usize) {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let run = |from: usize, belongs: &dyn Fn(u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| belongs(**byte)).count()
    };
    match bytes[0] {
        b'\'' => (Kind::Text, quoted(bytes, 0, b'\'', false)),
        b'"' => (Kind::Quoted, quoted(bytes, 0, b'"', false)),
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => (Kind::Text, quoted(bytes, 1, b'\'', true)),
        b'x' | b'X' | b'b' | b'B' | b'n' | b'N' if bytes.get(1) == Some(&b'\'') => {
            (Kind::Text, quoted(bytes, 1, b'\'', false))
        }
        b'$' if bytes.get(1).is_some_and(u8::is_ascii_digit) => {
            (Kind::Parameter, run(1, &|byte| byte.is_ascii_digit()))
        }
        b'$' => match dollar_quoted(bytes) {
            Some(length) => (Kind::Text, length),
            None => (Kind::Sign, 1),
        },
        byte if byte.is_ascii_digit()
            || byte == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit) =>
        {
            let mut end =
                run(0, &|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
            let exponent = matches!(bytes[end - 1], b'e' | b'E');
            if exponent && matches!(bytes.get(end), Some(b'+' | b'-')) {
                end = run(end + 1, &|byte| byte.is_ascii_digit());
            }
            (Kind::Number, end)
        }
        byte if is_name(byte) => (Kind::Word, run(0, &|byte| is_name(byte) || byte == b'$')),
        b':' if bytes.get(1) == Some(&b':') => (Kind::Cast, 2),
        byte if OPERATORS.contains(&byte) => {
            let mut end = 1;
            while bytes.get(end).is_some_and(|byte| OPERATORS.contains(byte))
                && !bytes[end..].starts_with(b"--")
                && !bytes[end..].starts_with(b"/*")
            {
                end += 1;
            }
            (Kind::Operator, end)
        }
        _ => (Kind::Sign, 1),
    }
}

/// Returns the length of what is quoted from `start` on; a doubled quote does not end it.
fn quoted(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    bytes.len()
}

fn dollar_quoted(bytes: &[u8]) -> Option<usize> {
    let tag = 1 + bytes[1..].iter().position(|byte| *byte == b'$')?;
    let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    if !bytes[1..tag].iter().all(is_tag) {
        return None;
    }
    let mark = &bytes[..=tag];
    let end = bytes[mark.len()..].windows(mark.len()).position(|window| window == mark);
    Some(end.map_or(bytes.len(), |end| end + 2 * mark.len()))
}

/// Splits a text at its semicolons. Returns each statement's place, without empty ones.
pub(crate) fn statements(sql: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut current: Option<Range<usize>> = None;
    for token in tokens(sql) {
        if token.is_sign(sql, ";") {
            found.extend(current.take());
        } else {
            let start = current.as_ref().map_or(token.at.start, |current| current.start);
            current = Some(start..token.at.end);
        }
    }
    found.extend(current);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).iter().map(|token| token.text(sql)).collect()
    }

    #[test]
    fn quotes_and_comments_hide_what_they_contain() {
        let sql = "SELECT 'a;''b' -- c;\n, \"d;\"\"e\", E'\\';', $x$;$x$, /* ; /* */ ; */ $1::int";
        assert_eq!(
            texts(sql),
            [
                "SELECT",
                "'a;''b'",
                ",",
                "\"d;\"\"e\"",
                ",",
                "E'\\';'",
                ",",
                "$x$;$x$",
                ",",
                "$1",
                "::",
                "int"
            ]
        );
        assert_eq!(statements("a ; ;; b 'x;' ; -- c").len(), 2);
    }

    #[test]
    fn text_that_never_ends_is_one_token() {
        for open in ["'a", "\"a", "$x$ a", "/* a", "e'\\", "e'a\\'"] {
            assert!(tokens(open).len() <= 1, "{open}");
        }
        assert_eq!(texts("1e-5+1.5e3-a$b"), ["1e-5", "+", "1.5e3", "-", "a$b"]);
    }
}
