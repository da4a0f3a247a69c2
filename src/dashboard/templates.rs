//! Values in titles, notes and Markdown: `{{ query.column }}` is the value of a column in the first
//! row of a named query, and `{{ query.column | percent.1 }}` the same in another format.

use std::{collections::BTreeMap, fmt::Write as _, str::FromStr};

use futures_util::future::join_all;

use jiff::{Timestamp, tz::TimeZone};

use super::{Freshness, rows::ResultRows};
use crate::{
    reader::{Pin, Query, QueryLimits, QueryResult},
    values::Format,
};

/// Shown where there is no value.
const MISSING: &str = "–";

/// A named query whose values are used in texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueQuery {
    pub name: String,
    /// The SQL, with the queries that it uses itself.
    pub sql: String,
}

/// A value that a text asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Placeholder<'t> {
    pub(super) query: &'t str,
    column: &'t str,
    format: Option<&'t str>,
}

/// Part of a text.
enum TemplatePiece<'t> {
    Text(&'t str),
    Placeholder(Placeholder<'t>),
}

fn pieces(text: &str) -> Vec<TemplatePiece<'_>> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, behind)) = after.split_once("}}") else { break };
        all.push(TemplatePiece::Text(before));
        let (name, format) = match inside.split_once('|') {
            Some((name, format)) => (name, Some(format.trim())),
            None => (inside, None),
        };
        let (query, column) = name.trim().split_once('.').unwrap_or((name.trim(), ""));
        all.push(TemplatePiece::Placeholder(Placeholder { query, column, format }));
        rest = behind;
    }
    all.push(TemplatePiece::Text(rest));
    all
}

/// Returns the values that a text asks for.
pub(super) fn placeholders(text: &str) -> Vec<Placeholder<'_>> {
    let found = pieces(text).into_iter().filter_map(|piece| match piece {
        TemplatePiece::Placeholder(placeholder) => Some(placeholder),
        TemplatePiece::Text(_) => None,
    });
    found.collect()
}

impl Placeholder<'_> {
    /// Returns what is wrong with it, whatever the data.
    pub(super) fn problem(&self) -> Option<String> {
        if self.column.is_empty() {
            return Some(format!(
                "{{{{ {} }}}} needs a column, as in {{{{ query.column }}}}",
                self.query
            ));
        }
        let format = self.format.map(Format::from_str);
        format.and_then(Result::err).map(|error| error.to_string())
    }
}

/// The first rows of the queries whose values are used in texts.
pub(super) struct TextValues {
    answers: BTreeMap<String, std::sync::Arc<QueryResult>>,
}

impl TextValues {
    /// Runs the queries, each bound by `bind`.
    pub(super) async fn read(
        queries: &[ValueQuery],
        pin: &Pin,
        bind: impl Fn(&str) -> Query,
    ) -> Self {
        let run = |query: &ValueQuery| {
            let (name, query) = (query.name.clone(), bind(&query.sql));
            async move { Some((name, pin.query(query, QueryLimits::for_page()).await.ok()?)) }
        };
        let answers = join_all(queries.iter().map(run)).await;
        Self { answers: answers.into_iter().flatten().collect() }
    }

    /// Returns the rows of a named query; `None` if it failed.
    pub(super) fn rows(&self, query: &str) -> Option<ResultRows<'_>> {
        self.answers.get(query).map(|answer| ResultRows::new(answer))
    }

    /// Returns a text with values instead of placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                TemplatePiece::Text(text) => out.push_str(text),
                TemplatePiece::Placeholder(placeholder) => {
                    let value = self.value(&placeholder);
                    out.push_str(value.as_deref().unwrap_or(MISSING));
                }
            }
        }
        out
    }

    /// Returns how far the source of a named query reaches: its row has the columns `through`,
    /// `published`, `next_release` and `late_after`, and its name in `title`. Columns that are not
    /// there are left out.
    pub(super) fn freshness(&self, query: &str) -> Option<Freshness> {
        let rows = ResultRows::new(self.answers.get(query)?);
        let row = rows.each().next()?;
        let text = |name: &str| {
            let column = rows.find(name).ok()?;
            row.format(column, rows.default_format(column)).map(std::borrow::Cow::into_owned)
        };
        let through = text("through")?;
        let title = text("title").map(|title| format!("{title}: ")).unwrap_or_default();
        let mut shown = format!("{title}data through {through}");
        for (word, name) in [("published", "published"), ("next release", "next_release")] {
            if let Some(value) = text(name) {
                let _ = write!(shown, ", {word} {value}");
            }
        }
        let late_after = rows.find("late_after").ok().and_then(|column| row.millis(column));
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let is_late = late_after
            .and_then(|millis| Timestamp::from_millisecond(millis).ok())
            .is_some_and(|after| after.to_zoned(TimeZone::UTC).date() < today);
        Some(Freshness { text: shown, is_late })
    }

    fn value(&self, placeholder: &Placeholder<'_>) -> Option<String> {
        let rows = ResultRows::new(self.answers.get(&placeholder.query.to_lowercase())?);
        let column = rows.find(&placeholder.column.to_lowercase()).ok()?;
        let format = placeholder.format.and_then(|format| Format::from_str(format).ok());
        let format = format.unwrap_or_else(|| rows.default_format(column));
        let row = rows.each().next()?;
        row.format(column, format).map(std::borrow::Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_name_a_query_a_column_and_a_format() {
        let found = placeholders("In {{ totals.year }}: {{totals.share | percent.1}} {{ x");
        let named: Vec<_> = found.iter().map(|one| (one.query, one.column, one.format)).collect();
        assert_eq!(named, [("totals", "year", None), ("totals", "share", Some("percent.1"))]);
        assert!(found.iter().all(|one| one.problem().is_none()));
        let wrong = |text: &str| placeholders(text)[0].problem().unwrap_or_default();
        assert!(wrong("{{ totals }}").contains("needs a column"));
        assert!(wrong("{{ a.b | percents }}").contains("percent"));
    }
}
