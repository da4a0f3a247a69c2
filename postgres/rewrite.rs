//! Turns PostgreSQL's spelling into DuckDB's where clients send what DuckDB does not parse or
//! understands differently: the schema `pg_catalog`, `OPERATOR(pg_catalog.~)`, casts to `regclass`,
//! regular expressions that match a part, arrays in braces, parameters with their types.
//!
//! Only the text changes. What the result may read is decided afterwards, on DuckDB's own parse.

use std::collections::HashMap;

use crate::lexer::{Kind, Token, tokens};

/// A statement as it is sent to the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) sql: String,
    client: String,
    /// Where a piece of `sql` begins, and where it was in the client's text.
    places: Vec<(usize, usize)>,
}

impl Rewritten {
    /// Returns the character of the client's text, from 1, that a byte of the engine's came from.
    pub(crate) fn character(&self, offset: usize) -> usize {
        let at = self.places.partition_point(|(start, _)| *start <= offset).checked_sub(1);
        let byte = at
            .and_then(|at| self.places.get(at))
            .map_or(0, |(start, origin)| (origin + (offset - start)).min(self.client.len()));
        self.client.char_indices().take_while(|(at, _)| *at < byte).count() + 1
    }
}

/// What a statement is rewritten with.
#[derive(Debug, Default)]
pub(crate) struct Rewriter<'a> {
    pub(crate) schema: &'a str,
    /// The name of the database, which may precede a schema.
    pub(crate) database: &'a str,
    /// The expression for each parameter, from `$1` on.
    pub(crate) parameters: &'a [String],
    /// Values of `current_setting`.
    pub(crate) settings: Option<&'a HashMap<String, String>>,
    pub(crate) pid: i32,
}

/// A piece of the result, and where it was in the client's text.
struct Piece {
    text: String,
    origin: usize,
    /// Whether white space precedes it.
    spaced: bool,
}

/// Types that are names for others in DuckDB.
const TYPES: [(&str, &str); 8] = [
    ("name", "text"),
    ("cstring", "text"),
    ("xid", "bigint"),
    ("cid", "bigint"),
    ("int2vector", "text"),
    ("oidvector", "text"),
    ("regrole", "text"),
    ("anyarray", "text"),
];
/// Types whose text is a name and whose value is an oid.
const OBJECT_TYPES: [&str; 6] =
    ["regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regoper"];
/// What may follow a table that has no alias.
const AFTER_TABLES: [&str; 22] = [
    "as",
    "where",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "asof",
    "on",
    "using",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "union",
    "except",
    "intersect",
    "fetch",
    "for",
];
/// Collations that mean "as stored".
const COLLATIONS: [&str; 5] = ["default", "c", "posix", "ucs_basic", "c.utf-8"];

