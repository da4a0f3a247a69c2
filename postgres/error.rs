//! Errors as PostgreSQL's protocol has them.

use materia::{humanize, reader::ReaderError};

use crate::{memory, rewrite::Rewritten};

/// An error with its SQLSTATE, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// The character of the statement at which it is, from 1.
    pub(crate) position: Option<usize>,
    /// Whether it ends the connection.
    pub(crate) fatal: bool,
}

pub(crate) const SYNTAX_ERROR: &str = "42601";
pub(crate) const READ_ONLY: &str = "25006";
pub(crate) const INVALID_PASSWORD: &str = "28P01";
pub(crate) const INVALID_AUTHORIZATION: &str = "28000";
pub(crate) const OUT_OF_MEMORY: &str = "53200";
pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
pub(crate) const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
pub(crate) const QUERY_CANCELED: &str = "57014";
pub(crate) const ADMIN_SHUTDOWN: &str = "57P01";
pub(crate) const CRASH_SHUTDOWN: &str = "57P02";
pub(crate) const CANNOT_CONNECT_NOW: &str = "57P03";
pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
pub(crate) const NOT_SUPPORTED: &str = "0A000";
pub(crate) const INVALID_VALUE: &str = "22023";
pub(crate) const INVALID_TEXT: &str = "22P02";
pub(crate) const UNDEFINED_OBJECT: &str = "42704";
pub(crate) const FAILED_TRANSACTION: &str = "25P02";
pub(crate) const UNDEFINED_STATEMENT: &str = "26000";
pub(crate) const UNDEFINED_CURSOR: &str = "34000";
const UNDEFINED_TABLE: &str = "42P01";

impl SqlError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            fatal: false,
        }
    }

    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self { fatal: true, ..Self::new(code, message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the fields of an `ErrorResponse`.
    pub(crate) fn fields(&self) -> Vec<(u8, String)> {
        let severity = if self.fatal { "FATAL" } else { "ERROR" };
        let mut fields = vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.code.to_owned()),
            (b'M', self.message.clone()),
        ];
        fields.extend(self.detail.clone().map(|detail| (b'D', detail)));
        fields.extend(self.hint.clone().map(|hint| (b'H', hint)));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        for (_, text) in &mut fields {
            // A text of the protocol ends there.
            text.retain(|char| char != '\0');
        }
        fields
    }

    /// Converts an error of the reader. `tables` are the names that the session may see: DuckDB's own
    /// suggestions name others.
    pub(crate) fn of_reader(error: &ReaderError, sent: &Rewritten, tables: &[String]) -> Self {
        match error {
            ReaderError::Refused { reason } => Self::of_refusal(reason, sent, tables),
            ReaderError::Engine { message } => Self::of_engine(message, sent, tables),
            ReaderError::TimedOut { limit } => Self::new(
                QUERY_CANCELED,
                format!("canceling statement after {}", humanize::duration(*limit)),
            )
            .hint("Read fewer rows, or aggregate them."),
            ReaderError::TooLarge { .. } => Self::new(PROGRAM_LIMIT_EXCEEDED, error.to_string())
                .hint("Add a LIMIT or a condition; whole tables are downloads of the site."),
            ReaderError::BuffersFull { .. } => {
                memory::exhausted(&format!("out of memory: {error}"))
            }
            ReaderError::Busy { .. } => Self::new(TOO_MANY_CONNECTIONS, error.to_string()),
            ReaderError::OverBudget { .. } => Self::new("53400", error.to_string()),
            ReaderError::Unavailable { .. } => Self::new(CANNOT_CONNECT_NOW, error.to_string()),
            // The reason names the storage, which is for operators.
            ReaderError::StorageUnavailable { .. } => {
                Self::new("58030", "the data's storage cannot be reached; try again later")
            }
        }
    }

    fn of_refusal(reason: &str, sent: &Rewritten, tables: &[String]) -> Self {
        if reason.starts_with("relation ") || reason.starts_with("schema ") {
            let code = if reason.starts_with("schema ") { "3F000" } else { UNDEFINED_TABLE };
            return Self::new(code, reason);
        }
        if reason.starts_with("cross-database") {
            return Self::new(NOT_SUPPORTED, reason);
        }
        // The guard says where the parser stopped.
        if let Some((message, place)) = reason.rsplit_once(" [at ") {
            let offset = place.trim_end_matches(']').parse().ok();
            let code = if message.contains("syntax") { SYNTAX_ERROR } else { "42000" };
            let position = offset.map(|offset| sent.character(offset));
            return Self { position, ..Self::new(code, message) };
        }
        if reason.contains("Error: ") {
            return Self::of_engine(reason, sent, tables);
        }
        let code = if reason.contains("only SELECT") || reason.contains("read-only") {
            READ_ONLY
        } else if reason.contains("nested") || reason.contains("longer than") {
            "54001"
        } else if reason.contains("is not a function") {
            "42883"
        } else if reason.contains("there is no table") {
            UNDEFINED_TABLE
        } else {
            "42501"
        };
        Self::new(code, reason)
    }

    fn of_engine(message: &str, sent: &Rewritten, tables: &[String]) -> Self {
        let mut paragraphs = message.split("\n\n");
        let first = paragraphs.next().unwrap_or_default();
        let (kind, text) = first.split_once(": ").unwrap_or(("", first));
        let mut lines = text.lines();
        let headline = lines.next().unwrap_or_default();
        // A suggestion may name a table that the plan does not include.
        let detail: Vec<_> = lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("Did you mean"))
            .collect();
        let code = sqlstate(kind, headline);
        let mut error = Self::new(code, postgres_wording(headline));
        if matches!(kind, "Binder Error" | "Parser Error") && !detail.is_empty() {
            error.detail = Some(detail.join("\n"));
        }
        error.position = position(message, sent);
        if code == UNDEFINED_TABLE {
            let missing = headline.split(['"', ' ']).find(|word| {
                !["Table", "with", "name", "does", "not", "exist!", "", "Referenced", "table"]
                    .contains(word)
            });
            let nearest = missing
                .and_then(|missing| humanize::nearest(missing, tables.iter().map(String::as_str)));
            error.hint = Some(nearest.map_or_else(
                || "List the tables with \\dt, or in information_schema.tables.".to_owned(),
                |nearest| format!("Perhaps you meant the table \"{nearest}\"."),
            ));
        }
        error
    }
}

