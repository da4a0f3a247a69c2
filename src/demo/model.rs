//! Parses SQLMesh's model files, as far as the models of `infra/beanflows/models/` require: a
//! `MODEL (...)` head followed by one query.

use std::collections::{BTreeSet, VecDeque};

use super::DemoError;

/// The embedded model files.
const FILES: [(&str, &str); 19] = [
    ("raw_psd.sql", include_str!("../../infra/beanflows/models/raw_psd.sql")),
    ("raw_cot.sql", include_str!("../../infra/beanflows/models/raw_cot.sql")),
    ("raw_prices.sql", include_str!("../../infra/beanflows/models/raw_prices.sql")),
    ("raw_imports.sql", include_str!("../../infra/beanflows/models/raw_imports.sql")),
    ("raw_rain.sql", include_str!("../../infra/beanflows/models/raw_rain.sql")),
    ("staging_psd.sql", include_str!("../../infra/beanflows/models/staging_psd.sql")),
    ("staging_cot.sql", include_str!("../../infra/beanflows/models/staging_cot.sql")),
    ("staging_prices.sql", include_str!("../../infra/beanflows/models/staging_prices.sql")),
    ("staging_imports.sql", include_str!("../../infra/beanflows/models/staging_imports.sql")),
    ("staging_rain.sql", include_str!("../../infra/beanflows/models/staging_rain.sql")),
    ("staging_cpi.sql", include_str!("../../infra/beanflows/models/staging_cpi.sql")),
    (
        "serving_commodity_metrics.sql",
        include_str!("../../infra/beanflows/models/serving_commodity_metrics.sql"),
    ),
    (
        "serving_global_balance.sql",
        include_str!("../../infra/beanflows/models/serving_global_balance.sql"),
    ),
    (
        "serving_cot_positioning.sql",
        include_str!("../../infra/beanflows/models/serving_cot_positioning.sql"),
    ),
    (
        "serving_coffee_prices.sql",
        include_str!("../../infra/beanflows/models/serving_coffee_prices.sql"),
    ),
    ("serving_us_imports.sql", include_str!("../../infra/beanflows/models/serving_us_imports.sql")),
    ("serving_rainfall.sql", include_str!("../../infra/beanflows/models/serving_rainfall.sql")),
    (
        "serving_supply_revisions.sql",
        include_str!("../../infra/beanflows/models/serving_supply_revisions.sql"),
    ),
    (
        "serving_data_status.sql",
        include_str!("../../infra/beanflows/models/serving_data_status.sql"),
    ),
];

/// How SQLMesh materializes a model: computed on every run, or whenever it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelKind {
    Full,
    View,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: ModelKind,
    pub(super) description: String,
    /// Column and description, in the order of the file.
    pub(super) columns: Vec<(String, String)>,
    query: String,
    /// The whole file, from which the number of its table is derived.
    pub(super) text: &'static str,
}

/// Returns the embedded models, each after those it reads.
pub(super) fn models() -> Result<Vec<Model>, DemoError> {
    let parsed = FILES
        .iter()
        .map(|(file, text)| parse(text).map_err(|problem| DemoError::builtin_models(file, problem)))
        .collect::<Result<Vec<Model>, DemoError>>()?;
    in_order(parsed)
}

