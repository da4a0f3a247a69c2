//! Parameters: their types, where the client does not declare them, and their values.

use std::fmt::Write as _;

use bytes::Buf as _;
use materia::reader::Param;

use crate::{
    error::{INVALID_TEXT, NOT_SUPPORTED, SqlError},
    lexer::{Kind, Token, tokens},
    types::{self, ColumnType, PgType},
};

/// A bound value, and the expression that replaces it in the statement.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) value: Param,
    pub(crate) expression: String,
}

/// Returns DuckDB's name of a type of parameters.
fn duck_name(kind: PgType) -> &'static str {
    match kind {
        types::BOOL => "BOOLEAN",
        types::INT2 => "SMALLINT",
        types::INT4 => "INTEGER",
        types::INT8 | types::OID => "BIGINT",
        types::FLOAT4 => "FLOAT",
        types::FLOAT8 => "DOUBLE",
        types::DATE => "DATE",
        types::TIME => "TIME",
        types::TIMETZ => "TIMETZ",
        types::TIMESTAMP => "TIMESTAMP",
        types::TIMESTAMPTZ => "TIMESTAMPTZ",
        types::INTERVAL => "INTERVAL",
        types::UUID => "UUID",
        types::JSON | types::JSONB => "JSON",
        types::VARBIT => "BIT",
        _ => "VARCHAR",
    }
}

/// Returns the expression for `$number` while its value is not known.
pub(crate) fn null_expression(oid: u32) -> String {
    match types::find(oid) {
        Some((kind, true)) => format!("CAST(NULL AS {}[])", numeric_name(kind)),
        Some((types::BYTEA, false)) => "CAST(NULL AS BLOB)".to_owned(),
        Some((kind, false)) => format!("CAST(NULL AS {})", numeric_name(kind)),
        None => "CAST(NULL AS VARCHAR)".to_owned(),
    }
}

fn numeric_name(kind: PgType) -> &'static str {
    if kind == types::NUMERIC { "DECIMAL(38,10)" } else { duck_name(kind) }
}

/// Reads the value of `$number`.
///
/// # Errors
/// The bytes are no value of the type.
pub(crate) fn bind(
    number: usize,
    oid: u32,
    binary: bool,
    bytes: Option<&[u8]>,
) -> Result<Bound, SqlError> {
    let (kind, is_array) = types::find(oid).ok_or_else(|| {
        SqlError::new(NOT_SUPPORTED, format!("parameter ${number} has an unknown type ({oid})"))
            .hint("Send it as text, and cast it in the statement.")
    })?;
    let Some(bytes) = bytes else {
        // A parameter that the statement does not name would have no value.
        return Ok(Bound {
            value: Param::Null,
            expression: null_expression(oid).replace("NULL", &format!("${number}")),
        });
    };
    if is_array {
        let items = if binary { binary_array(bytes, kind)? } else { text_array(&utf8(bytes)?)? };
        return Ok(Bound {
            value: Param::List(
                items.into_iter().map(|item| item.map_or(Param::Null, Param::Text)).collect(),
            ),
            expression: format!("CAST(${number} AS {}[])", numeric_name(kind)),
        });
    }
    let text = if binary { binary_text(bytes, kind)? } else { utf8(bytes)? };
    let text = if binary { text } else { without_zone(text, kind) };
    let cast = |name: &str| format!("CAST(${number} AS {name})");
    let value = Param::Text(text.clone());
    Ok(match kind {
        types::BYTEA => {
            let hex = if binary { text } else { bytea_hex(&text)? };
            Bound { value: Param::Text(hex), expression: format!("unhex(${number})") }
        }
        types::NUMERIC => {
            let expression = cast(&decimal_for(&text));
            Bound { value, expression }
        }
        types::INT2 | types::INT4 | types::INT8 | types::OID => {
            let whole: i64 = text.trim().parse().map_err(|_| invalid(&text, kind))?;
            Bound { value: Param::Int(whole), expression: cast(duck_name(kind)) }
        }
        types::FLOAT4 | types::FLOAT8 => {
            let float: f64 = text.trim().parse().map_err(|_| invalid(&text, kind))?;
            Bound { value: Param::Float(float), expression: cast(duck_name(kind)) }
        }
        types::BOOL => {
            let truth = match text.trim().to_lowercase().as_str() {
                "t" | "true" | "1" | "on" | "yes" | "y" => true,
                "f" | "false" | "0" | "off" | "no" | "n" => false,
                _ => return Err(invalid(&text, kind)),
            };
            Bound { value: Param::Bool(truth), expression: cast("BOOLEAN") }
        }
        _ => Bound { value, expression: cast(duck_name(kind)) },
    })
}