fn sqlstate(kind: &str, message: &str) -> &'static str {
    let has = |part: &str| message.contains(part);
    match kind {
        "Catalog Error" if has("Function") => "42883",
        "Catalog Error" if has("Schema") => "3F000",
        "Catalog Error" if has("Table") || has("View") => UNDEFINED_TABLE,
        "Catalog Error" => UNDEFINED_OBJECT,
        "Binder Error" if has("No function matches") => "42883",
        "Binder Error" if has("Ambiguous") => "42702",
        "Binder Error" if has("GROUP BY") => "42803",
        "Binder Error" if has("Referenced table") => UNDEFINED_TABLE,
        "Binder Error" if has("column") => "42703",
        "Binder Error" if has("Cannot compare") || has("cast") => "42804",
        "Parser Error" | "Binder Error" => SYNTAX_ERROR,
        "Conversion Error" if has("out of range") => "22003",
        "Conversion Error" => INVALID_TEXT,
        "Out of Range Error" => "22003",
        "Out of Memory Error" => OUT_OF_MEMORY,
        "INTERRUPT Error" => QUERY_CANCELED,
        "Not implemented Error" => NOT_SUPPORTED,
        "Invalid Input Error" if has("ivision by zero") => "22012",
        "Invalid Input Error" => INVALID_VALUE,
        _ => "XX000",
    }
}

/// Says a missing table or column as PostgreSQL does: tools look for these words.
fn postgres_wording(message: &str) -> String {
    if let Some(name) = message
        .strip_prefix("Table with name ")
        .and_then(|rest| rest.strip_suffix(" does not exist!"))
    {
        return format!("relation \"{}\" does not exist", name.trim_matches('"'));
    }
    if let Some(rest) = message.strip_prefix("Referenced column \"")
        && let Some((name, rest)) = rest.split_once('"')
        && rest.contains("not found")
    {
        return format!("column \"{name}\" does not exist");
    }
    message.to_owned()
}

/// Returns the place that DuckDB's excerpt of the statement points to, in the client's text.
fn position(message: &str, sent: &Rewritten) -> Option<usize> {
    let mut lines = message.lines().skip_while(|line| !line.starts_with("LINE "));
    let excerpt = lines.next()?;
    let caret = lines.next()?.find('^')?;
    let (number, text) = excerpt.strip_prefix("LINE ")?.split_once(": ")?;
    let column = caret.checked_sub(excerpt.len() - text.len())?;
    let shown = text.strip_prefix("...").unwrap_or(text);
    let column = column.checked_sub(text.len() - shown.len())?;
    let shown = shown.strip_suffix("...").unwrap_or(shown);
    let line = sent.sql.lines().nth(number.parse::<usize>().ok()?.checked_sub(1)?)?;
    let start = line.as_ptr() as usize - sent.sql.as_ptr() as usize;
    let offset = start + line.find(shown)? + column;
    Some(sent.character(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Rewriter;

    #[test]
    fn errors_have_a_code_a_place_and_no_names_of_other_plans_tables() {
        let sent = Rewriter::default().rewrite("SELECT *\nFROM   pg_catalog.secre");
        let message = "Catalog Error: Table with name secre does not exist!\nDid you mean \"gen.secret\"?\n\nLINE 1: select * from secre\n                      ^";
        let error = SqlError::of_engine(message, &sent, &["secretary".to_owned()]);
        assert_eq!(error.code, "42P01");
        assert_eq!(error.message, "relation \"secre\" does not exist");
        assert!(!error.fields().iter().any(|(_, text)| text.contains("gen.secret")), "{error:?}");
        assert_eq!(error.position, Some(28));
    }
}