impl Rewriter<'_> {
    pub(crate) fn rewrite(&self, sql: &str) -> Rewritten {
        let all = tokens(sql);
        let mut pieces: Vec<Piece> = Vec::with_capacity(all.len());
        let mut at = 0;
        // Whether what was left out was preceded by white space.
        let mut carried = false;
        while let Some(token) = all.get(at) {
            let spaced = carried || at == 0 || all[at - 1].at.end < token.at.start;
            let (origin, before) = (token.at.start, pieces.len());
            let taken = self.replace(sql, &all, at, &mut pieces, spaced);
            carried = taken > 0 && pieces.len() == before && spaced;
            at += if taken > 0 {
                taken
            } else {
                let text = match token.kind {
                    Kind::Word => token.text(sql).to_lowercase(),
                    _ => token.text(sql).to_owned(),
                };
                pieces.push(Piece { text, origin, spaced });
                1
            };
        }
        let mut result = Rewritten { client: sql.to_owned(), ..Rewritten::default() };
        for piece in pieces {
            if piece.spaced && !result.sql.is_empty() {
                // Line breaks are kept out: positions count on one line.
                result.sql.push(' ');
            }
            result.places.push((result.sql.len(), piece.origin));
            result.sql.push_str(&piece.text);
        }
        result
    }

    /// Replaces what begins at `at`. Returns the number of tokens that were taken.
    fn replace(
        &self,
        sql: &str,
        all: &[Token],
        at: usize,
        pieces: &mut Vec<Piece>,
        spaced: bool,
    ) -> usize {
        let token = &all[at];
        let origin = token.at.start;
        let next = |distance: usize| all.get(at + distance);
        let sign = |distance: usize, sign: &str| {
            next(distance).is_some_and(|token| token.is_sign(sql, sign))
        };
        let name = |distance: usize| next(distance).and_then(|token| token.name(sql));
        let mut put = |text: String| pieces.push(Piece { text, origin, spaced });
        let after_dot = at > 0 && all[at - 1].is_sign(sql, ".");
        match token.kind {
            Kind::Parameter => {
                let index = token.parameter(sql).unwrap_or(0);
                match index.checked_sub(1).and_then(|index| self.parameters.get(index)) {
                    Some(expression) => put(expression.clone()),
                    None => return 0,
                }
                1
            }
            Kind::Operator if matches!(token.text(sql), "~" | "~*" | "!~" | "!~*") => {
                self.regular_expression(sql, all, at, token.text(sql), pieces)
            }
            Kind::Text => match array_literal(sql, all, at) {
                Some(text) => {
                    put(text);
                    1
                }
                None => 0,
            },
            Kind::Cast => cast(sql, all, at, pieces),
            Kind::Word | Kind::Quoted if !after_dot && sign(1, ".") => {
                let this = token.name(sql).unwrap_or_default();
                let schemas = [self.schema, "pg_catalog", "information_schema"];
                if this == self.database
                    && sign(3, ".")
                    && name(2).is_some_and(|schema| schemas.contains(&schema.as_str()))
                {
                    // What follows is read again.
                    return 2;
                }
                match this.as_str() {
                    "pg_catalog" => 2,
                    // JDBC's keys.
                    "information_schema" if name(2).as_deref() == Some("_pg_expandarray") => 2,
                    "information_schema" => {
                        put("_info".to_owned());
                        1
                    }
                    _ => 0,
                }
            }
            Kind::Word | Kind::Quoted if !sign(1, "(") && is_alias_of_series(sql, all, at) => {
                let alias = token.name(sql).map(|name| materia::sql::ident(&name));
                let alias = alias.unwrap_or_default();
                put(format!("{alias}({alias})"));
                1
            }
            Kind::Word if token.is(sql, "as") => cast_as(sql, all, at, pieces),
            Kind::Word => self.word(sql, all, at, &mut put),
            _ => 0,
        }
    }

    fn word(&self, sql: &str, all: &[Token], at: usize, put: &mut dyn FnMut(String)) -> usize {
        let token = &all[at];
        let next = |distance: usize| all.get(at + distance);
        let sign = |distance: usize, sign: &str| {
            next(distance).is_some_and(|token| token.is_sign(sql, sign))
        };
        let literal = |distance: usize| next(distance).and_then(|token| token.literal(sql));
        if token.is(sql, "operator") && sign(1, "(") {
            // OPERATOR(pg_catalog.~)
            let operator = if sign(3, ".") { 4 } else { 2 };
            if next(operator).is_some_and(|token| token.kind == Kind::Operator)
                && sign(operator + 1, ")")
            {
                let symbol = all[at + operator].text(sql).to_owned();
                let mut matched = Vec::new();
                let consumed =
                    self.regular_expression(sql, all, at + operator + 1, &symbol, &mut matched);
                if consumed > 0 {
                    let texts: Vec<_> = matched.iter().map(|piece| piece.text.as_str()).collect();
                    put(format!(" {}", texts.join(" ")));
                    return operator + 1 + consumed;
                }
                put(symbol);
                return operator + 2;
            }
        }
        if token.is(sql, "collate") {
            let name = if sign(2, ".") { 3 } else { 1 };
            let collation = next(name).and_then(|token| token.name(sql)).unwrap_or_default();
            if COLLATIONS.contains(&collation.to_lowercase().as_str()) {
                return name + 1;
            }
        }
        // SQLAlchemy's reflection.
        let builds_json = token.is(sql, "json_build_object") || token.is(sql, "jsonb_build_object");
        if builds_json && sign(1, "(") {
            put("json_object".to_owned());
            return 1;
        }
        if token.is(sql, "pg_backend_pid") && sign(1, "(") && sign(2, ")") {
            put(self.pid.to_string());
            return 3;
        }
        if token.is(sql, "current_setting")
            && sign(1, "(")
            && let (Some(settings), Some(name)) = (self.settings, literal(2))
        {
            let close = (3..=5).find(|distance| sign(*distance, ")"));
            if let (Some(close), value) = (close, settings.get(&name.to_lowercase())) {
                put(value.map_or_else(|| "NULL".to_owned(), |value| materia::sql::literal(value)));
                return close + 1;
            }
        }
        // Metabase: format('%I.%I', schema, table), where DuckDB's format has braces.
        if token.is(sql, "format")
            && sign(1, "(")
            && let Some(pattern) = literal(2).filter(|pattern| pattern.contains('%'))
        {
            let pattern = pattern.replace("%I", "%s").replace("%L", "%s");
            put("printf(".to_owned());
            put(materia::sql::literal(&pattern));
            return 3;
        }
        // Grafana: a list as the only column of a table, FROM string_to_array(...) s.
        let is_in_list = at > 0 && (all[at - 1].is_sign(sql, ",") || all[at - 1].is(sql, "from"));
        if token.is(sql, "string_to_array")
            && is_in_list
            && let Some(close) = closing(sql, all, at + 1)
            // Nothing nests here, so that no statement makes this recurse deeply.
            && all[at + 1..close].iter().all(|inner| !inner.is(sql, "string_to_array"))
            && let Some(alias) =
                all.get(close + 1).filter(|alias| alias.kind == Kind::Word).map(|it| it.text(sql))
            && !AFTER_TABLES.contains(&alias.to_lowercase().as_str())
        {
            let list = self.rewrite(&sql[token.at.start..all[close].at.end]).sql;
            put(format!("(SELECT {list} AS {alias}) {alias}"));
            return close + 2 - at;
        }
        // set_config('name', 'value', local) has no effect here, and returns the value.
        if token.is(sql, "set_config")
            && sign(1, "(")
            && sign(3, ",")
            && sign(5, ",")
            && sign(7, ")")
            && let Some(value) = literal(4)
        {
            put(materia::sql::literal(&value));
            return 8;
        }
        0
    }

    /// PostgreSQL's `~` is true when a part matches, DuckDB's when all of it does. `at` is the
    /// operator, or what precedes the pattern.
    fn regular_expression(
        &self,
        sql: &str,
        all: &[Token],
        at: usize,
        operator: &str,
        pieces: &mut Vec<Piece>,
    ) -> usize {
        const BEFORE: &str = "(?s:.*)(?:";
        const AFTER: &str = ")(?s:.*)";
        if !matches!(operator, "~" | "~*" | "!~" | "!~*") {
            return 0;
        }
        let Some(pattern) = all.get(at + 1) else { return 0 };
        let text = pattern.text(sql);
        let widened = match pattern.kind {
            Kind::Text if text.ends_with('\'') && text.len() >= 2 && !text.starts_with('$') => {
                let start = text.find('\'').map_or(1, |quote| quote + 1);
                format!("{}{BEFORE}{}{AFTER}'", &text[..start], &text[start..text.len() - 1])
            }
            Kind::Parameter => {
                let expression = pattern
                    .parameter(sql)
                    .and_then(|number| self.parameters.get(number.checked_sub(1)?))
                    .map_or(text, String::as_str);
                format!("('{BEFORE}' || {expression} || '{AFTER}')")
            }
            _ => return 0,
        };
        pieces.push(Piece { text: operator.to_owned(), origin: all[at].at.start, spaced: true });
        pieces.push(Piece { text: widened, origin: pattern.at.start, spaced: true });
        2
    }
}

