//! The `[[query]]` sections: SQL that panels use like a table.

use std::collections::BTreeSet;

use toml::Spanned;

use super::{ParseContext, raw::RawQuery};
use crate::{
    dashboard::{model::ValueQuery, parameters, templates},
    humanize,
};

/// A named query, including those that it uses.
pub(super) struct NamedQuery {
    name: String,
    sql: String,
    /// The byte offset of its SQL in the file.
    pub(super) start: usize,
    /// Where its SQL is in the file.
    pub(super) span: std::ops::Range<usize>,
}

impl ParseContext<'_> {
    /// Parses the named queries. Each may use the preceding ones.
    pub(super) fn queries(&mut self, raw: Vec<Spanned<RawQuery>>) -> Vec<NamedQuery> {
        let mut queries = Vec::<NamedQuery>::new();
        for query in raw {
            let query = query.into_inner();
            let (name, at) = (query.name.get_ref().to_lowercase(), query.name.span().start);
            if !is_name(&name) {
                self.problem(
                    Some(at),
                    format!(
                        "{name:?} cannot be a query's name: use letters, digits and _, a letter first"
                    ),
                );
            } else if queries.iter().any(|other| other.name == name) {
                self.problem(Some(at), format!("there is another query of the name {name:?}"));
            } else {
                let start = query.sql.span().start;
                let span = query.sql.span();
                queries.push(NamedQuery { name, sql: query.sql.into_inner(), start, span });
            }
        }
        queries
    }
}

impl ParseContext<'_> {
    /// Returns the named queries whose values a text asks for.
    pub(super) fn placeholders(
        &mut self,
        text: Option<&str>,
        line: Option<usize>,
        queries: &[NamedQuery],
    ) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for placeholder in text.map(templates::placeholders).unwrap_or_default() {
            match placeholder.problem() {
                Some(message) => {
                    let problem = self.error(line, message);
                    self.problems.push(problem);
                }
                None => names.extend(self.query_name(placeholder.query, line, queries)),
            }
        }
        names
    }

    /// Returns the name of a named query, or reports that there is none.
    pub(super) fn query_name(
        &mut self,
        name: &str,
        line: impl Into<Option<usize>>,
        queries: &[NamedQuery],
    ) -> Option<String> {
        let name = name.to_lowercase();
        let known = || queries.iter().map(|query| query.name.as_str());
        if known().any(|known| known == name) {
            return Some(name);
        }
        let message = humanize::unknown_name_message("query", &name, known());
        let problem = self.error(line.into(), message);
        self.problems.push(problem);
        None
    }
}

/// Returns the queries of these names, each with those that it uses.
pub(super) fn value_queries(queries: &[NamedQuery], names: &BTreeSet<String>) -> Vec<ValueQuery> {
    let wanted = queries.iter().enumerate().filter(|(_, query)| names.contains(&query.name));
    wanted
        .map(|(at, query)| ValueQuery {
            name: query.name.clone(),
            sql: with_queries(&query.sql, &queries[..at]),
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Returns a query that can use the named ones as tables: those that it refers to are prepended as
/// common table expressions.
pub(super) fn with_queries(sql: &str, queries: &[NamedQuery]) -> String {
    let mut needed = vec![false; queries.len()];
    mark_needed(sql, queries, &mut needed);
    // A query may use the preceding ones.
    for at in (0..queries.len()).rev() {
        if needed[at] {
            mark_needed(&queries[at].sql, &queries[..at], &mut needed[..at]);
        }
    }
    let expressions: Vec<String> = queries
        .iter()
        .zip(&needed)
        .filter(|(_, needed)| **needed)
        .map(|(query, _)| {
            let inner = query.sql.trim_end().trim_end_matches(';');
            format!("{} AS MATERIALIZED (\n{inner}\n)", query.name)
        })
        .collect();
    if expressions.is_empty() {
        return sql.to_owned();
    }
    let expressions = expressions.join(",\n");
    match parameters::after_with(sql) {
        Some((with, rest)) => format!("{with} {expressions}, {rest}"),
        None => format!("WITH {expressions}\n{sql}"),
    }
}

fn mark_needed(sql: &str, queries: &[NamedQuery], needed: &mut [bool]) {
    let words = parameters::words(sql);
    for (query, needed) in queries.iter().zip(needed) {
        *needed |= words.iter().any(|word| word.eq_ignore_ascii_case(&query.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries() -> Vec<NamedQuery> {
        let query = |name: &str, sql: &str| NamedQuery {
            name: name.to_owned(),
            sql: sql.to_owned(),
            start: 0,
            span: 0..0,
        };
        vec![
            query("base", "SELECT 1 AS a;"),
            query("twice", "SELECT a * 2 AS a FROM base"),
            query("unused", "SELECT 3"),
        ]
    }

    #[test]
    fn a_query_has_the_named_ones_that_it_uses_and_those_that_they_use() {
        let all = |sql: &str| with_queries(sql, &queries());
        assert_eq!(
            all("SELECT * FROM Twice"),
            "WITH base AS MATERIALIZED (\nSELECT 1 AS a\n),\ntwice AS MATERIALIZED (\nSELECT a * 2 AS a FROM base\n)\nSELECT * FROM Twice"
        );
        assert_eq!(
            all(" WITH RECURSIVE mine AS (SELECT 1) SELECT * FROM mine, base"),
            "WITH RECURSIVE base AS MATERIALIZED (\nSELECT 1 AS a\n),  mine AS (SELECT 1) SELECT * FROM mine, base"
        );
        for other in
            ["SELECT 'base'", "SELECT 1 -- base", "SELECT \"base\" FROM t", "SELECT database"]
        {
            assert_eq!(all(other), other);
        }
    }
}