/// Sorts models so that each follows those it reads; otherwise preserves their order.
fn in_order(models: Vec<Model>) -> Result<Vec<Model>, DemoError> {
    let names: BTreeSet<String> = models.iter().map(Model::full_name).collect();
    let mut waiting = VecDeque::from(models);
    let (mut ordered, mut done): (Vec<Model>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    let mut passed_over = 0;
    while let Some(model) = waiting.pop_front() {
        if model.reads().iter().all(|parent| done.contains(*parent) || !names.contains(*parent)) {
            done.insert(model.full_name());
            ordered.push(model);
            passed_over = 0;
        } else if passed_over > waiting.len() {
            return Err(DemoError::builtin_models(
                &model.full_name(),
                "reads itself by way of other models",
            ));
        } else {
            waiting.push_back(model);
            passed_over += 1;
        }
    }
    Ok(ordered)
}

impl Model {
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Returns the tables that the query reads, by their names in it.
    pub(super) fn reads(&self) -> Vec<&str> {
        pieces(&self.query)
            .into_iter()
            .filter_map(|piece| if let ModelPiece::Table(name) = piece { Some(name) } else { None })
            .collect()
    }

    /// Returns the query with `@landing` and the tables it reads replaced; tables without a
    /// replacement stay unchanged.
    pub(super) fn query(&self, landing: &str, table: impl Fn(&str) -> Option<String>) -> String {
        pieces(&self.query)
            .into_iter()
            .map(|piece| match piece {
                ModelPiece::Text(text) => text.to_owned(),
                ModelPiece::Landing => landing.to_owned(),
                ModelPiece::Table(name) => table(name).unwrap_or_else(|| name.to_owned()),
            })
            .collect()
    }
}

/// A query, split at its placeholders.
#[derive(Debug, PartialEq, Eq)]
enum ModelPiece<'a> {
    Text(&'a str),
    Table(&'a str),
    Landing,
}

fn pieces(query: &str) -> Vec<ModelPiece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = query;
    let mut before = "";
    while let Some(length) = token(rest) {
        let (token, after) = rest.split_at(length);
        if token == "@landing" {
            pieces.push(ModelPiece::Landing);
        } else if token.contains('.')
            && (before.eq_ignore_ascii_case("from") || before.eq_ignore_ascii_case("join"))
        {
            pieces.push(ModelPiece::Table(token));
        } else {
            pieces.push(ModelPiece::Text(token));
        }
        if !token.trim_start().is_empty() && !token.starts_with("--") {
            before = token;
        }
        rest = after;
    }
    pieces
}

/// Returns the length of the token at the start of `text`: a comment, a quoted text or name, a word
/// (with its dots), or one character.
fn token(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let until = |end: Option<usize>| end.unwrap_or(text.len());
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    Some(match first {
        '-' if text.starts_with("--") => until(text.find('\n')),
        // A doubled quote is read as the end of one token and the start of the next, which adds up
        // to the same text.
        '\'' | '"' => until(text[1..].find(first).map(|at| at + 2)),
        '@' => 1 + text[1..].find(|c| !word(c)).unwrap_or(text.len() - 1),
        c if word(c) => until(text.find(|c| !word(c))),
        c => c.len_utf8(),
    })
}

/// Parses one model file.
fn parse(text: &'static str) -> Result<Model, String> {
    let mut head = Head { rest: text };
    head.expect("MODEL")?;
    head.expect("(")?;
    let (mut name, mut kind, mut description, mut columns) = (None, None, None, Vec::new());
    loop {
        match head.next()?.to_ascii_lowercase().as_str() {
            "name" => name = Some(head.next()?),
            "kind" => {
                kind = Some(match head.next()? {
                    "FULL" => ModelKind::Full,
                    "VIEW" => ModelKind::View,
                    other => {
                        return Err(format!(
                            "is of kind {other}; only FULL and VIEW are known here"
                        ));
                    }
                });
            }
            "description" => description = Some(head.text()?),
            "column_descriptions" => columns = head.columns()?,
            other => return Err(format!("says {other}, which is not known here")),
        }
        match head.next()? {
            "," => {}
            ")" => break,
            other => {
                return Err(format!("has {other} where a comma or the end of the head belongs"));
            }
        }
    }
    head.expect(";")?;
    let (schema, name) =
        name.and_then(|name| name.split_once('.')).ok_or("has no name of the form schema.name")?;
    Ok(Model {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: kind.ok_or("has no kind")?,
        description: description.ok_or("has no description")?,
        columns,
        query: head.rest.trim().trim_end_matches(';').to_owned(),
        text,
    })
}

/// The tokens of a model's head, without spaces and comments.
struct Head {
    rest: &'static str,
}

impl Head {
    fn next(&mut self) -> Result<&'static str, String> {
        while let Some(length) = token(self.rest) {
            let (token, after) = self.rest.split_at(length);
            self.rest = after;
            if !token.trim_start().is_empty() && !token.starts_with("--") {
                return Ok(token);
            }
        }
        Err("ends within its head".to_owned())
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let found = self.next()?;
        if found == wanted { Ok(()) } else { Err(format!("has {found} where {wanted} belongs")) }
    }

    fn text(&mut self) -> Result<String, String> {
        let mut quoted = self.next()?.to_owned();
        while self.rest.starts_with('\'') {
            quoted.push_str(self.next()?);
        }
        let inner = quoted.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        inner
            .map(|text| text.replace("''", "'"))
            .ok_or_else(|| format!("has {quoted} where a quoted text belongs"))
    }

    /// Parses `(column = 'description', ...)`.
    fn columns(&mut self) -> Result<Vec<(String, String)>, String> {
        self.expect("(")?;
        let mut columns = Vec::new();
        loop {
            let column = self.next()?.to_owned();
            self.expect("=")?;
            columns.push((column, self.text()?));
            match self.next()? {
                "," => {}
                ")" => return Ok(columns),
                other => {
                    return Err(format!(
                        "has {other} where a comma or the end of the columns belongs"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    const EXAMPLE: &str = "MODEL (name serving.x, kind VIEW, description 'It''s, (one)', -- why\n column_descriptions (a = 'A; b', b = ''));\n\
                           SELECT a, 'FROM not.this' FROM raw.x JOIN staging.y USING (a) -- FROM nor.that\nWHERE f = @landing || '/@landing';\n";

    #[test]
    fn a_model_file_is_read_as_sqlmesh_reads_it() {
        let model = parse(EXAMPLE).unwrap();
        assert_eq!((model.full_name().as_str(), model.kind), ("serving.x", ModelKind::View));
        assert_eq!(model.description, "It's, (one)");
        assert_eq!(
            model.columns,
            [("a".to_owned(), "A; b".to_owned()), ("b".to_owned(), String::new())]
        );
        assert_eq!(model.reads(), ["raw.x", "staging.y"]);
    }

    #[test]
    fn only_the_tables_read_and_the_landing_folder_are_replaced() {
        let model = parse(EXAMPLE).unwrap();
        let query = model.query("'/l'", |name| (name == "raw.x").then(|| "R".to_owned()));
        assert_eq!(
            query,
            "SELECT a, 'FROM not.this' FROM R JOIN staging.y USING (a) -- FROM nor.that\nWHERE f = '/l' || '/@landing'"
        );
    }

    #[test]
    fn a_broken_model_file_says_what_is_wrong() {
        assert_eq!(
            parse("MODEL (name x, kind FULL, description 'd'); SELECT 1").unwrap_err(),
            "has no name of the form schema.name"
        );
        assert!(
            parse("MODEL (name a.x, kind SEED, description 'd'); SELECT 1")
                .unwrap_err()
                .contains("SEED")
        );
        assert!(parse("MODEL (name a.x").unwrap_err().contains("ends within"));
    }

    #[test]
    fn models_come_after_those_they_read() {
        let mut seen = BTreeSet::new();
        let models = models().unwrap();
        for model in &models {
            for parent in model.reads() {
                assert!(seen.contains(parent), "{} comes before {parent}", model.full_name());
            }
            seen.insert(model.full_name());
        }
        assert_eq!(models.iter().filter(|model| model.schema == "serving").count(), 8);
        assert!(
            in_order(vec![
                parse("MODEL (name a.x, kind FULL, description ''); SELECT 1 FROM a.x").unwrap()
            ])
            .is_err()
        );
    }
}