/// Returns what a client's own query of the catalog is replaced by, where DuckDB cannot run it.
pub(crate) fn replacement(sql: &str) -> Option<&'static str> {
    let is_asyncpgs =
        sql.starts_with("WITH RECURSIVE typeinfo_tree(") && sql.contains("basetype_name");
    is_asyncpgs.then_some("SELECT * FROM asyncpg_types($1::oid[])")
}

/// Returns whether the token is `s` in `FROM generate_series(0, 1) s`, which names the column, too.
/// On DuckDB 1.5, it names a row; psql's `\d+` reads it as the number.
fn is_alias_of_series(sql: &str, all: &[Token], at: usize) -> bool {
    let is = |at: usize, word: &str| all.get(at).is_some_and(|token| token.is(sql, word));
    let sign = |at: usize, sign: &str| all.get(at).is_some_and(|token| token.is_sign(sql, sign));
    let explicit = at.checked_sub(1).is_some_and(|before| is(before, "as"));
    if !explicit && AFTER_TABLES.iter().any(|word| is(at, word)) {
        return false;
    }
    let Some(close) = at.checked_sub(if explicit { 2 } else { 1 }).filter(|at| sign(*at, ")"))
    else {
        return false;
    };
    let mut depth = 0_i32;
    let open = (0..=close).rev().find(|at| {
        depth += i32::from(sign(*at, ")")) - i32::from(sign(*at, "("));
        depth == 0
    });
    let function = open.and_then(|open| open.checked_sub(1));
    let Some(function) = function.filter(|at| is(*at, "generate_series")) else { return false };
    let qualified = function > 1 && sign(function - 1, ".");
    function
        .checked_sub(if qualified { 3 } else { 1 })
        .is_some_and(|before| is(before, "from") || is(before, "join"))
}