/// Drops the zone that PostgreSQL reads and ignores: JDBC sends the date `2024-02-29 +00` and the time
/// `10:00:00+00`, with no type.
fn without_zone(text: String, kind: PgType) -> String {
    let written = text.trim();
    let is_zone =
        |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || b"+-:. ".contains(&byte));
    let end = match kind {
        types::DATE => written.find(' ').filter(|at| is_zone(&written[*at..])),
        types::TIME => written.rfind(['+', '-']).filter(|at| *at > 0 && is_zone(&written[*at..])),
        _ => None,
    };
    match end {
        Some(end) => written[..end].to_owned(),
        None => text,
    }
}

fn invalid(text: &str, kind: PgType) -> SqlError {
    SqlError::new(INVALID_TEXT, format!("invalid input syntax for type {}: {:?}", kind.name, text))
}

fn utf8(bytes: &[u8]) -> Result<String, SqlError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| SqlError::new("22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// Returns the type that holds a number exactly, or the nearest there is.
fn decimal_for(text: &str) -> String {
    let text = text.trim().trim_start_matches(['-', '+']);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if plain(whole) && plain(fraction) && whole.len() + fraction.len() <= 38 {
        format!("DECIMAL(38,{})", fraction.len())
    } else {
        "DOUBLE".to_owned()
    }
}

fn bytea_hex(text: &str) -> Result<String, SqlError> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return Ok(hex.to_owned());
    }
    if text.contains('\\') {
        return Err(SqlError::new(
            INVALID_TEXT,
            "bytea must be written in hexadecimal: \\xDEADBEEF",
        ));
    }
    Ok(hex(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads the items of `{1,NULL,"a b"}`.
fn text_array(text: &str) -> Result<Vec<Option<String>>, SqlError> {
    let malformed = || SqlError::new(INVALID_TEXT, format!("malformed array literal: {text:?}"));
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(malformed)?;
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    loop {
        let (mut item, mut was_quoted) = (String::new(), false);
        while chars.peek().is_some_and(|char| char.is_whitespace()) {
            chars.next();
        }
        if chars.peek() == Some(&'"') {
            was_quoted = true;
            chars.next();
            loop {
                match chars.next().ok_or_else(malformed)? {
                    '"' => break,
                    '\\' => item.push(chars.next().ok_or_else(malformed)?),
                    char => item.push(char),
                }
            }
        }
        while let Some(char) = chars.peek().filter(|char| **char != ',') {
            if matches!(char, '{' | '}') {
                return Err(SqlError::new(
                    NOT_SUPPORTED,
                    "parameters that are arrays of several dimensions are not supported",
                ));
            }
            if !was_quoted {
                item.push(*char);
            }
            chars.next();
        }
        let item = if was_quoted { item } else { item.trim().to_owned() };
        items.push((was_quoted || !item.eq_ignore_ascii_case("null")).then_some(item));
        if chars.next().is_none() {
            return Ok(items);
        }
    }
}

fn binary_array(mut bytes: &[u8], kind: PgType) -> Result<Vec<Option<String>>, SqlError> {
    let malformed = || SqlError::new("22P03", "incorrect binary data format of an array");
    let dimensions = bytes.try_get_i32().map_err(|_| malformed())?;
    bytes.try_get_i64().map_err(|_| malformed())?;
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => {
            return Err(SqlError::new(
                NOT_SUPPORTED,
                "parameters that are arrays of several dimensions are not supported",
            ));
        }
    }
    let count = bytes.try_get_i32().map_err(|_| malformed())?;
    bytes.try_get_i32().map_err(|_| malformed())?;
    let mut items = Vec::new();
    for _ in 0..count {
        let length = bytes.try_get_i32().map_err(|_| malformed())?;
        if length < 0 {
            items.push(None);
            continue;
        }
        let item = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let (item, rest) = item.ok_or_else(malformed)?;
        bytes = rest;
        items.push(Some(binary_text(item, kind)?));
    }
    Ok(items)
}

/// Returns a binary value as the text that DuckDB reads.
fn binary_text(mut bytes: &[u8], kind: PgType) -> Result<String, SqlError> {
    let malformed = |_: bytes::TryGetError| {
        SqlError::new("22P03", format!("incorrect binary data format of type {}", kind.name))
    };
    let whole = bytes;
    Ok(match kind {
        types::BOOL => (bytes.try_get_u8().map_err(malformed)? != 0).to_string(),
        types::INT2 => bytes.try_get_i16().map_err(malformed)?.to_string(),
        types::INT4 => bytes.try_get_i32().map_err(malformed)?.to_string(),
        types::OID => bytes.try_get_u32().map_err(malformed)?.to_string(),
        types::INT8 => bytes.try_get_i64().map_err(malformed)?.to_string(),
        types::FLOAT4 => bytes.try_get_f32().map_err(malformed)?.to_string(),
        types::FLOAT8 => bytes.try_get_f64().map_err(malformed)?.to_string(),
        types::BYTEA => hex(whole),
        types::DATE => {
            let days = bytes.try_get_i32().map_err(malformed)?;
            match days {
                i32::MAX => "infinity".to_owned(),
                i32::MIN => "-infinity".to_owned(),
                _ => date_text(i64::from(days)),
            }
        }
        types::TIME => time_text(bytes.try_get_i64().map_err(malformed)?),
        types::TIMETZ => {
            let micros = bytes.try_get_i64().map_err(malformed)?;
            let west = bytes.try_get_i32().map_err(malformed)?;
            let (sign, offset) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
            format!(
                "{}{sign}{:02}:{:02}:{:02}",
                time_text(micros),
                offset / 3_600,
                offset / 60 % 60,
                offset % 60
            )
        }
        types::TIMESTAMP | types::TIMESTAMPTZ => {
            const DAY: i64 = 86_400_000_000;
            let micros = bytes.try_get_i64().map_err(malformed)?;
            let zone = if kind == types::TIMESTAMPTZ { "+00" } else { "" };
            match micros {
                i64::MAX => "infinity".to_owned(),
                i64::MIN => "-infinity".to_owned(),
                _ => {
                    let (days, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
                    format!("{} {}{zone}", date_text(days), time_text(time))
                }
            }
        }
        types::INTERVAL => {
            let micros = bytes.try_get_i64().map_err(malformed)?;
            let days = bytes.try_get_i32().map_err(malformed)?;
            let months = bytes.try_get_i32().map_err(malformed)?;
            format!("{months} months {days} days {micros} microseconds")
        }
        types::UUID => {
            let text = hex(whole);
            if text.len() != 32 {
                return Err(SqlError::new("22P03", "incorrect binary data format of type uuid"));
            }
            text
        }
        types::NUMERIC => numeric_text(bytes).map_err(malformed)?,
        types::JSONB => utf8(whole.get(1..).unwrap_or_default())?,
        _ => utf8(whole)?,
    })
}

fn date_text(days_since_2000: i64) -> String {
    let epoch = jiff::civil::date(2000, 1, 1);
    let day = jiff::Span::new()
        .try_days(days_since_2000)
        .and_then(|days| epoch.checked_add(days))
        .map(|day| day.to_string());
    // What is beyond jiff's years is no value that a comparison would miss.
    day.unwrap_or_else(|_| if days_since_2000 > 0 { "infinity" } else { "-infinity" }.to_owned())
}

fn time_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        micros % 1_000_000
    )
}

