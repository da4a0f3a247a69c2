//! What a statement asks of the session, before any SQL reaches the engine.

use crate::{
    error::{NOT_SUPPORTED, READ_ONLY, SYNTAX_ERROR, SqlError},
    lexer::{Kind, Token, tokens},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    Empty,
    /// SQL for the engine.
    Query(String),
    Copy(Copy),
    Set {
        name: String,
        value: Option<String>,
    },
    Reset(Option<String>),
    Show(String),
    /// `SELECT pg_cancel_backend(pid)` or `pg_terminate_backend`.
    Signal {
        pid: i32,
        terminates: bool,
    },
    Begin,
    Commit,
    Rollback,
    /// `SAVEPOINT`, `RELEASE`, `LISTEN` and the like, which change nothing here, with their tag.
    Nothing(&'static str),
    /// The statement's name; `None` for all.
    Deallocate(Option<String>),
    /// Whether everything is discarded.
    Discard(bool),
    Declare {
        name: String,
        query: String,
    },
    Fetch {
        name: String,
        rows: Option<u64>,
        moves: bool,
    },
    Close(Option<String>),
    Prepare {
        name: String,
        types: Vec<String>,
        query: String,
    },
    Execute {
        name: String,
        arguments: Vec<String>,
    },
}

/// `COPY (query) TO STDOUT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) query: String,
    pub(crate) format: CopyFormat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    Text { delimiter: u8, null: String, header: bool },
    Csv { delimiter: u8, null: String, header: bool, quote: u8, escape: u8 },
    Binary,
}

/// Statements that write, for the message of the refusal.
const WRITES: [&str; 28] = [
    "insert",
    "update",
    "delete",
    "merge",
    "create",
    "alter",
    "drop",
    "truncate",
    "grant",
    "revoke",
    "comment",
    "vacuum",
    "analyze",
    "reindex",
    "cluster",
    "refresh",
    "lock",
    "call",
    "do",
    "import",
    "export",
    "attach",
    "detach",
    "install",
    "load",
    "checkpoint",
    "reassign",
    "security",
];

impl Statement {
    /// Reads one statement.
    ///
    /// # Errors
    /// The statement can have no effect here, or is not complete.
    pub(crate) fn parse(sql: &str) -> Result<Self, SqlError> {
        let all = tokens(sql);
        let Some(first) = all.first() else { return Ok(Self::Empty) };
        let reader = Words { sql, all: &all, at: 1 };
        let word = first.text(sql).to_lowercase();
        if first.kind != Kind::Word {
            return Ok(Self::Query(sql.to_owned()));
        }
        match word.as_str() {
            "set" => reader.set(),
            "reset" => Ok(Self::Reset(reader.name_or_all(1))),
            "show" => reader.show(),
            // Many drivers say READ WRITE without meaning it; writes are refused in any case.
            "begin" | "start" => Ok(Statement::Begin),
            "commit" | "end" => Ok(Self::Commit),
            "rollback" if reader.has("to") => Ok(Self::Nothing("ROLLBACK")),
            "rollback" | "abort" => Ok(Self::Rollback),
            "savepoint" => Ok(Self::Nothing("SAVEPOINT")),
            "release" => Ok(Self::Nothing("RELEASE")),
            "listen" => Ok(Self::Nothing("LISTEN")),
            "unlisten" => Ok(Self::Nothing("UNLISTEN")),
            "deallocate" => {
                let place =
                    if all.get(1).is_some_and(|token| token.is(sql, "prepare")) { 2 } else { 1 };
                Ok(Self::Deallocate(reader.name_or_all(place)))
            }
            "discard" => Ok(Self::Discard(reader.has("all"))),
            "close" => Ok(Self::Close(reader.name_or_all(1))),
            "declare" => reader.declare(),
            "fetch" => reader.fetch(false),
            "move" => reader.fetch(true),
            "prepare" => reader.prepare(),
            "execute" => reader.execute(),
            "copy" => reader.copy(),
            "select" => Ok(reader.signal().unwrap_or_else(|| Self::Query(sql.to_owned()))),
            write if WRITES.contains(&write) => Err(SqlError::new(
                READ_ONLY,
                format!("cannot execute {} in a read-only transaction", write.to_uppercase()),
            )
            .hint("This endpoint serves published data; change it in the pipeline.")),
            _ => Ok(Self::Query(sql.to_owned())),
        }
    }