/// `'{1,2}'::int[]` becomes `'[1,2]'`.
fn array_literal(sql: &str, all: &[Token], at: usize) -> Option<String> {
    let text = all[at].literal(sql)?;
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let cast = all.get(at + 1).is_some_and(|token| token.kind == Kind::Cast);
    let array = (at + 2..(at + 7).min(all.len())).any(|at| all[at].is_sign(sql, "["));
    (cast && array).then(|| materia::sql::literal(&format!("[{inner}]")))
}

/// Returns the token that closes the parenthesis at `open`, if it is near.
fn closing(sql: &str, all: &[Token], open: usize) -> Option<usize> {
    const NEAR: usize = 32;
    let mut depth = 0_usize;
    for (at, token) in all.iter().enumerate().skip(open).take(NEAR) {
        if token.is_sign(sql, "(") {
            depth += 1;
        } else if token.is_sign(sql, ")") {
            depth = depth.checked_sub(1)?;
        }
        if depth == 0 {
            return (at > open).then_some(at);
        }
    }
    None
}

/// Replaces the type after `::`, and the cast itself where the type is one of an object's name.
fn cast(sql: &str, all: &[Token], at: usize, pieces: &mut Vec<Piece>) -> usize {
    let qualified = all.get(at + 1).and_then(|token| token.name(sql)).as_deref()
        == Some("pg_catalog")
        && all.get(at + 2).is_some_and(|token| token.is_sign(sql, "."));
    let place = at + if qualified { 3 } else { 1 };
    let Some(token) = all.get(place) else { return 0 };
    let Some(name) = token.name(sql) else { return 0 };
    let origin = all[at].at.start;
    if OBJECT_TYPES.contains(&name.as_str()) {
        let start = operand(pieces);
        let is_name = start + 1 == pieces.len() && pieces.last().is_some_and(is_text);
        let function = format!("{name}_{}", if is_name { "in" } else { "out" });
        let spaced = pieces.get(start).is_none_or(|piece| piece.spaced);
        if let Some(first) = pieces.get_mut(start) {
            first.spaced = false;
        }
        pieces.insert(start, Piece { text: format!("{function}("), origin, spaced });
        pieces.push(Piece { text: ")".to_owned(), origin, spaced: false });
        return place + 1 - at;
    }
    let replaced =
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, replacement)| *replacement);
    if !qualified && replaced.is_none() {
        return 0;
    }
    let text = replaced.map_or_else(|| token.text(sql).to_lowercase(), str::to_owned);
    pieces.push(Piece { text: format!("::{text}"), origin, spaced: false });
    place + 1 - at
}