fn numeric_text(mut bytes: &[u8]) -> Result<String, bytes::TryGetError> {
    let count = bytes.try_get_i16()?;
    let weight = i32::from(bytes.try_get_i16()?);
    let sign = bytes.try_get_u16()?;
    let scale = usize::from(bytes.try_get_u16()?);
    match sign {
        0xC000 => return Ok("nan".to_owned()),
        0xD000 => return Ok("inf".to_owned()),
        0xF000 => return Ok("-inf".to_owned()),
        _ => {}
    }
    let groups =
        (0..count).map(|_| bytes.try_get_i16()).collect::<Result<Vec<_>, bytes::TryGetError>>()?;
    let group = |at: i32| {
        usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or_default()
    };
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    let mut whole = String::new();
    for at in 0..=weight {
        let _ = write!(whole, "{:04}", group(at));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = weight + 1;
        while fraction.len() < scale {
            let _ = write!(fraction, "{:04}", group(at));
            at += 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Ok(text)
}

/// Finds the types of the parameters that the client left open, from their neighbors.
/// `column` returns the type of a column by its name.
pub(crate) fn infer(
    sql: &str,
    declared: &[u32],
    column: &dyn Fn(&str) -> Option<ColumnType>,
) -> Vec<u32> {
    let all = tokens(sql);
    let count = all.iter().filter_map(|token| token.parameter(sql)).max().unwrap_or(0);
    let mut found: Vec<u32> =
        (0..count.max(declared.len())).map(|at| declared.get(at).copied().unwrap_or(0)).collect();
    // Types of lists, so that a long one is read once.
    let mut of_list: Option<(usize, u32)> = None;
    for (at, token) in all.iter().enumerate() {
        let Some(number) = token.parameter(sql).and_then(|number| number.checked_sub(1)) else {
            continue;
        };
        if let Some(open) = found.get_mut(number)
            && (*open == 0 || *open == types::UNKNOWN.oid)
        {
            let next_in_list = at > 1 && all[at - 1].is_sign(sql, ",");
            let (oid, is_list) = match of_list {
                Some((last, oid)) if next_in_list && last + 2 == at => (oid, true),
                _ => infer_one(sql, &all, at, column).unwrap_or((0, false)),
            };
            of_list = is_list.then_some((at, oid));
            *open = oid;
        }
    }
    for open in &mut found {
        if *open == 0 || *open == types::UNKNOWN.oid {
            *open = types::TEXT.oid;
        }
    }
    found
}

fn infer_one(
    sql: &str,
    all: &[Token],
    at: usize,
    column: &dyn Fn(&str) -> Option<ColumnType>,
) -> Option<(u32, bool)> {
    let token = |at: Option<usize>| at.and_then(|at| all.get(at));
    let is = |at: Option<usize>, words: &[&str]| {
        token(at).is_some_and(|token| words.iter().any(|word| token.is(sql, word)))
    };
    let before = |distance: usize| at.checked_sub(distance);
    let is_operator = |at: Option<usize>| {
        token(at).is_some_and(|token| {
            token.kind == Kind::Operator && !token.text(sql).contains(['~', '|', '@', '?'])
        })
    };
    // The type of the value that ends at, or begins at, a place.
    let value = |at: Option<usize>, forward: bool| -> Option<u32> {
        let mut at = at?;
        let name = all.get(at)?;
        match name.kind {
            Kind::Number => {
                let whole = !name.text(sql).contains(['.', 'e', 'E']);
                return Some(if whole { types::INT8.oid } else { types::NUMERIC.oid });
            }
            Kind::Word | Kind::Quoted => {}
            _ => return None,
        }
        while forward && all.get(at + 1).is_some_and(|token| token.is_sign(sql, ".")) {
            at += 2;
        }
        let name = all.get(at)?.name(sql)?;
        column(&name).map(ColumnType::oid)
    };
    // $1::date, CAST($1 AS date)
    let cast = match token(Some(at + 1)) {
        Some(next) if next.kind == Kind::Cast => Some(at + 2),
        Some(next) if next.is(sql, "as") && is(before(2), &["cast", "try_cast"]) => Some(at + 2),
        _ => None,
    };
    if let Some(place) = cast {
        let qualified = token(Some(place + 1)).is_some_and(|token| token.is_sign(sql, "."));
        let place = if qualified { place + 2 } else { place };
        let is_array = token(Some(place + 1)).is_some_and(|token| token.is_sign(sql, "["));
        let kind = named(&token(Some(place))?.name(sql)?)?;
        return Some((if is_array { kind.array } else { kind.oid }, false));
    }
    if is(before(1), &["limit", "offset", "first", "next"]) {
        return Some((types::INT8.oid, false));
    }
    let beside = |oid: Option<u32>| oid.map(|oid| (oid, false));
    // x = $1, $1 < x
    if is_operator(before(1)) {
        return beside(value(before(2), false));
    }
    if is_operator(Some(at + 1)) {
        return beside(value(Some(at + 2), true));
    }
    // x BETWEEN $1 AND $2
    if is(before(1), &["between"]) {
        let place = if is(before(2), &["not"]) { before(3) } else { before(2) };
        return beside(value(place, false));
    }
    if is(before(1), &["and"]) && is(before(3), &["between"]) {
        let place = if is(before(4), &["not"]) { before(5) } else { before(4) };
        return beside(value(place, false));
    }
    // x = ANY($1), x IN ($1, $2)
    let mut open = before(1)?;
    while all.get(open).is_some_and(|token| {
        token.is_sign(sql, ",") || token.kind == Kind::Parameter || token.kind == Kind::Text
    }) {
        open = open.checked_sub(1)?;
    }
    if !all.get(open)?.is_sign(sql, "(") {
        return None;
    }
    let word = open.checked_sub(1);
    if is(word, &["any", "all", "some"]) {
        let item = value(open.checked_sub(3), false)?;
        return types::find(item).map(|(kind, _)| (kind.array, false));
    }
    if is(word, &["in"]) {
        let place = if is(open.checked_sub(2), &["not"]) { 3 } else { 2 };
        return value(open.checked_sub(place), false).map(|oid| (oid, true));
    }
    None
}

/// Returns the type with this name.
fn named(name: &str) -> Option<PgType> {
    let name = match name {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double" | "float" => "float8",
        "decimal" => "numeric",
        "character" => "varchar",
        "blob" => "bytea",
        "string" | "regclass" | "regtype" => "text",
        other => other,
    };
    types::ALL.iter().find(|known| known.name == name).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_a_date_or_time_is_ignored() {
        for (kind, text, wanted) in [
            (types::DATE, "2024-02-29 +00", "2024-02-29"),
            (types::DATE, "2024-02-29 10:00:00+02", "2024-02-29"),
            (types::DATE, "infinity", "infinity"),
            (types::DATE, "0044-03-15 BC", "0044-03-15 BC"),
            (types::TIME, "10:00:00.5-02:30", "10:00:00.5"),
            (types::TIMESTAMP, "2024-02-29 10:00:00+02", "2024-02-29 10:00:00+02"),
        ] {
            assert_eq!(without_zone(text.to_owned(), kind), wanted);
        }
    }

    #[test]
    fn open_types_follow_from_what_stands_beside_the_parameter() {
        let column = |name: &str| match name {
            "year" => Some(ColumnType::of_name("INTEGER")),
            "day" => Some(ColumnType::of_name("DATE")),
            _ => None,
        };
        for (sql, wanted) in [
            ("SELECT * FROM t WHERE t.year >= $1 AND $2 = day", vec![23, 1082]),
            ("SELECT $1::date, CAST($2 AS numeric), $3", vec![1082, 1700, 25]),
            ("SELECT 1 FROM t WHERE year BETWEEN $1 AND $2 LIMIT $3", vec![23, 23, 20]),
            ("SELECT 1 FROM t WHERE year = ANY($1) OR day IN ($2, $3)", vec![1007, 1082, 1082]),
            ("SELECT $1 + 1, name LIKE $2", vec![20, 25]),
            ("SELECT $1::int[]", vec![0]),
        ] {
            let wanted: Vec<u32> = wanted
                .into_iter()
                .map(|oid| if oid == 0 { types::INT4.array } else { oid })
                .collect();
            assert_eq!(infer(sql, &[], &column), wanted, "{sql}");
        }
        assert_eq!(infer("SELECT $1", &[23], &column), [23]);
    }

    #[test]
    fn values_are_the_same_as_text_and_in_binary() {
        let text = |oid, bytes: &[u8]| match bind(1, oid, false, Some(bytes)).unwrap().value {
            Param::Text(text) => text,
            other => format!("{other:?}"),
        };
        let binary = |oid, bytes: &[u8]| match bind(1, oid, true, Some(bytes)).unwrap().value {
            Param::Text(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(binary(23, &[0, 0, 7, 0xE8]), text(23, b"2024"));
        assert_eq!(binary(1082, &(-10_957_i32).to_be_bytes()), "1970-01-01");
        assert_eq!(binary(1114, &(-1_i64).to_be_bytes()), "1999-12-31 23:59:59.999999");
        assert_eq!(binary(17, &[0xDE, 0xAD]), text(17, b"\\xdead"));
        let numeric = [0, 3, 0, 1, 0x40, 0, 0, 2, 0, 1, 9, 41, 26, 44];
        assert_eq!(binary(1700, &numeric), "-12345.67");
        assert!(bind(1, 23, true, Some(&[1])).is_err());
        assert!(bind(1, 1007, true, Some(&[0, 0, 0, 1])).is_err());
    }

    #[test]
    fn arrays_are_read_with_quotes_and_nulls() {
        let items = text_array("{1, NULL ,\"a,\\\"b\",\"null\"}").unwrap();
        assert_eq!(
            items,
            [Some("1".to_owned()), None, Some("a,\"b".to_owned()), Some("null".to_owned())]
        );
        assert_eq!(text_array("{}").unwrap().len(), 0);
        for wrong in ["1", "{1", "{\"a}", "{{1},{2}}"] {
            assert!(text_array(wrong).is_err(), "{wrong}");
        }
    }
}