    /// Returns the tag of `CommandComplete` for a query, without its rows.
    pub(crate) fn tag(sql: &str) -> &'static str {
        match tokens(sql).first() {
            Some(token) if token.is(sql, "explain") => "EXPLAIN",
            _ => "SELECT",
        }
    }
}

struct Words<'a> {
    sql: &'a str,
    all: &'a [Token],
    at: usize,
}

impl Words<'_> {
    fn get(&self, at: usize) -> Option<&Token> {
        self.all.get(at)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).is_some_and(|token| token.is(self.sql, word))
    }

    fn has(&self, word: &str) -> bool {
        (self.at..self.all.len()).any(|at| self.is(at, word))
    }

    fn name(&self, at: usize) -> Option<String> {
        self.get(at)?.name(self.sql)
    }

    fn name_or_all(&self, at: usize) -> Option<String> {
        if self.is(at, "all") { None } else { self.name(at) }
    }

    /// The text from a token to the end.
    fn rest(&self, at: usize) -> String {
        self.get(at).map_or("", |token| &self.sql[token.at.start..]).to_owned()
    }

    fn incomplete(&self) -> SqlError {
        let end = self.sql.chars().count() + 1;
        SqlError {
            position: Some(end),
            ..SqlError::new(SYNTAX_ERROR, "syntax error at end of input")
        }
    }

    /// The values from a token on, as one text.
    fn values(&self, from: usize) -> String {
        let values = (from..self.all.len()).filter_map(|at| {
            let token = self.get(at)?;
            if token.is_sign(self.sql, ",") {
                return None;
            }
            let quoted = (token.kind == Kind::Quoted).then(|| token.name(self.sql)).flatten();
            let text = || token.text(self.sql).to_owned();
            Some(token.literal(self.sql).or(quoted).unwrap_or_else(text))
        });
        values.collect::<Vec<_>>().join(", ")
    }

    fn set(self) -> Result<Statement, SqlError> {
        let place = if self.is(1, "session") || self.is(1, "local") { 2 } else { 1 };
        if self.is(place, "transaction") || self.is(place, "characteristics") {
            return self.transaction_mode("SET");
        }
        if self.is(place, "time") && self.is(place + 1, "zone") {
            let local = self.is(place + 2, "local") || self.is(place + 2, "default");
            let value = (!local).then(|| self.values(place + 2));
            return Ok(Statement::Set { name: "timezone".to_owned(), value });
        }
        if self.is(place, "names") {
            let value = Some(self.values(place + 1));
            return Ok(Statement::Set { name: "client_encoding".to_owned(), value });
        }
        if self.is(place, "role") || self.is(place, "authorization") {
            return Ok(Statement::Nothing("SET"));
        }
        let (mut name, mut at) = (self.name(place).ok_or_else(|| self.incomplete())?, place + 1);
        while self.get(at).is_some_and(|token| token.is_sign(self.sql, ".")) {
            name = format!("{name}.{}", self.name(at + 1).ok_or_else(|| self.incomplete())?);
            at += 2;
        }
        // `=` or TO
        if self.get(at + 1).is_none() {
            return Err(self.incomplete());
        }
        let value = (!self.is(at + 1, "default")).then(|| self.values(at + 1));
        Ok(Statement::Set { name: name.to_lowercase(), value })
    }

    /// Refuses a transaction that is to write.
    fn transaction_mode(&self, tag: &'static str) -> Result<Statement, SqlError> {
        let writes = (1..self.all.len()).any(|at| self.is(at, "read") && self.is(at + 1, "write"));
        if writes {
            return Err(SqlError::new(
                READ_ONLY,
                "cannot set transaction read-write mode: the data is read-only",
            ));
        }
        Ok(Statement::Nothing(tag))
    }

    fn show(&self) -> Result<Statement, SqlError> {
        if self.is(1, "time") && self.is(2, "zone") {
            return Ok(Statement::Show("timezone".to_owned()));
        }
        if self.is(1, "transaction") && self.is(2, "isolation") {
            return Ok(Statement::Show("transaction_isolation".to_owned()));
        }
        if self.is(1, "session") {
            return Ok(Statement::Show("session_authorization".to_owned()));
        }
        let mut name = self.name(1).ok_or_else(|| self.incomplete())?;
        let mut at = 2;
        while self.get(at).is_some_and(|token| token.is_sign(self.sql, ".")) {
            name = format!("{name}.{}", self.name(at + 1).ok_or_else(|| self.incomplete())?);
            at += 2;
        }
        Ok(Statement::Show(name.to_lowercase()))
    }

    /// Reads `SELECT pg_cancel_backend(pid)`, and nothing more.
    fn signal(&self) -> Option<Statement> {
        let is_sign =
            |at: usize, sign: &str| self.get(at).is_some_and(|token| token.is_sign(self.sql, sign));
        let at = if self.is(1, "pg_catalog") && is_sign(2, ".") { 3 } else { 1 };
        let terminates = self.is(at, "pg_terminate_backend");
        if !terminates && !self.is(at, "pg_cancel_backend") {
            return None;
        }
        let pid = self.get(at + 2)?.text(self.sql).parse().ok()?;
        let ends = self.get(at + 4).is_none_or(|token| token.is_sign(self.sql, ";"));
        (is_sign(at + 1, "(") && is_sign(at + 3, ")") && ends)
            .then_some(Statement::Signal { pid, terminates })
    }

    fn declare(&self) -> Result<Statement, SqlError> {
        let name = self.name(1).ok_or_else(|| self.incomplete())?;
        let place = (2..self.all.len()).find(|at| self.is(*at, "for"));
        let place = place.ok_or_else(|| self.incomplete())?;
        Ok(Statement::Declare { name, query: self.rest(place + 1) })
    }

    fn fetch(&self, moves: bool) -> Result<Statement, SqlError> {
        let last = self.all.len() - 1;
        let name = self.name(last).filter(|_| last > 0).ok_or_else(|| self.incomplete())?;
        let middle = 1..last;
        let number = middle.clone().find_map(|at| {
            let token = self.get(at)?;
            (token.kind == Kind::Number).then(|| token.text(self.sql).parse().ok()).flatten()
        });
        let backward = middle.clone().any(|at| {
            ["backward", "prior", "first", "last", "absolute", "relative"]
                .iter()
                .any(|word| self.is(at, word))
                || self.get(at).is_some_and(|token| token.text(self.sql) == "-")
        });
        if backward {
            return Err(SqlError::new("55000", "cursor can only scan forward")
                .hint("Declare it anew to read from the beginning."));
        }
        let all = middle.clone().any(|at| self.is(at, "all"));
        let rows = if all { None } else { Some(number.unwrap_or(1)) };
        Ok(Statement::Fetch { name, rows, moves })
    }

    fn prepare(&self) -> Result<Statement, SqlError> {
        let name = self.name(1).ok_or_else(|| self.incomplete())?;
        let place = (2..self.all.len()).find(|at| self.is(*at, "as"));
        let place = place.ok_or_else(|| self.incomplete())?;
        let types = (2..place).filter_map(|at| self.name(at)).collect();
        Ok(Statement::Prepare { name, types, query: self.rest(place + 1) })
    }

    fn execute(&self) -> Result<Statement, SqlError> {
        let name = self.name(1).ok_or_else(|| self.incomplete())?;
        let mut arguments = Vec::new();
        for at in 2..self.all.len() {
            let Some(token) = self.get(at) else { continue };
            if token.kind == Kind::Sign {
                continue;
            }
            let text = token.literal(self.sql).unwrap_or_else(|| token.text(self.sql).to_owned());
            arguments.push(text);
        }
        Ok(Statement::Execute { name, arguments })
    }

    fn copy(&self) -> Result<Statement, SqlError> {
        let mut depth = 0_i32;
        let to = (1..self.all.len()).find(|at| {
            let token = &self.all[*at];
            depth +=
                i32::from(token.is_sign(self.sql, "(")) - i32::from(token.is_sign(self.sql, ")"));
            depth == 0 && (token.is(self.sql, "to") || token.is(self.sql, "from"))
        });
        let to = to.filter(|to| *to > 1).ok_or_else(|| self.incomplete())?;
        if self.is(to, "from") {
            return Err(SqlError::new(
                READ_ONLY,
                "cannot execute COPY FROM in a read-only transaction",
            ));
        }
        if !self.is(to + 1, "stdout") {
            return Err(SqlError::new("42501", "COPY writes to STDOUT only")
                .hint("In psql, use \\copy to write a file on your machine."));
        }
        let source = &self.sql[self.all[1].at.start..self.all[to - 1].at.end];
        let query = if let Some(inner) = source.strip_prefix('(') {
            inner.strip_suffix(')').ok_or_else(|| self.incomplete())?.to_owned()
        } else {
            match source.find('(') {
                Some(open) => format!(
                    "SELECT {} FROM {}",
                    source[open + 1..].trim_end().trim_end_matches(')'),
                    &source[..open]
                ),
                None => format!("SELECT * FROM {source}"),
            }
        };
        Ok(Statement::Copy(Copy { query, format: self.copy_format(to + 2)? }))
    }

    fn copy_format(&self, from: usize) -> Result<CopyFormat, SqlError> {
        let value = |names: &[&str]| {
            (from..self.all.len()).find(|at| names.iter().any(|name| self.is(*at, name))).map(
                |at| {
                    let at = if self.is(at + 1, "as") { at + 1 } else { at };
                    self.get(at + 1)
                        .and_then(|token| token.literal(self.sql).or_else(|| token.name(self.sql)))
                        .unwrap_or_default()
                },
            )
        };
        let mentions = |word: &str| (from..self.all.len()).any(|at| self.is(at, word));
        let named = value(&["format"]);
        let is = |name: &str| {
            named.as_ref().map_or_else(|| mentions(name), |named| named.eq_ignore_ascii_case(name))
        };
        let one = |name: &str, default: u8| -> Result<u8, SqlError> {
            let text = value(&[name]);
            match text.as_deref().map(str::as_bytes) {
                None => Ok(default),
                Some(&[byte]) => Ok(byte),
                Some(b"\\t") => Ok(b'\t'),
                Some(_) => Err(SqlError::new(
                    "22023",
                    format!("COPY {name} must be a single one-byte character"),
                )),
            }
        };
        let header = value(&["header"])
            .is_some_and(|value| !["false", "off", "0"].contains(&value.to_lowercase().as_str()));
        for unknown in ["force_quote", "force", "encoding"] {
            if mentions(unknown)
                && !(unknown == "encoding"
                    && value(&["encoding"])
                        .is_some_and(|name| name.to_lowercase().replace('-', "") == "utf8"))
            {
                return Err(SqlError::new(
                    NOT_SUPPORTED,
                    format!("COPY option {} is not supported", unknown.to_uppercase()),
                ));
            }
        }
        if is("binary") {
            return Ok(CopyFormat::Binary);
        }
        if is("csv") {
            let quote = one("quote", b'"')?;
            return Ok(CopyFormat::Csv {
                delimiter: one("delimiter", b',')?,
                null: value(&["null"]).unwrap_or_default(),
                header,
                quote,
                escape: one("escape", quote)?,
            });
        }
        if let Some(named) = named.filter(|named| !named.eq_ignore_ascii_case("text")) {
            return Err(SqlError::new("22023", format!("COPY format {named:?} not recognized"))
                .hint("Use text, csv or binary."));
        }
        Ok(CopyFormat::Text {
            delimiter: one("delimiter", b'\t')?,
            null: value(&["null"]).unwrap_or_else(|| "\\N".to_owned()),
            header,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> Statement {
        Statement::parse(sql).unwrap()
    }

    #[test]
    fn what_drivers_send_around_queries_is_understood() {
        let set = |name: &str, value: &str| Statement::Set {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        assert_eq!(parse("SET extra_float_digits = 3"), set("extra_float_digits", "3"));
        assert_eq!(parse("set session statement_timeout to '5s'"), set("statement_timeout", "5s"));
        assert_eq!(parse("SET DateStyle=ISO, MDY"), set("datestyle", "ISO, MDY"));
        assert_eq!(parse("SET TIME ZONE 'UTC'"), set("timezone", "UTC"));
        assert_eq!(parse("SET a.b = c"), set("a.b", "c"));
        assert_eq!(
            parse("SHOW materia.generation"),
            Statement::Show("materia.generation".to_owned())
        );
        assert_eq!(
            parse("show TRANSACTION ISOLATION LEVEL"),
            Statement::Show("transaction_isolation".to_owned())
        );
        assert_eq!(parse("BEGIN TRANSACTION READ ONLY"), Statement::Begin);
        assert_eq!(parse("DEALLOCATE ALL"), Statement::Deallocate(None));
        assert_eq!(parse("DISCARD ALL"), Statement::Discard(true));
        assert_eq!(parse("ROLLBACK TO a"), Statement::Nothing("ROLLBACK"));
        assert_eq!(
            parse("DECLARE \"c\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1"),
            Statement::Declare { name: "c".to_owned(), query: "SELECT 1".to_owned() }
        );
        assert_eq!(
            parse("FETCH FORWARD 100 FROM c"),
            Statement::Fetch { name: "c".to_owned(), rows: Some(100), moves: false }
        );
        assert_eq!(Statement::parse("UPDATE t SET a = 1").unwrap_err().code, READ_ONLY);
        assert!(Statement::parse("SET x").is_err() && Statement::parse("FETCH").is_err());
        assert_eq!(parse("-- nothing"), Statement::Empty);
    }

    #[test]
    fn copy_reads_its_source_and_its_options() {
        let copy = |sql: &str| {
            let parsed = parse(sql);
            let is_copy = matches!(parsed, Statement::Copy(_));
            assert!(is_copy, "{parsed:?}");
            let Statement::Copy(copy) = parsed else { unreachable!() };
            copy
        };
        assert_eq!(copy("COPY (SELECT ')' AS a) TO STDOUT").query, "SELECT ')' AS a");
        assert_eq!(copy("copy main.psd (a, b) to stdout").query, "SELECT a, b FROM main.psd ");
        assert_eq!(copy("COPY psd TO STDOUT (FORMAT binary)").format, CopyFormat::Binary);
        for csv in
            ["COPY psd TO STDOUT WITH CSV HEADER", "COPY psd TO STDOUT (FORMAT csv, HEADER true)"]
        {
            assert!(
                matches!(copy(csv).format, CopyFormat::Csv { header: true, delimiter: b',', .. }),
                "{csv}"
            );
        }
        assert_eq!(Statement::parse("COPY psd TO '/etc/passwd'").unwrap_err().code, "42501");
        assert_eq!(Statement::parse("COPY psd FROM STDIN").unwrap_err().code, READ_ONLY);
        assert_eq!(Statement::parse("COPY psd TO PROGRAM 'rm'").unwrap_err().code, "42501");
    }
}