/// Replaces `CAST(x AS regclass)`, where `at` is its `AS`: the whole where the type is one of an
/// object's name, the type where DuckDB does not know it. Returns the number of tokens taken.
fn cast_as(sql: &str, all: &[Token], at: usize, pieces: &mut Vec<Piece>) -> usize {
    let name = |at: usize| all.get(at).and_then(|token| token.name(sql));
    let sign = |at: usize, sign: &str| all.get(at).is_some_and(|token| token.is_sign(sql, sign));
    let is_qualified = name(at + 1).as_deref() == Some("pg_catalog") && sign(at + 2, ".");
    let place = at + if is_qualified { 3 } else { 1 };
    let Some(name) = name(place).filter(|_| sign(place + 1, ")")) else { return 0 };
    let taken = place + 1 - at;
    let mut depth = 0_i32;
    let open = pieces.iter().rposition(|piece| {
        depth += match piece.text.as_str() {
            ")" => 1,
            text if text.ends_with('(') => -1,
            _ => 0,
        };
        depth < 0
    });
    let Some(open) = open.filter(|open| pieces[*open].text == "(") else { return 0 };
    let Some(function) = open.checked_sub(1).filter(|at| pieces[*at].text == "cast") else {
        return 0;
    };
    if OBJECT_TYPES.contains(&name.as_str()) {
        // Metabase casts computed names: CAST(CAST(... AS regclass) AS oid).
        let is_number = all.get(place + 2).is_some_and(|token| token.is(sql, "as"))
            && all.get(place + 3).is_some_and(|token| token.is(sql, "oid"));
        let is_name = is_number || (open + 2 == pieces.len() && is_text(&pieces[open + 1]));
        pieces[function].text = format!("{name}_{}", if is_name { "in" } else { "out" });
        return taken;
    }
    let Some((_, replacement)) = TYPES.iter().find(|(known, _)| *known == name) else { return 0 };
    let text = format!("as {replacement}");
    pieces.push(Piece { text, origin: all[at].at.start, spaced: true });
    taken
}

/// Returns whether an operand is a literal or a parameter.
fn is_text(piece: &Piece) -> bool {
    piece.text.starts_with(['\'', '$']) || piece.text.starts_with("CAST($")
}

/// Returns where the operand of a cast begins that follows `pieces`.
fn operand(pieces: &[Piece]) -> usize {
    let mut end = pieces.len();
    loop {
        let start = simple_operand(&pieces[..end]);
        // Casts before this one belong to the operand.
        match start.checked_sub(1).and_then(|at| pieces.get(at)) {
            Some(piece) if piece.text == "::" => end = start - 1,
            _ => return start,
        }
    }
}

/// Returns where a name, a literal, a call or what is in parentheses begins that ends `pieces`.
fn simple_operand(pieces: &[Piece]) -> usize {
    let text = |at: usize| pieces.get(at).map_or("", |piece| piece.text.as_str());
    let Some(mut at) = pieces.len().checked_sub(1) else { return 0 };
    // A cast that was replaced is one piece with its type.
    while at > 0 && text(at).starts_with("::") {
        at -= 1;
    }
    if text(at) == ")" || text(at) == "]" {
        let mut depth = 0_i32;
        loop {
            depth += match text(at) {
                ")" | "]" => 1,
                "(" | "[" => -1,
                other if other.ends_with('(') => -1,
                _ => 0,
            };
            if depth == 0 || at == 0 {
                break;
            }
            at -= 1;
        }
        let is_name =
            |text: &str| text.starts_with(|first: char| first.is_alphabetic() || first == '_');
        if at > 0 && is_name(text(at - 1)) && !pieces[at].spaced {
            at -= 1;
        }
    }
    while at >= 2 && text(at - 1) == "." {
        at -= 2;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(sql: &str) -> String {
        Rewriter { schema: "main", database: "lake", ..Rewriter::default() }.rewrite(sql).sql
    }

    #[test]
    fn what_psql_sends_becomes_what_duckdb_parses() {
        for (sent, wanted) in [
            ("SELECT c.oid FROM pg_catalog.pg_class c", "select c.oid from pg_class c"),
            (
                "WHERE c.relname OPERATOR(pg_catalog.~) '^(psd)$' COLLATE pg_catalog.default",
                "where c.relname  ~ '(?s:.*)(?:^(psd)$)(?s:.*)'",
            ),
            ("SELECT \"Year\", Year AS Y", "select \"Year\", year as y"),
            (
                "SELECT c.reloftype::pg_catalog.regtype::pg_catalog.text",
                "select regtype_out(c.reloftype)::text",
            ),
            ("SELECT 'psd'::regclass::oid", "select regclass_in('psd')::oid"),
            (
                "SELECT CAST(CAST(f(CAST(a AS REGCLASS), ')') AS pg_catalog.regclass) AS OID)",
                "select cast(regclass_in(f(regclass_out(a ), ')') ) as oid)",
            ),
            (
                "x = CAST('psd' AS REGCLASS) AND CAST(y AS name)",
                "x = regclass_in('psd' ) and cast(y as text)",
            ),
            (
                "SELECT a[s] FROM pg_catalog.generate_series(0, f(1)) s, t WHERE a = s",
                "select a[s] from generate_series(0, f(1)) \"s\"(\"s\"), t where a = s",
            ),
            (
                "SELECT generate_series(0, 1) s FROM generate_series(0, 1) WHERE a",
                "select generate_series(0, 1) s from generate_series(0, 1) where a",
            ),
            (
                "SELECT n FROM generate_series(0, 1) AS n JOIN generate_series(0, 1) t(m) ON n",
                "select n from generate_series(0, 1) as \"n\"(\"n\") join generate_series(0, 1) t(m) on n",
            ),
            ("(information_schema._pg_expandarray(i.k)).n", "(_pg_expandarray(i.k)).n"),
            ("SELECT f(a, (b))::regclass", "select regclass_out(f(a, (b)))"),
            ("SELECT '{1,2}'::int[]", "select '[1,2]'::int[]"),
            ("SELECT * FROM lake.main.psd", "select * from main.psd"),
            ("SELECT * FROM information_schema.columns", "select * from _info.columns"),
            ("SELECT x::name, y::varchar(3)", "select x::text, y::varchar(3)"),
            ("SELECT a !~* 'b'", "select a !~* '(?s:.*)(?:b)(?s:.*)'"),
        ] {
            assert_eq!(rewrite(sent), wanted);
        }
    }

    #[test]
    fn a_place_in_the_engines_text_is_found_in_the_clients() {
        let sent = "SELECT x\nFROM pg_catalog.\"ä\" WHERE y";
        let rewritten = Rewriter::default().rewrite(sent);
        let at = rewritten.sql.find("where").unwrap_or_default();
        let character = rewritten.character(at);
        assert_eq!(sent.chars().skip(character - 1).collect::<String>(), "WHERE y");
    }
}
